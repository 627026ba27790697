"""Error measures of a quantized tensor, in NumPy: the reference for what the graph computes."""

from typing import NamedTuple, Optional

import numpy as np

from qatviz.quant.affine import AffineGrid, clip, fake_quant, quantize


class ErrorMeasures(NamedTuple):
    """Error measures of one tensor; see :func:`measure`."""

    mse: float
    mse_clipping: float
    mse_rounding: float
    sqnr_db: float
    rmse_over_scale: float
    clipped: float
    flushed: float
    used_codes: float
    effective_bits: float


def measure(x: np.ndarray, grid: AffineGrid) -> ErrorMeasures:
    """Return all measures of ``x`` (float32, channels last) on ``grid``.

    - ``mse = mse_clipping + mse_rounding``: a clipped value lands exactly on the edge of the grid, so its error is all
      clipping; any other value's is all rounding.
    - ``sqnr_db = 10 log10(mean(x^2) / mse)``; infinite for an exact tensor, NaN for an empty or all-zero one.
    - ``rmse_over_scale``: root of the mean of (error / scale of its channel) squared.
    - ``clipped``, ``flushed``: fractions 0..1 of values beyond the representable range, and of values rounded
      to zero.
    - ``used_codes``, ``effective_bits``: distinct codes, and the entropy of their distribution in bits.
    """
    x = np.asarray(x, np.float32)
    values, inside = fake_quant(x, grid), clip(x, grid)
    size = max(x.size, 1)
    error = (values - x).astype(np.float64)
    clipping, rounding = (inside - x).astype(np.float64), (values - inside).astype(np.float64)
    safe_scale = np.where(grid.scale > 0, grid.scale, np.float32(1))
    counts = np.unique(quantize(x, grid), return_counts=True)[1]
    mse = float(np.sum(error**2) / size)
    return ErrorMeasures(
        mse=mse,
        mse_clipping=float(np.sum(clipping**2) / size),
        mse_rounding=float(np.sum(rounding**2) / size),
        sqnr_db=float(sqnr_db(np.sum(x.astype(np.float64) ** 2) / size, mse)),
        rmse_over_scale=float(np.sqrt(np.sum((error / safe_scale) ** 2) / size)),
        clipped=float(np.count_nonzero(inside != x) / size),
        flushed=float(np.count_nonzero((values == 0) & (x != 0)) / size),
        used_codes=int(counts.size),
        effective_bits=float(entropy_bits(counts)),
    )


def sqnr_db(signal: np.ndarray, mse: np.ndarray) -> np.ndarray:
    """Return the signal-to-quantization-noise ratio in dB; infinite without noise, NaN without signal."""
    signal, mse = np.asarray(signal, np.float64), np.asarray(mse, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(signal > 0, 10.0 * np.log10(signal / mse), np.nan)


def entropy_bits(counts: np.ndarray) -> float:
    """Return the entropy of a histogram in bits; 0 for an empty one."""
    counts = np.asarray(counts, np.float64)
    total = counts.sum()
    if total == 0:
        return 0.0
    p = counts[counts > 0] / total
    return float(-np.sum(p * np.log2(p)) + 0.0)


def flip_rate(codes: np.ndarray, previous: Optional[np.ndarray]) -> float:
    """Return the fraction of values whose code has changed; NaN without ``previous`` codes of the same shape."""
    if previous is None or previous.shape != codes.shape or codes.size == 0:
        return float("nan")
    return float(np.mean(codes != previous))
