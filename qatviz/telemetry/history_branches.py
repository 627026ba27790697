"""One track of a history on all branches of a run: rows that led to the current state are read as one series."""

from bisect import bisect_left
from typing import Dict, List, Optional, Tuple

import numpy as np

from qatviz.protocol.branches import BranchPath, BranchPoint
from qatviz.telemetry.history_piece import Piece
from qatviz.telemetry.history_track import NO_COLUMNS, Table, Track

#: Largest number of pieces, one for each earlier branch.
MOST_PIECES = 1024


class BranchedTrack:
    """Rows of ``width`` series on all branches: a growing track for the current one, a *piece* for each earlier one.

    All pieces together use at most as much memory as a full track. If they exceed it, those with the shortest buckets
    are coarsened first, so that all have the same resolution. If none can be coarsened, the branch that was abandoned
    first is dropped; without abandoned branches, the first two pieces are joined.

    Parameters
    ----------
    width : int
    capacity : int
        Number of buckets of the current branch.
    recent : int
        Smallest number of newest rows of the current branch that are stored individually.
    branch : int
        Current branch.
    """

    def __init__(self, width: int, capacity: int, recent: int, branch: int):
        self._width, self._capacity, self._recent = width, capacity, recent
        # Size of a full track: for each series, four 4-byte numbers per bucket and one per row; and the steps and
        # positions, of 8 bytes each.
        self._memory_limit = (16 * width + 24) * capacity + (4 * width + 16) * 2 * recent
        self._branch = branch
        self._head = Track(width, capacity, recent)
        self._pieces: Dict[int, Piece] = {}
        self._abandoned_at: Dict[int, int] = {}
        self._rewinds = 0
        #: Parts of the pieces that led to the current state, in order, and the last step of each.
        self._past: List[Table] = []
        self._past_ends: List[int] = []
        self._row_shape = (width,)

    @property
    def nbytes(self) -> int:
        """Total size of all arrays in bytes."""
        return self._head.nbytes + sum(piece.nbytes for piece in self._pieces.values())

    @property
    def last_step(self) -> Optional[int]:
        """Step of the newest row that led to the current state; None if there is none."""
        newest = self._head.last_step
        if newest is None and self._past_ends:
            return self._past_ends[-1]
        return newest

    def latest(self) -> Optional[Tuple[int, np.ndarray]]:
        """Return step and values (a copy) of the newest row; None if it is in a bucket, or there is none."""
        table = self._head.table()
        if not len(table.steps) and self._past:
            table = self._past[-1]
        return (int(table.steps[-1]), table.rows[-1].copy()) if len(table.steps) else None

    def append(self, step: int, position: int, values: np.ndarray) -> None:
        """Add a row; ValueError if it has another shape, or is before the newest."""
        if values.shape != self._row_shape:
            raise ValueError(f"values of step {step} have the shape {values.shape}, expected {self._row_shape}")
        last = self.last_step
        if last is not None and step < last:
            raise ValueError(f"step {step} is before step {last}: rewind first")
        self._head.append(step, position, values)

    def extend(self, steps: np.ndarray, values: np.ndarray) -> None:
        """Add many rows, all after the newest; ValueError as in :meth:`append`, before anything is added."""
        expected = (len(steps), *self._row_shape)
        if values.shape != expected:
            raise ValueError(f"values have the shape {values.shape}, expected {expected}")
        if not len(steps):
            return
        last = self.last_step
        if last is not None and steps[0] <= last:
            raise ValueError(f"step {steps[0]} is not after step {last}: rewind first")
        if (np.diff(steps) <= 0).any():
            raise ValueError("steps do not ascend")
        self._head.extend(steps, values)

    def rewind(self, path: BranchPath) -> None:
        """Continue on the last branch of ``path``, after the rows that led to it."""
        if self._head.last_step is not None:
            self._pieces[self._branch] = Piece.of(self._head)
            self._head = Track(self._width, self._capacity, self._recent)
        self._rewinds += 1
        known = [(branch, limit) for branch, limit in path.pieces if branch in self._pieces and limit is not None]
        on_path = {branch for branch, _ in known}
        for branch in self._pieces:
            if branch not in on_path:
                self._abandoned_at.setdefault(branch, self._rewinds)
        for branch in on_path:
            self._abandoned_at.pop(branch, None)
        self._branch = path.pieces[-1][0]
        self._save_memory(known)
        parts = [self._pieces[branch].part_up_to(limit) for branch, limit in known]
        self._past = [part for part in parts if part.end is not None]
        self._past_ends = [part.end for part in parts if part.end is not None]

    def read(self, column: int, start: Optional[int], stop: Optional[int]) -> Tuple[np.ndarray, ...]:
        """Return the part of one series that led to the current state, see `qatviz.telemetry.history.Series`.

        Only buckets that overlap the steps ``start`` to ``stop`` are returned.
        """
        if start is not None and stop is not None and stop < start:
            return NO_COLUMNS
        first = 0 if start is None else bisect_left(self._past_ends, start)
        parts = [part for table in self._past[first:] for part in table.read(column, start, stop)]
        parts += self._head.table().read(column, start, stop)
        return _without_repeated(tuple(map(np.concatenate, zip(*parts)))) if parts else NO_COLUMNS

    def around(self, start: int, stop: int) -> Tuple[Optional[int], Optional[int]]:
        """Return the last step before ``start`` and the first after ``stop`` that led to the current state."""
        found = [table.around(start, stop) for table in (*self._past, self._head.table())]
        befores = [before for before, _ in found if before is not None]
        return max(befores, default=None), min((after for _, after in found if after is not None), default=None)

    def _save_memory(self, known: List[Tuple[int, BranchPoint]]) -> None:
        """Coarsen, drop or join pieces until they fit into the limits; ``known`` are those on the path, in order."""
        pieces = self._pieces
        while len(pieces) > MOST_PIECES or sum(piece.nbytes for piece in pieces.values()) > self._memory_limit:
            coarse = [piece for piece in pieces.values() if piece.can_coarsen]
            if coarse and len(pieces) <= MOST_PIECES:
                min(coarse, key=lambda piece: (piece.stride, -piece.nbytes)).coarsen()
            elif self._abandoned_at:
                branch = min(self._abandoned_at, key=self._abandoned_at.__getitem__)
                del pieces[branch], self._abandoned_at[branch]
            elif len(known) > 1:  # all pieces led to the current state
                (first, limit), (second, _) = known[:2]
                pieces[second] = pieces[first].joined(limit, pieces[second])
                del pieces[first], known[0]
            else:
                return


def _without_repeated(columns: Tuple[np.ndarray, ...]) -> Tuple[np.ndarray, ...]:
    """Return the newest of the rows of each step; older ones are kept for a rewind to the state between them."""
    first = columns[0]
    is_repeated = first[1:] == first[:-1]
    if not is_repeated.any():
        return columns
    return tuple(column[np.append(~is_repeated, True)] for column in columns)
