"""Measurements of the training thread: immutable records with read-only arrays."""

import math
from dataclasses import dataclass
from typing import Dict, Optional, Tuple

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
#: Rows of ``StepRecord.values``. The error measures (from ``mse`` on) of a step are exact for tensors of up to
#: :data:`STEP_SAMPLE` values, and else estimates.
STEP_MEASURES = (*TENSOR_MEASURES, *STANDARD_ERRORS)
#: Rows of ``Snapshot.values``, all exact.
SNAPSHOT_MEASURES = (*TENSOR_MEASURES, "used_codes", "effective_bits", "flip_rate")


#: Largest number of distinct values of a tensor that are counted.
MOST_DISTINCT = 256
#: Largest age of the newest snapshot of a running run in seconds, for networks of few tensors and of many.
OLDEST_S, OLDEST_MANY_S = 2.0, 5.0
#: Number of tensors from which a network has many.
MANY_TENSORS = 40
#: Training steps of one phase of a run; beyond ten of them, a phase is a tenth of the run so far.
PHASE_STEPS = 100


def oldest_age_s(num_tensors: int) -> float:
    """Return the largest age of the newest snapshot of a running run in seconds."""
    return OLDEST_MANY_S if num_tensors >= MANY_TENSORS else OLDEST_S


def phase(step: int) -> int:
    """Return the number of the phase that ``step`` belongs to: 35 after 10,000 steps, 83 after a million.

    Of each phase at least one snapshot is taken and kept, so that all of a run can be seen.

    >>> [phase(step) for step in (0, 99, 100, 999, 1000, 1100, 10**4, 10**6)]
    [0, 0, 1, 9, 10, 11, 34, 82]
    """
    if step < 10 * PHASE_STEPS:
        return step // PHASE_STEPS
    return 10 + int(math.log(step / (10 * PHASE_STEPS)) / math.log(1.1) + 1e-9)


def read_only(array: np.ndarray) -> np.ndarray:
    """Make ``array`` read-only, so that threads can share it, and return it."""
    array.setflags(write=False)
    return array


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
    """

    step: int
    seconds: float
    loss: float
    learning_rate: float
    values: np.ndarray


@dataclass(frozen=True)
class TensorHistogram:
    """Distribution of one quantized tensor at one step.

    ``code_counts`` are of all measured values, the other counts of a large tensor of evenly spaced ones.

    Attributes
    ----------
    edges : np.ndarray
        float32 ``[n_bins + 1]``, shared by the float and the quantized counts.
    float_counts, quantized_counts : np.ndarray
        int64 ``[n_bins]``.
    code_min : int
        Integer code of the first entry of ``code_counts``.
    code_counts : np.ndarray or None
        int64, one bin per code; None above 8 bits or if the quantizer is off.
    channel_min, channel_max : np.ndarray
        float32 ``[num_channels]``: range of the float values of each output channel (weights), or of the tensor.
    scale, zero_point : np.ndarray
        float32 / int32, ``[num_channels]`` where quantized per channel, else ``[1]``.
    size : int
        Number of measured values; 0 if unknown (in records of 0.1.0).
    zeros : int or None
        Number of measured values that are 0; None in records of older versions.
    distinct : int or None
        Number of distinct measured values; None if there are many (over :data:`MOST_DISTINCT`, or a sample says so), or
        in records of older versions.
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

    ``branch`` and ``position`` identify the measured state (:class:`qatviz.protocol.branches.BranchPoint`).

    Measures and counts of codes are sums over all values of weights, and of activations over those of the same held-out
    examples each time: as many as have :data:`qatviz.training.probes.SNAPSHOT_VALUES` values, at least one.

    ``values`` is float32 ``[len(SNAPSHOT_MEASURES), num_tensors]``; ``histograms`` maps a tensor's name to its
    histogram; ``num_bits`` and ``enabled`` are the settings in effect, by tensor.
    """

    step: int
    seconds: float
    values: np.ndarray
    histograms: Dict[str, TensorHistogram]
    num_bits: Tuple[int, ...]
    enabled: Tuple[bool, ...]
    branch: int = UNPLACED
    position: Optional[int] = None

    @property
    def point(self) -> BranchPoint:
        """Place of the measured state on the branches of the run."""
        return BranchPoint(self.branch, self.step, self.position)
