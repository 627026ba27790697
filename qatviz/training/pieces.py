"""Pieces of work on held-out examples, between which training continues."""

import time
from typing import Generic, Iterator, Optional, TypeVar

from qatviz.network.graph import Network

#: Limits of one piece of an evaluation, in examples and in multiply-accumulates. They bound the time until a command is
#: executed to that of some training steps, or a third of a second for a large network.
LARGEST_PIECE, _PIECE_MACS = 128, 2 * 10**9

_Result = TypeVar("_Result")


def piece_size(network: Network) -> int:
    """Return the number of examples evaluated at a time, which depends on the network only."""
    return max(1, min(LARGEST_PIECE, _PIECE_MACS // max(network.macs, 1)))


class PiecewiseJob(Generic[_Result]):
    """Computation of a result in pieces; subclasses implement :meth:`_compute`.

    Attributes
    ----------
    num_pieces, pieces_done : int
    seconds : float
        Time that the pieces done have taken.
    """

    def __init__(self, num_pieces: int):
        self.num_pieces, self.pieces_done, self.seconds = num_pieces, 0, 0.0
        self._result: Optional[_Result] = None
        self._pieces = self._compute()

    def advance(self) -> Optional[_Result]:
        """Compute a piece; return the result that it completes, as the last one does, otherwise None."""
        started, self._result = time.perf_counter(), None
        next(self._pieces)
        self.pieces_done += 1
        self.seconds += time.perf_counter() - started
        return self._result

    def _compute(self) -> Iterator[None]:
        """Yield after each piece; ``_result`` is set by the last one, and by others that complete something, too."""
        raise NotImplementedError
