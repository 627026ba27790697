"""The check for leaked threads."""

import threading

from thread_leaks import still_running


def test_running_threads_are_reported_and_ended_ones_are_not():
    before = set(threading.enumerate())
    end = threading.Event()
    lasting = threading.Thread(target=end.wait, daemon=True)
    ending = threading.Thread(target=lambda: None)
    lasting.start()
    ending.start()
    try:
        assert still_running(before, stall_s=0.05) == [lasting]
    finally:
        end.set()
        lasting.join()
    assert still_running(before) == []
