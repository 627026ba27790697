"""Failures of a run are reported as events, and the run continues if possible."""

import shutil
import threading
import types

import numpy as np
import pytest
from small_runs import convnet, spec
from training_cases import Driver, assert_answers, graph_of
from waiting import wait_for

from qatviz.errors import RecordError, RunStateError
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Dense
from qatviz.protocol import events
from qatviz.protocol.commands import (
    ChangeSettings,
    Pause,
    RestoreCheckpoint,
    Resume,
    SaveCheckpoint,
    SingleStep,
    TakeSnapshot,
    Undo,
)
from qatviz.protocol.reasons import NonFiniteValue, PauseReason, RecordPart, SaveKind, SaveReason
from qatviz.protocol.run_state import RunState
from qatviz.protocol.snapshots import Snapshot
from qatviz.telemetry import run_handle
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training import live_run, measuring, recovery, trainer
from qatviz.training.graph import NonFiniteLoss


def linear(shape=(6,), classes=3):
    """Return a network without ReLU, whose training can diverge."""
    net = NetworkBuilder("linear", shape)
    for name in ("first", "second"):
        net.add(Dense, name, units=8)
    net.add(Dense, "logits", units=classes)
    return net.network()


def diverging(preset):
    return spec(linear(), optimizer="sgd", preset=preset, run={"learning_rate": 100.0})


def is_finite(arrays):
    return all(np.isfinite(value).all() for value in arrays.values())


@pytest.mark.parametrize("first_s", [0.0, 3600.0])
def test_a_nonfinite_loss_pauses_until_the_learning_rate_is_lowered(graphs, monkeypatch, first_s):
    """A diverged state is not restored, even if every step is kept and the state is finite."""
    for name, value in (("FIRST_S", first_s), ("LONGEST_S", first_s), ("SHARE", 1.0)):
        monkeypatch.setattr(recovery, "LAST_GOOD_" + name, value)
    run_spec = diverging("float")
    with Driver(run_spec) as driver:
        bad, paused = driver.until_event(events.NonFinite), driver.until_event(events.Paused)
        assert bad.step > 0 and bad.what is NonFiniteValue.LOSS
        assert (paused.step, paused.reason) == (bad.restored_step, PauseReason.BAD_STEP)
        driver.until(lambda item: isinstance(item, Snapshot) and item.step == paused.step)
        assert driver.run.state == run_handle.PAUSED and driver.run.step == bad.restored_step
        assert is_finite(graph_of(run_spec, graphs).read_state())
        assert isinstance(driver.send(ChangeSettings((("run.learning_rate", 0.01),))), events.CommandApplied)
        assert isinstance(driver.send(Resume()), events.CommandApplied)
        driver.until_step(bad.restored_step + 100)
        assert driver.run.state == run_handle.RUNNING
        assert [record.loss for record in driver.steps()][-1] < 1.0


def test_resumed_without_a_change_the_run_diverges_and_pauses_again(graphs):
    with Driver(diverging("float")) as driver:
        first = driver.until_event(events.NonFinite)
        since = len(driver.news)
        driver.send(Resume())
        again = driver.until_event(events.NonFinite, since=since)
        assert (again.step, again.restored_step) == (first.step, first.restored_step)


def test_settings_are_kept_after_a_step_that_is_not_finite(graphs):
    with Driver(spec(linear(), optimizer="sgd", preset="float"), paused=True) as driver:
        driver.run.send(SingleStep(5))
        driver.until_event(events.Paused, since=len(driver.news))
        driver.until_step(5)
        driver.send(ChangeSettings((("run.learning_rate", 100.0),)))
        driver.send(Resume())
        bad = driver.until_event(events.NonFinite)
        assert bad.restored_step == 5
        (restored,) = driver.events(events.Restored)
        assert restored.changes == ()
        driver.send(ChangeSettings((("run.learning_rate", 0.01),)))
        driver.send(Resume())
        driver.until_step(bad.step + 20)


@pytest.mark.parametrize("bad_step, restored", [(40, 0), (60, 51), (140, 51), (160, 151), (340, 151), (360, 352)])
def test_a_run_that_diverges_early_loses_few_steps(graphs, monkeypatch, bad_step, restored):
    """With a clock that advances by 10 ms per step, states are kept after 0.5 s, 1.5 s, 3.5 s."""
    clock = types.SimpleNamespace(now=0.0)
    for module in (trainer, live_run, measuring, recovery):
        monkeypatch.setattr(module, "time", types.SimpleNamespace(perf_counter=lambda: clock.now))
    run_spec = spec()
    graph = graph_of(run_spec, graphs)
    real_step = graph.step

    def step(indices, number):
        if number == bad_step:
            raise NonFiniteLoss("it went wrong")
        clock.now += 0.01
        return real_step(indices, number)

    monkeypatch.setattr(graph, "step", step)
    with Driver(run_spec) as driver:
        bad = driver.until_event(events.NonFinite)
        assert bad.step == bad_step and abs(bad.restored_step - restored) <= 2


def test_weights_that_are_not_finite_are_detected_despite_a_finite_loss(graphs, monkeypatch):
    """A tensor of NaNs is quantized to zeros, so the loss stays finite."""
    monkeypatch.setattr(recovery, "LAST_GOOD_FIRST_S", 0.05)
    run_spec = spec()
    graph = graph_of(run_spec, graphs)
    real_step = graph.step

    def step(indices, number):
        result = real_step(indices, number)
        if number == 50:
            state = graph.read_state()
            state["logits.weights"][0, 0] = np.nan
            graph.write_state(state)
        return result

    monkeypatch.setattr(graph, "step", step)
    with Driver(run_spec) as driver:
        bad = driver.until_event(events.NonFinite)
        assert bad.restored_step <= 50 < bad.step
        driver.until_event(events.Paused)
        assert is_finite(graph.read_state())
        driver.send(Resume())
        driver.until(lambda item: isinstance(item, events.NonFinite) and item is not bad)  # step 50 is repeated


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("kind", [linear, convnet])
def test_snapshots_support_any_values(graphs, kind, value):
    run_spec = spec(kind(), optimizer="sgd")
    with Driver(run_spec, paused=True) as driver:
        graph = graph_of(run_spec, graphs)
        state = graph.read_state()
        for name, array in state.items():
            if name.endswith((".weights", "range_max", "moving_variance")):
                array.flat[0] = value
        graph.write_state(state)
        since = driver.news.index(driver.send(TakeSnapshot()))
        snapshot = driver.until(lambda item: isinstance(item, Snapshot), since=since)
        for tensor in run_spec.plan.tensors:
            histogram = snapshot.histograms[tensor.name]
            assert np.isfinite(histogram.edges).all() and (np.diff(histogram.edges) >= 0).all()
            assert histogram.edges[0] < histogram.edges[-1]
            assert histogram.float_counts.sum() == histogram.quantized_counts.sum() > 0


def test_a_failure_ends_the_run_with_an_event_and_its_traceback(graphs, monkeypatch, tmp_path):
    run_spec = spec()
    graph = graph_of(run_spec, graphs)
    real_step = graph.step

    def step(indices, number):
        if number == 7:
            raise MemoryError("no room for step 8")
        return real_step(indices, number)

    monkeypatch.setattr(graph, "step", step)
    record = RunRecord.create(tmp_path / "run", run_spec.description())
    with Driver(run_spec, record) as driver:
        failed = driver.finish()
        assert isinstance(failed, events.Failed)
        assert failed.step == 7 and failed.message == "there is not enough memory: no room for step 8"
        assert failed.explained
        assert "Traceback" in failed.traceback and "in step" in failed.traceback
        assert driver.run.state == run_handle.FAILED
        with pytest.raises(RunStateError):
            driver.run.send(Pause())
    assert [record_.step for record_ in driver.steps()] == list(range(1, 8))
    with RunRecord.open(tmp_path / "run") as again:  # it was closed: the lock is free
        assert again.events()[-1]["kind"] == "Failed" and again.events()[-1]["traceback"] == failed.traceback


def test_a_failure_while_building_is_an_event(monkeypatch):
    def broken(*_):
        raise OSError("no such device")

    monkeypatch.setattr(trainer, "TrainingGraph", broken)
    driver = Driver(spec())
    sequence = driver.run.send(Pause())
    with driver:
        failed = driver.finish()
        assert (failed.step, failed.message) == (0, "OSError: no such device")
        assert "run has ended" in driver.answer(sequence).message
        assert_answers(driver, [sequence])


@pytest.mark.parametrize(
    "damage, found",
    [
        (
            lambda state: dict(state, **{"dense1.bias": np.zeros(3, np.float32)}),
            "dense1.bias is float32 (3,), expected float32 (8,)",
        ),
        (
            lambda state: dict(state, **{"dense1.bias": np.zeros(8)}),
            "dense1.bias is float64 (8,), expected float32 (8,)",
        ),
        (
            lambda state: {name: value for name, value in state.items() if name != "dense1.bias"},
            "dense1.bias is nothing, expected float32 (8,)",
        ),
        (
            lambda state: dict(state, **{"conv9.bias": np.zeros(8, np.int32)}),
            "conv9.bias is int32 (8,), expected nothing",
        ),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_as_start(graphs, tmp_path, damage, found):
    run_spec = spec()
    state = damage(graph_of(run_spec, graphs).initial_state(run_spec.book.run))
    start = RunState(7, 1.0, run_spec.book, state, "foreign", SaveReason(SaveKind.REQUESTED))
    record = RunRecord.create(tmp_path / "run", run_spec.description())
    with Driver(spec(start=start), record) as driver:
        failed = driver.finish()
        assert (failed.step, failed.explained) == (7, True)
        assert failed.message.startswith("checkpoint foreign: " + found)
        assert "check_state" in failed.traceback and "tensorflow" not in failed.traceback
    assert driver.run.state == run_handle.FAILED


def test_pending_commands_are_answered_when_a_run_fails(graphs, monkeypatch):
    run_spec = spec()
    graph = graph_of(run_spec, graphs)
    driver = Driver(run_spec)
    entered, sent = threading.Event(), threading.Event()

    def step(indices, number):
        entered.set()
        wait_for(sent)
        raise ValueError("broken")

    monkeypatch.setattr(graph, "step", step)
    with driver:
        wait_for(entered)
        sequences = [driver.run.send(command) for command in (Pause(), Undo())]
        sent.set()
        assert isinstance(driver.finish(), events.Failed)
        assert_answers(driver, sequences)
        assert len(driver.events(events.CommandRejected)) == 2


def test_a_run_outlives_the_loss_of_its_directory(tmp_path):
    run_spec = spec(steps=None)
    record = RunRecord.create(tmp_path / "run", run_spec.description())
    with Driver(run_spec, record) as driver:
        driver.until_step(5)
        shutil.rmtree(str(tmp_path / "run"))
        failed = driver.until_event(events.RecordFailed)
        assert str(tmp_path) in failed.message and failed.part in (RecordPart.RECORD, RecordPart.CHECKPOINT)
        step = driver.run.step
        driver.until_step(step + 50)
        driver.send(ChangeSettings((("*.weights.num_bits", 4),)))
        assert isinstance(driver.send(Undo()), events.CommandApplied)
        driver.until_step(driver.run.step + 5)
        assert driver.run.state == run_handle.RUNNING
    assert driver.run.state == run_handle.STOPPED
    failures = [event.part for event in driver.events(events.RecordFailed)]
    assert failures.count(RecordPart.RECORD) == 1 and len(failures) < 10


def test_a_damaged_checkpoint_is_refused_and_the_run_continues(graphs, tmp_path):
    run_spec = spec()
    record = RunRecord.create(tmp_path / "run", run_spec.description())
    graph = graph_of(run_spec, graphs)
    with Driver(run_spec, record, paused=True) as driver:
        state = graph.read_state()
        meta = {"step": 3, "seconds": 1.0, "reason": "test", "settings": run_spec.book.to_dict()}
        record.save_checkpoint("whole", state, meta)
        record.save_checkpoint("other-shape", dict(state, **{"dense1.bias": np.zeros(3, np.float32)}), meta)
        record.save_checkpoint(
            "other-type", dict(state, **{"dense1.bias": state["dense1.bias"].astype(np.float64)}), meta
        )
        record.save_checkpoint("incomplete", {name: state[name] for name in list(state)[:3]}, meta)
        record.save_checkpoint("no-settings", state, {"step": 3, "reason": "test"})
        record.save_checkpoint("wrong-settings", state, dict(meta, settings={"run": {}, "quantizers": {}}))
        record.save_checkpoint("cut", state, meta)
        path = tmp_path / "run" / "checkpoints" / "cut.npz"
        path.write_bytes(path.read_bytes()[:200])
        for name in (
            "other-shape",
            "other-type",
            "incomplete",
            "no-settings",
            "wrong-settings",
            "cut",
            "missing",
            "../run",
            "",
        ):
            answer = driver.send(RestoreCheckpoint(name))
            assert isinstance(answer, events.CommandRejected), name
            assert answer.message
        assert driver.events(events.Restored) == []
        assert "dense1.bias is float32 (3,), expected float32 (8,)" in driver.events(events.CommandRejected)[0].message
        assert isinstance(driver.send(RestoreCheckpoint("whole")), events.CommandApplied)
        assert driver.run.step == 3
        driver.send(Resume())
        driver.until_step(8)


def test_a_failed_checkpoint_is_reported_and_the_state_stays_in_memory(tmp_path):
    run_spec = spec()
    record = RunRecord.create(tmp_path / "run", run_spec.description())
    with Driver(run_spec, record, paused=True) as driver:
        shutil.rmtree(str(tmp_path / "run"))
        assert isinstance(driver.send(SaveCheckpoint("kept")), events.CommandApplied)
        driver.until(lambda item: getattr(item, "part", None) is RecordPart.CHECKPOINT)
        assert isinstance(driver.send(RestoreCheckpoint("kept")), events.CommandApplied)


def test_without_a_record_missing_checkpoints_are_named():
    with Driver(spec()) as driver:
        driver.send(SaveCheckpoint("here"))
        assert "available: here" in driver.send(RestoreCheckpoint("there")).message


def test_a_failure_in_telemetry_is_reported_once_and_the_run_continues(monkeypatch, tmp_path):
    run_spec = spec()
    record = RunRecord.create(tmp_path / "run", run_spec.description())

    def broken(step_record):
        raise ValueError(f"step {step_record.step} does not fit")

    monkeypatch.setattr(record, "append_step", broken)
    with Driver(run_spec, record) as driver:
        failed = driver.until_event(events.RecordFailed)
        assert "does not fit" in failed.message and failed.part is RecordPart.TELEMETRY
        assert isinstance(driver.send(Pause()), events.CommandApplied)
        assert driver.run.state == run_handle.PAUSED
    assert len(driver.events(events.RecordFailed)) == 1


def test_a_record_that_cannot_be_closed_is_reported(monkeypatch, tmp_path):
    run_spec = spec(steps=1)
    record = RunRecord.create(tmp_path / "run", run_spec.description())
    close = record.close

    def stuck():
        close()
        raise RecordError("the disk does not answer")

    monkeypatch.setattr(record, "close", stuck)
    with Driver(run_spec, record) as driver:
        assert isinstance(driver.finish(), events.RecordFailed)
        assert driver.run.state == run_handle.FINISHED
        assert len(driver.events(events.Finished)) == 1


def test_a_run_whose_threads_cannot_start_has_failed_with_an_event(monkeypatch, tmp_path):
    """Threads need memory; a run that never ends would hang its readers."""
    run_spec = spec()
    for index, broken in enumerate(("qatviz-training", "qatviz-telemetry")):
        start = threading.Thread.start

        def limited(thread, name=broken, start=start):
            if thread.name == name:
                raise RuntimeError("can't start new thread")
            start(thread)

        record = RunRecord.create(tmp_path / str(index), run_spec.description())
        driver = Driver(run_spec, record)
        sequence = driver.run.send(Pause())
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", limited)
            driver.run.start()
            failed = driver.finish()
        assert failed.message == "there is not enough memory: can't start new thread" and failed.explained
        assert "run has ended" in driver.answer(sequence).message and driver.run.state == run_handle.FAILED
        with RunRecord.open(tmp_path / str(index)) as again:
            assert again.events()[-1]["kind"] == "Failed"


def test_a_run_does_not_finish_in_a_state_that_is_not_finite(graphs, monkeypatch):
    """It could be neither resumed nor exported; the checks while it trains are seconds apart."""
    run_spec = spec(steps=20)
    graph = graph_of(run_spec, graphs)
    real_step = graph.step

    def step(indices, number):
        result = real_step(indices, number)
        if number == 19:
            poison(graph)
        return result

    monkeypatch.setattr(graph, "step", step)
    with Driver(run_spec) as driver:
        bad = driver.until_event(events.NonFinite)
        driver.run.request_stop()
        driver.finish()
    assert (bad.step, bad.what) == (20, NonFiniteValue.STATE)
    assert driver.run.final.is_finite and driver.run.final.step == bad.restored_step < 20


def test_a_run_is_not_stopped_in_a_state_that_is_not_finite(graphs):
    run_spec = spec()
    with Driver(run_spec, paused=True) as driver:
        poison(graph_of(run_spec, graphs))
        driver.run.request_stop()
        assert isinstance(driver.finish(), events.Stopped)
    (bad,) = driver.events(events.NonFinite)
    assert bad.what is NonFiniteValue.STATE and driver.run.final.is_finite


def poison(graph):
    state = graph.read_state()
    state["logits.weights"][0, 0] = np.nan
    graph.write_state(state)
