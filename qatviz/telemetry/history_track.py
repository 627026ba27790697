"""Storage of one track of a history: recent rows individually, older ones in buckets. Not thread-safe."""

from typing import List, NamedTuple, Optional, Tuple

import numpy as np

#: Initial number of buckets; the arrays double when they are full, so that a short run costs little.
_FIRST_ALLOCATION = 256
#: Number of series merged at a time: keeps the temporary arrays of a merge near 1 MB.
_SERIES_AT_ONCE = 16

#: Fields of an empty `qatviz.telemetry.history.Series`.
NO_COLUMNS = (*np.empty((2, 0), np.int64), *np.empty((3, 0), np.float32), np.empty(0, np.int32))


class Table(NamedTuple):
    """Rows of several series on one step axis: ``n`` buckets, then ``m`` single rows.

    Buckets are stored as ``[series, bucket]``, because they are read one series at a time; single rows as ``[row,
    series]``, because they arrive one row at a time.

    Attributes
    ----------
    first, last : np.ndarray
        int64 ``[n]``: steps of the first and last row of each bucket.
    last_position : np.ndarray
        int64 ``[n]``: position of the last row, see :class:`qatviz.protocol.branches.BranchPoint`.
    minimum, maximum, mean : np.ndarray
        float32 ``[series, n]``.
    count : np.ndarray
        int32 ``[series, n]``.
    steps, positions : np.ndarray
        int64 ``[m]``.
    rows : np.ndarray
        float32 ``[m, series]``.
    """

    first: np.ndarray
    last: np.ndarray
    last_position: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    mean: np.ndarray
    count: np.ndarray
    steps: np.ndarray
    positions: np.ndarray
    rows: np.ndarray

    @property
    def end(self) -> Optional[int]:
        """Last step; None if the table is empty."""
        if len(self.steps):
            return int(self.steps[-1])
        return int(self.last[-1]) if len(self.last) else None

    def part(self, n_buckets: int, n_rows: int) -> "Table":
        """Return views of the first ``n_buckets`` buckets and the first ``n_rows`` single rows."""
        return Table(*(array[..., :n_buckets] for array in self[:7]), *(array[:n_rows] for array in self[7:]))

    def read(self, column: int, start: Optional[int], stop: Optional[int]) -> List[Tuple[np.ndarray, ...]]:
        """Return one series: the buckets and the single rows that overlap the steps ``start`` to ``stop``."""
        first, last, steps = self.first, self.last, self.steps
        b0 = 0 if start is None else int(np.searchsorted(last, start, side="left"))
        b1 = len(first) if stop is None else int(np.searchsorted(first, stop, side="right"))
        r0 = 0 if start is None else int(np.searchsorted(steps, start, side="left"))
        r1 = len(steps) if stop is None else int(np.searchsorted(steps, stop, side="right"))
        parts: List[Tuple[np.ndarray, ...]] = []
        if b0 < b1:
            statistics = (array[column, b0:b1] for array in (self.minimum, self.maximum, self.mean, self.count))
            parts.append((first[b0:b1], last[b0:b1], *statistics))
        if r0 < r1:
            row = self.rows[r0:r1, column]
            parts.append((steps[r0:r1], steps[r0:r1], row, row, row, (~np.isnan(row)).astype(np.int32)))
        return parts

    def around(self, start: int, stop: int) -> Tuple[Optional[int], Optional[int]]:
        """Return the last step before ``start`` and the first after ``stop``; None where there is none."""
        befores, afters = [], []
        for first, last in ((self.first, self.last), (self.steps, self.steps)):
            befores += last[: np.searchsorted(last, start, side="left")][-1:].tolist()
            afters += first[np.searchsorted(first, stop, side="right") :][:1].tolist()
        return max(befores, default=None), min(afters, default=None)


class Track:
    """Growing table of ``width`` series; see `qatviz.telemetry.history.History`.

    Bucket ``i`` covers the rows with the ordinals ``i << shift`` to ``((i + 1) << shift) - 1``; the last bucket may be
    incomplete.

    Parameters
    ----------
    width : int
    capacity : int
        Largest number of buckets, even.
    recent : int
        Number of rows that are folded into buckets at once; as many, or up to twice as many, are stored individually.
    """

    def __init__(self, width: int, capacity: int, recent: int):
        self._capacity = capacity
        self._fold_rows = recent
        self._shift = 0
        self._n_folded = 0  # ordinal of the next row to be folded
        self._n_buckets = 0
        allocated = min(capacity, _FIRST_ALLOCATION)
        self._first = np.empty(allocated, np.int64)
        self._last = np.empty(allocated, np.int64)
        self._last_position = np.empty(allocated, np.int64)
        self._minimum = np.empty((width, allocated), np.float32)
        self._maximum = np.empty((width, allocated), np.float32)
        self._mean = np.empty((width, allocated), np.float32)
        self._count = np.empty((width, allocated), np.int32)
        self._n_rows = 0
        self._steps = np.empty(2 * recent, np.int64)
        self._positions = np.empty(2 * recent, np.int64)
        self._rows = np.empty((2 * recent, width), np.float32)
        self._row_shape = (width,)

    @property
    def nbytes(self) -> int:
        """Total size of all arrays in bytes, including unused parts."""
        return sum(array.nbytes for array in self._arrays())

    @property
    def stride(self) -> int:
        """Number of rows in a bucket."""
        return 1 << self._shift

    @property
    def last_step(self) -> Optional[int]:
        """Step of the newest row, which is never in a bucket; None if there is none."""
        return int(self._steps[self._n_rows - 1]) if self._n_rows else None

    def table(self) -> Table:
        """Return views of the used parts of the arrays."""
        return Table(*self._arrays()).part(self._n_buckets, self._n_rows)

    def append(self, step: int, position: int, values: np.ndarray) -> None:
        """Add a row, whose step must not be before the newest one."""
        if self._n_rows == len(self._steps):
            self._fold()
        self._steps[self._n_rows] = step
        self._positions[self._n_rows] = position
        self._rows[self._n_rows] = values
        self._n_rows += 1

    def extend(self, steps: np.ndarray, values: np.ndarray) -> None:
        """Add many rows; their positions are 0."""
        done = 0
        while done < len(steps):
            if self._n_rows == len(self._steps):
                self._fold()
            n = min(len(steps) - done, len(self._steps) - self._n_rows)
            added = slice(self._n_rows, self._n_rows + n)
            self._steps[added], self._positions[added] = steps[done : done + n], 0
            self._rows[added] = values[done : done + n]
            self._n_rows += n
            done += n

    def _arrays(self) -> Tuple[np.ndarray, ...]:
        buckets = (self._first, self._last, self._last_position)
        return (
            *buckets,
            self._minimum,
            self._maximum,
            self._mean,
            self._count,
            self._steps,
            self._positions,
            self._rows,
        )

    def _fold(self) -> None:
        """Move the older half of the single rows into buckets."""
        n = self._fold_rows
        while ((self._n_folded + n - 1) >> self._shift) >= self._capacity:
            self._merge_neighbours()
        self._reserve(((self._n_folded + n - 1) >> self._shift) + 1)
        self._fold_into_buckets(self._steps[:n], self._positions[:n], self._rows[:n])
        self._n_folded += n
        self._n_rows -= n
        for array in (self._steps, self._positions, self._rows):
            array[: self._n_rows] = array[n : n + self._n_rows]

    def _fold_into_buckets(self, steps: np.ndarray, positions: np.ndarray, rows: np.ndarray) -> None:
        """Add rows to the buckets of their ordinals, which start at ``_n_folded``."""
        ids = np.arange(self._n_folded, self._n_folded + len(steps)) >> self._shift
        begins = np.concatenate([[0], np.flatnonzero(np.diff(ids)) + 1])
        ends = np.concatenate([begins[1:], [len(steps)]])
        minimum, maximum, mean, count = summarize(rows, begins, ends)
        is_open = bool(ids[0] < self._n_buckets)
        target = slice(int(ids[0]), int(ids[0]) + len(begins))
        if is_open:  # the first group continues the last bucket
            i = target.start
            with np.errstate(invalid="ignore", over="ignore"):
                sums = _sums(mean[:, 0], count[:, 0]) + _sums(self._mean[:, i], self._count[:, i])
                count[:, 0] += self._count[:, i]
                mean[:, 0] = _divide(sums, count[:, 0])
                minimum[:, 0] = np.fmin(minimum[:, 0], self._minimum[:, i])
                maximum[:, 0] = np.fmax(maximum[:, 0], self._maximum[:, i])
        self._minimum[:, target], self._maximum[:, target] = minimum, maximum
        self._mean[:, target], self._count[:, target] = mean, count
        self._last[target], self._last_position[target] = steps[ends - 1], positions[ends - 1]
        self._first[target.start + is_open : target.stop] = steps[begins[int(is_open) :]]
        self._n_buckets = target.stop

    def _merge_neighbours(self) -> None:
        """Merge buckets 2i and 2i + 1, which makes every bucket twice as long; an odd last one stays open."""
        self._n_buckets = merge_neighbours(self.table())
        self._shift += 1

    def _reserve(self, n_buckets: int) -> None:
        allocated = len(self._first)
        if n_buckets <= allocated:
            return
        while allocated < n_buckets:
            allocated = min(2 * allocated, self._capacity)
        n = self._n_buckets
        for name in ("_first", "_last", "_last_position", "_minimum", "_maximum", "_mean", "_count"):
            old = getattr(self, name)
            new = np.empty((*old.shape[:-1], allocated), old.dtype)
            new[..., :n] = old[..., :n]
            setattr(self, name, new)


def summarize(rows: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> Tuple[np.ndarray, ...]:
    """Return minimum, maximum, mean (float32 ``[series, n]``) and count (int32) of the rows of ``n`` buckets.

    ``rows`` are float32 ``[row, series]``; NaNs are ignored.
    """
    absent = np.isnan(rows)
    count = np.repeat((ends - begins).astype(np.int32)[:, np.newaxis], rows.shape[1], axis=1)
    present_rows = rows
    # inf - inf makes the mean NaN, as it should be; minimum and maximum are infinite.
    with np.errstate(invalid="ignore", over="ignore"):
        if absent.any():
            count -= _reduce_groups(np.add, absent, begins, np.int32)
            present_rows = np.where(absent, np.float32(0), rows)
        sums = _reduce_groups(np.add, present_rows, begins, np.float64)
        minimum = _reduce_groups(np.fmin, rows, begins, np.float32)
        maximum = _reduce_groups(np.fmax, rows, begins, np.float32)
        return minimum.T, maximum.T, _divide(sums, count).T, count.T


def merge_neighbours(table: Table) -> int:
    """Merge the buckets 2i and 2i + 1 of ``table`` in place, into its first ones; return their number.

    An odd last bucket is unchanged.
    """
    count = len(table.first)
    n = (count + 1) // 2
    with np.errstate(invalid="ignore", over="ignore"):
        for begin in range(0, len(table.count), _SERIES_AT_ONCE):
            some = slice(begin, begin + _SERIES_AT_ONCE)
            sums = _merge_pairs(_sums(table.mean[some], table.count[some]), np.add)
            for array, merge in ((table.minimum, np.fmin), (table.maximum, np.fmax), (table.count, np.add)):
                array[some, :n] = _merge_pairs(array[some], merge)
            table.mean[some, :n] = _divide(sums, table.count[some, :n])
    table.first[:n] = table.first[::2].copy()
    table.last[:n] = _merge_pairs(table.last, np.maximum)
    table.last_position[:n] = table.last_position[np.minimum(2 * np.arange(n) + 1, count - 1)]
    return n


def _sums(mean: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.where(count > 0, mean * count.astype(np.float64), 0)


def _reduce_groups(reduce: np.ufunc, rows: np.ndarray, begins: np.ndarray, dtype: type) -> np.ndarray:
    """Apply ``reduce`` to the rows from each of ``begins`` to the next."""
    n_groups = len(begins)
    size = len(rows) // n_groups
    if n_groups * size == len(rows) and (begins == size * np.arange(n_groups)).all():
        # Groups of one size are the usual case; this is several times faster for short ones.
        return reduce.reduce(rows.reshape(n_groups, size, rows.shape[1]), axis=1, dtype=dtype)
    return reduce.reduceat(rows, begins, axis=0, dtype=dtype)


def _merge_pairs(array: np.ndarray, merge: np.ufunc) -> np.ndarray:
    """Apply ``merge`` to the entries 2i and 2i + 1 along the last axis; an odd last one is unchanged."""
    merged = array[..., ::2].copy()
    pairs = array.shape[-1] // 2
    merged[..., :pairs] = merge(merged[..., :pairs], array[..., 1::2])
    return merged


def _divide(sums: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return the mean as float32; NaN where the count is 0."""
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan).astype(np.float32)
