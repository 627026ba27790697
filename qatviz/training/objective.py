"""Losses that training minimizes."""

import math
from typing import Callable, Dict, NamedTuple, Optional

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz import losses
from qatviz.data import Dataset
from qatviz.data.masks import void_of
from qatviz.task import SEGMENTATION

#: Error up to which the Huber loss is quadratic, as Keras' default.
_HUBER_DELTA = 1.0


class Objective(NamedTuple):
    """Loss as a function of a batch's outputs and labels.

    Outputs are float32 ``[batch, outputs]``, for regression also images ``[batch, rows, columns, channels]``. Labels
    are classes, int32 ``[batch]``; several labels, int32 ``[batch, outputs]`` of 0 and 1; or targets, float32 in the
    shape of the outputs.

    Attributes
    ----------
    loss : callable (outputs, labels) -> tf.Tensor
        float32 ``[batch]``, or in the shape of the outputs: terms whose mean is the loss.
    baseline_loss : callable (Dataset) -> float
        Loss on the training data if the input is ignored: that of equal probabilities for all classes, or of
        predicting the mean of the targets.
    observes_labels : bool
        If True, the output's quantizer observes the labels, too, so that its range covers them. Outputs are small at
        first, and would hardly grow within a range of their own, because values beyond a range have no gradient.
    smoothing : callable (outputs, labels) -> tf.Tensor, optional
        float32 ``[batch, outputs]``: terms whose mean a label smoothing of 1 adds to the loss, which is linear in the
        smoothing. None for losses without classes.
    counted : callable (labels) -> tf.Tensor, optional
        float32 in the shape of the terms, 1 for those of which the mean is the loss, else 0; None if all are.
    """

    loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    baseline_loss: Callable[[Dataset], float]
    observes_labels: bool = False
    smoothing: Optional[Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = None
    counted: Optional[Callable[[tf.Tensor], tf.Tensor]] = None

    def mean_loss(
        self,
        outputs: tf.Tensor,
        labels: tf.Tensor,
        label_smoothing: Optional[tf.Tensor] = None,
        weights: Optional[tf.Tensor] = None,
    ) -> tf.Tensor:
        """Return the loss of a batch, float32 scalar.

        Parameters
        ----------
        outputs, labels : tf.Tensor
        label_smoothing : tf.Tensor, optional
            float32 scalar from 0 to 1; None: no smoothing.
        weights : tf.Tensor, optional
            float32 ``[batch]``: factors of the examples' losses, by whose sum the mean is not divided, as in Keras.
        """
        counted = None if self.counted is None else self.counted(labels)
        loss = _weighted_mean(self.loss(outputs, labels), weights, counted)
        if self.smoothing is None or label_smoothing is None:
            return loss
        return loss + label_smoothing * _weighted_mean(self.smoothing(outputs, labels), weights, counted)


def _weighted_mean(terms: tf.Tensor, weights: Optional[tf.Tensor], counted: Optional[tf.Tensor]) -> tf.Tensor:
    if weights is not None:
        terms *= tf.reshape(weights, [-1] + [1] * (terms.shape.ndims - 1))
    if counted is not None:
        return tf.div_no_nan(tf.reduce_sum(terms * counted), tf.reduce_sum(counted))
    return tf.reduce_mean(terms)


def _cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(logits=logits, labels=labels)


def _binary_cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.nn.sigmoid_cross_entropy_with_logits(logits=logits, labels=_answers(logits, labels))


def _answers(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the right answer of each logit, 0 or 1: float32 ``[batch, outputs]``; a single logit is that of class 1.

    ``labels`` are classes ``[batch]``, or already the answers to several labels, ``[batch, outputs]``.
    """
    outputs = int(logits.shape[1])
    if labels.shape.ndims == 2:
        return tf.cast(labels, tf.float32)
    return tf.cast(labels[:, tf.newaxis], tf.float32) if outputs == 1 else tf.one_hot(labels, outputs)


def _cross_entropy_smoothing(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return terms of the loss for equal probabilities as the right answer minus that for the labels.

    Both contain the logarithm of the sum of exponentials, so that only terms of the logits remain.
    """
    classes = int(logits.shape[1])
    return logits * tf.one_hot(labels, classes, float(classes - 1), -1.0)


def _binary_cross_entropy_smoothing(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return terms of the loss for 1/2 as the right answer of each logit minus that for the labels."""
    return logits * (_answers(logits, labels) - 0.5)


def _squared_error(outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Return the squared errors, whose mean over batch and outputs is Keras' "mse"."""
    return tf.square(outputs - targets)


def _absolute_error(outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Return the absolute errors, whose mean over batch and outputs is Keras' "mae"."""
    return tf.abs(outputs - targets)


def _huber(outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Return terms whose mean over batch and outputs is Keras' "huber" (Huber 1964)."""
    error = tf.abs(outputs - targets)
    quadratic = tf.minimum(error, _HUBER_DELTA)
    return 0.5 * tf.square(quadratic) + _HUBER_DELTA * (error - quadratic)


def _errors_of_mean(dataset: Dataset) -> np.ndarray:
    """Return the errors of predicting the mean of the targets for every example: float64 in the targets' shape."""
    targets = dataset.y_train.astype(np.float64)
    return np.asarray(targets - targets.mean(axis=0))


def _huber_of_mean(dataset: Dataset) -> float:
    error = np.abs(_errors_of_mean(dataset))
    quadratic = np.minimum(error, _HUBER_DELTA)
    return float(np.mean(0.5 * quadratic**2 + _HUBER_DELTA * (error - quadratic)))


def _regression(
    loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], baseline_loss: Callable[[Dataset], float]
) -> Objective:
    return Objective(loss, baseline_loss, observes_labels=True)


#: Objectives by the names of :data:`qatviz.losses.LOSSES`.
OBJECTIVES: Dict[str, Objective] = {
    losses.CROSS_ENTROPY: Objective(
        _cross_entropy,
        lambda dataset: math.log(dataset.num_classes),
        smoothing=_cross_entropy_smoothing,
    ),
    losses.BINARY_CROSS_ENTROPY: Objective(
        _binary_cross_entropy,
        lambda _: math.log(2.0),
        smoothing=_binary_cross_entropy_smoothing,
    ),
    losses.MEAN_SQUARED_ERROR: _regression(
        _squared_error, lambda dataset: float(np.mean(np.square(_errors_of_mean(dataset))))
    ),
    losses.MEAN_ABSOLUTE_ERROR: _regression(
        _absolute_error, lambda dataset: float(np.mean(np.abs(_errors_of_mean(dataset))))
    ),
    losses.HUBER: _regression(_huber, _huber_of_mean),
}


def imitation_loss(outputs: tf.Tensor, answers: tf.Tensor, temperature: tf.Tensor, is_sigmoid: bool) -> tf.Tensor:
    """Return the cross-entropy of logits for those of a teacher, both divided by ``temperature``, times its square.

    ``outputs`` and ``answers`` are float32 ``[..., outputs]``, each independent of the others if ``is_sigmoid``; the
    result is the mean, a float32 scalar. The equations are in :mod:`qatviz.training.distillation`.
    """
    logits, teacher = outputs / temperature, answers / temperature
    if is_sigmoid:
        terms = tf.nn.sigmoid_cross_entropy_with_logits(logits=logits, labels=tf.nn.sigmoid(teacher))
    else:
        terms = tf.nn.softmax_cross_entropy_with_logits_v2(logits=logits, labels=tf.nn.softmax(teacher))
    return tf.square(temperature) * tf.reduce_mean(terms)


def objective_for(loss: str, task: str) -> Objective:
    """Return the objective of a loss, a name of :data:`qatviz.losses.LOSSES`, for labels of a task."""
    return _of_pixels(OBJECTIVES[loss]) if task == SEGMENTATION else OBJECTIVES[loss]


def _of_pixels(objective: Objective) -> Objective:
    """Return the objective for masks, in which each pixel is an example; those that are ignored do not count.

    Outputs are float32 ``[batch, height, width, outputs]``, labels uint8 or int32 ``[batch, height, width]``.
    """

    def by_pixel(function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        def terms(outputs: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
            labels = tf.cast(masks, tf.int32)
            labels *= tf.cast(tf.not_equal(labels, void_of(masks.dtype.as_numpy_dtype)), tf.int32)
            flat = function(tf.reshape(outputs, [-1, int(outputs.shape[-1])]), tf.reshape(labels, [-1]))
            return tf.reshape(flat if flat.shape.ndims == 1 else tf.reduce_mean(flat, axis=1), tf.shape(masks))

        return terms

    def counted(masks: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.not_equal(tf.cast(masks, tf.int32), void_of(masks.dtype.as_numpy_dtype)), tf.float32)

    smoothing = None if objective.smoothing is None else by_pixel(objective.smoothing)
    return objective._replace(loss=by_pixel(objective.loss), smoothing=smoothing, counted=counted)
