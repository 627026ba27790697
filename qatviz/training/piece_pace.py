"""Rate limiter for the pieces of results that a run computes between training steps while it trains."""

import contextlib
import time
from typing import Callable, Iterator

from qatviz.errors import message_of
from qatviz.training.cluster_session import WorkersLost
from qatviz.training.pace import rest_after

#: Pieces use at most this fraction of wall time, and the second one while the user waits for their result.
_SHARE, _WAITED_SHARE = 1 / 50, 1 / 2


class PiecePace:
    """Rate limiter for pieces of work between training steps: they use at most a fraction of wall time."""

    def __init__(self) -> None:
        self._next = 0.0  # time of the next piece, in seconds of time.perf_counter

    def is_due(self, is_idle: bool) -> bool:
        """Return whether a piece is due. ``is_idle``: no training step waits, so that pieces follow each other."""
        return is_idle or time.perf_counter() >= self._next

    def restart(self) -> None:
        """Make a piece due at once, because the user waits for its result."""
        self._next = 0.0

    @contextlib.contextmanager
    def piece(self, is_waited_for: bool, fail: Callable[[str], None]) -> Iterator[None]:
        """Measure the piece that is computed in the context, and schedule the next one.

        Parameters
        ----------
        is_waited_for : bool
            Whether the user waits for the result.
        fail : callable
            Called with the message of an error of the piece, on which the run does not depend.

        Raises
        ------
        WorkersLost
            As raised by the piece: the run continues with all that is watched when they are back.
        """
        began = time.perf_counter()
        try:
            yield
        except WorkersLost:
            raise
        except Exception as error:
            fail(message_of(error))
        ended = time.perf_counter()
        self._next = ended + rest_after(ended - began, _WAITED_SHARE if is_waited_for else _SHARE)
