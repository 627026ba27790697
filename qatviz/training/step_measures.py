"""Computation of the measures of training steps from fetched samples, in NumPy, for many steps at a time.

To keep training steps fast, they fetch samples only; all further arithmetic is done here, on the telemetry thread.
"""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.network.layer import element_count
from qatviz.network.plan import QuantizationPlan
from qatviz.protocol.snapshots import NO_LOSSES, SCALE_GRADIENT, STEP_MEASURES, STEP_SAMPLE, read_only
from qatviz.quant.live_state import layout
from qatviz.quant.measures import is_beyond, sqnr_db, standard_error
from qatviz.settings import WEIGHTS
from qatviz.training.step_maps import StepMaps, values_on_grid

#: Largest number of training steps that are decoded at a time, and of values in a work array, which fits in a cache.
_STEPS_AT_ONCE, _VALUES_AT_ONCE = 32, 262144
#: np.count_nonzero without its dispatch, which takes longer than the count of a sample. NumPy 2 renamed its module.
_count_nonzero = (np._core if hasattr(np, "_core") else np.core).multiarray.count_nonzero
#: Power ratio e in dB.
_DB = 10 / np.log(10)


#: Seconds to decode a sampled value; and of a training step: a constant part, per multiply-accumulate of its three
#: products (forward, and the gradients of both factors), and per element of quantized tensors. They fit the zoo's
#: networks on two cores with AVX-512.
_VALUE_S, _STEP_S, _MAC_S, _ELEMENT_S = 4e-9, 2e-4, 4e-12, 4e-10
#: Largest fraction of the time of training steps for which samples are decoded.
_MAX_COST = 0.005
#: Samples of a step whose errors are not measured.
NO_SAMPLES = read_only(np.zeros(0, np.float32))


class RawMeasures(NamedTuple):
    """Arrays fetched by one training step, and the settings in effect.

    Dimensions: ``G`` groups, ``W`` weight tensors with ``C`` channels in total.

    Attributes
    ----------
    grid, channel_grid : np.ndarray
        float32 ``[4, G]`` and ``[4, C]``, with the rows scale, zero point, minimum, maximum. ``channel_grid`` applies
        to the weight tensors that are quantized ``per_channel``.
    samples : np.ndarray
        float32: the values of each tensor before quantization at :func:`sample_indices`, one tensor after the other in
        :func:`sample_order`; empty for a step whose errors are not measured.
    per_channel : np.ndarray
        bool ``[W]``.
    enabled : np.ndarray
        bool ``[G]``: the quantizer is on.
    losses : np.ndarray
        float32 ``[outputs]``: loss of each of several outputs; empty for one.
    scale_gradients : np.ndarray
        float32 ``[K]``: gradients of the ranges that can be learned (:mod:`qatviz.quant.live_state`), NaN where none
        is learned; empty for a step that learns no range.
    maps : StepMaps or None
        Arrays by which weights are mapped; None while no map is on.
    """

    grid: np.ndarray
    channel_grid: np.ndarray
    samples: np.ndarray
    per_channel: np.ndarray
    enabled: np.ndarray
    losses: np.ndarray = NO_LOSSES
    scale_gradients: np.ndarray = NO_LOSSES
    maps: Optional[StepMaps] = None


def sample_indices(size: int) -> np.ndarray:
    """Return the indices of the sampled elements of a flattened tensor, int32, ascending: all, or STEP_SAMPLE of them.

    A large tensor is cut into STEP_SAMPLE pieces, with an element of each at random (of a fixed seed). So the sample is
    spread over the tensor and follows none of its periods, such as the number of channels.
    """
    if size <= STEP_SAMPLE:
        return np.arange(size, dtype=np.int32)
    starts = np.arange(STEP_SAMPLE + 1, dtype=np.int64) * size // STEP_SAMPLE
    within = np.random.RandomState(size % 2**32).random_sample(STEP_SAMPLE) * np.diff(starts)
    return (starts[:-1] + within.astype(np.int64)).astype(np.int32)


def sample_order(sizes: Sequence[int]) -> List[int]:
    """Return the indices of tensors of these sizes in the order of their samples, the longest samples first.

    Samples of equal length are thus adjacent, and decoded together: for a small network, the overhead of NumPy's calls
    is as large as the arithmetic.
    """
    return sorted(range(len(sizes)), key=lambda index: -min(sizes[index], STEP_SAMPLE))


def measure_interval(plan: QuantizationPlan, macs: int, batch_size: int) -> int:
    """Return the number of training steps, a power of two, after which errors are measured again.

    Measuring all steps of a small network takes a seventh of the time of training it. The interval is computed from
    the network alone, so that a run that is resumed measures the same steps as one that was not interrupted.

    Parameters
    ----------
    macs : int
        Multiply-accumulates per example.
    """
    sizes = _sizes(plan, batch_size)
    step_s = _STEP_S + 3 * macs * batch_size * _MAC_S + sum(sizes) * _ELEMENT_S
    decoding_s = _VALUE_S * sum(min(size, STEP_SAMPLE) for size in sizes)
    interval = 1
    while decoding_s > interval * _MAX_COST * step_s:
        interval *= 2
    return interval


def _sizes(plan: QuantizationPlan, batch_size: int) -> List[int]:
    """Return the number of elements of each tensor in a training step."""
    return [element_count(t.shape) * (1 if t.kind == WEIGHTS else batch_size) for t in plan.tensors]


class _TensorSample(NamedTuple):
    """Position of a tensor's sample among the samples of all tensors, and of its grid among all grids."""

    tensor: int  # index in the plan
    start: int
    length: int
    group: int
    size: int  # number of elements of the tensor
    weight: int  # index among the weight tensors, -1 for activations
    channels: np.ndarray  # of each sampled element, its index in the grids of all channels; empty for activations


class StepDecoder:
    """Decoder of :class:`RawMeasures` into the rows of ``STEP_MEASURES``.

    ``batch_size`` multiplies the number of elements of activations.
    """

    def __init__(self, plan: QuantizationPlan, batch_size: int):
        self._layout = layout(plan)
        self._group_of = np.array(self._layout.group_of)
        self._weights = np.array(self._layout.weights, int)
        self._starts = np.array([channels.start for channels in self._layout.channels], int)
        self._owner = np.repeat(np.arange(len(self._starts)), [c.stop - c.start for c in self._layout.channels])
        sizes = _sizes(plan, batch_size)
        self._samples: List[_TensorSample] = []
        start = 0
        for index in sample_order(sizes):
            group, taken = self._layout.group_of[index], sample_indices(sizes[index])
            weight, channels = -1, np.zeros(0, int)
            if plan.tensors[index].kind == WEIGHTS:
                weight = self._layout.weights.index(group)
                of = self._layout.channels[weight]
                channels = of.start + taken % (of.stop - of.start)
            self._samples.append(_TensorSample(index, start, len(taken), group, sizes[index], weight, channels))
            start += len(taken)

    def __call__(self, raw: Sequence[RawMeasures]) -> np.ndarray:
        """Return the measures of ``n`` steps, float32 ``[n, len(STEP_MEASURES), T]``.

        Errors are NaN at a step that has no samples.
        """
        parts, start = [], 0
        # With a larger buffer, NumPy first copies the scale of a tensor to as many values as the sample has, which
        # takes twice as long as the arithmetic with them.
        buffered = np.setbufsize(STEP_SAMPLE)
        try:
            for stop in range(1, len(raw) + 1):  # every change of settings creates new arrays
                if stop == len(raw) or raw[stop].enabled is not raw[start].enabled:
                    # Squares of a diverging run's values overflow, which is what the measures then say.
                    with np.errstate(over="ignore", invalid="ignore"):
                        parts.append(self._decode(raw[start:stop]))
                    start = stop
        finally:
            np.setbufsize(buffered)
        return np.concatenate(parts)

    def _decode(self, raw: Sequence[RawMeasures]) -> np.ndarray:
        """Return the measures of steps that ran with the same settings."""
        per_channel, enabled = raw[0].per_channel, raw[0].enabled
        grid, channel_grid = _stacked([r.grid for r in raw]), raw[0].channel_grid[:0]
        if per_channel.any():
            channel_grid = _stacked([r.channel_grid for r in raw])
        means = np.full((len(_Means._fields), len(raw), len(self._samples)), np.nan)
        runs = self._runs(per_channel, enabled)
        measured = np.array([index for index, r in enumerate(raw) if r.samples.size], int)
        for start in range(0, len(measured), _STEPS_AT_ONCE):
            chosen = measured[start : start + _STEPS_AT_ONCE]
            samples = _stacked([raw[index].samples for index in chosen])
            for run, is_on, by_channel in runs:
                begin, length, tensors = run[0].start, run[0].length, [sample.tensor for sample in run]
                sizes = np.array([sample.size for sample in run])
                shaped = samples[:, begin : begin + len(run) * length].reshape(len(samples), len(run), length)
                at_once = max(1, _VALUES_AT_ONCE // (len(run) * length))
                for first in range(0, len(samples), at_once):
                    part = slice(first, first + at_once)
                    steps = chosen[part]
                    if by_channel:
                        rows = channel_grid[steps][:, :, np.newaxis, run[0].channels]
                    else:
                        rows = grid[steps][:, :, [sample.group for sample in run], np.newaxis]
                    means[:, steps[:, np.newaxis], tensors] = _means(shaped[part], rows, is_on, sizes)
        self._decode_mapped(raw, measured, grid, channel_grid, means)
        found = _Means(*means)
        if per_channel.any():
            grid[:, :, self._weights] = np.where(per_channel, self._coarsest(channel_grid), grid[:, :, self._weights])
        scale, zero_point, low, high = np.moveaxis(grid[:, :, self._group_of], 1, 0)
        rows = {
            "scale": scale,
            "zero_point": zero_point,
            "range_min": low,
            "range_max": high,
            "mse": found.mse,
            "mse_clipping": found.mse_clipping,
            "mse_rounding": found.mse_rounding,
            "sqnr_db": sqnr_db(found.signal, found.mse),
            "rmse_over_scale": found.rmse_over_scale,
            "clipped": found.clipped,
            "flushed": found.flushed,
            "mse_error": found.mse_error,
            "sqnr_db_error": found.sqnr_db_error,
            SCALE_GRADIENT: self._scale_gradients(raw, measured),
        }
        return np.stack([rows[name] for name in STEP_MEASURES], axis=1).astype(np.float32)

    def _scale_gradients(self, raw: Sequence[RawMeasures], measured: np.ndarray) -> np.ndarray:
        """Return the mean gradient of each tensor's learned ranges, ``[n, T]``; NaN where errors are not measured."""
        found = np.full((len(raw), len(self._group_of)), np.nan, np.float32)
        if measured.size and raw[0].scale_gradients.size:
            gradients = np.stack([raw[index].scale_gradients for index in measured])
            for group in range(len(self._layout.leaders)):
                is_split = group in self._layout.weights and raw[0].per_channel[self._layout.weights.index(group)]
                own = gradients[:, self._layout.learned_at(group, bool(is_split))].mean(axis=1)
                found[np.ix_(measured, self._group_of == group)] = own[:, np.newaxis]
        return found

    def _decode_mapped(
        self,
        raw: Sequence[RawMeasures],
        steps: np.ndarray,
        grid: np.ndarray,
        channel_grid: np.ndarray,
        means: np.ndarray,
    ) -> None:
        """Replace the means of weights with a map: their errors include it."""
        for step in steps if raw[0].maps is not None else ():
            maps, own = raw[step].maps, raw[step]
            for sample in self._samples:
                if maps is None or sample.weight < 0 or not maps.map[sample.weight] or not own.enabled[sample.group]:
                    continue
                x = own.samples[sample.start : sample.start + sample.length]
                rows = grid[step][:, [sample.group]]
                channels = sample.channels if own.per_channel[sample.weight] else None
                if channels is not None:
                    rows = channel_grid[step][:, channels]
                values = values_on_grid(x, rows, maps, sample.weight, channels)
                shaped = x[np.newaxis, np.newaxis], values[np.newaxis, np.newaxis]
                found = _means_of_values(*shaped, rows[np.newaxis, :, np.newaxis], np.array([sample.size]))
                means[:, step, sample.tensor] = [float(np.asarray(part)[0, 0]) for part in found]

    def _runs(self, per_channel: np.ndarray, enabled: np.ndarray) -> List[Tuple[List[_TensorSample], bool, bool]]:
        """Return runs of adjacent samples that can be decoded together, whether they are quantized, and per channel."""
        runs: List[Tuple[List[_TensorSample], bool, bool]] = []
        for sample in self._samples:
            is_on = bool(enabled[sample.group])
            by_channel = is_on and sample.weight >= 0 and bool(per_channel[sample.weight])
            if runs and not by_channel and (runs[-1][0][0].length, *runs[-1][1:]) == (sample.length, is_on, False):
                runs[-1][0].append(sample)
            else:
                runs.append(([sample], is_on, by_channel))
        return runs

    def _coarsest(self, channels: np.ndarray) -> np.ndarray:
        """Return the grid of each weight tensor's channel with the largest scale, ``[n, 4, W]``."""
        scale = channels[:, 0]
        largest = np.maximum.reduceat(scale, self._starts, axis=1)
        is_largest = scale == largest[:, self._owner]
        rows = [
            np.maximum.reduceat(np.where(is_largest, row, -np.inf), self._starts, axis=1)
            for row in np.moveaxis(channels, 1, 0)
        ]
        return np.stack(rows, axis=1)


def _stacked(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return arrays of one shape in one array, as ``np.stack`` does, which takes twice as long for small ones."""
    return np.concatenate(arrays).reshape(len(arrays), *arrays[0].shape)


class _Means(NamedTuple):
    """Means over the samples of ``T`` tensors in ``n`` steps, and their standard errors, each ``[n, T]``."""

    signal: np.ndarray
    mse: np.ndarray
    mse_clipping: np.ndarray
    mse_rounding: np.ndarray
    rmse_over_scale: np.ndarray
    clipped: np.ndarray
    flushed: np.ndarray
    mse_error: np.ndarray
    sqnr_db_error: np.ndarray


def _means(x: np.ndarray, grid: np.ndarray, is_on: bool, sizes: np.ndarray) -> _Means:
    """Return the means over the samples ``x`` ``[n, T, values]`` of tensors of these ``sizes``.

    ``grid`` has the rows scale, zero point, minimum, maximum, ``[n, 4, T, values]`` or ``[n, 4, T, 1]``.
    """
    zero, number = np.zeros(x.shape[:2]), x.shape[2]
    signal = _mean_product(x, x)
    if not is_on:
        return _Means(signal, *[zero] * (len(_Means._fields) - 1))
    scale, low, high = grid[:, 0], grid[:, 2], grid[:, 3]
    safe = np.where(scale > 0, scale, np.float32(1))
    half, last = np.float32(0.5), np.floor((high - low) / safe + np.float32(0.5))
    # The kernel's arithmetic (for a scale of 0, low = high = 0), but clipping comes after the division, and only where
    # it makes a difference: clipping all values takes several times as long as everything else.
    steps = np.subtract(x, low)
    steps /= safe
    is_outside = (steps.max(axis=2) >= last.min(axis=2) + half) | (steps.min(axis=2) < -half)
    outside = np.nonzero(is_outside)  # the steps and tensors with values outside of the range: few, if any
    if outside[0].size:
        part = steps[outside]
        np.copyto(part, last[outside], where=part > last[outside])
        np.copyto(part, np.float32(0), where=part < 0)
        steps[outside] = part
    steps += half
    # Not negative, so that cutting the fraction off is the floor, and faster.
    np.copyto(steps, steps.astype(np.int32), casting="same_kind")
    values = np.multiply(steps, scale, out=steps)
    values += low
    flushed = _fractions((values == 0) & (x != 0))
    error = np.subtract(values, x, out=values)
    mse = mse_rounding = _mean_product(error, error)
    if scale.shape[2] > 1:
        of_scale = error / safe
        relative = np.sqrt(_mean_product(of_scale, of_scale))
    else:
        relative = np.sqrt(mse) / safe[:, :, 0]
    errors = _standard_errors(x, error, signal, mse, sizes) if (number < sizes).any() else (zero, zero)
    clipped = mse_clipping = zero
    if outside[0].size:
        # The error of a value outside the range is its distance from the range; that of a rounded value is smaller.
        clipped, mse_clipping, mse_rounding = zero.copy(), zero.copy(), mse.copy()
        part = error[outside][:, np.newaxis]
        beyond = is_beyond(part, scale[outside][:, np.newaxis])
        rounding = np.where(beyond, np.float32(0), part)
        clipping = part - rounding
        clipped[outside] = _fractions(beyond)[:, 0]
        mse_rounding[outside] = _mean_product(rounding, rounding)[:, 0]
        mse_clipping[outside] = _mean_product(clipping, clipping)[:, 0]
    return _Means(signal, mse, mse_clipping, mse_rounding, relative, clipped, flushed, *errors)


def _means_of_values(x: np.ndarray, values: np.ndarray, grid: np.ndarray, sizes: np.ndarray) -> _Means:
    """Return the :func:`_means` over the samples ``x`` ``[n, T, values]`` with these quantized ``values``."""
    scale, low, high = grid[:, 0], grid[:, 2], grid[:, 3]
    safe = np.where(scale > 0, scale, np.float32(1))
    error = values - x
    signal, mse = _mean_product(x, x), _mean_product(error, error)
    beyond = is_beyond(np.clip(x, low, high) - x, scale)
    clipping = np.where(beyond, error, np.float32(0))
    mse_clipping = _mean_product(clipping, clipping)
    relative = error / safe
    return _Means(
        signal,
        mse,
        mse_clipping,
        _mean_product(error - clipping, error - clipping) if beyond.any() else mse,
        np.sqrt(_mean_product(relative, relative)),
        _fractions(beyond),
        _fractions((values == 0) & (x != 0)),
        *_standard_errors(x, error, signal, mse, sizes),
    )


def _fractions(flags: np.ndarray) -> np.ndarray:
    """Return the fraction of ``flags`` ``[n, T, values]`` that is True, ``[n, T]``."""
    counts = [_count_nonzero(row) for row in flags.reshape(-1, flags.shape[2])]
    return np.array(counts).reshape(flags.shape[:2]) / flags.shape[2]


def _mean_product(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the mean of the products of ``x`` and ``y`` ``[n, T, values]``, float64 ``[n, T]``."""
    return np.matmul(x[:, :, np.newaxis, :], y[:, :, :, np.newaxis])[:, :, 0, 0] / np.float64(x.shape[2])


def _standard_errors(
    x: np.ndarray, error: np.ndarray, signal: np.ndarray, mse: np.ndarray, sizes: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Return the standard errors ``[n, T]`` of MSE and of SQNR in dB of samples ``[n, T, values]``.

    Let ``a`` and ``b`` be the squares of the values and of the errors, divided by their means. The standard error of
    MSE is MSE times that of the mean of ``b``; that of SQNR is, by the delta method, 10 / ln 10 times that of the mean
    of ``a - b``.
    """
    n = x.shape[2]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        a, b = [np.square(part) for part in (x, error)]
        a *= np.float32(1 / signal[:, :, np.newaxis])
        b *= np.float32(1 / mse[:, :, np.newaxis])
        bb = _mean_product(b, b)
        variance = _mean_product(a, a) + bb - 2 * _mean_product(a, b)
        # If no value of the sample has an error, that of the other values is unknown.
        errors = [
            np.where(mse > 0, factor * standard_error(part, n, sizes), np.where(n < sizes, np.nan, 0.0))
            for factor, part in ((mse, bb - 1), (_DB, variance))
        ]
    return errors[0], errors[1]
