"""Rate limiters for periodic work, such as snapshots, that takes time from training."""

from collections import deque
from typing import Deque

#: Number of recent snapshots whose delays are expected of the next one, too.
_RECENT = 8


def rest_after(cost: float, share: float) -> float:
    """Return the rest after a work of duration ``cost`` that may use a fraction ``share`` of wall time."""
    return cost * (1 / share - 1)


class Pace:
    """Rate limiter for periodic work: intervals double, and the work uses at most a fraction of wall time.

    Parameters
    ----------
    now : float
        Time in seconds of any clock, like all times.
    first_s, longest_s : float
        First and longest interval.
    share : float
        Largest fraction of wall time that the work may use, 0..1.
    cost_s : float
        Known duration of the work.
    """

    def __init__(self, now: float, first_s: float, longest_s: float, share: float, cost_s: float = 0.0):
        self._first_s, self._longest_s, self._share = first_s, longest_s, share
        self._interval_s = first_s
        self._wanted, self._allowed = now + first_s, now + rest_after(cost_s, share)

    def is_due(self, now: float) -> bool:
        """Return whether the work is due."""
        return now >= self._wanted and now >= self._allowed

    def done(self, began: float, ended: float) -> None:
        """Record that the work was done, and schedule the next time."""
        self._interval_s = min(2 * self._interval_s, self._longest_s)
        self._wanted, self._allowed = ended + self._interval_s, ended + rest_after(ended - began, self._share)

    def restart(self, now: float) -> None:
        """Restart from the first interval, after a change; the limit on wall time still applies."""
        self._interval_s = self._first_s
        self._wanted = min(self._wanted, now + self._first_s)


class SnapshotPace:
    """Rate limiter for snapshots: at an interval and for a fraction of wall time, except right after a change.

    Parameters
    ----------
    now : float
        Time in seconds of any clock, like all times. The first snapshot is due at once.
    rest : float
        Time without snapshots after each, as a multiple of its duration.
    oldest_s : float
        Longest time from the end of a snapshot to that of the next one, so that the rest is shorter: by the longest
        recent time from when a snapshot is due to its end, in which a training step ends and the snapshot is taken,
        but by no more than half. Only an interval of the user can be longer.
    """

    def __init__(self, now: float, rest: float, oldest_s: float):
        self._rest, self._oldest_s = rest, oldest_s
        self._next = self._last = now
        self._cost = 0.0
        self._delays: Deque[float] = deque(maxlen=_RECENT)
        self._is_first = True

    def is_due(self, now: float) -> bool:
        """Return whether a snapshot is due."""
        return now >= self._next

    def done(self, began: float, ended: float, interval: float, rest_share: float = 1.0) -> None:
        """Record that a snapshot was taken, and schedule the next one.

        ``interval`` is the shortest time between two, ``rest_share`` the fraction of the rest that applies.
        """
        # The first snapshot takes many times as long as later ones, because TensorFlow initializes the subgraph.
        cost = 0.0 if self._is_first else ended - began
        delay = ended - min(began, self._next)
        if not self._is_first and delay < self._oldest_s:  # otherwise, the run was paused
            self._delays.append(delay)
        longest = self._oldest_s - min(max(self._delays, default=0.0), self._oldest_s / 2)
        rest = min(self._rest * rest_share * cost, longest)
        self._is_first, self._last, self._cost = False, ended, cost
        self._next = ended + max(interval, rest)

    def schedule_soon(self, interval: float = 0.0) -> None:
        """Schedule the next snapshot after a change: at once, unless the last one has just ended.

        Snapshots then use at most half of the time, however fast changes follow each other. ``interval`` is the
        shortest time between two even so.
        """
        self._next = min(self._next, self._last + max(self._cost, interval))
