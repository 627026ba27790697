"""The ghost is the grid that the run uses once the edit has been applied."""

import itertools
import weakref

import numpy as np
import pytest
from processor_time import least_s

from qatviz.analysis import pending
from qatviz.gui.model import ghost as ghosts
from qatviz.gui.model.edits import HOLD
from qatviz.gui.model.ghost import ghost_of
from qatviz.gui.model.run_model import RunModel
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Concat, Dense
from qatviz.protocol.commands import ChangeSettings, InspectTensor
from qatviz.protocol.snapshots import TensorValues
from qatviz.quant.measures import measure
from qatviz.quant.ranges import mse_range
from qatviz.settings import LEARNED_METHODS

NAME, OUTPUT = "conv1.weights", "logits.activations"


@pytest.fixture
def held_run(context, staged):
    """A staged run in hold mode; ``held.advance`` as the run's, with its messages processed."""
    run = staged(steps=2)
    context.edits.set_mode(HOLD)
    return run


def ghost(context, name=NAME):
    return ghost_of(context.model, context.edits, name)


def inspect(context, run, name=NAME):
    context.model.run.send(InspectTensor(name))
    run.advance(0)
    context.model.process(run.drain())


def test_there_is_no_ghost_without_a_run_or_pending_edits(context, held_run):
    assert ghost(context) is None
    assert ghost_of(RunModel(), context.edits, NAME) is None


def test_only_edited_tensors_have_a_ghost(context, held_run):
    context.edits.edit([NAME], "num_bits", 4)
    assert ghost(context) is not None and ghost(context, "conv2.weights") is None
    context.edits.discard()
    assert ghost(context) is None


@pytest.mark.parametrize(
    "edits",
    [
        {"num_bits": 2},
        {"num_bits": 16},
        {"symmetric": False},
        {"narrow_range": False, "num_bits": 3},
        {"per_channel": False},
        {"per_channel": True, "power_of_two": True},
    ],
)
@pytest.mark.parametrize("preset", ["tflite-int8", "uint8-affine"])
@pytest.mark.parametrize("known", [False, True])
def test_the_ghost_equals_the_range_that_the_run_adopts(context, staged, edits, known, preset):
    run = staged(preset=preset)
    context.edits.set_mode(HOLD)
    if known:
        inspect(context, run)
    for setting, value in edits.items():
        context.edits.edit([NAME], setting, value)
    seen = ghost(context)
    if seen is None:
        assert all(context.edits.value(NAME, s) == v and not context.edits.pending for s, v in edits.items())
        return
    context.edits.apply()
    run.advance(0)
    context.model.process(run.drain())
    assert context.edits.pending == {} and ghost(context) is None
    np.testing.assert_allclose(
        [seen.low, seen.high, seen.scale],
        [context.model.measure(NAME, m) for m in ("range_min", "range_max", "scale")],
        rtol=1e-5,
    )
    assert seen.approximate is not known
    if known:
        for name in ("mse", "clipped", "flushed", "used_codes", "sqnr_db"):
            assert getattr(seen.measures, name) == pytest.approx(context.model.measure(NAME, name), rel=1e-4), name
    else:
        assert seen.measures.sqnr_db == pytest.approx(context.model.measure(NAME, "sqnr_db"), abs=5.0)  # dB
    assert seen.size == context.model.settings_of(NAME).num_bits * context.model.plan.tensor(NAME).parameters / 8


def test_switching_off_leaves_no_grid_and_no_error(context, held_run):
    context.edits.edit([NAME], "enabled", False)
    seen = ghost(context)
    assert not seen.active and seen.grid is None and np.isnan([seen.low, seen.high, seen.scale]).all()
    assert seen.measures.mse == 0 and seen.measures.sqnr_db == np.inf
    assert seen.size == 4 * context.model.plan.tensor(NAME).parameters


def test_a_delay_that_is_not_over_counts_as_off(context, held_run):
    context.edits.edit([NAME], "quant_delay", 10**6)
    assert not ghost(context).active


def test_settings_without_effect_on_the_grid_have_no_ghost(context, held_run):
    context.edits.edit(["input.activations"], "ema_decay", 0.5)
    context.edits.edit([NAME], "percentile", 70.0)
    context.edits.edit([NAME], "quant_delay", 1)
    assert ghost(context) is None and ghost(context, "input.activations") is None


def test_activations_keep_their_present_range(context, held_run):
    low, high = [context.model.measure("input.activations", m) for m in ("range_min", "range_max")]
    context.edits.edit(["input.activations"], "num_bits", 4)
    seen = ghost(context, "input.activations")
    assert [seen.low, seen.high] == pytest.approx([low, high], abs=seen.scale / 2 + 1e-6)


@pytest.mark.parametrize("method", LEARNED_METHODS)
@pytest.mark.parametrize("change, starts_anew", [({"num_bits": 3}, True), ({"gradient_scaling": 0.1}, False)])
def test_a_learned_range_starts_anew_on_another_grid_only(context, staged, method, change, starts_anew):
    run = staged()
    run.send(ChangeSettings(((f"{OUTPUT}.range_method", method), (f"{OUTPUT}.num_bits", 4))))
    run.advance()
    context.model.process(run.drain())
    context.edits.set_mode(HOLD)
    values = few_values(context, OUTPUT, 20000)
    present = context.model.measure(OUTPUT, "range_max")
    for setting, value in change.items():
        context.edits.edit([OUTPUT], setting, value)
    seen = ghost(context, OUTPUT)
    if not starts_anew:
        assert seen is None, "the range and the grid stay as they are"
        return
    low, high = mse_range(values, 3, False, False)
    assert [seen.low, seen.high] == pytest.approx([low[0], high[0]], rel=1e-4) and abs(seen.high - present) > 0.1


def test_frozen_weights_keep_their_present_range(context, held_run):
    inspect(context, held_run)
    values = context.model.values[NAME].values
    context.edits.edit([NAME], "per_channel", False)
    context.edits.edit([NAME], "range_method", "frozen")
    assert ghost(context).grid.scale == pytest.approx(np.abs(values).max() / 127)


def test_a_percentile_is_computed_from_the_values(context, held_run):
    inspect(context, held_run)
    context.edits.edit([NAME], "range_method", "percentile")
    context.edits.edit([NAME], "percentile", 80.0)
    context.edits.edit([NAME], "per_channel", False)
    seen = ghost(context)
    assert not seen.approximate and seen.measures.clipped > 0.05
    values = context.model.values[NAME].values
    assert seen.measures.clipped == pytest.approx(measure(values, seen.grid).clipped)


def test_values_that_are_too_old_are_not_used(context, held_run, monkeypatch):
    monkeypatch.setattr(ghosts, "MAX_VALUES_AGE_S", 0.1)  # ten steps of a staged run
    inspect(context, held_run)
    held_run.advance(3)
    context.model.process(held_run.drain())
    context.edits.edit([NAME], "num_bits", 3)
    assert not ghost(context).approximate and ghost(context).step == 2
    held_run.advance(10, snapshot=False).advance(1)
    context.model.process(held_run.drain())
    assert ghost(context).approximate and ghost(context).step == context.model.snapshot.step


def test_the_ghost_is_recomputed_only_after_a_change(context, held_run):
    context.edits.edit([NAME], "num_bits", 3)
    first = ghost(context)
    assert ghost(context) is first
    context.edits.edit([NAME], "num_bits", 4)
    second = ghost(context)
    assert second is not first and second.scale < first.scale
    held_run.advance(1)
    context.model.process(held_run.drain())
    assert ghost(context) is not second


def test_the_ghost_is_released_when_nothing_is_pending(context, held_run):
    inspect(context, held_run)
    context.edits.edit([NAME], "num_bits", 3)
    remembered = weakref.ref(ghost(context))
    context.edits.discard()
    assert ghost(context) is None and remembered() is None


def test_a_million_weights_take_less_than_fifty_milliseconds(context, staged):
    staged("mlp")
    context.edits.set_mode(HOLD)
    random = np.random.RandomState(0)
    name = "dense1.weights"
    tensor = context.model.plan.tensor(name)
    rows = 10**6 // tensor.num_channels
    values = random.randn(rows, tensor.num_channels).astype(np.float32)
    context.model.process([TensorValues(context.model.snapshot.step, name, values)])
    bits = itertools.cycle((2, 3, 4, 5, 6, 7, 9))  # another setting each time: a ghost is computed once

    def compute():
        num_bits = next(bits)
        context.edits.edit([name], "num_bits", num_bits)
        assert ghost(context, name).measures.used_codes <= 2**num_bits

    assert least_s(compute, 7) < 0.050
    assert rows * tensor.num_channels > pending.BLOCK_VALUES


def test_applied_settings_have_a_ghost_until_a_snapshot_measures_them(context, staged):
    run = staged()
    context.edits.edit([NAME], "num_bits", 3)
    context.edits.apply()
    run.advance(snapshot=False)
    context.model.process(run.drain())
    assert not context.edits.pending and context.model.settings_of(NAME).num_bits == 3
    ghost = ghost_of(context.model, context.edits, NAME)
    assert ghost.settings.num_bits == 3 and ghost_of(context.model, context.edits, "dense1.weights") is None
    run.advance()
    context.model.process(run.drain())
    assert ghost_of(context.model, context.edits, NAME) is None


def few_values(context, name, count=32, seed=0):
    """Give the model ``count`` of many values of an activation, and return all."""
    everything = np.random.RandomState(seed).standard_normal([20000, 1]).astype(np.float32)
    context.model.process([TensorValues(context.model.snapshot.step, name, everything[:count])])
    return everything


def test_the_sqnr_of_a_range_that_few_values_do_not_determine_is_an_estimate_with_its_error(context, held_run):
    everything = few_values(context, OUTPUT)
    context.edits.edit([OUTPUT], "range_method", "mse")
    context.edits.edit([OUTPUT], "num_bits", 4)
    seen = ghost(context, OUTPUT)
    found = pending.pending_grid(seen.tensor, seen.settings, (np.zeros(1), np.zeros(1)), everything)
    in_the_run, promised = measure(everything, found).sqnr_db, measure(everything[:32], seen.grid).sqnr_db
    assert promised > in_the_run + 2
    assert seen.sqnr_db_error > 0 and abs(seen.measures.sqnr_db - in_the_run) < 2 * seen.sqnr_db_error
    text = seen.quantity("sqnr_db", seen.measures.sqnr_db).text
    assert text.startswith(f"≈ {seen.measures.sqnr_db:.1f} dB ± ")
    assert seen.quantity("size", seen.size).text == f"{seen.size:.0f} B"


def test_the_sqnr_on_the_range_in_effect_is_that_of_the_values(context, held_run):
    everything = few_values(context, OUTPUT)
    context.edits.edit([OUTPUT], "num_bits", 4)
    seen = ghost(context, OUTPUT)
    assert seen.sqnr_db_error == 0
    assert seen.measures.sqnr_db == pytest.approx(measure(everything[:32], seen.grid).sqnr_db)


def test_a_range_is_found_in_the_values_of_all_tensors_that_share_the_grid(context, staged):
    net = NetworkBuilder("branches", (6,))
    first, second = [net.add(Dense, name, ("input",), units=4) for name in ("first", "second")]
    net.add(Concat, "both", (first, second))
    staged(net.network())
    context.edits.set_mode(HOLD)
    small, wide = "first.activations", "second.activations"
    assert context.model.plan.tensor(small).group == context.model.plan.tensor(wide).group
    values = 0.01 * few_values(context, small, 6000)[:6000]
    context.model.process([TensorValues(context.model.snapshot.step, small, values)])
    context.edits.edit([small], "range_method", "mse")
    histogram = context.model.snapshot.histograms[wide]
    assert ghost(context, small).high > 0.5 * float(histogram.channel_max.max()) > 2 * values.max()
