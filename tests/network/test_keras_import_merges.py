"""Import of layers that combine inputs of different shapes, and of what differs between versions of Keras."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from keras_import_cases import imported_exactly
from test_keras_import import chain, conv, dense, kinds

from qatviz.network.keras_import.config import parse_model
from qatviz.network.keras_import.convert import convert

layers = tf.keras.layers


def test_sums_and_extremes_of_different_shapes():
    def build():
        image = layers.Input((6, 5, 3))
        left, right = layers.Conv2D(4, 3, padding="same")(image), layers.Conv2D(4, 1)(image)
        vector = layers.GlobalAveragePooling2D()(left)
        pixel = layers.Reshape((1, 1, 4))(vector)
        parts = [layers.Subtract()([left, right]), layers.Average()([left, vector]), left - pixel]
        parts += [layers.Maximum()([left, right, pixel]), layers.Minimum()([vector, right]), tf.maximum(left, pixel)]
        total = layers.Add()([layers.Add()([*parts, left]), layers.Add()([left, pixel, right])])
        return tf.keras.Model(image, layers.Dense(3)(layers.Flatten()(total)))

    imported = imported_exactly(build)
    found = [kind for _, kind in kinds(imported)]
    assert {kind: found.count(kind) for kind in ("Add", "Subtract", "Average", "Maximum", "Minimum", "Reshape")} == {
        "Add": 4,
        "Subtract": 2,
        "Average": 1,
        "Maximum": 3,
        "Minimum": 1,
        "Reshape": 3,
    }


def test_sums_of_sequences_and_vectors():
    def build():
        sequence = layers.Input((7, 3))
        features = layers.Conv1D(4, 3, padding="same")(sequence)
        mean = layers.GlobalAveragePooling1D()(features)
        centred = layers.Conv1D(4, 1)(layers.Subtract()([features, mean]))
        return tf.keras.Model(sequence, layers.Dense(2)(layers.Flatten()(layers.Average()([centred, features]))))

    imported_exactly(build)


def test_an_average_of_three_is_their_scaled_sum():
    def build():
        image = layers.Input((6, 5, 3))
        parts = [layers.Conv2D(4, 3, padding="same")(image), layers.Conv2D(4, 1)(image)]
        parts.append(layers.GlobalAveragePooling2D()(parts[0]))
        return tf.keras.Model(image, layers.Dense(3)(layers.Flatten()(layers.Average(name="mean")(parts))))

    imported = imported_exactly(build)
    assert [kind for _, kind in kinds(imported)].count("Add") == 2
    assert {"mean.weights", "mean.bias"} <= imported.origin.frozen


def test_a_softmax_before_layers_that_reshape_is_the_output():
    def build():
        image = layers.Input((6, 5, 3))
        pixel = layers.Reshape((1, 1, 4))(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image)))
        scores = layers.Activation("softmax", name="probabilities")(layers.Conv2D(7, 1)(layers.Dropout(0.1)(pixel)))
        return tf.keras.Model(image, layers.Dropout(0.5)(layers.Reshape((7,))(scores)))

    imported = imported_exactly(build)
    assert [kind for _, kind in kinds(imported)][-4:] == ["Conv2D", "Reshape", "Dropout", "Softmax"]
    assert imported.network.output == "probabilities" and imported.network.output_shape == (7,)


def test_a_softmax_within_the_model():
    def build():
        image = layers.Input((6, 5, 3))
        trunk = layers.Conv2D(4, 3)(image)
        weights = layers.Softmax()(layers.Conv2D(4, 1)(trunk))
        return tf.keras.Model(image, layers.Dense(3)(layers.Flatten()(layers.Multiply()([trunk, weights]))))

    imported = imported_exactly(build)
    assert imported.network.output_shape == (3,) and "Softmax" in [kind for _, kind in kinds(imported)]


def test_slopes_of_a_prelu_are_trained_for_each_channel():
    def build():
        image = layers.Input((6, 5, 3))
        first = layers.PReLU(shared_axes=[1, 2], name="first")(layers.Conv2D(4, 3)(image))
        sequence = layers.Reshape((12, 4))(first)
        second = layers.PReLU(shared_axes=[1])(layers.Conv1D(5, 3)(sequence))
        return tf.keras.Model(image, layers.PReLU()(layers.Dense(6)(layers.GlobalAveragePooling1D()(second))))

    imported = imported_exactly(build)
    assert imported.origin.arrays["first/slope.weights"] == (("first",), "alpha")
    assert imported.network.parameter_shapes("first/slope")["weights"] == (1, 1, 4, 1)


@pytest.mark.parametrize("shape", [(6, 5, 3), (6, 5), (2, 3, 4, 2)], ids=str)
def test_slopes_of_a_prelu_are_trained_for_each_value(shape):
    def build():
        image = layers.Input(shape)
        slopes = layers.PReLU(name="slopes")(layers.Dense(4)(image))
        return tf.keras.Model(image, layers.Dense(2)(layers.Flatten()(slopes)))

    imported = imported_exactly(build)
    assert imported.origin.arrays["slopes/slope.weights"] == (("slopes",), "alpha")
    assert imported.parameters["slopes/slope.weights"].size == 4 * np.prod(shape[:-1])


def test_a_hard_sigmoid_as_a_setting():
    imported = imported_exactly(
        chain(conv(activation="hard_sigmoid"), lambda: layers.Activation("hard_sigmoid"), layers.Flatten, dense())
    )
    assert [layer.slope for layer in imported.network.layers if layer.kind == "Activation"] == [0.2, 0.2]


def test_a_hard_sigmoid_of_keras_3_has_its_slope():
    """Keras 3: 0 up to -3, 1 from 3 on, x / 6 + 1 / 2 between."""
    records = [
        {"class_name": "InputLayer", "config": {"name": "image", "batch_shape": [None, 4]}},
        {"class_name": "Dense", "config": {"name": "dense", "units": 2, "activation": "hard_sigmoid"}},
    ]
    model = {"class_name": "Sequential", "config": {"name": "model", "layers": records}}
    (layer,) = [layer for layer in convert(parse_model(model), None).network.layers if layer.kind == "Activation"]
    np.testing.assert_allclose(layer.values([-4.0, -3.0, 0.0, 1.5, 3.0, 5.0]), [0, 0, 0.5, 0.75, 1, 1])
    records[0]["config"]["batch_input_shape"] = records[0]["config"].pop("batch_shape")
    (layer,) = [layer for layer in convert(parse_model(model), None).network.layers if layer.kind == "Activation"]
    np.testing.assert_allclose(layer.values([-4.0, 1.5, 2.5]), [0, 0.8, 1])
