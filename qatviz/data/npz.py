"""NumPy .npz archives, read without `np.load`: no pickles, and sizes are checked before memory is allocated."""

import os
import zipfile
from dataclasses import replace
from typing import Any, Dict, Optional, Sequence

import numpy as np

from qatviz.data.build import from_arrays, name_from_path
from qatviz.data.checks import check_memory, read_exactly, to_native_byte_order, wrap_read_errors
from qatviz.data.dataset import Dataset
from qatviz.data.npy import read_header
from qatviz.errors import DataError
from qatviz.scaling import SCALINGS

KEYS_HELP = "x, y or x_train, y_train, and optionally x_test, y_test, class_names, task"


def load_npz(
    path: str,
    validation_fraction: float = 0.2,
    seed: int = 0,
    name: Optional[str] = None,
    source: Optional[str] = None,
    task: Optional[str] = None,
) -> Dataset:
    """Load a data set from an .npz archive.

    The required keys are `x_train` and `y_train`, or `x` and `y`. With `x_train`, the archive may also have the test
    part as `x_test` and `y_test`; without it, a part of the examples is held out. Optional keys are `class_names`, an
    array of strings, and `task`, the string "classification" or "regression". Files that qatviz writes also have
    `scaling`, a name of :data:`qatviz.scaling.SCALINGS`, which floating-point examples have already. Other keys
    are ignored.

    Parameters
    ----------
    path : str
    validation_fraction, seed
        See :func:`qatviz.data.build.from_arrays`.
    name, source : str, optional
        Name and origin of the data set; default: name and path of the file.
    task : str, optional
        Task; default: the task in the archive; without that, see :func:`qatviz.data.build.from_arrays`.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If the file is damaged or lacks a key, or the arrays are not a data set.
    """
    arrays = read_npz(path, ("x_train", "y_train", "x_test", "y_test", "x", "y", "class_names", "task", "scaling"))
    found = [key for key in ("x_train", "y_train", "x_test", "y_test", "x", "y") if key in arrays]
    prefix = {
        ("x", "y"): "",
        ("x_train", "y_train"): "_train",
        ("x_train", "y_train", "x_test", "y_test"): "_train",
    }.get(tuple(found))
    if prefix is None:
        raise DataError(f"{path}: no data set: the file has {_listed_keys(path)}; expected {KEYS_HELP}")
    class_names = arrays.get("class_names")
    if class_names is not None and (class_names.dtype.kind != "U" or class_names.ndim != 1):
        raise DataError(
            f"{path}: class_names: found {class_names.dtype} of shape {list(class_names.shape)}; expected a list of "
            "strings"
        )
    if task is None and "task" in arrays:
        task = _string(arrays["task"], f"{path}: task")
    test = (arrays["x_test"], arrays["y_test"]) if "x_test" in arrays else None
    dataset = from_arrays(
        name or name_from_path(path),
        source or path,
        (arrays["x" + prefix], arrays["y" + prefix]),
        test,
        None if class_names is None else class_names.tolist() or None,
        validation_fraction,
        seed,
        {"x_train": f"{path}: x{prefix}", "y_train": f"{path}: y{prefix}"},
        task,
    )
    if "scaling" not in arrays:
        return dataset
    scaling = _string(arrays["scaling"], f"{path}: scaling")
    if scaling not in SCALINGS:
        raise DataError(f"{path}: scaling: found {scaling!r}; expected one of {', '.join(SCALINGS)}")
    if dataset.assumed.integers:
        return dataset.with_scaling(scaling)
    return replace(dataset, scaling=scaling, assumed=dataset.assumed._replace(scaling=False))


def _string(array: np.ndarray, where: str) -> str:
    """Return the string in an array of one element."""
    if array.dtype.kind != "U" or array.size != 1:
        raise DataError(f"{where}: found {array.dtype} of shape {list(array.shape)}; expected a string")
    return str(array.reshape(-1)[0])


def is_npz(path: str) -> bool:
    """Return whether a path is a file with the extension .npz, or a zip archive with arrays."""
    if not os.path.isfile(path):
        return False
    if path.lower().endswith(".npz"):
        return True
    with wrap_read_errors(path, "a file"), open(path, "rb") as stream:
        if stream.read(4) != b"PK\x03\x04":
            return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") and "/" not in name for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def read_npz(path: str, keys: Sequence[str]) -> Dict[str, np.ndarray]:
    """Read arrays from an .npz archive.

    Parameters
    ----------
    path : str
    keys : sequence of str
        Arrays to read, if they exist; no others are accessed.

    Returns
    -------
    dict of str to ndarray
        Arrays of boolean, integer, floating-point or Unicode dtype, in native byte order.

    Raises
    ------
    DataError
        If the archive or one of these arrays is damaged, too large, or of another dtype, such as pickled objects.
    """
    with wrap_read_errors(path, "an .npz archive"), zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        wanted = [key for key in keys if key + ".npy" in members]
        check_memory(path, sum(members[key + ".npy"].file_size for key in wanted))
        return {key: _read_member(archive, members[key + ".npy"], f"{path}: {key}") for key in wanted}


def _listed_keys(path: str) -> str:
    """Return the names of the arrays in an archive for a message, at most eight of them."""
    with wrap_read_errors(path, "an .npz archive"), zipfile.ZipFile(path) as archive:
        keys = [info.filename[:-4] for info in archive.infolist() if info.filename.endswith(".npy")]
    names = [repr(key if len(key) <= 40 else key[:37] + "...") for key in keys[:8]]
    return ", ".join(names + ["..."] * (len(keys) > 8)) or "no arrays"


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> np.ndarray:
    with archive.open(info) as member:
        stream: Any = member
        shape, fortran_order, dtype = read_header(stream, where)
        array = read_exactly(stream, shape[::-1] if fortran_order else shape, dtype, where, "the array")
        if stream.read(1):
            raise DataError(
                f"{where}: found more bytes than its header declares; expected {dtype} of shape {list(shape)}"
            )
    return to_native_byte_order(array.T if fortran_order else array)
