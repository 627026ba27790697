"""Scenes as SVG: the markup is valid XML with all elements of the scene."""

from xml.etree import ElementTree

import numpy as np
import pytest

from qatviz.presentation.palette import DARK, all_colors
from qatviz.presentation.scene import (
    DASHED,
    END,
    TITLE,
    Area,
    Band,
    Curves,
    Fill,
    Group,
    Line,
    Scene,
    Stroke,
    Text,
    rects,
    segments,
)
from qatviz.report.svg import color_variables, svg

X, NAN = np.arange(6.0), np.nan
RED = Stroke("bad", 1.5, DASHED, 0.5)


def picture(*shapes, title="Loss of conv1", description=""):
    return ElementTree.fromstring(svg(Scene(100.0, 50.0, shapes, title, description), "chart"))


def drawn(*shapes):
    """Return tags and attributes of the picture's elements, except its title."""
    return [(part.tag, part.attrib) for part in picture(*shapes) if part.tag not in ("title", "desc")]


def test_a_line_is_interrupted_by_nan_and_a_single_point_is_a_dot():
    (_, line), (_, dots) = drawn(Line(X, np.array([1, 2, NAN, 3, NAN, 4.25]), RED))
    assert line["d"] == "M0 1L1 2" and dots["d"] == "M3 3h0M5 4.2h0" and dots["stroke-linecap"] == "round"
    assert (line["stroke"], line["stroke-width"], line["stroke-dasharray"], line["stroke-opacity"], line["fill"]) == (
        "var(--bad)",
        "1.5",
        "5 3",
        "0.5",
        "none",
    )
    assert "stroke-dasharray" not in dots
    assert [attributes["d"] for _, attributes in drawn(Line(X[:2], X[:2], RED, True))] == ["M0 0L1 1", "M0 0h0M1 1h0"]


def test_a_clipped_group_is_a_nested_svg():
    group = Group([Line(X, X, RED)], (1.0, 2.0, 11.0, 22.5), "told")
    svg_ = picture(group).find("svg")
    assert (svg_.get("x"), svg_.get("y"), svg_.get("width"), svg_.get("height")) == ("1", "2", "10", "20.5")
    assert svg_.get("viewBox") == "1 2 10 20.5" and svg_.find("title").text == "told" and svg_.find("path") is not None
    assert picture(Group([Line(X, X, RED)])).find("g").find("path") is not None


def test_a_band_has_one_part_per_contiguous_run():
    top, bottom = np.array([1, 1, NAN, 2, 2, 2.0]), np.array([5, 5, 5, 6, 6, 6.0])
    ((_, band),) = drawn(Band(X, top, bottom, Fill("in_range", 0.3)))
    assert band["d"] == "M0 1L1 1L1 5L0 5ZM3 2L4 2L5 2L5 6L4 6L3 6Z"
    assert band["fill"] == "var(--in-range)" and band["fill-opacity"] == "0.3" and "stroke" not in band


def test_areas_rectangles_and_segments():
    steps = Area(np.array([0, 0, 5, 5, 9, 9.0]), np.array([9, 4, 4, 2, 2, 9.0]), Fill("float_values"), Stroke("line"))
    ((_, area),) = drawn(steps)
    assert area["d"] == "M0 9V4H5V2H9V9Z" and area["stroke"] == "var(--line)"
    ((_, slanted),) = drawn(Area(np.array([0, 5, 9.0]), np.array([0, 5, 0.0]), Fill("good")))
    assert slanted["d"] == "M0 0L5 5L9 0Z"
    ((_, bars),) = drawn(rects([0, 10], 5, [4, 14], [9, 8], Fill("clipped")))
    assert bars["d"] == "M0 5H4V9H0ZM10 5H14V8H10Z"
    ((tag, box),) = drawn(rects(0, 0, 10, 5, None, Stroke("text"))._replace(radius=3.0))
    assert tag == "rect" and (box["rx"], box["width"], box["height"], box["fill"]) == ("3", "10", "5", "none")
    ((_, lines),) = drawn(segments(0, [1, 2], 9, [1, 2], Stroke("line")))
    assert lines["d"] == "M0 1L9 1M0 2L9 2" and "stroke-width" not in lines
    assert drawn(segments(0, [], 9, [], Stroke("line"))) == []


@pytest.mark.parametrize("down, path", [(True, "M0 0L0 4C0 6 8 6 8 8"), (False, "M0 0L0 4C4 4 4 8 8 8")])
def test_edges_leave_and_arrive_in_flow_direction(down, path):
    ((_, curve),) = drawn(Curves([np.array([[0, 0], [0, 4], [8, 8.0]])], down, Stroke("muted")))
    assert curve["d"] == path


def test_texts_are_escaped_and_anchored():
    (label,) = picture(Text(10.0, 20.0, "1 < 2", "text", END, TITLE)).iter("text")
    assert label.text == "1 < 2" and label.get("text-anchor") == "end" and label.get("class") == "title"
    (plain,) = picture(Text(10.0, 20.0, "x")).iter("text")
    assert set(plain.attrib) == {"x", "y"}, "the picture's own colour and font"


def test_a_chart_has_a_description_for_screen_readers():
    found = picture(title="Loss of <conv1>", description="from 2 to 1")
    assert found.get("role") == "img" and found.find("title").text == "Loss of <conv1>"
    assert found.find("desc").text == "from 2 to 1" and found.get("aria-label") == "Loss of <conv1>. from 2 to 1"
    assert picture().find("desc") is None and picture().get("aria-label") == "Loss of conv1"


def test_every_role_has_a_variable():
    found = dict(part.strip().split(": ") for part in color_variables(all_colors(DARK)).rstrip(";").split(";"))
    assert found["--float-values"] == DARK.float_values and found["--series1"] == DARK.series[1]
    assert found["--diverging0"] == DARK.bad and "--on-diverging0" in found
