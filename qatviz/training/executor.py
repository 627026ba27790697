"""Execution of commands between two training steps, in the order in which they were sent; each gets one reply."""

import time
from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Dict, List, Optional, Tuple, Union, cast

from qatviz.correction.result import Correction
from qatviz.errors import QatvizError, RunStateError
from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.protocol.commands import Schedule
from qatviz.protocol.events import Change
from qatviz.protocol.reasons import PauseReason, RestoreReason, SaveKind, SaveReason
from qatviz.protocol.run_state import Arrays, RunState
from qatviz.protocol.schedule import changed
from qatviz.protocol.settings_book import SettingsBook
from qatviz.telemetry.collector import Collector, Rewind
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.checkpointer import AUTOMATIC, BEFORE_CHANGE, Checkpointer, checkpoint_name
from qatviz.training.control import Control
from qatviz.training.inbox import Sent
from qatviz.training.recovery import Recovery
from qatviz.training.state_store import StateStore

if TYPE_CHECKING:  # they import TensorFlow; the staged run of the tests replaces them
    from qatviz.training.corrections import Corrections
    from qatviz.training.live_run import LiveRun
    from qatviz.training.measuring import Measuring

#: Commands that wait for the end of a correction, because it applies to the state that it was begun in.
_POSTPONED = (*c.CORRECTIONS, c.ChangeSettings, c.ApplyPreset, c.RestoreCheckpoint, c.Undo, c.Redo)
#: A command and its reply: the changes that it made, or the error for which it is rejected.
Reply = Tuple[Sent, Union[Tuple[Change, ...], QatvizError]]


class CommandExecutor:
    """Executor of commands: applies settings, sets the run to other states, and replies to every command.

    Parameters
    ----------
    live : LiveRun
    measuring : Measuring
    control : Control
    recovery : Recovery
    checkpointer : Checkpointer
    collector : Collector
        Receives events and rewinds.
    record : RunRecord, optional
        Source of checkpoints that are not in memory.
    schedule : Schedule
        Commands to execute at given steps.
    corrections : Corrections
        Computes corrections; until :meth:`advance_correction` has applied one, commands that change the state wait.
    """

    def __init__(
        self,
        live: "LiveRun",
        measuring: "Measuring",
        control: Control,
        recovery: Recovery,
        checkpointer: Checkpointer,
        collector: Collector,
        record: Optional[RunRecord],
        schedule: Schedule,
        corrections: "Corrections",
    ):
        self._live, self._measuring, self._control = live, measuring, control
        self._recovery, self._checkpointer = recovery, checkpointer
        self._collector, self._record = collector, record
        self._corrections = corrections
        #: Commands that wait for the end of a correction, in order.
        self._postponed: List[Sent] = []
        self._corrected = 0  # number of corrections so far
        self._states = StateStore()
        self._schedule = sorted(schedule, key=lambda item: item.step)
        self._schedule_steps = [item.step for item in self._schedule]
        #: Index of the next scheduled command. Those of the current step may have been executed before the run was
        #: resumed; repeating them is harmless.
        self._scheduled = bisect_left(self._schedule_steps, live.step)
        #: Name of the saved state before the last change of settings; empty if the run was set to another state since.
        self._before_change = ""
        self._is_snapshot_requested = False
        #: Commands in execution by their identity.
        self._unanswered: Dict[int, Sent] = {}

    def take_unanswered(self) -> List[Sent]:
        """Return the commands whose execution an error has interrupted, to be executed again.

        They include a correction in progress, and the commands that wait for it.
        """
        begun = self._corrections.withdraw()
        interrupted = [sent for sent in self._unanswered.values() if sent is not begun]
        taken = [*([] if begun is None else [begun]), *self._postponed, *interrupted]
        self._postponed, self._unanswered = [], {}
        return taken

    def answer(self, sent: Sent) -> None:
        """Report a command without changes as applied."""
        self._applied(sent)

    def refuse(self, sent: Sent) -> None:
        """Report a command as rejected, because the run has ended."""
        self._reject(sent, RunStateError("the run has ended"))

    def due(self) -> List[Sent]:
        """Return the scheduled commands that have become due since the last call."""
        due = []
        while self._scheduled < len(self._schedule) and self._schedule_steps[self._scheduled] <= self._live.step:
            item = self._schedule[self._scheduled]
            due.append(Sent(0, item.id, item.command))
            self._scheduled += 1
        return due

    def execute(self, waiting: List[Sent]) -> None:
        """Execute commands in order.

        Consecutive changes of settings take effect together. All commands that request a snapshot get the same one,
        which is taken after the last command: thousands of them must not delay a stop.
        """
        if self._postponed and not self._corrections.is_active:
            waiting, self._postponed = self._postponed + waiting, []
        if not waiting:
            return
        self._unanswered = {id(sent): sent for sent in waiting}
        book: SettingsBook = self._live.book
        replies: List[Reply] = []
        for sent in waiting:
            try:
                if self._corrections.is_active and isinstance(sent.command, _POSTPONED):
                    self._postponed.append(self._unanswered.pop(id(sent)))
                    continue
                if isinstance(sent.command, (c.ChangeSettings, c.ApplyPreset)):
                    after, changes = changed(book, sent.command)
                    self._live.check_book(after)
                    self._new_teacher(after)  # raises an error if there is no such teacher
                    book = after
                    replies.append((sent, changes))
                    continue
                self._apply_settings(book, replies)
                replies = []
                handler = self._HANDLERS.get(type(sent.command))
                if handler is None:
                    raise RunStateError(
                        f"{type(sent.command).__name__}: no such command; available: "
                        f"{', '.join(kind.__name__ for kind in self._HANDLERS)}"
                    )
                handler(self, sent)
                book = self._live.book
            except QatvizError as error:
                replies.append((sent, error))
        self._apply_settings(book, replies)
        if self._is_snapshot_requested and not self._control.is_stopping:  # a run that stops takes one anyway
            self._measuring.take_snapshot()
        self._is_snapshot_requested = False

    def keep(self, state: RunState, replaced: Optional[RunState] = None) -> None:
        """Save a state as a checkpoint by its name, in memory and on disk; ``replaced`` is dropped from memory."""
        if replaced is not None:
            self._states.drop(replaced.name)
        self._states.keep(state)
        self._checkpointer.save(state)
        if self._record is None:
            self._live.report(events.CheckpointSaved(state.step, state.name, state.reason), state.point)

    def set_to(self, state: RunState) -> None:
        """Set the run to another state, from which it continues on a new branch; the caller reports it."""
        self._measuring.drop_evaluation()  # it evaluates the state that is abandoned
        self._before_change = ""
        if state.book.run.distillation != self._live.book.run.distillation:
            self._recovery.forget_loss()
        self._recovery.restart(state)
        branch = self._live.set_to(state)
        # Scheduled changes at this step were made in the abandoned state; the rewind must not repeat them.
        self._scheduled = bisect_left(self._schedule_steps, state.step + 1)
        self._collector.put(Rewind(state.point, branch))
        self._control.report_state()
        self._measuring.schedule_soon()

    # Corrections

    @property
    def is_correcting(self) -> bool:
        """True while a correction is in progress: training waits for it."""
        return self._corrections.is_active

    def advance_correction(self) -> None:
        """Compute a piece of the correction in progress, and apply its result after the last one.

        An evaluation before it and one after it measure its effect.
        """
        if self._measuring.is_evaluating and not self._corrections.is_cancelled:
            self._measuring.advance_evaluation()
            return
        outcome = self._corrections.advance()
        if outcome is None:
            return
        sent, result = outcome
        if isinstance(result, QatvizError):
            self._reject(sent, result)
        else:
            self._correct(sent, result)

    def abandon(self, reason: str) -> None:
        """Reject the correction in progress, and the commands that wait for it, because the run ends."""
        if self._corrections.is_active:
            self._corrections.cancel(reason)
            self.advance_correction()
        postponed, self._postponed = self._postponed, []
        for sent in postponed:
            self._reject(sent, RunStateError(reason))

    def _correct(self, sent: Sent, correction: Correction) -> None:
        live, self._corrected = self._live, self._corrected + 1
        # Scheduled commands have no number, and several can be executed at one step.
        before, after = (
            f"{checkpoint_name(prefix, live.step)}-correction-{self._corrected}"
            for prefix in (BEFORE_CHANGE, AUTOMATIC)
        )
        left = live.capture(before, SaveReason(SaveKind.BEFORE_CHANGE, sent.command))
        self._measuring.drop_evaluation()  # what is watched is computed again, although step and settings are the same
        live.correct(correction.arrays, correction.weights, correction.activations)
        self._states.push_undo(left)
        self._checkpointer.save(left)
        self._before_change = ""
        self._applied(sent, (), before)
        live.emit(events.Corrected(live.step, sent.id, correction.notes))
        state = live.capture(after, SaveReason(SaveKind.AUTOMATIC))
        self._recovery.propose(replace(state, name="good", reason=SaveReason(SaveKind.LAST_GOOD)))
        self._recovery.schedule_soon(time.perf_counter())
        self._checkpointer.save(state)  # so that a resumed run need not compute it again
        self._measuring.is_snapshot_wanted = True
        self._measuring.schedule_soon()
        self._measuring.begin_evaluation()

    def _reject(self, sent: Sent, error: QatvizError) -> None:
        self._unanswered.pop(id(sent), None)
        self._live.emit(events.CommandRejected(self._live.step, sent.id, sent.command, str(error)))

    def _apply_settings(self, book: SettingsBook, replies: List[Reply]) -> None:
        """Save the current state, apply ``book`` to the next training step, then send ``replies`` in order.

        Changes that continue a drag do not save another state: undo rewinds to the one before the drag.
        """
        live, name = self._live, ""
        if book != live.book:
            made = [sent for sent, outcome in replies if isinstance(outcome, tuple) and outcome]
            before = self._capture_left(made[-1], BEFORE_CHANGE, SaveKind.BEFORE_CHANGE)
            if not (self._before_change and all(_continues(sent.command) for sent in made)):
                self._states.push_undo(before)
                self._checkpointer.save(before)
                self._before_change = before.name
            name = self._before_change
            self._replace_book(book, before)
        for sent, outcome in replies:
            if isinstance(outcome, QatvizError):
                self._reject(sent, outcome)
            else:
                self._applied(sent, outcome, name if outcome else "")

    def _replace_book(self, book: SettingsBook, before: RunState) -> None:
        """Apply ``book``, and propose the resulting state for recovery; ``before`` is the state before it."""
        live = self._live
        if book.run.distillation != before.book.run.distillation:
            self._recovery.forget_loss()
        have_changed = live.apply_settings(book, self._new_teacher(book))
        # A rewind after a bad step should not revert a change after which steps succeeded.
        arrays = live.graph.read_state() if have_changed else before.arrays
        after = replace(before, book=book, arrays=arrays, name="good", reason=SaveReason(SaveKind.LAST_GOOD))
        self._recovery.propose(after)
        now = time.perf_counter()
        self._recovery.schedule_soon(now)
        if book.quantizers != before.book.quantizers:  # show the effect of the change
            self._measuring.is_snapshot_wanted = True
            self._measuring.schedule_soon()
        self._checkpointer.shorten_interval(now, book.run.checkpoint_interval)

    def _new_teacher(self, book: SettingsBook) -> Optional[Arrays]:
        """Return the parameters of the teacher of ``book`` if it is not the present one, otherwise None.

        Raises
        ------
        RunStateError
            If there is no such checkpoint.
        """
        name = book.run.teacher
        if not book.run.has_teacher or name == self._live.book.run.teacher:
            return None
        return self._live.teacher_parameters(name, self._find)

    def _applied(self, sent: Sent, changes: Tuple[Change, ...] = (), checkpoint: str = "") -> None:
        self._unanswered.pop(id(sent), None)
        self._live.emit(events.CommandApplied(self._live.step, sent.id, sent.command, changes, checkpoint))

    # Handlers, one for each kind of command

    def _on_pause(self, sent: Sent) -> None:
        self._applied(sent)
        if not self._control.is_paused or self._control.is_single_stepping:
            self._control.pause(PauseReason.REQUESTED)
            self._is_snapshot_requested = True

    def _on_resume(self, sent: Sent) -> None:
        self._applied(sent)
        self._control.proceed()

    def _on_single_step(self, sent: Sent) -> None:
        count = cast(c.SingleStep, sent.command).count
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise RunStateError(f"SingleStep: count is {count!r}: expected a whole number of at least 1")
        self._applied(sent)
        self._control.proceed(count)

    def _on_evaluate(self, sent: Sent) -> None:
        self._applied(sent)
        self._measuring.begin_evaluation()

    def _on_evaluate_settings(self, sent: Sent) -> None:
        assignments = cast(c.EvaluateSettings, sent.command).assignments
        book, _ = changed(self._live.book, c.ChangeSettings(assignments))
        self._applied(sent)
        self._measuring.evaluate_settings(book, sent.id)

    def _on_take_snapshot(self, sent: Sent) -> None:
        self._applied(sent)
        self._is_snapshot_requested = True

    def _on_inspect_tensor(self, sent: Sent) -> None:
        self._measuring.inspect(cast(c.InspectTensor, sent.command).tensor)
        self._on_take_snapshot(sent)

    def _on_watch_sensitivity(self, sent: Sent) -> None:
        self._applied(sent)
        self._measuring.watch_sensitivity(cast(c.WatchSensitivity, sent.command).on)

    def _on_measure_sensitivity(self, sent: Sent) -> None:
        self._applied(sent)
        self._measuring.measure_sensitivity(cast(c.MeasureSensitivity, sent.command).on)

    def _on_watch(self, sent: Sent) -> None:
        self._applied(sent)
        self._measuring.watch(cast(Union[c.WatchDrift, c.WatchChannels], sent.command))

    def _on_watch_predictions(self, sent: Sent) -> None:
        self._applied(sent)
        self._measuring.watch_predictions(cast(c.WatchPredictions, sent.command).on)

    def _on_predict(self, sent: Sent) -> None:
        self._applied(sent)
        self._measuring.request_predictions()

    def _on_correction(self, sent: Sent) -> None:
        self._corrections.begin(sent)
        self._measuring.begin_evaluation()

    def _on_cancel_correction(self, sent: Sent) -> None:
        if not self._corrections.is_active:
            raise RunStateError("no correction is in progress")
        self._applied(sent)
        self._corrections.cancel()

    def _on_save_checkpoint(self, sent: Sent) -> None:
        live = self._live
        name = cast(c.SaveCheckpoint, sent.command).name or checkpoint_name("step", live.step)
        state = live.capture(name, SaveReason(SaveKind.REQUESTED))
        self._applied(sent, checkpoint=state.name)
        self.keep(state)

    def _on_restore_checkpoint(self, sent: Sent) -> None:
        state = self._find(cast(c.RestoreCheckpoint, sent.command).name)
        self._states.push_undo(self._capture_left(sent, BEFORE_CHANGE, SaveKind.BEFORE_RESTORING))
        self._restore(sent, state, RestoreReason.CHECKPOINT)

    def _on_undo(self, sent: Sent) -> None:
        left = self._capture_left(sent, "undone", SaveKind.UNDONE)
        self._restore(sent, self._states.undo(left), RestoreReason.UNDO)

    def _on_redo(self, sent: Sent) -> None:
        left = self._capture_left(sent, "redone", SaveKind.REDONE)
        self._restore(sent, self._states.redo(left), RestoreReason.REDO)

    def _on_set_steps(self, sent: Sent) -> None:
        steps = cast(c.SetSteps, sent.command).steps
        if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 0):
            raise RunStateError(f"SetSteps: steps is {steps!r}: expected a whole number of at least 0, or None")
        self._control.total = steps
        self._applied(sent)
        self._live.emit(events.Planned(self._live.step, steps))

    def _on_continue_without(self, sent: Sent) -> None:
        raise RunStateError("ContinueWithout: no workers are lost")

    def _on_stop(self, sent: Sent) -> None:
        self._control.is_stopping = True
        self._applied(sent)

    _HANDLERS: ClassVar[Dict[Any, Any]] = {
        c.Pause: _on_pause,
        c.Resume: _on_resume,
        c.SingleStep: _on_single_step,
        c.Evaluate: _on_evaluate,
        c.EvaluateSettings: _on_evaluate_settings,
        c.TakeSnapshot: _on_take_snapshot,
        c.InspectTensor: _on_inspect_tensor,
        c.WatchSensitivity: _on_watch_sensitivity,
        c.MeasureSensitivity: _on_measure_sensitivity,
        c.WatchDrift: _on_watch,
        c.WatchChannels: _on_watch,
        c.WatchPredictions: _on_watch_predictions,
        c.Predict: _on_predict,
        **dict.fromkeys(c.CORRECTIONS, _on_correction),
        c.CancelCorrection: _on_cancel_correction,
        c.SaveCheckpoint: _on_save_checkpoint,
        c.RestoreCheckpoint: _on_restore_checkpoint,
        c.Undo: _on_undo,
        c.Redo: _on_redo,
        c.SetSteps: _on_set_steps,
        c.ContinueWithout: _on_continue_without,
        c.Stop: _on_stop,
    }

    def _capture_left(self, sent: Sent, prefix: str, kind: SaveKind) -> RunState:
        """Return a copy of the current state, which ``sent`` replaces; ``prefix`` is that of its name."""
        return self._live.capture(checkpoint_name(prefix, self._live.step, sent.number), SaveReason(kind, sent.command))

    def _find(self, name: str) -> RunState:
        """Return the checkpoint of this name, from memory or from the record."""
        state = self._states.named(name)
        if state is not None:
            return state
        if self._record is None:
            raise RunStateError(f"no checkpoint {name!r}; available: {', '.join(self._states.names()) or 'none'}")
        arrays, meta = self._record.load_checkpoint(name)
        state = RunState.from_checkpoint(name, arrays, meta, self._live.plan)
        self._live.graph.check_state(name, arrays)
        return state

    def _restore(self, sent: Sent, state: RunState, reason: RestoreReason) -> None:
        """Set the run to ``state`` on a command, and reply."""
        left = self._live.step
        changes = self._live.book.differences(state.book)
        self._live.check_book(state.book)
        self.set_to(state)
        self._applied(sent, changes)
        self._live.emit(events.Restored(state.step, state.name, reason, left, changes))
        if self._control.is_paused:
            self._is_snapshot_requested = True


def _continues(command: c.Command) -> bool:
    """Return whether a command continues the drag of the previous one, see :class:`.commands.ChangeSettings`."""
    return isinstance(command, c.ChangeSettings) and command.continues
