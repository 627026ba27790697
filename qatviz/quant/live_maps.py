"""Maps of weights (:mod:`qatviz.quant.weight_maps`) in the graph, where they may change while it runs.

The ranges of all mapped weights are computed behind one switch, so that they cost nothing while no map is on.
"""

from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.ops.control_flow_ops import merge, switch

from qatviz.network.plan import QuantizedTensor
from qatviz.quant.constants import shared_constant
from qatviz.quant.graph_function import graph_function
from qatviz.quant.weight_maps import BINARY_THRESHOLD, MAPS, TERNARY_THRESHOLD
from qatviz.settings import TANH, TERNARY

#: Numbers of the tanh map, and of the first map that chooses the codes by sign and threshold (ternary, then binary).
TANH_MAP, CODED = MAPS.index(TANH), MAPS.index(TERNARY)


class MapRanges(NamedTuple):
    """Ranges of weights after their map, and the factors, thresholds and scales of the maps.

    Dimensions: ``W`` weight tensors with ``C`` channels in total.

    Attributes
    ----------
    low, high : tf.Tensor
        float32 ``[W]``: range of each tensor.
    factors : tf.Tensor
        float64 ``[W]``: :func:`.weight_maps.tanh_factor` of each tensor; 1 while no map is on.
    thresholds : tf.Tensor
        float32 ``[W]``: threshold of binary and ternary weights of a tensor as a whole; 0 while no map is on.
    channel_thresholds : tf.Tensor
        float32 ``[C]``: the same for each channel.
    channel_scales : tf.Tensor
        float32 ``[C]``: scale of each channel of binary and ternary weights; not computed while no map is on.
    """

    low: tf.Tensor
    high: tf.Tensor
    factors: tf.Tensor
    thresholds: tf.Tensor
    channel_thresholds: tf.Tensor
    channel_scales: tf.Tensor


def map_ranges(
    state: Dict[str, tf.Tensor],
    sources: Sequence[tf.Tensor],
    tensors: Sequence[QuantizedTensor],
    low: tf.Tensor,
    high: tf.Tensor,
) -> MapRanges:
    """Return the ranges of all weights after their maps.

    Parameters
    ----------
    state : dict of str to tf.Tensor
        Arrays of :mod:`qatviz.quant.live_state`.
    sources : sequence of tf.Tensor
        Float weights of each tensor.
    tensors : sequence of QuantizedTensor
        The tensors, in the same order.
    low, high : tf.Tensor
        float32 ``[W]``: minimum and maximum of the float weights.
    """
    any_map = state["any_map"]
    maps = switch(state["map"], any_map)[1]
    statistics = [
        _statistics(switch(w, any_map)[1], shared_constant(tensor.num_channels, np.int32), which)
        for w, tensor, which in zip(sources, tensors, tf.unstack(maps, num=len(sources)))
    ]
    thresholds, scales, channel_thresholds, channel_scales = zip(*statistics)
    (low_off, low_on), (high_off, high_on) = switch(low, any_map), switch(high, any_map)
    largest = tf.cast(tf.maximum(tf.abs(low_on), tf.abs(high_on)), tf.float64)
    ones = tf.ones_like(largest)
    factors = tf.where(largest > 0, largest / tf.tanh(tf.where(largest > 0, largest, ones)), ones)
    ends = _mapped_ends(low_on, high_on, maps, factors, tf.stack(scales))
    number, channels = len(sources), sum(tensor.num_channels for tensor in tensors)

    def merged(off: tf.Tensor, on: tf.Tensor, size: int) -> tf.Tensor:
        result = merge([off, on])[0]
        result.set_shape([size])
        return result

    return MapRanges(
        merged(low_off, ends[0], number),
        merged(high_off, ends[1], number),
        merged(_off(np.ones(number), any_map), factors, number),
        merged(_off(np.zeros(number, np.float32), any_map), tf.stack(thresholds), number),
        merged(_off(np.zeros(channels, np.float32), any_map), tf.concat(channel_thresholds, 0), channels),
        tf.concat(channel_scales, 0),
    )


def map_channel_ranges(
    state: Dict[str, tf.Tensor], ranges: MapRanges, owner: np.ndarray, low: tf.Tensor, high: tf.Tensor
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Return the ranges of all channels after the maps, float32 ``[C]`` each.

    ``owner`` has the weight tensor of each channel; ``low`` and ``high`` are the ranges of the float weights.
    """
    any_map = state["any_map"]
    (low_off, low_on), (high_off, high_on) = switch(low, any_map), switch(high, any_map)
    maps = tf.gather(switch(state["map"], any_map)[1], owner)
    factors = tf.gather(switch(ranges.factors, any_map)[1], owner)
    ends = _mapped_ends(low_on, high_on, maps, factors, ranges.channel_scales)
    mapped_low, mapped_high = merge([low_off, ends[0]])[0], merge([high_off, ends[1]])[0]
    for tensor in (mapped_low, mapped_high):
        tensor.set_shape(owner.shape)
    return mapped_low, mapped_high


def _off(value: np.ndarray, any_map: tf.Tensor) -> tf.Tensor:
    """Return a constant that exists only while no map is on."""
    return switch(tf.constant(value), any_map)[0]


def _mapped_ends(
    low: tf.Tensor, high: tf.Tensor, maps: tf.Tensor, factors: tf.Tensor, scales: tf.Tensor
) -> List[tf.Tensor]:
    """Return the ends of ranges after the maps, which are monotonic: float32, shape of the ends."""
    is_coded, ends = maps >= CODED, []
    for end, coded in ((low, tf.negative(scales)), (high, scales)):
        curved = tf.cast(factors * tf.tanh(tf.cast(end, tf.float64)), tf.float32)
        ends.append(tf.where(is_coded, coded, tf.where(tf.equal(maps, TANH_MAP), curved, end)))
    return ends


# Single functions in the graph, called once for each tensor: an operation that does not run still takes time.
_VECTOR = tf.TensorSpec(None, tf.float32)


@graph_function([_VECTOR, tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.int32)])
def _statistics(w: tf.Tensor, num_channels: tf.Tensor, which: tf.Tensor) -> Tuple[tf.Tensor, ...]:
    """Return threshold and scale of a whole tensor, ``[]``, then those of each channel, ``[num_channels]``, float32.

    They are computed as in :func:`.weight_maps.threshold_and_scale`; ``which`` is the number of the map.
    """
    columns = tf.reshape(w, [-1, num_channels])
    magnitude = tf.abs(columns)
    exact = tf.cast(magnitude, tf.float64)
    sums, rows = tf.reduce_sum(exact, axis=0), tf.cast(tf.shape(columns)[0], tf.float64)
    total = tf.reduce_sum(sums)
    found: List[tf.Tensor] = []
    for mean, reduce in (
        (total / (rows * tf.cast(num_channels, tf.float64)), tf.reduce_sum),
        (sums / rows, lambda x: tf.reduce_sum(x, axis=0)),
    ):
        binary = tf.zeros_like(mean, tf.float32) + np.float32(BINARY_THRESHOLD)
        is_ternary = tf.fill(tf.shape(mean), tf.equal(which, CODED))
        threshold = tf.where(is_ternary, tf.cast(TERNARY_THRESHOLD * mean, tf.float32), binary)
        kept = tf.cast(magnitude > threshold, tf.float64)
        scale = reduce(kept * exact) / tf.maximum(reduce(kept), 1.0)
        found += [threshold, tf.cast(scale, tf.float32)]
    return tuple(found)
