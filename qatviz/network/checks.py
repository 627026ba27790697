"""Checks of a layer's settings: each returns the value in its normal form or raises a `NetworkError` that names it.

Every check has the form ``check(where, value)``; `where` opens the message, for example
``"layer 'conv1': kernel_size"``.
"""

import operator
import re
from typing import Any, Callable, Tuple

from qatviz.errors import NetworkError

Shape = Tuple[int, ...]
Pair = Tuple[int, int]

INPUT = "input"
"""The reserved name of the network's input."""

# No dots and no '*': settings are addressed as "layer.weights.num_bits" and "*.weights.num_bits".
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_/-]*")

PADDINGS = ("SAME", "VALID")


def refuse(where: str, value: Any, allowed: str) -> NetworkError:
    """The error for a value that is not allowed; to be raised by the caller."""
    return NetworkError(f"{where} is {value!r}; allowed: {allowed}")


def layer_name(where: str, value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise refuse(where, value, "a letter or '_', then letters, digits, '_', '-' or '/'")
    if value == INPUT:
        raise refuse(where, value, f"any other name ('{INPUT}' is the network's input)")
    return value


def input_names(where: str, value: Any) -> Tuple[str, ...]:
    """One name or several; that they exist is for the network to check."""
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, (tuple, list)) or not names or not all(isinstance(name, str) for name in names):
        raise refuse(where, value, "a layer's name or a tuple of them")
    return tuple(names)


def _integer(value: Any) -> Any:
    """`value` as an int, or None where it is not one (a bool is not; NumPy's integers are)."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def integer(where: str, value: Any) -> int:
    number = _integer(value)
    if number is None:
        raise refuse(where, value, "an integer")
    return number


def count(where: str, value: Any) -> int:
    number = _integer(value)
    if number is None or number < 1:
        raise refuse(where, value, "an integer of at least 1")
    return number


def pair(where: str, value: Any) -> Pair:
    """An int stands for the same number twice."""
    both = value if isinstance(value, (tuple, list)) else (value, value)
    numbers = tuple(_integer(number) for number in both)
    if len(numbers) != 2 or any(number is None or number < 1 for number in numbers):
        raise refuse(where, value, "an integer of at least 1, or a pair of them (rows, columns)")
    return numbers[0], numbers[1]


def optional_pair(where: str, value: Any) -> Any:
    return None if value is None else pair(where, value)


def borders(where: str, value: Any) -> Tuple[Pair, Pair]:
    """((top, bottom), (left, right)); an int stands for all four, a pair of ints for (rows, columns)."""
    rows_columns = value if isinstance(value, (tuple, list)) else (value, value)
    sides = tuple(side if isinstance(side, (tuple, list)) else (side, side) for side in rows_columns)
    numbers = tuple(tuple(_integer(number) for number in side) for side in sides)
    if len(numbers) != 2 or any(len(side) != 2 or None in side or min(side) < 0 for side in numbers):
        raise refuse(where, value, "((top, bottom), (left, right)) with integers of at least 0")
    return numbers[0], numbers[1]


def shape(where: str, value: Any) -> Shape:
    """A shape without the batch axis: at least one axis, each at least 1."""
    axes = tuple(_integer(axis) for axis in value) if isinstance(value, (tuple, list)) else ()
    if not axes or any(axis is None or axis < 1 for axis in axes):
        raise refuse(where, value, "a tuple of integers of at least 1, without the batch axis")
    return axes


def shape_with_wildcard(where: str, value: Any) -> Shape:
    """As `shape`, but one axis may be -1: what is left over."""
    axes = tuple(_integer(axis) for axis in value) if isinstance(value, (tuple, list)) else ()
    if not axes or any(axis is None or (axis < 1 and axis != -1) for axis in axes) or axes.count(-1) > 1:
        raise refuse(where, value, "a tuple of integers of at least 1 without the batch axis; one of them may be -1")
    return axes


def padding(where: str, value: Any) -> str:
    """Case does not matter: Keras writes "same", TensorFlow "SAME"."""
    mode = value.upper() if isinstance(value, str) else value
    if mode not in PADDINGS:
        raise refuse(where, value, " or ".join(repr(mode) for mode in PADDINGS))
    return mode


def flag(where: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise refuse(where, value, "True or False")
    return value


def number_in(low: float, high: float, brackets: str) -> Callable[[str, Any], float]:
    """The check for a number between `low` and `high`; `brackets` such as "[)" says whether each end is included."""

    def check(where: str, value: Any) -> float:
        allowed = f"a number in {brackets[0]}{low:g}, {high:g}{brackets[1]}"
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise refuse(where, value, allowed) from None
        above = number >= low if brackets[0] == "[" else number > low
        below = number <= high if brackets[1] == "]" else number < high
        # Strings that read as numbers are refused, too: a run record must give back what was put in.
        if isinstance(value, (bool, str)) or not (above and below):
            raise refuse(where, value, allowed)
        return number

    return check
