"""Scene of a regression: predictions over targets, and below their errors, in float and quantized."""

from typing import List, NamedTuple, Tuple

import numpy as np

from qatviz.analysis.predictions import OutputPredictions
from qatviz.presentation import chart
from qatviz.presentation.axes import TICK_PX, bottom_axis, left_axis
from qatviz.presentation.axis_range import Range
from qatviz.presentation.prediction_texts import FLOAT_ROLE, QUANTIZED_ROLE
from qatviz.presentation.scene import Group, Line, Metrics, Rects, Shape, Stroke, Text
from qatviz.presentation.ticks import fitting_ticks, linear_ticks

_EDGE, _GAP, _ROOM = 8.0, 6.0, 0.05
#: Part of the height for the upper plot; radius of the selected example's mark, px.
_UPPER, _RADIUS = 0.6, 5.0
_DIAGONAL = Stroke("muted", 1.0, (5.0, 3.0))


class ScatterScene(NamedTuple):
    """Shapes, and the places of the quantized predictions in the upper plot, float64 ``[n, 2]`` in pixels."""

    shapes: List[Shape]
    places: np.ndarray


def scatter_scene(
    size: Tuple[float, float], metrics: Metrics, found: OutputPredictions, index: int, name: str, selected: int = -1
) -> ScatterScene:
    """Return the picture.

    Parameters
    ----------
    size : (float, float)
        Width and height, px.
    metrics : Metrics
        Sizes of the texts.
    found : OutputPredictions
        Those of a regression.
    index : int
        Number to predict.
    name : str
        Its name.
    selected : int
        Index of the selected example; -1 for none.
    """
    targets, before, after = (
        part[:, index].astype(np.float64) for part in (found.targets, found.in_float, found.quantized)
    )
    width, height = size
    line = metrics.height + _GAP
    x_range = _with_room(targets)
    ranges = _with_room(targets, before, after), _with_room(before - targets, after - targets, np.zeros(1))
    room = height - 3 * line
    heights = room * _UPPER, room * (1 - _UPPER)
    ticks = [chart.y_ticks(own, False, high, metrics) for own, high in zip(ranges, heights)]
    left = max(chart.label_room(own, metrics) for own in ticks)
    right = max(width - _EDGE, left + 1)
    upper = chart.Frame(left, line, right, line + max(heights[0], 1), x_range, ranges[0])
    lower = chart.Frame(left, upper.bottom + line, right, upper.bottom + line + max(heights[1], 1), x_range, ranges[1])
    along = fitting_ticks(
        lambda at_most: linear_ticks(*x_range, at_most),
        int((right - left) / TICK_PX),
        (right - left) / (x_range[1] - x_range[0]),
        metrics.width,
    )
    shapes: List[Shape] = [
        Text(left, line - _GAP + 1, f"predicted over {name}", "muted"),
        *_legend(right, line - _GAP + 1, metrics),
        Text(left, lower.top - _GAP + 1, f"error: predicted − target, over {name}", "muted"),
    ]
    ends = np.array(x_range)
    for frame, guide, both, own in (
        (upper, ends, (before, after), ticks[0]),
        (lower, np.zeros(2), (before - targets, after - targets), ticks[1]),
    ):
        shapes += left_axis(frame.rect, frame.y(np.array([at for at, _ in own], np.float64)), own, metrics)
        labelled = along if frame is lower else [(at, "") for at, _ in along]
        shapes += bottom_axis(frame.rect, x_range, labelled, metrics, (0.0, width))
        lines = [Line(frame.x(ends), frame.y(guide), _DIAGONAL)]
        lines += [_dots(frame, targets, values, role) for values, role in zip(both, (FLOAT_ROLE, QUANTIZED_ROLE))]
        shapes += [Group(lines, frame.rect), chart.border(frame)]
        if 0 <= selected < len(targets):
            shapes.append(_mark(frame, targets[selected], both[1][selected]))
    return ScatterScene(shapes, np.stack([upper.x(targets), upper.y(after)], axis=1))


def _with_room(*values: np.ndarray) -> Range:
    known = np.concatenate(values)
    known = known[np.isfinite(known)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    room = _ROOM * (high - low) or 0.5 * abs(high) or 0.5
    return low - room, high + room


def _dots(frame: chart.Frame, x: np.ndarray, y: np.ndarray, role: str) -> Line:
    """Return dots: a line that NaN interrupts after each point."""
    places = np.full((len(x), 2, 2), np.nan)
    places[:, 0, 0], places[:, 0, 1] = frame.x(x), frame.y(y)
    places[:, 1, 0] = places[:, 0, 0]
    return Line(places[..., 0].ravel(), places[..., 1].ravel(), Stroke(role), True)


def _mark(frame: chart.Frame, x: float, y: float) -> Shape:
    at = frame.x(np.array([x])), frame.y(np.array([y]))
    edges = at[0] - _RADIUS, at[1] - _RADIUS, at[0] + _RADIUS, at[1] + _RADIUS
    return Rects(*edges, None, Stroke("text", 2.0), _RADIUS)


def _legend(right: float, base: float, metrics: Metrics) -> List[Shape]:
    texts = (("quantized", QUANTIZED_ROLE), ("float", FLOAT_ROLE))
    shapes: List[Shape] = []
    for text, role in texts:
        right -= metrics.width(text)
        shapes.append(Text(right, base, text, role))
        right -= 2 * _GAP
    return shapes
