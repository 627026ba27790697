"""Detection of threads that a test has left running."""

import threading

from waiting import Patience, Stalled

#: Seconds that a thread may take to end without doing anything, and seconds of processor time that it may use for it.
STALL_S, MOST_WORK_S = 10.0, 60.0


def still_running(before, stall_s=STALL_S):
    """Return the threads started since `before` that do not end, all of them given the same chance.

    Threads that Python did not start (TensorFlow's, which call back into Python) are not the test's to end.
    """
    started = [
        thread
        for thread in threading.enumerate()
        if thread not in before and not isinstance(thread, threading._DummyThread)
    ]
    patience = Patience(stall_s=stall_s, most_work_s=MOST_WORK_S)
    while True:
        started = [thread for thread in started if thread.is_alive()]
        if not started:
            return []
        try:
            patience.look()
        except Stalled:
            return started
        started[0].join(0.02)
