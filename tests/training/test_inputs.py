"""Several inputs: training equals Keras', the record keeps their names, exact evaluation and settings of each."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from small_runs import spec
from training_cases import Driver

import qatviz
from qatviz.data import BatchSchedule, load
from qatviz.data.inputs import from_inputs
from qatviz.errors import DataError, NetworkError
from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import quantize_input, run_codes
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import codes_of
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Concat, Dense, ReLU
from qatviz.protocol.events import Finished
from qatviz.protocol.run_spec import RunSpec
from qatviz.session.recorded_data import recorded_data
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.parameters import initial_parameters


def data():
    random = np.random.RandomState(1)
    wide, thin = (
        random.standard_normal((400, 6)).astype(np.float32),
        random.standard_normal((400, 2)).astype(np.float32),
    )
    labels = np.digitize(wide[:, 0] + 2 * thin[:, 1], [-1.0, 1.0])
    given = {"wide": wide, "thin": thin}
    part = slice(256), slice(256, None)
    train, test = (({name: x[rows] for name, x in given.items()}, labels[rows]) for rows in part)
    return from_inputs("inputs", "made for the test", train, test)


def net():
    builder = NetworkBuilder("tiny", {"wide": (6,), "thin": (2,)})
    one = builder.add(Dense, "one", "wide", units=8)
    other = builder.add(Dense, "other", "thin", units=8)
    builder.add(Concat, "both", (one, other))
    builder.add(ReLU, "relu")
    builder.add(Dense, "out", units=3)
    return builder.network()


def test_losses_and_updates_equal_those_of_keras():
    """In float, with plain gradient descent on the same batches."""
    steps, rate = 30, 0.05
    run_spec = spec(net(), data(), "float", steps, {"learning_rate": rate}, optimizer="sgd", seed=3)
    with Driver(run_spec) as driver:
        assert driver.finish() == Finished(steps)
    found, last = [record.loss for record in driver.steps()], driver.run.final.arrays
    rows = run_spec.dataset.x_train
    with tf.Graph().as_default(), tf.Session():
        parameters = initial_parameters(run_spec.network, run_spec.seed)
        wide, thin = tf.keras.layers.Input((6,)), tf.keras.layers.Input((2,))
        parts = [tf.keras.layers.Dense(8, name="one")(wide), tf.keras.layers.Dense(8, name="other")(thin)]
        x = tf.keras.layers.ReLU()(tf.keras.layers.Concatenate()(parts))
        model = tf.keras.Model([wide, thin], tf.keras.layers.Dense(3, name="out")(x))
        for name in ("one", "other", "out"):
            model.get_layer(name).set_weights([parameters[name + ".weights"], parameters[name + ".bias"]])
        loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(tf.keras.optimizers.SGD(rate), loss)
        batches = BatchSchedule(len(rows), run_spec.batch_size, run_spec.seed)
        expected = [
            model.train_on_batch([rows[i, :6], rows[i, 6:]], run_spec.dataset.y_train[i])
            for i in map(batches.indices, range(steps))
        ]
        weights = {name: model.get_layer(name).get_weights() for name in ("one", "other", "out")}
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    for name, (kernel, bias) in weights.items():
        np.testing.assert_allclose(last[name + ".weights"], kernel, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(last[name + ".bias"], bias, rtol=1e-3, atol=1e-5)


def test_the_evaluation_has_the_codes_of_the_integers_with_settings_of_each_input():
    run_spec = spec(net(), data(), steps=60, run={"learning_rate": 0.02})
    run_spec = replace(run_spec, book=run_spec.book.change([("wide.activations.num_bits", 4)])[0])
    with Driver(run_spec) as driver:
        assert driver.finish() == Finished(60)
    state = driver.run.final
    model = integer_model(run_spec.network, state.book, state.arrays, state.step)
    rows = run_spec.dataset.x_test
    codes = run_codes(model, quantize_input(model, rows), [model.output])[model.output]
    with EvaluationGraph(run_spec.network, state.book, state.arrays, state.step) as graph:
        np.testing.assert_array_equal(codes_of(graph.logits(rows), model.logits), codes)
    names = [tensor.quantizer for tensor in model.inputs]
    assert names == ["wide.activations", "thin.activations"]
    assert [tensor.num_bits for tensor in model.inputs] == [4, 8]


def test_a_run_is_recorded_and_resumed(tmp_path):
    x = {"wide": np.random.RandomState(0).standard_normal((90, 6)), "thin": np.random.RandomState(1).rand(90, 2)}
    y = np.arange(90) % 3
    with tf.Graph().as_default(), tf.Session().as_default():
        thin, wide = tf.keras.layers.Input((2,), name="thin"), tf.keras.layers.Input((6,), name="wide")
        out = tf.keras.layers.Dense(3, name="out")(tf.keras.layers.Concatenate()([wide, thin]))
        model = tf.keras.Model([wide, thin], out)
        trained = qatviz.train(model, (x, y), str(tmp_path / "run"), True, steps=5, scaling={"thin": "standard"})
    assert trained.network.input_names == ("wide", "thin")
    description = RunRecord.read(str(tmp_path / "run")).description
    assert description["network"]["inputs"] == [["wide", [6]], ["thin", [2]]]
    assert description["scaling"].startswith("wide=none;thin=")
    again = RunSpec.from_description(json.loads(json.dumps(description)), recorded_data(description))
    np.testing.assert_array_equal(again.dataset.x_train, trained._spec.dataset.x_train)
    archive = load(description["data"])
    assert [each.name for each in archive.inputs] == ["thin", "wide"]


def test_data_and_network_must_match():
    with pytest.raises(NetworkError, match="the network has the inputs 'wide', 'thin'"):
        spec(net())
    with pytest.raises(NetworkError, match="the network has one input"):
        spec(data=data())
    with pytest.raises(DataError, match="no input 'a' to scale"):
        qatviz.train("lenet", (np.zeros((4, 3)), np.arange(4) % 2), quiet=True, scaling={"a": "unit"}, steps=1)
