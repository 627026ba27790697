"""Folders of images with one subfolder per class, in a directory or a zip archive."""

import os
import zipfile
from dataclasses import replace

import numpy as np

from qatviz.data.build import from_arrays, name_from_path
from qatviz.data.checks import list_directory
from qatviz.data.class_folders import FolderReader
from qatviz.data.dataset import Dataset
from qatviz.data.file_tree import DirectoryTree, FileTree, zip_tree
from qatviz.data.images import IMAGES, ImageReader
from qatviz.data_options import DataOptions


def load_folder(
    path: str, validation_fraction: float = 0.2, seed: int = 0, options: DataOptions = DataOptions()
) -> Dataset:
    """Load a data set from a directory with one subfolder of images per class.

    Classes are numbered in the order of the names of their folders (numerically if all are numbers); images may be in
    subfolders of them. Alternatively, the directory has such folders in a folder for each part, in one of the usual
    spellings: ``train``; and, to be held out, ``test`` or ``valid``. Without either, a part of the images is held out.
    Folders that only contain another one are skipped. If any image is in colour, all are converted to RGB; otherwise
    they are grey. Hidden files and folders are ignored; files with extensions that are not in
    ``qatviz.data.images.IMAGES.extensions`` are skipped and counted.

    Parameters
    ----------
    path : str
    validation_fraction, seed
        See :func:`qatviz.data.build.from_arrays`.
    options : DataOptions
        Size of the images, treatment of other sizes, of transparency and of what can't be used, held-out part.

    Returns
    -------
    Dataset
        Images of shape [N, height, width, 1 or 3], uint8; float32 if there are images of 16 bits.

    Raises
    ------
    DataError
        If images differ in size (the message names two of them) and there is no size to convert them to, if an image is
        damaged, a folder is empty, or Pillow is not installed.
    """
    return _load(DirectoryTree(path), validation_fraction, seed, options)


def load_zipped_folder(
    path: str, validation_fraction: float = 0.2, seed: int = 0, options: DataOptions = DataOptions()
) -> Dataset:
    """Load a data set from a zip archive of a directory that :func:`load_folder` accepts; nothing is extracted."""
    with zip_tree(path) as tree:
        return _load(tree, validation_fraction, seed, options)


def is_folder(path: str) -> bool:
    """Return whether a path is a directory with subfolders."""
    return os.path.isdir(path) and any(
        os.path.isdir(os.path.join(path, name)) for name in list_directory(path) if name[0] != "."
    )


def is_zipped_folder(path: str) -> bool:
    """Return whether a path is a zip archive, by its extension or its content."""
    return os.path.isfile(path) and (path.lower().endswith(".zip") or zipfile.is_zipfile(path))


def _load(tree: FileTree, validation_fraction: float, seed: int, options: DataOptions) -> Dataset:
    folder = FolderReader(tree, options, IMAGES)
    parts = folder.parts()
    images = ImageReader(tree, options)
    arrays = [
        (pixels, np.array(part.labels, np.int32)[kept])
        for part, (pixels, kept) in zip(parts, images.read([part.files for part in parts]))
    ]
    dataset = from_arrays(
        name_from_path(tree.root),
        tree.root,
        arrays[0],
        arrays[1] if len(arrays) > 1 else None,
        folder.class_names,
        validation_fraction,
        seed,
        notes=[*folder.notes(), *images.notes()],
    )
    if dataset.x_train.dtype == np.uint8:
        return dataset
    return replace(dataset, assumed=dataset.assumed._replace(integers="uint16", float_pixels=True))
