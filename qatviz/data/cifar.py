"""CIFAR-10 in its authors' version for Python: https://www.cs.toronto.edu/~kriz/cifar.html."""

import gzip
import os
import tarfile
from typing import IO, Any, Dict, Tuple

import numpy as np

from qatviz.data.build import from_arrays
from qatviz.data.checks import wrap_read_errors
from qatviz.data.dataset import Dataset
from qatviz.data.pickles import read_pickled_arrays
from qatviz.errors import DataError

Batch = Tuple[np.ndarray, np.ndarray]
"""Images and labels."""

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_TRAINING = tuple(f"data_batch_{index}" for index in range(1, 6))
_TEST = "test_batch"
_IMAGE_SHAPE = (3, 32, 32)
# Maximum unpacked size; that of CIFAR-10 is a fifth of it.
MAX_ARCHIVE_BYTES = 2**30


def load_cifar10(path: str, validation_fraction: float = 0.2, seed: int = 0) -> Dataset:
    """Load CIFAR-10 from its directory ``cifar-10-batches-py`` or its archive ``cifar-10-python.tar.gz``.

    The archive is not extracted, and no pickle is executed.

    Parameters
    ----------
    path : str
    validation_fraction, seed
        Not used, since CIFAR-10 has a test part; all loaders have these parameters.

    Returns
    -------
    Dataset
        Images of shape [N, 32, 32, 3], uint8.

    Raises
    ------
    DataError
        If a batch is missing or damaged.
    """
    batches = _from_directory(path) if os.path.isdir(path) else _from_archive(path)
    missing = [batch for batch in (*_TRAINING, _TEST) if batch not in batches]
    if missing:
        raise DataError(f"{path}: {missing[0]} is missing; expected {', '.join(_TRAINING)} and {_TEST}")
    images, labels = [np.concatenate(parts) for parts in zip(*(batches[batch] for batch in _TRAINING))]
    return from_arrays("cifar10", path, (images, labels), batches[_TEST], CLASS_NAMES, validation_fraction, seed)


def is_cifar10(path: str) -> bool:
    """Return whether a path is a directory of CIFAR-10 batches, or a .tar.gz file."""
    if os.path.isdir(path):
        return os.path.isfile(os.path.join(path, _TRAINING[0]))
    return path.lower().endswith((".tar.gz", ".tgz"))


def _from_directory(directory: str) -> Dict[str, Batch]:
    batches: Dict[str, Batch] = {}
    for batch in (*_TRAINING, _TEST):
        path = os.path.join(directory, batch)
        if os.path.isfile(path):
            with wrap_read_errors(path, "a CIFAR-10 batch"), open(path, "rb") as stream:
                batches[batch] = _read_batch(path, stream, os.path.getsize(path))
    return batches


def _from_archive(path: str) -> Dict[str, Batch]:
    batches: Dict[str, Batch] = {}
    with wrap_read_errors(path, "a .tar.gz archive"), gzip.open(path, "rb") as unpacked:
        stream: Any = _LimitedStream(unpacked, path)
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                batch = os.path.basename(member.name)
                content = archive.extractfile(member) if member.isfile() and batch in (*_TRAINING, _TEST) else None
                if content is not None:
                    batches[batch] = _read_batch(f"{path}: {member.name}", content, member.size)
        # Read to the end of the gzip stream, which continues after the tar archive, to verify the checksum.
        while stream.read(2**20):
            pass
    return batches


class _LimitedStream:
    """Stream that raises a `DataError` beyond `MAX_ARCHIVE_BYTES`: a few bytes can unpack to any size."""

    def __init__(self, stream: gzip.GzipFile, path: str):
        self._stream, self._path = stream, path
        self.tell = stream.tell

    def read(self, n_bytes: int) -> bytes:
        self._check(self.tell() + n_bytes if n_bytes > 2**20 else self.tell())
        return self._stream.read(n_bytes)

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        self._check(position if whence == os.SEEK_SET else self.tell())
        return self._stream.seek(position, whence)

    def _check(self, position: int) -> None:
        if position > MAX_ARCHIVE_BYTES:
            raise DataError(
                f"{self._path}: found more than {MAX_ARCHIVE_BYTES:,} bytes in the archive; expected the 186,000,000 "
                "of CIFAR-10"
            )


def _read_batch(where: str, stream: IO[bytes], n_bytes: int) -> Batch:
    """Return images [N, 32, 32, 3] and labels [N] of a batch, whose rows have 1024 values each of red, green, blue."""
    content = read_pickled_arrays(where, stream, n_bytes)
    data, labels = content.get("data"), content.get("labels")
    n_values = int(np.prod(_IMAGE_SHAPE))
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != n_values:
        found = f"shape {list(data.shape)}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{where}: data: found {found}; expected uint8 of shape [N, {n_values}]")
    if not isinstance(labels, list) or len(labels) != len(data) or not all(type(label) is int for label in labels):
        found = f"a list of {len(labels)} values" if isinstance(labels, list) else type(labels).__name__
        raise DataError(f"{where}: labels: found {found}; expected a list of {len(data)} integers")
    return data.reshape((-1, *_IMAGE_SHAPE)).transpose(0, 2, 3, 1), np.array(labels, dtype=np.int64)
