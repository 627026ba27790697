"""Range methods for weights (percentile, least squared error), in NumPy.

They are too expensive for every training step, so the ranges are computed at intervals and stored in the ``held_*``
arrays of :mod:`qatviz.quant.live_state`. Arrays are ``[n, channels]``, with a range for each channel.
"""

from typing import Tuple

import numpy as np

from qatviz.quant.affine import choose_grid, fake_quant
from qatviz.settings import MSE, PERCENTILE, QuantizerSettings

Range = Tuple[np.ndarray, np.ndarray]

#: Fractions of the min–max range that the MSE search tries first, and offsets from the best of them in the refinement.
COARSE_FRACTIONS = np.linspace(0.05, 1.0, 20).astype(np.float32)
FINE_OFFSETS = np.linspace(-0.04, 0.04, 9).astype(np.float32)
#: Largest number of values of a tensor in the search, evenly spaced.
SEARCH_SAMPLE = 65536


def find_range(x: np.ndarray, settings: QuantizerSettings) -> Range:
    """Return the range by the method of ``settings``: percentile, least squared error, or minimum and maximum."""
    if settings.range_method == PERCENTILE:
        return percentile_range(x, settings.percentile)
    if settings.range_method == MSE:
        return mse_range(x, settings.num_bits, settings.symmetric, settings.narrow_range, settings.power_of_two)
    return min_max_range(x)


def min_max_range(x: np.ndarray) -> Range:
    """Return minimum and maximum of ``x`` ``[n, channels]`` by channel; zeros if it is empty."""
    if x.shape[0] == 0:
        return np.zeros(x.shape[1:], np.float32), np.zeros(x.shape[1:], np.float32)
    return x.min(axis=0), x.max(axis=0)


def percentile_range(x: np.ndarray, percentile: float) -> Range:
    """Return the range of ``percentile`` % of ``x`` ``[n, channels]``; the rest is cut evenly at both ends.

    Linear interpolation between order statistics, as in ``np.percentile``.
    """
    tail = (100.0 - percentile) / 2.0
    low, high = np.percentile(x, [tail, 100.0 - tail], axis=0)
    return low.astype(np.float32), high.astype(np.float32)


def search_stride(num_values: int, num_channels: int) -> int:
    """Return the stride of rows with which the MSE search uses at most about :data:`SEARCH_SAMPLE` values."""
    return max(1, -(-num_values * num_channels // SEARCH_SAMPLE))


def mse_range(x: np.ndarray, num_bits: int, symmetric: bool, narrow_range: bool, power_of_two: bool = False) -> Range:
    """Return the fraction of the min–max range, the same at both ends, whose grid has the least mean squared error.

    The search tries 20 fractions from 5 % to 100 %, then 9 around the best, 1 % apart. ``x`` is ``[n, channels]``.
    """
    low, high = min_max_range(x)
    sample = x[:: search_stride(*x.shape)]

    def error(fraction: np.ndarray) -> np.ndarray:
        grid = choose_grid(low * fraction, high * fraction, num_bits, symmetric, narrow_range, power_of_two)
        return np.mean((fake_quant(sample, grid) - sample) ** 2, axis=0)

    best = COARSE_FRACTIONS[np.argmin([error(np.full_like(low, value)) for value in COARSE_FRACTIONS], axis=0)]
    offsets = FINE_OFFSETS[np.argmin([error(best + offset) for offset in FINE_OFFSETS], axis=0)]
    return low * (best + offsets), high * (best + offsets)
