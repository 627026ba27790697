"""Charts of curves over the steps of a run."""

from typing import Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.number_format import si
from qatviz.presentation import chart as scenes
from qatviz.presentation.chart import Axis, Frame
from qatviz.presentation.palette import series_role
from qatviz.presentation.scene import DASHED, DOTTED, SMALL, Line, Scene, Stroke
from qatviz.presentation.series import Points
from qatviz.report.markup import Markup, element
from qatviz.report.svg import FONTS, shapes_markup, svg

#: Margins of the plot, px: labels below, numbers of markers above.
BOTTOM, TOP, RIGHT = 17.0, 14.0, 10.0
#: Size of the sample of a line in a legend, px, as in the style sheet.
_KEY_SIZE = (22.0, 8.0)
#: Strokes of curves by style.
STYLES: Dict[str, Stroke] = {
    "s0": Stroke(series_role(0), 1.4),
    "s1": Stroke(series_role(1), 1.4, DASHED),
    **{f"s{index}": Stroke(series_role(index), 1.4, (DOTTED, (), DASHED)[index % 3 - 2]) for index in range(2, 8)},
    "float-line": Stroke("float_values", 1.4),
    "quantized-line": Stroke("in_range", 2.3),
    "whole": Stroke("in_range", 3.2, (), 0.45),
    "clipping": Stroke("clipped", 1.4, DASHED),
    "rounding": Stroke(series_role(2), 1.4, DOTTED),
}


class Curve(NamedTuple):
    """Curve with a ``style`` of :data:`STYLES`; ``is_minor``: parts may lie outside the axis."""

    name: str
    points: Points
    style: str
    is_minor: bool = False


class Marker(NamedTuple):
    """Line at a step, with ``text`` on hover; ``is_strong``: it concerns the plotted curves."""

    step: int
    label: str
    text: str
    is_strong: bool = True


def chart(
    axis: Axis,
    curves: Sequence[Curve],
    span: Tuple[float, float],
    size: Tuple[float, float],
    tensor: str = "",
    markers: Sequence[Marker] = (),
) -> Optional[Markup]:
    """Return the chart; None if no curve has a value, apart from minor ones.

    Parameters
    ----------
    span : (float, float)
        First and last step of the axis.
    size : (float, float)
        Width and height in px, including labels.
    tensor : str
        Name of the measured tensor, for assistive technology; empty for a chart of the run.
    """
    span = span[0], max(span[1], span[0] + 1)
    drawn = [
        scenes.curve_of(curve.points, curve.points.step, axis, STYLES[curve.style], curve.is_minor) for curve in curves
    ]
    y_range, metrics = scenes.value_range(drawn, span, axis), FONTS[SMALL]
    if y_range is None or scenes.bounds([curve for curve in drawn if not curve.minor], span) is None:
        return None
    left = scenes.label_room(scenes.y_ticks(y_range, axis.log, size[1] - TOP - BOTTOM, metrics), metrics)
    frame = Frame(left, TOP, size[0] - RIGHT, size[1] - BOTTOM, span, y_range)
    lines = chart_markers(markers)
    shapes = [
        *scenes.grid(frame, axis.log, metrics, size[1]),
        *scenes.marker_shapes(frame, lines),
        scenes.curve_shapes(frame, drawn),
        *scenes.outside_marks(frame, drawn, axis, metrics),
        *scenes.marker_labels(frame, lines, metrics),
        *scenes.x_labels(frame, size[0], metrics),
        scenes.border(frame),
    ]
    title = f"{axis.title} of {tensor}" if tensor else axis.title
    return svg(Scene(*size, shapes, title, " ".join(_words(curve, axis) for curve in curves)), "chart")


def legend_key(style: str) -> Markup:
    """Return the sample of a line for legends."""
    middle = _KEY_SIZE[1] / 2
    line = Line(np.array([0.0, _KEY_SIZE[0]]), np.array([middle, middle]), STYLES[style])
    return element("svg", shapes_markup([line]), class_="key line", aria_hidden="true")


def chart_markers(markers: Sequence[Marker]) -> Sequence[scenes.Marker]:
    """Return the markers as lines of a scene."""
    return [
        scenes.Marker(
            float(marker.step), "accent", scenes.PLAIN if marker.is_strong else scenes.WEAK, marker.label, marker.text
        )
        for marker in markers
    ]


def _words(curve: Curve, axis: Axis) -> str:
    """Return a sentence with the first, last, smallest and largest value of a curve."""
    there = np.flatnonzero(np.isfinite(curve.points.mean))
    name = curve.name or axis.title
    if not len(there):
        return f"{name}: no values."
    first, last = there[0], there[-1]
    values = (
        curve.points.mean[first],
        curve.points.mean[last],
        np.nanmin(curve.points.low[there]),
        np.nanmax(curve.points.high[there]),
    )
    texts = [f"{si(float(value) * axis.factor)}{axis.unit}" for value in values]
    return (
        f"{name}: {texts[0]} at step {curve.points.step[first]:,.0f}, {texts[1]} at step "
        f"{curve.points.step[last]:,.0f}; from {texts[2]} to {texts[3]}."
    )
