"""Values that controls derive from a setting's declaration: default, increments of an arrow, notches of a slider.

Numbers on a logarithmic scale move on the 1-2-5 series. So do the distances of shares (averages' decays, percentiles)
from their upper end, where the difference is: 0.9, 0.95, 0.98, 0.99.
"""

import math
from typing import Any, List, Tuple

from qatviz.settings import QUANTIZER_SETTINGS, Setting, quantizer_settings

#: Integers get a slider beside the box if they have at most this many values.
MOST_NOTCHES = 32
#: On a logarithmic scale that starts at 0, the first notch above 0 is this many decades below the upper bound.
DECADES = 8
_MANTISSAS = (1, 2, 5)
#: Relative difference below which two numbers are the same notch.
_SAME = 1e-9


def default_of(setting: Setting, kind: str = "") -> Any:
    """Return the setting's default, which may depend on the ``kind`` of tensor."""
    if kind and QUANTIZER_SETTINGS.get(setting.name) is setting:
        return getattr(quantizer_settings(kind), setting.name)
    return setting.default


def bounds(setting: Setting) -> Tuple[float, float]:
    """Return the smallest and the largest allowed value of a setting that is a number."""
    assert setting.low is not None, f"{setting.name} is edited in a box: it needs bounds"
    assert setting.high is not None, f"{setting.name} is edited in a box: it needs bounds"
    return setting.low, setting.high


def notches(setting: Setting) -> List[float]:
    """Return the values of a slider for the setting, ascending; empty if it gets no slider."""
    if setting.type not in (int, float):
        return []
    low, high = bounds(setting)
    if setting.type is int:
        return list(range(int(low), int(high) + 1)) if high - low < MOST_NOTCHES else []
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


def stepped(setting: Setting, value: float, count: int) -> Any:
    """Return ``value`` moved by ``count`` arrow increments (negative: down), clamped to the bounds."""
    low, high = bounds(setting)
    for _ in range(abs(count)):
        value = _step(setting, value, count > 0)
    return setting.type(min(max(value, low), high))


def _step(setting: Setting, value: float, up: bool) -> float:
    if setting.type is int:
        return _step_whole(value, up)
    low, high = bounds(setting)
    if setting.log:
        return _step_on_series(value, up, _first_notch(low, high), low)
    limit = math.ceil(high)
    finest = max(limit - high, 1e-5 * limit)
    rest = _step_on_series(limit - value, not up, finest, limit - high)
    return round(limit - rest, 9)


def _step_whole(value: float, up: bool) -> float:
    """Move by one unit of the second digit: 8 to 9, 200 to 210, 1,000 to 990."""
    below = abs(value) - (0 if up else 1)  # the decrement from 1,000 is 10
    size = 10 ** max(0, int(math.log10(below)) - 1) if below >= 1 else 1
    return value + (size if up else -size)


def _step_on_series(value: float, up: bool, first: float, low: float) -> float:
    if up:
        return first if value < first * (1 - _SAME) else _next_notch(value)
    return low if value <= first * (1 + _SAME) else _last_notch(value)


def _first_notch(low: float, high: float) -> float:
    return low if low > 0 else high * 10.0**-DECADES


def _series(value: float) -> List[float]:
    exponent = math.floor(math.log10(value))
    return [float(f"{m}e{e}") for e in range(exponent - 1, exponent + 2) for m in _MANTISSAS]


def _next_notch(value: float) -> float:
    return next(notch for notch in _series(value) if notch > value * (1 + _SAME))


def _last_notch(value: float) -> float:
    return next(notch for notch in reversed(_series(value)) if notch < value * (1 - _SAME))
