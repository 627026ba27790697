"""Scenes of distributions: float values, values clipped or rounded to zero, levels, representable range."""

import sys
from typing import Iterable, List, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.analysis.distribution import Distribution
from qatviz.measures import MEASURES
from qatviz.number_format import percent_text
from qatviz.presentation import axes
from qatviz.presentation.axes import CountScale, visible
from qatviz.presentation.axis_range import Range
from qatviz.presentation.figure_caption import SAMPLE_HEIGHT, SAMPLE_WIDTH
from qatviz.presentation.scene import (
    DASHED,
    Area,
    Fill,
    Group,
    Metrics,
    Shape,
    Stroke,
    rects,
    segments,
)
from qatviz.presentation.ticks import Tick, fitting_ticks, linear_ticks, octave_ticks

#: Minimum distance of levels drawn as spikes, px; denser levels are drawn as an outline.
SPIKE_SPACING_PX = 3.5
#: Minimum height of a level with at least one value, px.
_LEVEL_PX = 3.0
#: Minimum ratio of the bin of 0 to the next highest bin at which it is cut off, on a linear scale.
_ZERO_RATIO = 1.5
#: Minimum width and height of a plot that is drawn; minimum width for the count of a cut bin, and of a cut level, px.
SMALLEST_PX, _COUNT_PX, _LEVEL_COUNT_PX = 8.0, 220.0, 120.0
#: Fraction of the plot's width that the bars of few levels may fill together.
_FEW_LEVELS = 1 / 6
#: Maximum number of pixels per unit of the x axis, to avoid overflow.
_MAX_PER_UNIT_PX = 1e100
#: Coordinates are clipped to this distance from the plot, px, because painters have limits.
_OUTSIDE = 1e4

_FLOAT, _FLOAT_OUTLINE = Fill("float_values", 0.38), Stroke("float_values", opacity=0.67)
_CLIPPED, _ZERO = Fill("clipped", 0.92), Fill("flushed", 0.7)
_BEYOND = Fill("clipped", 0.08)
_FROZEN = Fill("frozen")
_LEVEL, _UNUSED, _BAND = Fill("in_range"), Fill("in_range", 0.6), Fill("in_range", 0.5)
_OUTLINE, _OUTLINE_FILL = Stroke("in_range"), Fill("in_range", 0.18)
_RANGE = Stroke("range_edge")
_PENDING_RANGE, _PENDING_LEVEL = Stroke("ghost", 1.0, DASHED), Fill("ghost")

#: Keys of :data:`LEGEND`.
FLOAT, QUANTIZED, CLIPPED, ZERO, RANGE, PENDING = "float", "quantized", "clipped", "zero", "range", "pending"
FROZEN = "frozen"
#: Keys of entries that are shown only if the histograms have frozen weights or pending settings.
OPTIONAL = (FROZEN, PENDING)


class HistogramView(NamedTuple):
    """Axes: range of x, count at the top of y, and whether counts are logarithmic."""

    low: float
    high: float
    top: float
    is_log: bool = False


class PendingGrid(NamedTuple):
    """Grid of pending settings: its representable range and its scale."""

    low: float
    high: float
    scale: float


class LegendEntry(NamedTuple):
    """Entry of the legend: ``key`` for :func:`sample`, name, and explanation."""

    key: str
    label: str
    about: str


_OF_MEASURES = ((CLIPPED, "clipped"), (ZERO, "flushed"))
LEGEND = (
    LegendEntry(
        FLOAT,
        "float",
        "Distribution of the float values. QAT trains weights in float and computes with rounded copies, so trained "
        "weights still look like floats.",
    ),
    LegendEntry(
        QUANTIZED,
        "quantized",
        "Values that the network computes with, rounded to the levels of the grid. A spike for each level, with a "
        "height by the number of its values; a band if the level differs by channel, an outline if there are too many.",
    ),
    *(LegendEntry(key, MEASURES[measure].name, MEASURES[measure].help) for key, measure in _OF_MEASURES),
    LegendEntry(
        FROZEN,
        "frozen",
        "Part of a level's values that are weights frozen to this code, because they oscillated.",
    ),
    LegendEntry(
        RANGE,
        "range",
        "Representable range: from the lowest to the highest level of the grid (per channel: the widest). On the log₂ "
        "axis it begins at half a quantization step.",
    ),
    LegendEntry(
        PENDING,
        "pending",
        "Grid under the pending settings: its representable range, and its levels as small ticks.",
    ),
)


def legend_entries(present: Iterable[str] = ()) -> List[LegendEntry]:
    """Return the entries of the legend, those of :data:`OPTIONAL` only if their keys are in ``present``."""
    known = set(present)
    return [entry for entry in LEGEND if entry.key not in OPTIONAL or entry.key in known]


#: Width and height of a sample in a legend, px.
SAMPLE_SIZE = (SAMPLE_WIDTH, SAMPLE_HEIGHT)


def frozen_text(shown: Distribution, level: int) -> str:
    """Return a text such as ", 12 % of them frozen" for a level; empty if it has no frozen weights."""
    if shown.level_frozen is None or not shown.level_frozen[level] > 0:
        return ""
    return f", {percent_text(float(shown.level_frozen[level]))} of them frozen"


def sample(key: str) -> List[Shape]:
    """Return the sample of a legend's entry, as large as :data:`SAMPLE_SIZE`."""
    width, height = SAMPLE_SIZE
    if key == QUANTIZED:
        return [rects([1, 6, 11], [height - tall for tall in (5, 11, 7)], [4, 9, 14], height, _LEVEL)]
    if key in (RANGE, PENDING):
        return [_brackets((0.0, 0.0, width - 1, height), 0.0, width, _RANGE if key == RANGE else _PENDING_RANGE, 4.0)]
    return [rects(0, 1, width - 1, height - 1, {FLOAT: _FLOAT, CLIPPED: _CLIPPED, ZERO: _ZERO, FROZEN: _FROZEN}[key])]


def top_count(shown: Distribution, is_log: bool) -> float:
    """Return the count that the y axis must reach."""
    counts, at_zero = shown.counts, shown.zero_bin
    if at_zero < 0:
        top = zero = float(counts.max())
    else:
        others = (counts[:at_zero], counts[at_zero + 1 :])
        top, zero = max((float(part.max()) for part in others if part.size), default=0.0), float(counts[at_zero])
    if is_log:
        heights = shown.level_heights if shown.level_heights is not None else shown.quantized
        return max(top, zero, float(heights.max()), 1.0)
    return max(top if top > 0 and zero > _ZERO_RATIO * top else max(top, zero), 1.0)


class HistogramScene:
    """Shapes of one distribution.

    The axis is separate from the content, which changes with every snapshot, because text is slow to draw.

    Parameters
    ----------
    area : (left, top, right, bottom)
        Edges of the plot, px.
    shown : Distribution
    view : HistogramView
    pending : PendingGrid, optional
    """

    def __init__(
        self,
        area: Tuple[float, float, float, float],
        shown: Distribution,
        view: HistogramView,
        pending: Optional[PendingGrid] = None,
    ):
        self._area, self._shown, self._view, self._pending = area, shown, view, pending
        self._scale = CountScale(view.top, view.is_log)
        self.left, self.top, self.right, self.bottom = map(float, area)
        # A range of width 0 must not divide by zero.
        width = max(view.high - view.low, sys.float_info.min)
        self.per_unit = min(max(self.right - self.left, 1.0) / width, _MAX_PER_UNIT_PX)
        self._offset = self.left - view.low * self.per_unit
        # Values beyond these are clipped to them.
        self._least, self._most = view.low - _OUTSIDE / self.per_unit, view.high + _OUTSIDE / self.per_unit

    @property
    def is_drawn(self) -> bool:
        """True if there is room for a plot."""
        return min(self.right - self.left, self.bottom - self.top) >= SMALLEST_PX

    def axis(self, metrics: Metrics, edges: Range) -> List[Shape]:
        """Return the axis of values below the plot; labels stay within the left and right ``edges`` of the picture."""
        ends = self._view.low, self._view.low + (self.right - self.left) / self.per_unit
        return axes.bottom_axis(self._area, ends, self._ticks(metrics), metrics, edges)

    def count_axis(self, metrics: Metrics) -> List[Shape]:
        """Return the axis of counts at the left of the plot."""
        return self._scale.axis(self._area, metrics)

    def content(self, metrics: Metrics) -> Group:
        """Return the distribution with its representable range and the pending grid."""
        parts = self._beyond() + self._floats() + self._range() + self._quantized() + self._cut(metrics)
        return Group(parts + self._pending_shapes(), self._area)

    # Places

    def _x(self, values: np.ndarray) -> np.ndarray:
        return np.minimum(np.maximum(values, self._least), self._most) * self.per_unit + self._offset

    def _height(self, counts: np.ndarray) -> np.ndarray:
        """Return pixels above the baseline."""
        return self._scale.heights(counts, self.bottom - self.top)

    def _ends(self, low: float, high: float) -> Tuple[float, float]:
        """Return the ends of a range in px, clipped to what painters can draw."""
        low, high = (min(max(end, self._least), self._most) * self.per_unit + self._offset for end in (low, high))
        return low, high

    # Shapes

    def _floats(self) -> List[Shape]:
        """Return the float values, and over them the values rounded to zero or clipped."""
        shown = self._shown
        heights, x = self._height(shown.counts), self._x(shown.edges)
        per_count = heights / np.maximum(shown.counts, 1.0)
        lost = shown.clipped + shown.flushed
        shapes: List[Shape] = [self._steps(x, heights, _FLOAT)]
        if lost.any():
            shapes.append(self._steps(x, visible(lost * per_count, lost), _ZERO))
        if shown.clipped.any():
            shapes.append(self._steps(x, visible(shown.clipped * per_count, shown.clipped), _CLIPPED))
        if shown.representable is None:
            shapes.append(self._steps(x, heights, None, _FLOAT_OUTLINE))
        return shapes

    def _steps(self, x: np.ndarray, heights: np.ndarray, fill: Optional[Fill], stroke: Optional[Stroke] = None) -> Area:
        return Area(*axes.steps(x, heights, self.bottom), fill, stroke)

    def _quantized(self) -> List[Shape]:
        shown = self._shown
        if shown.representable is None:
            return []
        if shown.levels is None or shown.level_edges is None or shown.level_heights is None:
            x = self._x(shown.edges)
            outline: List[Shape] = [self._steps(x, self._height(shown.quantized), _OUTLINE_FILL, _OUTLINE)]
            if shown.frozen is not None:
                outline.append(self._steps(x, visible(self._height(shown.frozen), shown.frozen), _FROZEN))
            return outline
        low, high = self._x(shown.level_edges[:, 0]), self._x(shown.level_edges[:, 1])
        is_wide = high - low >= SPIKE_SPACING_PX
        heights = self._level_pixels(shown.level_heights)
        shapes: List[Shape] = []
        if not is_wide.all():
            dense = ~is_wide
            x = np.append(low[dense], high[dense][-1])
            shapes.append(self._steps(x, heights[dense], _OUTLINE_FILL, _OUTLINE))
            if shown.level_frozen is not None:
                part = shown.level_frozen[dense]
                shapes.append(self._steps(x, visible(heights[dense] * part, part), _FROZEN))
        if is_wide.any():
            bands = shown.level_bands if shown.level_bands is not None else np.stack([shown.levels] * 2, axis=1)
            frozen = None if shown.level_frozen is None else shown.level_frozen[is_wide]
            shapes += self._spikes(bands[is_wide], (high - low)[is_wide], heights[is_wide], frozen)
        return shapes

    def _level_pixels(self, level_heights: np.ndarray) -> np.ndarray:
        """Return the heights of the bars of levels, at most that of the plot."""
        return np.minimum(self._height(level_heights * self._raised(level_heights)), self.bottom - self.top)

    def _raised(self, level_heights: np.ndarray) -> float:
        """Return the factor that makes the highest level as high as the float values; an outlier may exceed the plot.

        A level's height is a density: without the factor, the few levels of 2 bits, with wide quantization steps, would
        be low.
        """
        highest = float(level_heights.max()) if self._view.is_log else axes.top_without_outlier(level_heights)
        return max(1.0, top_count(self._shown, False) / highest) if highest > 0 else 1.0

    def _spikes(
        self, bands: np.ndarray, spacing: np.ndarray, heights: np.ndarray, frozen: Optional[np.ndarray]
    ) -> List[Shape]:
        """Return bars at the levels, wider where levels differ by channel, and marks on the baseline for unused ones.

        ``frozen``, the fraction of frozen weights on each level, is drawn at the foot of its bar.
        """
        room = self.right - self.left
        widest = max(3.0 + room // 100, room * _FEW_LEVELS // len(bands))
        width = np.minimum(np.maximum(np.floor(spacing * 0.35), 1.0), widest)
        left = self._x(bands[:, 0]) - np.floor(width / 2)
        right = left + width + np.floor(self._x(bands[:, 1]) - self._x(bands[:, 0]))
        used, is_band = heights > 0, bands[:, 1] > bands[:, 0]
        tall = np.maximum(heights, _LEVEL_PX)
        parts = [
            (_UNUSED, ~used, np.full(len(bands), axes.VISIBLE_PX)),
            (_LEVEL, used & ~is_band, tall),
            (_BAND, used & is_band, tall),
        ]
        if frozen is not None:
            parts.append((_FROZEN, used & (frozen > 0), np.maximum(tall * frozen, axes.VISIBLE_PX)))
        return [
            axes.bars(left[chosen], right[chosen], height[chosen], self.bottom, fill)
            for fill, chosen, height in parts
            if chosen.any()
        ]

    def _cut(self, metrics: Metrics) -> List[Shape]:
        """Return the marks of the bin of 0 and of the level that are higher than the plot, with their counts."""
        shown, at_zero = self._shown, self._shown.zero_bin
        shapes: List[Shape] = []
        width = self.right - self.left
        if self._view.is_log:
            return shapes
        if at_zero >= 0 and shown.counts[at_zero] > self._view.top:
            x = float(self._x(shown.edges[at_zero : at_zero + 2]).mean())
            shapes += axes.cut_mark(
                self._area, x, float(shown.counts[at_zero]), metrics if width >= _COUNT_PX else None
            )
        level = self._cut_level()
        if level >= 0 and shown.levels is not None and shown.level_counts is not None:
            x = float(self._x(shown.levels[level : level + 1])[0])
            line = 1 if shapes else 0
            room = metrics if width >= _LEVEL_COUNT_PX else None
            shapes += axes.cut_mark(self._area, x, float(shown.level_counts[level]), room, _LEVEL.role, line)
        return shapes

    def _cut_level(self) -> int:
        """Return the index of the level whose bar is higher than the plot, or -1."""
        heights, shown = self._shown.level_heights, self._shown
        if heights is None or shown.level_edges is None or not len(heights):
            return -1
        is_wide = np.diff(self._x(shown.level_edges), axis=1)[:, 0] >= SPIKE_SPACING_PX
        index = int(np.argmax(heights))
        return index if is_wide[index] and heights[index] * self._raised(heights) > self._view.top * 1.001 else -1

    def _beyond(self) -> List[Shape]:
        """Return the shading beyond the representable range."""
        shown = self._shown
        if shown.representable is None:
            return []
        low, high = self._ends(*shown.representable)
        spans = [(self.left, min(low, self.right))] if not shown.is_log2 else []
        spans.append((max(high, self.left), self.right))
        return [rects(begin, self.top, end, self.bottom, _BEYOND) for begin, end in spans if end > begin]

    def _range(self) -> List[Shape]:
        representable = self._shown.representable
        return [self._brackets(representable, _RANGE, 0.0)] if representable is not None else []

    def _brackets(self, ends: Range, stroke: Stroke, offset: float) -> Shape:
        area = (self.left, self.top + offset, self.right, self.bottom)
        low, high = self._ends(*ends)
        is_known = np.isfinite(ends)
        return _brackets(area, low, high, stroke, 5.0, bool(is_known[0]), bool(is_known[1]))

    def _pending_shapes(self) -> List[Shape]:
        pending, view = self._pending, self._view
        if pending is None or not pending.scale > 0:
            return []
        if self._shown.is_log2:
            ends = np.log2([pending.scale / 2, max(abs(pending.low), abs(pending.high))])
            return [self._brackets((float(ends[0]), float(ends[1])), _PENDING_RANGE, 3.0)]
        shapes = [self._brackets((pending.low, pending.high), _PENDING_RANGE, 3.0)]
        if pending.scale * self.per_unit >= SPIKE_SPACING_PX:
            first = np.ceil((max(pending.low, view.low) - pending.low) / pending.scale - 1e-6)
            last = np.floor((min(pending.high, view.high) - pending.low) / pending.scale + 1e-6)
            x = self._x(pending.low + np.arange(first, last + 1) * pending.scale)
            shapes.append(rects(x - 1, self.bottom - 6, x + 1, self.bottom, _PENDING_LEVEL))
        return shapes

    def _ticks(self, metrics: Metrics) -> List[Tick]:
        """Return the ticks of the axis of values, as many as there is room for."""
        view, edges = self._view, self._shown.edges

        def make(at_most: int) -> List[Tick]:
            if self._shown.is_log2:
                return octave_ticks(float(edges[0]), view.high, at_most, float(edges[1]))
            return linear_ticks(view.low, view.high, at_most)

        return fitting_ticks(make, int((self.right - self.left) / axes.TICK_PX), self.per_unit, metrics.width)


def _brackets(
    area: Tuple[float, float, float, float],
    low: float,
    high: float,
    stroke: Stroke,
    foot: float,
    has_low: bool = True,
    has_high: bool = True,
) -> Shape:
    """Return a bracket at each end of a range, or an arrow if the end is outside the area."""
    left, top, right, bottom = area
    lines: List[Tuple[float, float, float, float]] = []
    for x, inward, is_known in ((low, 1, has_low), (high, -1, has_high)):
        if left - 1 <= x <= right + 1:
            x = min(max(x, left), right - 1)
            lines += [(x, top, x, bottom), (x, top, x + inward * foot, top)]
        elif is_known:
            tip = left + 1 if inward > 0 else right - 2
            lines += [(tip, top + 4, tip + inward * 4, top + 4 + slant) for slant in (-3, 3)]
    x0, y0, x1, y1 = np.array(lines, np.float64).reshape(-1, 4).T
    return segments(x0, y0, x1, y1, stroke)
