"""Losses that training minimizes and scores that evaluations sum, by the task of the data."""

import math
from typing import Callable, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.data import Dataset
from qatviz.metric import CLASSIFICATION, REGRESSION


class Objective(NamedTuple):
    """Loss and score of a task: functions of outputs, float32 ``[batch, outputs]``, and labels.

    Attributes
    ----------
    loss : callable (outputs, labels) -> tf.Tensor
        float32 scalar.
    total_scores : callable (outputs, labels) -> tf.Tensor
        Sums of scores over the examples: ``[1]``, the number of correct classes; or ``[outputs]``, the squared errors
        of each output of a regression. The metric follows from their mean, see `qatviz.metric.Metric.of_mean`.
    baseline_loss : callable (Dataset) -> float
        Loss on the training data without any knowledge of the input: of equal probabilities for all classes, or of the
        mean of the targets.
    observes_labels : bool
        If True, the output's quantizer observes the labels, too, so that its range covers them. Values outside of a
        range have no gradient: within a range of their own, outputs, which are small at first, would hardly grow.
    """

    loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    total_scores: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    baseline_loss: Callable[[Dataset], float]
    observes_labels: bool = False


def _cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(logits=logits, labels=labels))


def _count_correct(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    predicted = tf.argmax(logits, axis=1, output_type=tf.int32)
    return tf.reshape(tf.count_nonzero(tf.equal(predicted, labels), dtype=tf.int32), [1])


def _squared_error(outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Return the mean over batch and outputs, like Keras' "mse"."""
    return tf.reduce_mean(tf.square(outputs - targets))


def _total_squared_errors(outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    # float32 is not precise enough for the sum of squares of large numbers over all held-out examples.
    return tf.reduce_sum(tf.square(tf.cast(outputs - targets, tf.float64)), axis=0)


def _variance(dataset: Dataset) -> float:
    """Return the loss of predicting the mean of the targets for every example."""
    return float(np.mean(np.var(dataset.y_train, axis=0, dtype=np.float64)))


OBJECTIVES = {
    CLASSIFICATION: Objective(_cross_entropy, _count_correct, lambda dataset: math.log(dataset.num_classes)),
    REGRESSION: Objective(_squared_error, _total_squared_errors, _variance, observes_labels=True),
}
