"""List with the scopes of changes; the panel of settings and the window's menu bar show the same choice."""

# A module of its own, because the panel of settings and the window use it, and neither imports the other.

from typing import Optional

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.model.context import Context
from qatviz.gui.model.scope import SCOPES
from qatviz.gui.widgets.controls.number_box import commit_focused_box

_KEY = "quantization/scope"


class ScopeBox(QtWidgets.QComboBox):
    """List of :data:`SCOPES` for ``context.edits.scope``; the choice is remembered between sessions."""

    def __init__(self, context: Context, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._scope, self._settings = context.edits.scope, context.settings
        self._scope.choose(self._settings.value(_KEY, "", str))
        self.setAccessibleName("Scope")
        self.setToolTip("Tensors that changes apply to: controls, menus and keys (+, −) alike.")
        self.setFocusPolicy(QtCore.Qt.TabFocus)  # after a choice, keys still go to where they went before
        self.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        for kind in SCOPES:
            self.addItem("", kind)
        self.activated.connect(self._on_activated)
        self._scope.changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        for index, kind in enumerate(SCOPES):
            self.setItemText(index, self._scope.text(kind))
        self.setCurrentIndex(self.findData(self._scope.kind))

    def _on_activated(self) -> None:
        commit_focused_box()  # what is being typed is for the tensors that were in scope
        self._settings.setValue(_KEY, self.currentData())
        self._scope.choose(self.currentData())
