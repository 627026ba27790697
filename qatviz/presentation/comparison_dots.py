"""Scene of compared runs by size and quality: a dot for each, with the front of those that none improves."""

from dataclasses import replace
from typing import List, Sequence, Tuple

import numpy as np

from qatviz.analysis.comparison import ComparedRun, Comparison
from qatviz.metric import MODE_NAMES
from qatviz.number_format import UNKNOWN, bytes_text
from qatviz.presentation import chart
from qatviz.presentation.comparison import curve_title, run_stroke
from qatviz.presentation.pareto import (
    EDGE,
    FRONT,
    GAP,
    RADIUS,
    SELECTED_RADIUS,
    Dot,
    ParetoScene,
    measured_front,
    with_room,
)
from qatviz.presentation.scene import END, START, Fill, Metrics, Rects, Shape, Text

_KB, _UNIT = 1e-3, "kB"
#: Radius of a dot relative to that of an evaluation: there are fewer runs than evaluations.
_LARGER = 1.5
#: Largest number of dots with names beside them, and their distance from the dots, px.
_MOST_NAMED, _BESIDE = 12, 10.0


def run_dot(comparison: Comparison, run: ComparedRun, mode: str) -> Dot:
    """Return size of the weights and newest metric of a run; NaN for a run of another metric than the first."""
    track = run.tracks.get(mode)
    is_known = track is not None and len(track.values) and run.summary.metric == comparison.runs[0].summary.metric
    return Dot(run.summary.weight_bytes, float(track.values[-1]) if track is not None and is_known else np.nan)


def dot_text(comparison: Comparison, index: int, mode: str) -> str:
    """Return name, size and metric of a run in lines."""
    run, metric = comparison.runs[index], comparison.runs[0].summary.scores
    dot = run_dot(comparison, run, mode)
    score = metric.text(dot.value) if np.isfinite(dot.value) else UNKNOWN
    lines = [comparison.names[index], f"{metric.title}, {MODE_NAMES[mode]}: {score}"]
    return "\n".join([*lines, f"weights: {bytes_text(run.summary.weight_bytes or None)}"])


def dots_scene(
    size: Tuple[float, float],
    metrics: Metrics,
    comparison: Comparison,
    mode: str,
    shown: Sequence[int],
    selected: int = -1,
) -> ParetoScene:
    """Return the picture of the runs ``shown``, in their colours; ``places`` has a row for each run.

    Parameters
    ----------
    size : (float, float)
        Width and height, px.
    mode : str
        Mode of evaluation, one of :data:`qatviz.metric.MODES`.
    shown : sequence of int
        Indices of runs.
    selected : int
        Index of the selected run; -1 for none.
    """
    metric = comparison.runs[0].summary.scores
    dots = [run_dot(comparison, run, mode) for run in comparison.runs]
    drawn = [index for index in shown if np.isfinite(dots[index].value)]
    places = np.full((len(dots), 2), np.nan)
    if not drawn:
        return ParetoScene([], places)
    # No value is later than another, so that the axis must not settle.
    axis = chart.plot_axis(curve_title(comparison, mode), replace(metric.axis, settles=False))
    x = _KB * np.array([dot.cost for dot in dots], np.float64)
    y = axis.places(np.array([dot.value for dot in dots], np.float64))
    front = [drawn[index] for index in measured_front([dots[index] for index in drawn], metric.higher_is_better)]
    line = chart.Curve(x[front], y[front], None, None, FRONT)
    order = sorted(drawn, key=lambda index: x[index])
    everything = chart.Curve(x[order], y[order], None, None, FRONT)
    x_range = with_room(float(x[drawn].min()), float(x[drawn].max()))
    y_range = chart.value_range([everything], x_range, axis) or (0.0, 1.0)
    width, height = size
    top, bottom = metrics.height + GAP, height - metrics.height - GAP
    left = chart.label_room(chart.y_ticks(y_range, axis.log, bottom - top, metrics), metrics)
    frame = chart.Frame(left, top, max(width - EDGE, left + 1), max(bottom, top + 1), x_range, y_range)
    places[drawn] = np.stack([frame.x(x[drawn]), frame.y(y[drawn])], axis=1)
    shapes: List[Shape] = [
        Text(left, top - GAP + 1, axis.title),
        *chart.grid(frame, axis.log, metrics, height),
        chart.curve_shapes(frame, [line]),
        chart.border(frame),
        *(_circle(places[index], index, index == selected) for index in drawn),
        *_names(comparison, places, drawn if len(drawn) <= _MOST_NAMED else [], frame.right, metrics),
        *chart.x_labels(frame, width, metrics, _UNIT),
    ]
    return ParetoScene(shapes, places)


def _circle(place: np.ndarray, index: int, is_selected: bool) -> Shape:
    radius = _LARGER * (SELECTED_RADIUS if is_selected else RADIUS)
    x, y = place[:1], place[1:]
    outline = run_stroke(index)._replace(role="text", dash=()) if is_selected else None
    return Rects(x - radius, y - radius, x + radius, y + radius, Fill(run_stroke(index).role), outline, radius)


def _names(
    comparison: Comparison, places: np.ndarray, drawn: Sequence[int], right: float, metrics: Metrics
) -> List[Shape]:
    """Return the names of runs beside their dots, each unless it would cover one before it."""
    shapes: List[Shape] = []
    taken: List[Tuple[float, float, float]] = []
    for index in drawn:
        x, y = float(places[index, 0]), float(places[index, 1])
        width = metrics.width(comparison.names[index])
        is_left = x + _BESIDE + width > right
        begin = x - _BESIDE - width if is_left else x + _BESIDE
        line = y + metrics.ascent / 2
        if all(begin > b or begin + width < a or abs(line - at) >= metrics.height for a, b, at in taken):
            anchor = END if is_left else START
            shapes.append(Text(x - _BESIDE if is_left else x + _BESIDE, line, comparison.names[index], anchor=anchor))
            taken.append((begin, begin + width, line))
    return shapes
