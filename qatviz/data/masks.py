"""Masks: the class of each pixel, converted to the form that `Dataset` requires."""

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.data_options import AUTO, NO_LABEL
from qatviz.errors import DataError

#: Largest number of classes of a mask.
MAX_MASK_CLASSES = 10000
#: Label of ignored pixels in data sets such as PASCAL VOC and Cityscapes, and of the foreground in black and white.
USUAL_IGNORED = 255
#: Masks whose labels are below, or 255, are recognized as such; images have larger values.
_FEWER_CLASSES = 64
#: Largest label that can be stated as ignored.
_MAX_LABEL = 65535
#: Number of values that are converted at once, to limit the memory for copies.
_AT_ONCE = 2**22


class Masks(NamedTuple):
    """Masks of the parts of a data set.

    Attributes
    ----------
    parts : list of ndarray
        uint8 ``[N, height, width]``, or int32 for more than 255 classes; pixels that are ignored have :func:`void_of`.
    num_classes : int
    ignored : int or None
        Label of the ignored pixels; None without such pixels.
    is_foreground : bool
        True if the labels were 0 and 255, which are the classes 0 and 1.
    """

    parts: List[np.ndarray]
    num_classes: int
    ignored: Optional[int]
    is_foreground: bool


def void_of(dtype: Any) -> int:
    """Return the value of ignored pixels in masks of a dtype, uint8 or int32: the largest label that it can have."""
    return min(int(np.iinfo(dtype).max), _MAX_LABEL)


def are_masks(array: np.ndarray) -> bool:
    """Return whether labels are recognized as masks.

    They are if they are one-hot images, integer images ``[N, height, width]`` or ``[N, height, width, 1]`` of labels
    below 64, or 255, or floating-point images of 0 and 1.
    """
    if array.ndim not in (3, 4) or array.size <= len(array) or array.dtype.kind not in "iufb":
        return False
    if array.ndim == 4 and array.shape[3] > 1:
        return all(_is_one_hot(piece).all() for piece in _pieces(array))
    most = 2 if array.dtype.kind == "f" else _FEWER_CLASSES
    for piece in _pieces(array):
        known = piece >= 0
        known &= (piece < most) | (piece == USUAL_IGNORED) if array.dtype.kind in "iu" else piece < most
        if array.dtype.kind == "f":
            known &= piece == np.floor(piece)
        if not known.all():
            return False
    return True


def convert_masks(
    parts: Sequence[Tuple[Any, int, str]], names: Optional[int] = None, ignored_label: str = AUTO
) -> Masks:
    """Convert the masks of each part of a data set to class indices.

    Parameters
    ----------
    parts : sequence of (ndarray, int, str)
        For the training part and the others: whole numbers of any numeric type ``[N, height, width]`` or
        ``[N, height, width, 1]``, or one-hot rows ``[N, height, width, classes]``; N; and the name in messages.
    names : int, optional
        Number of names of classes, if there are names.
    ignored_label : str
        Value of the data option: a label, "none", or "auto": 255 if it is above the number of names, or if it is far
        above the other labels, unless the only other one is 0: then it is the foreground.

    Raises
    ------
    DataError
        If shape, dtype or values are not allowed.
    """
    arrays = [_checked(*part) for part in parts]
    wheres = [where for _, _, where in parts]
    if any(array.ndim == 4 for array in arrays):
        return _of_one_hot(arrays, wheres)
    found = [_labels_in(array, where) for array, where in zip(arrays, wheres)]
    labels = sorted(set().union(*found))
    ignored = _ignored(labels, names, ignored_label)
    is_foreground = labels == [0, USUAL_IGNORED] and ignored is None and names in (None, 2)
    train = [label for label in found[0] if label != ignored]
    if len(train) < 2 and names is None:
        raise DataError(
            f"{wheres[0]}: found the single class {train[0] if train else 'none'} in all masks; expected at least two"
        )
    classes = names or (2 if is_foreground else train[-1] + 1)
    for own, where in zip(found, wheres):
        wrong = [] if is_foreground else [label for label in own if label != ignored and label >= classes]
        if wrong or classes > MAX_MASK_CLASSES:
            raise DataError(
                f"{where}: found the label {wrong[-1] if wrong else classes - 1} in a mask; expected 0 to "
                f"{min(classes, MAX_MASK_CLASSES) - 1}, or that of pixels that are ignored",
                "ignored_label",
            )
    dtype = _dtype_for(classes)
    converted = [_indices(array, dtype, ignored, is_foreground) for array in arrays]
    return Masks(converted, classes, ignored if ignored in labels else None, is_foreground)


def mask_counts(masks: np.ndarray, classes: int) -> np.ndarray:
    """Return the number of pixels of each class in converted masks, int64 ``[classes]``; ignored ones don't count."""
    total = np.zeros(classes, np.int64)
    for piece in _pieces(masks):
        total += np.bincount(piece[piece < classes].astype(np.int64), minlength=classes)
    return total


def ignored_fraction(masks: np.ndarray) -> float:
    """Return the fraction of the pixels of converted masks that are ignored."""
    number = sum(int(np.count_nonzero(piece == void_of(masks.dtype))) for piece in _pieces(masks))
    return number / int(masks.size)


def _checked(array: Any, n_examples: int, where: str) -> np.ndarray:
    """Return masks as an array ``[N, height, width]``, or ``[N, height, width, classes]`` if they are one-hot."""
    array = np.asarray(array)
    if array.dtype.kind not in "iufb":
        raise DataError(f"{where}: found dtype {array.dtype}; expected masks of a numeric type")
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.ndim not in (3, 4) or array.size == 0:
        raise DataError(
            f"{where}: found shape {list(array.shape)}; expected masks of the shape [N, height, width] with class "
            "indices, or [N, height, width, classes] with one-hot rows"
        )
    if len(array) != n_examples:
        raise DataError(
            f"{where}: found {len(array)} masks for {n_examples} examples; expected one mask for each example"
        )
    return array


def _of_one_hot(arrays: Sequence[np.ndarray], wheres: Sequence[str]) -> Masks:
    """Return the masks of one-hot rows ``[N, height, width, classes]``."""
    classes = arrays[0].shape[-1]
    for array, where in zip(arrays, wheres):
        if array.ndim != 4 or array.shape[3] != classes or not 2 <= classes <= MAX_MASK_CLASSES:
            raise DataError(
                f"{where}: found shape {list(array.shape)}; expected one-hot rows of 2 to {MAX_MASK_CLASSES} classes "
                f"as in {wheres[0]}"
            )
        for piece in _pieces(array):
            is_right = _is_one_hot(piece)
            if not is_right.all():
                row = piece[tuple(np.argwhere(~is_right)[0])]
                raise DataError(
                    f"{where}: found {np.array2string(row, threshold=8)} for a pixel; expected one-hot rows (a single "
                    "1, else 0), or class indices of the shape [N, height, width]"
                )
    dtype = _dtype_for(classes)
    return Masks([np.ascontiguousarray(array.argmax(axis=3), dtype) for array in arrays], classes, None, False)


def _dtype_for(classes: int) -> np.dtype:
    return np.dtype(np.uint8 if classes <= void_of(np.uint8) else np.int32)


def _labels_in(array: np.ndarray, where: str) -> List[int]:
    """Return the labels in masks, ascending."""
    present = np.zeros(_MAX_LABEL + 1, bool)
    for piece in _pieces(array):
        with np.errstate(invalid="ignore"):
            wrong = ~((piece >= 0) & (piece <= _MAX_LABEL))  # comparisons with NaN are false
            if piece.dtype.kind == "f":
                wrong |= piece != np.floor(piece)
        if wrong.any():
            raise DataError(
                f"{where}: found the label {piece[wrong][0].item()!r} in a mask; expected whole numbers from 0 to "
                f"{_MAX_LABEL}; for images as targets, set the task to regression"
            )
        present[np.unique(piece.astype(np.int64))] = True
    return [int(label) for label in np.flatnonzero(present)]


def _ignored(labels: Sequence[int], names: Optional[int], stated: str) -> Optional[int]:
    """Return the label of pixels that are ignored; None if there is none."""
    if stated not in (AUTO, NO_LABEL):
        return int(stated)
    others = [label for label in labels if label != USUAL_IGNORED]
    is_foreground = others == [0] and names in (None, 2)
    if stated == NO_LABEL or len(others) == len(labels) or is_foreground:
        return None
    classes = (others[-1] + 1 if others else 0) if names is None else names
    return USUAL_IGNORED if classes < USUAL_IGNORED else None


def _indices(array: np.ndarray, dtype: np.dtype, ignored: Optional[int], is_foreground: bool) -> np.ndarray:
    """Return class indices of a dtype, with its largest value for ignored pixels."""
    if is_foreground:
        return np.ascontiguousarray(array != 0, dtype)
    if ignored is None or (array.dtype == dtype and ignored == void_of(dtype)):
        return np.ascontiguousarray(array, dtype)
    result = np.empty(array.shape, dtype)
    for start in range(0, len(array), _rows_of(array)):
        piece = array[start : start + _rows_of(array)]
        result[start : start + len(piece)] = np.where(piece == ignored, dtype.type(void_of(dtype)), piece)
    return result


def _is_one_hot(piece: np.ndarray) -> np.ndarray:
    """Return whether the last axis has a single 1, and else 0."""
    ones = piece == 1
    return np.asarray((ones | (piece == 0)).all(axis=-1) & (np.count_nonzero(ones, axis=-1) == 1))


def _rows_of(array: np.ndarray) -> int:
    return max(1, _AT_ONCE // max(1, int(array[0].size)))


def _pieces(array: np.ndarray) -> List[np.ndarray]:
    """Return views of some examples each."""
    step = _rows_of(array)
    return [array[start : start + step] for start in range(0, len(array), step)]
