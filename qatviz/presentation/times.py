"""Dates and durations as text."""

import time
from typing import Optional

from qatviz.number_format import UNKNOWN


def date(unix: Optional[float]) -> str:
    """Return date, time and UTC offset in the local time zone; `UNKNOWN` for an invalid time."""
    if unix is None:
        return UNKNOWN
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(unix))
    except (OverflowError, ValueError, OSError, TypeError):  # out of range
        return UNKNOWN


def duration(seconds: float) -> str:
    """Return a duration as text, such as ``35 s``, ``4 min 10 s`` or ``2 h 05 min``."""
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 9.5 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else "{} h {:02d} min".format(*divmod(minutes, 60))


def date_time(unix: Optional[float]) -> str:
    """Return date and time to the minute in the local time zone, for tables; `UNKNOWN` for an invalid time."""
    return date(unix)[: len("2020-01-01 00:00")]
