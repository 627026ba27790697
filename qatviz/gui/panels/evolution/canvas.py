"""Canvas of one plot over the common time axis: drawing and mouse."""

from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.panels.evolution.time_axis import left_margin, ruler_height
from qatviz.gui.widgets.arrow_keys import HORIZONTAL
from qatviz.gui.widgets.labels import plain_tip
from qatviz.gui.widgets.scene_widget import SceneWidget
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.chart import (
    Axis,
    Curve,
    Frame,
    Marker,
    border,
    curve_shapes,
    grid,
    marker_shapes,
    outside_marks,
    value_range,
    x_labels,
)
from qatviz.presentation.scene import SMALL, Shape

#: Space around a plot, px.
MARGIN = 3
#: Maximum movement of the mouse during a click, px; beyond it, it is a drag.
CLICK_PIXELS = 4
_BOX_PIXELS = 12
_ZOOM_PER_NOTCH = 0.8
#: Fraction of the visible part by which an arrow key or a notch of the wheel pans.
_PAN_FRACTION = 0.1


class Canvas(SceneWidget):
    """Curves, grid, marker lines and crosshair.

    The mouse controls all plots together through their owner; its signals are in units of the x axis.
    """

    #: Emitted with x under the mouse, or None when the mouse has left.
    hovered = QtCore.pyqtSignal(object)
    #: Emitted with the distance of a horizontal drag.
    panned = QtCore.pyqtSignal(float)
    #: Emitted with a factor, and the x that keeps its place.
    zoomed = QtCore.pyqtSignal(float, float)
    #: Emitted with the ends of a box.
    boxed = QtCore.pyqtSignal(float, float)
    #: Emitted with the x of a click, and the width of 4 pixels.
    clicked = QtCore.pyqtSignal(float, float)
    #: Emitted when the user wants to see the whole run.
    whole_run_requested = QtCore.pyqtSignal()

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(theme, parent)
        self.curves: List[Curve] = []
        self.markers: List[Marker] = []
        self.x_range: Tuple[float, float] = (0.0, 1.0)
        self.y_range: Optional[Tuple[float, float]] = None
        self.axis = Axis()
        self.y_fixed = self.boxes = False
        self.alone = False  # whether the next drawing is a separate figure, with an axis
        self.x_name = "step"
        self.note = ""
        self.crosshair: Optional[float] = None
        self.moments: Tuple[Tuple[float, str], ...] = ()
        self.tip_of: Optional[Callable[[float, float], str]] = None
        self._pressed: Optional[QtCore.QPoint] = None
        self._box: Optional[QtCore.QRect] = None
        self._moved = self._boxing = False
        self.setMouseTracking(True)
        self.setFocusPolicy(QtCore.Qt.StrongFocus)
        self.setCursor(QtCore.Qt.CrossCursor)
        self.setMinimumSize(120, 46)

    # Contents

    def set_curves(self, curves: Sequence[Curve], x_range: Tuple[float, float], axis: Axis) -> None:
        """Draw ``curves`` over ``x_range``; the y range follows them in large steps."""
        if axis.log != self.axis.log:
            self.y_range, self.y_fixed = None, False
        self.curves, self.x_range, self.axis = list(curves), x_range, axis
        if not self.y_fixed:
            self.y_range = value_range(self.curves, x_range, axis, self.y_range) or self.y_range
        self.changed()

    def set_markers(self, markers: Sequence[Marker]) -> None:
        """Draw ``markers``."""
        if list(markers) != self.markers:
            self.markers = list(markers)
            self.changed()

    def set_crosshair(self, x: Optional[float]) -> None:
        """Show the crosshair at ``x``; hide it for None."""
        if x != self.crosshair:
            self.crosshair = x
            self.update()

    def set_moments(self, moments: Tuple[Tuple[float, str], ...]) -> None:
        """Show lines at moments of the past: places and roles of their colours."""
        if moments != self.moments:
            self.moments = moments
            self.update()

    def show_all_values(self) -> None:
        """Fit the y axis to the curves again."""
        self.y_range, self.y_fixed = None, False
        self.set_curves(self.curves, self.x_range, self.axis)

    @property
    def plot_rect(self) -> QtCore.QRectF:
        """The rectangle of the curves."""
        left, top, right, bottom = self.frame.rect
        return QtCore.QRectF(left, top, right - left, bottom - top)

    @property
    def frame(self) -> Frame:
        """The plot and its axes."""
        metrics = self.metrics
        below = ruler_height(metrics) if self.alone else MARGIN
        left = left_margin(metrics)
        right, bottom = max(self.width() - 2 * MARGIN, left + 1), max(self.height() - below, MARGIN + 1)
        return Frame(left, MARGIN, right, bottom, self.x_range, self.y_range or (0.0, 1.0))

    def x_at(self, pixel: float) -> float:
        frame = self.frame
        return self.x_range[0] + (pixel - frame.left) / frame.x_scale

    def pixel_of(self, x: float) -> float:
        return float(self.frame.x(np.float64(x)))

    # Drawing

    def shapes(self, is_figure: bool) -> List[Shape]:
        frame, metrics, has_values = self.frame, self.metrics, self.y_range is not None
        shapes = grid(frame, self.axis.log, metrics, self.height(), has_values)
        shapes += marker_shapes(frame, self.markers)
        if has_values:
            shapes.append(curve_shapes(frame, self.curves))
            shapes += outside_marks(frame, self.curves, self.axis, metrics)
        if self.alone:
            shapes += x_labels(frame, self.width(), metrics, self.x_name)
        return [*shapes, border(frame, "accent" if self.hasFocus() and not is_figure else "line")]

    def paint_over(self, painter: QtGui.QPainter) -> None:
        rect = self.plot_rect
        for place, role in self.moments:
            if self.x_range[0] <= place <= self.x_range[1]:
                x = round(self.pixel_of(place))
                painter.setPen(QtGui.QPen(self.theme.color(role), 2))
                painter.drawLine(x, int(rect.top()), x, int(rect.bottom()))
        if self.crosshair is not None and self.x_range[0] <= self.crosshair <= self.x_range[1]:
            x = round(self.pixel_of(self.crosshair))
            painter.setPen(QtGui.QPen(self.theme.color("text"), 1, QtCore.Qt.DotLine))
            painter.drawLine(x, int(rect.top()), x, int(rect.bottom()))
        if self._box is not None:
            painter.setPen(self.theme.color("accent"))
            painter.setBrush(self.theme.color("accent", 50))
            painter.drawRect(self._box)

    def _is_figure(self, painter: QtGui.QPainter) -> bool:
        return self.alone or super()._is_figure(painter)

    def _paint(self, painter: QtGui.QPainter, is_figure: bool) -> None:
        super()._paint(painter, is_figure)
        if self.note:
            painter.setFont(self.scenes.fonts[SMALL])
            painter.setPen(self.theme.color("muted"))
            painter.drawText(self.plot_rect, QtCore.Qt.AlignCenter | QtCore.Qt.TextWordWrap, self.note)
        if is_figure:
            self.alone = False

    # The mouse

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        notches = (event.angleDelta().y() or event.angleDelta().x()) / 120.0
        factor = _ZOOM_PER_NOTCH**notches
        if event.modifiers() & QtCore.Qt.ControlModifier and self.y_range is not None:
            rect, (low, high) = self.plot_rect, self.y_range
            at = low + (rect.bottom() - event.pos().y()) / rect.height() * (high - low)
            self._fix_y(at - (at - low) * factor, at + (high - at) * factor)
        elif event.modifiers() & QtCore.Qt.ShiftModifier:
            self.panned.emit(-notches * _PAN_FRACTION * (self.x_range[1] - self.x_range[0]))
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
            self.whole_run_requested.emit()

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        direction = HORIZONTAL.get(event.key())
        if direction is None:
            super().keyPressEvent(event)
            return
        self.panned.emit(direction * _PAN_FRACTION * (self.x_range[1] - self.x_range[0]))

    def focusInEvent(self, event: QtGui.QFocusEvent) -> None:
        self.changed()

    def focusOutEvent(self, event: QtGui.QFocusEvent) -> None:
        self.changed()

    def leaveEvent(self, event: QtCore.QEvent) -> None:
        self.hovered.emit(None)

    def event(self, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.WindowDeactivate:  # a dialog opens, and the mouse leaves without an event
            self.hovered.emit(None)
        if event.type() == QtCore.QEvent.ToolTip and self.tip_of is not None:
            text = self.tip_of(self.x_at(event.pos().x()), abs(self.x_at(CLICK_PIXELS) - self.x_at(0)))
            QtWidgets.QToolTip.showText(event.globalPos(), plain_tip(text), self)
            return True
        return super().event(event)

    def _fix_y(self, low: float, high: float) -> None:
        if high - low > 1e-9 * max(abs(low), abs(high), 1e-30):
            self.y_range, self.y_fixed = (low, high), True
            self.changed()
