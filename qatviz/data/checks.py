"""Checks shared by all loaders: memory, damaged files, examples; see `qatviz.data.targets` for labels."""

import lzma
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from typing import IO, Any, Iterator, List, Optional, Tuple

import numpy as np

from qatviz.errors import DataError
from qatviz.memory import address_space_left, proc_bytes
from qatviz.task import CLASSIFICATION

# Larger data needs an input pipeline; and a header of a few bytes can declare any size.
MAX_BYTES = 8 * 2**30

# Exceptions that parsers of the standard library and Pillow raise for damaged input. MemoryError and RecursionError (a
# RuntimeError) result from absurd lengths and depths.
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    SyntaxError,
    MemoryError,
    AssertionError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    tarfile.TarError,
    pickle.UnpicklingError,
)


@contextmanager
def wrap_read_errors(path: str, expected: str) -> Iterator[None]:
    """Convert exceptions due to a missing, unreadable or damaged file to a `DataError` that names the file.

    Parameters
    ----------
    path : str
        The file.
    expected : str
        Expected format, for the message, such as "an .npz archive".
    """
    try:
        yield
    except _DAMAGE as error:
        raise DataError(
            f"{path}: cannot be read as {expected}: {type(error).__name__}: {str(error) or 'no details'}"
        ) from error


def list_directory(path: str) -> List[str]:
    """Return the sorted names in a directory; raise a `DataError` if it cannot be listed."""
    with wrap_read_errors(path, "a directory"):
        return sorted(os.listdir(path))


def check_memory(path: str, n_bytes: int, what: str = "loading it") -> None:
    """Raise a `DataError` if `n_bytes` exceed the `memory_limit`; `what` names the operation that needs them."""
    limit = memory_limit()
    if n_bytes > limit:
        raise DataError(f"{path}: {what} needs {n_bytes:,} bytes of memory; available: {limit:,}")


def memory_limit() -> int:
    """Return the maximum number of bytes to read into memory: the available memory, at most 8 GiB."""
    return min(MAX_BYTES, _available_bytes())


def _available_bytes() -> int:
    """Return the bytes of memory that are available without swapping; `MAX_BYTES` if that is not known."""
    left = address_space_left()
    return min(proc_bytes("/proc/meminfo", "MemAvailable:", MAX_BYTES), MAX_BYTES if left is None else left)


def read_exactly(stream: IO[bytes], shape: Tuple[int, ...], dtype: np.dtype, path: str, what: str) -> np.ndarray:
    """Read an array in C order from a binary stream, without allocating more than the stream delivers.

    Raises
    ------
    DataError
        If the stream ends early.
    """
    n_bytes = dtype.itemsize
    for size in shape:
        n_bytes *= size
    check_memory(path, n_bytes, what)
    chunks = bytearray()
    while len(chunks) < n_bytes:
        # In small pieces: a stream may allocate the requested size before it finds that it has less.
        chunk = stream.read(min(n_bytes - len(chunks), 2**20))
        if not chunk:
            raise DataError(
                f"{path}: {what} ends after {len(chunks):,} bytes; expected {n_bytes:,} according to its header "
                f"({dtype.name} of shape {list(shape)})"
            )
        chunks += chunk
    return np.frombuffer(chunks, dtype=dtype).reshape(shape)


def to_native_byte_order(array: np.ndarray) -> np.ndarray:
    """Return an array in native byte order; the same array if it has it already."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def are_pixels(array: Any) -> bool:
    """Return whether examples are inferred to be pixels: uint8 images, but for masks of 0 and 1.

    Other integers, and rows, are features.
    """
    return bool(array.dtype == np.uint8 and array.ndim > 2 and array.max() != 1)


def convert_examples(array: Any, where: str, pixels: Optional[bool] = None) -> np.ndarray:
    """Convert examples to the form that `Dataset` requires.

    Parameters
    ----------
    array : ndarray
        Shape [N, height, width, channels], [N, height, width] (one channel) or [N, features]. dtype uint8 (kept if they
        are pixels), another integer or a float type (converted to float32), or bool (converted to float32 0 and 1).
    where : str
        Name in messages: file and key.
    pixels : bool, optional
        True if integers are pixels, which must have values in 0-255; by default, see `are_pixels`.

    Returns
    -------
    ndarray of uint8 or float32, 2 or 4 axes

    Raises
    ------
    DataError
        If shape, dtype or values are not allowed, or there are no examples.
    """
    array = np.asarray(array)
    if array.ndim not in (2, 3, 4):
        raise DataError(
            f"{where}: found shape {list(array.shape)}; expected [N, height, width, channels], [N, height, width] or "
            "[N, features]"
        )
    if array.size == 0:
        raise DataError(
            f"{where}: found shape {list(array.shape)}, which is empty; expected at least one example with at least "
            "one value"
        )
    is_pixels = are_pixels(array) if pixels is None else pixels
    if array.ndim == 3:
        array = array[..., np.newaxis]
    if array.dtype.kind in "iu" and is_pixels:
        return _pixels_from_integers(array, where)
    if array.dtype.kind not in "iufb":
        raise DataError(f"{where}: found dtype {array.dtype}; expected numbers")
    return convert_to_float32(array, where)


def _pixels_from_integers(array: np.ndarray, where: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    lowest, highest = array.min(), array.max()
    if lowest < 0 or highest > 255:
        raise DataError(
            f"{where}: found {array.dtype} values from {lowest} to {highest}; expected integers from 0 to 255 "
            "(pixels) or floating-point values"
        )
    return np.ascontiguousarray(array, dtype=np.uint8)


def convert_to_float32(array: np.ndarray, where: str) -> np.ndarray:
    """Convert an array to float32 in C order; raise a `DataError` if a value is not finite in float32."""
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(array, dtype=np.float32)
    # In slices of rows: the mask of a whole array would increase its memory by a quarter.
    for start in range(0, len(converted), 4096):
        bad = ~np.isfinite(converted[start : start + 4096])
        if bad.any():
            index = tuple(np.argwhere(bad)[0] + np.array([start] + [0] * (bad.ndim - 1)))
            raise DataError(
                f"{where}: found {array[index].item()!r} in example {index[0]}; expected finite values in the range of "
                "float32"
            )
    return converted


def classes_only_reason(source: str, task: str) -> str:
    """Return the reason why data with classes can't be used for another task."""
    return (
        f"{source}: the task is {task!r}, but the data has classes; expected the task {CLASSIFICATION!r}, or data with "
        "labels of any kind, such as arrays or tables"
    )
