"""Measurements of a run as series, for other tools: from the record of a run, or from the memory of the window."""

from typing import Callable, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.errors import RecordError
from qatviz.metric import METRICS, MODES, OutputMetric
from qatviz.network.graph import Network
from qatviz.network.plan import quantization_plan
from qatviz.presentation.event_texts import reason_text, sentence
from qatviz.presentation.score_texts import TOTAL, of_output
from qatviz.presentation.strength_series import STRENGTH, strengths
from qatviz.protocol.events import CheckpointSaved, CommandApplied, Evaluated, Event
from qatviz.protocol.snapshots import ERROR_MEASURES, GRID_MEASURES, Snapshot
from qatviz.telemetry.history import History, Series
from qatviz.telemetry.outcome import read_outcome
from qatviz.telemetry.record.reader import RecordReader
from qatviz.telemetry.record.refill import ERRORS, STEPS, losses_or_nan, measured, scores_in, split_measures
from qatviz.telemetry.record.schema import reading
from qatviz.telemetry.score_series import outputs_of, recorded_metrics, score_names, score_row

#: Largest number of points of a series, spread evenly from the first to the last: more than a screen or TensorBoard
#: shows (1.15 keeps 1,000 per series); and of snapshots, each of which has a distribution of every tensor.
MAX_POINTS, MAX_SNAPSHOTS = 4000, 120


class Track(NamedTuple):
    """Series measured at the same training steps.

    ``steps`` are int64 ``[n]``, ascending, ``values`` are ``[n, len(names)]``.
    """

    names: Tuple[str, ...]
    steps: np.ndarray
    values: np.ndarray


class RunSeries(NamedTuple):
    """Measurements of a run.

    Attributes
    ----------
    name : str
        Name of the network.
    created : float
        Start of the run; Unix time, seconds.
    clock : (np.ndarray, np.ndarray)
        Training steps, ascending, and the seconds of training up to each; to be interpolated for others.
    tensors : tuple of str
        Tensors in the order of the snapshots' values.
    tracks : tuple of Track
        Series such as ``loss``, ``scale/conv1.weights``, ``accuracy/quantized`` (for regression ``rmse/quantized``):
        the measure, then its subject. ``strength`` is there if a ramp of the strength of quantization was on.
    snapshots : iterable of Snapshot
    events : sequence of Event
        Both sorted by step.
    """

    name: str
    created: float
    clock: Tuple[np.ndarray, np.ndarray]
    tensors: Tuple[str, ...]
    tracks: Tuple[Track, ...]
    snapshots: Iterable[Snapshot]
    events: Sequence[Event]


def recorded_series(
    reader: RecordReader, max_points: int = MAX_POINTS, max_snapshots: int = MAX_SNAPSHOTS
) -> RunSeries:
    """Return the series of a recorded run on its present branch; the run may still be training.

    Raises
    ------
    RecordError
        If the record is damaged.
    """
    description = reader.description
    with reading(reader.path):
        network, created = Network.from_dict(description["network"]), float(description["created"])
    tensors = tuple(tensor.name for tensor in quantization_plan(network).tensors)
    survivors = [logged.event for logged in reader.log()[0] if logged.survives]
    events = sorted(survivors, key=lambda event: event.step)
    stride = max(1, -(-reader.last_step // max_points))
    outputs = outputs_of(recorded_metrics(description))
    scalars, errors = _Thinned(stride), _Thinned(stride)
    for piece in reader.iter_steps():  # a long run is never in memory as a whole
        columns = np.stack([piece.seconds, piece.loss, piece.learning_rate], axis=1)
        losses = losses_or_nan(piece.losses, len(piece.steps), len(outputs))
        grids, of_errors = split_measures(piece.values)
        scalars.add(piece.steps, np.concatenate([columns, losses, grids], axis=1))
        is_measured = measured(piece.values)
        errors.add(piece.steps[is_measured], of_errors[is_measured])
    names = _step_names(tensors, outputs)
    steps, rows = scalars.rows(1 + len(names))
    ramps = read_outcome(reader).values_of
    tracks = (
        _with_strength(Track(names, steps, rows[:, 1:]), lambda at: strengths(at, ramps)),
        Track(_error_names(tensors), *errors.rows(len(_error_names(tensors)))),
        *_evaluations(events),
    )
    wanted = _evenly(np.array(reader.snapshots(), np.int64), max_snapshots)
    return RunSeries(
        network.name,
        created,
        (steps, rows[:, 0]),
        tensors,
        tracks,
        _Snapshots(reader, wanted),
        events,
    )


def in_memory_series(
    name: str,
    created: float,
    history: History,
    snapshots: Sequence[Snapshot],
    events: Sequence[Event],
    strength_of: Optional[Callable[[np.ndarray], np.ndarray]] = None,
) -> RunSeries:
    """Return the series of a run without a record, from its history and the snapshots in memory.

    Old points of the history are means over several training steps.

    Parameters
    ----------
    name : str
    created : float
        Unix time, seconds.
    history : History
        With the tracks of :func:`qatviz.telemetry.record.refill.history_names`.
    snapshots : sequence of Snapshot
        Snapshots of the present branch, by step.
    events : sequence of Event
        Those that led to the present state.
    strength_of : callable, optional
        Returns the strength of quantization in training steps, int64 ``[n]``, as float32 ``[n]``; by default, there
        was no ramp.
    """
    events = sorted(events, key=lambda event: event.step)
    ending = "/" + GRID_MEASURES[0]
    tensors = tuple(series[: -len(ending)] for series in history.names(STEPS) if series.endswith(ending))
    kept = [snapshots[i] for i in _evenly(np.arange(len(snapshots)), MAX_SNAPSHOTS)]
    clock = (
        np.array([0] + [s.step for s in snapshots if s.step > 0], np.int64),
        np.array([0.0] + [s.seconds for s in snapshots if s.step > 0]),
    )
    tracks = (
        _with_strength(_track(history, STEPS, _step_names(tensors, scores_in(history).outputs)), strength_of),
        _track(history, ERRORS, _error_names(tensors)),
        *_evaluations(events),
    )
    return RunSeries(name, created, clock, tensors, tracks, kept, events)


def _with_strength(track: Track, strength_of: Optional[Callable[[np.ndarray], np.ndarray]]) -> Track:
    """Return the track of training steps with the series of the strength of quantization if a ramp was on."""
    strength = np.ones(len(track.steps)) if strength_of is None else strength_of(track.steps)
    if (strength == 1).all():
        return track
    return Track((*track.names, STRENGTH), track.steps, np.column_stack([track.values, strength]))


class _Thinned:
    """Rows of ascending steps, one for each ``stride`` steps, and the last."""

    def __init__(self, stride: int):
        self._stride, self._last_place = stride, -1
        self._parts: List[Tuple[np.ndarray, np.ndarray]] = []
        self._newest: Optional[Tuple[np.ndarray, np.ndarray]] = None

    def add(self, steps: np.ndarray, rows: np.ndarray) -> None:
        if not len(steps):
            return
        places = steps // self._stride
        chosen = np.diff(places, prepend=self._last_place) > 0
        self._last_place = places[-1]
        self._parts.append((steps[chosen], rows[chosen]))
        self._newest = None if chosen[-1] else (steps[-1:], rows[-1:])

    def rows(self, width: int) -> Tuple[np.ndarray, np.ndarray]:
        """Return the steps and their rows, ``[n, width]``."""
        parts = [*self._parts, *([self._newest] if self._newest is not None else [])]
        parts = parts or [(np.zeros(0, np.int64), np.zeros((0, width)))]
        steps, rows = (np.concatenate(columns) for columns in zip(*parts))
        return steps, rows


def _track(history: History, name: str, names: Tuple[str, ...]) -> Track:
    columns = _consistent_columns(history, name)
    chosen = _evenly(np.arange(min(len(column.last_step) for column in columns)), MAX_POINTS)
    return Track(names, columns[0].last_step[chosen], np.stack([column.mean[chosen] for column in columns], axis=1))


def _consistent_columns(history: History, track: str) -> List[Series]:
    """Return all series of a track, read at one moment: they differ only in new steps at the end."""
    while True:
        columns = [history.series(series) for series in history.names(track)]
        shortest = min((column.last_step for column in columns), key=len)
        if all((column.last_step[: len(shortest)] == shortest).all() for column in columns):
            return columns
        # Old steps were merged between two of these reads, which is rare: read again.


class _Snapshots:
    """Snapshots that are read one by one as they are needed; one that the run has deleted meanwhile is left out."""

    def __init__(self, reader: RecordReader, steps: np.ndarray):
        self._reader, self._steps = reader, steps

    def __iter__(self) -> Iterator[Snapshot]:
        for step in self._steps.tolist():
            snapshot = self._read(step)
            if snapshot is not None:
                yield snapshot

    def _read(self, step: int) -> Optional[Snapshot]:
        try:
            return self._reader.snapshot(step)
        except RecordError:
            if step in self._reader.snapshots():
                raise
            return None


def _step_names(tensors: Sequence[str], outputs: Sequence[str]) -> Tuple[str, ...]:
    losses = [f"loss/{output}" for output in outputs]
    grids = [f"{measure}/{tensor}" for measure in GRID_MEASURES for tensor in tensors]
    return ("loss", "learning_rate", *losses, *grids)


def _error_names(tensors: Sequence[str]) -> Tuple[str, ...]:
    return tuple(f"{measure}/{tensor}" for measure in ERROR_MEASURES for tensor in tensors)


def _evaluations(events: Sequence[Event]) -> Tuple[Track, ...]:
    found = {event.step: event for event in events if isinstance(event, Evaluated)}
    if not found:
        return ()
    newest = list(found.values())[-1]
    metrics = [OutputMetric(newest.output, METRICS[newest.metric])]
    metrics += [OutputMetric(each.output, METRICS[each.metric]) for each in newest.further]
    series, outputs = score_names(metrics), outputs_of(metrics)
    names = [of_output(each.metric.name, each.output, ".") for each in metrics]
    tags = [f"{name}/{mode}" for name in names for mode in MODES]
    tags += [f"held_out_loss/{output}" for output in (TOTAL, *outputs)] if outputs else []
    rows = [score_row(event, series) for event in found.values()]
    return (Track(tuple(tags), np.array(list(found), np.int64), np.array(rows)),)


def _evenly(items: np.ndarray, most: int) -> np.ndarray:
    """Return at most ``most`` of the items, evenly spaced, with the first and the last."""
    if len(items) <= most:
        return items
    return items[np.unique(np.linspace(0, len(items) - 1, most).round().astype(int))]


def event_texts(events: Sequence[Event]) -> List[Tuple[int, str]]:
    """Return ``(step, text)`` of each change of a setting, and of each start, end, failure and rewind of the run."""
    texts = []
    for event in events:
        lines = [f"`{change.setting}` {change.old} → {change.new}" for change in getattr(event, "changes", ())]
        if isinstance(event, CommandApplied) and event.has_effect and not lines:
            lines = [sentence(event)]
        if not isinstance(event, (CommandApplied, Evaluated, CheckpointSaved)):
            reason = reason_text(event)
            lines.insert(0, event.kind + (": " + reason if reason else ""))
        texts += [(event.step, text) for text in lines]
    return texts
