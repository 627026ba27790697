"""Widgets in lines that break where the room ends."""

from typing import List, Optional

from PyQt5 import QtCore, QtWidgets


class FlowLayout(QtWidgets.QLayout):
    """Places widgets from left to right at their preferred sizes, and begins another line where one is full."""

    def __init__(self, parent: Optional[QtWidgets.QWidget] = None, margin: int = 3, spacing: int = 4):
        super().__init__(parent)
        self._items = []  # type: List[QtWidgets.QLayoutItem]
        self.setContentsMargins(margin, margin, margin, margin)
        self.setSpacing(spacing)

    def addItem(self, item: QtWidgets.QLayoutItem) -> None:
        self._items.append(item)

    def count(self) -> int:
        return len(self._items)

    def itemAt(self, index: int) -> Optional[QtWidgets.QLayoutItem]:
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> Optional[QtWidgets.QLayoutItem]:
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def expandingDirections(self) -> QtCore.Qt.Orientations:
        return QtCore.Qt.Orientations(QtCore.Qt.Horizontal)

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        return self._place(QtCore.QRect(0, 0, width, 0), False)

    def sizeHint(self) -> QtCore.QSize:
        return self.minimumSize()

    def minimumSize(self) -> QtCore.QSize:
        size = QtCore.QSize()
        for item in self._items:
            size = size.expandedTo(item.minimumSize())
        margins = self.contentsMargins()
        return size + QtCore.QSize(margins.left() + margins.right(), margins.top() + margins.bottom())

    def setGeometry(self, rect: QtCore.QRect) -> None:
        super().setGeometry(rect)
        self._place(rect, True)

    def _place(self, rect: QtCore.QRect, for_good: bool) -> int:
        """Find a place for each; the height that they need."""
        margins = self.contentsMargins()
        inner = rect.adjusted(margins.left(), margins.top(), -margins.right(), -margins.bottom())
        x, y, line = inner.left(), inner.top(), []  # type: int, int, List[QtCore.QRect]
        rows = []
        for item in self._items:
            if item.widget() is not None and item.widget().isHidden():
                continue
            size = item.sizeHint()
            if line and x + size.width() > inner.right() + 1:
                rows.append(line)
                y, x, line = y + _height(line) + self.spacing(), inner.left(), []
            line.append((item, QtCore.QRect(QtCore.QPoint(x, y), size)))
            x += size.width() + self.spacing()
        rows.append(line)
        if for_good:
            for row in rows:
                for item, place in row:
                    item.setGeometry(place.translated(0, (_height(row) - place.height()) // 2))
        return y + _height(line) - rect.top() + margins.bottom()


def _height(row) -> int:
    return max((place.height() for _, place in row), default=0)
