"""Validation of layer settings: each check returns the value in its normal form or raises a `NetworkError`.

All checks have the signature ``check(where, value)``. The message of the error starts with `where`, for example
``"layer 'conv1': kernel_size"``.
"""

import operator
import re
from typing import Any, Callable, Optional, Tuple

from qatviz.errors import NetworkError

Shape = Tuple[int, ...]
Pair = Tuple[int, int]
"""Values for rows and columns."""

INPUT = "input"
"""Reserved name of the network's input."""

# No dots and no '*': settings are addressed as "layer.weights.num_bits" and "*.weights.num_bits".
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_/-]*")

PADDINGS = ("SAME", "VALID")

LARGEST_AXIS = 2**31 - 1
"""Largest length of an axis, and largest number of elements of a tensor: what TensorFlow's kernels can index."""

LARGEST_EXTENT = 2**16
"""Largest size of a kernel or pooling window, and largest stride, dilation and border width."""

_LONGEST_NAME = 1024


def invalid_value(where: str, value: Any, allowed: str) -> NetworkError:
    """Return the error for a value that is not allowed; the caller raises it."""
    return NetworkError(f"{where} is {value!r}; allowed: {allowed}")


def layer_name(where: str, value: Any) -> str:
    """Return a name of a layer: a letter or "_", then letters, digits, "_", "-", "/"; not "input"."""
    if isinstance(value, str) and len(value) > _LONGEST_NAME:
        raise invalid_value(where, value[:40] + "...", f"at most {_LONGEST_NAME} characters")
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise invalid_value(where, value, "a letter or '_', then letters, digits, '_', '-' or '/'")
    if value == INPUT:
        raise invalid_value(where, value, f"any other name ('{INPUT}' is the network's input)")
    return value


def optional_layer_name(where: str, value: Any) -> str:
    """Return a name of a layer, or "" for none; the network checks that the layer exists."""
    return "" if isinstance(value, str) and not value else layer_name(where, value)


def input_names(where: str, value: Any) -> Tuple[str, ...]:
    """Return one or more layer names as a tuple; the network checks that these layers exist."""
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, (tuple, list)) or not names or not all(isinstance(name, str) for name in names):
        raise invalid_value(where, value, "a layer's name or a tuple of them")
    return tuple(names)


def _as_int(value: Any) -> Optional[int]:
    """Return an integer, which may be NumPy's but not a bool, as an int; None for anything else."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _as_ints(value: Any, low: int, high: int = LARGEST_AXIS) -> Optional[Tuple[int, ...]]:
    """Return a tuple or list of integers from `low` to `high` as a tuple of int; None for anything else."""
    numbers = tuple(_as_int(number) for number in value) if isinstance(value, (tuple, list)) else (None,)
    valid = tuple(number for number in numbers if number is not None and low <= number <= high)
    return valid if len(valid) == len(numbers) else None


def integer(where: str, value: Any) -> int:
    """Return an integer that may be negative."""
    number = _as_int(value)
    if number is None or abs(number) > LARGEST_AXIS:
        raise invalid_value(where, value, f"an integer from {-LARGEST_AXIS} to {LARGEST_AXIS}")
    return number


def positive_integer(where: str, value: Any) -> int:
    """Return an integer from 1."""
    number = _as_int(value)
    if number is None or not 1 <= number <= LARGEST_AXIS:
        raise invalid_value(where, value, f"an integer from 1 to {LARGEST_AXIS}")
    return number


def pair(where: str, value: Any, low: int = 1) -> Pair:
    """Return a pair (rows, columns) of integers from ``low`` on; a single integer stands for both."""
    numbers = _as_ints(value if isinstance(value, (tuple, list)) else (value, value), low, LARGEST_EXTENT)
    if numbers is None or len(numbers) != 2:
        allowed = f"an integer from {low} to {LARGEST_EXTENT}, or a pair of them (rows, columns)"
        raise invalid_value(where, value, allowed)
    return numbers[0], numbers[1]


def optional_pair(where: str, value: Any) -> Optional[Pair]:
    """Return a pair as :func:`pair` does, or None."""
    return None if value is None else pair(where, value)


def optional_widths(where: str, value: Any) -> Optional[Pair]:
    """Return a pair of integers from 0 on as :func:`pair` does, or None."""
    return None if value is None else pair(where, value, 0)


def border_widths(where: str, value: Any) -> Tuple[Pair, Pair]:
    """Return ((top, bottom), (left, right)); an int stands for all four, a pair of ints for (rows, columns)."""
    rows_columns = value if isinstance(value, (tuple, list)) else (value, value)
    sides = [
        _as_ints(side if isinstance(side, (tuple, list)) else (side, side), 0, LARGEST_EXTENT) for side in rows_columns
    ]
    pairs = [(side[0], side[1]) for side in sides if side is not None and len(side) == 2]
    if len(sides) != 2 or len(pairs) != 2:
        raise invalid_value(where, value, f"((top, bottom), (left, right)) with integers from 0 to {LARGEST_EXTENT}")
    return pairs[0], pairs[1]


def shape(where: str, value: Any) -> Shape:
    """Return a shape without the batch axis: one or more axes, each of length 1 or more."""
    axes = _as_ints(value, 1)
    if not axes:
        raise invalid_value(where, value, f"a tuple of integers from 1 to {LARGEST_AXIS}, without the batch axis")
    return axes


def shape_with_wildcard(where: str, value: Any) -> Shape:
    """Return a shape as `shape` does; one axis may be -1, which stands for the remaining elements."""
    axes = _as_ints(value, -1)
    if not axes or 0 in axes or axes.count(-1) > 1:
        allowed = "a tuple of integers of at least 1 without the batch axis; one of them may be -1"
        raise invalid_value(where, value, allowed)
    return axes


def positions(where: str, value: Any) -> Tuple[int, ...]:
    """Return one integer from 0 on for each axis, without the batch axis."""
    numbers = _as_ints(value, 0)
    if not numbers:
        raise invalid_value(where, value, f"a tuple of integers from 0 to {LARGEST_AXIS}, one for each axis")
    return numbers


def distinct_axes(where: str, value: Any) -> Tuple[int, ...]:
    """Return different axes from 0 on, in ascending order; there may be none."""
    axes = _as_ints(value, 0)
    if axes is None or len(set(axes)) < len(axes):
        raise invalid_value(where, value, "a tuple of different integers from 0 on")
    return tuple(sorted(axes))


def optional_strides(where: str, value: Any) -> Optional[Tuple[int, ...]]:
    """Return one integer from 1 on for each axis, without the batch axis, or None."""
    return None if value is None else shape(where, value)


def padding(where: str, value: Any) -> str:
    """Return a padding mode in upper case, as TensorFlow spells it; Keras spells it in lower case."""
    if not isinstance(value, str) or value.upper() not in PADDINGS:
        raise invalid_value(where, value, " or ".join(repr(mode) for mode in PADDINGS))
    return value.upper()


def boolean(where: str, value: Any) -> bool:
    """Return True or False; numbers are refused."""
    if not isinstance(value, bool):
        raise invalid_value(where, value, "True or False")
    return value


def number_in(low: float, high: float, brackets: str) -> Callable[[str, Any], float]:
    """Return a check for numbers in an interval.

    Parameters
    ----------
    low, high : float
        Ends of the interval.
    brackets : str
        Opening and closing bracket, such as "[)": a square bracket includes its end, a round one excludes it.
    """

    def check(where: str, value: Any) -> float:
        allowed = f"a number in {brackets[0]}{low:g}, {high:g}{brackets[1]}"
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise invalid_value(where, value, allowed) from None
        is_above_low = number >= low if brackets[0] == "[" else number > low
        is_below_high = number <= high if brackets[1] == "]" else number < high
        # Strings are refused even if they can be parsed as numbers: a record must return the type that was stored.
        if isinstance(value, (bool, str)) or not (is_above_low and is_below_high):
            raise invalid_value(where, value, allowed)
        return number

    return check
