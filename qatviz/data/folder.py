"""Folders of images with one subfolder per class. Pillow is imported on first use."""

import os
import warnings
from contextlib import contextmanager
from typing import Any, Iterator, List, Sequence, Tuple

import numpy as np

from qatviz.data.build import from_arrays, name_from_path
from qatviz.data.checks import check_memory, list_directory, wrap_read_errors
from qatviz.data.dataset import Dataset
from qatviz.errors import DataError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm")

# Pillow's names for these formats. Pillow detects the format from the content only, and would open others as well:
# PostScript would be run by another program.
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "PPM")
_TEST_LEVELS = ("test", "val", "validation")
# Pillow's modes with 8 bits per channel -> number of channels. A palette ("P") is converted to RGB.
_CHANNELS = {"1": 1, "L": 1, "LA": 1, "RGB": 3, "RGBA": 3, "P": 3}
_WITH_ALPHA = {"LA", "RGBA"}


def load_folder(path: str, validation_fraction: float = 0.2, seed: int = 0) -> Dataset:
    """Load a data set from a directory with one subfolder of images per class.

    Classes are numbered in the order of the names of their folders (numerically if all are numbers). Alternatively, the
    directory has such folders in ``train`` and, as the test part, in ``test``, else ``val``, else ``validation``.
    Without a test part, a part of the images is held out. All images must have the same size. If any image is in
    colour, all are converted to RGB; otherwise they are grey. Hidden files and folders, and files with extensions that
    are not in `EXTENSIONS`, are ignored.

    Parameters
    ----------
    path : str
    validation_fraction, seed
        See :func:`qatviz.data.build.from_arrays`.

    Returns
    -------
    Dataset
        Images of shape [N, height, width, 1 or 3], uint8.

    Raises
    ------
    DataError
        If images differ in size (the message names two of them), are damaged or transparent or have more than 8 bits
        per channel, if a folder is empty, or if Pillow is not installed.
    """
    levels = {entry.lower(): os.path.join(path, entry) for entry in _folders(path)}
    test_levels = [levels[level] for level in _TEST_LEVELS if level in levels]
    if "train" in levels and set(levels) - {"train"} <= set(_TEST_LEVELS):
        parts = [levels["train"], *test_levels[:1]]
    else:
        parts = [path]
    class_names = _class_names(parts[0])
    files, labels = zip(*(_files_of(part, class_names) for part in parts))
    with warnings.catch_warnings():
        # Pillow warns of unusual metadata, which is not used, and of large images, whose size is checked.
        warnings.simplefilter("ignore")
        shape = _common_shape([file for part in files for file in part])
        arrays = [(_read_images(part, shape), part_labels) for part, part_labels in zip(files, labels)]
    return from_arrays(
        name_from_path(path),
        path,
        arrays[0],
        arrays[1] if len(arrays) > 1 else None,
        class_names,
        validation_fraction,
        seed,
    )


def is_folder(path: str) -> bool:
    """Return whether a path is a directory with subfolders."""
    return os.path.isdir(path) and bool(_folders(path))


def _folders(path: str) -> List[str]:
    return [name for name in list_directory(path) if os.path.isdir(os.path.join(path, name)) and name[0] != "."]


def _class_names(path: str) -> List[str]:
    names = _folders(path)
    if len(names) < 2:
        raise DataError(
            f"{path}: found {len(names)} folders ({', '.join(names) or 'none'}); expected at least two, one per class"
        )
    # In alphabetical order, class "10" would come before class "2".
    return sorted(names, key=int) if all(name.isdecimal() for name in names) else names


def _files_of(part: str, class_names: Sequence[str]) -> Tuple[List[str], np.ndarray]:
    """Return the paths of the images in a part, and their class indices."""
    unknown = [name for name in _folders(part) if name not in class_names]
    if unknown:
        raise DataError(
            f"{part}: found the class {unknown[0]!r}; expected {', '.join(class_names)}, the classes for training"
        )
    files: List[str] = []
    labels: List[int] = []
    for label, name in enumerate(class_names):
        directory = os.path.join(part, name)
        if not os.path.isdir(directory):
            continue
        found = [
            entry
            for entry in list_directory(directory)
            if entry.lower().endswith(EXTENSIONS) and not entry.startswith(".")
        ]
        if not found:
            raise DataError(f"{directory}: found no images; expected files with the extensions {' '.join(EXTENSIONS)}")
        files += [os.path.join(directory, entry) for entry in found]
        labels += [label] * len(found)
    if not files:
        raise DataError(f"{part}: found no class folders; expected at least one of {', '.join(class_names)}")
    return files, np.array(labels, dtype=np.int32)


def _common_shape(files: Sequence[str]) -> Tuple[int, int, int]:
    """Return (height, width, channels) from the headers of all images, before any memory is allocated."""
    channels = 1
    width, height = 0, 0
    for file in files:
        with _open_image(file) as image:
            if image.mode not in _CHANNELS:
                raise DataError(
                    f"{file}: found an image with Pillow's mode {image.mode!r}; expected grey or RGB with 8 bits per "
                    "channel"
                )
            channels = max(channels, _CHANNELS[image.mode])
            if file == files[0]:
                width, height = image.size
            if image.size != (width, height):
                raise DataError(
                    "{} has {}x{} pixels, but {} has {}x{}; expected images of the same size".format(
                        file, *image.size, files[0], width, height
                    )
                )
    what = f"loading {len(files)} images of {width}x{height} pixels"
    check_memory(os.path.dirname(files[0]), len(files) * height * width * channels, what)
    return height, width, channels


def _read_images(files: Sequence[str], shape: Tuple[int, int, int]) -> np.ndarray:
    images = np.empty((len(files), *shape), dtype=np.uint8)
    for index, file in enumerate(files):
        with _open_image(file) as image:
            if image.mode in _WITH_ALPHA or "transparency" in image.info:
                image = image.convert("RGBA")
                if image.getextrema()[3][0] < 255:
                    raise DataError(f"{file}: found transparent pixels; expected an opaque image")
            pixels = np.asarray(image.convert("L" if shape[2] == 1 else "RGB"))
            images[index] = pixels.reshape(shape)
    return images


@contextmanager
def _open_image(path: str) -> Iterator[Any]:
    """Open an image; exceptions from opening or decoding it within the context become a `DataError`."""
    image_module = _pillow()
    if not os.path.isfile(path):  # opening a pipe would block forever
        raise DataError(f"{path}: not a regular file; expected an image")
    with wrap_read_errors(path, "an image"):
        try:
            with image_module.open(path, formats=_FORMATS) as image:
                yield image
        except image_module.DecompressionBombError as error:
            raise DataError(f"{path}: {error}") from error


def _pillow() -> Any:
    """Import Pillow."""
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("folders of images require Pillow, which is not installed: pip install Pillow") from error
    return Image
