"""A run on a stage: news made with NumPy, so that panels are tested without TensorFlow and without waiting."""

from collections import deque

import numpy as np

from qatviz.errors import QatvizError, RunStateError
from qatviz.metric import ACCURACY, WAYS
from qatviz.network import zoo
from qatviz.network.plan import quantization_plan
from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.reasons import PauseReason, SaveKind, SaveReason
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import (
    SNAPSHOT_MEASURES,
    STEP_MEASURES,
    Snapshot,
    StepRecord,
    TensorHistogram,
    TensorValues,
    read_only,
)
from qatviz.quant.affine import choose_grid, fake_quant, quantize
from qatviz.quant.measures import flip_rate, measure
from qatviz.telemetry.history import History
from qatviz.telemetry.record.refill import EVALUATIONS, SNAPSHOTS, STEPS, history_names

INPUT_SHAPES = {"mlp": (28, 28, 1), "lenet": (28, 28, 1)}
MAX_VALUES = 20000
BINS = 128


def set_back(event, before=None, branch=1, parent=0):
    """Place what tells that the run was set back: to where ``before`` happened, else to the end of the event's step."""
    return event.placed(branch, 0, BranchPoint(parent, event.step, None if before is None else before.position))


class StagedRun:
    """As :class:`qatviz.training.handle.Run` to its readers. It answers commands when :meth:`advance` is called.

    Attributes
    ----------
    sent : list of Command
        All that was asked for.
    """

    def __init__(self, network="lenet", preset="tflite-int8", seed=0, metric=ACCURACY):
        named = isinstance(network, str)
        self.network = zoo.build(network, INPUT_SHAPES.get(network, (32, 32, 3)), 10) if named else network
        self.book = SettingsBook.from_preset(quantization_plan(self.network), preset)
        self.plan = self.book.plan
        self.metric = metric
        self.history = History(history_names([t.name for t in self.plan.tensors], metric))
        self.state, self.step, self.dropped, self.dropped_snapshots, self.seconds = "running", 0, 0, 0, 0.0
        self.sent = []
        self._waiting, self._news = deque(), deque()
        self._random = np.random.RandomState(seed)
        self._values = {t.name: self._first_values(t) for t in self.plan.tensors}
        self._codes = {}
        self._undo = []

    # As the handle

    def send(self, command):
        if self.state in ("finished", "stopped", "failed"):
            raise RunStateError("the run has ended")
        self.sent.append(command)
        command_id = f"staged-{len(self.sent)}"
        self._waiting.append((command_id, command))
        return command_id

    def drain(self):
        news, self._news = list(self._news), deque()
        return news

    def pause(self):
        return self.send(c.Pause())

    def resume(self):
        return self.send(c.Resume())

    def single_step(self, count=1):
        return self.send(c.SingleStep(count))

    def request_stop(self):
        if self.state not in ("finished", "stopped", "failed"):
            self.send(c.Stop())

    def wait(self, timeout_s=None):
        return self.state in ("finished", "stopped", "failed")

    # What a test does

    def put(self, *items):
        """News of any kind."""
        self._news.extend(items)

    def advance(self, steps=1, snapshot=True):
        """Answer what was asked, train ``steps`` steps, take a snapshot."""
        self._answer()
        for _ in range(steps if self.state == "running" else 0):
            self._step()
        if snapshot:
            self.take_snapshot()
        return self

    def evaluate(self, scores=(0.98, 0.97, 0.965, 0.96)):
        event = events.Evaluated(self.step, dict(zip(WAYS, scores)), 1000, 0.1, self.metric.name)
        self.history.append(EVALUATIONS, self.step, np.array(scores))
        self.put(event)

    def end(self, event):
        """Finished, Stopped or Failed."""
        self.state = type(event).__name__.lower()
        self.put(event)

    def take_snapshot(self):
        columns, histograms = [], {}
        for tensor in self.plan.tensors:
            values, settings = self._values[tensor.name], self.book.of(tensor.name)
            grid = self._grid(tensor)
            found = measure(values, grid)
            quantized = fake_quant(values, grid) if settings.enabled else values
            codes = quantize(values, grid)
            row = dict(
                found._asdict(),
                scale=grid.scale.max(),
                zero_point=grid.zero_point.flat[0],
                range_min=grid.minimum.min(),
                range_max=grid.maximum.max(),
                flip_rate=flip_rate(codes, self._codes.get(tensor.name)),
            )
            self._codes[tensor.name] = codes
            columns.append([row[name] for name in SNAPSHOT_MEASURES])
            edges = np.linspace(min(values.min(), quantized.min()), max(values.max(), quantized.max()) + 1e-6, BINS + 1)
            counts = None
            if settings.enabled and settings.num_bits <= 8:
                half = 2 ** (settings.num_bits - 1)
                counts = read_only(np.bincount((codes + half).ravel().astype(int), minlength=2 * half).astype(np.int64))
            histograms[tensor.name] = TensorHistogram(
                read_only(edges.astype(np.float32)),
                read_only(np.histogram(values, edges)[0].astype(np.int64)),
                read_only(np.histogram(quantized, edges)[0].astype(np.int64)),
                -(2 ** (settings.num_bits - 1)),
                counts,
                read_only(values.min(axis=0)),
                read_only(values.max(axis=0)),
                read_only(np.atleast_1d(np.float32(grid.scale))),
                read_only(np.atleast_1d(np.int32(grid.zero_point))),
            )
        snapshot = Snapshot(
            self.step,
            self.seconds,
            read_only(np.array(columns, np.float32).T.copy()),
            histograms,
            tuple(self.book.of(t.name).num_bits for t in self.plan.tensors),
            tuple(self.book.of(t.name).enabled for t in self.plan.tensors),
        )
        if self.history.last_step(SNAPSHOTS) in (None, *range(self.step)):
            self.history.append(SNAPSHOTS, self.step, snapshot.values.reshape(-1))
        self.put(snapshot)
        return snapshot

    def values_of(self, name):
        return self._values[name]

    # Inside

    def _first_values(self, tensor):
        size = min(int(np.prod(tensor.shape)), MAX_VALUES)
        rows = max(1, size // tensor.num_channels)
        if tensor.kind == "weights":
            spread = 0.1 * self._random.uniform(0.3, 1.5, tensor.num_channels)
            return (spread * self._random.randn(rows, tensor.num_channels)).astype(np.float32)
        values = self._random.randn(rows * tensor.num_channels, 1)
        return (np.maximum(values, 0) if tensor.nonnegative else values).astype(np.float32)

    def _grid(self, tensor):
        values, s = self._values[tensor.name], self.book.of(tensor.name)
        low, high = values.min(axis=0), values.max(axis=0)
        if not s.per_channel:
            low, high = low.min(keepdims=True), high.max(keepdims=True)
        return choose_grid(low, high, s.num_bits, s.symmetric, s.narrow_range, s.power_of_two)

    def _step(self):
        self.step += 1
        self.seconds += 0.01
        for tensor in self.plan.tensors:
            if tensor.kind == "weights":
                values = self._values[tensor.name]
                self._values[tensor.name] = values + 0.002 * self._random.randn(*values.shape).astype(np.float32)
        columns = []
        for tensor in self.plan.tensors:
            grid = self._grid(tensor)
            found = measure(self._values[tensor.name][:64], grid)
            row = dict(
                found._asdict(),
                scale=grid.scale.max(),
                zero_point=grid.zero_point.flat[0],
                range_min=grid.minimum.min(),
                range_max=grid.maximum.max(),
            )
            columns.append([row[name] for name in STEP_MEASURES])
        values = np.array(columns, np.float32).T.copy()
        loss = 2.3 * np.exp(-self.step / 200) + 0.05 * self._random.rand()
        rate = self.book.run.learning_rate
        self.history.append(STEPS, self.step, np.concatenate([[loss, rate], values.reshape(-1)]))
        self.put(StepRecord(self.step, self.seconds, float(loss), rate, read_only(values)))

    def _answer(self):
        while self._waiting:
            command_id, command = self._waiting.popleft()
            try:
                changes = self._carry_out(command)
            except QatvizError as error:
                self.put(events.CommandRejected(self.step, command_id, command, str(error)))
                continue
            name = f"before-{self.step}-{command_id}" if changes else ""
            if isinstance(command, c.SaveCheckpoint):
                name = command.name or f"step-{self.step}"
            self.put(events.CommandApplied(self.step, command_id, command, changes, name))
            if isinstance(command, c.InspectTensor):
                self.put(TensorValues(self.step, command.tensor, read_only(self._values[command.tensor].copy())))

    def _carry_out(self, command):
        if isinstance(command, (c.ChangeSettings, c.ApplyPreset)):
            if isinstance(command, c.ApplyPreset):
                book, changes = self.book.with_preset(command.preset)
            else:
                book, changes = self.book.change(command.assignments)
            self.book = book
            return changes
        if isinstance(command, c.Pause):
            self.state = "paused"
            self.put(events.Paused(self.step, PauseReason.ASKED))
        elif isinstance(command, c.Resume):
            self.state = "running"
            self.put(events.Resumed(self.step))
        elif isinstance(command, c.Stop):
            self.end(events.Stopped(self.step))
        elif isinstance(command, c.SaveCheckpoint):
            self.put(events.CheckpointSaved(self.step, command.name or f"step-{self.step}", SaveReason(SaveKind.ASKED)))
        elif isinstance(command, c.InspectTensor):
            self.plan.tensor(command.tensor)
        return ()
