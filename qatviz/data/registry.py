"""One entry for every way to name data: `load` picks by name or by what a path holds."""

import difflib
import os
from dataclasses import dataclass
from typing import Callable

from qatviz.data.assets import asset_path
from qatviz.data.cifar import is_cifar10, load_cifar10
from qatviz.data.folder import ENDINGS, is_folder, load_folder
from qatviz.data.idx import NAMES_HELP, is_idx, load_idx
from qatviz.data.keras_cache import load_cifar10_cache, load_fashion_mnist, load_mnist
from qatviz.data.npz import KEYS_HELP, is_npz, load_npz
from qatviz.errors import DataError
from qatviz.metric import CLASSIFICATION, check_task


@dataclass(frozen=True)
class NamedData:
    """A data set that is loaded by name.

    Attributes
    ----------
    name : str
        What the user types.
    help : str
        One line on what it is.
    load : callable (validation_fraction, seed) -> Dataset
    """

    name: str
    help: str
    load: Callable


@dataclass(frozen=True)
class FileFormat:
    """A kind of file or directory that is loaded by path.

    Attributes
    ----------
    name : str
        Short name of the format.
    help : str
        One line on what is expected.
    matches : callable (path) -> bool
        Whether an existing path looks like it; the first match of `FILE_FORMATS` loads it.
    load : callable (path, validation_fraction, seed) -> Dataset
    takes_task : bool
        Whether it can hold numbers to predict too: then `load` takes a `task`.
    """

    name: str
    help: str
    matches: Callable
    load: Callable
    takes_task: bool = False


def _load_mnist_5k(validation_fraction, seed):
    return load_npz(asset_path("mnist_5k.npz"), validation_fraction, seed, "mnist-5k", "bundled MNIST digits")


NAMED_DATA = (
    NamedData("mnist-5k", "5,000 MNIST digits, 28x28 grey, bundled with qatviz", _load_mnist_5k),
    NamedData("mnist", "70,000 digits, 28x28 grey, where tf.keras has cached them", load_mnist),
    NamedData(
        "fashion_mnist", "70,000 pieces of clothing, 28x28 grey, where tf.keras has cached them", load_fashion_mnist
    ),
    NamedData("cifar10", "60,000 photographs, 32x32 RGB, where tf.keras has cached them", load_cifar10_cache),
)

FILE_FORMATS = (
    FileFormat("npz", "a NumPy archive with " + KEYS_HELP, is_npz, load_npz, True),
    FileFormat("cifar10", "the directory cifar-10-batches-py or the .tar.gz archive of it", is_cifar10, load_cifar10),
    FileFormat("idx", "a file or directory with " + NAMES_HELP, is_idx, load_idx, True),
    FileFormat(
        "folder",
        f"a directory with one sub-folder of images ({' '.join(ENDINGS)}) a class, or train and test with such folders",
        is_folder,
        load_folder,
    ),
)


def load(spec, validation_fraction=0.2, seed=0, task=None):
    """Load a data set by name or by path.

    Parameters
    ----------
    spec : str
        A name of `NAMED_DATA` (hyphens and underscores are the same), else a path to what `FILE_FORMATS` lists. A file
        that has such a name is reached as ``./name``.
    validation_fraction : float
        Share that is held out for testing where the data has no test part of its own, above 0 and below 1.
    seed : int
        Of that split, at least 0.
    task : str, optional
        ``"classification"`` or ``"regression"``; by default it is what the data says or is, see
        :func:`qatviz.data.build.from_arrays`.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If there is nothing of that name, or it cannot be used; the message names the file, what was found and what is
        expected. Damaged files raise no other error.
    SettingError
        If `validation_fraction` or `seed` is out of range.
    """
    spec = os.fspath(spec)
    only_classes = task is None or check_task(task) == CLASSIFICATION
    for named in NAMED_DATA:
        if spec.replace("_", "-") == named.name.replace("_", "-"):
            if only_classes:
                return named.load(validation_fraction, seed)
            raise DataError(_no_numbers(spec))
    path = os.path.expanduser(spec)
    if not os.path.exists(path):
        raise DataError(_not_found(spec))
    if not os.path.isfile(path) and not os.path.isdir(path):  # a pipe or a device: reading it may take for ever
        raise DataError(f"{path}: is neither a file nor a directory")
    for file_format in FILE_FORMATS:
        if file_format.matches(path):
            if file_format.takes_task:
                return file_format.load(path, validation_fraction, seed, task=task)
            if only_classes:
                return file_format.load(path, validation_fraction, seed)
            raise DataError(_no_numbers(path))
    raise DataError(
        "{}: is none of the kinds of data that can be read: expected {}".format(
            path, "; ".join(f"{kind.name} ({kind.help})" for kind in FILE_FORMATS)
        )
    )


def _no_numbers(spec):
    return (
        f"{spec}: has classes, and no numbers to predict: expected the task {CLASSIFICATION!r}, or one of "
        f"{', '.join(kind.name for kind in FILE_FORMATS if kind.takes_task)}"
    )


def _not_found(spec):
    names = [named.name for named in NAMED_DATA]
    close = difflib.get_close_matches(spec, names, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"{spec!r} is neither a data set ({', '.join(names)}) nor an existing file or directory.{hint}"
