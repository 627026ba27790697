"""Pictures of examples beside their masks, in which each class has a colour."""

# Apart from the previews: these colours are those of a data set's pictures, not of the window.

from typing import List, Sequence

import numpy as np

#: Colour of ignored pixels, as in the pictures of PASCAL VOC, and its number of bits of a colour channel.
_IGNORED, _BITS = (224, 224, 192), 8
#: Number of columns between an example and its mask, and their grey.
_GAP, _GREY = 2, 128
#: Number of classes whose names a caption has.
_NAMES = 3


def class_colors(classes: int) -> np.ndarray:
    """Return PASCAL VOC's colours of classes, uint8 ``[classes, 3]``: the first is black, all others are bright.

    The bits of a number, three at a time, are the highest bits of red, green and blue.

    >>> class_colors(3).tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    """
    numbers, colors = np.arange(classes), np.zeros((classes, 3), np.int64)
    for place in range(_BITS):
        for channel in range(3):
            colors[:, channel] |= (numbers >> (3 * place + channel) & 1) << (_BITS - 1 - place)
    return colors.astype(np.uint8)


def mask_colors(classes: int) -> np.ndarray:
    """Return the colours of classes, and that of ignored pixels behind them: uint8 ``[classes + 1, 3]``."""
    return np.concatenate([class_colors(classes), np.array([_IGNORED], np.uint8)])


def beside_masks(pictures: np.ndarray, masks: np.ndarray, classes: int) -> np.ndarray:
    """Return RGB pictures of examples with their masks to the right, uint8 ``[n, height, 2 * width + 2, 3]``.

    Parameters
    ----------
    pictures : np.ndarray
        uint8 ``[n, height, width]`` or ``[n, height, width, 3]``.
    masks : np.ndarray
        In the form of a data set, of any height and width.
    classes : int
    """
    height, width = pictures.shape[1:3]
    left = pictures if pictures.ndim == 4 else np.repeat(pictures[..., np.newaxis], 3, axis=3)
    rows, columns = ((np.arange(size) + 0.5) * own // size for size, own in zip((height, width), masks.shape[1:]))
    small = masks[:, rows.astype(np.int64)][:, :, columns.astype(np.int64)].astype(np.int64)
    right = mask_colors(classes)[np.minimum(small, classes)]  # ignored pixels have larger values
    gap = np.full((len(pictures), height, _GAP, 3), _GREY, np.uint8)
    return np.concatenate([left, gap, right], axis=2)


def mask_caption(mask: np.ndarray, names: Sequence[str]) -> str:
    """Return the names of the classes with the most pixels of a mask."""
    counts = np.bincount(mask[mask < len(names)].astype(np.int64).ravel(), minlength=len(names))
    order: List[int] = [index for index in np.argsort(-counts, kind="stable").tolist() if counts[index]]
    return ", ".join(names[index] for index in order[:_NAMES]) + (", …" if order[_NAMES:] else "") or "none"
