"""Scene of a distribution over time: the histograms of many snapshots on common edges, one column each.

A column reaches from halfway to the previous snapshot to halfway to the next, on an axis of training steps. The first
and the last end with their own step: nothing is drawn where nothing is known.
"""

from typing import List, Optional, Sequence, Tuple

import numpy as np

from qatviz.number_format import percent_text
from qatviz.presentation.axes import Area
from qatviz.presentation.axis_range import Range
from qatviz.presentation.figure_caption import SAMPLE_HEIGHT, LegendItem, legend_item
from qatviz.presentation.scene import Group, Image, Line, Shape, Stroke, segments
from qatviz.protocol.snapshots import TensorHistogram

#: Bins of a column.
ROWS = 96
#: Ends of the colour scale, as fractions of a tensor's values in one bin: nothing is drawn below the first, and the
#: colour is the same above the last. Fixed, so that a colour always means the same.
MIN_FRACTION, MAX_FRACTION = 1e-4, 0.3
#: Number of colours, from 1; 0 is transparent.
COLORS = 255
_RANGE, _CURSOR = Stroke("range_edge"), Stroke("text", 2.0)


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


def column_edges(steps: Sequence[int]) -> np.ndarray:
    """Return the training steps between which the columns of snapshots lie, float64 ``[n + 1]``.

    >>> column_edges([0, 1, 101])
    array([ -0.5,   0.5,  51. , 101.5])
    """
    at = np.asarray(steps, np.float64)
    return np.concatenate([[at[0] - 0.5], (at[1:] + at[:-1]) / 2, [at[-1] + 0.5]])


def heat_map_shapes(
    area: Area,
    x_range: Range,
    y_range: Range,
    columns: np.ndarray,
    image: np.ndarray,
    colors: np.ndarray,
    ends: Sequence[np.ndarray],
    cursor: Optional[float],
) -> Group:
    """Return the columns of colours, and lines at the ends of the representable range.

    Parameters
    ----------
    area : Area
    x_range : (float, float)
        Visible training steps.
    y_range : (float, float)
        Visible values.
    columns : np.ndarray
        Edges of the columns, as :func:`column_edges` returns them.
    image : np.ndarray
        uint8 ``[columns, ROWS]``, as :meth:`Heatmap.image` returns it for ``y_range``.
    colors : np.ndarray
        uint8 ``[COLORS + 1, 4]``, RGBA.
    ends : sequence of np.ndarray
        Lower and upper ends of the representable range, float64 ``[columns]`` each; NaN where nothing is quantized.
    cursor : float, optional
        Training step of the cursor's line.
    """
    left, top, right, bottom = area
    per_step = (right - left) / (x_range[1] - x_range[0])
    x = left + (columns - x_range[0]) * per_step
    scale = (bottom - top) / (y_range[1] - y_range[0])
    shapes: List[Shape] = [Image(x[0], top, x[-1], bottom, image[_nearest(x)].T[::-1], colors)]
    corners = np.repeat(x, 2)[1:-1]
    shapes += [Line(corners, bottom - (np.repeat(end, 2) - y_range[0]) * scale, _RANGE) for end in ends]
    if cursor is not None:
        at = left + (cursor - x_range[0]) * per_step
        shapes.append(segments(at, top, at, bottom, _CURSOR))
    return Group(shapes, area)


def heat_map_legend(colors: np.ndarray) -> List[LegendItem]:
    """Return the legend: the colours (uint8 ``[COLORS + 1, 4]``) with the fractions at their ends, and the range."""
    width = 100.0
    bar = Image(0, 1, width, SAMPLE_HEIGHT - 1, np.arange(1, COLORS + 1, dtype=np.uint8)[np.newaxis], colors)
    ends = f"{percent_text(MIN_FRACTION)} … {percent_text(MAX_FRACTION)} of the values in a bin"
    return [LegendItem([bar], ends, width), legend_item(_RANGE, "ends of the representable range")]


def _nearest(edges: np.ndarray) -> np.ndarray:
    """Return the column at each pixel from the first to the last of ``edges``: images have pixels of one width."""
    pixels = max(int(np.ceil(edges[-1] - edges[0])), 1)
    centres = edges[0] + (np.arange(pixels) + 0.5) * (edges[-1] - edges[0]) / pixels
    return np.clip(np.searchsorted(edges, centres, side="right") - 1, 0, len(edges) - 2)
