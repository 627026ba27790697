"""From raw numbers of the training thread to records: on a thread of its own, many steps at a time.

The training thread only appends to a queue; what telemetry costs is paid while TensorFlow computes (and has released the
interpreter). Everything passes through the one queue in order: steps, snapshots, events, rewinds.
"""

import threading
from collections import deque
from typing import Any, Callable, Deque, List, NamedTuple, Optional, Sequence, Union

import numpy as np

from qatviz.telemetry.channel import Channel
from qatviz.telemetry.events import Evaluated, Event
from qatviz.telemetry.history import History
from qatviz.telemetry.record import RunRecord
from qatviz.telemetry.snapshots import SNAPSHOT_MEASURES, STEP_MEASURES, Snapshot, StepRecord, TensorValues, read_only

ACCURACIES = ("float", "weights_only", "activations_only", "quantized")
STEPS, SNAPSHOTS, EVALUATIONS = "steps", "snapshots", "evaluations"
_INTERVAL_S = 0.05


class RawStep(NamedTuple):
    """One step as the training thread has it; ``raw`` are its measures as they were fetched, or None."""

    step: int
    seconds: float
    loss: float
    learning_rate: float
    raw: Any


class Rewind(NamedTuple):
    """The run was set to the state it had after ``step`` steps on ``branch`` of the record."""

    step: int
    branch: Optional[int]


def history_names(tensors: Sequence[str]) -> dict:
    """Tracks and series of a run: ``loss``, ``learning_rate``, ``conv1.weights/scale``, ``snapshot:conv1.weights/flip_rate``,
    ``accuracy.quantized``."""
    steps = ["loss", "learning_rate"]
    steps += ["{}/{}".format(tensor, measure) for measure in STEP_MEASURES for tensor in tensors]
    snapshots = ["snapshot:{}/{}".format(tensor, measure) for measure in SNAPSHOT_MEASURES for tensor in tensors]
    return {STEPS: steps, SNAPSHOTS: snapshots, EVALUATIONS: ["accuracy." + name for name in ACCURACIES]}


class Collector:
    """Turns what the training thread puts in into history, channel and record.

    Parameters
    ----------
    tensors : sequence of str
        Names of the quantized tensors, in the order of the plan.
    channel : Channel
    history : History
        With the tracks of :func:`history_names`.
    record : RunRecord, optional
    decode : callable
        From the ``raw`` of several steps to float32 ``[n, len(STEP_MEASURES), T]``.
    """

    def __init__(self, tensors: Sequence[str], channel: Channel, history: History, record: Optional[RunRecord],
                 decode: Callable[[List[Any]], np.ndarray]):
        self._tensors, self._channel, self._history, self._record = tuple(tensors), channel, history, record
        self._decode = decode
        self._queue = deque()  # type: Deque[Any]
        self._wake = threading.Event()
        self._closing = False
        self.failure = None  # type: Optional[BaseException]
        self._thread = threading.Thread(target=self._run, name="qatviz-telemetry", daemon=True)
        self._thread.start()

    def put(self, item: Union[RawStep, Snapshot, TensorValues, Rewind, Event]) -> None:
        """Add an item; never waits. Events and snapshots are passed on at once, steps within 50 ms."""
        self._queue.append(item)
        if not isinstance(item, RawStep):
            self._wake.set()

    def close(self) -> None:
        """Pass on all that was put, and end the thread."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._wake.wait(_INTERVAL_S)
            self._wake.clear()
            closing = self._closing  # before the queue is emptied: what was put before close is passed on
            self._pass_on_waiting()
            if closing:
                return

    def _pass_on_waiting(self) -> None:
        steps = []  # type: List[RawStep]
        while self._queue:
            item = self._queue.popleft()
            if isinstance(item, RawStep):
                steps.append(item)
                continue
            self._guarded(self._pass_on_steps, steps)
            steps = []
            self._guarded(self._pass_on, item)
        self._guarded(self._pass_on_steps, steps)

    def _guarded(self, pass_on, item) -> None:
        """A fault in telemetry must neither end this thread nor the run; the run reports it as an event of its own."""
        try:
            pass_on(item)
        except Exception as error:  # kept, and reported by the trainer
            if self.failure is None:
                self.failure = error

    def _pass_on_steps(self, steps: List[RawStep]) -> None:
        if not steps:
            return
        if steps[0].raw is not None:
            values = self._decode([s.raw for s in steps])
        else:
            values = np.full((len(steps), len(STEP_MEASURES), len(self._tensors)), np.nan, np.float32)
        read_only(values)
        scalars = np.array([(s.loss, s.learning_rate) for s in steps], np.float32)
        rows = np.concatenate([scalars, values.reshape(len(steps), -1)], axis=1)
        self._history.extend(STEPS, np.array([s.step for s in steps]), rows)
        for s, value in zip(steps, values):
            record = StepRecord(s.step, s.seconds, s.loss, s.learning_rate, value)
            self._channel.put(record)
            if self._record is not None:
                self._record.append_step(record)

    def _pass_on(self, item: Union[Snapshot, TensorValues, Rewind, Event]) -> None:
        if isinstance(item, Rewind):
            self._history.rewind(item.step)
            if self._record is not None:
                self._record.append_rewind(item.step, item.branch)
            return
        if isinstance(item, Snapshot):
            self._append(SNAPSHOTS, item.step, item.values.reshape(-1))
            self._channel.put(item)
            if self._record is not None:
                self._record.append_snapshot(item)
            return
        if isinstance(item, TensorValues):
            self._channel.put(item)
            return
        if isinstance(item, Evaluated):
            self._append(EVALUATIONS, item.step, np.array([item.accuracy[name] for name in ACCURACIES]))
        if self._record is not None:
            self._record.append_event(item)
        self._channel.put_event(item)

    def _append(self, track: str, step: int, values: np.ndarray) -> None:
        """A second measurement at the same step (asked for while paused) says nothing new to the history."""
        last = self._history.last_step(track)
        if last is None or step > last:
            self._history.append(track, step, values)
