"""Measurements of the training thread: immutable records with read-only arrays."""

import math
from dataclasses import dataclass, field
from typing import Dict, FrozenSet, Optional, Tuple

import numpy as np

from qatviz.protocol.branches import UNPLACED, BranchPoint

#: Measures of every quantized tensor that both a training step and a snapshot have. ``scale`` and ``zero_point`` of a
#: per-channel tensor are those of its coarsest (largest-scale) channel.
TENSOR_MEASURES = (
    "scale",
    "zero_point",
    "range_min",
    "range_max",
    "mse",
    "mse_clipping",
    "mse_rounding",
    "sqnr_db",
    "rmse_over_scale",
    "clipped",
    "flushed",
)
#: Standard errors of measures that a training step estimates on a sample; 0 where all values of the tensor are
#: measured, NaN where unknown.
STANDARD_ERRORS = ("mse_error", "sqnr_db_error")
#: Number of values of each tensor from which a training step's measures are computed: all of a smaller tensor, of a
#: larger one a fixed sample.
STEP_SAMPLE = 4096
#: Measure of training steps only: gradient of the loss with respect to a learned scale, or to the upper end of a
#: learned clip; the mean over the channels of a per-channel tensor, NaN without a learned range.
SCALE_GRADIENT = "scale_gradient"
#: Rows of ``StepRecord.values``.
STEP_MEASURES = (*TENSOR_MEASURES, *STANDARD_ERRORS, SCALE_GRADIENT)
#: Numbers of rows in records of older versions, which lack the last of the :data:`STEP_MEASURES`.
OLDER_ROWS = (len(TENSOR_MEASURES), len(TENSOR_MEASURES) + len(STANDARD_ERRORS))
#: The rows of the grid in use, which are known at each step, and those of errors. Errors are exact for tensors of up to
#: :data:`STEP_SAMPLE` values, and estimates for larger ones. A network whose steps are short measures them at every few
#: steps only (see :func:`qatviz.training.step_measures.measure_interval`); they are NaN at the others.
GRID_MEASURES, ERROR_MEASURES = STEP_MEASURES[:4], STEP_MEASURES[4:]
#: Rows of ``Snapshot.values``, all exact: those of the first version, then those that records of it lack.
FIRST_SNAPSHOT_MEASURES = (*TENSOR_MEASURES, "used_codes", "effective_bits", "flip_rate")
SNAPSHOT_MEASURES = (*FIRST_SNAPSHOT_MEASURES, "oscillating", "frozen_weights")

#: Largest number of distinct values that is reported: more are "many".
MOST_DISTINCT = 256
#: Largest age of the newest snapshot of a running run in seconds, for networks of few tensors and of many.
OLDEST_S, OLDEST_MANY_S = 2.0, 5.0
#: Number of tensors from which a network has many.
MANY_TENSORS = 40
#: Number of training steps in each of the first ten phases of a run; a later phase is as long as a tenth of the run
#: before it.
PHASE_STEPS = 100


def oldest_age_s(num_tensors: int) -> float:
    """Return the largest age of the newest snapshot of a running run in seconds."""
    return OLDEST_MANY_S if num_tensors >= MANY_TENSORS else OLDEST_S


def phase(step: int) -> int:
    """Return the index, from 0, of the phase that ``step`` belongs to.

    At least one snapshot of each phase is taken and kept, so that they cover the whole run.

    >>> [phase(step) for step in (0, 99, 100, 999, 1000, 1100, 10**4, 10**6)]
    [0, 0, 1, 9, 10, 11, 34, 82]
    """
    if step < 10 * PHASE_STEPS:
        return step // PHASE_STEPS
    return 10 + int(math.log(step / (10 * PHASE_STEPS)) / math.log(1.1) + 1e-9)


def longest_gap(step: int) -> int:
    """Return the number of training steps since the last snapshot after which another is due at ``step``.

    With this gap, each phase (:func:`phase`) has a snapshot, however short the steps are.
    """
    return max(PHASE_STEPS, step // 11)  # after a snapshot at step 1000, one at 1100: the end of a phase


def read_only(array: np.ndarray) -> np.ndarray:
    """Make ``array`` read-only, so that threads can share it, and return it."""
    array.setflags(write=False)
    return array


def evenly_spaced_edges(outer: np.ndarray, bins: int) -> np.ndarray:
    """Return the edges of a histogram's bins of equal width, float32 ``[bins + 1]``, from the two outer ones.

    They are the same bits on every machine: windows compute them from the outer edges that they receive.
    """
    low, high = np.asarray(outer, np.float64).tolist()
    edges = np.arange(bins + 1, dtype=np.float64) * ((high - low) / max(bins, 1)) + low
    edges[-1] = high
    return edges.astype(np.float32)


#: Losses of several outputs in a training step of a network with one output.
NO_LOSSES = read_only(np.zeros(0, np.float32))


@dataclass(frozen=True)
class StepRecord:
    """Measurements of one training step.

    Attributes
    ----------
    step : int
        Number of training steps complete, including this one.
    seconds : float
        Training time of the run so far, without pauses.
    loss, learning_rate : float
    values : np.ndarray
        float32 ``[len(STEP_MEASURES), num_tensors]``, columns in the order of the quantization plan. Rows 0..3 are
        the quantization in effect at this step; the others are measured on its tensors.
    losses : np.ndarray
        float32 ``[outputs]``: loss of each of several outputs; empty for one output, or if they were not measured.
    """

    step: int
    seconds: float
    loss: float
    learning_rate: float
    values: np.ndarray
    losses: np.ndarray = field(default_factory=lambda: NO_LOSSES)


@dataclass(frozen=True)
class TensorHistogram:
    """Distribution of one quantized tensor at one step.

    ``code_counts`` include all measured values; the other counts of a large tensor include evenly spaced ones only.

    Attributes
    ----------
    edges : np.ndarray
        float32 ``[n_bins + 1]``: edges of the bins of both the float and the quantized counts.
    float_counts, quantized_counts : np.ndarray
        int64 ``[n_bins]``: number of values before and after quantization.
    code_min : int
        Integer code of the first entry of ``code_counts``.
    code_counts : np.ndarray or None
        int64 ``[n_codes]``; None above 8 bits or if the quantizer is off.
    channel_min, channel_max : np.ndarray
        float32: range of the float values, ``[num_channels]`` for weights, ``[1]`` for activations.
    scale, zero_point : np.ndarray
        float32 and int32, ``[num_channels]`` if quantized per channel, else ``[1]``.
    frozen_counts : np.ndarray or None
        int64 ``[n_codes]``: number of frozen weights in ``code_counts``; None if the tensor has none.
    frozen_bins : np.ndarray or None
        int64 ``[n_bins]``: number of frozen weights in ``quantized_counts``; None if the tensor has none.
    size : int
        Number of measured values; 0 if unknown (in records of 0.1.0).
    zeros : int or None
        Number of measured values that are 0; None in records of older versions.
    distinct : int or None
        Number of distinct measured values; None if there are more than :data:`MOST_DISTINCT`, or in records of older
        versions.
    """

    edges: np.ndarray
    float_counts: np.ndarray
    quantized_counts: np.ndarray
    code_min: int
    code_counts: Optional[np.ndarray]
    channel_min: np.ndarray
    channel_max: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray
    size: int = 0
    zeros: Optional[int] = None
    distinct: Optional[int] = None
    frozen_counts: Optional[np.ndarray] = None
    frozen_bins: Optional[np.ndarray] = None

    @property
    def sample(self) -> Optional[int]:
        """Number of values in the histograms if they are of a sample; None if they are of all measured values."""
        counted = int(self.float_counts.sum())
        return counted if counted < self.size else None

    @property
    def count(self) -> int:
        """Number of measured values, as far as known."""
        return self.size or int(self.float_counts.sum())


@dataclass(frozen=True)
class TensorValues:
    """Values of one tensor before quantization after ``step`` training steps, sent with the snapshot of that step.

    ``values`` is float32 ``[n, num_channels]``: all weights, or the activations of the first held-out examples.
    """

    step: int
    name: str
    values: np.ndarray


@dataclass(frozen=True)
class Snapshot:
    """Measures and histograms of all quantized tensors after ``step`` training steps.

    All values of weights are measured, and the activations of the first held-out examples, the same ones each time:
    :data:`qatviz.training.evaluation_copy.SNAPSHOT_EXAMPLES`, or for a large tensor as many as have at most
    :data:`qatviz.training.probes.SNAPSHOT_VALUES` values, at least one.

    Attributes
    ----------
    step : int
        Number of training steps complete.
    seconds : float
        Training time of the run so far, without pauses.
    values : np.ndarray
        float32 ``[len(SNAPSHOT_MEASURES), num_tensors]``, columns in the order of the quantization plan.
    histograms : dict of str to TensorHistogram
        Histograms by tensor.
    num_bits, enabled : tuple
        Settings in effect, in the order of the plan.
    branch, position
        Place of the measured state, see :class:`qatviz.protocol.branches.BranchPoint`.
    older : frozenset of str
        Tensors whose histograms are those of an earlier snapshot with the same settings: of a run on another machine,
        tensors out of view, see :mod:`qatviz.remote.histograms_in_view`. Their measures are those of the step.
    """

    step: int
    seconds: float
    values: np.ndarray
    histograms: Dict[str, TensorHistogram]
    num_bits: Tuple[int, ...]
    enabled: Tuple[bool, ...]
    branch: int = UNPLACED
    position: Optional[int] = None
    older: FrozenSet[str] = frozenset()

    @property
    def point(self) -> BranchPoint:
        """Place of the measured state on the branches of the run."""
        return BranchPoint(self.branch, self.step, self.position)
