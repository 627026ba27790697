"""Scenes that compare runs: curves over a common axis; distributions and codes of two states of a tensor."""

import math
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.comparison import (
    EPOCHS,
    LOSS,
    SECONDS,
    STEPS,
    AlignedCurve,
    ComparedRun,
    Comparison,
    aligned_curve,
)
from qatviz.analysis.paired import PairedEffect, difference_curve, effect_of, matched_runs, pairs_of
from qatviz.measures import MEASURES
from qatviz.metric import MODE_NAMES
from qatviz.number_format import count, percent_text, si, signed
from qatviz.presentation import chart, palette
from qatviz.presentation.axes import Area, bars, bottom_axis, left_axis, steps
from qatviz.presentation.axis_range import Range
from qatviz.presentation.chart import Axis, Curve, Frame, plot_axis
from qatviz.presentation.scene import (
    DASHED,
    DOTTED,
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
from qatviz.presentation.scene import (
    Area as AreaShape,
)
from qatviz.presentation.tensor_plots import code_ticks
from qatviz.presentation.ticks import Tick, fitting_ticks, linear_ticks, ticks_upright
from qatviz.protocol.snapshots import TensorHistogram

#: Titles of the axes on which curves are aligned.
AXIS_TITLES = {STEPS: "step", SECONDS: "seconds", EPOCHS: "epoch"}
#: Dashes of the first eight curves, the next eight, and so on.
_DASHES: Tuple[Tuple[float, ...], ...] = ((), DASHED, DOTTED)
#: Opacity of the part of a fork's curve that is its parent's.
_INHERITED = 0.4
#: Roles of the colours of the first and the second state of a tensor, and opacity of the first one's area.
FIRST, SECOND = palette.series_role(0), palette.series_role(1)
_AREA_OPACITY = 0.35
#: Margins of a chart, without its title, px; distance of two ticks of the axis of values, px.
_TOP, _RIGHT, _TICK_PX = 6.0, 10.0, 40.0
#: Room beside the values of a distribution, relative to their range.
_ROOM = 0.02
_HALF_CODE, _FEW_CODES = 0.4, 64


class NamedCurve(NamedTuple):
    """Curve of a run or a group with its name and stroke; before ``own_from``, it is that of the run's parent.

    A curve of differences has their mean as its ``effect``.
    """

    name: str
    stroke: Stroke
    curve: AlignedCurve
    own_from: float = 0.0
    effect: Optional[PairedEffect] = None


def run_stroke(index: int, width: float = 1.5) -> Stroke:
    """Return the stroke of the run with this index: colours repeat after eight runs with other dashes."""
    dash = _DASHES[index // len(palette.DARK.series) % len(_DASHES)]
    return Stroke(palette.series_role(index), width, dash)


def curve_title(comparison: Comparison, key: str) -> str:
    """Return the title of a plot: of the loss, or of the metric in a mode."""
    if key == LOSS:
        return MEASURES["loss"].axis_title
    return f"{comparison.runs[0].summary.scores.heading}, {MODE_NAMES[key]}"


def curve_axis(comparison: Comparison, key: str) -> Axis:
    """Return the axis of values of a plot."""
    measured = MEASURES["loss"].axis if key == LOSS else comparison.runs[0].summary.scores.axis
    return plot_axis(curve_title(comparison, key), measured)


def effect_text(effect: PairedEffect, measure: str, name: str, reference: str) -> str:
    """Return the mean difference of a measure at equal training steps, with its standard error, as a sentence."""
    error = f" ± {si(effect.error)}" if math.isfinite(effect.error) else ""
    text = f"{measure}, {name} minus {reference}: {signed(effect.mean)}{error} over {count(effect.steps, 'equal step')}"
    return f"{text}; lower at {percent_text(effect.lower)} of them"


def curves_of(
    comparison: Comparison, key: str, axis: str, by_group: bool = False, shown: Optional[Sequence[int]] = None
) -> List[NamedCurve]:
    """Return the curves of all runs that have values, or of all groups with the extremes over their seeds.

    Parameters
    ----------
    key : str
        One of :data:`qatviz.analysis.comparison.CURVES`; runs of another metric than the first have no curve of it.
    shown : sequence of int, optional
        Indices of the runs to draw; by default all.
    """
    chosen = range(len(comparison.runs)) if shown is None else shown
    found = []
    groups = comparison.groups if by_group else [(index,) for index in range(len(comparison.runs))]
    for members in groups:
        drawn = [index for index in members if index in chosen]
        runs = [comparison.runs[index] for index in drawn if _has_metric(comparison, comparison.runs[index], key)]
        curve = aligned_curve(runs, key, axis) if runs else None
        if curve is not None:
            name = comparison.group_name(drawn)
            own_from = min(run.place_of_start(axis) for run in runs)
            width = 2.2 if len(drawn) > 1 else 1.5
            found.append(NamedCurve(name, run_stroke(drawn[0], width), curve, own_from))
    return found


def differences_of(
    comparison: Comparison,
    key: str,
    axis: str,
    reference: int,
    by_group: bool = False,
    shown: Optional[Sequence[int]] = None,
) -> List[NamedCurve]:
    """Return the differences to the run ``reference``, or to the runs of its group, at equal training steps.

    The last curve is the reference itself: 0.

    The other parameters are those of :func:`curves_of`. With groups, each run is compared with that of the same seed,
    and the curve is the mean over them.
    """
    chosen = range(len(comparison.runs)) if shown is None else shown
    groups = comparison.groups if by_group else [(index,) for index in range(len(comparison.runs))]
    references = next(members for members in groups if reference in members)
    found = []
    for members in groups:
        drawn = [index for index in members if index in chosen and _has_metric(comparison, comparison.runs[index], key)]
        matched = matched_runs(comparison, drawn, references)
        curve = difference_curve(matched, key, axis)
        if curve is not None:
            effect = effect_of([pairs for both in matched for pairs in (pairs_of(*both, key),) if pairs is not None])
            found.append(NamedCurve(comparison.group_name(drawn), run_stroke(drawn[0]), curve, effect=effect))
    if found:  # the reference itself
        ends = np.array([min(named.curve.x[0] for named in found), max(named.curve.x[-1] for named in found)])
        zero = AlignedCurve(ends, *[np.zeros(2)] * 3)
        found.append(NamedCurve(comparison.group_name(references), run_stroke(references[0]), zero))
    return found


def difference_title(comparison: Comparison, key: str, reference: str, curves: Sequence[NamedCurve]) -> str:
    """Return the title of a plot of differences to ``reference``; of one curve of losses, their mean, too."""
    title, effects = curve_title(comparison, key), [named for named in curves if named.effect is not None]
    effect = effects[0].effect if len(effects) == 1 and key == LOSS else None
    if effect is not None:
        return effect_text(effect, title, effects[0].name, reference)
    return f"{title}: difference to {reference} at equal steps"


def difference_axis(comparison: Comparison, key: str) -> Axis:
    """Return the axis of differences: never logarithmic, without the limits of the values."""
    axis = curve_axis(comparison, key)
    unit = " pp" if key != LOSS and comparison.runs[0].summary.scores.is_fraction else ""
    return Axis(axis.title, axis.factor, unit)


def _has_metric(comparison: Comparison, run: ComparedRun, key: str) -> bool:
    return key == LOSS or run.summary.metric == comparison.runs[0].summary.metric


def drawn_curves(curves: Sequence[NamedCurve], axis: Axis) -> List[Curve]:
    """Return curves for a chart; what a fork has from its parent is fainter."""
    found = []
    for named in curves:
        x, stroke = named.curve.x, named.stroke
        parts = [(slice(None), stroke)]
        if named.own_from > 0:
            at = int(np.searchsorted(x, named.own_from, "right"))
            faint = stroke._replace(opacity=_INHERITED)
            parts = [(slice(max(at - 1, 0), None), stroke), (slice(0, at), faint)]
        for part, drawn in parts:
            mean, low, high = (axis.places(values[part]) for values in named.curve[1:])
            if len(mean):
                is_band = bool((named.curve.high[part] > named.curve.low[part]).any())
                ends = (low, high) if is_band else (None, None)
                found.append(Curve(x[part], mean, ends[0], ends[1], drawn, len(mean) < 40))
    return found


def curve_range(curves: Sequence[NamedCurve], begin: float = 0.0) -> Range:
    """Return the range of a common axis: from ``begin`` to the end of the longest curve."""
    end = max([float(named.curve.x[-1]) for named in curves], default=begin)
    return begin, end if end > begin else begin + 1.0


def chart_frame(
    size: Tuple[float, float],
    curves: Sequence[NamedCurve],
    axis: Axis,
    metrics: Metrics,
    x_range: Optional[Range] = None,
) -> Optional[Frame]:
    """Return the frame of a chart of curves, by default from 0 on; None if there are no values."""
    x_range, drawn = x_range or curve_range(curves), drawn_curves(curves, axis)
    y_range = chart.value_range(drawn, x_range, axis) if drawn else None
    if y_range is None:
        return None
    bottom = size[1] - metrics.height - 4
    left = chart.label_room(chart.y_ticks(y_range, axis.log, bottom - _TOP, metrics), metrics)
    return Frame(left, _TOP, max(size[0] - _RIGHT, left + 1), max(bottom, _TOP + 1), x_range, y_range)


def chart_shapes(
    size: Tuple[float, float],
    curves: Sequence[NamedCurve],
    axis: Axis,
    x_axis: str,
    metrics: Metrics,
    x_range: Optional[Range] = None,
) -> List[Shape]:
    """Return the chart of curves over the axis ``x_axis``, by default from 0 on; no shapes if there are no values."""
    frame = chart_frame(size, curves, axis, metrics, x_range)
    if frame is None:
        return []
    drawn = drawn_curves(curves, axis)
    return [
        *chart.grid(frame, axis.log, metrics, size[1]),
        chart.curve_shapes(frame, drawn),
        *chart.outside_marks(frame, drawn, axis, metrics),
        *chart.x_labels(frame, size[0], metrics, AXIS_TITLES[x_axis]),
        chart.border(frame),
    ]


# Two states of a tensor


def overlaid_histograms(
    size: Tuple[float, float], pair: Sequence[Optional[TensorHistogram]], metrics: Metrics
) -> List[Shape]:
    """Return the float distributions of one or two states on a common axis, each with an area of 1.

    The first is filled, the second outlined; ticks below the axis are the lowest and the highest level of each.
    """
    known = [(found, role) for found, role in zip(pair, (FIRST, SECOND)) if found is not None]
    known = [(found, role) for found, role in known if found.float_counts.sum() > 0]
    if not known:
        return []
    low = min(float(found.edges[0]) for found, _ in known)
    high = max(float(found.edges[-1]) for found, _ in known)
    room = _ROOM * (high - low) or 0.5
    area, x_range = _area(size, metrics, False), (low - room, high + room)
    densities = [_density(found) for found, _ in known]
    top = max(float(density.max()) for _, density in densities)
    per_unit = (area[2] - area[0]) / (x_range[1] - x_range[0])
    shapes: List[Shape] = []
    for (edges, density), (_, role) in zip(densities, known):
        heights = density / top * (area[3] - area[1])
        x, y = steps(area[0] + (edges - x_range[0]) * per_unit, heights, area[3])
        fill = Fill(role, _AREA_OPACITY) if role == FIRST else None
        shapes.append(AreaShape(x, y, fill, Stroke(role)))
    ticks = fitting_ticks(
        lambda at_most: linear_ticks(*x_range, at_most), int((area[2] - area[0]) / _TICK_PX), per_unit, metrics.width
    )
    axis = bottom_axis(area, x_range, ticks, metrics, (0.0, size[0]))
    return [_title(area, "float values", metrics), *axis, Group(shapes, area)]


def _density(found: TensorHistogram) -> Tuple[np.ndarray, np.ndarray]:
    """Return edges and density of a histogram, float64; bins without width have none."""
    edges = found.edges.astype(np.float64)
    width = np.diff(edges)
    counts = found.float_counts.astype(np.float64)
    if not (width > 0).any():  # all values are one
        half = abs(edges[0]) / 50 or 0.01
        return np.array([edges[0] - half, edges[0] + half]), np.array([1.0])
    return edges, np.where(width > 0, counts / np.maximum(width, np.finfo(np.float64).tiny), 0.0) / counts.sum()


def overlaid_codes(
    size: Tuple[float, float], pair: Sequence[Optional[TensorHistogram]], metrics: Metrics
) -> List[Shape]:
    """Return the fractions of values with each integer code of one or two states; no shapes without codes."""
    known = []
    for found, role in zip(pair, (FIRST, SECOND)):
        if found is not None and found.code_counts is not None and found.code_counts.sum() > 0:
            codes = np.arange(found.code_min, found.code_min + len(found.code_counts))
            known.append((codes, found.code_counts / float(found.code_counts.sum()), role))
    if not known:
        return []
    codes = np.arange(min(int(row[0][0]) for row in known), max(int(row[0][-1]) for row in known) + 1)
    x_range = float(codes[0]) - 0.5, float(codes[-1]) + 0.5
    area = _area(size, metrics, True)
    top = max(float(part.max()) for _, part, _ in known)
    per_code = (area[2] - area[0]) / (x_range[1] - x_range[0])
    shapes: List[Shape] = []
    for own, part, role in known:
        heights = part / top * (area[3] - area[1])
        if role == FIRST:
            half = _HALF_CODE if len(codes) <= _FEW_CODES else 0.5
            left, right = (area[0] + (own + side * half - x_range[0]) * per_code for side in (-1, 1))
            shapes.append(bars(left, right, heights, area[3], Fill(role, 0.55)))
        else:
            edges = area[0] + (np.append(own - 0.5, own[-1] + 0.5) - x_range[0]) * per_code
            x, y = steps(edges, heights, area[3])
            shapes.append(Line(x, y, Stroke(role, 1.6)))
    percent = linear_ticks(0.0, 100 * top, ticks_upright(area[3] - area[1], metrics.height))
    y_places = area[3] - np.array([at for at, _ in percent], np.float64) / (100 * top) * (area[3] - area[1])
    ticks: List[Tick] = code_ticks(codes, x_range, area[2] - area[0])
    return [
        _title(area, "integer codes", metrics),
        *left_axis(area, y_places, [(at, f"{text} %") for at, text in percent], metrics),
        *bottom_axis(area, x_range, ticks, metrics, (0.0, size[0]), has_grid=False),
        Group(shapes, area),
    ]


def _area(size: Tuple[float, float], metrics: Metrics, has_left: bool) -> Area:
    left = metrics.width("00.0 %") + 8 if has_left else 8.0
    top, bottom = metrics.height + _TOP, size[1] - metrics.height - 4
    return left, top, max(size[0] - _RIGHT, left + 1), max(bottom, top + 1)


def _title(area: Area, text: str, metrics: Metrics) -> Text:
    return Text(area[0], metrics.ascent + _TOP / 2, text)


def line_swatch(stroke: Stroke, width: float, height: float) -> Shape:
    """Return a sample of the stroke of a curve."""
    return segments(0.0, height / 2, width, height / 2, stroke)


def swatch(index: int, width: float, height: float) -> List[Shape]:
    """Return a sample of a run's stroke."""
    return [line_swatch(run_stroke(index, 2.4), width, height)]


def state_swatch(role: str, width: float, height: float) -> List[Shape]:
    """Return a sample of a state's distribution: an area for the first one, a line for the second."""
    if role == FIRST:
        return [rects(0, 1, width - 1, height - 1, Fill(role, _AREA_OPACITY), Stroke(role))]
    return [segments(0.0, height / 2, width, height / 2, Stroke(role, 1.6))]
