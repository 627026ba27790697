"""Folders of images with a folder of masks, whose files have the names of the images."""

import re
from dataclasses import replace
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.data.build import from_arrays, name_from_path, train_and_test
from qatviz.data.checks import wrap_read_errors
from qatviz.data.class_folders import skipped_notes
from qatviz.data.dataset import Dataset, Note
from qatviz.data.file_tree import FileTree, join
from qatviz.data.images import IMAGES, ImageReader, with_pixel_type
from qatviz.data.mask_images import MaskReader
from qatviz.data.masks import convert_masks, void_of
from qatviz.data.split_names import TRAIN, held_out_part, part_of_name
from qatviz.data.streamed import Array, StreamedArray
from qatviz.data_options import DataOptions
from qatviz.errors import DataError
from qatviz.task import SEGMENTATION

_IMAGES, _MASKS = "images", "masks"
_WORDS = {
    **dict.fromkeys(("images", "image", "imgs", "img", "jpegimages", "inputs", "photos"), _IMAGES),
    **dict.fromkeys(("masks", "mask", "annotations", "annotation", "segmentationclass", "segmentation"), _MASKS),
    **dict.fromkeys(("segmentations", "labels", "labelimages"), _MASKS),
}
#: Part of data without parts.
_ALL = ""
#: File with the names of the classes, and its largest size.
_NAMES_FILE, _MAX_NAMES_BYTES = "classes.txt", 2**20

#: Folders of images and of their masks.
_Folders = Tuple[str, str]


class MaskFolders(NamedTuple):
    """Folders of images and of masks in a tree, by part of the data, and the folder around them."""

    top: str
    pairs: Dict[str, _Folders]


class _Pairs(NamedTuple):
    """Paths of the images of a part, and of their masks."""

    images: List[str]
    masks: List[str]


def mask_folders(tree: FileTree, innermost: str) -> Optional[MaskFolders]:
    """Return the folders of images and masks in a tree; None if there are none.

    Their names have a usual word for each. Parts of the data are in folders around them, in them, or named by them:
    ``train/images``, ``images/train`` or ``train_images``.

    Parameters
    ----------
    innermost : str
        The innermost folder that is reached through folders that contain only one another.
    """
    pairs = _pairs_in(tree, innermost)
    if _ALL in pairs:
        images, masks = (_folders_by_part(tree, folder) for folder in pairs[_ALL])
        both = {part: (images[part], masks[part]) for part in images if part in masks}
        return MaskFolders(innermost, both if TRAIN in both else pairs)
    if TRAIN not in pairs:
        found = {part: _pairs_in(tree, folder) for part, folder in _folders_by_part(tree, innermost).items()}
        pairs = {part: own[_ALL] for part, own in found.items() if _ALL in own}
    return MaskFolders(innermost, pairs) if TRAIN in pairs else None


def load_masks(
    tree: FileTree, folders: MaskFolders, validation_fraction: float, seed: int, options: DataOptions
) -> Dataset:
    """Load images and their masks: palette or grey images of the same size, whose pixels are class indices.

    Masks have the names of their images, but for the extension. Images without a mask and masks without an image are
    skipped and counted. Where images are converted to another size, so are masks, to the nearest pixel; what is padded
    is ignored. A file ``classes.txt`` beside the folders may name the classes, one in a line.

    Raises
    ------
    DataError
        If a mask has another size than its image, or colours, if a file is damaged and is not skipped, or there are no
        pairs.
    """
    notes: List[Note] = []
    pairs = [_paired(tree, *folders.pairs[part], notes) for part in _used_parts(folders, options, tree, notes)]
    images, masks = ImageReader(tree, options), MaskReader(tree, options)
    parts: List[Tuple[Array, np.ndarray, np.ndarray]] = []
    for (pixels, kept), pair in zip(images.read([pair.images for pair in pairs]), pairs):
        sizes = [images.sizes[pair.images[index]] for index in kept]
        read = masks.read([pair.masks[index] for index in kept], sizes, (pixels.shape[1], pixels.shape[2]))
        which = np.flatnonzero(read.is_kept)
        if len(which) < len(pixels):
            pixels = pixels.rows(which) if isinstance(pixels, StreamedArray) else pixels[which]
        parts.append((pixels, read.masks, read.is_padding))
    names = _class_names(tree, folders.top)
    wheres = [tree.where(folders.top), *(f"{tree.where(folders.top)} (held-out part)" for _ in parts[1:])]
    found = convert_masks(
        [(own, len(own), where) for (_, own, _), where in zip(parts, wheres)],
        None if names is None else len(names),
        options.ignored_label,
    )
    for converted, (_, _, is_padding) in zip(found.parts, parts):
        if is_padding.size:
            converted[is_padding] = void_of(converted.dtype)
    arrays = [(pixels, converted) for (pixels, _, _), converted in zip(parts, found.parts)]
    dataset = from_arrays(
        name_from_path(tree.root),
        tree.root,
        *train_and_test(arrays),
        names or [str(index) for index in range(found.num_classes)],
        validation_fraction,
        seed,
        task=SEGMENTATION,
        notes=[*notes, *images.notes(), *masks.notes()],
        ignored_label=str(void_of(found.parts[0].dtype)),
    )
    assumed = dataset.assumed._replace(ignored_label=found.ignored, foreground=found.is_foreground)
    return replace(dataset, assumed=with_pixel_type(assumed, dataset.x_train.dtype))


def _pairs_in(tree: FileTree, folder: str) -> Dict[str, _Folders]:
    """Return the folders of images and of masks in a folder, by the part that their names say."""
    found: Dict[Tuple[str, str], List[str]] = {}
    for name in tree.folders(folder):
        roles = {_WORDS[word] for word in re.split(r"[\W\d_]+", name.lower()) if word in _WORDS}
        inner = join(folder, name)
        if len(roles) == 1 and any(map(IMAGES.has, tree.files_below(inner))):
            found.setdefault((part_of_name(name) or _ALL, roles.pop()), []).append(inner)
    return {
        part: (found[part, _IMAGES][0], found[part, _MASKS][0])
        for part, role in found
        if role == _IMAGES and all(len(found.get((part, each), ())) == 1 for each in (_IMAGES, _MASKS))
    }


def _folders_by_part(tree: FileTree, folder: str) -> Dict[str, str]:
    """Return the folders of the parts of the data in a folder."""
    parts = {name: part_of_name(name) for name in tree.folders(folder)}
    known = [part for part in parts.values() if part is not None]
    return {part: join(folder, name) for name, part in parts.items() if part is not None and known.count(part) == 1}


def _used_parts(folders: MaskFolders, options: DataOptions, tree: FileTree, notes: List[Note]) -> List[str]:
    """Return the part for training and the one that is held out, if there is one; the others are noted."""
    train = TRAIN if TRAIN in folders.pairs else _ALL
    held_out = held_out_part(options, folders.pairs, tree.where(folders.top))
    used = [train, *([held_out] if held_out else [])]
    notes += skipped_notes("parts", [part for part in folders.pairs if part not in used])
    return used


def _paired(tree: FileTree, images: str, masks: str, notes: List[Note]) -> _Pairs:
    """Return the images with a mask, and their masks; those without one are noted."""
    by_stem: List[Dict[str, str]] = []
    for folder in (images, masks):
        names = [name for name in tree.files_below(folder) if IMAGES.has(name)]
        own = {name.rpartition(".")[0]: name for name in names}
        if len(own) < len(names):
            twice = next(name for name in names if own[name.rpartition(".")[0]] != name)
            raise DataError(
                f"{tree.where(folder)}: found several images named {twice.rpartition('.')[0]!r}; expected one"
            )
        by_stem.append(own)
    both = [stem for stem in by_stem[0] if stem in by_stem[1]]
    if not both:
        raise DataError(
            f"{tree.where(masks)}: found no mask with the name of an image in {tree.where(images)}, such as "
            f"{next(iter(by_stem[0]), '')!r}; expected the same names, but for the extension"
        )
    for what, one, other in (("images without a mask", 0, 1), ("masks without an image", 1, 0)):
        notes += skipped_notes(what, [name for stem, name in by_stem[one].items() if stem not in by_stem[other]], True)
    return _Pairs(*([join(folder, own[stem]) for stem in both] for folder, own in zip((images, masks), by_stem)))


def _class_names(tree: FileTree, top: str) -> Optional[List[str]]:
    """Return the names of the classes in a file, one in a line; None if there is no such file."""
    if _NAMES_FILE not in tree.files(top):
        return None
    path = join(top, _NAMES_FILE)
    where = tree.where(path)
    with tree.open(path) as stream, wrap_read_errors(where, "names of classes"):
        content = stream.read(_MAX_NAMES_BYTES + 1)
        names = [line.strip() for line in content.decode("utf-8-sig").splitlines() if line.strip()]
    if len(content) > _MAX_NAMES_BYTES or len(names) < 2:
        raise DataError(f"{where}: found {len(names)} names; expected those of at least two classes, one in a line")
    return names
