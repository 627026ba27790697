"""Runs that the server no longer has are shown from their records, with their true ending and complete history."""

import shutil
import signal
from argparse import Namespace

import numpy as np
import pytest
from recorded_samples import record_run
from remote_stage import until_answered
from staging import StagedRun
from waiting import wait_until

from qatviz.cli import serve
from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.protocol.reasons import PauseReason
from qatviz.remote import serving
from qatviz.remote.errors import LinkError
from qatviz.session.prepared import Prepared
from qatviz.telemetry.record.refill import STEPS
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.terminal import stop_signals


def record_anew(directory, **about):
    """Replace the record of a run by a longer one, as if the run had gone on."""
    shutil.rmtree(str(directory))
    record_run(str(directory), **about)


@pytest.fixture
def away(stage):
    """Return a function that hosts a run which is recorded to a directory, and cuts its connection.

    It returns the remote run, and a function that makes the server drop the run and the client connect again.
    """

    def begin(directory):
        record_run(str(directory), steps=2, ending=False)
        run = StagedRun("mlp")
        remote = stage.host(run, run.network, run.book, str(directory)).run
        wait_until(lambda: remote.connection.viewers == () and stage.server.run(remote.hosted_id).has_viewers)
        client = stage.clients[0]
        connect = client._connect

        def refuse():
            raise LinkError("the network is down")

        client._connect = refuse
        stage.cut()
        wait_until(lambda: remote.connection.problem)

        def back():
            stage.server._runs.pop(remote.hosted_id).close()
            client._connect = connect

        return remote, back

    return begin


def news_of(remote):
    """Return all that a remote run has reported once it has ended."""
    news = []
    wait_until(lambda: news.extend(remote.drain()) or remote.wait(0))
    return news + remote.drain()


def test_a_run_that_ended_while_its_window_was_away_ends_as_recorded(stage, away, tmp_path):
    directory = tmp_path / "run"
    remote, back = away(directory)
    record_anew(directory)
    sent = remote.send(c.Pause())  # while the connection is lost
    back()
    seen = [item for item in news_of(remote) if isinstance(item, events.Event)]
    assert remote.state == "finished" and remote.step == 20
    recorded = [logged.event for logged in RunRecord.read(str(directory)).log()[0]]
    assert [event for event in seen if not isinstance(event, events.CommandRejected)] == recorded
    assert [event.id for event in seen if isinstance(event, events.CommandRejected)] == [sent]
    until_answered(remote)
    wait_until(lambda: remote.history.last_step(STEPS) == 20)
    losses = RunRecord.read(str(directory)).steps().loss.astype(np.float32)
    np.testing.assert_array_equal(remote.history.series("loss").mean, losses)


def test_a_run_whose_record_has_no_ending_has_failed_and_keeps_its_history(stage, away, tmp_path):
    directory = tmp_path / "run"
    remote, back = away(directory)
    record_anew(directory, ending=False)
    back()
    (failed,) = [item for item in news_of(remote) if isinstance(item, events.ENDINGS)]
    assert remote.state == "failed" and "has ended" in failed.message
    wait_until(lambda: remote.history.last_step(STEPS) == 20)


def test_a_run_whose_record_was_deleted_has_failed_with_the_reason(stage, away, tmp_path):
    remote, back = away(tmp_path / "nothing")
    shutil.rmtree(str(tmp_path / "nothing"))
    back()
    (failed,) = [item for item in news_of(remote) if isinstance(item, events.ENDINGS)]
    assert failed.explained and "its record can't be read" in failed.message and "nothing" in failed.message


def test_a_run_that_was_resumed_meanwhile_is_shown_up_to_its_ending(stage, away, tmp_path):
    directory = tmp_path / "run"
    remote, back = away(directory)
    record_anew(directory)
    again = StagedRun("mlp")
    bob = stage.host(again, again.network, again.book, str(directory), client=stage.client("bob@desk")).run
    hosted = stage.server.run(bob.hosted_id)
    hosted.began = True
    hosted.prepared = hosted.prepared._replace(log=tuple(RunRecord.read(str(directory)).log()[0]))
    back()
    wait_until(lambda: remote.wait(0))
    again.put(events.Paused(3, PauseReason.REQUESTED))
    wait_until(lambda: len(hosted._subscriptions) == 1)  # it has left the run that trains
    endings = [item for item in remote.drain() if isinstance(item, (*events.ENDINGS, events.Paused))]
    assert remote.state == "finished" and [type(event) for event in endings] == [events.Finished]
    again.end(events.Stopped(again.step))
    wait_until(lambda: not hosted.is_training)


def test_an_opened_record_is_completed_by_a_server_that_has_dropped_it(stage, away, tmp_path):
    directory = tmp_path / "run"
    remote, back = away(directory)
    remote._state = "recorded"
    remote._ended.set()
    remote._mirror.expect_filling()  # the connection was lost before the history was complete
    record_anew(directory)
    back()
    wait_until(lambda: remote.history.last_step(STEPS) == 20)
    assert remote.state == "recorded"


@pytest.mark.parametrize("until_idle", [False, True])
def test_unused_runs_are_dropped_whether_or_not_a_server_ends_when_it_is_idle(tmp_path, monkeypatch, until_idle):
    monkeypatch.setattr(serving, "user_folder", lambda: str(tmp_path))
    monkeypatch.setattr(serving, "IDLE_S", float("-inf") if until_idle else 300.0)
    handlers = {number: signal.getsignal(number) for number in stop_signals()}
    run, discarded, listeners, looks = StagedRun("mlp"), [], [], []
    run.discard = lambda: discarded.append(run)

    class Listener(serving.Listener):
        def __init__(self, *given):
            super().__init__(*given)
            listeners.append(self)
            hosted = self.server.add(Prepared(run, run.network, run.book, "unused", 12.0, ""))
            hosted.idle_since = float("-inf")

    def end_when_dropped(seconds):
        looks.append(seconds)
        if not until_idle and (not listeners[0].server._runs or len(looks) > 100):
            signal.getsignal(signal.SIGTERM)(signal.SIGTERM, None)

    monkeypatch.setattr(serving, "Listener", Listener)
    monkeypatch.setattr(serve, "time", Namespace(sleep=end_when_dropped))
    options = Namespace(stdio=False, listen="127.0.0.1:0", until_idle=until_idle)
    assert serve.serve(options) == 0 and discarded == [run] and len(looks) < 100
    assert {number: signal.getsignal(number) for number in handlers} == handlers
