"""Exports are tested on what the tests of training have: networks of every kind of layer, and their graphs."""

import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "training"))
