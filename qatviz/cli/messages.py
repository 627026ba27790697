"""Exit codes, results on standard output and messages to the user on standard error.

Both may contain names from files: control characters are escaped.
"""

import contextlib
from typing import TYPE_CHECKING

from qatviz.errors import OutputError
from qatviz.terminal import print_line

if TYPE_CHECKING:  # it imports NumPy: messages must be possible without
    from qatviz.session.prepared import Notice

OK, FAILED, USER_ERROR = 0, 1, 2


def print_output(text: str) -> None:
    """Print a result on standard output; raise an `OutputError` if it can't be written."""
    print_line(text, "stdout")


def print_message(text: str) -> None:
    """Print a message on standard error, if that can be written; only results go to standard output."""
    with contextlib.suppress(OutputError):
        print_line(text, "stderr")


def print_problem(text: str) -> None:
    """Print an error, a notice or the reason for an end as one line that begins with the program's name."""
    print_message("qatviz: " + " ".join(text.splitlines()))


def print_notice(notice: "Notice", quiet: bool = False) -> None:
    """Print a notice about a run that is being prepared; if ``quiet``, only a warning."""
    if notice.is_warning or not quiet:
        print_problem(notice.labelled)


class Activities:
    """Printer of each activity at its beginning."""

    def __init__(self) -> None:
        self._last = ""

    def at(self, what: str, fraction: float) -> None:
        if what != self._last:
            self._last = what
            print_message(f"{what} ...")
