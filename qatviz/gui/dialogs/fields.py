"""Fields of forms, with their errors below them."""

import os
from typing import Any, Iterable, NamedTuple, Optional, TypeVar

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.errors import QatvizError
from qatviz.gui.dialogs.files_there import ask_folder
from qatviz.gui.dialogs.suggested_path import SuggestedPath
from qatviz.gui.model.folders import folder_of_runs, new_run_folder, remember_folder_of_runs
from qatviz.gui.model.launcher import Launcher
from qatviz.gui.model.new_run import STEPS
from qatviz.gui.model.user_settings import place_of
from qatviz.gui.widgets.controls.check_box import CheckBox
from qatviz.gui.widgets.controls.number_box import NumberBox
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.theme import Theme
from qatviz.own_functions import FORM

#: Drop-down list of one of the classes below.
_Box = TypeVar("_Box", bound=QtWidgets.QComboBox)


class ComboBox(QtWidgets.QComboBox):
    """Drop-down list that ignores the mouse wheel, which scrolls the form."""

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        event.ignore()


class Choice(NamedTuple):
    """Item of a drop-down list: its value in the request and in the remembered settings, its text and its tooltip."""

    value: Any
    text: str
    help: str = ""


def choice_box(*choices: Choice) -> ComboBox:
    """Return a drop-down list whose current data is the value of the chosen item."""
    return _filled(ComboBox(), choices)


def free_choice_box(form: str, *choices: Choice) -> "WordBox":
    """Return a drop-down list that also takes other texts; ``form`` as in :class:`WordBox`."""
    return _filled(WordBox(form), choices)


def function_box(*choices: Choice) -> "WordBox":
    """Return a drop-down list that also takes a function of a Python file."""
    return free_choice_box(FORM, *choices)


def _filled(box: _Box, choices: Iterable[Choice]) -> _Box:
    for row, choice in enumerate(choices):
        box.addItem(choice.text, choice.value)
        box.setItemData(row, choice.help, QtCore.Qt.ToolTipRole)
    return box


class WordBox(ComboBox):
    """Drop-down list of words that also takes another text.

    Parameters
    ----------
    form : str
        Form of other texts, which is shown while there is none.
    """

    def __init__(self, form: str, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent, editable=True)
        self.setInsertPolicy(QtWidgets.QComboBox.NoInsert)
        self.lineEdit().setPlaceholderText(form)

    @property
    def word(self) -> str:
        """The value of the chosen item, or the text that was typed."""
        text = self.currentText()
        row = self.findText(text)
        return str(self.itemData(row)) if row >= 0 else text.strip()

    def choose(self, word: str) -> None:
        """Choose the item of a value, or show another text."""
        row = self.findData(word)
        if row >= 0:
            self.setCurrentIndex(row)
        else:
            self.setEditText(word)


class Field(QtWidgets.QWidget):
    """Widget with lines for an error or a note below it, and for a warning."""

    def __init__(self, widget: QtWidgets.QWidget, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.widget, self._theme = widget, theme
        self.warning, self.note = Label(wordWrap=True), Label(wordWrap=True)
        rows = QtWidgets.QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(2)
        rows.addWidget(widget)
        for label in (self.warning, self.note):
            label.setTextInteractionFlags(QtCore.Qt.TextSelectableByMouse)
            rows.addWidget(label)
        self.setFocusProxy(widget)
        self.show_note("")

    def show_note(self, text: str, is_problem: bool = False, warning: str = "") -> None:
        """Show ``text`` as an error or a note, and a warning; hide the lines that are empty."""
        self.has_problem = is_problem
        self._show(self.note, text, "bad" if is_problem else "muted")
        self._show(self.warning, warning, "warning")

    def _show(self, label: Label, text: str, color: str) -> None:
        palette = QtGui.QPalette(QtWidgets.QApplication.palette())
        palette.setColor(QtGui.QPalette.WindowText, self._theme.color(color))
        label.setPalette(palette)
        label.setText(text)
        label.setVisible(bool(text))


class StepsField(QtWidgets.QWidget):
    """Field for a number of training steps, or no limit."""

    changed = QtCore.pyqtSignal()

    def __init__(self, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.box = NumberBox(STEPS)
        self.box.setAccessibleName(STEPS.label)
        self.box.setToolTip(STEPS.help)
        self.endless = CheckBox("No limit")
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.box, 1)
        row.addWidget(self.endless)
        self.box.edited.connect(lambda _: self.changed.emit())
        self.endless.toggled.connect(self._on_toggled)
        self.setFocusProxy(self.box)

    def steps(self) -> Optional[int]:
        """Return the number of training steps; None for no limit."""
        return None if self.endless.isChecked() else self.box.value

    def set_steps(self, steps: int, endless: bool) -> None:
        """Set the number of training steps, and whether it has no effect as there is no limit."""
        self.box.set_value(steps)
        self.endless.setChecked(endless)
        self.box.setEnabled(not endless)

    def _on_toggled(self, endless: bool) -> None:
        self.box.setEnabled(not endless)
        self.changed.emit()


class OutField(SuggestedPath):
    """Field for the directory to record a run to, if it is recorded: by default a new one in the folder of runs."""

    def __init__(
        self,
        settings: QtCore.QSettings,
        launcher: Optional[Launcher] = None,
        parent: Optional[QtWidgets.QWidget] = None,
    ):
        super().__init__("Folder to record to", "Choose the folder in which the new folder is created", parent)
        self._settings, self._launcher = settings, launcher
        self.record = CheckBox("Record to folder")
        self.record.setToolTip("Record the run, so that it can be opened, resumed and forked")
        grid = QtWidgets.QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.record, 0, 0, 1, 2)
        grid.addWidget(self.edit, 1, 0)
        grid.addWidget(self.browse, 1, 1)
        self.record.setChecked(settings.value("new_run/record", "true") in (True, "true"))
        self._on_toggled(self.record.isChecked())
        self.record.toggled.connect(self._on_toggled)

    def out(self) -> Optional[str]:
        """Return the directory to record to; None: the run is not recorded."""
        return self.edit.text().strip() if self.record.isChecked() else None

    def suggest(self, network: str) -> None:
        """Suggest a new directory for the network, unless the user has typed one; none if that is impossible."""
        if self._is_suggested:
            try:
                self.edit.setText(new_run_folder(self._settings, self._launcher, network))
            except QatvizError:  # no folder of runs, or no connection
                self.edit.setText("")

    def remember(self) -> None:
        """Remember whether the run is recorded, and the folder of its directory."""
        out = self.out()
        self._settings.setValue("new_run/record", out is not None)
        if out is not None:
            here = out if place_of(self._settings) else os.path.abspath(os.path.expanduser(out))
            remember_folder_of_runs(self._settings, os.path.dirname(here))

    def _on_toggled(self, record: bool) -> None:
        self.edit.setEnabled(record)
        self.browse.setEnabled(record)
        self.changed.emit()

    def _on_browse(self) -> None:
        parent = ask_folder(self, "Record to a new folder in", folder_of_runs(self._settings))
        if parent:
            self._choose(os.path.join(parent, os.path.basename(self.edit.text()) or "run"))
