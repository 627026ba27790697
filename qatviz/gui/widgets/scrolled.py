"""Scroll area of a widget that scrolls only if it has no room."""

from PyQt5 import QtCore, QtWidgets

#: Largest part of the screen that the contents of a dialog need; the rest is for its buttons and its frame.
_SCREEN_PART = 0.8


def screen_room() -> QtCore.QSize:
    """Return the largest minimum size of a dialog's contents, with which the dialog fits on the screen."""
    return QtWidgets.QApplication.primaryScreen().availableSize() * _SCREEN_PART


class Scrolled(QtWidgets.QScrollArea):
    """Scroll area that its content fills; it scrolls only where a part of the content would be cut.

    The surroundings are laid out again only if the minimum size changes: every new text of a label in the content would
    otherwise do so, which takes several milliseconds.

    Parameters
    ----------
    content : QWidget
        Widget with a layout.
    """

    #: Emitted when the content needs more or less room than before.
    need_changed = QtCore.pyqtSignal()

    def __init__(self, content: QtWidgets.QWidget):
        super().__init__(frameShape=QtWidgets.QFrame.NoFrame)
        self._content, self._known = content, QtCore.QSize()
        self._limit = QtCore.QSize(QtWidgets.QWIDGETSIZE_MAX, QtWidgets.QWIDGETSIZE_MAX)
        self.setFocusPolicy(QtCore.Qt.NoFocus)
        self._show_content()

    def set_content(self, content: QtWidgets.QWidget) -> None:
        """Show other content; the previous one is deleted."""
        self._content = content
        self._show_content()
        if self.isVisible():
            self._fit()
            self._tell_need()

    def _show_content(self) -> None:
        self.setFocusProxy(self._content)
        self.setWidget(self._content)
        self._content.setAutoFillBackground(False)  # that of the surroundings is the same
        self._content.show()

    def limit_minimum(self, size: QtCore.QSize) -> None:
        """Let the area be as small as ``size``, where the content scrolls."""
        if size != self._limit:
            self._limit = size
            self.updateGeometry()

    def needed_size(self) -> QtCore.QSize:
        """Return the size at which the content is whole, or scrolls vertically if it is higher than the limit."""
        size = self._content.minimumSizeHint()
        if self._height_at(size.width()) > self._limit.height():
            size += QtCore.QSize(self._bar_px(), 0)
        return size

    def minimumSizeHint(self) -> QtCore.QSize:
        return self.needed_size().boundedTo(self._limit)

    def sizeHint(self) -> QtCore.QSize:
        return self._content.sizeHint().expandedTo(self.minimumSizeHint())

    def event(self, event: QtCore.QEvent) -> bool:
        # The content's requests end here, because the viewport has no layout.
        if event.type() == QtCore.QEvent.LayoutRequest:
            self._fit()
            self._tell_need()
        return super().event(event)

    def showEvent(self, event: QtCore.QEvent) -> None:
        super().showEvent(event)
        self._known = self.needed_size()
        self.updateGeometry()  # hidden, it receives no requests
        self._fit()

    def resizeEvent(self, event: QtCore.QEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _tell_need(self) -> None:
        need = self.needed_size()
        if need != self._known:
            self._known = need
            self.need_changed.emit()
            self.updateGeometry()

    def _fit(self) -> None:
        """Let the content fill the area, or be as large as it needs."""
        room, least, bar = self.maximumViewportSize(), self._content.minimumSizeHint().width(), self._bar_px()
        if self._height_at(max(room.width(), least)) > room.height() - (bar if least > room.width() else 0):
            room -= QtCore.QSize(bar, 0)
        if least > room.width():
            room -= QtCore.QSize(0, bar)
        width = max(room.width(), least)
        self._content.resize(width, max(room.height(), self._height_at(width)))

    def _height_at(self, width: int) -> int:
        """Return the height that the content needs at a width, at which some of its lines may be wrapped."""
        return max(self._content.minimumSizeHint().height(), _least_height(self._content.layout(), width))

    def _bar_px(self) -> int:
        return self.verticalScrollBar().sizeHint().width()


def _least_height(layout: QtWidgets.QLayout, width: int) -> int:
    """Return the height that a layout needs at a width.

    Qt counts the preferred height of a widget whose lines are wrapped, instead of the least; a widget that fills the
    layout alone is therefore asked itself.
    """
    inner = layout.itemAt(0).widget() if layout.count() == 1 else None
    if inner is None or inner.layout() is None:
        return layout.minimumHeightForWidth(width)
    margins = layout.contentsMargins()
    return _least_height(inner.layout(), width - margins.left() - margins.right()) + margins.top() + margins.bottom()
