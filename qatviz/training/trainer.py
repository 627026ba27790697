"""The training loop: owns the graph, carries out commands between steps, says what happens.

All of it runs on one thread. The way in is the :class:`Inbox`, the way out the :class:`Collector`.
"""

import gc
import time
from bisect import bisect_left
from dataclasses import replace
from typing import Any, Callable, ClassVar, Dict, List, Optional, Set, Tuple, Union

from qatviz.data import BatchSchedule
from qatviz.errors import QatvizError, RunStateError
from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.schedule import changed
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import TensorValues, read_only
from qatviz.quant import live_state
from qatviz.settings import RUN_SETTINGS
from qatviz.telemetry.collector import Collector, RawStep, Rewind
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.checkpointer import AUTOMATIC, BEFORE_CHANGE, FINAL, Checkpointer, checkpoint_name
from qatviz.training.evaluation import Evaluation
from qatviz.training.graph import NonFiniteLoss, TrainingGraph
from qatviz.training.inbox import Inbox, Sent
from qatviz.training.moments import Moment, Moments
from qatviz.training.objective import OBJECTIVES
from qatviz.training.pace import Pace, SnapshotPace
from qatviz.training.range_policy import KEEP, actions_at_step, actions_on_change, held_ranges
from qatviz.training.snapshot import make_snapshot

#: Snapshots take at most one part in this many of the time, but for those after a change; a part more as often as they
#: are asked for more often than by default.
SNAPSHOT_SHARE = 75
#: Seconds between two states kept in memory in case a step goes wrong: at first, after a change, and at most; and the
#: part of the time that keeping them may take.
LAST_GOOD_FIRST_S, LAST_GOOD_LONGEST_S, LAST_GOOD_SHARE = 0.5, 5.0, 0.01
#: A state whose loss is more than so many times that of the first step, or of guessing, is not worth going back to.
GOOD_LOSS_FACTOR = 10.0
#: Seconds that a paused run sleeps at most before it looks after its housekeeping.
_IDLE_S = 0.25


class Trainer:
    """One run, from its first step to its end; made and used on the training thread.

    Parameters
    ----------
    spec : RunSpec
    inbox : Inbox
    collector : Collector
    record : RunRecord, optional
    on_state : callable (str, int)
        Told the state (``running``, ``paused``) and the step whenever they change.

    Attributes
    ----------
    final : Moment or None
        The state at the end, once it has come.
    """

    def __init__(
        self,
        spec: RunSpec,
        inbox: Inbox,
        collector: Collector,
        record: Optional[RunRecord],
        on_state: Callable[[str, int], None],
    ):
        self._spec, self._inbox, self._collector, self._record = spec, inbox, collector, record
        self._on_state = on_state
        self._started = time.perf_counter()
        self._graph = TrainingGraph(
            spec.network,
            spec.plan,
            spec.dataset,
            spec.batch_size,
            spec.optimizer,
            spec.seed,
            spec.placement,
            spec.telemetry,
            spec.fixed,
        )
        self._place = self._graph.layout
        self._loss_of_guessing = OBJECTIVES[spec.dataset.task].loss_of_guessing(spec.dataset)
        self._batches = BatchSchedule(len(spec.dataset.x_train), spec.batch_size, spec.seed)
        self._moments = Moments()
        self.final: Optional[Moment] = None
        #: The next state to go back to after a bad step, once a step could be taken from it.
        self._unproven: Optional[Moment] = None
        self._greatest_good_loss: Optional[float] = None
        self._checkpointer = Checkpointer(record, collector.put)
        self._schedule = sorted(spec.schedule, key=lambda item: item[0])
        self._evaluation: Optional[Evaluation] = None
        self._paused = self._stopping = self._snapshot_wanted = False
        self._wanted: Set[str] = set()
        self._single_steps = 0
        self._total = spec.steps
        self._branch = self._newest_branch = 0 if record is None else record.branch
        self._reported: Tuple[Optional[BaseException], Optional[BaseException]] = (None, None)
        try:
            self._begin(spec.start)
        except BaseException:
            self.close()
            raise
        # The graph's objects, some hundred thousand, stay as long as the run does. To look through them for garbage
        # would hold up every thread, the window's too, for a tenth of a second each time.
        gc.freeze()

    # Life

    def run(self) -> events.Event:
        """Train until the end; the last event."""
        while not self._stopping:
            self._carry_out(self._due() + self._inbox.take_all())
            if self._stopping:
                break
            if self._paused:
                self._rest()
            elif self._total is not None and self.step >= self._total:
                if self._finish_evaluation():
                    break
            else:
                self._one_step()
                self._look_after()
        return self._end()

    def close(self) -> None:
        """Release the session and write what waits; also after a failure."""
        self._checkpointer.close()
        self._graph.close()
        gc.unfreeze()

    def _begin(self, start: Optional[Moment]) -> None:
        graph, spec = self._graph, self._spec
        if start is not None:
            graph.check_state(start.name, start.arrays)
        self.step, self.seconds = (start.step, start.seconds) if start else (0, 0.0)
        self.book = start.book if start else spec.book
        graph.write_settings(self.book.quantizers, self.book.run, self.step)
        graph.write_state(start.arrays if start else graph.initial_state(self.book.run, spec.parameters))
        if start is None:
            graph.calibrate(self._batches.indices(0))
            self._hold_ranges(actions_on_change(self._place, None, self.book))
        self._plan_activation()
        # What the schedule says of the step a run is resumed at was done before, or is done now; twice does no harm.
        self._scheduled = bisect_left([step for step, _ in self._schedule], self.step)
        self._emit(events.Started(self.step, time.perf_counter() - self._started, self._graph.device))
        now = time.perf_counter()
        self._snapshot_pace = SnapshotPace(now, SNAPSHOT_SHARE)
        self._next_checkpoint = now + self.book.run.checkpoint_interval
        self._moments.last_good = self._moment("start", "start of the run")
        ready = time.perf_counter()
        self._good_pace = Pace(ready, LAST_GOOD_FIRST_S, LAST_GOOD_LONGEST_S, LAST_GOOD_SHARE, ready - now)
        self._on_state("running", self.step)

    def _end(self) -> events.Event:
        """Everything is measured and kept once more; a stop leaves out what takes long."""
        self._evaluation = None
        self._take_snapshot()
        self.final = self._moment(checkpoint_name(FINAL, self.step), "end of the run")
        self._checkpointer.save(self.final)
        return events.Stopped(self.step) if self._stopping else events.Finished(self.step)

    def _finish_evaluation(self) -> bool:
        """Measure how good it is at the last step; False if a command came meanwhile after which there is more to
        do.
        """
        self._evaluation, book = self._new_evaluation(), self.book
        while self._evaluation is not None:
            self._advance_evaluation()
            self._carry_out(self._inbox.take_all())
            more = self._total is None or self.step < self._total or self.book != book
            if more or self._paused or self._stopping:
                return False
        return True

    # Steps

    def _one_step(self) -> None:
        started = time.perf_counter()
        if self.step == self._next_activation:
            self._activate()
        if self.step:
            self._hold_ranges(actions_at_step(self._place, self.book, self.step))
        try:
            loss, raw = self._graph.step(self._batches.indices(self.step), self.step)
        except NonFiniteLoss as error:
            self._after_bad_step(str(error))
            return
        if self._greatest_good_loss is None:
            self._greatest_good_loss = GOOD_LOSS_FACTOR * max(loss, self._loss_of_guessing)
        if self._unproven is not None and loss <= self._greatest_good_loss:  # else training is running away already
            self._moments.last_good, self._unproven = self._unproven, None
        self.step += 1
        self.seconds += time.perf_counter() - started
        self._collector.put(RawStep(self.step, self.seconds, loss, self.book.run.learning_rate, raw))
        self._on_state("running", self.step)
        if self._single_steps:
            self._single_steps -= 1
            if not self._single_steps:
                self._pause("single step")

    def _activate(self) -> None:
        """quant_delay of some quantizers ends here."""
        names = [
            t.name
            for t in self._spec.plan.tensors
            if self.book.of(t.name).is_active(self.step) and not self.book.of(t.name).is_active(self.step - 1)
        ]
        self._graph.write_settings(self.book.quantizers, self.book.run, self.step)
        self._plan_activation()
        self._emit(events.SettingsActivated(self.step, tuple(names)))

    def _plan_activation(self) -> None:
        self._next_activation = live_state.next_activation(self.book.quantizers, self.step)

    def _hold_ranges(self, actions: List[int]) -> bool:
        """Whether a range was found anew."""
        if all(action == KEEP for action in actions):
            return False
        held = held_ranges(self._place, self.book, actions, self._graph.read_weights(), self._graph.read_held_ranges())
        self._graph.write_held_ranges(held)
        return True

    def _after_bad_step(self, what: str) -> None:
        """Go back to a state from which a step could be taken: numbers as large as those of the present one lead to no
        end of bad steps, even where they are finite.
        """
        left, book, good = self.step, self.book, self._moments.last_good
        self._set_to(good)
        self._unproven = None
        self._emit(events.Restored(self.step, good.name, what, left, book.differences(good.book)))
        self._emit(events.NonFinite(left, what, self.step))
        self._pause(what)

    # Housekeeping between steps

    def _look_after(self) -> None:
        run, now = self.book.run, time.perf_counter()
        if self._evaluation is not None:
            self._advance_evaluation()
        elif run.evaluation_interval and self.step % run.evaluation_interval == 0:
            self._evaluation = self._new_evaluation()
        if self._snapshot_pace.is_due(now):
            self._take_snapshot()
        if self._good_pace.is_due(now):
            self._keep_last_good()
        if now >= self._next_checkpoint:
            self._next_checkpoint = now + run.checkpoint_interval
            self._checkpointer.save(self._moment(checkpoint_name(AUTOMATIC, self.step), "automatic"))
        self._report_failure()

    def _report_failure(self) -> None:
        """Say once that the telemetry, or the record, has failed."""
        failures = self._collector.failure, None if self._record is None else self._record.failure
        for failure, reported in zip(failures, self._reported):
            if failure is not None and failure is not reported:
                self._emit(events.RecordFailed(self.step, str(failure) or repr(failure)))
        self._reported = failures

    def _keep_last_good(self) -> None:
        began = time.perf_counter()
        moment = self._moment("good", "kept in case a step goes wrong")
        is_finite = moment.is_finite
        self._good_pace.done(began, time.perf_counter())
        if is_finite:
            self._unproven = moment
        else:  # a tensor of NaNs is quantized to zeros: the loss need not show it
            self._after_bad_step("a weight, a slot of the optimizer or a range is not finite")

    def _rest(self) -> None:
        self._report_failure()
        if self._snapshot_wanted:
            self._take_snapshot()
        elif self._evaluation is not None:
            self._advance_evaluation()
        else:
            self._inbox.wait(_IDLE_S)

    def _take_snapshot(self) -> None:
        """Histograms of the present state."""
        self._snapshot_wanted = False
        started = time.perf_counter()
        with self._graph.published(put_back=self._evaluation is not None):
            self._collector.put(make_snapshot(self._graph.snapshot(), self.book, self.step, self.seconds))
            for name in sorted(self._wanted):
                self._collector.put(TensorValues(self.step, name, read_only(self._graph.tensor_values(name))))
        self._wanted.clear()
        interval = self.book.run.snapshot_interval
        self._snapshot_pace.done(
            started, time.perf_counter(), interval, min(1.0, interval / RUN_SETTINGS["snapshot_interval"].default)
        )

    def _new_evaluation(self) -> Evaluation:
        return Evaluation(self._graph, self._spec.metric, len(self._spec.dataset.x_test), self.step)

    def _advance_evaluation(self) -> None:
        result = self._evaluation.advance()
        if result is not None:
            self._evaluation = None
            self._emit(result)

    # Commands

    def _due(self) -> List[Sent]:
        """Commands of the schedule whose step has come, each once."""
        due = []
        while self._scheduled < len(self._schedule) and self._schedule[self._scheduled][0] <= self.step:
            due.append(Sent(0, self._schedule[self._scheduled][1]))
            self._scheduled += 1
        return due

    def _carry_out(self, waiting: List[Sent]) -> List[Sent]:
        """All waiting commands, in order; changes of settings that follow each other are adopted in one call."""
        if not waiting:
            return waiting
        book: SettingsBook = self.book
        answers: List[Tuple[Sent, Union[tuple, QatvizError]]] = []
        for sent in waiting:
            try:
                if isinstance(sent.command, (c.ChangeSettings, c.ApplyPreset)):
                    book, changes = changed(book, sent.command)
                    answers.append((sent, changes))
                    continue
                self._adopt(book, answers)
                answers = []
                handler = self._HANDLERS.get(type(sent.command))
                if handler is None:
                    raise RunStateError(
                        f"{sent.command.describe()}: there is no such command; there are "
                        f"{', '.join(kind.__name__ for kind in self._HANDLERS)}"
                    )
                handler(self, sent)
                book = self.book
            except QatvizError as error:
                answers.append((sent, error))
        self._adopt(book, answers)
        return waiting

    def _adopt(self, book: SettingsBook, answers: List[Tuple[Sent, Union[tuple, QatvizError]]]) -> None:
        """Let ``book`` take effect before the next step; what it replaces can be gone back to. Then answer, in
        order.
        """
        name = ""
        if book != self.book:
            last = [sent for sent, outcome in answers if isinstance(outcome, tuple) and outcome][-1]
            name = checkpoint_name(BEFORE_CHANGE, self.step, last.sequence)
            before = self._moment(name, "before " + last.command.describe())
            self._moments.before_change(before)
            self._checkpointer.save(before)
            old, self.book = self.book, book
            self._graph.write_settings(book.quantizers, book.run, self.step)
            refreshed = self._hold_ranges(actions_on_change(self._place, old, book))
            # Going back after a bad step should not take back a change with which steps could be taken.
            after = self._moment("good", "after a change") if refreshed else replace(before, name="good", book=book)
            self._unproven = after if after.is_finite else None
            self._plan_activation()
            now = time.perf_counter()
            self._good_pace.restart(now)
            if book.quantizers != old.quantizers:  # what was changed is looked at
                self._snapshot_wanted = self._paused
                self._snapshot_pace.hurry(book.run.snapshot_interval)
            self._next_checkpoint = min(self._next_checkpoint, now + book.run.checkpoint_interval)
        for sent, outcome in answers:
            if isinstance(outcome, QatvizError):
                self._emit(events.CommandRejected(self.step, sent.sequence, sent.command.describe(), str(outcome)))
            else:
                self._applied(sent, outcome, name if outcome else "")

    def _applied(self, sent: Sent, changes: tuple = (), checkpoint: str = "") -> None:
        self._emit(events.CommandApplied(self.step, sent.sequence, sent.command.describe(), changes, checkpoint))

    def _pause(self, reason: str) -> None:
        self._paused, self._single_steps = True, 0
        self._emit(events.Paused(self.step, reason))
        self._on_state("paused", self.step)
        if not self._stopping:
            self._take_snapshot()  # what is on screen while it stands still should be exact

    def _unpause(self) -> None:
        if self._paused:
            self._paused = False
            self._emit(events.Resumed(self.step))
            self._on_state("running", self.step)

    # One method for each kind of command

    def _on_pause(self, sent):
        self._applied(sent)
        if not self._paused or self._single_steps:
            self._pause("asked to")

    def _on_resume(self, sent):
        self._single_steps = 0
        self._applied(sent)
        self._unpause()

    def _on_single_step(self, sent):
        count = sent.command.count
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise RunStateError(f"SingleStep: count is {count!r}: expected a whole number of at least 1")
        self._single_steps = count
        self._applied(sent)
        self._unpause()

    def _on_evaluate(self, sent):
        self._applied(sent)
        if self._evaluation is None:
            self._evaluation = self._new_evaluation()

    def _on_take_snapshot(self, sent):
        self._applied(sent)
        self._take_snapshot()

    def _on_inspect_tensor(self, sent):
        self._wanted.add(self._spec.plan.tensor(sent.command.tensor).name)
        self._on_take_snapshot(sent)

    def _on_save_checkpoint(self, sent):
        name = sent.command.name or checkpoint_name("step", self.step)
        moment = self._moment(name, "asked for")
        self._moments.keep(moment)
        self._checkpointer.save(moment)
        self._applied(sent, checkpoint=name)
        if self._record is None:
            self._emit(events.CheckpointSaved(self.step, name, moment.reason))

    def _on_restore_checkpoint(self, sent):
        moment = self._find(sent.command.name)
        name = checkpoint_name(BEFORE_CHANGE, self.step, sent.sequence)
        self._moments.before_change(self._moment(name, "before restoring"))
        self._jump(sent, moment, "restored")

    def _on_undo(self, sent):
        left = self._moment(checkpoint_name("undone", self.step, sent.sequence), "undone")
        self._jump(sent, self._moments.undo(left), "undo")

    def _on_redo(self, sent):
        left = self._moment(checkpoint_name("redone", self.step, sent.sequence), "redone")
        self._jump(sent, self._moments.redo(left), "redo")

    def _on_set_steps(self, sent):
        steps = sent.command.steps
        if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 0):
            raise RunStateError(f"SetSteps: steps is {steps!r}: expected a whole number of at least 0, or None")
        self._total = steps
        self._applied(sent)
        self._emit(events.Planned(self.step, steps))

    def _on_stop(self, sent):
        self._stopping = True
        self._applied(sent)

    _HANDLERS: ClassVar[Dict[Any, Any]] = {
        c.Pause: _on_pause,
        c.Resume: _on_resume,
        c.SingleStep: _on_single_step,
        c.Evaluate: _on_evaluate,
        c.TakeSnapshot: _on_take_snapshot,
        c.InspectTensor: _on_inspect_tensor,
        c.SaveCheckpoint: _on_save_checkpoint,
        c.RestoreCheckpoint: _on_restore_checkpoint,
        c.Undo: _on_undo,
        c.Redo: _on_redo,
        c.SetSteps: _on_set_steps,
        c.Stop: _on_stop,
    }

    # States

    def _moment(self, name: str, reason: str) -> Moment:
        return Moment(self.step, self.seconds, self.book, self._graph.read_state(), name, reason, self._branch)

    def _find(self, name: str) -> Moment:
        moment = self._moments.named(name)
        if moment is not None:
            return moment
        if self._record is None:
            raise RunStateError(
                f"there is no checkpoint {name!r}; there are {', '.join(self._moments.names()) or 'none'}"
            )
        arrays, meta = self._record.load_checkpoint(name)
        moment = Moment.from_checkpoint(name, arrays, meta, self._spec.plan)
        self._graph.check_state(name, arrays)
        return moment

    def _jump(self, sent: Sent, moment: Moment, reason: str) -> None:
        left = self.step
        changes = self.book.differences(moment.book)
        self._set_to(moment)
        self._applied(sent, changes)
        self._emit(events.Restored(self.step, moment.name, reason, left, changes))
        if self._paused:
            self._take_snapshot()

    def _set_to(self, moment: Moment) -> None:
        self._evaluation = None  # it speaks of a state that was left
        self._unproven = moment if moment.is_finite else None
        self.step, self.seconds, self.book = moment.step, moment.seconds, moment.book
        self._graph.write_state(moment.arrays)
        self._graph.write_settings(self.book.quantizers, self.book.run, self.step)
        self._plan_activation()
        # The schedule's changes at this very step are part of what was left: going back must not bring them again.
        self._scheduled = bisect_left([step for step, _ in self._schedule], self.step + 1)
        self._collector.put(Rewind(self.step, moment.branch))
        self._newest_branch += 1
        self._branch = self._newest_branch
        self._on_state("paused" if self._paused else "running", self.step)
        self._snapshot_pace.hurry(self.book.run.snapshot_interval)

    def _emit(self, event: events.Event) -> None:
        self._collector.put(event)
