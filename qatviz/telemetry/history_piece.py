"""History of an earlier branch: no rows are added to it, and it is coarsened to save memory."""

from typing import Sequence

import numpy as np

from qatviz.protocol.branches import BranchPoint
from qatviz.telemetry.history_track import Table, Track, merge_neighbours, summarize

#: Smallest number of single rows that are folded into a bucket, which uses the memory of four rows.
_ROWS_FOLDED = 8


class Piece:
    """Buckets and single rows of a branch.

    Parameters
    ----------
    table : Table
        Copies, which the piece owns.
    stride : int
        Number of rows in a bucket.
    """

    def __init__(self, table: Table, stride: int):
        self._table, self._stride = table, stride

    @property
    def nbytes(self) -> int:
        """Total size of all arrays in bytes."""
        return sum(array.nbytes for array in self._table)

    @property
    def stride(self) -> int:
        """Number of rows of the buckets that :meth:`coarsen` merges next."""
        return 1 if self._folding_pays() else self._stride

    @property
    def can_coarsen(self) -> bool:
        """True if :meth:`coarsen` saves memory."""
        return self._folding_pays() or len(self._table.first) > 1

    def coarsen(self) -> None:
        """Fold the single rows into buckets; if there are none (or too few), merge neighbouring buckets."""
        if self._folding_pays():
            self._stride = max(self._stride, _ROWS_FOLDED)
            self._table = _with_rows_folded(self._table, self._stride)
        else:
            self._stride *= 2
            n = merge_neighbours(self._table)
            self._table = _copy(self._table.part(n, len(self._table.steps)))

    @classmethod
    def of(cls, track: Track) -> "Piece":
        """Return a piece with a copy of a track's content."""
        return cls(_copy(track.table()), track.stride)

    def part_up_to(self, limit: BranchPoint) -> Table:
        """Return views of the rows up to the state ``limit``.

        A bucket that straddles the state is omitted, because its values cannot be separated.
        """
        table = self._table
        n_buckets = _count_up_to(table.last, table.last_position, limit)
        return table.part(n_buckets, _count_up_to(table.steps, table.positions, limit))

    def joined(self, limit: BranchPoint, later: "Piece") -> "Piece":
        """Return a piece of buckets with the rows up to the state ``limit``, followed by all of ``later``."""
        tables = [_with_rows_folded(table, 1) for table in (self.part_up_to(limit), later._table)]
        columns = [np.concatenate(arrays, axis=-1) for arrays in zip(*(table[:7] for table in tables))]
        return Piece(Table(*columns, *_none(tables[0])), max(self._stride, later._stride))

    def _folding_pays(self) -> bool:
        rows, per_bucket = len(self._table.steps), max(self._stride, _ROWS_FOLDED)
        return 4 * -(-rows // per_bucket) < rows  # a bucket has four numbers for each series


def _copy(table: Table) -> Table:
    return Table(*(array.copy() for array in table))


def _count_up_to(steps: np.ndarray, positions: np.ndarray, limit: BranchPoint) -> int:
    """Return the number of rows up to a state; the rows are given by their steps and positions, in ascending order."""
    begin, end = (int(np.searchsorted(steps, limit.step, side=side)) for side in ("left", "right"))
    if limit.position is None:
        return end
    return begin + int(np.searchsorted(positions[begin:end], limit.position, side="right"))


def _with_rows_folded(table: Table, stride: int) -> Table:
    """Return the same rows, with the single ones in further buckets of ``stride`` rows."""
    n = len(table.steps)
    if not n:
        return table
    begins = np.arange(0, n, stride)
    ends = np.append(begins[1:], n)
    minimum, maximum, mean, count = summarize(table.rows, begins, ends)
    return Table(
        np.concatenate([table.first, table.steps[begins]]),
        np.concatenate([table.last, table.steps[ends - 1]]),
        np.concatenate([table.last_position, table.positions[ends - 1]]),
        np.concatenate([table.minimum, minimum], axis=1),
        np.concatenate([table.maximum, maximum], axis=1),
        np.concatenate([table.mean, mean], axis=1),
        np.concatenate([table.count, count], axis=1),
        *_none(table),
    )


def _none(table: Table) -> Sequence[np.ndarray]:
    """Return empty copies of a table's arrays of single rows; views would keep the rows in memory."""
    return [array[:0].copy() for array in (table.steps, table.positions, table.rows)]
