"""Tasks: what a network learns from data, which determines its losses and its metric."""

from typing import Any

from qatviz.errors import DataError

CLASSIFICATION, REGRESSION = "classification", "regression"
TASKS = (CLASSIFICATION, REGRESSION)
#: Rule for labels without a stated task.
TASK_HELP = "strings, whole numbers and one-hot rows are classes, other floating-point numbers are regression targets"


def check_task(task: Any) -> str:
    """Return ``task``.

    Raises
    ------
    DataError
        If there is no such task.
    """
    if not isinstance(task, str) or task not in TASKS:
        raise DataError(f"the task is {task!r}: expected {' or '.join(TASKS)}")
    return task
