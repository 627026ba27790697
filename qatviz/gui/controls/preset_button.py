"""The presets, and which of them the settings in effect are."""

from typing import Optional

from PyQt5 import QtWidgets

from qatviz.gui.context import Context
from qatviz.presets import PRESETS
from qatviz.training.settings_book import SettingsBook


class PresetButton(QtWidgets.QPushButton):
    """A menu of presets; its text names the one that all quantizers have now, or says that they have none."""

    def __init__(self, context: Context, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._model = context.model
        self._plan, self._quantizers = None, {}
        menu = QtWidgets.QMenu(self)
        menu.setToolTipsVisible(True)
        for name, preset in PRESETS.items():
            action = menu.addAction(name, lambda name=name: context.edits.apply_preset(name))
            action.setToolTip(preset.description)
            action.setCheckable(True)
        self.setMenu(menu)
        self.setAccessibleName("Preset")

    def update_from(self) -> None:
        """Show which preset the settings in effect are."""
        book = self._model.book
        self.setEnabled(book is not None and not self._model.ended)
        if book is None:
            return
        if book.plan is not self._plan:
            self._plan = book.plan
            self._quantizers = {SettingsBook.from_preset(book.plan, name).quantizers: name for name in PRESETS}
        present = self._quantizers.get(book.quantizers, "")
        self.setText(present or "custom")
        for action in self.menu().actions():
            action.setChecked(action.text() == present)
        about = PRESETS[present].description if present else "The settings are those of no preset"
        self.setToolTip("{}. A preset gives all quantizers their settings, whatever the scope.".format(about))
