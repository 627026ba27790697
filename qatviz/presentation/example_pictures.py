"""Pictures of held-out examples: images reduced to thumbnails, sequences and rows of features as curves."""

from typing import TYPE_CHECKING, Any, List, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.analysis.predictions import Predictions

if TYPE_CHECKING:  # it would delay the window, which only shows pictures that others have made
    from qatviz.data import Dataset

#: Largest number of points of a curve.
LONGEST_CURVE = 256
#: Largest number of columns of a sequence that are drawn as curves; sequences with more are drawn as images.
_MOST_CURVES = 8
#: Largest number of features that are drawn relative to their ranges, because they may have any units.
_MOST_RELATIVE = 32
#: Number of examples that are read at once: streamed images may be large.
_AT_ONCE = 64


class ExamplePictures(NamedTuple):
    """Pictures of the first held-out examples.

    Attributes
    ----------
    images : np.ndarray or None
        uint8 ``[n, height, width]`` or ``[n, height, width, 3]``; None for curves.
    curves : np.ndarray or None
        float32 ``[n, points, curves]``, 0 to 1 from the smallest to the largest value; None for images.
    note : str
        Explanation of what the pictures show; empty if it is clear.
    """

    images: Optional[np.ndarray]
    curves: Optional[np.ndarray] = None
    note: str = ""

    @property
    def number(self) -> int:
        """Number of examples."""
        shown = self.images if self.images is not None else self.curves
        return 0 if shown is None else len(shown)

    @property
    def ratio(self) -> float:
        """Width of a picture relative to its height."""
        if self.images is None:
            return 4 / 3
        return float(min(max(self.images.shape[2] / self.images.shape[1], 1 / 3), 3.0))


class PicturedPredictions(NamedTuple):
    """Predictions with the pictures of their examples, None if they are unknown."""

    found: Predictions
    pictures: Optional[ExamplePictures] = None


def pictures_of_examples(dataset: "Dataset", number: int) -> ExamplePictures:
    """Return the pictures of the first ``number`` held-out examples; of several inputs, those of one.

    Raises
    ------
    DataError
        If they can't be read.
    """
    from qatviz.data.data_input import parts_of

    rows, note, which = dataset.x_test, "", 0
    if dataset.inputs:
        shapes = [each.shape for each in dataset.inputs]
        which = next((index for index, shape in enumerate(shapes) if len(shape) == 3), 0)
        note = f"Shown: the input {dataset.inputs[which].name}. "
    starts = range(0, number, _AT_ONCE)
    pieces = [rows[start : min(start + _AT_ONCE, number)] for start in starts]
    if dataset.inputs:
        pieces = [parts_of(dataset.inputs, piece)[which] for piece in pieces]
    axes = pieces[0].ndim
    if axes == 4 or (axes == 3 and pieces[0].shape[2] > _MOST_CURVES):
        return _images([piece if axes == 4 else piece[..., np.newaxis] for piece in pieces], note)
    return _curves(np.concatenate(pieces), note)


def _images(pieces: List[np.ndarray], note: str) -> ExamplePictures:
    from qatviz.presentation.previews import thumbnails

    low = min(float(piece.min()) for piece in pieces)
    high = max(float(piece.max()) for piece in pieces)
    found = [thumbnails(piece, low, high) for piece in pieces]
    notes = found[0][2]
    return ExamplePictures(np.concatenate([samples for _, samples, _ in found]), None, note + "".join(notes))


def _curves(rows: np.ndarray, note: str) -> ExamplePictures:
    values = rows.astype(np.float64)
    values = values[:, :, np.newaxis] if values.ndim == 2 else values
    length = values.shape[1]
    width = -(-length // LONGEST_CURVE)
    if width > 1:
        values = values[:, : length // width * width].reshape(len(values), -1, width, values.shape[2]).mean(axis=2)
        note += f"Each point is the mean of {width} values. "
    axes: Tuple[Any, ...] = (0,) if rows.ndim == 2 and length <= _MOST_RELATIVE else (0, 1)
    if axes == (0,):
        note += "Each feature relative to its range among the held-out examples."
    low, high = values.min(axis=axes, keepdims=True), values.max(axis=axes, keepdims=True)
    span = np.where(high > low, high - low, 1.0)
    return ExamplePictures(None, ((values - low) / span).astype(np.float32), note.strip())
