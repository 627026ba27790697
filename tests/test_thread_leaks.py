"""The leak check itself: it must see what it is there for."""

import threading

from thread_leaks import still_running


def test_a_thread_that_goes_on_is_reported_and_one_that_ends_is_not():
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
