"""Picture of compared runs by size and quality."""

import numpy as np
from compared_runs import run, track

from qatviz.analysis.comparison import LOSS, compare
from qatviz.metric import MODES
from qatviz.presentation.comparison_dots import dot_text, dots_scene, run_dot
from qatviz.presentation.scene import Rects, Text, estimated_metrics

QUANTIZED = MODES[-1]
METRICS = estimated_metrics(10.5, 6.2)


def runs(*points):
    """Return runs of these sizes and scores; None for no score."""
    found = []
    for number, (size, score) in enumerate(points):
        tracks = {LOSS: track([1], [1.0])}
        if score is not None:
            tracks[QUANTIZED] = track([1, 2], [0.1, score])
        one = run(f"run{number}", tracks=tracks, seed=number)
        found.append(one._replace(summary=one.summary._replace(weight_bytes=size)))
    return compare(found)


def scene(comparison, **more):
    shown = more.pop("shown", range(len(comparison.runs)))
    return dots_scene((400.0, 300.0), METRICS, comparison, QUANTIZED, shown, **more)


def test_the_newest_score_and_the_size_place_a_dot():
    comparison = runs((1000, 0.9), (4000, 0.8), (2000, None))
    places = scene(comparison).places
    assert places[0, 0] < places[1, 0] and places[0, 1] < places[1, 1], "a better run is higher"
    assert np.isnan(places[2]).all() and np.isnan(run_dot(comparison, comparison.runs[2], QUANTIZED).value)
    assert np.isnan(scene(comparison, shown=[1]).places[0]).all()
    assert scene(runs((1000, None))).shapes == []


def test_a_run_of_another_metric_has_no_dot():
    comparison = runs((1000, 0.9), (2000, 0.8))
    other = comparison.runs[1]._replace(summary=comparison.runs[1].summary._replace(metric="auc"))
    assert np.isnan(scene(compare([comparison.runs[0], other])).places[1]).all()


def test_names_are_beside_dots_unless_they_cover_each_other():
    texts = [
        shape.text for shape in scene(runs((1000, 0.9), (1000, 0.9), (4000, 0.5))).shapes if isinstance(shape, Text)
    ]
    assert "run0" in texts and "run1" not in texts and "run2" in texts


def test_the_selected_dot_is_larger_and_outlined():
    circles = [shape for shape in scene(runs((1000, 0.9), (4000, 0.5)), selected=1).shapes if isinstance(shape, Rects)]
    radii = [circle.radius for circle in circles if circle.radius]
    assert len(radii) == 2 and radii[1] > radii[0]
    assert [circle.stroke is None for circle in circles if circle.radius] == [True, False]


def test_a_text_names_run_score_and_size():
    assert dot_text(runs((1500, 0.9)), 0, QUANTIZED) == "run0\naccuracy, quantized: 90.0 %\nweights: 1.5 kB"
    assert dot_text(runs((1500, None)), 0, QUANTIZED).splitlines()[1] == "accuracy, quantized: –"
