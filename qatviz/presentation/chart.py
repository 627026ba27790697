"""Scenes of curves over a common axis of steps or seconds: axes with ticks, grid, curves with bands, markers."""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.measure_axis import MeasureAxis
from qatviz.presentation.axis_range import Range, steady_range
from qatviz.presentation.scene import (
    DASHED,
    DOTTED,
    END,
    MIDDLE,
    Band,
    Fill,
    Group,
    Line,
    Metrics,
    Shape,
    Stroke,
    Text,
    rects,
    segments,
)
from qatviz.presentation.series import Points
from qatviz.presentation.ticks import (
    Tick,
    exponents,
    fitting_ticks,
    linear_ticks,
    log_ticks,
    ticks_upright,
)

#: Minimum distance of two ticks of the axis of steps, px; larger for long labels.
_X_TICK_PX = 64.0
#: Distance of labels from their axis, and of the title of the axis of steps from the picture's left edge, px.
_LABEL_OFFSET, _TITLE_LEFT = 5.0, 8.0
#: Minimum space between two labels of the axis of steps, px.
_CLEAR = 2.0
#: Coordinates are clipped to this distance from the plot, px, because painters have limits.
_OUTSIDE = 4000.0
#: Number of points below which a curve has dots.
_DOTS_BELOW = 40
#: Maximum height of a band that is omitted, px.
_MIN_BAND = 0.5
#: Opacity of bands, grid and marker lines.
BAND_OPACITY, _GRID_OPACITY, _MARKER_OPACITY = 0.3, 0.45, 0.6
#: Maximum part of a logarithmic axis below the main curves, in powers of ten: minor curves may be nearly 0.
_DECADES_BELOW = 3.0
#: Minimum span of a logarithmic axis, in powers of ten: a factor of 2.
_MIN_DECADES = 0.3
#: Margin below 0 if no value is negative, relative to the upper end of the axis.
_BELOW_ZERO = 0.05
#: Maximum number of markers with titles; a run may have thousands, in every chart.
_MAX_TITLES = 60
_MARKER_LABEL_GAP = 6.0
#: An axis that settles omits this first fraction of the points if all points span more than this many times the range
#: of the others. With fewer points than the third number, it shows all of them.
_SETTLED, _UNSETTLED, _FEWEST_SETTLED = 0.5, 3.0, 4
#: Dots at the ends of the plot extend beyond it by this much, px.
_DOT_ROOM = 3.0

PLAIN, SELECTED, WEAK = "plain", "selected", "weak"
_GRID = Stroke("line", opacity=_GRID_OPACITY)


class Axis(NamedTuple):
    """Axis of values.

    Attributes
    ----------
    title : str
    factor : float
        Factor from the history's unit to the shown one.
    unit : str
        Text that follows a value.
    log : bool
        Whether the axis is logarithmic: values are exponents of ten.
    limits : (float, float)
        Bounds of the axis in the shown unit (exponents if logarithmic).
    least : float
        Minimum span in the shown unit (powers of ten if logarithmic), so that noise stays small.
    settles : bool
        Whether the axis shows how the later values differ, and early ones far from them may lie outside.
    """

    title: str = ""
    factor: float = 1.0
    unit: str = ""
    log: bool = False
    limits: Range = (-np.inf, np.inf)
    least: float = 0.0
    settles: bool = False

    def places(self, values: np.ndarray) -> np.ndarray:
        """Return the positions on the axis of values in the history's unit; NaN if infinite or without a logarithm."""
        scaled = exponents(values * self.factor) if self.log else values * self.factor
        return np.where(np.isfinite(scaled), scaled, np.nan)


def plot_axis(title: str, axis: MeasureAxis, is_log: Optional[bool] = None) -> Axis:
    """Return the axis of a measure; ``is_log`` overrides the measure's default."""
    unit = f" {axis.unit}" if axis.unit else ""
    is_log = axis.is_log if is_log is None else is_log
    return Axis(title, axis.factor, unit, is_log, axis.limits, axis.least_span, axis.settles)


class Curve(NamedTuple):
    """Curve in the units of the axes (exponents if logarithmic).

    Attributes
    ----------
    x, y : np.ndarray
        float64 ``[n]``, ``x`` ascending; NaN interrupts the curve.
    low, high : np.ndarray or None
        Band of extremes behind the curve.
    stroke : Stroke
    dots : bool
        Whether points are marked.
    minor : bool
        Whether parts may lie outside the axis; those below it are omitted.
    """

    x: np.ndarray
    y: np.ndarray
    low: Optional[np.ndarray]
    high: Optional[np.ndarray]
    stroke: Stroke
    dots: bool = False
    minor: bool = False


def curve_of(points: Points, x: np.ndarray, axis: Axis, stroke: Stroke, minor: bool = False) -> Curve:
    """Return the curve through the means of ``points`` at ``x``, with the band of their extremes."""
    low, high, mean = (axis.places(part) for part in (points.low, points.high, points.mean))
    return Curve(x, mean, low, high, stroke, len(x) < _DOTS_BELOW, minor)


class Marker(NamedTuple):
    """Vertical line.

    Attributes
    ----------
    x : float
        Position in the unit of the x axis.
    role : str
        Role of the colour.
    emphasis : str
        ``PLAIN``, ``SELECTED``, or ``WEAK`` if it does not concern the plotted curves.
    label, title : str
        Text above the line, if there is room; text on hover.
    """

    x: float
    role: str
    emphasis: str = PLAIN
    label: str = ""
    title: str = ""


class Frame(NamedTuple):
    """Edges of the plot, px, and ranges of its axes."""

    left: float
    top: float
    right: float
    bottom: float
    x_range: Range
    y_range: Range

    @property
    def x_scale(self) -> float:
        """Pixels per unit of x."""
        return (self.right - self.left) / (self.x_range[1] - self.x_range[0])

    def x(self, values: np.ndarray) -> np.ndarray:
        """Return pixels from the left."""
        return self.left + (values - self.x_range[0]) * self.x_scale

    def y(self, values: np.ndarray) -> np.ndarray:
        """Return pixels from the top, clipped to ``_OUTSIDE`` beyond the plot."""
        low, high = self.y_range
        pixels = self.bottom - (values - low) * ((self.bottom - self.top) / (high - low))
        return _limited(pixels, self.top - _OUTSIDE, self.bottom + _OUTSIDE)

    @property
    def rect(self) -> Tuple[float, float, float, float]:
        return self.left, self.top, self.right, self.bottom


def _limited(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return ``np.clip`` of ``values``, which takes eight times as long for short arrays."""
    return np.minimum(np.maximum(values, low), high)


# Ranges


def bounds(curves: Sequence[Curve], x_range: Range) -> Optional[Range]:
    """Return the minimum and maximum of finite values of curves and bands in ``x_range``; None if there are none.

    The ends of the range count, too: a line between two points outside of it may cross it.
    """
    lows: List[float] = []
    highs: List[float] = []
    for curve in curves:
        part = _within(curve.x, x_range)
        low, high = (curve.y, curve.y) if curve.low is None or curve.high is None else (curve.low, curve.high)
        for found, values, choose in ((lows, low, np.min), (highs, high, np.max)):
            shown = np.append(values[part], _at_ends(curve.x, values, x_range))
            finite = shown[np.isfinite(shown)]
            if len(finite):
                found.append(float(choose(finite)))
    return (min(lows + highs), max(lows + highs)) if lows and highs else None


def _at_ends(x: np.ndarray, values: np.ndarray, x_range: Range) -> np.ndarray:
    """Return the values at the ends of ``x_range`` of the line through all points; NaN where there is no line."""
    return np.interp(x_range, x, values, left=np.nan, right=np.nan) if len(x) else np.zeros(0)


def settled_bounds(curves: Sequence[Curve], x_range: Range, least: float) -> Range:
    """Return the bounds of the later points of curves that have values, or of all if these are not far from them.

    The accuracy of the first steps would leave no room for the differences that matter.
    """
    whole = bounds(curves, x_range)
    assert whole is not None, "there are values"
    x = np.unique(np.concatenate([curve.x[np.isfinite(curve.y)] for curve in curves]))
    x = x[_within(x, x_range)]
    if len(x) < _FEWEST_SETTLED:
        return whole
    later = bounds(curves, (float(x[int(len(x) * _SETTLED)]), x_range[1])) or whole
    far = _UNSETTLED * max(later[1] - later[0], least)
    return later if whole[1] - whole[0] > far else whole


def value_range(
    curves: Sequence[Curve], x_range: Range, axis: Axis, present: Optional[Range] = None
) -> Optional[Range]:
    """Return the ends of the axis of values for the curves in ``x_range``; None if there is no value.

    The ``present`` range is kept while it fits.
    """
    found = bounds(curves, x_range)
    if found is None:
        return None
    low, high = settled_bounds(curves, x_range, axis.least) if axis.settles else found
    main = bounds([curve for curve in curves if not curve.minor], x_range)
    if main is not None and axis.log:
        low = max(low, main[0] - _DECADES_BELOW)
    missing = (_MIN_DECADES if axis.log else axis.least) - (high - low)
    if missing > 0:
        low, high = low - missing / 2, high + missing / 2
    is_positive = low >= 0
    low, high = steady_range(present, low, high)
    if is_positive and not axis.log:
        low = max(low, -_BELOW_ZERO * high)
    return max(low, axis.limits[0]), min(high, axis.limits[1])


# Shapes


def y_ticks(y_range: Range, log: bool, height: float, metrics: Metrics) -> List[Tick]:
    """Return the ticks of an axis of values ``height`` pixels high."""
    most = ticks_upright(height, metrics.height)
    return log_ticks(*y_range, most) if log else linear_ticks(*y_range, most)


def x_ticks(x_range: Range, width: float, metrics: Metrics) -> List[Tick]:
    """Return the ticks of the axis of steps or seconds, ``width`` pixels long; none before the beginning of the run."""
    return fitting_ticks(
        lambda at_most: [tick for tick in linear_ticks(*x_range, at_most) if tick[0] >= 0],
        int(width / _X_TICK_PX),
        width / (x_range[1] - x_range[0]),
        metrics.width,
    )


def label_room(ticks: Sequence[Tick], metrics: Metrics) -> float:
    """Return the width of the labels of an axis of values."""
    return max((metrics.width(text) for _, text in ticks), default=0.0) + 2 * _LABEL_OFFSET


def grid(frame: Frame, log: bool, metrics: Metrics, height: float, has_values: bool = True) -> List[Shape]:
    """Return grid lines at all ticks, and the labels of the axis of values, in a picture ``height`` pixels high."""
    ticks = y_ticks(frame.y_range, log, frame.bottom - frame.top, metrics) if has_values else []
    y = frame.y(np.array([at for at, _ in ticks], np.float64))
    x = frame.x(np.array([at for at, _ in x_ticks(frame.x_range, frame.right - frame.left, metrics)], np.float64))
    tops = _limited(y - metrics.height / 2, 0.0, height - metrics.height)
    return [
        segments(frame.left, y, frame.right, y, _GRID),
        segments(x, frame.top, x, frame.bottom, _GRID),
        *(
            Text(frame.left - _LABEL_OFFSET, top + metrics.ascent, text, anchor=END)
            for top, (_, text) in zip(tops.tolist(), ticks)
        ),
    ]


def x_labels(frame: Frame, width: float, metrics: Metrics, title: str = "") -> List[Shape]:
    """Return the labels of the axis of steps or seconds, in a picture ``width`` pixels wide; ``title`` at the left."""
    y = frame.bottom + 2 + metrics.ascent
    shapes: List[Shape] = [Text(_TITLE_LEFT, y, title)] if title else []
    taken = _TITLE_LEFT + metrics.width(title) if title else -_CLEAR
    for at, text in x_ticks(frame.x_range, frame.right - frame.left, metrics):
        half = metrics.width(text) / 2 + 1
        x = min(max(float(frame.x(np.float64(at))), half), width - half)
        if x - half >= taken + _CLEAR:  # at the ends, labels are moved into the picture
            shapes.append(Text(x, y, text, anchor=MIDDLE))
            taken = x + half
    return shapes


def border(frame: Frame, role: str = "line") -> Shape:
    """Return the frame around the plot."""
    return rects(*frame.rect, None, Stroke(role))


def curve_shapes(frame: Frame, curves: Sequence[Curve]) -> Group:
    """Return all bands, then all lines, clipped to the plot; the first curve is on top.

    The clip leaves room for dots on the left and the right edge.
    """
    shown = [(curve, _within(curve.x, frame.x_range, 1)) for curve in reversed(curves)]
    bands = [
        _band(frame, curve, part, curve.low, curve.high)
        for curve, part in shown
        if curve.low is not None and curve.high is not None
    ]
    lines = [_line(frame, curve, part) for curve, part in shown]
    room = _DOT_ROOM if any(curve.dots for curve in curves) else 0.0
    clip = frame.left - room, frame.top, frame.right + room, frame.bottom
    return Group([band for band in bands if band is not None] + lines, clip)


def outside_marks(frame: Frame, curves: Sequence[Curve], axis: Axis, metrics: Metrics) -> List[Shape]:
    """Return a label with the value of the point farthest below the plot, and one for the point farthest above it.

    Only a linear axis that settles has them: on other axes, no main curve lies outside.
    """
    shapes: List[Shape] = []
    for sign, arrow, y in ((1, "▼", frame.bottom - 3), (-1, "▲", frame.top + metrics.height)):
        outside = []
        for curve in curves:
            part = _within(curve.x, frame.x_range)
            beyond = sign * (frame.y_range[0 if sign > 0 else 1] - curve.y[part])
            with np.errstate(invalid="ignore"):
                outside += [(beyond[i], curve.x[part][i], curve.y[part][i]) for i in np.flatnonzero(beyond > 0)]
        if outside and axis.settles and not axis.log:
            _, x, value = max(outside)
            text = f"{arrow} {value:.1f}{axis.unit}"
            at = min(float(frame.x(np.float64(x))) + 4, frame.right - metrics.width(text))
            shapes.append(Text(max(at, frame.left + 4), y, text))
    return shapes


def _line(frame: Frame, curve: Curve, part: slice) -> Line:
    x, (y,) = _near(frame.x_range, curve.x[part], curve.y[part])
    if curve.minor:
        with np.errstate(invalid="ignore"):
            y = np.where(y < frame.y_range[0], np.nan, y)
    return Line(frame.x(x), frame.y(y), curve.stroke, curve.dots)


def _band(frame: Frame, curve: Curve, part: slice, low: np.ndarray, high: np.ndarray) -> Optional[Band]:
    x, ends = _near(frame.x_range, curve.x[part], high[part], low[part])
    top, bottom = (_limited(frame.y(end), frame.top, frame.bottom) for end in ends)
    with np.errstate(invalid="ignore"):
        if not (bottom - top > _MIN_BAND).any():
            return None
    return Band(frame.x(x), top, bottom, Fill(curve.stroke.role, BAND_OPACITY * curve.stroke.opacity))


def _near(x_range: Range, x: np.ndarray, *values: np.ndarray) -> Tuple[np.ndarray, List[np.ndarray]]:
    """Return points, of which those far outside of ``x_range`` are moved towards it along the line to their neighbour.

    At most one point on each side may be outside. Painters have limits.
    """
    far = x_range[1] - x_range[0]
    near = _limited(x, x_range[0] - far, x_range[1] + far)
    if (near == x).all():
        return x, list(values)
    return near, [np.where(near == x, y, np.interp(near, x, y)) for y in values]


def _within(x: np.ndarray, x_range: Range, more: int = 0) -> slice:
    """Return the slice of ascending ``x`` in ``x_range``, with ``more`` points at both ends."""
    begin, end = np.searchsorted(x, x_range[0], "left") - more, np.searchsorted(x, x_range[1], "right") + more
    return slice(max(0, int(begin)), int(end))


def marker_shapes(frame: Frame, markers: Sequence[Marker]) -> List[Shape]:
    """Return the lines of the visible markers; the first ones that are not weak have titles."""
    shown = [marker for marker in markers if frame.x_range[0] <= marker.x <= frame.x_range[1]]
    shapes: List[Shape] = []
    titled = 0
    plain: Dict[Tuple[str, str], List[Marker]] = {}
    for marker in shown:
        if marker.title and marker.emphasis != WEAK and titled < _MAX_TITLES:
            titled += 1
            shapes.append(Group([_marker_lines(frame, [marker])], title=marker.title))
        else:
            plain.setdefault((marker.emphasis, marker.role), []).append(marker)
    # Weak markers are below the others.
    groups = sorted(plain.values(), key=lambda found: (WEAK, PLAIN, SELECTED).index(found[0].emphasis))
    return [_marker_lines(frame, found) for found in groups] + shapes


def _marker_lines(frame: Frame, markers: Sequence[Marker]) -> Shape:
    x = frame.x(np.array([marker.x for marker in markers], np.float64))
    role, emphasis = markers[0].role, markers[0].emphasis
    stroke = {
        PLAIN: Stroke(role, 1.0, DASHED, _MARKER_OPACITY),
        SELECTED: Stroke(role, 2.0),
        WEAK: Stroke("muted", 1.0, DOTTED, _MARKER_OPACITY),
    }[emphasis]
    return segments(x, frame.top, x, frame.bottom, stroke)


def marker_labels(frame: Frame, markers: Sequence[Marker], metrics: Metrics) -> List[Shape]:
    """Return the labels above the markers, as many as there is room for; weak markers come last."""
    taken: List[Range] = []
    shapes: List[Shape] = []
    for marker in sorted(markers, key=lambda found: found.emphasis == WEAK):
        x, half = float(frame.x(np.float64(marker.x))), (metrics.width(marker.label) + _MARKER_LABEL_GAP) / 2
        if all(x + half <= low or high <= x - half for low, high in taken):
            taken.append((x - half, x + half))
            role = "muted" if marker.emphasis == WEAK else marker.role
            shapes.append(Text(x, frame.top - 4, marker.label, role, MIDDLE))
    return shapes
