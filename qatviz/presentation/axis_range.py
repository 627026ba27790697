"""Steady axes: ends that don't move with every value."""

import math
from typing import Optional, Tuple

import numpy as np

Range = Tuple[float, float]

#: Margins of a new axis, relative to the span of its values.
_FIRST_ROOM = 0.06
#: Curves: margin on a side that has to grow; fraction of the axis in use below which it shrinks.
_GROWTH, _MIN_USED = 0.35, 1 / 3
#: The same for distributions, which change less.
_DISTRIBUTION_GROWTH, _DISTRIBUTION_USED = 0.06, 0.6
_SMALLEST = 1e-30
#: Upper ends of axes that begin at 0, times a power of ten.
_TOPS = np.array([1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0])


def steady_range(present: Optional[Range], low: float, high: float) -> Range:
    """Return the ends of an axis for curves from ``low`` to ``high``; ``present`` if they still fit.

    The axis grows at once, with a margin, if a value lies outside; it shrinks if the values use less than a third of
    it.
    """
    size = high - low
    if not size > 0:
        size = abs(high) * 0.2 or 1.0
        low, high = low - size / 2, high + size / 2
    return _steady(present, low, high, _GROWTH, _MIN_USED)


def steady_extent(present: Optional[Range], low: float, high: float) -> Range:
    """Return the ends of an axis for a distribution from ``low`` to ``high``; ``present`` if they still fit."""
    high = max(high, low + _SMALLEST)
    return _steady(present, low, high, _DISTRIBUTION_GROWTH, _DISTRIBUTION_USED)


def _steady(present: Optional[Range], low: float, high: float, growth: float, least_used: float) -> Range:
    size = high - low
    first = low - _FIRST_ROOM * size, high + _FIRST_ROOM * size
    if present is None:
        return first
    is_below, is_above = low < present[0], high > present[1]
    if not is_below and not is_above:
        return present if size >= least_used * (present[1] - present[0]) else first
    return (low - growth * size if is_below else first[0], high + growth * size if is_above else first[1])


def steady_top(present: float, top: float) -> float:
    """Return the upper end of an axis from 0 to at least ``top``; ``present`` (initially 0) if it still fits.

    It is one of a few round numbers times a power of ten.
    """
    if _DISTRIBUTION_USED * present <= top <= present:
        return present
    power = 10.0 ** math.floor(math.log10(max(top, 1e-12)))
    return float(_TOPS[np.searchsorted(_TOPS, top / power - 1e-9)] * power)
