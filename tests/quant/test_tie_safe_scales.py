"""Requantization in float32, like in XNNPACK and onnxruntime, compared with integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qatviz.quant.tie_safe_scales as tie_safe_scales_module
from qatviz.export.integers.fixed_point import fixed_point, requantize
from qatviz.quant.tie_safe_scales import MAX_ULPS, are_tie_safe, tie_safe_scales

INPUT, OUTPUT = np.float32(0.0237), np.float32(0.0411)


def scales_from(exponent, count=8):
    return np.random.RandomState(0).uniform(2.0**exponent, 2.0 ** (exponent + 1), count).astype(np.float32)


def last_places(found, given):
    return np.abs(found.view(np.int32).astype(np.int64) - given.view(np.int32))


def in_float32(sums, input_scale, weight_scales, output_scale):
    """Requantize like these kernels: multiplier and product in float32, ties to even."""
    return np.rint(sums.astype(np.float32) * (input_scale * weight_scales / output_scale)).astype(np.int64)


def in_integers(sums, input_scale, weight_scales, output_scale):
    return requantize(
        sums, fixed_point(np.float64(input_scale) * weight_scales.astype(np.float64) / np.float64(output_scale))
    )


def all_sums(weight_scales, steps, factor=INPUT.astype(np.float64) / OUTPUT):
    """Return all accumulators up to ``steps`` quantization steps of the output, of both signs."""
    limit = int(steps / (factor * weight_scales.min())) + 1
    return np.arange(-limit, limit)[:, np.newaxis]


@pytest.mark.parametrize("exponent", [-3, -7, -11])
@pytest.mark.parametrize("zero_point, steps", [(-128, 255), (0, 128), (17, 145)])
def test_with_tie_safe_scales_every_sum_gets_the_same_code(exponent, zero_point, steps):
    given = scales_from(exponent)
    found = tie_safe_scales(INPUT, given, OUTPUT, zero_point, 128)
    sums = all_sums(found, steps)

    def clip(codes):
        return np.clip(codes + zero_point, -128, 127)

    np.testing.assert_array_equal(
        clip(in_float32(sums, INPUT, found, OUTPUT)), clip(in_integers(sums, INPUT, found, OUTPUT))
    )
    assert last_places(found, given).max() <= MAX_ULPS


def test_without_tie_safe_scales_some_sums_get_different_codes():
    given = scales_from(-9, 32)
    sums = all_sums(given, 255)
    expected = in_integers(sums, INPUT, given, OUTPUT)
    different = (expected != in_float32(sums, INPUT, given, OUTPUT)) & (np.abs(expected) < 255)
    moved = tie_safe_scales(INPUT, given, OUTPUT, -128, 128) != given
    assert different.any() and moved[different.any(axis=0)].all() and not moved.all()


@settings(deadline=None)
@given(
    st.floats(2.0**-13, 8, width=32),
    st.lists(st.floats(2.0**-10, 1, width=32), min_size=1, max_size=3),
    st.floats(2.0**-13, 8, width=32),
    st.integers(2, 8),
    st.integers(-128, 127),
)
def test_scales_are_nudged_by_little_or_not_at_all(input_scale, weights, output_scale, bits, zero_point):
    given, half = np.float32(weights), 2 ** (bits - 1)
    zero_point = int(np.clip(zero_point, -half, half - 1))
    found = tie_safe_scales(input_scale, given, output_scale, zero_point, half)
    assert found.dtype == np.float32 and last_places(found, given).max() <= MAX_ULPS
    again = tie_safe_scales(input_scale, found, output_scale, zero_point, half)
    np.testing.assert_array_equal(again, found)


def test_power_of_two_scales_are_unchanged():
    given = np.float32([0.25, 2.0**-9, 1.0])
    np.testing.assert_array_equal(tie_safe_scales(INPUT, given, OUTPUT, -128, 128), given)


@pytest.mark.parametrize(
    "input_scale, output_scale, half", [(0.0, OUTPUT, 128), (INPUT, 0.0, 128), (INPUT, OUTPUT, 256)]
)
def test_scales_are_unchanged_if_no_runtime_multiplies_in_float32(input_scale, output_scale, half):
    given = scales_from(-11)
    np.testing.assert_array_equal(tie_safe_scales(input_scale, given, output_scale, -half, half), given)


def test_channels_with_scale_0_are_unchanged_and_do_not_affect_others():
    given = scales_from(-11)
    with_zero = np.concatenate([np.float32([0]), given])
    found = tie_safe_scales(INPUT, with_zero, OUTPUT, -128, 128)
    assert found[0] == 0
    np.testing.assert_array_equal(found[1:], tie_safe_scales(INPUT, given, OUTPUT, -128, 128))


def test_a_per_tensor_scale_is_a_scalar():
    found = tie_safe_scales(INPUT, np.float32(0.0031), OUTPUT, -128, 128)
    assert found.shape == () and found == tie_safe_scales(INPUT, np.float32([0.0031]), OUTPUT, -128, 128)[0]


@pytest.mark.parametrize("times", [2, 7, 16])
def test_are_tie_safe_accepts_factors_that_change_no_rounding(times):
    scales = tie_safe_scales(INPUT, scales_from(-9, 32), OUTPUT, -128, 128)
    sums = all_sums(scales, 255)
    expected = in_integers(sums, INPUT, scales, OUTPUT)
    found = in_float32(times * sums, INPUT, (scales / times).astype(np.float32), OUTPUT)
    are_safe = are_tie_safe(INPUT, scales, OUTPUT, -128, 128, np.full(32, times))
    assert are_safe.all() if times in (2, 16) else 0 < are_safe.sum() < 32
    different = (found != expected) & (np.abs(expected) < 255)
    assert not different[:, are_safe].any()
    assert different.any() == (times == 7)


def test_equal_scales_are_searched_once(monkeypatch):
    """All channels of a tensor quantized as a whole have one scale; 512 searches would take as long as the snapshot."""
    given, tested = scales_from(-7, 3), []
    are_safe = tie_safe_scales_module._are_safe
    monkeypatch.setattr(
        tie_safe_scales_module,
        "_are_safe",
        lambda input_scale, scales, *others: tested.append(scales.size) or are_safe(input_scale, scales, *others),
    )
    tie_safe_scales_module._nudged.cache_clear()
    repeated = tie_safe_scales(INPUT, np.tile(given, 100), OUTPUT, -128, 128)
    assert tested[0] == len(given)
    alone = [tie_safe_scales(INPUT, given[i], OUTPUT, -128, 128) for i in range(3)]
    np.testing.assert_array_equal(repeated, np.tile(np.array(alone), 100))


@pytest.mark.parametrize("weights", [[1e20, 3.1e38], [1.3e-45, 1e-38]])
def test_scales_of_a_diverged_run_cause_no_warning(weights):
    """Their product with the input's scale overflows float32."""
    scales = np.float32(weights)
    found = tie_safe_scales(np.float32(1e12), scales, np.float32(1e20), -128, 128)
    assert found.shape == scales.shape and np.isfinite(found).all() and (found > 0).all()
