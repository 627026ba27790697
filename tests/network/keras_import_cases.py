"""Keras models with random weights, and what they and the networks imported of them put out."""

from contextlib import contextmanager

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.network.keras_import import import_model
from qatviz.network.plan import quantization_plan
from qatviz.quant import live_state
from qatviz.settings import RunSettings, quantizer_settings
from qatviz.training.lowering import lower

TOLERANCE = 1e-4
"""Of the largest absolute value that Keras puts out."""


@contextmanager
def fresh_keras():
    """A graph and a session of their own: names of layers start anew, and nothing is left behind."""
    with tf.Graph().as_default(), tf.Session().as_default():
        yield


def randomize(model, seed=0):
    """Sets all weights; statistics and scales of batch norm differ from channel to channel."""
    random = np.random.RandomState(seed)
    values = {}
    for variable in model.weights:
        shape = tuple(variable.shape.as_list())
        name = variable.name.rsplit("/", 1)[1].split(":")[0]
        if name in ("gamma", "moving_variance"):
            value = random.uniform(0.5, 1.5, shape)
        elif name.endswith("kernel"):
            fan_in = np.prod(shape[:2] if name == "depthwise_kernel" else shape[:-1])
            value = random.standard_normal(shape) * np.sqrt(2.0 / fan_in)
        else:
            value = random.standard_normal(shape) * 0.3
        values[variable] = value
    # By their initializers: an assignment of its own for each would take ten times as long.
    tf.keras.backend.get_session().run([variable.initializer for variable in values], {
        variable.initializer.inputs[1]: value for variable, value in values.items()})


def images_for(network, count=3, seed=1):
    return np.random.RandomState(seed).standard_normal((count,) + network.input_shape).astype(np.float32)


def predicted(model, images):
    """What `model.predict` gives, which keeps a pool of threads for good."""
    return model.predict_on_batch(images)


def float_output(imported, images):
    """What the imported network puts out with all quantizers off."""
    network, plan = imported.network, quantization_plan(imported.network)
    place = live_state.layout(plan)
    leaders = [plan.tensors[members[0]] for members in plan.groups]
    off = [quantizer_settings(tensor.kind, tensor.name, enabled=False) for tensor in leaders]
    state = dict(live_state.initial_ranges(place), **live_state.settings_arrays(place, off, RunSettings(), 0))
    with tf.Graph().as_default(), tf.Session() as session:
        shown = tf.placeholder(tf.float32, (None,) + network.input_shape)
        parameters = {name: tf.placeholder(tf.float32, value.shape) for name, value in imported.parameters.items()}
        constants = {name: tf.constant(value) for name, value in state.items()}
        logits = lower(network, plan, shown, parameters, constants, training=False).logits
        feeds = {parameters[name]: value for name, value in imported.parameters.items()}
        values = session.run(logits, {shown: images, **feeds})
    return softmax(values) if network.layer(network.output).kind == "Softmax" else values


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def assert_same(found, expected):
    assert np.ptp(expected) > 1e-6, "the oracle says nothing"
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


def imported_exactly(build, seed=0, count=3):
    """Builds a model, imports it, compares; returns what was imported."""
    with fresh_keras():
        model = build()
        randomize(model, seed)
        imported = import_model(model)
        images = images_for(imported.network, count)
        expected = predicted(model, images)
    assert_same(float_output(imported, images), expected)
    return imported
