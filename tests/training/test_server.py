"""A missing or silent server ends a run with a clear error in time; a working one gives the same run."""

import contextlib
import socket

import pytest
import tensorflow.compat.v1 as tf
from small_runs import spec
from training_cases import Driver

from qatviz.errors import SettingError
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings, Resume
from qatviz.protocol.run_spec import Placement
from qatviz.training.graph import TrainingGraph
from qatviz.training.server import check_reachable

STEPS = 20


@pytest.fixture(autouse=True)
def own_graphs(monkeypatch):
    """Build new graphs instead of sharing them: their placement is tested here."""
    monkeypatch.setattr("qatviz.training.trainer.TrainingGraph", TrainingGraph)


@contextlib.contextmanager
def mute_server():
    """Accept connections without ever answering; yield the address."""
    with contextlib.closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(5)
        yield f"grpc://127.0.0.1:{listening.getsockname()[1]}"


def closed_port():
    with mute_server() as target:
        return target


@pytest.mark.parametrize(
    "target",
    [
        "host",
        "host:2222",
        "nothing://host:1",
        "grpc://",
        "grpc://host",
        "grpc://host:0",
        "grpc://host:x",
        "grpc://:1",
        "grpc://host:70000",
        "grpc://host:1/path",
        "grpc://me@host:1",
        "grpc://[::1:1",
        "",
        "grpc://" + "a" * 70 + ".x:1",
    ],
)
def test_invalid_addresses_are_refused(target):
    with pytest.raises(SettingError) as caught:
        check_reachable(target)
    assert target in str(caught.value)


def test_a_port_without_a_server_is_refused():
    target = closed_port()
    with pytest.raises(SettingError, match=f"{target}: nothing answers there: .*refused"):
        check_reachable(target)


def test_a_port_with_a_server_is_accepted():
    with mute_server() as target:
        check_reachable(target)


@pytest.mark.parametrize("is_mute", [False, True])
def test_a_run_on_a_silent_server_ends_with_a_clear_error(monkeypatch, is_mute):
    monkeypatch.setattr("qatviz.training.session.SESSION_TIMEOUT_S", 0.5)
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(mute_server()) if is_mute else closed_port()
        with Driver(spec(placement=Placement(target=target))) as driver:
            failed = driver.finish()
    assert isinstance(failed, events.Failed) and failed.explained
    assert failed.message.startswith(f"session target {target}: ")
    assert ("no TensorFlow server answers there" if is_mute else "refused") in failed.message


def test_a_session_on_another_server_gives_the_same_run():
    """The graph is built in this process and runs in another one; only fetches are transferred."""
    server = tf.train.Server.create_local_server()
    with Driver(spec(steps=STEPS)) as here:
        here.finish()
    placement = Placement(target=server.target, device="/job:local/task:0")
    with Driver(spec(steps=STEPS, placement=placement), paused=True) as there:
        there.send(ChangeSettings((("*.weights.num_bits", 8),)))
        there.send(Resume())
        assert there.finish() == events.Finished(STEPS)
    losses = [record.loss for record in there.steps()]
    assert len(losses) == STEPS
    assert losses == pytest.approx([record.loss for record in here.steps()], rel=1e-5)
    assert there.events(events.Evaluated)[-1].scores == here.events(events.Evaluated)[-1].scores
