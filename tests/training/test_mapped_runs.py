"""Runs whose weights have a map: measures of steps and snapshots, evaluations, and the ramp of the strength."""

from dataclasses import replace

import numpy as np
import pytest
from small_runs import convnet, spec
from training_cases import Driver, advance, assert_same_arrays, graph_of

from qatviz.analysis.pending import pending_grid
from qatviz.data import BatchSchedule
from qatviz.protocol import events
from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.commands import ChangeSettings, SaveCheckpoint
from qatviz.protocol.run_state import RunState
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, STEP_MEASURES
from qatviz.quant import affine, measures
from qatviz.quant.ranges import min_max_range
from qatviz.quant.weight_maps import mapped
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.handle import Run
from qatviz.training.snapshot import make_snapshot
from qatviz.training.step_measures import StepDecoder

RUN = spec()
CASES = {
    "binary": (("*.weights.num_bits", 1), ("*.weights.per_channel", True)),
    "binary-per-tensor": (("*.weights.num_bits", 1), ("*.weights.per_channel", False)),
    "ternary": (("*.weights.weight_map", "ternary"), ("*.weights.per_channel", True)),
    "tanh": (("*.weights.weight_map", "tanh"), ("*.weights.num_bits", 3)),
}


@pytest.fixture
def graph(graphs):
    """Return a graph in the initial state, with calibrated ranges."""
    graph = graph_of(RUN, graphs)
    graph.write_settings(RUN.book.quantizers, RUN.book.run, 0)
    graph.write_state(graph.initial_state(RUN.book.run))
    graph.calibrate(batch(0))
    return graph


def batch(step):
    return BatchSchedule(len(RUN.dataset.x_train), RUN.batch_size, RUN.seed).indices(step)


def expected_of(book, tensor, w):
    """Return the measures of weights under a book, by the NumPy reference, and the codes."""
    settings, columns = book.of(tensor.name), w.reshape(-1, tensor.num_channels)
    grid = pending_grid(tensor, settings, min_max_range(columns), columns)
    after = mapped(columns, settings, tensor.num_channels)
    return measures.measure(columns, grid, after), affine.quantize(after, grid)


@pytest.mark.parametrize("case", CASES)
def test_measures_of_steps_and_snapshots_include_the_map(graph, case):
    book, _ = RUN.book.change(CASES[case])
    graph.write_settings(book.quantizers, book.run, 0)
    before = graph.read_state()
    with graph.published(False):
        snapshot = make_snapshot(graph.snapshot(), book, BranchPoint(0, 0, 0), 0.0)
    raw = graph.step(batch(0), 0)[1]  # the errors of step 0 are always measured
    assert raw.samples.size
    decoded = StepDecoder(RUN.plan, RUN.batch_size)([raw])[0]
    for tensor in RUN.plan.tensors:
        if tensor.kind != "weights":
            continue
        index = RUN.plan.index(tensor.name)
        expected, codes = expected_of(book, tensor, before[tensor.name])
        assert expected.mse > 0
        for names, found in ((STEP_MEASURES, decoded[:, index]), (SNAPSHOT_MEASURES, snapshot.values[:, index])):
            for name, value in zip(names, found):
                if hasattr(expected, name):
                    assert value == pytest.approx(getattr(expected, name), rel=1e-4, abs=1e-6), (names, name)
        histogram = snapshot.histograms[tensor.name]
        counts = np.bincount(codes.ravel() - histogram.code_min, minlength=len(histogram.code_counts))
        np.testing.assert_array_equal(histogram.code_counts, counts)
        if case.startswith("binary"):
            assert expected.used_codes == 2 and not counts[-histogram.code_min]


@pytest.mark.parametrize("case", CASES)
def test_a_fork_continues_like_its_source(graphs, tmp_path, case):
    """Also with random rounding, and in the middle of a ramp of the strength."""
    methods = (*CASES[case], ("*.weights.stochastic_rounding", True), ("run.ramp_end", 18))
    run_spec = spec(convnet())
    with RunRecord.create(tmp_path / "first", {}) as record, Driver(run_spec, record, paused=True) as driver:
        advance(driver, 5)
        driver.send(ChangeSettings(methods))
        advance(driver, 7)
        driver.send(SaveCheckpoint("here"))
        driver.until(lambda item: isinstance(item, events.CheckpointSaved) and item.name == "here")
        arrays, meta = record.load_checkpoint("here")
        start = RunState.from_checkpoint("here", arrays, meta, run_spec.plan)
        advance(driver, 10)
        expected, outputs = state_of(run_spec, graphs)
    assert start.book == run_spec.book.change(methods)[0]
    with Driver(Run(replace(run_spec, start=start, steps=22))) as fork:
        assert isinstance(fork.finish(), events.Finished)
        found, of_fork = state_of(fork.run.spec, graphs)
    assert_same_arrays(found, expected)
    np.testing.assert_array_equal(of_fork, outputs)


def state_of(run_spec, graphs):
    """Return the arrays of the state of a run, and its quantized outputs for some held-out examples."""
    graph = graph_of(run_spec, graphs)
    with graph.published(False):
        return graph.read_state(), graph.outputs(run_spec.dataset.x_test[:8])[0]


def test_a_ramp_starts_as_float_and_ends_quantized(graph):
    coarse, _ = RUN.book.change([("*.num_bits", 2)])
    in_float, _ = RUN.book.change([("*.enabled", False)])
    ramped, _ = coarse.change([("run.ramp_start", 10), ("run.ramp_end", 20)])
    state = graph.read_state()

    def loss(book, step):
        graph.write_state(state)
        graph.write_settings(book.quantizers, book.run, step)
        return graph.step(batch(0), step)[0]

    assert loss(ramped, 5) == loss(in_float, 5) != loss(coarse, 5)
    assert loss(ramped, 20) == loss(coarse, 20)
    between = [loss(ramped, step) for step in (11, 15, 19)]
    assert len({loss(in_float, 0), loss(coarse, 0), *between}) == 5
    graph.write_settings(ramped.quantizers, ramped.run, 15)
    with graph.published(False):
        outputs = graph.outputs(RUN.dataset.x_test[:4])[0]
    graph.write_settings(coarse.quantizers, coarse.run, 15)
    with graph.published(False):
        np.testing.assert_array_equal(graph.outputs(RUN.dataset.x_test[:4])[0], outputs)


def test_training_methods_do_not_affect_evaluations(graph):
    coarse, _ = RUN.book.change([("*.num_bits", 3)])
    methods = [("*.weights.stochastic_rounding", True), ("*.gradient_scaling", 3.0), ("run.ramp_end", 100)]
    outputs = []
    for changes in ([], methods):
        book, _ = coarse.change(changes)
        graph.write_settings(book.quantizers, book.run, 0)
        with graph.published(False):
            outputs.append(graph.outputs(RUN.dataset.x_test[:8])[0])
    np.testing.assert_array_equal(*outputs)
