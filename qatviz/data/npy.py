"""NumPy's .npy arrays in files and archives, read without `np.load`: no pickles, and headers are checked."""

import ast
import struct
from typing import IO, Tuple

import numpy as np

from qatviz.data.checks import read_exactly, to_native_byte_order
from qatviz.errors import DataError

_MAGIC = b"\x93NUMPY"
# NumPy writes about 100 bytes. A much longer header can exhaust the parser.
_MAX_HEADER_BYTES = 10000


def read_header(stream: IO[bytes], where: str) -> Tuple[Tuple[int, ...], bool, np.dtype]:
    """Return (shape, fortran_order, dtype) from the header of an .npy stream (NEP 1, versions 1 to 3).

    The stream, at the start of the header before, is at the first byte of the array then. `where` names it in messages.

    Raises
    ------
    DataError
        If it is not the header of an array of booleans, integers, floating-point numbers or Unicode strings.
    """
    magic = stream.read(8)
    if magic[:6] != _MAGIC or magic[6:7] not in (b"\x01", b"\x02", b"\x03"):
        raise DataError(f"{where}: found {magic!r} at its start; expected an .npy array of version 1 to 3")
    length_format = "<H" if magic[6] == 1 else "<I"
    (length,) = struct.unpack(length_format, stream.read(struct.calcsize(length_format)))
    if length > _MAX_HEADER_BYTES:
        raise DataError(f"{where}: found a header of {length} bytes; expected at most {_MAX_HEADER_BYTES}")
    header = ast.literal_eval(stream.read(length).decode("utf-8" if magic[6] == 3 else "latin1").strip())
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise DataError(f"{where}: found the header {header!r}; expected descr, fortran_order and shape")
    shape, descr = header["shape"], header["descr"]
    if not isinstance(shape, tuple) or not all(type(size) is int and 0 <= size < 2**40 for size in shape):
        raise DataError(f"{where}: found shape {shape!r}; expected sizes of at least 0")
    dtype = np.dtype(descr) if isinstance(descr, str) else None
    if dtype is None or dtype.kind not in "biufU" or dtype.itemsize == 0:
        raise DataError(
            f"{where}: found dtype {descr!r}; expected numbers, or strings for class_names; pickled objects are not "
            "supported"
        )
    return shape, bool(header["fortran_order"]), dtype


def read_array(stream: IO[bytes], where: str) -> np.ndarray:
    """Return the array in an .npy stream, in native byte order, without allocating more than the stream delivers.

    `where` names the stream in messages.

    Raises
    ------
    DataError
        If it is damaged, too large, or has other types than numbers and strings.
    """
    shape, fortran_order, dtype = read_header(stream, where)
    array = read_exactly(stream, shape[::-1] if fortran_order else shape, dtype, where, "the array")
    if stream.read(1):
        raise DataError(f"{where}: found more bytes than its header declares; expected {dtype} of shape {list(shape)}")
    return to_native_byte_order(array.T if fortran_order else array)
