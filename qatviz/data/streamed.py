"""Arrays whose rows are read from files when they are used, so that data may be larger than memory."""

import math
import os
from typing import IO, Any, Callable, Iterable, Iterator, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from qatviz.data.checks import wrap_read_errors
from qatviz.data.npy import read_header
from qatviz.errors import DataError

#: Bytes of one piece of a pass over a whole array.
_PIECE_BYTES = 16 * 2**20
#: Number of rows whose statistics stand for those of all rows, where a pass over all of them would take minutes.
SAMPLE_ROWS = 256
#: Notes on examples that do not fit in memory, with exact statistics, and with those of a sample.
READ_WHEN_USED = "examples are read when they are used, as together they are larger than memory"
READ_WITH_SAMPLE = f"{READ_WHEN_USED}; their range and mean are those of {SAMPLE_ROWS:,} of them"


class Statistics(NamedTuple):
    """Smallest value, largest value and mean of an array."""

    low: float
    high: float
    mean: float


class StreamedArray:
    """Read-only array whose rows, along the first axis, are read when they are indexed. Thread-safe.

    Like an ndarray, it has a shape and a dtype, and indexing returns ndarrays, which are copies. Subclasses implement
    :meth:`read`.

    Attributes
    ----------
    shape : tuple of int
    dtype : np.dtype
    """

    def __init__(self, shape: Sequence[int], dtype: Any):
        self.shape: Tuple[int, ...] = tuple(shape)
        self.dtype = np.dtype(dtype)
        self._statistics: Optional[Statistics] = None

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows of these indices (int ``[n]``, not negative) in their order, ``[n] + shape[1:]``.

        Raises
        ------
        DataError
            If they can't be read.
        """
        raise NotImplementedError

    def read_rows(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from ``start`` to ``stop - 1``."""
        return self.read(np.arange(start, stop))

    def reshape(self, shape: Sequence[int]) -> "StreamedArray":
        """Return an array of the same values whose rows have another shape; ``shape`` includes their number."""
        return _Reshaped(self, shape)

    def converted(self, convert: Callable[[np.ndarray], np.ndarray], dtype: Any) -> "StreamedArray":
        """Return an array of converted rows.

        Parameters
        ----------
        convert : callable
            Function of rows ``[n] + shape[1:]`` that returns an array of the same shape.
        dtype : dtype
            The dtype of its result.
        """
        return _Converted(self, convert, dtype)

    def rows(self, rows: np.ndarray) -> "StreamedArray":
        """Return an array of some of the rows (int ``[n]``); it has the statistics of this one, if they are known."""
        return _Rows(self, rows)

    def columns(self, columns: np.ndarray) -> "StreamedArray":
        """Return an array of these columns (int ``[n]``) of rows with one axis."""
        return _Columns(self, columns)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        size: int = 1
        for length in self.shape:
            size *= length
        return size

    @property
    def nbytes(self) -> int:
        """Size of all values in bytes."""
        return self.size * int(self.dtype.itemsize)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, key: Any) -> np.ndarray:
        """Return one row (for an int) or several (for a slice or integer indices), with all their values."""
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            is_contiguous = step == 1 and stop >= start
            return self.read_rows(start, stop) if is_contiguous else self.read(np.arange(start, stop, step))
        rows = np.asarray(key)
        if rows.dtype.kind not in "iu" or rows.ndim > 1:
            raise IndexError(f"found the index {key!r}; expected an integer, a slice, or a list of integers")
        rows = np.where(rows < 0, rows + len(self), rows)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"found the index {key!r}; expected indices below {len(self)}")
        return self.read(rows) if rows.ndim else self.read(rows[np.newaxis])[0]

    def min(self) -> float:
        """Return the smallest value; see :meth:`statistics`."""
        return self.statistics().low

    def max(self) -> float:
        """Return the largest value; see :meth:`statistics`."""
        return self.statistics().high

    def statistics(self) -> Statistics:
        """Return the statistics of all values: those that were stated, else those of a pass over the whole array."""
        if self._statistics is None:
            self._statistics = statistics_of_pieces(pieces(self))
        return self._statistics

    def state(self, statistics: Statistics) -> None:
        """State the statistics, so that no pass over the array is needed to find them."""
        self._statistics = statistics

    def state_sample(self) -> None:
        """State the statistics of :data:`SAMPLE_ROWS` evenly spaced rows as those of all rows."""
        rows = np.unique(np.linspace(0, len(self) - 1, SAMPLE_ROWS).astype(np.int64))
        parts = np.array_split(rows, max(1, SAMPLE_ROWS // 8))
        self.state(statistics_of_pieces(self.read(part) for part in parts if part.size))


#: Examples or targets, in memory or in files.
Array = Union[np.ndarray, StreamedArray]


class StoredArray(StreamedArray):
    """Array in an .npy file, in C order and native byte order.

    The file is opened for each read: nothing stays mapped, so that the pages of data that was read once do not count as
    memory of the process.

    Parameters
    ----------
    path : str

    Raises
    ------
    DataError
        If the file is no such array of numbers, or its length is not the one that its header declares.
    """

    def __init__(self, path: str):
        self.path = path
        with wrap_read_errors(path, "an .npy array"), open(path, "rb") as file:
            shape, fortran_order, dtype = read_header(file, path)
            self._start = file.tell()
        if fortran_order or not dtype.isnative or dtype.kind not in "biuf" or not shape:
            raise DataError(
                f"{path}: found {dtype.str} of shape {list(shape)} in {'Fortran' if fortran_order else 'C'} order; "
                "expected numbers in C order and native byte order with at least one axis"
            )
        super().__init__(shape, dtype)
        self._row_bytes = self.nbytes // max(len(self), 1)
        found = os.path.getsize(path) - self._start
        if found != self.nbytes:
            raise DataError(f"{path}: found {found:,} bytes of values; its header declares {self.nbytes:,}")

    def read(self, rows: np.ndarray) -> np.ndarray:
        result = np.empty((len(rows), *self.shape[1:]), self.dtype)
        # Read in the order of the file, adjacent rows at once where they are adjacent in the result, too.
        order = np.argsort(rows, kind="stable")
        sorted_rows = np.asarray(rows)[order]
        breaks = np.flatnonzero((np.diff(sorted_rows) != 1) | (np.diff(order) != 1)) + 1
        starts = np.r_[0, breaks] if len(order) else np.zeros(0, int)
        with self._opened() as file:
            for begin, end in zip(starts, np.r_[starts[1:], len(order)]):
                self._read_into(file, int(sorted_rows[begin]), result[order[begin] : order[begin] + end - begin])
        return result

    def read_rows(self, start: int, stop: int) -> np.ndarray:
        result = np.empty((max(0, stop - start), *self.shape[1:]), self.dtype)
        with self._opened() as file:
            self._read_into(file, start, result)
        return result

    def _opened(self) -> IO[bytes]:
        """Open the file without a buffer, which would read more than the rows."""
        with wrap_read_errors(self.path, "an .npy array"):
            return open(self.path, "rb", buffering=0)

    def _read_into(self, file: Any, row: int, part: np.ndarray) -> None:
        """Fill ``part`` (``[n] + shape[1:]``, in C order) with the ``n`` rows from ``row`` on."""
        missing = memoryview(part.reshape(-1).view(np.uint8))
        with wrap_read_errors(self.path, "an .npy array"):
            file.seek(self._start + row * self._row_bytes)
            while missing.nbytes:
                count = file.readinto(missing)  # without Python's lock; at most 2 GiB at a time
                if not count:
                    raise DataError(f"{self.path}: ends before row {row + len(part)} of {len(self):,}: it was changed")
                missing = missing[count:]


class _Reshaped(StreamedArray):
    """Array of the same values as another one, with rows of another shape."""

    def __init__(self, array: StreamedArray, shape: Sequence[int]):
        super().__init__(shape, array.dtype)
        if self.shape[0] != len(array) or self.size != array.size:
            raise ValueError(f"shape {self.shape}: expected {len(array)} rows and {array.size} values")
        self._array, self._statistics = array, array._statistics

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self._array.read(rows).reshape((len(rows), *self.shape[1:]))

    def read_rows(self, start: int, stop: int) -> np.ndarray:
        return self._array.read_rows(start, stop).reshape((-1, *self.shape[1:]))


class _Converted(StreamedArray):
    """Array whose rows are those of another one, converted by a function."""

    def __init__(self, array: StreamedArray, convert: Callable[[np.ndarray], np.ndarray], dtype: Any):
        super().__init__(array.shape, dtype)
        self._array, self._convert = array, convert

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self._convert(self._array.read(rows))

    def read_rows(self, start: int, stop: int) -> np.ndarray:
        return self._convert(self._array.read_rows(start, stop))


class _Rows(StreamedArray):
    """Some rows of another array."""

    def __init__(self, array: StreamedArray, rows: np.ndarray):
        super().__init__((len(rows), *array.shape[1:]), array.dtype)
        self._array, self._numbers = array, rows
        self._statistics = array._statistics

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self._array.read(self._numbers[rows])


class _Columns(StreamedArray):
    """Some columns of another array, or all in another order."""

    def __init__(self, array: StreamedArray, columns: np.ndarray):
        super().__init__((len(array), len(columns)), array.dtype)
        self._array, self._columns = array, columns
        self._statistics = array._statistics

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self._array.read(rows)[:, self._columns]

    def read_rows(self, start: int, stop: int) -> np.ndarray:
        return self._array.read_rows(start, stop)[:, self._columns]


def is_streamed(array: Any) -> bool:
    """Return whether an array is read from files piece by piece."""
    return isinstance(array, StreamedArray)


def pieces(array: Array) -> Iterator[np.ndarray]:
    """Yield the rows of an array in order, in pieces of at most 16 MiB, but of at least one row."""
    rows = max(1, _PIECE_BYTES * len(array) // max(array.nbytes, 1))
    for start in range(0, len(array), rows):
        yield array[start : start + rows]


def statistics_of(array: Array) -> Statistics:
    """Return the statistics of an array with at least one value; see :meth:`StreamedArray.statistics`."""
    return array.statistics() if isinstance(array, StreamedArray) else statistics_of_pieces(pieces(array))


def statistics_of_pieces(parts: Iterable[np.ndarray]) -> Statistics:
    """Return the statistics of an array from its pieces, which have at least one value; NaN makes the mean NaN."""
    low, high, total, size = math.inf, -math.inf, 0.0, 0
    for part in parts:
        low, high = min(low, float(part.min())), max(high, float(part.max()))
        total, size = total + float(part.sum(dtype=np.float64)), size + part.size
    return Statistics(low, high, total / size)
