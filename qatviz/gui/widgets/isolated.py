"""Container that keeps changes of its content from laying out everything around it."""

from typing import Optional

from PyQt5 import QtCore, QtWidgets


class Isolated(QtWidgets.QWidget):
    """Container of one widget, which fills it; its surroundings are laid out again only if its minimum size changes.

    Every new text of a label invalidates all layouts up to the window, whose docks are then laid out again: several
    milliseconds each time, although the place of the label stays the same.
    """

    def __init__(self, content: QtWidgets.QWidget, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        content.setParent(self)
        #: The content, and its minimum size when the surroundings were last laid out for it.
        self._content, self._known = content, QtCore.QSize()
        self.setSizePolicy(content.sizePolicy())
        self.setFocusProxy(content)

    def sizeHint(self) -> QtCore.QSize:
        return self._content.sizeHint().expandedTo(self.minimumSizeHint())

    def minimumSizeHint(self) -> QtCore.QSize:
        content, minimum = self._content, self._content.minimumSizeHint()
        if content.sizePolicy().horizontalPolicy() == QtWidgets.QSizePolicy.Ignored:
            minimum.setWidth(0)
        return minimum.expandedTo(content.minimumSize()).boundedTo(content.maximumSize())

    def event(self, event: QtCore.QEvent) -> bool:
        # Without a layout of its own, the container receives this request and ends it.
        if event.type() == QtCore.QEvent.LayoutRequest:
            minimum = self.minimumSizeHint()
            if minimum != self._known:
                self._known = minimum
                self.updateGeometry()
        return super().event(event)

    def showEvent(self, event: QtCore.QEvent) -> None:
        super().showEvent(event)
        self._known = self.minimumSizeHint()
        self.updateGeometry()  # hidden, it receives no requests

    def resizeEvent(self, event: QtCore.QEvent) -> None:
        super().resizeEvent(event)
        self._content.setGeometry(self.rect())
