"""Range methods on values (min–max, percentile, least squared error, least KL divergence), in NumPy.

Values are ``[n, channels]``, with a range for each channel. Searches are too expensive for every training step: those
for weights run at intervals, and their results are stored in the ``held_*`` arrays of :mod:`qatviz.quant.live_state`.
In a run, the same methods find the ranges of activations in histograms (:mod:`qatviz.quant.histogram_ranges`); on
values, they predict the effect of pending settings (:mod:`qatviz.analysis.pending`).
"""

from dataclasses import replace
from typing import Optional, Tuple

import numpy as np

from qatviz.quant import least_error
from qatviz.quant.affine import LARGEST_SCALE, SMALLEST_SCALE, code_bounds
from qatviz.quant.histogram_ranges import histogram_of, range_in
from qatviz.settings import FROZEN, KL, LEARNED_METHODS, MSE, PERCENTILE, QuantizerSettings

#: Lower and upper ends, float32 ``[channels]`` each.
Range = Tuple[np.ndarray, np.ndarray]

#: Largest number of values of a tensor in the MSE search.
SEARCH_SAMPLE = 65536
#: Settings of a grid on which the best range depends.
_OF_GRID = ("num_bits", "symmetric", "narrow_range", "per_channel", "power_of_two")
#: Smallest and largest scale from which the MSE search starts: all scales that it tries are then those of a grid.
_SEARCHED = float(SMALLEST_SCALE) * 2**10, float(LARGEST_SCALE) / 4


def find_range(x: np.ndarray, settings: QuantizerSettings) -> Range:
    """Return the range of ``x``, float32 ``[n, channels]``, by the method of ``settings``: percentile, MSE or KL.

    Learned ranges start from that of least squared error. Any other method returns minimum and maximum.
    """
    if settings.range_method == PERCENTILE:
        return percentile_range(x, settings.percentile)
    if settings.range_method in (MSE, *LEARNED_METHODS):
        return mse_range(x, settings.num_bits, settings.symmetric, settings.narrow_range, settings.power_of_two)
    if settings.range_method == KL:
        found = [range_in(histogram_of(column), settings) for column in x.T]
        low, high = np.array(found, np.float32).T
        return low, high
    return min_max_range(x)


def starts_anew(now: Optional[QuantizerSettings], wanted: QuantizerSettings) -> bool:
    """Return whether a learned range starts from that of least squared error when ``wanted`` takes effect.

    So it does at the start of a run (``now`` is None), and on another grid: the scale of 8 bits would leave almost no
    level to 2 bits. If only the range method changes, it starts from the range in use.
    """
    if wanted.range_method not in LEARNED_METHODS:
        return False
    if now is None or (wanted.enabled and not now.enabled):
        return True
    return any(getattr(now, name) != getattr(wanted, name) for name in _OF_GRID)


def as_applied(now: QuantizerSettings, wanted: QuantizerSettings) -> QuantizerSettings:
    """Return ``wanted`` as far as it determines the grid right after the change from ``now``.

    A learned range that does not start anew is frozen at first: it continues from the range in use.
    """
    if wanted.range_method in LEARNED_METHODS and not starts_anew(now, wanted):
        return replace(wanted, range_method=FROZEN)
    return wanted


def min_max_range(x: np.ndarray) -> Range:
    """Return minimum and maximum of ``x`` ``[n, channels]`` by channel; zeros if it is empty."""
    if x.shape[0] == 0:
        return np.zeros(x.shape[1:], np.float32), np.zeros(x.shape[1:], np.float32)
    return x.min(axis=0), x.max(axis=0)


def percentile_range(x: np.ndarray, percentile: float) -> Range:
    """Return the range of ``percentile`` % of ``x`` ``[n, channels]``; the others are cut off, half at either end.

    Linear interpolation between order statistics, as in ``np.percentile``; zeros if ``x`` is empty.
    """
    if x.shape[0] == 0:
        return min_max_range(x)
    tail = (100.0 - percentile) / 2.0
    low, high = np.percentile(x, [tail, 100.0 - tail], axis=0)
    return low.astype(np.float32), high.astype(np.float32)


def search_sample(x: np.ndarray) -> Tuple[np.ndarray, Optional[np.ndarray]]:
    """Return a sample of about :data:`SEARCH_SAMPLE` values of ``x`` ``[n, channels]``, and the weight of each.

    A sample of a few rows would lack most outliers, on which the range depends most. So the rows are taken in blocks,
    and of each block the smallest, the largest and another value, which stands for all the others. A weight is the
    number of values that one stands for: extremes may occur often, such as the 0 of a ReLU. Both are float32
    ``[rows, channels]``; a tensor of at most that size is returned as it is, and its weights are None.
    """
    if x.size <= SEARCH_SAMPLE or len(x) < 4:
        return x, None
    blocks = max(1, min(SEARCH_SAMPLE // (3 * x.shape[1]), len(x) // 4))
    block = len(x) // blocks
    parts = x[: blocks * block].reshape(blocks, block, -1)
    low, high = parts.min(axis=1), parts.max(axis=1)
    is_low, is_high = parts == low[:, np.newaxis], parts == high[:, np.newaxis]
    is_extreme = is_low | is_high
    row = is_extreme.argmin(axis=1)[:, np.newaxis]  # the first that is not; row 0, which counts 0, if all are
    others = np.take_along_axis(parts, row, axis=1)[:, 0]
    rest = x[blocks * block :]
    numbers = np.ones((3 * blocks + len(rest), x.shape[1]), np.float32)
    number_low, number_high, number_others = (numbers[part * blocks : (part + 1) * blocks] for part in range(3))
    if np.count_nonzero(is_extreme) > 2 * low.size:  # else they occur once, and counting would take half of the time
        number_low[:] = is_low.sum(axis=1)
        number_high[:] = is_extreme.sum(axis=1) - number_low
    number_others[:] = block - number_low - number_high
    return np.concatenate([low, high, others, rest]), numbers


def mse_range(x: np.ndarray, num_bits: int, symmetric: bool, narrow_range: bool, power_of_two: bool = False) -> Range:
    """Return the range whose grid has the least mean squared error, for each channel of ``x`` ``[n, channels]``.

    Both ends are searched independently (:mod:`qatviz.quant.least_error`), on a sample of a large tensor
    (:data:`SEARCH_SAMPLE`). They are the ends of the grid, so they can be slightly outside of the values. A channel
    whose values are all 0, too small or too large for a grid, or not finite keeps its minimum and maximum.
    """
    low, high = min_max_range(x)
    code_min, code_max = code_bounds(num_bits, narrow_range)
    levels = code_max - code_min
    sample, numbers = search_sample(x)
    extent = np.abs(sample).max(axis=0, initial=0.0) / levels
    with np.errstate(invalid="ignore"):
        usable = (extent > _SEARCHED[0]) & (extent < _SEARCHED[1])
    if usable.any():
        scale, z = least_error.search(
            sample[:, usable],
            levels,
            -code_min if symmetric else None,
            power_of_two,
            None if numbers is None else numbers[:, usable],
        )
        low[usable], high[usable] = -z * scale, (levels - z) * scale
    return low, high
