"""What is known of a run from what it tells: live from the channel, or afterwards from its record."""

import math
from typing import Any, Dict, List, Optional, Tuple

from qatviz.metric import ACCURACY, WAYS, Metric
from qatviz.network.graph import Network
from qatviz.network.plan import quantization_plan
from qatviz.protocol import events
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot, StepRecord
from qatviz.protocol.timeline import Timeline
from qatviz.telemetry.record.reader import RecordReader
from qatviz.telemetry.record.refill import recorded_metric
from qatviz.telemetry.record.schema import reading

#: Settings that the rows of :meth:`Outcome.tensors` hold.
TENSOR_SETTINGS = ("num_bits", "symmetric", "narrow_range", "per_channel", "power_of_two")
#: Measures that the rows of :meth:`Outcome.tensors` hold: those of a snapshot but the ranges (they follow from the
#: grid) and the flip rate (it depends on how often snapshots are taken).
TENSOR_MEASURES = tuple(name for name in SNAPSHOT_MEASURES if name not in ("range_min", "range_max", "flip_rate"))
_WHOLE = ("zero_point", "used_codes")
#: Events after which settings may be others.
_CHANGING = (events.CommandApplied, events.Restored)
_BEGINNINGS = (events.Started, events.Restored)


class Outcome:
    """The present state of a run, put together from its events and telemetry.

    Parameters
    ----------
    book : SettingsBook
        The settings it began with.
    metric : Metric
        What its evaluations measure.

    Attributes
    ----------
    book : SettingsBook
        The settings now.
    step, seconds, loss
        Of the newest training step; ``seconds`` of training, ``loss`` None before the first.
    snapshot : Snapshot or None
    evaluations : list of dict
        ``step``, and the metric by the names of :data:`qatviz.metric.WAYS`.
    timeline : list of (int, SettingsBook)
        The settings from a step on, for each step at which they changed; steps ascend.
    ending : str
        ``finished``, ``stopped``, ``failed``, or empty while it has not ended.
    """

    def __init__(self, book: SettingsBook, metric: Metric = ACCURACY):
        self.book = self._first_book = book
        self.metric = metric
        self.step, self.seconds = 0, 0.0
        self.loss: Optional[float] = None
        self.snapshot: Optional[Snapshot] = None
        self.evaluations: List[Dict[str, Any]] = []
        self.timeline: List[Tuple[int, SettingsBook]] = []
        self.ending = ""
        self._log = Timeline()
        self._books: List[SettingsBook] = []  # after each event of the log

    def take(self, item: Any) -> None:
        """Take in an event, a step record or a snapshot."""
        if isinstance(item, events.Event):
            self._take_event(item)
        elif isinstance(item, StepRecord):
            self.step, self.seconds, self.loss = item.step, item.seconds, item.loss
        elif isinstance(item, Snapshot):
            self.snapshot = item
            self.step, self.seconds = item.step, item.seconds

    def take_record(self, reader: RecordReader) -> None:
        """Take in all events of a record."""
        for logged in reader.log()[0]:
            self._take_event(logged.event)

    def _take_event(self, event: events.Event) -> None:
        # Changes on branches that were left count, too: the event that led away from there reverses them.
        changes = getattr(event, "changes", ())
        if changes:
            self.book, _ = self.book.change([(change.setting, change.new) for change in changes])
        moved = self._log.add(event)
        self._books.append(self.book)
        if isinstance(event, events.ENDINGS):
            self.ending = event.kind.lower()
        elif isinstance(event, _BEGINNINGS):
            self.ending = ""
        if moved:  # other events survive
            self.evaluations, self.timeline = [], []
            for logged, book in zip(self._log.log, self._books):
                if logged.survives:
                    self._note(logged.event, book)
        elif self._log.log[-1].survives:
            self._note(event, self.book)

    def _note(self, event: events.Event, book: SettingsBook) -> None:
        """Take in an event that is part of what led to the present state, with the settings after it."""
        if isinstance(event, events.Evaluated):
            self.evaluations.append({"step": event.step, **event.scores})
        elif isinstance(event, _CHANGING):
            self.timeline = [known for known in self.timeline if known[0] < event.step] + [(event.step, book)]

    @property
    def changes(self) -> List[Dict[str, Any]]:
        """What changed when: ``step``, ``setting``, ``old``, ``new``."""
        return [
            {"step": step, "setting": change.setting, "old": change.old, "new": change.new}
            for step, changes in self.changes_from(self._first_book)
            for change in changes
        ]

    def changes_from(self, book: SettingsBook, step: int = 0) -> List[Tuple[int, Tuple[events.Change, ...]]]:
        """What changes when, from ``book`` on, at ``step`` and after."""
        found = []
        for at, after in self.timeline:
            if at >= step:
                changes, book = book.differences(after), after
                if changes:
                    found.append((at, changes))
        return found

    def tensors(self) -> List[Dict[str, Any]]:
        """A JSON-able row for each quantized tensor; measures are None before the first snapshot, and where there is
        no finite number.
        """
        rows = []
        for index, tensor in enumerate(self.book.plan.tensors):
            settings = self.book.of(tensor.name)
            row = {"name": tensor.name, "kind": tensor.kind, "enabled": settings.enabled}
            row.update((name, getattr(settings, name)) for name in TENSOR_SETTINGS)
            row.update((name, None) for name in TENSOR_MEASURES)
            if self.snapshot is not None:
                row.update(enabled=self.snapshot.enabled[index], num_bits=self.snapshot.num_bits[index])
                column = self.snapshot.values[:, index]
                row.update((name, _measure(name, column[SNAPSHOT_MEASURES.index(name)])) for name in TENSOR_MEASURES)
            rows.append(row)
        return rows

    def to_dict(self) -> Dict[str, Any]:
        """The result of a run as JSON: every number finite, or None."""
        evaluation = self.evaluations[-1] if self.evaluations else {}
        return {
            "step": self.step,
            "seconds": self.seconds,
            "steps_per_second": self.step / self.seconds if self.seconds > 0 else None,
            "loss": finite(self.loss),
            "metric": self.metric.name,
            self.metric.name: {way: finite(evaluation.get(way)) for way in WAYS},
            self.metric.name + "_step": evaluation.get("step"),
            "ending": self.ending,
            "events": self.changes,
            "tensors": self.tensors(),
        }


def read_outcome(reader: RecordReader) -> Outcome:
    """The present state of a run from its record.

    Raises
    ------
    RecordError
        If it is damaged, or lacks what a run has.
    """
    with reading(reader.path):  # checksums tell damage, not what somebody has written there
        description = reader.description
        plan = quantization_plan(Network.from_dict(description["network"]))
        outcome = Outcome(SettingsBook.from_dict(plan, description["settings"]), recorded_metric(description))
        outcome.take_record(reader)
        snapshots = reader.snapshots()
        if snapshots:
            outcome.take(reader.snapshot(snapshots[-1]))
        newest = reader.steps(start=reader.last_step)
        if len(newest.steps):
            outcome.step, outcome.seconds = int(newest.steps[-1]), float(newest.seconds[-1])
            outcome.loss = float(newest.loss[-1])
        return outcome


def finite(value: Optional[float]) -> Optional[float]:
    """``value`` as JSON can hold it: None for what is no number."""
    return float(value) + 0.0 if value is not None and math.isfinite(value) else None  # -0.0 + 0.0 is 0.0


def _measure(name: str, number: float) -> Any:
    number = finite(number)
    return int(number) if number is not None and name in _WHOLE else number
