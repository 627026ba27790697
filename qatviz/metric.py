"""Metrics: numbers for the quality of a network on held-out data, with their names, units and number formats.

The task (`qatviz.task`) determines which metrics can be chosen, and the default. Every evaluation computes the chosen
metric in four modes, see `MODES`; `qatviz.training.scoring` has the computations.
"""

import math
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from qatviz.errors import SettingError
from qatviz.losses import AUTOMATIC
from qatviz.measure_axis import MeasureAxis
from qatviz.number_format import UNKNOWN, plain, share_text
from qatviz.own_functions import OWN_METRIC, is_function, is_higher_better, split_spec
from qatviz.task import CLASSIFICATION, MULTILABEL, REGRESSION, SEGMENTATION, check_task

#: The four modes of evaluation, by the quantized tensors: none, weights only, activations only, all.
MODES = ("float", "weights_only", "activations_only", "quantized")
#: Names of the modes for display.
MODE_NAMES = dict(zip(MODES, ("float", "weights only", "activations only", "quantized")))

#: Number of largest outputs among which that of the right class must be for the top-5 accuracy.
TOP = 5

#: Largest number of outputs whose metric is listed.
_MOST_OUTPUTS = 32


class Metric(NamedTuple):
    """One number for all held-out examples.

    Attributes
    ----------
    name : str
        Name in JSON, records, and the names of series.
    title : str
        Name for display, within a sentence.
    heading : str
        Title of a plot, with the unit.
    about : str
        One sentence that explains it.
    task : str
        Task of the data that it fits.
    unit : str
        Text after a number; empty for the unit of the data and for numbers without a unit.
    factor : float
        Factor from the stored number to the displayed one.
    higher_is_better : bool
    highest : float
        Largest possible stored number.
    is_root : bool
        Whether it is the square root of a mean over the examples; otherwise it is the mean itself.
    part : str
        Name of what the results by output are of.
    """

    name: str
    title: str
    heading: str
    about: str
    task: str
    unit: str
    factor: float
    higher_is_better: bool
    highest: float
    is_root: bool = False
    part: str = "output"

    def loss(self, before: float, after: float) -> float:
        """Return how much worse ``after`` is: the difference of a fraction, or the relative increase of an error."""
        if self.higher_is_better:
            return before - after
        return after / before - 1 if before else after

    @property
    def is_fraction(self) -> bool:
        """Whether it is a fraction of examples or labels, shown in percent, with differences in percentage points."""
        return bool(self.unit)

    @property
    def lead(self) -> str:
        """Text for display before a number: the title and a space; empty for the accuracy: ``97.1 %``."""
        return "" if self.name == "accuracy" else self.title + " "

    @property
    def capitalized_title(self) -> str:
        """Name for display, at the beginning of a sentence."""
        return self.title[0].upper() + self.title[1:]

    @property
    def axis(self) -> MeasureAxis:
        """Axis of a plot. If the metric has a largest value, the axis ends 1 % beyond the possible values."""
        highest = self.factor * self.highest
        if not math.isfinite(highest):
            return MeasureAxis(self.factor, can_log=True)
        limits = (-highest / 100, highest + highest / 100)
        return MeasureAxis(self.factor, self.unit.strip(), limits=limits, least_span=highest / 50, settles=True)

    def of_mean(self, mean: float) -> float:
        """Return the metric for a mean over the examples of their scores.

        The score of an example is 1 or 0 for a correct or wrong class, the fraction of its labels that are correct, or
        its mean squared error. For a metric that is not a mean of scores, such as AUC, ``mean`` is the metric itself.
        """
        return math.sqrt(mean) if self.is_root else mean

    def output_rows(self, outputs: Sequence[Sequence[float]]) -> List[List[str]]:
        """Return the rows of a table: the name of an output, and the texts of its metric in each of :data:`MODES`.

        ``outputs`` has a row for each mode, with a number for each output. Only the first 32 outputs have a row; a last
        one has the number of the others.
        """
        columns = list(zip(*outputs))
        rows = [
            [f"{self.part} {index}", *map(self.text, column)] for index, column in enumerate(columns[:_MOST_OUTPUTS])
        ]
        more = len(columns) - _MOST_OUTPUTS
        return rows + ([[f"and {more:,} more", *[""] * len(MODES)]] if more > 0 else [])

    def output_lines(self, outputs: Sequence[Sequence[float]]) -> List[str]:
        """Return :meth:`output_rows` as lines: ``output 0: float 0.02314, weights only …``."""
        lines = []
        for name, *texts in self.output_rows(outputs):
            known = [f"{MODE_NAMES[mode]} {text}" for mode, text in zip(MODES, texts) if text]
            lines.append(f"{name}: {', '.join(known)}" if known else name)
        return lines

    def listing(self, scores: Mapping[str, float]) -> str:
        """Return values by name, with one more digit than :meth:`text`: ``float 97.12 %, file 97.02 %``.

        Only a fraction of exactly 1 is ``100.00 %``.
        """
        texts = (share_text(score) if self.is_fraction else self.text(score, 2) for score in scores.values())
        return ", ".join(f"{name} {text}" for name, text in zip(scores, texts))

    def plain(self, value: Optional[float]) -> str:
        """Return :meth:`text` in ASCII, for terminals."""
        return plain(self.text(value))

    def text(self, value: Optional[float], digits: int = 1) -> str:
        """Return a value with its unit: ``97.1 %``, ``0.02314``, ``48,213``; a dash for None and NaN.

        ``digits`` is the number of decimals of a percentage. A number without a unit, which can have any magnitude, has
        ``digits + 3`` significant digits; between 10,000 and 1e9, it is a whole number.
        """
        if value is None or math.isnan(value):
            return UNKNOWN
        shown = value * self.factor
        if self.unit:
            return f"{shown:.{digits}f}{self.unit}"
        return f"{shown:,.0f}" if 9999.5 <= abs(shown) < 1e9 else f"{shown:.{digits + 3}g}"


class OutputMetric(NamedTuple):
    """A metric of one output of a network; ``output`` is its name, empty if the network has only one."""

    output: str
    metric: Metric


ACCURACY = Metric(
    "accuracy",
    "accuracy",
    "Accuracy (%)",
    "Fraction of held-out examples that are classified correctly",
    CLASSIFICATION,
    " %",
    100.0,
    True,
    1.0,
)
TOP_5 = Metric(
    "top5",
    "top-5 accuracy",
    "Top-5 accuracy (%)",
    "Fraction of held-out examples whose class is among the five with the largest outputs; of equals, the first count",
    CLASSIFICATION,
    " %",
    100.0,
    True,
    1.0,
)
AUC = Metric(
    "auc",
    "AUC",
    "AUC",
    "Area under the ROC curve: fraction of pairs of held-out examples, one of each class, that the output orders "
    "correctly; equal outputs count half",
    CLASSIFICATION,
    "",
    1.0,
    True,
    1.0,
)
LABEL_ACCURACY = Metric(
    "label_accuracy",
    "label accuracy",
    "Label accuracy (%)",
    "Fraction of the labels of held-out examples that are decided correctly, each by the sign of its logit",
    MULTILABEL,
    " %",
    100.0,
    True,
    1.0,
)
EXACT_MATCH = Metric(
    "exact_match",
    "exact match",
    "Exact match (%)",
    "Fraction of held-out examples whose labels are all decided correctly",
    MULTILABEL,
    " %",
    100.0,
    True,
    1.0,
)
MEAN_IOU = Metric(
    "mean_iou",
    "mean IoU",
    "Mean IoU (%)",
    "Intersection over union of the pixels predicted as a class and those of it in held-out masks: the mean over the "
    "classes that are in either; ignored pixels do not count",
    SEGMENTATION,
    " %",
    100.0,
    True,
    1.0,
    part="class",
)
PIXEL_ACCURACY = Metric(
    "pixel_accuracy",
    "pixel accuracy",
    "Pixel accuracy (%)",
    "Fraction of the pixels of held-out examples that are classified correctly; ignored pixels do not count",
    SEGMENTATION,
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
    REGRESSION,
    "",
    1.0,
    False,
    math.inf,
    is_root=True,
)


class _Metrics(Dict[str, Metric]):
    """Metrics by name; those that are functions of a user are made of their names."""

    def __missing__(self, name: str) -> Metric:
        if not is_function(name) and not name.startswith(OWN_METRIC):
            raise KeyError(name)
        function = split_spec(name)[1]
        is_better = is_higher_better(function)
        about = f"Result of the function {function} of the user on held-out examples, as the mean over these"
        return Metric(OWN_METRIC + function, function, function, about, "", "", 1.0, is_better, math.inf)


#: Metrics by name.
METRICS: Dict[str, Metric] = _Metrics(
    {
        metric.name: metric
        for metric in (ACCURACY, TOP_5, AUC, LABEL_ACCURACY, EXACT_MATCH, MEAN_IOU, PIXEL_ACCURACY, RMSE)
    }
)
#: Values of the setting ``metric``.
METRIC_CHOICES: Tuple[str, ...] = (AUTOMATIC, *METRICS)
_OF_TASK = {CLASSIFICATION: ACCURACY, MULTILABEL: LABEL_ACCURACY, SEGMENTATION: MEAN_IOU, REGRESSION: RMSE}
#: Metrics that are evaluated for a task, whichever is chosen.
_ALWAYS = {MULTILABEL: (LABEL_ACCURACY, EXACT_MATCH), SEGMENTATION: (MEAN_IOU, PIXEL_ACCURACY)}


def metric_of(task: str) -> Metric:
    """Return the default metric of a task.

    Raises
    ------
    DataError
        If there is no such task.
    """
    return _OF_TASK[check_task(task)]


def metric_for(choice: str, task: str, classes: int) -> Metric:
    """Return the metric for a value of the setting, a task and a number of classes.

    Parameters
    ----------
    choice : str
        One of `METRIC_CHOICES`, or a function ``path.py:function``, which fits any task; "auto" is the accuracy for
        classes and labels, the mean IoU for segmentation, and RMSE for regression.
    task : str
        One of :data:`qatviz.task.TASKS`.
    classes : int
        Number of classes or labels; 0 for regression.

    Raises
    ------
    SettingError
        If the metric does not fit the task, or the number of classes.
    """
    if choice == AUTOMATIC:
        return metric_of(task)
    if is_function(choice):
        return METRICS[choice]
    metric = METRICS[choice]
    if metric.task != task:
        allowed = [name for name, known in METRICS.items() if known.task == task]
        raise SettingError.of_field("metric", f"is {choice!r}, but the task is {task}: expected {' or '.join(allowed)}")
    if metric is TOP_5 and classes <= TOP:
        raise SettingError.of_field(
            "metric", f"is {choice!r}, but there are only {classes} classes: expected {ACCURACY.name}"
        )
    if metric is AUC and classes != 2:
        raise SettingError.of_field(
            "metric",
            f"is {choice!r}, defined for 2 classes, but there are {classes}: expected {ACCURACY.name}",
        )
    return metric


def evaluated_metrics(choice: str, task: str, classes: int) -> Tuple[Metric, ...]:
    """Return the metrics that an evaluation computes: that of :func:`metric_for`, then others of the task."""
    return with_task_metrics(metric_for(choice, task, classes), task)


def with_task_metrics(chosen: Metric, task: str) -> Tuple[Metric, ...]:
    """Return a metric, and after it those that are always evaluated for its task.

    Beside a function of the user, there is always the metric of the task.
    """
    more = _ALWAYS.get(task, (metric_of(task),) if chosen.name.startswith(OWN_METRIC) else ())
    return (chosen, *(metric for metric in more if metric is not chosen))
