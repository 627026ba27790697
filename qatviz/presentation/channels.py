"""Picture of the channels of all weights: a row for each tensor with a box for each channel, measures and verdict."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.channels import QUANTILES, SCREENED, ChannelRanges, Screened
from qatviz.analysis.verdict import BAD, LEVEL_SYMBOLS, WARNING
from qatviz.measures import MEASURES
from qatviz.number_format import count, signed, with_minus
from qatviz.presentation.rows_layout import RowsLayout
from qatviz.presentation.scene import MIDDLE, Fill, Metrics, Shape, Stroke, Text, rects, segments

#: Columns by which the rows can be sorted: measures, then verdict.
COLUMNS = (*SCREENED, "verdict")
_PADDING, _GAP = 6.0, 3.0
#: Least and largest height of a row in lines of text.
_LINES = (2.6, 5.0)
#: Fractions of the width for names and verdicts, at most, and for boxes, at least; smallest widths of each, px.
_NAMES, _VERDICT, _BOXES, _LEAST_NAMES, _LEAST_BOXES, _LEAST_VERDICT = 0.2, 0.26, 0.26, 60.0, 80.0, 60.0
#: Smallest distance of two boxes, px: channels that are denser are drawn together.
_LEAST_STEP = 2.0
#: Smallest width of a box with a line at its median, px.
_MEDIAN_PX = 4.0
_BOX, _WHISKER, _ODD, _ODD_WHISKER = Fill("in_range"), Fill("in_range", 0.55), Fill("clipped"), Fill("clipped", 0.6)
_MEDIAN, _ZERO, _SELECTED = Fill("base"), Stroke("line"), Stroke("accent", 2.0)
_LEVEL_ROLES = {WARNING: "warning", BAD: "bad"}


class ChannelsView(NamedTuple):
    """What the boxes show.

    Attributes
    ----------
    per_layer : bool
        One box for all weights of a tensor instead of one for each channel.
    by_range : bool
        The channels are in the order of their ranges, the widest first.
    is_common : bool
        All tensors have the same scale of values.
    """

    per_layer: bool = False
    by_range: bool = False
    is_common: bool = False


class Place(NamedTuple):
    """Place in the picture: index of the row, and index of the channel whose box is there; None for other places."""

    row: int
    channel: Optional[int] = None


def sorted_rows(rows: Sequence[Screened], column: Optional[int]) -> Tuple[Screened, ...]:
    """Return rows sorted by a column of :data:`COLUMNS`, the largest or worst first; None: in the given order."""
    if column is None:
        return tuple(rows)
    key: Callable[[Screened], float] = lambda row: row.verdict.level  # noqa: E731
    if column < len(SCREENED):
        name = COLUMNS[column]
        key = lambda row: float(np.nan_to_num(row.measures[name], nan=-np.inf))  # noqa: E731
    return tuple(sorted(rows, key=lambda row: -key(row)))


def overview_text(rows: Sequence[Screened], has_verdict: bool = True) -> str:
    """Return a sentence on all tensors: the number of those with a warning, and the first of the worst level.

    ``has_verdict``: the verdict on that tensor follows.
    """
    flagged = [row for row in rows if row.verdict.level in _LEVEL_ROLES]
    if not flagged:
        return f"{count(len(rows), 'weight tensor')}: none will be hard to quantize, as far as the weights show."
    worst = max(flagged, key=lambda row: row.verdict.level)
    verdict = f": {worst.verdict.text}" if has_verdict else "."
    return (
        f"{len(flagged)} of {count(len(rows), 'weight tensor')} may be hard to quantize, first "
        f"{worst.ranges.tensor}{verdict}"
    )


def place_text(row: Screened, channel: Optional[int]) -> List[str]:
    """Return the lines that explain a row or the box of a channel."""
    ranges = row.ranges
    lines = [f"{ranges.tensor}: {count(ranges.quantiles.shape[1], 'channel')}"]
    if channel is not None:
        low, first, median, third, high = map(signed, ranges.quantiles[:, channel].tolist())
        z = ranges.z[channel]
        lines += [
            f"Channel {channel}: {low} to {high}, median {median}, middle half {first} to {third}",
            "All zeros" if np.isnan(z) else f"Robust z-score of its range: {z:.1f}",
        ]
    lines += [f"{MEASURES[name].label}: {MEASURES[name].text(value)}" for name, value in row.measures.items()]
    return [*lines, row.verdict.text]


class ChannelsLayout(RowsLayout):
    """Positions of the rows in a picture of some width.

    Parameters
    ----------
    rows : sequence of Screened
        In the order in which they are shown.
    view : ChannelsView
    width : float
    metrics : Metrics
        Sizes of the texts.
    height : float
        Height that the rows fill if they can, px.
    """

    def __init__(
        self, rows: Sequence[Screened], view: ChannelsView, width: float, metrics: Metrics, height: float = 0.0
    ):
        least, most = (lines * metrics.height for lines in _LINES)
        super().__init__(len(rows), min(max(height / max(len(rows), 1), least), most), width, metrics)
        self._rows, self._view = rows, view
        titles = [MEASURES[name].short or MEASURES[name].label for name in SCREENED]
        self._titles = [*titles, "Verdict"]
        numbers = [metrics.width(title + " ▾") + _PADDING for title in titles]
        longest = max((metrics.width(row.ranges.tensor) for row in rows), default=0.0) + 2 * _PADDING
        names = max(min(longest, _NAMES * width), _LEAST_NAMES)
        self._has_layers_only = longest > names  # all rows are weights: the name of the layer tells them apart
        rest = width - names - sum(numbers) - max(_BOXES * width, _LEAST_BOXES)
        verdict = max(min(_VERDICT * width, rest), _LEAST_VERDICT)
        boxes = max(width - names - sum(numbers) - verdict, _LEAST_BOXES)
        self._edges = np.cumsum([0.0, names, boxes, *numbers, verdict])
        self._reach = max((float(np.abs(row.ranges.whole).max()) for row in rows), default=0.0) or 1.0

    def column_at(self, x: float) -> Optional[int]:
        column = int(np.searchsorted(self._edges[2:], x, side="right")) - 1
        return min(column, len(COLUMNS) - 1) if column >= 0 else None

    def place_at(self, x: float, y: float) -> Optional[Place]:
        """Return the place at a point below the header; None below the last row."""
        row = self.row_at(y)
        if row is None:
            return None
        left, right = self._edges[1], self._edges[2] - _PADDING
        if self._view.per_layer or not left <= x < right:
            return Place(row)
        order = self._order(self._rows[row].ranges)
        return Place(row, int(order[int((x - left) / (right - left) * len(order))]))

    def header_shapes(self, sorted_by: Optional[int]) -> List[Shape]:
        base, edges = _PADDING / 2 + self._metrics.ascent, self._edges
        boxes = "By layer" if self._view.per_layer else "By channel"
        room = edges[2] - edges[1] - _PADDING
        in_full = boxes + ": minimum, quartiles, maximum"
        heading = in_full if self._metrics.width(in_full) <= room else self._metrics.elided(boxes, room)
        shapes: List[Shape] = [
            Text(_PADDING, base, "Weights" + (" ▾" if sorted_by is None else "")),
            Text(edges[1], base, heading),
        ]
        for index, title in enumerate(self._titles):
            text = title + (" ▾" if index == sorted_by else "")
            if index < len(SCREENED):
                shapes.append(Text((edges[index + 2] + edges[index + 3]) / 2, base, text, anchor=MIDDLE))
            else:
                shapes.append(Text(edges[index + 2] + _PADDING, base, text))
        return shapes

    def row_shapes(self, selected: Sequence[str] = (), top: float = 0.0) -> List[Shape]:
        shapes: List[Shape] = []
        for index, row in enumerate(self._rows):
            y = top + index * self.row
            is_selected = row.ranges.tensor in selected
            shapes += [*self._boxes(row.ranges, y), *self._texts(row, y, "accent" if is_selected else "text")]
            shapes.append(segments(0.0, y + self.row - 0.5, self._width, y + self.row - 0.5, _ZERO))
            if is_selected:
                shapes.append(rects(1.0, y + 1, self._width - 1, y + self.row - 1, None, _SELECTED))
        return shapes

    def _texts(self, row: Screened, y: float, ink: str) -> List[Shape]:
        metrics, edges = self._metrics, self._edges
        base = y + (self.row - metrics.height) / 2 + metrics.ascent
        name = row.ranges.tensor.rpartition(".")[0] if self._has_layers_only else row.ranges.tensor
        name = metrics.elided(name, edges[1] - 2 * _PADDING, True)
        shapes: List[Shape] = [Text(_PADDING, base, name, ink)]
        for index, (key, value) in enumerate(row.measures.items()):
            center = (edges[index + 2] + edges[index + 3]) / 2
            shapes.append(Text(center, base, with_minus(MEASURES[key].cell(value)), "text", MIDDLE))
        level, left = row.verdict.level, edges[-2] + _PADDING
        role = _LEVEL_ROLES.get(level, "good")
        shapes.append(Text(left, base, LEVEL_SYMBOLS[level], role))
        left += metrics.width(LEVEL_SYMBOLS[BAD]) + _PADDING
        lines = _wrapped(row.verdict.text, edges[-1] - left - _PADDING, metrics)
        for line, text in enumerate(lines):
            offset = (line - (len(lines) - 1) / 2) * metrics.height
            shapes.append(Text(left, base + offset, text, "muted"))
        return shapes

    def _boxes(self, ranges: ChannelRanges, y: float) -> List[Shape]:
        left, right = self._edges[1], self._edges[2] - _PADDING
        if self._view.per_layer:
            return self._layer_box(ranges, left, right, y)
        top, bottom = y + _GAP, y + self.row - _GAP
        values, is_odd = self._drawn(ranges, right - left)
        step = (right - left) / values.shape[1]
        reach = self._reach if self._view.is_common else float(np.abs(ranges.whole).max()) or 1.0
        places = (top + bottom) / 2 - values * (bottom - top) / 2 / reach
        x = left + np.arange(values.shape[1]) * step
        width = max(step - 1.0, 1.0) if step >= _LEAST_STEP else step
        middle = x + width / 2
        shapes: List[Shape] = [segments(left, (top + bottom) / 2, right, (top + bottom) / 2, _ZERO)]
        for flags, box, whisker in ((~is_odd, _BOX, _WHISKER), (is_odd, _ODD, _ODD_WHISKER)):
            if flags.any():
                thin = max(min(width / 3, 3.0), 1.0) / 2
                low, first, _, third, high = places[:, flags]
                at, begin = middle[flags], x[flags]
                shapes.append(rects(at - thin, high, at + thin, np.maximum(low, high + 1), whisker))
                shapes.append(rects(begin, third, begin + width, np.maximum(first, third + 1), box))
        if width >= _MEDIAN_PX:
            shapes.append(rects(x, places[2] - 0.5, x + width, places[2] + 0.5, _MEDIAN))
        return shapes

    def _layer_box(self, ranges: ChannelRanges, left: float, right: float, y: float) -> List[Shape]:
        center, half = y + self.row / 2, self.row / 5
        reach = self._reach if self._view.is_common else float(np.abs(ranges.whole).max()) or 1.0
        zero = (left + right) / 2
        low, first, median, third, high = zero + ranges.whole * (right - left) / 2 / reach
        return [
            segments(zero, y, zero, y + self.row, _ZERO),
            rects(low, center - 1, max(high, low + 1), center + 1, _WHISKER),
            rects(
                np.array([low - 0.5, high - 0.5]), center - half, np.array([low + 0.5, high + 0.5]), center + half, _BOX
            ),
            rects(first, center - half, max(third, first + 1), center + half, _BOX),
            rects(median - 0.5, center - half, median + 0.5, center + half, _MEDIAN),
        ]

    def _order(self, ranges: ChannelRanges) -> np.ndarray:
        number = ranges.quantiles.shape[1]
        return np.argsort(-ranges.ranges, kind="stable") if self._view.by_range else np.arange(number)

    def _drawn(self, ranges: ChannelRanges, width: float) -> Tuple[np.ndarray, np.ndarray]:
        """Return the quantiles of each box, ``[len(QUANTILES), boxes]``, and which boxes have an outlier.

        A box of several channels has their extremes, and the means of their quartiles.
        """
        order = self._order(ranges)
        values = ranges.quantiles[:, order]
        is_odd = np.isin(order, ranges.outliers)
        most = max(int(width / _LEAST_STEP), 1)
        if values.shape[1] <= most:
            return values, is_odd
        starts = np.arange(most) * values.shape[1] // most
        sizes = np.diff([*starts, values.shape[1]])
        reduced = [np.add.reduceat(values[row], starts) / sizes for row in range(1, len(QUANTILES) - 1)]
        ends = np.minimum.reduceat(values[0], starts), np.maximum.reduceat(values[-1], starts)
        return np.stack([ends[0], *reduced, ends[1]]), np.maximum.reduceat(is_odd, starts)


def channels_values(rows: Sequence[Screened]) -> Dict[str, List[Any]]:
    """Return the values of all channels by column, for files."""
    names = ("minimum", "first quartile", "median", "third quartile", "maximum")
    columns: Dict[str, List[Any]] = {name: [] for name in ("tensor", "channel", *names, "robust z")}
    for row in rows:
        number = row.ranges.quantiles.shape[1]
        columns["tensor"] += [row.ranges.tensor] * number
        columns["channel"] += range(number)
        for name, values in zip(names, row.ranges.quantiles):
            columns[name] += values.tolist()
        columns["robust z"] += row.ranges.z.tolist()
    return columns


def _wrapped(text: str, room: float, metrics: Metrics) -> List[str]:
    """Return a text in at most two lines, the last one elided."""
    words, line = text.split(), ""
    while words and metrics.width(f"{line} {words[0]}".strip()) <= room:
        line = f"{line} {words.pop(0)}".strip()
    if not words or not line:
        return [metrics.elided(text, room)]
    return [line, metrics.elided(" ".join(words), room)]
