"""Metric of a run's task for outputs of files, simulator and graphs, in NumPy."""

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from qatviz.export.integers.model import IntegerTensor
from qatviz.metric import ACCURACY, LABEL_ACCURACY, RMSE, Metric


def metric_for(labels: np.ndarray) -> Metric:
    """Return the metric for labels.

    Classes are int32 ``[n]``, several labels int32 ``[n, labels]``, numbers to predict float32 ``[n, ...]``.
    """
    if labels.dtype.kind == "f":
        return RMSE
    return ACCURACY if labels.ndim == 1 else LABEL_ACCURACY


def score(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Return the metric of real outputs ``[n, outputs]``; among equal logits, the first counts."""
    metric = metric_for(labels)
    if metric is LABEL_ACCURACY:
        return metric.of_mean(float(np.mean((outputs > 0) == labels)))
    if metric is ACCURACY:
        predicted = outputs[:, 0] > 0 if outputs.shape[1] == 1 else outputs.argmax(axis=1)
        return ACCURACY.of_mean(float(np.mean(predicted == labels)))
    return RMSE.of_mean(float(np.mean(np.square(outputs.astype(np.float64) - labels))))


def score_codes(codes: np.ndarray, tensor: IntegerTensor, labels: np.ndarray) -> float:
    """Return the metric of integer codes on the tensor's grid."""
    return score((codes.astype(np.float64) - tensor.zero_point) * np.float64(tensor.scale), labels)


class WholeScores(NamedTuple):
    """Metric of the evaluation on the held-out part of the data.

    Attributes
    ----------
    examples, held_out : int
        Number of examples that were evaluated, the first ones; of all there are.
    scores : dict of str to float
        "float", "evaluation graph".
    """

    examples: int
    held_out: int
    scores: Dict[str, float]

    def to_record(self, metric: Metric) -> Dict[str, Any]:
        """Return the scores as a JSON-able dict."""
        return {"examples": self.examples, "of": self.held_out, metric.name: self.scores}

    def in_words(self, metric: Metric) -> str:
        """Return a text such as ``accuracy on all 10,000 held-out examples: float 97.12 %, ...``."""
        return scores_in_words(metric, self.scores, self.examples, self)


def score_lines(
    metric: Metric,
    scores: Mapping[str, float],
    examples: int,
    whole: Optional[WholeScores] = None,
    output: str = "",
    further: Sequence[Any] = (),
) -> List[str]:
    """Return :func:`scores_in_words`, followed by those of the whole held-out part if it has more examples.

    With several outputs, these are of the one named ``output``; the others in ``further`` have the attributes
    ``output``, ``metric`` and ``scores``.
    """
    lines = [(f"{output}: " if output else "") + scores_in_words(metric, scores, examples, whole)]
    lines += [f"{each.output}: {scores_in_words(each.metric, each.scores, examples, whole)}" for each in further]
    return lines + ([whole.in_words(metric)] if whole is not None and whole.examples > examples else [])


def scores_in_words(
    metric: Metric, scores: Mapping[str, float], examples: int, whole: Optional[WholeScores] = None
) -> str:
    """Return a text such as ``accuracy on 200 of 1,000 held-out examples: float 97.12 %, file 97.02 %``.

    100.00 % means all. Without ``whole``, the number of all held-out examples is not known.
    """
    number = f"{examples:,}"
    if whole is not None:
        number = f"all {number}" if examples == whole.held_out else f"{number} of {whole.held_out:,}"
    return f"{metric.title} on {number} held-out examples: {metric.listing(scores)}"
