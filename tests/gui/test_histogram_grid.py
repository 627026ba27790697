"""Places and selection of the tiles of histograms, computed without a window."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qatviz.gui.panels.histograms.grid import FIT, GAP_PX, LARGE, MEDIUM, SIZES, SMALL, arrange, picked

NAMES = list("abcdef")


@given(st.integers(1, 80), st.sampled_from([FIT, SMALL, MEDIUM, LARGE]), st.integers(200, 2000), st.integers(100, 1200))
@settings(max_examples=200)
def test_tiles_do_not_overlap_and_stay_within_the_width(count, size, width, height):
    grid = arrange(count, size, width, height)
    least = SIZES[size]
    places = [grid.place(i) for i in range(count)]
    assert len(set(places)) == count
    assert all(x >= GAP_PX and x + grid.width <= width for x, _ in places)
    assert grid.height >= least[1] and (grid.width >= least[0] or grid.columns == 1)
    for i, (x, y) in enumerate(places):
        assert grid.index_at(x, y) == i == grid.index_at(x + grid.width - 1, y + grid.height - 1)
        assert grid.index_at(x - 1, y) is None and grid.index_at(x, y + grid.height) is None
    assert max(y for _, y in places) + grid.height <= grid.total_height


@given(st.integers(1, 80), st.integers(200, 2000), st.integers(100, 1200), st.integers(0, 3000))
def test_visible_rows_are_those_that_reach_into_the_view(count, width, height, top):
    grid = arrange(count, MEDIUM, width, height)
    visible = set(grid.indices_between(top, top + height))
    for i in range(count):
        y = grid.place(i)[1]
        if y + grid.height > top and y < top + height:
            assert i in visible
    assert len(visible) <= (height // grid.height + 2) * grid.columns


def test_fit_shows_all_tiles_if_there_is_room():
    assert arrange(9, FIT, 1200, 560).total_height <= 560
    assert arrange(9, FIT, 1200, 560).columns == 3
    assert arrange(60, FIT, 600, 300).total_height > 300
    assert arrange(60, FIT, 600, 300).height >= SIZES[SMALL][1], "tiles that must be scrolled are not squeezed as well"


def test_two_rows_are_visible_in_a_low_view():
    grid = arrange(9, FIT, 345, 160)
    assert 2 * (grid.height + GAP_PX) <= 160 and grid.columns == 2


def test_large_text_makes_the_smallest_tiles_higher():
    assert arrange(9, FIT, 470, 190, 93).height >= 93 and arrange(60, SMALL, 470, 600, 110).height >= 110
    assert arrange(9, FIT, 568, 400, 120).height >= 120, "also where all of them are visible"


def test_fit_shows_the_nine_tensors_of_lenet_in_the_default_window():
    assert arrange(9, FIT, 568, 246).total_height <= 246


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
def test_tiles_are_selected_like_list_items(selected, start, name, is_range, is_addition, expected):
    assert picked(NAMES, tuple(selected), start, name, is_range, is_addition) == (tuple(expected[0]), expected[1])
