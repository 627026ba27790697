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
        ``[n]``: sums over the examples of the score whose mean determines the metric, see
        `qatviz.metric.Metric.of_mean`; one for each output of a regression, whose mean is the score of all.
    baseline_loss : callable (Dataset) -> float
        Loss on the training data of the best constant prediction.
    observes_labels : bool
        If True, the output's quantizer observes the range of the labels, too. Values outside of a range have no
        gradient: outputs that start with small values, and whose range is their moving average, would hardly grow to
        the targets.
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
