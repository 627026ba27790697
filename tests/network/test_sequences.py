"""1-D layers of Keras: imported exactly, held as layers on images of height 1, shown and written back as 1-D layers."""

import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from keras_import_cases import (
    assert_same,
    fresh_keras,
    functional,
    images_for,
    imported_exactly,
    lowered_output,
    plain_output,
)

from qatviz.errors import NetworkError
from qatviz.export.keras.model import arrays_for_keras, keras_file, loaded
from qatviz.network.graph import NetworkBuilder
from qatviz.network.keras_export import keras_description
from qatviz.network.keras_import import import_model
from qatviz.network.keras_import.config import parse_model
from qatviz.network.keras_import.convert import convert
from qatviz.network.layers import Conv2D, DepthwiseConv2D, Flatten, MaxPool, ReLU, Reshape
from qatviz.network.plan import quantization_plan
from qatviz.network.sequences import sequence_layers
from qatviz.presentation.network.drawing import network_drawing
from qatviz.training.parameters import initial_parameters

layers = tf.keras.layers


def every_layer(x):
    x = layers.Conv1D(8, 7, padding="causal", dilation_rate=2, name="first")(x)
    x = layers.ReLU()(layers.BatchNormalization(epsilon=1e-7)(x))
    x = layers.MaxPooling1D(2)(x)
    y = layers.SeparableConv1D(8, 3, padding="same", depth_multiplier=2, activation="relu")(x)
    x = layers.Concatenate(axis=1)([layers.Add()([x, y]), y])
    x = layers.AveragePooling1D(3, 2, "same")(layers.Concatenate()([x, layers.Activation("relu")(x)]))
    x = layers.SpatialDropout1D(0.3)(layers.ZeroPadding1D((1, 2))(x))
    x = layers.Conv1D(4, 5, strides=2)(layers.Dense(6, activation="relu")(x))
    return layers.concatenate(
        [layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x), layers.Flatten()(x)], name="joined"
    )


@pytest.mark.parametrize("evaluate", [plain_output, lowered_output])
def test_all_layers_in_1d(evaluate):
    imported = imported_exactly(functional(every_layer, (40, 3)), evaluate=evaluate)
    # The sequence becomes an image once, and remains one.
    assert [layer.name for layer in imported.network.layers if layer.kind == "Reshape"] == ["first/image"]


def test_causal_padding_with_strides():
    def body(x):
        x = layers.Conv1D(5, 4, strides=3, padding="causal")(x)
        return layers.Flatten()(layers.SeparableConv1D(5, 3, padding="same", strides=2)(x))

    imported_exactly(functional(body, (23, 3)))


def test_layers_on_both_axes_of_a_sequence_take_them_in_keras_shape():
    def body(x):
        y = layers.Conv1D(6, 3, padding="same", name="conv")(x)
        column = layers.Conv2D(3, 3, activation="relu")(layers.Reshape((20, 6, 1))(y))
        swapped = layers.Conv1D(4, 3)(layers.Reshape((6, 20))(y))
        own = layers.Add()([layers.Dense(6)(x), y])
        return layers.Dense(7)(layers.concatenate([layers.Flatten()(z) for z in (column, swapped, own)]))

    imported_exactly(functional(body, (20, 6)))


def test_an_output_in_1d_has_keras_shape():
    imported = imported_exactly(functional(lambda x: layers.Conv1D(4, 3, activation="softmax")(x), (12, 3)))
    assert imported.network.shapes[imported.network.output] == (10, 4)
    imported = imported_exactly(functional(lambda x: layers.Conv1D(4, 3, name="last")(x), (12, 3)))
    assert (imported.network.output, imported.network.shapes["last/shape"]) == ("last/shape", (10, 4))


def test_a_batch_norm_of_a_sequence_is_folded_into_its_convolution():
    imported = imported_exactly(
        functional(lambda x: layers.Flatten()(layers.BatchNormalization(name="bn")(layers.Conv1D(4, 3)(x))), (12, 3))
    )
    assert imported.network.layer("bn").inputs == ("conv1d",)
    # Keras does not use its fused kernel, which raises a small epsilon, on sequences.
    assert not any("epsilon" in note for note in imported.notes)


def test_an_image_is_no_sequence():
    with fresh_keras():
        model = functional(lambda x: layers.Flatten()(layers.Conv2D(3, 3)(x)), (6, 6, 2))()
        record = json.loads(model.to_json())
    record["config"]["layers"][1]["class_name"] = "Conv1D"
    record["config"]["layers"][1]["config"].update(kernel_size=[3], strides=[1], dilation_rate=[1])
    with pytest.raises(NetworkError, match=r"conv2d.*\(6, 6, 2\).*two axes \(length, features\)"):
        convert(parse_model(record), None)


def test_keras_gets_1d_layers_back():
    imported = imported_exactly(functional(every_layer, (40, 3)))
    network, origin = imported.network, keras_description(imported.network)
    kinds = [layer["class_name"] for layer in json.loads(origin.config)["config"]["layers"]]
    # TensorFlow 1.15 has no depthwise convolution in 1-D: a Reshape before it and one behind.
    assert kinds.count("Reshape") == 2 and kinds.count("Conv1D") == 4 and "Conv2D" not in kinds
    assert {"MaxPooling1D", "AveragePooling1D", "GlobalAveragePooling1D", "ZeroPadding1D"} <= set(kinds)
    content, untouched = keras_file(origin, arrays_for_keras(network, origin, imported.parameters))
    assert untouched == 0
    images = images_for(network)
    with loaded(content) as model:
        found = model.predict_on_batch(images)
    assert_same(found, plain_output(imported, images))
    with fresh_keras():
        tf.keras.models.model_from_json(origin.config)


def test_layers_that_use_the_height_are_written_to_keras_in_2d():
    net = NetworkBuilder("heights", (9, 2))
    net.add(Reshape, "image", target_shape=(1, 9, 2))
    net.add(Conv2D, "flat", filters=3, kernel_size=(1, 3))
    net.add(Conv2D, "tall", filters=3, kernel_size=3)
    net.add(ReLU, "relu")
    net.add(DepthwiseConv2D, "depthwise", kernel_size=(1, 3))
    net.add(MaxPool, "pool", pool_size=(1, 2))
    net.add(Flatten, "flatten")
    network = net.network()
    assert sequence_layers(network) == {"image", "flat"}
    origin, state = keras_description(network), initial_parameters(network, 0)
    content, _ = keras_file(origin, arrays_for_keras(network, origin, state))
    images = np.random.RandomState(0).standard_normal((3, 9, 2)).astype(np.float32)
    with fresh_keras(), loaded(content) as model:
        found = model.predict_on_batch(images)
        imported = import_model(model)
    expected = plain_output(imported._replace(network=network, parameters=state), images)
    assert_same(found, expected)
    assert_same(plain_output(imported, images), expected)


def test_sequences_are_shown_in_keras_terms():
    imported = imported_exactly(functional(every_layer, (40, 3)))
    plan = quantization_plan(imported.network)
    weights, activations = plan.tensor("first.weights"), plan.tensor("first.activations")
    assert (weights.shown_kind, weights.shown_shape) == ("Conv1D", (7, 3, 8)) and weights.shape == (1, 7, 3, 8)
    assert (activations.shown_kind, activations.shown_shape) == ("Conv1D", (40, 8))
    joined = plan.tensor("joined.activations")
    assert (joined.shown_kind, joined.shown_shape) == ("Concat", joined.shape)
    drawn = network_drawing(imported.network, plan).texts
    assert drawn["first"].layers == "Conv1D 7 + BatchNorm + ReLU" and drawn["first"].shape.startswith("40×8 ")
    assert drawn["max_pooling1d"][1:] == ("MaxPool 2", "20×8")
    assert drawn["conv1d"].layers == "Conv1D 5 /2"


@pytest.mark.parametrize("rank, shape", [("1D", (9, 3)), ("2D", (4, 5, 3))])
@pytest.mark.parametrize("kind", ["GlobalAveragePooling", "GlobalMaxPooling"])
def test_global_pools_that_keep_their_axes(kind, rank, shape):
    """TensorFlow 1.15's layers have no such setting; later ones write it."""
    with fresh_keras():
        model = functional(lambda x: getattr(layers, kind + rank)(name="pool")(x), shape)()
        record = json.loads(model.to_json())
    record["config"]["layers"][1]["config"]["keepdims"] = True
    network = convert(parse_model(record), {}).network
    assert network.shapes[network.output] == (*(1,) * (len(shape) - 1), 3)
