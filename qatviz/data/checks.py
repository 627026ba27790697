"""Checks shared by all loaders: files, memory, examples; :mod:`qatviz.data.targets` has those of labels."""

import json
import lzma
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from typing import IO, Any, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from qatviz.errors import DataError
from qatviz.memory import address_space_left, proc_bytes
from qatviz.task import CLASSIFICATION

#: Largest size of data in memory, whatever memory there is: a header of a few bytes can declare any size.
MAX_BYTES = 8 * 2**30
#: Advice for data that does not fit in memory, after what was found.
LARGER_DATA = (
    "; larger data is read while a run trains on it if it is a folder of images, .npy files, uncompressed TFRecord "
    "files or a store of qatviz store"
)
_GZIP_MAGIC = b"\x1f\x8b"

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


def check_regular_file(path: str, expected: str) -> None:
    """Raise a `DataError` if a path is not a regular file: opening a pipe, for example, would block forever.

    ``expected`` describes the expected file, for the message.
    """
    if not os.path.isfile(path):
        raise DataError(f"{path}: not a regular file; expected {expected}")


def list_directory(path: str) -> List[str]:
    """Return the sorted names in a directory; raise a `DataError` if it cannot be listed."""
    with wrap_read_errors(path, "a directory"):
        return sorted(os.listdir(path))


def is_gzipped(path: str) -> bool:
    """Return whether a file is gzipped, by its content; an OSError if it can't be opened."""
    with open(path, "rb") as stream:
        return stream.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC


def names_in_zip(path: str) -> List[str]:
    """Return the names of the files in a zip archive; none if the file can't be read as one."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return []


def read_json(path: str, expected: str, max_bytes: int) -> Any:
    """Return the content of a JSON file in UTF-8.

    Parameters
    ----------
    path : str
    expected : str
        Expected content, for messages, such as "the schema of TFRecord files".
    max_bytes : int
        Largest allowed size.

    Raises
    ------
    DataError
        If the file is too large, or can't be read as JSON.
    """
    with wrap_read_errors(path, expected), open(path, "rb") as file:
        content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise DataError(f"{path}: has more than {max_bytes:,} bytes; expected fewer in {expected}")
        return json.loads(content.decode("utf-8"))


def check_memory(path: str, n_bytes: int, what: str = "loading it", advice: str = "") -> None:
    """Raise a `DataError` if an operation needs more memory than the `memory_limit`.

    Parameters
    ----------
    path : str
        Name of the data in the message.
    n_bytes : int
        Number of bytes that the operation needs.
    what : str
        Name of the operation.
    advice : str
        End of the message, such as `LARGER_DATA`.
    """
    limit = memory_limit()
    if n_bytes > limit:
        raise DataError(f"{path}: {what} needs {n_bytes:,} bytes of memory; available: {limit:,}{advice}")


def memory_limit() -> int:
    """Return the largest number of bytes to read into memory: the available memory, but at most `MAX_BYTES`."""
    return min(MAX_BYTES, _available_bytes())


def _available_bytes() -> int:
    """Return the number of bytes available without swapping and limits of the process; `MAX_BYTES` if unknown."""
    left = address_space_left()
    return min(proc_bytes("/proc/meminfo", "MemAvailable:", MAX_BYTES), MAX_BYTES if left is None else left)


def read_exactly(stream: IO[bytes], shape: Tuple[int, ...], dtype: np.dtype, path: str, what: str) -> np.ndarray:
    """Read an array in C order from a binary stream, without allocating more than the stream delivers.

    Parameters
    ----------
    stream : binary file
    shape : tuple of int
    dtype : np.dtype
        In any byte order.
    path, what : str
        Names of the file and of this part of it in messages.

    Returns
    -------
    ndarray of this shape and dtype

    Raises
    ------
    DataError
        If the array does not fit in memory, or the stream ends early.
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
    """Return whether examples, or targets that are images, are pixels: uint8 of more than two axes, but no masks.

    A mask is an array whose largest value is 1. Other integers, and rows, are numbers. The array must not be empty.
    """
    return bool(array.dtype == np.uint8 and array.ndim > 2 and array.max() != 1)


def check_not_empty(shape: Sequence[int], where: str) -> None:
    """Raise a `DataError` if examples of this shape have no values; ``where`` names them in messages."""
    if 0 in shape:
        raise DataError(
            f"{where}: found shape {list(shape)}, which is empty; expected at least one example with at least one value"
        )


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
    ndarray of uint8 or float32
        Shape [N, height, width, channels] or [N, features].

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
    check_not_empty(array.shape, where)
    is_pixels = are_pixels(array) if pixels is None else pixels
    if array.ndim == 3:
        array = array[..., np.newaxis]
    if array.dtype.kind in "iu" and is_pixels:
        return _pixels_from_integers(array, where)
    if array.dtype.kind not in "iufb":
        raise DataError(f"{where}: found dtype {array.dtype}; expected numbers")
    return convert_to_float32(array, where)


def _pixels_from_integers(array: np.ndarray, where: str) -> np.ndarray:
    """Return integers from 0 to 255 as uint8 in C order; raise a `DataError` if there are others."""
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
