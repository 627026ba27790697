"""The mark beside a control: whether its value is in effect, and since when."""

from typing import Optional

from PyQt5 import QtGui, QtWidgets

from qatviz.gui.widgets.theme import Theme

PENDING = "● pending"


class StateMark(QtWidgets.QLabel):
    """``● pending`` in the colour of the ghost, or ``step 1,204`` where the value took effect; always of one width.

    Where there is little room (:meth:`set_compact`) there is only a dot, and the tooltip has the rest.
    """

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._theme, self._state, self._is_compact = theme, (False, None), False
        self.apply_theme()

    def show_state(self, pending: bool, applied_step: Optional[int]) -> None:
        """``applied_step``: None where the value is what the run began with."""
        self._state = pending, applied_step
        text = PENDING if pending else "" if applied_step is None else f"step {applied_step:,}"
        if self._is_compact:
            text = "●" if pending else "✓" if text else ""
        self.setText(text)
        palette = QtGui.QPalette(self.palette())
        palette.setColor(QtGui.QPalette.WindowText, self._theme.color("ghost" if pending else "muted"))
        if palette != self.palette():
            self.setPalette(palette)

    def set_compact(self, is_compact: bool) -> None:
        if is_compact != self._is_compact:
            self._is_compact = is_compact
            self._size()
            self.show_state(*self._state)

    def full_width(self) -> int:
        """In pixels, of the longest text that is expected."""
        return QtGui.QFontMetrics(self.font()).horizontalAdvance(max(PENDING, "step 99,999", key=len)) + 4

    def compact_width(self) -> int:
        """In pixels, of the dot."""
        return QtGui.QFontMetrics(self.font()).horizontalAdvance("●") + 2

    def apply_theme(self) -> None:
        font = QtGui.QFont(QtWidgets.QApplication.font())
        font.setPointSizeF(max(6.5, font.pointSizeF() - 1.5))
        self.setFont(font)
        self._size()
        self.show_state(*self._state)

    def _size(self) -> None:
        self.setFixedWidth(self.compact_width() if self._is_compact else self.full_width())


def explain_state(pending: bool, applied_step: Optional[int]) -> str:
    """The mark in a sentence."""
    if pending:
        return "Pending: asked for, not yet in effect."
    if applied_step is None:
        return "In effect since the run began."
    return f"In effect since step {applied_step:,}."
