"""Multipliers of TFLite's int16 kernels, against a reading of its source (``quantization_util.cc``, ``common.cc``)."""

import math

import numpy as np
import pytest

from qatviz.quant.int16_kernels import representable_scales, round_multipliers, rounded_twice, sum_constants
from qatviz.quant.tie_safe_scales import tie_safe_scales


def quantized_multiplier(real):
    """Multiplier and exponent as ``QuantizeMultiplier`` returns them, in whole numbers."""
    fraction, exponent = math.frexp(real)
    fixed = math.floor(fraction * 2**31 + 0.5)
    return (fixed // 2, exponent + 1) if fixed == 2**31 else (fixed, exponent)


def reduced(real):
    """The multiplier of ``MultiplyByQuantizedMultiplier(int64_t x, ...)``, as a real number."""
    fixed, exponent = quantized_multiplier(real)
    return (((fixed + 2**15) >> 16) if fixed < 0x7FFF0000 else 0x7FFF) * 2.0 ** (exponent - 15)


def scales_of(seed, count=2000):
    random = np.random.RandomState(seed)
    return np.float32(np.exp2(random.uniform(-20, 2, count)))


@pytest.mark.parametrize("seed", range(4))
def test_a_kernel_has_the_rounded_multiplier_of_every_scale(seed):
    input_scale, output_scale = scales_of(seed)[:2]
    # Ordinary scales, and those around powers of two.
    near = np.exp2(np.arange(-12, 4))[:, None] * (1 + np.linspace(-1, 1, 101) * 2.0**-15) * output_scale / input_scale
    given = np.concatenate([scales_of(seed + 9), np.float32(near.ravel())])
    found = representable_scales(input_scale, given, output_scale)
    assert found.dtype == np.float32 and np.abs(found / given - 1).max() < 2.0**-14.9
    real = np.float64(input_scale) * found.astype(np.float64) / np.float64(output_scale)
    kernels = np.array([reduced(value) for value in real])
    np.testing.assert_array_equal(kernels, round_multipliers(given.astype(np.float64) * input_scale / output_scale))
    np.testing.assert_array_equal(representable_scales(input_scale, found, output_scale), found)


def test_scales_of_networks_with_wide_activations_are_representable_ones():
    given = scales_of(3, 50)
    np.testing.assert_array_equal(
        tie_safe_scales(0.3, given, 0.007, -128, 128, True), representable_scales(0.3, given, 0.007)
    )


def test_without_a_scale_nothing_is_changed():
    given = np.float32([0.1, 0.0, 1e-44])
    np.testing.assert_array_equal(representable_scales(0.0, given, 1.0), given)
    np.testing.assert_array_equal(representable_scales(1.0, given, 0.0), given)
    np.testing.assert_array_equal(representable_scales(0.3, given, 0.7)[1:], given[1:])
    assert round_multipliers(np.zeros(())) == 0


@pytest.mark.parametrize("seed", range(3))
def test_sums_are_those_of_the_vector_kernel(seed):
    """``AddElementwiseInt16``: vshlq_s32, vqrdmulhq_n_s32, vaddq_s32, vqrdmulhq_n_s32, RoundingDivideByPOT."""
    random = np.random.RandomState(seed)
    first, second = np.float32(random.uniform(0.5, 2, 2))
    output = np.float32(max(first, second) * random.uniform(0.7, 2))
    codes = random.randint(-32768, 32768, (2, 5000))
    twice = 2 * float(max(first, second))
    parts = [quantized_multiplier(float(scale) / twice) for scale in (first, second)]
    total, exponent = quantized_multiplier(twice / (2**15 * float(output)))

    def doubling_high(a, b):
        product = a * b
        nudged = product + (2**30 if product >= 0 else 1 - 2**30)
        return -(-nudged // 2**31) if nudged < 0 else nudged // 2**31

    def divided(x, shift):
        remainder, threshold = x & (2**shift - 1), (2**shift - 1 >> 1) + (x < 0)
        return (x >> shift) + (remainder > threshold)

    expected = [
        divided(
            doubling_high(sum(doubling_high(c << (15 + by), m) for c, (m, by) in zip(pair, parts)), total), -exponent
        )
        for pair in codes.T.tolist()
    ]
    multiplier, shift = sum_constants([first, second], output)
    terms = sum(rounded_twice(code, m, by) for code, m, by in zip(codes, multiplier, shift))
    np.testing.assert_array_equal(rounded_twice(terms, multiplier[-1], shift[-1]), expected)
