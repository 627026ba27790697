"""Learned rounding: gradients against differences, results against all roundings of a small layer."""

import itertools

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from qatviz.correction.adaround import (
    LAMBDA,
    LearnedRounding,
    Rounding,
    beta_at,
    code_limits,
    loss_and_gradient,
    rectified_sigmoid,
    rounded_weights,
)
from qatviz.correction.patches import sampled_rows
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Conv2D, Dense, DepthwiseConv2D, ReLU
from qatviz.network.plan import quantization_plan


def problem(shape=(4, 3), scale=0.25, clip=(0.0, np.inf), seed=0, codes=3):
    random = np.random.RandomState(seed)
    weights = random.uniform(-0.7, 0.7, shape).astype(np.float32)
    one = np.full((1,) * len(shape), 1, np.float32)
    outputs = int(np.prod(shape[1:]))
    bias = (0.1 * random.randn(outputs)).astype(np.float32)
    return Rounding(weights, scale * one, -codes * one, codes * one, np.zeros(shape, bool), bias, clip)


def rows_of(rounding, number=64, seed=1):
    random = np.random.RandomState(seed)
    inputs = random.randn(number, *rounding.weights.shape[: rounding.weights.ndim - 1]).astype(np.float32)
    if rounding.weights.ndim == 2:
        inputs = inputs.reshape(number, -1)
    return inputs, rounding.output(inputs, rounding.weights)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2)])
@pytest.mark.parametrize("beta", [None, 6.0])
@pytest.mark.parametrize("clip", [None, (0.0, np.inf), (0.0, 0.5)])
def test_gradient_equals_differences_of_the_loss(shape, beta, clip):
    rounding = problem(shape, clip=clip, codes=2)
    inputs, target = rows_of(rounding)
    v = np.random.RandomState(2).uniform(-1.5, 1.5, shape).astype(np.float32)
    _, gradient = loss_and_gradient(rounding, v, inputs, target, beta)
    assert np.abs(gradient).max() > 0
    step = 1e-3
    for place in np.ndindex(*shape):
        ends = []
        for sign in (1, -1):
            moved = v.copy()
            moved[place] += sign * step
            ends.append(loss_and_gradient(rounding, moved, inputs, target, beta)[0])
        assert gradient[place] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=0.05, abs=2e-3)


def test_rectified_sigmoid_and_its_regularization():
    v = np.float32([-10, 0, 10])
    assert rectified_sigmoid(v).tolist() == [0.0, 0.5, 1.0]
    rounding = problem((2, 1))
    inputs, target = np.zeros((1, 2), np.float32), np.zeros((1, 1), np.float32)
    undecided, _ = loss_and_gradient(rounding, np.zeros((2, 1), np.float32), inputs, target, 20.0)
    without, _ = loss_and_gradient(rounding, np.zeros((2, 1), np.float32), inputs, target, None)
    assert undecided - without == pytest.approx(2 * LAMBDA)


def test_beta_begins_after_the_warm_up_and_falls_from_20_to_2():
    betas = [beta_at(iteration, 100) for iteration in range(100)]
    assert betas[:20] == [None] * 20
    assert betas[20] == pytest.approx(20) and betas[-1] == pytest.approx(2, abs=0.02)
    assert all(one > other for one, other in zip(betas[20:], betas[21:]))


def test_learned_rounding_is_nearly_as_good_as_the_best_of_all():
    gains = []
    for seed in range(8):
        rounding = problem((8, 1), seed=seed, clip=None)
        # Correlated inputs: rounding errors that cancel are better than the nearest.
        random = np.random.RandomState(seed)
        inputs = (random.randn(256, 1) + 0.3 * random.randn(256, 8)).astype(np.float32)
        target = rounding.output(inputs, rounding.weights)
        learned = LearnedRounding(rounding, inputs, target, 600, np.random.RandomState(0))
        assert list(learned.run()) == list(range(1, 601))
        floors = np.floor(rounding.weights / rounding.scale)
        errors = [
            rounding.error(inputs, target, np.clip(floors + np.float32(up).reshape(8, 1), rounding.low, rounding.high))
            for up in itertools.product((0, 1), repeat=8)
        ]
        nearest, _ = learned.errors
        found = rounding.error(inputs, target, learned.codes)
        assert nearest == pytest.approx(rounding.error(inputs, target, rounding.nearest))
        assert found == pytest.approx(min(learned.errors))
        assert min(errors) <= found <= min(nearest, 1.5 * min(errors))
        gains.append(found / nearest)
    assert np.mean(gains) < 0.8 and min(gains) < 0.2, gains  # in some layers, the nearest rounding is the best


def test_the_nearest_rounding_stays_if_nothing_better_is_learned():
    rounding = problem((3, 2))
    inputs, target = rows_of(rounding, 16)
    learned = LearnedRounding(rounding, inputs, target, 0, np.random.RandomState(0))
    learned.v = np.where(rounding.weights / rounding.scale % 1 >= 0.5, -9.0, 9.0)  # the other way each
    assert list(learned.run()) == []
    assert learned.errors[1] > learned.errors[0]
    assert (learned.codes == rounding.nearest).all()


def test_weights_of_codes_keep_the_range_and_are_rounded_to_them():
    weights = np.float32([[-0.9], [-0.55], [0.1], [0.33], [0.8]])
    low, high = weights.min(axis=0, keepdims=True), weights.max(axis=0, keepdims=True)
    scale = (high - low) / 7  # 3 bits, affine: the ends are not on the grid
    zero = np.round(-4 - low / scale)
    limits = code_limits(low, high, scale, (-4 - zero, 3 - zero))
    kept = (weights == low) | (weights == high)
    rounding = Rounding(weights, scale, *limits, kept, np.zeros(1, np.float32))
    for shift in (-1, 0, 1):
        codes = np.where(kept, rounding.nearest, np.clip(rounding.nearest + shift, *limits))
        new = rounded_weights(rounding, codes, low, high)
        assert new.min() == low and new.max() == high
        assert (np.clip(np.floor(new / scale + 0.5), -4 - zero, 3 - zero) == codes).all()


@pytest.mark.parametrize(
    "layer, settings",
    [
        (Conv2D, {"filters": 5, "kernel_size": (3, 2), "strides": (2, 1), "padding": "SAME"}),
        (Conv2D, {"filters": 5, "kernel_size": 3, "padding": "VALID", "dilation": 2}),
        (DepthwiseConv2D, {"kernel_size": 3, "strides": 2, "depth_multiplier": 2}),
        (DepthwiseConv2D, {"kernel_size": (2, 3), "padding": "VALID"}),
    ],
)
def test_rows_times_weights_are_the_convolution(layer, settings):
    net = NetworkBuilder("one", (7, 8, 3))
    net.add(layer, "conv", **settings)
    net.add(ReLU, "relu")
    network = net.network()
    unit = quantization_plan(network).units[0]
    random = np.random.RandomState(0)
    x = random.randn(2, 7, 8, 3).astype(np.float32)
    weights = random.randn(*network.parameter_shapes("conv")["weights"]).astype(np.float32)
    op = unit.op
    with tf.Graph().as_default(), tf.Session() as session:
        if layer is Conv2D:
            y = tf.nn.conv2d(x, weights, strides=op.strides, padding=op.padding, dilations=op.dilation)
        else:
            y = tf.nn.depthwise_conv2d(x, weights, (1, *op.strides, 1), op.padding, rate=op.dilation)
        y = session.run(y)
    for number in (10**6, 7):
        inputs, outputs = sampled_rows(unit, x, y, number, np.random.RandomState(3))
        assert len(inputs) == len(outputs) == min(number, y[..., 0].size)
        if layer is Conv2D:
            found = inputs @ weights.reshape(-1, weights.shape[-1])
        else:
            found = np.einsum("nic,ico->nco", inputs, weights.reshape(-1, *weights.shape[2:])).reshape(len(inputs), -1)
        np.testing.assert_allclose(found, outputs, rtol=1e-4, atol=1e-4)


def test_rows_of_a_dense_layer_are_its_inputs():
    net = NetworkBuilder("one", (4,))
    net.add(Dense, "dense", units=2)
    net.add(Dense, "logits", units=2)
    unit = quantization_plan(net.network()).units[0]
    x, y = np.arange(12, dtype=np.float32).reshape(3, 4), np.arange(6, dtype=np.float32).reshape(3, 2)
    inputs, outputs = sampled_rows(unit, x, y, 2, np.random.RandomState(0))
    assert len(inputs) == 2
    for row, output in zip(inputs, outputs):
        (place,) = [index for index in range(3) if (x[index] == row).all()]
        assert (y[place] == output).all()
