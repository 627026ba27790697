"""Texts on predictions in float and quantized, for window, report and terminal."""

from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from qatviz.analysis.predictions import (
    LOST,
    WON,
    Comparison,
    GroupScore,
    OutputPredictions,
    Predictions,
    predicted_classes,
    scores,
)
from qatviz.metric import ACCURACY, LABEL_ACCURACY, PIXEL_ACCURACY, RMSE, Metric
from qatviz.number_format import UNKNOWN, count, si, signed
from qatviz.task import CLASSIFICATION, MULTILABEL, REGRESSION, SEGMENTATION

#: Scores of all examples, by task.
_METRICS = {
    CLASSIFICATION: ACCURACY,
    MULTILABEL: LABEL_ACCURACY,
    SEGMENTATION: PIXEL_ACCURACY,
    REGRESSION: RMSE,
}
#: What examples are called that the filter keeps.
FLIPPED, WORSE = "flipped", "worse"
#: Meaning of the margin, by task.
MARGIN_HELP = {
    CLASSIFICATION: "Margin: the logit of the right class minus the largest other logit; negative if the prediction is "
    "wrong.",
    MULTILABEL: "Margin: the smallest of the labels' logits, each with the sign of the right answer; negative if a "
    "label is wrong.",
    SEGMENTATION: "Margin: the fraction of correct pixels minus that of wrong ones; ignored pixels do not count.",
    REGRESSION: "Margin: minus the root of the mean squared error of the example's numbers.",
}
#: Meaning of the words in :func:`summary_text`, by task.
EFFECT_HELP = {
    CLASSIFICATION: "Lost: right in float, wrong when quantized. Won: wrong in float, right when quantized.",
    MULTILABEL: "Lost: fewer labels of the example are right when quantized. Won: more are.",
    SEGMENTATION: "Lost: fewer pixels of the example are right when quantized. Won: more are.",
    REGRESSION: "Worse: the error of the example grows when quantized.",
}
#: Number of names in a text; more are counted.
_NAMES = 3
#: Roles of colours of the two networks.
FLOAT_ROLE, QUANTIZED_ROLE = "float_values", "in_range"


class GroupHeads(NamedTuple):
    """Words for classes, labels or numbers to predict, for their examples, for their score, and for several of them."""

    group: str
    number: str
    score: str
    many: str


_HEADS = {
    CLASSIFICATION: GroupHeads("Class", "Examples", "accuracy", "classes"),
    MULTILABEL: GroupHeads("Label", "Examples with it", "accuracy", "labels"),
    SEGMENTATION: GroupHeads("Class", "Pixels", "accuracy", "classes"),
    REGRESSION: GroupHeads("Target", "Examples", "RMSE", "targets"),
}


def metric_of_scores(task: str) -> Metric:
    """Return the metric that :func:`qatviz.analysis.predictions.scores` are values of."""
    return _METRICS[task]


def group_heads(task: str) -> GroupHeads:
    """Return the words for what :func:`qatviz.analysis.predictions.group_scores` are of."""
    return _HEADS[task]


def flipped_word(task: str) -> str:
    """Return what the examples are that the filter keeps: those that flipped; of a regression, those that are worse."""
    return WORSE if task == REGRESSION else FLIPPED


def group_name(found: OutputPredictions, index: int) -> str:
    """Return the name of a class, label or number to predict."""
    if found.task != REGRESSION:
        return found.names[index]
    return "target" if found.targets.shape[1] == 1 else f"target {index + 1}"


def group_cells(found: OutputPredictions, score: GroupScore) -> List[str]:
    """Return name, number of examples, scores in float and quantized, and what is lost, as texts."""
    metric = metric_of_scores(found.task)
    lost = UNKNOWN if np.isnan(score.lost) else _lost_text(found.task, score.lost)
    return [
        group_name(found, score.group),
        f"{score.number:,}",
        metric.text(score.in_float),
        metric.text(score.quantized),
        lost,
    ]


def _lost_text(task: str, lost: float) -> str:
    if task == REGRESSION:
        return signed(lost)
    points = 100 * lost
    return "0.0" if abs(points) < 0.05 else f"{points:.1f}".replace("-", "−")


def column_heads(task: str) -> List[Tuple[str, str]]:
    """Return title and explanation of each column of :func:`group_cells`."""
    heads = _HEADS[task]
    of_group = f"{heads.score} of the {heads.group.lower()}"
    lost = "Growth of the RMSE" if task == REGRESSION else "Accuracy that is lost, in percentage points"
    return [
        (heads.group, f"The {heads.many} that lose most come first"),
        (heads.number, f"Number of held-out {'pixels' if task == SEGMENTATION else 'examples'}"),
        ("Float", f"In float: {of_group}"),
        ("Quantized", f"Quantized: {of_group}"),
        ("Lost", lost),
    ]


def summary_text(state: Predictions, found: OutputPredictions, comparison: Comparison) -> str:
    """Return the number of flipped examples of one output and the scores in float and quantized.

    For example: ``23 of 1,000 held-out examples flipped: 15 lost, 5 won, 3 neither; accuracy 98.1 % → 96.9 %``.
    """
    metric = metric_of_scores(found.task)
    before, after = scores(found)
    flipped = int(comparison.flipped.sum())
    effects = comparison.effect[comparison.flipped]
    lost, won = int((effects == LOST).sum()), int((effects == WON).sum())
    first = "the first " if state.examples < state.held_out else ""
    text = f"{flipped:,} of {first}{count(state.examples, 'held-out example')} {flipped_word(found.task)}"
    if flipped and found.task != REGRESSION:
        parts = [(lost, "lost"), (won, "won"), (flipped - lost - won, "neither")]
        text += ": " + ", ".join(f"{value:,} {word}" for value, word in parts if value)
    return f"{text}; {metric.title} {metric.text(before)} → {metric.text(after)}"


def names_of_labels(found: OutputPredictions, is_set: np.ndarray) -> str:
    """Return the names of the labels that are set."""
    chosen = [found.names[index] for index in np.flatnonzero(is_set)]
    return (", ".join(chosen[:_NAMES]) + (", …" if chosen[_NAMES:] else "")) or "none"


def predicted_text(found: OutputPredictions, outputs: np.ndarray, index: int) -> str:
    """Return the prediction for an example, of ``found.in_float`` or ``found.quantized``."""
    if found.task == REGRESSION:
        return _numbers_text(outputs[index])
    if found.task == SEGMENTATION:
        counted = found.targets[index] < len(found.names)
        right = float((outputs[index] == found.targets[index])[counted].mean()) if counted.any() else float("nan")
        return metric_of_scores(found.task).text(right)
    if found.task == MULTILABEL:
        return names_of_labels(found, outputs[index] > 0)
    return found.names[int(predicted_classes(outputs[index]))]


def target_text(found: OutputPredictions, index: int) -> str:
    """Return what is to be predicted for an example; for masks, the names of their classes."""
    target = found.targets[index]
    if found.task == REGRESSION:
        return _numbers_text(target)
    if found.task == SEGMENTATION:
        present = np.bincount(target[target < len(found.names)].astype(np.int64).ravel(), minlength=len(found.names))
        return names_of_labels(found, present > 0)
    if found.task == MULTILABEL:
        return names_of_labels(found, target > 0)
    return found.names[int(target)]


def _numbers_text(numbers: np.ndarray) -> str:
    texts = [f"{number:.4g}".replace("-", "−", 1) for number in numbers[:_NAMES].tolist()]
    return ", ".join(texts) + (", …" if numbers[_NAMES:].size else "")


def change_role(comparison: Comparison, index: int) -> str:
    """Return the role of the colour of what quantization did to an example."""
    effect = int(comparison.effect[index])
    return "bad" if effect == LOST else "good" if effect == WON else "text"


def lost_margin_text(comparison: Comparison, index: int) -> str:
    """Return the change of the margin of an example with its sign: ``−3.21``."""
    change = -float(comparison.lost_margin[index])
    return f"+{si(change)}" if change > 0 else signed(change)


def example_lines(found: OutputPredictions, comparison: Comparison, index: int) -> List[str]:
    """Return the lines that explain an example."""
    before, after = float(comparison.margin_float[index]), float(comparison.margin_quantized[index])
    effect = {LOST: "worse when quantized", WON: "better when quantized"}.get(int(comparison.effect[index]), "")
    if not effect:
        effect = "another prediction when quantized" if comparison.flipped[index] else "equal"
    return [
        f"Example {index:,}: {target_text(found, index)}",
        f"float: {predicted_text(found, found.in_float, index)}, margin {signed(before)}",
        f"quantized: {predicted_text(found, found.quantized, index)}, margin {signed(after)}",
        effect,
    ]


class ScoreRow(NamedTuple):
    """One class, label or number of an example.

    Attributes
    ----------
    name : str
    in_float, quantized : float
        Lengths of the bars, 0 to 1: probabilities, or of a regression, absolute errors relative to the largest.
    text_float, text_quantized : str
    is_target : bool
        Whether it is the right class, or a label of the example.
    """

    name: str
    in_float: float
    quantized: float
    text_float: str
    text_quantized: str
    is_target: bool


def score_rows(found: OutputPredictions, index: int, at_most: int) -> Tuple[ScoreRow, ...]:
    """Return the rows of at most ``at_most`` classes, labels or numbers of an example, for a comparison as bars.

    The classes are those with the largest probabilities, the right one always among them; masks have none.
    """
    if found.task == SEGMENTATION:
        return ()
    if found.task == REGRESSION:
        return _number_rows(found, index)[:at_most]
    both = [_probabilities(found, outputs[index]) for outputs in (found.in_float, found.quantized)]
    targets = _target_flags(found, index)
    largest = np.maximum(*both) + targets * 2.0
    chosen = np.sort(np.argsort(-largest, kind="stable")[:at_most])
    return tuple(
        ScoreRow(
            found.names[place],
            float(both[0][place]),
            float(both[1][place]),
            _percent(both[0][place]),
            _percent(both[1][place]),
            bool(targets[place]),
        )
        for place in chosen
    )


def _percent(probability: float) -> str:
    return f"{100 * float(probability):.1f} %"


def _number_rows(found: OutputPredictions, index: int) -> Tuple[ScoreRow, ...]:
    targets = found.targets[index].astype(np.float64)
    errors = [np.abs(outputs[index] - targets) for outputs in (found.in_float, found.quantized)]
    most = max(float(np.max(errors)), np.finfo(np.float64).tiny)
    return tuple(
        ScoreRow(
            f"{group_name(found, place)} = {targets[place]:.4g}",
            float(errors[0][place]) / most,
            float(errors[1][place]) / most,
            f"{found.in_float[index, place]:.4g}",
            f"{found.quantized[index, place]:.4g}",
            False,
        )
        for place in range(len(targets))
    )


def _target_flags(found: OutputPredictions, index: int) -> np.ndarray:
    if found.task == MULTILABEL:
        return np.asarray(found.targets[index] > 0)
    return np.arange(len(found.names)) == found.targets[index]


def _probabilities(found: OutputPredictions, logits: np.ndarray) -> np.ndarray:
    """Return the probability of each class or label, float64."""
    values = logits.astype(np.float64)
    if found.task == MULTILABEL or len(values) == 1:
        of_labels = 0.5 * (1.0 + np.tanh(values / 2))
        return of_labels if found.task == MULTILABEL else np.array([1.0 - of_labels[0], of_labels[0]])
    powers = np.exp(values - values.max())
    return np.asarray(powers / powers.sum())


def examples_table(found: OutputPredictions, comparison: Comparison, indices: Sequence[int]) -> Dict[str, List[Any]]:
    """Return index, target, predictions, margins, lost margin and whether it flipped by column, for some examples."""
    lost = comparison.lost_margin
    return {
        "example": [int(index) for index in indices],
        "target": [target_text(found, index) for index in indices],
        "float": [predicted_text(found, found.in_float, index) for index in indices],
        "quantized": [predicted_text(found, found.quantized, index) for index in indices],
        "margin_float": [float(comparison.margin_float[index]) for index in indices],
        "margin_quantized": [float(comparison.margin_quantized[index]) for index in indices],
        "lost_margin": [float(lost[index]) for index in indices],
        "flipped": [bool(comparison.flipped[index]) for index in indices],
    }
