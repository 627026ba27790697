"""Tracks and series of a run's history, and its reconstruction from the record."""

from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from qatviz.metric import Metric, OutputMetric
from qatviz.protocol.branches import BranchPoint, BranchTree
from qatviz.protocol.events import Evaluated
from qatviz.protocol.snapshots import ERROR_MEASURES, GRID_MEASURES, SNAPSHOT_MEASURES
from qatviz.telemetry.history import History
from qatviz.telemetry.score_series import (
    DEFAULT_METRICS,
    ScoreSeries,
    recorded_metrics,
    score_names,
    score_row,
    series_among,
    step_loss_names,
)

if TYPE_CHECKING:  # it imports data and Keras, which names of series don't need
    from qatviz.telemetry.record.reader import RecordReader, StepSeries

#: The tracks of a run's history: those of all training steps, of the ones whose errors were measured, and so on.
STEPS, ERRORS, SNAPSHOTS, EVALUATIONS = "steps", "errors", "snapshots", "evaluations"


def history_names(
    tensors: Sequence[str], metrics: Sequence[OutputMetric] = DEFAULT_METRICS
) -> Dict[str, Sequence[str]]:
    """Return the names of the series of each track of a run.

    Examples: ``loss``, ``learning_rate``, ``conv1.weights/scale``, ``snapshot:conv1.weights/flip_rate``, and the losses
    of several outputs and evaluations, see :mod:`qatviz.telemetry.score_series`.
    """
    steps = ["loss", "learning_rate", *step_loss_names(metrics)]
    steps += [f"{tensor}/{measure}" for measure in GRID_MEASURES for tensor in tensors]
    errors = [f"{tensor}/{measure}" for measure in ERROR_MEASURES for tensor in tensors]
    snapshots = [f"snapshot:{tensor}/{measure}" for measure in SNAPSHOT_MEASURES for tensor in tensors]
    return {STEPS: steps, ERRORS: errors, SNAPSHOTS: snapshots, EVALUATIONS: score_names(metrics)}


def scores_in(history: History) -> ScoreSeries:
    """Return the metrics whose series a history has."""
    return series_among(history.names(EVALUATIONS))


def metric_in(history: History) -> Metric:
    """Return the first metric whose series a history has."""
    return scores_in(history).metrics[0].metric


def recorded_metric(description: Dict[str, Any]) -> Metric:
    """Return the first metric of a recorded run, from its description."""
    return recorded_metrics(description)[0].metric


def extend_steps(
    history: History, steps: np.ndarray, scalars: np.ndarray, values: np.ndarray, losses: Optional[np.ndarray] = None
) -> None:
    """Append steps.

    Parameters
    ----------
    history : History
    steps : np.ndarray
        int64 ``[n]``.
    scalars : np.ndarray
        ``[n, 2]``: loss and learning rate.
    values : np.ndarray
        ``[n, len(STEP_MEASURES), T]``.
    losses : np.ndarray, optional
        ``[n, outputs]``: losses of several outputs, if they are known.
    """
    grids, errors = split_measures(values)
    outputs = len(history.names(STEPS)) - scalars.shape[1] - grids.shape[1]
    columns = [np.asarray(scalars, np.float32), losses_or_nan(losses, len(steps), outputs), grids]
    history.extend(STEPS, steps, np.concatenate(columns, axis=1))
    is_measured = measured(values)
    history.extend(ERRORS, steps[is_measured], errors[is_measured])


def losses_or_nan(losses: Optional[np.ndarray], num_steps: int, num_outputs: int) -> np.ndarray:
    """Return the losses of several outputs, ``[steps, outputs]``; NaN if they are unknown, as in older records."""
    if losses is not None and losses.shape[1] == num_outputs:
        return losses
    return np.full((num_steps, num_outputs), np.nan, np.float32)


def split_measures(values: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Return the rows of the tracks :data:`STEPS` and :data:`ERRORS` in ``values`` ``[n, len(STEP_MEASURES), T]``."""
    n, count = len(values), len(GRID_MEASURES)
    width = values.shape[2]
    return values[:, :count].reshape(n, count * width), values[:, count:].reshape(n, len(ERROR_MEASURES) * width)


def measured(values: np.ndarray) -> np.ndarray:
    """Return whether the errors of steps were measured, bool ``[n]``: ``values`` ``[n, len(STEP_MEASURES), T]``."""
    return ~np.isnan(values[:, len(GRID_MEASURES) :]).all(axis=(1, 2))


def append_new(history: History, track: str, step: int, values: np.ndarray, position: int = 0) -> None:
    """Append a row, unless it repeats the newest one: a paused run is measured again, perhaps with other settings."""
    last = history.last_step(track)
    if last is None or step > last or (step == last and _differs_from_newest(history, track, values)):
        history.append(track, step, values, position)


def append_evaluation(history: History, event: Evaluated) -> None:
    """Append the results of an evaluation."""
    values = score_row(event, history.names(EVALUATIONS))
    append_new(history, EVALUATIONS, event.step, values, event.position)


def _differs_from_newest(history: History, track: str, values: np.ndarray) -> bool:
    """Return whether a row differs; NaN, such as the flip rate after a rewind, is no value to compare."""
    newest = history.latest(track)
    if newest is None:
        return True
    one, other = newest[1], np.asarray(values, np.float32)
    return bool(((one != other) & ~np.isnan(one) & ~np.isnan(other)).any())


def enter_branches(history: History, tree: BranchTree, branch: int) -> None:
    """Start the branches after the current one of ``history``, up to ``branch``."""
    for number in range(history.branch + 1, branch + 1):
        history.rewind(tree.parent_of(number) or BranchPoint(number - 1, 0), number)


def refill(
    history: History,
    reader: "RecordReader",
    tree: Optional[BranchTree] = None,
    last: Optional[int] = None,
    is_wanted: Callable[[], bool] = lambda: True,
) -> None:
    """Fill an empty history from a record.

    Parameters
    ----------
    history : History
        Empty history with the tracks of :func:`history_names`, for the tensors of the run.
    tree : BranchTree, optional
        Branches to read, surviving or not: a resumed run may be set to a state on any of them. By default only the
        surviving timeline is read.
    last : int, optional
        Last step to read on the newest branch; the run itself adds later ones.
    is_wanted : callable
        Called repeatedly; reading ends when it returns False.

    Raises
    ------
    RecordError
        If the record is damaged.
    """
    surviving_only = tree is None
    if tree is None:
        tree = reader.branches()
    evaluations: Dict[int, List[Evaluated]] = {}
    for logged in reader.log()[0]:
        if isinstance(logged.event, Evaluated) and (logged.survives or not surviving_only):
            evaluations.setdefault(logged.event.branch, []).append(logged.event)
    pieces = ByBranch(reader.iter_branch_steps(surviving_only), lambda item: item[0])
    snapshots = ByBranch(reader.iter_branch_snapshots(surviving_only), lambda snapshot: snapshot.branch)
    for branch in range(tree.newest + 1):
        enter_branches(history, tree, branch)
        stop = last if branch == tree.newest else None
        for event in evaluations.get(branch, ()):
            if stop is None or event.step <= stop:
                append_evaluation(history, event)
        for _, piece in pieces.of(branch):
            if not is_wanted():
                return
            _extend_up_to(history, piece, stop)
        for snapshot in snapshots.of(branch):
            if not is_wanted():
                return
            if stop is None or snapshot.step <= stop:
                append_new(history, SNAPSHOTS, snapshot.step, snapshot.values.reshape(-1), snapshot.position or 0)


def _extend_up_to(history: History, piece: "StepSeries", stop: Optional[int]) -> None:
    n = len(piece.steps) if stop is None else int(np.searchsorted(piece.steps, stop, side="right"))
    if n:
        scalars = np.stack([piece.loss[:n], piece.learning_rate[:n]], axis=1)
        extend_steps(history, piece.steps[:n], scalars, piece.values[:n], piece.losses[:n])


class ByBranch:
    """Iterator over items of ascending branches, branch by branch."""

    def __init__(self, items: Iterator[Any], branch_of: Callable[[Any], int]):
        self._items, self._branch_of = items, branch_of
        self._next = next(items, None)

    def of(self, branch: int) -> Iterator[Any]:
        """Yield the items up to ``branch``."""
        while self._next is not None and self._branch_of(self._next) <= branch:
            yield self._next
            self._next = next(self._items, None)
