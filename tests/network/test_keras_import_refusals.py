"""Refusals of models that cannot be imported exactly: layer, type, reason and what is supported."""

import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from keras_import_cases import fresh_keras

from qatviz.errors import NetworkError
from qatviz.network.keras_import import import_model
from qatviz.network.keras_import.config import parse_model

layers = tf.keras.layers


class Custom(layers.Conv2D):
    """Subclass whose description looks like that of Keras' class."""


class Subclassed(tf.keras.Model):
    """Model defined by code."""

    def __init__(self):
        super().__init__(name="coded")
        self.head = layers.Dense(3)

    def call(self, inputs):
        return self.head(inputs)


def relu(x):
    return tf.nn.relu(x) * 2


Conv2D = type("Conv2D", (Custom,), {"__doc__": "Even the name is Keras'."})


def refused(build, *said):
    with fresh_keras():
        model = build()
        with pytest.raises(NetworkError) as caught:
            import_model(model)
    for text in said:
        assert re.search(text, str(caught.value)), f"{text!r} is not in {str(caught.value)!r}"


def sequential(*makers, input_shape=(9, 10, 3)):
    return lambda: tf.keras.Sequential([layers.InputLayer(input_shape)] + [make() for make in makers])


def functional(body):
    def build():
        image = layers.Input((9, 10, 3))
        return tf.keras.Model(image, body(image))

    return build


@pytest.mark.parametrize(
    "make, kind",
    [
        (lambda: layers.LocallyConnected2D(3, 3, name="bad"), "LocallyConnected2D"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_layers_of_other_types(make, kind):
    refused(sequential(make), "'bad'", kind, "this type of layer is not supported; nearest: ")


def test_layers_on_volumes_are_refused_with_those_on_images():
    def build():
        volume = tf.keras.Input((4, 4, 4, 2))
        return tf.keras.Model(volume, layers.Flatten()(layers.Cropping3D(1, name="bad")(volume)))

    refused(build, "'bad'", "Cropping3D", "three dimensions", "nearest: Cropping2D")


@pytest.mark.parametrize(
    "make, nearest",
    [
        (lambda: layers.TimeDistributed(layers.LocallyConnected1D(2, 1), name="bad"), "one of Dense, Conv1D"),
    ],
)
def test_the_nearest_supported_type_is_named(make, nearest):
    reason = "no layer computes for all elements of a sequence what the one in it does for each; nearest: "
    refused(sequential(make), rf"^layer 'bad' \(\w+\): {reason}{nearest}")


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: layers.Conv2D(4, 3, activation=tf.nn.crelu, name="bad"), ["Conv2D", "crelu", "relu6"]),
        (lambda: layers.Activation(tf.nn.crelu, name="bad"), ["Activation", "crelu", "relu6"]),
        (lambda: layers.Activation(relu, name="bad"), ["Activation", "activation is relu"]),
        (lambda: layers.Activation(lambda x: x, name="bad"), ["Activation", "<lambda>"]),
        (lambda: layers.PReLU(shared_axes=[1], name="bad"), ["PReLU", "shared_axes", "one slope for each channel"]),
        (lambda: layers.Softmax(axis=1, name="bad"), ["Softmax", "axis", "last"]),
        (lambda: layers.BatchNormalization(axis=1, name="bad"), ["BatchNormalization", "axis", "last"]),
        (lambda: layers.BatchNormalization(renorm=True, name="bad"), ["BatchNormalization", "renorm"]),
        (lambda: layers.Dropout(0.5, noise_shape=(1, 1, 1, 3), name="bad"), ["Dropout", "noise_shape", "batch"]),
        (
            lambda: layers.AveragePooling2D(data_format="channels_first", name="bad"),
            ["AveragePooling2D", "channels first.*channels last only; nearest: .*data_format='channels_last'"],
        ),
        (lambda: layers.SeparableConv2D(2, 3, strides=(1, 2), name="bad"), ["SeparableConv2D", r"\(1, 2\)", "equal"]),
        (lambda: Custom(2, 3, name="bad"), ["Custom", "code", "supported: Keras' own classes"]),
        (lambda: Conv2D(2, 3, name="bad"), ["refusals.Conv2D", "code"]),
        (lambda: layers.Lambda(lambda x: x * 2.0, name="bad"), ["the operation .Mul of .*not supported"]),
        (lambda: layers.Lambda(lambda x: tf.nn.relu(x) + x, name="bad"), ["AddV2 of Relu.*not supported"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_settings_that_cannot_be_imported_exactly(make, said):
    refused(sequential(make), "'bad'", *said)


@pytest.mark.parametrize(
    "body, said",
    [
        (lambda x: layers.LocallyConnected2D(3, 3, name="bad")(x), ["LocallyConnected2D", "not supported; nearest: "]),
        (lambda x: layers.Concatenate(axis=0, name="bad")([x, x]), ["Concatenate", "axis", "batch"]),
        (lambda x: layers.BatchNormalization(name="bad")(x, training=True), ["BatchNormalization", "training=True"]),
        (
            lambda x: layers.Dropout(0.5, name="bad")(x, training=tf.keras.backend.learning_phase()),
            ["Dropout", "training="],
        ),
        (lambda x: tf.sqrt(x), ["tf_op_layer_Sqrt", "TensorFlowOpLayer", "the operation 'Sqrt' is not supported"]),
        (lambda x: 2.0 / x, ["tf_op_layer_truediv", "it divides a constant.*supported: x / constant"]),
        (lambda x: x + np.ones((2, 9, 10, 3), "f4"), ["tf_op_layer_add", r"constants of shape \(2, 9, 10, 3\)"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_connections_that_cannot_be_imported_exactly(body, said):
    refused(functional(body), *said, *(["'bad'"] if "bad" in body.__code__.co_consts else []))


def test_a_lambda_whose_calls_differ():
    kinds = [tf.nn.relu, tf.nn.relu6]

    def body(x):
        layer = layers.Lambda(lambda x: kinds.pop()(x), name="fickle")
        return layer(layers.Conv2D(3, 1)(layer(x)))

    refused(functional(body), "'fickle'", "Lambda", "Relu6? and Relu6?", "the same in every call")


def test_models_that_call_models_twice_over_and_over():
    """2**30 calls in a few kilobytes; the innermost model has no layer but its input."""

    def reference(name, call=0):
        return [name, call, 0, {}]

    record = None
    for depth in range(30):
        entry = {"class_name": "InputLayer", "name": "x", "config": {"name": "x"}, "inbound_nodes": []}
        inner, output = [], reference("x")
        if record is not None:
            calls = [[reference("x")], [reference("inner", 1)]]
            inner, output = [dict(record, name="inner", inbound_nodes=calls)], reference("inner", 2)
        config = {"name": f"d{depth}", "layers": [entry, *inner], "input_layers": [reference("x")[:3]]}
        record = {"class_name": "Model", "config": dict(config, output_layers=[output[:3]])}
    with pytest.raises(NetworkError, match="more than 20,000 times"):
        parse_model(record)


def test_a_layer_shared_between_models():
    def nested_and_outside(x):
        shared = layers.Conv2D(3, 1, name="tied")
        inner = tf.keras.Sequential([layers.InputLayer((9, 10, 3)), shared], name="inner")
        return layers.Add()([inner(x), shared(x)])

    def in_two_models(x):
        shared = layers.Conv2D(3, 1, name="tied")
        one, other = (
            tf.keras.Sequential([layers.InputLayer((9, 10, 3)), shared], name=name) for name in ("one", "other")
        )
        return layers.Add()([one(x), other(x)])

    refused(functional(nested_and_outside), "'tied'", "Conv2D", "'inner/tied'", "weights are shared", "in one model")
    refused(functional(in_two_models), "'tied'", "'one/tied'", "'other/tied'", "weights are shared")


@pytest.mark.parametrize(
    "layer, said",
    [
        (
            lambda: layers.RNN(layers.LSTMCell(3)),
            "RNN.: it is recurrent, and .*; nearest: SimpleRNN, LSTM or GRU, of up",
        ),
        (lambda: layers.Masking(), "Masking.: the layers after it skip .*; nearest: sequences of one length"),
        (lambda: layers.LocallyConnected1D(3, 2, activation="tanh"), "LocallyConnected1D.: this type .*; nearest: "),
    ],
)
@pytest.mark.parametrize("length", [5, None])
def test_an_unsupported_type_is_reported_before_its_activation(layer, said, length):
    def model():
        image = layers.Input((5 if "LocallyConnected" in said else length, 4))
        return tf.keras.Model(image, layer()(image))

    refused(model, rf"^layer '\w+' \({said}")


def test_an_input_that_no_layer_uses():
    def unused():
        one, other = layers.Input((9,), name="one"), layers.Input((9,), name="other")
        return tf.keras.Model([one, other], layers.Dense(2)(one), name="double")

    refused(unused, "'double'", "no layer uses the inputs 'other'")


def test_models_that_are_code_or_not_built():
    def coded():
        model = Subclassed()
        model(tf.ones((1, 4)))
        return model

    refused(coded, "'coded'", "Subclassed, whose code connects its layers", "nearest: .* functional model")
    with pytest.raises(NetworkError, match="the model: its class is 'Mine', whose code connects its layers"):
        parse_model({"class_name": "Mine", "config": {"name": "coded"}})
    refused(lambda: tf.keras.Sequential([layers.Dense(3)], name="loose"), "'loose'", "not built", "input_shape")
    refused(lambda: "a path", "builtins.str", "tf.keras.Model")
    refused(lambda: layers.Dense(3), "Dense", "tf.keras.Model")


def test_an_open_input_shape():
    refused(sequential(lambda: layers.Conv2D(3, 1), input_shape=(None, None, 3)), r"\(None, None, 3\)", "input_shape")
    with fresh_keras():
        model = sequential(lambda: layers.Conv2D(3, 1), input_shape=(None, None, 3))()
        with pytest.raises(NetworkError, match="a shape that agrees with the model's"):
            import_model(model, input_shape=(8, 8, 4))


@pytest.mark.parametrize(
    "parameter, value, said",
    [
        ("kernel", np.nan, "weights has 1 values of .* that are not finite"),
        ("bias", np.inf, "bias has 1 values"),
        ("moving_variance", -0.5, "moving_variance has the minimum -0.5"),
    ],
)
def test_invalid_parameter_values(parameter, value, said):
    def build():
        model = sequential(lambda: layers.Conv2D(3, 1, name="bad"), lambda: layers.BatchNormalization(name="bad_bn"))()
        weights = model.get_weights()
        names = [variable.name for variable in model.weights]
        weights[next(i for i, name in enumerate(names) if parameter in name)].flat[1] = value
        model.set_weights(weights)
        return model

    refused(build, "'bad(_bn)?'", said)


def test_weights_of_another_session():
    with fresh_keras():
        model = sequential(lambda: layers.Conv2D(3, 1))()
        model.get_weights()  # has Keras initialize them, once and for all
        with tf.Session().as_default(), pytest.raises(NetworkError, match="where it was created"):
            import_model(model)


def test_a_model_without_a_description():
    class Initializer:
        def __call__(self, shape, dtype=None, partition_info=None):
            return tf.ones(shape)

    refused(sequential(lambda: layers.Conv2D(3, 1, kernel_initializer=Initializer())), "to_json", "can describe")


def test_float64():
    refused(
        lambda: tf.keras.Sequential(
            [layers.InputLayer((4,), dtype="float64"), layers.Dense(3, dtype="float64", name="bad")]
        ),
        "'bad'",
        "Dense",
        "float64",
        "float32",
    )
