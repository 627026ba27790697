"""IDX files, the format of MNIST and its kin: http://yann.lecun.com/exdb/mnist/, plain or gzipped."""

import gzip
import os
import re

import numpy as np

from qatviz.data.build import from_arrays, name_of
from qatviz.data.checks import list_directory, read_exactly, reading
from qatviz.errors import DataError

NAMES_HELP = (
    "train-images-idx3-ubyte and train-labels-idx1-ubyte, with t10k-images-... and t10k-labels-... or "
    "without, gzipped or not"
)

_GZIP_MAGIC = b"\x1f\x8b"
# Third byte of the magic number -> element type; values are big-endian.
_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_AXES = 4
_IMAGES_NAME = re.compile(r"images[-.]idx\d-\w+?(\.gz)?$", re.IGNORECASE)
_LABELS_NAME = re.compile(r"labels[-.]idx\d-\w+?(\.gz)?$", re.IGNORECASE)


def load_idx(path, validation_fraction=0.2, seed=0, name=None, class_names=None, task=None):
    """Load a data set from IDX files.

    Parameters
    ----------
    path : str
        The file of the training images, whose name contains ``images-idx`` or ``images.idx``; the labels are expected
        beside it under the same name with ``labels`` and ``idx1``. Where it contains ``train``, a test part is taken
        from the files with ``t10k`` or ``test`` instead, if they are there. Or a directory with one such set.
    validation_fraction, seed
        Of the held-out part where there is no test part, see :func:`qatviz.data.build.from_arrays`.
    name : str, optional
        Instead of the name of the directory.
    class_names : sequence of str, optional
        In the order of the labels.
    task : str, optional
        ``"classification"`` or ``"regression"``, see :func:`qatviz.data.build.from_arrays`.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If a file is missing or damaged, or the arrays do not fit.
    """
    images = _training_images(path) if os.path.isdir(path) else path
    if not _IMAGES_NAME.search(os.path.basename(images)):
        raise DataError(
            f"{images}: the name does not tell where the labels are: expected an images file such as {NAMES_HELP}"
        )
    labels = _labels_of(images)
    where = {"x_train": images, "y_train": labels}
    test_images = _test_images_of(images)
    test = None
    if test_images is not None:
        where.update(x_test=test_images, y_test=_labels_of(test_images))
        test = (read_idx(test_images), read_idx(where["y_test"]))
    return from_arrays(
        name or name_of(os.path.dirname(os.path.abspath(images))),
        path,
        (read_idx(images), read_idx(labels)),
        test,
        class_names,
        validation_fraction,
        seed,
        where,
        task,
    )


def is_idx(path):
    """Return whether a file starts like an IDX file or gzip, or a directory holds images under an IDX name."""
    if os.path.isdir(path):
        return any(_IMAGES_NAME.search(entry) for entry in list_directory(path))
    with reading(path, "a file"), open(path, "rb") as stream:
        start = stream.read(4)
    return (
        _IMAGES_NAME.search(path) is not None
        or _LABELS_NAME.search(path) is not None
        or (start[:2] == b"\0\0" and start[2:3] and start[2] in _DTYPES)
    )


def read_idx(path):
    """Read one IDX file.

    Parameters
    ----------
    path : str
        Gzip is recognized by its first bytes, not by the name.

    Returns
    -------
    ndarray
        In native byte order, of 1 to 4 axes.

    Raises
    ------
    DataError
        If it cannot be read, is no IDX file, or its length is not what its header promises.
    """
    with reading(path, "an IDX file"):
        with open(path, "rb") as stream:
            zipped = stream.read(2) == _GZIP_MAGIC
        with gzip.open(path, "rb") if zipped else open(path, "rb") as stream:
            magic = stream.read(4)
            if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or not 1 <= magic[3] <= _MAX_AXES:
                raise DataError(
                    f"{path}: found {magic!r} at its start: expected an IDX magic number (two zero bytes, an element "
                    f"type of {[hex(key) for key in sorted(_DTYPES)]}, 1 to {_MAX_AXES} axes)"
                )
            shape = tuple(int(size) for size in read_exactly(stream, (magic[3],), np.dtype(">u4"), path, "the header"))
            array = read_exactly(stream, shape, np.dtype(_DTYPES[magic[2]]), path, "the array")
            # For gzip, reaching the end also verifies the checksum.
            if stream.read(1):
                raise DataError(
                    f"{path}: found more bytes than its header tells ({array.dtype.name} of shape "
                    f"{list(shape)}): expected none"
                )
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _training_images(directory):
    names = [entry for entry in list_directory(directory) if _IMAGES_NAME.search(entry)]
    # A file and its gzipped copy are one set; the plain one is faster to read.
    names = [name for name in names if not (name.lower().endswith(".gz") and name[:-3] in names)]
    training = [name for name in names if "train" in name.lower()] or names
    if len(training) != 1:
        raise DataError(
            f"{directory}: found {len(training)} files of training images ({', '.join(training) or 'none'}): "
            "expected one, or the path of the one to use"
        )
    return os.path.join(directory, training[0])


def _labels_of(images):
    directory, name = os.path.split(images)
    # The last match: a prefix of the user's own may hold the word as well.
    start = name.lower().rindex("images")
    labels = name[:start] + "labels" + re.sub(r"(?i)([-.]idx)\d", r"\g<1>1", name[start + len("images") :])
    found = _existing(directory, labels)
    if found is None:
        raise DataError(f"{images}: there are no labels for these images: expected {labels} beside it, gzipped or not")
    return found


def _test_images_of(images):
    directory, name = os.path.split(images)
    if "train" not in name:
        return None
    for other in ("t10k", "test"):
        found = _existing(directory, other.join(name.rsplit("train", 1)))
        if found is not None:
            return found
    return None


def _existing(directory, name):
    plain = name[:-3] if name.lower().endswith(".gz") else name
    for candidate in (name, plain, plain + ".gz"):
        path = os.path.join(directory, candidate)
        if os.path.isfile(path):
            return path
    return None
