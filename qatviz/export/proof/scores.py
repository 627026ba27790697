"""Metrics of a run for outputs of files, simulator and graphs, in NumPy."""

import math
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.scores import area_under_curve, mean_iou, score_of_class_1
from qatviz.data.masks import void_of
from qatviz.export.integers.model import IntegerTensor
from qatviz.metric import (
    ACCURACY,
    AUC,
    EXACT_MATCH,
    LABEL_ACCURACY,
    MEAN_IOU,
    PIXEL_ACCURACY,
    RMSE,
    TOP,
    TOP_5,
    Metric,
)
from qatviz.number_format import finite


def default_metric(labels: np.ndarray) -> Metric:
    """Return the default metric for labels.

    Classes are int32 ``[n]``, several labels int32 ``[n, labels]``, masks integers ``[n, height, width]``, numbers to
    predict float32 ``[n, ...]``.
    """
    if labels.dtype.kind == "f":
        return RMSE
    return {1: ACCURACY, 2: LABEL_ACCURACY}.get(labels.ndim, MEAN_IOU)


def score(outputs: np.ndarray, labels: np.ndarray, metric: Optional[Metric] = None) -> float:
    """Return a metric of real outputs ``[n, outputs]``, by default that for the labels.

    Among equal logits, the first counts. NaN if the metric is not defined for these examples.
    """
    return _SCORES[(metric or default_metric(labels)).name](outputs, labels)


def score_codes(codes: np.ndarray, tensor: IntegerTensor, labels: np.ndarray, metric: Optional[Metric] = None) -> float:
    """Return :func:`score` of integer codes on the tensor's grid."""
    return score((codes.astype(np.float64) - tensor.zero_point) * np.float64(tensor.scale), labels, metric)


def score_entries(metric: Metric, scores: Mapping[str, float]) -> Dict[str, Any]:
    """Return the entries of a record for a metric: its name, and the scores."""
    return {"metric": metric.name, **_scores_entry(metric, scores)}


def _scores_entry(metric: Metric, scores: Mapping[str, float]) -> Dict[str, Any]:
    return {metric.name: {name: finite(value) for name, value in scores.items()}}


def _predicted(outputs: np.ndarray) -> np.ndarray:
    """Return the class of each example, or pixel."""
    return np.asarray(outputs[..., 0] > 0 if outputs.shape[-1] == 1 else outputs.argmax(axis=-1))


def _accuracy(outputs: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(_predicted(outputs) == labels))


def _top(outputs: np.ndarray, labels: np.ndarray) -> float:
    first = np.argsort(-outputs, axis=1, kind="stable")[:, :TOP]
    return float(np.mean((first == labels[:, np.newaxis]).any(axis=1)))


def _right_pixels(outputs: np.ndarray, masks: np.ndarray) -> float:
    counted = masks != void_of(masks.dtype)
    return float(np.mean((_predicted(outputs) == masks)[counted])) if counted.any() else math.nan


def _iou(outputs: np.ndarray, masks: np.ndarray) -> float:
    classes, counted = max(outputs.shape[-1], 2), masks != void_of(masks.dtype)
    pairs = classes * masks[counted].astype(np.int64) + _predicted(outputs)[counted]
    return mean_iou(np.bincount(pairs, minlength=classes**2).reshape(classes, classes))[0]


_SCORES: Dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    ACCURACY.name: _accuracy,
    TOP_5.name: _top,
    AUC.name: lambda outputs, labels: area_under_curve(score_of_class_1(outputs), labels > 0),
    LABEL_ACCURACY.name: lambda outputs, labels: float(np.mean((outputs > 0) == labels)),
    EXACT_MATCH.name: lambda outputs, labels: float(np.mean(((outputs > 0) == labels).all(axis=1))),
    MEAN_IOU.name: _iou,
    PIXEL_ACCURACY.name: _right_pixels,
    RMSE.name: lambda outputs, labels: math.sqrt(float(np.mean(np.square(outputs.astype(np.float64) - labels)))),
}


def metric_entries(
    metric: Metric, scores: Mapping[str, float], whole: Optional["WholeScores"], further: Sequence[Any]
) -> Dict[str, Any]:
    """Return the entries of a proof's record for the metric; ``further`` outputs are those of :func:`score_lines`."""
    held_out = None if whole is None else whole.to_record(metric, further)
    return {**score_entries(metric, scores), "held_out": held_out}


def output_entries(output: str, further: Sequence[Any]) -> Dict[str, Any]:
    """Return the last entries of a proof's record: name of the output, and the further ones; empty for a single one."""
    return {"output": output, "further": [each.to_record() for each in further]} if further else {}


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
            {"output": each.output, **score_entries(each.metric, scores)} for each, scores in zip(further, self.further)
        ]
        record = {"examples": self.examples, "of": self.held_out, **_scores_entry(metric, self.scores)}
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
