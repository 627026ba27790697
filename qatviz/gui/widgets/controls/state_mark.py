"""Mark beside a control: its value is pending, or in effect since a training step."""

from typing import Optional, Tuple

from PyQt5 import QtGui, QtWidgets

from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.scene_painter import small_font
from qatviz.gui.widgets.theme import Theme

PENDING = "● pending"


class StateMark(Label):
    """Label of constant width: ``● pending``, or ``step 1,204``, the training step at which the value took effect.

    In compact form (:meth:`set_compact`) it is a dot or a check mark; the control's tooltip has the rest.
    """

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._theme, self._is_compact = theme, False
        self._state: Tuple[bool, Optional[int]] = (False, None)
        self.apply_theme()

    def show_state(self, pending: bool, applied_step: Optional[int]) -> None:
        """Show the state; ``applied_step`` is None if the value has been in effect since the start of the run."""
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
        """Return the width in pixels of the longest expected text."""
        return QtGui.QFontMetrics(self.font()).horizontalAdvance(max(PENDING, "step 99,999", key=len)) + 4

    def compact_width(self) -> int:
        """Return the width in pixels of the dot."""
        return QtGui.QFontMetrics(self.font()).horizontalAdvance("●") + 2

    def apply_theme(self) -> None:
        self.setFont(small_font(QtWidgets.QApplication.font()))
        self._size()
        self.show_state(*self._state)

    def _size(self) -> None:
        self.setFixedWidth(self.compact_width() if self._is_compact else self.full_width())


def explain_state(pending: bool, applied_step: Optional[int]) -> str:
    """Return the state as a sentence."""
    if pending:
        return "Pending: not in effect yet."
    if applied_step is None:
        return "In effect since the start of the run."
    return f"In effect since step {applied_step:,}."
