"""Networks with several inputs: their description, and import from Keras."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from keras_import_cases import lowered_output, randomize

from qatviz.errors import NetworkError
from qatviz.inputs import packed_examples, split_examples
from qatviz.network.graph import Network, NetworkBuilder
from qatviz.network.keras_import import UnknownInputShape, import_model, load_model_file
from qatviz.network.layers import Concat, Conv2D, Dense, Flatten
from qatviz.network.plan import quantization_plan

layers = tf.keras.layers
SHAPES = {"left": (8, 8, 1), "age": (3,)}


def network(**changes):
    net = NetworkBuilder("two", {"left": (8, 8, 1), "age": (3,)})
    net.add(Conv2D, "conv", filters=2)
    flat = net.add(Flatten, "flat")
    net.add(Concat, "both", inputs=(flat, "age"))
    net.add(Dense, "out", units=2)
    return net.network()


def test_inputs_are_named_in_order():
    net = network()
    assert net.input_names == ("left", "age") and dict(net.inputs) == SHAPES
    assert net.input_shape == (67,) and net.shapes["age"] == (3,)
    assert net.consumers("age") == ("both",)
    record = net.to_dict()
    assert record["inputs"] == [["left", [8, 8, 1]], ["age", [3]]] and "input_shape" not in record
    assert Network.from_dict(record) == net


def test_one_input_keeps_its_form():
    net = NetworkBuilder("one", (4,))
    net.add(Dense, "out", units=2)
    made = net.network()
    assert made.inputs == (("input", (4,)),) and set(made.to_dict()) == {"name", "input_shape", "layers"}


@pytest.mark.parametrize(
    "inputs, said",
    [
        ({"left": (2,)}, "two or more"),
        ({"left": (2,), "conv": (2,)}, "a name that no input has"),
        ({"left": (2,), "a b": (2,)}, "a letter"),
        ({"left": (2,), "input": (2,)}, "any other name"),
        ({"left": (2,), "other": ()}, "input 'other'"),
        ({"left": (2,), "other": (2,)}, "no layer uses the inputs 'other'"),
    ],
)
def test_invalid_inputs(inputs, said):
    with pytest.raises(NetworkError, match=said):
        Network("two", inputs, (Dense("conv", ("left",), units=2),))


@pytest.mark.parametrize("rows", [[["a", [2]]], [["a", [2]], ["a", [2]]], [["a"], ["b"]], {"a": [2]}, "ab"])
def test_invalid_records(rows):
    with pytest.raises(NetworkError):
        Network.from_dict(dict(network().to_dict(), inputs=rows))


def test_each_input_has_a_quantizer():
    plan = quantization_plan(network())
    assert [tensor.name for tensor in plan.tensors[:2]] == ["left.activations", "age.activations"]
    assert plan.grid_of("left") == "left.activations"
    # A Concat has the grid of its inputs; the convolution's input keeps its own.
    assert not plan.shares_grid("left.activations") and plan.shares_grid("age.activations")


def test_rows_hold_the_values_of_all_inputs():
    inputs = tuple(network().inputs)
    random = np.random.RandomState(0)
    arrays = [random.standard_normal((5, *shape)) for _, shape in inputs]
    rows = packed_examples(arrays)
    assert rows.shape == (5, 67)
    for (name, found), given in zip(split_examples(inputs, rows).items(), arrays):
        np.testing.assert_array_equal(found, given, err_msg=name)


# Import


def keras_model():
    """Return a model of two images of different sizes and three numbers, one of which a nested model takes."""
    left, right = layers.Input((8, 8, 1), name="left"), layers.Input((8, 8, 2), name="right")
    age = layers.Input((3,), name="age")
    one, other = layers.Input((8, 8, 1)), layers.Input((8, 8, 2))
    inner = tf.keras.Model([other, one], layers.Concatenate()([one, other]), name="inner")
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(inner([right, left]))
    x = layers.Flatten()(layers.MaxPooling2D()(x))
    x = layers.Concatenate()([x, layers.Dense(4, activation="relu", name="of_age")(age)])
    return tf.keras.Model([left, age, right], layers.Dense(3, name="out")(x), name="three")


def examples(seed=1):
    random = np.random.RandomState(seed)
    return [random.standard_normal((5, *shape)).astype(np.float32) for shape in ((8, 8, 1), (3,), (8, 8, 2))]


def check(imported, given, expected):
    assert imported.network.input_names == ("left", "age", "right")
    found = lowered_output(imported, packed_examples(given))
    assert np.abs(found - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


def test_models_and_their_files_compute_the_same(tmp_path):
    given = examples()
    with tf.Graph().as_default(), tf.Session().as_default():
        model = keras_model()
        randomize(model)
        expected = model.predict_on_batch(given)
        check(import_model(model), given, expected)
        model.save(str(tmp_path / "model.h5"))
        (tmp_path / "model.json").write_text(model.to_json())
        model.save_weights(str(tmp_path / "weights.h5"))
    check(load_model_file(tmp_path / "model.h5"), given, expected)
    check(load_model_file(tmp_path / "model.json", tmp_path / "weights.h5"), given, expected)


def test_unknown_shapes_are_given_for_each_input():
    with tf.Graph().as_default(), tf.Session().as_default():
        one, other = layers.Input((None, None, 1), name="one"), layers.Input((2,), name="other")
        x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3, name="conv")(one))
        model = tf.keras.Model([one, other], layers.Dense(2)(layers.Concatenate()([x, other])))
        with pytest.raises(UnknownInputShape, match=r"input_shape\['one'\]"):
            import_model(model)
        for given in ({"one": (6, 7, 1)}, {"one": (6, 7, 1), "other": (2,)}, {"0": (6, 7, 1)}):
            assert import_model(model, given).network.inputs[0] == ("one", (6, 7, 1))
        with pytest.raises(NetworkError, match=r"input_shape\['other'\]"):
            import_model(model, {"one": (6, 7, 1), "other": (3,)})
