"""Texts of numbers, durations and dates."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatviz.number_format import bytes_text, count, percent_text, shape_text, share_text, si
from qatviz.presentation import times

_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def value_of(text):
    number, unit = re.fullmatch(r"([-−]?[\d.]+(?:e-?\d+)?)([kMGT]?)", text).groups()
    return float(number.replace("−", "-")) * _UNITS[unit]


@given(st.floats(1e-25, 1e11) | st.floats(-1e11, -1e-25))
def test_short_numbers_have_three_correct_digits(value):
    assert value_of(si(value)) == pytest.approx(value, rel=5.1e-3)


@pytest.mark.parametrize(
    "share, text",
    [
        (0, "0 %"),
        (1e-6, "<0.01 %"),
        (0.0123, "1.23 %"),
        (0.0999, "9.99 %"),
        (0.09996, "10.0 %"),
        (0.5, "50.0 %"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_fractions_are_written_in_percent(share, text):
    assert percent_text(share) == text


def test_less_than_all_is_never_shown_as_100_percent():
    assert share_text(1) == "100.00 %" and share_text(0.99999) == "99.99 %"
    assert share_text(None) == share_text(math.inf) == "–"


def test_sizes_durations_counts_shapes_and_dates_are_written():
    assert [bytes_text(n) for n in (0, 999, 12345, 219_696_000)] == ["0 B", "999 B", "12.3 kB", "220 MB"]
    assert [times.duration(s) for s in (1.25, 35, 250, 7500)] == ["1.2 s", "35 s", "4 min 10 s", "2 h 05 min"]
    assert count(1, "step") == "1 step" and count(1200, "step") == "1,200 steps"
    assert shape_text((28, 28, 1)) == "28×28×1" and shape_text(()) == ""
    assert times.date(0).startswith("19") and times.date(None) == times.date(1e30) == "–"
