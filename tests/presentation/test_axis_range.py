"""Ranges of axes: wide enough, and steady while values change a little."""

from hypothesis import given
from hypothesis import strategies as st

from qatviz.presentation.axis_range import steady_extent, steady_range, steady_top

finite = st.floats(-1e6, 1e6)


@given(st.one_of(st.none(), st.tuples(finite, finite).map(sorted).map(tuple)), finite, finite)
def test_steady_range_contains_the_values_and_is_idempotent(present, a, b):
    low, high = min(a, b), max(a, b)
    found = steady_range(present, low, high)
    assert found[0] <= low and high <= found[1] and found[0] < found[1]
    assert steady_range(found, low, high) == found


def test_axis_grows_immediately_and_shrinks_only_if_much_too_large():
    present = (0.0, 1.0)
    assert steady_range(present, 0.3, 0.7) == present
    assert steady_range(present, 0.3, 1.1)[1] > 1.1 and steady_range(present, 0.3, 1.1)[0] <= 0.3
    shrunk = steady_range(present, 0.4, 0.5)
    assert 0.35 < shrunk[0] < 0.4 and 0.5 < shrunk[1] < 0.55


@given(st.lists(st.tuples(finite, st.floats(1e-3, 1e6)), min_size=1, max_size=20))
def test_distribution_axis_always_covers_the_distribution(ranges):
    shown = None
    for low, width in ranges:
        shown = steady_extent(shown, low, low + width)
        assert shown[0] <= low and shown[1] >= low + width


def test_distribution_axis_ignores_small_changes():
    first = steady_extent(None, -1.0, 1.0)
    for low, high in ((-0.95, 1.02), (-1.05, 0.9), (-0.8, 0.8)):
        assert steady_extent(first, low, high) == first
    assert steady_extent(first, -1.2, 1.0)[0] < -1.2
    assert steady_extent(first, -0.2, 0.2)[1] < 0.3


@given(st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=20))
def test_top_of_counts_is_at_most_twice_the_largest_count(tops):
    shown = 0.0
    for top in tops:
        shown = steady_top(shown, top)
        assert top * (1 - 1e-6) <= shown <= 2 * top


def test_top_of_counts_ignores_small_changes():
    assert steady_top(0.0, 950) == 1000.0
    assert [steady_top(1000.0, top) for top in (700, 999, 640)] == [1000.0] * 3
    assert steady_top(1000.0, 1001) == 1500.0
