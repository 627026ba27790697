"""The plain training copy of a run, and the copies that follow: the evaluation copy, and the one with methods."""

import dataclasses

import numpy as np
import pytest
from small_runs import convnet, mlp, spec
from training_cases import Driver, graph_of

from qatviz.data import BatchSchedule
from qatviz.low_bit_settings import START_TEACHER
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Dense
from qatviz.protocol import events
from qatviz.protocol.commands import Evaluate, Resume
from qatviz.quant.weight_maps import threshold_and_scale
from qatviz.settings import TERNARY
from qatviz.training import graph_copies, trainer
from qatviz.training.building import graph_arguments
from qatviz.training.graph import TrainingGraph
from qatviz.training.graph_copies import GraphCopies
from qatviz.training.step_measures import measure_interval
from qatviz.training.training_copy import COLLECT, Variant


@pytest.fixture
def built():
    """Return the function that returns the graph of a run in its initial state; none is shared."""
    graphs = []

    def build(run_spec):
        graph = TrainingGraph(*graph_arguments(run_spec))
        graphs.append(graph)
        book = run_spec.book
        graph.write_state(graph.initial_state(book.run))
        graph.write_settings(book.quantizers, book.run, 0)
        graph.calibrate(np.arange(run_spec.batch_size, dtype=np.int32))
        return graph

    yield build
    for graph in graphs:
        graph.close()


def batches(run_spec):
    return BatchSchedule(len(run_spec.dataset.x_train), run_spec.batch_size, 0)


def operations(graph):
    return len(graph._graph.get_operations())


@pytest.mark.parametrize(
    "network, changes",
    [
        (mlp(), ()),
        (convnet(), ()),
        (convnet(), (("*.weights.per_channel", True), ("*.num_bits", 3), ("run.weight_decay", 0.01))),
        (convnet(), (("*.activations.range_method", "percentile"), ("run.freeze_batch_norm", True))),
    ],
    ids=["mlp", "convnet", "per-channel", "frozen"],
)
@pytest.mark.always("per-channel", "frozen")
def test_both_copies_train_alike_where_no_method_is_on(built, network, changes):
    run_spec = spec(network)
    run_spec = dataclasses.replace(run_spec, book=run_spec.book.change(changes)[0])
    plain, other = built(run_spec), built(run_spec)
    other._variant = other._variant._replace(has_methods=True)
    assert not plain._variant.parts - {COLLECT} and not plain._variant.has_methods
    for step in range(12):
        indices = batches(run_spec).indices(step)
        loss, measures = plain.step(indices, step)
        other_loss, other_measures = other.step(indices, step)
        assert loss == other_loss
        for array, other_array in zip(measures, other_measures):
            np.testing.assert_array_equal(array, other_array)
    state, other_state = plain.read_state(), other.read_state()
    assert state.keys() == other_state.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(array, other_state[name], name)


@pytest.mark.parametrize(
    "changes",
    [(), (("*.weights.range_method", "learned"),), (("conv.trainable", False), ("*.weights.per_channel", True))],
    ids=["plain", "learned", "frozen-layer"],
)
def test_steps_of_a_long_run_without_samples_are_the_same_steps(built, monkeypatch, changes):
    run_spec = spec(convnet())
    run_spec = dataclasses.replace(run_spec, book=run_spec.book.change(changes)[0])
    interval = measure_interval(run_spec.plan, run_spec.network.macs, run_spec.batch_size)
    assert interval > 1
    plain, long = built(run_spec), built(run_spec)
    assert bool(plain._variant.untrained) == ("conv.trainable" in dict(changes))
    steps = range(2 * interval + 1)
    monkeypatch.setattr(graph_copies, "UNSAMPLED_AFTER_S", np.inf)
    expected = [plain.step(batches(run_spec).indices(step), step) for step in steps]
    monkeypatch.setattr(graph_copies, "UNSAMPLED_AFTER_S", 0.0)
    for step, (loss, measures) in zip(steps, expected):
        own_loss, own = long.step(batches(run_spec).indices(step), step)
        assert own_loss == loss and bool(own.samples.size) == (step % interval == 0)
        for array, own_array in zip(measures, own):
            np.testing.assert_array_equal(array, own_array)
    assert len(plain._steps) == len(long._steps) - 1
    state, own_state = plain.read_state(), long.read_state()
    for name, array in state.items():
        np.testing.assert_array_equal(array, own_state[name], name)


@pytest.mark.parametrize(
    "changes",
    [
        (("*.weights.weight_map", "tanh"),),
        (("*.weights.stochastic_rounding", True),),
        (("*.gradient_scaling", 0.5),),
        (("*.weights.range_method", "learned"),),
        (("*.activations.range_method", "learned_range"),),
        (("run.track_oscillation", True),),
        (("*.weights.dampening", 0.1),),
        (("*.weights.freeze_threshold", 0.02),),
        (("run.round_biases", True),),
        (("run.single_convolution", True),),
        (("run.augment_mixup", 0.2),),
        (("run.ramp_end", 50),),
        (("run.teacher", START_TEACHER), ("run.distillation_weight", 0.5)),
    ],
    ids=lambda changes: changes[0][0],
)
def test_each_method_needs_the_copy_that_has_it(graphs, changes):
    run_spec = spec(convnet())
    graph = graph_of(run_spec, graphs)
    before = operations(graph)
    book, _ = run_spec.book.change(changes)
    graph.write_settings(book.quantizers, book.run, 0)
    assert graph._variant.has_methods
    graph.write_settings(run_spec.book.quantizers, run_spec.book.run, 0)
    assert graph._variant == Variant() and operations(graph) == before


def test_a_run_of_a_second_has_a_small_graph_and_a_longer_one_completes_it(built, monkeypatch):
    run_spec = spec(mlp())
    graph = built(run_spec)
    monkeypatch.setattr(graph_copies, "DELAY_S", 1e9)
    for step in range(5):
        graph.step(batches(run_spec).indices(step), step)
    before = operations(graph)
    assert not graph._graph.finalized
    monkeypatch.setattr(graph_copies, "DELAY_S", 0.0)
    longer = built(run_spec)
    assert operations(longer) == before
    longer.step(batches(run_spec).indices(0), 0)
    longer.step(batches(run_spec).indices(1), 1)
    longer.complete()
    assert longer._graph.finalized and operations(longer) > before


def test_a_graph_can_be_closed_while_it_is_completed(monkeypatch):
    monkeypatch.setattr(graph_copies, "DELAY_S", 0.0)
    run_spec = spec(convnet())
    graph = TrainingGraph(*graph_arguments(run_spec))
    graph.write_state(graph.initial_state(run_spec.book.run))
    graph.write_settings(run_spec.book.quantizers, run_spec.book.run, 0)
    for step in range(3):
        graph.step(batches(run_spec).indices(step), step)
    graph.close()  # the fixture of all tests finds the thread if it goes on


def test_a_method_acts_at_the_next_step_of_a_graph_that_is_not_complete(built, monkeypatch):
    monkeypatch.setattr(graph_copies, "DELAY_S", 1e9)
    run_spec = spec(mlp())
    graph = built(run_spec)
    graph.step(batches(run_spec).indices(0), 0)
    ternary, _ = run_spec.book.change([("*.weights.weight_map", "ternary")])
    graph.write_settings(ternary.quantizers, ternary.run, 1)
    before = graph.read_state()
    _, measures = graph.step(batches(run_spec).indices(1), 1)
    threshold, _ = threshold_and_scale(before["dense1.weights"].reshape(-1, 1), TERNARY)
    assert measures.maps.thresholds[0] == threshold[0]


def test_a_state_published_before_the_evaluation_copy_is_built_is_the_one_that_is_evaluated(built):
    run_spec = spec(convnet())
    early, late = built(run_spec), built(run_spec)
    assert early._copies.evaluation
    examples = np.arange(20, dtype=np.int32)
    for graph in (early, late):
        graph.publish()
        for step in range(3):
            graph.step(batches(run_spec).indices(step), step)
    assert early._copies.has_evaluation and not late._copies.has_evaluation
    expected = early.read_published()
    for found, own in zip(late.read_published(), expected):
        np.testing.assert_array_equal(found, own)
    assert late.held_out_loss(examples) == early.held_out_loss(examples)
    for graph in (early, late):
        graph.publish()
    assert late.held_out_loss(examples) == early.held_out_loss(examples)
    assert any((found != own).any() for found, own in zip(late.read_published(), expected))


def test_the_first_step_of_a_run_does_not_wait_for_the_evaluation_that_the_window_requests(monkeypatch):
    calls, step, build = [], TrainingGraph.step, GraphCopies._build_evaluation
    monkeypatch.setattr(trainer, "TrainingGraph", TrainingGraph)  # a new one, instead of one that runs share
    monkeypatch.setattr(TrainingGraph, "step", lambda *given: calls.append("step") or step(*given))
    monkeypatch.setattr(GraphCopies, "_build_evaluation", lambda own: calls.append("evaluation") or build(own))
    with Driver(spec(convnet(), steps=3, run={"evaluation_interval": 100})) as driver:
        driver.run.send(Evaluate())
        driver.finish()
    assert calls[:2] == ["step", "evaluation"]
    assert [event.step for event in driver.events() if isinstance(event, events.Evaluated)] == [0, 3]


def test_an_evaluation_that_is_due_at_each_step_is_complete_before_the_next(monkeypatch):
    run_spec = spec(mlp(), steps=3, run={"evaluation_interval": 1})
    with Driver(run_spec, paused=True) as driver:
        driver.send(Evaluate())
        driver.send(Resume())
        driver.finish()
    assert [event.step for event in driver.events() if isinstance(event, events.Evaluated)] == [0, 1, 2, 3]


def test_layers_share_the_constants_of_their_evaluation(built):
    def constants(layers):
        net = NetworkBuilder("dense", (6,))
        for index in range(layers):
            net.add(Dense, f"dense{index}", units=3)
        graph = built(spec(net.network()))._copies.evaluation.loss.graph
        return len([op for op in graph.get_operations() if op.type == "Const" and op.name.startswith("evaluation/")])

    assert constants(3) - constants(2) <= 6  # shapes and positions; otherwise 28
