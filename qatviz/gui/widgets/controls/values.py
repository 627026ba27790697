"""Values that controls derive from a setting's declaration: default, increments of an arrow, notches of a slider.

Numbers on a logarithmic scale follow the 1-2-5 series. Other fractions (decay, percentile) follow it in their distance
from the upper bound: 0.9, 0.95, 0.98, 0.99.
"""

import math
from typing import Any, List, Tuple

from qatviz.setting_declaration import Setting
from qatviz.settings import QUANTIZER_SETTINGS, quantizer_settings

#: Maximum number of values of an integer that gets a slider beside the box.
MAX_NOTCHES = 32
#: Number of decades from the first notch above 0 to the upper bound, on a logarithmic scale that starts at 0.
DECADES = 8
_MANTISSAS = (1, 2, 5)
#: Maximum relative difference of two numbers on the same notch.
_SAME = 1e-9


def default_of(setting: Setting, kind: str = "") -> Any:
    """Return the setting's default, which may depend on the ``kind`` of tensor."""
    if kind and setting.name in QUANTIZER_SETTINGS and kind in setting.kinds:
        return getattr(quantizer_settings(kind), setting.name)
    return setting.default


def bounds(setting: Setting) -> Tuple[float, float]:
    """Return the smallest and the largest allowed value of a numeric setting."""
    assert setting.low is not None, f"{setting.name} needs bounds to be edited in a box"
    assert setting.high is not None, f"{setting.name} needs bounds to be edited in a box"
    return setting.low, setting.high


def notches(setting: Setting) -> List[float]:
    """Return the ascending values of the setting's slider; empty if it has none."""
    if setting.type not in (int, float):
        return []
    low, high = bounds(setting)
    if setting.type is int:
        return list(range(int(low), int(high) + 1)) if high - low < MAX_NOTCHES else []
    if not setting.log:
        return []
    first = _first_notch(low, high)
    values = [low] if low < first else []
    value = first
    while value < high * (1 - _SAME):
        values.append(value)
        value = _next_notch(value)
    return [*values, high]


def nearest_notch(values: List[float], value: float) -> int:
    """Return the index of the notch nearest to ``value``, by ratio if the notches are on a logarithmic scale."""
    is_log = values[-1] - values[-2] > 2 * (values[1] - values[0])
    if not is_log:
        return min(range(len(values)), key=lambda i: abs(values[i] - value))
    if value < values[0] or (values[0] == 0 and value < values[1] / 2):
        return 0
    return min((i for i in range(len(values)) if values[i] > 0), key=lambda i: abs(math.log(values[i] / value)))


def incremented(setting: Setting, value: float, count: int) -> Any:
    """Return ``value`` moved by ``count`` arrow increments (negative: down), clamped to the bounds."""
    low, high = bounds(setting)
    for _ in range(abs(count)):
        value = _increment(setting, value, count > 0)
    return setting.type(min(max(value, low), high))


def _increment(setting: Setting, value: float, up: bool) -> float:
    if setting.type is int:
        return _increment_integer(value, up)
    low, high = bounds(setting)
    if setting.log:
        return _increment_on_series(value, up, _first_notch(low, high), low)
    limit = math.ceil(high)
    finest = max(limit - high, 1e-5 * limit)
    rest = _increment_on_series(limit - value, not up, finest, limit - high)
    return round(limit - rest, 9)


def _increment_integer(value: float, up: bool) -> float:
    """Return ``value`` plus or minus one unit of its second digit: 8 to 9, 200 to 210, 1,000 to 990."""
    below = abs(value) - (0 if up else 1)  # the decrement from 1,000 is 10
    size = 10 ** max(0, int(math.log10(below)) - 1) if below >= 1 else 1
    return value + (size if up else -size)


def _increment_on_series(value: float, up: bool, first: float, low: float) -> float:
    """Return the next or the previous notch of ``value``, in a series from ``first`` on, with ``low`` below it."""
    if up:
        return first if value < first * (1 - _SAME) else _next_notch(value)
    return low if value <= first * (1 + _SAME) else _previous_notch(value)


def _first_notch(low: float, high: float) -> float:
    return low if low > 0 else high * 10.0**-DECADES


def _series(value: float) -> List[float]:
    exponent = math.floor(math.log10(value))
    return [float(f"{m}e{e}") for e in range(exponent - 1, exponent + 2) for m in _MANTISSAS]


def _next_notch(value: float) -> float:
    return next(notch for notch in _series(value) if notch > value * (1 + _SAME))


def _previous_notch(value: float) -> float:
    return next(notch for notch in reversed(_series(value)) if notch < value * (1 - _SAME))
