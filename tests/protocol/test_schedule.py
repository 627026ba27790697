"""Planned changes are kept in the record until they are applied."""

import json

import numpy as np
import pytest
from small_runs import spec

from qatviz.errors import QatvizError, RecordError
from qatviz.protocol import events
from qatviz.protocol.commands import ApplyPreset, ChangeSettings, schedule_from, schedule_rows, with_ids
from qatviz.protocol.schedule import Plan, changed
from qatviz.protocol.snapshots import STEP_MEASURES, StepRecord
from qatviz.telemetry.record.run_record import RunRecord

EARLY, LATE = (
    ChangeSettings((("*.weights.num_bits", 4),)),
    ChangeSettings((("run.momentum", 0.5), ("*.enabled", False))),
)
SPEC = spec(steps=20, schedule=((5, EARLY), (9, ApplyPreset("int4")), (9, LATE)))
SCHEDULE = SPEC.schedule


@pytest.fixture
def record(tmp_path):
    with RunRecord.create(tmp_path / "run", SPEC.description()) as record:
        yield record


def train(record, first, last):
    values = np.zeros((len(STEP_MEASURES), len(SPEC.plan.tensors)), np.float32)
    for step in range(first, last + 1):
        record.append_step(StepRecord(step, step / 10, 1.0, 0.1, values))


def applied(record, item):
    record.append_event(events.CommandApplied(item.step, item.id, item.command))


def plan(record):
    assert record.flush()
    return record.plan()


def test_a_schedule_round_trips_through_json():
    assert schedule_from(json.loads(json.dumps(schedule_rows(SCHEDULE)))) == SCHEDULE


@pytest.mark.parametrize("rows", [5, [[1]], [[1, 2, 3]], [[]], [[1, [["path"]]]], [[1, 5]]])
def test_invalid_schedules_are_refused(rows):
    with pytest.raises((ValueError, TypeError, QatvizError)):
        schedule_from(rows)


def test_a_preset_can_be_scheduled():
    book, changes = changed(SPEC.book, ApplyPreset("int4"))
    assert book.of("dense1.weights").num_bits == 4 and changes
    assert (book, changes) == SPEC.book.with_preset("int4")


def test_applied_changes_are_no_longer_planned(record):
    assert plan(record) == Plan(20, SCHEDULE)
    train(record, 1, 5)
    assert plan(record).schedule == SCHEDULE
    applied(record, SCHEDULE[0])
    assert plan(record).schedule == SCHEDULE[1:]
    train(record, 6, 9)
    applied(record, SCHEDULE[1])
    assert plan(record).schedule == SCHEDULE[2:]
    train(record, 10, 10)
    assert plan(record) == Plan(20, ())


def test_a_change_is_planned_again_after_a_rewind_but_not_after_its_undo(record):
    train(record, 1, 5)
    applied(record, SCHEDULE[0])
    train(record, 6, 7)
    record.append_rewind(5)
    assert plan(record).schedule == SCHEDULE[1:]
    record.append_rewind(4)
    assert plan(record).schedule == SCHEDULE


def test_the_newest_plan_is_used(record):
    train(record, 1, 5)
    applied(record, SCHEDULE[0])
    record.append_event(events.Planned(5, None))
    assert plan(record) == Plan(None, SCHEDULE[1:])
    again = with_ids([(5, EARLY)])
    record.append_event(events.Planned(5, 70, again))
    assert plan(record) == Plan(70, again), "the same change, planned once more"
    applied(record, again[0])
    assert plan(record) == Plan(70, ())


def test_equal_changes_at_one_step_are_distinguished(tmp_path):
    twice = spec(steps=20, schedule=((5, EARLY), (5, EARLY)))
    with RunRecord.create(tmp_path / "run", twice.description()) as record:
        train(record, 1, 5)
        applied(record, twice.schedule[1])
        assert plan(record).schedule == twice.schedule[:1]


def test_commands_of_version_0_1_have_no_ids_and_are_compared(tmp_path):
    description = SPEC.description()
    description["schedule"] = [row[:2] for row in description["schedule"]]
    with RunRecord.create(tmp_path / "run", description) as record:
        train(record, 1, 5)
        assert [item[:2] for item in plan(record).schedule] == [item[:2] for item in SCHEDULE]
        record.append_event(events.CommandApplied(5, "", ChangeSettings((("*.weights.num_bits", "4"),))))
        assert [item[:2] for item in plan(record).schedule] == [item[:2] for item in SCHEDULE[1:]]
        train(record, 6, 9)
        record.append_event(events.CommandApplied(9, "", ApplyPreset("int4")))
        assert [item[:2] for item in plan(record).schedule] == [(9, LATE)]


def test_a_record_without_a_plan_is_refused(tmp_path):
    with RunRecord.create(tmp_path / "run", {"steps": 5}) as record, pytest.raises(RecordError, match="schedule"):
        record.plan()
