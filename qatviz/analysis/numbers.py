"""Numbers in few characters, in words."""

from typing import Optional, Sequence

import numpy as np


def si(value: Optional[float], digits: int = 3) -> str:
    """A number in few characters: 0.00123 is ``1.23e-3``, 12345 is ``12.3k``; a dash for what is no number."""
    if value is None or not np.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if 1e-3 <= size < 1e4:
        return "{:.{}g}".format(value, digits) if size < 1000 else "{:.0f}".format(value)
    if 1e4 <= size < 1e12:
        power = int(np.log10(size)) // 3
        return "{:.{}g}{}".format(value / 10**(3 * power), digits, "kMGT"[power - 1])
    mantissa, exponent = "{:.{}e}".format(value, digits - 1).split("e")
    return "{}e{}".format(mantissa, int(exponent))


def count(number: int, one: str, many: str = "") -> str:
    """``1 tensor``, ``1,200 tensors``."""
    return "{:,} {}".format(number, one if number == 1 else many or one + "s")


def shape_text(shape: Sequence[int]) -> str:
    """``28×28×1``"""
    return "×".join(map(str, shape))
