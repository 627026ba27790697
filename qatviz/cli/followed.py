"""Progress reports as JSON lines for another program, such as the window in an export, which may cancel the work."""

import contextlib
import json
import os
import signal
import sys
import threading
import traceback
from typing import Any, Dict, Iterator, NamedTuple

from qatviz.errors import QatvizError, explanation, message_of
from qatviz.export.progress import Progress
from qatviz.terminal import print_line

#: Smallest increase of the completed fraction for which a line is written; a change of activity is always written.
_LEAST_INCREASE = 0.005
#: Nice value, 0 to 19: training gets more processor time, but the work still ends soon.
_NICENESS = 3
_WINDOWS_BELOW_NORMAL = 0x4000


class Followed(NamedTuple):
    """Receiver of the progress of work and, for a program that follows it, of its result."""

    progress: Progress = Progress()

    def finish(self, result: Dict[str, Any]) -> None:
        """Report the result."""
        _write({"result": result})


@contextlib.contextmanager
def followed() -> Iterator[Followed]:
    """Write JSON lines to standard output, with a low process priority.

    A line is ``{"progress": 0.4, "what": "..."}``, ``{"result": {...}}`` or
    ``{"error": {"kind": "ExportError", "message": "...", "field": "", "details": ""}}``; for an unexpected error, the
    details are its traceback.

    SIGTERM cancels the work, and so does the end of standard input, because the work must not outlive the program that
    reads the lines. No files are left incomplete, since work is cancelled only where it reports progress. Call it on
    the main thread, before TensorFlow starts its threads, which inherit the priority.
    """
    cancelled = threading.Event()
    _lower_priority()
    before = signal.signal(signal.SIGTERM, lambda *_: cancelled.set())
    threading.Thread(target=_wait_for_end, args=(cancelled,), name="qatviz-follower", daemon=True).start()
    try:
        yield Followed(Progress(_Lines().at, cancelled.is_set))
    except QatvizError as error:
        _write_error(error, str(error), error.field)
        raise
    except Exception as error:
        details = traceback.format_exc() if explanation(error) is None else ""
        _write_error(error, message_of(error), "", details)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


class _Lines:
    """Writer of progress that omits repeated lines."""

    def __init__(self) -> None:
        self._last = ("", -1.0)

    def at(self, what: str, fraction: float) -> None:
        if what != self._last[0] or fraction >= self._last[1] + _LEAST_INCREASE:
            self._last = what, fraction
            _write({"progress": round(fraction, 3), "what": what})


def _write(line: Dict[str, Any]) -> None:
    print_line(json.dumps(line, allow_nan=False), "stdout")


def _write_error(error: Exception, message: str, field: str, details: str = "") -> None:
    _write({"error": {"kind": type(error).__name__, "message": message, "field": field, "details": details}})


def _wait_for_end(cancelled: threading.Event) -> None:
    # Not by sys.stdin: its lock would still be held by this thread when the interpreter exits.
    try:
        while os.read(0, 1024):
            pass
    except OSError:
        pass  # there is no standard input
    cancelled.set()


def _lower_priority() -> None:
    """Lower the priority of this process below that of a training run."""
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    elif sys.platform == "win32":
        import ctypes

        kernel = ctypes.windll.kernel32
        kernel.SetPriorityClass(kernel.GetCurrentProcess(), _WINDOWS_BELOW_NORMAL)
