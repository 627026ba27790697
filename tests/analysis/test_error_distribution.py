"""Errors in units of the quantization step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qatviz.analysis.error_distribution import LARGEST, SAMPLE, error_distribution
from qatviz.measures import IDEAL_RMSE_OVER_SCALE
from qatviz.quant.affine import choose_grid
from qatviz.quant.measures import measure
from qatviz.quant.ranges import min_max_range


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 200),
    channels=st.integers(1, 6),
    bits=st.integers(2, 12),
    share=st.floats(0.3, 1.0),
    by_channel=st.booleans(),
)
def test_the_error_distribution_agrees_with_the_measures(seed, rows, channels, bits, share, by_channel):
    random = np.random.RandomState(seed)
    values = (random.randn(rows, channels) * random.uniform(0.1, 2, channels)).astype(np.float32)
    low, high = min_max_range(values if by_channel else values.reshape(-1, 1))
    grid = choose_grid(low * np.float32(share), high * np.float32(share), bits)
    found, expected = error_distribution(values, grid), measure(values, grid)
    assert found.rounding.sum() + found.clipping.sum() == found.values == found.total == values.size
    assert found.clipping.sum() == round(expected.clipped * values.size)
    assert found.rmse_over_scale == pytest.approx(expected.rmse_over_scale, rel=1e-4)
    middle = np.abs(found.edges[:-1] + found.edges[1:]) / 2
    assert not found.rounding[middle > 0.55].any()
    if not by_channel and expected.mse:
        assert found.clipping_share == pytest.approx(expected.mse_clipping / expected.mse, rel=1e-3, abs=1e-6)


def test_evenly_spread_values_have_the_ideal_error():
    values = np.random.RandomState(0).uniform(-1, 1, (50000, 1)).astype(np.float32)
    found = error_distribution(values, choose_grid(-1.0, 1.0, 8))
    assert found.rmse_over_scale == pytest.approx(IDEAL_RMSE_OVER_SCALE, rel=0.01)
    inner = found.rounding[found.rounding > 0]
    assert inner.max() / inner.min() < 1.5


def test_errors_beyond_the_axis_are_in_the_outer_bins():
    found = error_distribution(np.float32([[100.0], [-100.0], [0.0]]), choose_grid(-1.0, 1.0, 4))
    assert found.edges[-1] == LARGEST and found.clipping[0] == found.clipping[-1] == 1


def test_a_large_tensor_is_sampled_and_marked_as_such():
    found = error_distribution(np.ones((SAMPLE, 3), np.float32), choose_grid(-1.0, 1.0, 4))
    assert found.total == 3 * SAMPLE and SAMPLE / 2 <= found.values <= SAMPLE + 3


@pytest.mark.parametrize("width", [2, 32])
def test_the_sample_of_a_large_tensor_has_all_columns_of_a_feature_map(width):
    grid = choose_grid(-1.0, 1.0, 4)
    columns = np.where(np.arange(width) % 2, 0.5 * grid.scale, 0.0).astype(np.float32)
    found = error_distribution(np.tile(columns, 4 * SAMPLE // width).reshape(-1, 1), grid)
    assert found.rmse_over_scale == pytest.approx(np.sqrt(0.125), rel=0.05)


def test_values_that_are_not_finite_are_omitted():
    found = error_distribution(np.float32([[np.nan, 0.5], [np.inf, -np.inf]]), choose_grid(-1.0, 1.0, 4))
    assert found.values == 1 and found.total == 4
    assert np.isnan(error_distribution(np.zeros((0, 2), np.float32), choose_grid(0.0, 0.0)).clipping_share)
