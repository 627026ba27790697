"""Numbers in few characters, in words."""

from typing import Optional, Sequence

import numpy as np

#: What stands for a number that there is not.
UNKNOWN = "–"


def si(value: Optional[float], digits: int = 3) -> str:
    """A number in few characters: 0.00123 is ``1.23e-3``, 12345 is ``12.3k``; a dash for what is no number."""
    if value is None or not np.isfinite(value):
        return UNKNOWN
    if value == 0:
        return "0"
    size = abs(value)
    if 1e-3 <= size < 1e4:
        return f"{value:.{digits}g}" if size < 1000 else f"{value:.0f}"
    if 1e4 <= size < 1e12:
        power = int(np.log10(size)) // 3
        return f"{value / 10 ** (3 * power):.{digits}g}{'kMGT'[power - 1]}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def count(number: int, one: str, many: str = "") -> str:
    """``1 tensor``, ``1,200 tensors``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def percent_text(share: Optional[float]) -> str:
    """A share in percent, in few digits; nothing at all is 0, and the rest never looks like it."""
    if share is None or not np.isfinite(share):
        return UNKNOWN
    value = 100 * share
    if value == 0:
        return "0 %"
    return "<0.01 %" if value < 0.01 else f"{value:.2f} %" if value < 10 else f"{value:.1f} %"


def share_text(share: Optional[float]) -> str:
    """A share that is all or nearly all, in percent: what is not all never looks like it."""
    if share is None or not np.isfinite(share):
        return UNKNOWN
    return f"{100 * share if share == 1 else min(100 * share, 99.99):.2f} %"


def bytes_text(size: float) -> str:
    """Bytes, kB or MB (thousands)."""
    if size < 999.5:
        return f"{size:.0f} B"
    return f"{size / 1e3:.3g} kB" if size < 999.5e3 else f"{size / 1e6:.3g} MB"


def names_text(names: Sequence[str], most: int = 6) -> str:
    """Each once, the first few of many: ``conv1, conv2 and 3 more``."""
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def shape_text(shape: Sequence[int]) -> str:
    """``28×28×1``"""
    return "×".join(map(str, shape))
