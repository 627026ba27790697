"""Corrections of runs: against NumPy, undone bit for bit, repeated, cancelled, and exported."""

from dataclasses import replace

import numpy as np
import pytest
from small_runs import mlp, spec
from training_cases import Driver, assert_same_arrays, graph_of

from qatviz.analysis.channels import ChannelsOverview
from qatviz.correction.adaround import LearnedRounding
from qatviz.correction.pairs import layer_pairs
from qatviz.network.folding import folded
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import BatchNorm, Conv2D, Dense, DepthwiseConv2D, GlobalAveragePool, ReLU
from qatviz.protocol import events
from qatviz.protocol.commands import (
    CORRECTIONS,
    AdaRound,
    CancelCorrection,
    ChangeSettings,
    CorrectBias,
    EqualizeLayers,
    Evaluate,
    ReestimateBatchNorm,
    SingleStep,
    Stop,
    Undo,
    WatchChannels,
)
from qatviz.protocol.corrections import CorrectionProgress
from qatviz.quant.affine import choose_grid, fake_quant
from qatviz.training import correction_jobs
from qatviz.training.correction_graph import CorrectionGraph
from qatviz.training.parameters import initial_parameters

SHORT = {AdaRound: {"batches": 2, "iterations": 60}, ReestimateBatchNorm: {"batches": 3}, CorrectBias: {"batches": 3}}


def command_of(kind):
    return kind(**SHORT.get(kind, {}))


def normed_mlp():
    net = NetworkBuilder("normed", (6,))
    net.add(Dense, "dense1", units=8, use_bias=True)
    net.add(BatchNorm, "dense1_bn")
    net.add(ReLU, "dense1_relu")
    net.add(Dense, "dense2", units=5)
    net.add(BatchNorm, "dense2_bn")
    net.add(ReLU, "dense2_relu")
    net.add(Dense, "logits", units=3)
    return net.network()


def separable():
    """Return a network with a depthwise convolution, all of whose layers can be equalized."""
    net = NetworkBuilder("separable", (6, 6, 2))
    net.add(Conv2D, "conv", filters=4, use_bias=False)
    net.add(BatchNorm, "conv_bn", momentum=0.9)
    net.add(ReLU, "conv_relu")
    net.add(DepthwiseConv2D, "depthwise", strides=2, use_bias=False)
    net.add(BatchNorm, "depthwise_bn", momentum=0.9)
    net.add(ReLU, "depthwise_relu")
    net.add(GlobalAveragePool, "pool")
    net.add(Dense, "logits", units=3)
    return net.network()


def four_bits(network=None, **settings):
    return spec(network or separable(), weights={"num_bits": 4, "per_channel": False}, **settings)


def unequal_parameters(network, seed=0, widest=1):
    """Return initial parameters with channels of very different ranges; the first is ``widest`` times as wide."""
    random = np.random.RandomState(seed)
    found = initial_parameters(network, seed)
    for name, array in found.items():
        if name.endswith(".gamma"):
            found[name] = np.exp(random.uniform(-2, 2, array.shape)).astype(np.float32)
            found[name][0] *= widest
    return found


class NumPyNetwork:
    """Forward pass of the layers of :func:`normed_mlp` in NumPy, in float or quantized."""

    def __init__(self, run_spec, arrays):
        self.plan, self.book, self.arrays = run_spec.plan, run_spec.book, arrays

    def grid(self, name, low, high):
        s = self.book.of(name)
        return choose_grid(low, high, s.num_bits, s.symmetric, s.narrow_range, s.power_of_two)

    def activations(self, name, x):
        groups = [self.plan.tensors[members[0]].name for members in self.plan.groups]
        row = [group for group in groups if group.endswith(".activations")].index(name)
        low, high = (self.arrays[end][row] for end in ("range_min", "range_max"))
        return fake_quant(x.astype(np.float32), self.grid(name, low, high))

    def weights(self, unit):
        values = folded(self.plan, unit, self.arrays).weights
        return fake_quant(values, self.grid(unit.weights, values.min(), values.max()))

    def layers(self, x, quantized, by_batch=None):
        """Yield each layer with its output before the activation; ``by_batch(unit, y)`` normalizes outputs."""
        x = self.activations("input.activations", x) if quantized else x
        for unit in [unit for unit in self.plan.units if unit.name + ".weights" in self.plan]:
            weights, bias = folded(self.plan, unit, self.arrays)
            y = x @ (self.weights(unit) if quantized else weights)
            y = by_batch(unit, y) if by_batch and unit.batch_norm else y + bias
            yield unit, y
            x = np.maximum(y, 0) if unit.activation else y
            x = self.activations(unit.name + ".activations", x) if quantized else x


@pytest.fixture
def corrected(graphs):
    """Return a function that trains some steps, corrects, and returns spec, state before, state after, and notes."""

    def correct(run_spec, *commands, steps=12):
        with Driver(replace(run_spec, steps=None), paused=True) as driver:
            driver.run.send(SingleStep(steps))
            driver.until_event(events.Paused, since=len(driver.news))
            before = graph_of(run_spec, graphs).read_state()
            for command in commands:
                answer = driver.send(command)
                assert isinstance(answer, events.CommandApplied), answer
            after = graph_of(run_spec, graphs).read_state()
            driver.send(Stop())
        return before, after, [note for event in driver.events(events.Corrected) for note in event.notes]

    return correct


def batches_of(run_spec, number, step):
    from qatviz.data import BatchSchedule

    schedule = BatchSchedule(len(run_spec.dataset.x_train), run_spec.batch_size, run_spec.seed)
    return [run_spec.dataset.x_train[schedule.indices(s)] for s in range(step - number, step)]


def test_reestimated_statistics_are_those_of_the_quantized_layers(corrected):
    run_spec = four_bits(normed_mlp())
    before, after, notes = corrected(run_spec, ReestimateBatchNorm(batches=4))
    network, found = NumPyNetwork(run_spec, before), {}

    def by_batch(unit, y):
        name, epsilon = unit.batch_norm.name, unit.batch_norm.epsilon
        gamma, beta = before[name + ".gamma"], before[name + ".beta"]
        sigma = np.sqrt(before[name + ".moving_variance"] + epsilon)
        y = y * sigma / gamma + before.get(unit.bias, 0)
        found.setdefault(name, []).append((y.mean(axis=0), y.var(axis=0, ddof=1)))
        return (y - y.mean(axis=0)) / np.sqrt(y.var(axis=0) + epsilon) * gamma + beta

    for x in batches_of(run_spec, 4, 12):
        list(network.layers(x, True, by_batch))
    for name, statistics in found.items():
        means, variances = (np.mean(values, axis=0) for values in zip(*statistics))
        np.testing.assert_allclose(after[name + ".moving_mean"], means, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(after[name + ".moving_variance"], variances, rtol=1e-3, atol=1e-5)
    kept = [name for name in before if not name.endswith((".moving_mean", ".moving_variance"))]
    assert_same_arrays({name: before[name] for name in kept}, {name: after[name] for name in kept})
    assert "2 batch norms re-estimated over 4 batches" in notes[0]


def test_corrected_biases_remove_the_mean_error_of_each_layer(corrected):
    run_spec = four_bits(normed_mlp())
    before, after, notes = corrected(run_spec, CorrectBias(batches=4))
    examples = np.concatenate(batches_of(run_spec, 4, 12))
    expected = dict(before)
    in_float = {unit.name: y.mean(axis=0) for unit, y in NumPyNetwork(run_spec, before).layers(examples, False)}
    for index, bias in enumerate(("dense1_bn.beta", "dense2_bn.beta", "logits.bias")):
        unit, y = list(NumPyNetwork(run_spec, expected).layers(examples, True))[index]
        error = y.mean(axis=0) - in_float[unit.name]
        assert np.abs(error).max() > 1e-3
        expected[bias] = (expected[bias] - error).astype(np.float32)
        np.testing.assert_allclose(after[bias], expected[bias], rtol=1e-3, atol=2e-4)
        _, y = list(NumPyNetwork(run_spec, after).layers(examples, True))[index]
        assert np.abs(y.mean(axis=0) - in_float[unit.name]).max() < 1e-3
    assert "biases of 3 layers" in notes[0]


def captured_problems(monkeypatch):
    """Return the list to which each finished optimization of a layer is appended."""
    learned = []
    finish = LearnedRounding._finish
    monkeypatch.setattr(LearnedRounding, "_finish", lambda self: (finish(self), learned.append(self)))
    return learned


@pytest.mark.parametrize("settings", [{}, {"per_channel": True}, {"symmetric": False}, {"range_method": "mse"}])
@pytest.mark.always("settings0", "settings2")
def test_adaround_rounds_weights_to_learned_codes_that_quantization_keeps(corrected, graphs, monkeypatch, settings):
    learned = captured_problems(monkeypatch)
    network = separable()
    run_spec = spec(
        network,
        parameters=unequal_parameters(network),
        weights={"num_bits": 3, "per_channel": False, "narrow_range": False, **settings},
    )
    before, after, notes = corrected(run_spec, AdaRound(batches=4, iterations=150))
    assert [sum(one.errors[index] >= min(one.errors) for one in learned) for index in (0, 1)] == [3, 3]
    graph = CorrectionGraph(run_spec)
    moved = 0
    for unit, own in zip(graph.units, learned):
        grids = []
        for arrays in (before, after):
            graph.load(arrays, run_spec.book, 12)
            grids.append(graph.weight_grid(unit))
        np.testing.assert_allclose(grids[0][0], grids[1][0], rtol=1e-6)  # the grid is the same
        assert (grids[0][1] == grids[1][1]).all()
        scale, _ = grids[1]
        weights = folded(run_spec.plan, unit, after).weights
        flat = weights.reshape(-1, len(scale))
        codes = np.floor(flat / scale + np.float32(0.5))
        limits = [own._problem.low, own._problem.high]
        codes = np.clip(codes.reshape(own.codes.shape), *limits)
        assert (codes == own.codes).all()
        moved += (own.codes != own._problem.nearest).sum()
    graph.close()
    assert moved > 0, "the nearest rounding was kept everywhere"
    untouched = [name for name in before if not name.endswith(".weights")]
    assert_same_arrays({name: before[name] for name in untouched}, {name: after[name] for name in untouched})
    assert "3 layers learned" in notes[0]


def test_adaround_leaves_weights_with_a_map_as_they_are(corrected):
    run_spec = four_bits(normed_mlp())
    book, _ = run_spec.book.change((("dense2.weights.weight_map", "tanh"),))
    before, after, notes = corrected(replace(run_spec, book=book), AdaRound(batches=1, iterations=40), steps=2)
    changed = {name for name in before if (before[name] != after[name]).any()}
    assert changed == {"dense1.weights", "logits.weights"}
    assert notes[-1] == "left as they are: dense2"


def test_adaround_leaves_zeros_as_they_are_if_the_run_keeps_them(corrected, monkeypatch):
    learned = captured_problems(monkeypatch)
    network = normed_mlp()
    parameters = initial_parameters(network, 0)
    names = [unit + ".weights" for unit in ("dense1", "dense2", "logits")]
    for name in names:
        parameters[name][::2] = 0
    run_spec = four_bits(network, parameters=parameters, run={"keep_zeros": True})
    before, after, _ = corrected(run_spec, AdaRound(batches=1, iterations=40), steps=2)
    for own, name in zip(learned, names):
        is_zero = before[name] == 0
        assert is_zero[::2].all() and own._problem.is_kept[is_zero].all()
        assert (after[name][is_zero] == 0).all()
        assert (after[name] != before[name]).any()


def test_equalization_measures_the_ranges_of_activations_anew(corrected, graphs):
    network = separable()
    run_spec = spec(network, parameters=unequal_parameters(network), weights={"per_channel": False})
    before, after, notes = corrected(run_spec, EqualizeLayers())
    pairs, _ = layer_pairs(network, run_spec.plan)
    assert [pair.name for pair in pairs] == ["conv → depthwise", "depthwise → logits"]
    groups = [run_spec.plan.tensors[members[0]].name for members in run_spec.plan.groups]
    groups = [group for group in groups if group.endswith(".activations")]
    changed = {name for name, one, other in zip(groups, before["range_max"], after["range_max"]) if one != other}
    assert changed == {"conv.activations", "depthwise.activations", "pool.activations"}
    graph = graph_of(run_spec, graphs)
    off, _ = run_spec.book.change((("*.enabled", False),))
    graph.write_settings(off.quantizers, off.run, 12)
    graph.write_state(after)
    graph.publish()
    assert graph.logits(run_spec.dataset.x_test).shape == (40, 3)
    assert "2 pairs of layers equalized" in notes[0] and "range ratio" in notes[0]


@pytest.mark.parametrize("kind", CORRECTIONS)
@pytest.mark.parametrize("method", [{}, {"activations": {"range_method": "mse"}}], ids=["average", "mse"])
def test_undo_restores_every_bit_and_training_repeats(graphs, kind, method):
    network = separable()
    run_spec = spec(network, parameters=unequal_parameters(network), weights={"per_channel": False}, **method)

    def losses(driver):
        return {record.step: record.loss for record in driver.steps()}

    with Driver(run_spec, paused=True) as driver:
        for count in (10, 10):
            driver.run.send(SingleStep(count))
            driver.until_event(events.Paused, since=len(driver.news))
        reference, state = losses(driver), graph_of(run_spec, graphs).read_state()
    with Driver(run_spec, paused=True) as driver:
        driver.run.send(SingleStep(10))
        driver.until_event(events.Paused, since=len(driver.news))
        before = graph_of(run_spec, graphs).read_state()
        answer = driver.send(command_of(kind))
        assert isinstance(answer, events.CommandApplied) and answer.checkpoint
        corrected = graph_of(run_spec, graphs).read_state()
        assert any(before[name].tobytes() != corrected[name].tobytes() for name in before)
        driver.run.send(SingleStep(5))
        driver.until_event(events.Paused, since=len(driver.news))
        driver.send(Undo())
        assert_same_arrays(graph_of(run_spec, graphs).read_state(), before)
        driver.run.send(SingleStep(10))
        driver.until_event(events.Paused, since=len(driver.news))
        assert losses(driver) == reference
        assert_same_arrays(graph_of(run_spec, graphs).read_state(), state)


def test_a_correction_is_evaluated_before_and_after(graphs):
    with Driver(four_bits(normed_mlp(), steps=8, schedule=((5, CorrectBias(2)),))) as driver:
        driver.finish()
    found = [event for event in driver.events(events.Evaluated, events.CommandApplied) if event.step == 5]
    assert [type(event) for event in found] == [events.Evaluated, events.CommandApplied, events.Evaluated]
    assert found[0].position <= found[1].position < found[2].position


def test_commands_that_change_the_state_wait_and_others_do_not(graphs, monkeypatch):
    run_spec = four_bits(normed_mlp())
    with Driver(run_spec, paused=True) as driver:
        first = driver.run.send(AdaRound(batches=2, iterations=400))
        change = driver.run.send(ChangeSettings((("*.weights.num_bits", 5),)))
        second = driver.run.send(CorrectBias(2))
        other = driver.run.send(Evaluate())
        answers = [driver.answer(sent) for sent in (other, first, change, second)]
        assert all(isinstance(answer, events.CommandApplied) for answer in answers), answers
        order = [event.id for event in driver.events(events.CommandApplied) if event.id]
        assert order.index(other) < order.index(first) < order.index(change) < order.index(second)


def test_cancel_leaves_the_state_and_runs_what_has_waited(graphs):
    run_spec = four_bits(normed_mlp())
    with Driver(run_spec, paused=True) as driver:
        before = graph_of(run_spec, graphs).read_state()
        sent = driver.run.send(AdaRound(batches=2, iterations=10**6))
        driver.until(lambda item: isinstance(item, CorrectionProgress) and (item.fraction or 0) > 0)
        waiting = driver.run.send(ChangeSettings((("*.weights.num_bits", 5),)))
        assert isinstance(driver.send(CancelCorrection()), events.CommandApplied)
        rejected = driver.answer(sent)
        assert isinstance(rejected, events.CommandRejected) and "cancelled" in rejected.message
        assert isinstance(driver.answer(waiting), events.CommandApplied)
        progress = [item for item in driver.news if isinstance(item, CorrectionProgress)]
        assert progress[-1].fraction is None
        assert_same_arrays(graph_of(run_spec, graphs).read_state(), before)
        assert "no correction" in driver.send(CancelCorrection()).message


def test_stop_during_a_correction_rejects_it_and_what_waits(graphs):
    with Driver(four_bits(normed_mlp()), paused=True) as driver:
        sent = driver.run.send(AdaRound(batches=2, iterations=10**6))
        driver.until(lambda item: isinstance(item, CorrectionProgress))
        waiting = driver.run.send(Undo())
        driver.run.send(Stop())
        assert isinstance(driver.finish(), events.Stopped)
        for command in (sent, waiting):
            assert "stopped" in driver.answer(command).message


def test_watched_channels_try_an_equalization_and_are_renewed_after_it(graphs):
    network = separable()
    run_spec = spec(network, parameters=unequal_parameters(network, widest=20), weights={"per_channel": False})
    with Driver(run_spec, paused=True) as driver:
        driver.run.send(WatchChannels())
        found = driver.until_event(ChannelsOverview)
        ratios = {ranges.tensor: ranges.range_ratio for ranges in found.tensors}
        assert set(found.equalized) == {"conv.weights", "depthwise.weights", "logits.weights"}
        since = len(driver.news)
        driver.send(EqualizeLayers())
        renewed = driver.until_event(ChannelsOverview, since=since)
        assert renewed.step == found.step
        for ranges in renewed.tensors:
            assert ranges.range_ratio == pytest.approx(found.equalized[ranges.tensor], rel=1e-3)
        assert max(found.equalized.values()) < max(ratios.values())


def test_refusals_name_the_reason(graphs):
    with Driver(spec(mlp()), paused=True) as driver:
        assert "no batch norm" in driver.send(ReestimateBatchNorm()).message
        assert "no layer with weights before" in driver.send(EqualizeLayers(("logits",))).message
        driver.send(ChangeSettings((("*.weights.enabled", False),)))
        assert "quantized now" in driver.send(AdaRound(1, 1)).message
        assert isinstance(driver.send(EqualizeLayers(("dense1",))), events.CommandApplied)


def test_a_failure_rejects_the_correction_and_the_run_continues(graphs, monkeypatch):
    def fail(*_):
        raise ValueError("made for the test")
        yield

    monkeypatch.setattr(correction_jobs, "correct_bias", fail)
    with Driver(spec(mlp(), steps=20, schedule=((5, CorrectBias()),))) as driver:
        assert isinstance(driver.finish(), events.Finished)
    (rejected,) = driver.events(events.CommandRejected)
    assert rejected.message == "ValueError: made for the test"
