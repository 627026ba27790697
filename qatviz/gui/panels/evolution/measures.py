"""Sizes that all parts of the evolution panel share, and the numbers of the time axis."""

from typing import List, Tuple

from PyQt5 import QtCore, QtGui

from qatviz.presentation.ticks import Tick, linear_ticks

_PIXELS_PER_TICK = 90


def small_font(font: QtGui.QFont) -> QtGui.QFont:
    """The font of numbers on axes."""
    small = QtGui.QFont(font)
    small.setPointSizeF(max(6.5, font.pointSizeF() - 1.5))
    return small


def left_of(font: QtGui.QFont) -> int:
    """Pixels left of a plot, for the numbers: the same for all, so that their curves are below each other."""
    return QtGui.QFontMetrics(small_font(font)).horizontalAdvance("-0.00000") + 8


def ruler_of(font: QtGui.QFont) -> int:
    """Height of the time axis, in pixels."""
    return QtGui.QFontMetrics(small_font(font)).height() + 4


def x_ticks(rect: QtCore.QRectF, x_range: Tuple[float, float]) -> List[Tick]:
    """Ticks of the time axis over ``rect``: the same for all plots and the axis below them."""
    return linear_ticks(x_range[0], x_range[1], max(2, int(rect.width() / _PIXELS_PER_TICK)))


def paint_x_texts(painter: QtGui.QPainter, rect: QtCore.QRectF, x_range: Tuple[float, float], width: int) -> None:
    """Write the numbers of the time axis below ``rect``, on a widget as wide as ``width``."""
    for x, text in x_ticks(rect, x_range):
        pixel = rect.left() + (x - x_range[0]) * rect.width() / (x_range[1] - x_range[0])
        half = painter.fontMetrics().horizontalAdvance(text) / 2 + 1
        left = min(max(pixel - half, 0), width - 2 * half)
        painter.drawText(
            QtCore.QRectF(left, rect.bottom() + 1, 2 * half, painter.fontMetrics().height() + 2),
            QtCore.Qt.AlignCenter,
            text,
        )
