"""Exact import of the networks of tf.keras.applications, with the smallest input size that each supports."""

import time

import pytest
import tensorflow.compat.v1 as tf
from exhaustive import tries
from keras_import_cases import assert_same, fresh_keras, images_for, lowered_output, plain_output, predicted, randomize
from processor_time import slowness

from qatviz.network.keras_import import import_model

#: Processor time, on the machine of tests/processor_time.py.
IMPORT_LIMIT_S = 30.0

SMALL = [("MobileNetV2", 32, 157, lowered_output)]
LARGE = [
    ("ResNet50", 32, 177, plain_output),
    ("MobileNet", 32, 92, plain_output),
    ("DenseNet121", 32, 491, plain_output),
    ("InceptionV3", 75, 313, plain_output),
]
# With random weights, activations grow from residual to residual.
HEADS = {"ResNet50": 1e-3}


@pytest.mark.slow
@pytest.mark.parametrize("name, size, num_layers, evaluate", tries(SMALL, SMALL + LARGE))
def test_applications(name, size, num_layers, evaluate):
    with fresh_keras():
        model = getattr(tf.keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=10)
        randomize(model, head=HEADS.get(name, 1.0))
        began_s = time.process_time()
        imported = import_model(model)
        took_s = (time.process_time() - began_s) / slowness()
        images = images_for(imported.network)
        expected = predicted(model, images)
    assert expected.max() < 0.9, "one class has it all: the softmax hides differences"
    assert took_s < IMPORT_LIMIT_S
    assert len(imported.network.layers) == num_layers
    assert_same(evaluate(imported, images), expected)
