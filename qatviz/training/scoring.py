"""Metrics of held-out examples: in the graph for some of them, in NumPy for all."""

from typing import Callable, Dict, List, NamedTuple, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.analysis.scores import area_under_curve, mean_iou, score_of_class_1
from qatviz.data.masks import void_of
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

#: Metric over all examples; and for each label, class of masks or number to predict, or once more for classes.
Scores = Tuple[float, Tuple[float, ...]]


class Scoring(NamedTuple):
    """Computation of a metric in two stages: in the graph for some examples, then in NumPy for all.

    Attributes
    ----------
    part : callable (outputs, labels) -> tf.Tensor
        Result for some examples. Outputs and labels are those of :class:`qatviz.training.objective.Objective`.
    whole : callable (Metric, parts, number of examples) -> Scores
        Metric of all examples from the results for their parts, NumPy arrays.
    """

    part: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    whole: Callable[[Metric, List[np.ndarray], int], Scores]


def scores_of(metric: Metric, parts: List[np.ndarray], num_examples: int) -> Scores:
    """Return a metric from the results of :attr:`Scoring.part` for all parts of the held-out data, in their order."""
    known = SCORINGS.get(metric.name)
    whole = fraction if known is None else known.whole  # that of a user's function
    return whole(metric, parts, num_examples)


def _count_correct(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the number of correct classes, int32 ``[1]``."""
    if int(logits.shape[1]) == 1:
        predicted = tf.cast(logits[:, 0] > 0.0, tf.int32)
    else:
        predicted = tf.argmax(logits, axis=1, output_type=tf.int32)
    return tf.reshape(tf.count_nonzero(tf.equal(predicted, labels), dtype=tf.int32), [1])


def _count_among_top(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the number of examples whose class has one of the five largest logits, int32 ``[1]``.

    Of equal logits, which few bits make frequent, the first ones count, as for the accuracy. ``tf.nn.in_top_k`` counts
    all of them: a network whose logits are all equal would always be right.
    """
    _, classes = tf.math.top_k(logits, TOP)
    is_found = tf.reduce_any(tf.equal(classes, labels[:, tf.newaxis]), axis=1)
    return tf.reshape(tf.count_nonzero(is_found, dtype=tf.int32), [1])


def _count_correct_labels(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the number of correct decisions on each label, int32 ``[labels]``."""
    return tf.count_nonzero(_are_correct(logits, labels), axis=0, dtype=tf.int32)


def _count_exact_matches(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the number of examples without a wrong decision on a label, int32 ``[1]``."""
    exact = tf.reduce_all(_are_correct(logits, labels), axis=1, keepdims=True)
    return tf.count_nonzero(exact, axis=0, dtype=tf.int32)


def _are_correct(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.equal(tf.cast(logits > 0.0, labels.dtype), labels)


def _logits_and_labels(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the logits and the class of each example, float32 ``[batch, outputs + 1]``."""
    return tf.concat([logits, tf.cast(labels[:, tf.newaxis], tf.float32)], axis=1)


def _count_correct_pixels(logits: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
    """Return the number of correct pixels, and of all that are not ignored, int32 ``[2]``."""
    labels = tf.cast(masks, tf.int32)
    counts = tf.not_equal(labels, void_of(masks.dtype.as_numpy_dtype))
    # Ignored pixels are never predicted.
    is_right = tf.equal(_predicted_pixels(logits), labels)
    return tf.stack([tf.count_nonzero(is_right, dtype=tf.int32), tf.count_nonzero(counts, dtype=tf.int32)])


def _count_pixels_by_class(logits: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
    """Return the number of pixels of each class (row) predicted as each class, int32 ``[classes, classes]``."""
    classes = max(int(logits.shape[-1]), 2)
    labels = tf.cast(masks, tf.int32)
    which = tf.where(tf.not_equal(labels, void_of(masks.dtype.as_numpy_dtype)))
    pairs = classes * tf.gather_nd(labels, which) + tf.gather_nd(_predicted_pixels(logits), which)
    return tf.reshape(tf.math.bincount(pairs, minlength=classes**2, maxlength=classes**2), [classes, classes])


def _predicted_pixels(logits: tf.Tensor) -> tf.Tensor:
    """Return the class of each pixel, int32 ``[batch, height, width]``; of equal logits, the first counts."""
    if int(logits.shape[-1]) == 1:
        return tf.cast(logits[..., 0] > 0.0, tf.int32)
    return tf.argmax(logits, axis=-1, output_type=tf.int32)


def _total_squared_errors(outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Return the squared errors of each output, float64 ``[outputs]``; of images, their mean, ``[1]``."""
    # float32 is not precise enough for the sum of squares of large numbers over all held-out examples.
    errors = tf.square(tf.cast(outputs - targets, tf.float64))
    if outputs.shape.ndims > 2:
        errors = tf.reduce_mean(tf.reshape(errors, [tf.shape(errors)[0], -1]), axis=1, keepdims=True)
    return tf.reduce_sum(errors, axis=0)


def _mean(metric: Metric, totals: List[np.ndarray], num_examples: int) -> Scores:
    """Return a metric that is computed from a mean over the examples; ``totals`` are sums over parts of them."""
    total = np.zeros(1)
    for each in totals:
        total = total + np.asarray(each, np.float64)
    outputs = tuple(metric.of_mean(float(part) / num_examples) for part in total)
    return metric.of_mean(float(total.mean()) / num_examples), outputs


def fraction(metric: Metric, counts: List[np.ndarray], num_examples: int) -> Scores:
    """Return the fraction of right decisions; ``counts`` are the numbers of right ones and of all, for each part.

    NaN without decisions.
    """
    right, total = np.sum(counts, axis=0, dtype=np.float64)
    found = float(right / total) if total else float("nan")
    return found, (found,)


def _mean_iou(metric: Metric, counts: List[np.ndarray], num_examples: int) -> Scores:
    return mean_iou(np.sum(counts, axis=0, dtype=np.float64))


def _auc(metric: Metric, parts: List[np.ndarray], num_examples: int) -> Scores:
    rows = np.concatenate(parts).astype(np.float64)
    logits, labels = rows[:, :-1], rows[:, -1]
    area = area_under_curve(score_of_class_1(logits), labels > 0.5)
    return area, (area,)


#: Computations by the names of :data:`qatviz.metric.METRICS`.
SCORINGS: Dict[str, Scoring] = {
    ACCURACY.name: Scoring(_count_correct, _mean),
    TOP_5.name: Scoring(_count_among_top, _mean),
    AUC.name: Scoring(_logits_and_labels, _auc),
    LABEL_ACCURACY.name: Scoring(_count_correct_labels, _mean),
    EXACT_MATCH.name: Scoring(_count_exact_matches, _mean),
    MEAN_IOU.name: Scoring(_count_pixels_by_class, _mean_iou),
    PIXEL_ACCURACY.name: Scoring(_count_correct_pixels, fraction),
    RMSE.name: Scoring(_total_squared_errors, _mean),
}
