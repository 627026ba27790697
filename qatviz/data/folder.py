"""Folders of images, one sub-folder a class. Pillow is imported by the first call."""

import os
import warnings
from contextlib import contextmanager

import numpy as np

from qatviz.data.build import from_arrays, name_of
from qatviz.data.checks import check_size, list_directory, reading
from qatviz.errors import DataError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm")

# Pillow's names for them. It knows more, and looks at the content alone: PostScript it would have run by another
# program.
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "PPM")
_TEST_LEVELS = ("test", "val", "validation")
# Pillow's modes of 8 bits a channel -> channels here. A palette ("P") is looked up and counts as colour.
_CHANNELS = {"1": 1, "L": 1, "LA": 1, "RGB": 3, "RGBA": 3, "P": 3}
_WITH_ALPHA = {"LA", "RGBA"}


def load_folder(path, validation_fraction=0.2, seed=0):
    """Load a data set from a directory with one sub-folder of images a class.

    Classes are numbered in the order of their folders' names (by value, if all are numbers). There may be a level
    above with ``train`` and the test part in ``test``, else ``val``, else ``validation``; where none is there, a part
    is held out. All images have the same size; if one of them is in colour, all become RGB, else they are grey. Hidden
    files and folders, and files with other endings than those of `ENDINGS`, are passed over.

    Parameters
    ----------
    path : str
    validation_fraction, seed
        Of the held-out part where there is no test part, see :func:`qatviz.data.build.from_arrays`.

    Returns
    -------
    Dataset
        Images [N, height, width, 1 or 3] of uint8.

    Raises
    ------
    DataError
        If images differ in size (the message names the first two), are damaged, transparent or of more than 8 bits a
        channel, a folder is empty, or Pillow is not installed.
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
        # Pillow warns of odd metadata, which has no part here, and of large images, whose size is checked.
        warnings.simplefilter("ignore")
        shape = _common_shape([file for part in files for file in part])
        arrays = [(_read_images(part, shape), part_labels) for part, part_labels in zip(files, labels)]
    return from_arrays(
        name_of(path), path, arrays[0], arrays[1] if len(arrays) > 1 else None, class_names, validation_fraction, seed
    )


def is_folder(path):
    """Return whether a path is a directory with sub-folders."""
    return os.path.isdir(path) and bool(_folders(path))


def _folders(path):
    return [name for name in list_directory(path) if os.path.isdir(os.path.join(path, name)) and name[0] != "."]


def _class_names(path):
    names = _folders(path)
    if len(names) < 2:
        raise DataError(
            f"{path}: found {len(names)} folders ({', '.join(names) or 'none'}): expected at least two, one a class"
        )
    # Otherwise class "10" would come before class "2".
    return sorted(names, key=int) if all(name.isdecimal() for name in names) else names


def _files_of(part, class_names):
    unknown = [name for name in _folders(part) if name not in class_names]
    if unknown:
        raise DataError(
            f"{part}: found the class {unknown[0]!r}: expected {', '.join(class_names)}, the folders for training"
        )
    files, labels = [], []
    for label, name in enumerate(class_names):
        directory = os.path.join(part, name)
        if not os.path.isdir(directory):
            continue
        found = [
            entry
            for entry in list_directory(directory)
            if entry.lower().endswith(ENDINGS) and not entry.startswith(".")
        ]
        if not found:
            raise DataError(f"{directory}: found no images: expected files with one of the endings {' '.join(ENDINGS)}")
        files += [os.path.join(directory, entry) for entry in found]
        labels += [label] * len(found)
    if not files:
        raise DataError(f"{part}: found no class folders: expected at least one of {', '.join(class_names)}")
    return files, np.array(labels, dtype=np.int32)


def _common_shape(files):
    """Return (height, width, channels) from the headers of all images, before anything is allocated."""
    channels = 1
    first_size = None
    for file in files:
        with _opened(file) as image:
            if image.mode not in _CHANNELS:
                raise DataError(
                    f"{file}: found an image of Pillow's mode {image.mode!r}: expected grey or RGB with 8 bits "
                    "a channel"
                )
            channels = max(channels, _CHANNELS[image.mode])
            first_size = first_size or image.size
            if image.size != first_size:
                raise DataError(
                    "{} is {}x{} pixels, but {} is {}x{}: expected all images to have the same size".format(
                        file, *((*image.size, files[0], *first_size))
                    )
                )
    width, height = first_size
    check_size(
        os.path.dirname(files[0]), len(files) * height * width * channels, f"{len(files)} images of {width}x{height}"
    )
    return height, width, channels


def _read_images(files, shape):
    images = np.empty((len(files), *shape), dtype=np.uint8)
    for index, file in enumerate(files):
        with _opened(file) as image:
            if image.mode in _WITH_ALPHA or "transparency" in image.info:
                image = image.convert("RGBA")
                if image.getextrema()[3][0] < 255:
                    raise DataError(f"{file}: found transparent pixels: expected an opaque image")
            pixels = np.asarray(image.convert("L" if shape[2] == 1 else "RGB"))
            images[index] = pixels.reshape(shape)
    return images


@contextmanager
def _opened(path):
    """Open an image; whatever Pillow raises, then or while it is decoded in the body, names the file."""
    image_module = _pillow()
    if not os.path.isfile(path):  # opening a pipe would wait for ever
        raise DataError(f"{path}: is not a file: expected an image")
    with reading(path, "an image"):
        try:
            with image_module.open(path, formats=_FORMATS) as image:
                yield image
        except image_module.DecompressionBombError as error:
            raise DataError(f"{path}: {error}") from error


def _pillow():
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("a folder of images needs Pillow, which is not installed: pip install Pillow") from error
    return Image
