"""State of a network's quantizers as arrays: their settings, and the observed ranges.

NumPy only: the trainer computes these arrays from settings, and the graph (:mod:`qatviz.quant.live`) only reads them,
so that a change of any setting is an assignment of a few short vectors.

Names of arrays (``G`` groups, ``W`` weight tensors, ``A`` activation groups, ``C`` channels of all weights together):

======================  ==========  ==================================================================================
``spec``                f32 [5, G]  rows of :class:`qatviz.quant.grid.GridSpec`
``enabled``             bool [G]    the quantizer is on at this training step
``per_channel``         bool [W]
``any_per_channel``     bool []     channel grids are needed
``hold``                bool [W]    use the held range instead of the tensor's current one
``decay``               f32 [A]     decay of the moving average
``track``               f32 [A]     1: the range is updated; 0: it is frozen
``widen``               bool [A]    the range is only widened, to the extremes of each batch, instead of averaged
``collect``             bool [A]    the values are counted in the running histogram
``range_min``/``_max``  f32 [A]     range in use: moving averages, extremes so far, or found in the running histogram
``range_count``         f32 [A]     weight of the batches in the average, 0..1 (:func:`.live.averaging_rate`)
``held_min``/``_max``   f32 [W]     held range: found by percentile or MSE, or frozen
``held_channel_*``      f32 [C]     the same for each channel
``histogram``           f32 [A, B]  counts of :class:`qatviz.quant.running_histogram.RunningHistogram`
``histogram_zeros``     f32 [A]     the number of zeros
``histogram_bound``     f32 [A]     the upper edge; 0 while it is empty
======================  ==========  ==================================================================================

The arrays of oscillating and frozen weights are those of :mod:`qatviz.quant.oscillation`.

A running histogram is empty while another range method is in use. A checkpoint has the three arrays of histograms only
while a group uses such a method, so that other checkpoints are small; those of version 0.1.0 lack them.
"""

from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from qatviz.network.plan import QuantizationPlan, QuantizedTensor
from qatviz.quant import oscillation
from qatviz.quant.affine import code_bounds
from qatviz.quant.histogram_ranges import NUM_BINS, Histogram
from qatviz.settings import EXTREMES, FROZEN, HISTOGRAM_METHODS, MIN_MAX, WEIGHTS, QuantizerSettings, RunSettings

#: Names of the arrays of held ranges of weights.
HELD = ("held_min", "held_max", "held_channel_min", "held_channel_max")
#: Names of the arrays of running histograms, and of the ranges of activations, which can be found in them.
HISTOGRAMS = ("histogram", "histogram_zeros", "histogram_bound")
RANGES = ("range_min", "range_max")
#: Names of the arrays that only training reads.
TRAINING_ONLY = ("collect", *HISTOGRAMS, *oscillation.TRAINING_ONLY, *oscillation.TRACKED_STATE)


class Layout(NamedTuple):
    """Positions of each tensor of a plan in the arrays above.

    ``group_of[t]`` is the group of tensor ``t``; ``weights`` and ``activations`` are the groups of each kind, in order;
    ``channels`` has the slice of the channel arrays for each weight tensor.
    """

    group_of: Tuple[int, ...]
    weights: Tuple[int, ...]
    activations: Tuple[int, ...]
    channels: Tuple[slice, ...]
    leaders: Tuple[QuantizedTensor, ...]  # the first tensor of each group
    zero_bins: Tuple[int, ...]  # of the histogram of each group of activations

    @property
    def num_channels(self) -> int:
        return int(self.channels[-1].stop) if self.channels else 0


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


def untracked(positions: Layout) -> Dict[str, np.ndarray]:
    """Return the arrays of :data:`qatviz.quant.oscillation.STATE` of weights that have not been tracked."""
    return oscillation.empty_state(sum(oscillation.sizes([positions.leaders[g] for g in positions.weights])))


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
    return {
        "spec": np.array([_spec_row(s) for s in settings], np.float32).T,
        "enabled": np.array([s.is_active(step) for s in settings], bool),
        "per_channel": per_channel,
        "any_per_channel": np.array(per_channel.any()),
        "hold": np.array([run.freeze_ranges or s.range_method != MIN_MAX for s in weights], bool),
        "decay": np.array([s.ema_decay for s in activations], np.float32),
        "track": np.array(
            [not run.freeze_ranges and s.range_method not in (FROZEN, *HISTOGRAM_METHODS) for s in activations],
            np.float32,
        ),
        "collect": uses_histogram(positions, settings) & (not run.freeze_ranges),
        "widen": np.array([not run.freeze_ranges and s.range_method == EXTREMES for s in activations], bool),
        **oscillation.settings_arrays(weights, run, step),
    }


def next_switch_on(settings: Sequence[QuantizerSettings], step: int) -> int:
    """Return the next training step after ``step`` at which a delayed quantizer switches on; -1 if there is none."""
    later = [s.quant_delay for s in settings if s.is_delayed(step)]
    return min(later) if later else -1


def _spec_row(s: QuantizerSettings) -> List[float]:
    """Return the fields of :class:`qatviz.quant.grid.GridSpec`, whose codes are unsigned."""
    half = 2 ** (s.num_bits - 1)
    low, high = code_bounds(s.num_bits, s.narrow_range)
    return [low + half, high + half, half, s.symmetric, s.power_of_two]
