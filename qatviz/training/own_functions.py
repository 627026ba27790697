"""Losses and metrics that are functions of a user's Python file, called with Keras' arguments.

``y_true`` has the shape of ``y_pred``, float32: one-hot rows for classes and masks, with zeros for ignored pixels; 0 or
1 for a single logit, with -1 for ignored pixels; other labels and targets as they are. ``y_pred`` is the model's
output: probabilities if it ends with a softmax or a sigmoid.
"""

import tensorflow.compat.v1 as tf

from qatviz.data.masks import void_of
from qatviz.errors import SettingError
from qatviz.own_functions import OwnFunction
from qatviz.task import CLASSIFICATION, REGRESSION, SEGMENTATION
from qatviz.training.objective import Objective
from qatviz.training.scoring import Scoring, fraction

SIGMOID, SOFTMAX = "sigmoid", "softmax"
_LOSS, _METRIC = "loss", "metric"


def own_objective(function: OwnFunction, task: str, activation: str = "") -> Objective:
    """Return the objective whose loss a user's function computes.

    Parameters
    ----------
    function : OwnFunction
    task : str
        A name of :mod:`qatviz.task`.
    activation : str
        "sigmoid" or "softmax" if the model ends with it; empty otherwise.
    """
    has_gradient = False  # verified where the loss is built first: differentiating it takes time

    def loss(outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        nonlocal has_gradient
        found = _called(function, _LOSS, task, activation, outputs, labels)
        if not has_gradient and tf.gradients(found, outputs)[0] is None:
            raise SettingError(f"{_LOSS}: {function.where}: its result has no gradient with respect to y_pred", _LOSS)
        has_gradient = True
        return found

    return Objective(loss, lambda _: 0.0, observes_labels=task == REGRESSION)


def own_scoring(function: OwnFunction, task: str, activation: str = "") -> Scoring:
    """Return the computation of a metric by a user's function: the mean of its results over examples.

    A scalar result counts as that of each example of the part of the held-out data. The arguments are those of
    :func:`own_objective`.
    """

    def part(outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        found = tf.cast(_called(function, _METRIC, task, activation, outputs, labels), tf.float64)
        number = tf.cast(tf.shape(outputs)[0], tf.float64)
        return tf.stack([tf.reduce_mean(found) * number, number])

    return Scoring(part, fraction)


def _called(
    function: OwnFunction, field: str, task: str, activation: str, outputs: tf.Tensor, labels: tf.Tensor
) -> tf.Tensor:
    """Return the result of a function, float32 of a known rank; a `SettingError` names the function that failed."""
    where = f"{field}: {function.where}"
    if function.call is None:
        raise SettingError(f"{where}: it has not been read; expected the code of the run", field)
    try:
        found = function.call(_y_true(task, outputs, labels), _y_pred(activation, outputs))
        found = tf.convert_to_tensor(found)
    except Exception as error:  # the user's code may raise anything
        raise SettingError(f"{where} failed: {type(error).__name__}: {error}", field) from error
    if not found.dtype.is_floating or found.shape.ndims is None:
        raise SettingError(
            f"{where}: found a result of {found.dtype.name} and shape {found.shape}; expected floating-point numbers "
            "of a known number of axes: a scalar, or one for each example",
            field,
        )
    return tf.cast(found, tf.float32)


def _y_true(task: str, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return ``y_true`` of the module's docstring."""
    if task not in (CLASSIFICATION, SEGMENTATION):
        return tf.cast(labels, tf.float32)
    classes, numbers = int(outputs.shape[-1]), tf.cast(labels, tf.int32)
    if classes > 1:
        return tf.one_hot(numbers, classes)
    answers = tf.cast(numbers, tf.float32)
    if task == SEGMENTATION:
        answers = tf.where(tf.equal(numbers, void_of(labels.dtype.as_numpy_dtype)), -tf.ones_like(answers), answers)
    return answers[..., tf.newaxis]


def _y_pred(activation: str, outputs: tf.Tensor) -> tf.Tensor:
    """Return ``y_pred`` of the module's docstring."""
    return {SIGMOID: tf.nn.sigmoid, SOFTMAX: tf.nn.softmax}.get(activation, tf.identity)(outputs)


def activation_of(has_sigmoid: bool, has_softmax: bool) -> str:
    """Return the name of the activation at the end of a model; empty without one."""
    return SIGMOID if has_sigmoid else SOFTMAX if has_softmax else ""
