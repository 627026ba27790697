"""Distribution of a tensor's quantization errors, in quantization steps, separately for rounding and clipping."""

from dataclasses import dataclass
from typing import Optional

import numpy as np

from qatviz.quant.affine import AffineGrid, fake_quant
from qatviz.quant.measures import is_clipped

#: Approximate number of values that are evaluated; of a larger tensor, evenly spaced rows, so that it takes one frame.
SAMPLE = 65536
#: Bins per quantization step, and the largest error that has a bin of its own, in quantization steps.
BINS_PER_STEP, LARGEST = 32, 2


@dataclass(frozen=True)
class ErrorDistribution:
    """Distribution of the errors ``(quantized - float) / scale``.

    Attributes
    ----------
    edges : np.ndarray
        float64 ``[n_bins + 1]``, in quantization steps: from -1 to 1, or if an error is larger, from ``-LARGEST`` to
        ``LARGEST``, where the outermost bins include all larger errors.
    rounding, clipping : np.ndarray
        int64 ``[n_bins]``: number of rounded values, and of clipped ones.
    values, total : int
        Number of values that were evaluated, and of all values.
    rmse_over_scale : float
        Root mean square of the errors; :data:`qatviz.measures.IDEAL_RMSE_OVER_SCALE` is ideal.
    largest : float
        Largest absolute error, in quantization steps.
    clipping_share : float
        Fraction of the squared error from clipping, 0..1; NaN without error.
    """

    edges: np.ndarray
    rounding: np.ndarray
    clipping: np.ndarray
    values: int
    total: int
    rmse_over_scale: float
    largest: float
    clipping_share: float


def error_distribution(values: np.ndarray, grid: AffineGrid, mapped: Optional[np.ndarray] = None) -> ErrorDistribution:
    """Return the errors of ``values`` (float32 ``[n, channels]``) on ``grid``, without values that are not finite.

    ``mapped`` are ``values`` after the map of weights, which are rounded in their place.
    """
    values = np.asarray(values, np.float32)
    # Odd, so that the rows, positions of feature maps, are of all columns.
    stride = -(-values.size // SAMPLE) | 1
    x = values[::stride]
    quantized = fake_quant(x if mapped is None else mapped[::stride], grid)
    scale = np.broadcast_to(np.where(grid.scale > 0, grid.scale, np.float32(1)), x.shape)
    known = np.isfinite(x)
    error = ((quantized - x) / scale)[known].astype(np.float64)
    clipped = is_clipped(x, grid)[known]
    largest = float(np.abs(error).max()) if error.size else 0.0
    reach = 1 if largest <= 1 else LARGEST
    edges = np.linspace(-reach, reach, 2 * reach * BINS_PER_STEP + 1)
    bins = np.clip(np.floor((error + reach) * BINS_PER_STEP), 0, len(edges) - 2).astype(np.intp)
    squares = error**2
    total = float(squares.sum())
    rounding, clipping = [np.bincount(bins[of], minlength=len(edges) - 1) for of in (~clipped, clipped)]
    return ErrorDistribution(
        edges,
        rounding,
        clipping,
        int(error.size),
        int(values.size),
        float(np.sqrt(total / max(error.size, 1))),
        largest,
        float(squares[clipped].sum() / total) if total else float("nan"),
    )
