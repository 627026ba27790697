"""Exit codes, and how the program speaks to the user on stderr."""

import sys

from qatviz.session.changes import CHANGES
from qatviz.session.prepared import Notice

OK, FAILED, USER_ERROR = 0, 1, 2


def say(text: str) -> None:
    """Something the user should know; results alone go to stdout."""
    print(text, file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """Something that is wrong, as one line that names the program."""
    say("qatviz: " + " ".join(text.splitlines()))


def tell_notice(notice: Notice) -> None:
    """Tell what was noticed while a run was prepared."""
    complain(f"{'warning' if notice.is_warning else 'note'}: {notice.text}")


def option_name(field: str) -> str:
    """Return the option that sets a field of a request."""
    return "--set" if field == CHANGES else "--" + field.replace("_", "-")
