"""The dialog that asks what to train: checked while it is filled in, remembered for the next time."""

from dataclasses import fields
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

from PyQt5 import QtCore, QtWidgets

from qatviz.errors import SettingError
from qatviz.gui.context import Context
from qatviz.gui.controls.editors import NumberEditor
from qatviz.gui.controls.number_box import NumberBox
from qatviz.gui.dialogs.check_worker import CheckWorker
from qatviz.gui.dialogs.fields import DataField, Field, OutField, StepsField
from qatviz.gui.dialogs.network_preview import NetworkPreview
from qatviz.gui.new_run import BATCH_SIZE, LEARNING_RATE, OPTIMIZERS, SEED, STEPS, Fit, NewRun
from qatviz.network import zoo
from qatviz.presets import PRESETS
from qatviz.settings import Setting

#: Data is looked at when no other is typed for so long (ms).
CHECK_DELAY_MS = 400
#: What networks are shown for until the data is known.
EXAMPLE_SHAPE, EXAMPLE_CLASSES = (28, 28, 1), 10
_NUMBERS = {"learning_rate": LEARNING_RATE, "batch_size": BATCH_SIZE, "seed": SEED}
_LABELS = {"network": "Network", "data": "Data", "preset": "Preset", "optimizer": "Optimizer",
           "learning_rate": "Learning rate", "batch_size": "Batch size", "seed": "Seed", "steps": "Steps",
           "out": "Record"}


class NewRunDialog(QtWidgets.QDialog):
    """Asks for a :class:`qatviz.gui.new_run.NewRun`.

    Parameters
    ----------
    context : Context
    check : callable (NewRun) -> Fit
        Looks at the data of a run, on a worker thread; raises :class:`qatviz.errors.QatvizError`.
    data_names : sequence of (str, str)
        Data sets that are known by name, and what they are.
    """

    #: The user wants this run.
    wanted = QtCore.pyqtSignal(object)

    def __init__(self, context: Context, check: Callable[[NewRun], Fit], data_names: Sequence[Tuple[str, str]],
                 parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.setWindowTitle("New run")
        self._theme, self._settings = context.theme, context.settings
        self.fit = None  # type: Optional[Fit]
        self._data_problem = ""
        self._refused = {}  # type: Dict[str, str]
        self._worker = CheckWorker(check, self)
        self._delay = QtCore.QTimer(self, singleShot=True, interval=CHECK_DELAY_MS)
        self._setup_ui(data_names)
        self._layout()
        self._restore()
        self._connect()
        self.out.suggest(self.network.currentText())
        self.network.setFocus()
        self._ask()
        self._look()

    def _setup_ui(self, data_names: Sequence[Tuple[str, str]]) -> None:
        self.network = _choice([(entry.name, entry.description) for entry in zoo.NETWORKS.values()])
        self.preset = _choice([(name, preset.description) for name, preset in PRESETS.items()])
        self.optimizer = _choice([(name, "") for name in OPTIMIZERS])
        self.optimizer.setToolTip("How gradients become updates of the weights")
        self.data = DataField(data_names, self._settings)
        self.numbers = {name: NumberEditor(setting) for name, setting in _NUMBERS.items()}
        self.steps, self.out = StepsField(), OutField(self._settings)
        widgets = {"network": self.network, "data": self.data, "preset": self.preset, "optimizer": self.optimizer,
                   **self.numbers, "steps": self.steps, "out": self.out}
        self.fields = {name: Field(widgets[name], self._theme) for name in _LABELS}  # type: Dict[str, Field]
        for name, editor in self.numbers.items():
            editor.name_parts(_LABELS[name], _NUMBERS[name].help)
            editor.setToolTip("{}\nAllowed: {}".format(_NUMBERS[name].help, _NUMBERS[name].allowed()))
        for name in ("network", "preset", "optimizer"):
            widgets[name].setAccessibleName(_LABELS[name])
        self.preview = NetworkPreview()
        self.buttons = QtWidgets.QDialogButtonBox(QtWidgets.QDialogButtonBox.Cancel)
        self.start = self.buttons.addButton("Start run", QtWidgets.QDialogButtonBox.AcceptRole)
        self.start.setDefault(True)

    def _layout(self) -> None:
        form = QtWidgets.QFormLayout()
        form.setFieldGrowthPolicy(QtWidgets.QFormLayout.AllNonFixedFieldsGrow)
        for name, field in self.fields.items():
            label = QtWidgets.QLabel(_LABELS[name])
            label.setBuddy(field)
            form.addRow(label, field)
        left = QtWidgets.QWidget()
        left.setLayout(form)
        form.setContentsMargins(0, 0, 0, 0)
        left.setMinimumWidth(400)
        both = QtWidgets.QHBoxLayout()
        both.setSpacing(16)
        both.addWidget(left, 5)
        both.addWidget(self.preview, 7)
        rows = QtWidgets.QVBoxLayout(self)
        rows.addLayout(both, 1)
        rows.addWidget(self.buttons)
        self.resize(1020, 600)

    def _connect(self) -> None:
        self.network.currentTextChanged.connect(self.out.suggest)
        for box in (self.network, self.preset, self.optimizer):
            box.currentTextChanged.connect(lambda _: self._look())
        for editor in self.numbers.values():
            editor.edited.connect(lambda _: self._look())
        for name, box in self._boxes().items():
            box.keeps_text = True
            box.refused.connect(lambda problem, name=name: self._on_refused(name, problem))
            box.settled.connect(lambda name=name: self._on_refused(name, ""))
        for part in (self.steps, self.out):
            part.changed.connect(self._look)
        self.data.changed.connect(self._on_data_changed)
        self._delay.timeout.connect(self._ask)
        self._worker.answered.connect(self._on_answered)
        self._worker.failed.connect(self._on_failed)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)

    # What is asked for

    @property
    def new_run(self) -> NewRun:
        """What the fields say."""
        return NewRun(network=self.network.currentText(), data=self.data.text(), preset=self.preset.currentText(),
                      optimizer=self.optimizer.currentText(), steps=self.steps.steps(), out=self.out.out(),
                      **{name: editor.box.value for name, editor in self.numbers.items()})

    def problems(self) -> Dict[str, str]:
        """By field: what is wrong with it."""
        return {name: field.note.text() for name, field in self.fields.items() if field.has_problem}

    def _look(self) -> None:
        """Check the fields, and say under each what is wrong with it."""
        wanted = self.new_run
        problems = dict(wanted.problems(), **self._refused)
        shape, classes = (self.fit.input_shape, self.fit.num_classes) if self.fit else (EXAMPLE_SHAPE, EXAMPLE_CLASSES)
        misfit = self.preview.show_network(wanted.network, shape, classes, self.fit is not None)
        if misfit:
            problems.setdefault("network", misfit)
        if self._data_problem:
            problems.setdefault("data", self._data_problem)
        notes = {"data": self._data_note(), "preset": PRESETS[wanted.preset].description}
        for name, field in self.fields.items():
            field.say(problems.get(name) or notes.get(name, ""), name in problems)
        self.start.setEnabled(not problems)

    def _boxes(self) -> Dict[str, NumberBox]:
        return dict({name: editor.box for name, editor in self.numbers.items()}, steps=self.steps.box)

    def _on_refused(self, name: str, problem: str) -> None:
        self._refused.pop(name, None)
        if problem:
            self._refused[name] = problem
        self._look()

    def _data_note(self) -> str:
        if self.fit is None:
            return "Reading the data…"
        return "\n".join(["fits: " + self.fit.describe(), *("note: " + note for note in self.fit.notes)])

    # The data

    def _on_data_changed(self) -> None:
        self.fit, self._data_problem = None, ""
        self._worker.forget()
        self._delay.start()
        self._look()

    def _ask(self) -> None:
        self._delay.stop()
        if self.data.text():
            self._worker.ask(self.new_run)

    def _on_answered(self, question: NewRun, fit: Fit) -> None:
        self.fit = fit
        self._look()

    def _on_failed(self, question: NewRun, problem: str) -> None:
        self._data_problem = problem
        self._look()

    # The end

    def accept(self) -> None:
        for box in self._boxes().values():
            box.take_text()
        self._look()
        if not self.start.isEnabled():
            return
        self._remember()
        self._worker.forget()
        self._delay.stop()
        super().accept()
        self.wanted.emit(self.new_run)

    def reject(self) -> None:
        self._worker.forget()
        self._delay.stop()
        super().reject()

    # What is remembered

    def _remember(self) -> None:
        wanted = self.new_run
        for field in fields(NewRun):
            if field.name not in ("steps", "out"):
                self._settings.setValue("new_run/" + field.name, str(getattr(wanted, field.name)))
        self._settings.setValue("new_run/steps", self.steps.box.value)
        self._settings.setValue("new_run/until_stopped", self.steps.endless.isChecked())
        self.out.remember()

    def _restore(self) -> None:
        first = NewRun()
        for name in ("network", "preset", "optimizer"):
            box = getattr(self, name)
            box.setCurrentText(getattr(first, name))
            box.setCurrentText(self._settings.value("new_run/" + name, ""))  # where there is such an item
        self.data.set_text(self._settings.value("new_run/data", first.data))
        for name, editor in self.numbers.items():
            editor.set_values([self._remembered(name, _NUMBERS[name], getattr(first, name))])
        endless = self._settings.value("new_run/until_stopped", "false") in (True, "true")
        self.steps.set_steps(self._remembered("steps", STEPS, first.steps), endless)

    def _remembered(self, name: str, setting: Setting, default: Any) -> Any:
        try:
            return setting.parse(str(self._settings.value("new_run/" + name, default)))
        except SettingError:  # the file was edited, or is another version's
            return default


def _choice(items: Sequence[Tuple[str, str]]) -> QtWidgets.QComboBox:
    box = QtWidgets.QComboBox()
    for row, (name, about) in enumerate(items):
        box.addItem(name)
        box.setItemData(row, about, QtCore.Qt.ToolTipRole)
    return box
