"""Tests of one of the three doors need the window's form: offscreen, unless a display is asked for."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
