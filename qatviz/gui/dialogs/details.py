"""Dialog with a message whose details can be shown and copied."""

from typing import Optional

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.labels import Label


class DetailsDialog(QtWidgets.QDialog):
    """Dialog that shows ``message`` and, on request, ``details`` such as a traceback.

    It does not block: open it with :meth:`open` or :meth:`show`.
    """

    def __init__(self, title: str, message: str, details: str = "", parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setAttribute(QtCore.Qt.WA_DeleteOnClose)
        self._message, self._details = message, details
        self.message = Label(message, wordWrap=True)
        self.message.setTextInteractionFlags(QtCore.Qt.TextSelectableByMouse | QtCore.Qt.TextSelectableByKeyboard)
        self.details = QtWidgets.QPlainTextEdit(details, readOnly=True)
        self.details.setFont(QtGui.QFontDatabase.systemFont(QtGui.QFontDatabase.FixedFont))
        self.details.setLineWrapMode(QtWidgets.QPlainTextEdit.NoWrap)
        self.details.setAccessibleName("Details")
        self.details.setMinimumSize(560, 220)
        self.expand = QtWidgets.QPushButton("Details", checkable=True)
        self.expand.setToolTip("Show or hide the details")
        self.copy = QtWidgets.QPushButton("Copy")
        self.copy.setToolTip("Copy message and details")
        self._layout(title)
        self.expand.toggled.connect(self._on_expanded)
        self.copy.clicked.connect(self._on_copy)

    def _layout(self, title: str) -> None:
        icon = Label()
        icon.setPixmap(self.style().standardIcon(QtWidgets.QStyle.SP_MessageBoxWarning).pixmap(32, 32))
        heading = Label(title)
        font = QtGui.QFont(heading.font())
        font.setBold(True)
        heading.setFont(font)
        grid = QtWidgets.QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.addWidget(icon, 0, 0, 2, 1, QtCore.Qt.AlignTop)
        grid.addWidget(heading, 0, 1)
        grid.addWidget(self.message, 1, 1)
        grid.setColumnStretch(1, 1)
        buttons = QtWidgets.QDialogButtonBox(QtWidgets.QDialogButtonBox.Close)
        buttons.addButton(self.expand, QtWidgets.QDialogButtonBox.ActionRole)
        buttons.addButton(self.copy, QtWidgets.QDialogButtonBox.ActionRole)
        buttons.rejected.connect(self.reject)
        rows = QtWidgets.QVBoxLayout(self)
        rows.addLayout(grid)
        rows.addWidget(self.details, 1)
        rows.addStretch(0)
        rows.addWidget(buttons)
        self.details.hide()
        self.expand.setVisible(bool(self._details))
        self.setMinimumWidth(460)

    def _on_expanded(self, expanded: bool) -> None:
        self.details.setVisible(expanded)
        self.layout().activate()
        self.adjustSize()

    def _on_copy(self) -> None:
        text = "\n\n".join(part for part in (self.windowTitle(), self._message, self._details) if part)
        QtWidgets.QApplication.clipboard().setText(text)
