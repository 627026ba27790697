"""Sensitivity of a network to the quantization of each of its tensors, by number of bits."""

from dataclasses import dataclass
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.number_format import finite
from qatviz.task import MULTILABEL, REGRESSION

#: Numbers of bits for which sensitivities are computed.
WIDTHS = (2, 3, 4, 6, 8)


@dataclass(frozen=True)
class Sensitivity:
    """Estimated damage by the quantization of each tensor alone, by number of bits.

    A score estimates the :func:`divergence` of the outputs from those in float if only this tensor is quantized: to
    second order in the error, from one backward pass (:mod:`qatviz.training.sensitivity`). Scores of several tensors
    add up, as far as their errors are independent.

    Attributes
    ----------
    tensors : tuple of str
        Names of all quantized tensors, in the order of the plan.
    widths : tuple of int
        Numbers of bits.
    scores : np.ndarray
        float64 ``[tensors, widths]``, at least 0; all other settings are those of the run. 0 for a tensor whose
        values are already on the grid of others (the output of a Concat).
    present : np.ndarray
        float64 ``[tensors]``: under the settings of the run; 0 for a tensor that is in float.
    step : int
        Number of training steps complete.
    examples : int
        Number of held-out examples.
    """

    tensors: Tuple[str, ...]
    widths: Tuple[int, ...]
    scores: np.ndarray
    present: np.ndarray
    step: int
    examples: int

    def __post_init__(self) -> None:
        for name, shape in (("scores", (len(self.tensors), len(self.widths))), ("present", (len(self.tensors),))):
            array = getattr(self, name)
            if array.shape != shape or array.dtype != np.float64:
                raise ValueError(f"{name} is {array.dtype} {array.shape}: expected float64 {shape}")
            array.setflags(write=False)

    @classmethod
    def unknown(cls, tensors: Sequence[str]) -> "Sensitivity":
        """Return scores of 0 for all :data:`WIDTHS`, for computations that do not depend on scores."""
        shape = len(tensors), len(WIDTHS)
        return cls(tuple(tensors), WIDTHS, np.zeros(shape), np.zeros(shape[0]), 0, 0)

    def score(self, tensor: str, width: int) -> float:
        """Return the score of a tensor with ``width`` bits; ValueError if there is none."""
        return float(self.scores[self.tensors.index(tensor), self.widths.index(width)])

    def to_dict(self) -> Dict[str, Any]:
        """Return a JSON-able form; scores that are not finite become None."""
        return {
            "step": self.step,
            "examples": self.examples,
            "widths": list(self.widths),
            "tensors": {
                name: {
                    "scores": [finite(score) for score in row],
                    "present": finite(present),
                }
                for name, row, present in zip(self.tensors, self.scores, self.present)
            },
        }


class Measured(NamedTuple):
    """Measurement on held-out examples of a network of which some tensors are quantized.

    Attributes
    ----------
    loss : float
    divergence : float
        Difference of the outputs from those in float, see :func:`divergence`.
    score : float
        The run's metric.
    """

    loss: float
    divergence: float
    score: float


@dataclass(frozen=True)
class MeasuredSensitivity:
    """Measured damage by the quantization of each tensor under the settings of the run.

    Attributes
    ----------
    tensors : tuple of str
        Tensors that are quantized; of several with one grid, which are quantized together, the first.
    alone, without : tuple of Measured
        By tensor: with only this tensor quantized, and with all but this.
    in_float, quantized : Measured
        With no tensor quantized, and with all.
    metric : str
        A key of :data:`qatviz.metric.METRICS`.
    step : int
        Number of training steps complete.
    examples : int
        Number of held-out examples.
    """

    tensors: Tuple[str, ...]
    alone: Tuple[Measured, ...]
    without: Tuple[Measured, ...]
    in_float: Measured
    quantized: Measured
    metric: str
    step: int
    examples: int

    def to_dict(self) -> Dict[str, Any]:
        """Return a JSON-able form; numbers that are not finite become None."""

        def row(measured: Measured) -> Dict[str, Optional[float]]:
            scores = {"loss": measured.loss, "divergence": measured.divergence, self.metric: measured.score}
            return {name: finite(value) for name, value in scores.items()}

        return {
            "step": self.step,
            "examples": self.examples,
            "metric": self.metric,
            "float": row(self.in_float),
            "quantized": row(self.quantized),
            "tensors": {
                name: {"alone": row(alone), "without": row(without)}
                for name, alone, without in zip(self.tensors, self.alone, self.without)
            },
        }


class RunSensitivity(NamedTuple):
    """Sensitivity of one state of a run.

    Attributes
    ----------
    checkpoint : str
        Name of the state.
    estimated : Sensitivity
    measured : MeasuredSensitivity or None
        None if it was not requested.
    """

    checkpoint: str
    estimated: Sensitivity
    measured: Optional[MeasuredSensitivity] = None

    def to_dict(self) -> Dict[str, Any]:
        """Return a JSON-able form; numbers that are not finite become None."""
        row: Dict[str, Any] = {"checkpoint": self.checkpoint, "estimated": self.estimated.to_dict()}
        return row if self.measured is None else {**row, "measured": self.measured.to_dict()}


@dataclass(frozen=True)
class SensitivityProgress:
    """Progress of a measurement in a run that trains.

    Attributes
    ----------
    step : int
        Number of training steps complete.
    fraction : float or None
        Fraction that is done, 0 to 1; None if it was cancelled or has failed.
    message : str
        Reason of a failure, of a measurement or an estimate; empty if there was none.
    """

    step: int
    fraction: Optional[float]
    message: str = ""


def divergence(reference: np.ndarray, outputs: np.ndarray, task: str) -> float:
    """Return how much outputs differ from reference outputs of the same examples, at least 0.

    Parameters
    ----------
    reference, outputs : np.ndarray
        float ``[n, outputs]``, of images ``[n, height, width, outputs]``: logits, or the numbers of a regression.
    task : str
        A name of :data:`qatviz.task.TASKS`.

    Returns
    -------
    float
        Mean over the examples (and pixels) of the Kullback-Leibler divergence of the probabilities, in nats; for
        several labels, summed over them; for a regression, half of the mean squared difference.
    """
    first, second = (np.asarray(each, np.float64).reshape(-1, each.shape[-1]) for each in (reference, outputs))
    if task == REGRESSION:
        return float(np.mean(np.square(first - second)) / 2)
    if task == MULTILABEL or first.shape[1] == 1:  # each logit is that of a label, against 0
        first, second = (np.stack([each, np.zeros_like(each)], axis=-1) for each in (first, second))
    logs, others = (each - _log_sum(each) for each in (first, second))
    terms = np.exp(logs) * (logs - others)
    return max(float(terms.sum() / len(reference.reshape(-1, reference.shape[-1]))), 0.0)


def _log_sum(logits: np.ndarray) -> np.ndarray:
    """Return the logarithm of the sum of exponentials along the last axis, which is kept."""
    largest = logits.max(axis=-1, keepdims=True)
    return largest + np.log(np.exp(logits - largest).sum(axis=-1, keepdims=True))
