"""The public functions as compositions: NumPy's fake quantization around TensorFlow's own layers."""

from itertools import product

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from exhaustive import tries

from qatviz.quant import (
    quantize_activation,
    quantize_conv2d,
    quantize_dense,
    quantize_depthwise_conv2d,
    quantize_tensor,
)
from qatviz.quant.affine import choose_grid, fake_quant

RANDOM = np.random.RandomState(70)
IMAGES = RANDOM.randn(3, 8, 9, 2).astype(np.float32)
FILTERS = RANDOM.randn(3, 3, 2, 4).astype(np.float32) * np.float32([1, 0.1, 3, 0.01])
INPUTS, MATRIX = RANDOM.randn(5, 6).astype(np.float32), RANDOM.randn(6, 3).astype(np.float32) * np.float32([1, 0.2, 5])
BIASES = RANDOM.randn(3).astype(np.float32)
#: Bits, symmetric, narrow range; by default every pair of values, in an exhaustive run all triples.
WEIGHT_OPTIONS = tries(
    [(2, True, True), (2, False, False), (4, True, False), (4, False, True), (8, True, True), (8, False, False)],
    list(product([2, 4, 8], [True, False], [True, False])),
)


def on_own_grid(x, options, per_channel=False):
    """Return ``x`` quantized over its own range, in NumPy."""
    axis = tuple(range(x.ndim - 1)) if per_channel else None
    return fake_quant(x, choose_grid(x.min(axis=axis), x.max(axis=axis), *options))


@pytest.fixture
def evaluate():
    """Return a function that runs tensors in the test's own graph and session.

    A graph shared by all tests would be optimized as a whole for every new fetch.
    """
    with tf.Graph().as_default(), tf.Session() as session:
        yield session.run


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("activation", [None, tf.nn.relu], ids=["linear", "relu"])
@pytest.mark.parametrize("biases", [BIASES, None], ids=["biases", "no biases"])
@pytest.mark.always("biases-relu-*", "no biases-linear-*")
def test_dense_composes_quantized_weights_bias_activation_and_output(evaluate, biases, activation, per_channel):
    outputs = evaluate(
        [
            quantize_dense(
                INPUTS,
                MATRIX,
                biases,
                options[0],
                6,
                options[1],
                False,
                options[2],
                True,
                per_channel=per_channel,
                activation=activation,
            )
            for options in WEIGHT_OPTIONS
        ]
    )
    for options, found in zip(WEIGHT_OPTIONS, outputs):
        exact = INPUTS @ on_own_grid(MATRIX, options, per_channel) + (0 if biases is None else biases)
        exact = exact if activation is None else np.maximum(exact, 0)
        expected = on_own_grid(exact, (6, False, True))
        step = choose_grid(exact.min(), exact.max(), 6, False, True).scale
        # TensorFlow chooses the order of summation in a matrix product, so that ties may be rounded either way.
        assert np.mean(np.abs(found - expected) > 1e-4 * step) <= 0.1, options
        assert np.max(np.abs(found - expected)) <= step * 1.001, options
        assert len(np.unique(found)) <= 2**6 - 1, options


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(
    "strides, padding, dilations",
    [(1, "SAME", 1), (2, "VALID", 1), ((1, 2), "SAME", 1), ((1, 2, 1, 1), "VALID", (1, 1, 1, 1)), (1, "VALID", 2)],
)
def test_conv2d_equals_conv2d_of_quantized_filters(evaluate, strides, padding, dilations, per_channel):
    outputs = evaluate(
        [
            (
                quantize_conv2d(
                    IMAGES, FILTERS, strides, padding, *options, per_channel=per_channel, dilations=dilations
                ),
                tf.nn.conv2d(IMAGES, on_own_grid(FILTERS, options, per_channel), strides, padding, dilations=dilations),
            )
            for options in WEIGHT_OPTIONS
        ]
    )
    for options, (found, expected) in zip(WEIGHT_OPTIONS, outputs):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4, err_msg=str(options))


@pytest.mark.parametrize(
    "strides, padding, dilations",
    [(1, "SAME", 1), (2, "VALID", 1), ((2, 2), "SAME", (1, 1)), ((1, 2, 2, 1), "VALID", (1, 1, 1, 1)), (1, "VALID", 2)],
)
def test_depthwise_conv2d_equals_depthwise_conv2d_of_quantized_filters(evaluate, strides, padding, dilations):
    stride, rate = (np.ravel(value)[0] if np.size(value) < 4 else value[1] for value in (strides, dilations))
    outputs = evaluate(
        [
            (
                quantize_depthwise_conv2d(IMAGES, FILTERS, strides, padding, *options, dilations=dilations),
                tf.nn.depthwise_conv2d(
                    IMAGES, on_own_grid(FILTERS, options), [1, stride, stride, 1], padding, [rate, rate]
                ),
            )
            for options in WEIGHT_OPTIONS
        ]
    )
    for options, (found, expected) in zip(WEIGHT_OPTIONS, outputs):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4, err_msg=str(options))


def test_activation_quantizes_the_tensor_on_its_grid(evaluate):
    outputs = evaluate(
        [(quantize_activation(IMAGES, *options), quantize_tensor(IMAGES, *options)) for options in WEIGHT_OPTIONS]
    )
    for options, (found, same) in zip(WEIGHT_OPTIONS, outputs):
        np.testing.assert_array_equal(found, same, str(options))
        np.testing.assert_allclose(found, on_own_grid(IMAGES, options), rtol=1e-5, atol=1e-6, err_msg=str(options))


def test_defaults_are_symmetric_narrow_weights_and_affine_activations(evaluate):
    found = evaluate(
        quantize_conv2d(IMAGES[:, :1, :1, :], np.eye(2, dtype=np.float32)[None, None] * [[[[1, 1], [1, -3]]]])
    )
    quantized = on_own_grid(np.float32([[1, 0], [0, -3]]), (8, True, True))
    np.testing.assert_allclose(found[:, 0, 0], IMAGES[:, 0, 0] @ quantized, rtol=1e-5)
    dense = evaluate(quantize_dense(INPUTS, MATRIX, BIASES))
    exact = INPUTS @ on_own_grid(MATRIX, (8, True, True)) + BIASES
    assert np.mean(np.abs(dense - on_own_grid(exact, (8, False, False))) > 1e-4) <= 0.1


def test_a_quantizer_replaces_the_settings(evaluate):
    def doubled(x):
        return 2.0 * x

    conv = quantize_conv2d(IMAGES, FILTERS, quantizer=doubled)
    depthwise = quantize_depthwise_conv2d(IMAGES, FILTERS, quantizer=doubled)
    dense = quantize_dense(INPUTS, MATRIX, BIASES, weights_quantizer=doubled, activation_quantizer=doubled)
    expected = [
        tf.nn.conv2d(IMAGES, 2 * FILTERS, 1, "SAME"),
        tf.nn.depthwise_conv2d(IMAGES, 2 * FILTERS, [1, 1, 1, 1], "SAME"),
        tf.constant(2 * (INPUTS @ (2 * MATRIX) + BIASES)),
    ]
    for found, value in zip(*evaluate([[conv, depthwise, dense], expected])):
        np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("per_channel", [False, True])
def test_an_empty_tensor_stays_empty(evaluate, per_channel):
    for shape in ([0, 3], [2, 0, 3], [3, 0]):
        x = tf.zeros(shape)
        values = quantize_tensor(x, per_channel=per_channel)
        found, gradient = evaluate([values, tf.gradients(values, x)[0]])
        assert found.shape == gradient.shape == tuple(shape)


@pytest.mark.parametrize("value", [0.0, 1e-40, 0.7, -3.0, 2.0**-70])
def test_a_constant_is_kept_within_half_a_quantization_step(evaluate, value):
    x = np.full([4, 3], value, np.float32)
    for options, found in zip(WEIGHT_OPTIONS, evaluate([quantize_tensor(x, *options) for options in WEIGHT_OPTIONS])):
        step = choose_grid(x.min(), x.max(), *options).scale
        assert np.all(np.isfinite(found)), options
        assert np.all(np.abs(found - x) <= 0.5 * step + 1e-6 * abs(value) + 1e-38), options
