"""What a run says about itself: frozen events that are never dropped.

Every event carries the step at which it happened: the number of training steps that were complete.
"""

from dataclasses import MISSING, dataclass, fields
from typing import Any, Dict, Optional, Sequence, Tuple

from qatviz.errors import RecordError
from qatviz.metric import ACCURACY, METRICS


@dataclass(frozen=True)
class Event:
    """Base of all events; ``step`` counts the training steps completed when it happened."""

    step: int

    @property
    def kind(self) -> str:
        return type(self).__name__

    def to_dict(self) -> Dict[str, Any]:
        """JSON-able form: the fields plus ``kind``."""
        row = {field.name: getattr(self, field.name) for field in fields(self)}
        row["kind"] = self.kind
        if "changes" in row:
            row["changes"] = [vars(change).copy() for change in self.changes]  # type: ignore[attr-defined]
        return row


@dataclass(frozen=True)
class Happening:
    """An event of the run; ``survives`` is False where the run was set back to before it."""

    event: Event
    survives: bool = True


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

    def to_dict(self) -> Dict[str, Any]:
        row = super().to_dict()
        row[self.metric] = row.pop("scores")
        return row


@dataclass(frozen=True)
class CheckpointSaved(Event):
    """The state is on disk under ``name``."""

    name: str
    reason: str


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
    """The event that :meth:`Event.to_dict` wrote, whatever else ``row`` has (a record adds its own columns).

    What an older version did not write is what it is by default.

    Raises
    ------
    RecordError
        For a kind that is not known, or a field that is missing.
    """
    try:
        cls = EVENT_KINDS[row["kind"]]
        if cls is Evaluated:
            row = dict(row, scores=scores_of(row))
        values = {field.name: row[field.name] for field in fields(cls) if field.name in row or field.default is MISSING}
    except KeyError as error:
        raise RecordError(f"an event of the record can't be read: it lacks, or does not know, {error}") from error
    if "changes" in values:
        values["changes"] = tuple(Change(**change) for change in values["changes"])
    return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
