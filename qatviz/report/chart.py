"""A chart of curves over steps as SVG: few readable ticks, gaps where nothing was measured, markers of changes."""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.number_format import si
from qatviz.presentation.series import Points
from qatviz.presentation.ticks import Tick, linear_ticks, log_ticks
from qatviz.report.markup import Markup, element, escaped, join, number
from qatviz.report.words import MINUS

#: Width of a character of the small font, px, for what has to be placed without measuring text: a wide guess.
CHARACTER_PX = 6.2
#: Around the plot, px: room for the labels of ticks, and for the numbers of markers.
BOTTOM, TOP, RIGHT, _TICK_PX = 17.0, 14.0, 10.0, 4.0
#: Ticks are at least this far apart, px.
_X_SPACING, _Y_SPACING = 62, 24
#: Numbers of markers are at least this far apart, px.
_NUMBER_GAP = 6.0
#: How far below the other curves the axis goes for minor ones, in powers of ten.
_MINOR_DECADES = 3.0
#: So many markers tell what they stand for when they are pointed at; a run may have thousands, in every chart.
_MOST_TOLD = 60


class Curve(NamedTuple):
    """One curve. ``style`` is a class of the style sheet; ``is_minor``: the axis need not reach all of it."""

    name: str
    points: Points
    style: str
    is_minor: bool = False


class Marker(NamedTuple):
    """A line at a step; ``is_strong``: what is drawn is concerned. ``text`` is told when it is pointed at."""

    step: int
    label: str
    text: str
    is_strong: bool = True


class Axis(NamedTuple):
    """How values are shown.

    Attributes
    ----------
    title : str
    factor : float
        From the history's unit to the shown one.
    unit : str
        Follows a value.
    log : bool
    limits : (float, float)
        The axis never reaches beyond.
    least : float
        Smallest height of the axis in the shown unit: noise shall not look like news.
    """

    title: str
    factor: float = 1.0
    unit: str = ""
    log: bool = False
    limits: Tuple[float, float] = (-np.inf, np.inf)
    least: float = 0.0


def chart(
    axis: Axis,
    curves: Sequence[Curve],
    span: Tuple[float, float],
    size: Tuple[float, float],
    of: str = "",
    markers: Sequence[Marker] = (),
) -> Optional[Markup]:
    """The chart; None where no curve has a value.

    Parameters
    ----------
    span : (float, float)
        First and last step of the axis.
    size : (float, float)
        Pixels, with all labels.
    of : str
        What is measured, for who can't see it.
    """
    shown = [(curve, _shown(curve.points, axis)) for curve in curves]
    found = _range(shown, axis)
    if found is None:
        return None
    low, high = found
    shown = [(curve, _above(points, low) if curve.is_minor else points) for curve, points in shown]
    at_most = max(2, int((size[1] - TOP - BOTTOM) / _Y_SPACING))
    ticks = log_ticks(low, high, at_most) if axis.log else linear_ticks(low, high, at_most, MINUS)
    plot = Plot(span, found, size, 10 + CHARACTER_PX * max((len(text) for _, text in ticks), default=1))
    title = f"{axis.title} of {of}" if of else axis.title
    words = " ".join(_words(curve, axis) for curve in curves)
    return element(
        "svg",
        element("title", title),
        element("desc", words),
        plot.grid(ticks),
        plot.step_axis(),
        plot.markers(markers),
        plot.numbers(markers),
        [plot.band(points, curve.style) for curve, points in shown],
        [plot.line(points, curve.style) for curve, points in shown],
        viewBox=f"0 0 {number(size[0])} {number(size[1])}",
        width=float(size[0]),
        height=float(size[1]),
        role="img",
        aria_label=f"{title}. {words}",
        class_="chart",
    )


class Plot:
    """From steps and values to pixels.

    Parameters
    ----------
    span, values : (float, float)
        First and last step; lower and upper end of the axis of values.
    size : (float, float)
        Pixels, with all labels.
    left : float
        Pixels for labels at the left.
    """

    def __init__(self, span: Tuple[float, float], values: Tuple[float, float], size: Tuple[float, float], left: float):
        self.left, self.top, self.right, self.bottom = left, TOP, size[0] - RIGHT, size[1] - BOTTOM
        self._span, self._values = (span[0], max(span[1], span[0] + 1)), values

    def x(self, steps: np.ndarray) -> np.ndarray:
        """Pixels from the left."""
        return self.left + (steps - self._span[0]) * ((self.right - self.left) / (self._span[1] - self._span[0]))

    def y(self, values: np.ndarray) -> np.ndarray:
        """Pixels from the top, within the plot."""
        low, high = self._values
        return self.bottom - (np.clip(values, low, high) - low) * ((self.bottom - self.top) / (high - low))

    def grid(self, ticks: Sequence[Tick]) -> Markup:
        """Lines at the ticks of values, with their labels."""
        parts: List[Markup] = []
        for value, text in ticks:
            y = float(self.y(np.float64(value)))
            parts += [_line(self.left, y, self.right, y, "grid"), text_at(self.left - _TICK_PX, y + 3.5, text, "end")]
        return join(parts)

    def step_axis(self) -> Markup:
        """The line at the bottom with whole steps."""
        parts: List[Markup] = []
        room = self.right - self.left
        for step, text in linear_ticks(*self._span, at_most=max(2, int(room / _X_SPACING)), minus=MINUS):
            if step != int(step):
                continue
            x = float(self.x(np.float64(step)))
            half = CHARACTER_PX * len(text) / 2
            anchor, at = ("end", self.right + RIGHT) if x + half > self.right + RIGHT else ("middle", x)
            parts += [_line(x, self.bottom, x, self.bottom + 3, "axis"), text_at(at, self.bottom + 13, text, anchor)]
        return join(parts, _line(self.left, self.bottom, self.right, self.bottom, "axis"))

    def markers(self, markers: Sequence[Marker]) -> Markup:
        """Lines from top to bottom; the strong ones tell what they stand for, if they are not too many."""
        strong = [marker for marker in markers if marker.is_strong]
        told = [
            element("g", element("title", marker.text), self._lines([marker], "marker"))
            for marker in strong[:_MOST_TOLD]
        ]
        return join(
            self._lines([m for m in markers if not m.is_strong], "marker weak"),
            told,
            self._lines(strong[_MOST_TOLD:], "marker"),
        )

    def _lines(self, markers: Sequence[Marker], style: str) -> Optional[Markup]:
        path = [
            "M{} {}V{}".format(*map(number, (x, self.top, self.bottom)))
            for x in self.x(np.array([marker.step for marker in markers], np.float64))
        ]
        return element("path", d="".join(path), class_=style) if path else None

    def numbers(self, markers: Sequence[Marker]) -> Markup:
        """Above the markers, as many as have room: those that concern what is drawn first."""
        taken, parts = [], []
        for marker in sorted(markers, key=lambda m: not m.is_strong):
            x, half = float(self.x(np.float64(marker.step))), (CHARACTER_PX * len(marker.label) + _NUMBER_GAP) / 2
            if all(x + half <= low or high <= x - half for low, high in taken):
                taken.append((x - half, x + half))
                style = "number" if marker.is_strong else "number weak"
                parts.append(text_at(x, self.top - 4, marker.label, "middle", style))
        return join(parts)

    def line(self, points: Points, style: str) -> Markup:
        """Through the means; a point between two gaps is a dot."""
        lines, dots = [], []
        x, y = self.x(points.step), self.y(points.mean)
        for run in _runs(np.isfinite(points.mean)):
            if run.stop - run.start == 1:
                dots.append(f"M{number(x[run.start])} {number(y[run.start])}h.1")
            else:
                lines.append("M" + "L".join(f"{number(a)} {number(b)}" for a, b in zip(x[run], y[run])))
        return join(
            [
                element("path", d="".join(parts), class_=kind + style)
                for parts, kind in ((lines, "line "), (dots, "line dot "))
                if parts
            ]
        )

    def band(self, points: Points, style: str) -> Optional[Markup]:
        """From the least to the largest of the steps that a point stands for."""
        parts = []
        x, low, high = self.x(points.step), self.y(points.low), self.y(points.high)
        is_there = np.isfinite(points.low) & np.isfinite(points.high)
        if not (low - high)[is_there].max(initial=0.0) > 0.5:
            return None
        for run in _runs(is_there):
            there = [f"{number(a)} {number(b)}" for a, b in zip(x[run], high[run])]
            back = [f"{number(a)} {number(b)}" for a, b in zip(x[run], low[run])][::-1]
            parts.append("M" + "L".join(there + back) + "Z")
        return element("path", d="".join(parts), class_="band " + style) if parts else None


def _shown(points: Points, axis: Axis) -> Points:
    """In the unit of the axis; on one of powers of ten exponents, without what has none."""
    low, high, mean = (part * axis.factor for part in (points.low, points.high, points.mean))
    if axis.log:
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high, mean = (np.where(part > 0, np.log10(part), np.nan) for part in (low, high, mean))
    low, high, mean = (np.where(np.isfinite(part), part, np.nan) for part in (low, high, mean))
    return points._replace(low=low, high=high, mean=mean)


def _range(shown: Sequence[Tuple[Curve, Points]], axis: Axis) -> Optional[Tuple[float, float]]:
    """Where the axis begins and ends, with some room; None where there is no value."""
    values = _values([points for curve, points in shown if not curve.is_minor])
    if not len(values):
        return None
    low, high = float(values.min()), float(values.max())
    minor = _values([points for curve, points in shown if curve.is_minor])
    if len(minor):
        low = min(low, max(float(minor.min()), low - _MINOR_DECADES)) if axis.log else min(low, float(minor.min()))
        high = max(high, float(minor.max()))
    least = max(axis.least, 0.3 if axis.log else 1e-9 + 1e-3 * max(abs(low), abs(high)))
    if high - low < least:
        low, high = (low + high - least) / 2, (low + high + least) / 2
    room = 0.06 * (high - low)
    return max(low - room, axis.limits[0]), min(high + room, axis.limits[1])


def _values(shown: Sequence[Points]) -> np.ndarray:
    """All that are numbers."""
    parts = [part for points in shown for part in (points.low, points.high, points.mean)]
    together = np.concatenate(parts) if parts else np.zeros(0)
    return together[np.isfinite(together)]


def _above(points: Points, low: float) -> Points:
    """Without what lies below the axis: at its edge it would look like a value."""
    with np.errstate(invalid="ignore"):  # a gap is not below
        is_below = points.mean < low
    mean, least, largest = (np.where(is_below, np.nan, part) for part in (points.mean, points.low, points.high))
    return points._replace(mean=mean, low=least, high=largest)


def _runs(is_there: np.ndarray) -> List[slice]:
    """Where values follow one another without a gap."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_there.astype(np.int8), [0]])))
    return [slice(begin, end) for begin, end in zip(edges[::2], edges[1::2])]


def _words(curve: Curve, axis: Axis) -> str:
    """From where to where a curve goes, in a sentence."""
    there = np.flatnonzero(np.isfinite(curve.points.mean))
    name = curve.name or axis.title
    if not len(there):
        return f"{name}: no values."
    first, last = there[0], there[-1]
    told = [
        f"{si(float(value) * axis.factor)}{axis.unit}"
        for value in (
            curve.points.mean[first],
            curve.points.mean[last],
            np.nanmin(curve.points.low[there]),
            np.nanmax(curve.points.high[there]),
        )
    ]
    return (
        f"{name}: {told[0]} at step {curve.points.step[first]:,.0f}, {told[1]} at step "
        f"{curve.points.step[last]:,.0f}; from {told[2]} to {told[3]}."
    )


def _line(x0: float, y0: float, x1: float, y1: float, style: str) -> Markup:
    return element("path", d="M{} {}L{} {}".format(*map(number, (x0, y0, x1, y1))), class_=style)


def text_at(x: float, y: float, text: str, anchor: str, style: Optional[str] = None) -> Markup:
    """A word in a picture; ``anchor`` is SVG's: start, middle or end."""
    return element("text", escaped(text), x=float(x), y=float(y), text_anchor=anchor, class_=style)
