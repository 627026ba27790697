"""Models of tf.keras come in exactly: in float, the network puts out what `predict` puts out."""

import pytest
import tensorflow.compat.v1 as tf
from keras_import_cases import imported_exactly

layers = tf.keras.layers


def sequential(*parts):
    return lambda: tf.keras.Sequential(list(parts()))


def kinds(imported):
    return {layer.name: layer.kind for layer in imported.network.layers}


CONVOLUTIONS = [
    dict(kernel_size=3, strides=2, padding="same"),
    dict(kernel_size=3, strides=2, padding="valid"),
    dict(kernel_size=(2, 5), strides=3, padding="same"),
    dict(kernel_size=(4, 1), strides=3, padding="valid"),
    dict(kernel_size=3, dilation_rate=2, padding="same"),
    dict(kernel_size=(2, 3), dilation_rate=(1, 3), padding="valid"),
]


@pytest.mark.parametrize("settings", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("kind", ["Conv2D", "DepthwiseConv2D", "SeparableConv2D"])
def test_convolutions(kind, settings):
    own = {} if kind == "DepthwiseConv2D" else {"filters": 5}
    if kind != "Conv2D":
        own["depth_multiplier"] = 2
    imported_exactly(sequential(lambda: [
        getattr(layers, kind)(name="c", input_shape=(11, 14, 3), **own, **settings), layers.Flatten()]))
