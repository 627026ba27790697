"""After undo, redo, restore or fork, a run equals an unchanged one bit for bit."""

from dataclasses import replace

import numpy as np
import pytest
from small_runs import convnet, dataset, mlp, spec
from training_cases import Driver, assert_same_arrays, graph_of

from qatviz.protocol import events
from qatviz.protocol.commands import (
    ApplyPreset,
    ChangeSettings,
    Evaluate,
    Redo,
    RestoreCheckpoint,
    Resume,
    SaveCheckpoint,
    SetSteps,
    SingleStep,
    Undo,
)
from qatviz.protocol.reasons import RestoreReason
from qatviz.protocol.run_state import RunState
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.handle import Run

CHANGE_AT, UNDO_AT, END = 27, 45, 47

#: Settings that affect all state: ranges, statistics, slots, searched ranges.
CHANGES = {
    "bits": (("*.weights.num_bits", 3), ("*.activations.num_bits", 4)),
    "ranges": (("*.weights.range_method", "mse"), ("*.activations.ema_decay", 0.5), ("*.weights.per_channel", True)),
    "extremes": (("*.activations.range_method", "extremes"), ("*.weights.num_bits", 5)),
    "run": (("run.learning_rate", 0.3), ("run.momentum", 0.2), ("run.beta1", 0.5), ("run.freeze_batch_norm", True)),
    "regularized": (("run.weight_decay", 0.5), ("run.gradient_clip", 0.05), ("*.activations.range_method", "mse")),
    "schedule": (("run.lr_schedule", "cosine"), ("run.lr_period", 40), ("run.warmup_steps", 35)),
    "learned": (("*.range_method", "learned"), ("*.num_bits", 3)),
    "learned ranges": (("*.activations.range_method", "learned_range"), ("*.weights.power_of_two", True)),
    "learned clips": (("*.activations.range_method", "learned_clip"), ("run.clip_decay", 0.1)),
    "tanh": (("*.weights.weight_map", "tanh"), ("*.weights.num_bits", 4)),
    "ternary": (("*.weights.weight_map", "ternary"), ("*.weights.per_channel", True)),
    "binary": (("*.weights.num_bits", 1),),
    "stochastic": (("*.weights.stochastic_rounding", True), ("*.weights.num_bits", 4)),
    "ewgs": (("*.gradient_scaling", 5.0), ("*.num_bits", 3)),
    "ramp": (("run.ramp_start", 20), ("run.ramp_end", 60), ("*.num_bits", 3)),
    "distillation": (("run.teacher", "start"), ("run.distillation_weight", 0.8), ("run.single_convolution", True)),
    "delay": (("*.quant_delay", 40),),
    "frozen": (("run.freeze_ranges", True), ("*.enabled", False)),
}
NETWORKS = {"mlp": mlp, "convnet": convnet}


def paused_at(driver, step):
    """Advance a paused run to a step, and wait until it is paused there."""
    since = len(driver.news)
    driver.run.send(SingleStep(step - driver.run.step))
    event = driver.until_event(events.Paused, since=since)
    assert event.step == step


def losses(driver, first=0):
    """Return the losses of the steps after ``first``, the last one if a step was repeated."""
    return {record.step: record.loss for record in driver.steps() if record.step > first}


def train(run_spec, graphs, script):
    """Run a script of (step, command) until END with pauses; return losses by step, and the last state."""
    with Driver(run_spec, paused=True) as driver:
        for step, command in script:
            if step > driver.run.step:
                paused_at(driver, step)
            assert driver.run.step == step
            answer = driver.send(command)
            assert isinstance(answer, events.CommandApplied), answer
        paused_at(driver, END)
        return losses(driver), graph_of(run_spec, graphs).read_state(), driver


@pytest.fixture(scope="module")
def never_changed():
    """Return the results of runs without changes, by network, optimizer and settings."""
    return {}


def reference(never_changed, graphs, network, optimizer, **settings):
    key = (network, optimizer, repr(settings))
    if key not in never_changed:
        never_changed[key] = train(spec(NETWORKS[network](), optimizer=optimizer, **settings), graphs, [])[:2]
    return never_changed[key]


@pytest.mark.parametrize("change", sorted(CHANGES))
@pytest.mark.parametrize("network, optimizer", [("mlp", "adam"), ("convnet", "momentum")])
def test_after_undo_the_run_equals_one_without_the_change(never_changed, graphs, network, optimizer, change):
    expected_losses, expected_state = reference(never_changed, graphs, network, optimizer)
    script = [(CHANGE_AT, ChangeSettings(CHANGES[change])), (UNDO_AT, Undo())]
    changed, state, driver = train(spec(NETWORKS[network](), optimizer=optimizer), graphs, script)
    assert END - CHANGE_AT == 20
    assert changed == expected_losses
    assert_same_arrays(state, expected_state)
    detour = {r.step: r.loss for r in driver.steps()[:UNDO_AT] if r.step > CHANGE_AT}
    assert detour != {step: expected_losses[step] for step in detour}, "the change made no difference"


def test_the_event_of_an_undo_has_steps_and_changed_settings(graphs):
    _, _, driver = train(spec(), graphs, [(5, ChangeSettings(CHANGES["bits"])), (8, Undo())])
    (restored,) = driver.events(events.Restored)
    assert (restored.step, restored.from_step, restored.reason) == (5, 8, RestoreReason.UNDO)
    assert [(c.setting, c.old, c.new) for c in restored.changes] == [
        (c.setting, c.new, c.old) for c in driver.events(events.CommandApplied)[2].changes
    ]


def test_redo_restores_the_state_before_undo(graphs):
    changed = train(spec(), graphs, [(10, ChangeSettings(CHANGES["bits"]))])
    redone = train(spec(), graphs, [(10, ChangeSettings(CHANGES["bits"])), (20, Undo()), (14, Redo())])
    assert {step: loss for step, loss in redone[0].items() if step > 20} == {
        step: loss for step, loss in changed[0].items() if step > 20
    }
    assert_same_arrays(redone[1], changed[1])


def test_undo_reverts_one_change_at_a_time_and_a_new_change_clears_redo(never_changed, graphs):
    script = [(5, ChangeSettings(CHANGES["bits"])), (10, ApplyPreset("int4")), (15, Undo()), (12, Undo())]
    many = train(spec(), graphs, script)
    expected = reference(never_changed, graphs, "mlp", "adam")
    assert many[0] == expected[0]
    assert_same_arrays(many[1], expected[1])
    with Driver(spec(), paused=True) as driver:
        assert "nothing to undo" in driver.send(Undo()).message
        driver.send(ChangeSettings(CHANGES["bits"]))
        driver.send(Undo())
        driver.send(ChangeSettings(CHANGES["frozen"]))
        assert "nothing to redo" in driver.send(Redo()).message


def test_restoring_a_checkpoint_can_be_undone(never_changed, graphs):
    expected = reference(never_changed, graphs, "mlp", "adam")
    script = [(10, SaveCheckpoint("mine")), (12, ChangeSettings(CHANGES["run"])), (30, RestoreCheckpoint("mine"))]
    restored = train(spec(), graphs, script)
    assert restored[0] == expected[0]
    assert_same_arrays(restored[1], expected[1])
    undone = train(spec(), graphs, [(10, SaveCheckpoint("mine")), (20, RestoreCheckpoint("mine")), (15, Undo())])
    assert undone[0] == expected[0]
    assert_same_arrays(undone[1], expected[1])


def test_undo_restores_a_quantization_delay_that_had_passed(never_changed, graphs):
    settings = {"weights": {"quant_delay": 30}, "activations": {"quant_delay": 33}}
    expected = reference(never_changed, graphs, "mlp", "adam", **settings)
    losses_, state, driver = train(spec(**settings), graphs, [(25, ChangeSettings(CHANGES["run"])), (35, Undo())])
    assert losses_ == expected[0]
    assert_same_arrays(state, expected[1])
    activated = driver.events(events.SettingsActivated)
    assert [event.step for event in activated] == [30, 33, 30, 33]
    assert activated[0].tensors == ("dense1.weights", "logits.weights")
    assert activated[1].tensors == ("input.activations", "dense1.activations", "logits.activations")


def test_a_schedule_takes_effect_at_its_steps_also_after_an_undo(graphs):
    schedule = ((10, ChangeSettings((("*.weights.num_bits", 4),))), (30, ChangeSettings((("*.weights.num_bits", 2),))))
    with_schedule = train(spec(schedule=schedule), graphs, [])
    by_hand = train(spec(), graphs, list(schedule))
    assert with_schedule[0] == by_hand[0]
    assert_same_arrays(with_schedule[1], by_hand[1])
    applied = [event for event in with_schedule[2].events(events.CommandApplied) if event.changes]
    planned = [item.id for item in with_schedule[2].run.spec.schedule]
    assert [(event.step, event.id) for event in applied] == [(10, planned[0]), (30, planned[1])]
    undone = train(spec(schedule=schedule), graphs, [(5, SaveCheckpoint("early")), (15, RestoreCheckpoint("early"))])
    assert undone[0] == with_schedule[0]
    assert_same_arrays(undone[1], with_schedule[1])
    planned = {item.id for item in undone[2].run.spec.schedule}
    applied = [event.step for event in undone[2].events(events.CommandApplied) if event.id in planned]
    assert applied == [10, 10, 30]


def test_an_undone_scheduled_change_is_not_applied_again(graphs):
    schedule = ((10, ChangeSettings((("*.weights.num_bits", 4),))),)
    _, _, driver = train(spec(schedule=schedule), graphs, [(20, Undo())])
    planned = {item.id for item in driver.run.spec.schedule}
    assert [e.step for e in driver.events(events.CommandApplied) if e.id in planned] == [10]


def test_a_fork_continues_like_its_source(never_changed, graphs, tmp_path):
    expected = reference(never_changed, graphs, "mlp", "adam")
    with RunRecord.create(tmp_path / "first", {}) as record, Driver(spec(), record, paused=True) as driver:
        paused_at(driver, 20)
        driver.send(SaveCheckpoint("fork-here"))
        driver.until(lambda item: isinstance(item, events.CheckpointSaved) and item.name == "fork-here")
        arrays, meta = record.load_checkpoint("fork-here")
        moment = RunState.from_checkpoint("fork-here", arrays, meta, driver.run.spec.plan)
    fork = Driver(Run(replace(driver.run.spec, start=moment, steps=END)))
    assert fork.run.step == 20
    with fork:
        assert isinstance(fork.finish(), events.Finished)
        assert_same_arrays(graph_of(fork.run.spec, graphs).read_state(), expected[1])
    assert losses(fork) == {step: loss for step, loss in expected[0].items() if step > 20}


def test_the_number_of_steps_can_be_raised_and_lowered(graphs):
    with Driver(spec(steps=10), paused=True) as driver:
        assert isinstance(driver.send(SetSteps(-1)), events.CommandRejected)
        assert isinstance(driver.send(SetSteps(2.5)), events.CommandRejected)
        driver.send(SetSteps(7))
        driver.send(Resume())
        assert driver.finish() == events.Finished(7)
    assert driver.events(events.Planned) == [events.Planned(0, 7)]  # for a resumed run
    assert [record.step for record in driver.steps()] == list(range(1, 8))


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "3", None])
def test_single_steps_must_be_integers(count):
    with Driver(spec()) as driver:
        assert isinstance(driver.send(SingleStep(count)), events.CommandRejected)


def test_curves_show_the_newest_evaluation_of_a_paused_run():
    run_spec = spec(data=dataset(test=150))
    with Driver(run_spec, paused=True) as driver:
        paused_at(driver, 20)
        scores, found = [], []

        def evaluate():
            read = len(driver.news)
            driver.send(Evaluate())
            found.append(driver.until_event(events.Evaluated, since=read))
            return found[-1].scores["quantized"]

        for bits in (8, 2):
            driver.send(ChangeSettings((("*.num_bits", bits),)))
            scores.append(evaluate())
            curve = driver.run.history.series("accuracy.quantized")
            assert curve.last_step[-1] == 20 and curve.mean[-1] == np.float32(scores[-1])
        assert scores[0] != scores[1], "the test can't tell them apart"
        change = [event for event in driver.events(events.CommandApplied) if event.changes][-1]
        assert found[0].position <= change.position < found[1].position, "their order, however late a result comes"
        driver.send(Undo())
        driver.until_event(events.Restored)
        assert evaluate() == scores[0]
        curve = driver.run.history.series("accuracy.quantized")
        assert curve.last_step.tolist().count(20) == 1 and curve.mean[-1] == np.float32(scores[0])
