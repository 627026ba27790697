"""Events that a run reports: immutable, and never dropped.

Every event carries the number of training steps complete when it occurred, and its place on the branches of the run.
"""

import copy
import math
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from typing import Any, Callable, ClassVar, Dict, Iterable, List, Optional, Tuple

from qatviz.errors import QatvizError, RecordError
from qatviz.metric import ACCURACY, METRICS
from qatviz.protocol import values
from qatviz.protocol.batch_division import BatchDivision
from qatviz.protocol.branches import UNPLACED, BranchPoint
from qatviz.protocol.commands import CORRECTIONS, Command, Schedule, command_from, schedule_from, schedule_rows
from qatviz.protocol.reasons import NonFiniteValue, PauseReason, RecordPart, RestoreReason, SaveReason


@dataclass(frozen=True)
class Change:
    """Change of one setting; ``setting`` is its full path (``conv1.weights.num_bits``)."""

    setting: str
    old: Any
    new: Any


#: Keys of the conversions to and from the JSON-able form in the metadata of a field.
_TO, _FROM = "to", "from"


def _json_form(to: Callable[[Any], Any], back: Callable[[Any], Any]) -> Dict[str, Callable[[Any], Any]]:
    """Return the metadata of a field whose JSON-able form differs from its value."""
    return {_TO: to, _FROM: back}


def _same(value: Any) -> Any:
    return value


def _value_of(member: Enum) -> Any:
    return member.value


def _command_to(command: Command) -> Dict[str, Any]:
    return command.to_dict()


def _changes_to(changes: Iterable[Change]) -> List[Dict[str, Any]]:
    return [vars(change).copy() for change in changes]


def _changes_from(rows: Any) -> Tuple[Change, ...]:
    return tuple(_change_from(**values.mapping(row, "change")) for row in values.sequence(rows, "changes"))


def _change_from(setting: Any, old: Any, new: Any) -> Change:
    return Change(values.text(setting, "setting"), values.scalar(old, "old"), values.scalar(new, "new"))


def _texts(what: str) -> Dict[str, Callable[[Any], Any]]:
    """Return the metadata of a field with a tuple of texts, each of which is a ``what`` in error messages."""

    def texts_from(rows: Any) -> Tuple[str, ...]:
        return tuple(values.text(row, what) for row in values.sequence(rows, what + "s"))

    return _json_form(list, texts_from)


def _total_from(steps: Any) -> Optional[int]:
    return None if steps is None else values.step(steps, "steps")


def _scores_from(row: Any) -> Dict[str, float]:
    return {mode: _score_from(score, mode) for mode, score in values.mapping(row, "scores").items()}


def _score_from(score: Any, what: str) -> float:
    # The error of a network that has diverged can be infinite or NaN.
    if isinstance(score, float) and not math.isfinite(score):
        return score
    return values.number(score, what)


def _loss_from(loss: Any) -> Optional[float]:
    return None if loss is None else _score_from(loss, "loss")


def _losses_from(row: Any) -> Tuple[Tuple[str, float], ...]:
    losses = values.mapping(row, "losses")
    return tuple((values.text(output, "output"), _score_from(loss, "loss")) for output, loss in losses.items())


def _outputs_to(outputs: Iterable[Iterable[float]]) -> List[List[float]]:
    return [list(row) for row in outputs]


def _outputs_from(rows: Any) -> Tuple[Tuple[float, ...], ...]:
    return tuple(
        tuple(_score_from(score, "output") for score in values.sequence(row, "outputs of a mode"))
        for row in values.sequence(rows, "outputs")
    )


def _further_to(further: Iterable["FurtherScores"]) -> List[Dict[str, Any]]:
    return [item.to_dict() for item in further]


def _further_from(rows: Any) -> Tuple["FurtherScores", ...]:
    return tuple(_further_row_from(values.mapping(row, "further scores")) for row in values.sequence(rows, "further"))


def _further_row_from(row: Dict[str, Any]) -> "FurtherScores":
    return FurtherScores(
        values.text(row.get("output", ""), "output"),
        METRICS[str(row["metric"])].name,
        _scores_from(row["scores"]),
        _outputs_from(row.get("outputs", [])),
    )


def _schedule_to(schedule: Optional[Schedule]) -> Optional[List[Any]]:
    return None if schedule is None else schedule_rows(schedule)


def _schedule_from(rows: Optional[List[Any]]) -> Optional[Schedule]:
    return None if rows is None else schedule_from(values.sequence(rows, "schedule"))


def _division_to(division: Optional[BatchDivision]) -> Optional[Dict[str, Any]]:
    return None if division is None else division.to_dict()


def _division_from(row: Any) -> Optional[BatchDivision]:
    return None if row is None else BatchDivision.from_dict(row)


@dataclass(frozen=True)
class Event:
    """Base of all events.

    Equality ignores the place on the branches.

    Attributes
    ----------
    step : int
        Number of training steps complete when the event occurred.
    branch : int
        Branch of the run; ``UNPLACED`` until :meth:`placed` assigns one.
    position : int
        Number of earlier events on that branch, not counting reports.
    parent : BranchPoint or None
        State at which its branch starts; None on the first branch.
    is_report : bool
        True for a report on a state that does not change the run, such as an evaluation.
    """

    step: int
    branch: int = field(default=UNPLACED, init=False, compare=False)
    position: int = field(default=0, init=False, compare=False)
    parent: Optional[BranchPoint] = field(default=None, init=False, compare=False)

    is_report: ClassVar[bool] = False

    @property
    def kind(self) -> str:
        """Name of the event's class."""
        return type(self).__name__

    @property
    def point(self) -> BranchPoint:
        """Place of the first state after the event."""
        return BranchPoint(self.branch, self.step, self.position + (0 if self.is_report else 1))

    def placed(self, branch: int, position: int, parent: Optional[BranchPoint]) -> "Event":
        """Return a copy of the event with a place on the branches of a run."""
        event = copy.copy(self)
        for name, value in (("branch", branch), ("position", position), ("parent", parent)):
            object.__setattr__(event, name, value)
        return event

    def to_dict(self) -> Dict[str, Any]:
        """Return a JSON-able form: the fields plus ``kind``."""
        row = {f.name: f.metadata.get(_TO, _same)(getattr(self, f.name)) for f in fields(self)}
        row["kind"] = self.kind
        row["parent"] = None if self.parent is None else list(self.parent)
        return row


@dataclass(frozen=True)
class Started(Event):
    """The graph is built, which took ``seconds``; the first training step is about to run on ``device``."""

    seconds: float
    device: str


@dataclass(frozen=True)
class CommandApplied(Event):
    """A command took effect before the step numbered ``step`` (counting from 0)."""

    id: str  # id of the command; empty if it had none (version 0.1)
    command: Command = field(metadata=_json_form(_command_to, command_from))
    changes: Tuple[Change, ...] = field(metadata=_json_form(_changes_to, _changes_from), default=())
    checkpoint: str = ""  # checkpoint of the state before the command, if one was saved

    @property
    def has_effect(self) -> bool:
        """True if the command changed settings or corrected the network."""
        return bool(self.changes) or isinstance(self.command, CORRECTIONS)


@dataclass(frozen=True)
class Corrected(Event):
    """A correction took effect; its command has the same ``id``, and ``notes`` state what has changed."""

    id: str
    notes: Tuple[str, ...] = field(metadata=_texts("note"))

    is_report: ClassVar[bool] = True


@dataclass(frozen=True)
class CommandRejected(Event):
    """A command was rejected and had no effect; ``message`` explains why."""

    id: str
    command: Command = field(metadata=_json_form(_command_to, command_from))
    message: str


@dataclass(frozen=True)
class SettingsActivated(Event):
    """Quantizers were switched on because their ``quant_delay`` is over."""

    tensors: Tuple[str, ...] = field(metadata=_texts("tensor"))


@dataclass(frozen=True)
class Paused(Event):
    """The run is paused."""

    reason: PauseReason = field(metadata=_json_form(_value_of, PauseReason))


@dataclass(frozen=True)
class Resumed(Event):
    """The run resumed after a pause."""


@dataclass(frozen=True)
class FurtherScores:
    """A further metric of an evaluation, in each of the four quantization modes.

    Attributes
    ----------
    output : str
        Name of the network's output that it is of; empty if the network has only one.
    metric : str
        A key of `qatviz.metric.METRICS`.
    scores : dict of str to float
        Values of the metric by the modes of `qatviz.metric.MODES`.
    outputs : tuple of tuple of float
        As in :class:`Evaluated`.
    """

    output: str
    metric: str
    scores: Dict[str, float]
    outputs: Tuple[Tuple[float, ...], ...] = ()

    def to_dict(self) -> Dict[str, Any]:
        """Return the JSON-able form."""
        row: Dict[str, Any] = {"output": self.output, "metric": self.metric, "scores": self.scores}
        return {**row, "outputs": _outputs_to(self.outputs)} if self.outputs else row


@dataclass(frozen=True)
class Evaluated(Event):
    """Metric on held-out data after ``step`` training steps, evaluated in each of the four quantization modes.

    ``metric`` is a key of `qatviz.metric.METRICS`, and the key of ``scores`` in the JSON-able form. If a regression has
    several numbers to predict, or an example several labels, ``outputs`` has a row for each mode, in the order of
    `qatviz.metric.MODES`, with the metric of each of them; otherwise it is empty. ``further`` are the task's other
    metrics, and those of further outputs of the network; ``output`` is the name of the first output if there are
    several. ``held_out_loss`` is that of the quantized network, None if it was not computed; ``losses`` are those of
    several outputs by name, of which it is the weighted sum. ``seconds`` is the time that the evaluation took.
    """

    scores: Dict[str, float] = field(metadata=_json_form(_same, _scores_from))  # keys: qatviz.metric.MODES
    num_examples: int
    seconds: float
    metric: str = ACCURACY.name
    outputs: Tuple[Tuple[float, ...], ...] = field(default=(), metadata=_json_form(_outputs_to, _outputs_from))
    further: Tuple[FurtherScores, ...] = field(default=(), metadata=_json_form(_further_to, _further_from))
    held_out_loss: Optional[float] = field(default=None, metadata=_json_form(_same, _loss_from))
    output: str = ""
    losses: Tuple[Tuple[str, float], ...] = field(default=(), metadata=_json_form(dict, _losses_from))

    is_report: ClassVar[bool] = True

    def to_dict(self) -> Dict[str, Any]:
        row = super().to_dict()
        row[self.metric] = row.pop("scores")
        for name in ("outputs", "further", "output", "losses"):
            if not row[name]:
                del row[name]
        if self.held_out_loss is None:
            del row["held_out_loss"]
        return row


@dataclass(frozen=True)
class CheckpointSaved(Event):
    """A checkpoint was saved under ``name``."""

    name: str
    reason: SaveReason = field(metadata=_json_form(SaveReason.to_wire, SaveReason.from_wire))

    is_report: ClassVar[bool] = True


@dataclass(frozen=True)
class Restored(Event):
    """The run was set to the state ``name``, at an earlier or later step; before that, it was at ``from_step``."""

    name: str
    reason: RestoreReason = field(metadata=_json_form(_value_of, RestoreReason))
    from_step: int
    changes: Tuple[Change, ...] = field(metadata=_json_form(_changes_to, _changes_from), default=())


@dataclass(frozen=True)
class Planned(Event):
    """The total number of steps (None: no limit), the schedule of changes or the division of batches was set.

    ``schedule`` and ``division`` are None if unchanged.
    """

    steps: Optional[int] = field(metadata=_json_form(_same, _total_from))
    schedule: Optional[Schedule] = field(metadata=_json_form(_schedule_to, _schedule_from), default=None)
    division: Optional[BatchDivision] = field(metadata=_json_form(_division_to, _division_from), default=None)


@dataclass(frozen=True)
class StoppedEarly(Event):
    """The run ends before its last step: the last ``waited`` evaluations were not better than that of ``best_step``."""

    best_step: int
    waited: int

    is_report: ClassVar[bool] = True


@dataclass(frozen=True)
class NonFinite(Event):
    """A training step produced a NaN or infinity; the run was rewound to its last good state and paused."""

    what: NonFiniteValue = field(metadata=_json_form(_value_of, NonFiniteValue))
    restored_step: int


@dataclass(frozen=True)
class WorkersLost(Event):
    """Workers have died or hang, with the reason in ``message``.

    The run is paused until they answer, or continues without them.
    """

    workers: Tuple[str, ...] = field(metadata=_texts("worker"))
    message: str


@dataclass(frozen=True)
class WorkersBack(Event):
    """The run continues on ``workers``, from its last good state."""

    workers: Tuple[str, ...] = field(metadata=_texts("worker"))


@dataclass(frozen=True)
class RecordFailed(Event):
    """A part of the recording failed, for the reason in ``message``; the run continues."""

    message: str
    part: RecordPart = field(metadata=_json_form(_value_of, RecordPart), default=RecordPart.RECORD)

    is_report: ClassVar[bool] = True


@dataclass(frozen=True)
class Finished(Event):
    """All requested steps are done."""


@dataclass(frozen=True)
class Stopped(Event):
    """The run was stopped by a command."""


@dataclass(frozen=True)
class Failed(Event):
    """The training thread raised an exception; ``explained``: the message is complete without the traceback."""

    message: str
    traceback: str
    explained: bool = False


#: Checks of fields whose JSON-able form is the value itself, by type. All int fields are numbers of steps or examples.
_CHECKS: Dict[Any, Callable[[Any, str], Any]] = {
    int: values.step,
    float: values.seconds,
    str: values.text,
    bool: values.boolean,
}
#: Events of which each run ends with one.
ENDINGS = (Finished, Stopped, Failed)
#: Classes of events by the names that their JSON-able forms have.
EVENT_KINDS = {cls.__name__: cls for cls in Event.__subclasses__()}


def scores_of(row: Dict[str, Any]) -> Dict[str, float]:
    """Return the scores in the JSON-able form of an :class:`Evaluated`; KeyError if its metric is unknown."""
    scores: Dict[str, float] = row[METRICS[str(row.get("metric", ACCURACY.name))].name]
    return scores


def _parent_from(row: Any) -> Optional[BranchPoint]:
    if row is None:
        return None
    branch, step, position = values.sequence(row, "parent")
    return BranchPoint(
        values.whole(branch, "branch of the parent"),
        values.step(step, "step of the parent"),
        values.optional_whole(position, "position of the parent"),
    )


def event_from(row: Dict[str, Any]) -> Event:
    """Return the event serialized by :meth:`Event.to_dict`.

    Missing fields get their defaults; further entries of ``row`` are ignored (a record adds its own columns).

    Raises
    ------
    RecordError
        If the kind is unknown, or a field is missing or invalid.
    """
    try:
        cls = EVENT_KINDS[row["kind"]]
        if issubclass(cls, Evaluated):
            row = dict(row, scores=scores_of(row))
        found = {
            f.name: f.metadata[_FROM](row[f.name]) if _FROM in f.metadata else _CHECKS[f.type](row[f.name], f.name)
            for f in fields(cls)
            if f.init and (f.name in row or f.default is MISSING)
        }
        event = cls(**found)
        return event.placed(
            values.whole(row.get("branch", UNPLACED), "branch", UNPLACED),
            values.whole(row.get("position", 0), "position"),
            _parent_from(row.get("parent")),
        )
    except KeyError as error:
        raise RecordError(f"an event of the record can't be read: missing or unknown: {error}") from error
    except (TypeError, ValueError, AttributeError, ArithmeticError, QatvizError) as error:
        raise RecordError(f"an event of the record can't be read: {error}") from error
