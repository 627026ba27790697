"""Colours of measures."""

import math

import pytest

from qatviz.measure_declaration import HIGHER, LOWER, NEITHER
from qatviz.measures import MEASURES
from qatviz.presentation.color_bar import bar_texts, color_bar, color_role, value_role
from qatviz.presentation.palette import DARK, LIGHT, SCALE_STEPS, color_of, scale_role
from qatviz.presentation.scene import Rects, Text, estimated_metrics

COLORED = [measure for measure in MEASURES.values() if measure.colors is not None]
METRICS = estimated_metrics(10.0, 6.0)


@pytest.mark.parametrize("palette", [DARK, LIGHT])
@pytest.mark.parametrize("measure", COLORED, ids=lambda measure: measure.key)
def test_the_good_end_of_a_scale_is_blue(palette, measure):
    low, high = (color_of(palette, color_role(measure, place)) for place in (0.0, 1.0))
    expected = {
        HIGHER: (palette.bad, palette.in_range),
        LOWER: (palette.in_range, palette.bad),
        NEITHER: (color_of(palette, scale_role(0.0, False)), palette.accent),
    }
    assert (low, high) == expected[measure.color_direction]


@pytest.mark.parametrize("measure", COLORED, ids=lambda measure: measure.key)
def test_values_are_coloured_by_their_place_and_nan_has_no_colour(measure):
    for place in (0.0, 0.25, 1.0):
        assert value_role(measure, measure.color_value(place)) == color_role(measure, place)
    assert value_role(measure, math.nan) == ""


@pytest.mark.parametrize("width", [100.0, 300.0])
def test_color_bar_shows_all_colours_between_its_labels(width):
    measure = MEASURES["sqnr_db"]
    shapes = color_bar(measure, width, 18.0, METRICS)
    bars, texts = ([shape for shape in shapes if isinstance(shape, kind)] for kind in (Rects, Text))
    fills = [bar.fill.role for bar in bars if bar.fill is not None]
    assert fills == [color_role(measure, step / SCALE_STEPS) for step in range(SCALE_STEPS + 1)]
    low, middle, high = bar_texts(measure)
    assert [text.text for text in texts] == ([middle] if width > 200 else []) + [low, high]
    assert METRICS.width(low) < bars[0].left[0] < bars[-1].right[0]
