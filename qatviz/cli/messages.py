"""Exit codes, results on standard output and messages to the user on standard error.

Both may contain names from files: control characters are escaped.
"""

import sys

from qatviz.session.changes import CHANGES
from qatviz.session.prepared import Notice
from qatviz.terminal import escaped

OK, FAILED, USER_ERROR = 0, 1, 2


def print_output(text: str) -> None:
    """Print a result on standard output."""
    print(escaped(text), flush=True)


def print_message(text: str) -> None:
    """Print a message; only results go to standard output."""
    print(escaped(text), file=sys.stderr, flush=True)


def print_problem(text: str) -> None:
    """Print an error or notice as one line that begins with the program's name."""
    print_message("qatviz: " + " ".join(text.splitlines()))


#: Options by the field of a request that they set, if the names differ.
_OPTIONS = {CHANGES: "--set", "examples": "--verify"}


def print_notice(notice: Notice, quiet: bool = False) -> None:
    """Print a notice about a run that is being prepared; if ``quiet``, only a warning."""
    if notice.is_warning or not quiet:
        print_problem(notice.labelled)


def option_name(field: str) -> str:
    """Return the option that sets a field of a request."""
    return _OPTIONS.get(field, "--" + field.replace("_", "-"))
