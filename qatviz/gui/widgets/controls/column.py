"""Vertical scroll area for controls."""

from typing import Iterable, Optional

from PyQt5 import QtCore, QtWidgets


class Column(QtWidgets.QScrollArea):
    """Scroll area with ``parts`` below each other; it asks for the width of the widest of them."""

    def __init__(self, parts: Iterable[QtWidgets.QWidget], parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.setFrameShape(QtWidgets.QFrame.NoFrame)
        self.setFocusPolicy(QtCore.Qt.NoFocus)
        self.setWidgetResizable(True)
        inside = QtWidgets.QWidget()
        rows = QtWidgets.QVBoxLayout(inside)
        rows.setContentsMargins(8, 2, 8, 8)
        rows.setSpacing(4)
        for part in parts:
            rows.addWidget(part)
        rows.addStretch(1)
        self.setWidget(inside)

    def minimumSizeHint(self) -> QtCore.QSize:
        width = self.widget().minimumSizeHint().width() + self.verticalScrollBar().sizeHint().width()
        return QtCore.QSize(width, super().minimumSizeHint().height())

    def sizeHint(self) -> QtCore.QSize:
        return super().sizeHint().expandedTo(self.minimumSizeHint())

    def event(self, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.LayoutRequest:
            self.updateGeometry()
        return super().event(event)
