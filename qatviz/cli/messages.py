"""Exit codes, and how the program speaks to the user on stderr."""

import sys

OK, FAILED, USER_ERROR = 0, 1, 2


def say(text: str) -> None:
    """Something the user should know; results alone go to stdout."""
    print(text, file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """Something that is wrong, as one line that names the program."""
    say("qatviz: " + " ".join(text.splitlines()))
