"""What a run reports about itself: frozen events that are never dropped.

Every event carries the step at which it happened, the number of training steps that were complete, and its place on the
branches of the run.
"""

import copy
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Dict, Optional, Sequence, Tuple

from qatviz.errors import RecordError
from qatviz.metric import ACCURACY, METRICS
from qatviz.protocol.branches import UNPLACED, BranchPoint


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
        row = {field.name: getattr(self, field.name) for field in fields(self)}
        row["kind"] = self.kind
        row["parent"] = None if self.parent is None else list(self.parent)
        if "changes" in row:
            row["changes"] = [vars(change).copy() for change in self.changes]  # type: ignore[attr-defined]
        return row


@dataclass(frozen=True)
class Change:
    """One setting that got another value; ``setting`` is its full path (``conv1.weights.num_bits``)."""

    setting: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Started(Event):
    """The graph is built and the first step is about to run."""

    seconds: float
    device: str


@dataclass(frozen=True)
class CommandApplied(Event):
    """A command took effect before the step numbered ``step`` (counting from 0)."""

    sequence: int
    command: str
    changes: Tuple[Change, ...] = ()
    checkpoint: str = ""  # the checkpoint of the state that was replaced, if one was kept


@dataclass(frozen=True)
class CommandRejected(Event):
    """A command had no effect; ``message`` says what is allowed."""

    sequence: int
    command: str
    message: str


@dataclass(frozen=True)
class SettingsActivated(Event):
    """The schedule (quant_delay), not a command, switched quantizers on."""

    tensors: Tuple[str, ...]


@dataclass(frozen=True)
class Paused(Event):
    """The run waits; ``reason`` says what for."""

    reason: str


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
    reason: str

    is_report: ClassVar[bool] = True


@dataclass(frozen=True)
class Restored(Event):
    """The run was set back (or forward) to a checkpoint; ``from_step`` is where it was before."""

    name: str
    reason: str
    from_step: int
    changes: Tuple[Change, ...] = ()


@dataclass(frozen=True)
class Planned(Event):
    """How far the run is to go: ``steps`` in all (None: until stopped), and the changes of settings at steps to come.

    ``schedule`` holds rows of JSON (:func:`qatviz.protocol.schedule.to_rows`); None where it stays as it was.
    """

    steps: Optional[int]
    schedule: Optional[Sequence[Any]] = None


@dataclass(frozen=True)
class NonFinite(Event):
    """A step produced a NaN or infinity; the run was set back to its last good state and paused."""

    what: str
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

    What an older version did not write gets its default.

    Raises
    ------
    RecordError
        For a kind that is not known, or a field that is missing.
    """
    try:
        cls = EVENT_KINDS[row["kind"]]
        if cls is Evaluated:
            row = dict(row, scores=scores_of(row))
        values = {
            field.name: row[field.name]
            for field in fields(cls)
            if field.init and (field.name in row or field.default is MISSING)
        }
    except KeyError as error:
        raise RecordError(f"an event of the record can't be read: it lacks, or does not know, {error}") from error
    if "changes" in values:
        values["changes"] = tuple(Change(**change) for change in values["changes"])
    event = cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    parent = row.get("parent")
    return event.placed(
        row.get("branch", UNPLACED), row.get("position", 0), None if parent is None else BranchPoint(*parent)
    )
