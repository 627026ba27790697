"""Images whose pixels are class indices: masks of other images."""

from typing import List, NamedTuple, Sequence, Tuple

import numpy as np

from qatviz.data.checks import check_memory
from qatviz.data.dataset import Note
from qatviz.data.images import nearest, open_image
from qatviz.data.tree_reader import TreeReader
from qatviz.data_options import PAD
from qatviz.errors import DataError
from qatviz.number_format import shape_text

#: Pillow's modes of images whose stored pixels are whole numbers: with a palette, black and white, and grey.
_MODES = {"P", "1", "L", "I", "I;16", "I;16B", "I;16L", "I;16N"}
#: Pillow's modes of colours, which stand for numbers if they are grey.
_COLORS = {"RGB", "RGBA"}
_OPAQUE = 255


class ReadMasks(NamedTuple):
    """Masks of the images of a part.

    Attributes
    ----------
    masks : np.ndarray
        ``[n, height, width]``: uint8, or int32 if there are larger labels.
    is_kept : np.ndarray
        bool ``[paths]``: whether the mask of each path was read; damaged ones may be skipped.
    is_padding : np.ndarray
        bool in the shape of the masks: pixels that were added beside them; empty if none were.
    """

    masks: np.ndarray
    is_kept: np.ndarray
    is_padding: np.ndarray


class MaskReader(TreeReader):
    """Reader of masks of a tree, which counts what it converts and skips.

    Parameters
    ----------
    tree : FileTree
    options : DataOptions
        "image_size", "fit" and "unusable" of them are used.
    """

    def read(self, paths: Sequence[str], sizes: Sequence[Tuple[int, int]], size: Tuple[int, int]) -> ReadMasks:
        """Read masks, and convert them to the size (height, width) of the examples, to the nearest pixels.

        Parameters
        ----------
        paths : sequence of str
            Paths in the tree.
        sizes : sequence of (int, int)
            Heights and widths of their images before they were converted.

        Raises
        ------
        DataError
            If a file is damaged and is not skipped, if a mask has another size than its image, or colours.
        """
        check_memory(self._tree.root, len(paths) * size[0] * size[1], f"loading {len(paths)} masks")
        masks, kept, padding = [], [], []
        for path, own in zip(paths, sizes):
            mask = None
            with self._skipping_damaged(path):
                mask = self._labels(path, own)
            kept.append(mask is not None)
            if mask is None:
                continue
            self._counts["masks"] += 1
            if mask.shape == size:
                masks.append(mask)
                padding.append(np.zeros(size, bool) if self._options.fit == PAD else np.zeros(0, bool))
                continue
            self._counts["fitted"] += 1
            converted = nearest(mask, (size[1], size[0]), self._options)
            masks.append(converted)
            inside = nearest(np.ones(mask.shape, np.uint8), (size[1], size[0]), self._options)
            padding.append(inside == 0 if self._options.fit == PAD else np.zeros(0, bool))
        if not masks:
            raise DataError(f"{self._tree.root}: found no mask that can be read")
        return ReadMasks(np.stack(masks), np.array(kept), np.stack(padding))

    def notes(self) -> List[Note]:
        """Return notes on what was skipped and converted."""
        texts = {"fitted": (f"of other sizes than {self._options.image_size}", "as the images")}
        return self._damage_notes("images with a damaged mask") + self._count_notes("masks", texts)

    def _labels(self, path: str, size: Tuple[int, int]) -> np.ndarray:
        """Return the labels of a mask, uint8 or int32 ``[height, width]``."""
        where = self._tree.where(path)
        with open_image(self._tree, path) as image:
            if image.mode not in _MODES | _COLORS:
                raise DataError(
                    f"{where}: found an image with Pillow's mode {image.mode!r}; expected a palette or grey"
                )
            if image.size != size[::-1]:
                raise DataError(
                    f"{where}: found a mask of {shape_text(image.size[::-1])} pixels for an image of {shape_text(size)}"
                    "; expected the same size",
                    "unusable",
                )
            pixels = np.asarray(image)
        if pixels.ndim == 3:
            pixels = _grey(pixels, where)
        if pixels.dtype == bool:
            return pixels.astype(np.uint8)
        return pixels if pixels.dtype == np.uint8 else pixels.astype(np.int32)


def _grey(pixels: np.ndarray, where: str) -> np.ndarray:
    """Return the grey of opaque pixels ``[height, width, 3 or 4]``; `DataError` if there are others."""
    is_opaque = pixels.shape[2] == 3 or bool((pixels[..., 3] == _OPAQUE).all())
    if not is_opaque or (pixels[..., :3] != pixels[..., :1]).any():
        raise DataError(
            f"{where}: found a mask in colours; expected an image with a palette, or grey, whose pixels are "
            "class indices",
            "unusable",
        )
    return pixels[..., 0]
