"""Maps of weights, EWGS, stochastic rounding and the strength: the graph computes the equations of the papers."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from qatviz.quant import affine
from qatviz.quant.fake_quant import fake_quantize
from qatviz.quant.gradients import Rounding
from qatviz.quant.grid import ChannelGrid
from qatviz.quant.weight_maps import MAPS, mapped
from qatviz.settings import BINARY, NO_MAP, TANH, TERNARY, quantizer_settings

WEIGHTS = np.random.RandomState(5).standard_normal((7, 5, 4)).astype(np.float32)
GRADIENT = np.random.RandomState(6).standard_normal(WEIGHTS.shape).astype(np.float32)


def settings(name, per_channel=False, **rest):
    """Return the settings of weights with a map."""
    if name == BINARY:
        rest["num_bits"] = 1
    else:
        rest["weight_map"] = name
    return quantizer_settings("weights", per_channel=per_channel, **rest)


def grid_after(w, chosen):
    """Return the grid of weights ``w`` ``[..., channels]`` after their map."""
    columns = mapped(w, chosen, w.shape[-1]).reshape(-1, w.shape[-1] if chosen.per_channel else 1)
    s = chosen.on_grid()
    return affine.choose_grid(columns.min(axis=0), columns.max(axis=0), s.num_bits, s.symmetric, s.narrow_range)


def run_graph(w, dy, grid, chosen, strength=1.0, scaling=0.0, stochastic=False, seed=(0, 0), general=True):
    """Return the values and gradients of the graph, for weights with ``chosen`` settings."""
    columns = w.reshape(-1, w.shape[-1] if chosen.per_channel else 1)
    magnitudes = np.abs(columns).astype(np.float64)
    largest = float(np.abs(w).max())
    thresholds = -np.ones(columns.shape[1]) if chosen.effective_map == BINARY else 0.7 * magnitudes.mean(axis=0)
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.constant(w)
        scale = np.where(grid.scale > 0, grid.scale, np.float32(1))
        operands = ChannelGrid(*map(tf.constant, (grid.minimum, grid.maximum, scale, -grid.scale)))
        whole = ChannelGrid(*(part[0] for part in operands))
        threshold = tf.constant(thresholds.astype(np.float32))
        rounding = Rounding(
            tf.constant(general),
            whole,
            tf.constant(MAPS.index(chosen.effective_map)),
            tf.constant(largest / np.tanh(largest), tf.float64),
            threshold[0],
            threshold,
            tf.constant(stochastic),
            tf.constant(scaling, tf.float32),
            tf.constant(strength, tf.float32),
            tf.constant(seed),
        )
        found = fake_quantize(
            x, channel_grid=operands, enabled=tf.constant(True), per_channel=tf.constant(True), rounding=rounding
        )
        gradient = tf.gradients(found.values, x, tf.constant(dy))[0]
        return session.run([found.values, gradient])


def binary_by_definition(w, axis):
    """Return XNOR-Net's binary weights: the mean magnitude with the signs."""
    return np.where(w >= 0, 1, -1) * np.abs(w.astype(np.float64)).mean(axis=axis, keepdims=True)


def ternary_by_definition(w, axis):
    """Return TWN's ternary weights."""
    magnitude = np.abs(w.astype(np.float64))
    above = magnitude > 0.7 * magnitude.mean(axis=axis, keepdims=True)
    scale = (magnitude * above).sum(axis=axis, keepdims=True) / above.sum(axis=axis, keepdims=True)
    return np.sign(w) * above * scale


def tanh_by_definition(w, axis):
    """Return DoReFa's weights before rounding, with their largest magnitude."""
    curved = np.tanh(w.astype(np.float64))
    return np.abs(w).max() * curved / np.abs(curved).max()


DEFINITIONS = {BINARY: binary_by_definition, TERNARY: ternary_by_definition, TANH: tanh_by_definition}


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name", DEFINITIONS)
def test_maps_follow_their_definitions(name, per_channel):
    found = mapped(WEIGHTS, settings(name, per_channel), 4)
    expected = DEFINITIONS[name](WEIGHTS, (0, 1) if per_channel else None)
    assert found.dtype == np.float32 and found.shape == WEIGHTS.shape
    np.testing.assert_allclose(found, expected, rtol=2e-7)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name", [BINARY, TERNARY])
def test_codes_of_binary_and_ternary_weights_are_exact(name, per_channel):
    chosen = settings(name, per_channel)
    after, grid = mapped(WEIGHTS, chosen, 4), grid_after(WEIGHTS, chosen)
    codes = affine.quantize(after, grid)
    assert set(np.unique(codes)) == ({-1, 1} if name == BINARY else {-1, 0, 1})
    assert grid.bounds == (-1, 1) and (grid.zero_point == 0).all()
    np.testing.assert_array_equal(affine.dequantize(codes, grid), after)


def test_all_zero_weights_stay_zero():
    for name in (BINARY, TERNARY, TANH):
        assert not mapped(np.zeros((3, 2), np.float32), settings(name), 2).any()


def test_the_documented_example():
    w = np.float32([-0.2, 0.1, 0.6])[:, np.newaxis]
    np.testing.assert_allclose(mapped(w, settings(BINARY), 1).ravel(), [-0.3, 0.3, 0.3], rtol=1e-6)
    np.testing.assert_allclose(mapped(w, settings(TERNARY), 1).ravel(), [0, 0, 0.6], rtol=1e-6)


@pytest.mark.parametrize("bits", [2, 3, 8])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name", [NO_MAP, TANH, TERNARY, BINARY])
def test_the_graph_rounds_to_the_values_of_the_reference(name, per_channel, bits):
    chosen = settings(name, per_channel, **({} if name == BINARY else {"num_bits": bits}))
    grid = grid_after(WEIGHTS, chosen)
    values, gradient = run_graph(WEIGHTS, GRADIENT, grid, chosen)
    np.testing.assert_array_equal(values, affine.fake_quant(mapped(WEIGHTS, chosen, 4), grid))
    slope = np.ones_like(WEIGHTS)
    if name == TANH:
        largest = np.abs(WEIGHTS).max().astype(np.float64)
        slope = largest / np.tanh(largest) * (1 - np.tanh(WEIGHTS.astype(np.float64)) ** 2)
    after = mapped(WEIGHTS, chosen, 4)
    inside = (after >= grid.minimum) & (after <= grid.maximum)
    np.testing.assert_allclose(gradient, GRADIENT * slope * inside, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_the_strength_mixes_values_and_gradients(strength):
    chosen = settings(NO_MAP, num_bits=3)
    grid = affine.choose_grid(np.float32([-1.0]), np.float32([1.0]), 3)  # clips some
    values, gradient = run_graph(WEIGHTS, GRADIENT, grid, chosen, strength=strength)
    quantized = affine.fake_quant(WEIGHTS, grid)
    np.testing.assert_allclose(values, WEIGHTS + strength * (quantized - WEIGHTS), rtol=1e-5, atol=1e-6)
    passed = affine.fake_quant_gradient(GRADIENT, WEIGHTS, grid)
    np.testing.assert_allclose(gradient, (1 - strength) * GRADIENT + strength * passed, rtol=1e-5, atol=1e-6)
    if strength in (0.0, 1.0):
        np.testing.assert_array_equal(values, quantized if strength else WEIGHTS)


def test_gradients_are_scaled_as_by_ewgs():
    chosen, delta = settings(NO_MAP, num_bits=3), 2.0
    grid = affine.choose_grid(np.float32([-1.0]), np.float32([1.0]), 3)
    values, gradient = run_graph(WEIGHTS, GRADIENT, grid, chosen, scaling=delta)
    np.testing.assert_array_equal(values, affine.fake_quant(WEIGHTS, grid))
    extent = float((grid.maximum - grid.minimum)[0])
    normalized = (np.clip(WEIGHTS, grid.minimum, grid.maximum) - grid.minimum) / extent
    levels = (values - grid.minimum) / extent
    passed = affine.fake_quant_gradient(GRADIENT, WEIGHTS, grid)
    expected = passed * (1 + delta * np.sign(GRADIENT) * (normalized - levels))
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(gradient - passed).max() > 0.05


def test_stochastic_rounding_is_unbiased_and_repeats_with_its_seed():
    w = np.random.RandomState(3).uniform(-1.2, 1.2, (400, 100, 1)).astype(np.float32)
    chosen, grid = settings(NO_MAP, num_bits=3), affine.choose_grid(np.float32([-1.0]), np.float32([1.0]), 3)
    draws = [run_graph(w, w, grid, chosen, stochastic=True, seed=seed)[0] for seed in ((1, 2), (1, 2), (1, 3))]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).mean() > 0.1
    clipped = np.clip(w, grid.minimum, grid.maximum)
    below = np.floor((clipped - grid.minimum) / grid.scale)
    steps = np.round((draws[0] - grid.minimum) / grid.scale)
    assert set(np.unique(steps - below)) <= {0, 1} and steps.max() <= 7
    up = ((clipped - grid.minimum) / grid.scale - below)[..., 0]
    # Each is Bernoulli with the probability `up`: five standard deviations of the sum.
    assert abs((steps - below).sum() - up.sum()) < 5 * np.sqrt((up * (1 - up)).sum())


def test_the_plain_form_is_used_unless_the_general_one_is_needed():
    chosen = settings(TERNARY)
    grid = affine.choose_grid(np.float32([-1.0] * 4), np.float32([1.0] * 4), 4)
    values, gradient = run_graph(WEIGHTS, GRADIENT, grid, chosen, general=False)
    np.testing.assert_array_equal(values, affine.fake_quant(WEIGHTS, grid))
    np.testing.assert_array_equal(gradient, affine.fake_quant_gradient(GRADIENT, WEIGHTS, grid))
