"""Folders of images with one subfolder per class, in a directory or a zip archive."""

import os
import zipfile
from dataclasses import replace
from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from qatviz.data.build import from_arrays, name_from_path
from qatviz.data.checks import list_directory
from qatviz.data.dataset import Dataset, Note
from qatviz.data.file_tree import MAX_DEPTH, DirectoryTree, FileTree, join, zip_tree
from qatviz.data.images import EXTENSIONS, ImageReader, is_image_name, other_files_notes, skipped_notes
from qatviz.data.split_names import TEST, TRAIN, VALIDATION, part_of_name
from qatviz.data_options import AUTO, SKIP, SPLIT, DataOptions
from qatviz.errors import DataError
from qatviz.number_format import count


class _Part(NamedTuple):
    """Paths of the images of a part in its tree, and their class indices."""

    files: List[str]
    labels: List[int]


def load_folder(
    path: str, validation_fraction: float = 0.2, seed: int = 0, options: DataOptions = DataOptions()
) -> Dataset:
    """Load a data set from a directory with one subfolder of images per class.

    Classes are numbered in the order of the names of their folders (numerically if all are numbers); images may be in
    subfolders of them. Alternatively, the directory has such folders in a folder for each part, in one of the usual
    spellings: ``train``; and, to be held out, ``test`` or ``valid``. Without either, a part of the images is held out.
    Folders that only contain another one are skipped. If any image is in colour, all are converted to RGB; otherwise
    they are grey. Hidden files and folders are ignored; files with extensions that are not in
    :data:`qatviz.data.images.EXTENSIONS` are skipped and counted.

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
    folder = _FolderReader(tree, options)
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


class _FolderReader:
    """Finds the parts, the classes and the images in a tree, and counts what it skips."""

    def __init__(self, tree: FileTree, options: DataOptions):
        self._tree, self._options = tree, options
        self._skips = options.unusable == SKIP
        self._names: Dict[str, List[str]] = {}  # of the files below each folder
        self._other_files: List[str] = []
        self._notes: List[Note] = []
        self.class_names: List[str] = []

    def parts(self) -> List[_Part]:
        """Return the training part, and the held-out part if there is one."""
        folders = self._part_folders(self._entered(""))
        self.class_names = self._classes_of(folders[0])
        return [self._part(folder, is_train=folder == folders[0]) for folder in folders]

    def notes(self) -> List[Note]:
        """Return notes on what was skipped."""
        links = self._tree.skipped_links
        not_followed = [Note(f"not followed: {count(links, 'link')}")] if links else []
        return [*self._notes, *other_files_notes(self._other_files), *not_followed]

    def _entered(self, folder: str) -> str:
        """Return the innermost folder that is reached through folders that contain only one another."""
        for _ in range(MAX_DEPTH):
            names = self._tree.folders(folder)
            inner = join(folder, names[0]) if len(names) == 1 else ""
            has_images = any(map(is_image_name, self._tree.files(folder)))
            if not inner or has_images or not self._tree.folders(inner):
                break
            folder = inner
        return folder

    def _part_folders(self, top: str) -> List[str]:
        """Return the folder of the training part and of the held-out part, if there is one, in the folder `top`."""
        named: Dict[str, List[str]] = {TRAIN: [], VALIDATION: [], TEST: []}
        others: List[str] = []
        for name in self._tree.folders(top):
            named.get(part_of_name(name) or "", others).append(name)
        train = self._one_of(top, named[TRAIN])
        if train is None or not self._tree.folders(join(top, train)):  # "train" is a class, with images of its own
            return [top]
        found = {part: self._one_of(top, names) for part, names in named.items()}
        held_out = self._held_out(top, found)
        others += [name for names in named.values() for name in names if name not in (train, held_out)]
        if others:
            self._skip_folders("folders", top, others)
        return [self._entered(join(top, name)) for name in (train, held_out) if name is not None]

    def _held_out(self, top: str, found: Dict[str, Optional[str]]) -> Optional[str]:
        """Return the name of the folder of the held-out part; None if there is none."""
        wanted = self._options.held_out
        if wanted == SPLIT:
            return None
        if wanted != AUTO:
            if found[wanted] is None:
                raise DataError(f"{self._tree.where(top)}: found no {wanted} part to hold out", "held_out")
            return found[wanted]
        present = [name for name in (found[TEST], found[VALIDATION]) if name is not None]
        labelled = [name for name in present if self._tree.folders(join(top, name))]
        # Test images for a competition have no labels.
        usable = labelled or ([] if self._skips else present)
        return usable[0] if usable else None

    def _one_of(self, top: str, names: Sequence[str]) -> Optional[str]:
        """Return the only folder of a part: the one with exactly its name, if there are several."""
        exact = [name for name in names if part_of_name(name, is_decorated=False)] or list(names)
        if len(exact) > 1:
            raise DataError(
                f"{self._tree.where(top)}: found the folders {', '.join(exact)} for the same part of the data; "
                "expected one of them"
            )
        return exact[0] if exact else None

    def _classes_of(self, folder: str) -> List[str]:
        names = self._tree.folders(folder)
        empty = [name for name in names if not self._images_in(join(folder, name))]
        if empty and self._skips:
            self._notes += skipped_notes("classes without images", empty, is_mistake=True)
            names = [name for name in names if name not in empty]
        if len(names) < 2:
            raise DataError(
                f"{self._tree.where(folder)}: found {len(names)} folders ({', '.join(names) or 'none'}); expected at "
                "least two, one per class"
            )
        # In alphabetical order, class "10" would come before class "2".
        return sorted(names, key=int) if all(name.isdecimal() for name in names) else names

    def _part(self, folder: str, is_train: bool) -> _Part:
        """Return the images in the class folders of a part."""
        where, names = self._tree.where(folder), self._tree.folders(folder)
        unknown = [name for name in names if name not in self.class_names]
        if unknown and not self._skips:
            raise DataError(
                f"{where}: found the class {unknown[0]!r}; expected {', '.join(self.class_names)}, the classes for "
                "training"
            )
        if unknown and not is_train:
            self._skip_folders("classes without training images", folder, unknown)
        part = _Part([], [])
        for label, name in enumerate(self.class_names):
            if name not in names:
                continue
            inner = join(folder, name)
            images = self._images_in(inner, counts_others=True)
            if not images and not self._skips:
                raise DataError(
                    f"{self._tree.where(inner)}: found no images; expected files with the extensions "
                    f"{' '.join(EXTENSIONS)}"
                )
            part.files.extend(images)
            part.labels.extend([label] * len(images))
        if not part.files:
            raise DataError(f"{where}: found no class folders; expected at least one of {', '.join(self.class_names)}")
        return part

    def _images_in(self, folder: str, counts_others: bool = False) -> List[str]:
        """Return the paths of the images in a folder and its subfolders."""
        if folder not in self._names:
            self._names[folder] = self._tree.files_below(folder)
        names = self._names[folder]
        if counts_others:
            self._other_files += [name for name in names if not is_image_name(name)]
        return [join(folder, name) for name in names if is_image_name(name)]

    def _skip_folders(self, what: str, folder: str, names: Sequence[str]) -> None:
        images = sum(len(self._images_in(join(folder, name))) for name in names)
        self._notes += skipped_notes(what, names, more=f", with {count(images, 'image')}")
