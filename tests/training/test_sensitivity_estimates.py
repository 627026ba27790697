"""Sensitivities of a run: estimates against measurements, and both while it trains."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from small_runs import convnet, dataset, mlp, spec
from training_cases import Driver

from qatviz.analysis.pending import pending_grid
from qatviz.analysis.sensitivity import WIDTHS, MeasuredSensitivity, Sensitivity, SensitivityProgress
from qatviz.data.inputs import for_inputs, from_inputs
from qatviz.network.elementwise import Add
from qatviz.network.embedding import Embedding
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Dense, Flatten
from qatviz.protocol.commands import ChangeSettings, Evaluate, MeasureSensitivity, TakeSnapshot, WatchSensitivity
from qatviz.protocol.events import Evaluated
from qatviz.quant import affine
from qatviz.quant.ranges import min_max_range
from qatviz.quant.weight_maps import mapped
from qatviz.session.sensitivity import sensitivity_of
from qatviz.task import CLASSIFICATION
from qatviz.training import pieces, sensitivity


def ended(run_spec):
    """Return the spec with the last state of the run as its start."""
    with Driver(run_spec) as driver:
        driver.finish()
    return replace(run_spec, start=driver.run.final)


def with_bits(run_spec, bits):
    book, _ = run_spec.start.book.change([("*.num_bits", bits)])
    return replace(run_spec, start=replace(run_spec.start, book=book))


@pytest.mark.parametrize("network", [None, convnet()])
def test_estimates_agree_with_measurements(network):
    """At 6 bits, errors are small, so that the second order is the divergence, up to the noise of the random signs."""
    found = sensitivity_of(with_bits(ended(spec(network, steps=60)), 6), measured=True)
    estimated, measured = found.estimated, found.measured
    assert np.all(np.diff(estimated.scores[:, [0, 2, 4]]) <= 0), "more bits, less damage"
    np.testing.assert_allclose(estimated.present, estimated.scores[:, WIDTHS.index(6)], rtol=1e-5)
    for tensor, alone in zip(measured.tensors, measured.alone):
        estimate = estimated.score(tensor, 6)
        assert alone.divergence / 4 <= estimate <= alone.divergence * 4, tensor
    assert measured.in_float.divergence == 0.0 < measured.quantized.divergence
    assert all(without.divergence <= 4 * measured.quantized.divergence for without in measured.without)


MAPS = {
    "binary": {"num_bits": 1},
    "binary-by-channel": {"num_bits": 1, "per_channel": True},
    "ternary": {"weight_map": "ternary"},
    "ternary-by-channel": {"weight_map": "ternary", "num_bits": 4, "per_channel": True},
    "tanh": {"weight_map": "tanh", "num_bits": 3},
    "none": {"num_bits": 3},
}


@pytest.mark.parametrize("case", MAPS)
def test_errors_of_weights_are_those_of_map_and_rounding(case):
    """All scores of weights are those of errors by the NumPy reference, for each number of bits and the present one."""
    run_spec = ended(spec(mlp(), dataset(test=24), steps=30))  # in one piece, whose random signs begin at 0
    book, _ = run_spec.start.book.change([(f"*.weights.{name}", value) for name, value in MAPS[case].items()])
    start = replace(run_spec.start, book=book)
    found = sensitivity_of(replace(run_spec, start=start)).estimated
    inputs, arrays = run_spec.dataset.x_test.astype(np.float64), start.arrays
    sums = inputs @ arrays["dense1.weights"] + arrays["dense1.bias"]
    hidden = np.maximum(sums, 0)
    outputs = hidden @ arrays["logits.weights"] + arrays["logits.bias"]
    with tf.Graph().as_default(), tf.Session() as session:
        vectors = session.run(
            sensitivity._with_fisher_covariance(tf.constant(outputs, tf.float32), CLASSIFICATION, (0, 14))
        )
    back = (vectors @ arrays["logits.weights"].T) * (sums > 0)
    for name, left, right in (("dense1.weights", inputs, back), ("logits.weights", hidden, vectors)):
        tensor, w = run_spec.plan.tensor(name), arrays[name]
        index = found.tensors.index(name)
        for settings, score in zip(by_width(book.of(name)), (*found.scores[index], found.present[index])):
            after = mapped(w, settings, tensor.num_channels)
            grid = pending_grid(tensor, settings, min_max_range(w), w)
            error = affine.fake_quant(after, grid) - w
            expected = np.square(np.einsum("ni,ij,nj->n", left, error, right)).sum() / (2 * len(inputs))
            assert score == pytest.approx(expected, rel=1e-3), (name, settings)
            assert error.any()


def by_width(settings):
    return [*(replace(settings, num_bits=width) for width in WIDTHS), settings]


def test_estimates_of_mapped_weights_agree_with_measurements():
    """Of ternary weights, which have the same error with any number of bits, and of tanh-mapped ones."""
    run_spec = ended(spec(convnet(), steps=60))
    changes = [("conv.weights.weight_map", "ternary"), ("logits.weights.weight_map", "tanh")]
    start = replace(run_spec.start, book=run_spec.start.book.change(changes)[0])
    found = sensitivity_of(replace(run_spec, start=start), measured=True)
    for name in ("conv.weights", "logits.weights"):
        alone = found.measured.alone[found.measured.tensors.index(name)]
        assert alone.divergence / 4 <= found.estimated.score(name, 8) <= alone.divergence * 4, name
    assert len(set(found.estimated.scores[found.estimated.tensors.index("conv.weights")])) == 1


def test_a_table_of_vectors_has_a_sensitivity():
    """Its error is that of the rows which an example selects; two layers share it."""
    net = NetworkBuilder("twins", {"one": (4,), "two": (4,)})
    net.add(Embedding, "table", "one", input_dim=20, output_dim=5)
    net.add(Embedding, "again", "two", input_dim=20, output_dim=5, shares="table")
    net.add(Add, "sum", ("table", "again"))
    net.add(Flatten, "flat")
    net.add(Dense, "logits", units=3)
    network, random = net.network(), np.random.RandomState(0)
    given = {name: random.randint(0, 20, (80, 4)).astype(np.float32) for name in ("one", "two")}
    data = from_inputs("twins", "a test", (given, np.arange(80) % 3), validation_fraction=0.5)
    run_spec = ended(spec(network, for_inputs(data, network.inputs), steps=30))
    found = sensitivity_of(with_bits(run_spec, 4), measured=True)
    alone = found.measured.alone[found.measured.tensors.index("table.weights")]
    assert alone.divergence / 4 <= found.estimated.score("table.weights", 4) <= alone.divergence * 4


def test_tensors_in_float_have_no_error_now():
    run_spec = ended(spec(steps=1))
    book, _ = run_spec.start.book.change([("dense1.weights.enabled", False)])
    found = sensitivity_of(replace(run_spec, start=replace(run_spec.start, book=book)), measured=True)
    index = found.estimated.tensors.index("dense1.weights")
    assert found.estimated.present[index] == 0.0 < found.estimated.scores[index, 0]
    assert "dense1.weights" not in found.measured.tensors


def test_a_run_that_trains_estimates_while_it_is_watched(graphs):
    with Driver(spec()) as driver:
        driver.send(WatchSensitivity())
        first = driver.until(lambda item: isinstance(item, Sensitivity))
        later = driver.until(lambda item: isinstance(item, Sensitivity) and item.step > first.step)
        assert later.tensors == tuple(tensor.name for tensor in driver.run.spec.plan.tensors)
        driver.send(WatchSensitivity(False))
        since = len(driver.news)
        step = driver.until_step(driver.run.step + 50).step
    assert step > later.step
    assert not any(isinstance(item, Sensitivity) for item in driver.news[since:])


def test_a_measurement_continues_after_evaluations_and_snapshots_of_other_settings(graphs, monkeypatch):
    """It is of the settings with which it was requested, whatever is published between its pieces."""
    monkeypatch.setattr(pieces, "LARGEST_PIECE", 4)
    with Driver(spec(), paused=True) as driver:
        driver.send(Evaluate())
        before = driver.until_event(Evaluated)
        driver.run.send(MeasureSensitivity())
        driver.until(lambda item: isinstance(item, SensitivityProgress) and item.fraction)
        driver.run.send(ChangeSettings((("*.weights.num_bits", 2),)))
        driver.run.send(TakeSnapshot())
        driver.send(Evaluate())
        after = driver.until_event(Evaluated, since=driver.news.index(before) + 1)
        found = driver.until(lambda item: isinstance(item, MeasuredSensitivity))
    assert driver.news.index(after) < driver.news.index(found), "the evaluation is not the one in between"
    assert found.in_float.score == before.scores["float"] and found.quantized.score == before.scores["quantized"]
    assert found.quantized.divergence < 1e-2, "that of 2 bits is far larger"
    fractions = [item.fraction for item in driver.news if isinstance(item, SensitivityProgress)]
    assert fractions[0] == 0.0 and fractions[-1] == 1.0 and fractions == sorted(fractions)


def test_a_measurement_can_be_cancelled(graphs, monkeypatch):
    monkeypatch.setattr(pieces, "LARGEST_PIECE", 1)  # hundreds of pieces: it is not complete before
    with Driver(spec()) as driver:
        driver.run.send(MeasureSensitivity())
        driver.send(MeasureSensitivity(False))
        last = driver.until(lambda item: isinstance(item, SensitivityProgress) and item.fraction is None)
        since = driver.news.index(last) + 1
        driver.until_step(driver.run.step + 20)
    assert not any(isinstance(item, (MeasuredSensitivity, SensitivityProgress)) for item in driver.news[since:])
