"""What the history of a run holds, and how it is filled again from the record."""

from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np

from qatviz.metric import ACCURACY, CLASSIFICATION, METRICS, WAYS, Metric, metric_of
from qatviz.protocol.events import Evaluated
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, STEP_MEASURES
from qatviz.telemetry.history import History
from qatviz.telemetry.record.reader import RecordReader

#: The tracks of a run's history.
STEPS, SNAPSHOTS, EVALUATIONS = "steps", "snapshots", "evaluations"


def history_names(tensors: Sequence[str], metric: Metric = ACCURACY) -> Dict[str, List[str]]:
    """Tracks and series of a run: ``loss``, ``learning_rate``, ``conv1.weights/scale``,
    ``snapshot:conv1.weights/flip_rate``, and the evaluations by its metric: ``accuracy.quantized``.
    """
    steps = ["loss", "learning_rate"]
    steps += [f"{tensor}/{measure}" for measure in STEP_MEASURES for tensor in tensors]
    snapshots = [f"snapshot:{tensor}/{measure}" for measure in SNAPSHOT_MEASURES for tensor in tensors]
    return {STEPS: steps, SNAPSHOTS: snapshots, EVALUATIONS: score_names(metric)}


def score_names(metric: Metric) -> List[str]:
    """The series of evaluations: ``accuracy.float``, ``accuracy.weights_only``, ..."""
    return [f"{metric.name}.{way}" for way in WAYS]


def metric_in(history: History) -> Metric:
    """The metric whose series a history has."""
    return METRICS[history.names(EVALUATIONS)[0].partition(".")[0]]


def recorded_metric(description: Dict[str, Any]) -> Metric:
    """The metric of a recorded run, from its description. There was a time when all runs were classifications."""
    return metric_of(description.get("task", CLASSIFICATION))


def extend_steps(history: History, steps: np.ndarray, scalars: np.ndarray, values: np.ndarray) -> None:
    """Add steps: int64 ``[n]``, loss and learning rate ``[n, 2]``, measures ``[n, len(STEP_MEASURES), T]``."""
    rows = np.concatenate([np.asarray(scalars, np.float32), values.reshape(len(steps), -1)], axis=1)
    history.extend(STEPS, steps, rows)


def append_new(history: History, track: str, step: int, values: np.ndarray) -> None:
    """Add a row, unless there is one of this step: a second measurement (asked for while paused) says nothing new."""
    last = history.last_step(track)
    if last is None or step > last:
        history.append(track, step, values)


def refill(
    history: History, reader: RecordReader, last: Optional[int] = None, is_wanted: Callable[[], bool] = lambda: True
) -> None:
    """Put every series of the surviving timeline into an empty history, up to the step ``last``.

    Parameters
    ----------
    history : History
        With the tracks of :func:`history_names`, for the tensors of the run.
    is_wanted : callable
        Asked now and then; once it is false, the rest is left out.

    Raises
    ------
    RecordError
        If the record is damaged.
    """
    for logged in reader.log()[0]:
        event = logged.event
        if isinstance(event, Evaluated) and logged.survives and (last is None or event.step <= last):
            append_new(history, EVALUATIONS, event.step, np.array([event.scores[way] for way in WAYS]))
    for piece in reader.iter_steps(stop=last):
        if not is_wanted():
            return
        extend_steps(history, piece.steps, np.stack([piece.loss, piece.learning_rate], axis=1), piece.values)
    for snapshot in reader.iter_snapshots(stop=last):
        if not is_wanted():
            return
        append_new(history, SNAPSHOTS, snapshot.step, snapshot.values.reshape(-1))
