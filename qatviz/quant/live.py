"""Quantizers for a whole network, in the graph, whose settings may change while it runs.

The arrays of :mod:`qatviz.quant.live_state` are tensors, from which the grids of all tensors are computed together, as
vectors; :meth:`LiveQuantizers.quantizer` returns a function for each tensor. There are no variables here: new values of
the state are returned by :meth:`LiveQuantizers.range_updates` and :meth:`LiveQuantizers.histogram_updates`, so that
training graph and evaluation graph share this code.

Activations are quantized with the range before its update by this batch (tf.contrib.quantize: after it), so that all
grids of a training step are known before it begins. At a decay of 0.999, the ranges differ by a thousandth.
"""

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.ops.control_flow_ops import merge, switch

from qatviz.network.activations import fixed_range
from qatviz.network.plan import QuantizationPlan, QuantizedTensor
from qatviz.quant.constants import all_axes, shared_constant
from qatviz.quant.fake_quant import Quantized, fake_quantize
from qatviz.quant.frozen_levels import Frozen, split_levels, with_frozen
from qatviz.quant.gradients import Rounding, TrainingRounding, general_forms
from qatviz.quant.grid import ChannelGrid, Grid, GridSpec, channel_grid, choose_grid
from qatviz.quant.int16_kernels import NARROW_BITS
from qatviz.quant.live_maps import MapRanges, map_channel_ranges, map_ranges
from qatviz.quant.live_state import HISTOGRAMS, Layout, layout
from qatviz.quant.oscillation import FROZEN_LEVELS
from qatviz.quant.running_histogram import extended
from qatviz.settings import WEIGHTS


class Modes(NamedTuple):
    """Kinds of tensors that are quantized in an evaluation: a bool scalar for each, True to quantize."""

    weights: tf.Tensor
    activations: tf.Tensor


#: Returns minima and maxima of a part of the batch by activation group, ``[A]`` each.
Observer = Callable[[], Tuple[tf.Tensor, tf.Tensor]]


class _GridsInUse(NamedTuple):
    """Grids with which values are quantized under the present settings; see `LiveQuantizers.code_parameters`."""

    # An item for each tensor of the plan, [num_channels].
    scale: List[tf.Tensor]
    zero_point: List[tf.Tensor]  # int32
    enabled_scale: List[tf.Tensor]  # the scale; 0 if the quantizer is off
    # An item for each group, a scalar.
    half: List[tf.Tensor]  # int32: 2**(num_bits - 1)
    zero_points: List[tf.Tensor]  # int32: zero point of the tensor as a whole
    whole_scale: List[tf.Tensor]  # scale of the tensor as a whole; 0 if the quantizer is off
    has_wide_activations: tf.Tensor  # bool scalar


class LiveQuantizers:
    """Quantizers of all tensors of a plan.

    Parameters
    ----------
    plan : QuantizationPlan
    state : dict of str to tf.Tensor
        Arrays of :mod:`qatviz.quant.live_state`.
    weights : dict of str to tf.Tensor
        Float tensor of each quantized weight tensor, by name (``conv1.weights``), with batch norm folded in.
    modes : Modes, optional
        Switches off whole kinds in evaluations; default: all on.
    training : TrainingRounding, optional
        For training: activates what evaluations do not have, such as stochastic rounding.
    has_methods : bool
        If False, nothing is built for maps of weights, other roundings and gradients, frozen weights, and biases on a
        grid: the settings must not need them.

    Attributes
    ----------
    quantized : dict of str to Quantized
        Tensors by name, from :meth:`quantizer` and :meth:`register`.
    sources : list of tf.Tensor
        Float weights of each weight group, in the order of the layout.
    grid : Grid
        Grid of every group, ``[G]``; for a tensor quantized per channel, the grid it would have as a whole.
    channel_grid : Grid
        Grid of every channel of all weights, ``[C]``; computed only while a tensor is quantized per channel.
    """

    def __init__(
        self,
        plan: QuantizationPlan,
        state: Dict[str, tf.Tensor],
        weights: Dict[str, tf.Tensor],
        modes: Optional[Modes] = None,
        training: Optional[TrainingRounding] = None,
        has_methods: bool = True,
    ):
        self.plan, self.has_methods = plan, has_methods
        self.positions: Layout = layout(plan)
        self.quantized: Dict[str, Quantized] = {}
        self._state = state
        self._in_use: Optional[_GridsInUse] = None
        self.sources = [weights[self.positions.leaders[group].name] for group in self.positions.weights]
        self._observed_min: Dict[int, List[tf.Tensor]] = {}
        self._observed_max: Dict[int, List[tf.Tensor]] = {}
        self._observed: Dict[int, List[tf.Tensor]] = {}
        self._observers: List[Observer] = []
        self._observed_ranges: Optional[Tuple[tf.Tensor, tf.Tensor]] = None
        with tf.name_scope("grids"):
            self._all_enabled = self._enabled_in(modes)
            self._enabled = tf.unstack(self._all_enabled, num=len(self.positions.leaders))
            self._weight_min = tf.stack([tf.raw_ops.Min(input=w, axis=all_axes(w)) for w in self.sources])
            self._weight_max = tf.stack([tf.raw_ops.Max(input=w, axis=all_axes(w)) for w in self.sources])
            leaders = [self.positions.leaders[group] for group in self.positions.weights]
            self._map_ranges: Optional[MapRanges] = None
            if has_methods:
                self._map_ranges = map_ranges(state, self.sources, leaders, self._weight_min, self._weight_max)
            self.grid = self._whole_grids()
            self._columns = self._unstacked(self.grid)
            self._per_channel = tf.unstack(state["per_channel"], num=len(self.sources))
            self.channel_grid = self._channel_grids()
            self._channel_columns = self._by_weight_tensor(channel_grid(self.channel_grid))
            self._forms: Dict[int, Rounding] = {}
            if self._map_ranges is not None:
                ranges = self._map_ranges
                self._forms = general_forms(self.positions, state, self.grid, self._all_enabled, ranges, training)
            self._frozen = self._frozen_weights()

    def quantizer(self, name: str, observe: bool = True) -> Callable[[tf.Tensor], tf.Tensor]:
        """Return the function that quantizes the tensor ``name``.

        ``observe``: the range of its argument contributes to that of its group (activations).
        """
        tensor = self.plan.tensor(name)
        group = self.positions.group_of[self.plan.index(name)]

        def apply(x: tf.Tensor) -> tf.Tensor:
            with tf.name_scope(tensor.kind):
                if tensor.kind == WEIGHTS:
                    known = self.quantized.get(name)  # from another layer with the same weights
                    result = known if known and known.source is x else self._quantize_weights(x, tensor, group)
                else:
                    if observe:
                        self._observe(x, tensor, group)
                    result = fake_quantize(
                        x,
                        self._columns[group],
                        self._enabled[group],
                        tensor.nonnegative,
                        rounding=self._forms.get(group),
                    )
            self.quantized[name] = result
            return result.values

        return apply

    def observe(self, name: str, x: tf.Tensor) -> None:
        """Add the range of ``x``, which is not quantized, to that of the activation tensor ``name``."""
        self._observe(x, self.plan.tensor(name), self.positions.group_of[self.plan.index(name)])

    def add_observer(self, observed: Observer) -> None:
        """Make :meth:`observed_ranges` include those that a function returns: of another part of the batch."""
        assert self._observed_ranges is None, "the ranges of the batch are built already"
        self._observers.append(observed)

    def register(self, name: str, x: tf.Tensor) -> tf.Tensor:
        """Register ``x`` (the output of a Concat), which is on the grid of the tensor ``name`` without rounding."""
        self.quantized[name] = Quantized(x, x, x)
        return x

    def scale_in_use(self, name: str) -> tf.Tensor:
        """Return the scale of activations, a scalar, 0 if their quantizer is off: see `QuantizationPlan.grid_of`."""
        return self._grids_in_use().whole_scale[self.positions.group_of[self.plan.index(name)]]

    def channel_scales_in_use(self, name: str) -> tf.Tensor:
        """Return the scale of each output channel of a weight tensor ``[num_channels]``, 0 if its quantizer is off."""
        return self._grids_in_use().enabled_scale[self.plan.index(name)]

    def round_to_grid(self, name: str, value: float) -> tf.Tensor:
        """Return ``value`` rounded to the grid in use of an activation tensor, a scalar."""
        group = self.positions.group_of[self.plan.index(name)]
        return fake_quantize(tf.constant(value), self._columns[group], self._enabled[group]).values

    def zero_point(self, name: str) -> tf.Tensor:
        """Return the zero point of activations, an int32 scalar: see `QuantizationPlan.grid_of`."""
        return self._grids_in_use().zero_points[self.positions.group_of[self.plan.index(name)]]

    def half(self, name: str) -> tf.Tensor:
        """Return ``2**(num_bits - 1)`` of a tensor, an int32 scalar."""
        return self._grids_in_use().half[self.positions.group_of[self.plan.index(name)]]

    def code_parameters(self, name: str) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return scale (float32) and zero point (int32), each ``[num_channels]``, and ``2**(num_bits - 1)`` (int32).

        Unlike :meth:`channel_scales_in_use`, the scale does not depend on whether the quantizer is on.
        If the tensor is quantized as a whole, all channels have the same scale and zero point.
        """
        index = self.plan.index(name)
        grids = self._grids_in_use()
        return grids.scale[index], grids.zero_point[index], self.half(name)

    @property
    def has_wide_activations(self) -> tf.Tensor:
        """Bool scalar: True if the settings of any activations have more than 8 bits."""
        return self._grids_in_use().has_wide_activations

    def enabled(self, name: str) -> tf.Tensor:
        """Return whether a tensor's quantizer is on, a bool scalar."""
        return self._enabled[self.positions.group_of[self.plan.index(name)]]

    def rounds_bias(self, weights: str, source: str) -> tf.Tensor:
        """Return whether biases are rounded in training where these two tensors are multiplied, a bool scalar."""
        enabled = tf.logical_and(self.enabled(weights), self.enabled(source))
        return tf.logical_and(self._state["round_biases"], enabled)

    def is_per_channel(self, weights: str) -> tf.Tensor:
        """Return whether a weight tensor has a scale for each channel, a bool scalar."""
        return self._per_channel[self._rank(weights)]

    def bias_units(self, weights: str, source: str) -> Tuple[tf.Tensor, tf.Tensor]:
        """Return the units of a bias: the scale of activations times that of weights, as a whole and by channel.

        The second, ``[num_channels]``, is computed only while a tensor is quantized per channel.
        """
        scale = self._columns[self.positions.group_of[self.plan.index(source)]].scale
        group, rank = self.positions.group_of[self.plan.index(weights)], self._rank(weights)
        channels = _shaped(self._channel_columns[rank].divisor, [self.plan.tensor(weights).num_channels])
        return scale * self._columns[group].scale, scale * channels

    def range_updates(self) -> Dict[str, tf.Tensor]:
        """Return the values of ``range_min``, ``range_max`` and ``range_count`` after this batch."""
        batch_min, batch_max = self.observed_ranges()
        count, rate = averaging_rate(self._state["range_count"], self._state["decay"], self._state["track"])
        low, high = self._state["range_min"], self._state["range_max"]
        widen = self._state["widen"]
        return {
            "range_min": tf.where(widen, tf.minimum(low, batch_min), low + (batch_min - low) * rate),
            "range_max": tf.where(widen, tf.maximum(high, batch_max), high + (batch_max - high) * rate),
            "range_count": count,
        }

    def observed_ranges(self) -> Tuple[tf.Tensor, tf.Tensor]:
        """Return minimum and maximum of this batch by activation group, widened to contain 0: two tensors ``[A]``.

        The first call builds them, after the last of :meth:`observe` and :meth:`add_observer`.
        """
        if self._observed_ranges is None:
            self._observed_ranges = self._build_observed_ranges()
        return self._observed_ranges

    def _build_observed_ranges(self) -> Tuple[tf.Tensor, tf.Tensor]:
        low = [_combine(tf.minimum, self._observed_min[g]) for g in self.positions.activations]
        high = [_combine(tf.maximum, self._observed_max[g]) for g in self.positions.activations]
        lows, highs = [tf.minimum(tf.stack(low), 0.0)], [tf.maximum(tf.stack(high), 0.0)]
        for observed in self._observers:
            further_low, further_high = observed()
            lows.append(further_low)
            highs.append(further_high)
        return _combine(tf.minimum, lows), _combine(tf.maximum, highs)

    def observed_values(self) -> Dict[int, List[tf.Tensor]]:
        """Return the tensors of each activation group whose values :meth:`histogram_updates` counts.

        The lists are those of the quantizers: before that call, items can be replaced.
        """
        return self._observed

    def histogram_updates(self, step: tf.Tensor) -> Dict[str, tf.Tensor]:
        """Return the arrays of running histograms after this batch, that of training step ``step`` (int32 scalar).

        Those of groups whose ``collect`` is off are unchanged, and nothing is computed for them.
        """
        collect, decay = self._state["collect"], self._state["decay"]
        number = len(self.positions.activations)
        columns = [tf.unstack(self._state[name], num=number) for name in HISTOGRAMS]
        parts = zip(self.positions.activations, self.positions.zero_bins, tf.unstack(collect, num=number))
        rows = []
        for (group, zero_bin, is_on), rate, *old in zip(parts, tf.unstack(decay, num=number), *columns):
            off, on = zip(*[switch(part, is_on) for part in old])
            counts, zeros, bound = on
            new = (counts * rate, zeros * rate, bound)
            for x in self._observed[group]:
                new = extended(*new, x, shared_constant(zero_bin, np.int32), step)
            rows.append([merge(pair)[0] for pair in zip(off, new)])
        updated = [tf.stack(column) for column in zip(*rows)]
        for tensor, name in zip(updated, HISTOGRAMS):
            tensor.set_shape(self._state[name].shape)
        return dict(zip(HISTOGRAMS, updated))

    def step_grids(self) -> Tuple[tf.Tensor, tf.Tensor]:
        """Return two float32 arrays with the rows scale, zero point, minimum, maximum.

        The first, ``[4, G]``, has the grids of whole tensors; the second, ``[4, C]``, has those of channels, or zeros
        while no tensor is quantized per channel.
        """
        whole, channels = [
            tf.stack([grid.scale, grid.zero_point, grid.minimum, grid.maximum])
            for grid in (self.grid, self.channel_grid)
        ]
        zeros = switch(tf.zeros([4, self.positions.num_channels]), self._state["any_per_channel"])[0]
        return whole, merge([zeros, channels])[0]

    def map_arrays(self) -> Tuple[tf.Tensor, ...]:
        """Return the arrays by which weights are mapped: factors and thresholds ``[W]``, those of channels ``[C]``."""
        assert self._map_ranges is not None, "only quantizers with methods have maps"
        ranges = self._map_ranges
        return ranges.factors, ranges.thresholds, ranges.channel_thresholds

    def _grids_in_use(self) -> _GridsInUse:
        """Return the grids in use; the first call builds them."""
        if self._in_use is None:
            with tf.control_dependencies(None), tf.name_scope("codes"):
                self._in_use = self._build_grids_in_use()
        return self._in_use

    def _build_grids_in_use(self) -> _GridsInUse:
        tensors = self.plan.tensors
        sizes = [tensor.num_channels for tensor in tensors]
        owner = np.repeat(self.positions.group_of, sizes)
        whole = tf.gather(tf.stack([self.grid.scale, self.grid.zero_point]), owner, axis=1)
        whole.set_shape([2, len(owner)])
        # The weight tensor of each channel, and the channel's position among those of all weight tensors.
        which, position, is_weights = [np.zeros(len(owner), dtype) for dtype in (int, int, bool)]
        starts = np.cumsum([0, *sizes])
        for index, group in enumerate(self.positions.group_of):
            if tensors[index].kind == WEIGHTS:
                own = slice(starts[index], starts[index + 1])
                rank = self.positions.weights.index(group)
                channels = self.positions.channels[rank]
                which[own], position[own], is_weights[own] = rank, np.arange(channels.start, channels.stop), True
        off, on = switch(whole, self._state["any_per_channel"])
        split = tf.gather(tf.stack([self.channel_grid.scale, self.channel_grid.zero_point]), position, axis=1)
        is_split = tf.logical_and(tf.gather(self._state["per_channel"], which), is_weights)
        chosen = merge([off, tf.where(tf.stack([is_split, is_split]), split, on)])[0]
        scale, zero_point = tf.unstack(chosen, num=2)
        scale.set_shape([len(owner)])
        enabled = tf.cast(self._all_enabled, tf.float32)
        of_outputs = [g for g, tensor in zip(self.positions.group_of, tensors) if self.plan.has_outputs(tensor.name)]
        half = tf.cast(self._state["spec"][GridSpec._fields.index("half")], tf.int32)
        whole_zero_points = tf.cast(self.grid.zero_point, tf.int32)
        halves, zero_points, whole_scales = (
            tf.unstack(row, num=len(self.positions.leaders))
            for row in (half, whole_zero_points, self.grid.scale * enabled)
        )
        return _GridsInUse(
            tf.split(scale, sizes),
            tf.split(tf.cast(zero_point, tf.int32), sizes),
            tf.split(scale * tf.gather(enabled, owner), sizes),
            halves,
            zero_points,
            whole_scales,
            tf.reduce_max(tf.gather(half, np.unique(of_outputs))) > 2 ** (NARROW_BITS - 1),
        )

    def _rank(self, weights: str) -> int:
        return self.positions.weights.index(self.positions.group_of[self.plan.index(weights)])

    def _enabled_in(self, modes: Optional[Modes]) -> tf.Tensor:
        enabled = self._state["enabled"]
        if modes is None:
            return enabled
        is_weights = np.array([tensor.kind == WEIGHTS for tensor in self.positions.leaders])
        return tf.logical_and(
            enabled,
            tf.logical_or(tf.logical_and(is_weights, modes.weights), tf.logical_and(~is_weights, modes.activations)),
        )

    def _whole_grids(self) -> Grid:
        held = self._state["hold"]
        mapped = self._map_ranges
        low, high = (self._weight_min, self._weight_max) if mapped is None else (mapped.low, mapped.high)
        low = tf.where(held, self._state["held_min"], low)
        high = tf.where(held, self._state["held_max"], high)
        # Groups are in the plan's order, with weights and activations mixed; the ranges are in two vectors.
        order = np.argsort(self.positions.weights + self.positions.activations)
        low = tf.gather(tf.concat([low, self._state["range_min"]], 0), order)
        high = tf.gather(tf.concat([high, self._state["range_max"]], 0), order)
        spec = GridSpec(*tf.unstack(self._state["spec"], num=len(GridSpec._fields)))
        low, high = _with_fixed_ranges([tensor.fixed_range for tensor in self.positions.leaders], low, high, spec)
        return Grid(*map(tf.stop_gradient, choose_grid(low, high, spec)))

    def _unstacked(self, grid: Grid) -> List[Grid]:
        """Return the grid of each group as scalars."""
        columns = [tf.unstack(field, num=len(self.positions.leaders)) for field in grid]
        return [Grid(*fields) for fields in zip(*columns)]

    def _channel_grids(self) -> Grid:
        """Return the grids of all channels, behind a switch: not computed while no tensor is quantized per channel."""
        wanted = self._state["any_per_channel"]
        sources = [switch(w, wanted)[1] for w in self.sources]
        leaders = [self.positions.leaders[group] for group in self.positions.weights]
        low = tf.concat([_by_channel(tf.raw_ops.Min, w, t) for w, t in zip(sources, leaders)], 0)
        high = tf.concat([_by_channel(tf.raw_ops.Max, w, t) for w, t in zip(sources, leaders)], 0)
        owner = np.repeat(np.arange(len(leaders)), [t.num_channels for t in leaders])
        if self._map_ranges is not None:
            low, high = map_channel_ranges(self._state, self._map_ranges, owner, low, high)
        held = tf.gather(self._state["hold"], owner)
        low = tf.where(held, self._state["held_channel_min"], low)
        high = tf.where(held, self._state["held_channel_max"], high)
        spec = tf.gather(self._state["spec"], np.array(self.positions.weights)[owner], axis=1)
        return Grid(
            *map(tf.stop_gradient, choose_grid(low, high, GridSpec(*tf.unstack(spec, num=len(GridSpec._fields)))))
        )

    def _by_weight_tensor(self, grid: ChannelGrid) -> List[ChannelGrid]:
        """Return the operands of each weight tensor, in shapes that broadcast against its last axes."""
        leaders = [self.positions.leaders[group] for group in self.positions.weights]
        sizes = [tensor.num_channels for tensor in leaders]
        columns = [tf.split(field, sizes) for field in grid]
        return [
            ChannelGrid(*(_shaped(part, tensor.shape[tensor.channel_axis :]) for part in parts))
            for tensor, parts in zip(leaders, zip(*columns))
        ]

    def _quantize_weights(self, x: tf.Tensor, tensor: QuantizedTensor, group: int) -> Quantized:
        which = self.positions.weights.index(group)
        grid, channels, per_channel = self._columns[group], self._channel_columns[which], self._per_channel[which]
        frozen = x
        if self._frozen:
            frozen = with_frozen(x, self._frozen[which], grid.scale, channels.divisor, per_channel)
        form = self._forms.get(group)
        quantized = fake_quantize(
            frozen, grid, self._enabled[group], channel_grid=channels, per_channel=per_channel, rounding=form
        )
        return quantized._replace(source=x)

    def _frozen_weights(self) -> List[Frozen]:
        """Return the frozen levels of each weight tensor; none without methods, or if the state has no such array."""
        if not self.has_methods or FROZEN_LEVELS not in self._state:
            return []
        enabled = tf.gather(self._all_enabled, shared_constant(np.array(self.positions.weights), np.int32))
        are_on = tf.logical_and(self._state["freezes"], enabled)
        shapes = [self.positions.leaders[group].shape for group in self.positions.weights]
        return split_levels(self._state[FROZEN_LEVELS], self._state["any_freezes"], are_on, shapes)

    def _observe(self, x: tf.Tensor, tensor: QuantizedTensor, group: int) -> None:
        assert self._observed_ranges is None, "the ranges of the batch are built already"
        # After a ReLU the minimum is known, which saves a reduction.
        low = shared_constant(0.0) if tensor.nonnegative else tf.raw_ops.Min(input=x, axis=all_axes(x))
        self._observed_min.setdefault(group, []).append(low)
        self._observed_max.setdefault(group, []).append(tf.raw_ops.Max(input=x, axis=all_axes(x)))
        self._observed.setdefault(group, []).append(x)


def averaging_rate(count: tf.Tensor, decay: tf.Tensor, track: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """Return the new count and the rate of a moving average that starts from its first batch.

    ``count' = decay * count + (1 - decay)``, ``average' = average + (batch - average) * (1 - decay) / count'``: the
    zero-debiased average of ``tf.train``'s ``assign_moving_average``, in a form whose decay may change. Where
    ``track`` is 0, the average is frozen.
    """
    new = decay * count + (1.0 - decay)
    return count + (new - count) * track, track * (1.0 - decay) / new


def _with_fixed_ranges(
    functions: Sequence[str], low: tf.Tensor, high: tf.Tensor, spec: GridSpec
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Replace ranges ``[G]`` by those of :func:`qatviz.network.activations.fixed_range` where there is a function."""
    if not any(functions):
        return low, high
    is_fixed = np.array([bool(function) for function in functions])
    least = np.float32([fixed_range(function, 2)[0] if function else 0 for function in functions])
    # The largest code is one quantization step below 1; a symmetric grid reaches from -1.
    steps, extent = 2.0 * spec.half, tf.maximum(1.0 - least, 2.0 * spec.symmetric)
    greatest = 1.0 - extent / steps
    return tf.where(is_fixed, tf.constant(least), low), tf.where(is_fixed, greatest, high)


def _by_channel(reduce: Callable[..., tf.Tensor], weights: tf.Tensor, tensor: QuantizedTensor) -> tf.Tensor:
    """Return the minimum or maximum of each output channel, ``[num_channels]``."""
    axes = shared_constant(np.arange(tensor.channel_axis), np.int32)
    return _shaped(reduce(input=weights, axis=axes), [tensor.num_channels])


def _shaped(x: tf.Tensor, shape: Sequence[int]) -> tf.Tensor:
    shape = list(shape)
    return x if x.shape.as_list() == shape else tf.raw_ops.Reshape(tensor=x, shape=shared_constant(shape, np.int32))


def _combine(operation: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], tensors: List[tf.Tensor]) -> tf.Tensor:
    result = tensors[0]
    for tensor in tensors[1:]:
        result = operation(result, tensor)
    return result
