"""Folders of images, with a subfolder per class, with masks or with a table, in a directory or a zip archive."""

import os
import zipfile
from dataclasses import replace
from typing import List, Optional

import numpy as np

from qatviz.data.build import from_arrays, name_from_path, train_and_test
from qatviz.data.checks import classes_only_reason, list_directory
from qatviz.data.class_folders import FolderReader
from qatviz.data.csv_file import is_csv
from qatviz.data.dataset import Dataset
from qatviz.data.file_tree import DirectoryTree, FileTree, zip_tree
from qatviz.data.image_table import LabelledPart, table_of
from qatviz.data.images import IMAGES, ImageReader, with_pixel_type
from qatviz.data.mask_folder import load_masks, mask_folders
from qatviz.data.split_names import check_random_split
from qatviz.data_options import DataOptions
from qatviz.errors import DataError, SettingError
from qatviz.task import CLASSIFICATION, SEGMENTATION


def load_folder(
    path: str,
    validation_fraction: float = 0.2,
    seed: int = 0,
    task: Optional[str] = None,
    options: DataOptions = DataOptions(),
) -> Dataset:
    """Load a data set from a directory of images: one subfolder for each class, or a table with their labels.

    Class folders are numbered in the order of their names (numerically if all are numbers); images may be in subfolders
    of them. They are in the directory itself, or in a folder for each part, which has one of the usual names: ``train``
    and, to be held out, ``test`` or ``valid``. Without either of these, some of the images are held out. Folders that
    only contain another one are passed through.

    Without class folders, a CSV file beside the images has their names and their labels or targets (``labels.csv``, or
    a file for each part). Images in one folder and masks in another are those of
    :func:`qatviz.data.mask_folder.load_masks`.

    Hidden files and folders are ignored; files with extensions that are not in ``IMAGES.extensions`` are skipped and
    counted.

    Parameters
    ----------
    path : str
    validation_fraction, seed, task
        See :func:`qatviz.data.build.from_arrays`. Class folders are for classification.
    options : DataOptions
        :data:`qatviz.data.images.IMAGE_OPTIONS`, `held_out` and, for a table, `targets` of them are used.

    Returns
    -------
    Dataset
        Images of shape [N, height, width, 1 or 3], in the form of :meth:`qatviz.data.images.ImageReader.read`.

    Raises
    ------
    ChoiceNeeded
        If it is not clear which column has the labels.
    DataError
        If images differ in size (the message names two of them) and there is no size to convert them to, if an image is
        damaged, a folder is empty, or Pillow is not installed.
    SettingError
        If the options name a column, but there is no table.
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
    """Load the data set in a tree, see :func:`load_folder`."""
    folder = FolderReader(tree, options, IMAGES)
    masks = mask_folders(tree, folder.innermost()) if task in (None, SEGMENTATION) else None
    if masks is not None:
        if options.targets:
            raise SettingError.of_field("targets", "applies to images with a table of labels, not to masks: omit it")
        return load_masks(tree, masks, validation_fraction, seed, options)
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
        if len(parts) == 1:
            check_random_split(options, tree.root)
    else:
        raise DataError(classes_only_reason(tree.root, str(task)), "task")
    images = ImageReader(tree, options)
    arrays = [
        (pixels, part.labels[kept]) for part, (pixels, kept) in zip(parts, images.read([part.files for part in parts]))
    ]
    dataset = from_arrays(
        name_from_path(tree.root),
        tree.root,
        *train_and_test(arrays),
        class_names,
        validation_fraction,
        seed,
        task=task,
        notes=[*(folder.notes() if table is None else table.notes()), *images.notes()],
    )
    if table is not None:
        dataset = replace(dataset, choices={"targets": table.choices})
    return replace(dataset, assumed=with_pixel_type(dataset.assumed, dataset.x_train.dtype))
