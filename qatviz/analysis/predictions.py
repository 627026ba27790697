"""Predictions of the network in float and quantized for the same examples: what flipped, and which classes lose."""

from dataclasses import dataclass
from typing import NamedTuple, Optional, Tuple

import numpy as np

from qatviz.task import MULTILABEL, REGRESSION, SEGMENTATION

#: What quantization did to an example: its prediction became wrong (or worse), equally good, right (or better).
LOST, EQUAL, WON = -1, 0, 1


@dataclass(frozen=True)
class OutputPredictions:
    """Results of one output for the first held-out examples, in float and quantized.

    Attributes
    ----------
    output : str
        Name of the output; empty if the network has only one.
    task : str
        A name of :data:`qatviz.task.TASKS`.
    names : tuple of str
        Names of the classes or labels; empty for a regression.
    in_float, quantized : np.ndarray
        Logits, float32 ``[n, classes]``, or ``[n, 1]`` of which the sign decides between two classes; logits of labels
        ``[n, labels]``; numbers to predict ``[n, outputs]``; of masks the predicted classes, int
        ``[n, height, width]``.
    targets : np.ndarray
        Classes, int ``[n]``; labels, 0 and 1 ``[n, labels]``; numbers ``[n, outputs]``; masks ``[n, height, width]``,
        in which ignored pixels have larger values than the classes.
    refusal : str
        Reason why the output has no comparison; the arrays are empty then.
    """

    output: str
    task: str
    names: Tuple[str, ...]
    in_float: np.ndarray
    quantized: np.ndarray
    targets: np.ndarray
    refusal: str = ""

    def __post_init__(self) -> None:
        if self.in_float.shape != self.quantized.shape or len(self.in_float) != len(self.targets):
            raise ValueError(
                f"outputs are {self.in_float.shape} in float, {self.quantized.shape} quantized, for "
                f"{len(self.targets)} targets: expected as many of the same shape"
            )
        for array in (self.in_float, self.quantized, self.targets):
            array.setflags(write=False)


@dataclass(frozen=True)
class Predictions:
    """Predictions of one state of a run for its first held-out examples.

    Attributes
    ----------
    step : int
        Number of training steps complete.
    examples : int
        Number of examples, always the first ones.
    held_out : int
        Number of all held-out examples.
    outputs : tuple of OutputPredictions
        Results of each output.
    """

    step: int
    examples: int
    held_out: int
    outputs: Tuple[OutputPredictions, ...]


@dataclass(frozen=True)
class PredictionFailure:
    """Reason why a run in progress has no predictions; training continues."""

    step: int
    message: str


class RunPredictions(NamedTuple):
    """Predictions of one state of a run, and the name of the state."""

    checkpoint: str
    found: Predictions


class Comparison(NamedTuple):
    """Comparison of both networks by example.

    Attributes
    ----------
    margin_float, margin_quantized : np.ndarray
        float64 ``[n]``, larger is better, see :func:`margins`.
    flipped : np.ndarray
        bool ``[n]``: whether the predicted class, a label or a pixel differs; of a regression, whether the error grew.
    effect : np.ndarray
        int8 ``[n]``: :data:`LOST`, :data:`EQUAL` or :data:`WON`.
    """

    margin_float: np.ndarray
    margin_quantized: np.ndarray
    flipped: np.ndarray
    effect: np.ndarray

    @property
    def lost_margin(self) -> np.ndarray:
        """Margin in float minus margin quantized, float64 ``[n]``."""
        return self.margin_float - self.margin_quantized


class Confusion(NamedTuple):
    """Number of examples, or pixels, by class (row) and predicted class (column): int64 ``[classes, classes]`` each."""

    in_float: np.ndarray
    quantized: np.ndarray

    @property
    def difference(self) -> np.ndarray:
        """Number when quantized minus number in float."""
        return self.quantized - self.in_float


class GroupScore(NamedTuple):
    """Score of the examples of one class, of one label, or of one number to predict.

    Attributes
    ----------
    group : int
        Index of the class, label or number.
    number : int
        Number of examples of the class, or with the label; pixels for masks; all examples of a regression.
    in_float, quantized : float
        Fraction of them (of a label: of all examples) that are predicted correctly, NaN of none; of a regression, the
        root of the mean squared error.
    lost : float
        How much worse the quantized network is.
    """

    group: int
    number: int
    in_float: float
    quantized: float
    lost: float


def predicted_classes(logits: np.ndarray) -> np.ndarray:
    """Return the class of each row (or pixel) of logits ``[..., outputs]``, int64; of equal logits, the first counts.

    A single logit decides for class 1 if it is positive.
    """
    if logits.shape[-1] == 1:
        return (logits[..., 0] > 0).astype(np.int64)
    return np.asarray(logits.argmax(axis=-1), np.int64)


def margins(found: OutputPredictions, outputs: np.ndarray) -> np.ndarray:
    """Return by how much each example is predicted correctly, float64 ``[n]``; negative if it is wrong.

    It is the logit of the right class minus the largest other one; the logit itself, or its negative, if one decides
    between two classes; of several labels, the smallest of these. Of a regression, it is minus the root of the mean
    squared error of the example; of masks, the fraction of the pixels that are correct, minus that of wrong ones.

    Parameters
    ----------
    found : OutputPredictions
    outputs : np.ndarray
        ``found.in_float`` or ``found.quantized``.
    """
    targets = found.targets
    if found.task == REGRESSION:
        return -np.sqrt(np.mean(np.square(_errors(outputs, targets)), axis=1))
    if found.task == SEGMENTATION:
        right, counted = _right_pixels(found, outputs), _counted_pixels(found)
        return np.where(counted > 0, (2.0 * right - counted) / np.maximum(counted, 1), 0.0)
    logits = outputs.astype(np.float64)
    if found.task == MULTILABEL:
        return np.where(targets > 0, logits, -logits).min(axis=1)
    if logits.shape[1] == 1:
        return np.where(targets > 0, logits[:, 0], -logits[:, 0])
    rows = np.arange(len(logits))
    right = logits[rows, targets]
    others = logits.copy()
    others[rows, targets] = -np.inf
    return right - others.max(axis=1)


def compare(found: OutputPredictions) -> Comparison:
    """Return the comparison of both networks by example."""
    both = found.in_float, found.quantized
    before, after = (margins(found, outputs) for outputs in both)
    if found.task == REGRESSION:
        gained = after - before
        return Comparison(before, after, gained < 0, np.sign(np.nan_to_num(gained)).astype(np.int8))
    if found.task == SEGMENTATION:
        counted = found.targets < len(found.names)
        flipped = ((both[0] != both[1]) & counted).any(axis=(1, 2))
        right = [_right_pixels(found, outputs) for outputs in both]
    elif found.task == MULTILABEL:
        decisions = [outputs > 0 for outputs in both]
        flipped = (decisions[0] != decisions[1]).any(axis=1)
        right = [(decided == (found.targets > 0)).sum(axis=1) for decided in decisions]
    else:
        classes = [predicted_classes(outputs) for outputs in both]
        flipped = classes[0] != classes[1]
        right = [(predicted == found.targets).astype(np.int64) for predicted in classes]
    return Comparison(before, after, np.asarray(flipped), np.sign(right[1] - right[0]).astype(np.int8))


def ordered(comparison: Comparison, only_flipped: bool = False, members: Optional[np.ndarray] = None) -> np.ndarray:
    """Return the indices of examples by the margin that they lose, the largest first, int64.

    Parameters
    ----------
    comparison : Comparison
    only_flipped : bool
        True to leave out examples that are not flipped.
    members : np.ndarray, optional
        bool ``[n]``: examples to choose from; by default all.
    """
    chosen = np.ones(len(comparison.flipped), bool) if members is None else members
    chosen = chosen & comparison.flipped if only_flipped else chosen
    indices = np.flatnonzero(chosen)
    lost = comparison.lost_margin[indices]
    return np.asarray(indices[np.argsort(-np.where(np.isnan(lost), -np.inf, lost), kind="stable")], np.int64)


def members_of(found: OutputPredictions, index: int) -> np.ndarray:
    """Return which examples are of a class, have a label, or have pixels of a class: bool ``[n]``."""
    if found.task == MULTILABEL:
        return np.asarray(found.targets[:, index] > 0)
    if found.task == SEGMENTATION:
        return np.asarray((found.targets == index).any(axis=(1, 2)))
    return np.asarray(found.targets == index)


def members_of_cell(found: OutputPredictions, row: int, column: int) -> np.ndarray:
    """Return which examples of class ``row`` are predicted as ``column`` in float or quantized: bool ``[n]``.

    Of masks, those with at least one such pixel.
    """
    is_of_class = found.targets == row
    if found.task == SEGMENTATION:
        is_predicted = (found.in_float == column) | (found.quantized == column)
        return np.asarray((is_of_class & is_predicted).any(axis=(1, 2)))
    is_predicted = (predicted_classes(found.in_float) == column) | (predicted_classes(found.quantized) == column)
    return np.asarray(is_of_class & is_predicted)


def confusion_of(found: OutputPredictions) -> Optional[Confusion]:
    """Return the confusion matrices of both networks; None for labels and numbers, which are not alternatives."""
    if found.task in (MULTILABEL, REGRESSION):
        return None
    number = len(found.names)
    counted = found.targets < number
    targets = found.targets[counted].astype(np.int64)
    matrices = []
    for outputs in (found.in_float, found.quantized):
        predicted = outputs if found.task == SEGMENTATION else predicted_classes(outputs)
        pairs = number * targets + predicted[counted].astype(np.int64)
        matrices.append(np.bincount(pairs, minlength=number**2).reshape(number, number).astype(np.int64))
    return Confusion(*matrices)


def group_scores(found: OutputPredictions) -> Tuple[GroupScore, ...]:
    """Return the scores by class, label or number to predict, those that lose most first; unknown ones last."""
    if found.task == REGRESSION:
        scores = _scores_of_numbers(found)
    elif found.task == MULTILABEL:
        scores = _scores_of_labels(found)
    else:
        confusion = confusion_of(found)
        assert confusion is not None, "classes have a matrix"
        scores = _scores_of_classes(confusion)
    return tuple(sorted(scores, key=lambda score: np.inf if np.isnan(score.lost) else -score.lost))


def scores(found: OutputPredictions) -> Tuple[float, float]:
    """Return the score of all examples in float and quantized: the fraction that is predicted correctly.

    Of several labels, it is that of the labels; of masks, that of the pixels; of a regression, the root of the mean
    squared error of all numbers.
    """
    if found.task == REGRESSION:
        before, after = (_root(_errors(outputs, found.targets)) for outputs in (found.in_float, found.quantized))
        return before, after
    if found.task == MULTILABEL:
        is_set = found.targets > 0
        return float(np.mean((found.in_float > 0) == is_set)), float(np.mean((found.quantized > 0) == is_set))
    confusion = confusion_of(found)
    assert confusion is not None, "classes have a matrix"
    total = float(confusion.in_float.sum())
    shares = [float(np.trace(matrix)) / total if total else float("nan") for matrix in confusion]
    return shares[0], shares[1]


def most_changed(confusion: Confusion, number: int) -> np.ndarray:
    """Return the indices of at most ``number`` classes whose examples or predictions change most, ascending, int64."""
    changes = np.abs(confusion.difference)
    totals = changes.sum(axis=0) + changes.sum(axis=1)
    return np.sort(np.argsort(-totals, kind="stable")[:number])


def _scores_of_classes(confusion: Confusion) -> Tuple[GroupScore, ...]:
    counts = confusion.in_float.sum(axis=1)
    found = []
    for index, number in enumerate(counts.tolist()):
        shares = [matrix[index, index] / number if number else float("nan") for matrix in confusion]
        found.append(GroupScore(index, number, float(shares[0]), float(shares[1]), float(shares[0] - shares[1])))
    return tuple(found)


def _scores_of_labels(found: OutputPredictions) -> Tuple[GroupScore, ...]:
    is_set = found.targets > 0
    before, after = (np.mean((outputs > 0) == is_set, axis=0) for outputs in (found.in_float, found.quantized))
    rows = zip(is_set.sum(axis=0).tolist(), before.tolist(), after.tolist())
    return tuple(GroupScore(index, number, one, two, one - two) for index, (number, one, two) in enumerate(rows))


def _scores_of_numbers(found: OutputPredictions) -> Tuple[GroupScore, ...]:
    scores = []
    for index in range(found.targets.shape[1]):
        part = slice(index, index + 1)
        before, after = (
            _root(_errors(outputs[:, part], found.targets[:, part])) for outputs in (found.in_float, found.quantized)
        )
        scores.append(GroupScore(index, len(found.targets), before, after, after - before))
    return tuple(scores)


def _errors(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return np.asarray(outputs.astype(np.float64) - targets.astype(np.float64))


def _root(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(errors)))) if errors.size else float("nan")


def _right_pixels(found: OutputPredictions, predicted: np.ndarray) -> np.ndarray:
    """Return the number of correct pixels of each example; ignored pixels are never predicted."""
    return np.asarray((predicted == found.targets).sum(axis=(1, 2)))


def _counted_pixels(found: OutputPredictions) -> np.ndarray:
    return np.asarray((found.targets < len(found.names)).sum(axis=(1, 2)))
