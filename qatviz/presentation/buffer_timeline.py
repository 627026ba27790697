"""Scene of an arena over time: buffers as rectangles of operations by addresses, and below the cycles of each."""

import math
from typing import List, NamedTuple, Optional, Sequence

import numpy as np

from qatviz.analysis.chip.arena import Place
from qatviz.analysis.chip.estimate import ChipEstimate
from qatviz.number_format import bytes_text, duration_text, percent_text, si
from qatviz.presentation.palette import series_role
from qatviz.presentation.scene import END, MIDDLE, Fill, Metrics, Rects, Segments, Shape, Stroke, Text, rects
from qatviz.presentation.ticks import linear_ticks

#: Part of the height for the cycles; space between texts and plots, and at the edges, px.
_LOWER, _GAP, _EDGE = 0.26, 4.0, 8.0
#: Width of an operation from which on its layer's name is shown below it, px.
_NAMED_WIDTH = 34.0
_KILO = 1e-3
_FRAME, _GRID = Stroke("line"), Stroke("line", opacity=0.45)
_BUFFER_OPACITY, _PEAK_OPACITY = 0.6, 0.16
_LEAST_HEIGHT = 90.0


class OperationCost(NamedTuple):
    """Operation of the picture: its layer, TFLite's name, and its cycles (NaN: unknown)."""

    layer: str
    kind: str
    cycles: float


def operation_costs(found: ChipEstimate) -> List[OperationCost]:
    """Return the operations in the order in which they run."""
    known = not math.isnan(found.cycles)
    costs = found.target.costs
    return [
        OperationCost(operation.layer, operation.kind, float(np.dot(operation.work, costs)) if known else math.nan)
        for operation in found.graph.operations
    ]


class BufferTimeline:
    """Positions of the picture.

    Parameters
    ----------
    found : ChipEstimate
    width, height : float
        Size, px.
    metrics : Metrics
        Sizes of the texts.
    """

    def __init__(self, found: ChipEstimate, width: float, height: float, metrics: Metrics):
        self._found, self._metrics = found, metrics
        self._costs = operation_costs(found)
        self._width, self._height = width, max(height, _LEAST_HEIGHT)
        line = metrics.height + _GAP
        self._ticks = linear_ticks(0.0, _KILO * max(found.arena.head, 1), 5)
        self.left = max([metrics.width(text) for _, text in self._ticks] + [metrics.width("100 %")]) + 2 * _GAP
        self.right = max(width - _EDGE, self.left + 1.0)
        plots = self._height - 3 * line - _GAP
        self.top = line
        self.bottom = self.top + max((1 - _LOWER) * plots, 1.0)
        self._lower_top = self.bottom + line
        self._lower_bottom = self._lower_top + max(_LOWER * plots, 1.0)

    @property
    def column(self) -> float:
        """Width of an operation, px."""
        return (self.right - self.left) / max(len(self._costs), 1)

    def _x(self, operation: float) -> float:
        return self.left + min(max(operation, 0.0), float(len(self._costs))) * self.column

    def _y(self, offset: float) -> float:
        return self.bottom - (self.bottom - self.top) * offset / max(self._found.arena.head, 1)

    def operation_at(self, x: float) -> int:
        """Return the operation at ``x``; -1 if there is none."""
        index = int((x - self.left) // self.column)
        return index if self.left <= x and 0 <= index < len(self._costs) else -1

    def place_at(self, x: float, y: float) -> Optional[Place]:
        """Return the buffer at a point; None if there is none."""
        operation = self.operation_at(x)
        if operation < 0 or not self.top <= y <= self.bottom:
            return None
        for place in self._found.arena.places:
            is_used = max(place.first, 0) <= operation <= place.last
            if is_used and self._y(place.end) <= y <= self._y(place.offset):
                return place
        return None

    def text_at(self, x: float, y: float) -> List[str]:
        """Return the lines that explain a point."""
        operation = self.operation_at(x)
        if operation < 0:
            return []
        cost, arena = self._costs[operation], self._found.arena
        peak = ", the peak" if operation == arena.peak else ""
        lines = [f"{cost.layer} ({cost.kind}): {bytes_text(arena.in_use[operation])} of buffers in use{peak}"]
        if not math.isnan(cost.cycles):
            share = percent_text(cost.cycles / self._found.cycles)
            time = duration_text(self._found.target.seconds(cost.cycles))
            lines.append(f"{si(cost.cycles)} cycles, {time}, {share} of all")
        place = self.place_at(x, y)
        if place is not None:
            lines.append(f"{place.name}: {bytes_text(place.nbytes)} at address {place.offset:,}{self._life(place)}")
        return lines

    def _life(self, place: Place) -> str:
        if place.is_scratch:
            return ", scratch buffer of the kernel"
        last = self._costs[place.last].layer
        return f", needed until {last}"

    def shapes(self, selected: Sequence[str] = ()) -> List[Shape]:
        """Return the picture; the columns of ``selected`` layers are framed."""
        return [
            *self._grid(),
            *self._peak(),
            *self._buffers(),
            *self._cycles(),
            *self._names(),
            *self._frames(selected),
        ]

    def _grid(self) -> List[Shape]:
        y = np.array([self._y(value / _KILO) for value, _ in self._ticks])
        labels: List[Shape] = [
            Text(self.left - _GAP, place + self._metrics.ascent / 2 - 1, text, anchor=END)
            for place, (_, text) in zip(y, self._ticks)
        ]
        lines: List[Shape] = (
            [Segments(np.full(len(y), self.left), y, np.full(len(y), self.right), y, _GRID)] if len(y) else []
        )
        head = Text(_GAP, self.top - _GAP, self._metrics.elided(self._title, self._width - 2 * _GAP))
        return [head, *lines, *labels, rects(self.left, self.top, self.right, self.bottom, None, _FRAME)]

    def _peak(self) -> List[Shape]:
        peak = self._found.arena.peak
        if peak < 0:
            return []
        left, right = self._x(peak), self._x(peak + 1)
        text = f"peak: {self._costs[peak].layer}"
        begin = _GAP + self._metrics.width(self._title) + 3 * _GAP
        x = max((left + right) / 2 - self._metrics.width(text) / 2, begin)
        x = min(x, self.right - self._metrics.width(text))
        label: List[Shape] = [Text(x, self.top - _GAP, text, "bad")] if x >= begin else []
        tops, bottoms = [self.top, self._lower_top], [self.bottom, self._lower_bottom]
        return [rects(left, tops, right, bottoms, Fill("bad", _PEAK_OPACITY)), *label]

    @property
    def _title(self) -> str:
        return f"Addresses in the arena (kB): {bytes_text(self._found.arena.head)} of buffers"

    def _buffers(self) -> List[Shape]:
        shapes: List[Shape] = []
        for index, place in enumerate(self._found.arena.places):
            left, right = self._x(place.first), self._x(place.last + 1)
            top, bottom = self._y(place.end), self._y(place.offset)
            role = "flushed" if place.is_scratch else series_role(index)
            shapes.append(rects(left, top, right, bottom, Fill(role, _BUFFER_OPACITY), Stroke("base")))
            name = self._metrics.elided(place.name, right - left - 2 * _GAP)
            if bottom - top > self._metrics.height and len(name) > 2:
                base = (top + bottom - self._metrics.height) / 2 + self._metrics.ascent
                shapes.append(Text((left + right) / 2, base, name, "text", MIDDLE))
        return shapes

    def _cycles(self) -> List[Shape]:
        title = f"Cycles: {si(self._found.cycles)}, {duration_text(self._found.seconds)} on {self._found.target.place}"
        if math.isnan(self._found.cycles):
            title = "Cycles: not known for 16-bit activations"
        shapes: List[Shape] = [
            Text(_GAP, self._lower_top - _GAP, self._metrics.elided(title, self._width - 2 * _GAP)),
            rects(self.left, self._lower_top, self.right, self._lower_bottom, None, _FRAME),
        ]
        cycles = np.array([cost.cycles for cost in self._costs], np.float64)
        if len(cycles) and np.isfinite(cycles).all() and cycles.max() > 0:
            edges = self.left + self.column * np.arange(len(cycles) + 1)
            tops = self._lower_bottom - (self._lower_bottom - self._lower_top) * cycles / cycles.max()
            fill = Fill("in_range", 0.8)
            bars = Rects(edges[:-1], tops, edges[1:], np.full(len(cycles), self._lower_bottom), fill, Stroke("base"))
            most = f"{100 * cycles.max() / cycles.sum():.0f} %"
            label = Text(self.left - _GAP, self._lower_top + self._metrics.ascent, most, anchor=END)
            shapes += [bars, label]
        return shapes

    def _names(self) -> List[Shape]:
        y = self._lower_bottom + _GAP / 2 + self._metrics.ascent
        if self.column >= _NAMED_WIDTH:
            return [
                Text(self._x(index + 0.5), y, self._metrics.elided(cost.layer, self.column - 2, True), anchor=MIDDLE)
                for index, cost in enumerate(self._costs)
            ]
        if not self._costs:
            return []
        ends = self._costs[0].layer, self._costs[-1].layer
        return [Text(self.left, y, ends[0]), Text(self.right, y, ends[1], anchor=END)]

    def _frames(self, selected: Sequence[str]) -> List[Shape]:
        chosen = [index for index, cost in enumerate(self._costs) if cost.layer in selected]
        tops, bottoms = [self.top, self._lower_top], [self.bottom, self._lower_bottom]
        return [
            rects(self._x(index), tops, self._x(index + 1), bottoms, None, Stroke("accent", 1.5)) for index in chosen
        ]
