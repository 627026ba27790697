"""CIFAR-10 and CIFAR-100, in the versions for Python and binary of https://www.cs.toronto.edu/~kriz/cifar.html."""

import gzip
import os
import tarfile
from dataclasses import replace
from typing import IO, Any, Dict, List, NamedTuple, Tuple

import numpy as np

from qatviz.data.build import from_arrays
from qatviz.data.checks import read_exactly, wrap_read_errors
from qatviz.data.dataset import Dataset
from qatviz.data.pickles import read_pickled_arrays
from qatviz.data_options import DataOptions
from qatviz.errors import DataError

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

#: Labels of CIFAR-100.
_FINE, _COARSE = "fine_labels", "coarse_labels"
_IMAGE_SHAPE = (3, 32, 32)
_N_VALUES = 3 * 32 * 32
#: Largest unpacked size of an archive; that of CIFAR-10 is a fifth of it.
MAX_ARCHIVE_BYTES = 2**30
#: Largest file with names of classes.
_MAX_NAMES_BYTES = 2**16


class _Version(NamedTuple):
    """Files of a version of the data.

    Attributes
    ----------
    name : str
        Name of the data set.
    training : tuple of str
        Files of the batches for training.
    test : str
        File of the batch for testing.
    labels : tuple of str
        Names of the labels of an image: keys of a pickled batch, or, in a binary one, a byte each before the pixels.
    is_binary : bool
        Whether batches are bytes, and names of classes lines of text; otherwise all files are pickles.
    names : dict of str to str
        File with the names of the classes by name of the labels; empty if no file has them.
    """

    name: str
    training: Tuple[str, ...]
    test: str
    labels: Tuple[str, ...]
    is_binary: bool
    names: Dict[str, str]

    @property
    def batches(self) -> Tuple[str, ...]:
        """Files of all batches."""
        return (*self.training, self.test)


_NUMBERED = tuple(f"data_batch_{index}" for index in range(1, 6))
_BINARY = tuple(name + ".bin" for name in _NUMBERED)
_VERSIONS = (
    _Version("cifar10", _NUMBERED, "test_batch", ("labels",), False, {}),
    _Version("cifar10", _BINARY, "test_batch.bin", ("labels",), True, {}),
    _Version("cifar100", ("train",), "test", (_FINE, _COARSE), False, {_FINE: "meta", _COARSE: "meta"}),
    _Version(
        "cifar100",
        ("train.bin",),
        "test.bin",
        (_COARSE, _FINE),
        True,
        {_FINE: "fine_label_names.txt", _COARSE: "coarse_label_names.txt"},
    ),
)


class _Batch(NamedTuple):
    """Images, uint8 ``[N, 32, 32, 3]``, and labels, int64 ``[N]``, by their name."""

    images: np.ndarray
    labels: Dict[str, np.ndarray]


class _Content(NamedTuple):
    """Batches by name of their file, and names of classes by name of their file and name of the labels."""

    batches: Dict[str, _Batch]
    names: Dict[Tuple[str, str], List[str]]


def load_cifar(
    path: str, validation_fraction: float = 0.2, seed: int = 0, options: DataOptions = DataOptions()
) -> Dataset:
    """Load CIFAR-10 or CIFAR-100 from its directory or its .tar.gz archive.

    The archive is not extracted, and no pickle is executed.

    Parameters
    ----------
    path : str
    validation_fraction, seed
        Not used, since there is a test part; all loaders have these parameters.
    options : DataOptions
        For CIFAR-100, `targets` is "fine_labels" (default: 100 classes) or "coarse_labels" (20 classes).

    Returns
    -------
    Dataset
        Images of shape [N, 32, 32, 3], uint8.

    Raises
    ------
    DataError
        If a batch is missing or damaged, or there are no such labels.
    """
    content = _from_directory(path) if os.path.isdir(path) else _from_archive(path)
    version = max(_VERSIONS, key=lambda version: sum(batch in content.batches for batch in version.batches))
    missing = [batch for batch in version.batches if batch not in content.batches]
    if missing:
        raise DataError(f"{path}: {missing[0]} is missing; expected {', '.join(version.training)} and {version.test}")
    labels = options.targets or (_FINE if _FINE in version.labels else version.labels[0])
    if labels not in version.labels:
        raise DataError(f"{path}: found no {labels!r}; expected one of {', '.join(version.labels)}", "targets")
    training = [content.batches[batch] for batch in version.training]
    test = content.batches[version.test]
    names = CLASS_NAMES if version.name == "cifar10" else content.names.get((version.names[labels], labels))
    dataset = from_arrays(
        version.name,
        path,
        (
            np.concatenate([batch.images for batch in training]),
            np.concatenate([batch.labels[labels] for batch in training]),
        ),
        (test.images, test.labels[labels]),
        names,
        validation_fraction,
        seed,
    )
    return replace(dataset, choices={"targets": tuple(sorted(version.labels, reverse=True))})


def is_cifar(path: str) -> bool:
    """Return whether a path is a directory of batches, or has the name of a .tar.gz archive."""
    if os.path.isdir(path):
        return any(
            all(os.path.isfile(os.path.join(path, batch)) for batch in (version.training[0], *version.names.values()))
            for version in _VERSIONS
        )
    return path.lower().endswith((".tar.gz", ".tgz"))


def _from_directory(directory: str) -> _Content:
    """Read the files of all versions in a directory."""
    content = _Content({}, {})
    for version in _VERSIONS:
        for name in dict.fromkeys((*version.batches, *version.names.values())):
            path = os.path.join(directory, name)
            if os.path.isfile(path):
                with wrap_read_errors(path, f"a file of {version.name}"), open(path, "rb") as stream:
                    _read(version, name, path, stream, os.path.getsize(path), content)
    return content


def _from_archive(path: str) -> _Content:
    """Read the files of all versions in a .tar.gz archive."""
    content = _Content({}, {})
    known = {name: version for version in _VERSIONS for name in (*version.batches, *version.names.values())}
    with wrap_read_errors(path, "a .tar.gz archive"), gzip.open(path, "rb") as unpacked:
        stream: Any = _LimitedStream(unpacked, path)
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                name = os.path.basename(member.name)
                file = archive.extractfile(member) if member.isfile() and name in known else None
                if file is not None:
                    _read(known[name], name, f"{path}: {member.name}", file, member.size, content)
        # Read to the end of the gzip stream, which continues after the tar archive, to verify the checksum.
        while stream.read(2**20):
            pass
    return content


def _read(version: _Version, name: str, where: str, stream: IO[bytes], n_bytes: int, content: _Content) -> None:
    """Read a batch or the names of classes from a file into ``content``."""
    if name in version.batches:
        read = _read_binary if version.is_binary else _read_pickled
        content.batches[name] = read(version, where, stream, n_bytes)
        return
    if n_bytes > _MAX_NAMES_BYTES:
        raise DataError(f"{where}: found {n_bytes:,} bytes; expected at most {_MAX_NAMES_BYTES:,} for names of classes")
    found: Dict[Any, Any] = {} if version.is_binary else read_pickled_arrays(where, stream, n_bytes)
    for labels in (labels for labels, file in version.names.items() if file == name):
        if version.is_binary:
            found[labels] = stream.read(n_bytes).decode("utf-8").split()
        names = found.get(labels if version.is_binary else labels[: -len("s")] + "_names")
        if not isinstance(names, list) or not all(isinstance(text, (str, bytes)) for text in names):
            raise DataError(f"{where}: found no names of {labels}; expected a list of strings")
        content.names[name, labels] = [text.decode("latin1") if isinstance(text, bytes) else text for text in names]


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


def _read_pickled(version: _Version, where: str, stream: IO[bytes], n_bytes: int) -> _Batch:
    """Return a pickled batch, whose rows have 1,024 values each of red, green and blue."""
    content = read_pickled_arrays(where, stream, n_bytes)
    data = content.get("data")
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != _N_VALUES:
        found = f"shape {list(data.shape)}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{where}: data: found {found}; expected uint8 of shape [N, {_N_VALUES}]")
    return _Batch(_images(data), {name: _labels(content.get(name), name, len(data), where) for name in version.labels})


def _labels(labels: Any, name: str, n_images: int, where: str) -> np.ndarray:
    """Return labels of a pickled batch as int64 ``[n_images]``; raise a `DataError` if they are not such a list."""
    if not isinstance(labels, list) or len(labels) != n_images or not all(type(label) is int for label in labels):
        found = f"a list of {len(labels)} values" if isinstance(labels, list) else type(labels).__name__
        raise DataError(f"{where}: {name}: found {found}; expected a list of {n_images} integers")
    return np.array(labels, dtype=np.int64)


def _read_binary(version: _Version, where: str, stream: IO[bytes], n_bytes: int) -> _Batch:
    """Return a binary batch, whose rows have a byte for each of the labels, and 1,024 each of red, green and blue."""
    row = len(version.labels) + _N_VALUES
    if n_bytes == 0 or n_bytes % row:
        raise DataError(f"{where}: found {n_bytes:,} bytes; expected a multiple of {row:,}")
    rows = read_exactly(stream, (n_bytes // row, row), np.dtype(np.uint8), where, "the batch")
    labels = {name: rows[:, index].astype(np.int64) for index, name in enumerate(version.labels)}
    return _Batch(_images(rows[:, len(labels) :]), labels)


def _images(rows: np.ndarray) -> np.ndarray:
    """Return rows of pixels, ``[N, 3072]``, as images, ``[N, 32, 32, 3]``."""
    return rows.reshape((-1, *_IMAGE_SHAPE)).transpose(0, 2, 3, 1)
