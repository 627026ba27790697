"""Staged run: messages computed with NumPy, so that panels are tested without TensorFlow and without waiting.

The executor of the real run (:mod:`qatviz.training.executor`) carries out the commands: the numbers are the staged
run's own, the answers and events those of a real one. tests/training/test_staged_contract.py compares both.
"""

import numpy as np

from qatviz.analysis.sensitivity import WIDTHS, Sensitivity
from qatviz.correction.result import Correction
from qatviz.errors import RunStateError
from qatviz.low_bit_settings import START_TEACHER
from qatviz.metric import ACCURACY, MODES, OutputMetric
from qatviz.network import zoo
from qatviz.network.plan import quantization_plan
from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.protocol.branches import BranchCursor
from qatviz.protocol.reasons import SaveKind, SaveReason
from qatviz.protocol.run_state import RunState
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import (
    MOST_DISTINCT,
    SNAPSHOT_MEASURES,
    STEP_MEASURES,
    Snapshot,
    StepRecord,
    TensorHistogram,
    TensorValues,
    read_only,
)
from qatviz.protocol.trials import SettingsEvaluated
from qatviz.quant import live_state
from qatviz.quant.affine import choose_grid, fake_quant, quantize
from qatviz.quant.measures import flip_rate, measure
from qatviz.settings import LEARNED_METHODS, WEIGHTS
from qatviz.telemetry.collector import Rewind
from qatviz.telemetry.history import History
from qatviz.telemetry.history_feed import HistoryFeed
from qatviz.telemetry.record.refill import history_names
from qatviz.telemetry.run_handle import RunHandle
from qatviz.telemetry.score_series import outputs_of
from qatviz.training.checkpointer import Checkpointer
from qatviz.training.control import Control
from qatviz.training.executor import CommandExecutor
from qatviz.training.inbox import Inbox
from qatviz.training.recovery import Recovery

INPUT_SHAPES = {"mlp": (28, 28, 1), "lenet": (28, 28, 1)}
MAX_VALUES = 20000
BINS = 128
ENDED = ("finished", "stopped", "failed", "recorded")
#: Accuracy on 1,000 examples, in the order of `MODES`.
SCORES = (0.98, 0.97, 0.965, 0.96)


class StagedCorrections:
    """Corrections of a staged run: each ends at once, with a note and without any other effect."""

    is_cancelled = False

    def __init__(self, run):
        self._run, self._sent = run, None

    @property
    def is_active(self):
        return self._sent is not None

    def begin(self, sent):
        self._sent = sent

    def cancel(self, reason="cancelled"):
        self._run.put(reason)

    def advance(self):
        sent, self._sent = self._sent, None
        return sent, Correction(dict(self._run._values), ("weights corrected", "and a second note"))


class StagedRun(RunHandle):
    """Handle of a run that answers commands when :meth:`advance` is called.

    To the executor of commands it is what is trained, what measures it, and what collects the news. Unlike a real run
    it takes snapshots and evaluates only where it is asked to, by a command or by the test.

    Attributes
    ----------
    sent : list of Command
        All that was asked for.
    sent_ids : list of str
        Their ids.
    """

    state, step, dropped, description = "running", 0, 0, None

    def __init__(self, network="lenet", preset="tflite-int8", seed=0, metric=ACCURACY, metrics=None):
        named = isinstance(network, str)
        self.network = zoo.build(network, INPUT_SHAPES.get(network, (32, 32, 3)), 10) if named else network
        self.book = SettingsBook.from_preset(quantization_plan(self.network), preset)
        self.plan = self.book.plan
        self.metric = metric
        metrics = (OutputMetric("", metric),) if metrics is None else metrics
        self.history = History(history_names([t.name for t in self.plan.tensors], metrics))
        self._outputs = outputs_of(metrics)
        self.description, self.seconds, self.step_s = {}, 0.0, 0.01
        self.sent, self.sent_ids = [], []
        self._feed, self._news = HistoryFeed(self.history), []
        self._random = np.random.RandomState(seed)
        self._values = {t.name: self._first_values(t) for t in self.plan.tensors}
        self._codes = {}
        self._cursor = BranchCursor()
        self._cursor.place(events.Started(self.step, 0.0, "staged"))  # happened before anybody listened
        self._inspected, self._evaluated, self.is_snapshot_wanted = set(), None, False
        self._next_switch_on = live_state.next_switch_on(self.book.quantizers, self.step)
        self._inbox = Inbox()
        self._inbox._origin = "staged"
        self._control = Control(self, self, None, self._set_state)
        recovery = Recovery(self.capture("start", SaveReason(SaveKind.START)), 1.0, 0.0)
        checkpointer = Checkpointer(None, lambda: None, lambda event, state: None)
        self.corrections = StagedCorrections(self)
        self._executor = CommandExecutor(
            self, self, self._control, recovery, checkpointer, self, None, (), self.corrections
        )

    # As the handle

    def start(self):
        raise RunStateError(f"the run is {self.state}: it can be started once")

    def send(self, command, id=""):
        command_id = self._inbox.send(command, id)
        self.sent.append(command)
        self.sent_ids.append(command_id)
        return command_id

    def drain(self):
        news, self._news = self._news, []
        return news

    def request_stop(self):
        if self.state not in ENDED:
            self.send(c.Stop())

    def wait(self, timeout_s=None):
        return self.state in ENDED

    def discard(self):
        """There is no record."""

    # What a test does

    def put(self, *items):
        """Queue messages of any kind; events without a place on the branches get one."""
        for item in items:
            if isinstance(item, Rewind):
                self._feed.rewind(item.parent, item.branch)
                continue
            if isinstance(item, events.Event):
                item = self._cursor.place(item)
            self._news.append(item)

    def advance(self, steps=1, snapshot=True):
        """Execute pending commands, train up to ``steps`` steps, take a snapshot."""
        self._executor.execute(self._inbox.drain())
        while self._executor.is_correcting:
            self._executor.advance_correction()
        self._executor.execute([])
        for _ in range(steps):
            if self._control.is_paused or self._control.is_stopping or self._control.is_done or self.state in ENDED:
                break
            self._step()
            self._control.count_step()
        if self._control.is_stopping:
            self.drop_evaluation()
            self.take_snapshot()
            self.end(events.Stopped(self.step))
        elif self._control.is_done and not self._control.is_paused and self.state not in ENDED:
            self.evaluate()
            self.take_snapshot()
            self.end(events.Finished(self.step))
        elif snapshot or (self.is_snapshot_wanted and self._control.is_paused):
            self.take_snapshot()
        if self.is_evaluating:
            self.evaluate()
        return self

    def carry_out(self, *commands):
        """Execute commands now, without a step or a snapshot; return the messages."""
        for command in commands:
            self.send(command)
        return self.advance(0, snapshot=False).drain()

    def evaluate(self, scores=SCORES, **further):
        """Evaluate the present state, or the state of a pending request; ``further`` are more fields of the result."""
        point, self._evaluated = self._evaluated or self.point, None
        result = events.Evaluated(point.step, dict(zip(MODES, scores)), 1000, 0.1, self.metric.name, **further)
        self._feed.add_evaluation(result.placed(point.branch, point.position, None))
        self.report(result, point)

    def end(self, event):
        """Finished, Stopped or Failed."""
        for late in self._inbox.close():
            self.put(events.CommandRejected(self.step, late.id, late.command, "the run has ended"))
        self.put(event)
        self.state = type(event).__name__.lower()

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
                oscillating=0.01 if tensor.kind == WEIGHTS else np.nan,
                frozen_weights=0.0 if tensor.kind == WEIGHTS else np.nan,
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
                values.size,
                int(np.count_nonzero(values == 0)),
                np.unique(values).size if np.unique(values).size <= MOST_DISTINCT else None,
            )
        snapshot = Snapshot(
            self.step,
            self.seconds,
            read_only(np.array(columns, np.float32).T.copy()),
            histograms,
            tuple(self.book.of(t.name).num_bits for t in self.plan.tensors),
            tuple(self.book.of(t.name).enabled for t in self.plan.tensors),
            self.point.branch,
            self.point.position,
        )
        self.is_snapshot_wanted = False
        self._feed.add_snapshot(self.step, snapshot.values, self.point.position)
        self.put(snapshot)
        for name in sorted(self._inspected):
            self.put(TensorValues(self.step, name, read_only(self._values[name].copy())))
        self._inspected.clear()
        return snapshot

    def values_of(self, name):
        return self._values[name]

    # As what is trained: see qatviz.training.live_run

    def apply_settings(self, book, teacher=None):
        self.book = book
        self._next_switch_on = live_state.next_switch_on(book.quantizers, self.step)
        return False

    def check_book(self, book):
        """Accept any settings: the run is on one device."""

    def correct(self, arrays, weights=(), activations=()):
        self._values = dict(arrays)

    def teacher_parameters(self, name, checkpoint):
        return {} if name == START_TEACHER else checkpoint(name).arrays

    def capture(self, name, reason):
        branch, step, position = self.point
        return RunState(step, self.seconds, self.book, dict(self._values), name, reason, branch, position)

    def set_to(self, state):
        self.step, self.seconds, self._values = state.step, state.seconds, dict(state.arrays)
        self.apply_settings(state.book)
        self._codes.clear()
        return self._cursor.fork(state.point)

    @property
    def point(self):
        return self._cursor.point(self.step)

    def emit(self, event):
        self.put(event)

    def report(self, event, point):
        self.put(self._cursor.place_at(event, point))

    def _activate(self):
        names = [t.name for t in self.plan.tensors if self.book.of(t.name).quant_delay == self.step]
        self.apply_settings(self.book)
        self.emit(events.SettingsActivated(self.step, tuple(n for n in names if self.book.of(n).enabled)))

    # As what measures it: see qatviz.training.measuring

    @property
    def is_evaluating(self):
        return self._evaluated is not None

    def begin_evaluation(self):
        self._evaluated = self.point

    def advance_evaluation(self):
        self.evaluate()

    def evaluate_settings(self, book, command_id):
        """Answer at once, with the quantized score that ``score_of`` returns for these settings."""
        scores = dict(zip(MODES, SCORES), quantized=self.score_of(book))
        result = events.Evaluated(self.step, scores, 1000, 0.1, self.metric.name).placed(*self.point)
        self.put(SettingsEvaluated(book, result, command_id))

    def score_of(self, book):
        """Return the score of settings that are not in effect; tests replace it."""
        return SCORES[-1]

    def drop_evaluation(self):
        self._evaluated = None

    def watch_sensitivity(self, is_on):
        """Do nothing: the test puts the estimates."""

    def measure_sensitivity(self, is_on):
        """Do nothing: the test puts the progress and the result."""

    def watch(self, command):
        """Do nothing: the test puts the results."""

    def watch_predictions(self, is_on):
        """Do nothing: the test puts the predictions."""

    def request_predictions(self):
        """Do nothing: the test puts the predictions."""

    def inspect(self, tensor):
        self._inspected.add(self.plan.tensor(tensor).name)

    def schedule_soon(self):
        """Do nothing: the test decides when to take the next snapshot."""

    # Inside

    def _set_state(self, state, step):
        self.state = state

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
        if self.step == self._next_switch_on:
            self._activate()
        self.step += 1
        self.seconds += self.step_s
        for tensor in self.plan.tensors:
            if tensor.kind == "weights":
                values = self._values[tensor.name]
                self._values[tensor.name] = values + 0.002 * self._random.randn(*values.shape).astype(np.float32)
        columns = []
        for tensor in self.plan.tensors:
            grid = self._grid(tensor)
            is_learned = self.book.of(tensor.name).range_method in LEARNED_METHODS
            sample = self._values[tensor.name][:64]
            found = measure(sample, grid)
            sqnr_db_error = 0.3 if len(sample) < len(self._values[tensor.name]) else 0.0
            row = dict(
                found._asdict(),
                mse_error=found.mse * sqnr_db_error / 4.34,
                sqnr_db_error=sqnr_db_error,
                scale=grid.scale.max(),
                zero_point=grid.zero_point.flat[0],
                range_min=grid.minimum.min(),
                range_max=grid.maximum.max(),
                scale_gradient=0.01 * np.cos(self.step) if is_learned else np.nan,
            )
            columns.append([row[name] for name in STEP_MEASURES])
        values = np.array(columns, np.float32).T.copy()
        loss = 2.3 * np.exp(-self.step / 200) + 0.05 * self._random.rand()
        rate = self.book.run.learning_rate_at(self.step - 1)
        losses = np.full(len(self._outputs), loss / max(1, len(self._outputs)), np.float32)
        self._feed.add_steps(np.array([self.step]), np.array([[loss, rate]]), values[np.newaxis], losses[np.newaxis])
        self.put(StepRecord(self.step, self.seconds, float(loss), rate, read_only(values), read_only(losses)))


def sensitivity(run, step=3):
    """A sensitivity of a run's tensors: the fewer bits, the larger."""
    names = tuple(tensor.name for tensor in run.plan.tensors)
    scores = np.random.RandomState(0).uniform(1, 4, (len(names), 1)) * 4.0 ** -np.array(WIDTHS)
    return Sensitivity(names, WIDTHS, scores, scores[:, -1].copy(), step, 100)
