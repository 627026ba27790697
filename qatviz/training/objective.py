"""What training makes small and what evaluations measure, by the task of the data."""

import math
from typing import Callable, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.data import Dataset
from qatviz.metric import CLASSIFICATION, REGRESSION


class Objective(NamedTuple):
    """Functions of the network's outputs, float32 ``[batch, outputs]``, and the labels of these examples.

    Attributes
    ----------
    loss : callable (outputs, labels) -> tf.Tensor
        float32 scalar.
    total_score : callable (outputs, labels) -> tf.Tensor
        Scalar: the sum over the examples of what the metric is the mean of, see `qatviz.metric.Metric.of_mean`.
    loss_of_guessing : callable (Dataset) -> float
        The loss on the data for training of what knows nothing but how the labels are spread.
    reaches_labels : bool
        The outputs are to become the labels, so that the labels' range counts as seen by the output's quantizer. What
        lies outside of a range has no gradient: an output whose first values are small, and whose range follows them
        by a moving average, could hardly grow to the numbers it has to put out.
    """

    loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    total_score: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    loss_of_guessing: Callable[[Dataset], float]
    reaches_labels: bool = False


def _cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(logits=logits, labels=labels))


def _count_correct(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    predicted = tf.argmax(logits, axis=1, output_type=tf.int32)
    return tf.count_nonzero(tf.equal(predicted, labels), dtype=tf.int32)


def _squared_error(outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """The mean over batch and outputs, as Keras' "mse"."""
    return tf.reduce_mean(tf.square(outputs - targets))


def _total_squared_error(outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    # Squares of large numbers, summed over all held-out examples, are more than float32 tells apart.
    return tf.reduce_sum(tf.reduce_mean(tf.square(tf.cast(outputs - targets, tf.float64)), axis=1))


def _variance(dataset: Dataset) -> float:
    """The loss of putting out the mean of the targets, whatever the example."""
    return float(np.mean(np.var(dataset.y_train, axis=0, dtype=np.float64)))


OBJECTIVES = {
    CLASSIFICATION: Objective(_cross_entropy, _count_correct, lambda dataset: math.log(dataset.num_classes)),
    REGRESSION: Objective(_squared_error, _total_squared_error, _variance, reaches_labels=True),
}
