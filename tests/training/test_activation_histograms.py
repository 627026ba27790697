"""Ranges of activations found in running histograms: live, in checkpoints, and at no cost where none is used."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from small_runs import dataset, mlp, spec
from test_live_settings import Stepper, plain
from test_run_undo import END, assert_same_arrays, losses, train
from training_cases import Driver, graph_of

from qatviz.data import BatchSchedule, from_arrays
from qatviz.errors import RecordError
from qatviz.protocol import events
from qatviz.protocol.branches import BranchCursor
from qatviz.protocol.commands import ChangeSettings, SaveCheckpoint, Undo
from qatviz.protocol.run_state import RunState
from qatviz.quant.histogram_ranges import histogram_of, range_in
from qatviz.quant.live_state import HISTOGRAMS, RANGES
from qatviz.settings import HISTOGRAM_METHODS, KL, MSE, PERCENTILE
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.handle import Run
from qatviz.training.live_run import CALIBRATION_BATCHES, LiveRun
from qatviz.training.range_policy import SEARCH_INTERVAL
from qatviz.training.training_copy import COLLECT


def inputs(run_spec, first, last):
    """Return the values of the network's input in the batches of some steps."""
    schedule = BatchSchedule(len(run_spec.dataset.x_train), run_spec.batch_size, run_spec.seed)
    batches = [run_spec.dataset.x_train[schedule.indices(step)] for step in range(first, last)]
    return np.concatenate(batches).astype(np.float32) * np.float32(run_spec.dataset.pixel_scale)


@pytest.mark.parametrize("method", HISTOGRAM_METHODS)
def test_a_method_chosen_live_uses_the_last_batches_then_every_batch(graphs, method):
    """The input's range is that of the collected values, found at the change and every SEARCH_INTERVAL steps."""
    with Driver(spec(plain(), optimizer="momentum", activations={"ema_decay": 0.999999}), paused=True) as driver:
        stepper = Stepper(driver, graphs)
        stepper.step(10)
        assert not set(HISTOGRAMS) & set(stepper.graph.read_state())
        stepper.change(("*.activations.range_method", method), ("*.activations.percentile", 90.0))
        rank = 0  # the input is the first tensor

        def expect(first, last):
            state = stepper.graph.read_state()
            seen = histogram_of(inputs(driver.run.spec, first, last))
            bins = len(seen.counts)
            # A tensor that could be negative has half as many bins on this side of 0.
            width = state["histogram_bound"][rank] / (bins - stepper.graph.layout.zero_bins[rank])
            low, high = range_in(seen, stepper.book.of("input.activations"))
            tolerance = 2 * width + (0.05 * (high - low) if method != PERCENTILE else 0)
            assert abs(state["range_min"][rank] - low) < tolerance and abs(state["range_max"][rank] - high) < tolerance
            total = state["histogram"][rank].sum() + state["histogram_zeros"][rank]
            return total / inputs(driver.run.spec, 0, 1).size

        assert expect(10 - CALIBRATION_BATCHES, 10) == pytest.approx(CALIBRATION_BATCHES, rel=1e-3)
        stepper.assert_next_step_uses_the_settings()
        before = stepper.graph.read_state()["range_max"].copy()
        stepper.step(SEARCH_INTERVAL - 11)
        np.testing.assert_array_equal(stepper.graph.read_state()["range_max"], before)
        stepper.step(1)
        state = stepper.graph.read_state()
        total = state["histogram"][rank].sum() + state["histogram_zeros"][rank]
        assert total / inputs(driver.run.spec, 0, 1).size == pytest.approx(CALIBRATION_BATCHES + 11, rel=1e-3)
        assert (state["range_max"] != before).any()
        stepper.assert_next_step_uses_the_settings()
        stepper.change(("*.activations.range_method", "moving_average"))
        assert not set(HISTOGRAMS) & set(stepper.graph.read_state()), "they are in use no more"
        assert not any(stepper.graph.read_histograms()[name].any() for name in HISTOGRAMS)


def test_frozen_ranges_collect_nothing_until_they_are_not(graphs):
    with Driver(spec(plain(), optimizer="momentum"), paused=True) as driver:
        stepper = Stepper(driver, graphs)
        stepper.step(3)
        before = stepper.graph.read_state()["range_max"].copy()
        stepper.change(("run.freeze_ranges", True))
        stepper.change(("*.activations.range_method", PERCENTILE), ("*.activations.percentile", 70.0))
        stepper.step(20)
        state = stepper.graph.read_state()
        np.testing.assert_array_equal(state["range_max"], before)
        assert not state["histogram"].any()
        stepper.change(("run.freeze_ranges", False))
        state = stepper.graph.read_state()
        assert state["histogram"].any(axis=1).all() and (state["range_max"] < before).any()


def test_only_tensors_with_such_a_method_are_counted(graphs):
    with Driver(spec(plain(), optimizer="momentum"), paused=True) as driver:
        stepper = Stepper(driver, graphs)
        stepper.change(("logits.activations.range_method", KL))
        stepper.step(2)
        counted = stepper.graph.read_state()["histogram"].any(axis=1)
        assert counted.tolist() == [False] * (len(counted) - 1) + [True]


def test_steps_run_no_operation_of_histograms_unless_a_tensor_uses_one(graphs):
    """A step fetches them only then, and their part of the graph is not even compiled before."""
    own = {"collect", " ".join(HISTOGRAMS), " ".join((*HISTOGRAMS, *RANGES))}
    with Driver(spec(plain(), optimizer="sgd", seed=5), paused=True) as driver:
        stepper = Stepper(driver, graphs)
        graph = stepper.graph
        known, steps = dict(graph._callables), dict(graph._steps)  # of other tests, too
        graph._callables.clear()
        graph._steps.clear()
        stepper.step(2)
        assert not own & set(graph._callables) and not any(COLLECT in variant.parts for variant in graph._steps)
        stepper.change(("logits.activations.range_method", MSE))
        stepper.step(1)
        assert own <= set(graph._callables)
        (added,) = [variant for variant in graph._steps if COLLECT in variant.parts]
        assert added.parts == {COLLECT}
        graph._callables.update(known)
        graph._steps.update(steps)


CHANGE = ChangeSettings((("*.activations.range_method", MSE), ("logits.activations.range_method", PERCENTILE)))


def test_undo_rewinds_histograms_too(graphs):
    """Undone from a state with other histograms, the losses and the state are those of a run without the detour."""
    start = spec(activations={"range_method": KL, "num_bits": 4})
    plain_losses, plain_state, _ = train(start, graphs, [])
    assert set(HISTOGRAMS) <= set(plain_state)
    undone = train(start, graphs, [(27, CHANGE), (40, Undo())])
    assert undone[0] == plain_losses
    assert_same_arrays(undone[1], plain_state)


def test_a_fork_continues_the_histograms_of_its_checkpoint(graphs, tmp_path):
    with RunRecord.create(tmp_path / "run", {}) as record, Driver(spec(), record, paused=True) as driver:
        stepper = Stepper(driver, graphs)
        stepper.step(5)
        driver.send(CHANGE)
        stepper.step(12)
        driver.send(SaveCheckpoint("here"))
        driver.until(lambda item: isinstance(item, events.CheckpointSaved) and item.name == "here")
        arrays, meta = record.load_checkpoint("here")
        moment = RunState.from_checkpoint("here", arrays, meta, driver.run.spec.plan)
        stepper.step(END - 17)
        expected, state = losses(driver, 17), stepper.graph.read_state()
    assert set(HISTOGRAMS) <= set(arrays)
    fork = Driver(Run(replace(driver.run.spec, start=moment, steps=END)))
    with fork:
        assert isinstance(fork.finish(), events.Finished)
        assert_same_arrays(graph_of(fork.run.spec, graphs).read_state(), state)
    assert losses(fork) == expected


def test_a_checkpoint_has_all_arrays_of_histograms_or_none(graphs):
    run_spec = spec(mlp())
    graph = graph_of(run_spec, graphs)
    with Driver(run_spec, paused=True):
        state = graph.read_state()
        graph.check_state("old", state)
        with pytest.raises(RecordError, match="histogram_bound is nothing"):
            graph.check_state("odd", {**state, "histogram": graph.read_histograms()["histogram"]})
        graph.write_state({**state, **{name: np.ones_like(a) for name, a in graph.read_histograms().items()}})
        assert all((graph.read_histograms()[name] == 1).all() for name in HISTOGRAMS)
        graph.write_state(state)
        assert not any(graph.read_histograms()[name].any() for name in HISTOGRAMS)


def test_the_range_of_a_long_tail_is_shorter_than_its_extremes(graphs):
    """The reason for the methods: with 4 bits, clipping rare large values costs less than the step that holds them."""
    data, random = dataset(), np.random.RandomState(0)
    x = [np.float32(random.standard_t(3, part.shape)) for part in (data.x_train, data.x_test)]
    data = from_arrays("tails", "made for the test", (x[0], data.y_train), (x[1], data.y_test))
    highs = {}
    for method in ("extremes", MSE):
        with Driver(spec(data=data, activations={"range_method": method, "num_bits": 4}), paused=True) as driver:
            stepper = Stepper(driver, graphs)
            stepper.step(25)
            highs[method] = float(stepper.graph.read_state()["range_max"][0])
    assert highs[MSE] < 0.9 * highs["extremes"]


def test_a_change_reads_and_writes_histograms_at_most_once(graphs, monkeypatch):
    run_spec = spec(plain(), optimizer="momentum", activations={"range_method": PERCENTILE})
    graph = graph_of(run_spec, graphs)
    live = LiveRun(graph, run_spec, BranchCursor(), lambda event: None)
    calls = []

    def called(name, original, *given):
        calls.append(name)
        return original(*given)

    for name in ("read_histograms", "write_histograms", "write_ranges"):
        monkeypatch.setattr(graph, name, partial(called, name, getattr(graph, name)))
    read, write, write_ranges = "read_histograms", "write_histograms", "write_ranges"
    for setting, value, expected in (
        ("conv.weights.num_bits", 3, []),
        ("*.activations.num_bits", 4, [read, write_ranges]),
        ("input.activations.range_method", "moving_average", [read, write]),
        ("input.activations.range_method", KL, [read, read, write_ranges]),  # and counted in between
    ):
        calls.clear()
        live.apply_settings(live.book.change([(setting, value)])[0])
        assert calls == expected, setting
