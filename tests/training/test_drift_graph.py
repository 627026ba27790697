"""Drift of a run: against the run's own evaluation graph and NumPy, and while it trains."""

from dataclasses import replace

import numpy as np
import pytest
from small_runs import convnet, spec
from training_cases import Driver

from qatviz.analysis.channels import ChannelsOverview, channel_ranges
from qatviz.analysis.drift import Drift, DriftQuestion, FeatureMaps, error_sums, layer_drift
from qatviz.analysis.sensitivity import divergence
from qatviz.network.elementwise import Add
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import AveragePool, Concat, Conv2D, Dense, GlobalAveragePool, MaxPool, ReLU
from qatviz.protocol.branches import BranchCursor
from qatviz.protocol.commands import ChangeSettings, TakeSnapshot, WatchChannels, WatchDrift
from qatviz.protocol.watch_failure import WatchFailure
from qatviz.quant.affine import choose_grid, fake_quant
from qatviz.session.channels import channels_of
from qatviz.training.building import graph_arguments
from qatviz.training.drift import DriftGraph, DriftJob
from qatviz.training.graph import TrainingGraph
from qatviz.training.live_run import LiveRun


def ended(run_spec):
    """Return the spec with the last state of the run as its start."""
    with Driver(run_spec) as driver:
        driver.finish()
    return replace(run_spec, start=driver.run.final)


def with_changes(run_spec, *assignments):
    book, _ = run_spec.start.book.change(assignments)
    return replace(run_spec, start=replace(run_spec.start, book=book))


def found(graph, run_spec, **question):
    start, results = run_spec.start, []
    job = DriftJob(graph, start.arrays, start.book, start.step, DriftQuestion(**question))
    while not (results and isinstance(results[-1], Drift)):
        results.append(job.advance())
    assert job.pieces_done == job.num_pieces
    return results[-1], [result for result in results[:-1] if result is not None]


def branches():
    """Return a network with tensors that share grids, and layers without a quantizer."""
    net = NetworkBuilder("branches", (8, 8, 2))
    net.add(Conv2D, "one", filters=3)
    net.add(ReLU, "one_relu")
    net.add(MaxPool, "pool", pool_size=2)
    net.add(AveragePool, "mean", pool_size=2, strides=1, padding="SAME")
    net.add(Conv2D, "two", "pool", filters=3)
    net.add(Add, "sum", ("mean", "two"))
    net.add(Concat, "both", ("sum", "pool"))
    net.add(GlobalAveragePool, "all")
    net.add(Dense, "logits", units=3)
    return net.network()


@pytest.mark.parametrize("network", [convnet(), branches()], ids=["convnet", "branches"])
def test_outputs_are_those_of_the_run_in_float_and_quantized(network):
    run_spec = with_changes(ended(spec(network, steps=40)), ("*.num_bits", 4))
    training = TrainingGraph(*graph_arguments(run_spec))
    live = LiveRun(training, run_spec, BranchCursor(), lambda event: None)
    training.publish()
    examples = np.asarray(run_spec.dataset.x_test, np.float32)
    quantized, in_float = training.logits(examples), training.logits(examples, False, False)
    training.close()
    graph = DriftGraph(run_spec)
    drift, _ = found(graph, run_spec)
    _, (float_outputs,), (quantized_outputs,) = graph.sums(0, len(examples))
    graph.close()
    np.testing.assert_allclose(float_outputs, in_float, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(quantized_outputs, quantized)
    assert drift.divergence == pytest.approx(divergence(in_float, quantized, "classification"), rel=1e-3)
    assert (drift.step, drift.examples, drift.example) == (live.step, len(examples), None)
    assert drift.layers[0].inherited.power == 0 < drift.layers[0].own.power == drift.layers[0].total.power
    if network.name == "branches":
        assert [layer.layer for layer in drift.layers] == [
            "input",
            "one",
            "mean",
            "two",
            "sum",
            "both",
            "all",
            "logits",
        ]
        assert drift.layer("both").own.power == 0 < drift.layer("mean").own.power, "a Concat rounds nothing"


def test_own_and_inherited_errors_agree_with_numpy():
    """The exported network also rounds its biases, to the grid of products, which is coarse at 4 bits."""
    run_spec = with_changes(ended(spec(steps=40)), ("*.num_bits", 4), ("*.per_channel", False))
    arrays, book, plan = run_spec.start.arrays, run_spec.start.book, run_spec.plan
    activations = [tensor.name for tensor in plan.tensors if tensor.kind == "activations"]

    def grid(name):
        s, values = book.of(name), arrays.get(name)
        if values is None:
            values = [arrays[end][activations.index(name)] for end in ("range_min", "range_max")]
        return choose_grid(np.min(values), np.max(values), s.num_bits, s.symmetric, s.narrow_range, s.power_of_two)

    def layer(name, source, x, is_quantized, is_exported):
        weights, bias = arrays[name + ".weights"], arrays[name + ".bias"]
        if is_exported:
            unit = grid(source + ".activations").scale * grid(name + ".weights").scale
            bias = np.floor(bias / unit + 0.5) * unit
        result = x @ (fake_quant(weights, grid(name + ".weights")) if is_quantized else weights) + bias
        result = np.maximum(result, 0) if name == "dense1" else result
        return fake_quant(result.astype(np.float32), grid(name + ".activations")) if is_quantized else result

    x = np.asarray(run_spec.dataset.x_test, np.float32)
    coarse, expected = fake_quant(x, grid("input.activations")), []
    for name, source in (("dense1", "input"), ("logits", "dense1")):
        cases = ((x, 0, 0), (x, 1, 0), (coarse, 0, 0), (coarse, 1, 1))
        outputs = [layer(name, source, *case) for case in cases]
        expected.append(layer_drift(name, "Dense", error_sums(*outputs)))
        x, coarse = outputs[0], outputs[3]
    graph = DriftGraph(run_spec)
    drift, _ = found(graph, run_spec)
    graph.close()
    for layer_found, wanted in zip(drift.layers[1:], expected):
        assert layer_found.layer == wanted.layer
        for part in ("own", "inherited", "total"):
            one, other = getattr(layer_found, part), getattr(wanted, part)
            assert one.power == pytest.approx(other.power, rel=2e-3)
            assert one.cosine == pytest.approx(other.cosine, abs=1e-5)


def test_layers_with_their_quantizers_off_only_inherit():
    run_spec = with_changes(ended(spec(convnet(), steps=5)), ("*.enabled", False), ("depthwise.weights.enabled", True))
    graph = DriftGraph(run_spec)
    drift, _ = found(graph, run_spec)
    run_spec = with_changes(run_spec, ("*.enabled", False))
    nothing, _ = found(graph, run_spec)
    graph.close()
    assert {layer.layer for layer in drift.layers if layer.own.power > 0} == {"depthwise"}
    assert drift.layer("conv").total.power < 1e-12 < drift.layer("depthwise").total.power
    assert drift.layer("logits").inherited.power == pytest.approx(drift.layer("logits").total.power, rel=1e-3)
    assert nothing.divergence < 1e-9 and all(layer.total.power < 1e-9 for layer in nothing.layers)


def test_one_example_has_its_own_drift_and_feature_maps(monkeypatch):
    run_spec = with_changes(ended(spec(convnet(), steps=5)), ("*.num_bits", 3))
    graph = DriftGraph(run_spec)
    graph.piece = 7
    everything, _ = found(graph, run_spec)
    one, (maps,) = found(graph, run_spec, example=5, layer="depthwise", shown_example=5)
    sums = [graph.sums(start, start + 1)[0] for start in range(graph.num_examples)]
    beyond, none = found(graph, run_spec, example=10**6, layer="dropout")
    graph.close()
    place = [layer.name for layer in graph.layers].index("depthwise")
    assert maps.in_float.shape == maps.quantized.shape == run_spec.plan.tensor("depthwise.activations").shape
    error = maps.quantized.astype(np.float64) - maps.in_float
    power = np.square(error).sum() / np.square(maps.in_float.astype(np.float64)).sum()
    assert one.layers[place].total.power == pytest.approx(power, rel=1e-3) and one.examples == 1 and one.example == 5
    whole = layer_drift("depthwise", "", np.sum(sums, axis=0)[place])
    assert everything.layers[place].total.power == pytest.approx(whole.total.power, rel=1e-3)
    assert beyond.example == graph.num_examples - 1 and not none, "a layer without quantizers has no maps"


def test_a_run_that_trains_computes_what_is_watched():
    with Driver(spec(convnet())) as driver:
        driver.send(WatchDrift(layer="conv", shown_example=2))
        first = driver.until(lambda item: isinstance(item, Drift))
        maps = next(item for item in driver.news if isinstance(item, FeatureMaps))
        assert (maps.layer, maps.example) == ("conv", 2) and first.examples == 40
        later = driver.until(lambda item: isinstance(item, Drift) and item.step > first.step)
        assert [layer.layer for layer in later.layers] == ["input", "conv", "depthwise", "pool", "logits"]
        driver.send(WatchDrift(example=7))
        one = driver.until(lambda item: isinstance(item, Drift) and item.example == 7)
        driver.send(WatchChannels())
        channels = driver.until(lambda item: isinstance(item, ChannelsOverview))
        driver.send(WatchDrift(False))
        driver.send(WatchChannels(False))
        since = len(driver.news)
        step = driver.until_step(driver.run.step + 50).step
    assert step > one.step
    assert [ranges.tensor for ranges in channels.tensors] == ["conv.weights", "depthwise.weights", "logits.weights"]
    assert not any(isinstance(item, (Drift, FeatureMaps, ChannelsOverview)) for item in driver.news[since:])


def test_a_paused_run_computes_a_state_once_and_again_after_a_change():
    with Driver(spec(), paused=True) as driver:
        driver.send(WatchDrift())
        driver.send(WatchChannels())
        first = driver.until(lambda item: isinstance(item, Drift))
        driver.until(lambda item: isinstance(item, ChannelsOverview))
        driver.send(ChangeSettings((("*.num_bits", 2),)))
        second = driver.until(lambda item: isinstance(item, Drift) and item is not first)
        driver.send(TakeSnapshot())
    assert second.layer("logits").total.power > 10 * first.layer("logits").total.power
    assert sum(isinstance(item, Drift) for item in driver.news) == 2


def test_channels_of_a_run_are_those_of_its_record():
    run_spec = spec(convnet(), steps=20)
    with Driver(run_spec) as driver:
        driver.send(WatchChannels())
        driver.finish()
    state = driver.run.final
    recorded = channels_of(state.book.plan, state.arrays, state.step)
    assert recorded.step == 20
    training = TrainingGraph(*graph_arguments(run_spec))
    LiveRun(training, replace(run_spec, start=state), BranchCursor(), lambda event: None)
    weights = training.read_weights()
    training.close()
    for ranges, values in zip(recorded.tensors, weights):
        live = channel_ranges(run_spec.plan.tensor(ranges.tensor), values)
        np.testing.assert_allclose(ranges.quantiles, live.quantiles, rtol=1e-5, atol=1e-7)
        assert ranges.kurtosis == pytest.approx(live.kurtosis, rel=1e-4, abs=1e-4)


def test_a_failure_is_reported_and_the_run_goes_on(monkeypatch):
    def fail(*arguments):
        raise MemoryError("no room")

    monkeypatch.setattr(DriftGraph, "load", fail)
    with Driver(spec()) as driver:
        driver.send(WatchDrift())
        failure = driver.until(lambda item: isinstance(item, WatchFailure))
        driver.until_step(driver.run.step + 20)
    assert failure.command == "WatchDrift" and "no room" in failure.message
