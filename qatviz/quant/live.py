"""Live quantizers for a whole network, in the graph.

The arrays of :mod:`qatviz.quant.live_state` come in as tensors; the grids of all tensors are computed from them together,
as vectors; :meth:`LiveQuantizers.quantizer` hands out one function for each tensor. Nothing here holds variables: what
has to be stored comes back from :meth:`LiveQuantizers.range_updates`, so that one description serves the training graph
and the evaluation graph.

Activations are quantized with the moving average as it stood before this batch (tf.contrib.quantize: after it). At a
decay of 0.999 that is a difference of a thousandth, and it makes all grids of a step known before the step begins.
"""

from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.ops.control_flow_ops import merge, switch

from qatviz.network.plan import QuantizationPlan, QuantizedTensor
from qatviz.quant.fake_quant import Quantized, fake_quantize
from qatviz.quant.grid import Grid, GridSpec, choose_grid
from qatviz.quant.live_state import Layout, layout
from qatviz.settings import WEIGHTS


class Modes(NamedTuple):
    """Which kinds are quantized in an evaluation: bool scalars."""

    weights: tf.Tensor
    activations: tf.Tensor


class LiveQuantizers:
    """Quantizers of all tensors of a plan.

    Parameters
    ----------
    plan : QuantizationPlan
    state : dict of str to tf.Tensor
        The arrays of :mod:`qatviz.quant.live_state`.
    weights : dict of str to tf.Tensor
        The float tensor behind every quantized weight tensor, by its name (``conv1.weights``), batch norm folded in.
    modes : Modes, optional
        Switches whole kinds off (evaluations); default: all on.
    """

    def __init__(self, plan: QuantizationPlan, state: Dict[str, tf.Tensor], weights: Dict[str, tf.Tensor],
                 modes: Optional[Modes] = None):
        self.plan = plan
        self.place = layout(plan)  # type: Layout
        self.quantized = {}  # type: Dict[str, Quantized]
        self._state = state
        self.sources = [weights[self.place.leaders[group].name] for group in self.place.weights]
        self._observed_min = {}  # type: Dict[int, List[tf.Tensor]]
        self._observed_max = {}  # type: Dict[int, List[tf.Tensor]]
        with tf.name_scope("grids"):
            self._enabled = tf.unstack(self._switched(modes), num=len(self.place.leaders))
            self.weight_min = tf.stack([tf.reduce_min(w) for w in self.sources])
            self.weight_max = tf.stack([tf.reduce_max(w) for w in self.sources])
            #: Grid of every group, ``[G]``; of a tensor quantized per channel this is the grid it would have as a whole.
            self.grid = self._whole_grids()
            self._columns = self._unstacked(self.grid)
            self._per_channel = tf.unstack(state["per_channel"], num=len(self.sources))
            #: Grid of every channel of all weights, ``[C]``; computed only while a tensor is quantized per channel.
            self.channel_grid = self._channel_grids()
            self._channel_columns = self._split(self.channel_grid)

    def quantizer(self, name: str, observe: bool = True) -> Callable[[tf.Tensor], tf.Tensor]:
        """The function that quantizes the tensor ``name``.

        ``observe``: whether the range of what it is given counts for the moving average of its group (activations).
        """
        tensor = self.plan.tensor(name)
        group = self.place.group_of[self.plan.index(name)]

        def apply(x: tf.Tensor) -> tf.Tensor:
            with tf.name_scope(tensor.kind):
                if tensor.kind == WEIGHTS:
                    result = self._quantize_weights(x, tensor, group)
                else:
                    if observe:
                        self._observe(x, tensor, group)
                    result = fake_quantize(x, self._columns[group], self._enabled[group], tensor.nonnegative)
            self.quantized[name] = result
            return result.values

        return apply

    def observe(self, name: str, x: tf.Tensor) -> None:
        """Let the range of ``x`` count as seen by the activations tensor ``name``, though it is none of its values."""
        self._observe(x, self.plan.tensor(name), self.place.group_of[self.plan.index(name)])

    def pass_on(self, name: str, x: tf.Tensor) -> tf.Tensor:
        """Register ``x``, which already lies on the grid of the tensor ``name`` (the output of a Concat)."""
        self.quantized[name] = Quantized(x, x, x)
        return x

    def scale_in_use(self, name: str) -> tf.Tensor:
        """Scale of an activations tensor, 0 where its quantizer is off: a scalar."""
        group = self.place.group_of[self.plan.index(name)]
        return self._columns[group].scale * tf.cast(self._enabled[group], tf.float32)

    def channel_scales_in_use(self, name: str) -> tf.Tensor:
        """Scale of each output channel of a weight tensor ``[num_channels]``, 0 where its quantizer is off."""
        return self.codes_of(name)[0] * tf.cast(self.enabled(name), tf.float32)

    def on_grid(self, name: str, value: float) -> tf.Tensor:
        """``value`` rounded to the grid of an activations tensor in use: a scalar."""
        group = self.place.group_of[self.plan.index(name)]
        return fake_quantize(tf.constant(value), self._columns[group], self._enabled[group]).values

    def codes_of(self, name: str):
        """What turns values of a tensor into codes: scale float32 and zero point int32, each ``[num_channels]``, and
        ``2**(num_bits - 1)``, an int32 scalar. Where the tensor is quantized as a whole, all channels have the same."""
        tensor = self.plan.tensor(name)
        group = self.place.group_of[self.plan.index(name)]
        column = self._columns[group]
        count = tensor.num_channels
        whole = tf.tile(tf.stack([column.scale, column.zero_point])[:, None], [1, count])
        if tensor.kind == WEIGHTS:
            which = self.place.weights.index(group)
            channels = self._channel_columns[which]
            split = tf.reshape(tf.stack([channels.scale, channels.zero_point]), [2, count])
            per_channel = self._per_channel[which]
            whole = merge([switch(whole, per_channel)[0], switch(split, per_channel)[1]])[0]
            whole.set_shape([2, count])
        half = tf.cast(self._state["spec"][GridSpec._fields.index("half"), group], tf.int32)
        return whole[0], tf.cast(whole[1], tf.int32), half

    def enabled(self, name: str) -> tf.Tensor:
        """Whether a tensor's quantizer is on: a bool scalar."""
        return self._enabled[self.place.group_of[self.plan.index(name)]]

    def range_updates(self) -> Dict[str, tf.Tensor]:
        """New values of ``range_min``, ``range_max`` and ``range_count`` after this batch."""
        batch_min, batch_max = self.observed_ranges()
        count, rate = averaging_rate(self._state["range_count"], self._state["decay"], self._state["track"])
        low, high = self._state["range_min"], self._state["range_max"]
        return {"range_min": low + (batch_min - low) * rate, "range_max": high + (batch_max - high) * rate,
                "range_count": count}

    def observed_ranges(self):
        """Minimum and maximum of this batch by activation group, widened to contain 0: two tensors ``[A]``."""
        low = [_combine(tf.minimum, self._observed_min[g]) for g in self.place.activations]
        high = [_combine(tf.maximum, self._observed_max[g]) for g in self.place.activations]
        return tf.minimum(tf.stack(low), 0.0), tf.maximum(tf.stack(high), 0.0)

    def step_grids(self) -> Tuple[tf.Tensor, tf.Tensor]:
        """Rows scale, zero point, minimum, maximum: float32 ``[4, G]`` as a whole, and ``[4, C]`` by channel (zeros while no
        tensor is quantized per channel)."""
        whole, channels = [tf.stack([grid.scale, grid.zero_point, grid.minimum, grid.maximum])
                           for grid in (self.grid, self.channel_grid)]
        nothing = switch(tf.zeros([4, self.place.num_channels]), self._state["any_per_channel"])[0]
        return whole, merge([nothing, channels])[0]

    def _switched(self, modes: Optional[Modes]) -> tf.Tensor:
        enabled = self._state["enabled"]
        if modes is None:
            return enabled
        is_weights = np.array([tensor.kind == WEIGHTS for tensor in self.place.leaders])
        return tf.logical_and(enabled, tf.logical_or(tf.logical_and(is_weights, modes.weights),
                                                     tf.logical_and(~is_weights, modes.activations)))

    def _whole_grids(self) -> Grid:
        held = self._state["hold"]
        low = tf.where(held, self._state["held_min"], self.weight_min)
        high = tf.where(held, self._state["held_max"], self.weight_max)
        # Groups are in the plan's order, weights and activations mixed; the ranges come in two vectors.
        order = np.argsort(self.place.weights + self.place.activations)
        low = tf.gather(tf.concat([low, self._state["range_min"]], 0), order)
        high = tf.gather(tf.concat([high, self._state["range_max"]], 0), order)
        spec = GridSpec(*tf.unstack(self._state["spec"], num=len(GridSpec._fields)))
        return Grid(*map(tf.stop_gradient, choose_grid(low, high, spec)))

    def _unstacked(self, grid: Grid) -> List[Grid]:
        columns = [tf.unstack(field, num=len(self.place.leaders)) for field in grid]
        return [Grid(*fields) for fields in zip(*columns)]

    def _channel_grids(self) -> Grid:
        """Behind a switch: nothing of this is computed while no tensor is quantized per channel."""
        wanted = self._state["any_per_channel"]
        sources = [switch(w, wanted)[1] for w in self.sources]
        leaders = [self.place.leaders[group] for group in self.place.weights]
        low = tf.concat([_by_channel(tf.reduce_min, w, t) for w, t in zip(sources, leaders)], 0)
        high = tf.concat([_by_channel(tf.reduce_max, w, t) for w, t in zip(sources, leaders)], 0)
        self.channel_min, self.channel_max = low, high
        owner = np.repeat(np.arange(len(leaders)), [t.num_channels for t in leaders])
        held = tf.gather(self._state["hold"], owner)
        low = tf.where(held, self._state["held_channel_min"], low)
        high = tf.where(held, self._state["held_channel_max"], high)
        spec = tf.gather(self._state["spec"], np.array(self.place.weights)[owner], axis=1)
        return Grid(*map(tf.stop_gradient, choose_grid(low, high, GridSpec(*tf.unstack(spec, num=len(GridSpec._fields))))))

    def _split(self, grid: Grid) -> List[Grid]:
        leaders = [self.place.leaders[group] for group in self.place.weights]
        sizes = [tensor.num_channels for tensor in leaders]
        columns = [tf.split(field, sizes) for field in grid]
        return [Grid(*(tf.reshape(part, tensor.shape[tensor.channel_axis:]) for part in parts))
                for tensor, parts in zip(leaders, zip(*columns))]

    def _quantize_weights(self, x: tf.Tensor, tensor: QuantizedTensor, group: int) -> Quantized:
        which = self.place.weights.index(group)
        return fake_quantize(x, self._columns[group], self._enabled[group], channel_grid=self._channel_columns[which],
                             per_channel=self._per_channel[which])

    def _observe(self, x: tf.Tensor, tensor: QuantizedTensor, group: int) -> None:
        # After a ReLU the minimum is known: a reduction less.
        low = tf.constant(0.0) if tensor.nonnegative else tf.reduce_min(x)
        self._observed_min.setdefault(group, []).append(low)
        self._observed_max.setdefault(group, []).append(tf.reduce_max(x))


def averaging_rate(count: tf.Tensor, decay: tf.Tensor, track: tf.Tensor):
    """New count and rate of a moving average that starts from its first batch.

    ``count' = decay * count + (1 - decay)``, ``average' = average + (batch - average) * (1 - decay) / count'``: the
    zero-debiased average of ``tf.train``'s ``assign_moving_average``, in a form whose decay may change. Where
    ``track`` is 0, nothing moves.
    """
    new = decay * count + (1.0 - decay)
    return count + (new - count) * track, track * (1.0 - decay) / new


def _by_channel(reduce: Callable, weights: tf.Tensor, tensor: QuantizedTensor) -> tf.Tensor:
    return tf.reshape(reduce(weights, axis=list(range(tensor.channel_axis))), [tensor.num_channels])


def _combine(operation: Callable, tensors: List[tf.Tensor]) -> tf.Tensor:
    result = tensors[0]
    for tensor in tensors[1:]:
        result = operation(result, tensor)
    return result
