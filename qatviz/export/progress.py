"""Progress and cancellation of an export or another computation."""

from typing import Callable, Optional

from qatviz.errors import QatvizError


class Cancelled(QatvizError):
    """The user has cancelled an export or another computation; nothing was written."""


class Progress:
    """Reporter of progress that raises :class:`Cancelled` once the user cancels; callbacks run on the working thread.

    Parameters
    ----------
    on_progress : callable (str, float), optional
        Called with the current activity and the fraction of the whole work that is done, 0 to 1.
    is_cancelled : callable () -> bool, optional
    low, high : float
        Fractions of the whole work at which this part of it begins and ends.
    """

    def __init__(
        self,
        on_progress: Optional[Callable[[str, float], None]] = None,
        is_cancelled: Optional[Callable[[], bool]] = None,
        low: float = 0.0,
        high: float = 1.0,
    ):
        self._on_progress, self._is_cancelled = on_progress, is_cancelled
        self._low, self._high = low, high

    def at(self, what: str, fraction: float) -> None:
        """Report the current activity and the fraction of this part that is done, 0 to 1.

        Raises
        ------
        Cancelled
        """
        self.check()
        if self._on_progress is not None:
            self._on_progress(what, self._low + (self._high - self._low) * fraction)

    def check(self) -> None:
        """Raise :class:`Cancelled` if the user has cancelled, without a report."""
        if self._is_cancelled is not None and self._is_cancelled():
            raise Cancelled("cancelled: nothing was written")

    def part(self, low: float, high: float) -> "Progress":
        """Return the progress of the part of the work from ``low`` to ``high``."""
        span = self._high - self._low
        return Progress(self._on_progress, self._is_cancelled, self._low + span * low, self._low + span * high)
