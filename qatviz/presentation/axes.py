"""Common parts of plots of distributions: plot area, axes, scale of counts, cut bars."""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.number_format import si
from qatviz.presentation.axis_range import Range
from qatviz.presentation.scene import END, MIDDLE, Fill, Metrics, Shape, Stroke, Text, rects, segments
from qatviz.presentation.ticks import LABEL_GAP, Tick, count_ticks, linear_ticks, ticks_upright

#: Left, top, right and bottom edge of a plot, px.
Area = Tuple[float, float, float, float]

#: Minimum height of a bar with at least one value, px.
VISIBLE_PX = 2.0
#: Minimum distance of two ticks of a horizontal axis, px; larger for long labels.
TICK_PX = 40.0
#: Minimum ratio of the largest count to the next one at which its bar is cut off: half of rectified activations are 0.
_OUTLIER_RATIO = 4.0
#: Ratio of the top of the axis to the next largest count if the largest is cut off.
_ABOVE_NEXT = 1.5
#: Opacity of the plate under the count of a cut bar.
_PLATE = 0.75
#: Distances, px: labels from the lower and the left axis, labels from the edges of the picture, plot from the top.
_LABEL_OFFSET, _LEFT_OFFSET, _EDGE, _ABOVE = 2.0, 5.0, 2.0, 4.0
GRID, AXIS = Stroke("line", opacity=0.6), Stroke("line")


def plot_area(size: Tuple[float, float], metrics: Metrics, has_titles: bool) -> Area:
    """Return the plot area in a picture of ``size``, with room for labels and, if ``has_titles``, titles."""
    width, height = size
    left = metrics.width("−0.0000") + _LEFT_OFFSET + _EDGE
    line = metrics.height + _LABEL_OFFSET
    # The title of the y axis has a line of its own above the plot.
    top, bottom = (line, height - 2 * line) if has_titles else (_ABOVE, height - line)
    return left, top, max(width - metrics.width("000") / 2 - _EDGE, left + 1), max(bottom, top + 1)


def axis_titles(area: Area, height: float, metrics: Metrics, x_title: str, y_title: str) -> List[Shape]:
    """Return the titles of both axes of :func:`plot_area`, in a picture ``height`` pixels high."""
    left, _, right, _ = area
    return [
        Text(left, metrics.ascent, y_title),
        Text((left + right) / 2, height - metrics.height + metrics.ascent - 1, x_title, anchor=MIDDLE),
    ]


def bottom_axis(
    area: Area, x_range: Range, ticks: Sequence[Tick], metrics: Metrics, edges: Range, has_grid: bool = True
) -> List[Shape]:
    """Return a horizontal axis below a plot; labels stay within the left and right ``edges`` of the picture."""
    left, top, right, bottom = area
    per_unit = (right - left) / (x_range[1] - x_range[0])
    x = left + (np.array([at for at, _ in ticks], np.float64) - x_range[0]) * per_unit
    is_within = (x >= left - 1) & (x <= right + 1)
    shapes: List[Shape] = [segments(x[is_within], top if has_grid else bottom, x[is_within], bottom + 2, GRID)]
    baseline = bottom + _LABEL_OFFSET + metrics.ascent
    taken = -np.inf
    for at, (_, text), within in zip(x.tolist(), ticks, is_within):
        width = metrics.width(text)
        start = min(max(at - width / 2, edges[0] + _EDGE), edges[1] - _EDGE - width)
        if within and start >= taken + LABEL_GAP / 2:  # at the ends, labels are moved into the picture
            shapes.append(Text(start, baseline, text))
            taken = start + width
    return [*shapes, segments(left, bottom, right, bottom, AXIS)]


def left_axis(area: Area, y: np.ndarray, ticks: Sequence[Tick], metrics: Metrics, has_grid: bool = True) -> List[Shape]:
    """Return a vertical axis at the left of a plot, with ``ticks`` at the pixels ``y``."""
    left, top, right, bottom = area
    half = metrics.ascent - metrics.height / 2
    return [
        segments(left, y, right if has_grid else left - 2, y, GRID),
        *(Text(left - _LEFT_OFFSET, at + half, text, anchor=END) for at, (_, text) in zip(y.tolist(), ticks)),
        segments(left, top, left, bottom, AXIS),
    ]


class CountScale(NamedTuple):
    """Scale of counts: the count at the top of the plot, and whether it is logarithmic."""

    top: float
    is_log: bool = False

    def pixels(self, counts: np.ndarray, room: float) -> np.ndarray:
        """Return the heights of ``counts`` in a plot ``room`` pixels high; they may exceed it."""
        if self.is_log:
            return np.log1p(counts) * (room / np.log1p(self.top))
        return np.asarray(counts, np.float64) * (room / self.top)

    def heights(self, counts: np.ndarray, room: float) -> np.ndarray:
        """Return the heights clipped to the plot; any value is visible."""
        return visible(np.minimum(self.pixels(counts, room), room), counts)

    def axis(self, area: Area, metrics: Metrics) -> List[Shape]:
        """Return the axis at the left of the plot."""
        _, top, _, bottom = area
        at_most = ticks_upright(bottom - top, metrics.height)
        if self.is_log:
            ticks = [(float(np.expm1(at)), text) for at, text in count_ticks(self.top, at_most)]
        else:
            ticks = [(at, text) for at, text in linear_ticks(0.0, self.top, at_most) if at == int(at)]
        y = bottom - self.pixels(np.array([at for at, _ in ticks], np.float64), bottom - top)
        return left_axis(area, y, ticks, metrics)


def visible(heights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return ``heights``, at least ``VISIBLE_PX`` where ``counts`` are not 0."""
    return np.maximum(heights, VISIBLE_PX * (counts >= 0.5))


def top_without_outlier(counts: np.ndarray) -> float:
    """Return the largest of ``counts`` (``[n]``), or somewhat more than the next one if the largest is an outlier."""
    if counts.size < 2:
        return float(counts.max()) if counts.size else 1.0
    second, first = np.partition(counts, counts.size - 2)[-2:]
    return float(first if first <= _OUTLIER_RATIO * second or second <= 0 else _ABOVE_NEXT * second)


def cut_mark(
    area: Area, x: float, count: float, metrics: Optional[Metrics], role: str = "text", line: int = 0
) -> List[Shape]:
    """Return the mark of a cut bar at ``x``: two slanted lines, and its count beside them in line number ``line``.

    ``metrics`` is None if there is no room for the count.
    """
    left, top, right, _ = area
    shapes: List[Shape] = [segments(x - 7, [top + 8, top + 12], x + 7, [top + 2, top + 6], Stroke("base", 2.0))]
    if metrics is not None:
        text = f"▲ {si(count)}"
        at = x + 11 if x < (left + right) / 2 else x - 11 - metrics.width(text)
        y = top + 1 + line * metrics.height
        # On a plate, because the text may lie on the bar, whose color may be as light as the text's.
        shapes.append(rects([at - 3], [y], [at + metrics.width(text) + 3], [y + metrics.height], Fill("base", _PLATE)))
        shapes.append(Text(at, y + metrics.ascent, text, role))
    return shapes


def steps(x: np.ndarray, heights: np.ndarray, bottom: float) -> Tuple[np.ndarray, np.ndarray]:
    """Return the corners (x, y) of a histogram's area; ``x`` are the edges of the bins, px."""
    y = np.full(2 * len(x), bottom)
    y[1:-1] -= np.repeat(heights, 2)
    return np.repeat(x, 2), y


def bars(left: np.ndarray, right: np.ndarray, heights: np.ndarray, bottom: float, fill: Fill) -> Shape:
    """Return bars that stand on ``bottom``."""
    return rects(left, bottom - heights, right, bottom, fill)
