"""Parts of a histogram's bins, compared with the values themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qatviz.analysis.distribution import BINS_PER_OCTAVE, distribution, extent, grid_of, split, to_log2
from qatviz.protocol.snapshots import TensorHistogram
from qatviz.quant.affine import choose_grid, fake_quant, quantize
from qatviz.quant.measures import CLIPPED_BEYOND, measure

BINS = 128


def histogram_of(values, grid, bits, enabled=True):
    """Return the histogram of ``values`` ``[n, channels]`` like a snapshot's."""
    quantized = fake_quant(values, grid) if enabled else values
    low, high = min(values.min(), quantized.min()), max(values.max(), quantized.max())
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1).astype(np.float32)
    inner = edges.astype(np.float64)
    inner[0], inner[-1] = -np.inf, np.inf
    codes = None
    if enabled and bits <= 8:
        codes = np.bincount((quantize(values, grid) + 2 ** (bits - 1)).ravel(), minlength=2**bits)
    counts, quantized_counts = np.histogram(values, inner)[0], np.histogram(quantized, inner)[0]
    return TensorHistogram(
        edges,
        counts,
        quantized_counts,
        -(2 ** (bits - 1)),
        codes,
        values.min(axis=0),
        values.max(axis=0),
        np.atleast_1d(grid.scale),
        np.atleast_1d(grid.zero_point),
    )


def distribution_and_fractions(values, grid, bits):
    """Return the distribution with the snapshot's exact fractions, and the fractions."""
    found = measure(values, grid)
    window = float(grid.minimum.min()), float(grid.maximum.max())
    return distribution(histogram_of(values, grid, bits), bits, True, window, found.clipped, found.flushed), found


@st.composite
def cases(draw, per_channel=st.booleans()):
    """Draw values ``[n, channels]`` and a grid that clips some of them, or none."""
    random = np.random.RandomState(draw(st.integers(0, 2**32 - 1)))
    channels, bits = draw(st.integers(1, 5)), draw(st.integers(2, 10))
    values = random.randn(300, channels) * random.uniform(0.2, 2, channels) + draw(st.floats(-1, 1))
    values = values.astype(np.float32)
    if draw(st.booleans()):
        values = np.maximum(values, 0)
    low, high = values.min(axis=0), values.max(axis=0)
    if not draw(per_channel):
        low, high = low.min(keepdims=True), high.max(keepdims=True)
    share = np.float32(draw(st.floats(0.3, 1.2)))
    grid = choose_grid(low * share, high * share, bits, draw(st.booleans()), draw(st.booleans()))
    return values, grid, bits


@given(cases())
@settings(max_examples=60, deadline=None)
def test_parts_of_bins_add_up_to_the_exact_fractions(case):
    values, grid, bits = case
    shown, found = distribution_and_fractions(values, grid, bits)
    total = values.size
    assert shown.counts.sum() == total and shown.quantized.sum() == total
    assert (shown.clipped >= 0).all() and (shown.flushed >= 0).all()
    assert (shown.clipped + shown.flushed <= shown.counts + 1e-9).all()
    # A value next to an edge may be counted in the neighbouring bin.
    assert shown.clipped.sum() <= found.clipped * total + 2
    assert shown.flushed.sum() <= found.flushed * total + 1e-6 * total
    if grid.scale.size == 1:
        edge_bins = [np.searchsorted(shown.edges, x) - 1 for x in shown.representable]
        at_edges = sum(shown.counts[i] for i in edge_bins if 0 <= i < len(shown.counts))
        assert shown.clipped.sum() >= found.clipped * total - at_edges - 2


@given(cases(per_channel=st.just(False)))
@settings(max_examples=60, deadline=None)
def test_without_exact_fractions_bins_are_split_at_their_edges(case):
    values, grid, bits = case
    histogram = histogram_of(values, grid, bits)
    outside, to_zero = split(
        histogram.edges.astype(float),
        histogram.float_counts.astype(float),
        grid,
        histogram.channel_min,
        histogram.channel_max,
    )
    half, room = grid.scale.item() / 2, CLIPPED_BEYOND * grid.scale.item()
    low, high = grid.minimum.item() - room, grid.maximum.item() + room
    for i, (start, end) in enumerate(zip(histogram.edges[:-1], histogram.edges[1:])):
        tolerance = 1e-5 * max(abs(low), abs(high), abs(float(start)), abs(float(end)))
        if end < low - tolerance or start > high + tolerance:
            assert outside[i] == pytest.approx(histogram.float_counts[i])
        elif start > low + tolerance and end < high - tolerance:
            assert outside[i] == pytest.approx(0, abs=1e-6)
            if start > half + tolerance or end < -half - tolerance:
                assert to_zero[i] == pytest.approx(0, abs=1e-6)
            elif start > -half + tolerance and end < half - tolerance:
                assert to_zero[i] == pytest.approx(histogram.float_counts[i])


@given(cases(per_channel=st.just(False)))
@settings(max_examples=60, deadline=None)
def test_rounding_levels_are_the_values_of_the_codes(case):
    values, grid, bits = case
    shown, _ = distribution_and_fractions(values, grid, bits)
    if bits > 8 or not grid.scale:  # too many to distinguish; only zeros
        assert shown.levels is None
        return
    used, counts = np.unique(fake_quant(values, grid), return_counts=True)
    found = shown.levels[shown.level_counts > 0]
    np.testing.assert_allclose(found, used, rtol=1e-5, atol=1e-6 * grid.scale.item())
    np.testing.assert_array_equal(shown.level_counts[shown.level_counts > 0], counts)
    assert shown.levels[0] == pytest.approx(grid.minimum.item(), abs=1e-5)
    assert len(shown.levels) == 2**bits - grid.narrow_range
    # As a density, the rounding levels have the area of the histogram.
    bin_width = shown.edges[1] - shown.edges[0]
    area = np.sum(shown.level_heights * (shown.level_edges[:, 1] - shown.level_edges[:, 0]))
    assert area == pytest.approx(shown.counts.sum() * bin_width)


@given(cases())
@settings(max_examples=60, deadline=None)
def test_the_log2_axis_shows_every_value(case):
    values, grid, bits = case
    plain, _ = distribution_and_fractions(values, grid, bits)
    shown = to_log2(plain)
    for part in ("counts", "clipped", "flushed", "quantized"):
        assert getattr(shown, part).sum() == pytest.approx(getattr(plain, part).sum())
        assert (getattr(shown, part) >= 0).all()
    assert 2 ** shown.edges[-1] >= np.abs(plain.edges).max() * (1 - 1e-6)
    assert shown.edges[-1] == np.round(shown.edges[-1])
    np.testing.assert_allclose(np.diff(shown.edges)[1:], 1 / BINS_PER_OCTAVE)
    # The rest is not distinguished by bins of values.
    bin_width = plain.edges[1] - plain.edges[0]
    assert 2 ** shown.edges[1] >= bin_width * (1 - 1e-6) or len(shown.edges) == BINS_PER_OCTAVE + 2
    if plain.level_bands is not None:  # levels of several channels, which differ
        assert shown.levels is None
    elif plain.levels is not None:
        assert shown.level_counts.sum() == plain.level_counts.sum()
        assert (np.diff(shown.levels) > 0).all()


def test_log2_bins_hold_the_values_between_their_edges():
    # Uniform values: the fraction of an interval is its length, and both signs coincide.
    values = np.linspace(-4, 4, 80001, dtype=np.float32)[:, None]
    shown = to_log2(distribution(histogram_of(values, choose_grid(-4, 4), 8, False), 8, False, (-4.0, 4.0)))
    widths = np.diff(2.0 ** shown.edges[1:])
    np.testing.assert_allclose(shown.counts[1:] / len(values), widths / 4, atol=1e-3)
    assert shown.counts[0] / len(values) == pytest.approx(2.0 ** shown.edges[1] / 4, abs=1e-3)


def test_rounding_levels_of_both_signs_coincide_on_the_log2_axis():
    values = np.float32([-2, -1, 0, 1, 2, 2])[:, None]
    shown, _ = distribution_and_fractions(values, choose_grid(-3, 3, 3, symmetric=True, narrow_range=True), 3)
    assert shown.levels.tolist() == [-3, -2, -1, 0, 1, 2, 3]
    log2 = to_log2(shown)
    np.testing.assert_allclose(log2.levels[1:], np.log2([1, 2, 3]))
    assert log2.levels[0] < log2.edges[1] and log2.level_counts.tolist() == [1, 2, 3, 0]
    assert log2.representable == pytest.approx((-1.0, np.log2(3)))


def test_values_that_were_zero_before_do_not_count_as_rounded_to_zero():
    values = np.concatenate([np.zeros(900), np.linspace(0.2, 1, 100)]).astype(np.float32)[:, None]
    shown, found = distribution_and_fractions(values, choose_grid(0, 1, 2), 2)
    assert found.flushed < 0.01 and shown.flushed.sum() == pytest.approx(found.flushed * 1000, abs=1e-6)
    assert shown.counts[shown.zero_bin] == 900


def test_float_tensors_have_no_losses_and_no_representable_range():
    values = np.random.RandomState(0).randn(1000, 3).astype(np.float32)
    shown = distribution(histogram_of(values, choose_grid(-1, 1), 8, False), 8, False, (-1.0, 1.0), 0.5, 0.5)
    assert shown.representable is None and shown.levels is None
    assert not shown.clipped.any() and not shown.flushed.any()


@pytest.mark.parametrize("bits", [2, 3, 8, 16])
@pytest.mark.parametrize("narrow", [False, True])
def test_a_narrow_range_is_derived_from_the_representable_range(bits, narrow):
    grid = choose_grid(np.float32([-1.0, -0.5]), np.float32([0.7, 0.2]), bits, True, narrow)
    values = np.random.RandomState(0).randn(100, 2).astype(np.float32)
    found = grid_of(histogram_of(values, grid, bits), bits, float(grid.minimum.min()))
    assert found.narrow_range == narrow


@pytest.mark.parametrize("window", [(np.nan, np.nan), (0.0, 0.0), (-np.inf, np.inf)])
@pytest.mark.parametrize("shares", [(np.nan, np.nan), (1.0, 1.0), (0.0, 0.0)])
def test_the_distribution_of_a_diverged_tensor_is_defined(window, shares):
    edges = np.linspace(-1e38, 1e38, BINS + 1).astype(np.float32)
    histogram = TensorHistogram(
        edges,
        np.ones(BINS, int),
        np.ones(BINS, int),
        -128,
        np.ones(256, int),
        np.float32([-np.inf]),
        np.float32([np.nan]),
        np.float32([0]),
        np.int32([0]),
    )
    for log2 in (False, True):
        shown = distribution(histogram, 8, True, window, *shares)
        shown = to_log2(shown) if log2 else shown
        assert np.isfinite(shown.edges).all() and np.isfinite(shown.clipped).all() and np.isfinite(shown.flushed).all()
        assert np.isfinite(extent(histogram, window, log2)).all()


def test_the_axis_includes_the_representable_range_unless_it_is_far_away():
    values = np.linspace(-1, 1, 100, dtype=np.float32)[:, None]
    histogram = histogram_of(values, choose_grid(-1, 1), 8)
    near, far = extent(histogram, (-1.5, 2.0)), extent(histogram, (-100.0, 100.0))
    assert near == (-1.5, 2.0)
    width = histogram.edges[-1] - histogram.edges[0]
    assert far == pytest.approx((histogram.edges[0] - width, histogram.edges[-1] + width))
    assert extent(histogram, None) == (histogram.edges[0], histogram.edges[-1])


def test_the_log2_extent_covers_its_bins():
    values = np.random.RandomState(1).randn(1000, 1).astype(np.float32)
    histogram = histogram_of(values, choose_grid(-3, 3), 8)
    shown = to_log2(distribution(histogram, 8, True, (-3.0, 3.0)))
    assert extent(histogram, (-3.0, 3.0), True) == pytest.approx((shown.edges[0], shown.edges[-1]))
