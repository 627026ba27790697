"""Running histogram of an activation in the graph: from it, percentile, MSE and KL ranges are found.

:data:`NUM_BINS` bins of equal width lie between ``-bound`` (0 if no value is negative) and ``bound``, a power of two.
Where a value lies beyond, the bound doubles as often as needed, as in NVIDIA's calibrator ("dynamically resizes by
doubling", MLPerf inference v0.5, calibration of TensorRT); there the number of bins doubles, here pairs of bins are
merged, which splits no count (PyTorch's ``HistogramObserver`` interpolates). Zeros, which every grid contains, are
counted apart. With each batch, earlier counts are multiplied by the decay of the moving average.

The same in NumPy, and the search for ranges, are in :mod:`qatviz.quant.histogram_ranges`.
"""

from typing import NamedTuple, Tuple, TypeVar

import tensorflow.compat.v1 as tf

from qatviz.quant.graph_function import graph_function
from qatviz.quant.histogram_ranges import LARGEST_BOUND, NUM_BINS, SMALLEST_BOUND

#: Largest number of values of a tensor counted in a training step, evenly spaced, from a start that changes each step.
STEP_VALUES = 16384
_MANTISSA_BITS = 23
#: Larger shifts of an int32 are undefined; after so many doublings all counts are in the bins next to 0 anyway.
_MOST_DOUBLINGS = 31


class RunningHistogram(NamedTuple):
    """Tensors of one histogram: float32 ``[NUM_BINS]``, the number of zeros, and the bound; 0 if it is empty."""

    counts: tf.Tensor
    zeros: tf.Tensor
    bound: tf.Tensor


_Size = TypeVar("_Size", int, tf.Tensor)


def value_stride(size: _Size) -> _Size:
    """Return the distance between the values that are counted of ``size`` values; int32 scalar of a tensor.

    It is ``ceil(size / STEP_VALUES)``, or the next odd number: sizes and numbers of channels are often powers of two,
    with which an even stride would count few channels.
    """
    return (size + (STEP_VALUES - 1)) // (2 * STEP_VALUES) * 2 + 1


_SIGNATURE = [tf.TensorSpec([NUM_BINS], tf.float32)] + [tf.TensorSpec([], tf.float32)] * 2


# A single function in the graph, called for each tensor: otherwise a large network would take long to build.
@graph_function([*_SIGNATURE, tf.TensorSpec(None, tf.float32), *[tf.TensorSpec([], tf.int32)] * 2])
def extended(
    counts: tf.Tensor, zeros: tf.Tensor, bound: tf.Tensor, x: tf.Tensor, zero_bin: tf.Tensor, step: tf.Tensor
) -> Tuple[tf.Tensor, ...]:
    """Return the fields of a :class:`RunningHistogram` with the values of ``x`` (float32, any shape) added.

    Values that are not finite count as zeros. ``zero_bin`` (int32 scalar) is the bin that begins at 0; ``step`` (int32
    scalar), the training step, determines which values of a large tensor are counted.
    """
    stride = value_stride(tf.size(x))
    sample = tf.reshape(x, [-1])[step % stride :: stride]
    sample = tf.where(tf.is_finite(sample), sample, tf.zeros_like(sample))
    sample = tf.clip_by_value(sample, -LARGEST_BOUND, LARGEST_BOUND)
    reach = tf.reduce_max(tf.abs(sample))
    new_bound = tf.where(reach > 0, tf.maximum(bound, _next_power_of_two(tf.maximum(reach, SMALLEST_BOUND))), bound)
    doublings = tf.bitwise.right_shift(
        tf.bitcast(new_bound, tf.int32) - tf.bitcast(bound, tf.int32), tf.constant(_MANTISSA_BITS)
    )
    doublings = tf.minimum(doublings, _MOST_DOUBLINGS)
    merged_into = zero_bin + tf.bitwise.right_shift(tf.range(NUM_BINS) - zero_bin, tf.fill([NUM_BINS], doublings))
    merged = tf.math.unsorted_segment_sum(counts, merged_into, NUM_BINS)
    # A product with a power of two, which rounds nothing.
    place = sample * tf.div_no_nan(tf.cast(NUM_BINS - zero_bin, tf.float32), new_bound)
    bins = tf.clip_by_value(zero_bin + tf.cast(tf.floor(place), tf.int32), 0, NUM_BINS - 1)
    bins = tf.where(tf.equal(sample, 0.0), tf.fill(tf.shape(bins), NUM_BINS), bins)
    found = tf.cast(tf.bincount(bins, minlength=NUM_BINS + 1, maxlength=NUM_BINS + 1), tf.float32)
    return merged + found[:NUM_BINS], zeros + found[NUM_BINS], new_bound


def _next_power_of_two(x: tf.Tensor) -> tf.Tensor:
    """Return the smallest power of two that is at least ``x``, which is positive and not denormal."""
    bits = tf.bitcast(x, tf.int32) + (2**_MANTISSA_BITS - 1)
    exponent = tf.bitwise.right_shift(bits, tf.constant(_MANTISSA_BITS))
    return tf.bitcast(tf.bitwise.left_shift(exponent, tf.constant(_MANTISSA_BITS)), tf.float32)
