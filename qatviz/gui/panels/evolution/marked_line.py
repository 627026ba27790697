"""Line beside a plot whose parts can be pointed at: the legend, and the strip of markers."""

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.labels import plain_tip


class MarkedLine(QtWidgets.QWidget):
    """Widget with a tooltip for each of its parts; it is repainted when it gets or loses the focus."""

    def tip_at(self, point: QtCore.QPoint) -> str:
        """Return the text of the tooltip at ``point``."""
        raise NotImplementedError

    def event(self, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.ToolTip:
            QtWidgets.QToolTip.showText(event.globalPos(), plain_tip(self.tip_at(event.pos())), self)
            return True
        return super().event(event)

    def focusInEvent(self, event: QtGui.QFocusEvent) -> None:
        self.update()

    def focusOutEvent(self, event: QtGui.QFocusEvent) -> None:
        self.update()
