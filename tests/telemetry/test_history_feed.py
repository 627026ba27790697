"""A history is filled again from the record, and what is new comes after that, whatever happens meanwhile."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telemetry_samples import NUM_TENSORS, snapshot, step_record, step_values
from waiting import wait_for

from qatviz.errors import RecordError
from qatviz.metric import WAYS
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
    return Evaluated(step, {name: (step + i) / 1000 for i, name in enumerate(WAYS)}, 10, 0.1)


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
        feed.add_evaluation(step, list(evaluated(step).scores.values()))
    return history


class Staged:
    """A record of 5 steps that gives them out when it is let."""

    def __init__(self, error=None, endless=False):
        self.go_on, self.reading = threading.Event(), threading.Event()
        self._error, self._endless = error, endless

    def log(self):
        return [], 0

    def iter_snapshots(self, stop):
        return iter(())

    def iter_steps(self, stop):
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
        return StepSeries(steps, steps / 8, 1 / (steps + 1), np.full(len(steps), 1e-3), step_values(steps))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.floats(0, 1)), min_size=1, max_size=6), st.floats(0, 1.2))
def test_a_record_gives_back_what_survives(tmp_path_factory, parts, upto):
    step, expected, snapshots, evaluations = 0, [], [], []
    with RunRecord.create(tmp_path_factory.mktemp("run"), {}) as record:
        for count, back in parts:
            for _ in range(count):
                step += 1
                expected.append(step)
                record.append_step(step_record(step))
            record.append_snapshot(snapshot(step))
            record.append_event(evaluated(step))
            snapshots.append(step)
            evaluations.append(step)
            if back < 0.5:
                step = int(2 * back * step)
                record.append_rewind(step)
                expected, snapshots, evaluations = (
                    [at for at in kept if at <= step] for kept in (expected, snapshots, evaluations)
                )
        last = int(upto * (step + 1))
        assert record.flush()
        history = History(NAMES)
        refill(history, record, last)
    expected, snapshots, evaluations = (
        sorted({at for at in kept if at <= last}) for kept in (expected, snapshots, evaluations)
    )
    assert_same(history, filled([(at, at) for at in expected], snapshots, evaluations))


def test_what_is_new_waits_for_what_was_before_and_nobody_waits_for_it():
    record, history = Staged(), History(NAMES)
    feed = HistoryFeed(history, Recall(record, 5))
    add_steps(feed, 6, 9)
    feed.add_snapshot(9, snapshot(9).values)
    feed.rewind(7)
    add_steps(feed, 8, 8)
    feed.add_evaluation(8, list(evaluated(8).scores.values()))
    assert all(history.last_step(track) is None for track in NAMES)
    record.go_on.set()
    feed.close()
    assert_same(history, filled([(1, 8)], [], [8]))
    add_steps(feed, 9, 12)
    assert history.last_step("steps") == 12


def test_going_back_beyond_where_the_run_went_on():
    record, history = Staged(), History(NAMES)
    feed = HistoryFeed(history, Recall(record, 5))
    add_steps(feed, 6, 9)
    feed.rewind(2)
    add_steps(feed, 3, 4)
    record.go_on.set()
    feed.close()
    assert_same(history, filled([(1, 4)]))


def test_what_cannot_be_read_is_handed_on_and_what_is_new_comes_in():
    failures, history = [], History(NAMES)
    record = Staged(RecordError("damaged"))
    feed = HistoryFeed(history, Recall(record, 5), failures.append)
    add_steps(feed, 6, 9)
    record.go_on.set()
    feed.close()
    assert [str(error) for error in failures] == ["damaged"]
    assert_same(history, filled([(6, 9)]))


def test_the_end_of_a_run_does_not_wait_for_a_long_record(monkeypatch):
    monkeypatch.setattr(history_feed, "PATIENCE_S", 0.01)
    record, history, failures = Staged(endless=True), History(NAMES), []
    feed = HistoryFeed(history, Recall(record, 10**9), failures.append)
    wait_for(record.reading)
    add_steps(feed, 10**9 + 1, 10**9 + 1)
    feed.close()
    assert history.last_step("steps") == 10**9 + 1 and not failures


@pytest.mark.parametrize("track", ["snapshots", "evaluations"])
def test_a_second_measurement_of_a_step_says_nothing_new(track):
    history = History(NAMES)
    feed = HistoryFeed(history)
    for value in (1.0, 2.0):
        if track == "snapshots":
            feed.add_snapshot(5, np.full_like(snapshot(5).values, value))
        else:
            feed.add_evaluation(5, [value] * len(WAYS))
    assert history.series(NAMES[track][0]).mean.tolist() == [1.0]
