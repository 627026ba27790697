"""Charts of the report: curves of the history, with their texts."""

from xml.etree import ElementTree

import numpy as np
import pytest

from qatviz.presentation.chart import Axis
from qatviz.presentation.series import Points
from qatviz.report.chart import STYLES, Curve, Marker, chart, legend_key

SPAN, SIZE = (0, 100), (300.0, 150.0)
NAN = np.nan


def points(steps, mean):
    steps, mean = np.asarray(steps), np.asarray(mean, np.float64)
    return Points(steps, steps.astype(np.float64), mean, mean, mean, np.isfinite(mean).astype(np.int64))


def drawn(axis, *curves, markers=()):
    return ElementTree.fromstring(chart(axis, [Curve("", c, "s0") for c in curves], SPAN, SIZE, "conv1", markers))


def test_without_a_value_there_is_no_chart():
    assert chart(Axis("SQNR"), [], SPAN, SIZE) is None
    assert chart(Axis("SQNR"), [Curve("", points([1, 2], [NAN, NAN]), "s0")], SPAN, SIZE) is None
    assert chart(Axis("Error", log=True), [Curve("", points([1, 2], [0, -1]), "s0")], SPAN, SIZE) is None


def test_minor_curves_alone_are_not_drawn():
    assert chart(Axis("Error"), [Curve("part", points([1, 2], [3, 4]), "clipping", True)], SPAN, SIZE) is None


def test_labels_have_room_at_the_left():
    narrow, wide = (drawn(Axis("Loss"), points([1, 100], [0, top])) for top in (1, 1234567))
    lefts = [float(svg.find("svg").get("x")) for svg in (narrow, wide)]
    assert lefts[0] < lefts[1]
    for svg in (narrow, wide):
        (plot,) = svg.findall("svg")
        assert float(plot.get("x")) + float(plot.get("width")) <= SIZE[0]


def test_markers_are_lines_with_labels_and_titles():
    markers = [Marker(20, "1", "no. 1", True), Marker(60, "2", "no. 2", False)]
    svg = drawn(Axis("Loss"), points([0, 100], [1, 2]), markers=markers)
    assert [group.find("title").text for group in svg.iter("g")] == ["no. 1"]
    assert {"1", "2"} <= {text.text for text in svg.iter("text")}


def test_a_chart_has_a_description_for_screen_readers():
    svg = drawn(Axis("SQNR (dB)", unit=" dB"), points([1, 50, 100], [40, 12, 20]))
    assert svg.find("title").text == "SQNR (dB) of conv1"
    assert svg.find("desc").text == "SQNR (dB): 40 dB at step 1, 20 dB at step 100; from 12 dB to 40 dB."


@pytest.mark.parametrize("style", sorted(STYLES))
def test_a_legend_shows_the_line_as_it_is_drawn(style):
    key = ElementTree.fromstring(legend_key(style)).find("path")
    curve = ElementTree.fromstring(chart(Axis("x"), [Curve("", points(range(50), range(50)), style)], SPAN, SIZE))
    line = curve.find("svg").find("path")
    look = ("stroke", "stroke-width", "stroke-dasharray", "stroke-opacity")
    assert [key.get(name) for name in look] == [line.get(name) for name in look]
