"""A distribution over time: the histograms of many snapshots on common edges, one column each, as an image."""

import math
from typing import List, Optional, Sequence, Tuple

import numpy as np

from qatviz.presentation.axes import Area
from qatviz.presentation.axis_range import Range
from qatviz.presentation.scene import Group, Image, Line, Metrics, Shape, Stroke, segments
from qatviz.presentation.ticks import LABEL_GAP, Tick
from qatviz.protocol.snapshots import TensorHistogram

#: Bins of a column.
ROWS = 96
#: Ends of the colour scale, as fractions of a tensor's values in one bin: below the first nothing is drawn, above the
#: last the colour stays the same. Fixed, so that a colour always means the same.
LEAST_SHARE, MOST_SHARE = 1e-4, 0.3
#: Numbers of colours; 0 is nothing.
COLORS = 255
_RANGE, _CURSOR = Stroke("window_edge"), Stroke("text", 2.0)


def rebinned(histogram: TensorHistogram, edges: np.ndarray) -> np.ndarray:
    """Return the share of the values in each of the bins between ``edges``; those of a bin are taken as evenly spread.

    Parameters
    ----------
    edges : np.ndarray
        float64 ``[n + 1]``, ascending. What is outside is lost.

    Returns
    -------
    np.ndarray
        float64 ``[n]``, 0..1.
    """
    below = np.concatenate([[0.0], np.cumsum(histogram.float_counts, dtype=np.float64)])
    if below[-1] == 0:
        return np.zeros(len(edges) - 1)
    return np.diff(np.interp(edges, histogram.edges.astype(np.float64), below)) / below[-1]


def color_numbers(shares: np.ndarray) -> np.ndarray:
    """Return numbers of colours, uint8: 0 below :data:`LEAST_SHARE`, then evenly in the logarithm of the share."""
    with np.errstate(divide="ignore"):
        place = np.log(shares / LEAST_SHARE) / np.log(MOST_SHARE / LEAST_SHARE)
    return np.where(shares < LEAST_SHARE, 0, 1 + np.clip(place, 0, 1) * (COLORS - 1)).astype(np.uint8)


class Heatmap:
    """Columns of colour numbers, kept from one time to the next: only what is new is computed.

    Attributes
    ----------
    low, high : float
        The values at the lower and upper edge of the image.
    """

    def __init__(self) -> None:
        self.low, self.high = 0.0, 1.0
        self._columns: List[Tuple[TensorHistogram, np.ndarray]] = []

    def image(self, histograms: Sequence[TensorHistogram], low: float, high: float) -> np.ndarray:
        """Return a column for each histogram, of the values from ``low`` to ``high``: uint8 ``[columns, ROWS]``."""
        if (low, high) != (self.low, self.high):
            self.low, self.high, self._columns = low, high, []
        known = {id(histogram): column for histogram, column in self._columns}
        edges = np.linspace(low, high, ROWS + 1)
        self._columns = [
            (histogram, known[id(histogram)] if id(histogram) in known else color_numbers(rebinned(histogram, edges)))
            for histogram in histograms
        ]
        if not self._columns:
            return np.zeros((0, ROWS), np.uint8)
        return np.stack([column for _, column in self._columns])


def heat_map_shapes(
    area: Area,
    n_columns: int,
    y_range: Range,
    image: np.ndarray,
    colors: np.ndarray,
    ends: Sequence[np.ndarray],
    cursor: Optional[int],
) -> Group:
    """Return a column of colours for each time, and the ends of the representable range at each.

    Parameters
    ----------
    area : Area
    n_columns : int
        Columns that there is room for; those of the image are the first of them.
    y_range : (float, float)
    image : np.ndarray
        uint8 ``[columns, ROWS]``, as :meth:`Heatmap.image` returns it for ``y_range``.
    colors : np.ndarray
        uint8 ``[COLORS + 1, 4]``, RGBA.
    ends : sequence of np.ndarray
        Lower and upper ends, float64 ``[columns]`` each; NaN in float.
    cursor : int, optional
        The column that a line is drawn through.
    """
    left, top, right, bottom = area
    width = (right - left) / n_columns
    shapes: List[Shape] = [Image(left, top, left + width * len(image), bottom, image.T[::-1], colors)]
    x = left + width * np.repeat(np.arange(len(image) + 1), 2)[1:-1]
    scale = (bottom - top) / (y_range[1] - y_range[0])
    shapes += [Line(x, bottom - (np.repeat(end, 2) - y_range[0]) * scale, _RANGE) for end in ends]
    if cursor is not None:
        at = left + width * (cursor + 0.5)
        shapes.append(segments(at, top, at, bottom, _CURSOR))
    return Group(shapes, area)


def heat_map_ticks(labels: Sequence[str], n_columns: int, width: float, metrics: Metrics) -> List[Tick]:
    """Return ticks at columns (0, 1, ...), as many as have room for their labels."""
    widest = max(map(metrics.width, labels), default=0.0) + LABEL_GAP
    stride = max(1, math.ceil(widest * n_columns / max(width, 1.0)))
    return [(float(column), label) for column, label in enumerate(labels) if column % stride == 0]
