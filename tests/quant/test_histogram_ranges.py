"""Ranges found in histograms, compared with NumPy's percentiles, an exhaustive search and the published algorithm."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qatviz.quant.affine import choose_grid, fake_quant
from qatviz.quant.histogram_ranges import (
    NUM_BINS,
    Histogram,
    histogram_of,
    kl_range,
    mse_range,
    percentile_range,
    range_in,
)
from qatviz.quant.ranges import find_range
from qatviz.settings import ACTIVATIONS, HISTOGRAM_METHODS, KL, MSE, PERCENTILE, quantizer_settings

SHAPES = {
    "normal": lambda r, n: r.standard_normal(n),
    "relu": lambda r, n: np.maximum(r.standard_normal(n), 0),
    "laplace": lambda r, n: r.laplace(size=n),
    "shifted": lambda r, n: r.standard_normal(n) * 0.3 + 1,
    "negative": lambda r, n: -np.abs(r.standard_t(5, n)),
    "outlier": lambda r, n: np.r_[r.standard_normal(n - 1) * 0.1, 2.0],
    "uniform": lambda r, n: r.uniform(-1, 3, n),
}


def values(shape, number=20000, seed=3):
    return np.float32(SHAPES[shape](np.random.RandomState(seed), number))


def bin_width(histogram):
    return histogram.edges[1] - histogram.edges[0]


@pytest.mark.parametrize("percentile", [50.0, 90.0, 99.0, 99.9, 100.0])
@pytest.mark.parametrize("shape", ["normal", "relu", "laplace", "shifted", "negative", "uniform"])
def test_percentiles_are_numpys_within_a_bin(shape, percentile):
    x = values(shape)
    histogram = histogram_of(x)
    expected = np.percentile(x, [(100 - percentile) / 2, (100 + percentile) / 2])
    # Where values are sparse, NumPy interpolates between two of them.
    sparse = np.diff(np.sort(x))[[4, -5]].max()
    np.testing.assert_allclose(percentile_range(histogram, percentile), expected, atol=bin_width(histogram) + sparse)


def grid_error(x, low, high, bits, symmetric=False, power_of_two=False):
    grid = choose_grid(np.float32(low), np.float32(high), bits, symmetric, False, power_of_two)
    return float(np.mean((fake_quant(x, grid) - x.astype(np.float64)) ** 2))


@pytest.mark.parametrize("symmetric, power_of_two", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("shape", ["relu", "laplace", "shifted", "negative", "outlier"])
def test_least_squared_error_is_that_of_a_grid_search(shape, bits, symmetric, power_of_two):
    """Over 24 x 24 pairs of ends, each measured on the values themselves."""
    x = values(shape, 1000)
    low, high = mse_range(histogram_of(x), 2**bits - 1, 2 ** (bits - 1) if symmetric else None, power_of_two)
    shares = np.linspace(0.05, 1.05, 24)
    ends = {(min(x.min(), 0) * a, max(x.max(), 0) * b) for a in shares for b in shares}
    if symmetric:
        ends = {(-a * np.abs(x).max(), a * np.abs(x).max()) for a in np.linspace(0.02, 1.05, 200)}
    best = min(grid_error(x, *pair, bits, symmetric, power_of_two) for pair in ends)
    assert grid_error(x, low, high, bits, symmetric, power_of_two) <= 1.05 * best


def published_divergences(bins, starts, ends, num_quantized):
    """Return the divergences of S. Migacz's "8-bit inference with TensorRT" (GTC 2017), in plain loops."""
    bins = [float(count) for count in bins]
    divergences = []
    for start, end in zip(starts, ends):
        window = bins[start:end]
        p = list(window)
        p[0] += sum(bins[:start])
        p[-1] += sum(bins[end:])
        q = [0.0] * len(window)
        for level in range(num_quantized):
            first, last = [(level + i) * len(window) // num_quantized for i in (0, 1)]
            used = [k for k in range(first, last) if window[k] > 0]
            for k in used:
                q[k] = sum(window[first:last]) / len(used)
        if any(a > 0 and b == 0 for a, b in zip(p, q)):
            divergences.append(np.inf)
            continue
        a, b = np.array(p) / sum(p), np.array(q) / sum(q)
        divergences.append(float(np.sum(a[a > 0] * np.log(a[a > 0] / b[a > 0]))))
    return np.array(divergences)


@pytest.mark.parametrize("bits", [3, 8])
@pytest.mark.parametrize("shape", ["normal", "relu", "laplace", "negative", "outlier"])
def test_kl_ranges_are_those_of_the_published_algorithm(shape, bits):
    x = values(shape, 5000)
    histogram = histogram_of(x)
    zero, used = histogram.zero_bin, np.flatnonzero(histogram.counts)
    first, end = min(used[0], zero), max(used[-1] + 1, zero)
    starts, ends = [], []
    for reach in range(1, NUM_BINS - zero + 1):
        start, stop = max(zero - reach, first), min(zero + reach, end)
        if stop - start >= max(2**bits, 128) and (start, stop) not in zip(starts[-1:], ends[-1:]):
            starts.append(start)
            ends.append(stop)
    low, high = kl_range(histogram, 2**bits - 1)
    # All thresholds would take long in plain loops: every 9th, and those that give the range found.
    kept = [
        rank
        for rank, (start, stop) in enumerate(zip(starts, ends))
        if rank % 9 == 0 or histogram.edges[start] == low or histogram.edges[stop] == high
    ]
    starts, ends = [starts[rank] for rank in kept], [ends[rank] for rank in kept]
    divergences = published_divergences(histogram.counts, starts, ends, 2**bits)
    chosen = [
        divergence
        for divergence, start, stop in zip(divergences, starts, ends)
        if histogram.edges[max(start, used[0])] == low and histogram.edges[min(stop, used[-1] + 1)] == high
    ]
    assert chosen and min(chosen) <= divergences.min() * 1.03 + 1e-12


def test_kl_clips_long_tails_and_keeps_what_has_none():
    x = values("laplace", 200000)
    low, high = kl_range(histogram_of(x), 15)
    assert 0.3 * x.max() < high < 0.9 * x.max() and 0.3 * x.min() > low > 0.9 * x.min()
    low, high = kl_range(histogram_of(values("uniform", 200000)), 255)
    assert (low, high) == pytest.approx((-1, 3), abs=0.01)


@pytest.mark.parametrize("symmetric", [False, True])
def test_kl_of_a_symmetric_grid_is_symmetric(symmetric):
    x = np.r_[values("laplace", 50000), values("relu", 50000) * 3]
    low, high = kl_range(histogram_of(x), 15, 8 if symmetric else None)
    assert low < 0 < high
    _, one_sided = kl_range(histogram_of(np.abs(x)), 15, 8 if symmetric else None)
    assert 0 < one_sided <= np.abs(x).max() * 1.01


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 300),
    st.floats(-30, 30),
    st.sampled_from(HISTOGRAM_METHODS),
    st.integers(2, 16),
    st.booleans(),
    st.booleans(),
)
def test_every_range_lies_within_a_bin_of_the_values(seed, number, log_size, method, bits, symmetric, power_of_two):
    """Those of least squared error may lie up to half a step outside; all are finite and contain some values."""
    random = np.random.RandomState(seed)
    x = np.float32(random.standard_normal(number) * 2.0**log_size + random.choice([0, 2.0**log_size]))
    given_settings = quantizer_settings(
        ACTIVATIONS, range_method=method, num_bits=bits, symmetric=symmetric, power_of_two=power_of_two
    )
    histogram = histogram_of(x)
    low, high = range_in(histogram, given_settings)
    width = bin_width(histogram)
    assert np.isfinite([low, high]).all() and low <= high
    if method == MSE:
        assert high - low > 0
    else:
        assert min(x.min(), 0) - width <= low and high <= max(x.max(), 0) + width


def test_zeros_alone_have_an_empty_range():
    nothing = histogram_of(np.zeros(5, np.float32))
    assert nothing.zeros == 5 and not nothing.is_empty
    assert [range_in(nothing, quantizer_settings(ACTIVATIONS, range_method=m)) for m in HISTOGRAM_METHODS] == [
        (0, 0)
    ] * 3
    assert Histogram(np.zeros(NUM_BINS), 0.0, 0.0, 0).is_empty


def test_find_range_of_values_knows_kl():
    x = values("laplace")
    wanted = quantizer_settings(ACTIVATIONS, range_method=KL, num_bits=4)
    low, high = find_range(x[:, np.newaxis], wanted)
    assert (low[0], high[0]) == pytest.approx(range_in(histogram_of(x), wanted))
    other = quantizer_settings(ACTIVATIONS, range_method=PERCENTILE, percentile=90.0)
    assert find_range(x[:, np.newaxis], other)[1][0] == pytest.approx(np.percentile(x, 95), rel=1e-5)
