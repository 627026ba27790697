"""Measurement of the quantized tensors inside the graph, from which only small results are fetched.

There are two probes: a fixed sample of every tensor, taken at each training step, and a snapshot: measures over all
values, and histograms.
"""

from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.ops.control_flow_ops import merge, switch

from qatviz.network.layer import element_count
from qatviz.network.plan import QuantizationPlan, QuantizedTensor
from qatviz.protocol.snapshots import MOST_DISTINCT, STEP_SAMPLE
from qatviz.quant.constants import all_axes, shared_constant
from qatviz.quant.fake_quant import Quantized
from qatviz.quant.graph_function import graph_function
from qatviz.quant.live import LiveQuantizers
from qatviz.quant.measures import CLIPPED_BEYOND
from qatviz.settings import WEIGHTS
from qatviz.training.step_measures import sample_indices, sample_order
from qatviz.training.variables import StateVariable

#: Number of bins of a histogram of values.
HISTOGRAM_BINS = 128
#: Largest magnitude of the outer edges of a histogram: their difference must be representable in float32.
LARGEST_EDGE = 1e38
#: Largest number of values of an activation measured by a snapshot: whole examples, at least one.
SNAPSHOT_VALUES = 262144
#: Approximate largest number of values in a histogram: of a larger tensor, evenly spaced rows of all channels. Measures
#: and counts of codes include all values; sorting all of them into bins would take several times as long.
HISTOGRAM_SAMPLE = 65536
#: Approximate sizes of samples that are tested one after the other before all distinct values are counted.
_DISTINCT_SAMPLES = (1024, 8192)
#: Largest bit width with a count for each code.
MAX_CODE_BITS = 8
#: Entries of :attr:`SnapshotTensors.measures`; the mean square of the values is ``signal``.
PROBED_MEASURES = (
    "signal",
    "mse",
    "mse_clipping",
    "mse_rounding",
    "clipped",
    "flushed",
    "rmse_over_scale",
    "used_codes",
    "effective_bits",
)


def step_samples(tensors: List[Quantized], is_measured: tf.Tensor) -> tf.Tensor:
    """Return the samples of a :class:`.step_measures.RawMeasures`, float32 ``[n]``, one tensor after the other.

    They are values before quantization; their quantization is computed outside of the training step. Constants are
    shared, because TensorFlow runs each like any other operation. ``is_measured`` is a bool ``[]``: if it is False, no
    sample is taken, and the result is empty.
    """
    samples, sizes = [], [element_count(tuple(tensor.source.shape.as_list())) for tensor in tensors]
    for index in sample_order(sizes):
        source = switch(tensors[index].source, is_measured)[1]
        flat = tf.raw_ops.Reshape(tensor=source, shape=shared_constant([-1], np.int32))
        if sizes[index] > STEP_SAMPLE:
            flat = tf.gather(flat, shared_constant(sample_indices(sizes[index]), np.int32))
        samples.append(flat)
    return merge([tf.concat(samples, 0), switch(tf.zeros([0]), is_measured)[0]])[0]


class SnapshotTensors(NamedTuple):
    """Small arrays that a snapshot fetches for one tensor."""

    measures: tf.Tensor  # float32 [len(PROBED_MEASURES)]
    flip_rate: tf.Tensor  # float32
    size: tf.Tensor  # int32: number of values measured
    edges: tf.Tensor  # float32 [2]: outer edges of the histograms
    float_counts: tf.Tensor  # int32 [HISTOGRAM_BINS]
    quantized_counts: tf.Tensor  # int32 [HISTOGRAM_BINS]
    code_counts: tf.Tensor  # int32 [2**MAX_CODE_BITS] from the lowest code on, 0 beyond the number of codes
    channel_min: tf.Tensor  # float32 [channels]
    channel_max: tf.Tensor  # float32 [channels]
    value_counts: tf.Tensor  # int32 [2]: zeros, and distinct values or -1 if there are many
    scale: tf.Tensor  # float32 [channels]; all equal unless quantized per channel
    zero_point: tf.Tensor  # int32 [channels]


def snapshot_items(tensor: QuantizedTensor) -> int:
    """Return the largest number of items on the first axis of a tensor that a snapshot measures.

    It measures all weights, but activations of some examples only.
    """
    if tensor.kind == WEIGHTS:
        return int(np.iinfo(np.int32).max)
    return max(1, SNAPSHOT_VALUES // element_count(tensor.shape))


def division(tensors: Sequence[QuantizedTensor], examples: int, number: int) -> List[int]:
    """Return the place of each tensor among ``number`` devices, which then measure about as many values each.

    The snapshot is one of ``examples`` examples.
    """
    values = [
        t.parameters if t.kind == WEIGHTS else element_count(t.shape) * min(examples, snapshot_items(t))
        for t in tensors
    ]
    places, load = [0] * len(tensors), [0] * number
    for index in sorted(range(len(tensors)), key=values.__getitem__, reverse=True):
        places[index] = load.index(min(load))
        load[places[index]] += values[index]
    return places


class SnapshotProbe:
    """Operations of a snapshot: measures and histograms of every tensor of a forward pass.

    Parameters
    ----------
    plan : QuantizationPlan
    passes : dict of str to (str, LiveQuantizers)
        For each tensor, the device that measures it, and the quantizers of the forward pass there.
    previous : dict of str to StateVariable
        Codes of each weight tensor at the last snapshot, int32 ``[n, channels]``.
    known : StateVariable
        bool: True if ``previous`` contains codes.

    Attributes
    ----------
    fetches : list of SnapshotTensors
        One for each tensor, in the order of the plan.
    remember : list of tf.Operation
        Store the codes of the weights for the next snapshot's flip rate; run with the fetches.
    forget : tf.Operation
        Operation that makes the next flip rate NaN, for a run that was set to another state.
    """

    def __init__(
        self,
        plan: QuantizationPlan,
        passes: Mapping[str, Tuple[str, LiveQuantizers]],
        previous: Dict[str, StateVariable],
        known: StateVariable,
    ):
        self._previous = previous
        self._known = known.read()
        self.remember: List[tf.Operation] = []
        self.fetches = []
        for tensor in plan.tensors:
            device, quantizers = passes[tensor.name]
            with tf.device(device):
                self.fetches.append(self._tensor(tensor, quantizers))
        with tf.control_dependencies([self._known]):
            self.remember.append(known.assign(True))
        self.forget = known.assign(False)

    def _tensor(self, tensor: QuantizedTensor, quantizers: LiveQuantizers) -> SnapshotTensors:
        quantized = quantizers.quantized[tensor.name]
        scale, zero_point, half = quantizers.code_parameters(tensor.name)
        items = shared_constant(snapshot_items(tensor), np.int32)
        given = [*quantized, scale, zero_point, half, quantizers.enabled(tensor.name), items]
        measures, *fields, codes = _measured(*given)
        flip_rate = shared_constant(np.nan, np.float32)
        if tensor.name in self._previous:
            variable = self._previous[tensor.name]
            previous = variable.read()
            flip_rate = _flip_rate(previous, codes, self._known)
            with tf.control_dependencies([previous]):  # otherwise, the codes may be compared with themselves
                self.remember.append(variable.assign(codes))
        return SnapshotTensors(measures, flip_rate, *fields, scale, zero_point)  # type: ignore[call-arg]  # fields: the rest


def _flip_rate(previous: tf.Tensor, codes: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """Return the fraction of codes changed since the last snapshot; NaN unless those are known."""
    # Of integers: comparisons, and casts of their results, take several times as long.
    have_changed = tf.minimum(tf.abs(previous - codes), 1)
    fraction = tf.cast(tf.raw_ops.Sum(input=have_changed, axis=all_axes(previous)), tf.float32)
    fraction /= np.float32(element_count(tuple(previous.shape.as_list())))
    return tf.where(known, fraction, shared_constant(np.nan, np.float32))


# A single function in the graph, called once for each tensor: otherwise a large network would take minutes to build.
_SIGNATURE = [tf.TensorSpec(None, tf.float32)] * 3
_SIGNATURE += [tf.TensorSpec([None], dtype) for dtype in (tf.float32, tf.int32)]
_SIGNATURE += [tf.TensorSpec([], dtype) for dtype in (tf.int32, tf.bool, tf.int32)]


@graph_function(_SIGNATURE)
def _measured(
    values: tf.Tensor,
    source: tf.Tensor,
    clipped: tf.Tensor,
    scale: tf.Tensor,
    zero_point: tf.Tensor,
    half: tf.Tensor,
    enabled: tf.Tensor,
    items: tf.Tensor,
) -> Tuple[tf.Tensor, ...]:
    """Return the fields of :class:`SnapshotTensors` except flip rate, scale and zero point; then the codes.

    Codes are int32 ``[n, channels]``, counted from 0 for the lowest one. The first ``items`` on the first axis of
    ``values``, ``source`` and ``clipped``, fields of :class:`.Quantized`, are measured; ``half`` is half of the number
    of codes.
    """
    values, source, clipped = [tf.reshape(part[:items], [-1, tf.size(scale)]) for part in (values, source, clipped)]
    channel_min, channel_max = [reduce(source, axis=0) for reduce in (tf.reduce_min, tf.reduce_max)]
    number = tf.size(source)
    num_codes = 2 * half
    # Codes counted from 0 are not negative, so that cutting the fraction off is the floor, in one pass less. If the
    # quantizer is off, there are no codes: all values get the code 0.
    codes = tf.cast(values / _divisor(scale) + (tf.cast(zero_point + half, tf.float32) + 0.5), tf.int32)
    codes = tf.minimum(tf.maximum(codes, 0), tf.where(enabled, num_codes - 1, 0))
    counts = tf.bincount(tf.reshape(codes, [-1]), minlength=num_codes, maxlength=num_codes)
    edges = _edges(
        tf.minimum(tf.reduce_min(channel_min), tf.reduce_min(values)),
        tf.maximum(tf.reduce_max(channel_max), tf.reduce_max(values)),
    )
    stride = histogram_stride(number)
    nonzero = _nonzero(source)
    num_nonzero, num_kept = _total(nonzero), _total(nonzero * _nonzero(values))
    errors = _error_measures(values, source, clipped, scale, num_nonzero - num_kept)
    return (
        tf.stack([*errors, *_code_measures(counts, number)]),
        number,
        edges,
        histogram_of(source[::stride], edges),
        histogram_of(values[::stride], edges),
        tf.pad(counts[: 2**MAX_CODE_BITS], [[0, tf.maximum(0, 2**MAX_CODE_BITS - num_codes)]]),
        channel_min,
        channel_max,
        tf.stack([number - num_nonzero, _distinct(source)]),
        codes,
    )


def _error_measures(
    values: tf.Tensor, source: tf.Tensor, clipped: tf.Tensor, scale: tf.Tensor, num_flushed: tf.Tensor
) -> List[tf.Tensor]:
    """Return the measures of errors in :data:`PROBED_MEASURES`, up to ``rmse_over_scale``: float32 scalars.

    ``num_flushed``, int32, is the number of values other than 0 that are quantized to 0.
    """
    size = tf.cast(tf.size(source), tf.float32)
    squares = tf.math.squared_difference(values, source)
    of_channels = tf.reduce_sum(squares, axis=0)
    distances, farthest = tf.abs(clipped - source), np.float32(CLIPPED_BEYOND) * scale
    # Most tensors have no clipped value: the passes over clipped and other values then are over an empty slice.
    end = tf.where(tf.reduce_max(distances) > tf.reduce_min(farthest), tf.shape(source)[0], 0)
    is_clipped, of_some = distances[:end] > farthest, squares[:end]
    num_clipped, zeros = tf.reduce_sum(tf.cast(is_clipped, tf.int32)), tf.zeros_like(of_some)
    mse = tf.reduce_sum(of_channels) / size
    clipping = tf.reduce_sum(tf.where(is_clipped, of_some, zeros)) / size
    # Where nothing is clipped, the rounding error is exactly the whole error, not a sum in another order.
    rounding = tf.where(num_clipped > 0, tf.reduce_sum(tf.where(is_clipped, zeros, of_some)) / size, mse)
    signal = 2 * tf.nn.l2_loss(source) / size
    fractions = [tf.cast(number, tf.float32) / size for number in (num_clipped, num_flushed)]
    relative = tf.sqrt(tf.reduce_sum(of_channels / tf.square(_divisor(scale))) / size)
    return [signal, mse, clipping, rounding, *fractions, relative]


def _nonzero(values: tf.Tensor) -> tf.Tensor:
    """Return 1 for each of ``values`` that is not 0, as float32: comparisons and casts of flags take far longer."""
    # TensorFlow's kernels flush numbers below 2**-126 to 0; NaN becomes 1.
    return tf.minimum(np.float32(1), tf.abs(values) * np.float32(2.0**127))


def _total(ones: tf.Tensor) -> tf.Tensor:
    """Return the sum of ``ones`` ``[n, channels]``, whole numbers in float32, as int32."""
    return tf.reduce_sum(tf.cast(tf.reduce_sum(ones, axis=0), tf.int32))


def _code_measures(counts: tf.Tensor, number: tf.Tensor) -> List[tf.Tensor]:
    """Return the measures of codes in :data:`PROBED_MEASURES`, number of used ones and entropy: float32 scalars.

    ``counts`` are the numbers of values of each code, and ``number`` their sum, both int32.
    """
    fractions = tf.cast(counts, tf.float32) / tf.cast(number, tf.float32)
    entropy = -tf.reduce_sum(tf.math.xlogy(fractions, fractions)) / np.log(2.0).astype(np.float32)
    return [tf.reduce_sum(tf.cast(tf.not_equal(counts, 0), tf.float32)), entropy]


def _divisor(scale: tf.Tensor) -> tf.Tensor:
    """Return ``scale``, or 1 where it is 0 because the quantizer is off."""
    return tf.where(scale > 0, scale, tf.ones_like(scale))


def _distinct(values: tf.Tensor) -> tf.Tensor:
    """Return the number of distinct values; -1 if there are more than MOST_DISTINCT.

    Counting is slow, and a small sample of most tensors already has that many. The following samples, and all values,
    are then empty slices (conditionals would take longer to build).
    """
    flat = tf.reshape(values, [-1])
    number = tf.size(flat)
    end = number
    for sample in _DISTINCT_SAMPLES:
        stride = tf.bitwise.bitwise_or(number // sample, 1)
        end = tf.where(_count_distinct(flat[:end:stride]) > MOST_DISTINCT, 0, end)
    found = _count_distinct(flat[:end])
    return tf.where(tf.logical_or(found > MOST_DISTINCT, end < number), -1, found)


def _count_distinct(values: tf.Tensor) -> tf.Tensor:
    return tf.size(tf.unique(values).y)


def _edges(low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """Return the outer edges of a histogram: finite and distinct, even for a constant or diverged tensor."""
    low, high = [
        tf.clip_by_value(tf.where(tf.is_finite(end), end, tf.zeros_like(end)), -LARGEST_EDGE, LARGEST_EDGE)
        for end in (low, high)
    ]
    return tf.stack([low, tf.where(high > low, high, low + tf.maximum(1.0, tf.abs(low)))])


def histogram_stride(number: Any) -> Any:
    """Return the stride of the rows of a tensor of ``number`` values that are sorted into bins.

    It is odd, so that the sample does not follow a period of the tensor. The result is an int or an int32 scalar in the
    graph, as ``number`` is.
    """
    return -(-number // HISTOGRAM_SAMPLE) // 2 * 2 + 1


def histogram_of(values: tf.Tensor, edges: tf.Tensor) -> tf.Tensor:
    """Return the histogram of ``values`` (float32, any shape), int32 ``[HISTOGRAM_BINS]``.

    ``edges`` are its outer edges, float32 ``[2]``. Values beyond them count in the outer bins; NaN, which the kernel
    does not support, counts as 0.
    """
    known = tf.where(tf.is_nan(values), tf.zeros_like(values), values)
    return tf.histogram_fixed_width(known, edges, HISTOGRAM_BINS)
