"""Folders of images with one subfolder per class, or with a table, in a directory or a zip archive."""

import os
import zipfile
from dataclasses import replace
from typing import List, Optional

import numpy as np

from qatviz.data.build import from_arrays, name_from_path
from qatviz.data.checks import classes_only_reason, list_directory
from qatviz.data.class_folders import FolderReader
from qatviz.data.csv_file import is_csv
from qatviz.data.dataset import Dataset
from qatviz.data.file_tree import DirectoryTree, FileTree, zip_tree
from qatviz.data.image_table import LabelledPart, table_of
from qatviz.data.images import IMAGES, ImageReader
from qatviz.data_options import DataOptions
from qatviz.errors import DataError, SettingError
from qatviz.task import CLASSIFICATION


def load_folder(
    path: str,
    validation_fraction: float = 0.2,
    seed: int = 0,
    task: Optional[str] = None,
    options: DataOptions = DataOptions(),
) -> Dataset:
    """Load a data set from a directory with one subfolder of images per class, or of images with a table of labels.

    Classes are numbered in the order of the names of their folders (numerically if all are numbers); images may be in
    subfolders of them. Alternatively, the directory has such folders in a folder for each part, in one of the usual
    spellings: ``train``; and, to be held out, ``test`` or ``valid``. Without either, a part of the images is held out.
    Folders that only contain another one are skipped. If any image is in colour, all are converted to RGB; otherwise
    they are grey. Hidden files and folders are ignored; files with extensions that are not in
    ``qatviz.data.images.IMAGES.extensions`` are skipped and counted.

    Images without class folders have their labels or targets in a CSV file beside them that has their names
    (``labels.csv``, or a file for each part).

    Parameters
    ----------
    path : str
    validation_fraction, seed, task
        See :func:`qatviz.data.build.from_arrays`. Class folders are for classification.
    options : DataOptions
        Size of the images, treatment of other sizes, of transparency and of what can't be used, held-out part, column
        of the labels.

    Returns
    -------
    Dataset
        Images of shape [N, height, width, 1 or 3], uint8; float32 if there are images of 16 bits.

    Raises
    ------
    ChoiceNeeded
        If nothing tells which column has the labels.
    DataError
        If images differ in size (the message names two of them) and there is no size to convert them to, if an image is
        damaged, a folder is empty, or Pillow is not installed.
    """
    return _load(DirectoryTree(path), validation_fraction, seed, task, options)


def load_zipped_folder(
    path: str,
    validation_fraction: float = 0.2,
    seed: int = 0,
    task: Optional[str] = None,
    options: DataOptions = DataOptions(),
) -> Dataset:
    """Load a data set from a zip archive of a directory that :func:`load_folder` accepts; nothing is extracted."""
    with zip_tree(path) as tree:
        return _load(tree, validation_fraction, seed, task, options)


def is_folder(path: str) -> bool:
    """Return whether a path is a directory with subfolders, or with images and a table."""
    if not os.path.isdir(path):
        return False
    names = [name for name in list_directory(path) if name[0] != "."]
    has_table = any(map(IMAGES.has, names)) and any(map(is_csv, names))
    return has_table or any(os.path.isdir(os.path.join(path, name)) for name in names)


def is_zipped_folder(path: str) -> bool:
    """Return whether a path is a zip archive, by its extension or its content."""
    return os.path.isfile(path) and (path.lower().endswith(".zip") or zipfile.is_zipfile(path))


def _load(tree: FileTree, validation_fraction: float, seed: int, task: Optional[str], options: DataOptions) -> Dataset:
    folder = FolderReader(tree, options, IMAGES)
    table = table_of(tree, folder.innermost(), options)
    class_names: Optional[List[str]] = None
    parts: List[LabelledPart]
    if table is not None:
        parts = table.parts()
    elif options.targets:
        raise SettingError.of_field(
            "targets", "applies to images with a table of labels, not to class folders: omit it"
        )
    elif task in (None, CLASSIFICATION):
        parts = [LabelledPart(part.files, np.array(part.labels, np.int32)) for part in folder.parts()]
        class_names = folder.class_names
    else:
        raise DataError(classes_only_reason(tree.root, str(task)), "task")
    images = ImageReader(tree, options)
    arrays = [
        (pixels, part.labels[kept]) for part, (pixels, kept) in zip(parts, images.read([part.files for part in parts]))
    ]
    dataset = from_arrays(
        name_from_path(tree.root),
        tree.root,
        arrays[0],
        arrays[1] if len(arrays) > 1 else None,
        class_names,
        validation_fraction,
        seed,
        task=task,
        notes=[*(folder.notes() if table is None else table.notes()), *images.notes()],
    )
    if table is not None:
        dataset = replace(dataset, choices={"targets": table.choices})
    if dataset.x_train.dtype == np.uint8:
        return dataset
    return replace(dataset, assumed=dataset.assumed._replace(integers="uint16", float_pixels=True))
