"""The state of a run, reconstructed from its events, live or on disk."""

import json
import os

import numpy as np
import pytest

from qatviz.errors import RecordError
from qatviz.network import zoo
from qatviz.network.plan import quantization_plan
from qatviz.protocol import events
from qatviz.protocol.batch_division import BatchDivision
from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.commands import ChangeSettings, Redo
from qatviz.protocol.reasons import RestoreReason
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, STEP_MEASURES, Snapshot, StepRecord
from qatviz.telemetry.outcome import Outcome, read_outcome
from qatviz.telemetry.record.run_record import RunRecord

NETWORK = zoo.build("mlp", (6, 6, 1), 4)
PLAN = quantization_plan(NETWORK)
BOOK = SettingsBook.from_preset(PLAN, "tflite-int8")
PATH = "dense1.weights.num_bits"


def applied(step, book, bits):
    changed, changes = book.change([(PATH, bits)])
    return changed, events.CommandApplied(step, "a-1", ChangeSettings(((PATH, bits),)), changes)


def step_record(step):
    return StepRecord(step, step / 10, 1 / step, 0.1, np.zeros((len(STEP_MEASURES), len(PLAN.tensors)), np.float32))


def test_an_outcome_counts_a_change_once():
    book, changes = BOOK.change([(PATH, 3)])
    outcome = Outcome(BOOK)
    outcome.update(events.CommandApplied(5, "a-1", Redo(), changes))
    outcome.update(events.Restored(5, "x", RestoreReason.REDO, 9, changes))
    assert outcome.changes == [{"step": 5, "setting": PATH, "old": 8, "new": 3}]
    assert outcome.book == book


def test_a_change_and_its_undo_at_one_step_leave_nothing():
    outcome = Outcome(BOOK)
    book, event = applied(5, BOOK, 3)
    outcome.update(event)
    outcome.update(events.Restored(5, "before", RestoreReason.UNDO, 5, book.differences(BOOK)))
    assert (outcome.book, outcome.changes) == (BOOK, [])


def test_the_division_of_batches_is_the_newest():
    first = BatchDivision(3, workers=3)
    outcome = Outcome(BOOK, division=first)
    outcome.update(events.Planned(1, 9))
    assert outcome.division == first and outcome.to_dict()["batch_division"] == first.to_dict()
    outcome.update(events.WorkersBack(2, ("a:1", "b:1")))
    assert outcome.division.text == "3 parts on 2 workers"
    outcome.update(events.Planned(3, 9, (), BatchDivision()))
    assert outcome.division == BatchDivision() and "batch_division" not in outcome.to_dict()


def test_a_rewind_drops_later_measurements_and_changes():
    outcome = Outcome(BOOK)
    book, event = applied(5, BOOK, 3)
    outcome.update(event)
    for step in (4, 6):
        outcome.update(events.Evaluated(step, {"float": step / 10}, 10, 0.1))
    outcome.update(events.Finished(6))
    assert outcome.ending == "finished" and outcome.changes_from(book, 5) == []
    restored = events.Restored(4, "x", RestoreReason.CHECKPOINT, 6, book.differences(BOOK))
    outcome.update(restored.placed(1, 0, BranchPoint(0, 4)))
    assert [row["step"] for row in outcome.evaluations] == [4]
    assert (outcome.changes, outcome.book, outcome.ending) == ([], BOOK, "")


def test_every_number_of_the_result_has_a_form_in_json():
    outcome = Outcome(BOOK)
    outcome.update(StepRecord(1, 0.0, float("nan"), 0.1, np.zeros((len(STEP_MEASURES), len(PLAN.tensors)))))
    values = np.full((len(SNAPSHOT_MEASURES), len(PLAN.tensors)), np.inf, np.float32)
    settings = [BOOK.of(tensor.name) for tensor in PLAN.tensors]
    outcome.update(Snapshot(1, 0.0, values, {}, tuple(s.num_bits for s in settings), (True,) * len(settings)))
    result = json.loads(json.dumps(outcome.to_dict(), allow_nan=False))
    assert (result["step"], result["loss"], result["steps_per_second"]) == (1, None, None)
    assert {row["scale"] for row in result["tensors"]} == {None}


def test_record_and_channel_have_the_same_outcome(tmp_path):
    live = Outcome(BOOK)
    with RunRecord.create(tmp_path / "run", {"network": NETWORK.to_dict(), "settings": BOOK.to_dict()}) as record:
        for step in (1, 2, 3):
            record.append_step(step_record(step))
            live.update(step_record(step))
            _, event = applied(step, live.book, 8 - step)
            record.append_event(event)
            live.update(event)
    read = read_outcome(RunRecord.read(tmp_path / "run"))
    assert read.to_dict() == live.to_dict() and read.timeline == live.timeline and read.book == live.book


def test_the_record_of_another_program_is_refused(tmp_path):
    RunRecord.create(tmp_path, {"something": "else"}).close()
    with pytest.raises(RecordError, match="network"):
        read_outcome(RunRecord.read(tmp_path))
    assert sorted(os.listdir(str(tmp_path))) == ["run.lock", "run.sqlite"]
