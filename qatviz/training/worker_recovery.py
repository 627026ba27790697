"""Continuation of a run that has lost workers: on the same ones when they answer again, or on the others."""

from dataclasses import replace
from typing import List, Optional

from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.protocol.reasons import PauseReason, RestoreReason
from qatviz.protocol.run_spec import Placement
from qatviz.training.cluster_session import WorkersLost, silent_workers
from qatviz.training.control import Control
from qatviz.training.executor import CommandExecutor
from qatviz.training.inbox import Inbox, Sent
from qatviz.training.live_run import LiveRun
from qatviz.training.measuring import Measuring
from qatviz.training.recovery import Recovery

#: Seconds between two questions to workers that are lost.
RETRY_S = 1.0


class WorkerRecovery:
    """Pause of a run whose workers are lost, until it can continue.

    The state was in the memory of the first worker, and a step may have changed a part of it before it failed: the run
    continues from the newest state that was saved in this process, a few seconds old at most. Batches, their parts and
    dropout are those with which the repeated steps ran before, and so are the losses.

    Parameters
    ----------
    placement : Placement
    live : LiveRun
    control : Control
    recovery : Recovery
    executor : CommandExecutor
    measuring : Measuring
    inbox : Inbox
    """

    def __init__(
        self,
        placement: Placement,
        live: LiveRun,
        control: Control,
        recovery: Recovery,
        executor: CommandExecutor,
        measuring: Measuring,
        inbox: Inbox,
    ):
        self._placement, self._live, self._control, self._recovery = placement, live, control, recovery
        self._executor, self._measuring, self._inbox = executor, measuring, inbox
        #: False while no session has the state of the run, which is only in this process.
        self.is_connected = True

    def recover(self, lost: WorkersLost) -> List[Sent]:
        """Wait until the run can continue, or is to stop; return the commands that are still to be executed."""
        waiting = self._executor.take_unanswered()
        was_running, was_evaluating = not self._control.is_paused, self._measuring.is_evaluating
        single_steps, left = self._control.single_steps, self._live.step
        self.is_connected = False
        while not self.is_connected:
            self._live.emit(events.WorkersLost(self._live.step, lost.workers, str(lost)))
            if not self._control.is_paused:
                self._control.pause(PauseReason.WORKERS_LOST)
            placement = self._usable(waiting)
            if placement is None:
                return waiting
            try:
                self._continue_on(placement)
            except WorkersLost as again:
                lost = again
        if was_evaluating:
            self._measuring.begin_evaluation()
        if was_running:  # single steps end where they would have ended
            self._control.proceed(single_steps + left - self._live.step if single_steps else 0)
        return waiting

    def _usable(self, waiting: List[Sent]) -> Optional[Placement]:
        """Return the placement on which the run can continue, as soon as there is one; None if it is to stop.

        Commands that arrive meanwhile are added to ``waiting``.
        """
        placement = self._placement
        may_shrink = placement.elastic
        while True:
            for sent in self._inbox.drain():
                if isinstance(sent.command, c.Stop):
                    self._executor.execute([sent])
                    return None
                if isinstance(sent.command, c.ContinueWithout):
                    may_shrink = True
                    self._executor.answer(sent)
                else:
                    waiting.append(sent)
            silent = silent_workers(placement.workers)
            if not silent:
                return placement
            others = tuple(address for address in placement.workers if address not in silent)
            if may_shrink and others:
                # The parts of a batch stay the same, and so do the results.
                return replace(placement, workers=others, towers=placement.num_towers)
            self._inbox.wait(RETRY_S)

    def _continue_on(self, placement: Placement) -> None:
        """Continue the run from its newest good state in a new session on ``placement``."""
        live, left, book = self._live, self._live.step, self._live.book
        live.graph.reconnect(placement)
        good = self._recovery.newest
        self._executor.set_to(good)
        self._placement, self.is_connected = placement, True
        live.emit(events.WorkersBack(live.step, placement.workers))
        live.emit(events.Restored(good.step, good.name, RestoreReason.WORKERS_LOST, left, book.differences(good.book)))
