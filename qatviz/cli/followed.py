"""Work that another program follows, such as an export for the window: it reads lines of JSON, and may end it."""

import contextlib
import json
import os
import signal
import sys
import threading
from typing import Iterator

from qatviz.export.progress import Progress

#: Lines are written when the share has grown by so much, or something else is being done.
_LEAST_SHARE = 0.005
#: Of 0 to 19: less than its share of processors that training wants too, but enough to be done soon.
_NICENESS = 3
_WINDOWS_BELOW_NORMAL = 0x4000


@contextlib.contextmanager
def followed() -> Iterator[Progress]:
    """Progress as lines ``{"progress": 0.4, "what": "..."}`` on standard output, of a process that stands back.

    It is cancelled by SIGTERM, and where its standard input ends: so nothing goes on that nobody waits for, whatever
    became of the program that did. Files are not left half written, as work is only cancelled where it asks. To be used
    on the main thread, before TensorFlow makes its threads, which inherit the priority.
    """
    cancelled = threading.Event()
    _stand_back()
    before = signal.signal(signal.SIGTERM, lambda *_: cancelled.set())
    threading.Thread(target=_wait_for_end, args=(cancelled,), name="qatviz-follower", daemon=True).start()
    try:
        yield Progress(_Lines().at, cancelled.is_set)
    finally:
        signal.signal(signal.SIGTERM, before)


class _Lines:
    """Writes progress, but not the same line again and again."""

    def __init__(self):
        self._last = ("", -1.0)

    def at(self, what: str, share: float) -> None:
        if what != self._last[0] or share >= self._last[1] + _LEAST_SHARE:
            self._last = what, share
            print(json.dumps({"progress": round(share, 3), "what": what}), flush=True)


def _wait_for_end(cancelled: threading.Event) -> None:
    # Not by sys.stdin, whose lock a thread that is still reading would hold when the interpreter ends.
    try:
        while os.read(0, 1024):
            pass
    except OSError:
        pass  # there is no standard input: it ended before it began
    cancelled.set()


def _stand_back() -> None:
    """Give way to whatever else wants to compute, above all the training that goes on."""
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    elif sys.platform == "win32":
        import ctypes

        kernel = ctypes.windll.kernel32
        kernel.SetPriorityClass(kernel.GetCurrentProcess(), _WINDOWS_BELOW_NORMAL)
