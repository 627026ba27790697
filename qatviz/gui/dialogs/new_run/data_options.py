"""Editors of the options that decide how data is read."""

import json
from typing import Dict, Mapping, Sequence

from PyQt5 import QtCore, QtWidgets

from qatviz.data_options import DATA_OPTIONS, DataOptions
from qatviz.errors import SettingError
from qatviz.gui.dialogs.fields import ComboBox
from qatviz.setting_declaration import Setting


class DataOptionEditors(QtCore.QObject):
    """Editors of the options: drop-down lists, into which values other than words can also be typed.

    Attributes
    ----------
    widgets : dict of str to ComboBox
        Editors by the name of the option.
    """

    #: Emitted when an option has another value.
    changed = QtCore.pyqtSignal()

    def __init__(self, parent: QtWidgets.QWidget):
        super().__init__(parent)
        self.widgets: Dict[str, ComboBox] = {name: _editor(setting) for name, setting in DATA_OPTIONS.items()}
        for box in self.widgets.values():
            (box.editTextChanged if box.isEditable() else box.currentTextChanged).connect(lambda _: self.changed.emit())

    @property
    def options(self) -> DataOptions:
        """The options as they are in the editors; a typed text may be refused later."""
        return DataOptions(**{name: _value(box, DATA_OPTIONS[name]) for name, box in self.widgets.items()})

    def set_options(self, options: DataOptions) -> None:
        """Set all options, and emit :attr:`changed` once if they differ."""
        if options == self.options:
            return
        self.blockSignals(True)
        for name, box in self.widgets.items():
            value = getattr(options, name)
            if box.isEditable():
                box.setEditText(value)
            else:
                box.setCurrentIndex(box.findData(value))
        self.blockSignals(False)
        self.changed.emit()

    def set_choices(self, choices: Mapping[str, Sequence[str]]) -> None:
        """Offer these values of the options that name parts of the data; nothing is changed."""
        for name, box in self.widgets.items():
            if name in choices and box.isEditable():
                typed = box.currentText()
                box.blockSignals(True)
                box.clear()
                box.addItems([DATA_OPTIONS[name].default, *choices[name]])
                box.setEditText(typed)
                box.blockSignals(False)

    def text(self) -> str:
        """Return the options that are not defaults as a text to remember."""
        return json.dumps(self.options.given())

    def set_text(self, text: str) -> None:
        """Set the options of a remembered text; the defaults if it can't be read, as after a change of version."""
        try:
            self.set_options(DataOptions.of(dict(json.loads(text))))
        except (ValueError, TypeError, RecursionError, SettingError):
            self.set_options(DataOptions())


def _editor(setting: Setting) -> ComboBox:
    box = ComboBox(editable=setting.choices is None)
    if setting.choices is not None:
        for word in setting.choices[""]:
            box.addItem(setting.text(word), word)
    else:
        box.setInsertPolicy(QtWidgets.QComboBox.NoInsert)
        box.addItem(setting.default)
        box.lineEdit().setPlaceholderText(setting.form)
    box.setToolTip(f"{setting.help}\nAllowed: {setting.allowed_labels()}")
    box.setAccessibleName(setting.label)
    return box


def _value(box: ComboBox, setting: Setting) -> str:
    if setting.choices is not None:
        return str(box.currentData())
    return str(box.currentText().strip())
