"""Tasks of a network, which determine the losses and metrics that can be chosen."""

from typing import Any

from qatviz.errors import DataError

CLASSIFICATION, MULTILABEL, REGRESSION = "classification", "multilabel", "regression"
SEGMENTATION = "segmentation"
TASKS = (CLASSIFICATION, MULTILABEL, SEGMENTATION, REGRESSION)
#: Title and explanation of each task, for display.
TASK_TEXTS = {
    CLASSIFICATION: ("Classification", "Predict the class of an example; evaluated by accuracy"),
    MULTILABEL: (
        "Multi-label classification",
        "Decide for each of several labels whether an example has it; evaluated by the accuracy per label and the "
        "fraction of exact matches",
    ),
    SEGMENTATION: (
        "Segmentation",
        "Predict the class of each pixel of an image; evaluated by the mean of the classes' intersections over unions "
        "(IoU)",
    ),
    REGRESSION: ("Regression", "Predict numbers for an example; evaluated by root-mean-square error"),
}
#: Rule by which labels determine the task if it is not stated.
TASK_HELP = (
    "strings, whole numbers and one-hot rows are classes, rows of 0 and 1 with several ones are labels, images of "
    "whole numbers below 64 and one-hot images are masks (segmentation), other images and floating-point numbers are "
    "regression targets"
)


def check_task(task: Any) -> str:
    """Return ``task``; raise a `DataError` if there is no such task."""
    if not isinstance(task, str) or task not in TASKS:
        raise DataError(f"the task is {task!r}: expected {', '.join(TASKS[:-1])} or {TASKS[-1]}")
    return task
