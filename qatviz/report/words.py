"""Numbers and settings in words."""

import time
from typing import Optional

import numpy as np

_UNKNOWN = "–"
#: The sign, as wide as a plus.
MINUS = "−"


def percent(share: Optional[float]) -> str:
    """A share in percent, in few digits; nothing at all is 0, and the rest never looks like it."""
    if share is None or not np.isfinite(share):
        return _UNKNOWN
    value = 100 * share
    if value == 0:
        return "0 %"
    return "<0.01 %" if value < 0.01 else "{:.2f} %".format(value) if value < 10 else "{:.1f} %".format(value)


def most_percent(share: Optional[float]) -> str:
    """A share that is all or nearly all: what is not all never looks like it."""
    if share is None or not np.isfinite(share):
        return _UNKNOWN
    return "{:.2f} %".format(100 * share if share == 1 else min(100 * share, 99.99))


def decibels(value: Optional[float]) -> str:
    """``31.4 dB``, or ``exact`` where there is no error."""
    if value == np.inf:
        return "exact"
    return _UNKNOWN if value is None or not np.isfinite(value) else "{:.1f} dB".format(value)


def size(nbytes: float) -> str:
    """Bytes, kB or MB (thousands)."""
    for unit, power in (("B", 0), ("kB", 1), ("MB", 2)):
        if nbytes < 999.5 * 1000**power:
            break
    return "{:.0f} {}".format(nbytes, unit) if unit == "B" else "{:.3g} {}".format(nbytes / 1000**power, unit)


def date(unix: Optional[float]) -> str:
    """Day, time and zone of where the report is written."""
    if unix is None:
        return _UNKNOWN
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(unix))
    except (OverflowError, ValueError, OSError, TypeError):  # not a time that a calendar has
        return _UNKNOWN


def duration(seconds: float) -> str:
    """``35 s``, ``4 min 10 s``, ``2 h 05 min``."""
    if seconds < 99.5:
        return "{:.0f} s".format(seconds) if seconds >= 9.5 else "{:.1f} s".format(seconds)
    minutes, rest = divmod(int(round(seconds)), 60)
    return "{} min {:02d} s".format(minutes, rest) if minutes < 60 else "{} h {:02d} min".format(*divmod(minutes, 60))
