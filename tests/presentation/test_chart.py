"""Scenes of curves: drawn curves match the measured values."""

import numpy as np
import pytest

from qatviz.metric import ACCURACY
from qatviz.presentation.chart import (
    SELECTED,
    WEAK,
    Axis,
    Curve,
    Frame,
    Marker,
    bounds,
    curve_of,
    curve_shapes,
    grid,
    label_room,
    marker_labels,
    marker_shapes,
    outside_marks,
    plot_axis,
    value_range,
    x_labels,
    y_ticks,
)
from qatviz.presentation.scene import Band, Group, Line, Segments, Stroke, Text, estimated_metrics
from qatviz.presentation.series import Points

NAN, RED = np.nan, Stroke("bad")
METRICS = estimated_metrics(10.0, 6.0)
SPAN = (0.0, 100.0)


def points(steps, mean, low=None, high=None):
    steps, mean = np.asarray(steps), np.asarray(mean, np.float64)
    low, high = (mean if part is None else np.asarray(part, np.float64) for part in (low, high))
    return Points(steps, steps.astype(np.float64), low, high, mean, np.isfinite(mean).astype(np.int64))


def curve(axis, found, minor=False):
    return curve_of(found, found.step, axis, RED, minor)


def frame_around(axis, *curves, x_range=SPAN):
    return Frame(50.0, 10.0, 290.0, 130.0, x_range, value_range(curves, x_range, axis))


def shapes_of(frame, curves, kind):
    return [shape for shape in curve_shapes(frame, curves).shapes if isinstance(shape, kind)]


@pytest.mark.parametrize("log", [False, True])
def test_lines_pass_through_their_values_on_the_scale_of_the_ticks(log):
    axis, values = Axis("Loss", factor=2.0, log=log), np.geomspace(0.002, 3, 21)
    drawn = curve(axis, points(np.arange(0, 101, 5), values))
    frame = frame_around(axis, drawn)
    (line,) = shapes_of(frame, [drawn], Line)
    lines, *labels = grid(frame, log, METRICS, 150.0)[0], *grid(frame, log, METRICS, 150.0)[2:]
    ticks = {float(text.text.replace("−", "-").replace("e−", "e-")): y for text, y in zip(labels, lines.y0)}
    (low, y0), (high, y1) = min(ticks.items()), max(ticks.items())
    place = np.log10 if log else float
    read = place(low) + (line.y - y0) * (place(high) - place(low)) / (y1 - y0)
    np.testing.assert_allclose(10**read if log else read, 2 * values, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose((line.x - frame.left) / (frame.right - frame.left) * 100, np.arange(0, 101, 5))


def test_bounds_cover_the_finite_values_in_view():
    y = np.array([9, 1, NAN, np.inf, 3, -9.0])
    found = Curve(np.arange(6.0), y, None, None, RED)
    assert bounds([found], (1, 4)) == (1, 3)
    assert bounds([found._replace(low=y - 1, high=y + 1)], (1, 4)) == (0, 4)
    assert bounds([], (0, 1)) is None


def test_a_line_between_two_points_out_of_view_crosses_it():
    """Its slope is the same in every part of it, and its coordinates are within the limits of painters."""
    axis = Axis()
    drawn = curve(axis, points([0, 1_000_000], [0, 1], [0, 0.8], [0.2, 1]))
    x_range = (600_000.0, 600_010.0)
    low, high = bounds([drawn], x_range)
    assert (low, high) == pytest.approx((0.48, 0.68), abs=1e-4), "the band at the ends of the view"
    frame = frame_around(axis, drawn, x_range=x_range)
    (line,), (band,) = (shapes_of(frame, [drawn], kind) for kind in (Line, Band))
    for x, y, wanted in ((line.x, line.y, 0.600005), (band.x, band.top, 0.680004), (band.x, band.bottom, 0.480004)):
        assert np.abs(x).max() < 1000
        middle = (frame.left + frame.right) / 2
        assert x[0] <= frame.left and frame.right <= x[-1]
        assert np.interp(middle, x, y) == pytest.approx(float(frame.y(np.float64(wanted))), abs=0.01)
    assert bounds([drawn._replace(y=np.array([NAN, 1]), low=None)], x_range) is None, "nothing leads to a gap"
    assert bounds([drawn], (1_000_001.0, 1_000_002.0)) is None, "nothing leads beyond the last point"


def test_curves_without_values_have_no_range():
    for axis, values in ((Axis(), [NAN, NAN]), (Axis(log=True), [0, -1])):
        assert value_range([curve(axis, points([1, 2], values))], SPAN, axis) is None


def test_minor_curves_do_not_extend_the_axis():
    axis = Axis("Error", log=True)
    whole = curve(axis, points([1, 50, 100], [1e-4, 1e-5, 1e-4]))
    clipping = curve(axis, points([1, 2, 50, 100], [1e-16, NAN, 1e-7, 0]), True)
    low, _ = value_range([whole, clipping], SPAN, axis)
    assert -9 < low < -5
    low, _ = value_range([whole, clipping._replace(minor=False)], SPAN, axis)
    assert low < -16


def test_axis_respects_its_limits_and_its_minimum_extent():
    axis = Axis("Accuracy (%)", 100.0, " %", limits=(-1, 101), least=2.0)
    low, high = value_range([curve(axis, points([1, 100], [0.999, 1.0]))], SPAN, axis)
    assert high <= 101 and high - low >= 1
    axis = Axis("Zero point", least=4.0)
    low, high = value_range([curve(axis, points([1, 100], [-128, -128]))], SPAN, axis)
    assert low < -129 and high > -127


def test_accuracy_axis_zooms_to_the_settled_values():
    axis = plot_axis("Accuracy (%)", ACCURACY.axis)
    early = [0.1, 0.6, 0.9, 0.95]
    quantized, exact = (
        curve(axis, points(np.arange(0, 100, 10), [*early, *np.linspace(end - 0.01, end, 6)])) for end in (0.97, 0.983)
    )
    frame = frame_around(axis, quantized, exact)
    low, high = frame.y_range
    assert 95 < low < 96.5 and 98.3 < high < 101
    (mark,) = outside_marks(frame, [quantized, exact], axis, METRICS)
    assert mark.text == "▼ 10.0 %" and frame.left < mark.x < frame.right
    assert not outside_marks(frame, [quantized, exact], axis._replace(settles=False), METRICS)
    steady = curve(axis, points([0, 30, 60, 90], [0.95, 0.96, 0.97, 0.96]))
    assert value_range([steady], SPAN, axis)[0] < 95, "values not far from each other are all shown"
    drop = curve(axis, points(np.arange(0, 100, 10), [*([0.98] * 8), 0.4, 0.4]))
    assert value_range([drop], SPAN, axis)[0] < 40, "later values are always shown"


def test_dots_at_the_ends_of_the_axis_are_not_cut():
    axis = Axis()
    dotted, many = (curve(axis, points(np.linspace(0, 100, n), np.arange(n))) for n in (10, 1000))
    frame = frame_around(axis, dotted)
    left, top, right, bottom = curve_shapes(frame, [dotted]).clip
    assert left <= frame.left - 2 and right >= frame.right + 2 and (top, bottom) == (frame.top, frame.bottom)
    assert curve_shapes(frame, [many]).clip == frame.rect


def test_axis_range_that_fits_is_kept():
    axis = Axis()
    first = value_range([curve(axis, points([0, 100], [1, 2]))], SPAN, axis)
    assert value_range([curve(axis, points([0, 100], [1.1, 1.9]))], SPAN, axis, first) == first
    grown = value_range([curve(axis, points([0, 100], [1, 5]))], SPAN, axis, first)
    assert grown[1] > 5 + (grown[1] - grown[0]) / 10, "with room to spare, so that it need not grow again at once"


def test_gaps_infinities_and_values_without_logarithm_interrupt_the_line():
    for axis, values in ((Axis(), [1, 2, NAN, 3, np.inf, 4]), (Axis(log=True), [1, 2, 0, 3, -1, 4])):
        drawn = curve(axis, points([1, 2, 3, 4, 5, 6], values))
        frame = frame_around(axis, drawn)
        group = curve_shapes(frame, [drawn])
        (line,) = (shape for shape in group.shapes if isinstance(shape, Line))
        assert group.clip == (frame.left - 3, frame.top, frame.right + 3, frame.bottom)
        assert np.isnan(line.y).tolist() == [False, False, True, False, True, False]


def test_values_far_outside_the_frame_get_bounded_coordinates():
    frame = Frame(50.0, 10.0, 290.0, 130.0, SPAN, (0.0, 1.0))
    drawn = curve(Axis(), points([1, 50, 99], [0.5, 1e30, 0.2]))
    assert np.abs(shapes_of(frame, [drawn], Line)[0].y).max() < 1e5
    minor = drawn._replace(y=np.array([0.5, -1e30, 0.2]), minor=True)
    assert np.isnan(shapes_of(frame, [minor], Line)[0].y).tolist() == [False, True, False]


def test_points_of_many_steps_have_a_band_between_the_extremes():
    axis = Axis()
    drawn = curve(axis, points([0, 50, 100], [2, 2, 2], [1, 1, 2], [3, 4, 2]))
    frame = frame_around(axis, drawn)
    (band,) = shapes_of(frame, [drawn], Band)
    np.testing.assert_allclose(band.top, frame.y(np.array([3.0, 4, 2])))
    np.testing.assert_allclose(band.bottom, frame.y(np.array([1.0, 1, 2])))
    plain = curve(axis, points([0, 50, 100], [1, 2, 3]))
    assert not shapes_of(frame_around(axis, plain), [plain], Band)


def test_few_points_have_dots_and_points_out_of_view_are_omitted():
    axis = Axis()
    few, many = (curve(axis, points(np.arange(n), np.arange(n))) for n in (10, 1000))
    assert shapes_of(frame_around(axis, few), [few], Line)[0].dots
    frame = frame_around(axis, many, x_range=(100.0, 200.0))
    (line,) = shapes_of(frame, [many], Line)
    assert not line.dots and len(line.x) == 103, "and the next on both sides"


def test_labels_stay_within_the_picture():
    frame = Frame(40.0, 0.0, 300.0, 100.0, (0.0, 5000.0), (0.0, 1.0))
    labels = [shape for shape in grid(frame, False, METRICS, 100.0) if not isinstance(shape, Segments)]
    assert min(text.y for text in labels) >= METRICS.ascent - 1e-9
    assert max(text.y for text in labels) <= 100 - METRICS.height + METRICS.ascent + 1e-9
    below = x_labels(frame, 310.0, METRICS, "step")
    assert below[0].text == "step" and [text.text for text in below[1:]] == ["0", "2000", "4000"]
    assert all(text.x + METRICS.width(text.text) / 2 <= 310 for text in below[1:])
    early = x_labels(frame._replace(x_range=(-2000.0, 3000.0)), 310.0, METRICS, "step")
    assert [text.text for text in early] == ["step", "0", "2000"], "there are no steps before the first"
    assert label_room(y_ticks((0.0, 1.0), False, 100.0, METRICS), METRICS) > METRICS.width("0.25")


@pytest.mark.parametrize("end", [50, 148, 1000, 1490, 100_000, 1_490_000])
@pytest.mark.parametrize("width", range(180, 420, 7))
def test_labels_never_overlap(width, end):
    """At the ends of the axis, labels are moved into the picture, towards the next one."""
    frame = Frame(30.0, 5.0, width - 4.0, 80.0, (0.0, float(end)), (0.0, 1.0))
    title, *labels = [shape for shape in x_labels(frame, float(width), METRICS, "step") if isinstance(shape, Text)]
    places = [(title.x, title.x + METRICS.width(title.text))]
    places += [(text.x - METRICS.width(text.text) / 2, text.x + METRICS.width(text.text) / 2) for text in labels]
    assert labels and all(begin - stop >= 3 for (_, stop), (begin, _) in zip(places, places[1:]))
    assert places[-1][1] <= width


def test_markers_are_at_their_steps_and_labelled_if_there_is_room():
    markers = [
        Marker(step, "accent", SELECTED if i == 3 else WEAK, str(i), f"no. {i}")
        for i, step in enumerate([10, 50, 51, 52, 90, 150], 1)
    ]
    frame = Frame(50.0, 10.0, 290.0, 130.0, SPAN, (0.0, 1.0))
    weak, strong = marker_shapes(frame, markers)
    np.testing.assert_allclose(weak.x0, frame.x(np.array([10.0, 50, 52, 90])))
    assert isinstance(strong, Group) and strong.title == "no. 3", "what the others are is said elsewhere"
    assert strong.shapes[0].x0 == frame.x(51.0) and strong.shapes[0].stroke.width > weak.stroke.width
    labels = [text.text for text in marker_labels(frame, markers[:5], METRICS)]
    assert sorted(labels) == ["1", "3", "5"], "the one that concerns what is drawn has its label"


def test_thousands_of_markers_are_drawn_without_a_title_each():
    markers = [Marker(step, "accent", label=str(step), title="what happened") for step in range(1, 100)] * 20
    frame = Frame(50.0, 10.0, 290.0, 130.0, SPAN, (0.0, 1.0))
    shapes = marker_shapes(frame, markers)
    assert sum(isinstance(shape, Group) for shape in shapes) == 60 and len(shapes) == 61
    x = sorted(text.x for text in marker_labels(frame, markers, METRICS))
    assert min(np.diff(x)) >= 12
