"""Viewers over a saturated connection: the history is completed nevertheless, and what waits for them is bounded."""

import io
import threading
from dataclasses import replace

import numpy as np
import pytest
from recorded_samples import record_run
from staging import StagedRun
from waiting import wait_for, wait_until

from qatviz.protocol.snapshots import SNAPSHOT_MEASURES
from qatviz.remote import telemetry as t
from qatviz.remote.frames import FROM_SERVER, read_frame
from qatviz.remote.handshake import Viewer
from qatviz.remote.history_mirror import HistoryMirror
from qatviz.remote.remote_workplace import RemoteWorkplace
from qatviz.remote.server import prepared_form
from qatviz.remote.subscription import Subscription
from qatviz.telemetry.history import History
from qatviz.telemetry.record.refill import SNAPSHOTS, STEPS, history_names


class NoLink:
    """Connection whose frames a test takes itself."""

    def notify(self):
        """Do nothing: the test takes the next frame when it wants to."""

    def remove_feed(self, feed):
        """Do nothing: there is no thread that calls it."""


@pytest.fixture
def recorded(stage, tmp_path):
    """A hosted run with a record, which has reported a step and a snapshot."""
    record_run(str(tmp_path / "run"))
    run = StagedRun("mlp")
    remote = stage.host(run, run.network, run.book, str(tmp_path / "run")).run
    hosted = stage.server.run(remote.hosted_id)
    run.advance(1)
    wait_until(lambda: hosted._newest_step and hosted.newest)
    return hosted


def headers_of(frames):
    return [read_frame(io.BytesIO(frame).read, FROM_SERVER)[0][0] for frame in frames]


def test_the_missing_history_is_sent_although_reports_never_cease(recorded):
    subscription, frames = Subscription(recorded, "slow", Viewer("v", "bob"), NoLink(), t.Tail()), []
    for _ in range(100):
        subscription.channel.put(recorded._newest_step)
        wait_until(lambda: not subscription.is_reading or subscription._filling._ready)
        frames.append(subscription.next_frame())
    headers = headers_of(frames)
    are_reports = [header["t"] == t.STEPS and not header.get("fills") for header in headers]
    end = [header["t"] for header in headers].index(t.FILLED)
    # The state of the run may change at any time.
    assert all(
        is_report or header["t"] == t.STATUS for is_report, header in zip(are_reports[end + 1 :], headers[end + 1 :])
    )
    while_missing = are_reports[2:end]  # after the thread that reads the record has begun
    assert all(one != other for one, other in zip(while_missing, while_missing[1:]))


def test_reports_and_pings_are_sent_while_the_record_is_read(stage, recorded, monkeypatch):
    go_on, begun, missing = threading.Event(), threading.Event(), recorded.missing

    def slow(tail):
        begun.set()
        wait_for(go_on)
        yield from missing(tail)

    monkeypatch.setattr(recorded, "missing", slow)
    arrays = []
    found = prepared_form(recorded, [], arrays)
    remote, news = RemoteWorkplace(stage.client("bob@desk"))._prepared(found, arrays).run, []
    wait_for(begun)
    recorded.run.advance(1)
    wait_until(lambda: news.extend(remote.drain()) or any(getattr(item, "step", 0) == 2 for item in news))
    assert remote.history.last_step(STEPS) is None
    go_on.set()
    wait_until(lambda: remote.history.last_step(STEPS))


def test_measures_of_snapshots_that_wait_are_bounded(recorded, monkeypatch):
    monkeypatch.setattr("qatviz.remote.subscription._MOST_STEPS", 20)
    subscription = Subscription(recorded, "slow", Viewer("v", "bob"), NoLink(), t.Tail())
    recorded._subscriptions.append(subscription)
    first = recorded.newest
    for step in range(2, 102):
        recorded._put(replace(first, step=step))
    recorded._subscriptions.remove(subscription)
    rows = [item for item in subscription.channel.drain() if isinstance(item, t.SnapshotRow)]
    assert [(row.step, row.previous) for row in rows] == [(step, step - 1) for step in range(82, 102)]


def row(step, previous):
    return t.SnapshotRow(0, step, 0, np.full((len(SNAPSHOT_MEASURES), 1), step, np.float32), previous)


def test_measures_of_snapshots_that_were_dropped_are_requested_once():
    history, requests = History(history_names(["a"])), []
    mirror = HistoryMirror(history, requests.append)
    mirror.end_filling(0)
    mirror.put(row(1, -1))
    mirror.put(row(5, 4))
    assert requests == [t.Tail(0, -1, 1)] and history.last_step(SNAPSHOTS) == 1
    for step in (2, 3, 4):
        mirror.fill(row(step, -1))
    mirror.end_filling(0)
    assert len(requests) == 1
    mirror.put(row(9, 8))  # the record does not have the one of step 8 either
    mirror.end_filling(0)
    assert len(requests) == 2
    assert history.series(history.names(SNAPSHOTS)[0]).last_step.tolist() == [1, 2, 3, 4, 5, 9]
