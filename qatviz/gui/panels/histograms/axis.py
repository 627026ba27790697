"""The axes of small histograms: ranges that do not jump with every snapshot, few ticks, short labels."""

from typing import List, Optional, Tuple

import numpy as np

#: A held range shrinks only when what it should show takes less than this part of it.
SHRINK_BELOW = 0.6
#: A range that has to grow gets this part of its width as room on the side that grows.
ROOM = 0.06

#: Steps between ticks, times a power of ten.
TICK_STEPS = np.array([1.0, 2.0, 2.5, 5.0, 10.0, 20.0, 25.0, 50.0])

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class HeldRange:
    """A range that grows at once, with some room to spare, and shrinks only when it is well too large."""

    def __init__(self):
        self._held: Optional[Tuple[float, float]] = None

    def hold(self, low: float, high: float) -> Tuple[float, float]:
        """The range to show so that ``low .. high`` is in it."""
        width = max(high - low, 1e-30)
        if self._held is None or width < SHRINK_BELOW * (self._held[1] - self._held[0]):
            self._held = (low - ROOM * width, high + ROOM * width)
        else:
            old_low, old_high = self._held
            self._held = (
                old_low if low >= old_low else low - ROOM * width,
                old_high if high <= old_high else high + ROOM * width,
            )
        return self._held


class HeldTop:
    """The same for an axis that starts at 0: its top is one of ``STEPS`` times a power of ten."""

    STEPS = np.array([1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0])

    def __init__(self):
        self._held = 0.0

    def hold(self, top: float) -> float:
        """The top to show so that ``top`` is not above it."""
        if top > self._held or top < SHRINK_BELOW * self._held:
            power = 10.0 ** np.floor(np.log10(max(top, 1e-12)))
            self._held = float(self.STEPS[np.searchsorted(self.STEPS, top / power - 1e-9)] * power)
        return self._held


def ticks(low: float, high: float, most: int) -> List[Tuple[float, str]]:
    """At most ``most`` ticks at round numbers in ``low .. high``, with their labels; 0 is one if it is in the range."""
    width = high - low
    if not (np.isfinite(width) and width > 0) or most < 1:
        return []
    power = 10.0 ** np.floor(np.log10(width / most))
    for step in power * TICK_STEPS:
        first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            break
    return [(k * step, label(k * step, step)) for k in np.arange(first, last + 1)]


def octave_ticks(low: float, high: float, most: int, rest_below: float) -> List[Tuple[float, str]]:
    """Ticks of an axis of log2 |value|: powers of two, and 0 for the bin at the left that holds what is below them."""
    width = high - rest_below
    step = next((s for s in (1, 2, 4, 8, 16, 32) if width / s <= max(most - 1, 1)), 64)
    first = np.ceil(rest_below / step + 0.5) * step
    found = [(float(e), "2" + str(int(e)).translate(_SUPERSCRIPTS)) for e in np.arange(first, high + 1e-9, step)]
    return [((low + rest_below) / 2, "0"), *found]


def label(value: float, step: float) -> str:
    """``value``, a multiple of ``step``, in few characters."""
    if value == 0:
        return "0"
    size = max(abs(value), step)
    if 1e-3 <= size < 1e5:
        decimals = next((d for d in range(9) if abs(step * 10**d - round(step * 10**d)) < 1e-6 * step * 10**d), 9)
        return f"{value:.{decimals}f}".replace("-", "−")
    # One digit more than the step's first, for steps like 2.5.
    digits = int(np.floor(np.log10(size)) - np.floor(np.log10(step) + 1e-9)) + 1
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}".replace("-", "−")
