"""The stretch of the run that the evolution plots show: all of it, its newest part, or what the user looks at."""

from typing import Optional

#: Fewer steps (or seconds) than these are not shown.
_LEAST = {"step": 8.0, "seconds": 0.05}
#: What is shown of a run that has just begun.
_FIRST = {"step": 50.0, "seconds": 1.0}
#: The right edge moves in jumps of this share, so that the picture stands still in between.
_JUMP_ALL, _JUMP_SPAN = 0.15, 0.1


class TimeAxis:
    """The common x axis.

    Attributes
    ----------
    unit : str
        ``step`` or ``seconds``; all numbers here are in it.
    low, high : float
        What is shown.
    follow : bool
        The newest step stays in view.
    span : float or None
        While following: how much is shown; None shows the whole run.
    """

    def __init__(self, unit: str = "step"):
        self.unit = unit
        self.begin = self.newest = 0.0
        self.reset()

    def reset(self) -> None:
        """Follow a run, all of it."""
        self.follow: bool = True
        self.span: Optional[float] = None
        self.low, self.high = self.begin, self.begin + _FIRST[self.unit]

    @property
    def width(self) -> float:
        return self.high - self.low

    def update(self, begin: float, newest: float) -> None:
        """The run has rows from ``begin`` to ``newest`` now."""
        went_back = newest < self.newest
        self.begin, self.newest = begin, newest
        if not self.follow:
            return
        if self.span is None:
            self.low = begin
            length = max(newest - begin, 1e-9)
            if newest > self.high or went_back or self.high - begin > 3 * max(length, _FIRST[self.unit]):
                self.high = begin + max(length * (1 + _JUMP_ALL), _FIRST[self.unit])
        elif newest > self.high or newest < self.high - self.span * 2 * _JUMP_SPAN or self.width != self.span:
            self.high = newest + self.span * _JUMP_SPAN
            self.low = self.high - self.span

    def look_at(self, low: float, high: float) -> None:
        """Show ``low`` to ``high`` and stay there."""
        self.follow = False
        self._set(low, high)

    def pan(self, distance: float) -> None:
        """Move what is shown to the right; the run is not followed any more."""
        # At least a quarter of what is shown stays part of the run.
        distance = min(
            max(distance, self.begin - self.low - 0.75 * self.width), self.newest - self.high + 0.75 * self.width
        )
        self.follow = False
        self.low, self.high = self.low + distance, self.high + distance

    def zoom(self, factor: float, at: float) -> None:
        """Show ``factor`` times as much, around ``at``; while following, the newest part."""
        if self.follow:
            if self.width * factor >= (self.newest - self.begin) * (1 + _JUMP_ALL):
                self.follow_all()
                return
            self.span = max(self.width * factor, _LEAST[self.unit])
            self.update(self.begin, self.newest)
            return
        self._set(at - (at - self.low) * factor, at + (self.high - at) * factor)

    def follow_newest(self) -> None:
        """Follow again, with as much in view as there is now."""
        if not self.follow:
            whole = self.width >= self.newest - self.begin
            self.follow, self.span = True, None if whole else self.width
        self.update(self.begin, self.newest)

    def follow_all(self) -> None:
        """Show the whole run, and follow it."""
        self.reset()
        self.update(self.begin, self.newest)

    def centre(self, x: float) -> None:
        """Bring ``x`` into the middle; closer, where the whole run is shown."""
        width = self.width
        if width >= 0.8 * (self.newest - self.begin):
            width = max(0.2 * (self.newest - self.begin), 2 * _FIRST[self.unit])
        self.look_at(x - width / 2, x + width / 2)

    def _set(self, low: float, high: float) -> None:
        longest = 4 * max(self.newest - self.begin, _FIRST[self.unit])
        width = min(max(high - low, _LEAST[self.unit]), longest)
        middle = (low + high) / 2
        self.low, self.high = middle - width / 2, middle + width / 2
