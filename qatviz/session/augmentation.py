"""Picture of examples before and after augmentation, in a file."""

# Apart from the command line, which reads no data by itself.

import os

from qatviz.augmentation_settings import AugmentationSettings
from qatviz.data import Dataset
from qatviz.data.images import write_png
from qatviz.errors import RecordError
from qatviz.presentation.augmented import contact_sheet, pictures_of
from qatviz.presentation.previews import augmentable


def write_augmentation(dataset: Dataset, settings: AugmentationSettings, seed: int, path: str) -> int:
    """Write some training examples as a PNG file, those after augmentation below; return their number.

    Parameters
    ----------
    dataset : Dataset
    settings : AugmentationSettings
    seed : int
        Examples are changed as in the first training step of a run with this seed.
    path : str

    Raises
    ------
    RecordError
        If the file can't be written.
    """
    shown = augmentable(dataset)
    try:
        write_png(os.path.expanduser(path), contact_sheet(pictures_of(shown, settings, seed, 0)))
    except OSError as error:
        raise RecordError(f"{path}: the picture can't be written: {error.strerror or error}") from error
    return len(shown.examples)
