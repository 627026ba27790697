"""Ranges of weights that are held between refreshes: percentile, least squared error, frozen. In the graph.

These cost more than a training step should, so they are found every :data:`REFRESH_INTERVAL` steps and when a setting
changes, and held in between. References: :mod:`qatviz.quant.ranges`.
"""

from typing import Dict, List

import tensorflow.compat.v1 as tf

from qatviz.network.plan import QuantizedTensor
from qatviz.quant import ranges
from qatviz.quant.fake_quant import fake_quantize
from qatviz.quant.grid import GridSpec, choose_grid

#: Steps between two refreshes of ranges found by search.
REFRESH_INTERVAL = 20
#: What to do with a tensor's held range: leave it, take the present minimum and maximum, or search.
KEEP, CAPTURE, BY_PERCENTILE, BY_MSE = range(4)


class RangeRefresh:
    """The operation that finds new held ranges.

    Parameters
    ----------
    tensors : list of QuantizedTensor
        The weight tensors, in order.
    sources : list of tf.Tensor
        Their float values, batch norm folded in.
    state : dict of str to tf.Tensor
        ``spec`` columns of these tensors ``[5, W]`` under "spec", ``per_channel`` and the four ``held_*`` arrays.

    Attributes
    ----------
    actions : tf.Tensor
        Placeholder int32 ``[W]`` of the constants above.
    percentiles : tf.Tensor
        Placeholder float32 ``[W]``.
    updates : dict of str to tf.Tensor
        New values of the ``held_*`` arrays.
    """

    def __init__(self, tensors: List[QuantizedTensor], sources: List[tf.Tensor], state: Dict[str, tf.Tensor]):
        count = len(tensors)
        self.actions = tf.placeholder(tf.int32, [count], "range_actions")
        self.percentiles = tf.placeholder(tf.float32, [count], "percentiles")
        sizes = [tensor.num_channels for tensor in tensors]
        split = {name: tf.split(state[name], sizes) for name in ("held_channel_min", "held_channel_max")}
        columns = {name: [] for name in ("held_min", "held_max", "held_channel_min", "held_channel_max")}
        for index, (tensor, source) in enumerate(zip(tensors, sources)):
            with tf.name_scope("range_of_" + tensor.layer):
                spec = GridSpec(*tf.unstack(state["spec"][:, index], num=len(GridSpec._fields)))
                by_channel = tf.reshape(source, [-1, tensor.num_channels])
                whole = tf.reshape(source, [-1, 1])
                found = self._range(index, whole, spec, state["held_min"][index:index + 1], state["held_max"][index:index + 1])
                found += self._range(index, by_channel, spec, split["held_channel_min"][index],
                                     split["held_channel_max"][index])
            for name, value in zip(columns, found):
                columns[name].append(value)
        self.updates = {name: tf.concat(parts, 0) for name, parts in columns.items()}

    def _range(self, index, x, spec, held_min, held_max):
        """The new range of ``x`` ``[n, channels]``, as a list of two vectors ``[channels]``."""
        branches = {
            KEEP: lambda: [tf.identity(held_min), tf.identity(held_max)],
            CAPTURE: lambda: _min_max(x),
            BY_PERCENTILE: lambda: _percentile(x, self.percentiles[index]),
            BY_MSE: lambda: _least_error(x, spec),
        }
        results = tf.switch_case(self.actions[index], branches)
        for result in results:
            result.set_shape(held_min.shape)
        return list(results)


def _min_max(x):
    return [tf.reduce_min(x, axis=0), tf.reduce_max(x, axis=0)]


def _percentile(x, percentile):
    values = tf.sort(tf.transpose(x), axis=-1)
    last = tf.cast(tf.shape(values)[1] - 1, tf.float32)
    tail = (100.0 - percentile) / 200.0

    def quantile(share):
        position = share * last
        below = tf.floor(position)
        indices = tf.cast(below, tf.int32)
        first = tf.gather(values, indices, axis=1)
        second = tf.gather(values, tf.minimum(indices + 1, tf.shape(values)[1] - 1), axis=1)
        return first + (second - first) * (position - below)

    return [quantile(tail), quantile(1.0 - tail)]


def _least_error(x, spec):
    low, high = _min_max(x)
    sample = x[::ranges.search_stride(*x.shape.as_list())]

    def error(share):
        grid = choose_grid(low * share, high * share, spec)
        return tf.reduce_mean(tf.squared_difference(fake_quantize(sample, channel_grid=grid).values, sample), axis=0)

    def best_of(shares):
        # One share at a time: all at once would take 20 times the memory of the weights.
        errors = tf.map_fn(error, shares, parallel_iterations=1)
        chosen = tf.cast(tf.argmin(errors, axis=0), tf.int32)
        return tf.gather_nd(shares, tf.stack([chosen, tf.range(tf.shape(chosen)[0])], axis=1))

    ones = tf.ones_like(low)[None]
    coarse = best_of(ranges.COARSE_SHARES[:, None] * ones)
    fine = best_of(coarse[None] + ranges.FINE_OFFSETS[:, None] * ones)
    return [low * fine, high * fine]
