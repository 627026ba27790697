"""Standard streams, to which writing can fail, and the signals that end a program."""

import contextlib
import os
import signal
import sys
from typing import Iterator, Tuple

from qatviz.errors import OutputError
from qatviz.safe_text import escaped

_STREAMS = {"stdout": "standard output", "stderr": "standard error"}
_HIGHEST_STREAM = 2
#: Number of SIGHUP, the end of the terminal; 0 on Windows, which does not have it.
HANGUP: int = getattr(signal, "SIGHUP", 0)
#: Seconds for which a program waits for the end of training before it says so.
END_NOTICE_S = 3.0


def print_line(text: str, stream: str) -> None:
    """Print escaped text to "stdout" or "stderr" at once.

    Raises
    ------
    OutputError
        If the stream can't be written.
    """
    with writing(stream):
        print(escaped(text), file=getattr(sys, stream), flush=True)


def print_end_notice() -> None:
    """Print on standard error, if that can be written, what a program waits for at its end."""
    with contextlib.suppress(OutputError):
        print_line("qatviz: waiting for the end of training; Ctrl-C quits without saving its state", "stderr")


@contextlib.contextmanager
def writing(stream: str) -> Iterator[None]:
    """Raise an :class:`OutputError` if writing to "stdout" or "stderr" fails in the context.

    The stream can be a file on a full disk, a pipe whose reader has ended, or a terminal that was closed. It is
    redirected to the null device, so that later writes have no effect.
    """
    try:
        yield
    except OSError as error:
        with contextlib.suppress(OSError):  # else Python reports another error when it flushes the stream at exit
            number = getattr(sys, stream).fileno()
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)
            os.close(null)
        raise OutputError(f"{_STREAMS[stream]} can't be written: {error.strerror or error}") from error


def open_closed_streams() -> None:
    """Open the null device for each standard stream with which the process was started closed.

    Otherwise the next file that is opened gets the stream's number, and receives what libraries print.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= _HIGHEST_STREAM:
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def stop_signals() -> Tuple[int, ...]:
    """Return the signals that end a program cleanly: Ctrl-C, SIGTERM and, unless ignored, the end of the terminal."""
    # nohup ignores SIGHUP, which must stay so.
    ignored = not HANGUP or signal.getsignal(HANGUP) == signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM) if ignored else (signal.SIGINT, signal.SIGTERM, HANGUP)
