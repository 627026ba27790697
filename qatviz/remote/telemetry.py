"""Frames of what a run reports: steps, events, snapshots, results of analyses, and the rows of its history."""

import itertools
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Type

import numpy as np

from qatviz.analysis.channels import ChannelsOverview
from qatviz.analysis.drift import Drift, FeatureMaps
from qatviz.analysis.predictions import PredictionFailure, Predictions
from qatviz.analysis.sensitivity import MeasuredSensitivity, Sensitivity, SensitivityProgress
from qatviz.presentation.example_pictures import ExamplePictures
from qatviz.protocol import values
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, STEP_MEASURES, Snapshot, StepRecord, TensorValues, read_only
from qatviz.protocol.trials import SettingsEvaluated
from qatviz.protocol.watch_failure import WatchFailure
from qatviz.remote.errors import FrameError
from qatviz.remote.forms import form_of, value_of

#: Kinds of frames of a subscription.
STEPS, EVENTS, SNAPSHOT, RESULT, PIECE, ROW, STATUS, BRANCH, FILLED, GONE = (
    "steps",
    "events",
    "snapshot",
    "result",
    "piece",
    "row",
    "status",
    "branch",
    "filled",
    "gone",
)
#: Kinds of frames that name a run instead of a subscription; all handles of the run receive them.
ACCEPTED, REFUSED = OF_ALL_HANDLES = ("accepted", "refused")
#: Classes of the results that a run reports besides steps, snapshots and events, by name; they are not recorded.
_RESULTS: Dict[str, Type[Any]] = {
    kind.__name__: kind
    for kind in (
        TensorValues,
        Sensitivity,
        MeasuredSensitivity,
        SensitivityProgress,
        Predictions,
        PredictionFailure,
        ExamplePictures,
        Drift,
        FeatureMaps,
        ChannelsOverview,
        SettingsEvaluated,
        WatchFailure,
    )
}


class Tail(NamedTuple):
    """End of the part of a run's history that a viewer has.

    Attributes
    ----------
    branch : int
        Newest branch.
    step, snapshot : int
        Steps of the last step record and of the last snapshot on it; -1 if there is none.
    """

    branch: int = 0
    step: int = -1
    snapshot: int = -1


def tail_of(row: Any) -> Tail:
    """Return the end of a history from its form, a list; ValueError if it is invalid."""
    branch, step, snapshot = (values.whole(number, "tail", -1) for number in values.sequence(row, "tail"))
    return Tail(max(branch, 0), step, snapshot)


class SnapshotRow(NamedTuple):
    """Measures of a snapshot for the history.

    Attributes
    ----------
    branch, step, position
        As those of the snapshot.
    values : np.ndarray
        Float ``[len(SNAPSHOT_MEASURES), tensor]``.
    previous : int
        Step of the snapshot before it on the branch; -1 if there is none or it is unknown.
    """

    branch: int
    step: int
    position: Optional[int]
    values: np.ndarray
    previous: int = -1


def named(arrays: Sequence[np.ndarray]) -> Dict[str, np.ndarray]:
    """Return arrays by their names in a frame: their numbers, from "0"."""
    return {str(number): array for number, array in enumerate(arrays)}


def numbered(arrays: Mapping[str, np.ndarray]) -> List[np.ndarray]:
    """Return arrays in the order of their numbers, as before :func:`named`; raise FrameError for other names."""
    found = [arrays.get(str(number)) for number in range(len(arrays))]
    if any(array is None for array in found):
        raise FrameError(f"arrays {', '.join(sorted(arrays))}: expected their numbers from 0")
    return [array for array in found if array is not None]


def steps_frame(branch: int, records: Sequence[StepRecord]) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """Return header and arrays of consecutive steps of one branch."""
    arrays = {
        "steps": np.array([record.step for record in records], np.int64),
        "scalars": np.array([(record.seconds, record.loss, record.learning_rate) for record in records], np.float64),
        "values": np.stack([record.values for record in records]),
        "losses": np.stack([record.losses for record in records]),
    }
    return {"t": STEPS, "branch": branch}, arrays


class StepRows(NamedTuple):
    """Steps of one branch in columns.

    Attributes
    ----------
    branch : int
    steps : np.ndarray
        Integer[n], consecutive.
    scalars : np.ndarray
        Float[n, 3]: seconds, loss and learning rate of each step.
    values : np.ndarray
        Float[n, measure of `STEP_MEASURES`, tensor].
    losses : np.ndarray
        Float[n, output]: loss of each of several outputs; no columns for one output, or if they were not measured.
    """

    branch: int
    steps: np.ndarray
    scalars: np.ndarray
    values: np.ndarray
    losses: np.ndarray

    def records(self) -> List[StepRecord]:
        """Return the step records."""
        rows = zip(self.steps.tolist(), self.scalars.tolist(), self.values, self.losses)
        return [
            StepRecord(step, seconds, loss, rate, read_only(measures), read_only(own))
            for step, (seconds, loss, rate), measures, own in rows
        ]


def steps_of(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray], tensors: int) -> StepRows:
    """Return the steps of a frame of :func:`steps_frame`; ``tensors`` is the run's number of quantized tensors.

    Raises
    ------
    FrameError
        If they are invalid.
    """
    try:
        steps = values.array(arrays["steps"], "steps", "i")
        scalars = values.array(arrays["scalars"], "scalars", "f", 2)
        measures = values.array(arrays["values"], "values", "f", 3)
        losses = values.array(arrays["losses"], "losses", "f", 2)
        n = len(steps)
        expected = (n, len(STEP_MEASURES), tensors)
        if measures.shape != expected:
            raise ValueError(f"measures of the shape {measures.shape}: expected {expected}")
        if scalars.shape != (n, 3) or len(losses) != n:
            raise ValueError(f"scalars and losses of the shapes {scalars.shape} and {losses.shape} for {n} steps")
        if not n or steps[0] < 0 or (np.diff(steps) != 1).any() or steps[-1] > values.LARGEST_STEP:
            raise ValueError(f"expected consecutive steps from 0 to {values.LARGEST_STEP:,}")
        return StepRows(values.whole(header["branch"], "branch"), steps, scalars, measures, losses)
    except (ValueError, KeyError) as error:
        raise FrameError(f"invalid steps: {error}") from error


def runs_of_steps(steps: np.ndarray) -> List[Tuple[int, int]]:
    """Return index ranges (first, end) of the runs of consecutive numbers in ``steps``; the end is exclusive."""
    breaks = [0, *(np.flatnonzero(np.diff(steps) != 1) + 1).tolist(), len(steps)]
    return [(first, end) for first, end in zip(breaks, itertools.islice(breaks, 1, None)) if end > first]


def snapshot_frame(snapshot: Snapshot, is_partial: bool = False) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """Return header and arrays of a snapshot; it is partial if it lacks the histograms of tensors out of view."""
    arrays: List[np.ndarray] = []
    header = {"t": SNAPSHOT, "snapshot": form_of(snapshot, arrays)}
    return dict(header, partial=True) if is_partial else header, named(arrays)


def snapshot_of(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray], tensors: int) -> Snapshot:
    """Return the snapshot of a frame; FrameError if it is invalid."""
    found: Snapshot = value_of(Snapshot, header.get("snapshot"), numbered(arrays))
    _check_measures(found.values, tensors)
    return found


def row_frame(row: SnapshotRow) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """Return header and arrays of the measures of a snapshot."""
    header = {"t": ROW, "branch": row.branch, "step": row.step, "position": row.position, "previous": row.previous}
    return header, {"values": row.values}


def row_of(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray], tensors: int) -> SnapshotRow:
    """Return the measures of a snapshot in a frame; FrameError if they are invalid."""
    try:
        measures = values.array(arrays["values"], "values", "f", 2)
        _check_measures(measures, tensors)
        position = values.optional_whole(header["position"], "position")
        previous = values.whole(header.get("previous", -1), "previous", -1)
        branch, step = values.whole(header["branch"], "branch"), values.step(header["step"])
        return SnapshotRow(branch, step, position, measures, previous)
    except (ValueError, KeyError) as error:
        raise FrameError(f"invalid measures of a snapshot: {error}") from error


def _check_measures(measures: np.ndarray, tensors: int) -> None:
    if measures.shape != (len(SNAPSHOT_MEASURES), tensors):
        expected = (len(SNAPSHOT_MEASURES), tensors)
        raise FrameError(f"a snapshot with measures of the shape {measures.shape}: expected {expected}")


def result_frame(result: Any) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """Return header and arrays of a result; raise TypeError if it is not of one of :data:`_RESULTS`."""
    kind = type(result).__name__
    if kind not in _RESULTS:
        raise TypeError(f"{kind} has no form")
    arrays: List[np.ndarray] = []
    return {"t": RESULT, "kind": kind, "value": form_of(result, arrays)}, named(arrays)


def result_of(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    """Return the result in a frame; FrameError if it is invalid."""
    kind = _RESULTS.get(str(header.get("kind")))
    if kind is None:
        raise FrameError(f"a result of the unknown kind {header.get('kind')!r}")
    return value_of(kind, header.get("value"), numbered(arrays))
