"""Ranges for fake-quant kernels: TensorFlow's kernel is compared with the NumPy reference."""

from itertools import product

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from qatviz.export.fake_quant.ranges import kernel_range, nudged
from qatviz.quant.affine import AffineGrid, choose_grid, fake_quant

#: Symmetric, narrow range, power of two.
KINDS = list(product((False, True), repeat=3))


def grids(bits, kind, count=2000):
    random = np.random.RandomState(bits)
    ends = [random.gamma(1.0, 2.0, count) * (random.uniform(size=count) > 0.1) for _ in range(2)]
    return choose_grid(-ends[0], ends[1], bits, *kind)


@pytest.mark.parametrize("bits", [2, 3, 4, 7, 8, 12, 16])
def test_every_grid_has_a_range_that_the_kernel_nudges_to_it(bits):
    for kind in KINDS:
        grid = grids(bits, kind)
        low, high, num_bits, narrow = kernel_range(grid)
        scale, zero = nudged(low, high, num_bits, narrow)
        used = grid.scale > 0
        np.testing.assert_array_equal(scale, grid.scale)
        np.testing.assert_array_equal(zero[used] - 2 ** (bits - 1), grid.zero_point[used])
        assert (low <= 0).all() and (high >= 0).all() and (low[~used] == 0).all() and (high[~used] == 0).all()


@pytest.mark.parametrize("bits, narrow", [(2, True), (4, False), (8, False), (8, True), (16, False)])
def test_the_kernel_rounds_like_the_reference(bits, narrow):
    grid = grids(bits, (False, narrow, False), 64)
    low, high, _, _ = kernel_range(grid)
    random = np.random.RandomState(0)
    x = random.uniform(-1.2, 1.2, (4000, 64)).astype(np.float32) * np.maximum(high - low, 1)
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(tf.quantization.fake_quant_with_min_max_vars_per_channel(x, low, high, bits, narrow))
        alone = session.run(tf.quantization.fake_quant_with_min_max_vars(x[:, 5], low[5], high[5], bits, narrow))
    expected = np.where(grid.scale > 0, fake_quant(x, grid), 0)
    steps = np.abs(found - expected) / np.where(grid.scale > 0, grid.scale, 1)
    # The kernel multiplies by the reciprocal of the scale, which changes the code of a few ties.
    assert np.mean(steps > 0.01) < (1e-3 if bits < 16 else 2e-2) and steps.max() < 1.01
    np.testing.assert_array_equal(alone, found[:, 5])


def test_a_scalar_grid_has_a_scalar_range():
    low, high, bits, narrow = kernel_range(AffineGrid(np.float32(0.25), np.int32(-8), 4, False))
    assert (low.shape, high.shape, float(low), float(high), bits, narrow) == ((), (), 0.0, 3.75, 4, False)
