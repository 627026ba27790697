"""Helpers of the window's tests: staged runs, which need neither Qt nor TensorFlow."""

import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "gui"))
