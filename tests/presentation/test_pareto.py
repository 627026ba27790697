"""Cost against quality: the front of measured dots, their places, and the predicted optima."""

import numpy as np
import pytest

from qatviz.analysis.bit_costs import CostUnit
from qatviz.analysis.budget import Allocation
from qatviz.metric import METRICS
from qatviz.presentation.pareto import Dot, measured_front, nearest, pareto_scene
from qatviz.presentation.scene import Fill, Rects, Text, estimated_metrics

METRICS_OF_TEXT = estimated_metrics(12, 7)
DOTS = [Dot(30e3, 0.95), Dot(20e3, 0.90), Dot(20e3, 0.92), Dot(40e3, 0.94), Dot(10e3, 0.60, False)]
PREDICTED = [Allocation((2, 2), 10_000, 0.5), Allocation((4, 4), 20_000, 0.05), Allocation((8, 8), 40_000, 0.001)]


def scene(dots=DOTS, predicted=PREDICTED, chosen=None, selected=-1, unit=CostUnit.CODES):
    metric = METRICS["accuracy"]
    front = measured_front(dots, metric.higher_is_better)
    size = (500.0, 300.0)
    return pareto_scene(size, METRICS_OF_TEXT, unit, "accuracy", metric.axis, dots, front, predicted, chosen, selected)


def texts(shapes):
    return [shape.text for shape in shapes if isinstance(shape, Text)]


def test_the_front_has_the_dots_that_no_cheaper_one_equals():
    assert measured_front(DOTS, True) == [4, 2, 0]
    assert measured_front(DOTS, False) == [4]
    assert measured_front([], True) == []
    assert measured_front([Dot(1.0, float("nan")), Dot(2.0, 0.5)], True) == [1]


def test_cheaper_dots_are_further_left_and_better_ones_higher():
    places = scene().places
    assert places.shape == (5, 2) and np.isfinite(places).all()
    assert places[4, 0] < places[1, 0] == places[2, 0] < places[0, 0] < places[3, 0]
    assert places[0, 1] < places[3, 1] < places[2, 1] < places[1, 1] < places[4, 1] < 150, "in the upper plot"


def test_both_plots_have_titles_and_the_axis_its_unit():
    assert {"accuracy", "predicted loss", "kB"} <= set(texts(scene().shapes))
    assert "predicted loss" not in texts(scene(predicted=[]).shapes)
    assert "million MAC-bits" in texts(scene(unit=CostUnit.MAC_BITS).shapes)


def test_without_evaluations_the_prediction_is_drawn_and_without_both_nothing():
    found = scene(dots=[])
    assert found.places.shape == (0, 2) and "predicted loss" in texts(found.shapes)
    assert scene(dots=[], predicted=[]).shapes == []


def test_the_choice_is_marked_in_both_plots():
    def marks(shapes):
        return [shape for shape in shapes if isinstance(shape, Rects) and shape.fill == Fill("ghost")]

    chosen = Allocation((4, 8), 25_000, 0.02)
    (mark,) = marks(scene(chosen=chosen).shapes)
    assert not marks(scene().shapes) and len(mark.left) == 1 and mark.top[0] > 150, "in the lower plot"


def test_the_selected_dot_is_larger_and_behind_its_own():
    place = scene(selected=2).places[2]
    dots = [shape for shape in scene(selected=2).shapes if isinstance(shape, Rects) and shape.radius]
    assert [shape.fill.role for shape in dots] == ["text", "muted", "in_range"]
    assert [len(shape.left) for shape in dots] == [1, 1, 4] and dots[0].radius > dots[2].radius
    np.testing.assert_allclose(
        [(dots[0].left[0] + dots[0].right[0]) / 2, (dots[0].top[0] + dots[0].bottom[0]) / 2], place
    )


@pytest.mark.parametrize("offset, expected", [((0, 0), 2), ((6, 6), 2), ((40, 60), -1)])
def test_the_nearest_dot_is_found_within_reach(offset, expected):
    places = scene().places
    assert nearest(places, places[2, 0] + offset[0], places[2, 1] - offset[1], 10.0) == expected
    assert nearest(np.zeros((0, 2)), 1.0, 1.0, 10.0) == -1
