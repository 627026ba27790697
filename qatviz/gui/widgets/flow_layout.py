"""Layout that wraps rows of widgets like text, and a widget for it in a splitter."""

from typing import Iterable, List, Optional, Sequence

from PyQt5 import QtCore, QtGui, QtWidgets


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

    def height_of(self, widgets: Iterable[QtWidgets.QWidget], width: int) -> int:
        """Return the height at ``width`` if just ``widgets`` were shown."""
        margins = self.contentsMargins()
        rows = self._rows([widget.sizeHint() for widget in widgets], width - margins.left() - margins.right())
        heights = [max(size.height() for size in row) for row in rows]
        return margins.top() + sum(heights) + self.spacing() * (len(rows) - 1) + margins.bottom()

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
        top, width = rect.top() + margins.top(), rect.width() - margins.left() - margins.right()
        items = iter([item for item in self._items if not item.isEmpty()])
        rows = self._rows([item.sizeHint() for item in self._items if not item.isEmpty()], width)
        for number, row in enumerate(rows):
            top += self.spacing() if number else 0
            height, left = max(size.height() for size in row), rect.left() + margins.left()
            for size, item in zip(row, items):
                if move:
                    item.setGeometry(QtCore.QRect(QtCore.QPoint(left, top + (height - size.height()) // 2), size))
                left += size.width() + self.spacing()
            top += height
        return top + margins.bottom() - rect.top()

    def _rows(self, sizes: Sequence[QtCore.QSize], width: int) -> List[List[QtCore.QSize]]:
        """Return ``sizes`` in rows that are no wider than ``width``."""
        rows: List[List[QtCore.QSize]] = []
        used = 0
        for size in sizes:
            if not rows or used + size.width() > width:
                rows.append([])
                used = 0
            rows[-1].append(size)
            used += size.width() + self.spacing()
        return rows


class WrappedRows(QtWidgets.QWidget):
    """Widget that is as high as its layout needs at its width: a splitter does not ask for that.

    Where there is less room, a scroll area around it scrolls, instead of rows that overlap.
    """

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def event(self, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.LayoutRequest:
            self._fit()
        return super().event(event)

    def _fit(self) -> None:
        height = self.layout().minimumHeightForWidth(self.width())
        if height != self.minimumHeight():
            self.setMinimumHeight(height)


def flow_row(*widgets: QtWidgets.QWidget, spacing: int = 4) -> FlowLayout:
    """Return a layout of these widgets with ``spacing`` px between them."""
    row = FlowLayout(spacing=spacing)
    for widget in widgets:
        row.addWidget(widget)
    return row
