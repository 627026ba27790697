"""Layout that wraps rows of widgets like text."""

from typing import List, Optional

from PyQt5 import QtCore, QtWidgets


class FlowLayout(QtWidgets.QLayout):
    """Layout in rows; widgets are centred vertically within their row."""

    def __init__(self, parent: Optional[QtWidgets.QWidget] = None, spacing: int = 6):
        super().__init__(parent)
        self._items: List[QtWidgets.QLayoutItem] = []
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
        return QtCore.Qt.Orientations()

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        return self._place(QtCore.QRect(0, 0, width, 0), False)

    def sizeHint(self) -> QtCore.QSize:
        return self.minimumSize()

    def minimumSize(self) -> QtCore.QSize:
        margins = self.contentsMargins()
        size = QtCore.QSize()
        for item in self._items:
            size = size.expandedTo(item.minimumSize())
        return size + QtCore.QSize(margins.left() + margins.right(), margins.top() + margins.bottom())

    def setGeometry(self, rect: QtCore.QRect) -> None:
        super().setGeometry(rect)
        self._place(rect, True)

    def _place(self, rect: QtCore.QRect, move: bool) -> int:
        """Return the height of the items laid out in ``rect``, and if ``move``, move them there."""
        margins = self.contentsMargins()
        left, top, right = rect.left() + margins.left(), rect.top() + margins.top(), rect.right() - margins.right()
        row: List[QtWidgets.QLayoutItem] = []
        x: int = left
        for item in self._items:
            if item.isEmpty():
                continue
            width = item.sizeHint().width()
            if row and x + width - 1 > right:
                top, row, x = self._end_row(row, left, top, move) + self.spacing(), [], left
            row.append(item)
            x += width + self.spacing()
        return self._end_row(row, left, top, move) + margins.bottom() - rect.top()

    def _end_row(self, row: List[QtWidgets.QLayoutItem], left: int, top: int, move: bool) -> int:
        height = max((item.sizeHint().height() for item in row), default=0)
        for item in row if move else ():
            size = item.sizeHint()
            item.setGeometry(QtCore.QRect(QtCore.QPoint(left, top + (height - size.height()) // 2), size))
            left += size.width() + self.spacing()
        return top + height
