"""What a report tells of a run, gathered from its record, which may still be growing."""

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.effects import TRANSIENT_STEPS, WINDOW_STEPS, Effect, effect, tensors_of
from qatviz.errors import RecordError
from qatviz.metric import WAYS, Metric
from qatviz.network.graph import Network
from qatviz.number_format import count
from qatviz.protocol import events
from qatviz.protocol.schedule import planned
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, STEP_MEASURES, Snapshot
from qatviz.protocol.timeline import LoggedEvent
from qatviz.report.exports import FoundExport, find_exports
from qatviz.telemetry.history import History
from qatviz.telemetry.outcome import Outcome, read_outcome
from qatviz.telemetry.record.reader import RecordReader
from qatviz.telemetry.record.refill import EVALUATIONS, SNAPSHOTS, STEPS, append_new, score_names

#: Measures of each step that are drawn.
CURVE_MEASURES = ("scale", "zero_point", "mse", "mse_clipping", "mse_rounding", "sqnr_db")
FLIP_RATE = "flip_rate"
#: Points kept of a curve: more than a picture has room for.
_CAPACITY, _RECENT = 2048, 512
_RATE_ROW = SNAPSHOT_MEASURES.index(FLIP_RATE)


class Turn(NamedTuple):
    """What changed at a step, all together, and what that did: a marker in the pictures."""

    step: int
    changes: Tuple[events.Change, ...]
    activated: Tuple[str, ...]
    effect: Effect

    @property
    def tensors(self) -> Tuple[str, ...]:
        """Names of the tensors that are concerned."""
        changed = [change.setting.rpartition(".")[0] for change in self.changes]
        return tuple(dict.fromkeys(changed + list(self.activated)))


@dataclass(frozen=True)
class RunData:
    """All that a report tells.

    Attributes
    ----------
    about : dict
        The description of the run, as it was created.
    directory : str
        Name of the run's directory, without the way there: where it is on a disk is nobody's business.
    network : Network
    first_book, book : SettingsBook
        Settings at the beginning, and now.
    outcome : Outcome
    total_steps : int or None
        Steps that are planned; None: until stopped.
    history : History
        ``loss``, ``learning_rate``, ``TENSOR/MEASURE`` for the CURVE_MEASURES, ``snapshot:TENSOR/flip_rate``, and the
        metric four ways, such as ``accuracy.quantized``.
    first, last : Snapshot or None
    log : tuple of LoggedEvent
    turns : tuple of Turn
        By step.
    exports : tuple of FoundExport
    missing : tuple of str
        What could not be read, in sentences.
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
    last: Optional[Snapshot] = field(repr=False)
    log: Tuple[LoggedEvent, ...] = field(repr=False)
    turns: Tuple[Turn, ...] = field(repr=False)
    exports: Tuple[FoundExport, ...] = field(repr=False)
    missing: Tuple[str, ...] = ()

    @property
    def metric(self) -> Metric:
        """What evaluations measured."""
        return self.outcome.metric

    @property
    def num_examples(self) -> int:
        """Held-out examples of the newest evaluation; 0 where there is none."""
        found = [h.event.num_examples for h in self.log if h.survives and isinstance(h.event, events.Evaluated)]
        return found[-1] if found else 0

    def is_active(self, tensor: str) -> bool:
        """Whether a tensor is quantized now: enabled, and past its delay."""
        return self.book.of(tensor).is_active(self.outcome.step)

    def active_at(self, tensor: str, steps: np.ndarray) -> np.ndarray:
        """Bool ``[n]``: whether a tensor was quantized in these steps, which count from 1."""
        found = np.zeros(len(steps), bool)
        for begin, book in [(0, self.first_book), *self.outcome.timeline]:
            settings, later = book.of(tensor), steps > begin
            found[later] = [settings.is_active(int(step) - 1) for step in steps[later]]
        return found


def read_run(reader: RecordReader) -> RunData:
    """Gather what there is to tell of a recorded run, up to the step at which it is when it is asked.

    Raises
    ------
    RecordError
        If the record is damaged, or lacks what a run has.
    """
    try:
        return _read_run(reader)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(
            f"{reader.path}: can't be told, as something is missing or is not what it should be: {error!r}"
        ) from error


def _read_run(reader: RecordReader) -> RunData:
    about = reader.description
    outcome = read_outcome(reader)
    plan = outcome.book.plan
    first_book = SettingsBook.from_dict(plan, about["settings"])
    log, missing = _log(reader)
    names = [tensor.name for tensor in plan.tensors]
    first, last = _first_and_last(reader, outcome.step)
    turns = turns_of(outcome, first_book, log, lambda *where: _near(reader, outcome, names, *where))
    return RunData(
        about,
        reader.directory.resolve().name,
        Network.from_dict(about["network"]),
        first_book,
        outcome.book,
        outcome,
        planned(reader).steps,
        _history(reader, names, outcome),
        first,
        last,
        log,
        turns,
        tuple(find_exports(reader.directory, about.get("run_id"))),
        missing,
    )


def _log(reader: RecordReader) -> Tuple[Tuple[LoggedEvent, ...], Tuple[str, ...]]:
    found, unknown = reader.log()
    told = f"{count(unknown, 'event')} of the record can't be told: of a kind that this version does not know."
    return tuple(found), (told,) if unknown else ()


def _first_and_last(reader: RecordReader, until: int) -> Tuple[Optional[Snapshot], Optional[Snapshot]]:
    """Those of a run that goes on may be thinned out meanwhile, but for the first and the newest."""
    steps = [step for step in reader.snapshots() if step <= until]
    if not steps:
        return None, None
    first, last = (list(reader.iter_snapshots(step, step)) for step in (steps[0], steps[-1]))
    if not first or not last:
        return _first_and_last(reader, until)
    return first[0], first[0] if len(steps) == 1 else last[0]


def _history(reader: RecordReader, names: Sequence[str], outcome: Outcome) -> History:
    rows = [STEP_MEASURES.index(measure) for measure in CURVE_MEASURES]
    series = [f"{name}/{measure}" for measure in CURVE_MEASURES for name in names]
    history = History(
        {
            STEPS: ["loss", "learning_rate", *series],
            SNAPSHOTS: [f"snapshot:{name}/{FLIP_RATE}" for name in names],
            EVALUATIONS: score_names(outcome.metric),
        },
        _CAPACITY,
        _RECENT,
    )
    _add_evaluations(history, outcome)
    for piece in reader.iter_steps(stop=outcome.step):
        scalars = np.stack([piece.loss, piece.learning_rate], axis=1)
        history.extend(
            STEPS, piece.steps, np.concatenate([scalars, piece.values[:, rows].reshape(len(piece.steps), -1)], axis=1)
        )
    for snapshot in reader.iter_snapshots(stop=outcome.step):
        history.append(SNAPSHOTS, snapshot.step, snapshot.values[_RATE_ROW])
    return history


def _add_evaluations(history: History, outcome: Outcome) -> None:
    for row in outcome.evaluations:
        append_new(history, EVALUATIONS, row["step"], np.array([row[way] for way in WAYS]))


def turns_of(
    outcome: Outcome,
    first_book: SettingsBook,
    log: Sequence[LoggedEvent],
    near: Callable[[int, Sequence[str]], History],
) -> Tuple[Turn, ...]:
    """What changed when, with its effect.

    Parameters
    ----------
    near : callable
        From a step and the names of the tensors that changed there to a history of the steps around it.
    """
    names = [tensor.name for tensor in first_book.plan.tensors]
    changes = dict(outcome.changes_from(first_book))
    activated: Dict[int, Dict[str, None]] = {}
    for h in log:
        if h.survives and isinstance(h.event, events.SettingsActivated):
            activated.setdefault(h.event.step, {}).update(dict.fromkeys(h.event.tensors))
    steps = sorted(set(changes) | set(activated))
    turns: List[Turn] = []
    for step, previous, following in zip(steps, [None, *steps[:-1]], [*steps[1:], None]):
        changed, switched = changes.get(step, ()), tuple(activated.get(step, ()))
        concerned = tensors_of(changed, names) or switched
        turns.append(Turn(step, changed, switched, effect(near(step, concerned), step, concerned, previous, following)))
    return tuple(turns)


def _near(reader: RecordReader, outcome: Outcome, names: Sequence[str], step: int, tensors: Sequence[str]) -> History:
    """The steps around ``step`` as they came, however long the run is."""
    history = History(
        {STEPS: ["loss"] + [name + "/sqnr_db" for name in tensors], EVALUATIONS: score_names(outcome.metric)},
        recent=WINDOW_STEPS + TRANSIENT_STEPS,
    )
    _add_evaluations(history, outcome)
    found = reader.steps(step - WINDOW_STEPS + 1, step + TRANSIENT_STEPS + WINDOW_STEPS)
    columns = [names.index(name) for name in tensors]
    values = found.values[:, STEP_MEASURES.index("sqnr_db")][:, columns]
    history.extend(STEPS, found.steps, np.concatenate([found.loss[:, np.newaxis], values], axis=1))
    return history
