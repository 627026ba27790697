"""Series of the evaluations of a run: names of the metrics of all outputs in each mode, and of their losses.

The first metric has plain names such as ``accuracy.quantized``. Those of further ones name the output, too, which is
empty if the network has only one: ``evaluation:box/rmse.quantized``. With several outputs, there are also their losses
on held-out data, quantized, ``evaluation:box/loss``, and the weighted sum of these, ``evaluation:/loss``. Training
steps have ``training:box/loss`` beside the sum, ``loss``.
"""

from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from qatviz.metric import ACCURACY, METRICS, MODES, OutputMetric, metric_of, with_task_metrics
from qatviz.protocol.events import Evaluated
from qatviz.task import CLASSIFICATION

#: Metrics of a run of which nothing else is known.
DEFAULT_METRICS = (OutputMetric("", ACCURACY),)
_PREFIX, _TRAINING, _LOSS = "evaluation:", "training:", "loss"


class ScoreSeries(NamedTuple):
    """Metrics whose series a history has.

    Attributes
    ----------
    metrics : tuple of OutputMetric
        The first one first.
    outputs : tuple of str
        Names of the outputs, if there are several; empty for one.
    """

    metrics: Tuple[OutputMetric, ...]
    outputs: Tuple[str, ...]

    def name(self, index: int, mode: str) -> str:
        """Return the name of the series of the metric with this index."""
        return _metric_name(self.metrics, index, mode)


def outputs_of(metrics: Sequence[OutputMetric]) -> List[str]:
    """Return the names of several outputs that have these metrics; none for one output."""
    outputs = list(dict.fromkeys(each.output for each in metrics))
    return outputs if len(outputs) > 1 else []


def score_names(metrics: Sequence[OutputMetric]) -> List[str]:
    """Return the names of the series of evaluations by these metrics."""
    names = [_metric_name(metrics, index, mode) for index in range(len(metrics)) for mode in MODES]
    outputs = outputs_of(metrics)
    return names + [loss_name(output) for output in ("", *outputs)] if outputs else names


def step_loss_names(metrics: Sequence[OutputMetric]) -> List[str]:
    """Return the names of the series of the losses of several outputs in training steps; none for one output."""
    return [step_loss_name(output) for output in outputs_of(metrics)]


def step_loss_name(output: str) -> str:
    """Return the name of the series of an output's loss in training steps."""
    return f"{_TRAINING}{output}/{_LOSS}"


def loss_name(output: str = "") -> str:
    """Return the name of the series of an output's loss on held-out data; without an output, of their weighted sum."""
    return f"{_PREFIX}{output}/{_LOSS}"


def score_row(event: Evaluated, names: Sequence[str]) -> np.ndarray:
    """Return the values of the series ``names`` in an evaluation, float64; NaN for those that it does not have."""
    found: Dict[str, Any] = {f"{event.metric}.{mode}": score for mode, score in event.scores.items()}
    for each in event.further:
        found.update((f"{_PREFIX}{each.output}/{each.metric}.{mode}", score) for mode, score in each.scores.items())
    found.update((loss_name(output), loss) for output, loss in event.losses)
    if event.losses and event.held_out_loss is not None:
        found[loss_name()] = event.held_out_loss
    return np.array([found.get(name, np.nan) for name in names])


def series_among(names: Sequence[str]) -> ScoreSeries:
    """Return the metrics and outputs whose series are among the names of :func:`score_names`."""
    outputs: List[str] = []
    metrics: Dict[OutputMetric, None] = {}
    for name in names:
        subject, _, measure = name.rpartition("/")
        output = subject[len(_PREFIX) :]
        if measure == _LOSS:
            outputs += [output] if output else []
        else:
            metrics[OutputMetric(output, METRICS[measure.partition(".")[0]])] = None
    first, *further = metrics
    if outputs:
        first = first._replace(output=outputs[0])
    return ScoreSeries((first, *further), tuple(outputs))


def recorded_metrics(description: Mapping[str, Any]) -> Tuple[OutputMetric, ...]:
    """Return the metrics of a recorded run, from its description; old ones have none, or are of classifications."""
    rows = description.get("heads")
    if rows is not None:
        return tuple(
            OutputMetric(row["output"], metric)
            for row in rows
            for metric in with_task_metrics(METRICS[row["metric"]], row["task"])
        )
    name, task = description.get("metric"), description.get("task", CLASSIFICATION)
    chosen = metric_of(task) if name is None else METRICS[name]
    return tuple(OutputMetric("", metric) for metric in with_task_metrics(chosen, task))


def _metric_name(metrics: Sequence[OutputMetric], index: int, mode: str) -> str:
    name = f"{metrics[index].metric.name}.{mode}"
    return f"{_PREFIX}{metrics[index].output}/{name}" if index else name
