"""The grid that a tensor would have under pending settings, and the error on it, in NumPy.

The rules are those by which the run adopts a change (:mod:`qatviz.training.range_policy`): for weights whose values are
known, the result is the grid that the run will use.
"""

from typing import Dict, Optional, Tuple

import numpy as np

from qatviz.network.activations import fixed_range
from qatviz.network.plan import QuantizationPlan, QuantizedTensor
from qatviz.protocol.snapshots import Snapshot, TensorHistogram
from qatviz.quant.affine import AffineGrid, choose_grid
from qatviz.quant.measures import ErrorMeasures, entropy_bits, is_beyond, sqnr_db
from qatviz.quant.ranges import Range, find_range
from qatviz.quant.weight_maps import mapped as mapped_weights
from qatviz.settings import (
    EXTREMES,
    FROZEN,
    HISTOGRAM_METHODS,
    LEARNED_METHODS,
    MSE,
    NO_MAP,
    WEIGHTS,
    QuantizerSettings,
)

#: Number of values that are measured at a time: the work arrays of one block (float32 and float64) fit a core's cache.
BLOCK_VALUES = 65536
#: Number of substitutes for the values of a tensor of which only the histogram is known, and at least for those of each
#: channel: fewer would fit a searched range, and their extremes, which have no rounding error, would count too much.
SUBSTITUTES, CHANNEL_SUBSTITUTES = 4096, 128
#: Powers that concentrate the substitutes of a channel about 0, and the number of halvings of this range.
_POWERS, _HALVINGS = (0.25, 4.0), 20
#: Below this bit width, a grid's representable range can differ much from the range that it was computed from.
FINE_BITS = 6
#: Fraction whose multiples, without their whole parts, are spread evenly between 0 and 1.
_GOLDEN_RATIO = (5**0.5 - 1) / 2
_NAN = float("nan")
#: Measures of a tensor that is not quantized: no error, and no codes (as in a snapshot).
IN_FLOAT = ErrorMeasures(0.0, 0.0, 0.0, float("inf"), 0.0, 0.0, 0.0, _NAN, _NAN)
#: Measures of values that are not all finite.
UNKNOWN = ErrorMeasures(*[_NAN] * len(ErrorMeasures._fields))


def pending_grid(
    tensor: QuantizedTensor,
    settings: QuantizerSettings,
    present_range: Range,
    values: Optional[np.ndarray] = None,
    held: bool = False,
) -> AffineGrid:
    """Return the grid that ``tensor`` would have under ``settings``.

    A fixed range depends on the bits only. A moving average and a frozen range keep the present range. Extremes so far
    are widened to those of ``values``. Other methods find the range in ``values``, by channel if weights are quantized
    per channel; so does a learned range, unless it continues from the present one
    (:func:`qatviz.quant.ranges.as_applied`). Without values, the present range is kept.

    Parameters
    ----------
    present_range : tuple of np.ndarray
        Present lower and upper ends, ``[]`` or ``[num_channels]``. One grid for all channels uses the widest of several
        ranges; grids for each channel all use a single one.
    values : np.ndarray, optional
        float32 ``[n, num_channels]``.
    held : bool
        True if all ranges of the run are frozen.

    Returns
    -------
    AffineGrid
        ``scale`` and ``zero_point`` are ``[num_channels]`` where quantized per channel, else ``[1]``.
    """
    by_channel = settings.per_channel and tensor.kind == WEIGHTS
    if settings.has_coded_map:
        held = False  # the map determines the range
    if values is not None:
        mapped = after_map(values, settings, tensor)
        values = values if mapped is None else mapped
    settings = settings.on_grid()
    method = settings.range_method
    follows = method != FROZEN if tensor.kind == WEIGHTS else method in (*HISTOGRAM_METHODS, *LEARNED_METHODS)
    if tensor.fixed_range:
        low, high = [np.float32([end]) for end in fixed_range(tensor.fixed_range, settings.num_bits)]
    elif follows and values is not None and not held:
        low, high = find_range(values if by_channel else values.reshape(-1, 1), settings)
    else:
        low, high = [np.atleast_1d(np.asarray(end, np.float32)) for end in present_range]
        if by_channel:
            low, high = [np.broadcast_to(end, (tensor.num_channels,)) for end in (low, high)]
        else:
            low, high = low.min(keepdims=True), high.max(keepdims=True)
        if method == EXTREMES and values is not None and values.size and not held:
            low, high = np.minimum(low, values.min()), np.maximum(high, values.max())
    return choose_grid(low, high, settings.num_bits, settings.symmetric, settings.narrow_range, settings.power_of_two)


def after_map(values: np.ndarray, settings: QuantizerSettings, tensor: QuantizedTensor) -> Optional[np.ndarray]:
    """Return values ``[n, channels]`` of a tensor after the map of weights of ``settings``; None if there is none."""
    if tensor.kind != WEIGHTS or settings.effective_map == NO_MAP:
        return None
    return mapped_weights(values, settings, tensor.num_channels)


def present_range(
    tensor: QuantizedTensor, histogram: TensorHistogram, num_bits: int, settings: QuantizerSettings
) -> Tuple[Range, bool]:
    """Return the range that the grid in effect was computed from, and whether it is an estimate.

    A snapshot contains only the grid, whose representable range is wider than that range if it was made symmetric, or
    its scale was rounded up to a power of two. In these cases, the range of the values is used where it is narrower.
    Ranges of least squared error and learned scales are those of their grid.
    """
    settings = settings.on_grid()
    grid = AffineGrid(histogram.scale, histogram.zero_point, num_bits, settings.narrow_range)
    low, high = grid.minimum, grid.maximum
    is_of_grid = settings.range_method == MSE or (
        settings.range_method in LEARNED_METHODS and not settings.power_of_two
    )
    widened = (settings.symmetric or settings.power_of_two) and not is_of_grid
    if widened:
        least, most = histogram.channel_min, histogram.channel_max
        if low.size == 1:
            least, most = least.min(keepdims=True), most.max(keepdims=True)
        low, high = np.maximum(low, np.minimum(least, 0)), np.minimum(high, np.maximum(most, 0))
    if tensor.nonnegative:
        low = np.zeros_like(low)
    return (low, high), widened or num_bits < FINE_BITS


def pending_measures(values: np.ndarray, grid: AffineGrid, mapped: Optional[np.ndarray] = None) -> ErrorMeasures:
    """Return the measures of :func:`qatviz.quant.measures.measure`, block by block, which is faster for large tensors.

    The arithmetic is the same for each value, so counts and codes are equal; sums are computed block by block and agree
    to about 1e-6. All measures are NaN if a value is not finite.

    Parameters
    ----------
    values : np.ndarray
        float32 ``[n, channels]``; ``grid`` has a scale for each channel or one for all.
    mapped : np.ndarray, optional
        ``values`` after the map of weights, which are rounded in their place.
    """
    values = np.ascontiguousarray(values, np.float32)
    if values.size == 0:
        return ErrorMeasures(0.0, 0.0, 0.0, _NAN, 0.0, 0.0, 0.0, 0, 0.0)
    if not np.isfinite(np.float64(values.min()) + np.float64(values.max())):
        return UNKNOWN
    channels = np.size(grid.scale)
    flat = values.reshape(-1)
    block = max(1, BLOCK_VALUES // channels) * channels
    sums = _Sums(grid, block, channels)
    rounded = None if mapped is None else np.ascontiguousarray(mapped, np.float32).reshape(-1)
    for start in range(0, flat.size, block):
        part = slice(start, start + block)
        sums.add(flat[part], None if rounded is None else rounded[part])
    return sums.measures(flat.size)


def likely_values(histogram: TensorHistogram, by_channel: bool) -> np.ndarray:
    """Return values with the distribution of ``histogram``, as a substitute for unknown values.

    They are quantiles from the smallest to the largest value, with the values of a bin taken as evenly spread. If
    ``by_channel``, every channel has the same distribution between its own extremes, as concentrated as makes the mean
    square of all values that of the histogram. They are NaN if the range of the tensor is not finite.

    Returns
    -------
    np.ndarray
        float32 ``[n, 1]``, or ``[n, num_channels]`` where ``by_channel``; ``[0, ...]`` of an empty histogram. There are
        about :data:`SUBSTITUTES` values, at least :data:`CHANNEL_SUBSTITUTES` in a channel, if the tensor has as many.
    """
    low, high = [np.asarray(end, np.float64) for end in (histogram.channel_min, histogram.channel_max)]
    columns = low.size if by_channel else 1
    total = int(histogram.float_counts.sum())
    if not total:
        return np.zeros((0, columns), np.float32)
    if not (np.isfinite(low.min()) and np.isfinite(high.max())):
        return np.full((1, columns), np.nan, np.float32)
    below = np.concatenate([[0], np.cumsum(histogram.float_counts)]) / total
    count = min(histogram.count // columns, max(SUBSTITUTES // columns, CHANNEL_SUBSTITUTES))
    shares = _quantiles(max(2, count))
    first, last = np.flatnonzero(histogram.float_counts)[[0, -1]]
    edges = histogram.edges[first : last + 2].astype(np.float64)
    values = np.clip(np.interp(shares, below[first : last + 2], edges), low.min(), high.max())
    if columns == 1:
        return values.astype(np.float32)[:, np.newaxis]
    counts, starts, ends = histogram.float_counts[first : last + 1], edges[:-1], edges[1:]
    mean_square = float((counts * (starts**2 + starts * ends + ends**2)).sum() / (3.0 * total))
    return _in_channels(values, low, high, mean_square).astype(np.float32)


def partner_values(snapshot: Snapshot, plan: QuantizationPlan, tensor: QuantizedTensor) -> Dict[str, np.ndarray]:
    """Return values estimated from the histograms, ``[n, 1]``, of the other activations with the grid of ``tensor``."""
    others = [other.name for other in plan.tensors if other.group == tensor.group and other.name != tensor.name]
    return {name: likely_values(snapshot.histograms[name], False) for name in others if name in snapshot.histograms}


def _quantiles(count: int) -> np.ndarray:
    """Return ``count`` ascending numbers from 0 to 1, nearly evenly spaced: evenly spaced ones may all be levels."""
    place = np.arange(count, dtype=np.float64)
    place[1:-1] += place[1:-1] * _GOLDEN_RATIO % 1.0 - 0.5
    return place / (count - 1)


def _in_channels(values: np.ndarray, low: np.ndarray, high: np.ndarray, mean_square: float) -> np.ndarray:
    """Return ascending ``values`` of a tensor in each of its channels, ``[n, channels]``.

    A value is placed between 0 and the channel's extremes (between its middle and them if 0 is not between them) as
    between those of the tensor, to a power with which the result has the mean square.
    """
    origin = np.where((low < 0) & (high > 0), 0.0, (low + high) / 2)
    middle = 0.0 if values[0] < 0 < values[-1] else (values[0] + values[-1]) / 2
    reach = np.where(values < middle, middle - values[0], values[-1] - middle)
    place = np.abs(values - middle) / np.where(reach > 0, reach, 1.0)
    is_low = values < middle

    def placed(power: float) -> Tuple[np.ndarray, np.ndarray]:
        return np.where(is_low, place**power, 0.0), np.where(is_low, 0.0, place**power)

    def square(power: float) -> float:
        down, up = placed(power)
        to_low, to_high = origin - low, high - origin
        mixed = (origin * to_high).mean() * up.mean() - (origin * to_low).mean() * down.mean()
        squares = (to_high**2).mean() * (up**2).mean() + (to_low**2).mean() * (down**2).mean()
        return float((origin**2).mean() + 2 * mixed + squares)

    least, most = _POWERS
    for _ in range(_HALVINGS):
        power = (least + most) / 2
        least, most = (power, most) if square(power) > mean_square else (least, power)
    down, up = placed((least + most) / 2)
    return origin + up[:, np.newaxis] * (high - origin) - down[:, np.newaxis] * (origin - low)


class _Sums:
    """Sums over blocks of values, with work arrays that are made once."""

    def __init__(self, grid: AffineGrid, block: int, channels: int):
        self._grid = grid
        tiles = 1 if channels == 1 else block // channels
        scale = np.atleast_1d(np.asarray(grid.scale, np.float32))
        used = scale > 0
        # One long row instead of a short inner loop over channels.
        self._scale = np.tile(scale, tiles)
        self._step = np.tile(np.where(used, scale, np.float32(1)), tiles)
        self._minimum = np.tile(np.atleast_1d(grid.minimum), tiles)
        self._maximum = np.tile(np.atleast_1d(grid.maximum), tiles)
        zero = np.atleast_1d(grid.zero_point) - grid.bounds[0]
        #: Added to the codes: the code of the value 0 where the scale is 0, otherwise 0. None if no scale is 0.
        self._code_of_zero = None if used.all() else np.tile(np.where(used, 0, zero), tiles).astype(np.intp)
        self._work = [np.empty(block, np.float32) for _ in range(3)]
        self._counts = np.zeros(grid.bounds[1] - grid.bounds[0] + 1, np.int64)
        self._signal = self._clipping = self._rounding = self._relative = 0.0
        self._clipped = self._flushed = 0

    def add(self, x: np.ndarray, mapped: Optional[np.ndarray] = None) -> None:
        size = x.size
        scale, step, low, high = [
            part[:size] if part.size > 1 else part for part in (self._scale, self._step, self._minimum, self._maximum)
        ]
        inside, steps, quantized = [part[:size] for part in self._work]
        np.minimum(np.maximum(x if mapped is None else mapped, low, out=inside), high, out=inside)
        np.subtract(inside, low, out=steps)
        if mapped is not None:  # clipping is measured on the values before the map
            np.minimum(np.maximum(x, low, out=inside), high, out=inside)
        steps /= step
        steps += np.float32(0.5)
        np.floor(steps, out=steps)
        codes = steps.astype(np.intp)
        if self._code_of_zero is not None:
            codes += self._code_of_zero[:size] if self._code_of_zero.size > 1 else self._code_of_zero
        self._counts += np.bincount(codes, minlength=self._counts.size)
        np.multiply(steps, scale, out=quantized)
        quantized += low
        self._flushed += np.count_nonzero((quantized == 0) & (x != 0))
        self._signal += _squares(x)
        inside -= x
        quantized -= x
        clipped = is_beyond(inside, scale)
        number = np.count_nonzero(clipped)
        self._clipped += number
        self._clipping += _squares(quantized[clipped]) if number else 0.0
        self._rounding += _squares(quantized[~clipped] if number else quantized)
        quantized /= step
        self._relative += _squares(quantized)

    def measures(self, size: int) -> ErrorMeasures:
        clipping, rounding = self._clipping / size, self._rounding / size
        return ErrorMeasures(
            mse=clipping + rounding,
            mse_clipping=clipping,
            mse_rounding=rounding,
            sqnr_db=float(sqnr_db(self._signal / size, clipping + rounding)),
            rmse_over_scale=float(np.sqrt(self._relative / size)),
            clipped=self._clipped / size,
            flushed=self._flushed / size,
            used_codes=int(np.count_nonzero(self._counts)),
            effective_bits=entropy_bits(self._counts),
        )


def _squares(x: np.ndarray) -> float:
    """Return the sum of squares in float64; in float32, squares of small numbers would be 0.

    Not by `np.dot`, for which OpenBLAS starts threads and waits for them: while training occupies the cores, that took
    a hundred times as long as the sum.
    """
    wide = x.astype(np.float64)
    return float(np.einsum("i,i->", wide, wide))
