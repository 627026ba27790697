"""One tile of the histograms: how the distribution of a tensor is painted into a rectangle."""

import sys
from typing import Any, List, Tuple, Union

import numpy as np
from PyQt5 import QtCore, QtGui

from qatviz.analysis.distribution import Distribution
from qatviz.gui.panels.histograms.axis import octave_ticks, ticks
from qatviz.gui.panels.histograms.header import paint_readout, paint_title
from qatviz.gui.panels.histograms.style import TileContent, TileStyle, TileView

#: Levels nearer than this many pixels run into one another: their outline is drawn.
SPIKE_SPACING_PX = 3.5
#: What there is at all is drawn this high, however few it is.
VISIBLE_PX = 2.0
#: In linear counts the bin of 0 is cut off where it is higher than this many times the next.
ZERO_TOWERS = 1.5
#: A smaller plot is left out.
SMALLEST_PX = 8
#: A tick takes at least this much of the axis, and there is at least this much between two labels.
TICK_SPACING_PX, TICK_GAP_PX = 36, 9
#: Pixels that a unit of the x axis takes at most: numbers beyond would be none any more.
MOST_PER_UNIT_PX = 1e100


def highest(shown: Distribution, is_log: bool) -> float:
    """The count that the top of the y axis has to reach."""
    counts, at_zero = shown.counts, shown.zero_bin
    if at_zero < 0:
        top = zero = float(counts.max())
    else:
        others = (counts[:at_zero], counts[at_zero + 1 :])
        top, zero = max(float(part.max()) for part in others if part.size), float(counts[at_zero])
    if is_log:
        heights = shown.level_heights if shown.level_heights is not None else shown.quantized
        return max(top, zero, float(heights.max()), 1.0)
    return max(top if top > 0 and zero > ZERO_TOWERS * top else max(top, zero), 1.0)


class TilePainter:
    """Paints one tile with a painter that is open.

    What stays the same from snapshot to snapshot is apart, so that it can be kept: most of the time goes into its text.
    """

    def __init__(
        self, painter: QtGui.QPainter, rect: QtCore.QRectF, content: TileContent, view: TileView, style: TileStyle
    ):
        self._painter, self._rect, self._content, self._view, self._style = painter, rect, content, view, style
        self._area = style.plot_area(rect)
        # Of a width next to nothing, too, a number: what is on the edge of the view stays there.
        self._per_unit = min(self._area.width() / max(view.high - view.low, sys.float_info.min), MOST_PER_UNIT_PX)
        self._bottom = float(np.rint(self._area.bottom()))

    def paint(self) -> None:
        """All of it."""
        self.paint_lasting()
        self.paint_news()

    def paint_lasting(self) -> None:
        """Axis, name and badge: they follow from :func:`lasting_key`."""
        self._painter.fillRect(self._rect, self._style.base)
        if self._has_plot():
            self._axis()
        paint_title(self._painter, self._rect, self._content, self._style)

    def paint_news(self) -> None:
        """The histogram, what is pending, the measures."""
        if self._has_plot():
            self._painter.save()
            self._painter.setClipRect(self._area)
            self._shade_outside()
            self._float()
            self._window()
            self._quantized()
            self._cut_mark()
            self._ghost()
            self._painter.restore()
        paint_readout(self._painter, self._rect, self._content, self._style)

    # Where things are

    def _has_plot(self) -> bool:
        return min(self._area.height(), self._area.width()) >= SMALLEST_PX

    def _x(self, values: np.ndarray) -> np.ndarray:
        """Whole pixels."""
        return np.rint(values * self._per_unit + (self._area.left() - self._view.low * self._per_unit))

    def _height(self, counts: np.ndarray) -> np.ndarray:
        """Pixels above the baseline."""
        view, height = self._view, self._area.height()
        heights = np.log1p(counts) * (height / np.log1p(view.top)) if view.is_log else counts * (height / view.top)
        return _visible(np.minimum(heights, height), counts)

    # What is painted

    def _float(self) -> None:
        """The float values, and over them those that are lost to 0 or clipped."""
        shown, style = self._content.shown, self._style
        heights, x = self._height(shown.counts), np.repeat(self._x(shown.edges), 2)
        share = heights / np.maximum(shown.counts, 1.0)
        lost = shown.clipped + shown.flushed
        self._painter.setPen(QtCore.Qt.NoPen)
        self._steps(x, heights, style.float_fill)
        if lost.any():
            self._steps(x, _visible(lost * share, lost), style.flushed)
        if shown.clipped.any():
            self._steps(x, _visible(shown.clipped * share, shown.clipped), style.clipped)

    def _steps(self, x: np.ndarray, heights: np.ndarray, fill: Union[QtGui.QColor, QtCore.Qt.BrushStyle]) -> None:
        """A histogram's area; ``x`` has each edge twice."""
        y = np.full(len(x), self._bottom)
        y[1:-1] -= np.repeat(np.rint(heights), 2)
        self._painter.setBrush(fill)
        self._painter.drawPolygon(polygon(x, y))

    def _quantized(self) -> None:
        shown, style = self._content.shown, self._style
        if shown.window is None:
            self._outline(self._x(shown.edges), self._height(shown.counts), style.float_line, QtCore.Qt.NoBrush)
        elif shown.levels is None:
            self._outline(self._x(shown.edges), self._height(shown.quantized), style.level, style.level_fill)
        else:
            low, high = self._x(shown.level_edges[:, 0]), self._x(shown.level_edges[:, 1])
            is_wide = (shown.level_edges[:, 1] - shown.level_edges[:, 0]) * self._per_unit >= SPIKE_SPACING_PX
            heights, wide_count = self._height(shown.level_heights * _raised(shown)), np.count_nonzero(is_wide)
            if wide_count < len(is_wide):
                dense = ~is_wide
                self._outline(np.append(low[dense], high[dense][-1]), heights[dense], style.level, style.level_fill)
            if wide_count:
                self._spikes(shown.levels[is_wide], high[is_wide] - low[is_wide], heights[is_wide])

    def _outline(
        self, x: np.ndarray, heights: np.ndarray, line: QtGui.QColor, fill: Union[QtGui.QColor, QtCore.Qt.BrushStyle]
    ) -> None:
        self._painter.setPen(line)
        self._steps(np.repeat(x, 2), heights, fill)

    def _spikes(self, levels: np.ndarray, spacing: np.ndarray, heights: np.ndarray) -> None:
        """Bars at the levels; a mark on the baseline for those that no value is on."""
        painter = self._painter
        width = np.minimum(np.maximum(np.floor(spacing * 0.35), 1), 3 + self._area.width() // 100)
        left = self._x(levels) - np.floor(width / 2)
        painter.setPen(QtCore.Qt.NoPen)
        painter.setBrush(self._style.unused)
        painter.drawPolygon(_comb(left, left + width, np.full(len(levels), VISIBLE_PX), self._bottom))
        painter.setBrush(self._style.level)
        painter.drawPolygon(_comb(left, left + width, np.maximum(heights, 3.0 * (heights > 0)), self._bottom))

    def _cut_mark(self) -> None:
        """Two slanted lines over the bin of 0 where it is higher than the tile."""
        shown, area = self._content.shown, self._area
        if self._view.is_log or shown.zero_bin < 0 or shown.counts[shown.zero_bin] <= self._view.top:
            return
        x = float(self._x(shown.edges[shown.zero_bin : shown.zero_bin + 2]).mean())
        self._painter.setPen(QtGui.QPen(self._style.base, 2))
        for offset in (5, 9):
            self._painter.drawLine(QtCore.QLineF(x - 7, area.top() + offset + 3, x + 7, area.top() + offset - 3))

    def _shade_outside(self) -> None:
        shown, area = self._content.shown, self._area
        if shown.window is None:
            return
        low, high = self._window_px(shown.window)
        if low > area.left() and not shown.is_log2:
            width = min(low, area.right()) - area.left()
            self._painter.fillRect(QtCore.QRectF(area.left(), area.top(), width, area.height()), self._style.outside)
        if high < area.right():
            left = max(high, area.left())
            width = area.right() - left
            self._painter.fillRect(QtCore.QRectF(left, area.top(), width, area.height()), self._style.outside)

    def _window_px(self, window: Tuple[float, float]) -> Tuple[float, float]:
        """Beyond the tile no further than is safe for Qt."""
        area, far = self._area, 1e4
        low, high = (
            min(max((end - self._view.low) * self._per_unit + area.left(), area.left() - far), area.right() + far)
            for end in window
        )
        return round(low), round(high)

    def _window(self) -> None:
        if self._content.shown.window is not None:
            self._bracket(self._content.shown.window, self._style.edge, 0)

    def _bracket(self, window: Tuple[float, float], pen: Union[QtGui.QColor, QtGui.QPen], offset: int) -> None:
        """A bracket at each end of a window; an arrow where the end is outside the tile."""
        area, (low, high) = self._area, self._window_px(window)
        top, bottom, lines = area.top() + offset, area.bottom(), []
        for x, inward in ((low, 1), (high, -1)):
            if area.left() - 1 <= x <= area.right() + 1:
                x = min(max(x, area.left()), area.right() - 1)
                lines += [QtCore.QLineF(x, top, x, bottom), QtCore.QLineF(x, top, x + inward * 5, top)]
            elif np.isfinite(window[0 if inward > 0 else 1]):
                tip = area.left() + 1 if inward > 0 else area.right() - 2
                lines += [QtCore.QLineF(tip, top + 4, tip + inward * 4, top + 4 + slant) for slant in (-3, 3)]
        self._painter.setPen(pen)
        self._painter.drawLines(lines)

    def _ghost(self) -> None:
        ghost, view = self._content.ghost, self._view
        if ghost is None or not ghost.scale > 0:
            return
        pen = QtGui.QPen(self._style.ghost, 1, QtCore.Qt.DashLine)
        if self._content.shown.is_log2:
            self._bracket(tuple(np.log2([ghost.scale / 2, max(abs(ghost.low), abs(ghost.high))])), pen, 3)
            return
        self._bracket((ghost.low, ghost.high), pen, 3)
        if ghost.scale * self._per_unit >= SPIKE_SPACING_PX:
            first = np.ceil((max(ghost.low, view.low) - ghost.low) / ghost.scale - 1e-6)
            last = np.floor((min(ghost.high, view.high) - ghost.low) / ghost.scale + 1e-6)
            x = self._x(ghost.low + np.arange(first, last + 1) * ghost.scale)
            self._painter.setPen(QtCore.Qt.NoPen)
            self._painter.setBrush(self._style.ghost)
            self._painter.drawPolygon(_comb(x - 1, x + 1, np.full(len(x), 6.0), self._bottom))

    def _axis(self) -> None:
        painter, style, area = self._painter, self._style, self._area
        painter.setFont(style.small)
        for value, text in self._ticks():
            x = float(self._x(value))
            if not area.left() - 1 <= x <= area.right() + 1:
                continue
            painter.setPen(style.grid_line)
            painter.drawLine(QtCore.QLineF(x, area.top(), x, area.bottom() + 2))
            width = style.small_metrics.horizontalAdvance(text)
            left = min(max(x - width / 2, self._rect.left() + 2), self._rect.right() - 2 - width)
            painter.setPen(style.muted)
            painter.drawText(QtCore.QPointF(left, area.bottom() + 2 + style.small_metrics.ascent()), text)
        painter.setPen(style.line)
        painter.drawLine(QtCore.QLineF(area.left(), area.bottom(), area.right(), area.bottom()))

    def _ticks(self) -> List[Tuple[float, str]]:
        """As many as have room."""
        view, shown, width = self._view, self._content.shown, self._area.width()
        for most in range(max(2, int(width / TICK_SPACING_PX)), 1, -1):
            if shown.is_log2:
                found = octave_ticks(shown.edges[0], view.high, most, shown.edges[1])
            else:
                found = ticks(view.low, view.high, most)
            widest = max((self._style.small_metrics.horizontalAdvance(text) for _, text in found), default=0)
            if len(found) < 2 or (found[-1][0] - found[-2][0]) * self._per_unit >= widest + TICK_GAP_PX:
                break
        return found


def lasting_key(content: TileContent, view: TileView) -> Tuple[Any, ...]:
    """What :meth:`TilePainter.paint_lasting` depends on, besides size and style."""
    rest = tuple(content.shown.edges[:2]) if content.shown.is_log2 else ()
    return content.name, content.badge, bool(content.readout), view.low, view.high, rest


def _raised(shown: Distribution) -> float:
    """By how much levels are drawn higher than their density, so that the highest is not below the float values.

    Wide steps gather values from afar: as a density, the few levels of 2 bits would be lost at the foot of it all.
    """
    highest_level = float(shown.level_heights.max())
    return max(1.0, highest(shown, False) / highest_level) if highest_level > 0 else 1.0


def _visible(heights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """At least a little where there is a value at all."""
    return np.maximum(heights, VISIBLE_PX * (counts >= 0.5))


def polygon(x: np.ndarray, y: np.ndarray) -> QtGui.QPolygonF:
    """Points by way of Qt's own memory: a Python object for each would cost more than the painting."""
    points = QtGui.QPolygonF(len(x))
    memory = points.data()
    memory.setsize(16 * len(x))
    array = np.frombuffer(memory, np.float64).reshape(-1, 2)
    array[:, 0], array[:, 1] = x, y
    return points


def _comb(left: np.ndarray, right: np.ndarray, heights: np.ndarray, bottom: float) -> QtGui.QPolygonF:
    """Bars as one polygon that runs along the baseline."""
    x, y = np.empty((len(left), 4)), np.full((len(left), 4), bottom)
    x[:, 0] = x[:, 1] = left
    x[:, 2] = x[:, 3] = right
    y[:, 1] = y[:, 2] = np.rint(bottom - heights)
    return polygon(x.ravel(), y.ravel())
