"""Input that can be held: what the mouse and arrow keys of a number box and of a slider have in common."""

from typing import TYPE_CHECKING

from PyQt5 import QtCore, QtGui, QtWidgets

if TYPE_CHECKING:

    class _Widget(QtWidgets.QWidget):
        """Widget that is held, as mypy sees it."""

else:
    _Widget = object  # PyQt5 allows a single Qt class among the bases, which is that of the widget


class Holdable(_Widget):
    """Mixin for a widget that a mouse button or an arrow key holds; it ignores the wheel without the focus."""

    #: Emitted with True when a button or an arrow key is pressed, with False when it is released.
    held = QtCore.pyqtSignal(bool)

    is_held = False

    def _hold(self, is_held: bool) -> bool:
        """Set whether the widget is held; return whether that is a change."""
        if is_held == self.is_held:
            return False
        self.is_held = is_held
        self.held.emit(is_held)
        return True

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()  # the wheel scrolls the panel

    def focusOutEvent(self, event: QtGui.QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._hold(False)

    def changeEvent(self, event: QtCore.QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QtCore.QEvent.EnabledChange and not self.isEnabled():
            self._hold(False)

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        self._hold(False)
