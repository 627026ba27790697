"""Error measures of a quantized tensor, in NumPy: the reference for what the graph computes."""

from typing import NamedTuple, Optional, Union

import numpy as np

from qatviz.quant.affine import AffineGrid, clip, fake_quant, quantize

#: A value further than this beyond the representable range, in quantization steps, is clipped. Up to half a step
#: beyond it, the end of the range is the level nearest to the value, which is rounded like any other: a wider range
#: would not reduce its error. (Nudging the range so that 0 is a level moves its ends by up to half a step.) 1/64 of a
#: step allows for errors of float32: at 16 bits, 1/256 of a step for each operation.
CLIPPED_BEYOND = 0.5 + 1 / 64


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


def measure(x: np.ndarray, grid: AffineGrid, mapped: Optional[np.ndarray] = None) -> ErrorMeasures:
    """Return all measures of ``x`` (float32, channels last) on ``grid``.

    ``mapped`` are the values after the map of weights (:mod:`qatviz.quant.weight_maps`), which are those that are
    rounded; errors are those relative to ``x``.

    - ``mse = mse_clipping + mse_rounding``: the squared errors of clipped values, and those of all others.
    - ``sqnr_db = 10 log10(mean(x^2) / mse)``; infinite for an exact tensor, NaN for an empty or all-zero one.
    - ``rmse_over_scale``: root of the mean of (error / scale of its channel) squared.
    - ``clipped``, ``flushed``: fractions 0..1 of values beyond the representable range (:func:`is_clipped`), and of
      nonzero values that become 0.
    - ``used_codes``, ``effective_bits``: distinct codes, and the entropy of their distribution in bits.
    """
    x = np.asarray(x, np.float32)
    rounded = x if mapped is None else mapped
    values, clipped = fake_quant(rounded, grid), is_clipped(x, grid)
    size = max(x.size, 1)
    error = (values - x).astype(np.float64)
    squares = error**2
    safe_scale = np.where(grid.scale > 0, grid.scale, np.float32(1))
    counts = np.unique(quantize(rounded, grid), return_counts=True)[1]
    mse_clipping, mse_rounding = float(np.sum(squares[clipped]) / size), float(np.sum(squares[~clipped]) / size)
    mse = mse_clipping + mse_rounding
    return ErrorMeasures(
        mse=mse,
        mse_clipping=mse_clipping,
        mse_rounding=mse_rounding,
        sqnr_db=float(sqnr_db(np.sum(x.astype(np.float64) ** 2) / size, mse)),
        rmse_over_scale=float(np.sqrt(np.sum((error / safe_scale) ** 2) / size)),
        clipped=float(np.count_nonzero(clipped) / size),
        flushed=float(np.count_nonzero((values == 0) & (x != 0)) / size),
        used_codes=int(counts.size),
        effective_bits=float(entropy_bits(counts)),
    )


def is_clipped(x: np.ndarray, grid: AffineGrid) -> np.ndarray:
    """Return for each value (channels last) whether it is further than `CLIPPED_BEYOND` steps outside the range."""
    return is_beyond(clip(x, grid) - x, grid.scale)


def is_beyond(distance: np.ndarray, scale: Union[float, np.ndarray]) -> np.ndarray:
    """Return whether ``distance`` to the representable range, of either sign, is that of a clipped value."""
    with np.errstate(invalid="ignore"):  # NaN is not clipped
        return np.abs(distance) > np.float32(CLIPPED_BEYOND) * np.asarray(scale, np.float32)


def standard_error(variance: np.ndarray, n: int, size: Union[int, np.ndarray]) -> np.ndarray:
    """Return the standard error of the mean of a sample: ``n`` of ``size`` values, drawn without replacement.

    ``variance`` is that of the sample. The result, ``sqrt(variance / n * (1 - n / size))``, is 0 where all values are
    sampled. A sample that is spread over a tensor is at least as exact as one drawn at random.
    """
    return np.sqrt(np.maximum(variance, 0) / n * np.maximum(0.0, 1 - n / size))


def sqnr_db(signal: np.ndarray, mse: np.ndarray) -> np.ndarray:
    """Return the signal-to-quantization-noise ratio in dB, float64; infinite without noise, NaN without signal.

    ``signal`` is the mean square of the values, ``mse`` that of the errors.
    """
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
