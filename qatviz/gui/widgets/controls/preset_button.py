"""The presets, and which of them the settings in scope are."""

from typing import Any, Dict, List, Optional, Sequence

from PyQt5 import QtWidgets

from qatviz.gui.model.context import Context
from qatviz.presets import PRESETS
from qatviz.protocol.settings_book import SettingsBook


class PresetButton(QtWidgets.QPushButton):
    """A menu of presets; its text names the one that all quantizers in scope have now, or says that they have none."""

    def __init__(self, context: Context, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._model, self._edits = context.model, context.edits
        self._plan: Any = None
        self._books: Dict[str, SettingsBook] = {}
        self._chosen: List[str] = []
        menu = QtWidgets.QMenu(self)
        menu.setToolTipsVisible(True)
        for name, preset in PRESETS.items():
            action = menu.addAction(name, lambda name=name: self._edits.apply_preset(name, self._chosen))
            action.setToolTip(preset.description)
            action.setCheckable(True)
        self.setMenu(menu)
        self.setAccessibleName("Preset")

    def show_tensors(self, names: Sequence[str]) -> None:
        """Show which preset the settings in effect of these tensors are; it is for them."""
        book, self._chosen = self._model.book, list(names)
        self.setEnabled(book is not None and not self._model.ended and bool(names))
        if book is None:
            return
        if book.plan is not self._plan:
            self._plan = book.plan
            self._books = {name: SettingsBook.from_preset(book.plan, name) for name in PRESETS}
        now = [book.of(name) for name in names]
        present = next(
            (preset for preset, made in self._books.items() if names and now == [made.of(n) for n in names]), ""
        )
        self.setText(present or "custom")
        for action in self.menu().actions():
            action.setChecked(action.text() == present)
        about = PRESETS[present].description if present else "The settings are those of no preset"
        self.setToolTip(f"{about}. A preset gives all quantizers in scope their settings.")
