"""Where the ticks of an axis are, and what is written next to them."""

import itertools
import math
from typing import Iterator, List, Tuple

import numpy as np

from qatviz.number_format import si

_MULTIPLES = (1.0, 2.0, 5.0)

Tick = Tuple[float, str]


def linear_ticks(low: float, high: float, at_most: int, minus: str = "-") -> List[Tick]:
    """Positions and texts: as many multiples of 1, 2 or 5 times a power of ten as fit; ``minus`` is the sign."""
    for step in _steps((high - low) / (max(at_most, 1) + 1)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < max(at_most, 1):
            break
    largest = max(abs(low), abs(high))
    return [(i * step, _text(i * step, step, largest, minus)) for i in range(first, last + 1)]


def log_ticks(low: float, high: float, at_most: int) -> List[Tick]:
    """Ticks of an axis that shows powers of ten: ``low`` and ``high``, and the positions, are exponents."""
    at_most = max(at_most, 1)
    for stride in itertools.count(max(1, math.floor((high - low) / at_most))):
        powers = range(math.ceil(low / stride) * stride, math.floor(high) + 1, stride)
        if len(powers) <= at_most:
            break
    if len(powers) >= 2:
        return [(float(i), _short(10.0**i)) for i in powers]
    for steps in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
        values = [s * 10.0**e for e in range(math.floor(low), math.ceil(high) + 1) for s in steps]
        found = [v for v in values if low <= math.log10(v) <= high]
        if len(found) >= 2:
            every = math.ceil(len(found) / at_most)
            return [(math.log10(v), _short(v)) for v in found[::every]]
    return [(math.log10(value), text) for value, text in linear_ticks(10.0**low, 10.0**high, at_most) if value > 0]


def _steps(least: float) -> Iterator[float]:
    """Steps from about ``least`` on, ascending without an end."""
    power = 10.0 ** math.floor(math.log10(least))
    while True:
        for multiple in _MULTIPLES:
            if multiple * power >= least * (1 - 1e-9):
                yield multiple * power
        power *= 10


def _text(value: float, step: float, largest: float, minus: str) -> str:
    if abs(value) < step / 2:
        return "0"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if largest >= 10 * size:
            decimals = max(0, -math.floor(math.log10(step / size) + 1e-9))
            return f"{value / size:.{decimals}f}{unit}".replace("-", minus)
    if largest < 1e-2:
        return f"{value:.3g}".replace("e-0", "e-")
    return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}".replace("-", minus)


def _short(value: float) -> str:
    if value >= 1e4:
        return si(value)
    if value >= 0.9e-3:
        return f"{value:.4g}"
    exponent = math.floor(math.log10(value) + 1e-9)
    return f"{value / 10.0**exponent:.2g}e{exponent}"


def exponents(values: np.ndarray) -> np.ndarray:
    """Positions of ``values`` on an axis of powers of ten: minus infinity for 0, NaN for what is below."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(values)
