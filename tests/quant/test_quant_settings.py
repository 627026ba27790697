"""Settings of the public functions: Python values and tensors are equivalent, and invalid values are refused."""

from itertools import product

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from exhaustive import tries

from qatviz.errors import SettingError
from qatviz.quant import (
    quantize_activation,
    quantize_conv2d,
    quantize_dense,
    quantize_depthwise_conv2d,
    quantize_tensor,
)

NOT_BITS = [1, 17, 0, -8, True, False, np.True_, 2.5, np.float32(2.5), float("nan"), float("inf"), None, "8", [8], 8j]
SOME_BITS = tries([2, 7, 16], [2, 3, 4, 7, 8, 16])
IMAGE, FILTERS = np.ones([1, 4, 4, 2], np.float32), np.ones([3, 3, 2, 2], np.float32)
MATRIX, BIASES = np.eye(2, dtype=np.float32), np.zeros(2, np.float32)
WITH_BITS = {
    "quantize_tensor": lambda bits: quantize_tensor(MATRIX, bits),
    "quantize_activation": lambda bits: quantize_activation(MATRIX, bits),
    "quantize_conv2d": lambda bits: quantize_conv2d(IMAGE, FILTERS, 1, "SAME", bits),
    "quantize_depthwise_conv2d": lambda bits: quantize_depthwise_conv2d(IMAGE, FILTERS, 1, "SAME", bits),
    "quantize_dense, weights": lambda bits: quantize_dense(MATRIX, MATRIX, BIASES, bits, 8),
    "quantize_dense, activation": lambda bits: quantize_dense(MATRIX, MATRIX, BIASES, 8, bits),
}


@pytest.fixture(autouse=True)
def graph():
    with tf.Graph().as_default() as graph:
        yield graph


@pytest.mark.parametrize("num_bits", NOT_BITS, ids=repr)
@pytest.mark.parametrize("function", WITH_BITS)
def test_invalid_bit_widths_are_refused(function, num_bits):
    with pytest.raises(SettingError) as raised:
        WITH_BITS[function](num_bits)
    assert repr(num_bits) in str(raised.value) and "from 2 to 16" in str(raised.value)


@pytest.mark.parametrize("num_bits", [2, 16, np.int64(8), np.uint8(8), 8.0], ids=repr)
@pytest.mark.parametrize("function", WITH_BITS)
def test_integers_of_any_type_are_accepted(function, num_bits):
    assert WITH_BITS[function](num_bits).dtype == tf.float32


@pytest.mark.parametrize("dtype", [tf.int32, tf.uint8, tf.float32], ids=lambda dtype: dtype.name)
def test_a_tensor_of_bits_is_checked_when_it_is_run(dtype):
    num_bits = tf.placeholder(dtype, [])
    results = {function: take(num_bits) for function, take in WITH_BITS.items()}
    with tf.Session() as session:
        session.run(results, {num_bits: 2})
        session.run(results, {num_bits: 16})
        for _function, result in results.items():
            for wrong in (1, 17):
                with pytest.raises(tf.errors.InvalidArgumentError, match="num_bits must be from 2 to 16"):
                    session.run(result, {num_bits: wrong})


def test_settings_can_be_variables():
    num_bits, symmetric = tf.Variable(3), tf.Variable(True)
    result, expected = quantize_tensor(MATRIX * 3 - 1, num_bits, symmetric), quantize_tensor(MATRIX * 3 - 1, 3, True)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        np.testing.assert_array_equal(*session.run([result, expected]))


def test_python_values_and_tensors_have_equal_results():
    """To the last bit, although TensorFlow's optimizer has constants in one graph and not in the other."""
    random = np.random.RandomState(30)
    tensors = [random.randn(200, 4).astype(np.float32) * np.float32(factor) for factor in (0.3, 1, 7)]
    x = tf.placeholder(tf.float32, [None, 4])
    combinations = list(product(SOME_BITS, (False, True), (False, True), (False, True)))
    with_values = {c: quantize_tensor(x, *c) for c in combinations}
    settings = [
        tf.placeholder(tf.int32, []),
        tf.placeholder(tf.bool, []),
        tf.placeholder(tf.bool, []),
        tf.placeholder(tf.bool, []),
    ]
    with_tensors = quantize_tensor(x, *settings)
    tf.get_default_graph().finalize()
    with tf.Session() as session:
        for tensor in tensors:
            found = session.run(with_values, {x: tensor})
            for combination in combinations:
                expected = session.run(with_tensors, {x: tensor, **dict(zip(settings, combination))})
                np.testing.assert_array_equal(found[combination], expected, str(combination))
