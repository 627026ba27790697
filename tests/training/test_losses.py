"""Losses: values and trained weights equal those of Keras' losses; a single logit decides between two classes."""

import math

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from small_runs import spec
from training_cases import Driver, graph_of

from qatviz.data import BatchSchedule, from_arrays
from qatviz.errors import NetworkError, SettingError
from qatviz.losses import LOSS_CHOICES, LOSSES, loss_for
from qatviz.metric import MODES
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Dense, ReLU
from qatviz.protocol import events
from qatviz.protocol.run_spec import RunSpec
from qatviz.task import CLASSIFICATION, REGRESSION
from qatviz.training.measuring import EVALUATIONS
from qatviz.training.objective import OBJECTIVES
from qatviz.training.parameters import initial_parameters

WEIGHTS = ("dense1.weights", "dense1.bias", "out.weights", "out.bias")


def data_for(task, outputs):
    """Return examples with targets, some of them far off; or with two classes, or as many as outputs."""
    random = np.random.RandomState(1)
    x = random.standard_normal((400, 6)).astype(np.float32)
    if task == REGRESSION:
        y = 3 * x[:, :outputs] + np.where(random.rand(400, 1) < 0.1, 8, 0)
    else:
        y = np.digitize(x[:, 0] + x[:, 1], [0.3] if outputs == 1 else [-0.6, 0.6])
    return from_arrays("examples", "made for the test", (x[:256], y[:256]), (x[256:], y[256:]))


def net(outputs):
    builder = NetworkBuilder("tiny", (6,))
    builder.add(Dense, "dense1", units=16)
    builder.add(ReLU, "dense1_relu")
    builder.add(Dense, "out", units=outputs)
    return builder.network()


def keras_loss(name, smoothing):
    if name == "cross_entropy":
        return tf.keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    if name == "binary_cross_entropy":
        return tf.keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)
    return tf.keras.losses.Huber() if name == "huber" else name


@pytest.mark.parametrize(
    "name, outputs, smoothing",
    [
        ("cross_entropy", 3, 0.0),
        ("cross_entropy", 3, 0.2),
        ("binary_cross_entropy", 1, 0.0),
        ("binary_cross_entropy", 1, 0.3),
        ("binary_cross_entropy", 3, 0.0),
        ("binary_cross_entropy", 3, 0.3),
        ("mse", 2, 0.0),
        ("mae", 2, 0.0),
        ("huber", 2, 0.5),
    ],
)
def test_losses_and_updates_equal_those_of_keras(name, outputs, smoothing):
    """In float, with plain gradient descent on the same batches."""
    data, steps, rate = data_for(LOSSES[name].tasks[0], outputs), 30, 0.05
    run = {"learning_rate": rate, "label_smoothing": smoothing}
    run_spec = spec(net(outputs), data, "float", steps, run, optimizer="sgd", seed=3, loss=name)
    with Driver(run_spec) as driver:
        assert driver.finish() == events.Finished(steps)
    found, last = [record.loss for record in driver.steps()], driver.run.final.arrays
    targets = np.eye(3)[data.y_train] if CLASSIFICATION in LOSSES[name].tasks and outputs == 3 else data.y_train
    with tf.Graph().as_default(), tf.Session():
        parameters = initial_parameters(run_spec.network, run_spec.seed)
        layers = [tf.keras.layers.Dense(16, "relu", input_shape=(6,)), tf.keras.layers.Dense(outputs)]
        model = tf.keras.Sequential(layers)
        model.set_weights([parameters[weights] for weights in WEIGHTS])
        model.compile(tf.keras.optimizers.SGD(rate), keras_loss(name, smoothing))
        batches = BatchSchedule(len(data.x_train), run_spec.batch_size, run_spec.seed)
        expected = [model.train_on_batch(data.x_train[i], targets[i]) for i in map(batches.indices, range(steps))]
        weights = model.get_weights()
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    for parameter, array in zip(WEIGHTS, weights):
        np.testing.assert_allclose(last[parameter], array, rtol=1e-3, atol=1e-5)


def test_a_loss_without_knowledge_is_that_of_the_mean_or_of_equal_probabilities():
    targets = data_for(REGRESSION, 2)
    error = np.abs(targets.y_train - targets.y_train.mean(axis=0, dtype=np.float64))
    huber = np.where(error <= 1, error**2 / 2, error - 0.5)
    for name, expected in (("mse", error**2), ("mae", error), ("huber", huber)):
        assert OBJECTIVES[name].baseline_loss(targets) == pytest.approx(expected.mean(), rel=1e-5)
    classes = data_for(CLASSIFICATION, 3)
    assert OBJECTIVES["cross_entropy"].baseline_loss(classes) == pytest.approx(math.log(3))
    assert OBJECTIVES["binary_cross_entropy"].baseline_loss(classes) == pytest.approx(math.log(2))


def test_a_single_logit_is_trained_and_evaluated_by_its_sign(graphs):
    data = data_for(CLASSIFICATION, 1)
    run_spec = spec(net(1), data, steps=300, batch_size=32, run={"learning_rate": 0.01}, weights={"num_bits": 4})
    assert run_spec.loss == "binary_cross_entropy" and run_spec.metric.name == "accuracy"
    with Driver(run_spec) as driver:
        assert driver.finish() == events.Finished(300)
    result = driver.events(events.Evaluated)[-1]
    graph = graph_of(run_spec, graphs)
    for mode, switches in EVALUATIONS.items():
        logits = graph.logits(data.x_test, *switches)
        assert logits.shape == (144, 1)
        assert result.scores[mode] == pytest.approx(np.mean((logits[:, 0] > 0) == data.y_test)), mode
    assert result.scores["quantized"] > 0.9
    assert list(result.scores) == list(MODES)


def test_a_run_keeps_its_loss():
    data = data_for(REGRESSION, 2)
    run_spec = spec(net(2), data, loss="huber")
    description = run_spec.description()
    assert description["loss"] == "huber"
    assert RunSpec.from_description(description, data).loss == "huber"
    del description["loss"]  # as records of version 0.2 are
    assert RunSpec.from_description(description, data).loss == "mse"


def test_losses_that_do_not_fit_are_refused_with_those_that_do():
    with pytest.raises(SettingError, match="loss is 'mse', but the task is classification: expected cross_entropy or"):
        spec(net(3), data_for(CLASSIFICATION, 3), loss="mse")
    with pytest.raises(SettingError, match="loss is 'cross_entropy', but the task is regression: expected mse or mae"):
        spec(net(2), data_for(REGRESSION, 2), loss="cross_entropy")
    with pytest.raises(SettingError, match="single output, whose softmax is always 1: expected binary_cross_entropy"):
        spec(net(1), data_for(CLASSIFICATION, 1), loss="cross_entropy")
    with pytest.raises(NetworkError, match="outputs 1 number, but examples has 3 classes"):
        spec(net(1), data_for(CLASSIFICATION, 3))
    with pytest.raises(SettingError, match="loss"):
        spec(net(2), data_for(REGRESSION, 2), loss="hinge")


def test_every_task_has_losses_and_one_by_default():
    assert ("auto", *LOSSES) == LOSS_CHOICES and set(OBJECTIVES) == set(LOSSES)
    assert loss_for("auto", CLASSIFICATION, 10) == "cross_entropy"
    assert loss_for("auto", CLASSIFICATION, 1) == "binary_cross_entropy"
    assert loss_for("auto", REGRESSION, 1) == "mse"
