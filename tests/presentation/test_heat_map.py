"""Distributions over time on common edges."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qatviz.presentation import heat_map
from qatviz.protocol.snapshots import TensorHistogram


def histogram_of(values, bins=64):
    counts, edges = np.histogram(values, bins)
    one = np.float32([1])
    return TensorHistogram(
        edges.astype(np.float32), counts, counts, -128, None, one * values.min(), one * values.max(), one, np.int32([0])
    )


@given(seed=st.integers(0, 10**6), low=st.floats(-5, -4), high=st.floats(4, 5))
def test_counts_are_preserved_on_wider_edges(seed, low, high):
    values = np.random.RandomState(seed).uniform(-3, 3, 500)
    shares = heat_map.rebinned(histogram_of(values), np.linspace(low, high, heat_map.ROWS + 1))
    assert (shares >= -1e-12).all() and abs(shares.sum() - 1) < 1e-9


@given(seed=st.integers(0, 10**6), cut=st.floats(-2, 2))
def test_a_fraction_is_exact_to_within_a_bin(seed, cut):
    values = np.random.RandomState(seed).uniform(-3, 3, 2000)
    shares = heat_map.rebinned(histogram_of(values), np.array([-4.0, cut, 4.0]))
    bin_width = 6 / 64
    assert np.mean(values < cut - bin_width) <= shares[0] <= np.mean(values < cut + bin_width)


def test_an_empty_histogram_has_no_fractions():
    histogram = histogram_of(np.array([1.0, 2.0]))
    empty = TensorHistogram(histogram.edges, histogram.float_counts * 0, *list(vars(histogram).values())[2:])
    assert not heat_map.rebinned(empty, np.linspace(0, 3, 10)).any()


def test_colors_increase_with_the_fraction_and_0_is_transparent():
    shares = np.array([0, heat_map.MIN_FRACTION / 2, heat_map.MIN_FRACTION, 1e-3, 1e-2, heat_map.MAX_FRACTION, 1.0])
    assert heat_map.color_indices(shares).tolist()[:3] == [0, 0, 1]
    numbers = heat_map.color_indices(shares).astype(int)
    assert (np.diff(numbers) >= 0).all() and numbers[-1] == numbers[-2] == heat_map.COLORS


def test_columns_are_computed_once(monkeypatch):
    computed = []
    monkeypatch.setattr(heat_map, "rebinned", lambda *a, real=heat_map.rebinned: computed.append(1) or real(*a))
    past = [histogram_of(np.random.RandomState(seed).randn(100)) for seed in range(5)]
    image = heat_map.Heatmap()
    first = image.image(past[:4], -4, 4)
    second = image.image(past[1:], -4, 4)
    assert len(computed) == 5
    np.testing.assert_array_equal(first[1:], second[:3])
    image.image(past, -5, 4)
    assert len(computed) == 10
    assert image.image([], -5, 4).shape == (0, heat_map.ROWS)


def test_columns_are_at_their_steps():
    """Each pixel shows the nearest snapshot, whatever the distances between snapshots are."""
    steps, pixels = [0, 10, 20, 200], np.arange(4, dtype=np.uint8)
    image = np.repeat(pixels[:, np.newaxis], heat_map.ROWS, 1)
    edges = heat_map.column_edges(steps)
    nothing = np.full((2, 4), np.nan)
    group = heat_map.heat_map_shapes((0.0, 0.0, 600.0, 50.0), (-5.0, 295.0), (0, 1), edges, image, None, nothing, 20.0)
    shape, cursor = group.shapes[0], group.shapes[-1]
    assert (shape.left, shape.right) == (9.0, 411.0) and shape.pixels.shape == (heat_map.ROWS, 402)
    for step in (0, 4, 6, 14, 16, 100, 120, 200):
        nearest = min(range(4), key=lambda column: abs(steps[column] - step))
        assert shape.pixels[0, (step + 5) * 2 - 9] == nearest
    assert cursor.x0[0] == cursor.x1[0] == 50.0


def test_a_single_snapshot_is_one_step_wide():
    assert heat_map.column_edges([7]).tolist() == [6.5, 7.5]
