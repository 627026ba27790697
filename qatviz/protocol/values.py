"""Checks of values that were read from a file, and can be anything that JSON can represent.

Each check returns the value in its normal form, or raises ValueError with the name of the value, the value itself and
what is allowed.
"""

import math
import reprlib
from typing import Any, Dict, List, Optional, Union

import numpy as np

from qatviz.start_settings import START_SETTINGS

#: Largest number of training steps of a run.
LARGEST_STEP = int(START_SETTINGS["steps"].high or 0)
#: Largest count of anything else, such as branches, events or examples.
LARGEST_COUNT = 2**53
#: Dates in Unix time, up to the end of the year 9998: no time zone leads beyond what a calendar can show.
LARGEST_DATE = 253_370_764_800.0
#: Longest name or path.
LONGEST_NAME = 4096

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = _brief.maxlong = 80


def refusal(what: str, value: Any, expected: str) -> ValueError:
    """Return the error for a value that is not allowed; a long value is shortened."""
    return ValueError(f"{what} is {_brief.repr(value)}: expected {expected}")


def whole(value: Any, what: str, low: int = 0, high: int = LARGEST_COUNT) -> int:
    """Return a whole number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise refusal(what, value, f"a whole number from {low} to {high}")
    return value


def step(value: Any, what: str = "step") -> int:
    """Return a number of training steps."""
    return whole(value, what, 0, LARGEST_STEP)


def optional_whole(value: Any, what: str) -> Optional[int]:
    """Return a whole number of at least 0, or None."""
    return None if value is None else whole(value, what)


def number(value: Any, what: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a finite number from ``low`` to ``high`` as a float."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high:
        try:
            found = float(value)
        except OverflowError:
            found = math.inf
        if math.isfinite(found):
            return found
    limits = "" if low == -math.inf else f" from {low:.15g}" + ("" if high == math.inf else f" to {high:.15g}")
    raise refusal(what, value, f"a finite number{limits}")


def seconds(value: Any, what: str = "seconds") -> float:
    """Return a duration."""
    return number(value, what, 0.0)


def date(value: Any, what: str) -> float:
    """Return a date in Unix time."""
    return number(value, what, 0.0, LARGEST_DATE)


def boolean(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise refusal(what, value, "true or false")
    return value


def text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise refusal(what, value, "text")
    return value


def name(value: Any, what: str) -> str:
    """Return a name or path: text without NUL of at most `LONGEST_NAME` characters."""
    if not isinstance(value, str) or "\0" in value or len(value) > LONGEST_NAME:
        raise refusal(what, value, f"text of at most {LONGEST_NAME} characters without NUL")
    return value


def scalar(value: Any, what: str) -> Union[bool, int, float, str, None]:
    """Return text, a number, true, false or nothing."""
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise refusal(what, value, "text, a number, true or false")
    return value


def mapping(value: Any, what: str) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise refusal(what, value, "an object")
    return value


def sequence(value: Any, what: str) -> List[Any]:
    if not isinstance(value, list):
        raise refusal(what, value, "a list")
    return value


def array(value: Any, what: str, kinds: str, ndim: int = 1, longest: int = LARGEST_COUNT) -> np.ndarray:
    """Return an array of ``ndim`` axes whose type is one of NumPy's ``kinds``, none longer than ``longest``."""
    if not isinstance(value, np.ndarray):
        raise refusal(what, value, "an array")
    if value.dtype.kind not in kinds or value.ndim != ndim or max(value.shape, default=0) > longest:
        words = " or ".join({"i": "integer", "f": "float"}[kind] for kind in kinds)
        limit = "" if longest == LARGEST_COUNT else f" of at most {longest}"
        raise ValueError(
            f"{what} is an array of {value.dtype} and the shape {value.shape}: expected {words}, {ndim} axes{limit}"
        )
    return value


def counts(value: Any, what: str, longest: int) -> np.ndarray:
    """Return an integer array ``[n]`` without negative numbers."""
    checked = array(value, what, "i", 1, longest)
    if (checked < 0).any():
        raise ValueError(f"{what} contains {checked.min()}: expected numbers of at least 0")
    return checked
