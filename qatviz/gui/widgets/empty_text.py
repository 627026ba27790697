"""What a part of the window says instead of what it has nothing to show of."""

from PyQt5 import QtCore, QtGui, QtWidgets


class EmptyText(QtWidgets.QLabel):
    """A label centred over its parent, hidden while it has no text."""

    def __init__(self, parent: QtWidgets.QWidget):
        super().__init__(parent)
        self.setForegroundRole(QtGui.QPalette.PlaceholderText)
        self.setAlignment(QtCore.Qt.AlignCenter)
        self.setWordWrap(True)
        self.setAttribute(QtCore.Qt.WA_TransparentForMouseEvents)
        parent.installEventFilter(self)
        self.hide()

    def say(self, text: str) -> None:
        """Show ``text``; hide the label where it is empty."""
        self.setText(text)
        self.setVisible(bool(text))
        self.setGeometry(self.parentWidget().rect())
        self.raise_()

    def eventFilter(self, watched: QtCore.QObject, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.Resize:
            self.setGeometry(self.parentWidget().rect())
        return False
