"""What every loader checks: memory, damage, and that arrays are usable examples; labels: see `qatviz.data.targets`."""

import lzma
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from contextlib import contextmanager

import numpy as np

from qatviz.errors import DataError

# Larger data belongs in an input pipeline, not in memory; and a header of a few bytes can claim anything.
MAX_BYTES = 8 * 2**30

# What parsers of the standard library and Pillow are known to raise at damaged input, MemoryError and RecursionError
# (a RuntimeError) for absurd lengths and nesting included.
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
def reading(path, what):
    """Turn whatever a parser raises at a missing, unreadable or damaged file into a `DataError` that names it.

    Parameters
    ----------
    path : str
        The file.
    what : str
        What was expected of it, for the message: "an .npz archive".
    """
    try:
        yield
    except _DAMAGE as error:
        raise DataError(
            f"{path}: cannot be read as {what}: {type(error).__name__}: {str(error) or 'no details'}"
        ) from error


def list_directory(path):
    """Return the sorted names in a directory; raise `DataError` if it cannot be listed."""
    with reading(path, "a directory"):
        return sorted(os.listdir(path))


def check_size(path, n_bytes, what="its contents"):
    """Raise `DataError` if loading `n_bytes` bytes cannot end well: above 8 GiB or the memory that is available."""
    limit = memory_limit()
    if n_bytes > limit:
        raise DataError(f"{path}: {what} would take {n_bytes:,} bytes of memory: at most {limit:,} are possible here")


def memory_limit():
    """Return how many bytes may be read into memory: 8 GiB, or the memory that is available."""
    return min(MAX_BYTES, _available_bytes())


def _available_bytes():
    """Return the bytes of memory that can be had without swapping; `MAX_BYTES` where the system does not tell."""
    if not os.path.exists("/proc/meminfo"):
        return MAX_BYTES
    with open("/proc/meminfo") as meminfo:
        for line in meminfo:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return MAX_BYTES


def read_exactly(stream, shape, dtype, path, what):
    """Read an array of C order from a binary stream, never allocating more than arrives.

    Raises
    ------
    DataError
        If the stream ends early.
    """
    n_bytes = dtype.itemsize
    for size in shape:
        n_bytes *= size
    check_size(path, n_bytes, what)
    chunks = bytearray()
    while len(chunks) < n_bytes:
        # Small requests: a stream may allocate what it is asked for before it finds that it has less.
        chunk = stream.read(min(n_bytes - len(chunks), 2**20))
        if not chunk:
            raise DataError(
                f"{path}: {what} ends after {len(chunks):,} bytes: its header promises {n_bytes:,} "
                f"({dtype.name} of shape {list(shape)})"
            )
        chunks += chunk
    return np.frombuffer(chunks, dtype=dtype).reshape(shape)


def as_examples(array, where):
    """Return examples in the form that `Dataset` holds.

    Parameters
    ----------
    array : ndarray
        [N, height, width, channels], [N, height, width] (one channel is added) or [N, features]; uint8, a float type
        (becomes float32), bool (becomes float32 0 and 1), or another integer type with all values in 0-255 (becomes
        uint8).
    where : str
        File and key, for messages.

    Returns
    -------
    ndarray of uint8 or float32, 2 or 4 axes

    Raises
    ------
    DataError
        If shape, dtype or values do not fit, or nothing is there.
    """
    array = np.asarray(array)
    if array.ndim not in (2, 3, 4):
        raise DataError(
            f"{where}: found shape {list(array.shape)}: expected [N, height, width, channels], [N, height, width] or "
            "[N, features]"
        )
    if array.size == 0:
        raise DataError(
            f"{where}: found shape {list(array.shape)}, which is empty: expected at least one example with at "
            "least one value"
        )
    if array.ndim == 3:
        array = array[..., np.newaxis]
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind in "iu":
        return _pixels_from_integers(array, where)
    if array.dtype.kind not in "fb":
        raise DataError(f"{where}: found dtype {array.dtype}: expected uint8 pixels or floating-point values")
    return as_float32(array, where)


def _pixels_from_integers(array, where):
    lowest, highest = array.min(), array.max()
    if lowest < 0 or highest > 255:
        raise DataError(
            f"{where}: found {array.dtype} values from {lowest} to {highest}: expected integers to be pixels "
            "in 0 to 255; scale others "
            "to a floating-point type"
        )
    return np.ascontiguousarray(array, dtype=np.uint8)


def as_float32(array, where):
    """Return `array` as float32, in C order; raise `DataError` with the value where that is not finite."""
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(array, dtype=np.float32)
    # In slices of rows, so that the mask of a large array does not add a quarter to its memory.
    for start in range(0, len(converted), 4096):
        bad = ~np.isfinite(converted[start : start + 4096])
        if bad.any():
            place = tuple(np.argwhere(bad)[0] + np.array([start] + [0] * (bad.ndim - 1)))
            raise DataError(
                f"{where}: found {array[place].item()!r} in example {place[0]}: expected finite values within "
                "float32's range"
            )
    return converted
