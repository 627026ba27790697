"""Training loop of a run: training steps and the work between them, on one thread.

Input arrives through the :class:`Inbox`, output leaves through the :class:`Collector`.
"""

import gc
import time
from dataclasses import replace
from typing import Callable, List, Optional, Set

from qatviz.errors import SettingError
from qatviz.protocol import events
from qatviz.protocol.branches import BranchCursor
from qatviz.protocol.reasons import NonFiniteValue, PauseReason, RecordPart, RestoreReason, SaveKind, SaveReason
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.run_state import RunState
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import NO_LOSSES
from qatviz.telemetry.collector import Collector, RawStep
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.best import BestKeeper
from qatviz.training.building import graph_arguments
from qatviz.training.checkpointer import AUTOMATIC, FINAL, Checkpointer, checkpoint_name
from qatviz.training.cluster_session import WorkersLost
from qatviz.training.control import Control
from qatviz.training.corrections import Corrections
from qatviz.training.executor import CommandExecutor
from qatviz.training.graph import NonFiniteLoss, TrainingGraph
from qatviz.training.heads import baseline_loss
from qatviz.training.inbox import Inbox, Sent
from qatviz.training.ladder import BitLadder
from qatviz.training.live_run import LiveRun
from qatviz.training.measuring import Measuring
from qatviz.training.recovery import Recovery
from qatviz.training.worker_recovery import WorkerRecovery

#: Longest sleep of a paused run between housekeeping, in seconds.
_IDLE_S = 0.25


class Trainer:
    """Training loop of one run, created and used on the training thread.

    Parameters
    ----------
    spec : RunSpec
    inbox : Inbox
    collector : Collector
    record : RunRecord, optional
    cursor : BranchCursor
        Place on the branches at which the run starts or continues.
    on_state : callable (str, int)
        Called with the state (``running``, ``paused``) and the step whenever they change.

    Attributes
    ----------
    final : RunState or None
        Final state of a run that has finished or was stopped.
    best : RunState or None
        State of the best evaluation, of a run with ``keep_best``.
    """

    def __init__(
        self,
        spec: RunSpec,
        inbox: Inbox,
        collector: Collector,
        record: Optional[RunRecord],
        cursor: BranchCursor,
        on_state: Callable[[str, int], None],
    ):
        self._inbox, self._collector, self._record = inbox, collector, record
        started = time.perf_counter()
        self._graph = TrainingGraph(*graph_arguments(spec))
        self.final: Optional[RunState] = None
        self._checkpointer = Checkpointer(
            record,
            collector.make_durable,
            lambda event, state: collector.put(cursor.place_at(event, state.point)),
        )
        self._closing: List[Callable[[], None]] = [self._checkpointer.close, self._graph.close]
        self._reported: Set[RecordPart] = set()
        try:
            self._live = LiveRun(self._graph, spec, cursor, collector.put)
            self._live.emit(events.Started(self._live.step, time.perf_counter() - started, self._graph.device))
            self._measuring = Measuring(self._live, spec, collector.put)
            self._closing.insert(0, self._measuring.close)
            self._corrections = Corrections(self._live, spec, collector.put)
            self._closing.insert(0, self._corrections.close)
            self._control = Control(self._live, self._measuring, spec.steps, on_state)
            now = time.perf_counter()
            self._checkpointer.restart_interval(now, self._live.book.run.checkpoint_interval)
            first = self._live.capture("start", SaveReason(SaveKind.START))
            baseline = baseline_loss(spec.all_heads, spec.dataset)
            self._recovery = Recovery(first, baseline, time.perf_counter() - now)
            self._executor = CommandExecutor(
                self._live,
                self._measuring,
                self._control,
                self._recovery,
                self._checkpointer,
                collector,
                record,
                spec.schedule,
                self._corrections,
            )
            self._best = BestKeeper(self._live, self._control, spec.metric, self._executor.keep)
            self._ladder = BitLadder(self._live, spec.metric)
            self._measuring.on_result = self._compare
            self._workers = WorkerRecovery(
                spec.placement, self._live, self._control, self._recovery, self._executor, self._measuring, inbox
            )
            self._control.report_state()
        except WorkersLost as lost:
            self.close()
            raise SettingError(f"workers: {lost}") from lost
        except BaseException:
            self.close()
            raise
        # The several hundred thousand objects of the graph exist as long as the run. Each garbage collection would
        # traverse them, which blocks all threads, including the window's, for a tenth of a second.
        gc.freeze()

    @property
    def best(self) -> Optional[RunState]:
        return self._best.state

    def run(self) -> events.Event:
        """Train until the end; return the last event."""
        waiting: List[Sent] = []  # commands that a loss of workers has delayed
        while not self._control.is_stopping:
            try:
                self._executor.execute(waiting + self._executor.due() + self._inbox.drain())
                waiting = []
                if self._control.is_stopping or self._advance():
                    break
            except WorkersLost as lost:
                waiting = self._workers.recover(lost)
        for sent in waiting:
            self._executor.refuse(sent)
        return self._end()

    def _advance(self) -> bool:
        """Run a training step, or what comes before it; return True at the end of the run."""
        control, executor = self._control, self._executor
        if not (control.is_paused or control.is_done or executor.is_correcting):
            executor.execute(self._ladder.due())
        if executor.is_correcting:
            executor.advance_correction()
        elif control.is_paused:
            self._idle()
        elif control.is_done:
            if not self._capture_final().is_finite:  # the last check may be seconds old
                self._recover(NonFiniteValue.STATE)
            elif self._finish_evaluation():
                return True
        elif self._measuring.is_snapshot_wanted and self._measuring.is_snapshot_due(time.perf_counter()):
            self._measuring.take_snapshot()  # before further work: the user waits for the effect of a change
        elif self._measuring.is_evaluation_behind():
            self._measuring.advance_evaluation()
        else:
            self._train_step()
            self._run_housekeeping()
        return False

    def close(self) -> None:
        """Release the session and write pending checkpoints; also after a failure."""
        for close in self._closing:
            close()
        gc.unfreeze()

    def _compare(self, result: events.Evaluated, book: SettingsBook, state: Optional[RunState]) -> None:
        self._best.compare(result, book, state)
        self._ladder.compare(result, book, state)

    def _end(self) -> events.Event:
        """Take a final snapshot, save the final state and return the last event."""
        try:
            self._executor.abandon("the run was stopped")
            self._measuring.drop_evaluation()
            final = self._capture_connected()
        except WorkersLost:
            name = checkpoint_name(FINAL, self._live.step)
            final = replace(self._recovery.newest, name=name, reason=SaveReason(SaveKind.END))
        self.final = final
        self._checkpointer.save(final)
        step = self._live.step
        return events.Stopped(step) if self._control.is_stopping else events.Finished(step)

    def _capture_connected(self) -> RunState:
        """Take a final snapshot, and return the final state; WorkersLost if that is not possible."""
        final = self._capture_final()
        if not final.is_finite:
            self._recover(NonFiniteValue.STATE)
            final = self._capture_final()
        self._measuring.take_snapshot()
        return final

    def _capture_final(self) -> RunState:
        return self._live.capture(checkpoint_name(FINAL, self._live.step), SaveReason(SaveKind.END))

    def _finish_evaluation(self) -> bool:
        """Complete an evaluation in progress, and evaluate the state after the last step.

        Returns False if a command that arrives meanwhile requires the loop to continue.
        """
        measuring, control, book = self._measuring, self._control, self._live.book
        measuring.begin_evaluation()
        while measuring.is_evaluating:
            measuring.advance_evaluation()
            self._executor.execute(self._inbox.drain())
            if not control.is_done or self._live.book != book or control.is_paused or control.is_stopping:
                return False
            if self._executor.is_correcting:
                return False
        return True

    def _train_step(self) -> None:
        live = self._live
        try:
            loss, raw = live.train_step()
        except NonFiniteLoss:
            self._recover(NonFiniteValue.LOSS)
            return
        self._recovery.accept(loss)
        losses = NO_LOSSES if raw is None else raw.losses
        rate = live.book.run.learning_rate_at(live.step - 1)
        self._collector.put(RawStep(live.step, live.seconds, loss, rate, raw, losses))
        self._control.count_step()

    def _recover(self, what: NonFiniteValue) -> None:
        """Rewind the run to its last good state, and pause."""
        left, book, good = self._live.step, self._live.book, self._recovery.fall_back(what)
        self._executor.set_to(good)
        self._live.emit(
            events.Restored(good.step, good.name, RestoreReason.BAD_STEP, left, book.differences(good.book))
        )
        self._live.emit(events.NonFinite(left, what, good.step))
        self._control.pause(PauseReason.BAD_STEP)
        self._measuring.take_snapshot()

    # Housekeeping between steps

    def _run_housekeeping(self) -> None:
        live, measuring = self._live, self._measuring
        run, now = live.book.run, time.perf_counter()
        if measuring.is_snapshot_due(now):
            measuring.take_snapshot()
        if measuring.is_evaluating:
            measuring.advance_evaluation()
        measuring.advance_requests()
        if run.evaluation_interval and live.step % run.evaluation_interval == 0:
            measuring.begin_evaluation()
        if self._recovery.is_due(now) and not self._recovery.keep(
            lambda: live.capture("good", SaveReason(SaveKind.LAST_GOOD))
        ):
            # NaNs are quantized to zeros, so that the loss can stay finite.
            self._recover(NonFiniteValue.STATE)
        if self._checkpointer.is_due(now):
            self._checkpointer.restart_interval(now, live.book.run.checkpoint_interval)
            self._checkpointer.save(live.capture(checkpoint_name(AUTOMATIC, live.step), SaveReason(SaveKind.AUTOMATIC)))
        self._report_failure()

    def _idle(self) -> None:
        self._report_failure()
        if self._measuring.is_snapshot_wanted:
            self._measuring.take_snapshot()
        elif self._measuring.is_evaluating:
            self._measuring.advance_evaluation()
        elif not self._measuring.advance_requests(is_idle=True):
            self._inbox.wait(_IDLE_S)

    def _report_failure(self) -> None:
        """Report a failure of the telemetry or of the record, once each."""
        failures = (
            (RecordPart.TELEMETRY, self._collector.failure),
            (RecordPart.RECORD, None if self._record is None else self._record.failure),
        )
        for part, failure in failures:
            if failure is not None and part not in self._reported:
                self._reported.add(part)
                self._live.emit(events.RecordFailed(self._live.step, str(failure) or repr(failure), part))
