"""A distribution over time: the histograms of many snapshots on common edges, one column each, as an image."""

from typing import List, Sequence, Tuple

import numpy as np

from qatviz.protocol.snapshots import TensorHistogram

#: Bins of a column.
ROWS = 96
#: Ends of the colour scale, as fractions of a tensor's values in one bin: below the first nothing is drawn, above the
#: last the colour stays the same. Fixed, so that a colour always means the same.
LEAST_SHARE, MOST_SHARE = 1e-4, 0.3
#: Numbers of colours; 0 is nothing.
COLORS = 255


def rebinned(histogram: TensorHistogram, edges: np.ndarray) -> np.ndarray:
    """Return the fraction of the values in each bin between ``edges``, with the values of a bin taken as evenly spread.

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
    """uint8: 0 below :data:`LEAST_SHARE`, then 1..:data:`COLORS` evenly in the logarithm of the share."""
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

    def __init__(self):
        self.low, self.high = 0.0, 1.0
        self._columns: List[Tuple[TensorHistogram, np.ndarray]] = []

    def image(self, histograms: Sequence[TensorHistogram], low: float, high: float) -> np.ndarray:
        """uint8 ``[len(histograms), ROWS]``: a column for each histogram, of the values from ``low`` to ``high``."""
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
