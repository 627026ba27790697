"""Sensitivity of a network to the quantization of each of its tensors, by number of bits."""

from dataclasses import dataclass
from typing import Any, Dict, Tuple

import numpy as np

#: Numbers of bits for which sensitivities are computed.
WIDTHS = (2, 3, 4, 6, 8)


@dataclass(frozen=True)
class Sensitivity:
    """Estimated damage by the quantization of each tensor alone, by number of bits.

    A score is half of the mean, over held-out examples, of the square of the loss' change to first order: the
    Kullback-Leibler divergence of the outputs in nats to second order, if the loss is a cross entropy. Scores of
    several tensors add up, as long as their errors are independent.

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
                    "scores": [float(score) if np.isfinite(score) else None for score in row],
                    "present": float(present) if np.isfinite(present) else None,
                }
                for name, row, present in zip(self.tensors, self.scores, self.present)
            },
        }
