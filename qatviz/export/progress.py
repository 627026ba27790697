"""How far an export is, and whether it is still wanted."""

from typing import Callable, Optional

from qatviz.errors import QatvizError


class Cancelled(QatvizError):
    """The user did not want it any more; nothing was written."""


class Progress:
    """Told by those who work, heard by those who wait; on the working thread.

    Parameters
    ----------
    on_progress : callable (str, float), optional
        Told what is being done, and the share of all that is done, 0 to 1.
    is_cancelled : callable () -> bool, optional
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

    def at(self, what: str, share: float) -> None:
        """Say what is being done and how far it is, 0 to 1.

        Raises
        ------
        Cancelled
        """
        if self._is_cancelled is not None and self._is_cancelled():
            raise Cancelled("cancelled: nothing was written")
        if self._on_progress is not None:
            self._on_progress(what, self._low + (self._high - self._low) * share)

    def part(self, low: float, high: float) -> "Progress":
        """For a piece of the work that takes it from ``low`` to ``high``."""
        span = self._high - self._low
        return Progress(self._on_progress, self._is_cancelled, self._low + span * low, self._low + span * high)
