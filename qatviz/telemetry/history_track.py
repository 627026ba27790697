"""The arrays behind one track of a history: recent rows as they came, older ones in buckets. Not thread-safe."""

from typing import Optional, Tuple

import numpy as np

#: Buckets that are allocated first; the arrays double as they are used, so that a short run costs little.
_FIRST_ALLOCATION = 256
#: Series that are merged at a time: keeps the temporary arrays of a merge near 1 MB.
_SERIES_AT_ONCE = 16


class Track:
    """Rows of ``width`` series on one step axis; see `qatviz.telemetry.history.History`.

    Buckets lie ``[series, bucket]``, because they are read one series at a time; recent rows lie ``[row, series]``,
    because they arrive one row at a time. Bucket ``i`` holds the rows with the ordinals ``i << shift`` to
    ``((i + 1) << shift) - 1``, the last one perhaps only the first of these.
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
        self._minimum = np.empty((width, allocated), np.float32)
        self._maximum = np.empty((width, allocated), np.float32)
        self._mean = np.empty((width, allocated), np.float32)
        self._count = np.empty((width, allocated), np.int32)
        self.last_step: Optional[int] = None
        self._n_rows = 0
        self._steps = np.empty(2 * recent, np.int64)
        self._rows = np.empty((2 * recent, width), np.float32)
        self._row_shape = (width,)

    @property
    def nbytes(self) -> int:
        arrays = (self._first, self._last, *self._statistics(), self._steps, self._rows)
        return sum(array.nbytes for array in arrays)

    def latest(self) -> Optional[Tuple[int, np.ndarray]]:
        if not self._n_rows:
            return None
        return int(self._steps[self._n_rows - 1]), self._rows[self._n_rows - 1].copy()

    def append(self, step: int, values: np.ndarray) -> None:
        if values.shape != self._row_shape:
            raise ValueError(f"values of step {step} have the shape {values.shape}, expected {self._row_shape}")
        if self.last_step is not None and step <= self.last_step:
            raise ValueError(f"step {step} is not after step {self.last_step}: rewind first")
        if self._n_rows == len(self._steps):
            self._fold()
        self._steps[self._n_rows] = step
        self._rows[self._n_rows] = values
        self._n_rows += 1
        self.last_step = int(step)

    def extend(self, steps: np.ndarray, values: np.ndarray) -> None:
        expected = (len(steps), *self._row_shape)
        if values.shape != expected:
            raise ValueError(f"values have the shape {values.shape}, expected {expected}")
        if not len(steps):
            return
        if self.last_step is not None and steps[0] <= self.last_step:
            raise ValueError(f"step {steps[0]} is not after step {self.last_step}: rewind first")
        if (np.diff(steps) <= 0).any():
            raise ValueError("steps do not ascend")
        done = 0
        while done < len(steps):
            if self._n_rows == len(self._steps):
                self._fold()
            n = min(len(steps) - done, len(self._steps) - self._n_rows)
            self._steps[self._n_rows : self._n_rows + n] = steps[done : done + n]
            self._rows[self._n_rows : self._n_rows + n] = values[done : done + n]
            self._n_rows += n
            done += n
        self.last_step = int(steps[-1])

    def rewind(self, step: int) -> None:
        self._n_rows = int(np.searchsorted(self._steps[: self._n_rows], step, side="right"))
        if self._n_rows:
            self.last_step = int(self._steps[self._n_rows - 1])
            return
        kept = int(np.searchsorted(self._last[: self._n_buckets], step, side="right"))
        if kept < self._n_buckets:
            self._n_buckets = kept
            self._n_folded = kept << self._shift
        self.last_step = int(self._last[kept - 1]) if kept else None

    def read(self, column: int, start: Optional[int], stop: Optional[int]) -> Tuple[np.ndarray, ...]:
        first, last, steps = self._first[: self._n_buckets], self._last[: self._n_buckets], self._steps[: self._n_rows]
        b0 = 0 if start is None else int(np.searchsorted(last, start, side="left"))
        b1 = self._n_buckets if stop is None else int(np.searchsorted(first, stop, side="right"))
        r0 = 0 if start is None else int(np.searchsorted(steps, start, side="left"))
        r1 = self._n_rows if stop is None else int(np.searchsorted(steps, stop, side="right"))
        if start is not None and stop is not None and stop < start:
            b1, r1 = b0, r0
        buckets, rows = slice(b0, max(b0, b1)), slice(r0, max(r0, r1))
        recent = self._rows[rows, column]
        minimum, maximum, mean, count = (array[column, buckets] for array in self._statistics())
        return (
            np.concatenate([first[buckets], steps[rows]]),
            np.concatenate([last[buckets], steps[rows]]),
            np.concatenate([minimum, recent]),
            np.concatenate([maximum, recent]),
            np.concatenate([mean, recent]),
            np.concatenate([count, (~np.isnan(recent)).astype(np.int32)]),
        )

    def _statistics(self) -> Tuple[np.ndarray, ...]:
        return self._minimum, self._maximum, self._mean, self._count

    def _fold(self) -> None:
        """Move the oldest ``fold_rows`` rows into buckets."""
        n = self._fold_rows
        # inf - inf makes the mean NaN, which is right; minimum and maximum tell of both
        with np.errstate(invalid="ignore", over="ignore"):
            while ((self._n_folded + n - 1) >> self._shift) >= self._capacity:
                self._merge_neighbours()
            self._reserve(((self._n_folded + n - 1) >> self._shift) + 1)
            self._fold_into_buckets(self._steps[:n], self._rows[:n])
        self._n_folded += n
        self._n_rows -= n
        self._steps[: self._n_rows] = self._steps[n : n + self._n_rows]
        self._rows[: self._n_rows] = self._rows[n : n + self._n_rows]

    def _fold_into_buckets(self, steps: np.ndarray, rows: np.ndarray) -> None:
        ids = np.arange(self._n_folded, self._n_folded + len(steps)) >> self._shift
        begins = np.concatenate([[0], np.flatnonzero(np.diff(ids)) + 1])
        ends = np.concatenate([begins[1:], [len(steps)]])
        n_new = len(begins)
        absent = np.isnan(rows)
        count = np.repeat((ends - begins).astype(np.int32)[:, np.newaxis], rows.shape[1], axis=1)
        present_rows = rows
        if absent.any():
            count -= _reduce_groups(np.add, absent, begins, np.int32)
            present_rows = np.where(absent, np.float32(0), rows)
        sums = _reduce_groups(np.add, present_rows, begins, np.float64)
        minimum = _reduce_groups(np.fmin, rows, begins, np.float32)
        maximum = _reduce_groups(np.fmax, rows, begins, np.float32)
        open_bucket = ids[0] < self._n_buckets
        target = slice(int(ids[0]), int(ids[0]) + n_new)
        if open_bucket:  # the first group goes on with the last bucket
            i = target.start
            minimum[0] = np.fmin(minimum[0], self._minimum[:, i])
            maximum[0] = np.fmax(maximum[0], self._maximum[:, i])
            sums[0] += np.where(self._count[:, i] > 0, self._mean[:, i] * self._count[:, i].astype(np.float64), 0)
            count[0] += self._count[:, i]
        self._minimum[:, target] = minimum.T
        self._maximum[:, target] = maximum.T
        self._mean[:, target] = _divide(sums, count).T
        self._count[:, target] = count.T
        self._last[target] = steps[ends - 1]
        skip = int(open_bucket)
        self._first[target.start + skip : target.stop] = steps[begins[skip:]]
        self._n_buckets = target.stop

    def _merge_neighbours(self) -> None:
        """Merge buckets 2i and 2i + 1, which makes every bucket twice as long; an odd last one stays open."""
        n = self._n_buckets
        for begin in range(0, len(self._count), _SERIES_AT_ONCE):
            some = slice(begin, begin + _SERIES_AT_ONCE)
            count = self._count[some, :n]
            sums = np.where(count > 0, self._mean[some, :n] * count.astype(np.float64), 0)
            merged_count = _merge_pairs(count, np.add)
            self._mean[some, : merged_count.shape[1]] = _divide(_merge_pairs(sums, np.add), merged_count)
            for array, merge in ((self._minimum, np.fmin), (self._maximum, np.fmax), (self._count, np.add)):
                merged = _merge_pairs(array[some, :n], merge)
                array[some, : merged.shape[1]] = merged
        self._first[: (n + 1) // 2] = self._first[:n:2].copy()
        self._last[: (n + 1) // 2] = _merge_pairs(self._last[:n], np.maximum)
        self._n_buckets = (n + 1) // 2
        self._shift += 1

    def _reserve(self, n_buckets: int) -> None:
        allocated = len(self._first)
        if n_buckets <= allocated:
            return
        while allocated < n_buckets:
            allocated = min(2 * allocated, self._capacity)
        n = self._n_buckets
        for name in ("_first", "_last", "_minimum", "_maximum", "_mean", "_count"):
            old = getattr(self, name)
            new = np.empty((*old.shape[:-1], allocated), old.dtype)
            new[..., :n] = old[..., :n]
            setattr(self, name, new)


def _reduce_groups(reduce: np.ufunc, rows: np.ndarray, begins: np.ndarray, dtype: type) -> np.ndarray:
    """``reduce`` over the rows from each of ``begins`` to the next."""
    n_groups = len(begins)
    size = len(rows) // n_groups
    if n_groups * size == len(rows) and (begins == size * np.arange(n_groups)).all():
        # The usual case, unless a rewind has shifted the rows: several times faster for short groups
        return reduce.reduce(rows.reshape(n_groups, size, rows.shape[1]), axis=1, dtype=dtype)
    return reduce.reduceat(rows, begins, axis=0, dtype=dtype)


def _merge_pairs(array: np.ndarray, merge: np.ufunc) -> np.ndarray:
    """``merge`` of the entries 2i and 2i + 1 along the last axis; an odd last one stays as it is."""
    merged = array[..., ::2].copy()
    pairs = array.shape[-1] // 2
    merged[..., :pairs] = merge(merged[..., :pairs], array[..., 1::2])
    return merged


def _divide(sums: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Mean as float32; NaN where there is no value."""
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan).astype(np.float32)
