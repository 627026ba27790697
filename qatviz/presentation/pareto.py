"""Scene of cost against quality: every evaluation as a dot with the front, and below the predicted optima."""

from dataclasses import replace
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.bit_costs import CostUnit
from qatviz.analysis.budget import Allocation
from qatviz.measure_axis import MeasureAxis
from qatviz.presentation import chart
from qatviz.presentation.axis_range import Range
from qatviz.presentation.scene import Fill, Metrics, Rects, Shape, Stroke, Text

#: Scale of the axis of costs, and its unit.
_SCALES = {
    CostUnit.CODES: (1e-3, "kB"),
    CostUnit.STORED: (1e-3, "kB"),
    CostUnit.WITH_ACTIVATIONS: (1e-3, "kB"),
    CostUnit.MAC_BITS: (1e-6, "million MAC-bits"),
    CostUnit.TIME: (1e-6, "ms"),
}
#: Room beyond the outermost costs, as a fraction of their distance, and at least as a fraction of the largest.
_ROOM, _LEAST_ROOM = 0.06, 0.02
EDGE, GAP = 8.0, 6.0
#: Radii of dots, px: of evaluations and of the choice, and of the selected evaluation, which lies behind its dot.
RADIUS, SELECTED_RADIUS = 3.0, 5.0
#: Strokes of both fronts.
FRONT, _PREDICTED = Stroke("good", 1.5), Stroke("float_values", 1.5)


class Dot(NamedTuple):
    """Evaluation: cost and metric, and whether it led to the run's present state.

    ``is_trial``: its settings were not in effect; ``is_fork``: it is one of a fork.
    """

    cost: float
    value: float
    survives: bool = True
    is_trial: bool = False
    is_fork: bool = False


class ParetoScene(NamedTuple):
    """Shapes, and the places of the dots in pixels, float64 ``[dots, 2]``; NaN for those outside."""

    shapes: List[Shape]
    places: np.ndarray


def measured_front(dots: Sequence[Dot], higher_is_better: bool) -> List[int]:
    """Return the indices of the dots that no other one of at most the same cost equals or improves, by cost."""
    sign = -1.0 if higher_is_better else 1.0
    best, front = np.inf, []
    for index in sorted(range(len(dots)), key=lambda i: (dots[i].cost, sign * dots[i].value)):
        if sign * dots[index].value < best:
            best = sign * dots[index].value
            front.append(index)
    return front


def pareto_scene(
    size: Tuple[float, float],
    metrics: Metrics,
    unit: CostUnit,
    metric_title: str,
    metric_axis: MeasureAxis,
    dots: Sequence[Dot],
    front: Sequence[int],
    predicted: Sequence[Allocation] = (),
    chosen: Optional[Allocation] = None,
    selected: int = -1,
) -> ParetoScene:
    """Return the picture.

    Parameters
    ----------
    size : (float, float)
        Width and height, px.
    unit : CostUnit
    metric_title, metric_axis
        Title and axis of the metric.
    dots : sequence of Dot
    front : sequence of int
        :func:`measured_front`.
    predicted : sequence of Allocation
        Predicted optima, by cost; without them, there is no lower plot.
    chosen : Allocation, optional
        Pending or chosen bits, in both plots a mark at its cost.
    selected : int
        Index of the selected dot; -1 for none.
    """
    factor, unit_text = _SCALES[unit]
    costs = [dot.cost for dot in dots] + [point.cost for point in (*predicted, *([chosen] if chosen else []))]
    places = np.full((len(dots), 2), np.nan)
    if not dots and not predicted:
        return ParetoScene([], places)
    x_range = with_room(factor * min(costs), factor * max(costs))
    axis = chart.plot_axis(metric_title, replace(metric_axis, settles=False))  # no value is later than another
    values = axis.places(np.array([dot.value for dot in dots], np.float64))
    x = factor * np.array([dot.cost for dot in dots], np.float64)
    kept, is_selected = np.array([dot.survives for dot in dots], bool), np.arange(len(dots)) == selected
    is_trial = np.array([dot.is_trial for dot in dots], bool)
    is_fork = np.array([dot.is_fork for dot in dots], bool)
    plots: List[_Plot] = []
    if dots:
        marks = [
            _Marks(x[is_selected], values[is_selected], "text", SELECTED_RADIUS),
            _Marks(x[~kept], values[~kept], "muted"),
            _Marks(x[is_fork], values[is_fork], "float_values"),
            _Marks(x[kept & ~is_trial & ~is_fork], values[kept & ~is_trial & ~is_fork], "in_range"),
            _Marks(x[is_trial], values[is_trial], "ghost"),
        ]
        plots.append(_Plot(axis, chart.Curve(x[list(front)], values[list(front)], None, None, FRONT), marks))
    if predicted:
        plots.append(_predicted_plot(factor, predicted, chosen))
    width, height = size
    ranges = [chart.value_range(plot.curves, x_range, plot.axis) or (0.0, 1.0) for plot in plots]
    line = metrics.height + GAP
    room = (height - line) / len(plots) - line
    ticks = [chart.y_ticks(found, plot.axis.log, room, metrics) for found, plot in zip(ranges, plots)]
    left = max(chart.label_room(found, metrics) for found in ticks)
    shapes: List[Shape] = []
    for number, (found, plot) in enumerate(zip(ranges, plots)):
        top = number * (room + line) + line
        frame = chart.Frame(left, top, max(width - EDGE, left + 1), max(top + room, top + 1), x_range, found)
        shapes.append(Text(left, top - GAP + 1, plot.axis.title))
        shapes += chart.grid(frame, plot.axis.log, metrics, height)
        if chosen is not None:
            shapes += chart.marker_shapes(frame, [chart.Marker(factor * chosen.cost, "ghost")])
        shapes += [chart.curve_shapes(frame, [plot.line]), chart.border(frame)]
        shapes += [mark.shape(frame) for mark in plot.marks if len(mark.x)]
        if dots and number == 0:
            places = np.stack([frame.x(x), frame.y(values)], axis=1)
    shapes += chart.x_labels(frame, width, metrics, unit_text)
    return ParetoScene(shapes, places)


class _Marks(NamedTuple):
    """Dots in the units of the axes, with the role of their colour."""

    x: np.ndarray
    y: np.ndarray
    role: str
    radius: float = RADIUS

    @property
    def curve(self) -> chart.Curve:
        """Curve through the dots, for the range of the axis."""
        order = np.argsort(self.x, kind="stable")
        return chart.Curve(self.x[order], self.y[order], None, None, FRONT)

    def shape(self, frame: chart.Frame) -> Shape:
        """Circles, without those that have no place."""
        is_known = np.isfinite(self.y)
        x, y, r = frame.x(self.x[is_known]), frame.y(self.y[is_known]), self.radius
        return Rects(x - r, y - r, x + r, y + r, Fill(self.role), None, r)


class _Plot(NamedTuple):
    """Axis of values, a front, and dots; the last ones on top."""

    axis: chart.Axis
    line: chart.Curve
    marks: Sequence[_Marks]

    @property
    def curves(self) -> List[chart.Curve]:
        """All that has to be within the range of the axis."""
        return [self.line, *(mark.curve for mark in self.marks)]


_LOSS_AXIS = chart.Axis("predicted loss", log=True)


def _predicted_plot(factor: float, predicted: Sequence[Allocation], chosen: Optional[Allocation]) -> _Plot:
    """Return the plot of the predicted optima, with a dot for the choice."""

    def places(points: Sequence[Allocation]) -> Tuple[np.ndarray, np.ndarray]:
        x = factor * np.array([point.cost for point in points], np.float64)
        return x, _LOSS_AXIS.places(np.array([point.loss for point in points], np.float64))

    line = chart.Curve(*places(predicted), None, None, _PREDICTED, dots=True)
    return _Plot(_LOSS_AXIS, line, [_Marks(*places([chosen]), "ghost")] if chosen is not None else [])


def with_room(low: float, high: float) -> Range:
    """Return the range of an axis of costs from the least to the largest one, with room beside them."""
    room = max(_ROOM * (high - low), _LEAST_ROOM * high, 1e-9)
    return max(low - room, 0.0), high + room


def nearest(places: np.ndarray, x: float, y: float, within: float) -> int:
    """Return the index of the dot nearest to a point, at most ``within`` pixels away; -1 if there is none."""
    if not len(places):
        return -1
    distances = np.hypot(places[:, 0] - x, places[:, 1] - y)
    distances[~np.isfinite(distances)] = np.inf
    index = int(distances.argmin())
    return index if distances[index] <= within else -1
