"""Formats of numbers in texts: percentages, sizes, counts, quantities of any magnitude.

The formats of measures (digits, unit) are in :mod:`qatviz.measures`, those of settings in :mod:`qatviz.settings`.
"""

import math
from typing import NamedTuple, Optional, Sequence

#: Text of an unknown number.
UNKNOWN = "–"
#: Largest number of names in a text; more are counted.
MOST_NAMES = 6
#: Fractions smaller than this are shown as 0: they are rounding errors of sums of squares.
_NEGLIGIBLE = 1e-9


class Quantity(NamedTuple):
    """Text of a number.

    Attributes
    ----------
    number : str
    unit : str
        Empty without a unit.
    before, after : str
        Marks of an estimate: ``≈``, and its standard error in the same unit, ``± 0.3``; empty without them.
    """

    number: str
    unit: str = ""
    before: str = ""
    after: str = ""

    @property
    def text(self) -> str:
        """All parts: ``31.4 dB``, ``≈ 38.2 dB ± 0.3``."""
        return " ".join(filter(None, (self.before, self.number, self.unit, self.after)))

    def estimated(self, error: Optional[float]) -> "Quantity":
        """Return the quantity as an estimate with its standard error in the same unit; without it if it is unknown."""
        if error is None or not math.isfinite(error):
            return self._replace(before="≈")
        return self._replace(before="≈", after=f"± {si(error, 1 if error < 0.95 else 3)}")


def plain(text: str) -> str:
    """Return the text of a number in ASCII, for terminals."""
    return text.replace(UNKNOWN, "-").replace("∞", "inf")


def si(value: Optional[float], digits: int = 3) -> str:
    """Return a number of any magnitude in few characters: 0.00123 is ``0.00123``, 12345 is ``12.3k``, 1e-6 ``1.00e-6``.

    A dash stands for None and values that are not finite.
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value == 0:
        return "0"
    size = float(f"{abs(value):.{digits - 1}e}")  # rounded: 999.9 is shown with the digits of 1000
    if 1e-3 <= size < 1e3:
        return f"{value:.{digits}g}"
    if size >= 1e3 and abs(value) < 9999.5:
        return f"{value:.0f}"
    if 1e4 <= size < 1e12:
        power = int(math.log10(size)) // 3
        return f"{value / 10 ** (3 * power):.{digits}g}{'kMG'[power - 1]}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def finite(value: Optional[float]) -> Optional[float]:
    """Return ``value`` as a float without negative zero; None if it is not finite, as JSON requires."""
    return float(value) + 0.0 if value is not None and math.isfinite(value) else None  # -0.0 + 0.0 is 0.0


def signed(value: float) -> str:
    """Return :func:`si` with a minus sign (U+2212) instead of a hyphen, for sentences and labels."""
    return with_minus(si(value))


def with_minus(text: str) -> str:
    """Return the text of a number with a minus sign (U+2212) instead of a hyphen."""
    return "−" + text[1:] if text.startswith("-") else text


def count(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: ``1 tensor``, ``1,200 tensors``; ``many`` is an irregular plural."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def sampled(text: str, sample: Optional[int]) -> str:
    """Return a number of values, with the size of the sample in which they were counted, unless it is None.

    Examples: ``12 values``, ``12 of a sample of 40,192 values``.
    """
    return f"{text} values" if sample is None else f"{text} of a sample of {sample:,} values"


def percent_text(fraction: Optional[float]) -> str:
    """Return :func:`percentage` with its unit."""
    return percentage(fraction).text


def percentage(fraction: Optional[float]) -> Quantity:
    """Return a fraction as a percentage of three digits: ``0 %``, ``<0.01 %``, ``0.12 %``, ``1.23 %``, ``12.3 %``.

    Only 0 and rounding errors are ``0 %``.
    """
    if fraction is None or not math.isfinite(fraction):
        return Quantity(UNKNOWN)
    value = 100 * fraction
    if abs(fraction) < _NEGLIGIBLE:
        return Quantity("0", "%")
    return Quantity("<0.01" if 0 < value < 0.01 else f"{value:.2f}" if value < 9.995 else f"{value:.1f}", "%")


def share_text(fraction: Optional[float]) -> str:
    """Return a fraction close to 1 as a percentage of two decimals; only a fraction of 1 is ``100.00 %``."""
    if fraction is None or not math.isfinite(fraction):
        return UNKNOWN
    return f"{100 * fraction if fraction == 1 else min(100 * fraction, 99.99):.2f} %"


def bytes_text(size: Optional[float]) -> str:
    """Return :func:`byte_size` with its unit."""
    return byte_size(size).text


def byte_size(size: Optional[float]) -> Quantity:
    """Return a size in three digits, with units of thousands: ``400 B``, ``12.3 kB``, ``1.23 MB``."""
    if size is None or not math.isfinite(size):
        return Quantity(UNKNOWN)
    if size < 999.5:
        return Quantity(f"{size:.0f}", "B")
    for unit, factor in (("kB", 1e3), ("MB", 1e6)):
        if size < 999.5 * factor:
            return Quantity(f"{size / factor:.3g}", unit)
    return Quantity(f"{size / 1e9:.3g}" if size < 999.5e9 else f"{size / 1e9:,.0f}", "GB")


def duration_text(seconds: Optional[float]) -> str:
    """Return a short time in three digits: ``450 µs``, ``12.3 ms``, ``1.23 s``."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    for unit, factor in (("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 999.5 * factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds < 999.5 else f"{seconds:,.0f} s"


def names_text(names: Sequence[str]) -> str:
    """Return a list of the distinct names, at most :data:`MOST_NAMES` of them: ``conv1, conv2 and 3 more``."""
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape: ``28×28×1``."""
    return "×".join(map(str, shape))
