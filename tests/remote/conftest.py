"""Helpers of the window's tests: staged runs, which need neither Qt nor TensorFlow; and small specs of real ones."""

import os
import sys

import pytest
from remote_stage import Stage

_TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.append(os.path.join(_TESTS, "gui"))


@pytest.fixture
def stage():
    """A server in this process, and clients connected to it; all are closed."""
    with Stage() as stage:
        yield stage
