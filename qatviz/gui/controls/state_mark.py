"""The mark beside a control: whether its value is in effect, and since when."""

from typing import Optional

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.theme import Theme

PENDING = "● pending"


class StateMark(QtWidgets.QLabel):
    """``● pending`` in the colour of the ghost, or ``step 1,204`` where the value took effect; always of one width."""

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._theme, self._pending = theme, False
        self.apply_theme()

    def show_state(self, pending: bool, applied_step: Optional[int]) -> None:
        """``applied_step``: None where the value is what the run began with."""
        text = PENDING if pending else "" if applied_step is None else "step {:,}".format(applied_step)
        if text != self.text() or pending != self._pending:
            self._pending = pending
            self.setText(text)
            self._color()

    def apply_theme(self) -> None:
        font = QtGui.QFont(QtWidgets.QApplication.font())
        font.setPointSizeF(max(6.5, font.pointSizeF() - 1.5))
        self.setFont(font)
        self.setFixedWidth(QtGui.QFontMetrics(font).horizontalAdvance(max(PENDING, "step 99,999", key=len)) + 4)
        self._color()

    def _color(self) -> None:
        palette = QtGui.QPalette(self.palette())
        palette.setColor(QtGui.QPalette.WindowText, self._theme.color("ghost" if self._pending else "muted"))
        self.setPalette(palette)


def explain_state(pending: bool, applied_step: Optional[int]) -> str:
    """The mark in a sentence."""
    if pending:
        return "Pending: asked for, not yet in effect."
    if applied_step is None:
        return "In effect since the run began."
    return "In effect since step {:,}.".format(applied_step)
