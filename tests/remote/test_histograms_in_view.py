"""Snapshots for a viewer: the histograms in view are sent each time, all others every few seconds."""

from dataclasses import replace

import pytest
from staging import StagedRun
from waiting import wait_until

from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.protocol.snapshots import Snapshot
from qatviz.remote import histograms_in_view as module
from qatviz.remote import telemetry as t
from qatviz.remote.histograms_in_view import ReceivedHistograms, SentHistograms


@pytest.fixture
def run():
    return StagedRun("lenet")


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """The time that the choice of histograms sees, in a list."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def names_of(snapshot):
    return sorted(snapshot.histograms)


def test_histograms_out_of_view_are_sent_every_few_seconds(run, clock):
    sent, names = SentHistograms(), names_of(run.take_snapshot())
    assert not sent.show([])
    assert names_of(sent.chosen(run.take_snapshot())) == names  # the first one
    sent.show(names[:2])
    run.advance(1)
    assert names_of(sent.chosen(run.take_snapshot())) == names[:2]
    clock[0] += module.ALL_AFTER_S
    assert names_of(sent.chosen(run.take_snapshot())) == names
    assert names_of(sent.chosen(run.take_snapshot())) == names[:2]
    sent.show(None)
    assert names_of(sent.chosen(run.take_snapshot())) == names


def test_more_in_view_is_told_from_less():
    sent = SentHistograms()
    assert not sent.show(["a", "b"])  # all were
    assert not sent.show(["b"])
    assert sent.show(["b", "c"])
    assert sent.show(None) and not sent.show(None)


def test_other_settings_need_all_histograms(run):
    sent, names = SentHistograms(), names_of(run.take_snapshot())
    sent.show(names[:1])
    sent.chosen(run.take_snapshot())
    snapshot = run.take_snapshot()
    assert names_of(sent.chosen(replace(snapshot, num_bits=(2, *snapshot.num_bits[1:])))) == names
    assert names_of(sent.chosen(replace(snapshot, branch=snapshot.branch + 1))) == names
    sent.chosen(snapshot)
    assert names_of(sent.chosen(snapshot)) == names[:1]
    sent.expire()
    assert names_of(sent.chosen(snapshot)) == names


def test_a_viewer_completes_snapshots_with_older_histograms(run):
    received, first = ReceivedHistograms(), run.take_snapshot()
    names = names_of(first)
    assert received.completed(first, True) is first
    run.advance(1)
    second = run.take_snapshot()
    part = replace(second, histograms={name: second.histograms[name] for name in names[:2]})
    found = received.completed(part, False)
    assert list(found.histograms) == list(first.histograms) and found.older == set(names[2:])
    assert all(found.histograms[name] is second.histograms[name] for name in names[:2])
    assert all(found.histograms[name] is first.histograms[name] for name in names[2:])
    assert received.completed(part, False) is None  # nothing new
    rest = replace(second, histograms={name: second.histograms[name] for name in names[1:]})
    found = received.completed(rest, False)
    assert found.histograms == second.histograms and not found.older


def test_a_part_without_the_rest_is_left_out(run):
    received, first = ReceivedHistograms(), run.take_snapshot()
    name = names_of(first)[0]
    part = replace(first, histograms={name: first.histograms[name]})
    assert received.completed(part, False) is None
    received.completed(first, True)
    assert received.completed(replace(part, branch=first.branch + 1), False) is None
    assert received.completed(replace(part, histograms={"unknown": first.histograms[name]}), False) is None


def test_a_viewer_gets_the_histograms_in_view_and_the_others_once_it_shows_them(stage):
    ana, run = stage.staged()
    hosted, names = stage.server.run(ana.hosted_id), [tensor.name for tensor in run.plan.tensors]
    seen = []

    def newest():
        seen.extend(item for item in ana.drain() if isinstance(item, Snapshot))
        return seen[-1] if seen else None

    wait_until(lambda: hosted.has_viewers)
    run.advance(1)
    wait_until(lambda: newest() is not None and newest().step == run.step)
    ana.show_histograms(names[:1])
    wait_until(lambda: hosted._subscriptions[0]._histograms._names == {names[0]})
    run.advance(1)
    wait_until(lambda: newest().step == run.step)
    assert newest().older == set(names[1:]) and set(newest().histograms) == set(names)
    count = len(seen)
    ana.show_histograms(names)  # scrolled: the newest of them come at once
    wait_until(lambda: newest() and len(seen) > count)
    assert newest().step == run.step and not newest().older
    ana.send(c.ChangeSettings(((f"{names[1]}.num_bits", 3),)))
    ana.show_histograms(names[:1])
    wait_until(lambda: hosted._subscriptions[0]._histograms._names == {names[0]} and len(run.sent) > 0)
    run.advance(1)
    wait_until(lambda: newest().step == run.step)
    assert not newest().older and newest().num_bits[1] == 3


@pytest.fixture
def shown(stage):
    """A viewer of a run with the first tensor in view that has received a part of a snapshot; see :class:`Shown`."""
    return Shown(stage)


class Shown:
    """A remote run, the staged run that it is, and the snapshots that have arrived."""

    def __init__(self, stage):
        self.stage = stage
        self.remote, self.run = stage.staged()
        self.names = [tensor.name for tensor in self.run.plan.tensors]
        self.hosted, self._seen = stage.server.run(self.remote.hosted_id), []
        wait_until(lambda: self.hosted.has_viewers)
        self.run.advance(1)
        wait_until(lambda: self.newest is not None and self.newest.step == self.run.step)
        self.show(self.names[:1])
        self.run.advance(1)
        wait_until(lambda: self.newest.step == self.run.step)
        assert self.newest.older == set(self.names[1:])

    def show(self, names):
        self.remote.show_histograms(names)
        wait_until(lambda: self.hosted._subscriptions[0]._histograms._names == set(names))

    @property
    def newest(self):
        self._seen.extend(item for item in self.remote.drain() if isinstance(item, Snapshot))
        return self._seen[-1] if self._seen else None


@pytest.mark.parametrize("later_s", [0.0, 60.0])
def test_what_comes_into_view_is_complete_at_any_later_time(shown, clock, later_s):
    clock[0] += later_s
    shown.show(shown.names)
    wait_until(lambda: not shown.newest.older)
    assert shown.newest.step == shown.run.step


@pytest.mark.parametrize("end", ["pause", "finish"])
def test_a_run_that_no_longer_trains_is_shown_completely(shown, end):
    if end == "pause":
        shown.run.send(c.Pause())
        shown.run.advance(0, snapshot=False)
    else:
        shown.run.end(events.Finished(shown.run.step))
    wait_until(lambda: not shown.newest.older)
    assert shown.newest.step == shown.run.step


def test_a_viewer_that_connects_again_gets_all(shown):
    shown.stage.renew(shown.remote)
    wait_until(lambda: not shown.newest.older)


def test_views_that_change_often_displace_no_results(shown):
    subscription = shown.hosted._subscriptions[0]
    before = subscription.channel.dropped
    for number in range(50):
        shown.remote.show_histograms(shown.names[: 1 + number % 5])
    shown.show(shown.names)
    assert subscription.channel.dropped == before


def test_a_viewer_goes_no_step_back(shown):
    steps = []
    for _ in range(20):
        shown.run.advance(1)
        for names in (shown.names, shown.names[:2]):
            shown.remote.show_histograms(names)
        steps.append(shown.newest.step)
    wait_until(lambda: shown.newest.step == shown.run.step)
    assert steps == sorted(steps)


def test_names_that_the_run_does_not_have_are_not_kept(shown):
    shown.remote.show_histograms([*shown.names[:2], *(f"unknown {number}" for number in range(1000))])
    wait_until(lambda: shown.hosted._subscriptions[0]._histograms._names == set(shown.names[:2]))


def test_a_frame_without_names_shows_all(stage):
    ana, _ = stage.staged()
    hosted = stage.server.run(ana.hosted_id)
    wait_until(lambda: hosted.has_viewers)
    ana.show_histograms([])
    wait_until(lambda: hosted._subscriptions[0]._histograms._names == frozenset())
    stage.clients[0].send({"t": "view", "run": ana.subscription, "histograms": True})  # of an older viewer
    wait_until(lambda: hosted._subscriptions[0]._histograms._names is None)


def test_a_partial_frame_is_smaller(run):
    snapshot, sent = run.take_snapshot(), SentHistograms()
    sent.show(names_of(snapshot)[:1])
    sent.chosen(snapshot)
    part = sent.chosen(snapshot)
    header, arrays = t.snapshot_frame(part, is_partial=True)
    assert header["partial"] and "partial" not in t.snapshot_frame(snapshot)[0]
    assert sum(a.nbytes for a in arrays.values()) < 0.4 * sum(a.nbytes for a in t.snapshot_frame(snapshot)[1].values())
