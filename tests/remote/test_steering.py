"""Requests to steer a run, and answers to them, reach the server although the connection drops on the way."""

import pytest
from remote_stage import until_answered
from staging import StagedRun
from waiting import wait_until

from qatviz.remote.remote_workplace import RemoteWorkplace
from qatviz.remote.server import prepared_form

ANA, BOB = "ana@laptop", "bob@desk"


@pytest.fixture
def windows(stage):
    """The handles of two windows for one run, of which the first one steers."""
    run = StagedRun("mlp")
    ana, arrays = stage.host(run, run.network, run.book).run, []
    wait_until(lambda: ana.connection.viewers == () and stage.server.run(ana.hosted_id).has_viewers)
    found = prepared_form(stage.server.run(ana.hosted_id), [], arrays)
    bob = RemoteWorkplace(stage.client(BOB))._prepared(found, arrays).run
    wait_until(lambda: bob.connection.steers == ANA and ana.connection.viewers == (ANA, BOB))
    return ana, bob


def lose(remote, kinds, monkeypatch):
    """Let frames of some kinds get lost on the present connection of a run's window."""
    link = remote._client._link
    send = link.send
    monkeypatch.setattr(link, "send", lambda header, *given: header["t"] in kinds or send(header, *given))


def test_a_request_and_its_answer_are_repeated_after_a_lost_connection(stage, windows, monkeypatch):
    ana, bob = windows
    lose(bob, ("steer",), monkeypatch)
    bob.ask_to_steer()
    assert bob.has_unanswered
    stage.cut(BOB)
    wait_until(lambda: ana.connection.asks == BOB)
    until_answered(bob)
    lose(ana, ("answer",), monkeypatch)
    ana.answer(True)
    stage.cut(ANA)
    wait_until(lambda: ana.connection.steers == BOB)
    until_answered(ana)


def test_a_request_that_was_received_is_not_made_again(stage, windows):
    ana, bob = windows
    hosted = stage.server.run(ana.hosted_id)
    bob.ask_to_steer()
    wait_until(lambda: ana.connection.asks == BOB)
    ana.answer(False)
    wait_until(lambda: not ana.connection.asks)
    until_answered(bob)
    hosted.ask_to_steer(hosted._subscriptions[1].viewer, f"{bob._origin}-1")
    assert hosted._asking is None


def test_a_late_answer_to_a_window_that_has_left_does_not_hand_over_to_another(stage, windows):
    ana, bob = windows
    hosted = stage.server.run(ana.hosted_id)
    bob.ask_to_steer()
    wait_until(lambda: ana.connection.asks == BOB)
    hosted.answer(hosted._steering, True, "carl@home")
    assert hosted._steering.name == ANA and hosted._asking.name == BOB
