"""The record on disk has the items of the channel; automatic checkpoints."""

import threading

import numpy as np
import pytest
from small_runs import spec
from training_cases import Driver, assert_same_arrays, graph_of
from waiting import wait_for, wait_until

from qatviz.errors import RecordError
from qatviz.protocol import events
from qatviz.protocol.commands import (
    ChangeSettings,
    Evaluate,
    Pause,
    Redo,
    RestoreCheckpoint,
    Resume,
    SaveCheckpoint,
    SingleStep,
    TakeSnapshot,
    Undo,
)
from qatviz.protocol.reasons import PauseReason, SaveKind
from qatviz.protocol.run_state import RunState
from qatviz.protocol.snapshots import Snapshot
from qatviz.telemetry.history import History
from qatviz.telemetry.record.refill import ERRORS, EVALUATIONS, SNAPSHOTS, STEPS, refill
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training import checkpointer
from qatviz.training.handle import Run


def surviving(news):
    """Return the step records that no rewind discarded."""
    kept = []
    for item in news:
        if isinstance(item, events.Restored):
            kept = [record for record in kept if record.step <= item.step]
        elif hasattr(item, "loss"):
            kept.append(item)
    return kept


@pytest.fixture
def recorded(tmp_path):
    """Run 60 steps with a change, an undo and an evaluation; return the driver and the record, read back."""
    run_spec = spec(steps=60, run={"snapshot_interval": 0.02})
    record = RunRecord.create(tmp_path / "run", run_spec.description())
    with Driver(run_spec, record, paused=True) as driver:
        driver.run.send(SingleStep(20))
        driver.until(lambda item: isinstance(item, events.Paused) and item.reason is PauseReason.SINGLE_STEPS)
        for command in (
            ChangeSettings((("*.weights.num_bits", 4),)),
            Evaluate(),
            SaveCheckpoint("mine"),
            TakeSnapshot(),
            ChangeSettings((("no.such.path", 4),)),
        ):
            driver.send(command)
        since = len(driver.news)
        driver.run.send(SingleStep(10))
        driver.until_event(events.Paused, since=since)
        driver.send(Undo())
        driver.send(Resume())
        driver.finish()
    return driver, RunRecord.read(tmp_path / "run")


def test_events_on_disk_are_those_of_the_channel(recorded):
    driver, record = recorded
    on_disk = record.events()
    assert [row["kind"] for row in on_disk] == [event.kind for event in driver.events()]
    for row, event in zip(on_disk, driver.events()):
        expected = event.to_dict()
        assert {name: row[name] for name in expected} == expected


def test_steps_on_disk_are_the_surviving_ones_of_the_channel(recorded):
    driver, record = recorded
    expected = surviving(driver.news)
    steps = record.steps()
    assert steps.steps.tolist() == [r.step for r in expected] == list(range(1, 61))
    assert steps.loss.tolist() == [r.loss for r in expected]
    assert steps.seconds.tolist() == [r.seconds for r in expected]
    np.testing.assert_array_equal(steps.values, np.stack([r.values for r in expected]))


def test_snapshots_on_disk_are_those_of_the_channel(recorded):
    driver, record = recorded
    last = {item.step: item for item in driver.news if isinstance(item, Snapshot)}
    assert 60 in record.snapshots()
    for step in record.snapshots():
        np.testing.assert_array_equal(record.snapshot(step).values, last[step].values)


def test_the_history_has_the_values_of_the_channel(recorded):
    driver, _ = recorded
    expected = surviving(driver.news)
    for name, values in [
        ("loss", [r.loss for r in expected]),
        ("dense1.weights/scale", [r.values[0, driver.run.spec.plan.index("dense1.weights")] for r in expected]),
    ]:
        series = driver.run.history.series(name)
        assert series.last_step.tolist() == list(range(1, 61))
        np.testing.assert_array_equal(series.mean, np.float32(values))


def test_checkpoints_have_the_state_and_settings_of_their_step(recorded, graphs):
    driver, record = recorded
    names = [info.name for info in record.list_checkpoints()]
    saved = [event.name for event in driver.events(events.CheckpointSaved)]
    assert sorted(names) == sorted(saved)
    assert {name.partition("-")[0] for name in names} == {"before", "mine", "final"}
    plan = driver.run.spec.plan
    mine = RunState.from_checkpoint("mine", *record.load_checkpoint("mine"), plan)
    assert (mine.step, mine.book.of("dense1.weights").num_bits) == (20, 4)
    before = next(name for name in names if name.startswith("before"))
    before = RunState.from_checkpoint(before, *record.load_checkpoint(before), plan)
    assert (before.step, before.book) == (20, driver.run.spec.book)
    assert_same_arrays(before.arrays, mine.arrays)
    final = RunState.from_checkpoint("final", *record.load_checkpoint("final-00000060"), plan)
    assert_same_arrays(final.arrays, graph_of(driver.run.spec, graphs).read_state())


def test_automatic_checkpoints_are_limited_and_the_users_are_kept(tmp_path):
    run_spec = spec()
    record = RunRecord.create(tmp_path / "run", run_spec.description())
    mine = ["final", "before", "auto-mine", "step-1", "auto"]
    with Driver(run_spec, record) as driver:
        for name in mine:
            driver.send(SaveCheckpoint(name))
        for index in range(2 * checkpointer.KEPT_ON_DISK[SaveKind.BEFORE_CHANGE]):
            name = driver.send(ChangeSettings((("*.weights.num_bits", 4 + index % 2),))).checkpoint
            driver.until(lambda item: isinstance(item, events.CheckpointSaved) and item.name == name)
        driver.send(Pause())
        undone = [type(driver.send(Undo())) for _ in range(2 * checkpointer.KEPT_ON_DISK[SaveKind.BEFORE_CHANGE])]
        assert undone == [events.CommandApplied] * len(undone)  # all of them are kept in memory
    names = [info.name for info in RunRecord.read(tmp_path / "run").list_checkpoints()]
    assert sorted(set(names) & set(mine)) == sorted(mine)
    assert (
        len([name for name in names if name.startswith("before-")]) == checkpointer.KEPT_ON_DISK[SaveKind.BEFORE_CHANGE]
    )
    assert len([name for name in names if name.startswith("final-")]) == 1


def test_automatic_checkpoints_are_saved_at_their_interval(tmp_path, monkeypatch):
    run_spec = spec(run={"checkpoint_interval": 1.0})
    record = RunRecord.create(tmp_path / "run", run_spec.description())
    with Driver(run_spec, record) as driver:
        first = driver.until(lambda item: isinstance(item, events.CheckpointSaved) and item.name.startswith("auto"))
        second = driver.until(lambda item: isinstance(item, events.CheckpointSaved) and item.step > first.step)
    assert first.step < second.step and second.name == f"auto-{second.step:08d}"


def test_a_redo_is_kept_in_the_record(tmp_path):
    run_spec = spec(steps=30)
    record = RunRecord.create(tmp_path / "run", run_spec.description())
    with Driver(run_spec, record, paused=True) as driver:

        def steps(count):
            since = len(driver.news)
            driver.run.send(SingleStep(count))
            driver.until_event(events.Paused, since=since)

        steps(10)
        driver.send(ChangeSettings((("*.weights.num_bits", 3),)))
        steps(5)
        driver.send(Undo())
        steps(7)
        driver.send(Redo())
        driver.send(Resume())
        assert driver.finish() == events.Finished(30)
    by_step = {}
    for item in driver.steps():
        by_step.setdefault(item.step, []).append(item.loss)
    on_disk = RunRecord.read(tmp_path / "run").steps()
    assert on_disk.steps.tolist() == list(range(1, 31))
    # Steps 11 to 15 were taken twice: first with the change, which redo restored.
    assert on_disk.loss[10:15].tolist() == [by_step[step][0] for step in range(11, 16)]
    assert by_step[11][0] != by_step[11][1]
    loss = driver.run.history.series("loss")
    assert loss.last_step.tolist() == list(range(1, 31))
    assert loss.mean.tolist() == np.float32(on_disk.loss).tolist()


def curve_data(history):
    """Return steps and values of some series, from which curves are drawn."""
    names = ("loss", "dense1.weights/scale", "accuracy.quantized")
    return {name: [history.series(name).last_step.tolist(), history.series(name).mean.tolist()] for name in names}


def test_restoring_a_checkpoint_restores_the_curves_of_its_branch(tmp_path):
    """Curves and evaluations are restored in the same run, in a resumed one, and on disk."""
    run_spec = spec()

    def take_steps(driver, count):
        since = len(driver.news)
        driver.run.send(SingleStep(count))
        driver.until_event(events.Paused, since=since)

    def evaluate(driver):
        since = len(driver.news)
        driver.send(Evaluate())
        driver.until_event(events.Evaluated, since=since)

    with Driver(run_spec, RunRecord.create(tmp_path / "run", run_spec.description()), paused=True) as driver:
        history = driver.run.history
        take_steps(driver, 10)
        driver.send(ChangeSettings((("*.weights.num_bits", 3),)))
        evaluate(driver)
        take_steps(driver, 5)
        evaluate(driver)
        driver.send(SaveCheckpoint("left"))
        driver.until(lambda item: isinstance(item, events.CheckpointSaved) and item.name == "left")
        curves = curve_data(history)
        assert curves["accuracy.quantized"][0] == [10, 15]
        driver.send(Undo())
        assert curve_data(history)["loss"][0] == list(range(1, 11))
        assert curve_data(history)["accuracy.quantized"][0] == [], "it was of the changed settings"
        take_steps(driver, 8)
        evaluate(driver)
        detour = curve_data(history)
        assert detour["loss"][0] == list(range(1, 19)) and detour["accuracy.quantized"][0] == [18]
        driver.send(RestoreCheckpoint("left"))
        assert curve_data(history) == curves
        take_steps(driver, 2)
        assert curve_data(history)["loss"][0] == list(range(1, 18))
        driver.send(Undo())
        assert curve_data(history) == detour
    record = RunRecord.open(tmp_path / "run")
    final = next(info.name for info in record.list_checkpoints() if info.reason.kind is SaveKind.END)
    state = RunState.from_checkpoint(final, *record.load_checkpoint(final), run_spec.plan)
    record.append_rewind(state.step, state.branch, position=state.position)
    with Driver(Run(spec(start=state), record), paused=True) as resumed:
        # The recorded data is read on a thread of its own, one branch after another.
        wait_until(lambda: curve_data(resumed.run.history) == detour, "the curves of the resumed branch")
        resumed.send(RestoreCheckpoint("left"))
        assert curve_data(resumed.run.history) == curves
    recorded = History({track: history.names(track) for track in (STEPS, ERRORS, SNAPSHOTS, EVALUATIONS)})
    refill(recorded, RunRecord.read(tmp_path / "run"))
    assert curve_data(recorded) == curves


def test_a_resumed_run_equals_an_uninterrupted_one(graphs, tmp_path):
    with Driver(spec(steps=40)) as whole:
        whole.finish()
        expected = graph_of(whole.run.spec, graphs).read_state()
    first = spec(steps=25)
    with Driver(first, RunRecord.create(tmp_path / "run", first.description())) as driver:
        driver.finish()
    record = RunRecord.open(tmp_path / "run")
    arrays, meta = record.load_checkpoint("final-00000025")
    moment = RunState.from_checkpoint("final-00000025", arrays, meta, first.plan)
    record.append_rewind(moment.step, moment.branch)
    with Driver(Run(spec(steps=40, start=moment), record)) as resumed:
        assert resumed.finish() == events.Finished(40)
        assert_same_arrays(graph_of(whole.run.spec, graphs).read_state(), expected)
    assert [r.loss for r in driver.steps() + resumed.steps()] == [r.loss for r in whole.steps()]
    assert RunRecord.read(tmp_path / "run").steps().loss.tolist() == [r.loss for r in whole.steps()]
    for name in ("loss", "dense1.weights/scale", "logits.activations/sqnr_db"):
        resumed_series, whole_series = (driver.run.history.series(name) for driver in (resumed, whole))
        np.testing.assert_array_equal(resumed_series.last_step, np.arange(1, 41))
        np.testing.assert_array_equal(resumed_series.mean, whole_series.mean)
    assert resumed.run.history.series("accuracy.float").last_step.tolist() == [25, 40]
    assert resumed.run.history.series("snapshot:dense1.weights/mse").last_step.tolist()[-2:] == [26, 40]
    assert 25 in resumed.run.history.series("snapshot:dense1.weights/mse").last_step


def test_reading_the_record_does_not_delay_the_first_step(monkeypatch, tmp_path):
    first = spec(steps=5)
    with Driver(first, RunRecord.create(tmp_path / "run", first.description())) as driver:
        driver.finish()
    record = RunRecord.open(tmp_path / "run")
    moment = RunState.from_checkpoint("final", *record.load_checkpoint("final-00000005"), first.plan)
    record.append_rewind(moment.step, moment.branch)
    read, go_on = record.iter_branch_steps, threading.Event()

    def slow(*arguments, **named):
        wait_for(go_on)
        return read(*arguments, **named)

    monkeypatch.setattr(record, "iter_branch_steps", slow)
    with Driver(Run(spec(start=moment), record)) as resumed:
        resumed.until_step(20)
        assert resumed.run.history.last_step("steps") is None
        go_on.set()
    steps = resumed.run.history.series("loss").last_step
    assert steps.tolist() == list(range(1, resumed.run.step + 1))


def test_a_damaged_record_is_reported_and_the_history_starts_empty(monkeypatch, tmp_path):
    first = spec(steps=5)
    with Driver(first, RunRecord.create(tmp_path / "run", first.description())) as driver:
        driver.finish()
    record = RunRecord.open(tmp_path / "run")
    moment = RunState.from_checkpoint("final", *record.load_checkpoint("final-00000005"), first.plan)
    record.append_rewind(moment.step, moment.branch)

    def damaged(*_, **__):
        raise RecordError("block 1 is damaged")

    monkeypatch.setattr(record, "iter_branch_steps", damaged)
    with Driver(Run(spec(start=moment), record)) as resumed:
        assert "block 1 is damaged" in resumed.until_event(events.RecordFailed).message
        resumed.until_step(20)
    assert resumed.run.history.series("loss").last_step[0] == 6
    assert len(resumed.events(events.RecordFailed)) == 1
