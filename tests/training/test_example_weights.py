"""Weights of classes and examples: losses and updates equal those of Keras with them; without them, nothing changes."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from small_runs import dataset, mlp, spec
from training_cases import Driver, assert_same_arrays, graph_of

from qatviz import api
from qatviz.class_weights import class_weights_text, parse_class_weights, weights_of_classes
from qatviz.cli.parser import parse
from qatviz.cli.train_options import request_of
from qatviz.data import BatchSchedule, data_notes, from_arrays, load
from qatviz.data.example_weights import example_weights
from qatviz.data.store import write_store
from qatviz.errors import DataError, SettingError
from qatviz.protocol import events
from qatviz.protocol.run_spec import RunSpec
from qatviz.session.checkpoints import recorded_state
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.parameters import initial_parameters

WEIGHTS = ("dense1.weights", "dense1.bias", "logits.weights", "logits.bias")


def uneven(classes=3):
    """Return data with few examples of the last class."""
    random = np.random.RandomState(3)
    x = random.standard_normal((240, 6)).astype(np.float32)
    y = np.digitize(x[:, 0], [1.2] if classes == 2 else [0.4, 1.2])
    return from_arrays("uneven", "made for the test", (x[:160], y[:160]), (x[160:], y[160:]))


def final_arrays(run_spec):
    with Driver(run_spec) as driver:
        assert isinstance(driver.finish(), events.Finished)
    return driver.run.final.arrays


@pytest.mark.parametrize(
    "outputs, smoothing, given",
    [(3, 0.0, "2=4,0=0.5"), (3, 0.2, "balanced"), (1, 0.3, "1=5")],
)
def test_losses_and_updates_equal_those_of_keras(outputs, smoothing, given):
    """In float, with plain gradient descent on the same batches."""
    data, steps, rate = uneven(max(outputs, 2)), 20, 0.05
    counts = np.bincount(data.y_train)
    weights = {"2=4,0=0.5": [0.5, 1, 4], "balanced": 160 / (3 * counts), "1=5": [1, 5]}[given]
    run = {"learning_rate": rate, "label_smoothing": smoothing}
    run_spec = spec(mlp(classes=outputs), data, "float", steps, run, optimizer="sgd", class_weights=given)
    with Driver(run_spec) as driver:
        assert driver.finish() == events.Finished(steps)
    found, last = [record.loss for record in driver.steps()], driver.run.final.arrays
    targets = data.y_train[:, np.newaxis] if outputs == 1 else np.eye(3)[data.y_train]
    with tf.Graph().as_default(), tf.Session():
        parameters = initial_parameters(run_spec.network, run_spec.seed)
        layers = [tf.keras.layers.Dense(8, "relu", input_shape=(6,)), tf.keras.layers.Dense(outputs)]
        model = tf.keras.Sequential(layers)
        model.set_weights([parameters[name] for name in WEIGHTS])
        kind = tf.keras.losses.BinaryCrossentropy if outputs == 1 else tf.keras.losses.CategoricalCrossentropy
        model.compile(tf.keras.optimizers.SGD(rate), kind(from_logits=True, label_smoothing=smoothing))
        batches = BatchSchedule(len(data.x_train), run_spec.batch_size, run_spec.seed)
        expected = [
            model.train_on_batch(data.x_train[i], targets[i], class_weight=dict(enumerate(weights)))
            for i in map(batches.indices, range(steps))
        ]
        trained = model.get_weights()
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    for parameter, array in zip(WEIGHTS, trained):
        np.testing.assert_allclose(last[parameter], array, rtol=1e-3, atol=1e-5)


def test_weights_of_1_change_no_bit_and_no_weights_are_not_in_the_graph(graphs):
    without, ones = spec(steps=30), spec(steps=30, class_weights="0=1")
    assert_same_arrays(final_arrays(without), final_arrays(ones))
    assert (
        "weights" not in graph_of(without, graphs)._data._variables
        and "weights" in graph_of(ones, graphs)._data._variables
    )


def test_a_run_keeps_its_weights_and_goes_on_with_them(tmp_path):
    data = uneven()
    whole = final_arrays(spec(data=data, steps=40, class_weights="balanced"))
    first = spec(data=data, steps=20, class_weights="balanced")
    record = RunRecord.create(tmp_path / "run", first.description(), parameters=first.parameters)
    with Driver(first, record) as driver:
        driver.finish()
    description = RunRecord.read(tmp_path / "run").description
    assert description["class_weights"] == "balanced"
    rest = RunSpec.from_description(description, data, start=driver.run.final, steps=40)
    assert_same_arrays(final_arrays(rest), whole)
    assert "class_weights" not in spec(data=data).description()


def test_balanced_weights_are_those_of_scikit_learn():
    # compute_class_weight("balanced", ...) of scikit-learn: n_samples / (n_classes * np.bincount(y))
    assert weights_of_classes("balanced", ["a", "b", "c"], [8, 1, 3]) == [0.5, 4.0, 12 / 9]
    assert weights_of_classes("balanced", ["a", "b"], [8, 0]) == [0.5, 1.0]
    found = example_weights(uneven(), "balanced")
    sums = np.bincount(uneven().y_train, found.astype(np.float64))
    assert found.dtype == np.float32 and sums == pytest.approx(np.full(3, 160 / 3), rel=1e-6)


def test_texts_name_classes_by_name_or_number():
    names = ["cat", "dog", "0"]
    assert weights_of_classes("dog=2, 0=0.25", names, [1, 1, 1]) == [1, 2, 0.25]  # "0" is a name here
    assert weights_of_classes("1=2", names, [1, 1, 1]) == [1, 2, 1]
    assert weights_of_classes(" ", names, [1, 1, 1]) is None
    assert parse_class_weights("a=b=3") == {"a=b": 3.0}
    assert class_weights_text({0: 1, "dog": 0.1}) == "0=1,dog=0.1" and class_weights_text(None) == ""


@pytest.mark.parametrize("text", ["balance", "1", "1=", "=2", "1=x", "1=-1", "1=nan", "1=inf", "1=2,1=3", "1=2,"])
def test_other_texts_are_refused(text):
    with pytest.raises(SettingError, match="class_weights is .*: expected balanced, or CLASS=WEIGHT"):
        parse_class_weights(text)


def test_weights_that_do_not_fit_the_data_are_refused():
    with pytest.raises(SettingError, match="class_weights has the class '3': expected one of '0', '1', '2'"):
        spec(class_weights="3=2")
    with pytest.raises(SettingError, match="expected a weight above 0 for a class with examples"):
        spec(class_weights="0=0,1=0,2=0")
    x, y = dataset().x_train, dataset().x_train[:, :3]
    with pytest.raises(SettingError, match="but the data has no classes: expected none"):
        spec(data=from_arrays("numbers", "test", (x, y), (x, y)), class_weights="balanced")


def test_command_line_and_api_make_equal_requests():
    expected = request_of(parse(["train", "--class-weights", "3=2.0,7=0.5"]))
    assert expected.class_weights == "3=2.0,7=0.5" and not expected.problems()
    assert api.request_of("lenet", "mnist-5k", None, {"class_weights": {3: 2.0, 7: 0.5}}) == expected
    wrong = api.request_of("lenet", "mnist-5k", None, {"class_weights": "3:2"})
    assert list(wrong.problems()) == ["class_weights"]


# Weights of examples


def weighted(weights=None):
    data = uneven()
    given = np.linspace(0, 2, 160) if weights is None else weights
    train, test = (data.x_train, data.y_train), (data.x_test, data.y_test)
    return from_arrays("weighted", "made for the test", train, test, weights=given)


def test_losses_with_weights_of_examples_and_classes_equal_those_of_keras():
    data, steps, rate = weighted(), 20, 0.05
    run_spec = spec(mlp(), data, "float", steps, {"learning_rate": rate}, optimizer="sgd", class_weights="2=4")
    with Driver(run_spec) as driver:
        assert driver.finish() == events.Finished(steps)
    with tf.Graph().as_default(), tf.Session():
        layers = [tf.keras.layers.Dense(8, "relu", input_shape=(6,)), tf.keras.layers.Dense(3)]
        model = tf.keras.Sequential(layers)
        parameters = initial_parameters(run_spec.network, run_spec.seed)
        model.set_weights([parameters[name] for name in WEIGHTS])
        loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(tf.keras.optimizers.SGD(rate), loss)
        batches = BatchSchedule(160, run_spec.batch_size, run_spec.seed)
        weights = np.linspace(0, 2, 160) * np.array([1, 1, 4])[data.y_train]
        expected = [
            model.train_on_batch(data.x_train[i], data.y_train[i], sample_weight=weights[i])
            for i in map(batches.indices, range(steps))
        ]
        trained = model.get_weights()
    np.testing.assert_allclose([record.loss for record in driver.steps()], expected, rtol=1e-4)
    for parameter, array in zip(WEIGHTS, trained):
        np.testing.assert_allclose(driver.run.final.arrays[parameter], array, rtol=1e-3, atol=1e-5)


def test_an_archive_has_weights_that_are_split_with_the_examples(tmp_path):
    x = np.random.RandomState(0).rand(50, 4).astype(np.float32)
    y, w = np.arange(50) % 2, np.arange(50) / 50
    np.savez(str(tmp_path / "some.npz"), x=x, y=y, w_train=w)
    data = load(str(tmp_path / "some.npz"))
    assert data.w_train.dtype == np.float32 and not data.w_train.flags.writeable and len(data.w_train) == 40
    for row, weight in zip(data.x_train, data.w_train):
        assert weight == np.float32(w[np.flatnonzero((x == row).all(axis=1))[0]])
    assert any("weights from 0" in note.text for note in data_notes(data))
    np.savez(str(tmp_path / "none.npz"), x=x, y=y)
    without = load(str(tmp_path / "none.npz"))
    assert without.w_train is None and without.fingerprint != data.fingerprint
    assert data.with_scaling("signed").w_train is not None


def test_a_script_passes_weights_which_a_resumed_run_has_again(tmp_path):
    data = uneven()
    w = np.linspace(0, 2, 160)
    given = ((data.x_train, data.y_train, w), (data.x_test, data.y_test))
    out = str(tmp_path / "run")
    trained = api.train("mlp", given, out, quiet=True, steps=5, batch_size=8)
    spec_again = recorded_state(out)[1]
    np.testing.assert_array_equal(spec_again.dataset.w_train, w.astype(np.float32))
    plain = api.train("mlp", (given[0][:2], given[1]), quiet=True, steps=5, batch_size=8)
    name = "dense1.weights" if "dense1.weights" in plain.final_state.arrays else sorted(plain.final_state.arrays)[0]
    assert (trained.final_state.arrays[name] != plain.final_state.arrays[name]).any()


def test_a_store_keeps_the_weights(tmp_path):
    data = weighted()
    write_store(data, str(tmp_path / "store"))
    found = load(str(tmp_path / "store"))
    np.testing.assert_array_equal(found.w_train, data.w_train)
    assert found.fingerprint == data.fingerprint and example_weights(found).dtype == np.float32


@pytest.mark.parametrize(
    "weights, message",
    [
        (np.ones(3), "expected a number for each of 160 examples"),
        (np.full(160, -1.0), "expected finite weights of at least 0"),
        (np.zeros(160), "and one above 0"),
        (np.full(160, np.nan), "expected finite weights"),
        (np.array(["a"] * 160), "expected a number for each"),
    ],
)
def test_unusable_weights_are_refused(weights, message):
    with pytest.raises(DataError, match=f"w_train: .*{message}"):
        weighted(weights)
