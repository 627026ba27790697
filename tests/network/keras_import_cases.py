"""Keras models with random weights, and the outputs of these models and of the imported networks."""

from contextlib import contextmanager

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from tensorflow.python.keras.layers import normalization

from qatviz.inputs import split_examples
from qatviz.network.keras_import import import_model
from qatviz.network.plan import quantization_plan
from qatviz.quant import live_state
from qatviz.settings import RunSettings, quantizer_settings
from qatviz.training.lowering.forward_pass import lower

TOLERANCE = 1e-4
"""Relative to the largest absolute output of Keras."""


@contextmanager
def fresh_keras():
    """Use a temporary graph and session, in which the automatic names of layers start again."""
    with tf.Graph().as_default(), tf.Session().as_default():
        yield


def functional(body, input_shape=(9, 10, 3)):
    """Return a function that builds a functional model whose output is `body(input)`."""

    def build():
        image = tf.keras.Input(input_shape)
        return tf.keras.Model(image, body(image), name="graph")

    return build


def randomize(model, seed=0, head=1.0):
    """Set all weights; statistics and scales of batch norm differ between channels.

    `head` scales the last kernel, so that the softmax does not saturate.
    """
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
    for last in [variable for variable in values if "kernel" in variable.name][-1:]:
        values[last] *= head
    # Through their initializers: separate assignments would take ten times as long.
    tf.keras.backend.get_session().run(
        [variable.initializer for variable in values],
        {variable.initializer.inputs[1]: value for variable, value in values.items()},
    )


def assign(model, part, value):
    """Set all elements of the first weight whose name contains `part` to `value`."""
    values = model.get_weights()
    names = [variable.name for variable in model.weights]
    values[next(index for index, name in enumerate(names) if part in name)][...] = value
    model.set_weights(values)


def images_for(network, count=3, seed=1):
    return np.random.RandomState(seed).standard_normal((count, *network.input_shape)).astype(np.float32)


def predicted(model, images):
    """Return the outputs of `model.predict`, without its pool of threads."""
    return model.predict_on_batch(images)


def predicted_in_double_precision(build, weights, images):
    """Return the outputs in float64, free of float32's rounding, of the model that `build` returns."""
    keras = tf.keras
    with fresh_keras(), pytest.MonkeyPatch.context() as patch:
        # The fused kernels have no float64.
        patch.setattr(normalization.BatchNormalizationBase, "_fused_can_be_used", lambda layer: False)
        keras.backend.set_floatx("float64")
        try:
            model = build()
            model.set_weights(weights)
            return predicted(model, images.astype(np.float64))
        finally:
            keras.backend.set_floatx("float32")


def lowered_output(imported, images):
    """Return the outputs of the imported network in the evaluation graph with all quantizers off."""
    network, plan = imported.network, quantization_plan(imported.network)
    place = live_state.layout(plan)
    leaders = [plan.tensors[members[0]] for members in plan.groups]
    off = [quantizer_settings(tensor.kind, tensor.name, enabled=False) for tensor in leaders]
    state = dict(live_state.initial_ranges(place), **live_state.settings_arrays(place, off, RunSettings(), 0))
    with tf.Graph().as_default(), tf.Session() as session:
        shown = tf.placeholder(tf.float32, (None, *network.input_shape))
        parameters = {name: tf.placeholder(tf.float32, value.shape) for name, value in imported.parameters.items()}
        constants = {name: tf.constant(value) for name, value in state.items()}
        logits = lower(network, plan, shown, parameters, constants, training=False).logits
        feeds = {parameters[name]: value for name, value in imported.parameters.items()}
        values = session.run(logits, {shown: images, **feeds})
    if network.layer(network.output).kind == "Softmax":  # which the graph leaves to the loss
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)
    return values


def plain_output(imported, images, dtype=tf.float32):
    """Return the first of :func:`plain_outputs`."""
    return plain_outputs(imported, images, dtype)[0]


def plain_outputs(imported, images, dtype=tf.float32):
    """Return the outputs of the imported network in a plain TensorFlow graph, which is built ten times faster.

    Of several inputs, `images` are rows.
    """
    network = imported.network
    with tf.Graph().as_default(), tf.Session() as session:
        fed = {name: tf.placeholder(dtype, value.shape) for name, value in imported.parameters.items()}
        given = split_examples(network.inputs, images)
        outputs = {name: tf.placeholder(dtype, (None, *values.shape[1:])) for name, values in given.items()}
        feeds = {outputs[name]: values for name, values in given.items()}
        for layer in network.layers:
            own = {name: fed[f"{layer.owner}.{name}"] for name in network.parameter_shapes(layer.owner)}
            result = _OPERATIONS[layer.kind](layer, own, *[outputs[source] for source in layer.inputs])
            outputs[layer.name] = tf.nn.bias_add(result, own["bias"]) if "bias" in own else result
        feeds.update({fed[name]: value for name, value in imported.parameters.items()})
        return session.run([outputs[name] for name in network.outputs], feeds)


def _normalize(layer, own, x):
    return tf.nn.batch_normalization(
        x, own["moving_mean"], own["moving_variance"], own["beta"], own["gamma"], layer.epsilon
    )


def _reshape(layer, own, x):
    return tf.reshape(x, (-1, *layer.output_shape([tuple(x.shape.as_list()[1:])])))


_OPERATIONS = {
    "Conv2D": lambda layer, own, x: tf.nn.convolution(x, own["weights"], layer.padding, layer.strides, layer.dilation),
    "GroupedConv2D": lambda layer, own, x: tf.concat(
        [
            tf.nn.convolution(part, kernel, layer.padding, layer.strides, layer.dilation)
            for part, kernel in zip(tf.split(x, layer.groups, -1), tf.split(own["weights"], layer.groups, -1))
        ],
        -1,
    ),
    "DepthwiseConv2D": lambda layer, own, x: tf.nn.depthwise_conv2d(
        x, own["weights"], (1, *layer.strides, 1), layer.padding, layer.dilation
    ),
    "Conv2DTranspose": lambda layer, own, x: tf.nn.conv2d_transpose(
        x,
        tf.transpose(own["weights"], (0, 1, 3, 2)),
        (tf.shape(x)[0], *layer.output_shape([tuple(x.shape.as_list()[1:])])),
        layer.strides,
        layer.padding,
    ),
    "Dense": lambda layer, own, x: tf.matmul(x, own["weights"]),
    "BatchNorm": _normalize,
    "ReLU": lambda layer, own, x: tf.nn.relu(x),
    "ReLU6": lambda layer, own, x: tf.nn.relu6(x),
    "Activation": lambda layer, own, x: layer.definition.tensorflow(tf, layer.parameters, x),
    "MaxPool": lambda layer, own, x: tf.nn.max_pool2d(x, layer.pool_size, layer.strides, layer.padding),
    "AveragePool": lambda layer, own, x: tf.nn.avg_pool2d(x, layer.pool_size, layer.strides, layer.padding),
    "GlobalAveragePool": lambda layer, own, x: tf.reduce_mean(x, [1, 2]),
    "Add": lambda layer, own, *xs: sum(xs),
    "Subtract": lambda layer, own, *xs: tf.subtract(*xs),
    "Average": lambda layer, own, *xs: sum(xs) / len(xs),
    "Maximum": lambda layer, own, *xs: tf.maximum(*xs),
    "Minimum": lambda layer, own, *xs: tf.minimum(*xs),
    "Multiply": lambda layer, own, *xs: tf.multiply(*xs),
    "MatMul": lambda layer, own, *xs: layer.factor * tf.matmul(*xs, transpose_b=layer.transpose_second),
    "Concat": lambda layer, own, *xs: tf.concat(xs, layer.axis + 1 if layer.axis >= 0 else layer.axis),
    "Flatten": _reshape,
    "Reshape": _reshape,
    "ZeroPad": lambda layer, own, x: tf.pad(x, ((0, 0), *layer.padding, (0, 0))),
    "Slice": lambda layer, own, x: x[(slice(None), *layer.slices)],
    "Permute": lambda layer, own, x: tf.transpose(x, (0, *(axis + 1 for axis in layer.axes))),
    "UpsampleBilinear": lambda layer, own, x: tf.keras.backend.resize_images(
        x, *layer.size, "channels_last", "bilinear"
    ),
    "UpsampleNearest": lambda layer, own, x: tf.keras.backend.resize_images(x, *layer.size, "channels_last"),
    "Dropout": lambda layer, own, x: x,
    "Softmax": lambda layer, own, x: tf.nn.softmax(x),
}


def assert_same(found, expected, tolerance=TOLERANCE):
    assert np.ptp(expected) > 1e-6, "the expected outputs are constant"
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


def imported_exactly(build, seed=0, evaluate=plain_output, tolerance=TOLERANCE):
    """Build and import a model, and compare the outputs; return the imported model."""
    with fresh_keras():
        model = build()
        randomize(model, seed)
        imported = import_model(model)
        images = images_for(imported.network)
        expected = predicted(model, images)
    assert_same(evaluate(imported, images), expected, tolerance)
    return imported
