"""A history is refilled from the record, and new rows follow, under all circumstances."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telemetry_samples import NUM_TENSORS, snapshot, step_record, step_values
from waiting import wait_for

from qatviz.errors import RecordError
from qatviz.metric import MODES
from qatviz.protocol.branches import BranchPoint, BranchTree
from qatviz.protocol.events import Evaluated
from qatviz.telemetry import history_feed
from qatviz.telemetry.history import History
from qatviz.telemetry.history_feed import HistoryFeed, Recall
from qatviz.telemetry.record.reader import StepSeries
from qatviz.telemetry.record.refill import history_names, refill
from qatviz.telemetry.record.run_record import RunRecord

NAMES = history_names([f"t{index}" for index in range(NUM_TENSORS)])
SERIES = [name for names in NAMES.values() for name in names]


def evaluated(step):
    return Evaluated(step, {name: (step + i) / 1000 for i, name in enumerate(MODES)}, 10, 0.1)


def add_steps(feed, first, last):
    steps = np.arange(first, last + 1)
    feed.add_steps(steps, np.stack([1 / (steps + 1), np.full(len(steps), 1e-3)], axis=1), step_values(steps))


def assert_same(history, expected):
    for name in SERIES:
        for found, wanted in zip(history.series(name), expected.series(name)):
            np.testing.assert_array_equal(found, wanted)


def filled(steps, snapshots=(), evaluations=()):
    history = History(NAMES)
    feed = HistoryFeed(history)
    for first, last in steps:
        add_steps(feed, first, last)
    for step in snapshots:
        feed.add_snapshot(step, snapshot(step).values)
    for step in evaluations:
        feed.add_evaluation(evaluated(step))
    return history


class Staged:
    """A record of 5 steps that are readable once released."""

    def __init__(self, error=None, endless=False):
        self.go_on, self.reading = threading.Event(), threading.Event()
        self._error, self._endless = error, endless

    def log(self):
        return [], 0

    def iter_branch_snapshots(self, surviving_only):
        return iter(())

    def iter_branch_steps(self, surviving_only):
        self.reading.set()
        if self._endless:
            step = 0
            while True:
                step += 1
                yield self._piece(step, step)
        wait_for(self.go_on)
        if self._error:
            raise self._error
        yield self._piece(1, 3)
        yield self._piece(4, 5)

    @staticmethod
    def _piece(first, last):
        steps = np.arange(first, last + 1)
        losses = np.zeros((len(steps), 0), np.float32)
        return 0, StepSeries(steps, steps / 8, 1 / (steps + 1), np.full(len(steps), 1e-3), step_values(steps), losses)


class Recorded:
    """Writer of the record of a run that remembers the steps of each branch."""

    def __init__(self, record):
        self.record, self.tree, self.steps, self.step = record, BranchTree(), {0: []}, 0

    def train(self, count):
        for _ in range(count):
            self.step += 1
            self.steps[self.tree.newest].append(self.step)
            self.record.append_step(step_record(self.step))
        self.record.append_snapshot(snapshot(self.step))
        self.record.append_event(evaluated(self.step))

    def go_to(self, branch, share):
        """Restore a state on ``branch``."""
        states = self.steps[branch] or [self.tree.parent_of(branch).step if branch else 0]
        point = BranchPoint(branch, states[int(share * (len(states) - 1))])
        self.record.append_rewind(point.step, branch)
        self.step = point.step
        self.tree.add(self.tree.newest + 1, point)
        self.steps[self.tree.newest] = []

    def expected(self, branch=None):
        """Return the steps that led to the end of a branch, and those with a snapshot and an evaluation."""
        path = self.tree.path(branch)
        parts = [[at for at in self.steps[number] if at <= path.last_step(number)] for number, _ in path.pieces]
        measured = [self.steps[number][-1] for number, _ in path.pieces if self.steps[number]]
        steps = [at for part in parts for at in part]
        return steps, [at for at, part in zip(measured, filter(None, parts)) if at in part]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6), st.floats(0, 1)
)
def test_a_record_restores_the_present_and_the_discarded_branches(tmp_path_factory, parts, other):
    with RunRecord.create(tmp_path_factory.mktemp("run"), {}) as record:
        run = Recorded(record)
        for count, branch, share in parts:
            run.train(count)
            run.go_to(int(branch * run.tree.newest), share)
        assert record.flush()
        surviving, all_of_it = History(NAMES), History(NAMES)
        refill(surviving, record)
        refill(all_of_it, record, record.cursor().tree, run.step)
    steps, measured = run.expected()
    expected = filled([(at, at) for at in steps], measured, measured)
    assert_same(surviving, expected)
    assert_same(all_of_it, expected)
    branch = int(other * run.tree.newest)
    all_of_it.rewind(BranchPoint(branch, 10**6), run.tree.newest + 1)
    steps, measured = run.expected(branch)
    assert_same(all_of_it, filled([(at, at) for at in steps], measured, measured))


def test_new_rows_are_queued_behind_the_record_without_blocking():
    record, history = Staged(), History(NAMES)
    feed = HistoryFeed(history, Recall(record, 5, BranchTree()))
    add_steps(feed, 6, 9)
    feed.add_snapshot(9, snapshot(9).values)
    feed.rewind(BranchPoint(0, 7), 1)
    add_steps(feed, 8, 8)
    feed.add_evaluation(evaluated(8))
    assert all(history.last_step(track) is None for track in NAMES)
    record.go_on.set()
    feed.close()
    assert_same(history, filled([(1, 8)], [], [8]))
    add_steps(feed, 9, 12)
    assert history.last_step("steps") == 12


def test_rewinding_to_before_the_start_of_the_resumed_run():
    record, history = Staged(), History(NAMES)
    feed = HistoryFeed(history, Recall(record, 5, BranchTree()))
    add_steps(feed, 6, 9)
    feed.rewind(BranchPoint(0, 2), 1)
    add_steps(feed, 3, 4)
    record.go_on.set()
    feed.close()
    assert_same(history, filled([(1, 4)]))


def test_a_read_error_is_passed_on_and_new_rows_are_added():
    failures, history = [], History(NAMES)
    record = Staged(RecordError("damaged"))
    feed = HistoryFeed(history, Recall(record, 5, BranchTree()), failures.append)
    add_steps(feed, 6, 9)
    record.go_on.set()
    feed.close()
    assert [str(error) for error in failures] == ["damaged"]
    assert_same(history, filled([(6, 9)]))


def test_the_end_of_a_run_does_not_wait_for_a_long_record(monkeypatch):
    monkeypatch.setattr(history_feed, "READ_TIMEOUT_S", 0.01)
    record, history, failures = Staged(endless=True), History(NAMES), []
    feed = HistoryFeed(history, Recall(record, 10**9, BranchTree()), failures.append)
    wait_for(record.reading)
    add_steps(feed, 10**9 + 1, 10**9 + 1)
    feed.close()
    assert history.last_step("steps") == 10**9 + 1 and not failures


@pytest.mark.parametrize("track", ["snapshots", "evaluations"])
def test_a_step_is_measured_again_only_with_another_result(track):
    """A paused run is evaluated, its bits are changed, and it is evaluated again: curves end at the newest result."""
    history = History(NAMES)
    feed = HistoryFeed(history)

    def measure(value, position):
        if track == "snapshots":
            values = np.full_like(snapshot(5).values, value)
            values[-1] = np.nan  # the flip rate of the first snapshot
            feed.add_snapshot(5, values, position)
        else:
            event = Evaluated(5, dict.fromkeys(MODES, value), 10, 0.1)
            feed.add_evaluation(event.placed(0, position, None))

    name = NAMES[track][0]
    for value, position in ((1.0, 1), (1.0, 2), (2.0, 4), (4.0, 6)):
        measure(value, position)
    assert history.series(name).mean.tolist() == [4.0] and history.series(name).last_step.tolist() == [5]
    feed.rewind(BranchPoint(0, 5, 3), 1)  # to the state before the change
    assert history.series(name).mean.tolist() == [1.0]
    measure(1.0, 1)
    assert history.series(name).mean.tolist() == [1.0]
    measure(3.0, 3)
    assert history.series(name).mean.tolist() == [3.0]
