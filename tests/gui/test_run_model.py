"""The model of the run that the window shows."""

from dataclasses import replace

import numpy as np
import pytest
from tensorflow_needed import needs_tensorflow

from qatviz.errors import RunStateError
from qatviz.gui.model import run_model
from qatviz.protocol import events
from qatviz.protocol.commands import (
    ChangeSettings,
    Evaluate,
    Redo,
    RestoreCheckpoint,
    SaveCheckpoint,
    SetSteps,
    Stop,
    Undo,
)
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot, TensorValues, phase
from qatviz.protocol.timeline import LoggedEvent
from qatviz.session.tensorboard import tensorboard_job


def topics_of(model):
    heard = []
    model.changed.connect(heard.append)
    return heard


def test_a_run_is_shown_from_its_beginning_with_weights_selected(context, staged):
    heard = topics_of(context.model)
    staged(steps=5)
    assert heard[0] == run_model.RUN and {run_model.STEPS, run_model.SNAPSHOT} <= set(heard)
    assert context.model.current == "conv1.weights" and context.model.selected == ("conv1.weights",)
    assert context.model.last_step.step == 5


def test_each_topic_is_announced_once_for_many_updates(context, staged):
    run = staged()
    heard = topics_of(context.model)
    run.advance(20)
    context.model.process(run.drain())
    assert sorted(heard) == [run_model.SNAPSHOT, run_model.STEPS]


def test_start_settings_and_the_last_planned_total_are_known(context, staged):
    run = staged()
    run.description = {"steps": 500, "optimizer": "adam"}
    shown = run, run.network, run.book, "lenet"
    context.model.set_run(*shown)
    assert (context.model.total_steps, context.model.optimizer) == (500, "adam")
    planned = [LoggedEvent(event) for event in run.carry_out(SetSteps(900)) if isinstance(event, events.Event)]
    context.model.set_run(*shown, log=planned)
    assert context.model.total_steps == 900


def test_without_a_run_a_command_is_refused(context, staged):
    with pytest.raises(RunStateError, match="no run"):
        context.model.send(Evaluate())
    context.model.request_stop()
    run = staged()
    context.model.send(Evaluate())
    context.model.request_stop()
    assert run.sent == [Evaluate(), Stop()]


def test_settings_in_effect_are_those_of_the_events(context, staged):
    run = staged()
    run.send(ChangeSettings((("conv1.weights.num_bits", 3),)))
    assert context.model.settings_of("conv1.weights").num_bits == 8
    run.advance(1)
    context.model.process(run.drain())
    assert context.model.settings_of("conv1.weights").num_bits == 3
    assert context.model.applied_at["conv1.weights", "num_bits"] == 3


def test_measures_are_those_of_the_newest_snapshot(context, staged):
    run = staged()
    snapshot = context.model.snapshot
    for tensor in run.plan.tensors:
        for row, name in enumerate(SNAPSHOT_MEASURES):
            np.testing.assert_equal(
                context.model.measure(tensor.name, name), float(snapshot.values[row, run.plan.index(tensor.name)])
            )


def test_a_rewind_abandons_later_data(context, staged):
    run = staged(steps=2)
    run.advance(2).advance(2)
    context.model.process(run.carry_out(SaveCheckpoint("kept")))
    run.advance(2).advance(2)
    run.evaluate()
    context.model.process(run.drain())
    assert context.model.evaluation is not None
    context.model.process(run.carry_out(RestoreCheckpoint("kept")))
    assert max(s.step for s in context.model.snapshots) <= 6
    assert all(step.step <= 6 for step in context.model.recent_steps)
    assert context.model.evaluation is None
    survives = [logged.survives for logged in context.model.log if isinstance(logged.event, events.Evaluated)]
    assert survives == [False] and [logged.survives for logged in context.model.log][-2:] == [True, True]


def test_an_abandoned_branch_returns_when_it_is_restored(context, staged):
    run, model = staged(steps=2), context.model

    def answer(command, steps):
        run.send(command)
        run.advance(steps, snapshot=steps > 0)
        model.process(run.drain())

    run.advance(2).advance(2)
    answer(ChangeSettings((("conv1.weights.num_bits", 4),)), 2)
    run.advance(2)
    run.evaluate()
    model.process(run.drain())
    before = list(model.snapshots), model.evaluation
    answer(Undo(), 0)
    assert [s.step for s in model.snapshots] == [2, 4, 6] and model.evaluation is None
    answer(SaveCheckpoint(), 3)
    assert [s.step for s in model.snapshots] == [2, 4, 6, 9] and model.evaluation is None
    answer(Redo(), 0)
    assert (model.snapshots, model.evaluation) == before and model.step == 10
    assert [logged.event.kind for logged in model.log if logged.survives] == [
        "CommandApplied",  # the change
        "Evaluated",
        "CommandApplied",  # the redo
        "Restored",
    ]
    assert all(step.step <= 6 for step in model.recent_steps), "those of the branch that was left now are gone"


def test_an_abandoned_branch_can_be_restored_after_a_resume(context, staged):
    """Distributions over time return too: the record has the snapshots of all branches."""
    run, model, taken = staged(steps=2), context.model, list(context.model.snapshots)

    def answer(command, steps):
        run.send(command)
        run.advance(steps, snapshot=steps > 0)
        news = run.drain()
        taken.extend(item for item in news if isinstance(item, Snapshot))
        model.process(news)

    answer(SaveCheckpoint(), 2)
    answer(ChangeSettings((("conv1.weights.num_bits", 4),)), 2)
    answer(SaveCheckpoint("left"), 2)
    before = [snapshot.step for snapshot in model.snapshots]
    answer(Undo(), 0)
    answer(SaveCheckpoint(), 3)
    detour = list(model.snapshots)
    model.set_run(run, run.network, run.book, "resumed", log=list(model.log), snapshots=taken)
    assert model.snapshots == detour and model.snapshot is detour[-1]
    answer(Redo(), 0)
    assert [snapshot.step for snapshot in model.snapshots] == before
    assert all(snapshot in taken for snapshot in model.snapshots)


def test_only_the_newest_snapshot_of_a_step_is_kept(context, staged):
    run = staged(steps=2)
    run.advance(2)
    context.model.process(run.drain())
    steps = [snapshot.step for snapshot in context.model.snapshots]
    newest = replace(context.model.snapshot, seconds=99.0)
    context.model.process([newest])
    assert [snapshot.step for snapshot in context.model.snapshots] == steps
    assert context.model.snapshots[-1] is context.model.snapshot is newest


def test_snapshots_of_a_long_run_are_thinned_and_the_first_survives(context, staged):
    staged()
    first = context.model.snapshots[0]
    for step in range(10, 3000):
        context.model.process([replace(first, step=step)])
    steps = [s.step for s in context.model.snapshots]
    assert steps[0] == first.step and len(steps) <= run_model.SNAPSHOTS_KEPT
    assert steps[-1] > 2900 and np.diff(steps[1:]).max() <= 32
    assert {phase(step) for step in steps} == {phase(step) for step in range(3000)}, "any phase can be seen"


def test_selection_keeps_the_order_of_the_plan_and_a_current_tensor(context, staged):
    staged()
    heard = topics_of(context.model)
    context.model.select(["dense1.weights", "conv2.weights"])
    assert context.model.selected == ("conv2.weights", "dense1.weights") and context.model.current == "conv2.weights"
    context.model.select(["dense1.weights", "conv2.weights"], "dense1.weights")
    context.model.select(["dense1.weights", "conv2.weights"], "dense1.weights")
    assert context.model.current == "dense1.weights" and heard == [run_model.SELECTION] * 2


def test_steps_per_second_follow_the_newest_steps(context, staged):
    staged(steps=50)
    assert context.model.steps_per_second() == pytest.approx(100, rel=0.01)


def test_a_failure_is_kept_with_its_traceback(context, staged):
    run = staged()
    run.end(events.Failed(3, "ValueError: no", "Traceback: …"))
    context.model.process(run.drain())
    assert context.model.failure.traceback == "Traceback: …" and context.model.ended and context.model.state == "failed"


def test_another_run_starts_afresh(context, staged):
    assert context.model.tensors == () and context.model.state == ""
    staged("lenet", steps=9)
    staged("mlp", steps=1)
    assert context.model.last_step.step == 1 and len(context.model.snapshots) == 1
    assert {t.layer for t in context.model.tensors} >= {"dense1"}


def test_a_rewind_discards_later_tensor_values(context, staged):
    run = staged(steps=2)
    context.model.process(run.carry_out(SaveCheckpoint("kept")))
    for name, step in (("conv1.weights", 2), ("conv2.weights", 9)):
        context.model.process([TensorValues(step, name, np.zeros((1, 1), np.float32))])
    run.advance(8)
    context.model.process(run.carry_out(RestoreCheckpoint("kept")))
    assert list(context.model.values) == ["conv1.weights"]


@needs_tensorflow
def test_tensorboard_files_of_the_model_have_the_strength_of_a_ramp(context, staged, tmp_path):
    import tensorflow.compat.v1 as tf

    run = staged(steps=10)
    run.send(ChangeSettings((("run.ramp_start", 12), ("run.ramp_end", 32))))
    run.advance(30)
    context.model.process(run.drain())
    tensorboard_job(context.model, str(tmp_path / "board"))()
    (path,) = (tmp_path / "board").iterdir()
    found = {
        event.step: value.simple_value
        for event in tf.train.summary_iterator(str(path))
        for value in event.summary.value
        if value.tag == "strength"
    }
    expected = {step: run.book.run.strength_at(step - 1) if step > 10 else 1.0 for step in range(1, 41)}
    assert found == pytest.approx(expected)
