"""Registry of named data sets and file formats, and `load`, which selects one by name or by the content of a path."""

import os
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, Union

from qatviz.asset_files import asset_path
from qatviz.data.arrays import ARRAY_OPTIONS, KEYS_HELP, is_npy, load_npy, load_npz
from qatviz.data.checks import classes_only_reason
from qatviz.data.cifar import is_cifar, load_cifar
from qatviz.data.csv_data import CSV_OPTIONS, is_csv_data, load_csv
from qatviz.data.dataset import Assumptions, Dataset
from qatviz.data.folder import is_folder, is_zipped_folder, load_folder, load_zipped_folder
from qatviz.data.idx import NAMES_HELP, is_idx, load_idx
from qatviz.data.images import IMAGE_OPTIONS, IMAGES
from qatviz.data.keras_cache import load_cifar10_cache, load_fashion_mnist, load_mnist
from qatviz.data.npz import is_npz
from qatviz.data.sound_folder import SOUND_OPTIONS, is_sound_folder, load_sound_folder
from qatviz.data.store import is_store, load_store
from qatviz.data.tfrecord import TFRECORD_OPTIONS, is_tfrecord, load_tfrecord
from qatviz.data_options import OF_PARTS, DataOptions
from qatviz.errors import DataError, SettingError, did_you_mean
from qatviz.scaling import UNIT
from qatviz.task import CLASSIFICATION, SEGMENTATION, check_task


@dataclass(frozen=True)
class NamedData:
    """Data set that is loaded by name.

    Attributes
    ----------
    name : str
        Name on the command line, in the window and in scripts.
    help : str
        Description in one line.
    load : callable (validation_fraction, seed) -> Dataset
    """

    name: str
    help: str
    load: Callable[..., Dataset]


@dataclass(frozen=True)
class FileFormat:
    """Format of a file or directory that is loaded by path.

    Attributes
    ----------
    name : str
        Short name.
    help : str
        Expected content in one line.
    matches : callable (path) -> bool
        Returns whether an existing path has this format; the first match in `FILE_FORMATS` is used.
    load : callable (path, validation_fraction, seed) -> Dataset
    has_any_arrays : bool
        Whether it can store data for any task, so that `load` has the parameter `task`; otherwise for classification.
    options : tuple of str
        Names of the options in :class:`qatviz.data_options.DataOptions` that apply to it. If there are any, `load` has
        the parameter `options`.
    has_heads : bool
        Whether it can store targets of several outputs, so that `load` has the parameter `tasks`.
    """

    name: str
    help: str
    matches: Callable[[str], bool]
    load: Callable[..., Dataset]
    has_any_arrays: bool = False
    options: Tuple[str, ...] = ()
    has_heads: bool = False


def _load_mnist_5k(validation_fraction: float, seed: int) -> Dataset:
    return load_npz(asset_path("mnist_5k.npz"), validation_fraction, seed, "mnist-5k", "bundled MNIST digits")


def _load_animals(validation_fraction: float, seed: int) -> Dataset:
    return load_npz(asset_path("animals.npz"), validation_fraction, seed, "animals", "bundled silhouettes of animals")


NAMED_DATA = (
    NamedData("mnist-5k", "5,000 MNIST digits, 28x28 grey, bundled with qatviz", _load_mnist_5k),
    NamedData(
        "animals",
        "9,716 silhouettes of 10 animals, 28x28 grey, bundled with qatviz: harder than digits, so that few bits show",
        _load_animals,
    ),
    NamedData("mnist", "70,000 digits, 28x28 grey, from the cache of tf.keras", load_mnist),
    NamedData("fashion_mnist", "70,000 pieces of clothing, 28x28 grey, from the cache of tf.keras", load_fashion_mnist),
    NamedData("cifar10", "60,000 photographs, 32x32 RGB, from the cache of tf.keras", load_cifar10_cache),
)

_FOLDER_OPTIONS = (*IMAGE_OPTIONS, "held_out", "targets", "ignored_label")

FILE_FORMATS = (
    FileFormat("npz", "a NumPy archive with " + KEYS_HELP, is_npz, load_npz, True, ARRAY_OPTIONS, True),
    FileFormat(
        "cifar10",
        "the directory of CIFAR-10 or CIFAR-100, in the versions for Python or binary, or its .tar.gz archive",
        is_cifar,
        load_cifar,
        options=("targets",),
    ),
    FileFormat("idx", "a file or directory with " + NAMES_HELP, is_idx, load_idx, True),
    FileFormat("store", "a directory written by qatviz store, for data larger than memory", is_store, load_store, True),
    FileFormat(
        "npy", "a directory of .npy files with such names, or one of them", is_npy, load_npy, True, ARRAY_OPTIONS
    ),
    FileFormat(
        "tfrecord",
        "a .tfrecord file or a directory of them, with a schema.json that describes the features",
        is_tfrecord,
        load_tfrecord,
        True,
        TFRECORD_OPTIONS,
    ),
    FileFormat(
        "csv",
        "a text file of rows (.csv, .tsv) with columns of features and of targets; a second one is the test part",
        is_csv_data,
        load_csv,
        True,
        CSV_OPTIONS,
        True,
    ),
    FileFormat(
        "sounds",
        "a directory with one subfolder of WAV files per class, or a zip archive of it",
        is_sound_folder,
        load_sound_folder,
        options=SOUND_OPTIONS,
    ),
    FileFormat(
        "folder",
        f"a directory with one subfolder of images ({' '.join(IMAGES.extensions)}) per class, or with such folders in "
        "parts for training, validation and test (train, valid, test and other usual names), or with images and a "
        "table of their labels (labels.csv), or with images in one folder and masks of the same names in another "
        "(images, masks and other usual names)",
        is_folder,
        load_folder,
        has_any_arrays=True,
        options=_FOLDER_OPTIONS,
    ),
    FileFormat("zip", "a zip archive of such a directory", is_zipped_folder, load_zipped_folder, True, _FOLDER_OPTIONS),
)


def load(
    spec: Union[str, "os.PathLike[str]"],
    validation_fraction: float = 0.2,
    seed: int = 0,
    task: Optional[str] = None,
    scaling: Optional[str] = None,
    options: DataOptions = DataOptions(),
    tasks: Optional[Mapping[str, str]] = None,
) -> Dataset:
    """Load a data set by name or by path.

    Parameters
    ----------
    spec : str
        Name in `NAMED_DATA` (hyphens and underscores are equivalent) or path of data in one of the `FILE_FORMATS`. If a
        file has such a name, load it as ``./name``.
    validation_fraction : float
        Fraction of the examples that is held out if the data has no part to hold out, above 0 and below 1.
    seed : int
        Seed of that split, at least 0.
    task : str, optional
        One of :data:`qatviz.task.TASKS`; by default, the task in the data, else the inferred one, see
        :func:`qatviz.data.targets.infer_task`.
    scaling : str, optional
        Scaling of the examples, see :meth:`qatviz.data.Dataset.with_scaling`: "none", "unit" (x / 255), "signed"
        (x / 127.5 - 1), "standard", or numbers. By default, uint8 images are pixels, fed as x / 255, and all other
        examples are fed as they are.
    options : DataOptions
        Options that decide how the data is read; those that are not defaults must apply to its format.
    tasks : mapping of str to str, optional
        Tasks by name of the output, for data with targets of several outputs; those of other outputs are `task`.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If there is no such data set, or it cannot be used; the message names the file, what was found and what is
        expected. Damaged files raise no other exception.
    SettingError
        If `validation_fraction`, `seed`, `scaling` or an option is not allowed, or an option does not apply to the
        data; its field is the name of the option.
    """
    options.check()
    dataset = _load_as_inferred(spec, validation_fraction, seed, task, options, tasks)
    if scaling is not None:
        return dataset.with_scaling(scaling)
    if dataset.assumed.float_pixels:
        return replace(dataset.with_scaling(UNIT), assumed=dataset.assumed)
    return dataset


def applicable_options(spec: Union[str, "os.PathLike[str]"]) -> Tuple[str, ...]:
    """Return the names of the data options that apply to a data set.

    Raises
    ------
    DataError
        If there is no such data set.
    """
    found = _found(os.fspath(spec))
    return found.options if isinstance(found, FileFormat) else ()


def options_for(dataset: Dataset, spec: Union[str, "os.PathLike[str]"]) -> Tuple[str, ...]:
    """Return the names of the data options that apply to a data set that was loaded from `spec`.

    Options that name parts of the data apply where there are parts to choose from.
    """
    is_mask = any(head.task == SEGMENTATION for head in dataset.heads)
    unused = () if is_mask else ("ignored_label",)
    names = (name for name in applicable_options(spec) if name not in OF_PARTS or name in dataset.choices)
    return tuple(name for name in names if name not in unused)


def _load_as_inferred(
    spec: Union[str, "os.PathLike[str]"],
    validation_fraction: float,
    seed: int,
    task: Optional[str],
    options: DataOptions,
    tasks: Optional[Mapping[str, str]],
) -> Dataset:
    """Return the data set with the scaling that it has, or that is inferred; float pixels are not scaled yet."""
    spec = os.fspath(spec)
    found = _found(spec)
    only_classes = task is None or check_task(task) == CLASSIFICATION
    if isinstance(found, NamedData):
        if not only_classes:
            raise DataError(classes_only_reason(spec, str(task)))
        _check_applicable(options, (), f"the data set {found.name}")
        # These data sets are known, so that nothing was inferred; but a trained model may decide how pixels are fed.
        return replace(found.load(validation_fraction, seed), assumed=Assumptions(scaling=True))
    path = os.path.expanduser(spec)
    _check_applicable(options, found.options, f"{found.name} data")
    more: Dict[str, Any] = {"options": options} if found.options else {}
    if found.has_heads and tasks:
        more["tasks"] = tasks
    if found.has_any_arrays:
        more["task"] = task
    elif not only_classes:
        raise DataError(classes_only_reason(path, str(task)))
    return found.load(path, validation_fraction, seed, **more)


def _found(spec: str) -> Union[NamedData, FileFormat]:
    """Return the named data set, or the format of the path."""
    for named in NAMED_DATA:
        if spec.replace("_", "-") == named.name.replace("_", "-"):
            return named
    path = os.path.expanduser(spec)
    if not os.path.exists(path):
        raise DataError(_not_found(spec))
    if not os.path.isfile(path) and not os.path.isdir(path):  # a pipe or device, from which reading may block forever
        raise DataError(f"{path}: found a pipe or device; expected a file or directory")
    for file_format in FILE_FORMATS:
        if file_format.matches(path):
            return file_format
    known = "; ".join(f"{kind.name} ({kind.help})" for kind in FILE_FORMATS)
    raise DataError(f"{path}: unknown format; expected one of: {known}")


def _check_applicable(options: DataOptions, names: Tuple[str, ...], what: str) -> None:
    """Raise a `SettingError` if options other than those with these names have values that are not defaults."""
    for name in options.given():
        if name not in names:
            formats = ", ".join(kind.name for kind in FILE_FORMATS if name in kind.options)
            raise SettingError.of_field(name, f"applies to data of the formats {formats}, not to {what}: omit it")


def _not_found(spec: str) -> str:
    names = [named.name for named in NAMED_DATA]
    hint = did_you_mean(spec, names)
    return f"{spec!r} is neither a data set ({', '.join(names)}) nor an existing file or directory.{hint}"
