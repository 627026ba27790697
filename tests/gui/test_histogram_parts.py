"""Axes, layout, picking and words of the histograms: what needs no window."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qatviz.gui.panels.histograms.axis import HeldRange, HeldTop, label, octave_ticks, ticks
from qatviz.gui.panels.histograms.layout import FIT, GAP_PX, LARGE, MEDIUM, SIZES, SMALL, arrange
from qatviz.gui.panels.histograms.picking import picked

finite = st.floats(-1e6, 1e6)
NAMES = list("abcdef")


@given(st.lists(st.tuples(finite, st.floats(1e-3, 1e6)), min_size=1, max_size=20))
def test_a_held_range_always_holds_what_is_to_be_seen(ranges):
    held = HeldRange()
    for low, width in ranges:
        shown = held.hold(low, low + width)
        assert shown[0] <= low and shown[1] >= low + width


def test_a_held_range_does_not_follow_what_moves_a_little():
    held = HeldRange()
    first = held.hold(-1.0, 1.0)
    for low, high in ((-0.95, 1.02), (-1.05, 0.9), (-0.8, 0.8)):
        assert held.hold(low, high) == first
    assert held.hold(-1.2, 1.0)[0] < -1.2
    assert held.hold(-0.2, 0.2)[1] < 0.3


@given(st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=20))
def test_a_held_top_is_high_enough_and_never_far_too_high(tops):
    held = HeldTop()
    for top in tops:
        assert top * (1 - 1e-6) <= held.hold(top) <= 2 * top


def test_a_held_top_stays_while_counts_wobble():
    held = HeldTop()
    assert [held.hold(top) for top in (950, 700, 999, 640)] == [1000.0] * 4
    assert held.hold(1001) == 1500.0


@given(finite, st.floats(1e-3, 1e6), st.integers(2, 12))
def test_ticks_are_few_round_and_within_the_axis(low, width, most):
    found = ticks(low, low + width, most)
    assert 1 <= len(found) <= most
    assert all(low - 1e-6 * width <= value <= low + width * (1 + 1e-6) for value, _ in found)
    labels = [text for _, text in found]
    assert len(set(labels)) == len(labels)
    if low <= 0 <= low + width:
        assert "0" in labels


@pytest.mark.parametrize(
    "value, step, text",
    [
        (0.25, 0.25, "0.25"),
        (-0.5, 0.25, "−0.50"),
        (2, 1, "2"),
        (0, 0.1, "0"),
        (2e-5, 1e-5, "2e−5"),
        (1500, 500, "1500"),
    ],
)
def test_labels_have_the_digits_that_the_step_needs(value, step, text):
    assert label(value, step) == text


def test_an_axis_without_a_width_has_no_ticks():
    assert ticks(1.0, 1.0, 4) == [] and ticks(np.nan, 1.0, 4) == []


def test_octave_ticks_are_powers_of_two_and_a_bin_for_the_rest():
    found = octave_ticks(-8.5, 1.0, 6, -8.0)
    assert found[0] == (-8.25, "0") and len(found) <= 7
    assert [text for _, text in found[1:]] == ["2⁻⁶", "2⁻⁴", "2⁻²", "2⁰"]


@given(st.integers(1, 80), st.sampled_from([FIT, SMALL, MEDIUM, LARGE]), st.integers(200, 2000), st.integers(100, 1200))
@settings(max_examples=200)
def test_tiles_do_not_overlap_and_stay_within_the_width(count, size, width, height):
    grid = arrange(count, size, width, height)
    least = SIZES[SMALL if size == FIT else size]
    places = [grid.place(i) for i in range(count)]
    assert len(set(places)) == count
    assert all(x >= GAP_PX and x + grid.width <= width for x, _ in places)
    assert grid.height >= least[1] and (grid.width >= least[0] or grid.columns == 1)
    for i, (x, y) in enumerate(places):
        assert grid.index_at(x, y) == i == grid.index_at(x + grid.width - 1, y + grid.height - 1)
        assert grid.index_at(x - 1, y) is None and grid.index_at(x, y + grid.height) is None
    assert max(y for _, y in places) + grid.height <= grid.total_height


@given(st.integers(1, 80), st.integers(200, 2000), st.integers(100, 1200), st.integers(0, 3000))
def test_the_rows_that_can_be_seen_are_those_that_reach_into_the_view(count, width, height, top):
    grid = arrange(count, MEDIUM, width, height)
    visible = set(grid.rows_between(top, top + height))
    for i in range(count):
        y = grid.place(i)[1]
        if y + grid.height > top and y < top + height:
            assert i in visible
    assert len(visible) <= (height // grid.height + 2) * grid.columns


def test_fit_shows_all_tiles_where_they_have_room():
    assert arrange(9, FIT, 1200, 560).total_height <= 560
    assert arrange(9, FIT, 1200, 560).columns == 3
    assert arrange(60, FIT, 600, 300).total_height > 300


@pytest.mark.parametrize(
    "selected, start, name, is_range, is_addition, expected",
    [
        ("a", "a", "c", False, False, ("c", "c")),
        ("a", "a", "c", False, True, ("ac", "c")),
        ("ac", "a", "c", False, True, ("a", "a")),
        ("a", "a", "a", False, True, ("a", "a")),
        ("a", "b", "e", True, False, ("bcde", "e")),
        ("a", "e", "b", True, False, ("bcde", "b")),
        ("a", "not shown", "b", True, False, ("b", "b")),
    ],
)
def test_tiles_are_selected_as_lists_do(selected, start, name, is_range, is_addition, expected):
    assert picked(NAMES, tuple(selected), start, name, is_range, is_addition) == (tuple(expected[0]), expected[1])
