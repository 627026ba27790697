"""Preview of augmentation: examples of a data set, and the same examples as a training step would change them."""

from typing import NamedTuple, Optional, Tuple

import numpy as np

from qatviz.augmentation_settings import AugmentationSettings
from qatviz.data.augmentation import augment
from qatviz.presentation.mask_pictures import beside_masks

#: Number of examples in a preview.
SHOWN = 8
#: Largest side up to which small pictures are enlarged in a file, px.
_LARGEST_SIDE = 128
#: Columns and rows between pictures, and their grey.
_GAP, _GREY = 4, 128


class AugmentedExamples(NamedTuple):
    """Examples of which augmentation can be shown.

    Attributes
    ----------
    examples : np.ndarray
        float32 ``[n, ...]``, as fed to the network.
    masks : np.ndarray or None
        Masks of the examples, in the form of a data set.
    classes : int
        Number of the classes of masks.
    """

    examples: np.ndarray
    masks: Optional[np.ndarray] = None
    classes: int = 0


def pictures_of(
    shown: AugmentedExamples, settings: AugmentationSettings, seed: int, step: int
) -> Tuple[np.ndarray, ...]:
    """Return pictures of the examples before and after augmentation, uint8 RGB ``[n, height, width, 3]`` each.

    Parameters
    ----------
    shown : AugmentedExamples
    settings : AugmentationSettings
    seed, step : int
        Seed of a run, and number of a training step: the same change the examples of a batch in the same way.
    """
    examples = shown.examples
    targets = np.arange(len(examples)) if shown.masks is None else shown.masks
    changed = augment(examples, targets, settings, seed, step)
    low, high = float(examples.min()), float(examples.max())
    rows = []
    for values, own in ((examples, targets), (changed.examples, changed.targets)):
        pixels = _pixels(values, low, high)
        rows.append(pixels if shown.masks is None else beside_masks(pixels, own, shown.classes))
    return tuple(rows)


def contact_sheet(rows: Tuple[np.ndarray, ...]) -> np.ndarray:
    """Return one picture of rows of pictures, uint8 RGB ``[height, width, 3]``."""
    number, height, width = rows[0].shape[:3]
    factor = max(1, min(_LARGEST_SIDE // max(height, width), 8))
    high, wide = height * factor, width * factor
    sheet = np.full((len(rows) * (high + _GAP) + _GAP, number * (wide + _GAP) + _GAP, 3), _GREY, np.uint8)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            y, x = _GAP + row * (high + _GAP), _GAP + column * (wide + _GAP)
            sheet[y : y + high, x : x + wide] = picture.repeat(factor, axis=0).repeat(factor, axis=1)
    return sheet


def _pixels(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return examples as RGB pictures; rows of features are one pixel high, sequences have a column per feature."""
    images = {2: values[:, np.newaxis, :, np.newaxis], 3: values[..., np.newaxis]}.get(values.ndim, values)
    images = images[..., :3] if images.shape[3] >= 3 else np.repeat(images[..., :1], 3, axis=3)
    scaled = (images.astype(np.float64) - low) * (255.0 / (high - low if high > low else 1.0))
    return np.floor(np.clip(scaled, 0, 255) + 0.5).astype(np.uint8)
