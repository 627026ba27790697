"""Without quantization the graph computes what tf.keras computes with the same layers and weights."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from lowering_cases import LoweredNetwork, keras_network, random_parameters, settings_of, state_arrays

from qatviz.network.elementwise import Average, Maximum, Minimum, Subtract
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import (
    KINDS,
    Activation,
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePool,
    GroupedConv2D,
    MaxPool,
    Multiply,
    Permute,
    ReLU,
    ReLU6,
    Reshape,
    Slice,
    Softmax,
    UpsampleBilinear,
    UpsampleNearest,
    ZeroPad,
)
from qatviz.network.matmul import MatMul

ACTIVATIONS = (None, ReLU, ReLU6)


def all_layers_network():
    """Return a network of every kind of layer, with the settings that have separate code paths."""
    net = NetworkBuilder("sink", (11, 9, 3))
    net.add(ZeroPad, "pad", padding=((0, 1), (2, 0)))
    net.add(Conv2D, "conv", filters=6, kernel_size=(3, 5), strides=(2, 1), padding="VALID")
    stem = net.add(ReLU6, "conv_relu6")
    net.add(ReLU, "alone", inputs=stem)
    net.add(Conv2D, "dilated", filters=6, dilation=2, use_bias=False)
    left = net.add(BatchNorm, "dilated_bn", epsilon=0.01)
    net.add(DepthwiseConv2D, "depthwise", inputs=stem, kernel_size=(3, 2), use_bias=True)
    net.add(BatchNorm, "depthwise_bn")
    right = net.add(ReLU, "depthwise_relu")
    net.add(Add, "sum", inputs=(left, right, stem))
    net.add(ReLU, "sum_relu")
    net.add(DepthwiseConv2D, "doubled", depth_multiplier=2, dilation=2, padding="SAME", use_bias=False)
    net.add(BatchNorm, "doubled_bn")
    net.add(DepthwiseConv2D, "strided", depth_multiplier=2, strides=2, use_bias=True)
    wide = net.add(ReLU6, "strided_relu6")
    same = net.add(AveragePool, "average_same", inputs=wide, pool_size=2, strides=1, padding="SAME")
    largest = net.add(MaxPool, "max_same", inputs=wide, pool_size=3, strides=1, padding="SAME")
    net.add(Concat, "concat", inputs=(same, largest))
    net.add(Concat, "rows", inputs=(net.last, net.last), axis=0)
    net.add(MaxPool, "max_valid", pool_size=(2, 1))
    branch = net.add(AveragePool, "average_valid", pool_size=(2, 2), strides=(1, 2))
    pooled = net.add(GlobalAveragePool, "pool", inputs=branch)
    net.add(Dropout, "dropout", rate=0.4)
    net.add(Dense, "dense", units=12, use_bias=False)
    net.add(BatchNorm, "dense_bn")
    net.add(ReLU, "dense_relu")
    net.add(Dense, "signed", units=12)
    signed = net.add(Activation, "leaky_relu", function="leaky_relu", slope=0.2)
    gate = net.add(Activation, "sigmoid", function="sigmoid")
    gated = net.add(Multiply, "gated", inputs=(gate, signed))
    average = net.add(Average, "average", inputs=(gated, signed))
    smaller = net.add(Minimum, "smaller", inputs=(average, gated))
    larger = net.add(Maximum, "larger", inputs=(smaller, average))
    difference = net.add(Subtract, "difference", inputs=(gate, gated))
    matrix = net.add(Reshape, "matrix", inputs=signed, target_shape=(3, 4))
    net.add(MatMul, "products", inputs=(matrix, matrix), transpose_second=True)
    products = net.add(Flatten, "products_flat", inputs=net.add(MatMul, "again", inputs=("products", matrix)))
    net.add(Reshape, "reshape", inputs=gated, target_shape=(2, 3, 2))
    net.add(ReLU6, "reshaped_relu6")
    net.add(Permute, "permute", axes=(1, 2, 0))
    net.add(UpsampleNearest, "upsample", size=(1, 3))
    net.add(UpsampleBilinear, "interpolate", size=(1, 2))
    net.add(Slice, "slice", start=(0, 1, 0), stop=(3, 6, 2), strides=(1, 2, 1))
    net.add(GroupedConv2D, "grouped", filters=4, groups=2, strides=(1, 2))
    net.add(Conv2DTranspose, "transposed", filters=3, kernel_size=3, strides=2)
    flat = net.add(Flatten, "flatten")
    net.add(Concat, "features", inputs=(flat, pooled, difference, larger, products))
    net.add(Dense, "logits", units=5)
    net.add(Softmax, "softmax")
    return net.network()


def random_chain(seed):
    """Return a chain of random layers with random settings."""
    random = np.random.RandomState(seed)

    def choose(*values):
        return values[random.randint(len(values))]

    net = NetworkBuilder(
        f"chain{seed}", (int(random.randint(6, 12)), int(random.randint(6, 12)), int(random.randint(1, 4)))
    )
    for index in range(4):
        dilation = choose(1, 1, 2, 3)
        common = {
            "kernel_size": (choose(1, 2, 3), choose(1, 2, 3)),
            "dilation": dilation,
            "padding": choose("SAME", "SAME", "VALID"),
            "strides": choose(1, 2) if dilation == 1 else 1,
            "use_bias": choose(True, False),
        }
        if common["padding"] == "VALID":
            common["kernel_size"], common["dilation"], common["strides"] = (2, 1), 1, 1
        if random.rand() < 0.5:
            net.add(Conv2D, f"layer{index}", filters=int(random.randint(1, 9)), **common)
        else:
            net.add(DepthwiseConv2D, f"layer{index}", depth_multiplier=choose(1, 2, 3), **common)
        if random.rand() < 0.5:
            net.add(BatchNorm, f"bn{index}")
        activation = choose(*ACTIVATIONS)
        if activation:
            net.add(activation, f"activation{index}")
    net.add(choose(Flatten, GlobalAveragePool), "flat")
    net.add(Dense, "logits", units=4)
    return net.network()


def run_both(network, seed=0):
    parameters = random_parameters(network, seed)
    images = np.random.RandomState(seed).standard_normal((4, *network.input_shape)).astype(np.float32) * 2
    with tf.Graph().as_default():
        case = LoweredNetwork(network)
        oracle = keras_network(network, parameters, case.images)
        state = state_arrays(case.plan, settings_of(case.plan, enabled=False))
        on = state_arrays(case.plan, settings_of(case.plan))
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            expected = session.run(oracle, {case.images: images})
            found = session.run(case.lowered.logits, case.feeds(images, state, parameters))
            by_mode = session.run(
                case.lowered.logits, case.feeds(images, on, parameters, weights=False, activations=False)
            )
            both = session.run(case.lowered.logits, case.feeds(images, on, parameters))
    return expected, found, by_mode, both


@pytest.mark.parametrize(
    "network", [all_layers_network()] + [random_chain(seed) for seed in range(6)], ids=lambda network: network.name
)
@pytest.mark.always("sink", "chain4")
def test_the_float_graph_equals_the_keras_network(network):
    expected, found, by_mode, quantized = run_both(network)
    assert np.ptp(expected) > 1e-3, "the oracle says nothing"
    tolerance = {"rtol": 1e-4, "atol": 1e-4 * np.abs(expected).max()}
    np.testing.assert_allclose(found, expected, **tolerance)
    np.testing.assert_array_equal(by_mode, found)
    assert not np.allclose(quantized, expected, **tolerance), "quantized, it is the same: was it on at all?"


def test_the_all_layers_network_has_every_kind():
    # That of ids is in tests/export/test_embedding.py: the other inputs of a network of several are no ids.
    assert {layer.kind for layer in all_layers_network().layers} == set(KINDS) - {"Embedding"}


def dropout_network():
    net = NetworkBuilder("dropouts", (300,))
    net.add(Dropout, "first", rate=0.25)
    first = net.last
    net.add(Dropout, "second", rate=0.25, inputs="input")
    net.add(Concat, "both", inputs=(first, net.last))
    net.add(Dense, "logits", units=600)
    return net.network()


def test_dropout_depends_on_seed_and_step_only_and_keeps_the_mean():
    network = dropout_network()
    parameters = {"logits.weights": np.eye(600, dtype=np.float32), "logits.bias": np.zeros(600, np.float32)}
    with tf.Graph().as_default(), tf.Session() as session:
        case = LoweredNetwork(network, training=True)
        state = state_arrays(case.plan, settings_of(case.plan, enabled=False))
        feeds = case.feeds(np.ones((50, 300), np.float32), state, parameters)
        results = [session.run(case.lowered.logits, {**feeds, case.step: step}) for step in (0, 0, 1)]
    again, next_step = results[1], results[2]
    np.testing.assert_array_equal(results[0], again)
    assert not np.array_equal(results[0], next_step)
    first, second = again[:, :300], again[:, 300:]
    assert not np.array_equal(first, second), "both layers drop the same units"
    for part in (first, second):
        assert set(np.unique(part)) == {np.float32(0), np.float32(1) / np.float32(0.75)}
        assert abs(np.mean(part == 0) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / part.size)


def test_a_dropout_drops_values_along_shared_axes_together():
    net = NetworkBuilder("dropouts", (6, 5, 40))
    net.add(Dropout, "channels", rate=0.25, shared_axes=(0, 1))
    net.add(Dropout, "examples", rate=0.5, shared_axes=(0, 1, 2))
    net.add(Flatten, "flat")
    net.add(Dense, "logits", units=1200)
    with tf.Graph().as_default(), tf.Session() as session:
        case = LoweredNetwork(net.network(), training=True)
        state = state_arrays(case.plan, settings_of(case.plan, enabled=False))
        identity = {"logits.weights": np.eye(1200, dtype=np.float32), "logits.bias": np.zeros(1200, np.float32)}
        feeds = case.feeds(np.ones((60, 6, 5, 40), np.float32), state, identity)
        found = session.run(case.lowered.logits, feeds).reshape((60, 6, 5, 40))
    np.testing.assert_array_equal(found, np.broadcast_to(found[:, :1, :1], found.shape))
    kept = found[:, 0, 0].any(axis=1)
    assert 15 < kept.sum() < 45
    assert abs(np.mean(found[kept] == 0) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / (40 * kept.sum()))
    np.testing.assert_allclose(np.unique(found), [0, 1 / 0.75 / 0.5], rtol=1e-6)
