"""IDX files, the format of MNIST and similar data sets: http://yann.lecun.com/exdb/mnist/, plain or gzipped."""

import gzip
import os
import re
from typing import Any, Optional, Sequence

import numpy as np

from qatviz.data.build import from_arrays, name_from_path
from qatviz.data.checks import is_gzipped, list_directory, read_exactly, to_native_byte_order, wrap_read_errors
from qatviz.data.dataset import Dataset
from qatviz.errors import DataError

NAMES_HELP = (
    "train-images-idx3-ubyte and train-labels-idx1-ubyte, optionally t10k-images-... and t10k-labels-..., "
    "gzipped or not"
)

#: Types of the values by the third byte of the magic number; they are big-endian.
_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_AXES = 4
_IMAGES_NAME = re.compile(r"images[-.]idx\d-\w+?(\.gz)?$", re.IGNORECASE)
_LABELS_NAME = re.compile(r"labels[-.]idx\d-\w+?(\.gz)?$", re.IGNORECASE)


def load_idx(
    path: str,
    validation_fraction: float = 0.2,
    seed: int = 0,
    name: Optional[str] = None,
    class_names: Optional[Sequence[str]] = None,
    task: Optional[str] = None,
) -> Dataset:
    """Load a data set from IDX files.

    Parameters
    ----------
    path : str
        File of the training images, whose name contains ``images-idx`` or ``images.idx``, or a directory with one such
        file. The labels are expected in the same directory under the same name with ``labels`` and ``idx1``. If the
        name contains ``train``, the test part is loaded from files with ``t10k`` or ``test`` instead, if they exist.
    validation_fraction, seed, class_names, task
        See :func:`qatviz.data.build.from_arrays`.
    name : str, optional
        Name of the data set; default: the name of the directory.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If a file is missing or damaged, or the arrays are not a data set.
    """
    images = _training_images(path) if os.path.isdir(path) else path
    if not _IMAGES_NAME.search(os.path.basename(images)):
        raise DataError(
            f"{images}: not the name of an images file, from which that of the labels follows; expected {NAMES_HELP}"
        )
    labels = _labels_path(images)
    where = {"x_train": images, "y_train": labels}
    test_images = _test_images_path(images)
    test = None
    if test_images is not None:
        where.update(x_test=test_images, y_test=_labels_path(test_images))
        test = (read_idx(test_images), read_idx(where["y_test"]))
    return from_arrays(
        name or name_from_path(os.path.dirname(os.path.abspath(images))),
        path,
        (read_idx(images), read_idx(labels)),
        test,
        class_names,
        validation_fraction,
        seed,
        where,
        task,
    )


def is_idx(path: str) -> bool:
    """Return whether a path is an IDX file by name or content, or a directory with an images file by name."""
    if os.path.isdir(path):
        return any(_IMAGES_NAME.search(entry) for entry in list_directory(path))
    with wrap_read_errors(path, "a file"), open(path, "rb") as stream:
        start = stream.read(4)
    return (
        _IMAGES_NAME.search(path) is not None
        or _LABELS_NAME.search(path) is not None
        or (start[:2] == b"\0\0" and len(start) > 2 and start[2] in _DTYPES)
    )


def read_idx(path: str) -> np.ndarray:
    """Read an IDX file.

    Parameters
    ----------
    path : str
        A gzipped file is recognized by its content, not by its name.

    Returns
    -------
    ndarray
        In native byte order, with 1 to 4 axes.

    Raises
    ------
    DataError
        If the file cannot be read, is not an IDX file, or its length does not agree with its header.
    """
    with wrap_read_errors(path, "an IDX file"):
        opener: Any = gzip.open if is_gzipped(path) else open
        with opener(path, "rb") as stream:
            magic = stream.read(4)
            if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or not 1 <= magic[3] <= _MAX_AXES:
                raise DataError(
                    f"{path}: found {magic!r} at its start; expected an IDX magic number (two zero bytes, an element "
                    f"type of {[hex(key) for key in sorted(_DTYPES)]}, 1 to {_MAX_AXES} axes)"
                )
            shape = tuple(int(size) for size in read_exactly(stream, (magic[3],), np.dtype(">u4"), path, "the header"))
            array = read_exactly(stream, shape, np.dtype(_DTYPES[magic[2]]), path, "the array")
            # For gzip, this also verifies the checksum.
            if stream.read(1):
                expected = f"{array.dtype.name} of shape {list(shape)}"
                raise DataError(f"{path}: found more bytes than its header declares; expected {expected}")
    return to_native_byte_order(array)


def _training_images(directory: str) -> str:
    """Return the path of the only file of training images in a directory."""
    names = [entry for entry in list_directory(directory) if _IMAGES_NAME.search(entry)]
    # If there is a gzipped copy of a file, use the plain file, which is faster to read.
    names = [name for name in names if not (name.lower().endswith(".gz") and name[:-3] in names)]
    training = [name for name in names if "train" in name.lower()] or names
    if len(training) != 1:
        raise DataError(
            f"{directory}: found {len(training)} files of training images ({', '.join(training) or 'none'}); "
            "expected one, or the path of the file to use"
        )
    return os.path.join(directory, training[0])


def _labels_path(images: str) -> str:
    """Return the path of the labels that belong to a file of images."""
    directory, name = os.path.split(images)
    # The last occurrence: a prefix of the name may contain the word as well.
    start = name.lower().rindex("images")
    labels = name[:start] + "labels" + re.sub(r"(?i)([-.]idx)\d", r"\g<1>1", name[start + len("images") :])
    found = _existing(directory, labels)
    if found is None:
        raise DataError(f"{images}: labels not found; expected {labels} in the same directory, gzipped or not")
    return found


def _test_images_path(images: str) -> Optional[str]:
    """Return the path of the test images that belong to a file of training images; None if there is none."""
    directory, name = os.path.split(images)
    place = name.lower().rfind("train")
    if place < 0:
        return None
    for other in ("t10k", "test"):
        found = _existing(directory, name[:place] + other + name[place + len("train") :])
        if found is not None:
            return found
    return None


def _existing(directory: str, name: str) -> Optional[str]:
    """Return the path of the file with this name, with or without .gz; None if there is none."""
    plain = name[:-3] if name.lower().endswith(".gz") else name
    for candidate in (name, plain, plain + ".gz"):
        path = os.path.join(directory, candidate)
        if os.path.isfile(path):
            return path
    return None
