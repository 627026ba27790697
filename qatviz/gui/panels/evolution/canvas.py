"""One plot over the common time axis: what is drawn, and what the mouse asks for."""

from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.panels.evolution.measures import left_of, paint_x_texts, ruler_of, small_font, x_ticks
from qatviz.gui.widgets.curves import Curve, blend, bounds, paint_curves
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.series import steady_range
from qatviz.presentation.ticks import linear_ticks, log_ticks

#: Pixels around a plot.
MARGIN = 3
#: A logarithmic axis shows this much below the main curves, in powers of ten: parts of them may be as good as 0.
_DECADES_BELOW = 2
#: Room below 0 where nothing is negative, as a share of the axis above it.
_BELOW_ZERO = 0.05
#: A logarithmic axis shows at least a factor of 2.
_LEAST_DECADES = 0.3
#: A click, not a drag, if the mouse moved no further.
CLICK_PIXELS = 4
_BOX_PIXELS = 12
_ZOOM_PER_NOTCH = 0.8
#: Share of what is in view by which an arrow key or a notch of the wheel moves.
_PANNED_SHARE = 0.1


class VerticalLine:
    """A marker's line: where, and its colour by name in the theme."""

    def __init__(self, x: float, color: str, selected: bool):
        self.x, self.color, self.selected = x, color, selected

    def __eq__(self, other):
        return vars(self) == vars(other)

    __hash__ = None


class Canvas(QtWidgets.QWidget):
    """Curves, grid, markers' lines and the crosshair.

    What the user asks for with the mouse concerns all plots, so it is told by signals, in units of the x axis.
    """

    hovered = QtCore.pyqtSignal(object)  # x, or None when the mouse has left
    panned = QtCore.pyqtSignal(float)
    zoomed = QtCore.pyqtSignal(float, float)  # factor, at x
    boxed = QtCore.pyqtSignal(float, float)
    clicked = QtCore.pyqtSignal(float, float)  # x, and how far 4 pixels are
    all_asked = QtCore.pyqtSignal()

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.theme = theme
        self.curves: List[Curve] = []
        self.lines: List[VerticalLine] = []
        self.x_range: Tuple[float, float] = (0.0, 1.0)
        self.y_range: Optional[Tuple[float, float]] = None
        self.log = self.y_fixed = self.boxes = False
        self.alone = False  # the next drawing is a figure of its own, with an axis
        self.x_name = "step"
        self._left, self._ruler = left_of(self.font()), ruler_of(self.font())
        self.limits, self.least = (-np.inf, np.inf), 0.0
        self.note = ""
        self.crosshair: Optional[float] = None
        self.tip_of: Optional[Callable[[float, float], str]] = None
        self._still: Optional[QtGui.QPixmap] = None
        self._pressed: Optional[QtCore.QPoint] = None
        self._box: Optional[QtCore.QRect] = None
        self._moved = self._boxing = False
        self.setMouseTracking(True)
        self.setFocusPolicy(QtCore.Qt.StrongFocus)
        self.setCursor(QtCore.Qt.CrossCursor)
        self.setMinimumSize(120, 46)

    # What is drawn

    def set_curves(self, curves: Sequence[Curve], x_range: Tuple[float, float], log: bool) -> None:
        """Draw these curves over ``x_range``; ``log``: their values are powers of ten. The y axis follows, steadily."""
        if log != self.log:
            self.y_range, self.y_fixed = None, False
        self.curves, self.x_range, self.log = list(curves), x_range, log
        if not self.y_fixed:
            found = self._bounds()
            if found is not None:
                low, high = steady_range(self.y_range, *found)
                if found[0] >= 0 and not self.log:
                    low = max(low, -_BELOW_ZERO * high)
                self.y_range = max(low, self.limits[0]), min(high, self.limits[1])
        self.changed()

    def _bounds(self) -> Optional[Tuple[float, float]]:
        """What the axis has to show."""
        every = bounds(self.curves, self.x_range)
        main = bounds([curve for curve in self.curves if not curve.minor], self.x_range)
        if every is None:
            return None
        low, high = every
        if main is not None and self.log:
            low = max(low, main[0] - _DECADES_BELOW)
        missing = (_LEAST_DECADES if self.log else self.least) - (high - low)
        return (low - missing / 2, high + missing / 2) if missing > 0 else (low, high)

    def set_lines(self, lines: Sequence[VerticalLine]) -> None:
        """The lines of the markers."""
        if list(lines) != self.lines:
            self.lines = list(lines)
            self.changed()

    def set_crosshair(self, x: Optional[float]) -> None:
        """Show the crosshair at ``x``, or not at all."""
        if x != self.crosshair:
            self.crosshair = x
            self.update()

    def show_all_values(self) -> None:
        """The y axis follows the curves again."""
        self.y_range, self.y_fixed = None, False
        self.set_curves(self.curves, self.x_range, self.log)

    def changed(self) -> None:
        """What stands still has to be drawn again."""
        self._still = None
        self.update()

    @property
    def plot_rect(self) -> QtCore.QRectF:
        """Where the curves are."""
        below = self._ruler if self.alone else MARGIN
        return QtCore.QRectF(
            self._left, MARGIN, max(self.width() - self._left - 2 * MARGIN, 1), max(self.height() - MARGIN - below, 1)
        )

    def x_at(self, pixel: float) -> float:
        rect = self.plot_rect
        return self.x_range[0] + (pixel - rect.left()) * (self.x_range[1] - self.x_range[0]) / rect.width()

    def pixel_of(self, x: float) -> float:
        rect = self.plot_rect
        return rect.left() + (x - self.x_range[0]) * rect.width() / (self.x_range[1] - self.x_range[0])

    # Drawing

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        ratio = self.devicePixelRatioF()
        other = painter.paintEngine().type() != QtGui.QPaintEngine.Raster or (
            abs(painter.deviceTransform().m11() - ratio) > 1e-3
        )
        if other or self.alone:
            self._paint(painter, True)
            self.alone = False
            return
        if self._still is None or self._still.size() != self.size() * ratio:
            self._still = QtGui.QPixmap(self.size() * ratio)
            self._still.setDevicePixelRatio(ratio)
            still = QtGui.QPainter(self._still)
            still.setFont(self.font())
            self._paint(still, False)
            still.end()
        painter.drawPixmap(0, 0, self._still)
        rect = self.plot_rect
        if self.crosshair is not None and self.x_range[0] <= self.crosshair <= self.x_range[1]:
            x = round(self.pixel_of(self.crosshair))
            painter.setPen(QtGui.QPen(self.theme.color("text"), 1, QtCore.Qt.DotLine))
            painter.drawLine(x, int(rect.top()), x, int(rect.bottom()))
        if self._box is not None:
            painter.setPen(self.theme.color("accent"))
            painter.setBrush(self.theme.color("accent", 50))
            painter.drawRect(self._box)

    def _paint(self, painter: QtGui.QPainter, is_figure: bool) -> None:
        rect, base, line = self.plot_rect, self.theme.color("base"), self.theme.color("line")
        painter.fillRect(self.rect(), base)
        painter.setFont(small_font(self.font()))
        self._paint_grid(painter, rect, blend(line, base, 0.45))
        for marker in self.lines:
            if self.x_range[0] <= marker.x <= self.x_range[1]:
                color = self.theme.color(marker.color)
                style = QtCore.Qt.SolidLine if marker.selected else QtCore.Qt.DashLine
                painter.setPen(
                    QtGui.QPen(
                        color if marker.selected else blend(color, base, 0.6), 2 if marker.selected else 1, style
                    )
                )
                pixel = round(self.pixel_of(marker.x))
                painter.drawLine(pixel, int(rect.top()), pixel, int(rect.bottom()))
        if self.y_range is not None:
            paint_curves(painter, rect, self.x_range, self.y_range, self.curves, is_figure)
        painter.setPen(self.theme.color("muted"))
        if self.note:
            painter.drawText(rect, QtCore.Qt.AlignCenter | QtCore.Qt.TextWordWrap, self.note)
        if self.alone:
            paint_x_texts(painter, rect, self.x_range, self.width())
            painter.drawText(
                QtCore.QRectF(8, rect.bottom() + 1, self._left, self._ruler - 2), QtCore.Qt.AlignVCenter, self.x_name
            )
        painter.setPen(self.theme.color("accent") if self.hasFocus() and not is_figure else line)
        painter.setBrush(QtCore.Qt.NoBrush)
        painter.drawRect(rect)

    def _paint_grid(self, painter: QtGui.QPainter, rect: QtCore.QRectF, faint: QtGui.QColor) -> None:
        height, muted = painter.fontMetrics().height(), self.theme.color("muted")
        if self.y_range is not None:
            make, (low, high) = log_ticks if self.log else linear_ticks, self.y_range
            for y, text in make(low, high, max(2, int(rect.height() / (1.5 * height)))):
                pixel = rect.bottom() - (y - low) / (high - low) * rect.height()
                painter.setPen(faint)
                painter.drawLine(QtCore.QPointF(rect.left(), pixel), QtCore.QPointF(rect.right(), pixel))
                painter.setPen(muted)
                top = min(max(pixel - height / 2, 0), self.height() - height)
                painter.drawText(QtCore.QRectF(0, top, self._left - 5, height), QtCore.Qt.AlignRight, text)
        painter.setPen(faint)
        for x, _ in x_ticks(rect, self.x_range):
            pixel = self.pixel_of(x)
            painter.drawLine(QtCore.QPointF(pixel, rect.top()), QtCore.QPointF(pixel, rect.bottom()))

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        super().resizeEvent(event)
        self.changed()

    # The mouse

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        notches = (event.angleDelta().y() or event.angleDelta().x()) / 120.0
        factor = _ZOOM_PER_NOTCH**notches
        if event.modifiers() & QtCore.Qt.ControlModifier and self.y_range is not None:
            rect, (low, high) = self.plot_rect, self.y_range
            at = low + (rect.bottom() - event.pos().y()) / rect.height() * (high - low)
            self._fix_y(at - (at - low) * factor, at + (high - at) * factor)
        elif event.modifiers() & QtCore.Qt.ShiftModifier:
            self.panned.emit(-notches * _PANNED_SHARE * (self.x_range[1] - self.x_range[0]))
        else:
            self.zoomed.emit(factor, self.x_at(event.pos().x()))
        event.accept()

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        if event.button() == QtCore.Qt.LeftButton:
            self._pressed, self._moved = event.pos(), False
            self._boxing = self.boxes != bool(event.modifiers() & QtCore.Qt.ShiftModifier)

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        if self._pressed is None:
            inside = self.plot_rect.left() <= event.pos().x() <= self.plot_rect.right()
            self.hovered.emit(self.x_at(event.pos().x()) if inside else None)
            return
        if not self._moved and (event.pos() - self._pressed).manhattanLength() <= CLICK_PIXELS:
            return
        self._moved = True
        if self._boxing:
            self._box = QtCore.QRect(self._pressed, event.pos()).normalized() & self.plot_rect.toRect()
            self.update()
        else:
            self.panned.emit(self.x_at(self._pressed.x()) - self.x_at(event.pos().x()))
            self._pressed = event.pos()

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent) -> None:
        if event.button() != QtCore.Qt.LeftButton or self._pressed is None:
            return
        box, self._box, pressed, self._pressed = self._box, None, self._pressed, None
        if not self._moved:
            self.clicked.emit(self.x_at(pressed.x()), abs(self.x_at(CLICK_PIXELS) - self.x_at(0)))
        elif box is not None and box.width() >= _BOX_PIXELS:
            if box.height() >= _BOX_PIXELS and self.y_range is not None:
                rect, (low, high) = self.plot_rect, self.y_range
                scale = (high - low) / rect.height()
                self._fix_y(*(low + (rect.bottom() - y) * scale for y in (box.bottom(), box.top())))
            self.boxed.emit(self.x_at(box.left()), self.x_at(box.right()))
        self.update()

    def mouseDoubleClickEvent(self, event: QtGui.QMouseEvent) -> None:
        if event.button() == QtCore.Qt.LeftButton:
            self._pressed = None
            self.all_asked.emit()

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        direction = {QtCore.Qt.Key_Left: -1, QtCore.Qt.Key_Right: 1}.get(event.key())
        if direction is None:
            super().keyPressEvent(event)
            return
        self.panned.emit(direction * _PANNED_SHARE * (self.x_range[1] - self.x_range[0]))

    def focusInEvent(self, event: QtGui.QFocusEvent) -> None:
        self.changed()

    def focusOutEvent(self, event: QtGui.QFocusEvent) -> None:
        self.changed()

    def changeEvent(self, event: QtCore.QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QtCore.QEvent.FontChange:
            self._left, self._ruler = left_of(self.font()), ruler_of(self.font())
            self.changed()

    def leaveEvent(self, event: QtCore.QEvent) -> None:
        self.hovered.emit(None)

    def event(self, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.ToolTip and self.tip_of is not None:
            text = self.tip_of(self.x_at(event.pos().x()), abs(self.x_at(CLICK_PIXELS) - self.x_at(0)))
            QtWidgets.QToolTip.showText(event.globalPos(), text, self)
            return True
        return super().event(event)

    def _fix_y(self, low: float, high: float) -> None:
        if high - low > 1e-9 * max(abs(low), abs(high), 1e-30):
            self.y_range, self.y_fixed = (low, high), True
            self.changed()
