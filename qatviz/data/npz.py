"""NumPy .npz archives, read without `np.load`: no pickles, and sizes are checked before anything is allocated."""

import ast
import os
import struct
import zipfile

import numpy as np

from qatviz.data.build import from_arrays, name_of
from qatviz.data.checks import check_size, read_exactly, reading
from qatviz.errors import DataError

KEYS_HELP = (
    "x_train and y_train, with x_test and y_test or without, or x and y; class_names (strings) and task "
    "(classification or regression) are optional"
)

_MAGIC = b"\x93NUMPY"
# NumPy writes some 100 bytes; a longer header could only be there to exhaust the parser.
_MAX_HEADER_BYTES = 10000


def load_npz(path, validation_fraction=0.2, seed=0, name=None, source=None, task=None):
    """Load a data set from an .npz archive.

    Keys: `x_train`, `y_train` and, both or neither, `x_test`, `y_test`; or `x` and `y`. Without a test part one is held
    out. Optional are `class_names`, an array of strings, and `task`, the string "classification" or "regression"; what
    it is without that, :func:`qatviz.data.build.from_arrays` tells. Other keys are ignored.

    Parameters
    ----------
    path : str
    validation_fraction, seed
        Of the held-out part, see :func:`qatviz.data.build.from_arrays`.
    name, source : str, optional
        Instead of the file's name and path.
    task : str, optional
        Instead of the one that the file gives.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If the file is damaged, lacks a key, or its arrays do not fit.
    """
    arrays = read_npz(path, ("x_train", "y_train", "x_test", "y_test", "x", "y", "class_names", "task"))
    present = [key for key in ("x_train", "y_train", "x_test", "y_test", "x", "y") if key in arrays]
    prefix = {
        ("x", "y"): "",
        ("x_train", "y_train"): "_train",
        ("x_train", "y_train", "x_test", "y_test"): "_train",
    }.get(tuple(present))
    if prefix is None:
        raise DataError(f"{path}: found the keys {present or 'of no data set'}: expected {KEYS_HELP}")
    class_names = arrays.get("class_names")
    if class_names is not None and (class_names.dtype.kind != "U" or class_names.ndim != 1):
        raise DataError(
            f"{path}: class_names: found {class_names.dtype} of shape {list(class_names.shape)}: expected a "
            "list of strings"
        )
    if task is None and "task" in arrays:
        task = _word(arrays["task"], f"{path}: task")
    test = (arrays["x_test"], arrays["y_test"]) if "x_test" in arrays else None
    return from_arrays(
        name or name_of(path),
        source or path,
        (arrays["x" + prefix], arrays["y" + prefix]),
        test,
        None if class_names is None else class_names.tolist() or None,
        validation_fraction,
        seed,
        {"x_train": f"{path}: x{prefix}", "y_train": f"{path}: y{prefix}"},
        task,
    )


def _word(array, where):
    """Return the string that an array holds."""
    if array.dtype.kind != "U" or array.size != 1:
        raise DataError(f"{where}: found {array.dtype} of shape {list(array.shape)}: expected a string")
    return str(array.reshape(-1)[0])


def is_npz(path):
    """Return whether a path is a file that has the ending .npz or starts like a zip archive."""
    if not os.path.isfile(path):
        return False
    with reading(path, "a file"), open(path, "rb") as stream:
        return path.lower().endswith(".npz") or stream.read(4) == b"PK\x03\x04"


def read_npz(path, keys):
    """Read arrays from an .npz archive.

    Parameters
    ----------
    path : str
    keys : sequence of str
        The arrays to read where they are there; no other is touched.

    Returns
    -------
    dict of str to ndarray
        Of boolean, integer, floating-point or unicode dtype, in native byte order.

    Raises
    ------
    DataError
        If the archive or one of these arrays is damaged, too large, or of another kind (pickled objects included).
    """
    with reading(path, "an .npz archive"), zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        wanted = [key for key in keys if key + ".npy" in members]
        check_size(path, sum(members[key + ".npy"].file_size for key in wanted))
        return {key: _read_member(archive, members[key + ".npy"], f"{path}: {key}") for key in wanted}


def _read_member(archive, info, where):
    with archive.open(info) as stream:
        shape, fortran_order, dtype = _read_header(stream, where)
        array = read_exactly(stream, shape[::-1] if fortran_order else shape, dtype, where, "the array")
        if stream.read(1):
            raise DataError(
                f"{where}: found more bytes than its header tells ({dtype} of shape {list(shape)}): expected none"
            )
    array = array.T if fortran_order else array
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_header(stream, where):
    """Return (shape, fortran_order, dtype) of an .npy stream: NEP 1, versions 1 to 3."""
    magic = stream.read(8)
    if magic[:6] != _MAGIC or magic[6:7] not in (b"\x01", b"\x02", b"\x03"):
        raise DataError(f"{where}: found {magic!r} at its start: expected an .npy array of version 1 to 3")
    length_format = "<H" if magic[6] == 1 else "<I"
    (length,) = struct.unpack(length_format, stream.read(struct.calcsize(length_format)))
    if length > _MAX_HEADER_BYTES:
        raise DataError(f"{where}: found a header of {length} bytes: expected at most {_MAX_HEADER_BYTES}")
    header = ast.literal_eval(stream.read(length).decode("utf-8" if magic[6] == 3 else "latin1").strip())
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise DataError(f"{where}: found the header {header!r}: expected descr, fortran_order and shape")
    shape, descr = header["shape"], header["descr"]
    if not isinstance(shape, tuple) or not all(type(size) is int and 0 <= size < 2**40 for size in shape):
        raise DataError(f"{where}: found shape {shape!r}: expected sizes of at least 0")
    dtype = np.dtype(descr) if isinstance(descr, str) else None
    if dtype is None or dtype.kind not in "biufU" or dtype.itemsize == 0:
        raise DataError(
            f"{where}: found dtype {descr!r}: expected numbers (or strings, for class_names); pickled objects are not "
            "read"
        )
    return shape, bool(header["fortran_order"]), dtype
