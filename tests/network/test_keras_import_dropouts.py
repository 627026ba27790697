"""Import of dropouts that share axes: whole channels, and whole examples, as in residual branches of EfficientNet."""

import json

import pytest
import tensorflow.compat.v1 as tf
from keras_import_cases import fresh_keras, imported_exactly

from qatviz.errors import NetworkError
from qatviz.network.keras_export import keras_description
from qatviz.network.layers import Dropout

layers = tf.keras.layers


def imported(*makers, shape):
    ends = (layers.Flatten, lambda: layers.Dense(5))
    return imported_exactly(
        lambda: tf.keras.Sequential([layers.InputLayer(shape), *(make() for make in (*makers, *ends))])
    )


def exported_noise_shape(network):
    """Return the noise_shape of the only Dropout in the description of a network, from which Keras builds a model."""
    description = keras_description(network).config
    with fresh_keras():
        tf.keras.models.model_from_json(description)
    (found,) = [layer for layer in json.loads(description)["config"]["layers"] if layer["class_name"] == "Dropout"]
    return found["config"].get("noise_shape")


@pytest.mark.parametrize(
    "make, shape, axes",
    [
        (lambda: layers.Dropout(0.4), (9, 10, 3), ()),
        (lambda: layers.SpatialDropout2D(0.4), (9, 10, 3), (0, 1)),
        (lambda: layers.SpatialDropout1D(0.4), (10, 3), (0,)),
        (lambda: layers.Dropout(0.4, noise_shape=(None, 1, 1, 1)), (9, 10, 3), (0, 1, 2)),
        (lambda: layers.Dropout(0.4, noise_shape=(None, None, 10, 1)), (9, 10, 3), (2,)),
    ],
)
def test_dropouts_keep_the_axes_that_they_share(make, shape, axes):
    network = imported(make, shape=shape).network
    assert network.layers[0].kind == "Dropout" and network.layers[0].rate == 0.4
    assert network.layers[0].shared_axes == axes
    expected = [None, *(1 if axis in axes else None for axis in range(len(shape)))]
    assert exported_noise_shape(network) == (expected if axes else None)


def test_a_dropout_on_a_sequence_shares_the_axes_of_keras():
    network = imported(lambda: layers.Conv1D(4, 3), lambda: layers.SpatialDropout1D(0.4), shape=(10, 3)).network
    (dropout,) = [layer for layer in network.layers if layer.kind == "Dropout"]
    assert dropout.shared_axes == (1,) and network.shapes[dropout.name] == (1, 8, 4)
    assert exported_noise_shape(network) == [None, 1, None]


@pytest.mark.parametrize("noise", [(1, 1, 1, 3), (None, 1, 3)])
def test_other_shapes_of_noise_are_refused(noise):
    with pytest.raises(NetworkError, match=r"setting noise_shape is .*None for the batch, then 1 or None"):
        imported(lambda: layers.Dropout(0.4, noise_shape=noise), shape=(9, 10, 3))


def test_shared_axes_are_axes_of_the_input():
    with pytest.raises(NetworkError, match=r"shared_axes is \(2,\); allowed: axes of the input shape \(3, 4\)"):
        Dropout("drop", "input", shared_axes=(2,)).output_shape([(3, 4)])
