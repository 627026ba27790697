"""Rewinds over a saturated connection: the curves are completed on all branches, although reports were dropped."""

import pytest
from remote_stage import SaturatedViewer
from staging import StagedRun
from waiting import wait_until

from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.snapshots import Snapshot, StepRecord
from qatviz.remote import telemetry as t
from qatviz.remote.history_mirror import HistoryMirror
from qatviz.telemetry.collector import Rewind
from qatviz.telemetry.history import History
from qatviz.telemetry.record.refill import SNAPSHOTS, STEPS, history_names
from qatviz.telemetry.record.run_record import RunRecord

BITS = "dense1.weights.num_bits"
#: Largest number of step records that wait for a viewer.
WAITING = 20


class RecordedRun(StagedRun):
    """Staged run that is recorded."""

    record = None

    def put(self, *items):
        for item in items:
            super().put(item)
            if self.record is None:  # the first reports, before there is one
                continue
            if isinstance(item, Rewind):
                self.record.append_rewind(item.parent.step, item.parent.branch, position=item.parent.position)
            elif isinstance(item, StepRecord):
                self.record.append_step(item)
            elif isinstance(item, Snapshot):
                self.record.append_snapshot(item)
            elif isinstance(item, events.Event):
                self.record.append_event(self._news[-1])


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setattr("qatviz.remote.subscription._MOST_STEPS", WAITING)
    run = RecordedRun("mlp")
    description = {"network": run.network.to_dict(), "settings": run.book.to_dict()}
    with RunRecord.create(tmp_path / "run", description) as run.record:
        yield run


@pytest.fixture
def hosted(run, stage):
    remote = stage.host(run, run.network, run.book, str(run.record.directory)).run
    return stage.server.run(remote.hosted_id)


def train(run, hosted, steps, *commands):
    """Execute commands, train, and wait until the server has read all reports."""
    for command in commands:
        run.send(command)
    run.advance(0, snapshot=False)
    for _ in range(steps):
        run.advance(1, snapshot=run.step % 5 == 0)
    wait_until(lambda: (hosted._branch, hosted.last_step) == (run.point.branch, run.step))
    wait_until(lambda: not run._news)


def assert_complete(viewer, run):
    """Compare the viewer's curves with those of the run itself."""
    for track in (STEPS, SNAPSHOTS):
        name = run.history.names(track)[0]
        there, here = run.history.series(name), viewer.run.history.series(name)
        assert here.last_step.tolist() == there.last_step.tolist()
        assert here.mean.tolist() == there.mean.tolist()


def test_reports_that_were_dropped_before_a_rewind_are_read_from_the_record(run, hosted):
    train(run, hosted, 10)
    viewer = SaturatedViewer(hosted)
    viewer.receive()
    assert viewer.run.history.last_step(STEPS) == 10
    train(run, hosted, 30)
    train(run, hosted, 30, c.ChangeSettings(((BITS, 4),)))
    train(run, hosted, 30, c.Undo())
    assert run.point.branch == 1 and run.step == 70
    viewer.receive()
    assert viewer.run.dropped > 0
    assert_complete(viewer, run)
    train(run, hosted, 0, c.Redo())  # to the end of the branch that was abandoned, whose last steps were dropped, too
    train(run, hosted, 3)
    viewer.receive()
    assert_complete(viewer, run)


def test_reports_that_are_dropped_while_the_record_is_read_are_read_next(run, hosted, monkeypatch):
    train(run, hosted, 40)
    train(run, hosted, 20, c.ChangeSettings(((BITS, 4),)))
    flush = hosted._flush

    def rewinding():
        """Rewind the run after the server has noted its last step, and before the record is read."""
        monkeypatch.setattr(hosted, "_flush", flush)
        train(run, hosted, 5, c.Undo())
        flush()

    monkeypatch.setattr(hosted, "_flush", rewinding)
    viewer = SaturatedViewer(hosted)
    filled = viewer.receive(before=t.FILLED)
    assert viewer.run.history.branch == 1
    train(run, hosted, 25)
    viewer.run.process(*filled)
    viewer.receive()
    assert_complete(viewer, run)


def test_a_run_without_a_record_is_shown_on_although_reports_are_missing():
    history, requests = History(history_names(["a"])), []
    mirror = HistoryMirror(history, requests.append)
    mirror.end_filling(0, 0)
    restored = [
        events.Restored(5, "x", "undo", 9).placed(branch, 0, BranchPoint(branch - 1, 5, 0)) for branch in (1, 2)
    ]
    mirror.put_event(restored[0], t.Tail(0, 9, 8))
    mirror.put_event(restored[1], t.Tail(1, 7, -1))
    assert requests == [t.Tail(0, -1, -1)] and history.branch == 0
    for branch in (1, 2):
        mirror.end_filling(7, 2)  # nothing was recorded
        assert history.branch == branch
    assert requests[1:] == [t.Tail(1, -1, -1)] and not mirror.is_filling
