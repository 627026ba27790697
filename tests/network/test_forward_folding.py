"""Batch norms folded into the layer behind them: the same outputs in float, with a layer and a half less."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_import_cases import assert_same, functional, images_for, imported_exactly, plain_output

from qatviz.network.forward_folding import fold_forward, forward_folds
from qatviz.network.graph import Network
from qatviz.network.keras_import import ImportedModel
from qatviz.network.layers import (
    AveragePool,
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePool,
    GroupedConv2D,
    MaxPool,
    ReLU,
    Reshape,
)

layers = tf.keras.layers
SHAPE = (8, 6, 4)


def norm(x, **settings):
    return layers.BatchNormalization(**settings)(x)


def first(x):
    return layers.Flatten()(layers.Conv2D(5, 3)(norm(x)))


def pooled(x):
    """As in many notebooks: a batch norm behind the activation, then a pool, dropout and a convolution."""
    x = layers.Conv2D(6, 3, activation="relu")(x)
    x = layers.Dropout(0.25)(layers.MaxPooling2D()(norm(x)))
    return layers.Flatten()(layers.Conv2D(3, 2)(x))


def flattened(x):
    return layers.Dense(4)(layers.Flatten()(norm(layers.Activation("relu")(x))))


def averaged(x):
    x = norm(layers.Activation("relu")(x))
    return layers.Dense(4)(layers.GlobalAveragePooling2D()(layers.AveragePooling2D(2, padding="same")(x)))


def vectors(x):
    return layers.Dense(4)(norm(layers.Activation("tanh")(layers.Dense(7)(layers.Flatten()(x)))))


def normalized_again(x):
    """The convolution has no bias, but a batch norm behind it."""
    x = layers.ReLU()(norm(layers.Conv2D(5, 3, use_bias=False)(norm(x))))
    return layers.Dense(3)(layers.Flatten()(x))


def normalized_with_bias(x):
    return layers.Dense(3)(layers.Flatten()(norm(layers.Conv2D(5, 3)(norm(x)))))


def depthwise(x):
    return layers.Flatten()(layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)(norm(x)))


def pointwise(x):
    return layers.Flatten()(layers.Conv2D(3, 1, padding="same")(norm(x)))


def strided(x):
    """SAME padding that pads nothing."""
    return layers.Flatten()(layers.Conv2D(3, 2, strides=2, padding="same")(norm(x)))


def twice(x):
    return layers.Dense(3)(layers.Flatten()(norm(norm(x, scale=False), center=False)))


FOLDED = (
    first,
    pooled,
    flattened,
    averaged,
    vectors,
    normalized_again,
    normalized_with_bias,
    depthwise,
    pointwise,
    strided,
    twice,
)


@pytest.mark.parametrize("body", FOLDED, ids=lambda body: body.__name__)
def test_the_outputs_stay_the_same(body):
    imported = imported_exactly(functional(body, SHAPE))
    if body is pooled:
        (fold,) = forward_folds(imported.network)
        gamma = imported.parameters[fold.batch_norm.name + ".gamma"]
        imported.parameters[fold.batch_norm.name + ".gamma"] = np.abs(gamma)
    before = {name: value.copy() for name, value in imported.parameters.items()}
    network, parameters, folded = fold_forward(imported.network, imported.parameters)
    assert len(folded) == (2 if body is twice else 1) and not forward_folds(network)
    assert len(network.layers) <= len(imported.network.layers) - 2
    images = images_for(imported.network)
    found = plain_output(imported._replace(network=network, parameters=parameters), images)
    assert_same(found, plain_output(imported, images), 1e-5)
    for name, value in imported.parameters.items():
        np.testing.assert_array_equal(value, before[name], err_msg="the caller's arrays are left alone")


def padded(x):
    return layers.Flatten()(layers.Conv2D(3, 3, padding="same")(norm(x)))


def activated(x):
    return layers.Flatten()(layers.Conv2D(3, 3)(layers.ReLU()(norm(x))))


def used_twice(x):
    x = norm(x)
    return layers.Dense(3)(layers.Flatten()(layers.Add()([layers.Conv2D(4, 1)(x), x])))


def output(x):
    return norm(layers.Activation("relu")(layers.Flatten()(x)))


def transposed(x):
    return layers.Flatten()(layers.Conv2DTranspose(3, 3)(norm(x)))


def mixed(x):
    """Channels of the batch norm lie along the rows of the convolution."""
    return layers.Flatten()(layers.Conv2D(3, 2)(layers.Reshape((4, 8, 6))(norm(x))))


@pytest.mark.parametrize(
    "body", [padded, activated, used_twice, output, transposed, mixed], ids=lambda body: body.__name__
)
def test_others_stay(body):
    imported = imported_exactly(functional(body, SHAPE))
    assert forward_folds(imported.network) == ()
    found = fold_forward(imported.network, imported.parameters)
    assert found.network == imported.network and found.folded == ()


def test_shared_layers_stay():
    pair = DepthwiseConv2D("s", "input", 1, use_bias=False), BatchNorm("n", "s")
    again = DepthwiseConv2D("s2", "c", 1, use_bias=False, shares="s"), BatchNorm("n2", "s2", shares="n")
    network = Network("n", SHAPE, (*pair, Conv2D("c", "n", 4, 1), *again, Conv2D("d", "n2", 4, 1)))
    assert forward_folds(network) == ()
    users = Conv2D("c", "n", 4, 1), Conv2D("d", "c", 4, 1, shares="c")
    assert forward_folds(Network("n", SHAPE, (*pair, *users))) == ()


def random_parameters(network, generator):
    """Return parameters of a network, all different from their neutral values, with gammas above 0."""
    found = {}
    for layer in network.layers:
        for name, shape in network.parameter_shapes(layer.name).items():
            value = generator.standard_normal(shape)
            found[f"{layer.name}.{name}"] = (
                np.abs(value) + 0.3 if name in ("gamma", "moving_variance") else value
            ).astype(np.float32)
        if layer.name.startswith("scale"):
            found[layer.name + ".weights"] = np.abs(found[layer.name + ".weights"]) + 0.1
    return found


def outputs_of(network, parameters, images):
    return plain_output(ImportedModel(network, parameters, (), None), images)


def test_a_maximum_needs_factors_above_zero():
    parts = [DepthwiseConv2D("scale", "input", 1, use_bias=False), BatchNorm("n", "scale"), MaxPool("p", "n")]
    network = Network("n", SHAPE, (*parts, Conv2D("c", "p", 3, 2, padding="VALID")))
    parameters = random_parameters(network, np.random.RandomState(0))
    assert fold_forward(network, parameters).folded == (("n", "c"),)
    parameters["n.gamma"][1] *= -1
    assert fold_forward(network, parameters).network == network
    parameters["scale.weights"][0, 0, 1] *= -1  # both together are above 0
    assert fold_forward(network, parameters).folded == (("n", "c"),)


def test_without_parameters_batch_norms_are_left_out():
    parts = [DepthwiseConv2D("scale", "input", 1, use_bias=False), BatchNorm("n", "scale"), MaxPool("p", "n")]
    network = Network("n", SHAPE, (*parts, Conv2D("c", "p", 3, 2, padding="VALID", use_bias=False)))
    found = fold_forward(network, None)
    assert found.parameters is None
    assert found.network == Network(
        "n", SHAPE, (MaxPool("p", "input"), Conv2D("c", "p", 3, 2, padding="VALID", use_bias=False))
    )


BETWEEN = st.lists(
    st.sampled_from(
        [
            lambda name, source, shape: Dropout(name, source, 0.5),
            lambda name, source, shape: MaxPool(name, source, 2, padding="SAME"),
            lambda name, source, shape: AveragePool(name, source, 2, padding="SAME"),
            lambda name, source, shape: Reshape(name, source, (shape[0] * shape[1], 1, shape[2])),
            lambda name, source, shape: ReLU(name, source),
        ]
    ),
    max_size=3,
)
TARGETS = st.sampled_from(
    [
        lambda source, bias: [Conv2D("t", source, 6, (1, 1), use_bias=bias), Flatten("f", "t")],
        lambda source, bias: [GroupedConv2D("t", source, 6, 1, groups=2, use_bias=bias), Flatten("f", "t")],
        lambda source, bias: [DepthwiseConv2D("t", source, 1, depth_multiplier=3, use_bias=bias), Flatten("f", "t")],
        lambda source, bias: [Conv2D("t", source, 6, 2, padding="SAME", use_bias=bias), Flatten("f", "t")],
        lambda source, bias: [Flatten("f", source), Dense("t", "f", 3, use_bias=bias)],
        lambda source, bias: [GlobalAveragePool("g", source), Dense("t", "g", 3, use_bias=bias)],
    ]
)


@settings(max_examples=40, deadline=None)
@given(BETWEEN, TARGETS, st.booleans(), st.integers(0, 1000))
def test_any_chain_keeps_its_outputs(between, target, bias, seed):
    parts = [DepthwiseConv2D("scale", "input", 1, use_bias=False), BatchNorm("n", "scale")]
    for index, make in enumerate(between):
        shape = Network("n", SHAPE, tuple(parts)).output_shape
        parts.append(make(f"b{index}", parts[-1].name, shape))
    network = Network("n", SHAPE, (*parts, *target(parts[-1].name, bias)))
    generator = np.random.RandomState(seed)
    parameters = random_parameters(network, generator)
    images = generator.standard_normal((3, *SHAPE)).astype(np.float32)
    found = fold_forward(network, parameters)
    assert bool(found.folded) == (found.network != network)
    if any(isinstance(layer, ReLU) for layer in parts):
        assert not found.folded
    expected = outputs_of(network, parameters, images)
    assert_same(outputs_of(found.network, found.parameters, images), expected, 1e-5)
    names = {
        f"{each.name}.{name}" for each in found.network.layers for name in found.network.parameter_shapes(each.name)
    }
    assert set(found.parameters) == names


def test_the_target_keeps_its_settings():
    parts = [DepthwiseConv2D("scale", "input", 1, use_bias=False), BatchNorm("n", "scale")]
    conv = Conv2D("c", "n", 3, (2, 1), padding="VALID", dilation=(2, 1), use_bias=False)
    network = Network("n", SHAPE, (*parts, conv))
    found = fold_forward(network, random_parameters(network, np.random.RandomState(0)))
    assert found.network.layers == (replace(conv, inputs=("input",), use_bias=True),)
