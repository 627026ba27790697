"""Changes requested by a call are recorded before the first step, so that any later --resume has them."""

import numpy as np
import pytest
from cli_calls import call, write_data
from tensorflow_needed import needs_tensorflow

from qatviz.cli.parser import parse
from qatviz.cli.train_options import request_of
from qatviz.protocol import events
from qatviz.protocol.commands import ApplyPreset, ChangeSettings
from qatviz.protocol.reasons import RestoreReason, SaveKind, SaveReason
from qatviz.protocol.run_state import RunState
from qatviz.protocol.snapshots import STEP_MEASURES, StepRecord
from qatviz.session.prepare import prepare
from qatviz.telemetry.record.run_record import RunRecord

pytestmark = needs_tensorflow


@pytest.fixture
def run(tmp_path):
    """Return a run of 30 steps that ended at 27, with a checkpoint at 20, a change at 25 and a planned one."""
    data = write_data(tmp_path / "small.npz")
    launch = prepare_and_close(
        "--data",
        data,
        "--network",
        "mlp",
        "--steps",
        30,
        "--out",
        tmp_path / "run",
        "--set",
        "25:dense1.weights.num_bits=3",
        "--set",
        "28:run.beta1=0.5",
    )
    with RunRecord.open(tmp_path / "run") as record:
        book = launch.spec.book
        write_steps(record, launch, 1, 20)
        moment = RunState(20, 2.0, book, {}, "auto-20", SaveReason(SaveKind.AUTOMATIC), record.branch)
        record.save_checkpoint(moment.name, {}, moment.meta())
        write_steps(record, launch, 21, 25)
        _, command, command_id = launch.spec.schedule[0]
        record.append_event(events.CommandApplied(25, command_id, command, book.change(command.assignments)[1]))
        write_steps(record, launch, 26, 27)
    return tmp_path / "run"


def prepare_and_close(*arguments):
    """Prepare a run and close it before its first step; return it."""
    run = prepare(request_of(parse(["train", *map(str, arguments)]))).run
    if run.record is not None:
        run.record.close()
    return run


def write_steps(record, launch, first, last):
    shape = (len(STEP_MEASURES), len(launch.spec.plan.tensors))
    for step in range(first, last + 1):
        record.append_step(StepRecord(step, step / 10, 1.0, 0.1, np.zeros(shape, np.float32)))


def assert_same_plan(one, other):
    assert (one.spec.steps, one.spec.schedule) == (other.spec.steps, other.spec.schedule)
    assert (one.spec.start.name, one.spec.start.book) == (other.spec.start.name, other.spec.start.book)


def test_changes_to_apply_again_are_kept_if_they_were_not_reached(run):
    first = prepare_and_close("--resume", run)
    assert first.spec.start.step == 20
    assert sorted((item.step, item.command.assignments) for item in first.spec.schedule) == [
        (25, (("dense1.weights.num_bits", 3),)),
        (28, (("run.beta1", 0.5),)),
    ]
    for _ in range(2):
        assert_same_plan(prepare_and_close("--resume", run), first)


def test_changes_requested_on_resume_are_kept(run):
    first = prepare_and_close(
        "--resume", run, "--steps", 90, "--preset", "int4", "--learning-rate", "0.5", "--set", "60:*.weights.num_bits=2"
    )
    assert first.spec.steps == 90
    assert [item[:2] for item in first.spec.schedule if item.step == 20] == [
        (20, ApplyPreset("int4")),
        (20, ChangeSettings((("run.learning_rate", 0.5),))),
    ]
    assert first.spec.schedule[-1][:2] == (60, ChangeSettings((("*.weights.num_bits", 2),)))
    assert_same_plan(prepare_and_close("--resume", run), first)
    assert prepare_and_close("--resume", run, "--steps", "inf").spec.steps is None
    assert prepare_and_close("--resume", run).spec.steps is None


def test_the_planned_changes_are_printed(run):
    prepare_and_close("--resume", run, "--steps", 90)
    text = call("show", run).out
    assert "step 20 of 90" in text and "planned: 90 steps, scheduled changes: 2" in text
    prepare_and_close("--resume", run, "--steps", "inf")
    text = call("show", run).out
    assert "step 20," in text and "planned: no limit, scheduled changes: 2" in text


def test_changes_that_were_applied_are_not_applied_again(run):
    launch = prepare_and_close("--resume", run, "--steps", 90, "--set", "run.beta2=0.9")
    _, at_once, command_id = launch.spec.schedule[-1]
    with RunRecord.open(run) as record:
        book, changes = launch.spec.start.book.change(at_once.assignments)
        record.append_event(events.CommandApplied(20, command_id, at_once, changes))
        write_steps(record, launch, 21, 22)
        moment = RunState(22, 2.2, book, {}, "auto-22", SaveReason(SaveKind.AUTOMATIC), record.branch)
        record.save_checkpoint(moment.name, {}, moment.meta())
    again = prepare_and_close("--resume", run)
    assert again.spec.start.name == "auto-22" and again.spec.start.book.run.beta2 == 0.9
    assert sorted(item.step for item in again.spec.schedule) == [25, 28] and again.spec.steps == 90


def test_a_scheduled_change_that_was_undone_is_not_applied_again(run):
    with RunRecord.open(run) as record:
        change = record.events()[-1]["changes"]
        record.append_rewind(25)
        back = tuple(events.Change(row["setting"], row["new"], row["old"]) for row in change)
        record.append_event(events.Restored(25, "before", RestoreReason.UNDO, 27, back))
    assert [item.step for item in prepare_and_close("--resume", run).spec.schedule] == [28]


def test_a_fork_keeps_the_planned_changes(run, tmp_path):
    first = prepare_and_close("--fork", run, "--out", tmp_path / "fork", "--preset", "ternary", "--steps", 50)
    again = prepare_and_close("--resume", tmp_path / "fork")
    assert (again.spec.steps, again.spec.schedule) == (first.spec.steps, first.spec.schedule)
    assert (20, ApplyPreset("ternary")) in [item[:2] for item in again.spec.schedule] and again.spec.steps == 50


def test_restoring_a_named_checkpoint_drops_changes_at_its_step(run):
    prepare_and_close("--resume", run, "--preset", "int4")
    launch = prepare_and_close("--resume", run, "--checkpoint", "auto-20")
    assert sorted(item.step for item in launch.spec.schedule) == [25, 28]
