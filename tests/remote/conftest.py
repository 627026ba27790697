"""Helpers of the window's tests: staged runs, which need neither Qt nor TensorFlow; and small specs of real ones."""

import os
import sys

import pytest
from remote_stage import Stage

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "gui"))


@pytest.fixture
def stage():
    """A server in this process, and clients connected to it; all are closed."""
    with Stage() as stage:
        yield stage
