"""Ticks lie on the axis, at the values of their labels, with room for them."""

import math
import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qatviz.presentation.ticks import (
    LABEL_GAP,
    count_ticks,
    exponents,
    fitting_ticks,
    linear_ticks,
    log_ticks,
    octave_ticks,
    ticks_upright,
)

NUMBERS = st.floats(-1e9, 1e9, allow_nan=False)
_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def value_of(text):
    """The number that a label stands for."""
    number, unit = re.fullmatch(r"(−?[\d.]+(?:e−?\d+)?)([kMGT]?)", text).groups()
    return float(number.replace("−", "-")) * _UNITS[unit]


@given(NUMBERS, NUMBERS, st.integers(1, 12), st.sampled_from([0, 3]))
def test_linear_ticks_are_even_and_match_their_labels(low, high, at_most, at_least):
    assume(high - low > 1e-3 * max(abs(low), abs(high), 1e-6))
    ticks = linear_ticks(low, high, at_most, at_least)
    positions = [position for position, _ in ticks]
    assert len(ticks) <= at_most + (2 if at_least else 0) and positions == sorted(set(positions))
    room = 1e-6 * (high - low)
    for position, text in ticks:
        assert low - room <= position <= high + room
        assert value_of(text) == pytest.approx(position, abs=max(room, abs(position) * 1e-9))
    if len(positions) > 2:
        np.testing.assert_allclose(np.diff(positions), positions[1] - positions[0], rtol=1e-6)
    if low <= 0 <= high:
        assert "0" in [text for _, text in ticks]


@pytest.mark.parametrize(
    "low, high",
    [(0, 1), (0, 112000), (99.1, 99.9), (0.0001, 0.0023), (900, 1310), (-130, 4), (1e6, 5e6), (0, 2e-5), (-0.002, 0)],
)
def test_labels_are_short_and_differ(low, high):
    texts = [text for _, text in linear_ticks(low, high, 5)]
    assert 2 <= len(texts) == len(set(texts)) and max(map(len, texts)) <= 7, texts


@pytest.mark.parametrize(
    "ticks, texts",
    [
        (linear_ticks(0, 60000, 4), ["0", "20k", "40k", "60k"]),
        (linear_ticks(0, 0.5, 6), ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]),
        (linear_ticks(-1, 1, 3), ["−1", "0", "1"]),
        (linear_ticks(0, 1e-5, 2), ["0", "1e−5"]),
        (linear_ticks(0, 2e-4, 5), ["0", "5e−5", "1e−4", "1.5e−4", "2e−4"]),
        (linear_ticks(0.001, 0.005, 5), ["0.001", "0.002", "0.003", "0.004", "0.005"]),
        (log_ticks(-4, 2, 7), ["1e−4", "0.001", "0.01", "0.1", "1", "10", "100"]),
        (count_ticks(12000, 6), ["0", "1", "10", "100", "1000", "10k"]),
        (count_ticks(12000, 3), ["0", "1", "1000"]),
    ],
)
def test_labels_have_the_digits_that_the_step_needs(ticks, texts):
    assert [text for _, text in ticks] == texts


def test_an_axis_without_a_width_has_no_ticks():
    assert linear_ticks(1.0, 1.0, 4) == linear_ticks(np.nan, 1.0, 4) == linear_ticks(0, np.inf, 4) == []
    assert log_ticks(1.0, 1.0, 4) == log_ticks(np.nan, 1.0, 4) == []


def test_at_least_adds_ticks_where_there_would_be_too_few():
    assert len(linear_ticks(-0.9, 0.9, 2)) < 3 <= len(linear_ticks(-0.9, 0.9, 2, at_least=3))


@given(st.floats(-20, 8), st.floats(0.05, 25), st.integers(2, 9))
def test_log_ticks_match_their_labels(low, height, at_most):
    ticks = log_ticks(low, low + height, at_most)
    assert len(ticks) <= at_most
    for position, text in ticks:
        assert low - 1e-6 <= position <= low + height + 1e-6
        assert math.log10(value_of(text)) == pytest.approx(position, abs=5e-3)


@given(st.floats(1, 1e9), st.integers(2, 9))
def test_ticks_of_counts_are_at_their_logarithm(top, at_most):
    ticks = count_ticks(top, at_most)
    assert len(ticks) <= max(at_most, 2) and ticks[0] == (0.0, "0")
    for position, text in ticks[1:]:
        assert math.expm1(position) == pytest.approx(value_of(text)) and position <= math.log1p(top)


def test_octave_ticks_are_powers_of_two_and_a_bin_for_zero():
    found = octave_ticks(-8.5, 1.0, 6, -8.0)
    assert found[0] == (-8.25, "0") and len(found) <= 7
    assert [text for _, text in found[1:]] == ["2⁻⁶", "2⁻⁴", "2⁻²", "2⁰"]


@given(NUMBERS, st.floats(1e-3, 1e9), st.floats(60, 2000), st.floats(3, 12))
def test_labels_of_a_horizontal_axis_do_not_touch(low, width, pixels, character):
    assume(width > 1e-6 * abs(low))
    found = fitting_ticks(
        lambda at_most: linear_ticks(low, low + width, at_most), 20, pixels / width, lambda text: character * len(text)
    )
    if len(found) > 2:
        centres = [(at - low) * pixels / width for at, _ in found]
        halves = [character * len(text) / 2 for _, text in found]
        gaps = np.diff(centres) - np.array(halves[:-1]) - np.array(halves[1:])
        assert min(gaps) >= LABEL_GAP - 1e-6


def test_the_number_of_ticks_of_a_vertical_axis_follows_its_height():
    assert [ticks_upright(height, 12) for height in (10, 90, 180)] == [2, 5, 10]


def test_exponents_of_0_and_negative_values():
    np.testing.assert_array_equal(exponents(np.array([100.0, 0.0, -1.0, np.nan])), [2, -np.inf, np.nan, np.nan])
