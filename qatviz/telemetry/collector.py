"""Conversion of the training thread's raw numbers to records, on a separate thread, many steps at a time.

The training thread only appends to a queue; the conversion runs while TensorFlow computes and has released the
interpreter. Everything passes through this one queue in order: steps, snapshots, events, rewinds.
"""

import threading
from collections import deque
from typing import Any, Callable, Deque, List, NamedTuple, Optional, Sequence

import numpy as np

from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.events import Evaluated, Event
from qatviz.protocol.snapshots import NO_LOSSES, STEP_MEASURES, Snapshot, StepRecord, read_only
from qatviz.telemetry.channel import Channel
from qatviz.telemetry.history import History
from qatviz.telemetry.history_feed import HistoryFeed, Recall
from qatviz.telemetry.record.run_record import RunRecord

#: Interval between deliveries of steps in seconds: delivering many at once costs less per step.
_INTERVAL_S = 0.1


class RawStep(NamedTuple):
    """One training step: fields of a step record, with its measures as fetched in ``raw``, None without telemetry."""

    step: int
    seconds: float
    loss: float
    learning_rate: float
    raw: Any
    losses: np.ndarray = NO_LOSSES


class Rewind(NamedTuple):
    """Change of state: the run was set to the state at ``parent``, and continues from there on the new ``branch``."""

    parent: BranchPoint
    branch: int


class _Mark(NamedTuple):
    """Position in the queue; ``reached`` is set once all earlier items are delivered."""

    reached: threading.Event


class Collector:
    """Converter of what the training thread reports, for history, channel and record.

    Parameters
    ----------
    tensors : sequence of str
        Names of the quantized tensors, in the order of the plan.
    channel : Channel
    history : History
        History with the tracks of :func:`qatviz.telemetry.record.refill.history_names`.
    record : RunRecord, optional
    decode : callable
        Converts the ``raw`` of ``n`` steps to float32 ``[n, len(STEP_MEASURES), len(tensors)]``.
    recall : Recall, optional
        Recorded data with which the history of a resumed run begins.

    Attributes
    ----------
    failure : BaseException or None
        First error in the conversion or delivery, for the trainer to report.
    """

    def __init__(
        self,
        tensors: Sequence[str],
        channel: Channel,
        history: History,
        record: Optional[RunRecord],
        decode: Callable[[List[Any]], np.ndarray],
        recall: Optional[Recall] = None,
    ):
        self._tensors, self._channel, self._record = tuple(tensors), channel, record
        self._decode = decode
        self._queue: Deque[Any] = deque()
        self._wake = threading.Event()
        self._closing = False
        self.failure: Optional[BaseException] = None
        self._feed = HistoryFeed(history, recall, self._store_failure)
        self._thread = threading.Thread(target=self._run, name="qatviz-telemetry", daemon=True)
        self._thread.start()

    def put(self, item: Any) -> None:
        """Add an item without waiting; steps are delivered within 0.1 s, everything else at once.

        It is a RawStep, a Snapshot, a Rewind, an Event, or any other measurement, which is not recorded.
        """
        self._queue.append(item)
        if not isinstance(item, RawStep):
            self._wake.set()

    def make_durable(self) -> bool:
        """Wait until all items added so far are durable in the record; return False if there is none or it failed."""
        mark = _Mark(threading.Event())
        self._queue.append(mark)
        self._wake.set()
        mark.reached.wait()
        return self._record is not None and self._record.flush(None, durable=True)

    def close(self) -> None:
        """Deliver all added items, and end the thread."""
        self._closing = True
        self._wake.set()
        self._thread.join()
        self._feed.close()

    def _run(self) -> None:
        while True:
            self._wake.wait(_INTERVAL_S)
            self._wake.clear()
            closing = self._closing  # read before the queue is emptied, so that items put before close are processed
            self._deliver_queue()
            if closing:
                return

    def _deliver_queue(self) -> None:
        steps: List[RawStep] = []
        while self._queue:
            item = self._queue.popleft()
            if isinstance(item, RawStep):
                steps.append(item)
                continue
            self._guarded(self._deliver_steps, steps)
            steps = []
            self._guarded(self._deliver, item)
        self._guarded(self._deliver_steps, steps)

    def _guarded(self, deliver: Callable[[Any], None], item: Any) -> None:
        """Call ``deliver``, and store an exception: a fault in telemetry must end neither this thread nor the run."""
        try:
            deliver(item)
        except Exception as error:
            self._store_failure(error)

    def _store_failure(self, error: Exception) -> None:
        """Store the first failure for the trainer, which reports it."""
        if self.failure is None:
            self.failure = error

    def _deliver_steps(self, steps: List[RawStep]) -> None:
        if not steps:
            return
        if steps[0].raw is not None:
            values = self._decode([s.raw for s in steps])
        else:
            values = np.full((len(steps), len(STEP_MEASURES), len(self._tensors)), np.nan, np.float32)
        read_only(values)
        scalars = np.array([(s.loss, s.learning_rate) for s in steps], np.float32)
        losses = np.array([s.losses for s in steps], np.float32)
        self._feed.add_steps(np.array([s.step for s in steps]), scalars, values, losses)
        records = [
            StepRecord(s.step, s.seconds, s.loss, s.learning_rate, value, own)
            for s, value, own in zip(steps, values, read_only(losses))
        ]
        self._channel.put_all(records)
        if self._record is not None:
            for record in records:
                self._record.append_step(record)

    def _deliver(self, item: Any) -> None:
        if isinstance(item, _Mark):
            item.reached.set()
            return
        if isinstance(item, Rewind):
            self._feed.rewind(item.parent, item.branch)
            if self._record is not None:
                self._record.append_rewind(item.parent.step, item.parent.branch, position=item.parent.position)
            return
        if isinstance(item, Snapshot):
            self._feed.add_snapshot(item.step, item.values, item.position or 0)
            self._channel.put_snapshot(item)
            if self._record is not None:
                self._record.append_snapshot(item)
            return
        if not isinstance(item, Event):  # values of a tensor, a sensitivity: for the present readers only
            self._channel.put_snapshot(item)
            return
        if isinstance(item, Evaluated):
            self._feed.add_evaluation(item)
        if self._record is not None:
            self._record.append_event(item)
        self._channel.put_event(item)
