"""Numbers and settings in words."""

import time
from typing import Optional

import numpy as np

from qatviz.number_format import UNKNOWN


def decibels(value: Optional[float]) -> str:
    """``31.4 dB``, or ``exact`` where there is no error."""
    if value == np.inf:
        return "exact"
    return UNKNOWN if value is None or not np.isfinite(value) else f"{value:.1f} dB"


def date(unix: Optional[float]) -> str:
    """Day, time and zone of where the report is written."""
    if unix is None:
        return UNKNOWN
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(unix))
    except (OverflowError, ValueError, OSError, TypeError):  # not a time that a calendar has
        return UNKNOWN


def duration(seconds: float) -> str:
    """``35 s``, ``4 min 10 s``, ``2 h 05 min``."""
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 9.5 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else "{} h {:02d} min".format(*divmod(minutes, 60))
