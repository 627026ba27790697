"""NumPy's .npz archives, read without `np.load`: no pickles, and sizes are checked before memory is allocated."""

import os
import zipfile
from typing import Any, Dict, List, Sequence

import numpy as np

from qatviz.data.checks import LARGER_DATA, check_memory, names_in_zip, wrap_read_errors
from qatviz.data.npy import read_array


def is_npz(path: str) -> bool:
    """Return whether a path is a file with the extension .npz, or a zip archive with arrays at its top level."""
    if not os.path.isfile(path):
        return False
    if path.lower().endswith(".npz"):
        return True
    with wrap_read_errors(path, "a file"), open(path, "rb") as stream:
        if stream.read(4) != b"PK\x03\x04":
            return False
    return any(name.endswith(".npy") and "/" not in name for name in names_in_zip(path))


def read_npz(path: str, keys: Sequence[str]) -> Dict[str, np.ndarray]:
    """Read arrays from an .npz archive.

    Parameters
    ----------
    path : str
    keys : sequence of str
        Names of the arrays to read; those that do not exist are left out, and no others are accessed.

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
        check_memory(path, sum(members[key + ".npy"].file_size for key in wanted), advice=LARGER_DATA)
        return {key: _read_member(archive, members[key + ".npy"], f"{path}: {key}") for key in wanted}


def names_in_npz(path: str) -> List[str]:
    """Return the names of the arrays in an .npz archive; raise a `DataError` if it is damaged."""
    with wrap_read_errors(path, "an .npz archive"), zipfile.ZipFile(path) as archive:
        return [info.filename[:-4] for info in archive.infolist() if info.filename.endswith(".npy")]


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> np.ndarray:
    """Return the array in a member of an archive; ``where`` names it in messages."""
    with archive.open(info) as member:
        stream: Any = member
        return read_array(stream, where)
