"""What is measured of the quantized tensors inside the graph; only small results leave it.

Two probes: a fixed sample of every tensor, which rides each training step, and the exact measures and histograms of a
snapshot.
"""

from typing import Dict, List, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.network.layers import element_count
from qatviz.network.plan import QuantizedTensor
from qatviz.quant.constants import shared_constant, shared_zeros
from qatviz.quant.fake_quant import Quantized
from qatviz.quant.live import LiveQuantizers
from qatviz.settings import WEIGHTS
from qatviz.training.step_measures import STEP_SAMPLE, sample_size, sample_stride
from qatviz.training.variables import StateVariable

#: Bins of a histogram of values.
HISTOGRAM_BINS = 128
#: Outer edges of a histogram lie within plus and minus this: their distance must be a float32.
LARGEST_EDGE = 1e38
#: Values of an activation that a snapshot looks at: whole examples, at least one.
SNAPSHOT_VALUES = 32768
#: Values of a weight tensor that a snapshot looks at, at most about so many: evenly spaced rows of all channels. What
#: is left out of a larger tensor changes a measure by less than a hundredth; looking at all of it would hold up the
#: training.
SNAPSHOT_WEIGHTS = 65536
#: Codes are counted one by one up to this width.
MAX_CODE_BITS = 8
#: Rows of :attr:`SnapshotTensors.measures`: means over the tensor, then what only a snapshot has.
SNAPSHOT_SUMS = (
    "signal",
    "mse",
    "mse_clipping",
    "mse_rounding",
    "clipped",
    "flushed",
    "rmse_over_scale",
    "used_codes",
    "effective_bits",
    "flip_rate",
)


def step_samples(tensors: List[Quantized]) -> tf.Tensor:
    """``samples`` of :class:`qatviz.training.step_measures.RawMeasures`: float32 ``[T * STEP_SAMPLE]``.

    Values before quantization alone: what the grid makes of them is computed where it costs no step anything.
    TensorFlow runs constants like any other operation, so those that tensors have in common are made once.
    """

    def vector(number: int) -> tf.Tensor:
        return shared_constant([number], np.int32)

    samples = []
    for tensor in tensors:
        size = element_count(tuple(tensor.source.shape.as_list()))
        stride, missing = sample_stride(size), STEP_SAMPLE - sample_size(size)
        flat = tf.raw_ops.Reshape(tensor=tensor.source, shape=vector(-1))
        samples.append(
            tf.raw_ops.StridedSlice(
                input=flat, begin=vector(0), end=vector(STEP_SAMPLE * stride), strides=vector(stride)
            )
        )
        if missing:
            samples.append(shared_zeros([missing]))
    return tf.concat(samples, 0)


class SnapshotTensors(NamedTuple):
    """What a snapshot fetches for one tensor: a few small arrays."""

    measures: tf.Tensor  # float32 [len(SNAPSHOT_SUMS)]
    edges: tf.Tensor  # float32 [2]
    float_counts: tf.Tensor  # int32 [HISTOGRAM_BINS]
    quantized_counts: tf.Tensor
    code_counts: tf.Tensor  # int32 [2**MAX_CODE_BITS], zero beyond the codes there are
    channel_min: tf.Tensor
    channel_max: tf.Tensor
    scale: tf.Tensor  # [channels]; all the same where quantized as a whole
    zero_point: tf.Tensor


def row_stride(tensor: QuantizedTensor) -> int:
    """Every how many rows (one value of each channel) of a weight tensor a snapshot looks at; odd, so that it does not
    follow a period of the tensor.
    """
    if tensor.kind != WEIGHTS or tensor.parameters <= SNAPSHOT_WEIGHTS:
        return 1
    return -(-tensor.parameters // SNAPSHOT_WEIGHTS) | 1


def snapshot_rows(tensor: QuantizedTensor) -> int:
    """How many rows that are."""
    return -(-(tensor.parameters // tensor.num_channels) // row_stride(tensor))


def snapshot_items(tensor: QuantizedTensor) -> int:
    """How many items of its first axis a snapshot looks at, at most: all of a weight tensor, examples of an
    activation.
    """
    return np.iinfo(np.int32).max if tensor.kind == WEIGHTS else max(1, SNAPSHOT_VALUES // element_count(tensor.shape))


class SnapshotProbe:
    """Exact measures and histograms of every tensor of a forward pass.

    Parameters
    ----------
    quantizers : LiveQuantizers
    previous : dict of str to StateVariable
        Codes of each weight tensor at the last snapshot, int32 ``[n, channels]``.
    known : StateVariable
        bool: whether ``previous`` holds anything.

    Attributes
    ----------
    fetches : list of SnapshotTensors
        In the order of the plan.
    remember : list of tf.Operation
        Keeps the codes of the weights for the next snapshot's flip rate; run with the fetches.
    sources : dict of str to tf.Tensor
        The values before quantization, by tensor; :func:`snapshot_items` of each are measured.
    forget : tf.Operation
        Makes the next flip rate NaN (after a jump in the run).
    """

    def __init__(self, quantizers: LiveQuantizers, previous: Dict[str, StateVariable], known: StateVariable):
        self._quantizers, self._previous = quantizers, previous
        self._known = known.read()
        self.remember: List[tf.Operation] = []
        self.sources: Dict[str, tf.Tensor] = {}
        self.fetches = [self._tensor(tensor) for tensor in quantizers.plan.tensors]
        with tf.control_dependencies([self._known]):
            self.remember.append(known.assign(True))
        self.forget = known.assign(False)

    def _tensor(self, tensor) -> SnapshotTensors:
        quantized = self._quantizers.quantized[tensor.name]
        self.sources[tensor.name] = quantized.source
        scale, zero_point, half = self._quantizers.codes_of(tensor.name)
        looked_at = [shared_constant(number, np.int32) for number in (snapshot_items(tensor), row_stride(tensor))]
        given = [*quantized, scale, zero_point, half, self._quantizers.enabled(tensor.name), *looked_at]
        if tensor.name in self._previous:
            variable = self._previous[tensor.name]
            *found, codes = _measured_with_flips(*given, variable.read(), self._known)
            self.remember.append(variable.assign(codes))
        else:
            found = _measured_alone(*given)
        return SnapshotTensors(*found, scale=scale, zero_point=zero_point)


# One function in the graph, called once for each tensor: a large network would otherwise take minutes to build.
_SIGNATURE = [tf.TensorSpec(None, tf.float32)] * 3
_SIGNATURE += [tf.TensorSpec([None], dtype) for dtype in (tf.float32, tf.int32)]
_SIGNATURE += [tf.TensorSpec([], dtype) for dtype in (tf.int32, tf.bool, tf.int32, tf.int32)]
_WITH_CODES = [*_SIGNATURE, tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([], tf.bool)]


@tf.function(autograph=False, input_signature=_SIGNATURE)
def _measured_alone(*given):
    """The fields of :class:`SnapshotTensors` but the last two."""
    measures, *fields, _ = _measured(*given)
    return [tf.concat([measures, [float("nan")]], 0), *fields]


@tf.function(autograph=False, input_signature=_WITH_CODES)
def _measured_with_flips(*given):
    """The same, with the share of codes that are not those of the last snapshot, if there is one; and the codes."""
    *given, previous, known = given
    measures, *fields, codes = _measured(*given)
    share = tf.reduce_mean(tf.cast(tf.not_equal(previous, codes), tf.float32))
    return [tf.concat([measures, [tf.where(known, share, float("nan"))]], 0), *fields, codes]


def _measured(values, source, clipped, scale, zero_point, half, enabled, items, stride):
    """``SNAPSHOT_SUMS`` but the flip rate, the next six fields of :class:`SnapshotTensors`, and the codes (from 0)."""
    by_channel = [tf.reshape(part[:items], [-1, tf.size(scale)]) for part in (values, source, clipped)]
    values, source, clipped = [part[::stride] for part in by_channel]
    channel_min, channel_max = [reduce(by_channel[1], axis=0) for reduce in (tf.reduce_min, tf.reduce_max)]
    size = tf.cast(tf.size(source), tf.float32)
    errors = [
        tf.reduce_sum(tf.square(part)) / size for part in (source, values - source, clipped - source, values - clipped)
    ]
    flushed = tf.logical_and(tf.equal(values, 0.0), tf.not_equal(source, 0.0))
    errors += [tf.reduce_sum(tf.cast(flags, tf.float32)) / size for flags in (tf.not_equal(clipped, source), flushed)]
    safe = tf.where(scale > 0, scale, tf.ones_like(scale))
    codes = tf.cast(tf.floor(values / safe + 0.5), tf.int32) + zero_point + half
    num_codes = 2 * half
    # Off, there are no codes: everything counts as one.
    codes = tf.clip_by_value(codes, 0, num_codes - 1) * tf.cast(enabled, tf.int32)
    counts = tf.bincount(tf.reshape(codes, [-1]), minlength=num_codes, maxlength=num_codes)
    share = tf.cast(counts, tf.float32) / size
    entropy = -tf.reduce_sum(tf.math.xlogy(share, share)) / np.log(2.0).astype(np.float32)
    relative = tf.sqrt(tf.reduce_mean(tf.square((values - source) / safe)))
    used = tf.cast(tf.count_nonzero(counts), tf.float32)
    edges = _edges(
        tf.minimum(tf.reduce_min(source), tf.reduce_min(values)),
        tf.maximum(tf.reduce_max(source), tf.reduce_max(values)),
    )
    shown = tf.pad(counts[: 2**MAX_CODE_BITS], [[0, tf.maximum(0, 2**MAX_CODE_BITS - num_codes)]])
    return (
        tf.stack([*errors, relative, used, entropy]),
        edges,
        _histogram(source, edges),
        _histogram(values, edges),
        shown,
        channel_min,
        channel_max,
        codes,
    )


def _edges(low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """Outer edges of a histogram: finite, and apart in float32 even where the tensor is constant or has run away."""
    low, high = [
        tf.clip_by_value(tf.where(tf.is_finite(end), end, tf.zeros_like(end)), -LARGEST_EDGE, LARGEST_EDGE)
        for end in (low, high)
    ]
    return tf.stack([low, tf.where(high > low, high, low + tf.maximum(1.0, tf.abs(low)))])


def _histogram(values: tf.Tensor, edges: tf.Tensor) -> tf.Tensor:
    """What is NaN counts as 0: the kernel knows no such values."""
    known = tf.where(tf.is_nan(values), tf.zeros_like(values), values)
    return tf.histogram_fixed_width(known, edges, HISTOGRAM_BINS)
