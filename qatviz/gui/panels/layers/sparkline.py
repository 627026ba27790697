"""Sparklines: a series of the whole run in a line of text, without axes."""

import time
from typing import Callable, Dict, Optional, Tuple

import numpy as np
from PyQt5 import QtCore, QtGui

from qatviz.gui.widgets.scene_painter import polygon
from qatviz.measures import MEASURES
from qatviz.telemetry.history import History, Series

#: Minimum difference that the height of a sparkline represents, so that noise stays flat.
MIN_SPAN_DB = MEASURES["sqnr_db"].axis.least_span
#: Interval (s) at which sparklines are read from the history: the whole run changes slowly.
REFRESH_S = 1.0
_MARGIN = 3.0


class Sparklines:
    """Sparklines of the series ``pattern.format(tensor)`` of a history, computed when they are first drawn.

    Parameters
    ----------
    pattern : str
        Pattern of names of series in dB, such as ``snapshot:{}/sqnr_db``.
    """

    def __init__(self, pattern: str, clock: Callable[[], float] = time.monotonic):
        self._pattern, self._clock = pattern, clock
        self._history: Optional[History] = None
        self._polygons: Dict[Tuple[str, int, int], Optional[QtGui.QPolygonF]] = {}
        self._refreshed = -np.inf

    def show(self, history: Optional[History]) -> None:
        """Show another history."""
        self._history = history
        self.refresh_if_old(at_once=True)

    def refresh_if_old(self, at_once: bool = False) -> bool:
        """Drop the cached curves unless they are recent; return whether they were dropped."""
        now = self._clock()
        if not at_once and now - self._refreshed < REFRESH_S:
            return False
        self._refreshed = now
        self._polygons.clear()
        return True

    def polygon(self, tensor: str, width: int, height: int) -> Optional[QtGui.QPolygonF]:
        """Return the curve in pixels from the upper left corner; None if there are fewer than two points."""
        key = (tensor, width, height)
        if key not in self._polygons:
            self._polygons[key] = self._compute(tensor, width, height)
        return self._polygons[key]

    def paint(
        self, painter: QtGui.QPainter, rect: QtCore.QRect, tensor: str, pen: QtGui.QPen, end: QtGui.QColor
    ) -> None:
        """Draw the curve of a tensor, with a dot of the colour ``end`` at its end."""
        polygon = self.polygon(tensor, rect.width(), rect.height())
        if polygon is None:
            return
        painter.translate(rect.topLeft())
        painter.setPen(pen)
        painter.drawPolyline(polygon)
        last = polygon.last()
        painter.fillRect(QtCore.QRectF(last.x() - 1.5, last.y() - 1.5, 3, 3), end)
        painter.translate(-rect.topLeft())

    def _compute(self, tensor: str, width: int, height: int) -> Optional[QtGui.QPolygonF]:
        name = self._pattern.format(tensor)
        if self._history is None or name not in self._history:
            return None
        points = normalized(self._history.series(name), max(width - 2 * int(_MARGIN), 2), MIN_SPAN_DB)
        if points is None:
            return None
        x, y = points
        return polygon(_MARGIN + x * (width - 2 * _MARGIN), height - _MARGIN - y * (height - 2 * _MARGIN))


def normalized(series: Series, count: int, min_span: float) -> Optional[Tuple[np.ndarray, np.ndarray]]:
    """Return at most ``count`` points of a series, scaled to 0..1 in steps and in values.

    The values' span is at least ``min_span``. Values that are not finite are omitted; None if fewer than two are left.
    """
    known = np.flatnonzero(np.isfinite(series.mean))
    if len(known) < 2:
        return None
    if len(known) > count:
        known = known[np.linspace(0, len(known) - 1, count).round().astype(np.intp)]
    x, y = series.last_step[known].astype(np.float64), series.mean[known].astype(np.float64)
    low, high = y.min(), y.max()
    span = max(high - low, min_span)
    return (x - x[0]) / (x[-1] - x[0]), (y - (low + high - span) / 2) / span
