"""Oscillation of weights: its measure, dampening, and iterative freezing, in NumPy; the reference of the graph.

A weight next to the tie between two levels is pushed over it by the straight-through gradient at nearly every step:
it oscillates, and keeps the network from converging at few bits. Source: Nagel et al., "Overcoming Oscillations in
Quantization-Aware Training", ICML 2022 (arXiv:2203.11086), and the authors' code.

Let ``q(t)`` be the level of a weight, its code minus the zero point, so that a moving zero point does not count as a
change; ``d`` is the sign of the last change of level.

======================  ===============================================================================================
reversal                ``o(t) = 1`` if ``q(t) != q(t-1)`` and ``sign(q(t) - q(t-1)) = -d``, else 0
frequency               ``f(t) = m o(t) + (1 - m) f(t-1)``, with ``m = 0.01``; the weight oscillates if ``f > 0.005``
average                 ``a(t) = m q(t) + (1 - m) a(t-1)``
freezing                where ``f(t) > threshold``, the level is ``floor(a(t-1) + 0.5)`` from the next step on
dampening               ``strength * sum((w_hat - clip(w))**2)`` is added to the loss, with ``w_hat``, the quantized
                        weights, as constants: a gradient of ``2 strength (clip(w) - w_hat)`` where ``w`` is in range
======================  ===============================================================================================

A frozen weight has no gradient and keeps its level while the scale changes. Its float value is set to the value of the
level, so that evaluations in float and exports have the value that the quantized network has. It is lifted when the
threshold is set to 0, when a setting that defines the grid changes (bits, range method, …), because a level has another
value there, and when a correction (:mod:`qatviz.correction`) changes the weights of its tensor.
Weights with a map (:mod:`qatviz.quant.weight_maps`) are neither dampened nor frozen.

Arrays of the state (``N`` weights of all weight tensors, one tensor after the other), which a checkpoint has only while
a tensor is tracked:

==========================  =========  ================================================================================
``oscillation_level``       int32 [N]  level at the last step; :data:`NO_LEVEL` before the first
``oscillation_direction``   int32 [N]  sign of its last change; 0 before the first
``oscillation_frequency``   f32 [N]    moving average of the reversals
``oscillation_average``     f32 [N]    moving average of the level
``frozen_levels``           int32 [N]  level of a frozen weight; :data:`NO_LEVEL` if it is not frozen
==========================  =========  ================================================================================

Arrays of the settings (``W`` weight tensors): ``tracked``, ``freezes`` (bool [W]), ``any_freezes`` (bool []),
``freeze_threshold``, ``dampening`` (f32 [W]) and ``oscillation_ramps`` (f32 [4]: kinds of the ramps of dampening and
threshold, start of the threshold, period).
"""

from typing import Dict, List, Mapping, NamedTuple, Sequence

import numpy as np

from qatviz.network.layer import element_count
from qatviz.network.plan import QuantizedTensor
from qatviz.oscillation_settings import RAMPS, ramp
from qatviz.settings import NO_MAP, QuantizerSettings, RunSettings

#: Weight of the newest step in the moving averages (Nagel et al. 2022, 3.2).
MOMENTUM = 0.01
#: Level of a weight that has none yet, or is not frozen.
NO_LEVEL = int(np.iinfo(np.int32).min)
#: Array that quantizers read; arrays that only training reads; all arrays of the state.
FROZEN_LEVELS = "frozen_levels"
TRACKED_STATE = ("oscillation_level", "oscillation_direction", "oscillation_frequency", "oscillation_average")
STATE = (*TRACKED_STATE, FROZEN_LEVELS)
#: Arrays of settings that only training reads.
TRAINING_ONLY = ("tracked", "freeze_threshold", "dampening", "oscillation_ramps")
#: Settings of a tensor that do not define its grid: a change of any other one lifts its frozen weights.
_NOT_OF_GRID = (
    "ema_decay",
    "quant_delay",
    "trainable",
    "stochastic_rounding",
    "gradient_scaling",
    "dampening",
    "freeze_threshold",
)

Arrays = Dict[str, np.ndarray]


class Tracking(NamedTuple):
    """State of weights: the arrays of :data:`STATE`, all of one shape; ``frozen`` are the frozen levels."""

    level: np.ndarray
    direction: np.ndarray
    frequency: np.ndarray
    average: np.ndarray
    frozen: np.ndarray


def tracked(state: Tracking, level: np.ndarray, threshold: float = np.inf) -> Tracking:
    """Return the state after a training step with the levels ``level``; see the module's docstring.

    Parameters
    ----------
    state : Tracking
        State before the step.
    level : np.ndarray
        int32: codes minus zero points of the quantized weights in the step.
    threshold : float
        Frequency above which weights are frozen.
    """
    one, momentum = np.float32(1), np.float32(MOMENTUM)
    is_new = state.level == NO_LEVEL
    sign = np.where(is_new, 0, np.sign(level - np.where(is_new, level, state.level))).astype(np.int32)
    reversed_ = (sign * state.direction == -1).astype(np.float32)
    frequency = momentum * reversed_ + (one - momentum) * state.frequency
    average = momentum * level.astype(np.float32) + (one - momentum) * state.average
    freezes = (frequency > threshold) & (state.frozen == NO_LEVEL)
    return Tracking(
        level.astype(np.int32),
        np.where(sign != 0, sign, state.direction),
        frequency,
        np.where(is_new, level.astype(np.float32), average),
        np.where(freezes, _rounded(state.average), state.frozen),
    )


def dampening_gradient(weights: np.ndarray, quantized: np.ndarray, clipped: np.ndarray, strength: float) -> np.ndarray:
    """Return the gradient of ``strength * sum((quantized - clipped)**2)`` with respect to ``weights``, float32.

    ``quantized`` is a constant, and a weight that is clipped has no gradient.
    """
    inside = weights == clipped
    return np.where(inside, 2 * np.float32(strength) * (clipped - quantized), 0).astype(np.float32)


def threshold_at(final: float, run: RunSettings, step: int) -> float:
    """Return the freezing threshold of the training step ``step``, numbered from 0; ``final``: that after the ramp."""
    return run.freeze_start + (final - run.freeze_start) * ramp(run.freeze_schedule, step, run.oscillation_period)


def settings_arrays(weights: Sequence[QuantizerSettings], run: RunSettings, step: int) -> Arrays:
    """Return the arrays of settings for the ``weights`` tensors after ``step`` training steps."""
    freezes = np.array([_freezes(s, step) for s in weights], bool)
    kinds = list(RAMPS)
    return {
        "tracked": np.array([is_tracked(s, run, step) for s in weights], bool),
        "freezes": freezes,
        "any_freezes": np.array(freezes.any()),
        "freeze_threshold": np.array([s.freeze_threshold for s in weights], np.float32),
        "dampening": np.array([s.dampening if _is_steadied(s, step) else 0.0 for s in weights], np.float32),
        "oscillation_ramps": np.array(
            [
                kinds.index(run.dampening_schedule),
                kinds.index(run.freeze_schedule),
                run.freeze_start,
                run.oscillation_period,
            ],
            np.float32,
        ),
    }


def is_tracked(settings: QuantizerSettings, run: RunSettings, step: int) -> bool:
    """Return whether the weights of a tensor are tracked after ``step`` training steps."""
    wanted = run.track_oscillation or settings.dampening > 0 or settings.freeze_threshold > 0
    return wanted and settings.is_active(step)


def sizes(leaders: Sequence[QuantizedTensor]) -> List[int]:
    """Return the number of weights of each weight tensor."""
    return [element_count(tensor.shape) for tensor in leaders]


def empty_state(number: int) -> Arrays:
    """Return the arrays of the state of ``number`` weights that have not been tracked."""
    return {
        name: np.full(number, NO_LEVEL if "level" in name else 0, np.float32 if _is_float(name) else np.int32)
        for name in STATE
    }


def is_affected(
    old: Sequence[QuantizerSettings], new: Sequence[QuantizerSettings], runs: Sequence[RunSettings]
) -> bool:
    """Return whether :func:`adopted` may change the state when ``new`` settings of weight tensors replace ``old``.

    ``runs`` are the settings of the run before and after the change.
    """
    if old == new and runs[0] == runs[1]:
        return False
    return any(
        r.track_oscillation or s.dampening or s.freeze_threshold for r, all_ in zip(runs, (old, new)) for s in all_
    )


def adopted(
    counts: Sequence[int],
    old: Sequence[QuantizerSettings],
    new: Sequence[QuantizerSettings],
    runs: Sequence[RunSettings],
    step: int,
    arrays: Mapping[str, np.ndarray],
) -> Arrays:
    """Return the arrays of the state when ``new`` settings of weight tensors replace ``old``.

    Levels that were tracked on another grid, or are no longer tracked, are forgotten; frozen weights are lifted where
    the grid changes or the threshold is 0; weights that reverse more often than the threshold are frozen at once.

    Parameters
    ----------
    counts : sequence of int
        Number of weights of each tensor.
    old, new : sequence of QuantizerSettings
        Settings of each tensor before and after the change.
    runs : sequence of RunSettings
        The settings of the run before and after the change.
    step : int
        Number of training steps complete.
    arrays : mapping
        The present arrays of :data:`STATE`, which are not changed.
    """
    kept = [
        _grid_settings(before) == _grid_settings(after)
        and is_tracked(before, runs[0], step)
        and is_tracked(after, runs[1], step)
        for before, after in zip(old, new)
    ]
    result = forgotten(counts, [not is_kept for is_kept in kept], arrays)
    start = 0
    for count, after in zip(counts, new):
        part = slice(start, start + count)
        start += count
        if not _freezes(after, step):
            result[FROZEN_LEVELS][part] = NO_LEVEL
            continue
        frozen = result[FROZEN_LEVELS][part]
        exceeds = result["oscillation_frequency"][part] > threshold_at(after.freeze_threshold, runs[1], step)
        exceeds &= frozen == NO_LEVEL
        frozen[exceeds] = _rounded(result["oscillation_average"][part][exceeds])
    return result


def forgotten(counts: Sequence[int], which: Sequence[bool], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Return the arrays of the state in which some weight tensors have no tracked levels and no frozen weights.

    Parameters
    ----------
    counts : sequence of int
        Number of weights of each tensor.
    which : sequence of bool
        For each tensor, True to forget its levels and to lift its frozen weights.
    arrays : mapping
        The present arrays of :data:`STATE`, which are not changed.
    """
    is_forgotten = np.repeat(np.asarray(which, bool), counts)
    empty = empty_state(len(is_forgotten))
    return {name: np.where(is_forgotten, empty[name], arrays[name]) for name in STATE}


def _freezes(settings: QuantizerSettings, step: int) -> bool:
    """Return whether oscillating weights of a tensor are frozen after ``step`` training steps."""
    return settings.freeze_threshold > 0 and _is_steadied(settings, step)


def _is_steadied(settings: QuantizerSettings, step: int) -> bool:
    """Return whether weights can be dampened and frozen: they are quantized, and have no map."""
    return settings.is_active(step) and settings.effective_map == NO_MAP


def _rounded(average: np.ndarray) -> np.ndarray:
    """Return the nearest levels of averages, int32; ties are rounded up."""
    return np.floor(average + np.float32(0.5)).astype(np.int32)


def _is_float(name: str) -> bool:
    return name in ("oscillation_frequency", "oscillation_average")


def _grid_settings(settings: QuantizerSettings) -> Dict[str, object]:
    """Return the settings that define the grid of a tensor, by name."""
    return {name: value for name, value in settings.to_dict().items() if name not in _NOT_OF_GRID}
