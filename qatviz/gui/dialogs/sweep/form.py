"""Form of a request to train several runs from one checkpoint: changes of settings, steps, seeds, processes."""

import os
from typing import List, Optional, Sequence, Tuple

from PyQt5 import QtCore, QtWidgets

from qatviz.errors import SettingError
from qatviz.gui.dialogs.fields import ComboBox
from qatviz.gui.model.new_run import STEPS
from qatviz.gui.widgets.controls.number_box import NumberBox
from qatviz.gui.widgets.controls.push_button import push_button
from qatviz.gui.widgets.flow_layout import FlowLayout
from qatviz.protocol.settings_book import SettingsBook
from qatviz.session.sweep_request import MOST_PROCESSES, PRESET
from qatviz.settings import KINDS, QUANTIZER_SETTINGS, RUN, RUN_SETTINGS

#: Default number of further training steps.
_STEPS = 1000
#: Height of a field of changes, in lines of text.
_LINES = 4
_SEEDS_HELP = (
    "Seeds, separated by commas; all settings are trained with each. The spread over seeds shows which differences are "
    "chance. Empty: the seed of the run."
)


class ChangesField(QtWidgets.QPlainTextEdit):
    """Field with one change of settings in each line."""

    def __init__(self, name: str, form: str, tip: str):
        super().__init__()
        self.setAccessibleName(name)
        self.setPlaceholderText(form)
        self.setToolTip(tip)
        self.setTabChangesFocus(True)
        self.setLineWrapMode(self.NoWrap)
        self.setMinimumHeight(_LINES * self.fontMetrics().lineSpacing())

    @property
    def lines(self) -> Tuple[str, ...]:
        """The lines that are not empty, without spaces at both ends."""
        return tuple(line.strip() for line in self.toPlainText().splitlines() if line.strip())

    def add(self, line: str) -> None:
        """Append a line."""
        self.setPlainText("\n".join([*self.lines, line]))


class ChangeBuilder(QtWidgets.QWidget):
    """Lists of tensors and settings, and a field for values, from which a change is added to a field.

    Parameters
    ----------
    targets : sequence of (str, ChangesField)
        Texts of the buttons, and the fields to which they add.
    form : str
        Example of values, shown in the empty field.
    has_presets : bool
        True to offer presets, which set all tensors.
    """

    def __init__(self, targets: Sequence[Tuple[str, ChangesField]], form: str, has_presets: bool = False):
        super().__init__()
        self._has_presets = has_presets
        self.tensor = ComboBox(accessibleName="Tensors or run settings")
        self.setting = ComboBox(accessibleName="Setting")
        self.values = QtWidgets.QLineEdit(accessibleName="Values", placeholderText=form)
        self.values.setMaximumWidth(self.fontMetrics().averageCharWidth() * 18)
        self.buttons = [push_button(text, "Add this change as a line") for text, _ in targets]
        row = FlowLayout(self, spacing=4)
        row.setContentsMargins(0, 0, 0, 0)
        for widget in (self.tensor, self.setting, self.values, *self.buttons):
            row.addWidget(widget)
        for button, (_, field) in zip(self.buttons, targets):
            button.clicked.connect(lambda _=False, field=field: self._add_to(field))
        self.values.textChanged.connect(self._update)
        self.tensor.currentIndexChanged.connect(self._fill_settings)
        self._update()

    def show_book(self, book: Optional[SettingsBook]) -> None:
        """Offer the tensors of a run."""
        self.tensor.blockSignals(True)
        self.tensor.clear()
        for kind in KINDS:
            self.tensor.addItem(f"all {kind}", f"*.{kind}")
        for tensor in () if book is None else book.plan.tensors:
            self.tensor.addItem(tensor.name, tensor.name)
        self.tensor.addItem("run settings", RUN)
        if self._has_presets:
            self.tensor.addItem("preset", PRESET)
        self.tensor.blockSignals(False)
        self._fill_settings()

    def _fill_settings(self, *_: object) -> None:
        path, kept = str(self.tensor.currentData()), self.setting.currentData()
        kind = path.rpartition(".")[2]
        known = RUN_SETTINGS if path == RUN else QUANTIZER_SETTINGS
        self.setting.clear()
        for name, setting in known.items() if path != PRESET else ():
            if path == RUN or kind in setting.kinds:
                self.setting.addItem(setting.label, name)
                tip = f"{setting.help}\n{setting.allowed()}"
                self.setting.setItemData(self.setting.count() - 1, tip, QtCore.Qt.ToolTipRole)
        wanted = kept or ("learning_rate" if path == RUN else "num_bits")
        self.setting.setCurrentIndex(max(self.setting.findData(wanted), 0))
        self.setting.setEnabled(path != PRESET)

    def _update(self, *_: object) -> None:
        for button in self.buttons:
            button.setEnabled(bool(self.values.text().strip()))

    def _add_to(self, field: ChangesField) -> None:
        path = str(self.tensor.currentData())
        name = path if path == PRESET else f"{path}.{self.setting.currentData()}"
        field.add(f"{name}={self.values.text().strip()}")


class StartForm(QtWidgets.QWidget):
    """Fields that A/B trials and sweeps share: checkpoint, further steps, seeds, processes."""

    def __init__(self, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.checkpoint = ComboBox(accessibleName="Checkpoint")
        self.checkpoint.setToolTip("State from which all runs start")
        self.save = QtWidgets.QPushButton(
            "Save present state", toolTip="Save the present state of the run, and choose it"
        )
        self.save.setAutoDefault(False)
        self.steps = NumberBox(STEPS)
        self.steps.setAccessibleName("Further steps")
        self.steps.setToolTip("Training steps of each run after the checkpoint")
        self.steps.set_value(_STEPS)
        self.seeds = QtWidgets.QLineEdit(accessibleName="Seeds", placeholderText="seed of the run, or 0, 1, 2")
        self.seeds.setToolTip(_SEEDS_HELP)
        self.processes = QtWidgets.QSpinBox(accessibleName="Processes")
        self.processes.setRange(1, MOST_PROCESSES)
        self.processes.setValue(min(max((os.cpu_count() or 1), 2), MOST_PROCESSES))
        self.processes.setToolTip("Runs that train at a time, each in a process of its own")
        rows = QtWidgets.QFormLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        for label, field in (
            ("Checkpoint", self.checkpoint),
            ("", self.save),
            ("Further steps", self.steps),
            ("Seeds", self.seeds),
            ("Processes", self.processes),
        ):
            rows.addRow(label, field)

    def show_checkpoints(self, names: Sequence[Tuple[str, str]], chosen: str = "") -> None:
        """Offer checkpoints, given as names and texts, and choose ``chosen``.

        By default, the present choice stays; if it is not among them, the last one is chosen.
        """
        kept = chosen or self.checkpoint.currentData()
        self.checkpoint.clear()
        for name, text in names:
            self.checkpoint.addItem(text, name)
        row = self.checkpoint.findData(kept)
        self.checkpoint.setCurrentIndex(row if row >= 0 else len(names) - 1)

    def parsed_seeds(self) -> Tuple[int, ...]:
        """Return the seeds; SettingError if the text has another form."""
        words: List[str] = [word.strip() for word in self.seeds.text().split(",") if word.strip()]
        if not all(word.isdecimal() for word in words) or len(set(words)) < len(words):
            raise SettingError(f"the seeds are {self.seeds.text()!r}: expected distinct whole numbers: 0, 1, 2")
        return tuple(map(int, words))
