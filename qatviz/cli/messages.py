"""Exit codes, and how the program speaks to the user on stderr."""

import difflib
import sys
from typing import Iterable

OK, FAILED, USER_ERROR = 0, 1, 2


def say(text: str) -> None:
    """Something the user should know; results alone go to stdout."""
    print(text, file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """Something that is wrong, as one line that names the program."""
    say("qatviz: " + " ".join(text.splitlines()))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` Did you mean ...?`` where something known is spelled much like ``word``, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""
