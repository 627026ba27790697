"""What a run reports about itself: frozen events that are never dropped.

Every event carries the step at which it happened, the number of training steps that were complete, and its place on the
branches of the run.
"""

import copy
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from typing import Any, Callable, ClassVar, Dict, Iterable, List, Optional, Tuple

from qatviz.errors import QatvizError, RecordError
from qatviz.metric import ACCURACY, METRICS
from qatviz.protocol.branches import UNPLACED, BranchPoint
from qatviz.protocol.commands import Command, Schedule, ScheduledCommand, command_from
from qatviz.protocol.reasons import NonFiniteValue, PauseReason, RestoreReason, SaveReason


@dataclass(frozen=True)
class Change:
    """One setting that got another value; ``setting`` is its full path (``conv1.weights.num_bits``)."""

    setting: str
    old: Any
    new: Any


#: Functions to and from the JSON-able form, in the metadata of a field.
_TO, _FROM = "to", "from"


def _wired(to: Callable[[Any], Any], back: Callable[[Any], Any], **options: Any) -> Any:
    """Return a field whose JSON-able form differs from its value."""
    return field(metadata={_TO: to, _FROM: back}, **options)


def _same(value: Any) -> Any:
    return value


def _value_of(member: Enum) -> Any:
    return member.value


def _command_to(command: Command) -> Dict[str, Any]:
    return command.to_dict()


def _changes_to(changes: Iterable[Change]) -> List[Dict[str, Any]]:
    return [vars(change).copy() for change in changes]


def _changes_from(rows: Iterable[Dict[str, Any]]) -> Tuple[Change, ...]:
    return tuple(Change(**row) for row in rows)


def _schedule_to(schedule: Optional[Schedule]) -> Optional[List[Any]]:
    return None if schedule is None else [item.to_row() for item in schedule]


def _schedule_from(rows: Optional[List[Any]]) -> Optional[Schedule]:
    return None if rows is None else tuple(ScheduledCommand.from_row(row) for row in rows)


@dataclass(frozen=True)
class Event:
    """Base of all events.

    Two events are equal if they say the same, wherever they are placed.

    Attributes
    ----------
    step : int
        Number of training steps complete when it happened.
    branch : int
        The branch of the run that it belongs to; ``UNPLACED`` before :meth:`placed`.
    position : int
        Number of events of that branch before it, reports not counted.
    parent : BranchPoint or None
        The state that its branch goes on from; None on the first branch.
    is_report : bool
        Whether it reports something of a state that the run was in, rather than lead to another one.
    """

    step: int
    branch: int = field(default=UNPLACED, init=False, compare=False)
    position: int = field(default=0, init=False, compare=False)
    parent: Optional[BranchPoint] = field(default=None, init=False, compare=False)

    is_report: ClassVar[bool] = False

    @property
    def kind(self) -> str:
        """The name of its class."""
        return type(self).__name__

    @property
    def point(self) -> BranchPoint:
        """The first state that the event is part of the past of."""
        return BranchPoint(self.branch, self.step, self.position + (0 if self.is_report else 1))

    def placed(self, branch: int, position: int, parent: Optional[BranchPoint]) -> "Event":
        """Return the same event at a place on the branches of a run."""
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
    """The graph is built and the first step is about to run."""

    seconds: float
    device: str


@dataclass(frozen=True)
class CommandApplied(Event):
    """A command took effect before the step numbered ``step`` (counting from 0)."""

    id: str  # of the command; empty if it had none (version 0.1)
    command: Command = _wired(_command_to, command_from)
    changes: Tuple[Change, ...] = _wired(_changes_to, _changes_from, default=())
    checkpoint: str = ""  # the checkpoint that holds the state before it, if one was saved


@dataclass(frozen=True)
class CommandRejected(Event):
    """A command had no effect; ``message`` says what is allowed."""

    id: str
    command: Command = _wired(_command_to, command_from)
    message: str


@dataclass(frozen=True)
class SettingsActivated(Event):
    """Quantizers were switched on as their ``quant_delay`` is over, not by a command."""

    tensors: Tuple[str, ...] = _wired(list, tuple)


@dataclass(frozen=True)
class Paused(Event):
    """The run waits."""

    reason: PauseReason = _wired(_value_of, PauseReason)


@dataclass(frozen=True)
class Resumed(Event):
    """The run continues after a pause."""


@dataclass(frozen=True)
class Evaluated(Event):
    """How good the weights after ``step`` steps are on held-out data, by `qatviz.metric.METRICS`, four ways.

    In the form for JSON, ``scores`` go by the name of the metric.
    """

    scores: Dict[str, float]  # by the names of qatviz.metric.WAYS
    num_examples: int
    seconds: float
    metric: str = ACCURACY.name

    is_report: ClassVar[bool] = True

    def to_dict(self) -> Dict[str, Any]:
        row = super().to_dict()
        row[self.metric] = row.pop("scores")
        return row


@dataclass(frozen=True)
class CheckpointSaved(Event):
    """The state is on disk under ``name``."""

    name: str
    reason: SaveReason = _wired(SaveReason.to_wire, SaveReason.from_wire)

    is_report: ClassVar[bool] = True


@dataclass(frozen=True)
class Restored(Event):
    """The run was set back (or forward) to a checkpoint; ``from_step`` is where it was before."""

    name: str
    reason: RestoreReason = _wired(_value_of, RestoreReason)
    from_step: int
    changes: Tuple[Change, ...] = _wired(_changes_to, _changes_from, default=())


@dataclass(frozen=True)
class Planned(Event):
    """The total number of steps (None: no limit) and the scheduled changes of settings were set.

    ``schedule`` is None where it stays as it was.
    """

    steps: Optional[int]
    schedule: Optional[Schedule] = _wired(_schedule_to, _schedule_from, default=None)


@dataclass(frozen=True)
class NonFinite(Event):
    """A step produced a NaN or infinity; the run was set back to its last good state and paused."""

    what: NonFiniteValue = _wired(_value_of, NonFiniteValue)
    restored_step: int


@dataclass(frozen=True)
class RecordFailed(Event):
    """The record on disk could not be written; the run in memory goes on."""

    message: str

    is_report: ClassVar[bool] = True


@dataclass(frozen=True)
class Finished(Event):
    """All requested steps are done."""


@dataclass(frozen=True)
class Stopped(Event):
    """The run ended because it was asked to."""


@dataclass(frozen=True)
class Failed(Event):
    """The training thread ended with an exception. ``explained``: the message says all, the traceback adds nothing."""

    message: str
    traceback: str
    explained: bool = False


ENDINGS = (Finished, Stopped, Failed)
EVENT_KINDS = {cls.__name__: cls for cls in Event.__subclasses__()}


def scores_of(row: Dict[str, Any]) -> Dict[str, float]:
    """The scores in the form for JSON of an :class:`Evaluated`; ``KeyError`` if there are none of a known metric."""
    return row[METRICS[str(row.get("metric", ACCURACY.name))].name]


def event_from(row: Dict[str, Any]) -> Event:
    """Return the event that :meth:`Event.to_dict` wrote, whatever else ``row`` has (a record adds its own columns).

    What is missing gets its default.

    Raises
    ------
    RecordError
        For a kind that is not known, a field that is missing, or one that holds something else.
    """
    try:
        cls = EVENT_KINDS[row["kind"]]
        if cls is Evaluated:
            row = dict(row, scores=scores_of(row))
        values = {
            f.name: f.metadata.get(_FROM, _same)(row[f.name])
            for f in fields(cls)
            if f.init and (f.name in row or f.default is MISSING)
        }
        parent = row.get("parent")
        event = cls(**values)
        return event.placed(
            row.get("branch", UNPLACED), row.get("position", 0), None if parent is None else BranchPoint(*parent)
        )
    except KeyError as error:
        raise RecordError(f"an event of the record can't be read: it lacks, or does not know, {error}") from error
    except (TypeError, ValueError, AttributeError, QatvizError) as error:
        raise RecordError(f"an event of the record can't be read: {error}") from error
