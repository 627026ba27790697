"""Scene of a distribution over time: the histograms of many snapshots on common edges, one column each."""

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
#: Ends of the colour scale, as fractions of a tensor's values in one bin: nothing is drawn below the first, and the
#: colour is the same above the last. Fixed, so that a colour always means the same.
MIN_FRACTION, MAX_FRACTION = 1e-4, 0.3
#: Number of colours, from 1; 0 is transparent.
COLORS = 255
_RANGE, _CURSOR = Stroke("window_edge"), Stroke("text", 2.0)


def rebinned(histogram: TensorHistogram, edges: np.ndarray) -> np.ndarray:
    """Return the fraction of values in each bin between ``edges``, assuming even spread within the histogram's bins.

    Parameters
    ----------
    edges : np.ndarray
        float64 ``[n + 1]``, ascending. Values outside are not counted.

    Returns
    -------
    np.ndarray
        float64 ``[n]``, 0..1.
    """
    below = np.concatenate([[0.0], np.cumsum(histogram.float_counts, dtype=np.float64)])
    if below[-1] == 0:
        return np.zeros(len(edges) - 1)
    return np.diff(np.interp(edges, histogram.edges.astype(np.float64), below)) / below[-1]


def color_indices(fractions: np.ndarray) -> np.ndarray:
    """Return colour indices, uint8: 0 below :data:`MIN_FRACTION`, then linear in the logarithm of the fraction."""
    with np.errstate(divide="ignore"):
        place = np.log(fractions / MIN_FRACTION) / np.log(MAX_FRACTION / MIN_FRACTION)
    return np.where(fractions < MIN_FRACTION, 0, 1 + np.clip(place, 0, 1) * (COLORS - 1)).astype(np.uint8)


class Heatmap:
    """Cache of columns of colour indices: only new columns are computed.

    Attributes
    ----------
    low, high : float
        Values at the lower and upper edge of the image.
    """

    def __init__(self) -> None:
        self.low, self.high = 0.0, 1.0
        self._columns: List[Tuple[TensorHistogram, np.ndarray]] = []

    def image(self, histograms: Sequence[TensorHistogram], low: float, high: float) -> np.ndarray:
        """Return colour indices for the values from ``low`` to ``high``, one column per histogram: ``[n, ROWS]``."""
        if (low, high) != (self.low, self.high):
            self.low, self.high, self._columns = low, high, []
        known = {id(histogram): column for histogram, column in self._columns}
        edges = np.linspace(low, high, ROWS + 1)
        self._columns = [
            (histogram, known[id(histogram)] if id(histogram) in known else color_indices(rebinned(histogram, edges)))
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
    """Return the columns of colours, and lines at the ends of the representable range.

    Parameters
    ----------
    area : Area
    n_columns : int
        Number of columns of the axis; those of the image are the first.
    y_range : (float, float)
    image : np.ndarray
        uint8 ``[columns, ROWS]``, as :meth:`Heatmap.image` returns it for ``y_range``.
    colors : np.ndarray
        uint8 ``[COLORS + 1, 4]``, RGBA.
    ends : sequence of np.ndarray
        Lower and upper ends, float64 ``[columns]`` each; NaN in float.
    cursor : int, optional
        Column of the cursor's line.
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
    """Return ticks at columns (0, 1, ...), as many as there is room for labels."""
    widest = max(map(metrics.width, labels), default=0.0) + LABEL_GAP
    stride = max(1, math.ceil(widest * n_columns / max(width, 1.0)))
    return [(float(column), label) for column, label in enumerate(labels) if column % stride == 0]
