"""The axis below the evolution plots, which stays where it is when they are scrolled."""

from typing import Optional, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.panels.evolution.measures import left_of, paint_x_texts, ruler_of, small_font
from qatviz.gui.widgets.theme import Theme


class TimeRuler(QtWidgets.QWidget):
    """Ticks of the common x axis, and the place of the crosshair."""

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.theme = theme
        self.unit, self.crosshair_text = "step", ""
        self._x_range, self._edges, self._crosshair = (0.0, 1.0), (0.0, 1.0), None
        self.setFixedHeight(ruler_of(self.font()))
        self.setToolTip(
            "Steps of training, or seconds with pauses left out (see View).\n"
            "Wheel: zoom. Drag or arrow keys: move. Drag with Shift: a box. Double click: the whole run.\n"
            "F: follow the newest step."
        )

    def set_view(
        self, x_range: Tuple[float, float], left: float, right: float, unit: str, crosshair: Optional[float], text: str
    ) -> None:
        """Show ``x_range`` between the pixels ``left`` and ``right``; ``text`` at the crosshair."""
        state = x_range, (left, right), unit, crosshair, text
        if state != (self._x_range, self._edges, self.unit, self._crosshair, self.crosshair_text):
            self._x_range, self._edges, self.unit, self._crosshair, self.crosshair_text = state
            self.update()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        painter.fillRect(self.rect(), self.theme.color("base"))
        painter.setFont(small_font(self.font()))
        left, right = self._edges
        rect = QtCore.QRectF(left, 0, max(right - left, 1), 0)
        painter.setPen(self.theme.color("muted"))
        painter.drawText(QtCore.QRectF(8, 0, left_of(self.font()), self.height()), QtCore.Qt.AlignVCenter, self.unit)
        paint_x_texts(painter, rect, self._x_range, self.width())
        if self._crosshair is None or not self._x_range[0] <= self._crosshair <= self._x_range[1]:
            return
        low, high = self._x_range
        x = left + (self._crosshair - low) / (high - low) * rect.width()
        width = painter.fontMetrics().horizontalAdvance(self.crosshair_text) + 10
        tag = QtCore.QRectF(min(max(x - width / 2, 0), self.width() - width), 0, width, self.height() - 1)
        painter.fillRect(tag, self.theme.color("raised"))
        painter.setPen(self.theme.color("text"))
        painter.drawText(tag, QtCore.Qt.AlignCenter, self.crosshair_text)

    def changeEvent(self, event: QtCore.QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QtCore.QEvent.FontChange:
            self.setFixedHeight(ruler_of(self.font()))
