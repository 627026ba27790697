"""How good a network is on held-out data, in one number: its name, its unit, how it is written; the same everywhere.

A run's task decides on its metric. Every evaluation measures it four ways, see `WAYS`.
"""

import math
from typing import Dict, NamedTuple, Optional

from qatviz.errors import DataError

CLASSIFICATION, REGRESSION = "classification", "regression"
#: The four evaluations: nothing quantized, one of the two, both.
WAYS = ("float", "weights_only", "activations_only", "quantized")
WAY_NAMES = dict(zip(WAYS, ("float", "only weights quantized", "only activations quantized", "quantized")))


class Metric(NamedTuple):
    """One number for all held-out examples, made from the mean of something over them.

    Attributes
    ----------
    name : str
        In JSON, records, and the names of series.
    title : str
        For people, within a sentence.
    heading : str
        For people, with the unit; of a plot.
    about : str
        Explains it in a sentence.
    unit : str
        Follows a number; empty where it is that of the data.
    factor : float
        From the number that is kept to the one that is shown.
    higher_is_better : bool
    highest : float
        What it can be at most, as it is kept.
    is_root : bool
        It is the square root of a mean over the examples, not the mean itself.
    """

    name: str
    title: str
    heading: str
    about: str
    unit: str
    factor: float
    higher_is_better: bool
    highest: float
    is_root: bool = False

    def of_mean(self, mean: float) -> float:
        """The metric from the mean over the examples: of 1 for each right answer, or of the squared error."""
        return math.sqrt(mean) if self.is_root else mean

    def text(self, value: Optional[float], digits: int = 1) -> str:
        """A value with its unit: ``97.1 %``, ``0.02314``, ``48,213``; a dash where there is none.

        ``digits`` are decimals of per cents. What has no unit may be of any size: it has three more digits in all.
        """
        if value is None or math.isnan(value):
            return "-"
        shown = value * self.factor
        if self.unit:
            return f"{shown:.{digits}f}{self.unit}"
        return f"{shown:,.0f}" if 9999.5 <= abs(shown) < 1e9 else f"{shown:.{digits + 3}g}"


ACCURACY = Metric(
    "accuracy",
    "accuracy",
    "Accuracy (%)",
    "Share of held-out examples that are classified right",
    " %",
    100.0,
    True,
    1.0,
)
RMSE = Metric(
    "rmse",
    "RMSE",
    "RMSE",
    "Root of the mean squared error on held-out examples, in the unit of the targets",
    "",
    1.0,
    False,
    math.inf,
    is_root=True,
)
METRICS: Dict[str, Metric] = {metric.name: metric for metric in (ACCURACY, RMSE)}
_OF_TASK = {CLASSIFICATION: ACCURACY, REGRESSION: RMSE}
TASKS = tuple(_OF_TASK)


def metric_of(task: str) -> Metric:
    """The metric of a task.

    Raises
    ------
    DataError
        If there is no such task.
    """
    return _OF_TASK[check_task(task)]


def check_task(task: str) -> str:
    """``task``, if there is such a one.

    Raises
    ------
    DataError
    """
    if not isinstance(task, str) or task not in _OF_TASK:
        raise DataError(f"the task is {task!r}: expected {' or '.join(TASKS)}")
    return task
