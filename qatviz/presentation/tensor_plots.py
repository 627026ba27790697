"""Scenes of one tensor: integer codes, quantization errors, ranges of channels."""

from typing import List, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.analysis.error_distribution import BINS_PER_STEP, ErrorDistribution
from qatviz.presentation.axes import VISIBLE_PX, Area, CountScale, bars, cut_mark, left_axis, steps
from qatviz.presentation.axis_range import Range
from qatviz.presentation.figure_caption import legend_item
from qatviz.presentation.scene import DASHED, DOTTED, Fill, Group, Line, Metrics, Shape, Stroke, rects, segments
from qatviz.presentation.scene import Area as AreaShape
from qatviz.presentation.ticks import MINUS, Tick, linear_ticks, ticks_upright

#: Half width of a bar of a code or a channel, and the maximum number of bars that don't touch.
_HALF_CODE, _FEW_CODES = 0.4, 64
_HALF_CHANNEL, _FEW_CHANNELS = 0.36, 150
#: Minimum distance of two ticks of codes, px.
_CODE_TICK_PX = 34.0
#: Minimum height of clipped values as a fraction of the plot: few of them can cause most of the error.
_MIN_CLIPPING = 0.02
_CODES, _EDGE_CODES, _UNUSED = Fill("in_range"), Fill("range_edge"), Fill("line", 0.5)
_FROZEN_CODES = Fill("frozen")
_ZERO = Stroke("muted", opacity=0.67)
_ROUNDING, _CLIPPING = Fill("in_range", 0.75), Fill("clipped", 0.86)
_IDEAL, _PENDING = Stroke("range_edge", 1.0, DOTTED), Stroke("ghost", 1.0, DASHED)
_PICKED = Fill("accent", 0.3)
_INSIDE, _OUTSIDE, _RANGE = Fill("in_range"), Fill("clipped"), Stroke("range_edge")

CODES_LEGEND = (
    legend_item(_CODES, "values of a code"),
    legend_item(_EDGE_CODES, "edge codes (lowest and highest)"),
    legend_item(_UNUSED, "unused codes"),
)
FROZEN_LEGEND = (legend_item(_FROZEN_CODES, "frozen weights"),)
ERROR_LEGEND = (
    legend_item(_ROUNDING, "rounding"),
    legend_item(_CLIPPING, "clipping"),
    legend_item(_IDEAL, "ideal rounding"),
)
CHANNELS_LEGEND = (
    legend_item(_INSIDE, "values in range"),
    legend_item(_OUTSIDE, "clipped"),
    legend_item(_RANGE, "ends of the representable range"),
)
PENDING_LEGEND = (legend_item(_PENDING, "pending"),)

#: Lower and upper ends of the grid of each channel, float64 ``[channels]``.
Ends = Tuple[np.ndarray, np.ndarray]


class _Scale(NamedTuple):
    """Conversion of an axis' values to pixels."""

    begin: float
    per_unit: float
    low: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return self.begin + (values - self.low) * self.per_unit


def _scales(area: Area, x_range: Range, y_range: Range = (0.0, 1.0)) -> Tuple[_Scale, _Scale]:
    left, top, right, bottom = area
    x = _Scale(left, (right - left) / (x_range[1] - x_range[0]), x_range[0])
    return x, _Scale(bottom, (top - bottom) / (y_range[1] - y_range[0]), y_range[0])


# Codes


def code_shapes(
    area: Area,
    x_range: Range,
    scale: CountScale,
    codes: np.ndarray,
    counts: np.ndarray,
    is_edge: np.ndarray,
    zero: Optional[int],
    metrics: Metrics,
    frozen: Optional[np.ndarray] = None,
) -> Group:
    """Return a bar for each integer code; edge codes, unused codes and frozen weights have other colours.

    Parameters
    ----------
    codes, counts : np.ndarray
        int64 ``[n]``.
    is_edge : np.ndarray
        bool ``[n]``: mask of the edge codes, which clipped values have.
    zero : int or None
        The zero point if it is the same for all channels.
    frozen : np.ndarray, optional
        int64 ``[n]``: number of frozen weights in ``counts``.
    """
    (x, _), bottom = _scales(area, x_range), area[3]
    half = _HALF_CODE if len(codes) <= _FEW_CODES else 0.5
    left, right = x(codes - half), x(codes + half)
    heights = scale.heights(counts, bottom - area[1])
    used = counts > 0
    shapes: List[Shape] = [
        rects(left[~used], area[1], right[~used], bottom, _UNUSED),
        *([segments(x(np.float64(zero)), area[1], x(np.float64(zero)), bottom, _ZERO)] if zero is not None else []),
    ]
    for chosen, fill in ((used & ~is_edge, _CODES), (used & is_edge, _EDGE_CODES)):
        shapes.append(bars(left[chosen], right[chosen], heights[chosen], bottom, fill))
    if frozen is not None:
        chosen, part = frozen > 0, heights * (frozen / np.maximum(counts, 1))
        tall = np.maximum(part[chosen], VISIBLE_PX)
        shapes.append(bars(left[chosen], right[chosen], tall, bottom, _FROZEN_CODES))
    return Group(shapes + _cut(area, x(codes), counts, scale, metrics), area)


def code_ticks(codes: np.ndarray, x_range: Range, width: float) -> List[Tick]:
    """Return ticks at codes: always at the first and the last, and none that would touch these."""
    low, high = x_range
    step = 1
    while step * width / max(high - low, 1e-9) < _CODE_TICK_PX:
        step *= 2
    first, last = int(codes[0]), int(codes[-1])
    between = range(-(-(first + step) // step) * step, last - step + 1, step)
    marked = [code for code in sorted({first, *between, last}) if low <= code <= high]
    return [(float(code), str(code).replace("-", MINUS)) for code in marked]


def _cut(area: Area, x: np.ndarray, counts: np.ndarray, scale: CountScale, metrics: Metrics) -> List[Shape]:
    """Return the mark of the highest bar if it is higher than the plot."""
    index = int(np.argmax(counts))
    if scale.is_log or counts[index] <= scale.top:
        return []
    return cut_mark(area, float(x[index]), float(counts[index]), metrics)


# Errors


def error_shapes(
    area: Area,
    x_range: Range,
    scale: CountScale,
    found: ErrorDistribution,
    pending: Optional[ErrorDistribution],
    metrics: Metrics,
) -> Group:
    """Return the distribution of errors in quantization steps: rounding, clipping, ideal rounding, pending."""
    (x, _), bottom, room = _scales(area, x_range), area[3], area[3] - area[1]
    edges = x(found.edges)
    clipping = np.maximum(scale.heights(found.clipping, room), _MIN_CLIPPING * room * (found.clipping > 0))
    ideal = bottom - float(scale.heights(np.float64(found.rounding.sum() / BINS_PER_STEP), room))
    shapes: List[Shape] = [
        AreaShape(*steps(edges, scale.heights(found.rounding, room), bottom), _ROUNDING),
        AreaShape(*steps(edges, clipping, bottom), _CLIPPING),
        segments(x(np.float64(-0.5)), ideal, x(np.float64(0.5)), ideal, _IDEAL),
    ]
    if pending is not None:
        heights = scale.heights(pending.rounding + pending.clipping, room)
        shapes.append(Line(*steps(x(pending.edges), heights, bottom), _PENDING))
    middles = x((found.edges[:-1] + found.edges[1:]) / 2)
    return Group(shapes + _cut(area, middles, found.rounding, scale, metrics), area)


# Channels


def channel_shapes(
    area: Area,
    x_range: Range,
    y_range: Range,
    low: np.ndarray,
    high: np.ndarray,
    ends: Optional[Ends],
    pending: Optional[Ends],
    picked: Optional[int] = None,
) -> Group:
    """Return a bar from the smallest to the largest value of each channel, and the range of its grid.

    Values beyond the range have another colour. ``ends`` is None in float, ``pending`` without pending settings;
    ``picked`` is the channel that is shown alone elsewhere, which has another background.
    """
    x, y = _scales(area, x_range, y_range)
    at = np.arange(len(low), dtype=np.float64)
    half = _HALF_CHANNEL if len(low) <= _FEW_CHANNELS else 0.5
    left, right = x(at - half), x(at + half)
    bottom, top = (low, high) if ends is None else (np.maximum(low, ends[0]), np.minimum(high, ends[1]))
    shapes: List[Shape] = []
    if picked is not None:
        edges = x(np.array([picked - 0.5, picked + 0.5]))
        shapes.append(rects(edges[:1], area[1], edges[1:], area[3], _PICKED))
    shapes.append(_box(left, right, y(np.minimum(bottom, top)), y(top), _INSIDE))
    if ends is not None:
        for beyond, begin, end in (
            (low < ends[0], low, np.minimum(ends[0], high)),
            (high > ends[1], np.maximum(ends[1], low), high),
        ):
            shapes.append(_box(left[beyond], right[beyond], y(begin[beyond]), y(end[beyond]), _OUTSIDE))
    corners = x(np.repeat(np.arange(len(low) + 1) - 0.5, 2)[1:-1])
    for known, stroke in ((ends, _RANGE), (pending, _PENDING)):
        shapes += [Line(corners, y(np.repeat(end, 2)), stroke) for end in known or ()]
    return Group(shapes, area)


def _box(left: np.ndarray, right: np.ndarray, bottom: np.ndarray, top: np.ndarray, fill: Fill) -> Shape:
    return rects(left, np.minimum(top, bottom - VISIBLE_PX * (bottom > top)), right, bottom, fill)


def value_axis(area: Area, y_range: Range, metrics: Metrics) -> List[Shape]:
    """Return an axis of values at the left of a plot."""
    _, y = _scales(area, (0.0, 1.0), y_range)
    ticks = linear_ticks(*y_range, ticks_upright(area[3] - area[1], metrics.height))
    return left_axis(area, y(np.array([at for at, _ in ticks], np.float64)), ticks, metrics)
