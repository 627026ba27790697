"""Percentile and least-squared-error ranges, compared with NumPy and an exhaustive search."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from qatviz.quant import ranges
from qatviz.quant.affine import choose_grid, fake_quant
from qatviz.quant.measures import measure
from qatviz.quant.ranges import find_range, min_max_range, mse_range, percentile_range
from qatviz.settings import KL, MIN_MAX, MSE, PERCENTILE, QuantizerSettings

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
    """Return the mean squared error by channel on the grid of a range."""
    return np.mean((fake_quant(x, choose_grid(low, high, *options)) - x.astype(np.float64)) ** 2, axis=0)


@properties
@given(WEIGHTS)
def test_min_max_is_the_extent_of_each_channel(x):
    low, high = min_max_range(x)
    for channel in range(x.shape[1]):
        assert (low[channel], high[channel]) == (min(x[:, channel]), max(x[:, channel]))


@pytest.mark.parametrize("method", [MIN_MAX, PERCENTILE, MSE, KL])
def test_the_range_of_an_empty_tensor_is_zero(method):
    found = find_range(np.zeros([0, 3], np.float32), QuantizerSettings(range_method=method))
    np.testing.assert_array_equal(found, np.zeros([2, 3]))


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


def test_percentile_100_is_min_max_and_99_excludes_one_in_a_hundred():
    x = heavy_tailed(10000, 3)
    np.testing.assert_array_equal(percentile_range(x, 100.0), min_max_range(x))
    low, high = percentile_range(x, 99.0)
    np.testing.assert_allclose(np.mean((x < low) | (x > high), axis=0), 0.01, atol=2e-4)


@properties
@given(WEIGHTS, OPTIONS)
def test_mse_range_is_never_worse_than_min_max(x, options):
    found, plain = error(x, *mse_range(x, *options), options), error(x, *min_max_range(x), options)
    assert np.all(found <= plain * (1 + 1e-4) + 1e-12 * np.square(x).max())


SHAPES = {
    "normal": lambda r, n: r.standard_normal(n),
    "shifted": lambda r, n: r.standard_normal(n) + 2,
    "one-sided": lambda r, n: r.uniform(0.02, 0.26, n),
    "ReLU": lambda r, n: np.maximum(r.standard_normal(n), 0),
    "one outlier": lambda r, n: np.append(0.1 * r.standard_normal(n - 1), 4.0),
    "outliers on both sides": lambda r, n: np.append(0.1 * r.standard_normal(n - 3), [-3.0, -2.5, 1.0]),
    "heavy tails": lambda r, n: r.standard_t(2, n),
    "two clusters": lambda r, n: np.where(r.rand(n) < 0.3, r.normal(-1, 0.1, n), r.normal(3, 0.2, n)),
    "sparse": lambda r, n: r.standard_normal(n) * (r.rand(n) < 0.5),
    "three values": lambda r, n: r.choice([-0.3, 0.0, 0.3], n),
    "powers of two": lambda r, n: r.choice([-1, 1], n) * 2.0 ** r.randint(-6, 1, n),
}
KINDS_OF_GRID = {
    "affine": (False, False, False),
    "narrow": (False, True, False),
    "symmetric": (True, True, False),
    "power of two": (False, False, True),
}


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 10**6),
    st.integers(1000, 3000),
    st.sampled_from(sorted(SHAPES)),
    st.sampled_from([2, 3, 4, 5, 6]),
    st.sampled_from(sorted(KINDS_OF_GRID)),
)
def test_mse_range_is_within_5_percent_of_the_best_of_all_pairs_of_ends(seed, count, shape, num_bits, kind):
    x = np.float32(SHAPES[shape](np.random.RandomState(seed), count)).reshape(-1, 1)
    options = (num_bits, *KINDS_OF_GRID[kind])
    found = error(x, *mse_range(x, *options), options)
    assert found <= 1.05 * least_error_of_pairs(x, options) + 1e-12 * np.square(x).max()


def least_error_of_pairs(x, options, steps=41):
    """Return the least error of a single channel on the grids of ``steps`` times ``steps`` pairs of ends."""
    (low, high), fractions = min_max_range(x), np.linspace(0, 1.05, steps, dtype=np.float32)
    return np.min([error(x, low * fraction, high * fractions, options) for fraction in fractions])


def test_the_ends_of_an_mse_range_move_apart():
    """Both ends by the same fraction give 8.9e-3 here, the best pair of ends 5.1e-3."""
    x = np.append(0.1 * np.random.RandomState(0).standard_normal(4000), 4.0).astype(np.float32).reshape(-1, 1)
    options = (2, False, False)
    low, high = mse_range(x, *options)
    assert error(x, low, high, options) <= 1.05 * least_error_of_pairs(x, options, 81) < 5.5e-3
    assert low / x.min() != pytest.approx(high / x.max(), rel=0.2)


@pytest.mark.parametrize("num_bits", [2, 4, 8, 16])
@pytest.mark.parametrize("symmetric", [False, True])
def test_a_long_tail_is_clipped_if_that_reduces_the_error(num_bits, symmetric):
    x, options = heavy_tailed(2000, 3), (num_bits, symmetric, False)
    found, plain = [error(x, *find, options) for find in (mse_range(x, *options), min_max_range(x))]
    assert np.all(found < (0.7 if num_bits <= 4 else 1.001) * plain)


@pytest.mark.parametrize("scale", [1e-44, 1e-38, 1e-30, 1e30, 1e38, 3e38])
@pytest.mark.parametrize("options", [(2, False, False, False), (8, True, True, True), (16, False, False, True)])
def test_mse_range_of_extremely_small_and_large_values(scale, options):
    x = np.float32(scale * np.random.RandomState(0).uniform(-1, 1, [50, 2]))
    low, high = mse_range(x, *options)
    assert np.isfinite(low).all() and np.isfinite(high).all() and (low <= 0).all() and (high >= 0).all()


def test_mse_range_of_empty_zero_and_nonfinite_channels():
    np.testing.assert_array_equal(mse_range(np.zeros([0, 3], np.float32), 4, False, False), np.zeros([2, 3]))
    x = np.float32([[0, 1, np.nan, np.inf], [0, -2, 1, 1]])
    low, high = mse_range(x, 4, False, False)
    assert (low[0], high[0]) == (0, 0) and np.isnan(low[2]) and high[3] == np.inf
    assert error(x[:, 1], low[1], high[1], (4, False, False)) < 1e-12


def test_mse_range_is_searched_per_channel():
    x, options = heavy_tailed(500, 3), (4, True, True)
    low, high = mse_range(x, *options)
    for channel in range(3):
        single = mse_range(x[:, channel : channel + 1], *options)
        np.testing.assert_array_equal([low[channel], high[channel]], np.ravel(single))


def test_mse_range_improves_the_displayed_error():
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
def test_find_range_follows_the_settings(method, expected):
    x = heavy_tailed(300, 3)
    settings_of = SimpleNamespace(range_method=method, **SETTINGS)
    np.testing.assert_array_equal(ranges.find_range(x, settings_of), expected(x))


@properties
@given(st.integers(0, 300_000), st.integers(1, 30_000), st.integers(0, 10**6))
def test_the_search_uses_a_bounded_sample_that_stands_for_all_values(num_values, num_channels, seed):
    random = np.random.RandomState(seed)
    x = random.standard_normal((num_values // num_channels, num_channels)).astype(np.float32)
    sample, numbers = ranges.search_sample(x)
    assert sample.size <= max(4 / 3 * ranges.SEARCH_SAMPLE, 4 * num_channels)
    if numbers is None:
        assert sample is x
        return
    np.testing.assert_array_equal(numbers.sum(axis=0), len(x))
    np.testing.assert_array_equal([sample.min(axis=0), sample.max(axis=0)], [x.min(axis=0), x.max(axis=0)])
    assert (numbers * sample.astype(np.float64) ** 2).sum() == pytest.approx(
        (x.astype(np.float64) ** 2).sum(), rel=0.15
    )


@pytest.mark.parametrize("zeros", [0.2, 0.7])
def test_an_extreme_that_is_repeated_often_keeps_its_share_of_the_sample(zeros):
    random = np.random.RandomState(0)
    x = np.float32(np.abs(random.standard_normal((200_000, 1))) * (random.rand(200_000, 1) >= zeros))
    sample, numbers = ranges.search_sample(x)
    assert numbers[sample == 0].sum() / numbers.sum() == pytest.approx(zeros, abs=0.02)


LARGE = {
    "one channel": lambda r: r.standard_normal((200_000, 1)),
    "an outlier": lambda r: np.append(r.standard_normal(199_999), 60.0).reshape(-1, 1),
    "many channels": lambda r: r.standard_normal((200, 600)) * np.exp(r.standard_normal(600)),
    "sparse": lambda r: r.standard_normal((400, 300)) * (r.rand(400, 300) < 0.1),
}


@pytest.mark.parametrize("num_bits", [2, 4, 6, 8, 16])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("values", sorted(LARGE))
def test_mse_range_of_a_large_tensor_is_not_worse_than_min_max(values, symmetric, num_bits):
    """A sample of some rows lacks most outliers: the range that suits it had an error 70 dB larger."""
    x, options = np.float32(LARGE[values](np.random.RandomState(0))), (num_bits, symmetric, False)
    found, plain = [error(x, *find, options).mean() for find in (mse_range(x, *options), min_max_range(x))]
    assert found <= 1.01 * plain
    if num_bits <= 4 and values != "sparse":
        assert found < 0.95 * plain
