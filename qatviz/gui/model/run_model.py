"""Model of the shown run, from which all panels read.

The bridge passes the run's steps, snapshots and events to it on the GUI thread; ``changed`` announces each kind. Panels
keep no state of the run, so they can be closed, opened, and tested with staged runs.
"""

from collections import deque
from typing import Any, Deque, Dict, Iterable, List, Optional, Sequence, Tuple

from PyQt5 import QtCore

from qatviz.analysis.chip.estimate import ChipEstimate
from qatviz.errors import RunStateError
from qatviz.gui.model.availability import ACTIVE_STATES, obstacle_of
from qatviz.gui.model.moments import ShownMoments
from qatviz.gui.model.watching import WatchedResults, Watching
from qatviz.network.graph import Network
from qatviz.network.plan import QuantizationPlan, QuantizedTensor
from qatviz.protocol import events
from qatviz.protocol.branches import BranchPath, BranchPoint
from qatviz.protocol.commands import HARMLESS, Command
from qatviz.protocol.reasons import SaveKind
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot, StepRecord, TensorValues, phase
from qatviz.protocol.timeline import LoggedEvent, Timeline
from qatviz.protocol.trials import ForkEvaluation, SettingsEvaluated
from qatviz.settings import QuantizerSettings
from qatviz.telemetry.history import History
from qatviz.telemetry.run_handle import (
    HERE,
    Connection,
    RunHandle,
)

#: Topics of ``changed``: another run, its state, new steps, snapshots, settings in effect, events, values of a tensor,
#: the estimate for a chip, evaluations of settings that are not in effect; the user's selection of tensors, and of a
#: held-out example. Further topics are those of `qatviz.gui.model.watching`, and `qatviz.gui.model.moments.MOMENT`.
RUN, STATE, STEPS, SNAPSHOT, SETTINGS, EVENTS, VALUES, CHIP, TRIALS, SELECTION, EXAMPLE = (
    "run",
    "state",
    "steps",
    "snapshot",
    "settings",
    "events",
    "values",
    "chip",
    "trials",
    "selection",
    "example",
)

#: Maximum number of snapshots kept for distributions over time. If there are more, every other one is dropped, except
#: the first of each phase of the run (`phase`).
SNAPSHOTS_KEPT = 240
_SNAPSHOT_ROW = {name: row for row, name in enumerate(SNAPSHOT_MEASURES)}


class RunModel(ShownMoments, WatchedResults):
    """Present state of the shown run.

    Attributes
    ----------
    run : RunHandle or None
    title : str
        Network and data; empty without a run.
    network, plan, book
        Network, quantized tensors and settings in effect; None without a run.
    notes : tuple of str
        Notes on its data and model.
    batches_per_epoch : float
        0 if unknown.
    total_steps : int or None
        None for no limit.
    optimizer : str
        Name of the run's optimizer; empty if unknown.
    history : History or None
    snapshot : Snapshot or None
        The newest snapshot.
    snapshots : list of Snapshot
        Snapshots of the surviving timeline, thinned, oldest first.
    last_step : StepRecord or None
        The newest step record.
    recent_steps : deque of StepRecord
        The newest step records of the present branch, oldest first.
    values : dict of str to TensorValues
        Float values of the tensors that were requested.
    chip : ChipEstimate or None
        Estimate for the chosen chip under the settings in effect; None before it is known, and if there is none.
    chip_problem : str
        Reason why there is no estimate; empty if there is one, or it is not known yet.
    fork_evaluations : tuple of ForkEvaluation
        Evaluations of the run's recorded forks, once a panel has requested them.
    trials : list of SettingsEvaluated
        Evaluations of settings that were not in effect, oldest first.
    selected_example : int
        Index of the selected held-out example; -1 for none.
    log : list of LoggedEvent
    evaluation : events.Evaluated or None
    applied_at : dict of (str, str) to int
        Training step at which a setting (tensor or ``run``, name) last took effect.
    selected : tuple of str
        Names of the selected tensors, in the order of the plan.
    current : str
        Name of the tensor in the Tensor panel; empty without a run.
    failure : events.Failed or None
    is_recorded : bool
        Whether the run has a record, so that states of its past can be read.
    ended : bool
        Whether the run can no longer train: it has ended, or was opened from its record.
    """

    #: Emitted with each event.
    happened = QtCore.pyqtSignal(object)
    #: Emitted with each command just before it is sent.
    sending = QtCore.pyqtSignal(object)

    def __init__(self, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self._awaited = ""
        self._watching = Watching(self.send)
        self._clear()

    def _clear(self) -> None:
        self.run: Optional[RunHandle] = None
        self.title = ""
        self.notes: Tuple[str, ...] = ()
        self.network: Optional[Network] = None
        self.plan: Optional[QuantizationPlan] = None
        self.book: Optional[SettingsBook] = None
        self.history: Optional[History] = None
        self.batches_per_epoch = 0.0
        self.total_steps: Optional[int] = None
        self.optimizer = ""
        self.snapshot: Optional[Snapshot] = None
        self.snapshots: List[Snapshot] = []
        self._kept: List[Tuple[BranchPoint, Snapshot]] = []  # including those of abandoned branches
        self._stride, self._skipped = 1, 0  # one of ``_stride`` snapshots is kept
        self._book_at: Optional[Tuple[Tuple[int, ...], Snapshot, SettingsBook]] = None
        self.last_step: Optional[StepRecord] = None
        self.recent_steps: Deque[StepRecord] = deque(maxlen=2000)
        self.values: Dict[str, TensorValues] = {}
        self._clear_results()
        self._watching.forget_run()
        self.selected_example = -1
        self.chip: Optional[ChipEstimate] = None
        self.chip_problem = ""
        self.trials: List[SettingsEvaluated] = []
        self.fork_evaluations: Tuple[ForkEvaluation, ...] = ()
        self._timeline = Timeline()
        self.evaluation: Optional[events.Evaluated] = None
        self.applied_at: Dict[Tuple[str, str], int] = {}
        self.selected: Tuple[str, ...] = ()
        self.current = ""
        self.moment: Optional[Snapshot] = None
        self.other_moment: Optional[Snapshot] = None
        self.failure: Optional[events.Failed] = None
        self.ended = self.is_recorded = False

    # The shown run

    def set_run(
        self,
        run: RunHandle,
        network: Network,
        book: SettingsBook,
        title: str,
        batches_per_epoch: float = 0.0,
        log: Sequence[LoggedEvent] = (),
        snapshots: Sequence[Snapshot] = (),
        notes: Sequence[str] = (),
        directory: str = "",
    ) -> None:
        """Show another run; ``log`` and ``snapshots`` are its recorded past, on all branches, by branch and step.

        ``directory`` is that of its record; empty if it is not recorded.
        """
        self._clear()
        self.run, self.network, self.plan, self.book = run, network, book.plan, book
        self.history, self.title, self.batches_per_epoch = run.history, title, batches_per_epoch
        self.notes = tuple(notes)
        description = run.description
        self.total_steps, self.optimizer = description.get("steps"), description.get("optimizer", "")
        self.ended = run.state not in ACTIVE_STATES
        self.is_recorded = bool(directory)
        self._recall(log, snapshots)
        weights = [t.name for t in self.plan.tensors if t.kind == "weights"]
        self.current = (weights or [t.name for t in self.plan.tensors])[0]
        self.selected = (self.current,)
        self.changed.emit(RUN)

    def await_run(self, text: str) -> None:
        """Set the text that panels show until there is a run; empty for their own text."""
        if text != self._awaited:
            self._awaited = text
            if self.run is None:
                self.changed.emit(RUN)

    def unavailable_text(self) -> str:
        """Return the reason why the run can't be changed, for every control that is then disabled; empty if it can."""
        return obstacle_of(self.run, self.ended)

    def no_run_text(self, text: str) -> str:
        """Return the text of a panel without a run: that of :meth:`await_run`, else ``text``."""
        return self._awaited or text

    def _recall(self, log: Sequence[LoggedEvent], snapshots: Sequence[Snapshot]) -> None:
        for logged in log:
            self._timeline.add(logged.event, logged.time)
            if isinstance(logged.event, events.Planned):
                self.total_steps = logged.event.steps
            for change in getattr(logged.event, "changes", ()):
                self._record_change(change, logged.event.step)
        self.evaluation = self._newest_evaluation()
        self._kept = [(self._timeline.place(snapshot.point), snapshot) for snapshot in snapshots]
        self._select_snapshots()
        self.snapshot = self.snapshots[-1] if self.snapshots else None

    @property
    def log(self) -> List[LoggedEvent]:
        """All events; a new list after a change of branch has abandoned or restored some."""
        return self._timeline.log

    @property
    def path(self) -> BranchPath:
        """Path to the current state of the run."""
        return self._timeline.path

    def close_run(self) -> None:
        """Show no run."""
        self._clear()
        self.changed.emit(RUN)

    def select(self, names: Iterable[str], current: str = "") -> None:
        """Select tensors; the Tensor panel shows ``current``.

        By default, that is the present one if it is still selected, else the first newly selected one.
        """
        wanted = set(names)
        selected = tuple(t.name for t in self.tensors if t.name in wanted)
        if not current:
            fresh = [name for name in selected if name not in self.selected]
            current = self.current if self.current in selected else (fresh or list(selected) or [self.current])[0]
        if (selected, current) != (self.selected, self.current):
            self.selected, self.current = selected, current
            self.changed.emit(SELECTION)

    def select_example(self, index: int) -> None:
        """Select a held-out example by its index; -1 for none."""
        if index != self.selected_example:
            self.selected_example = index
            self.changed.emit(EXAMPLE)

    @property
    def tensors(self) -> Tuple[QuantizedTensor, ...]:
        return self.plan.tensors if self.plan is not None else ()

    @property
    def state(self) -> str:
        """The run's state, or an empty text without one."""
        return self.run.state if self.run is not None else ""

    @property
    def step(self) -> int:
        return self.run.step if self.run is not None else 0

    def settings_of(self, tensor: str) -> QuantizerSettings:
        """Return the settings in effect for a tensor of the shown run."""
        assert self.book is not None, "a tensor belongs to a run, which has settings"
        return self.book.of(tensor)

    def settings_at(self, snapshot: Snapshot, tensor: str) -> QuantizerSettings:
        """Return the settings with which a tensor was measured by a snapshot of the shown run."""
        book = self.book_at(snapshot)
        return book.of(tensor).with_grid_bits(snapshot.num_bits[book.plan.index(tensor)])

    def book_at(self, snapshot: Snapshot) -> SettingsBook:
        """Return the settings in effect at a snapshot of the shown run."""
        assert self.book is not None, "a snapshot is that of a run"
        key = (id(snapshot), id(self.book), len(self.log))
        if self._book_at is None or self._book_at[:2] != (key, snapshot):
            self._book_at = key, snapshot, self._timeline.settings_at(snapshot.point, self.book)
        return self._book_at[2]

    def show_forks(self, found: Tuple[ForkEvaluation, ...]) -> None:
        """Set the evaluations of the run's forks."""
        if [(each.directory, each.result) for each in found] != [
            (each.directory, each.result) for each in self.fork_evaluations
        ]:
            self.fork_evaluations = found
            self.changed.emit(TRIALS)

    def trial_of(self, command_id: str, since: int = 0) -> Optional[SettingsEvaluated]:
        """Return the first of ``trials[since:]`` that a command requested; with an empty id, that no command did."""
        return next((trial for trial in self.trials[since:] if trial.command_id == command_id), None)

    def book_at_point(self, point: BranchPoint) -> SettingsBook:
        """Return the settings in effect at an earlier state of the shown run, on any branch."""
        assert self.book is not None, "a state is that of a run"
        return self._timeline.settings_at(point, self.book)

    def values_of(self, path: str) -> List[Tuple[int, Any]]:
        """Return the values of a setting over the run, see :meth:`.Timeline.values_of`."""
        assert self.book is not None, "only a run has settings"
        return self._timeline.values_of(path, self.book.value(path))

    def checkpoints(self) -> List[str]:
        """Return the names of the checkpoints that the user or the run saved, newest first."""
        kinds = (SaveKind.REQUESTED, SaveKind.BEST)
        saved = [logged.event for logged in self.log if isinstance(logged.event, events.CheckpointSaved)]
        return list(dict.fromkeys(event.name for event in reversed(saved) if event.reason.kind in kinds))

    def set_chip(self, found: Optional[ChipEstimate], problem: str = "") -> None:
        """Set the estimate for a chip, or the reason why there is none."""
        self.chip, self.chip_problem = found, problem
        self.changed.emit(CHIP)

    @property
    def is_change_unmeasured(self) -> bool:
        """True if quantizers have changed since the newest snapshot of a run in progress."""
        if self.ended or self.snapshot is None or self.book is None:
            return False
        return self.book_at(self.snapshot).quantizers != self.book.quantizers

    def is_active(self, tensor: str) -> bool:
        """Return whether the tensor is quantized now: enabled, and past its delay."""
        return self.settings_of(tensor).is_active(self.step)

    def measure(self, tensor: str, name: str) -> float:
        """Return a measure of the shown snapshot; NaN without a snapshot."""
        shown = self.shown
        if shown is None or self.plan is None:
            return float("nan")
        return float(shown.values[_SNAPSHOT_ROW[name], self.plan.index(tensor)])

    def age_s(self, seconds: float) -> float:
        """Return the seconds of training since the training time ``seconds``; 0 if no later step is known."""
        return max(0.0, self.recent_steps[-1].seconds - seconds) if self.recent_steps else 0.0

    def steps_per_second(self) -> float:
        """Return the speed over at most the last two seconds of training; NaN before there are two steps."""
        steps = self.recent_steps
        if len(steps) < 2:
            return float("nan")
        newest = steps[-1]
        oldest = next(s for s in steps if s.seconds >= newest.seconds - 2.0)
        if oldest is newest:
            oldest = steps[-2]
        return (newest.step - oldest.step) / max(newest.seconds - oldest.seconds, 1e-9)

    # Requests to the run

    def send(self, command: Command) -> str:
        """Send a command to the shown run; return its id.

        Raises
        ------
        RunStateError
            If there is no run, or it has ended.
        """
        if self.run is None:
            raise RunStateError("no run is open")
        if self.run.connection.steers and not isinstance(command, HARMLESS):
            raise RunStateError(self.run.connection.obstacle)
        self.sending.emit(command)
        try:
            return self.run.send(command)
        except RunStateError as error:  # the run's own message names the command's class, for users of the API
            raise RunStateError("the run has ended") from error

    def watch(self, topic: str, watcher: str, is_on: bool, request: Optional[Command] = None) -> None:
        """Request results of a topic of :mod:`.watching` from the shown run while any watcher needs them.

        A watcher is the name of a panel; it repeats its wish for another run. ``request`` is the command that requests
        them, if the watcher does not need the default.
        """
        self._watching.watch(None if self.ended else self.run, topic, watcher, is_on, request)

    @property
    def connection(self) -> Connection:
        """Connection of the shown run."""
        return HERE if self.run is None else self.run.connection

    @property
    def is_steered(self) -> bool:
        """Whether the shown run is in progress and accepts commands of this window."""
        return self.run is not None and self.state in ACTIVE_STATES and not self.run.connection.obstacle

    def leave_run(self) -> None:
        """Detach this window from the shown run; the run is stopped if no other window can show it."""
        if self.run is not None:
            self.run.leave()

    def request_stop(self) -> None:
        """Stop the shown run, if there is one and it has not ended."""
        if self.run is not None:
            self.run.request_stop()

    # Output of the run

    def process(self, items: Iterable[Any]) -> None:
        """Update the model from steps, snapshots, values and events; announce each affected topic once."""
        affected = [topic for item in items for topic in self._process(item)]
        for topic in dict.fromkeys(affected):
            self.changed.emit(topic)

    def _process(self, item: Any) -> Tuple[str, ...]:
        if isinstance(item, StepRecord):
            self.last_step = item
            self.recent_steps.append(item)
            return (STEPS,)
        if isinstance(item, Snapshot):
            self.snapshot = item
            if not item.older:
                self._keep_snapshot(item)
            return (SNAPSHOT,)
        if isinstance(item, TensorValues):
            self.values[item.name] = item
            return (VALUES,)
        if isinstance(item, SettingsEvaluated):
            self.trials.append(item)
            return (TRIALS,)
        topic = self._keep_result(item)
        return (topic,) if topic else self._process_event(item)

    def _keep_snapshot(self, snapshot: Snapshot) -> None:
        """Keep the newest snapshot for distributions over time if it is due."""
        kept = (self._timeline.place(snapshot.point), snapshot)
        if self._kept and self._kept[-1][0][:2] == kept[0][:2]:  # the run is paused and a setting has changed
            self._kept[-1] = kept
            self._select_snapshots()
            return
        self._skipped += 1
        if self._skipped < self._stride and self._kept and not _begins_phase(self._kept[-1], kept):
            return
        self._skipped = 0
        self._kept.append(kept)
        if len(self._kept) > SNAPSHOTS_KEPT:
            self._kept = _thinned(self._kept)
            self._stride *= 2
        self._select_snapshots()

    def _select_snapshots(self) -> None:
        """Select the snapshots on the present path, the newest of each step: a branch starts with another one."""
        by_step = {point.step: snapshot for point, snapshot in self._kept if self._timeline.path.includes(point)}
        self.snapshots = list(by_step.values())
        self._check_moments()

    def _process_event(self, event: events.Event) -> Tuple[str, ...]:
        topics: Tuple[str, ...] = (EVENTS,)
        changes = getattr(event, "changes", ())
        path = self._timeline.path
        if self._timeline.add(event):
            self._restore_branch(path.common_step(self._timeline.path))
            topics += (STEPS, SNAPSHOT)
        if changes:
            assert self.book is not None, "events are those of the shown run"
            self.book, _ = self.book.change([(change.setting, change.new) for change in changes])
            for change in changes:
                self._record_change(change, event.step)
            topics += (SETTINGS,)
        if isinstance(event, events.Evaluated):
            self.evaluation = event
        elif isinstance(event, events.Planned):
            self.total_steps = event.steps
        elif isinstance(event, events.Failed):
            self.failure = event
        self.ended = self.ended or isinstance(event, events.ENDINGS)
        self.happened.emit(event)
        return (*topics, STATE)

    def _record_change(self, change: events.Change, step: int) -> None:
        tensor, _, name = change.setting.rpartition(".")
        self.applied_at[tensor, name] = step

    def _restore_branch(self, step: float) -> None:
        """Keep only data of the present branch, which shares its past up to ``step`` with the previous one."""
        self._select_snapshots()
        self.values = {name: known for name, known in self.values.items() if known.step <= step}
        steps = [s for s in self.recent_steps if s.step <= step]
        self.recent_steps.clear()
        self.recent_steps.extend(steps)
        self.evaluation = self._newest_evaluation()
        self._drop_results_after(step)

    def _newest_evaluation(self) -> Optional[events.Evaluated]:
        past = [h.event for h in self.log if h.survives and isinstance(h.event, events.Evaluated)]
        return past[-1] if past else None


def _begins_phase(before: Tuple[BranchPoint, Snapshot], kept: Tuple[BranchPoint, Snapshot]) -> bool:
    return (before[0].branch, phase(before[1].step)) != (kept[0].branch, phase(kept[1].step))


def _thinned(kept: List[Tuple[BranchPoint, Snapshot]]) -> List[Tuple[BranchPoint, Snapshot]]:
    """Return every other snapshot and the first of each phase; every other one if there are too many branches."""
    lasting = [item for i, item in enumerate(kept) if i % 2 == 0 or _begins_phase(kept[i - 1], item)]
    return lasting if len(lasting) < 0.9 * SNAPSHOTS_KEPT else kept[::2]
