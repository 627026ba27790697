"""One tile of the histograms: how the distribution of a tensor is painted into a rectangle."""

from typing import List, Optional, Tuple

import numpy as np
from PyQt5 import QtCore, QtGui

from qatviz.analysis.distribution import Distribution
from qatviz.gui.histogram_axis import octave_ticks, ticks
from qatviz.gui.histogram_header import paint_header
from qatviz.gui.histogram_style import TileContent, TileStyle, TileView
from qatviz.gui.plot import outline

#: Levels nearer than this many pixels run into one another: their outline is drawn.
SPIKE_SPACING_PX = 3.5
#: What there is at all is drawn this high, however few it is.
VISIBLE_PX = 2.0
#: In linear counts the bin of 0 is cut off where it is higher than this many times the next.
ZERO_TOWERS = 1.5
#: A smaller plot is left out.
SMALLEST_PX = 8
#: A tick label takes at least this much of the axis.
TICK_SPACING_PX = 44


def highest(shown: Distribution, is_log: bool) -> float:
    """The count that the top of the y axis has to reach."""
    others = np.delete(shown.counts, shown.zero_bin) if shown.zero_bin >= 0 else shown.counts
    zero = shown.counts[shown.zero_bin] if shown.zero_bin >= 0 else 0.0
    top = float(others.max()) if others.size else 0.0
    if is_log:
        heights = shown.level_heights if shown.level_heights is not None else shown.quantized
        return max(top, zero, float(heights.max()) if heights.size else 0.0, 1.0)
    return max(top if top > 0 and zero > ZERO_TOWERS * top else max(top, zero), 1.0)


class TilePainter:
    """Paints one tile with a painter that is open."""

    def __init__(self, painter: QtGui.QPainter, rect: QtCore.QRectF, content: TileContent, view: TileView,
                 style: TileStyle):
        self._painter, self._rect, self._content, self._view, self._style = painter, rect, content, view, style
        self._area = style.plot_area(rect)

    def paint(self) -> None:
        """All of it."""
        self._painter.fillRect(self._rect, self._style.base)
        if min(self._area.height(), self._area.width()) >= SMALLEST_PX:
            self._axis()
            self._painter.save()
            self._painter.setClipRect(self._area)
            self._shade_outside()
            self._float()
            self._window()
            self._quantized()
            self._cut_mark()
            self._ghost()
            self._painter.restore()
        paint_header(self._painter, self._rect, self._content, self._style)

    # Where things are

    def _x(self, values: np.ndarray) -> np.ndarray:
        view, area = self._view, self._area
        return area.left() + (np.asarray(values, np.float64) - view.low) * (area.width() / (view.high - view.low))

    def _height(self, counts: np.ndarray) -> np.ndarray:
        """Pixels above the baseline."""
        view = self._view
        if view.is_log:
            share = np.log1p(counts) / np.log1p(view.top)
        else:
            share = counts / view.top
        return _visible(np.minimum(share, 1.0) * self._area.height(), counts)

    # What is painted

    def _float(self) -> None:
        """The float values, and over them those that are lost to 0 or clipped."""
        shown, style = self._content.shown, self._style
        heights = self._height(shown.counts)
        share = heights / np.where(shown.counts > 0, shown.counts, 1.0)
        lost = shown.clipped + shown.flushed
        self._fill(heights, style.float_fill)
        self._fill(_visible(lost * share, lost), style.flushed)
        self._fill(_visible(shown.clipped * share, shown.clipped), style.clipped)

    def _fill(self, heights: np.ndarray, color: QtGui.QColor) -> None:
        if not heights.any():
            return
        x, y = outline(self._x(self._content.shown.edges), heights)
        self._painter.setPen(QtCore.Qt.NoPen)
        self._painter.setBrush(color)
        self._painter.drawPolygon(polygon(np.rint(x), np.rint(self._area.bottom() - y)))

    def _quantized(self) -> None:
        shown, style = self._content.shown, self._style
        if shown.window is None:
            self._outline(shown.edges, self._height(shown.counts), style.float_line, None)
        elif shown.levels is None:
            self._outline(shown.edges, self._height(shown.quantized), style.level, style.level_fill)
        else:
            cells = self._x(shown.level_edges)
            is_wide = cells[:, 1] - cells[:, 0] >= SPIKE_SPACING_PX
            heights = self._height(shown.level_heights)
            if not is_wide.all():
                dense = ~is_wide
                edges = np.append(shown.level_edges[dense, 0], shown.level_edges[dense, 1][-1])
                self._outline(edges, heights[dense], style.level, style.level_fill)
            if is_wide.any():
                self._spikes(shown.levels[is_wide], cells[is_wide], heights[is_wide])

    def _outline(self, edges: np.ndarray, heights: np.ndarray, line: QtGui.QColor,
                 fill: Optional[QtGui.QColor]) -> None:
        x, y = outline(self._x(edges), heights)
        self._painter.setPen(QtGui.QPen(line, 1))
        self._painter.setBrush(fill if fill is not None else QtCore.Qt.NoBrush)
        self._painter.drawPolygon(polygon(np.rint(x), np.rint(self._area.bottom() - y)))

    def _spikes(self, levels: np.ndarray, cells: np.ndarray, heights: np.ndarray) -> None:
        painter, bottom, center = self._painter, self._area.bottom(), np.rint(self._x(levels))
        width = np.clip(np.floor((cells[:, 1] - cells[:, 0]) * 0.35), 1, 3 + self._area.width() // 100)
        left = center - np.floor(width / 2)
        painter.setPen(QtCore.Qt.NoPen)
        painter.setBrush(self._style.unused)
        painter.drawPolygon(_comb(left, left + width, np.full(len(levels), VISIBLE_PX), bottom))
        painter.setBrush(self._style.level)
        painter.drawPolygon(_comb(left, left + width, np.where(heights > 0, np.maximum(heights, 3.0), 0.0), bottom))

    def _cut_mark(self) -> None:
        """Two slanted lines over the bin of 0 where it is higher than the tile."""
        shown, area = self._content.shown, self._area
        if self._view.is_log or shown.zero_bin < 0 or shown.counts[shown.zero_bin] <= self._view.top:
            return
        x = float(self._x(shown.edges[shown.zero_bin:shown.zero_bin + 2]).mean())
        self._painter.setPen(QtGui.QPen(self._style.base, 2))
        for offset in (5, 9):
            self._painter.drawLine(QtCore.QLineF(x - 7, area.top() + offset + 3, x + 7, area.top() + offset - 3))

    def _shade_outside(self) -> None:
        window = self._content.shown.window
        if window is None:
            return
        area, (low, high) = self._area, self._window_px(window)
        color = self._style.outside
        if low > area.left() and not self._content.shown.is_log2:
            self._painter.fillRect(QtCore.QRectF(area.left(), area.top(), low - area.left(), area.height()), color)
        if high < area.right():
            self._painter.fillRect(QtCore.QRectF(high, area.top(), area.right() - high, area.height()), color)

    def _window_px(self, window: Tuple[float, float]) -> Tuple[float, float]:
        low, high = np.rint(self._x(np.clip(window, -1e38, 1e38)))
        return float(low), float(high)

    def _window(self) -> None:
        window = self._content.shown.window
        if window is not None:
            self._bracket(window, QtGui.QPen(self._style.edge, 1), 0)

    def _bracket(self, window: Tuple[float, float], pen: QtGui.QPen, offset: int) -> None:
        """A bracket at each end of a window; an arrow where the end is outside the tile."""
        painter, area, (low, high) = self._painter, self._area, self._window_px(window)
        top, bottom, foot = area.top() + offset, area.bottom(), 5
        painter.setPen(pen)
        for x, inward in ((low, 1), (high, -1)):
            if area.left() - 1 <= x <= area.right() + 1:
                x = min(max(x, area.left()), area.right() - 1)
                painter.drawLine(QtCore.QLineF(x, top, x, bottom))
                painter.drawLine(QtCore.QLineF(x, top, x + inward * foot, top))
            elif np.isfinite(window[0 if inward > 0 else 1]):
                tip = area.left() + 1 if inward > 0 else area.right() - 2
                for slant in (-3, 3):
                    painter.drawLine(QtCore.QLineF(tip, top + 4, tip + inward * 4, top + 4 + slant))

    def _ghost(self) -> None:
        ghost, shown = self._content.ghost, self._content.shown
        if ghost is None or not ghost.scale > 0:
            return
        pen = QtGui.QPen(self._style.ghost, 1, QtCore.Qt.DashLine)
        if shown.is_log2:
            self._bracket(tuple(np.log2([ghost.scale / 2, max(abs(ghost.low), abs(ghost.high))])), pen, 3)
            return
        self._bracket((ghost.low, ghost.high), pen, 3)
        spacing = ghost.scale * self._area.width() / (self._view.high - self._view.low)
        if spacing >= SPIKE_SPACING_PX:
            first = max(ghost.low, self._view.low)
            steps = np.arange(np.ceil((first - ghost.low) / ghost.scale - 1e-6),
                              np.floor((min(ghost.high, self._view.high) - ghost.low) / ghost.scale + 1e-6) + 1)
            x = np.rint(self._x(ghost.low + steps * ghost.scale))
            self._painter.setPen(QtCore.Qt.NoPen)
            self._painter.setBrush(self._style.ghost)
            self._painter.drawPolygon(_comb(x - 1, x + 1, np.full(len(x), 6.0), self._area.bottom()))

    def _axis(self) -> None:
        painter, style, area = self._painter, self._style, self._area
        painter.setFont(style.small)
        for value, text in self._ticks():
            x = float(np.rint(self._x(value)))
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
            if sum(self._style.small_metrics.horizontalAdvance(text) for _, text in found) < 0.7 * width:
                break
        return found


def _visible(heights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """At least a little where there is a value at all."""
    return np.where(counts >= 0.5, np.maximum(heights, VISIBLE_PX), heights)


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
    bottom = np.rint(bottom)
    top = np.rint(bottom - heights)
    x = np.stack([left, left, right, right], axis=1).ravel()
    base = np.full(len(left), bottom)
    return polygon(x, np.stack([base, top, top, base], axis=1).ravel())
