"""Keras descriptions of networks: built by Keras and imported again, they are the same networks."""

import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from hypothesis import HealthCheck, given, settings
from integer_cases import network_of, state_of
from keras_import_cases import fresh_keras, plain_output
from network_strategies import networks
from test_lowering_float import random_chain
from test_tflite_lowering import TESTED_ALONE, everything

from qatviz.export.keras.model import arrays_for_keras, keras_file, loaded
from qatviz.network import zoo
from qatviz.network.activations import Activation
from qatviz.network.elementwise import Average, Maximum, Minimum, Subtract
from qatviz.network.graph import NetworkBuilder
from qatviz.network.keras_export import keras_description
from qatviz.network.keras_import.config import parse_model
from qatviz.network.keras_import.convert import convert
from qatviz.network.layers import KINDS, Concat, Conv2D, Dense, Flatten, Multiply, ReLU


def records_of(network):
    """Return layers without order, with shapes in place of wildcards."""
    found = {layer.name: layer.to_dict() for layer in network.layers}
    for name, record in found.items():
        if record["kind"] == "Reshape":
            record["target_shape"] = list(network.shapes[name])
    return found


def described(network):
    return convert(parse_model(json.loads(keras_description(network).config)), None).network


def gated():
    """Return a network of the kinds that `everything` lacks."""
    net = NetworkBuilder("gated", (4, 3, 2))
    trunk = net.add(Activation, "leaky", function="leaky_relu", slope=0.2)
    net.add(Conv2D, "conv", filters=2, kernel_size=1)
    gate = net.add(Activation, "gate", function="sigmoid")
    gated = net.add(Multiply, "gated", inputs=(trunk, gate))
    for kind in (Subtract, Average, Maximum, Minimum):
        gated = net.add(kind, kind.__name__.lower(), inputs=(gated, trunk))
    for name in ("tanh", "elu", "selu", "softplus", "softsign"):
        net.add(Activation, name, function=name)
    net.add(Activation, "bounded", function="relu", slope=0.1, threshold=0.25, maximum=2.0)
    net.add(Flatten, "flatten")
    net.add(Dense, "logits", units=3)
    return net.network()


def test_every_kind_of_layer_is_read_back():
    assert {layer.kind for layer in everything().layers} == set(KINDS) - TESTED_ALONE
    for network in (everything(), gated()):
        assert records_of(described(network)) == records_of(network)


@pytest.mark.parametrize("name", sorted(zoo.NETWORKS))
def test_networks_of_the_zoo_are_read_back(name):
    network = zoo.build(name, (32, 32, 3), 10)
    assert described(network) == network


@pytest.mark.parametrize("seed", range(6))
def test_chains_of_all_shapes_are_read_back(seed):
    assert described(random_chain(seed)) == random_chain(seed)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks())
def test_random_networks_are_read_back(network):
    expected = records_of(network)
    arrays = keras_description(network).arrays
    found = described(network)
    assert len(found.layers) == len(expected)
    if all(name[0] != "_" and "/" not in name for name in expected):
        assert records_of(found) == expected
    assert {name: path[-1] for name, (path, _) in arrays.items()}.keys() == {
        f"{layer.name}.{name}" for layer in network.layers for name in network.parameter_shapes(layer.name)
    }


def test_names_that_keras_does_not_allow_are_replaced():
    network = network_of(
        (4,), (Dense, "_hidden", {"units": 3}), (ReLU, "layer_hidden", {}), (Dense, "a/b-c", {"units": 2})
    )
    assert [layer.name for layer in described(network).layers] == ["layer_hidden_2", "layer_hidden", "a_b-c"]
    origin = keras_description(network)
    assert origin.arrays["_hidden.weights"] == (("layer_hidden_2",), "kernel") and not origin.has_code


@pytest.mark.parametrize("network", [everything(), gated(), random_chain(0)], ids=lambda net: net.name)
def test_the_keras_model_computes_the_same_outputs(network):
    """Compared with plain TensorFlow operations, without the lowering for training."""
    state, origin = state_of(network), keras_description(network)
    content, untouched = keras_file(origin, arrays_for_keras(network, origin, state))
    assert untouched == 0
    images = np.random.RandomState(0).standard_normal((5, *network.input_shape)).astype(np.float32)
    with loaded(content) as model:
        found = model.predict_on_batch(images)
    imported = convert(parse_model(json.loads(origin.config)), None)._replace(
        network=network, parameters={name: state[name] for name in origin.arrays}
    )
    expected = plain_output(imported, images)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max() and np.ptp(expected) > 1e-3


def test_no_layer_name_is_a_path():
    """In an HDF5 file, "a/b" would be a group within layer "a"; Keras 3 allows no such name."""
    network = network_of(
        (4,),
        (Dense, "a/b", {"units": 3}),
        (ReLU, "a_b", {}),
        (Dense, "a", {"units": 3}),
        (ReLU, "a/b/c", {}),
        (Dense, "d/e", {"units": 2}),
    )
    names = [layer.name for layer in described(network).layers]
    assert names == ["a_b_2", "a_b", "a", "a_b_c", "d_e"]
    state, origin = state_of(network), keras_description(network)
    with loaded(keras_file(origin, arrays_for_keras(network, origin, state))[0]) as model:
        assert [layer.name for layer in model.layers] == ["input", *names]


def test_concat_axes_follow_keras():
    net = NetworkBuilder("axes", (4, 4, 2))
    stem = net.add(Conv2D, "stem", filters=2)
    for name, axis in (("rows", 0), ("columns", 1), ("channels", -1)):
        net.add(Concat, name, inputs=(net.last, net.last), axis=axis)
    net.add(Flatten, "flat")
    network = net.network()
    assert stem == "stem" and described(network).shapes["flat"] == network.shapes["flat"]
    with fresh_keras():
        model = tf.keras.models.model_from_json(keras_description(network).config)
        assert [layer.axis for layer in model.layers if hasattr(layer, "axis")] == [1, 2, -1]
