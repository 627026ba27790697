"""Slider over the values of a setting; it can also show several of them (mixed)."""

from typing import Optional, Sequence

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.controls.holdable import Holdable
from qatviz.gui.widgets.controls.values import nearest_notch


class ValueSlider(Holdable, QtWidgets.QSlider):
    """Horizontal slider over ``values``; pressing anywhere moves the handle there and starts a drag.

    Several values at once are drawn as marks without a handle.
    """

    #: Emitted with the new value when the user changes it.
    edited = QtCore.pyqtSignal(object)

    def __init__(self, values: Sequence[float], parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(QtCore.Qt.Horizontal, parent)
        self._values = list(values)
        self._mixed: Sequence[int] = ()
        self.setRange(0, len(self._values) - 1)
        self.setPageStep(max(1, len(self._values) // 8))
        self.setFocusPolicy(QtCore.Qt.StrongFocus)
        self.setContextMenuPolicy(QtCore.Qt.NoContextMenu)  # the control has one
        self.setMinimumWidth(40)
        self.valueChanged.connect(self._on_value_changed)

    def set_values(self, values: Sequence[float]) -> None:
        """Show one value, or a mark for each of several."""
        places = sorted({nearest_notch(self._values, value) for value in values})
        blocker = QtCore.QSignalBlocker(self)
        self._mixed = places if len(set(values)) > 1 else ()
        self.setValue(places[0])
        blocker.unblock()
        self.update()

    def _on_value_changed(self, place: int) -> None:
        self._mixed = ()
        self.edited.emit(self._values[place])

    # Events

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        if event.button() != QtCore.Qt.LeftButton:
            event.ignore()
            return
        self._hold(True)
        handle = self.style().subControlRect(
            QtWidgets.QStyle.CC_Slider, self._option(), QtWidgets.QStyle.SC_SliderHandle, self
        )
        if self._mixed or not handle.contains(event.pos()):
            span = self.width() - handle.width()
            place = QtWidgets.QStyle.sliderValueFromPosition(
                self.minimum(), self.maximum(), event.x() - handle.width() // 2, span
            )
            if place == self.value() and self._mixed:
                self._on_value_changed(place)
            self.setValue(place)
        super().mousePressEvent(event)

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        if event.key() in (QtCore.Qt.Key_Left, QtCore.Qt.Key_Right, QtCore.Qt.Key_Up, QtCore.Qt.Key_Down):
            self._hold(True)
        super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QtGui.QKeyEvent) -> None:
        super().keyReleaseEvent(event)
        if not event.isAutoRepeat():
            self._hold(False)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        if not self._mixed:
            super().paintEvent(event)
            return
        option = self._option()
        style, painter = self.style(), QtWidgets.QStylePainter(self)
        handle = style.subControlRect(QtWidgets.QStyle.CC_Slider, option, QtWidgets.QStyle.SC_SliderHandle, self)
        option.subControls = QtWidgets.QStyle.SC_SliderGroove
        option.sliderPosition = option.minimum  # leaves the groove empty
        painter.drawComplexControl(QtWidgets.QStyle.CC_Slider, option)
        painter.setPen(QtGui.QPen(self.palette().color(QtGui.QPalette.WindowText), 2))
        for place in self._mixed:
            x = handle.width() // 2 + style.sliderPositionFromValue(
                self.minimum(), self.maximum(), place, self.width() - handle.width()
            )
            painter.drawLine(x, handle.top() + 3, x, handle.bottom() - 3)
        painter.end()

    def _option(self) -> QtWidgets.QStyleOptionSlider:
        option = QtWidgets.QStyleOptionSlider()
        self.initStyleOption(option)
        return option
