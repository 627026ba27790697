"""Ticks of an axis: positions and labels."""

import itertools
import math
from typing import Callable, Iterator, List, Tuple

import numpy as np

from qatviz.number_format import si

#: Minus sign, as wide as a plus.
MINUS = "−"
#: Minimum space between two labels, px.
LABEL_GAP = 9.0
#: Minimum distance of two ticks of a vertical axis, in heights of its labels.
_LINES_PER_TICK = 1.5
#: Maximum number of ticks of a vertical axis.
_MAX_UPRIGHT = 10
_MULTIPLES = (1.0, 2.0, 5.0)
#: First digits of ticks of a logarithmic axis over less than a factor of 100, rounder ones first.
_DIGITS = (1.0, 2.0, 5.0, 3.0, 1.5, 4.0, 7.0, 6.0, 8.0, 9.0)
#: Numbers of octaves between two ticks of an axis of powers of two.
_OCTAVE_STEPS = (1, 2, 4, 8, 16, 32, 64)
#: Magnitudes above which labels have units, and below which they have powers of ten.
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_SMALLEST_PLAIN = 1e-3
#: Fraction of the tick distance by which a tick may lie beyond the end of the axis.
_TOLERANCE = 1e-9
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

Tick = Tuple[float, str]


def linear_ticks(low: float, high: float, at_most: int, at_least: int = 0) -> List[Tick]:
    """Return at most ``at_most`` ticks at multiples of 1, 2 or 5 times a power of ten.

    Parameters
    ----------
    low, high : float
        Ends of the axis; there are no ticks if they are equal or not finite.
    at_most : int
        Maximum number of ticks, at least 1.
    at_least : int
        Minimum number of ticks; to reach it, up to two more than ``at_most`` are returned.
    """
    if not (math.isfinite(high - low) and high > low) or at_most < 1:
        return []
    found: List[float] = []
    step = 1.0
    for count in range(at_most, at_most + (3 if at_least else 1)):
        step, found = _multiples(low, high, count)
        if len(found) >= at_least:
            break
    largest = max(abs(low), abs(high))
    return [(value, _label(value, step, largest)) for value in found]


def _multiples(low: float, high: float, at_most: int) -> Tuple[float, List[float]]:
    for step in _steps((high - low) / (at_most + 1)):
        first, last = math.ceil(low / step - _TOLERANCE), math.floor(high / step + _TOLERANCE)
        if last - first < at_most:
            break
    return step, [i * step for i in range(first, last + 1)]


def _steps(least: float) -> Iterator[float]:
    """Yield tick distances from about ``least`` on, ascending without end."""
    power = 10.0 ** math.floor(math.log10(least))
    while True:
        for multiple in _MULTIPLES:
            if multiple * power >= least * (1 - _TOLERANCE):
                yield multiple * power
        power *= 10


def _label(value: float, step: float, largest: float) -> str:
    """Return ``value``, a multiple of ``step``, with the digits that distinguish it from its neighbours."""
    if abs(value) < step / 2:
        return "0"
    for size, unit in _UNITS:
        if largest >= 10 * size:
            return f"{value / size:.{_decimals(step / size)}f}{unit}".replace("-", MINUS)
    if largest >= _SMALLEST_PLAIN:
        return f"{value:.{_decimals(step)}f}".replace("-", MINUS)
    digits = math.floor(math.log10(abs(value)) + _TOLERANCE) - math.floor(math.log10(step) + _TOLERANCE)
    return _with_exponent(value, max(digits, 0))


def _decimals(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + _TOLERANCE))


def _with_exponent(value: float, digits: int) -> str:
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}".replace("-", MINUS)


def log_ticks(low: float, high: float, at_most: int) -> List[Tick]:
    """Return ticks of an axis of powers of ten; ``low``, ``high`` and the positions are exponents."""
    if not (math.isfinite(high - low) and high > low):
        return []
    at_most = max(at_most, 1)
    for stride in itertools.count(max(1, math.floor((high - low) / at_most))):
        powers = range(math.ceil(low / stride) * stride, math.floor(high) + 1, stride)
        if len(powers) <= at_most:
            break
    if len(powers) >= 2 and (stride > 1 or 3 * len(powers) > at_most):
        return [(float(i), _short(10.0**i)) for i in powers]
    values = [digit * 10.0**e for digit in _DIGITS for e in range(math.floor(low), math.ceil(high) + 1)]
    chosen: List[float] = []
    for value in values:  # rounder ones first, if there is room
        place = math.log10(value)
        if low <= place <= high and all(abs(place - other) >= (high - low) / at_most for other in chosen):
            chosen.append(place)
    if len(chosen) >= 2:
        return [(place, _short(10.0**place)) for place in sorted(chosen)[:at_most]]
    return [(math.log10(value), text) for value, text in linear_ticks(10.0**low, 10.0**high, at_most) if value > 0]


def _short(value: float) -> str:
    if value >= 1e4:
        return si(value)
    return f"{value:.4g}" if value >= 0.9 * _SMALLEST_PLAIN else _with_exponent(value, 1)


def count_ticks(top: float, at_most: int) -> List[Tick]:
    """Return ticks of an axis of ``log1p(count)`` from 0 to ``log1p(top)``: 0 and powers of ten."""
    powers = [10.0**i for i in range(max(0, math.floor(math.log10(max(top, 1.0)))) + 1)]
    every = max(1, -(-len(powers) // max(at_most - 1, 1)))
    return [(0.0, "0")] + [(math.log1p(power), si(power)) for power in powers[::every]]


def octave_ticks(low: float, high: float, at_most: int, rest_below: float) -> List[Tick]:
    """Return ticks of an axis of log2 |value|: powers of two, and 0 for the leftmost bin of smaller values.

    Parameters
    ----------
    low, high : float
        Ends of the axis, exponents of 2.
    at_most : int
        Maximum number of ticks, including that of 0.
    rest_below : float
        Right edge of the bin for 0.
    """
    width = high - rest_below
    step = next((s for s in _OCTAVE_STEPS if width / s <= max(at_most - 1, 1)), _OCTAVE_STEPS[-1])
    first = math.ceil(rest_below / step + 0.5) * step
    found = [(float(e), "2" + str(int(e)).translate(_SUPERSCRIPTS)) for e in np.arange(first, high + 1e-9, step)]
    return [((low + rest_below) / 2, "0"), *found]


def fitting_ticks(
    make: Callable[[int], List[Tick]], at_most: int, pixels_per_unit: float, width_of: Callable[[str], float]
) -> List[Tick]:
    """Return as many ticks of a horizontal axis as there is room for labels side by side.

    Parameters
    ----------
    make : callable
        Returns the ticks for a maximum number of them.
    at_most : int
    pixels_per_unit : float
    width_of : callable
        Width of a label, px.
    """
    for count in range(max(at_most, 2), 1, -1):
        found = make(count)
        widths = [width_of(text) for _, text in found]
        gaps = [
            (right[0] - left[0]) * pixels_per_unit - (first + second) / 2
            for left, right, first, second in zip(found, found[1:], widths, widths[1:])
        ]
        if min(gaps, default=LABEL_GAP) >= LABEL_GAP:
            break
    return found


def ticks_upright(height: float, line: float) -> int:
    """Return the number of ticks that fit a vertical axis; ``line`` is the height of a label."""
    return min(max(2, int(height / (_LINES_PER_TICK * line))), _MAX_UPRIGHT)


def exponents(values: np.ndarray) -> np.ndarray:
    """Return the positions of ``values`` on an axis of powers of ten: minus infinity for 0, NaN below 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(values)
