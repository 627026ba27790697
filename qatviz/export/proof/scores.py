"""Metric of a run's task for outputs of files, simulator and graphs, in NumPy."""

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

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
        "float", "evaluation graph"; of the first output if there are several.
    further : tuple of dict
        The same for each further output.
    """

    examples: int
    held_out: int
    scores: Dict[str, float]
    further: Tuple[Dict[str, float], ...] = ()

    def to_record(self, metric: Metric, further: Sequence[Any] = ()) -> Dict[str, Any]:
        """Return the scores as a JSON-able dict; those in ``further`` have the attributes ``output`` and ``metric``."""
        rows = [
            {"output": each.output, "metric": each.metric.name, each.metric.name: scores}
            for each, scores in zip(further, self.further)
        ]
        record = {"examples": self.examples, "of": self.held_out, metric.name: self.scores}
        return {**record, "further": rows} if rows else record


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
    rows = [(output, metric, scores), *((each.output, each.metric, each.scores) for each in further)]
    lines = [_score_line(*row, examples, whole) for row in rows]
    if whole is not None and whole.examples > examples:
        on_whole = zip(rows, (whole.scores, *whole.further))
        lines += [_score_line(*row[:2], own, whole.examples, whole) for row, own in on_whole]
    return lines


def _score_line(
    output: str, metric: Metric, scores: Mapping[str, float], examples: int, whole: Optional[WholeScores]
) -> str:
    return (f"{output}: " if output else "") + scores_in_words(metric, scores, examples, whole)


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
