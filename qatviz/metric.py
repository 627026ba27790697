"""Metric of a run: one number for the quality of a network on held-out data, with its name, unit and number format.

The task of the run (`qatviz.task`) determines the metric. Every evaluation computes it in four modes, see `MODES`.
"""

import math
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence

from qatviz.measures import MeasureAxis
from qatviz.number_format import UNKNOWN, plain, share_text
from qatviz.task import CLASSIFICATION, REGRESSION, check_task

#: The four modes of evaluation, by the quantized tensors: none, weights only, activations only, all.
MODES = ("float", "weights_only", "activations_only", "quantized")
#: Names of the modes for display.
MODE_NAMES = dict(zip(MODES, ("float", "weights only", "activations only", "quantized")))

#: Largest number of outputs whose metric is listed.
_MOST_OUTPUTS = 32


class Metric(NamedTuple):
    """One number for all held-out examples, computed from a mean over them.

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
    unit : str
        Text after a number; empty for the unit of the data.
    factor : float
        Factor from the stored number to the displayed one.
    higher_is_better : bool
    highest : float
        Largest possible stored number.
    is_root : bool
        True for the square root of a mean over the examples, False for the mean itself.
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

    @property
    def is_fraction(self) -> bool:
        """True for a fraction of the examples, whose differences are percentage points."""
        return self.highest == 1.0

    @property
    def capitalized_title(self) -> str:
        """Name for display, at the beginning of a sentence."""
        return self.title[0].upper() + self.title[1:]

    @property
    def axis(self) -> MeasureAxis:
        """Axis of a plot; for a percentage, scaled to the later values, within limits slightly beyond possible ones."""
        if not self.unit:
            return MeasureAxis(self.factor, can_log=True)
        limits = (-1.0, self.factor * self.highest + 1.0)
        return MeasureAxis(self.factor, self.unit.strip(), limits=limits, least_span=2.0, settles=True)

    def of_mean(self, mean: float) -> float:
        """Return the metric from the mean score of the examples.

        The score of an example is 1 or 0 for a correct or wrong class, or the squared error of a regression.
        """
        return math.sqrt(mean) if self.is_root else mean

    def output_rows(self, outputs: Sequence[Sequence[float]]) -> List[List[str]]:
        """Return the rows of a table of the metric: the name of an output, and its metric in each of :data:`MODES`.

        ``outputs`` has a row for each mode. After the first 32 outputs, a single row has the number of the others.
        """
        columns = list(zip(*outputs))
        rows = [[f"output {index}", *map(self.text, column)] for index, column in enumerate(columns[:_MOST_OUTPUTS])]
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
        """Return scores by name, in more digits, to be compared: ``float 97.12 %, file 97.02 %``.

        Only the accuracy of a network that is right in all examples is ``100.00 %``.
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


ACCURACY = Metric(
    "accuracy",
    "accuracy",
    "Accuracy (%)",
    "Fraction of held-out examples that are classified correctly",
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


def metric_of(task: str) -> Metric:
    """Return the metric of a task.

    Raises
    ------
    DataError
        If there is no such task.
    """
    return _OF_TASK[check_task(task)]
