"""Handle of a run, for all code outside the training thread.

TensorFlow is imported by the training thread, so a handle can be created, and a window shown, at once.
"""

import atexit
import contextlib
import os
import signal
import threading
import time
import traceback
from typing import Any, Callable, Iterable, Mapping, Optional, Set

from qatviz.errors import RunStateError, explanation, message_of
from qatviz.garbage_collection import garbage_collection_paused
from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.protocol.branches import BranchCursor
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.run_state import RunState
from qatviz.telemetry.collector import Collector
from qatviz.telemetry.history import History
from qatviz.telemetry.history_feed import Recall
from qatviz.telemetry.record.refill import history_names
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.run_handle import BUILDING, FAILED, FINISHED, NEW, STOPPED, ChannelHandle
from qatviz.terminal import END_NOTICE_S, print_end_notice
from qatviz.training.inbox import Inbox, Sent
from qatviz.training.step_measures import StepDecoder

#: Nice value of training threads with low priority: under full load, the window's get twice the processor time.
NICENESS = 3

_STATES_AT_END = {events.Finished: FINISHED, events.Stopped: STOPPED, events.Failed: FAILED}

#: Runs that train.
_ALIVE: Set["Run"] = set()


class Run(ChannelHandle):
    """Run on a separate thread.

    Parameters
    ----------
    spec : RunSpec
    record : RunRecord, optional
        Record on disk; closed when the run ends.
    recall : bool
        If True, the history of a resumed run begins with its recorded part, which is read back during training.
    low_priority : bool
        If True, training threads have a lower priority than others, such as the window's (Linux).

    Attributes
    ----------
    final : RunState or None
        Final state of a run that finished or was stopped.
    best : RunState or None
        State of its best evaluation, if the run kept it (``keep_best``).
    """

    def __init__(
        self, spec: RunSpec, record: Optional[RunRecord] = None, recall: bool = True, low_priority: bool = False
    ):
        super().__init__(NEW, spec.start.step if spec.start else 0)
        self._low_priority = low_priority
        self.spec, self.record = spec, record
        self._recall: Optional[Recall] = None
        first_branch = 0 if record is None else record.branch
        if recall and record is not None and spec.start is not None:
            self._recall, first_branch = Recall(record, spec.start.step, record.cursor().tree), 0
        names = [tensor.name for tensor in spec.plan.tensors]
        self.history = History(history_names(names, spec.metrics), branch=first_branch)
        self._inbox = Inbox()
        self.final: Optional[RunState] = None
        self.best: Optional[RunState] = None
        self._thread = threading.Thread(target=self._body, name="qatviz-training", daemon=True)

    @property
    def description(self) -> Mapping[str, Any]:
        return self.spec.description()

    def start(self) -> None:
        if self._state != NEW:
            raise RunStateError(f"the run is {self._state}: it can be started once")
        self._state = BUILDING
        _ALIVE.add(self)
        try:
            self._thread.start()
        except RuntimeError as error:  # there is no memory for another thread
            self._fail_to_start(error)

    def send(self, command: c.Command, id: str = "") -> str:
        return self._inbox.send(command, id)

    def request_stop(self) -> None:
        with contextlib.suppress(RunStateError):
            self.send(c.Stop())

    def discard(self) -> None:
        if self.record is not None:
            self.record.close()

    def _set_state(self, state: str, step: int) -> None:
        self._step = step
        self._state = state

    def _fail_to_start(self, error: BaseException) -> None:
        """End the run, whose threads can't be started, as failed."""

        def put(event: events.Event) -> None:
            if self.record is not None:
                self.record.append_event(event)
            self._channel.put_event(event)

        self._end(self._inbox.close(), _failure(self._step, error), put)

    def _end(
        self,
        late: Iterable[Sent],
        ending: events.Event,
        put: Callable[[events.Event], None],
        flush: Callable[[], None] = lambda: None,
    ) -> None:
        """Reject the commands that came too late, report the end, close the record, and end all waiting."""
        for sent in late:
            put(events.CommandRejected(self._step, sent.id, sent.command, "the run has ended"))
        put(ending)
        flush()
        self._close_record()
        self._state = _STATES_AT_END[type(ending)]
        self._ended.set()
        _ALIVE.discard(self)

    def _body(self) -> None:
        try:
            collector = Collector(
                [t.name for t in self.spec.plan.tensors],
                self._channel,
                self.history,
                self.record,
                StepDecoder(self.spec.plan, self.spec.batch_size),
                self._recall,
            )
        except BaseException as error:
            self._fail_to_start(error)
            return
        trainer, cursor = None, BranchCursor()
        if self._low_priority:
            _lower_priority()
        try:
            with garbage_collection_paused():  # importing TensorFlow, 150,000 objects, takes 10 % less time
                from qatviz.training.trainer import Trainer

            if self.record is not None:
                cursor = self.record.cursor()
            trainer = Trainer(self.spec, self._inbox, collector, self.record, cursor, self._set_state)
            ending = trainer.run()
            self.final, self.best = trainer.final, trainer.best
        except BaseException as error:  # every error must be reported to the user
            ending = _failure(self._step, error)
        finally:  # from now on, commands are refused when they are sent
            late = self._inbox.close()
        try:
            if trainer is not None:
                trainer.close()
        except BaseException as error:
            ending = _failure(self._step, error)
        self._end(late, ending, lambda event: collector.put(cursor.place(event)), collector.close)

    def _close_record(self) -> None:
        if self.record is None:
            return
        try:
            self.record.close()
        except Exception as error:  # report it although the run is over
            self._channel.put_event(events.RecordFailed(self._step, str(error)))


@atexit.register
def _end_all() -> None:
    """End all runs before the interpreter does, so that each writes its last state; Ctrl-C ends the wait.

    There is no time limit, because a training step, or the construction of a graph, can take any time.
    """
    alive = list(_ALIVE)
    for run in alive:
        run.request_stop()
    try:
        deadline = time.monotonic() + END_NOTICE_S
        for run in alive:
            run._thread.join(max(0.0, deadline - time.monotonic()))
        if any(run._thread.is_alive() for run in alive):
            print_end_notice()
        for run in alive:
            run._thread.join()
    except KeyboardInterrupt:
        # TensorFlow may hinder the end of the interpreter, too: let a second Ctrl-C end the process.
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _lower_priority() -> None:
    """Raise the nice value of this thread, and of all that it starts, TensorFlow's among them.

    Only Linux has nice values of threads.
    """
    # On other systems, or without permission, training keeps the normal priority.
    with contextlib.suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, int(os.path.basename(os.readlink("/proc/thread-self"))), NICENESS)


def _failure(step: int, error: BaseException) -> events.Failed:
    """Return the event for an error that ended a run after ``step`` steps."""
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return events.Failed(step, message_of(error), trace, explained=explanation(error) is not None)
