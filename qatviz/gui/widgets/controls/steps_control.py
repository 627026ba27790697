"""The length of the run: a total number of training steps, or no limit."""

from typing import Any, Optional

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.widgets.controls.check_box import CheckBox
from qatviz.gui.widgets.controls.setting_control import SettingControl
from qatviz.gui.widgets.theme import Theme
from qatviz.settings import START_SETTINGS

STEPS = START_SETTINGS["steps"]


class StepsControl(QtWidgets.QWidget):
    """A box for the total number of steps, and a check box for no limit."""

    #: Total steps that the user wants; None: no limit.
    edited = QtCore.pyqtSignal(object)

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.control = SettingControl(STEPS, theme)
        self.endless = CheckBox("No limit")
        self.endless.setToolTip("The run goes on until you stop it")
        self._last = STEPS.default  # what the box says when an end is wanted again
        rows = QtWidgets.QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(4)
        rows.addWidget(self.control)
        rows.addWidget(self.endless)
        self.control.edited.connect(self.edited)
        self.endless.clicked[bool].connect(self._on_endless)

    def show_steps(self, steps: Optional[int], pending: bool = False, unavailable: str = "") -> None:
        """Show what is wanted; ``unavailable`` says why it can't be changed, where it can't."""
        self._last = self._last if steps is None else steps
        self.endless.setChecked(steps is None)
        self.endless.setEnabled(not unavailable)
        self.control.show_values([self._last], pending)
        no_end = "The run goes on until it is stopped." if steps is None else ""
        self.control.set_without_effect(unavailable or no_end)

    def suggest(self, steps: int) -> None:
        """What the box says when the run that had no end gets one."""
        self._last = steps

    def _on_endless(self, endless: bool) -> None:
        wanted: Any = None if endless else self._last
        self.edited.emit(wanted)
