"""Message bar at the top of the window."""

from typing import Callable, Optional

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.theme import Theme

NOTE, GOOD, WARNING, BAD = "muted", "good", "warning", "bad"


class Banner(QtWidgets.QFrame):
    """Bar with one message, its details and an optional action, shown until it is closed or replaced.

    Parameters
    ----------
    show_details : callable (title, text)
        Opens a dialog with a long text to copy.
    """

    #: Emitted with whether there is a message.
    has_message = QtCore.pyqtSignal(bool)

    def __init__(
        self, theme: Theme, show_details: Callable[[str, str], None], parent: Optional[QtWidgets.QWidget] = None
    ):
        super().__init__(parent)
        self.setObjectName("banner")
        self._theme, self._show_details = theme, show_details
        self.details, self.level = "", WARNING
        self._action: Optional[Callable[[], None]] = None
        self.text = Label(wordWrap=True)
        self._more = QtWidgets.QPushButton("Details…")
        self._do = QtWidgets.QPushButton()
        self._close = QtWidgets.QToolButton(text="✕", autoRaise=True, toolTip="Close this message")
        self._close.setAccessibleName("Close this message")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(12, 5, 6, 5)
        layout.addWidget(self.text, 1)
        for button in (self._do, self._more, self._close):
            layout.addWidget(button)
        self._more.clicked.connect(lambda: self._show_details(self.text.text(), self.details))
        self._do.clicked.connect(self._on_do)
        self._close.clicked.connect(self.dismiss)
        theme.changed.connect(self._apply_theme)
        self.hide()

    def show_message(
        self,
        text: str,
        level: str = WARNING,
        details: str = "",
        action: str = "",
        do: Optional[Callable[[], None]] = None,
    ) -> None:
        """Show a message; ``action`` is the label of a button that calls ``do``."""
        self.level, self.details, self._action = level, details, do
        self.text.setText(text)
        self._more.setVisible(bool(details))
        self._do.setVisible(do is not None)
        self._do.setText(action)
        self._apply_theme()
        self.show()
        self.has_message.emit(True)

    def dismiss(self) -> None:
        """Hide the message."""
        self.hide()
        self.has_message.emit(False)

    def _on_do(self) -> None:
        self.dismiss()
        if self._action is not None:
            self._action()

    def _apply_theme(self) -> None:
        color = getattr(self._theme.colors, self.level)
        self.setStyleSheet(f"#banner {{ background: {self._theme.colors.raised}; border-left: 4px solid {color}; }}")
