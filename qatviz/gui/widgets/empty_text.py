"""Text in the middle of an empty widget."""

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.labels import Label


class EmptyText(Label):
    """Label centred over its parent; hidden while it has no text."""

    def __init__(self, parent: QtWidgets.QWidget):
        super().__init__(parent)
        self.setForegroundRole(QtGui.QPalette.PlaceholderText)
        self.setAlignment(QtCore.Qt.AlignCenter)
        self.setWordWrap(True)
        self.setAttribute(QtCore.Qt.WA_TransparentForMouseEvents)
        parent.installEventFilter(self)
        self.hide()

    def show_text(self, text: str) -> None:
        """Show ``text``, or hide the label if it is empty."""
        self.setText(text)
        self.setVisible(bool(text))
        self.setGeometry(self.parentWidget().rect())
        self.raise_()

    def eventFilter(self, watched: QtCore.QObject, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.Resize:
            self.setGeometry(self.parentWidget().rect())
        return False
