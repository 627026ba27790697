"""What holds for every test: TensorFlow keeps quiet, and no test leaves a thread running."""

import os
import threading

import hypothesis
import pytest
from thread_leaks import still_running

# Before any import of TensorFlow, whose C++ side reads it once: errors only.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

ENDING_TIMEOUT_S = 5.0

# The same examples each time: what passed once passes again. `--hypothesis-profile=search` looks for new ones.
hypothesis.settings.register_profile("fixed", derandomize=True)
hypothesis.settings.register_profile("search", derandomize=False)
hypothesis.settings.load_profile("fixed")


@pytest.fixture(autouse=True)
def no_thread_left_running():
    """Fail the test that leaves a thread running, daemon or not."""
    before = set(threading.enumerate())
    yield
    left = still_running(before, ENDING_TIMEOUT_S)
    assert not left, f"the test left threads running: {', '.join(repr(thread.name) for thread in left)}"
