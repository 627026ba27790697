"""Import of operations that move, add or select elements."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from keras_import_cases import functional, images_for, imported_exactly, plain_output
from test_keras_import_operations import description, loaded, operation

from qatviz.errors import NetworkError

layers = tf.keras.layers


@pytest.mark.parametrize(
    "body",
    [
        lambda x: tf.transpose(x, (0, 3, 1, 2)),
        lambda x: -x,
        lambda x: tf.abs(x),
        lambda x: tf.exp(x),
        lambda x: tf.expand_dims(x, -1),
        lambda x: tf.expand_dims(x, 1),
        lambda x: tf.squeeze(x[:, :1], 1),
        lambda x: tf.squeeze(x[:, :1, 2:3], [1, 2]),
        lambda x: tf.squeeze(tf.expand_dims(tf.reduce_sum(x, 1), 2), [2]),
        lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 3], [0, 0]]),
        lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 3], [2, 1]]),
        lambda x: tf.pad(x, [[0, 0], [0, 0], [0, 0], [2, 2]]),
        lambda x: tf.pad(tf.reduce_sum(x, 1), [[0, 0], [2, 0], [0, 0]]),
        lambda x: tf.pad(tf.reduce_sum(x, 1), [[0, 0], [0, 1], [1, 0]]),
        lambda x: tf.pad(layers.GlobalAveragePooling2D()(x), [[0, 0], [1, 2]]),
        lambda x: tf.depth_to_space(x, 2),
        lambda x: tf.space_to_depth(x[:, :8], 2),
        lambda x: x[:, None],
        lambda x: x[:, 1:-1, 0, tf.newaxis, ::2],
        lambda x: x[..., tf.newaxis],
        lambda x: tf.reduce_max(x, [1, 2]),
        lambda x: tf.reduce_max(x, -1, keepdims=True),
        lambda x: tf.reduce_max(x, [1, 3]),
        lambda x: tf.reduce_max(tf.reduce_sum(x, 1), 1),
    ],
)
def test_outputs_equal_those_of_keras(body):
    def whole(x):
        moved = body(layers.Conv2D(8, 3, padding="same")(x))
        return layers.Dense(3)(layers.Flatten()(moved) if len(moved.shape) > 2 else moved)

    imported_exactly(functional(whole))


@pytest.mark.parametrize(
    "function, settings",
    [
        ("transpose", {"perm": [0, 2, 3, 1]}),
        ("expand_dims", {"axis": -2}),
        ("pad", {"paddings": [[0, 0], [0, 0], [1, 1], [0, 2]]}),
        ("nn.depth_to_space", {"block_size": 2}),
        ("math.negative", {}),
        ("math.reduce_max", {"axis": [1, 3], "keepdims": True}),
        ("nn.max_pool2d", {"ksize": 2, "strides": [1, 2, 1, 1], "padding": "VALID"}),
        ("nn.avg_pool2d", {"ksize": [3, 2], "strides": 2, "padding": "SAME"}),
    ],
)
def test_functions_of_tensorflow_2(tmp_path, function, settings):
    imported = loaded(tmp_path, description(operation("f", function, ["x", 0, 0, settings]), output="f"))
    shown = images_for(imported.network)
    name = function.rpartition(".")[2]
    with tf.Graph().as_default(), tf.Session() as session:
        module = tf.nn if "pool" in name else tf
        expected = session.run(getattr(module, name)(tf.constant(shown), **settings))
    np.testing.assert_array_equal(plain_output(imported, shown), expected)


def keras_3_operation(kind, **config):
    """Return a call of an operation on x in the form of Keras 3."""
    history = {"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}}
    constants = config.pop("constants", [])
    return {
        "class_name": kind,
        "module": "keras.src.ops.numpy",
        "name": "f",
        "config": dict(config, name="f"),
        "inbound_nodes": [{"args": [history, *constants], "kwargs": {}}],
    }


@pytest.mark.parametrize(
    "kind, settings, expected",
    [
        ("Transpose", {"axes": [0, 3, 1, 2]}, lambda x: x.transpose(0, 3, 1, 2)),
        ("ExpandDims", {"axis": 1}, lambda x: x[:, None]),
        ("Squeeze", {"axis": None}, lambda x: x),
        ("Pad", {"pad_width": [[0, 0], [0, 1], [2, 0], [0, 0]]}, lambda x: np.pad(x, [(0, 0), (0, 1), (2, 0), (0, 0)])),
        ("Max", {"axis": [1, 2], "keepdims": False}, lambda x: x.max((1, 2))),
        ("Negative", {}, np.negative),
        ("SwapAxes", {"axis1": 1, "axis2": -1}, lambda x: x.swapaxes(1, -1)),
        (
            "MaxPool",
            {"pool_size": [3, 1], "strides": None, "padding": "valid"},
            lambda x: x.reshape(-1, 2, 3, 5, 4).max(2),
        ),
        ("Absolute", {}, np.abs),
        ("Mish", {}, lambda x: x * np.tanh(np.log1p(np.exp(x)))),
        ("Celu", {}, lambda x: x),
        ("HardTanh", {}, lambda x: np.clip(x, -1, 1)),
        ("Power", {"constants": [2]}, np.square),
        ("Power", {"constants": [-0.5]}, lambda x: 1 / np.sqrt(x)),
        (
            "Normalize",
            {"axis": -1, "order": 2, "epsilon": None},
            lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True),
        ),
    ],
)
def test_operations_of_keras_3(tmp_path, kind, settings, expected):
    imported = loaded(tmp_path, description(keras_3_operation(kind, **settings), output="f"))
    shown = np.abs(images_for(imported.network)) + 0.1
    np.testing.assert_allclose(plain_output(imported, shown), expected(shown), rtol=1e-5)


@pytest.mark.parametrize(
    "function, settings, said",
    [
        ("transpose", {"perm": [1, 0, 2, 3]}, r"exchanges axes as \[1, 0, 2, 3\] says; supported: a list of axes, \[0"),
        ("transpose", {}, "exchanges axes as None"),
        ("squeeze", {"axis": 1}, "axes of length 1"),
        ("squeeze", {"axis": 0}, "axes from 1 to 3"),
        ("expand_dims", {"axis": 0}, "axes from 1 to 4"),
        ("pad", {"paddings": [[0, 0], [1, 1], [1, 1], [0, 0]], "mode": "REFLECT"}, "in the mode 'REFLECT'; supported"),
        ("pad", {"paddings": [[0, 0], [1, 1], [1, 1], [0, 0]], "constant_values": 2}, "with 2; supported: with zeros"),
        ("pad", {"paddings": [[1, 0], [1, 1], [1, 1], [0, 0]]}, r"\[0, 0\] for the batch"),
        ("pad", {"paddings": [[0, 0], [1, "a"]]}, "two numbers for each axis"),
        ("nn.depth_to_space", {"block_size": 3}, "divides 4, the number of channels"),
        ("nn.space_to_depth", {"block_size": 5}, "divides height and width"),
        ("math.reduce_max", {"axis": None}, "axes"),
        ("math.pow", {"y": 3}, "the exponents 2 and -0.5"),
        (
            "nn.max_pool2d",
            {"ksize": 2, "padding": "SAME", "data_format": "NCHW"},
            "channels first; supported: channels",
        ),
        (
            "math.divide",
            {"y": ["x", 0, 0]},
            "TFLite has no kernel of 8-bit integers; nearest: a division by a constant",
        ),
        ("image.resize", {"size": [8]}, "a height and a width"),
        ("image.resize", {"size": [8, 8], "antialias": True}, "antialias=True"),
        ("image.resize", {"size": [8, 8], "method": "bicubic"}, "'bilinear' or 'nearest'"),
    ],
)
def test_refusals(tmp_path, function, settings, said):
    record = description(operation("bad", function, ["x", 0, 0, settings]), output="bad")
    with pytest.raises(NetworkError, match="'bad'.*" + said):
        loaded(tmp_path, record)
