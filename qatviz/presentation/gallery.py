"""Scene of examples as a gallery: a picture or curves of each, with both predictions below; and its scores as bars."""

from typing import List, NamedTuple, Optional, Sequence

import numpy as np

from qatviz.analysis.predictions import Comparison, OutputPredictions
from qatviz.presentation.example_pictures import ExamplePictures
from qatviz.presentation.mask_pictures import mask_colors
from qatviz.presentation.palette import series_role
from qatviz.presentation.prediction_texts import (
    FLOAT_ROLE,
    QUANTIZED_ROLE,
    ScoreRow,
    change_role,
    lost_margin_text,
    predicted_text,
    target_text,
)
from qatviz.presentation.scene import END, MIDDLE, Fill, Line, Metrics, Picture, Shape, Stroke, Text, rects
from qatviz.task import CLASSIFICATION, SEGMENTATION

#: Smallest width of an example, of one with several labels or numbers, and height of its picture, px.
_LEAST_WIDTH, _WIDE, _PICTURE_HEIGHT = 80.0, 120.0, 56.0
_GAP, _INSET = 4.0, 3.0
#: Number of pictures of an example with masks, side by side: the example, its mask, and the predicted ones; and the
#: largest side of a drawn mask.
_MASK_PICTURES, _LARGEST_MASK = 4, 128
#: Lines of text below a picture: float, quantized, target with the change of the margin.
_LINES = 3
_SELECTED = Stroke("accent", 2.0)
#: Height of a bar of scores, px; largest part of the width for names.
_BAR, _NAMES = 5.0, 0.4
#: Legend of the bars.
_LEGEND = (("float", FLOAT_ROLE), ("quantized", QUANTIZED_ROLE))


class Shown(NamedTuple):
    """What a gallery shows.

    Attributes
    ----------
    found : OutputPredictions
    comparison : Comparison
    indices : np.ndarray
        Examples in their order, int64.
    pictures : ExamplePictures or None
        None while they are unknown.
    """

    found: OutputPredictions
    comparison: Comparison
    indices: np.ndarray
    pictures: Optional[ExamplePictures]


class GalleryLayout:
    """Positions of the examples in a gallery of some width, in rows.

    Parameters
    ----------
    shown : Shown
    width : float
    metrics : Metrics
        Sizes of the texts.
    """

    def __init__(self, shown: Shown, width: float, metrics: Metrics):
        self._shown, self._metrics = shown, metrics
        self._ratio = picture_ratio(shown)
        least = _LEAST_WIDTH if shown.found.task == CLASSIFICATION else _WIDE
        wanted = max(least, _PICTURE_HEIGHT * self._ratio + 2 * _INSET) + _GAP
        self.columns = max(1, int((width - _GAP) // wanted))
        self.cell = (width - _GAP) / self.columns
        self.row = _PICTURE_HEIGHT + _LINES * metrics.height + 2 * _INSET + _GAP
        self.rows = -(-len(shown.indices) // self.columns)

    def place_at(self, x: float, y: float, first_row: int = 0) -> int:
        """Return the place of the example at a point, -1 for none; the row ``first_row`` is at the top."""
        row, column = int(y // self.row) + first_row, int((x - _GAP) // self.cell)
        place = row * self.columns + column
        is_within = y >= 0 and 0 <= column < self.columns
        return place if is_within and 0 <= place < len(self._shown.indices) else -1

    def shapes(self, first_row: int, number_of_rows: int, selected: int = -1) -> List[Shape]:
        """Return some rows, the first at the top; the example with the index ``selected`` is framed."""
        shapes: List[Shape] = []
        begin = first_row * self.columns
        for place in range(begin, min(begin + number_of_rows * self.columns, len(self._shown.indices))):
            row, column = divmod(place, self.columns)
            left, top = _GAP + column * self.cell, (row - first_row) * self.row
            shapes += self._example(int(self._shown.indices[place]), left, top, selected)
        return shapes

    def _example(self, index: int, left: float, top: float, selected: int) -> List[Shape]:
        width, metrics = self.cell - _GAP, self._metrics
        wide = min(width - 2 * _INSET, _PICTURE_HEIGHT * self._ratio)
        high = wide / self._ratio
        x, y = left + (width - wide) / 2, top + _INSET + (_PICTURE_HEIGHT - high) / 2
        shapes = picture_shapes(self._shown, index, (x, y, x + wide, y + high))
        found, comparison = self._shown.found, self._shown.comparison
        lines = (
            (predicted_text(found, found.in_float, index), FLOAT_ROLE),
            ("→ " + predicted_text(found, found.quantized, index), change_role(comparison, index)),
            (self._last_line(index, width), "muted"),
        )
        base = top + _INSET + _PICTURE_HEIGHT + metrics.ascent + 1
        for number, (text, role) in enumerate(lines):
            shown = metrics.elided(text, width - 2)
            shapes.append(Text(left + width / 2, base + number * metrics.height, shown, role, MIDDLE))
        if index == selected:
            shapes.append(rects(left, top + 1, left + width, top + self.row - _GAP + 1, None, _SELECTED))
        return shapes

    def _last_line(self, index: int, width: float) -> str:
        """Return the change of the margin; before it the target, unless it is predicted in float."""
        found, margin = self._shown.found, lost_margin_text(self._shown.comparison, index)
        target = target_text(found, index)
        if target == predicted_text(found, found.in_float, index):
            return margin
        room = width - 2 - self._metrics.width(f"is , {margin}")
        return f"is {self._metrics.elided(target, max(room, 0.0))}, {margin}"


def picture_ratio(shown: Shown) -> float:
    """Return the width of an example's picture relative to its height, masks included."""
    ratio = 1.0 if shown.pictures is None else shown.pictures.ratio
    return _MASK_PICTURES * ratio if shown.found.task == SEGMENTATION else ratio


def picture_shapes(shown: Shown, index: int, place: Sequence[float]) -> List[Shape]:
    """Return the picture of an example in a rectangle (left, top, right, bottom).

    Masks are beside it: the right one, that in float and the quantized one.
    """
    left, top, right, bottom = place
    pictures = shown.pictures
    if shown.found.task == SEGMENTATION:
        found, step = shown.found, (right - left) / _MASK_PICTURES
        masks = [found.targets[index], found.in_float[index], found.quantized[index]]
        colors = mask_colors(len(found.names))
        shapes = _of_example(pictures, index, (left, top, left + step - 1, bottom))
        for number, mask in enumerate(masks, 1):
            step_over = -(-max(mask.shape) // _LARGEST_MASK)
            small = mask[::step_over, ::step_over].astype(np.int64)
            pixels = colors[np.minimum(small, len(found.names))]  # ignored pixels have larger values
            shapes.append(Picture(left + number * step, top, left + (number + 1) * step - 1, bottom, pixels))
        return shapes
    return _of_example(pictures, index, (left, top, right, bottom))


def _of_example(pictures: Optional[ExamplePictures], index: int, place: Sequence[float]) -> List[Shape]:
    left, top, right, bottom = place
    if pictures is None or index >= pictures.number:
        return [rects(left, top, right, bottom, Fill("raised"))]
    if pictures.images is not None:
        return [Picture(left, top, right, bottom, pictures.images[index])]
    assert pictures.curves is not None, "there are images or curves"
    values = pictures.curves[index].astype(np.float64)
    x = np.linspace(left + 1, right - 1, len(values)) if len(values) > 1 else np.array([(left + right) / 2])
    frame: Shape = rects(left, top, right, bottom, Fill("raised", 0.5))
    lines: List[Shape] = [
        Line(x, bottom - 2 - values[:, number] * (bottom - top - 4), Stroke(series_role(number)))
        for number in range(values.shape[1])
    ]
    return [frame, *lines]


class ScoreBars:
    """Scores of an example as two bars for each class, label or number: in float and quantized.

    Parameters
    ----------
    rows : sequence of ScoreRow
    width : float
    metrics : Metrics
    """

    def __init__(self, rows: Sequence[ScoreRow], width: float, metrics: Metrics):
        self._rows, self._width, self._metrics = rows, width, metrics
        self.row = max(metrics.height, 2 * _BAR) + _GAP

    @property
    def height(self) -> float:
        """Height of all rows and of the legend."""
        return self.row * len(self._rows) + self._metrics.height + _GAP

    def shapes(self, x: float = 0.0, top: float = 0.0) -> List[Shape]:
        """Return the legend and the rows, with their upper left corner at ``x`` and ``top``."""
        if not self._rows:
            return []
        metrics = self._metrics
        longest = max(metrics.width(row.name) for row in self._rows) + _GAP
        left = x + min(longest, _NAMES * self._width)
        values = max(metrics.width(text) for row in self._rows for text in (row.text_float, row.text_quantized, "100"))
        columns = x + self._width - 3 * _GAP - values, x + self._width - _GAP
        right = max(columns[0] - values - 2 * _GAP, left + 1)
        shapes = self._legend(left, top)
        for number, row in enumerate(self._rows):
            y = top + metrics.height + _GAP + number * self.row
            base = y + metrics.ascent
            name = metrics.elided(row.name, left - x - _GAP)
            shapes.append(Text(x, base, name, "text" if row.is_target else "muted"))
            for bar, (length, role) in enumerate(((row.in_float, FLOAT_ROLE), (row.quantized, QUANTIZED_ROLE))):
                end = left + max((right - left) * min(max(length, 0.0), 1.0), 1.0)
                at = y + metrics.height / 2 - _BAR + bar * _BAR
                shapes.append(rects(left, at, end, at + _BAR - 1, Fill(role)))
            for end, text, role in zip(columns, (row.text_float, row.text_quantized), (FLOAT_ROLE, QUANTIZED_ROLE)):
                shapes.append(Text(end, base, text, role, END))
        return shapes

    def _legend(self, left: float, top: float) -> List[Shape]:
        shapes: List[Shape] = []
        for text, role in _LEGEND:
            shapes.append(Text(left, top + self._metrics.ascent, text, role))
            left += self._metrics.width(text) + 2 * _GAP
        return shapes
