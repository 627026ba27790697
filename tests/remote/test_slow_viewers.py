"""Viewers over a saturated connection: the history is completed nevertheless, and what waits for them is bounded."""

import io
from dataclasses import replace

import numpy as np
import pytest
from recorded_samples import record_run
from staging import StagedRun
from waiting import wait_until

from qatviz.protocol.snapshots import SNAPSHOT_MEASURES
from qatviz.remote import telemetry as t
from qatviz.remote.frames import FROM_SERVER, read_frame
from qatviz.remote.handshake import Viewer
from qatviz.remote.history_mirror import HistoryMirror
from qatviz.remote.subscription import Subscription
from qatviz.telemetry.history import History
from qatviz.telemetry.record.refill import SNAPSHOTS, history_names


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


def kinds_of(frames):
    return [read_frame(io.BytesIO(frame).read, FROM_SERVER)[0][0] for frame in frames]


def test_the_missing_history_is_sent_although_reports_never_cease(recorded):
    subscription, frames = Subscription(recorded, "slow", Viewer("v", "bob"), NoLink(), t.Tail()), []
    for _ in range(100):
        subscription.channel.put(recorded._newest_step)
        frames.append(subscription.next_frame())
    kinds = [(header["t"], bool(header.get("fills"))) for header in kinds_of(frames)]
    end = kinds.index((t.FILLED, False))
    assert set(kinds[end + 1 :]) == {(t.STEPS, False)}
    assert kinds[:end:2] == [(t.STEPS, False)] * (end // 2 + end % 2)
    assert (t.STEPS, False) not in kinds[1:end:2]


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
