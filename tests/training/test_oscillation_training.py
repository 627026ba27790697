"""Tracking, dampening and freezing of oscillating weights in the graph of a run, against the reference in NumPy."""

from dataclasses import replace

import numpy as np
import pytest
from small_runs import convnet, mlp, spec
from training_cases import Driver, assert_same_arrays, graph_of

from qatviz.errors import RecordError
from qatviz.export.integers.lowering import integer_model
from qatviz.protocol import events
from qatviz.protocol.commands import (
    ChangeSettings,
    CorrectBias,
    EqualizeLayers,
    EvaluateSettings,
    SaveCheckpoint,
    SingleStep,
    Undo,
)
from qatviz.protocol.run_state import RunState
from qatviz.quant import affine, oscillation, ranges
from qatviz.quant.oscillation import FROZEN_LEVELS, NO_LEVEL, STATE, Tracking
from qatviz.settings import WEIGHTS
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.handle import Run
from qatviz.training.training_copy import STEADY, TRACK

#: Two bits and a high learning rate, so that weights oscillate soon.
UNSTEADY = {"num_bits": 2, "symmetric": True}
FREEZING = dict(UNSTEADY, freeze_threshold=0.009)
FAST = {"learning_rate": 0.3}


class Paused:
    """A paused run, its graph, and the levels of its weights in NumPy."""

    def __init__(self, driver, graphs):
        self.driver, self.plan, self.book = driver, driver.run.spec.plan, driver.run.spec.book
        self.graph = graph_of(driver.run.spec, graphs)
        self.leaders = [self.graph.layout.leaders[group] for group in self.graph.layout.weights]

    def change(self, *assignments):
        applied = self.driver.send(ChangeSettings(assignments))
        assert isinstance(applied, events.CommandApplied) and applied.changes, applied
        self.book, _ = self.book.change(assignments)

    def step(self, count=1):
        since, first = len(self.driver.news), self.driver.run.step
        self.driver.run.send(SingleStep(count))
        self.driver.until_event(events.Paused, since=since)
        return self.driver.until(lambda item: hasattr(item, "loss") and item.step == first + count, since)

    def split(self, flat):
        """Return the parts of an array of all weights by tensor."""
        counts = oscillation.sizes(self.leaders)
        parts = np.split(flat, np.cumsum(counts)[:-1])
        return {tensor.name: part.reshape(tensor.shape) for tensor, part in zip(self.leaders, parts)}

    def grid(self, name, state):
        s = self.book.of(name)
        x = state[name].reshape(-1, self.plan.tensor(name).num_channels if s.per_channel else 1)
        low, high = ranges.min_max_range(x)
        return affine.choose_grid(low, high, s.num_bits, s.symmetric, s.narrow_range, s.power_of_two)

    def levels(self, state):
        """Return the levels of all weights of a network without batch norm, int32 ``[N]``."""
        found = []
        for tensor in self.leaders:
            grid = self.grid(tensor.name, state)
            rows = state[tensor.name].reshape(-1, len(grid.scale))
            found.append((affine.quantize(rows, grid) - grid.zero_point).reshape(-1))
        levels, frozen = np.concatenate(found), state[FROZEN_LEVELS]
        return np.where(frozen == NO_LEVEL, levels, frozen).astype(np.int32)


@pytest.fixture
def paused(graphs):
    """Return a function that begins a run."""
    drivers = []

    def begin(network=None, **settings):
        driver = Driver(spec(network, **settings), paused=True)
        drivers.append(driver)
        driver.__enter__()
        return Paused(driver, graphs)

    yield begin
    for driver in drivers:
        driver.__exit__(None, None, None)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_each_step_equals_the_reference(paused, optimizer, per_channel):
    """The arrays of all weights, those that freeze, and the float weights of frozen ones, at each step."""
    run = paused(mlp(), optimizer=optimizer, run=FAST, weights=dict(FREEZING, per_channel=per_channel))
    assert run.graph._variant.parts == {TRACK, STEADY}
    most = 0
    for _ in range(40):
        before = run.graph.read_state()
        levels = run.levels(before)
        run.step()
        after = run.graph.read_state()
        expected = oscillation.tracked(Tracking(*(before[name] for name in STATE)), levels, np.float32(0.009))
        for name, array in zip(STATE, expected):
            assert after[name].dtype == array.dtype
            np.testing.assert_allclose(after[name], array, atol=1e-6, err_msg=name)
        for tensor, frozen in run.split(expected.frozen).items():
            scale = run.grid(tensor, before).scale
            values = (frozen.reshape(-1, run.plan.tensor(tensor).num_channels) * scale).reshape(frozen.shape)
            is_frozen = frozen != NO_LEVEL
            np.testing.assert_allclose(after[tensor][is_frozen], values[is_frozen], rtol=1e-6)
            assert (after[tensor][~is_frozen] != before[tensor][~is_frozen]).any()
        most = max(most, np.count_nonzero(expected.frozen != NO_LEVEL))
    assert most > 3


def test_levels_of_clipped_weights_are_those_of_edge_codes_in_a_ramp_of_the_strength(paused):
    """At a strength of 0, training uses the float weights: those beyond the grid count with its edge codes."""
    ramp = {"track_oscillation": True, "ramp_start": 10, "ramp_end": 20}
    clipping = {"narrow_range": False, "range_method": "percentile", "percentile": 50.0}
    run = paused(mlp(), run=ramp, weights=dict(UNSTEADY, **clipping))
    run.step()
    assert set(run.graph.read_state()["oscillation_level"]) == {-2, -1, 0, 1}


def test_levels_of_weights_that_are_rounded_stochastically_do_not_depend_on_the_strength(paused):
    """Most of them are rounded to the farther level at times: the mix with the float weight is nearer to the other."""
    ramp = {"track_oscillation": True, "ramp_start": 5, "ramp_end": 50}
    found = []
    for more in ({}, ramp):
        run = paused(mlp(), run={"track_oscillation": True, **more}, weights=dict(UNSTEADY, stochastic_rounding=True))
        if not found:
            before = run.graph.read_state()
        run.graph.write_state(before)
        run.graph.step(np.arange(8, dtype=np.int32), 6)
        found.append(run.graph.read_state()["oscillation_level"])
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("ramp", [{}, {"ramp_start": 1, "ramp_end": 40}])
def test_dampening_adds_its_gradient(paused, ramp):
    """With SGD, the weights of two runs differ by the learning rate times the gradient of the dampening term.

    While the strength of quantization is below 1, it is the same gradient.
    """
    plain = paused(mlp(), optimizer="sgd", run={"learning_rate": 0.01}, weights=UNSTEADY)
    before = plain.graph.read_state()
    plain.step()
    without = plain.graph.read_state()
    schedule = {"dampening_schedule": "linear", "oscillation_period": 8, **ramp}
    strength = dict(UNSTEADY, dampening=0.4)
    damped = paused(mlp(), optimizer="sgd", run=dict(schedule, learning_rate=0.01), weights=strength)
    for _ in range(3):
        damped.graph.write_state(before)
        indices = np.arange(8, dtype=np.int32)
        loss, _ = damped.graph.step(indices, 4)
        found = damped.graph.read_state()
        damped.graph.write_state(before)
        damped.change(("*.weights.dampening", 0.0))
        assert damped.graph.step(indices, 4)[0] == loss, "the loss that is reported is that of the network"
        without = damped.graph.read_state()
        damped.change(("*.weights.dampening", 0.4))
        for name in ("dense1.weights", "logits.weights"):
            grid = damped.grid(name, before)
            rows = before[name].reshape(-1, len(grid.scale))
            rounded = affine.fake_quant(rows, grid)
            clipped = np.clip(rows, grid.minimum, grid.maximum)
            gradient = oscillation.dampening_gradient(rows, rounded, clipped, 0.4 * 4 / 8)
            difference = (without[name] - found[name]) / np.float32(0.01)
            np.testing.assert_allclose(difference, gradient.reshape(difference.shape), atol=1e-4)
            assert np.abs(gradient).max() > 0.01
        before = found


def test_switching_on_and_off_creates_no_operation_and_acts_at_the_next_step(paused):
    run = paused(mlp(), run=FAST, weights=UNSTEADY)
    run.step(3)
    run.graph.complete()
    operations = len(run.graph._graph.get_operations())
    assert not set(STATE) & set(run.graph.read_state())
    run.change(("run.track_oscillation", True))
    run.step(20)
    tracked = run.graph.read_state()
    assert (tracked["oscillation_level"] != NO_LEVEL).all() and (tracked["oscillation_frequency"] > 0.005).any()
    run.change(("dense1.weights.freeze_threshold", 0.006))
    frozen = run.split(run.graph.read_state()[FROZEN_LEVELS])
    exceeds = run.split(tracked["oscillation_frequency"])["dense1.weights"] > 0.006
    np.testing.assert_array_equal(frozen["dense1.weights"] != NO_LEVEL, exceeds)
    assert exceeds.any() and (frozen["logits.weights"] == NO_LEVEL).all()
    run.step(2)
    run.change(("dense1.weights.freeze_threshold", 0.0), ("run.track_oscillation", False))
    run.step()
    assert not set(STATE) & set(run.graph.read_state()) and not run.graph._variant.parts
    for name, array in run.graph.read_oscillation().items():
        np.testing.assert_array_equal(array, oscillation.empty_state(len(array))[name])
    assert len(run.graph._graph.get_operations()) == operations


def test_a_weight_stays_on_its_code_while_the_scale_changes_and_other_bits_lift_it(paused):
    run = paused(convnet(), run=FAST, weights=FREEZING)
    run.step(30)
    before = run.graph.read_state()
    assert np.count_nonzero(before[FROZEN_LEVELS] != NO_LEVEL) > 3
    run.step(20)
    after = run.graph.read_state()
    is_frozen = before[FROZEN_LEVELS] != NO_LEVEL
    np.testing.assert_array_equal(after[FROZEN_LEVELS][is_frozen], before[FROZEN_LEVELS][is_frozen])
    np.testing.assert_array_equal(after["oscillation_level"][is_frozen], before[FROZEN_LEVELS][is_frozen])
    run.change(("conv.weights.num_bits", 3))
    lifted = run.split(run.graph.read_state()[FROZEN_LEVELS])
    assert (lifted["conv.weights"] == NO_LEVEL).all()
    others = run.split(after[FROZEN_LEVELS])
    np.testing.assert_array_equal(lifted["depthwise.weights"], others["depthwise.weights"])


@pytest.mark.parametrize(
    "command, lifted",
    [(EqualizeLayers(("conv",)), {"conv.weights", "depthwise.weights"}), (CorrectBias(batches=1), set())],
    ids=["equalization", "bias"],
)
def test_a_correction_forgets_only_the_levels_of_tensors_whose_weights_it_changes(paused, command, lifted):
    run = paused(convnet(), run=FAST, weights=FREEZING)
    run.step(30)
    before = run.graph.read_state()
    frozen = run.split(before[FROZEN_LEVELS])
    assert all((levels != NO_LEVEL).any() for levels in frozen.values()), "each tensor has something to forget"
    assert isinstance(run.driver.send(command), events.CommandApplied)
    after, empty = run.graph.read_state(), oscillation.empty_state(len(before[FROZEN_LEVELS]))
    for name in STATE:
        parts = [run.split(state[name]) for state in (before, empty, after)]
        for tensor in frozen:
            old, forgotten, found = (part[tensor] for part in parts)
            np.testing.assert_array_equal(found, forgotten if tensor in lifted else old, f"{name} of {tensor}")


def test_exported_codes_are_the_frozen_ones_and_those_of_the_evaluation(paused):
    run = paused(convnet(), run=FAST, weights=FREEZING, activations={"num_bits": 8})
    run.step(40)
    state = run.graph.read_state()
    model = integer_model(run.driver.run.spec.network, run.book, state, run.driver.run.step)
    run.graph.publish()
    histograms = {t.name: fetched for t, fetched in zip(run.plan.tensors, run.graph.snapshot())}
    checked = 0
    for op in model.ops:
        if op.weights is None:
            continue
        levels = run.split(state[FROZEN_LEVELS])[op.weights.name]
        is_frozen = levels != NO_LEVEL
        np.testing.assert_array_equal(op.weights.centred[is_frozen], levels[is_frozen])
        counts = np.bincount(op.weights.codes.reshape(-1).astype(int) + 2, minlength=4)
        np.testing.assert_array_equal(histograms[op.weights.name].code_counts[:4], counts)
        checked += np.count_nonzero(is_frozen)
    assert checked > 5


def test_undo_and_later_steps_are_bit_exact(paused, graphs):
    run = paused(mlp(), run=FAST, weights=FREEZING)
    run.step(20)
    before = run.graph.read_state()
    run.change(("*.weights.num_bits", 3), ("*.weights.dampening", 0.1))
    run.step(7)
    run.driver.send(Undo())
    assert_same_arrays(run.graph.read_state(), before)
    run.step(10)
    found = run.graph.read_state()
    whole = paused(mlp(), run=FAST, weights=FREEZING)
    whole.step(30)
    assert_same_arrays(whole.graph.read_state(), found)


def test_a_fork_continues_the_state_of_its_checkpoint(paused, graphs, tmp_path):
    start = spec(mlp(), run=FAST, weights=FREEZING)
    with RunRecord.create(tmp_path / "run", {}) as record, Driver(start, record, paused=True) as driver:
        run = Paused(driver, graphs)
        run.step(20)
        driver.send(SaveCheckpoint("here"))
        driver.until(lambda item: isinstance(item, events.CheckpointSaved) and item.name == "here")
        arrays, meta = record.load_checkpoint("here")
        run.step(10)
        expected = run.graph.read_state()
        run.graph.check_state("whole", arrays)
        with pytest.raises(RecordError, match="frozen_levels is nothing"):
            run.graph.check_state("odd", {name: array for name, array in arrays.items() if name != FROZEN_LEVELS})
    moment = RunState.from_checkpoint("here", arrays, meta, start.plan)
    with Driver(Run(replace(start, start=moment, steps=30))) as fork:
        assert isinstance(fork.finish(), events.Finished)
        assert_same_arrays(graph_of(fork.run.spec, graphs).read_state(), expected)


def test_snapshots_have_the_fractions_and_the_frozen_part_of_each_code(paused):
    run = paused(convnet(), run=FAST, weights=FREEZING)
    run.step(40)
    state = run.graph.read_state()
    run.graph.publish()
    tensors, found = run.graph.snapshot_with_oscillation()
    fetched = {tensor.name: own for tensor, own in zip(run.plan.tensors, tensors)}
    for index, tensor in enumerate(run.leaders):
        part = run.split(state["oscillation_frequency"])[tensor.name]
        assert found.oscillating[index] == pytest.approx((part > 0.005).mean())
        levels = run.split(state[FROZEN_LEVELS])[tensor.name]
        assert found.frozen[index] == pytest.approx((levels != NO_LEVEL).mean())
        counts = np.bincount(levels[levels != NO_LEVEL] + 2, minlength=256)
        np.testing.assert_array_equal(found.frozen_counts[index], counts)
        own = fetched[tensor.name]
        assert found.frozen_bins[index].sum() == counts.sum()
        assert (found.frozen_bins[index] <= own.quantized_counts).all()
        assert (counts <= own.code_counts).all()
    assert found.frozen.any()


def test_activations_have_no_such_settings(paused):
    run = paused(mlp())
    answer = run.driver.send(ChangeSettings((("*.activations.freeze_threshold", 0.1),)))
    assert isinstance(answer, events.CommandRejected) and WEIGHTS not in answer.message


def test_a_threshold_that_is_only_evaluated_freezes_nothing_afterwards(paused):
    run = paused(mlp(), run=dict(FAST, track_oscillation=True), weights=UNSTEADY)
    run.step(20)
    before, since = run.graph.read_state(), len(run.driver.news)
    trial = (("*.weights.freeze_threshold", 0.006),)
    run.driver.send(EvaluateSettings(()))
    run.driver.send(EvaluateSettings(trial))
    books = [run.book, run.book.change(trial)[0]]
    found = [run.driver.until(lambda item: getattr(item, "book", None) == book, since) for book in books]
    assert all(item.result is not None for item in found)
    assert_same_arrays(run.graph.read_state(), before)
