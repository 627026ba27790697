"""Buttons for pending edits (Live, Hold, Apply, Discard, Undo, Redo) and the line that shows a refused edit."""

from typing import Optional

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.model.context import Context
from qatviz.gui.model.edits import HOLD, LIVE
from qatviz.gui.model.run_model import RUN
from qatviz.gui.widgets.controls.number_box import commit_focused_box
from qatviz.gui.widgets.labels import Label
from qatviz.protocol import events

_MODES = {
    LIVE: ("Live", "Apply each change at the next training step."),
    HOLD: ("Hold", "Collect changes and preview their effect on the present values until Apply."),
}


class EditBar(QtWidgets.QWidget):
    """Buttons for ``context.edits``; the mode is remembered between sessions.

    Attributes
    ----------
    discard_action : QAction
        Escape while the focus is in ``owner``. (Ctrl+Enter is the window's: one key has one shortcut.)
    """

    def __init__(self, context: Context, owner: QtWidgets.QWidget):
        super().__init__()  # the layout sets the parent later, so that the Tab order follows the layout
        self._edits, self._settings = context.edits, context.settings
        self._owner = owner
        self._setup_ui()
        self._layout()
        mode = self._settings.value("quantization/mode", LIVE)
        self._edits.set_mode(mode if mode in _MODES else LIVE)
        for name, button in self.modes.items():
            button.clicked.connect(lambda _, name=name: self._on_mode(name))
        self.undo.clicked.connect(lambda: self._edits.undo())
        self.redo.clicked.connect(lambda: self._edits.redo())
        self.update_from()

    def _setup_ui(self) -> None:
        self.modes = {}
        group = QtWidgets.QButtonGroup(self)
        for name, (text, about) in _MODES.items():
            self.modes[name] = QtWidgets.QToolButton(text=text, toolTip=about, checkable=True)
            self.modes[name].setFocusPolicy(QtCore.Qt.StrongFocus)
            group.addButton(self.modes[name])
        self.undo, self.redo = QtWidgets.QPushButton("Undo"), QtWidgets.QPushButton("Redo")
        self.discard_action = QtWidgets.QAction("Discard", self._owner)
        self.discard_action.setShortcut("Esc")
        self.discard_action.setShortcutContext(QtCore.Qt.WidgetWithChildrenShortcut)
        self.discard_action.triggered.connect(lambda: self._edits.discard())
        self._owner.addAction(self.discard_action)
        self.apply, self.discard = QtWidgets.QPushButton("Apply"), QtWidgets.QPushButton("Discard")
        self.apply.clicked.connect(self._on_apply)
        self.discard.clicked.connect(self.discard_action.trigger)

    def _layout(self) -> None:
        grid = QtWidgets.QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        switch = QtWidgets.QHBoxLayout()
        switch.setSpacing(0)
        for button in self.modes.values():
            switch.addWidget(button)
        switch.addStretch(1)
        grid.addLayout(switch, 0, 0)
        grid.addWidget(self.undo, 0, 1)
        grid.addWidget(self.redo, 0, 2)
        held = QtWidgets.QHBoxLayout()
        held.setSpacing(4)
        held.addWidget(self.apply, 2)
        held.addWidget(self.discard, 1)
        grid.addLayout(held, 1, 0, 1, 3)
        grid.setColumnStretch(0, 1)

    def update_from(self) -> None:
        """Show the mode, the number of pending edits, and the changes that Undo and Redo would make."""
        edits = self._edits
        unsent = len(edits.unsent)
        self.modes[edits.mode].setChecked(True)
        holding = edits.mode == HOLD and not edits.are_previews
        waiting = f" ({unsent})" if unsent else ""
        self.apply.setText("Apply" + waiting)
        self.discard_action.setEnabled((holding or edits.are_previews) and bool(unsent))
        for button, tip in (
            (self.apply, f"Apply the {unsent} pending changes together (Ctrl+Enter)"),
            (self.discard, f"Discard the {unsent} pending changes (Esc)"),
        ):
            button.setVisible(holding)
            button.setToolTip(tip if unsent else "No pending changes")
            button.setEnabled(bool(unsent))
        for button, change, is_possible, name in (
            (self.undo, edits.describe_undo(), edits.can_undo, "Undo"),
            (self.redo, edits.describe_redo(), edits.can_redo, "Redo"),
        ):
            button.setEnabled(is_possible)
            button.setToolTip(f"{name}: {change}" if change else f"No change to {name.lower()}")

    def _on_apply(self) -> None:
        commit_focused_box()
        self._edits.apply()

    def _on_mode(self, mode: str) -> None:
        self._edits.set_mode(mode)
        self._settings.setValue("quantization/mode", mode)


class RefusalLine(Label):
    """Line with the reason why the last change was rejected; hidden once a change succeeds."""

    def __init__(self, context: Context, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._theme = context.theme
        self.setWordWrap(True)
        self.setTextInteractionFlags(QtCore.Qt.TextSelectableByMouse)
        self.setAccessibleName("Refused")
        context.edits.refused.connect(self.show_message)
        context.model.happened.connect(self._on_event)
        context.model.changed.connect(self._on_model_changed)
        self.hide()
        self.apply_theme()

    def show_message(self, message: str) -> None:
        """Show ``message``, or hide the line if it is empty."""
        self.setText(message)
        self.setVisible(bool(message))

    def apply_theme(self) -> None:
        palette = QtGui.QPalette(QtWidgets.QApplication.palette())
        palette.setColor(QtGui.QPalette.WindowText, self._theme.color("bad"))
        self.setPalette(palette)

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, events.CommandApplied) and event.changes:
            self.show_message("")

    def _on_model_changed(self, topic: str) -> None:
        if topic == RUN:
            self.show_message("")
