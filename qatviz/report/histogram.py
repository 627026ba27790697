"""The distribution of a tensor as SVG, drawn as the window does it: float values, what is clipped or flushed to zero,
the levels that quantization leaves, and the representable window.
"""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.distribution import Distribution, distribution, extent
from qatviz.measures import MEASURES
from qatviz.network.plan import QuantizedTensor
from qatviz.number_format import si
from qatviz.presentation.ticks import linear_ticks
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot
from qatviz.report.markup import Markup, element, escaped, join, number

#: px, with the labels of the axis.
SIZE = (346.0, 150.0)
_SIDE, _TOP, _BOTTOM = 8.0, 6.0, 17.0
#: Levels nearer than this run into one another: their outline is drawn, px.
SPIKE_SPACING = 3.5
#: What there is at all is drawn this high, however few it is, px.
VISIBLE = 2.0
#: The bin of 0 is cut off where it is higher than this many times the next.
ZERO_TOWERS = 1.5
#: Before and after share an axis as long as one is at most so many times as wide as the other.
COMMON_UP_TO = 4.0
_TICK_SPACING = 60
_ROW = {name: row for row, name in enumerate(SNAPSHOT_MEASURES)}


class Shown(NamedTuple):
    """A tensor at a snapshot: what is drawn, from where to where the axis has to reach, and in words."""

    distribution: Distribution
    extent: Tuple[float, float]
    words: str


def shown_at(snapshot: Snapshot, tensor: QuantizedTensor, index: int) -> Optional[Shown]:
    """What there is to draw of the tensor number ``index``; None where its values are not finite."""
    histogram = snapshot.histograms[tensor.name]
    measure = {name: float(snapshot.values[row, index]) for name, row in _ROW.items()}
    if not np.isfinite(histogram.edges).all():
        return None
    is_on, window = snapshot.enabled[index], (measure["range_min"], measure["range_max"])
    found = distribution(histogram, snapshot.num_bits[index], is_on, window, measure["clipped"], measure["flushed"])
    low, high = extent(histogram, window if is_on else None)
    if not high > low:  # all values are one
        room = abs(low) / 2 or 0.5
        low, high = low - room, high + room
    total = int(histogram.float_counts.sum())
    of = f" of {tensor.parameters:,}" if total < tensor.parameters else ""
    words = f"{total:,}{of} values from {si(histogram.edges[0])} to {si(histogram.edges[-1])}"
    if not is_on:
        return Shown(found, (low, high), words + "; in float")
    grid = f"{snapshot.num_bits[index]} bits, representable {si(window[0])} to {si(window[1])}"
    error = f"{MEASURES['sqnr_db'].text(measure['sqnr_db'])}; " + ", ".join(
        f"{MEASURES[key].text(measure[key])} {MEASURES[key].name}" for key in ("clipped", "flushed")
    )
    return Shown(found, (low, high), "; ".join((words, grid, error)))


def common_axis(first: Tuple[float, float], last: Tuple[float, float]) -> Optional[Tuple[float, float]]:
    """One axis for both; None where it would squeeze one of them."""
    low, high = min(first[0], last[0]), max(first[1], last[1])
    narrow = min(first[1] - first[0], last[1] - last[0])
    return (low, high) if high - low <= COMMON_UP_TO * narrow else None


def histogram(
    shown: Shown, title: str, axis: Optional[Tuple[float, float]] = None, size: Tuple[float, float] = SIZE
) -> Markup:
    """The picture; ``axis``: from where to where values are shown."""
    low, high = shown.extent if axis is None else axis
    room = 0.02 * (high - low)
    tile = _Tile(shown.distribution, (low - room, high + room), size)
    return element(
        "svg",
        element("title", title),
        element("desc", shown.words),
        tile.parts(),
        viewBox=f"0 0 {number(size[0])} {number(size[1])}",
        width=size[0],
        height=size[1],
        role="img",
        aria_label=f"{title}. {shown.words}",
        class_="histogram",
    )


class _Tile:
    """Draws one distribution; y grows downwards, as in SVG."""

    def __init__(self, shown: Distribution, axis: Tuple[float, float], size: Tuple[float, float]):
        self._shown, self._axis = shown, axis
        self._left, self._right = _SIDE, size[0] - _SIDE
        self._ceiling, self._floor = _TOP, size[1] - _BOTTOM
        self._per_unit = (self._right - self._left) / (axis[1] - axis[0])
        self._top = _highest(shown)

    def parts(self) -> Markup:
        """All of it, from the back to the front."""
        shown = self._shown
        heights = self._height(shown.counts)
        share = heights / np.maximum(shown.counts, 1.0)
        lost = shown.clipped + shown.flushed
        return join(
            self._outside(),
            self._steps(shown.edges, heights, "float"),
            self._steps(shown.edges, _visible(lost * share, lost), "flushed") if lost.any() else None,
            self._steps(shown.edges, _visible(shown.clipped * share, shown.clipped), "clipped")
            if shown.clipped.any()
            else None,
            self._brackets(),
            self._quantized(),
            self._cut_mark(),
            self._scale(),
        )

    def _x(self, values: np.ndarray) -> np.ndarray:
        return self._left + (values - self._axis[0]) * self._per_unit

    def _height(self, counts: np.ndarray) -> np.ndarray:
        room = self._floor - self._ceiling
        return _visible(np.minimum(counts * (room / self._top), room), counts)

    def _steps(self, edges: np.ndarray, heights: np.ndarray, style: str) -> Markup:
        """A histogram's area."""
        x, y = np.clip(self._x(edges), self._left, self._right), self._floor - heights
        path = [f"M{number(x[0])} {number(self._floor)}"]
        for index, level in enumerate(y):
            if index == 0 or abs(level - y[index - 1]) >= 0.05:
                path += ["V", number(level)]
            if index + 1 == len(y) or abs(y[index + 1] - level) >= 0.05:
                path += ["H", number(x[index + 1])]
        return element("path", d="".join([*path, "V", number(self._floor), "Z"]), class_=style)

    def _quantized(self) -> Optional[Markup]:
        shown = self._shown
        if shown.window is None:
            return None
        if shown.levels is None:
            return self._steps(shown.edges, self._height(shown.quantized), "levels")
        heights = self._height(shown.level_heights * _raised(shown))
        spacing = (shown.level_edges[0, 1] - shown.level_edges[0, 0]) * self._per_unit
        if spacing < SPIKE_SPACING:
            return self._steps(np.append(shown.level_edges[:, 0], shown.level_edges[-1, 1]), heights, "levels")
        return self._spikes(shown.levels, spacing, heights)

    def _spikes(self, levels: np.ndarray, spacing: float, heights: np.ndarray) -> Markup:
        """Bars at the levels; a mark on the baseline for those that no value is on."""
        width = min(max(spacing * 0.35, 1.0), 6.0)
        used = heights > 0
        return join(
            self._comb(levels[~used], width, np.full(np.count_nonzero(~used), VISIBLE), "unused"),
            self._comb(levels[used], width, np.maximum(heights[used], 3.0), "level"),
        )

    def _comb(self, levels: np.ndarray, width: float, heights: np.ndarray, style: str) -> Optional[Markup]:
        bars = [
            f"M{number(x - width / 2)} {number(self._floor)}v-{number(height)}h{number(width)}V{number(self._floor)}Z"
            for x, height in zip(self._x(levels), heights)
            if self._left - width <= x <= self._right + width
        ]
        return element("path", d="".join(bars), class_=style) if bars else None

    def _outside(self) -> List[Markup]:
        """The parts of the axis that the grid does not reach."""
        if self._shown.window is None:
            return []
        low, high = (float(np.clip(x, self._left, self._right)) for x in self._x(np.array(self._shown.window)))
        return [
            element(
                "rect",
                x=begin,
                y=self._ceiling,
                width=end - begin,
                height=self._floor - self._ceiling,
                class_="outside",
            )
            for begin, end in ((self._left, low), (high, self._right))
            if end > begin
        ]

    def _brackets(self) -> Optional[Markup]:
        """One at each end of the window; an arrow where the end is beyond the axis."""
        if self._shown.window is None:
            return None
        path = []
        for x, inward in zip(self._x(np.array(self._shown.window)), (1, -1)):
            if self._left - 1 <= x <= self._right + 1:
                path.append(f"M{number(x + inward * 5)} {number(self._ceiling)}h{-inward * 5}V{number(self._floor)}")
            else:
                tip = self._left if inward > 0 else self._right
                path.append(f"M{number(tip)} {number(self._ceiling + 4)}l{inward * 5} -3m0 6l{-inward * 5} -3")
        return element("path", d="".join(path), class_="edge")

    def _cut_mark(self) -> Optional[Markup]:
        """Two slanted lines over the bin of 0 where it is higher than the picture."""
        shown = self._shown
        if shown.zero_bin < 0 or shown.counts[shown.zero_bin] <= self._top:
            return None
        x = float(self._x(shown.edges[shown.zero_bin : shown.zero_bin + 2]).mean())
        return element(
            "path",
            element("title", "This bin, which holds 0, is higher than the picture"),
            class_="cut",
            d="".join(f"M{number(x - 7)} {number(self._ceiling + y)}l14 -6" for y in (10, 14)),
        )

    def _scale(self) -> Markup:
        base = "M{} {}H{}".format(*map(number, (self._left, self._floor, self._right)))
        parts = [element("path", d=base, class_="axis")]
        for value, text in linear_ticks(*self._axis, at_most=max(2, int((self._right - self._left) / _TICK_SPACING))):
            x = float(self._x(np.float64(value)))
            if self._left <= x <= self._right:
                parts += [
                    element("path", d=f"M{number(x)} {number(self._floor)}v3", class_="axis"),
                    element(
                        "text",
                        escaped(text),
                        x=float(np.clip(x, 14, self._right - 6)),
                        y=self._floor + 13,
                        text_anchor="middle",
                    ),
                ]
        return join(parts)


def _highest(shown: Distribution) -> float:
    """The count at the top: that of 0 is cut off where it towers over all others."""
    counts, at_zero = shown.counts, shown.zero_bin
    if at_zero < 0:
        return max(float(counts.max()), 1.0)
    others = np.delete(counts, at_zero)
    top, zero = float(others.max()) if len(others) else 0.0, float(counts[at_zero])
    return max(top if top > 0 and zero > ZERO_TOWERS * top else max(top, zero), 1.0)


def _raised(shown: Distribution) -> float:
    """By how much levels are drawn higher than their density, so that the highest is not below the float values."""
    highest_level = float(shown.level_heights.max())
    return max(1.0, _highest(shown) / highest_level) if highest_level > 0 else 1.0


def _visible(heights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """At least a little where there is a value at all."""
    return np.maximum(heights, VISIBLE * (counts >= 0.5))


def legend(names: Sequence[Tuple[str, str]]) -> Markup:
    """What the colours mean: (style, words)."""
    return element(
        "p", [element("span", element("i", class_="key " + style), words) for style, words in names], class_="legend"
    )


LEGEND = (
    ("float", "float values"),
    ("levels", "quantized values"),
    ("flushed", MEASURES["flushed"].name),
    ("clipped", MEASURES["clipped"].name),
    ("edge", "representable range"),
    ("unused", "unused level"),
)
