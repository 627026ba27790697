"""State of a network's quantizers as arrays: their settings, and the observed ranges.

NumPy only: the trainer computes these arrays from settings, and the graph (:mod:`qatviz.quant.live`) only reads them,
so that a change of any setting is an assignment of a few short vectors.

Names of arrays (``G`` groups, ``W`` weight tensors, ``A`` activation groups, ``C`` channels of all weights together):

======================  ==========  ==================================================================================
``spec``                f32 [5, G]  rows of :class:`qatviz.quant.grid.GridSpec`
``enabled``             bool [G]    the quantizer is on at this training step
``per_channel``         bool [W]    the tensor has a scale for each output channel
``any_per_channel``     bool []     channel grids are needed
``hold``                bool [W]    use the held range instead of the tensor's current one
``decay``               f32 [A]     decay of the moving average
``track``               f32 [A]     1: the range follows the extremes of batches; 0: it does not
``widen``               bool [A]    the range is widened to the extremes of each batch, instead of averaged
``map``                 i32 [W]     map of weights: index in :data:`qatviz.quant.weight_maps.MAPS`
``any_map``             bool []     a tensor has a map
``stochastic``          bool [W]    training rounds stochastically
``gradient_scaling``    f32 [G]     factor of EWGS
``general``             bool [G]    the general form of :mod:`qatviz.quant.gradients` is needed
``collect``             bool [A]    the values are counted in the running histogram
``round_biases``        bool []     training rounds biases: :mod:`qatviz.quant.bias_grid`
``learn``               bool [3, K] the range is learned, by the method of the row (:data:`LEARNED_METHODS`)
``range_min``/``_max``  f32 [A]     range in use: moving averages, extremes so far, or found in the running histogram
``range_count``         f32 [A]     weight of the batches in the average, 0..1 (:func:`.live.averaging_rate`)
``held_min``/``_max``   f32 [W]     held range: found by percentile or MSE, or frozen
``held_channel_*``      f32 [C]     the same for each channel
``histogram``           f32 [A, B]  counts of :class:`qatviz.quant.running_histogram.RunningHistogram`
``histogram_zeros``     f32 [A]     the number of zeros
``histogram_bound``     f32 [A]     the upper edge; 0 while it is empty
``learned_moments``     f32         optimizer state of learned ranges: :mod:`qatviz.quant.learned`
                        [2, 2, K]
``learned_count``       f32 [K]     number of training steps for which a range has been learned
======================  ==========  ==================================================================================

``K`` is the number of ranges that can be learned: those of ``W`` weight tensors as a whole, of ``C`` channels and of
``A`` activation groups, in this order. The arrays of oscillating and frozen weights are those of
:mod:`qatviz.quant.oscillation`.

A running histogram is empty while another range method is in use. A checkpoint has the three arrays of histograms only
while a group uses such a method, so that other checkpoints are small; those of version 0.1.0 lack them. The same holds
for the two arrays of learned ranges.
"""

from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from qatviz.network.plan import QuantizationPlan, QuantizedTensor
from qatviz.quant import oscillation
from qatviz.quant.affine import code_bounds
from qatviz.quant.histogram_ranges import NUM_BINS, Histogram
from qatviz.quant.weight_maps import MAPS
from qatviz.settings import (
    EXTREMES,
    FROZEN,
    HISTOGRAM_METHODS,
    LEARNED,
    LEARNED_METHODS,
    LEARNED_RANGE,
    MIN_MAX,
    NO_MAP,
    WEIGHTS,
    QuantizerSettings,
    RunSettings,
)

#: Range methods of activations whose range does not follow the extremes of batches.
_NOT_TRACKED = (FROZEN, *HISTOGRAM_METHODS, *LEARNED_METHODS)
#: Names of the arrays of held ranges of weights.
HELD = ("held_min", "held_max", "held_channel_min", "held_channel_max")
#: Names of the arrays of running histograms, and of the ranges of activations, which some methods find in histograms.
HISTOGRAMS = ("histogram", "histogram_zeros", "histogram_bound")
RANGES = ("range_min", "range_max")
#: Names of the arrays of the optimizer state of learned ranges.
LEARNED_STATE = ("learned_moments", "learned_count")
#: Arrays that a checkpoint has only while the settings of a group need them.
OPTIONAL = (HISTOGRAMS, LEARNED_STATE, oscillation.STATE)
#: Names of the arrays that only training reads.
TRAINING_ONLY = (
    "collect",
    "learn",
    *HISTOGRAMS,
    *LEARNED_STATE,
    *oscillation.TRAINING_ONLY,
    *oscillation.TRACKED_STATE,
)


class Layout(NamedTuple):
    """Positions of each tensor of a plan in the arrays of the module's docstring.

    ``group_of[t]`` is the group of tensor ``t``; ``weights`` and ``activations`` are the groups of each kind, in order;
    ``channels`` has the slice of the channel arrays for each weight tensor.
    """

    group_of: Tuple[int, ...]
    weights: Tuple[int, ...]
    activations: Tuple[int, ...]
    channels: Tuple[slice, ...]
    leaders: Tuple[QuantizedTensor, ...]  # the first tensor of each group
    zero_bins: Tuple[int, ...]  # the bin of each activation group's histogram that begins at 0

    @property
    def num_channels(self) -> int:
        return int(self.channels[-1].stop) if self.channels else 0

    @property
    def num_learned(self) -> int:
        return len(self.weights) + self.num_channels + len(self.activations)

    def learned_at(self, group: int, per_channel: bool = False) -> slice:
        """Return the positions of a group's range among those that can be learned.

        ``per_channel``: those of the ranges of its channels, if it has weights.
        """
        if group not in self.weights:
            start = len(self.weights) + self.num_channels + self.activations.index(group)
        elif per_channel:
            channels, first = self.channels[self.weights.index(group)], len(self.weights)
            return slice(first + channels.start, first + channels.stop)
        else:
            start = self.weights.index(group)
        return slice(start, start + 1)


def layout(plan: QuantizationPlan) -> Layout:
    """Return the :class:`Layout` of a plan."""
    group_of = [0] * len(plan.tensors)
    for group, members in enumerate(plan.groups):
        for index in members:
            group_of[index] = group
    leaders = tuple(plan.tensors[members[0]] for members in plan.groups)
    weights = tuple(g for g, tensor in enumerate(leaders) if tensor.kind == WEIGHTS)
    activations = tuple(g for g, tensor in enumerate(leaders) if tensor.kind != WEIGHTS)
    channels, start = [], 0
    for group in weights:
        channels.append(slice(start, start + leaders[group].num_channels))
        start = channels[-1].stop
    zero_bins = [
        0 if all(plan.tensors[index].nonnegative for index in plan.groups[group]) else NUM_BINS // 2
        for group in activations
    ]
    return Layout(tuple(group_of), weights, activations, tuple(channels), leaders, tuple(zero_bins))


def initial_ranges(positions: Layout) -> Dict[str, np.ndarray]:
    """Return the ranges before any batch was observed; they are part of a checkpoint."""
    shapes = {
        "range_min": len(positions.activations),
        "range_max": len(positions.activations),
        "range_count": len(positions.activations),
        "held_min": len(positions.weights),
        "held_max": len(positions.weights),
        "held_channel_min": positions.num_channels,
        "held_channel_max": positions.num_channels,
    }
    return {name: np.zeros(size, np.float32) for name, size in shapes.items()}


def empty_histograms(positions: Layout) -> Dict[str, np.ndarray]:
    """Return the arrays of running histograms without values."""
    number = len(positions.activations)
    return dict(zip(HISTOGRAMS, (np.zeros([number, NUM_BINS], np.float32), *np.zeros([2, number], np.float32))))


def empty_learned(positions: Layout) -> Dict[str, np.ndarray]:
    """Return the optimizer state of learned ranges before the first training step."""
    number = positions.num_learned
    return dict(zip(LEARNED_STATE, (np.zeros([2, 2, number], np.float32), np.zeros(number, np.float32))))


def learns(positions: Layout, settings: Sequence[QuantizerSettings]) -> np.ndarray:
    """Return whether the settings of each group choose a learned range, bool ``[G]``.

    A fixed range is not learned, nor is that of weights with a map.
    """
    return np.array(
        [
            s.range_method in LEARNED_METHODS and not t.fixed_range and s.effective_map == NO_MAP
            for s, t in zip(settings, positions.leaders)
        ],
        bool,
    )


def untracked(positions: Layout) -> Dict[str, np.ndarray]:
    """Return the arrays of :data:`qatviz.quant.oscillation.STATE` of weights that have not been tracked."""
    return oscillation.empty_state(sum(oscillation.sizes([positions.leaders[g] for g in positions.weights])))


def empty_optional(positions: Layout) -> Dict[str, np.ndarray]:
    """Return the initial values of all arrays of :data:`OPTIONAL`."""
    return {**empty_histograms(positions), **empty_learned(positions), **untracked(positions)}


def optional_arrays(
    positions: Layout, settings: Sequence[QuantizerSettings], run: RunSettings, step: int
) -> Tuple[str, ...]:
    """Return the names of the arrays of :data:`OPTIONAL` that the settings need after ``step`` training steps."""
    is_tracked = [oscillation.is_tracked(settings[group], run, step) for group in positions.weights]
    needed = (uses_histogram(positions, settings).any(), learns(positions, settings).any(), any(is_tracked))
    return tuple(name for names, is_needed in zip(OPTIONAL, needed) if is_needed for name in names)


def histogram_at(positions: Layout, arrays: Mapping[str, np.ndarray], rank: int) -> Histogram:
    """Return the running histogram of an activation group: row ``rank`` of ``arrays``, as in ``activations``."""
    counts, zeros, bound = [arrays[name][rank] for name in HISTOGRAMS]
    return Histogram(counts.astype(np.float64), float(zeros), float(bound), positions.zero_bins[rank])


def uses_histogram(positions: Layout, settings: Sequence[QuantizerSettings]) -> np.ndarray:
    """Return whether the range of each activation group is found in its running histogram, bool ``[A]``."""
    return np.array([settings[group].range_method in HISTOGRAM_METHODS for group in positions.activations], bool)


def settings_arrays(
    positions: Layout, settings: Sequence[QuantizerSettings], run: RunSettings, step: int
) -> Dict[str, np.ndarray]:
    """Return the arrays for ``settings`` (one for each group, in order) after ``step`` training steps."""
    weights = [settings[group] for group in positions.weights]
    activations = [settings[group] for group in positions.activations]
    per_channel = np.array([s.per_channel for s in weights], bool)
    maps = np.array([MAPS.index(s.effective_map) for s in weights], np.int32)
    return {
        "spec": np.array([_spec_row(s) for s in settings], np.float32).T,
        "enabled": np.array([s.is_active(step) for s in settings], bool),
        "per_channel": per_channel,
        "any_per_channel": np.array(per_channel.any()),
        "hold": np.array(
            [not s.has_coded_map and (run.freeze_ranges or s.range_method != MIN_MAX) for s in weights], bool
        ),
        "map": maps,
        "any_map": np.array(maps.any()),
        "stochastic": np.array([s.stochastic_rounding for s in weights], bool),
        "gradient_scaling": np.array([s.gradient_scaling for s in settings], np.float32),
        "general": np.array(
            [s.effective_map != NO_MAP or s.stochastic_rounding or s.gradient_scaling > 0 for s in settings], bool
        ),
        "decay": np.array([s.ema_decay for s in activations], np.float32),
        "track": np.array(
            [not run.freeze_ranges and s.range_method not in _NOT_TRACKED for s in activations],
            np.float32,
        ),
        "collect": uses_histogram(positions, settings) & (not run.freeze_ranges),
        "widen": np.array([not run.freeze_ranges and s.range_method == EXTREMES for s in activations], bool),
        "round_biases": np.array(run.round_biases),
        "learn": _learn_rows(positions, settings, run, step),
        **oscillation.settings_arrays(weights, run, step),
    }


def _learn_rows(positions: Layout, settings: Sequence[QuantizerSettings], run: RunSettings, step: int) -> np.ndarray:
    """Return the array ``learn``; of weights, either the range of the whole tensor or those of its channels."""
    rows = np.zeros([len(LEARNED_METHODS), positions.num_learned], bool)
    if run.freeze_ranges:
        return rows
    for group in np.flatnonzero(learns(positions, settings)):
        own, is_weights = settings[group], positions.leaders[group].kind == WEIGHTS
        if own.is_active(step) and (own.trainable or not is_weights):
            # The offset of a symmetric grid is 0, so that only the scale is left to learn.
            is_scale = own.range_method == LEARNED_RANGE and own.symmetric
            method = LEARNED if is_scale else own.range_method
            rows[LEARNED_METHODS.index(method), positions.learned_at(group, own.per_channel)] = True
    return rows


def next_switch_on(settings: Sequence[QuantizerSettings], step: int) -> int:
    """Return the next training step after ``step`` at which a delayed quantizer switches on; -1 if there is none."""
    later = [s.quant_delay for s in settings if s.is_delayed(step)]
    return min(later) if later else -1


def _spec_row(s: QuantizerSettings) -> List[float]:
    """Return the fields of :class:`qatviz.quant.grid.GridSpec`, whose codes are unsigned."""
    s = s.on_grid()
    half = 2 ** (s.num_bits - 1)
    low, high = code_bounds(s.num_bits, s.narrow_range)
    return [low + half, high + half, half, s.symmetric, s.power_of_two]
