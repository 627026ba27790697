"""Evaluations run in batches, whose size does not affect the result."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest

from qatviz.metric import ACCURACY, OutputMetric
from qatviz.network import zoo
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Conv2D, Dense, Flatten
from qatviz.protocol.snapshots import OLDEST_S, phase
from qatviz.training import measuring, pieces
from qatviz.training.measuring import Evaluation, Measuring
from qatviz.training.pieces import LARGEST_PIECE, piece_size


def large(side):
    net = NetworkBuilder("large", (side, side, 3))
    net.add(Conv2D, "conv", filters=64, kernel_size=3, padding="SAME")
    net.add(Conv2D, "conv2", filters=64, kernel_size=3, padding="SAME")
    net.add(Flatten, "flatten")
    net.add(Dense, "logits", units=4)
    return net.network()


class Counted:
    """A graph that returns the number of even examples."""

    def __init__(self, network):
        self.network, self.asked = network, []

    def publish(self):
        pass

    def score_part(self, indices, weights, activations):
        self.asked.append(len(indices))
        return [np.array([np.sum(indices % 2 == 0)], np.float64)]


@pytest.mark.parametrize("name", sorted(zoo.NETWORKS))
def test_networks_of_the_zoo_are_evaluated_in_batches_of_the_maximum_size(name):
    assert piece_size(zoo.build(name, (28, 28, 1), 10)) == LARGEST_PIECE


@pytest.mark.parametrize("side, low, high", [(32, 30, 60), (96, 2, 8), (512, 1, 1)])
def test_larger_networks_are_evaluated_in_smaller_batches(side, low, high):
    assert low <= piece_size(large(side)) <= high


def test_the_result_does_not_depend_on_the_batch_size(monkeypatch):
    found = {}
    for size in (7, 100, 128):
        monkeypatch.setattr(pieces, "LARGEST_PIECE", size)
        graph = Counted(zoo.build("mlp", (28, 28, 1), 10))
        run, result = Evaluation(graph, [OutputMetric("", ACCURACY)], 100, 3), None
        while result is None:
            result = run.advance()
        assert max(graph.asked) == min(size, 100) and sum(graph.asked) == 400
        found[size] = dict(vars(result), seconds=None)
    assert found[7] == found[100] == found[128]


class SlowRun:
    """A run on a machine on which a snapshot takes ``cost`` seconds; the test advances time and steps."""

    def __init__(self, monkeypatch, cost, interval=0.25):
        self.now, self.step, self.seconds, self.point, self.cost = 0.0, 0, 0.0, None, cost
        self.book = SimpleNamespace(run=SimpleNamespace(snapshot_interval=interval))
        self.graph = self
        self.taken = []
        monkeypatch.setattr(measuring, "time", SimpleNamespace(perf_counter=lambda: self.now))
        monkeypatch.setattr(measuring, "make_snapshot", lambda *_: (self.step, self.now))
        spec = SimpleNamespace(plan=SimpleNamespace(tensors=(None,) * 10))
        self.measuring = Measuring(self, spec, self.taken.append)

    @contextlib.contextmanager
    def published(self, restore_previous):
        yield

    def snapshot_with_oscillation(self):
        self.now += self.cost
        return None, None

    def train(self, steps, step_s):
        for _ in range(steps):
            self.step, self.now = self.step + 1, self.now + step_s
            if self.measuring.is_snapshot_due(self.now):
                self.measuring.take_snapshot()


@pytest.mark.parametrize("cost", [0.01, 0.2, 1.0])
def test_snapshots_are_never_older_than_allowed_however_slow_the_machine(monkeypatch, cost):
    run = SlowRun(monkeypatch, cost)
    run.train(2000, 0.05)
    times = [now for _, now in run.taken]
    # The first delay is not expected; a rest is at least half of the largest age, however long a snapshot takes.
    largest = measuring.LONGEST_GAP * OLDEST_S
    assert np.diff(times)[:3].max() <= largest + cost + 0.05 + 1e-6
    assert np.diff(times)[3:].max() <= max(largest, largest / 2 + cost) + 0.05 + 1e-6


def test_every_phase_of_a_fast_run_has_a_snapshot(monkeypatch):
    run = SlowRun(monkeypatch, cost=0.02)
    run.train(3000, 0.0005)
    steps = [step for step, _ in run.taken]
    assert {phase(step) for step in steps} == set(range(phase(steps[-1]) + 1))
    assert phase(3000) - phase(steps[-1]) <= 1
    early = [step for step in steps if step < 1200]
    assert np.diff(early).max() <= 100 and np.diff(steps).max() <= 300


def test_where_snapshots_are_frequent_phases_add_none(monkeypatch):
    """A tenth of the run lasts longer than a rest: each snapshot comes at the end of one."""
    run = SlowRun(monkeypatch, cost=0.1)
    run.train(1200, 0.05)
    times = [now for step, now in run.taken if step > 100]
    assert np.diff(times).min() > 0.9 * measuring.LONGEST_GAP * OLDEST_S


def test_a_change_is_in_a_snapshot_after_the_next_step(monkeypatch):
    run = SlowRun(monkeypatch, cost=0.02)
    run.train(2000, 0.01)
    changed = run.step
    run.now += 0.02  # the last snapshot may have been at this step
    run.measuring.schedule_soon()
    run.train(1, 0.01)
    assert run.taken[-1][0] == changed + 1


def test_rare_snapshots_stay_rare(monkeypatch):
    run = SlowRun(monkeypatch, cost=0.02, interval=3600.0)
    run.train(2000, 0.01)
    run.measuring.schedule_soon()
    run.train(2000, 0.01)
    assert len(run.taken) == 1
