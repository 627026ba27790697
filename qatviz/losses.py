"""Losses that training can minimize: their names, tasks and texts; `qatviz.training.objective` computes them."""

from typing import Dict, NamedTuple, Tuple

from qatviz.errors import SettingError
from qatviz.own_functions import is_function
from qatviz.task import CLASSIFICATION, MULTILABEL, REGRESSION, SEGMENTATION

#: Value of the settings ``loss`` and ``metric`` with which the task decides.
AUTOMATIC = "auto"
CROSS_ENTROPY, BINARY_CROSS_ENTROPY = "cross_entropy", "binary_cross_entropy"
MEAN_SQUARED_ERROR, MEAN_ABSOLUTE_ERROR, HUBER = "mse", "mae", "huber"


class Loss(NamedTuple):
    """Declaration of a loss.

    Attributes
    ----------
    title : str
        Name for display.
    help : str
        One sentence that defines it.
    tasks : tuple of str
        Tasks, of :data:`qatviz.task.TASKS`, for which it can be chosen.
    """

    title: str
    help: str
    tasks: Tuple[str, ...]


#: Losses by their names in options and records. Those of Keras with the same names compute the same.
LOSSES: Dict[str, Loss] = {
    CROSS_ENTROPY: Loss(
        "Cross-entropy",
        "Negative logarithm of the softmax probability of the right class; the mean over the pixels of a mask.",
        (CLASSIFICATION, SEGMENTATION),
    ),
    BINARY_CROSS_ENTROPY: Loss(
        "Binary cross-entropy",
        "Negative logarithm of the sigmoid probability of the right answer: of one logit for two classes, else the "
        "mean over a logit for each class or label.",
        (CLASSIFICATION, MULTILABEL, SEGMENTATION),
    ),
    MEAN_SQUARED_ERROR: Loss("Mean squared error", "Mean of the squared errors.", (REGRESSION,)),
    MEAN_ABSOLUTE_ERROR: Loss(
        "Mean absolute error",
        "Mean of the errors' absolute values; outliers have less weight than in MSE.",
        (REGRESSION,),
    ),
    HUBER: Loss(
        "Huber loss",
        "Mean of half the squared error up to an error of 1, and of the absolute error less 0.5 beyond.",
        (REGRESSION,),
    ),
}
#: Values of the setting ``loss``.
LOSS_CHOICES: Tuple[str, ...] = (AUTOMATIC, *LOSSES)


def is_single_logit(task: str, outputs: int) -> bool:
    """Return whether the network decides between two classes by the sign of its only output, of each pixel in masks.

    ``outputs`` is the length of the last axis of the network's output, here and in :func:`loss_for`.
    """
    return task in (CLASSIFICATION, SEGMENTATION) and outputs == 1


def loss_for(loss: str, task: str, outputs: int) -> str:
    """Return the name in `LOSSES` of the loss for a value of the setting, a task and a number of outputs.

    Parameters
    ----------
    loss : str
        One of `LOSS_CHOICES`, or a function ``path.py:function``, which fits any task; "auto" is cross-entropy for
        classes, binary with a single logit or several labels, and MSE for regression.
    task : str
        One of :data:`qatviz.task.TASKS`.
    outputs : int
        Number of the network's outputs.

    Raises
    ------
    SettingError
        If the loss does not fit the task, or the number of outputs.
    """
    if is_function(loss):
        return loss
    if loss == AUTOMATIC:
        if task == REGRESSION:
            return MEAN_SQUARED_ERROR
        is_binary = task == MULTILABEL or is_single_logit(task, outputs)
        return BINARY_CROSS_ENTROPY if is_binary else CROSS_ENTROPY
    if loss in LOSSES and task not in LOSSES[loss].tasks:
        allowed = [name for name, declared in LOSSES.items() if task in declared.tasks]
        raise SettingError.of_field("loss", f"is {loss!r}, but the task is {task}: expected {' or '.join(allowed)}")
    if loss == CROSS_ENTROPY and is_single_logit(task, outputs):
        raise SettingError.of_field(
            "loss",
            f"is {loss!r}, but the network has a single output, whose softmax is always 1: expected "
            f"{BINARY_CROSS_ENTROPY}, or a network with an output for each class",
        )
    return loss
