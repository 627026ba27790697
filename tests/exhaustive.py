"""Choice between the numbers of tries that a default run has time for, and all of them."""

import os
from typing import TypeVar

_T = TypeVar("_T")

#: True if QATVIZ_EXHAUSTIVE=1 asks for all tries: hours instead of minutes.
EXHAUSTIVE = bool(os.environ.get("QATVIZ_EXHAUSTIVE"))


def tries(few: _T, all_of_them: _T) -> _T:
    """Return ``few``, or ``all_of_them`` in an exhaustive run: a number or a collection of cases."""
    return all_of_them if EXHAUSTIVE else few
