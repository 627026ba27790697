"""Sums of two tensors as runtimes round them: XNNPACK in 21 bits, onnxruntime in float32 or 22 bits, integers in 31."""

import numpy as np
import pytest

from qatviz.export.integers.fixed_point import common_fixed_point, round_shift
from qatviz.quant.tie_safe_scales import MAX_ULPS, ULPS
from qatviz.quant.tie_safe_sums import _is_safe, tie_safe_sum_scale

ZERO_POINTS = [(0, 0), (-128, -128), (-128, 10)]


def scales_from(seed):
    """Return scales of two inputs and their sum."""
    random = np.random.RandomState(seed)
    inputs = np.exp(random.uniform(-4, -2, 2)).astype(np.float32)
    return inputs, np.float32(inputs.sum() * random.uniform(0.6, 1))


def all_codes(zero_points):
    """Return all codes minus their zero points, as a column and a row."""
    first, second = (np.arange(-128, 128, dtype=np.int64) - zero for zero in zero_points)
    return first[:, np.newaxis], second[np.newaxis]


def in_bits(codes, scales, output, bits):
    """Add like ``xnn_init_qs8_add_minmax_scalar_params``, which has 21 bits."""
    factors = scales / output
    shift = bits - 1 - int(np.floor(np.log2(factors.max())))
    multipliers = [int(np.rint(np.float64(factor) * 2.0**shift)) for factor in factors]
    return sum(part * multiplier for part, multiplier in zip(codes, multipliers)) + (1 << (shift - 1)) >> shift


def in_float32(codes, scales, output):
    """Add with multipliers, products and sum in float32, ties to even."""
    first, second = (part.astype(np.float32) * factor for part, factor in zip(codes, scales / output))
    return np.rint(first + second).astype(np.int64)


def in_integers(codes, scales, output):
    factors = common_fixed_point(scales.astype(np.float64) / np.float64(output))
    return round_shift(
        sum(part * multiplier for part, multiplier in zip(codes, factors.multiplier)), factors.right_shift[0]
    )


def different(codes, scales, output):
    """Return the number of pairs of codes whose sum differs between runtimes."""
    expected = in_integers(codes, scales, output)
    others = (in_bits(codes, scales, output, 21), in_bits(codes, scales, output, 22), in_float32(codes, scales, output))
    return np.count_nonzero(np.any([other != expected for other in others], axis=0) & (np.abs(expected) < 256))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("zero_points", ZERO_POINTS[:2])
def test_with_the_tie_safe_scale_all_sums_agree(zero_points, seed):
    scales, output = scales_from(seed)
    found = tie_safe_sum_scale(scales, zero_points, (128, 128), output, 128)
    assert different(all_codes(zero_points), scales, found) == 0
    assert abs(int(found.view(np.int32)) - int(output.view(np.int32))) <= MAX_ULPS


def test_without_the_tie_safe_scale_some_sums_differ():
    counts = [different(all_codes((-128, -128)), *scales_from(seed)) for seed in range(6)]
    assert sum(count > 0 for count in counts) >= 3 and max(counts) < 40


def test_fewer_sums_differ_if_no_close_scale_is_tie_safe():
    """The scale may be unchanged: with more sums, not all can be far enough from a tie."""
    for seed in range(4):
        scales, output = scales_from(seed)
        found = tie_safe_sum_scale(scales, ZERO_POINTS[2], (128, 128), output, 128)
        assert found == output or different(all_codes(ZERO_POINTS[2]), scales, found) == 0


@pytest.mark.parametrize(
    "scales, halves, output, output_half",
    [
        ([0.1, 0.2], (128, 128), 0.25, 128),  # a power of two
        ([0.1, 0.2, 0.3], (128, 128, 128), 0.3, 128),
        ([0.1, 0.2], (128, 256), 0.3, 128),
        ([0.1, 0.2], (128, 128), 0.3, 256),
        ([0.0, 0.2], (128, 128), 0.3, 128),
        ([0.1, 0.2], (128, 128), 0.0, 128),
        ([0.1, np.inf], (128, 128), 0.3, 128),
    ],
)
def test_scales_that_need_no_choice_are_unchanged(scales, halves, output, output_half):
    found = tie_safe_sum_scale(scales, (0,) * len(scales), halves, output, output_half)
    assert isinstance(found, np.float32) and found == np.float32(output)


@pytest.mark.parametrize("seed", range(4))
def test_no_closer_scale_is_safe_for_all_pairs_of_codes(seed):
    """Only pairs next to ties are tested, selected for many candidates at a time: all pairs give the same result."""
    random = np.random.RandomState(seed)
    changes = []
    for _ in range(6):
        scales = [float(scale) for scale in np.float32(random.uniform(0.02, 0.2, 2))]
        zeros, output = random.randint(-128, 128, 2).tolist(), np.float32(max(scales) * random.uniform(0.8, 1.5))
        found = tie_safe_sum_scale(scales, zeros, [128, 128], output, 128)
        first, second = np.meshgrid(*(np.arange(-128 - zero, 128 - zero) for zero in zeros), indexing="ij")
        change = int(found.view(np.int32)) - int(output.view(np.int32))
        candidates = ((output.view(np.int32) + ulps).view(np.float32) for ulps in ULPS)
        are_safe = (_is_safe(tuple(scales), first, second, candidate, 256) for candidate in candidates)
        assert change == next((ulps for ulps, is_safe in zip(ULPS, are_safe) if is_safe), 0)
        changes.append(abs(change))
    assert max(changes) > 8
