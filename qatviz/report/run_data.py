"""Report data of a recorded run, collected from its record, which may still grow."""

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.channels import RunChannels
from qatviz.analysis.chip.estimate import ChipEstimate
from qatviz.analysis.drift import RunDrift
from qatviz.analysis.effects import SPAN_STEPS, TRANSIENT_STEPS, Effect, effect, tensors_of
from qatviz.analysis.sensitivity import RunSensitivity
from qatviz.errors import RecordError
from qatviz.measures import CHANGE_MEASURES
from qatviz.metric import Metric, OutputMetric
from qatviz.network.graph import Network
from qatviz.number_format import count
from qatviz.presentation.budget_texts import AdviceTable
from qatviz.presentation.example_pictures import PicturedPredictions
from qatviz.presentation.export_sizes import FormatSize
from qatviz.presentation.strength_series import HistoryWithStrength, strengths
from qatviz.protocol import events
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import ERROR_MEASURES, GRID_MEASURES, SNAPSHOT_MEASURES, STEP_MEASURES, Snapshot
from qatviz.protocol.timeline import LoggedEvent
from qatviz.report.exports import FoundExport, find_exports
from qatviz.telemetry.history import History, Series
from qatviz.telemetry.outcome import Outcome, read_outcome
from qatviz.telemetry.record.reader import RecordReader
from qatviz.telemetry.record.refill import (
    ERRORS,
    EVALUATIONS,
    SNAPSHOTS,
    STEPS,
    append_evaluation,
    losses_or_nan,
    measured,
)
from qatviz.telemetry.score_series import recorded_metrics, score_names, step_loss_names

#: Measures per step that are drawn as curves.
CURVE_MEASURES = ("scale", "scale_gradient", "zero_point", "mse", "mse_clipping", "mse_rounding", "sqnr_db")
#: Measures per snapshot that are drawn as curves.
SNAPSHOT_CURVES = CHANGE_MEASURES
#: Maximum number of points per curve, more than a chart has pixels; number of newest steps that are not averaged.
_CAPACITY, _RECENT = 2048, 512
_SNAPSHOT_ROWS = [SNAPSHOT_MEASURES.index(name) for name in SNAPSHOT_CURVES]


class ChangePoint(NamedTuple):
    """All setting changes at one step, with their common effect; a marker in the charts.

    ``activated`` has the tensors whose quantization delay has ended at this step.
    """

    step: int
    changes: Tuple[events.Change, ...]
    activated: Tuple[str, ...]
    effect: Effect

    @property
    def tensors(self) -> Tuple[str, ...]:
        """Names of the tensors whose settings changed or took effect."""
        changed = [change.setting.rpartition(".")[0] for change in self.changes]
        return tuple(dict.fromkeys(changed + list(self.activated)))


class KnownResults(NamedTuple):
    """Results on a state of the run, which a record does not have; None for those that were not computed."""

    sensitivity: Optional[RunSensitivity] = None
    drift: Optional[RunDrift] = None
    channels: Optional[RunChannels] = None
    predictions: Optional[PicturedPredictions] = None


@dataclass(frozen=True)
class RunData:
    """Data of a run for its report.

    Attributes
    ----------
    about : dict
        Description of the run at its creation.
    directory : str
        Name of the run's directory, without its path, which may be confidential.
    network : Network
    first_book, book : SettingsBook
        Settings at the start and now.
    outcome : Outcome
    total_steps : int or None
        Planned number of steps; None for no limit.
    history : History
        ``loss``, ``learning_rate``, ``TENSOR/MEASURE`` for the CURVE_MEASURES, ``snapshot:TENSOR/MEASURE`` for the
        SNAPSHOT_CURVES, and the evaluations, such as ``accuracy.quantized``.
    first, before_last, last : Snapshot or None
        The first, the last but one and the newest snapshot; None where there is none.
    log : tuple of LoggedEvent
    change_points : tuple of ChangePoint
        Changes of settings, sorted by step.
    exports : tuple of FoundExport
    missing : tuple of str
        Sentences on data that could not be read.
    sizes : tuple of FormatSize
        Sizes of exports of the newest checkpoint; empty if unknown.
    chip : ChipEstimate or None
        The network on a chip under the settings now; None if TFLite Micro does not support it.
    sensitivity, drift, channels, predictions
        As in :class:`KnownResults`.
    advice : AdviceTable or None
        Bits within a budget; None if they were not requested.
    """

    about: Dict[str, Any]
    directory: str
    network: Network
    first_book: SettingsBook
    book: SettingsBook
    outcome: Outcome
    total_steps: Optional[int]
    history: History = field(repr=False)
    first: Optional[Snapshot] = field(repr=False)
    before_last: Optional[Snapshot] = field(repr=False)
    last: Optional[Snapshot] = field(repr=False)
    log: Tuple[LoggedEvent, ...] = field(repr=False)
    change_points: Tuple[ChangePoint, ...] = field(repr=False)
    exports: Tuple[FoundExport, ...] = field(repr=False)
    missing: Tuple[str, ...] = ()
    sizes: Tuple[FormatSize, ...] = ()
    sensitivity: Optional[RunSensitivity] = None
    chip: Optional[ChipEstimate] = None
    drift: Optional[RunDrift] = None
    channels: Optional[RunChannels] = None
    predictions: Optional[PicturedPredictions] = None
    advice: Optional[AdviceTable] = None

    @property
    def metric(self) -> Metric:
        """Metric of the evaluations."""
        return self.outcome.metric

    @property
    def num_examples(self) -> int:
        """Number of held-out examples in the newest evaluation; 0 if there is none."""
        found = [h.event.num_examples for h in self.log if h.survives and isinstance(h.event, events.Evaluated)]
        return found[-1] if found else 0

    def series(self, name: str) -> Series:
        """Return a series of the history, or :data:`qatviz.presentation.strength_series.STRENGTH`."""
        return HistoryWithStrength(self.history, lambda steps: strengths(steps, self.outcome.values_of)).series(name)

    def is_active(self, tensor: str) -> bool:
        """Return whether a tensor is quantized now: enabled and past its delay."""
        return self.book.of(tensor).is_active(self.outcome.step)

    def active_at(self, tensor: str, steps: np.ndarray) -> np.ndarray:
        """Return bool ``[n]``: whether a tensor was quantized in these steps, counted from 1."""
        found = np.zeros(len(steps), bool)
        for begin, book in [(0, self.first_book), *self.outcome.timeline]:
            settings, later = book.of(tensor), steps > begin
            found[later] = [settings.is_active(int(step) - 1) for step in steps[later]]
        return found


def read_run(reader: RecordReader) -> RunData:
    """Collect the data of a recorded run, up to its present step.

    Raises
    ------
    RecordError
        If the record is damaged or incomplete.
    """
    try:
        return _read_run(reader)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(
            f"{reader.path}: found a record with missing or invalid data ({error!r}); expected a complete record"
        ) from error


def _read_run(reader: RecordReader) -> RunData:
    about = reader.description
    outcome = read_outcome(reader)
    plan = outcome.book.plan
    first_book = SettingsBook.from_dict(plan, about["settings"])
    log, missing = _log(reader)
    names = [tensor.name for tensor in plan.tensors]
    first, before_last, last = _first_and_last(reader, outcome.step)
    change_points = change_points_of(
        outcome, first_book, log, lambda step, tensors: _near(reader, outcome, names, step, tensors)
    )
    return RunData(
        about,
        reader.directory.resolve().name,
        Network.from_dict(about["network"]),
        first_book,
        outcome.book,
        outcome,
        reader.plan().steps,
        _history(reader, names, outcome, log),
        first,
        before_last,
        last,
        log,
        change_points,
        tuple(find_exports(reader.directory, about.get("run_id"))),
        missing,
    )


def _log(reader: RecordReader) -> Tuple[Tuple[LoggedEvent, ...], Tuple[str, ...]]:
    found, unknown = reader.log()
    missing = f"Not shown: {count(unknown, 'event')} of a type that this version of qatviz does not know."
    return tuple(found), (missing,) if unknown else ()


def _first_and_last(reader: RecordReader, until: int) -> Tuple[Optional[Snapshot], ...]:
    """Return the first, the last but one and the last snapshot up to a step; None where there is none."""
    steps = [step for step in reader.snapshots() if step <= until]
    if not steps:
        return None, None, None
    first, before, last = (list(reader.iter_snapshots(step, step)) for step in (steps[0], steps[-2:][0], steps[-1]))
    if not first or not before or not last:  # deleted while it was read: the run is still running
        return _first_and_last(reader, until)
    return first[0], before[0] if len(steps) > 1 else None, first[0] if len(steps) == 1 else last[0]


def _history(reader: RecordReader, names: Sequence[str], outcome: Outcome, log: Sequence[LoggedEvent]) -> History:
    measures = {
        track: [measure for measure in CURVE_MEASURES if measure in among]
        for track, among in ((STEPS, GRID_MEASURES), (ERRORS, ERROR_MEASURES))
    }
    series = {
        track: [f"{name}/{measure}" for measure in chosen for name in names] for track, chosen in measures.items()
    }
    rows = {track: [STEP_MEASURES.index(measure) for measure in chosen] for track, chosen in measures.items()}
    metrics = recorded_metrics(reader.description)
    losses = step_loss_names(metrics)
    history = History(
        {
            STEPS: ["loss", "learning_rate", *losses, *series[STEPS]],
            ERRORS: series[ERRORS],
            SNAPSHOTS: [f"snapshot:{name}/{measure}" for measure in SNAPSHOT_CURVES for name in names],
            EVALUATIONS: score_names(metrics),
        },
        _CAPACITY,
        _RECENT,
    )
    for logged in log:
        if logged.survives and isinstance(logged.event, events.Evaluated):
            append_evaluation(history, logged.event)
    for piece in reader.iter_steps(stop=outcome.step):
        scalars = np.stack([piece.loss, piece.learning_rate], axis=1)
        grids, errors = (
            piece.values[:, rows[track]].reshape(len(piece.steps), len(series[track])) for track in (STEPS, ERRORS)
        )
        of_outputs = losses_or_nan(piece.losses, len(piece.steps), len(losses))
        history.extend(STEPS, piece.steps, np.concatenate([scalars, of_outputs, grids], axis=1))
        is_measured = measured(piece.values)
        history.extend(ERRORS, piece.steps[is_measured], errors[is_measured])
    for snapshot in reader.iter_snapshots(stop=outcome.step):
        history.append(SNAPSHOTS, snapshot.step, snapshot.values[_SNAPSHOT_ROWS].reshape(-1))
    return history


def change_points_of(
    outcome: Outcome,
    first_book: SettingsBook,
    log: Sequence[LoggedEvent],
    near: Callable[[int, Sequence[str]], History],
) -> Tuple[ChangePoint, ...]:
    """Return all setting changes with their effects, by step.

    Parameters
    ----------
    first_book : SettingsBook
        Settings at the start of the run.
    near : callable
        ``near(step, tensors)`` returns a history of the steps around a step for the tensors that changed there.
    """
    names = [tensor.name for tensor in first_book.plan.tensors]
    changes = dict(outcome.changes_from(first_book))
    activated: Dict[int, Dict[str, None]] = {}
    for h in log:
        if h.survives and isinstance(h.event, events.SettingsActivated):
            activated.setdefault(h.event.step, {}).update(dict.fromkeys(h.event.tensors))
    steps = sorted(set(changes) | set(activated))
    points: List[ChangePoint] = []
    for step, previous, following in zip(steps, [None, *steps[:-1]], [*steps[1:], None]):
        changed, started = changes.get(step, ()), tuple(activated.get(step, ()))
        tensors = tensors_of(changed, names) or started
        found = effect(near(step, tensors), step, tensors, previous, following, log)
        points.append(ChangePoint(step, changed, started, found))
    return tuple(points)


def _near(reader: RecordReader, outcome: Outcome, names: Sequence[str], step: int, tensors: Sequence[str]) -> History:
    """Return a history of all steps around ``step``, unlike that of the whole run, which averages steps."""
    measures = ("sqnr_db", "sqnr_db_error")
    series = [f"{name}/{measure}" for measure in measures for name in tensors]
    history = History(
        {STEPS: ["loss"], ERRORS: series, EVALUATIONS: score_names([OutputMetric("", outcome.metric)])},
        recent=SPAN_STEPS + TRANSIENT_STEPS,
    )
    found = reader.steps(step - SPAN_STEPS + 1, step + TRANSIENT_STEPS + SPAN_STEPS)
    columns = [names.index(name) for name in tensors]
    is_measured = measured(found.values)
    values = [found.values[is_measured, STEP_MEASURES.index(measure)][:, columns] for measure in measures]
    history.extend(STEPS, found.steps, found.loss[:, np.newaxis])
    history.extend(ERRORS, found.steps[is_measured], np.concatenate(values, axis=1))
    return history
