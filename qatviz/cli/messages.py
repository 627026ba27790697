"""Exit codes, and messages to the user on standard error."""

import sys

from qatviz.session.changes import CHANGES
from qatviz.session.prepared import Notice

OK, FAILED, USER_ERROR = 0, 1, 2


def say(text: str) -> None:
    """Print a message; only results go to standard output."""
    print(text, file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """Print a message about a problem as one line that begins with the program's name."""
    say("qatviz: " + " ".join(text.splitlines()))


#: Options that have another name than the field of a request that they set.
_OPTIONS = {CHANGES: "--set", "examples": "--verify"}


def print_notice(notice: Notice) -> None:
    """Print a notice about a run that is being prepared."""
    complain(f"{'warning' if notice.is_warning else 'note'}: {notice.text}")


def option_name(field: str) -> str:
    """Return the option that sets a field of a request."""
    return _OPTIONS.get(field, "--" + field.replace("_", "-"))
