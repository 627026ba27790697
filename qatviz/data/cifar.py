"""CIFAR-10 as its authors distribute it for Python: https://www.cs.toronto.edu/~kriz/cifar.html."""

import gzip
import os
import tarfile

import numpy as np

from qatviz.data.build import from_arrays
from qatviz.data.checks import reading
from qatviz.data.pickles import read_pickled_arrays
from qatviz.errors import DataError

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_TRAINING = tuple(f"data_batch_{index}" for index in range(1, 6))
_TEST = "test_batch"
_IMAGE_SHAPE = (3, 32, 32)
# Unpacked; CIFAR-10's is a fifth of it.
LARGEST_ARCHIVE = 2**30


def load_cifar10(path, validation_fraction=0.2, seed=0, name="cifar10", source=None):
    """Load CIFAR-10 from its directory ``cifar-10-batches-py`` or the archive ``cifar-10-python.tar.gz`` of it.

    The archive is read in place; nothing is extracted, and no pickle is executed.

    Parameters
    ----------
    path : str
    validation_fraction, seed
        Unused, as there is a test part of its own; here so that all loaders are called alike.
    name, source : str, optional
        See `Dataset`; the source is the path by default.

    Returns
    -------
    Dataset
        Images [N, 32, 32, 3] of uint8.

    Raises
    ------
    DataError
        If a batch is missing or damaged.
    """
    batches = _from_directory(path) if os.path.isdir(path) else _from_archive(path)
    missing = [batch for batch in (*_TRAINING, _TEST) if batch not in batches]
    if missing:
        raise DataError(f"{path}: {missing[0]} is missing: expected {', '.join(_TRAINING)} and {_TEST}")
    train = [np.concatenate(parts) for parts in zip(*(batches[batch] for batch in _TRAINING))]
    return from_arrays(name, source or path, train, batches[_TEST], CLASS_NAMES, validation_fraction, seed)


def is_cifar10(path):
    """Return whether a path is a directory with the batches, or a .tar.gz file."""
    if os.path.isdir(path):
        return os.path.isfile(os.path.join(path, _TRAINING[0]))
    return path.lower().endswith((".tar.gz", ".tgz"))


def _from_directory(directory):
    batches = {}
    for batch in (*_TRAINING, _TEST):
        path = os.path.join(directory, batch)
        if os.path.isfile(path):
            with reading(path, "a CIFAR-10 batch"), open(path, "rb") as stream:
                batches[batch] = _read_batch(path, stream, os.path.getsize(path))
    return batches


def _from_archive(path):
    batches = {}
    with reading(path, "a .tar.gz archive"), gzip.open(path, "rb") as unpacked:
        stream = _Limited(unpacked, path)
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                batch = os.path.basename(member.name)
                if member.isfile() and batch in (*_TRAINING, _TEST):
                    batches[batch] = _read_batch(f"{path}: {member.name}", archive.extractfile(member), member.size)
        # The archive's end comes before that of the gzip stream, whose checksum covers all of it.
        while stream.read(2**20):
            pass
    return batches


class _Limited:
    """A stream that goes no further than an archive of CIFAR-10 could: a few bytes unpack to as much as one likes."""

    def __init__(self, stream, path):
        self._stream, self._path = stream, path
        self.tell = stream.tell

    def read(self, n_bytes):
        self._check(self.tell() + n_bytes if n_bytes > 2**20 else self.tell())
        return self._stream.read(n_bytes)

    def seek(self, place, whence=os.SEEK_SET):
        self._check(place if whence == os.SEEK_SET else self.tell())
        return self._stream.seek(place, whence)

    def _check(self, place):
        if place > LARGEST_ARCHIVE:
            raise DataError(
                f"{self._path}: found more than {LARGEST_ARCHIVE:,} bytes in the archive: expected CIFAR-10, "
                "186,000,000"
            )


def _read_batch(where, stream, n_bytes):
    """Return images [N, 32, 32, 3] and labels [N] of one batch: rows of 1024 red, 1024 green and 1024 blue values."""
    content = read_pickled_arrays(where, stream, n_bytes)
    data, labels = content.get("data"), content.get("labels")
    n_values = int(np.prod(_IMAGE_SHAPE))
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != n_values:
        raise DataError(
            f"{where}: data: found "
            f"{list(data.shape) if isinstance(data, np.ndarray) else type(data).__name__}: expected uint8 of "
            f"shape [N, {n_values}]"
        )
    if not isinstance(labels, list) or len(labels) != len(data) or not all(type(label) is int for label in labels):
        raise DataError(
            "{}: labels: found {}: expected a list of {} integers".format(
                where, f"a list of {len(labels)}" if isinstance(labels, list) else type(labels).__name__, len(data)
            )
        )
    return data.reshape((-1, *_IMAGE_SHAPE)).transpose(0, 2, 3, 1), np.array(labels, dtype=np.int64)
