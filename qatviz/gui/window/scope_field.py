"""Field with the tensors that changes apply to, always visible in the menu bar."""

# A module of its own: the main window assembles parts, and has no logic of settings.

from typing import Optional

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.model.context import Context
from qatviz.gui.model.scope import SCOPES
from qatviz.gui.widgets.controls.number_box import commit_focused_box
from qatviz.gui.widgets.labels import Label

_KEY = "quantization/scope"
#: Minimum width of the list in characters: a widget in the corner of a menu bar is not wider than its size hint.
_CHARACTERS = 20


class ScopeField(QtWidgets.QWidget):
    """List of :data:`SCOPES` for ``context.edits.scope``; the choice is remembered between sessions."""

    def __init__(self, context: Context, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._scope, self._settings = context.edits.scope, context.settings
        self._scope.choose(self._settings.value(_KEY, "", str))
        self.box, label = QtWidgets.QComboBox(), Label("A&pply to")
        self.box.setAccessibleName("Apply to")
        for part in (label, self.box):
            part.setToolTip("Tensors that changes of settings apply to: controls, menus and keys (+, −) alike.")
        label.setBuddy(self.box)
        self.box.setFocusPolicy(QtCore.Qt.TabFocus)  # after a choice, keys still go to where they went before
        self.box.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self.box.setMinimumContentsLength(_CHARACTERS)
        for kind in SCOPES:
            self.box.addItem("", kind)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 1, 6, 1)
        row.addWidget(label)
        row.addWidget(self.box)
        self.box.activated.connect(self._on_activated)
        self._scope.changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        for index, kind in enumerate(SCOPES):
            self.box.setItemText(index, self._scope.text(kind))
        self.box.setCurrentIndex(self.box.findData(self._scope.kind))

    def _on_activated(self) -> None:
        commit_focused_box()  # the text that is being typed applies to the former scope
        self._settings.setValue(_KEY, self.box.currentData())
        self._scope.choose(self.box.currentData())
