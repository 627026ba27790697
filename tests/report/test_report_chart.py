"""Charts: what is drawn is what was measured."""

from xml.etree import ElementTree

import numpy as np
import pytest
from report_cases import points_of

from qatviz.presentation.series import Points
from qatviz.report.chart import Axis, Curve, Marker, chart

SPAN, SIZE = (0, 100), (300.0, 150.0)
NAN = np.nan


def points(steps, mean, low=None, high=None):
    steps, mean = np.asarray(steps), np.asarray(mean, np.float64)
    low, high = (mean if part is None else np.asarray(part, np.float64) for part in (low, high))
    return Points(steps, steps.astype(np.float64), low, high, mean, np.isfinite(mean).astype(np.int64))


def drawn(axis, *curves, markers=()):
    return ElementTree.fromstring(chart(axis, [Curve("", c, "s0") for c in curves], SPAN, SIZE, "conv1", markers))


def paths(svg, style):
    return [path.get("d") for path in svg.iter("path") if path.get("class") == style]


def scale(svg, log=False):
    """From pixels of y back to values, by two ticks; the axis of steps by its ends."""
    ticks = [
        (float(text.get("y")) - 3.5, float(text.text.replace("−", "-")))
        for text in svg.iter("text")
        if text.get("text-anchor") == "end" and float(text.get("x")) < 60
    ]
    (y0, v0), (y1, v1) = ticks[0], ticks[-1]
    v0, v1 = (np.log10(v0), np.log10(v1)) if log else (v0, v1)
    return lambda y: v0 + (y - y0) * (v1 - v0) / (y1 - y0)


@pytest.mark.parametrize("log", [False, True])
def test_a_line_goes_through_the_values(log):
    steps, values = np.arange(0, 101, 5), np.geomspace(0.002, 3, 21)
    svg = drawn(Axis("Loss", log=log), points(steps, values))
    (line,) = points_of(paths(svg, "line s0")[0])
    value_at = scale(svg, log)
    expected = np.log10(values) if log else values
    assert [value_at(y) for _, y in line] == pytest.approx(list(expected), abs=0.02 * np.ptp(expected))
    x = np.array([x for x, _ in line])
    assert np.allclose((x - x[0]) / (x[-1] - x[0]) * 100, steps, atol=0.2)
    assert all(0 <= a <= SIZE[0] and 0 <= b <= SIZE[1] for a, b in line)


def test_a_gap_is_not_bridged_and_a_single_value_is_a_dot():
    svg = drawn(Axis("SQNR"), points([1, 2, 3, 4, 5, 6], [1, 2, NAN, 3, NAN, 4]))
    (line,), (dots,) = paths(svg, "line s0"), paths(svg, "line dot s0")
    assert [len(part.split("L")) for part in line.split("M")[1:]] == [2] and dots.count("M") == 2


def test_what_has_no_logarithm_and_what_is_not_finite_is_a_gap():
    (path,) = paths(drawn(Axis("Error", log=True), points([1, 2, 3, 4, 5], [1, 2, 0, 3, 4])), "line s0")
    assert path.count("M") == 2
    (path,) = paths(drawn(Axis("Error"), points([1, 2, 3, 4, 5], [1, 2, np.inf, 3, 4])), "line s0")
    assert path.count("M") == 2


def test_the_axis_is_not_made_for_what_is_next_to_nothing():
    whole, clipping = points([1, 50, 100], [1e-4, 1e-5, 1e-4]), points([1, 2, 50, 100], [1e-16, NAN, 1e-7, 0])
    html = chart(Axis("Error", log=True), [Curve("all", whole, "s0"), Curve("part", clipping, "s1", True)], SPAN, SIZE)
    svg = ElementTree.fromstring(html)
    exponents = [float(text.text) for text in svg.iter("text") if text.get("text-anchor") == "end"]
    assert 1e-9 < min(exponents) < 1e-5 and not paths(svg, "line s1")
    (dot,) = paths(svg, "line dot s1")
    assert dot.count("M") == 1
    low = chart(Axis("Error", log=True), [Curve("all", whole, "s0"), Curve("part", clipping, "s1")], SPAN, SIZE)
    assert paths(ElementTree.fromstring(low), "line dot s1")[0].count("M") == 2


def test_without_a_value_there_is_no_chart():
    assert chart(Axis("SQNR"), [], SPAN, SIZE) is None
    assert chart(Axis("SQNR"), [Curve("", points([1, 2], [NAN, NAN]), "s0")], SPAN, SIZE) is None
    assert chart(Axis("Error", log=True), [Curve("", points([1, 2], [0, -1]), "s0")], SPAN, SIZE) is None


def test_extremes_are_a_band_where_a_point_stands_for_many_steps():
    svg = drawn(Axis("Loss"), points([0, 50, 100], [2, 2, 2], [1, 1, 2], [3, 4, 2]))
    (band,) = points_of(paths(svg, "band s0")[0].rstrip("Z"))
    value_at = scale(svg)
    assert [round(value_at(y)) for _, y in band] == [3, 4, 2, 2, 1, 1]
    assert not paths(drawn(Axis("Loss"), points([0, 50, 100], [1, 2, 3])), "band s0")


def test_an_axis_keeps_its_limits_and_does_not_blow_noise_up():
    svg = drawn(Axis("Accuracy (%)", 100.0, " %", limits=(-1, 101), least=2.0), points([1, 100], [0.999, 1.0]))
    values = [float(t.text) for t in svg.iter("text") if t.get("text-anchor") == "end"]
    assert max(values) <= 101 and max(values) - min(values) >= 0.5
    svg = drawn(Axis("Zero point", least=4.0), points([1, 100], [-128, -128]))
    (line,) = points_of(paths(svg, "line s0")[0])
    assert line[0][1] == line[1][1]


def test_markers_are_at_their_steps_numbered_where_there_is_room():
    markers = [Marker(step, str(i), f"no. {i}", i == 3) for i, step in enumerate([10, 50, 51, 52, 90], 1)]
    svg = drawn(Axis("Loss"), points([0, 100], [1, 2]), markers=markers)
    (line,) = points_of(paths(svg, "line s0")[0])
    strong = {group.find("title").text: group.find("path") for group in svg.iter("g")}
    assert set(strong) == {"no. 3"} and strong["no. 3"].get("class") == "marker", "the others are told of elsewhere"
    (weak,) = paths(svg, "marker weak")
    x = [float(part.split()[0]) for part in weak.split("M")[1:]] + [float(strong["no. 3"].get("d")[1:].split()[0])]
    first, last = line[0][0], line[-1][0]
    assert np.allclose(x, first + np.array([10, 50, 52, 90, 51]) / 100 * (last - first), atol=0.2)
    numbers = [t.text for t in svg.iter("text") if (t.get("class") or "").startswith("number")]
    assert sorted(numbers) == ["1", "3", "5"], "the one that concerns what is drawn has its number"


def test_thousands_of_markers_are_drawn_and_not_told_one_by_one():
    markers = [Marker(step, str(step), "what happened", True) for step in range(1, 100)] * 20
    html = chart(Axis("Loss"), [Curve("", points([0, 100], [1, 2]), "s0")], SPAN, SIZE, "", markers)
    assert len(html) < 60000 and html.count("what happened") == 60
    svg = ElementTree.fromstring(html)
    numbers = sorted(float(t.get("x")) for t in svg.iter("text") if t.get("class") == "number")
    assert min(np.diff(numbers)) >= 12


def test_who_cannot_see_it_is_told():
    svg = drawn(Axis("SQNR (dB)", unit=" dB"), points([1, 50, 100], [40, 12, 20]))
    assert svg.get("role") == "img" and svg.find("title").text == "SQNR (dB) of conv1"
    assert svg.find("desc").text == ("SQNR (dB): 40 dB at step 1, 20 dB at step 100; from 12 dB to 40 dB.")
    assert svg.find("desc").text in svg.get("aria-label")
