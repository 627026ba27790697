"""How often to do what is worth doing often, but costs time."""


class Pace:
    """Soon at first, then at intervals that double; and never for more than a share of the time.

    Parameters
    ----------
    now : float
        Seconds, of any clock; so are all times.
    first_s, longest_s : float
        The first interval, and where they stop growing.
    share : float
        Part of the time that doing it may take, 0..1.
    cost_s : float
        What it is known to take.
    """

    def __init__(self, now: float, first_s: float, longest_s: float, share: float, cost_s: float = 0.0):
        self._first_s, self._longest_s, self._share = first_s, longest_s, share
        self._interval_s = first_s
        self._wanted, self._allowed = now + first_s, now + self._rest_after(cost_s)

    def is_due(self, now: float) -> bool:
        """Whether it is to be done."""
        return now >= self._wanted and now >= self._allowed

    def done(self, began: float, ended: float) -> None:
        """It was done just now."""
        self._interval_s = min(2 * self._interval_s, self._longest_s)
        self._wanted, self._allowed = ended + self._interval_s, ended + self._rest_after(ended - began)

    def restart(self, now: float) -> None:
        """Something has changed: be as quick as at first, as far as the share allows."""
        self._interval_s = self._first_s
        self._wanted = min(self._wanted, now + self._first_s)

    def _rest_after(self, cost_s: float) -> float:
        return cost_s * (1 / self._share - 1)


class SnapshotPace:
    """When snapshots are taken: soon after there is something new to see, otherwise at an interval and for a part of
    the time.

    Parameters
    ----------
    now : float
        Seconds, of any clock; so are all times. The first one is due.
    rest : float
        How many times as long as a snapshot takes, there is none after it.
    """

    def __init__(self, now: float, rest: float):
        self._rest = rest
        self._next = self._last = now
        self._is_first = True

    def is_due(self, now: float) -> bool:
        """Whether one is to be taken."""
        return now >= self._next

    def done(self, began: float, ended: float, interval: float, rest_share: float = 1.0) -> None:
        """One was taken; ``interval`` is the least there is between two, ``rest_share`` the part of the rest that is
        kept to.
        """
        # TensorFlow prepares the first one, for many times as long as those to come will take.
        rest = 0.0 if self._is_first else self._rest * rest_share * (ended - began)
        self._is_first, self._last = False, ended
        self._next = ended + max(interval, rest)

    def hurry(self, interval: float) -> None:
        """There is something new to see: no rest, only the interval."""
        self._next = min(self._next, self._last + interval)
