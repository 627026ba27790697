"""Reads of a record: which items, and how often."""

import pytest
from telemetry_samples import snapshot

from qatviz.protocol.events import Failed
from qatviz.protocol.snapshots import phase
from qatviz.telemetry.record import reader as record_reader
from qatviz.telemetry.record.run_record import RunRecord


@pytest.fixture
def record(tmp_path):
    with RunRecord.create(tmp_path / "run", {}) as record:
        yield record


def test_some_snapshots_are_evenly_spaced_on_each_branch(record):
    for step in range(1, 31):
        record.append_snapshot(snapshot(step))
    record.append_rewind(10)
    for step in range(11, 16):
        record.append_snapshot(snapshot(step))
    record.append_rewind(12)
    assert record.flush()
    present = [(found.branch, found.step) for found in record.iter_some_snapshots(5, True)]
    assert len(present) == 5 and present[0] == (0, 1) and present[-1] == (1, 12) and present == sorted(present)
    left = [(found.branch, found.step) for found in record.iter_some_snapshots(5, False)]
    assert left == [(0, 11), (0, 16), (0, 21), (1, 13), (1, 15)]
    assert len(list(record.iter_some_snapshots(99, False))) == 23


def test_some_snapshots_have_each_phase_of_the_run(record):
    """Most snapshots of a long run are late ones; its beginning is represented too."""
    steps = [*range(1, 1000, 50), *range(1000, 60_000, 100)]
    for step in steps:
        record.append_snapshot(snapshot(step))
    assert record.flush()
    found = [found.step for found in record.iter_some_snapshots(60, True)]
    assert len(found) == 60 and found[-1] == steps[-1]
    assert {phase(step) for step in found} == {phase(step) for step in steps}
    few = [found.step for found in record.iter_some_snapshots(8, True)]
    assert len(few) == 8 and few[0] == 1 and few[-1] == steps[-1] and few[4] < 10_000


def test_events_are_read_again_only_if_there_are_new_ones(record, monkeypatch):
    record.append_event(Failed(1, "why", ""))
    assert record.flush()
    reads = []
    read = record_reader.read_log
    monkeypatch.setattr(record_reader, "read_log", lambda *rows: reads.append(1) or read(*rows))
    for _ in range(3):
        record.log()
        record.events()
        record.branches().add(7, None)
    assert record.branches().newest == 0, "what is returned is a copy"
    record.events()[0]["message"] = "another"
    assert record.events()[0]["message"] == "why" and len(reads) == 1
    record.append_event(Failed(2, "again", ""))
    assert record.flush() and len(record.log()[0]) == 2 and len(reads) == 2
