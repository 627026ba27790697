"""Values are moved to the exact result's side of a tie, and no farther."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from qatviz.quant import affine
from qatviz.training.lowering.exact import snap_to_exact_code, whole_units


def snap(x, position, scale, known=True):
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(
            snap_to_exact_code(
                tf.constant(np.float32(x)),
                lambda _: tf.constant(np.float64(position)),
                tf.constant(np.float32(scale)),
                tf.constant(known),
            )
        )


@pytest.mark.parametrize("scale", [1.0, 0.1, 3e-4, 7e3])
def test_values_are_rounded_like_the_exact_result_and_barely_changed(scale):
    random = np.random.RandomState(0)
    ties = random.randint(-128, 127, 1000) + 0.5 + random.uniform(-1e-5, 1e-5, 1000)
    exact = np.concatenate([random.uniform(-128, 127, 1000), ties])
    x = np.float32(exact * scale * (1 + random.uniform(-1, 1, 2000) * 1e-6))
    found = snap(x, exact, scale)
    grid = affine.AffineGrid(np.float32(scale), np.int32(0), 8, False)
    expected = np.clip(np.floor(exact + 0.5), -128, 127)
    np.testing.assert_array_equal(affine.quantize(found, grid), expected)
    assert np.any(affine.quantize(x, grid) != expected), "nothing was close enough to a tie to matter"
    assert np.abs(found - x).max() < 2e-3 * scale
    far = np.abs(exact - np.floor(exact) - 0.5) > 2e-3
    np.testing.assert_array_equal(found[far], x[far])


def test_values_without_an_exact_result_are_unchanged():
    x = np.float32([0.3, 0.5, -7.0])
    np.testing.assert_array_equal(snap(x, [9.0, 9.0, 9.0], 1.0, known=False), x)


def test_sums_are_rounded_to_whole_units_per_channel():
    units = np.array([0.1, 3e-6, 7.0])
    counts = np.random.RandomState(0).randint(-(2**20), 2**20, (500, 3))
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(whole_units(tf.constant((counts * units).astype(np.float32)), tf.constant(units)))
    np.testing.assert_array_equal(found, counts)
