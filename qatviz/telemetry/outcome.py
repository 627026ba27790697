"""Outcome of a run so far, accumulated from its events and telemetry, live or from its record."""

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from qatviz.metric import ACCURACY, METRICS, MODES, Metric
from qatviz.number_format import finite
from qatviz.protocol import events
from qatviz.protocol.batch_division import BatchDivision
from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.commands import CORRECTIONS, ChangeSettings, Command
from qatviz.protocol.run_spec import described_plan
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot, StepRecord
from qatviz.protocol.timeline import Timeline
from qatviz.telemetry.record.reader import RecordReader
from qatviz.telemetry.record.refill import recorded_metric
from qatviz.telemetry.record.schema import reading

#: Settings in the rows of :meth:`Outcome.tensors`.
_ROW_SETTINGS = ("symmetric", "narrow_range", "per_channel", "power_of_two", "range_method")
#: Measures in the rows of :meth:`Outcome.tensors`: those of a snapshot except the ranges (they follow from the grid)
#: and the flip rate (it depends on the interval between snapshots).
_ROW_MEASURES = tuple(name for name in SNAPSHOT_MEASURES if name not in ("range_min", "range_max", "flip_rate"))
#: Measures that are whole numbers.
_WHOLE = ("zero_point", "used_codes")
#: Events that can change settings, and those after which a run that has ended continues.
_CHANGING, _BEGINNINGS = (events.CommandApplied, events.Restored), (events.Started, events.Restored)


class Outcome:
    """Current state of a run, accumulated from its events and telemetry.

    Parameters
    ----------
    book : SettingsBook
        Initial settings.
    metric : Metric
        Metric of its evaluations.
    division : BatchDivision
        Initial division of its batches.

    Attributes
    ----------
    book : SettingsBook
        Current settings.
    division : BatchDivision
        Newest division of batches: a run can be resumed with another one, and can lose workers.
    step, seconds, loss
        Number, training time and loss of the newest training step; the loss is None before the first one.
    snapshot : Snapshot or None
    evaluations : list of dict
        All evaluations of the surviving timeline: ``step``, and the metric by the modes of :data:`qatviz.metric.MODES`.
    evaluation_seconds : list of float
        Duration of each evaluation.
    outputs : tuple of tuple of float
        Metric of the newest evaluation by mode and output, if there are several numbers or labels; otherwise empty.
    output : str
        Output that the metric is of, if the network has several.
    further : tuple of FurtherScores
        Further metrics of the newest evaluation.
    losses : tuple of (str, float)
        Losses of several outputs in the newest evaluation.
    held_out_loss : float or None
        Loss in the newest evaluation, if it was computed: of several outputs, the weighted sum.
    timeline : list of (int, SettingsBook)
        Each step at which settings changed, with the settings from then on; steps ascend.
    corrections : list of (CommandApplied, SettingsBook)
        Corrections of the surviving timeline, in order, with the settings at each.
    ending : str
        ``finished``, ``stopped``, ``failed``, or empty while the run has not ended.
    """

    def __init__(self, book: SettingsBook, metric: Metric = ACCURACY, division: BatchDivision = BatchDivision()):
        self.book = self._first_book = book
        self.metric, self.division = metric, division
        self.step, self.seconds = 0, 0.0
        self.loss: Optional[float] = None
        self.snapshot: Optional[Snapshot] = None
        self.evaluations: List[Dict[str, Any]] = []
        self.evaluation_seconds: List[float] = []
        self.outputs: Tuple[Tuple[float, ...], ...] = ()
        self.output = ""
        self.further: Tuple[events.FurtherScores, ...] = ()
        self.losses: Tuple[Tuple[str, float], ...] = ()
        self.held_out_loss: Optional[float] = None
        self.timeline: List[Tuple[int, SettingsBook]] = []
        self.corrections: List[Tuple[events.CommandApplied, SettingsBook]] = []
        self.ending = ""
        self._log = Timeline()
        self._books: List[SettingsBook] = []  # after each event of the log

    def update(self, item: Any) -> None:
        """Update the outcome with an event, a step record or a snapshot."""
        if isinstance(item, events.Event):
            self._update_from_event(item)
        elif isinstance(item, StepRecord):
            self.step, self.seconds, self.loss = item.step, item.seconds, item.loss
        elif isinstance(item, Snapshot):
            self.snapshot = item
            self.step, self.seconds = item.step, item.seconds

    def update_from_record(self, reader: RecordReader) -> None:
        """Update the outcome with all events of a record."""
        for logged in reader.log()[0]:
            self._update_from_event(logged.event)

    def _update_from_event(self, event: events.Event) -> None:
        # Changes that are abandoned later are applied, too: the event that rewinds the run lists their reversal.
        changes = getattr(event, "changes", ())
        if changes:
            self.book, _ = self.book.change([(change.setting, change.new) for change in changes])
        moved = self._log.add(event)
        self._books.append(self.book)
        if isinstance(event, events.Planned):
            self.division = event.division or self.division
        elif isinstance(event, events.WorkersBack):
            self.division = self.division._replace(workers=len(event.workers))
        if isinstance(event, events.ENDINGS):
            self.ending = event.kind.lower()
        elif isinstance(event, _BEGINNINGS):
            self.ending = ""
        if moved:  # the set of surviving events has changed
            self.evaluations, self.evaluation_seconds, self.timeline, self.corrections = [], [], [], []
            self.outputs, self.further, self.losses, self.held_out_loss = (), (), (), None
            for logged, book in zip(self._log.log, self._books):
                if logged.survives:
                    self._note(logged.event, book)
        elif self._log.log[-1].survives:
            self._note(event, self.book)

    def _note(self, event: events.Event, book: SettingsBook) -> None:
        """Update the outcome with a surviving event and the settings after it."""
        if isinstance(event, events.Evaluated):
            self.evaluations.append({"step": event.step, **event.scores})
            self.evaluation_seconds.append(event.seconds)
            self.outputs, self.output, self.further = event.outputs, event.output, event.further
            self.losses, self.held_out_loss = event.losses, event.held_out_loss
        elif isinstance(event, _CHANGING):
            self.timeline = [known for known in self.timeline if known[0] < event.step] + [(event.step, book)]
            if isinstance(event, events.CommandApplied) and isinstance(event.command, CORRECTIONS):
                self.corrections.append((event, book))

    @property
    def steps_per_second(self) -> Optional[float]:
        """Mean speed of training, without evaluations; None before the first step."""
        return self.step / self.seconds if self.seconds > 0 else None

    @property
    def changes(self) -> List[Dict[str, Any]]:
        """Changes of settings so far: ``step``, ``setting``, ``old``, ``new``."""
        return [
            {"step": step, "setting": change.setting, "old": change.old, "new": change.new}
            for step, changes in self.changes_from(self._first_book)
            for change in changes
        ]

    def changes_from(self, book: SettingsBook, step: int = 0) -> List[Tuple[int, Tuple[events.Change, ...]]]:
        """Return the changes relative to ``book`` at ``step`` and later, by step."""
        found = []
        for at, after in self.timeline:
            if at >= step:
                changes, book = book.differences(after), after
                if changes:
                    found.append((at, changes))
        return found

    def values_of(self, path: str) -> List[Tuple[int, Any]]:
        """Return the values of a setting over the run, see :meth:`.Timeline.values_of`."""
        return self._log.values_of(path, self.book.value(path))

    def commands_from(self, book: SettingsBook, at: BranchPoint) -> List[Tuple[int, Command]]:
        """Return the changes of settings and the corrections after a state.

        Parameters
        ----------
        book : SettingsBook
            Settings of the state.
        at : BranchPoint
            The state.

        Returns
        -------
        list of (int, Command)
            Commands with their steps, in the order in which they must be repeated: a correction is between the changes
            before and after it, also at the same step.
        """
        found: List[Tuple[int, Command]] = []

        def change_to(after: SettingsBook, step: int) -> None:
            nonlocal book
            changes, book = book.differences(after), after
            if changes:
                found.append((step, ChangeSettings(tuple((change.setting, change.new) for change in changes))))

        corrections = [(event, own) for event, own in self.corrections if _is_after(event, at)]
        steps = {event.step for event, _ in corrections} | {step for step, _ in self.timeline if step >= at.step}
        timeline = dict(self.timeline)
        for step in sorted(steps):
            for event, own in corrections:
                if event.step == step:
                    change_to(own, step)
                    found.append((step, event.command))
            if step in timeline:
                change_to(timeline[step], step)
        return found

    def tensors(self) -> List[Dict[str, Any]]:
        """Return a JSON-able row for each quantized tensor.

        A measure is None before the first snapshot, and if it is not finite. ``num_bits`` is the number of bits that
        distinguish the codes, ``weight_map`` the map in effect: ``binary`` for weights of 1 bit.
        """
        rows = []
        for index, tensor in enumerate(self.book.plan.tensors):
            settings = self.book.of(tensor.name)
            if self.snapshot is not None:
                settings = settings.with_grid_bits(self.snapshot.num_bits[index])
            row = {"name": tensor.name, "kind": tensor.kind, "enabled": settings.enabled}
            row.update(num_bits=settings.code_bits, weight_map=settings.effective_map)
            row.update((name, getattr(settings, name)) for name in _ROW_SETTINGS)
            row.update((name, None) for name in _ROW_MEASURES)
            if self.snapshot is not None:
                row.update(enabled=self.snapshot.enabled[index])
                column = self.snapshot.values[:, index]
                row.update((name, _measure(name, column[SNAPSHOT_MEASURES.index(name)])) for name in _ROW_MEASURES)
            rows.append(row)
        return rows

    def to_dict(self) -> Dict[str, Any]:
        """Return the result in a JSON-able form; numbers that are not finite become None."""
        evaluation = self.evaluations[-1] if self.evaluations else {}
        return {
            "step": self.step,
            "seconds": self.seconds,
            "steps_per_second": self.steps_per_second,
            "loss": finite(self.loss),
            "metric": self.metric.name,
            self.metric.name: finite_scores(evaluation),
            self.metric.name + "_step": evaluation.get("step"),
            **scores_by_output(self.metric, self.outputs),
            **({"output": self.output} if self.output else {}),
            **further_scores(self.further),
            **losses_by_output(self.losses, self.held_out_loss),
            **({} if self.division == BatchDivision() else {"batch_division": self.division.to_dict()}),
            "ending": self.ending,
            "events": self.changes,
            "tensors": self.tensors(),
        }


def read_outcome(reader: RecordReader) -> Outcome:
    """Return the outcome of a recorded run.

    Raises
    ------
    RecordError
        If the record is damaged or incomplete.
    """
    with reading(reader.path):  # checksums detect damage, not invalid content
        description = reader.description
        plan = described_plan(description)
        book, division = SettingsBook.from_dict(plan, description["settings"]), BatchDivision.described(description)
        outcome = Outcome(book, recorded_metric(description), division)
        outcome.update_from_record(reader)
        snapshots = reader.snapshots()
        if snapshots:
            outcome.update(reader.snapshot(snapshots[-1]))
        newest = reader.steps(start=reader.last_step)
        if len(newest.steps):
            outcome.step, outcome.seconds = int(newest.steps[-1]), float(newest.seconds[-1])
            outcome.loss = float(newest.loss[-1])
        return outcome


def _is_after(event: events.Event, at: BranchPoint) -> bool:
    """Return whether an event of the surviving timeline happened after the state at ``at``."""
    if event.step != at.step:
        return event.step > at.step
    return event.branch > at.branch or (event.branch == at.branch and event.position >= (at.position or 0))


def finite_scores(scores: Mapping[str, Any]) -> Dict[str, Optional[float]]:
    """Return the score of each mode; None if it is missing or not finite."""
    return {mode: finite(scores.get(mode)) for mode in MODES}


def scores_by_output(metric: Metric, outputs: Sequence[Sequence[float]]) -> Dict[str, Any]:
    """Return the JSON-able entry for the metric by mode and output; no entry if there are no such results."""
    by_mode = {mode: [finite(score) for score in row] for mode, row in zip(MODES, outputs)}
    return {metric.name + "_by_output": by_mode} if by_mode else {}


def losses_by_output(losses: Sequence[Tuple[str, float]], total: Optional[float]) -> Dict[str, Any]:
    """Return the JSON-able entries for the losses of several outputs on held-out data; none for one output."""
    by_output = {output: finite(loss) for output, loss in losses}
    return {"held_out_loss": finite(total), "losses": by_output} if by_output else {}


def further_scores(further: Sequence[events.FurtherScores]) -> Dict[str, Any]:
    """Return the JSON-able entry for further metrics; no entry if there are none."""
    rows = [
        dict(
            {"output": item.output, "metric": item.metric, item.metric: finite_scores(item.scores)},
            **scores_by_output(METRICS[item.metric], item.outputs),
        )
        for item in further
    ]
    return {"further": rows} if rows else {}


def _measure(name: str, number: float) -> Any:
    """Return a measure in a JSON-able form: an int if it is a whole number, None if it is not finite."""
    value = finite(number)
    return int(value) if value is not None and name in _WHOLE else value
