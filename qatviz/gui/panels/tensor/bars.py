"""Many rectangles or strokes as one item."""

from typing import List

import numpy as np
import pyqtgraph as pg
from PyQt5 import QtCore, QtGui

#: A bar that stands for something is at least so high, in pixels: one value among thousands is still seen to be there.
LEAST_HEIGHT = 2.0


class Bars(pg.GraphicsObject):
    """Upright rectangles in one colour, drawn as such: filled paths of as many corners take 50 times as long.

    Attributes
    ----------
    boxes : np.ndarray
        float64 ``[n, 4]``: left, right, lower and upper edge of each.
    """

    def __init__(self):
        super().__init__()
        self._rects, self._bounds = [], QtCore.QRectF()
        self._brush = QtGui.QBrush()
        self.boxes = np.zeros((0, 4))

    def set_brush(self, color: QtGui.QColor) -> None:
        self._brush = QtGui.QBrush(color)
        self.update()

    def set_histogram(self, edges: np.ndarray, heights: np.ndarray) -> None:
        """A bar for each bin that holds something."""
        held = heights > 0
        self.set_bars(edges[:-1][held], edges[1:][held], 0.0, heights[held])

    def set_bars(self, left: np.ndarray, right: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        """Edges of each bar, ``[n]`` each (or one for all)."""
        parts = np.broadcast_arrays(*[np.asarray(part, np.float64) for part in (left, right, low, high)])
        self.boxes = np.stack(parts, axis=-1).reshape(-1, 4)
        self.prepareGeometryChange()
        left, right, low, high = self.boxes.T
        corners_and_sizes = (left, low, right - left, high - low)
        self._rects = list(map(QtCore.QRectF, *[part.tolist() for part in corners_and_sizes]))
        self._bounds = QtCore.QRectF()
        if self._rects:
            corner = QtCore.QPointF(left.min(), low.min())
            self._bounds = QtCore.QRectF(corner, QtCore.QPointF(right.max(), high.max()))

    def boundingRect(self) -> QtCore.QRectF:
        return self._bounds

    def paint(self, painter: QtGui.QPainter, *_) -> None:
        painter.setRenderHint(QtGui.QPainter.Antialiasing, False)
        painter.setPen(QtCore.Qt.NoPen)
        painter.setBrush(self._brush)
        if self._rects:
            painter.drawRects(self._seen(LEAST_HEIGHT / max(abs(painter.worldTransform().m22()), 1e-12)))

    def _seen(self, least: float) -> List[QtCore.QRectF]:
        """The rectangles, those lower than ``least`` made so high."""
        heights = self.boxes[:, 3] - self.boxes[:, 2]
        rects = list(self._rects)
        for i in np.flatnonzero((heights > 0) & (heights < least)):
            rects[i] = QtCore.QRectF(rects[i])
            rects[i].setHeight(least)
        return rects


def lines(low: np.ndarray, high: np.ndarray, at: np.ndarray):
    """``x`` and ``y`` of upright strokes at ``at``, to be drawn with ``connect="pairs"``."""
    x = np.repeat(np.asarray(at, np.float64), 2)
    y = np.stack(
        np.broadcast_arrays(np.asarray(low, np.float64), np.asarray(high, np.float64), np.asarray(at, np.float64))[:2],
        axis=-1,
    ).reshape(-1)
    return x, y
