"""Regression: losses and trained weights equal Keras', the metric is the error on held-out data."""

import math
from dataclasses import replace

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from small_runs import dataset, spec
from training_cases import Driver, graph_of

from qatviz.data import BatchSchedule, from_arrays
from qatviz.errors import NetworkError
from qatviz.metric import MODES, RMSE
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Dense, ReLU, Softmax
from qatviz.protocol import events
from qatviz.protocol.commands import Evaluate, SingleStep
from qatviz.protocol.reasons import PauseReason
from qatviz.protocol.run_spec import RunSpec
from qatviz.session.begin import new_spec
from qatviz.session.models import Model
from qatviz.settings import RunSettings
from qatviz.telemetry.record.refill import metric_in
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.measuring import EVALUATIONS
from qatviz.training.objective import OBJECTIVES

OUTPUTS = 2


def numbers(shape=(6,), outputs=OUTPUTS, train=256, test=150, seed=0, scale=1.0, offset=0.0):
    """Return a data set whose targets are smooth functions of the examples."""
    random = np.random.RandomState(seed)
    mix = random.standard_normal((int(np.prod(shape)), outputs))

    def part(count):
        x = random.standard_normal((count, *shape)).astype(np.float32)
        return x, offset + scale * (np.tanh(x.reshape(count, -1).dot(mix) / 2) + 0.01 * random.randn(count, outputs))

    return from_arrays("numbers", "made for the test", part(train), part(test))


def net(outputs=OUTPUTS, softmax=False, units=16):
    builder = NetworkBuilder("tiny_regression", (6,))
    builder.add(Dense, "dense1", units=units)
    builder.add(ReLU, "dense1_relu")
    builder.add(Dense, "out", units=outputs)
    if softmax:
        builder.add(Softmax, "softmax")
    return builder.network()


def evaluated(driver):
    driver.send(Evaluate())
    return driver.until_event(events.Evaluated)


def keras_copy(parameters):
    """Return the same network in tf.keras with these weights, in its own graph."""
    model = tf.keras.Sequential(
        [tf.keras.layers.Dense(16, activation="relu", input_shape=(6,)), tf.keras.layers.Dense(OUTPUTS)]
    )
    model.set_weights([parameters[name] for name in ("dense1.weights", "dense1.bias", "out.weights", "out.bias")])
    return model


def test_losses_and_updates_equal_those_of_keras():
    """In float, with plain gradient descent on the same batches."""
    data, steps, rate = numbers(), 40, 0.05
    run_spec = spec(net(), data, "float", steps, {"learning_rate": rate}, optimizer="sgd", seed=3)
    with Driver(run_spec) as driver:
        assert driver.finish() == events.Finished(steps)
    losses = [record.loss for record in driver.steps()]
    last = driver.run.final.arrays
    with tf.Graph().as_default(), tf.Session():
        from qatviz.training.parameters import initial_parameters

        model = keras_copy(initial_parameters(run_spec.network, run_spec.seed))
        model.compile(tf.keras.optimizers.SGD(rate), "mse")
        batches = BatchSchedule(len(data.x_train), run_spec.batch_size, run_spec.seed)
        expected = [model.train_on_batch(data.x_train[i], data.y_train[i]) for i in map(batches.indices, range(steps))]
        weights = model.get_weights()
        held_out = math.sqrt(model.evaluate(data.x_test, data.y_test, verbose=0))
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    for name, array in zip(("dense1.weights", "dense1.bias", "out.weights", "out.bias"), weights):
        np.testing.assert_allclose(last[name], array, rtol=1e-3, atol=1e-5)
    assert driver.events(events.Evaluated)[-1].scores["float"] == pytest.approx(held_out, rel=1e-4)


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_metric_is_the_rmse_in_all_four_evaluations(graphs, outputs):
    data = numbers(outputs=outputs, test=300)  # of several batches
    run_spec = spec(net(outputs), data, weights={"num_bits": 3}, activations={"num_bits": 4})
    graph = graph_of(run_spec, graphs)
    with Driver(run_spec, paused=True) as driver:
        driver.run.send(SingleStep(20))
        driver.until(lambda item: isinstance(item, events.Paused) and item.reason is PauseReason.SINGLE_STEPS)
        result = evaluated(driver)
        assert result.metric == "rmse" and list(result.scores) == list(MODES) and result.num_examples == 300
        for mode, switches in EVALUATIONS.items():
            error = graph.logits(data.x_test, *switches).astype(np.float64) - data.y_test
            assert result.scores[mode] == pytest.approx(math.sqrt(np.mean(error**2)), rel=1e-6)
            if outputs > 1:
                by_output = np.sqrt(np.mean(error**2, axis=0))
                assert result.outputs[MODES.index(mode)] == pytest.approx(by_output, rel=1e-6)
    assert len(result.outputs) == (4 if outputs > 1 else 0)
    assert len(set(result.scores.values())) == 4, "the four ways are not told apart"


def test_a_quantized_network_learns_regression():
    """Its error falls to half of the spread of the targets, which is that of always predicting their mean.

    It reaches less than a quarter, here and there more or less: the last digits of sums are each processor's own.
    """
    data = numbers(train=512)
    with Driver(spec(net(units=32), data, steps=600, batch_size=32, run={"learning_rate": 0.01})) as driver:
        assert driver.finish() == events.Finished(600)
    result = driver.events(events.Evaluated)[-1]
    spread = math.sqrt(OBJECTIVES["mse"].baseline_loss(data))
    assert spread == pytest.approx(data.y_train.std(axis=0).mean(), rel=0.05)
    assert result.scores["quantized"] < 0.5 * spread and result.scores["float"] < 0.5 * spread
    history = driver.run.history
    assert metric_in(history) is RMSE
    assert history.series("rmse.quantized").mean[-1] == pytest.approx(result.scores["quantized"])


def test_the_output_range_covers_the_targets_from_the_first_step():
    data = numbers(scale=3.0, offset=-20.0)
    run_spec = spec(net(), data, steps=2)
    with Driver(run_spec) as driver:
        assert driver.finish() == events.Finished(2)
    batches = BatchSchedule(len(data.x_train), run_spec.batch_size, run_spec.seed)
    seen = [data.y_train[batches.indices(step)] for step in range(2)]
    state = driver.run.final.arrays
    assert state["range_min"][-1] <= np.mean([batch.min() for batch in seen]) * 0.999
    assert state["range_max"][-1] >= 0


def test_small_initial_outputs_grow_to_the_targets():
    """What lies outside the range has no gradient: a range that only followed the outputs would hold them down, here at
    an error of 2.4. Training comes to 0.06 in float and quantized; the bar is far from both."""
    random = np.random.RandomState(0)

    def part(count):
        y = np.where(np.arange(count) % 2, 5.0, 0.4)
        x = np.outer(y, np.full(6, 0.1)) + 0.05 * random.rand(count, 6)
        return x.astype(np.float32), y + 0.001 * random.rand(count)

    data = from_arrays("two clusters", "made for the test", part(256), part(100))
    with Driver(spec(net(1), data, steps=200, batch_size=32)) as driver:
        assert driver.finish() == events.Finished(200)
    assert driver.events(events.Evaluated)[-1].scores["quantized"] < 0.5


def test_large_targets_are_measured_in_their_own_unit():
    data = numbers(scale=1e6, offset=1e7)
    with Driver(spec(net(), data), paused=True) as driver:
        scores = evaluated(driver).scores
    assert scores["float"] == pytest.approx(1e7, rel=0.1)
    assert OBJECTIVES["mse"].baseline_loss(data) == pytest.approx(np.var(data.y_train, axis=0).mean(), rel=1e-3)


def test_the_loss_of_guessing_is_the_logarithm_of_the_number_of_classes():
    assert OBJECTIVES["cross_entropy"].baseline_loss(dataset(classes=3)) == math.log(3)


def test_networks_that_do_not_fit_regression_targets_are_refused():
    with pytest.raises(
        NetworkError, match="layer 'softmax' is a Softmax, .*to predict the numbers of numbers, end the"
    ):
        spec(net(softmax=True), numbers())
    with pytest.raises(NetworkError, match="outputs 3 numbers, but numbers has 2 numbers to predict"):
        spec(net(3), numbers())
    assert spec(net(3, softmax=True), dataset()).metric.name == "accuracy"


def test_a_resumed_run_keeps_its_task(tmp_path):
    data = numbers()
    run_spec = spec(net(), data, steps=30)
    assert run_spec.description()["task"] == "regression"
    record = RunRecord.create(tmp_path / "run", run_spec.description())
    with Driver(run_spec, record) as driver:
        driver.finish()
    reader = RunRecord.read(tmp_path / "run")
    told = [row for row in reader.events() if row["kind"] == "Evaluated"]
    assert [row["metric"] for row in told] == ["rmse"] and "accuracy" not in told[0]
    assert events.event_from(told[0]) == driver.events(events.Evaluated)[0]
    again = RunSpec.from_description(reader.description, data)
    assert again.metric is RMSE and again.description()["task"] == "regression"


def planes():
    """Return case r4: 1,500 rows with the targets 50 x0 + 20 x1, and a network that computes them exactly.

    The first layer copies x0 twenty times and x1 eight times, so that all weights of the second are 2.5: they are
    exact on any symmetric grid.
    """
    x = np.random.RandomState(16).rand(1500, 6).astype(np.float32)
    y = (50 * x[:, :1] + 20 * x[:, 1:2]).astype(np.float32)
    data = from_arrays("planes", "made for the test", (x[:1200], y[:1200]), (x[1200:], y[1200:]))
    copies, sums = np.zeros((6, 32), np.float32), np.zeros((32, 1), np.float32)
    copies[0, :20] = copies[1, 20:28] = 1
    sums[:28] = 2.5
    parameters = {
        "dense1.weights": copies,
        "dense1.bias": np.zeros(32, np.float32),
        "out.weights": sums,
        "out.bias": np.zeros(1, np.float32),
    }
    return Model(net(outputs=1, units=32), parameters), data


@pytest.mark.parametrize("given, low, high", [({}, 0.07, 0.1), ({"range_method": "moving_average"}, 0.4, 0.7)])
def test_the_range_of_the_output_contains_the_largest_predictions(given, low, high):
    """Rounding on the true range has an error of 70 / 255 / sqrt(12) = 0.08; the mean of the extremes clips."""
    model, data = planes()
    run = RunSettings(learning_rate=0.0, evaluation_interval=0, snapshot_interval=3600.0)
    run_spec = new_spec(model, data, "planes", activations=given, run=run, batch_size=32, steps=None)
    book, _ = run_spec.book.change([("*.enabled", False), ("out.activations.enabled", True)])
    with Driver(replace(run_spec, book=book), paused=True) as driver:
        since = len(driver.news)
        driver.run.send(SingleStep(150))
        driver.until_event(events.Paused, since=since)
        scores = evaluated(driver).scores
        assert scores["float"] < 1e-4 and low < scores["quantized"] < high, scores
