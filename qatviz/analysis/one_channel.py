"""Distribution and measures of a single output channel, computed from the values of its tensor."""

from dataclasses import dataclass
from typing import Dict, Optional

import numpy as np

from qatviz.network.plan import QuantizedTensor
from qatviz.protocol.snapshots import TensorHistogram
from qatviz.quant.affine import AffineGrid, fake_quant, quantize
from qatviz.quant.measures import measure


@dataclass(frozen=True)
class OneChannel:
    """One output channel of a tensor.

    Attributes
    ----------
    index, count : int
        Index of the channel; number of channels of the tensor.
    values : np.ndarray
        float32 ``[n, 1]``.
    histogram : TensorHistogram
        As in a snapshot, over the channel's own range.
    measures : dict of str to float
        Measures of a snapshot, of this channel alone; empty in float.
    mapped : np.ndarray or None
        The values after the map of weights, float32 ``[n, 1]``; None without one.
    """

    index: int
    count: int
    values: np.ndarray
    histogram: TensorHistogram
    measures: Dict[str, float]
    mapped: Optional[np.ndarray] = None


def one_channel(
    index: int,
    values: np.ndarray,
    whole: TensorHistogram,
    grid: Optional[AffineGrid],
    tensor: QuantizedTensor,
    mapped: Optional[np.ndarray] = None,
) -> OneChannel:
    """Return one channel of ``values``.

    Parameters
    ----------
    index : int
    values : np.ndarray
        float32 ``[n, channels]``, finite.
    whole : TensorHistogram
        Histogram of the tensor; that of the channel gets as many bins, and counts of codes if it has them.
    grid : AffineGrid or None
        Grid of the tensor at the step of its values; None in float.
    tensor : QuantizedTensor
    mapped : np.ndarray, optional
        ``values`` after the map of weights, which are rounded in their place.
    """
    x = np.asarray(values[:, index : index + 1], np.float32)
    alone = None if grid is None else grid_of_channel(grid, index)
    rounded = x if mapped is None else mapped[:, index : index + 1]
    levels = x if alone is None else fake_quant(rounded, alone)
    low, high = float(min(x.min(), levels.min())), float(max(x.max(), levels.max()))
    edges = np.linspace(low, high if high > low else low + max(1.0, abs(low)), len(whole.float_counts) + 1)
    code_counts, found = None, {}
    if alone is not None:
        if whole.code_counts is not None:
            codes = quantize(rounded, alone).ravel() - whole.code_min
            code_counts = np.bincount(codes, minlength=len(whole.code_counts)).astype(np.int64)
        found = {key: float(value) for key, value in measure(x, alone, rounded)._asdict().items()}
        found.update(
            range_min=float(alone.minimum[0]),
            range_max=float(alone.maximum[0]),
            scale=float(alone.scale[0]),
            zero_point=float(alone.zero_point[0]),
        )
    histogram = TensorHistogram(
        edges.astype(np.float32),
        np.histogram(x, edges)[0].astype(np.int64),
        np.histogram(np.clip(levels, edges[0], edges[-1]), edges)[0].astype(np.int64),
        whole.code_min,
        code_counts,
        x.min(axis=0),
        x.max(axis=0),
        whole.scale[:1] if alone is None else alone.scale,
        whole.zero_point[:1] if alone is None else alone.zero_point,
        int(x.size),
        int(np.count_nonzero(x == 0)),
    )
    return OneChannel(index, tensor.num_channels, x, histogram, found, None if mapped is None else rounded)


def grid_of_channel(grid: AffineGrid, index: int) -> AffineGrid:
    """Return the grid of one channel, with ``scale`` and ``zero_point`` of shape ``[1]``."""
    scale, zero_point = (np.atleast_1d(part) for part in (grid.scale, grid.zero_point))
    at = slice(index, index + 1) if scale.size > 1 else slice(None)
    return AffineGrid(scale[at], zero_point[at], grid.num_bits, grid.narrow_range)
