"""Ranges found by percentile and by least squared error, against NumPy and against looking at every candidate."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from qatviz.quant import ranges
from qatviz.quant.affine import choose_grid, fake_quant
from qatviz.quant.measures import measure
from qatviz.quant.ranges import min_max_range, mse_range, percentile_range, search_stride
from qatviz.settings import MIN_MAX, MSE, PERCENTILE

WEIGHTS = arrays_of.arrays(
    np.float32, st.tuples(st.integers(1, 60), st.integers(1, 4)), elements=st.floats(-10, 10, width=16)
)
OPTIONS = st.tuples(st.integers(2, 16), st.booleans(), st.booleans(), st.booleans())
properties = settings(deadline=None, max_examples=30)


def heavy_tailed(rows, channels, seed=50):
    return (
        np.random.RandomState(seed).standard_t(3, [rows, channels]).astype(np.float32)
        * np.float32([1, 0.1, 5])[:channels]
    )


def error(x, low, high, options):
    """Mean squared error by channel on the grid of a range."""
    return np.mean((fake_quant(x, choose_grid(low, high, *options)) - x.astype(np.float64)) ** 2, axis=0)


@properties
@given(WEIGHTS)
def test_min_max_is_the_extent_of_each_channel(x):
    low, high = min_max_range(x)
    for channel in range(x.shape[1]):
        assert (low[channel], high[channel]) == (min(x[:, channel]), max(x[:, channel]))


def test_min_max_of_nothing_is_zero():
    np.testing.assert_array_equal(min_max_range(np.zeros([0, 3], np.float32)), np.zeros([2, 3]))


@properties
@given(WEIGHTS, st.floats(50, 100))
def test_percentile_cuts_evenly_at_both_ends(x, percentile):
    low, high = percentile_range(x, percentile)
    for channel in range(x.shape[1]):
        column = np.sort(x[:, channel].astype(np.float64))
        for end, share in ((low, (100 - percentile) / 200), (high, (100 + percentile) / 200)):
            place = share * (len(column) - 1)
            below = int(np.floor(place))
            above = min(below + 1, len(column) - 1)
            expected = column[below] + (column[above] - column[below]) * (place - below)
            assert end[channel] == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert low.dtype == high.dtype == np.float32


def test_percentile_100_is_min_max_and_99_leaves_one_in_a_hundred_out():
    x = heavy_tailed(10000, 3)
    np.testing.assert_array_equal(percentile_range(x, 100.0), min_max_range(x))
    low, high = percentile_range(x, 99.0)
    np.testing.assert_allclose(np.mean((x < low) | (x > high), axis=0), 0.01, atol=2e-4)


@properties
@given(WEIGHTS, OPTIONS)
def test_mse_range_is_the_best_of_its_candidates(x, options):
    low, high = min_max_range(x)
    found = error(x, *mse_range(x, *options), options=options)
    for share in ranges.COARSE_FRACTIONS:
        tolerance = 1e-6 * error(x, low * share, high * share, options) + 1e-12
        assert np.all(found <= error(x, low * share, high * share, options) + tolerance)


@pytest.mark.parametrize("num_bits", [2, 3, 4, 8])
@pytest.mark.parametrize("symmetric, narrow_range", [(False, False), (True, False), (True, True)])
def test_mse_range_is_near_the_best_of_all_shares(num_bits, symmetric, narrow_range):
    x, options = heavy_tailed(2000, 3), (num_bits, symmetric, narrow_range)
    low, high = min_max_range(x)
    found = error(x, *mse_range(x, *options), options=options)
    best = np.min(
        [error(x, low * share, high * share, options) for share in np.linspace(0.01, 1, 200, dtype=np.float32)], axis=0
    )
    assert np.all(found <= best * 1.25)
    assert num_bits > 4 or np.all(found < 0.7 * error(x, low, high, options))


def test_mse_range_looks_at_channels_one_by_one():
    x, options = heavy_tailed(500, 3), (4, True, True)
    low, high = mse_range(x, *options)
    for channel in range(3):
        single = mse_range(x[:, channel : channel + 1], *options)
        np.testing.assert_array_equal([low[channel], high[channel]], np.ravel(single))


def test_mse_range_improves_the_measure_that_is_shown():
    x = heavy_tailed(4000, 1)
    grids = [
        choose_grid(*ends, num_bits=4, symmetric=True) for ends in (mse_range(x, 4, True, False), min_max_range(x))
    ]
    better, plain = [measure(x, grid) for grid in grids]
    assert better.sqnr_db > plain.sqnr_db + 1 and better.clipped > 0 and plain.mse_rounding > better.mse_rounding


SETTINGS = {"num_bits": 3, "symmetric": True, "narrow_range": True, "power_of_two": False, "percentile": 98.0}


@pytest.mark.parametrize(
    "method, expected",
    [
        (PERCENTILE, lambda x: percentile_range(x, 98.0)),
        (MSE, lambda x: mse_range(x, 3, True, True)),
        (MIN_MAX, min_max_range),
    ],
)
def test_find_range_does_what_the_settings_say(method, expected):
    x = heavy_tailed(300, 3)
    settings_of = SimpleNamespace(range_method=method, **SETTINGS)
    np.testing.assert_array_equal(ranges.find_range(x, settings_of), expected(x))


@properties
@given(st.integers(0, 10**7), st.integers(1, 1000))
def test_the_search_sees_a_bounded_sample(num_values, num_channels):
    stride = search_stride(num_values, num_channels)
    rows = -(-num_values // stride)
    assert stride >= 1 and rows * num_channels <= ranges.SEARCH_SAMPLE + num_channels
    assert stride == 1 or num_values * num_channels > ranges.SEARCH_SAMPLE
