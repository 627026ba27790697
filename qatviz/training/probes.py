"""What is measured of the quantized tensors inside the graph; only small results leave it.

Two probes: error sums on a fixed sample of every tensor, which ride each training step, and the exact measures and
histograms of a snapshot.
"""

from typing import Dict, List, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.network.layers import element_count
from qatviz.quant.live import LiveQuantizers
from qatviz.quant.fake_quant import Quantized
from qatviz.settings import WEIGHTS
from qatviz.training.variables import StateVariable

#: Values of each tensor that the measures of a training step look at, evenly spaced over its elements.
STEP_SAMPLE = 512
#: Bins of a histogram of values.
HISTOGRAM_BINS = 128
#: Outer edges of a histogram lie within plus and minus this: their distance must be a float32.
LARGEST_EDGE = 1e38
#: Values of an activation that a snapshot looks at: whole examples, at least one.
SNAPSHOT_VALUES = 65536
#: Codes are counted one by one up to this width.
MAX_CODE_BITS = 8
#: Rows of :attr:`SnapshotTensors.measures`: means over the tensor, then what only a snapshot has.
SNAPSHOT_SUMS = ("signal", "mse", "mse_clipping", "mse_rounding", "clipped", "flushed", "rmse_over_scale", "used_codes",
                 "effective_bits", "flip_rate")
ERROR_SUMS = SNAPSHOT_SUMS[:6]


def step_errors(tensors: List[Quantized]) -> tf.Tensor:
    """float32 ``[len(ERROR_SUMS), T]``: means over the sample of each tensor."""
    samples = [[_sample(tensor[index]) for tensor in tensors] for index in range(3)]
    sizes = np.array([sample.shape[0].value for sample in samples[0]], np.float32)
    values, source, clipped = [tf.stack([_padded(sample) for sample in column]) for column in samples]
    return _mean_errors(values, source, clipped, tf.constant(sizes))


def _mean_errors(values, source, clipped, sizes):
    parts = tf.stack([source, values - source, clipped - source, values - clipped])
    squares = tf.reduce_sum(tf.square(parts), axis=-1) / sizes
    flags = tf.stack([tf.not_equal(clipped, source),
                      tf.logical_and(tf.equal(values, 0.0), tf.not_equal(source, 0.0))])
    return tf.concat([squares, tf.reduce_sum(tf.cast(flags, tf.float32), axis=-1) / sizes], 0)


def _sample(tensor: tf.Tensor) -> tf.Tensor:
    """About STEP_SAMPLE values, evenly spaced; the spacing is odd, so that it does not pick the same channels again and again
    (channel counts are mostly even)."""
    size = element_count(tuple(tensor.shape.as_list()))
    stride = max(1, size // STEP_SAMPLE) | 1
    return tf.reshape(tensor, [size])[:STEP_SAMPLE * stride:stride]


def _padded(sample: tf.Tensor) -> tf.Tensor:
    """Zeros add nothing to any sum of errors."""
    missing = STEP_SAMPLE - sample.shape[0].value
    return tf.pad(sample, [[0, missing]]) if missing else sample


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
    forget : tf.Operation
        Makes the next flip rate NaN (after a jump in the run).
    """

    def __init__(self, quantizers: LiveQuantizers, previous: Dict[str, StateVariable], known: StateVariable):
        self._quantizers, self._previous = quantizers, previous
        self._known = known.read()
        self.remember = []  # type: List[tf.Operation]
        self.fetches = [self._tensor(tensor) for tensor in quantizers.plan.tensors]
        with tf.control_dependencies([self._known]):
            self.remember.append(known.assign(True))
        self.forget = known.assign(False)

    def _tensor(self, tensor) -> SnapshotTensors:
        quantized = self._quantizers.quantized[tensor.name]
        if tensor.kind != WEIGHTS:
            count = max(1, SNAPSHOT_VALUES // element_count(tensor.shape))
            quantized = Quantized(*(part[:count] for part in quantized))
        scale, zero_point, half = self._quantizers.codes_of(tensor.name)
        by_channel = [tf.reshape(part, [-1, tensor.num_channels]) for part in quantized]
        found = _measured(*by_channel, scale, zero_point, half, self._quantizers.enabled(tensor.name))
        flips = self._flips(tensor, found[-1])
        return SnapshotTensors(tf.concat([found[0], [flips]], 0), *found[1:-1], scale, zero_point)

    def _flips(self, tensor, codes):
        """Share of the weights whose code changed since the last snapshot; NaN at first, and for activations."""
        if tensor.name not in self._previous:
            return tf.constant(float("nan"))
        variable = self._previous[tensor.name]
        share = tf.reduce_mean(tf.cast(tf.not_equal(variable.read(), codes), tf.float32))
        with tf.control_dependencies([share]):
            self.remember.append(variable.assign(codes))
        return tf.where(self._known, share, float("nan"))


# One function in the graph, called once for each tensor: a large network would otherwise take minutes to build.
@tf.function(autograph=False, input_signature=[tf.TensorSpec([None, None], tf.float32)] * 3 + [
    tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.bool)])
def _measured(values, source, clipped, scale, zero_point, half, enabled):
    """``SNAPSHOT_SUMS`` but the flip rate, the next six fields of :class:`SnapshotTensors`, and the codes (from 0)."""
    size = tf.cast(tf.size(source), tf.float32)
    errors = _mean_errors(*(tf.reshape(part, [1, -1]) for part in (values, source, clipped)), sizes=size)[:, 0]
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
    edges = _edges(tf.minimum(tf.reduce_min(source), tf.reduce_min(values)),
                   tf.maximum(tf.reduce_max(source), tf.reduce_max(values)))
    shown = tf.pad(counts[:2**MAX_CODE_BITS], [[0, tf.maximum(0, 2**MAX_CODE_BITS - num_codes)]])
    return (tf.concat([errors, tf.stack([relative, used, entropy])], 0), edges, _histogram(source, edges),
            _histogram(values, edges), shown, tf.reduce_min(source, axis=0), tf.reduce_max(source, axis=0), codes)


def _edges(low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """Outer edges of a histogram: finite, and apart in float32 even where the tensor is constant or has run away."""
    low, high = [tf.clip_by_value(tf.where(tf.is_finite(end), end, tf.zeros_like(end)), -LARGEST_EDGE, LARGEST_EDGE)
                 for end in (low, high)]
    return tf.stack([low, tf.where(high > low, high, low + tf.maximum(1.0, tf.abs(low)))])


def _histogram(values: tf.Tensor, edges: tf.Tensor) -> tf.Tensor:
    """What is NaN counts as 0: the kernel knows no such values."""
    known = tf.where(tf.is_nan(values), tf.zeros_like(values), values)
    return tf.histogram_fixed_width(known, edges, HISTOGRAM_BINS)
