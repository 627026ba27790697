"""Several labels for each example: training equals Keras', and every label is decided by the sign of its logit."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from small_runs import spec
from training_cases import Driver, graph_of

from qatviz.data import BatchSchedule, from_arrays
from qatviz.errors import NetworkError, SettingError
from qatviz.metric import MODES
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Dense, ReLU, Softmax
from qatviz.protocol.events import Evaluated, Finished, event_from
from qatviz.protocol.run_spec import RunSpec
from qatviz.telemetry.outcome import read_outcome
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.measuring import EVALUATIONS
from qatviz.training.parameters import initial_parameters

WEIGHTS = ("dense1.weights", "dense1.bias", "out.weights", "out.bias")


def data():
    """Return examples with three labels, of which any number apply."""
    x = np.random.RandomState(1).standard_normal((400, 6)).astype(np.float32)
    y = np.stack([x[:, 0] > 0.2, x[:, 1] + x[:, 2] > -0.5, x[:, 3] < -0.8], axis=1)
    return from_arrays("labels", "made for the test", (x[:256], y[:256]), (x[256:], y[256:]))


def net(outputs=3, ends_in_softmax=False):
    builder = NetworkBuilder("tiny", (6,))
    builder.add(Dense, "dense1", units=16)
    builder.add(ReLU, "dense1_relu")
    builder.add(Dense, "out", units=outputs)
    if ends_in_softmax:
        builder.add(Softmax, "probabilities")
    return builder.network()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_losses_and_updates_equal_those_of_keras(smoothing):
    """In float, with plain gradient descent on the same batches."""
    examples, steps, rate = data(), 30, 0.05
    run = {"learning_rate": rate, "label_smoothing": smoothing}
    run_spec = spec(net(), examples, "float", steps, run, optimizer="sgd", seed=3)
    assert run_spec.loss == "binary_cross_entropy" and run_spec.metric.name == "label_accuracy"
    with Driver(run_spec) as driver:
        assert driver.finish() == Finished(steps)
    found, last = [record.loss for record in driver.steps()], driver.run.final.arrays
    with tf.Graph().as_default(), tf.Session():
        parameters = initial_parameters(run_spec.network, run_spec.seed)
        layers = [tf.keras.layers.Dense(16, "relu", input_shape=(6,)), tf.keras.layers.Dense(3)]
        model = tf.keras.Sequential(layers)
        model.set_weights([parameters[weights] for weights in WEIGHTS])
        loss = tf.keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)
        model.compile(tf.keras.optimizers.SGD(rate), loss)
        batches = BatchSchedule(len(examples.x_train), run_spec.batch_size, run_spec.seed)
        y = examples.y_train.astype(np.float32)
        expected = [model.train_on_batch(examples.x_train[i], y[i]) for i in map(batches.indices, range(steps))]
        weights = model.get_weights()
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    for parameter, array in zip(WEIGHTS, weights):
        np.testing.assert_allclose(last[parameter], array, rtol=1e-3, atol=1e-5)


def test_labels_and_exact_matches_are_evaluated_in_every_mode_and_recorded(graphs, tmp_path):
    examples = data()
    run_spec = spec(net(), examples, steps=200, batch_size=32, run={"learning_rate": 0.01}, weights={"num_bits": 3})
    record = RunRecord.create(str(tmp_path / "run"), run_spec.description())
    with Driver(run_spec, record) as driver:
        assert driver.finish() == Finished(200)
    result = driver.events(Evaluated)[-1]
    (exact,) = result.further
    assert exact.metric == "exact_match" and not exact.output and not exact.outputs
    graph = graph_of(run_spec, graphs)
    for index, (mode, switches) in enumerate(EVALUATIONS.items()):
        correct = (graph.logits(examples.x_test, *switches) > 0) == examples.y_test
        assert result.scores[mode] == pytest.approx(correct.mean()), mode
        assert result.outputs[index] == pytest.approx(correct.mean(axis=0).tolist()), mode
        assert exact.scores[mode] == pytest.approx(correct.all(axis=1).mean()), mode
    assert 0.7 < exact.scores["quantized"] < result.scores["quantized"]
    assert list(exact.scores) == list(MODES)
    assert event_from(result.to_dict()) == result
    outcome = read_outcome(RunRecord.read(str(tmp_path / "run")))
    assert outcome.further == result.further and outcome.to_dict()["further"][0]["exact_match"] == exact.scores
    again = RunSpec.from_description(run_spec.description(), examples)
    assert again.loss == run_spec.loss and again.metric == run_spec.metric


def test_networks_and_losses_that_do_not_fit_are_refused():
    with pytest.raises(NetworkError, match="outputs 2 numbers, but labels has 3 labels: .* a model with 3 outputs"):
        spec(net(2), data())
    with pytest.raises(NetworkError, match="is a Softmax, .* add up to 1; to decide on each of the labels of labels"):
        spec(net(ends_in_softmax=True), data())
    with pytest.raises(
        SettingError, match="loss is 'cross_entropy', but the task is multilabel: expected binary_cross"
    ):
        spec(net(), data(), loss="cross_entropy")
