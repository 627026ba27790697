"""Curves over a common axis, drawn with QPainter straight from NumPy arrays."""

from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np
from PyQt5 import QtCore, QtGui

Range = Tuple[float, float]

#: What lies further outside than this, in pixels, is drawn there: QPainter knows no infinity.
_OUTSIDE = 4000.0


class Curve(NamedTuple):
    """One curve, in the units of the axes.

    Attributes
    ----------
    x, y : np.ndarray
        float64 ``[n]``, ``x`` ascending; NaN interrupts the curve, an infinity leads out of the plot.
    low, high : np.ndarray or None
        The band of extremes behind it.
    color, band_color : QColor
    style : Qt.PenStyle
    dots : bool
        Mark the points, of curves that have few.
    minor : bool
        It does not count for the range of the axis.
    """

    x: np.ndarray
    y: np.ndarray
    low: Optional[np.ndarray]
    high: Optional[np.ndarray]
    color: QtGui.QColor
    band_color: Optional[QtGui.QColor] = None
    width: int = 1
    style: int = QtCore.Qt.SolidLine
    dots: bool = False
    minor: bool = False


def polygon(x: np.ndarray, y: np.ndarray) -> QtGui.QPolygonF:
    """The points as a polygon, without a loop in Python."""
    shape = QtGui.QPolygonF(len(x))
    if len(x):
        memory = shape.data()
        memory.setsize(16 * len(x))
        points = np.frombuffer(memory, np.float64).reshape(-1, 2)
        points[:, 0], points[:, 1] = x, y
    return shape


def blend(color: QtGui.QColor, onto: QtGui.QColor, share: float) -> QtGui.QColor:
    """``share`` (0..1) of ``color`` on ``onto``, opaque: faster to draw than a transparent colour."""
    mixed = (round(share * a + (1 - share) * b) for a, b in zip(color.getRgb()[:3], onto.getRgb()[:3]))
    return QtGui.QColor(*mixed)


def bounds(curves: Sequence[Curve], x_range: Range) -> Optional[Range]:
    """Smallest and largest finite value of the curves and their bands within ``x_range``; None where there is none."""
    lows, highs = [], []
    for curve in curves:
        part = _within(curve.x, x_range)
        low, high = (curve.y, curve.y) if curve.low is None else (curve.low, curve.high)
        for found, values, choose in ((lows, low, np.min), (highs, high, np.max)):
            finite = values[part][np.isfinite(values[part])]
            if len(finite):
                found.append(float(choose(finite)))
    return (min(lows + highs), max(lows + highs)) if lows and highs else None


def paint_curves(
    painter: QtGui.QPainter,
    rect: QtCore.QRectF,
    x_range: Range,
    y_range: Range,
    curves: Sequence[Curve],
    cut: bool = False,
) -> None:
    """Draw ``curves`` into ``rect``: all bands first, then the lines, the first curve on top.

    ``cut``: for painters that don't clip (SVG), what lies outside is left out.
    """
    painter.save()
    painter.setClipRect(rect)
    shown = [(curve, _within(curve.x, x_range, 0 if cut else 1)) for curve in reversed(curves)]
    painter.setBrush(QtCore.Qt.NoBrush)
    for curve, part in shown:
        if curve.low is not None and curve.band_color is not None:
            _paint_band(painter, rect, x_range, y_range, curve, part)
    for curve, part in shown:
        x, y = _pixels(rect, x_range, y_range, curve.x[part], curve.y[part])
        if cut:
            y = np.where((y < rect.top() - 1) | (y > rect.bottom() + 1), np.nan, y)
        _paint_line(painter, curve, x, y)
    painter.restore()


def _within(x: np.ndarray, x_range: Range, more: int = 0) -> slice:
    begin, end = np.searchsorted(x, x_range[0], "left") - more, np.searchsorted(x, x_range[1], "right") + more
    return slice(max(0, int(begin)), int(end))


def _pixels(rect: QtCore.QRectF, x_range: Range, y_range: Range, x: np.ndarray, y: np.ndarray):
    x_scale, y_scale = rect.width() / (x_range[1] - x_range[0]), rect.height() / (y_range[1] - y_range[0])
    return (
        np.clip(rect.left() + (x - x_range[0]) * x_scale, -_OUTSIDE, rect.right() + _OUTSIDE),
        np.clip(rect.bottom() - (y - y_range[0]) * y_scale, -_OUTSIDE, rect.bottom() + _OUTSIDE),
    )


def _paint_band(painter, rect, x_range, y_range, curve: Curve, part: slice) -> None:
    low, high = curve.low[part], curve.high[part]
    known = ~(np.isnan(low) | np.isnan(high))
    if not (high[known] > low[known]).any():
        return
    x, bottom = _pixels(rect, x_range, y_range, curve.x[part][known], low[known])
    _, top = _pixels(rect, x_range, y_range, curve.x[part][known], high[known])
    # A line up and down through every column of pixels: several times faster than to fill a polygon of many spikes.
    columns = np.arange(np.ceil(max(x[0], rect.left())), min(x[-1], rect.right()) + 1)
    y = np.stack([np.interp(columns, x, top), np.interp(columns, x, bottom)], axis=1).clip(rect.top(), rect.bottom())
    y[1::2] = y[1::2, ::-1].copy()
    painter.setPen(QtGui.QPen(curve.band_color, 1))
    painter.drawPolyline(polygon(np.repeat(columns, 2), y.ravel()))


def _paint_line(painter, curve: Curve, x: np.ndarray, y: np.ndarray) -> None:
    painter.setPen(QtGui.QPen(curve.color, 1, curve.style))
    known = ~np.isnan(y)
    if known.all():
        runs = [(x, y)]
    else:
        breaks = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
        runs = [(x[begin:end], y[begin:end]) for begin, end in breaks.reshape(-1, 2)]
    for run_x, run_y in runs:
        # Lines of one pixel have a fast path in QPainter; a wider one is drawn as several of them.
        for offset in range(curve.width):
            painter.drawPolyline(polygon(run_x, run_y + offset))
    if curve.dots:
        painter.setPen(QtGui.QPen(curve.color, 4, QtCore.Qt.SolidLine, QtCore.Qt.RoundCap))
        painter.drawPoints(polygon(x[known], y[known]))
