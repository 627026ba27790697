"""Which threads a test has left running."""

import threading
import time


def still_running(before, timeout_s):
    """Return the threads started since `before` that do not end within `timeout_s` seconds, all together.

    Threads that Python did not start (TensorFlow's, which call back into Python) are not the test's to end.
    """
    deadline = time.monotonic() + timeout_s
    started = [
        thread
        for thread in threading.enumerate()
        if thread not in before and not isinstance(thread, threading._DummyThread)
    ]
    for thread in started:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [thread for thread in started if thread.is_alive()]
