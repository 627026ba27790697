"""Runs on worker processes: the same losses as in this process, also after workers die, hang or stay away."""

import contextlib
import json
import random
import socket
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from small_runs import convnet, spec
from training_cases import Driver, assert_same_arrays
from worker_processes import placement_on, workers

from qatviz.errors import SettingError
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings, ContinueWithout, Undo
from qatviz.protocol.run_spec import Placement
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES
from qatviz.training import cluster_session
from qatviz.training.correction_graph import CorrectionGraph
from qatviz.training.drift import DriftGraph
from qatviz.training.graph import TrainingGraph
from qatviz.training.sensitivity import SensitivityGraph
from qatviz.training.worker import cluster_from_environment
from qatviz.worker_addresses import parse_workers

#: Time limit in seconds until a user knows that a worker is lost.
LIMIT_S = 15.0
STEPS = 60


@pytest.fixture(autouse=True)
def own_graphs(monkeypatch):
    """Build new graphs instead of sharing them: their placement is tested here."""
    monkeypatch.setattr("qatviz.training.trainer.TrainingGraph", TrainingGraph)


def small_spec(placement, steps=STEPS, network=None):
    return spec(network, batch_size=8, steps=steps, placement=placement)


def losses_of(driver):
    """Return the loss of each step; of one that was repeated, the last."""
    return {record.step: record.loss for record in driver.steps()}


@pytest.fixture(scope="module")
def undisturbed():
    """The losses of the run in this process, with the same parts of batches."""
    with Driver(small_spec(Placement(towers=2))) as driver:
        driver.finish()
    return losses_of(driver)


def test_a_run_on_workers_is_that_in_this_process():
    with Driver(small_spec(Placement(towers=2), 20, convnet())) as here:
        here.finish()
    with workers(2) as started, Driver(small_spec(placement_on(started), 20, convnet())) as there:
        assert there.finish().step == 20
    assert losses_of(there) == losses_of(here)
    assert there.events(events.Evaluated)[-1].scores == here.events(events.Evaluated)[-1].scores
    assert_same_arrays(there.run.final.arrays, here.run.final.arrays)
    one, other = (driver.snapshots()[-1] for driver in (here, there))  # each worker has measured some of the tensors
    assert one.step == other.step == 20
    flips = SNAPSHOT_MEASURES.index("flip_rate")  # since the snapshot before, which may be of another step
    kept = [row for row in range(len(SNAPSHOT_MEASURES)) if row != flips]
    np.testing.assert_array_equal(one.values[kept], other.values[kept])
    for name, histogram in one.histograms.items():
        np.testing.assert_array_equal(histogram.code_counts, other.histograms[name].code_counts, name)
        np.testing.assert_array_equal(histogram.float_counts, other.histograms[name].float_counts, name)


def test_a_session_that_is_closed_while_its_workers_answer_is_not_kept():
    graph = tf.Graph()
    with graph.as_default():
        constant = tf.constant(7)
    kept = len(cluster_session._ABANDONED)
    with workers(1) as started:
        session = cluster_session.ClusterSession(graph, placement_on(started))
        assert session.run(constant) == 7
        session.close()
    assert len(cluster_session._ABANDONED) == kept


@pytest.mark.parametrize("graph", [CorrectionGraph, DriftGraph, SensitivityGraph])
def test_graphs_beside_that_of_a_run_need_no_worker(graph):
    graph(small_spec(Placement(workers=("127.0.0.1:1", "127.0.0.1:2")))).close()


@pytest.mark.slow
def test_undo_on_workers_is_exact():
    """After an undo, the steps since the change are repeated bit for bit as without the change."""
    with Driver(small_spec(Placement(towers=2))) as driver:
        driver.finish()
    expected = driver.run.final
    with workers(2) as started, Driver(small_spec(placement_on(started))) as driver:
        driver.until_step(10)
        driver.send(ChangeSettings((("*.weights.num_bits", 3),)))
        driver.send(Undo())
        driver.finish()
        assert_same_arrays(driver.run.final.arrays, expected.arrays)


def test_a_killed_worker_is_named_and_the_run_continues_when_it_is_back(undisturbed):
    with workers(2) as started, Driver(small_spec(placement_on(started))) as driver:
        driver.until_step(10)
        started[1].kill()
        killed = time.monotonic()
        lost = driver.until_event(events.WorkersLost)
        assert time.monotonic() - killed < LIMIT_S
        assert lost.workers == (started[1].address,) and started[1].address in lost.message
        driver.run.send(ChangeSettings((("*.weights.num_bits", 6),)))  # is executed later
        started[1].start()
        assert driver.until_event(events.WorkersBack).workers == tuple(worker.address for worker in started)
        assert driver.finish().step == STEPS
        assert [event for event in driver.events(events.CommandApplied) if event.changes]
    assert sorted(losses_of(driver)) == sorted(undisturbed)


@pytest.mark.parametrize("which", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_worker_that_hangs_is_named_in_time(undisturbed, which):
    with workers(2) as started, Driver(small_spec(placement_on(started))) as driver:
        driver.until_step(10)
        started[which].suspend()
        suspended = time.monotonic()
        lost = driver.until_event(events.WorkersLost)
        assert time.monotonic() - suspended < LIMIT_S
        assert lost.workers == (started[which].address,)
        started[which].resume()
        driver.finish()
        assert losses_of(driver) == undisturbed


@pytest.mark.parametrize("is_elastic", [False, True])
@pytest.mark.parametrize("which", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_continues_without_lost_workers(undisturbed, which, is_elastic):
    """On request, or at once; the losses stay those of the same parts of batches."""
    with workers(2) as started, Driver(small_spec(placement_on(started, elastic=is_elastic))) as driver:
        driver.until_step(10)
        started[which].kill()
        driver.until_event(events.WorkersLost)
        if not is_elastic:
            driver.run.send(ContinueWithout())
        assert driver.until_event(events.WorkersBack).workers == (started[1 - which].address,)
        driver.finish()
        assert losses_of(driver) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("kills", [3, 20])
def test_nothing_is_lost_by_kills_at_random_moments(kills):
    steps, chance = 20 * kills, random.Random(kills)
    with Driver(small_spec(Placement(towers=2), steps)) as driver:
        driver.finish()
    expected = losses_of(driver)
    with workers(2) as started, Driver(small_spec(placement_on(started), steps)) as driver:
        for kill in range(kills):
            driver.until_step(20 * kill + chance.randrange(20))
            time.sleep(chance.random() * 0.1)
            victim = chance.choice(started)
            victim.kill()
            victim.start()
        assert driver.finish().step == steps
    assert losses_of(driver) == expected


def test_a_worker_cannot_be_reached_from_other_interfaces():
    with workers(1) as (worker,):
        socket.create_connection(("127.0.0.1", worker.port), 5).close()
        for address in {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)}:
            if address.startswith("127.") or address == "::1":
                continue
            with contextlib.closing(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)) as other:
                other.settimeout(1)
                assert other.connect_ex((address, worker.port)) != 0


def test_addresses_of_workers():
    assert parse_workers("a:1, [::1]:2") == ("a:1", "[::1]:2")
    assert parse_workers(" ") == ()
    for text in ("a", "a:0", "a:b", ":1", "a:1,", "a:1,a:1", "grpc://a:1", "a:70000"):
        with pytest.raises(SettingError, match="workers is"):
            parse_workers(text)


def test_tf_config(monkeypatch):
    cluster = {"chief": ["a:1"], "ps": ["p:1"], "worker": {"1": "c:1", "0": "b:1"}}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 1}}))
    assert cluster_from_environment() == (("a:1", "b:1", "c:1"), "c:1")
    monkeypatch.setenv("TF_CONFIG", "")
    assert cluster_from_environment() is None
    for wrong in ("{", "[]", "{}", '{"cluster": {"ps": ["p:1"]}}', '{"cluster": {"worker": 3}}'):
        monkeypatch.setenv("TF_CONFIG", wrong)
        with pytest.raises(SettingError, match="TF_CONFIG"):
            cluster_from_environment()
