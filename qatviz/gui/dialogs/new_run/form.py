"""Form of the New run dialog, whose values are remembered."""

from typing import Any, Dict, Iterable, Optional, Sequence, Set, Tuple

from PyQt5 import QtCore, QtWidgets

from qatviz.class_weights import BALANCED
from qatviz.data_options import DATA_OPTIONS, DataOptions
from qatviz.errors import SettingError
from qatviz.gui.dialogs.fields import (
    Choice,
    ComboBox,
    Field,
    OutField,
    StepsField,
    choice_box,
    free_choice_box,
    function_box,
)
from qatviz.gui.dialogs.new_run.data_options import DataOptionEditors
from qatviz.gui.dialogs.new_run.outputs_table import OutputsTable
from qatviz.gui.dialogs.path_field import DataField, ModelField, TeacherField, WeightsField
from qatviz.gui.model.context import Context
from qatviz.gui.model.new_run import (
    AUGMENTATION_NUMBERS,
    BATCH_SIZE,
    FLIP,
    LABELS,
    LEARNING_RATE,
    QUANT_DELAY,
    SCHEDULE,
    SCHEDULE_NUMBERS,
    SEED,
    STEPS,
)
from qatviz.gui.widgets.controls.check_box import CheckBox
from qatviz.gui.widgets.controls.editors import NumberEditor
from qatviz.gui.widgets.controls.number_box import NumberBox
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.rate_curve import RateCurve
from qatviz.losses import AUTOMATIC, LOSSES
from qatviz.metric import METRICS
from qatviz.network import zoo
from qatviz.own_functions import is_function
from qatviz.presets import PRESETS
from qatviz.protocol.corrections import RELU6_HELP
from qatviz.scaling import (
    SCALING_FORM,
    SCALING_HELP,
    SCALING_PURPOSE,
    SCALINGS,
    STANDARD,
    STANDARD_HELP,
    STANDARD_LABEL,
)
from qatviz.session.request import FOLD_FORWARD_HELP, NewRunRequest, names_model, stem_of
from qatviz.session.request_json import NO_LIMIT
from qatviz.setting_declaration import Setting
from qatviz.settings import OPTIMIZERS, run_settings_for
from qatviz.start_settings import START_SETTINGS
from qatviz.task import TASK_HELP, TASK_TEXTS

_RUN_NUMBERS = {"learning_rate": LEARNING_RATE, **SCHEDULE_NUMBERS, **AUGMENTATION_NUMBERS}
_NUMBERS = {**_RUN_NUMBERS, "batch_size": BATCH_SIZE, "seed": SEED, "quant_delay": QUANT_DELAY}
_OPTIMIZER, _LOSS, _METRIC, _WEIGHTS = (
    START_SETTINGS[name] for name in ("optimizer", "loss", "metric", "class_weights")
)
#: Settings of the run that are chosen from lists.
_RUN_WORDS = ("lr_schedule", FLIP.name)
#: Changes of the network that are offered where they are possible.
_CHECKED = ("fold_forward", "replace_relu6")
#: Suffix of files without weights.
_ARCHITECTURE = ".json"
#: Value and text of the choice that infers a property from the data.
_INFERRED, _FROM_DATA = "", "Auto-detect"


class NewRunForm(QtWidgets.QWidget):
    """Form for a new run (:attr:`request`); each field shows its error below it."""

    #: Emitted when a field has another value.
    changed = QtCore.pyqtSignal()

    def __init__(
        self, context: Context, data_names: Sequence[Tuple[str, str]], parent: Optional[QtWidgets.QWidget] = None
    ):
        super().__init__(parent)
        self._theme, self._settings, self._launcher = context.theme, context.settings, context.launcher
        self._has_weights = True  # whether the shown model has weights of its own
        self._has_relu6 = False  # whether the shown network has a ReLU6
        self._has_forward_folds = False  # whether a batch norm of it can be folded into a layer behind it
        self._data_names = [name for name, _ in data_names]
        self._applicable: Set[str] = set()  # names of the data options that apply to the data
        self.refused: Dict[str, str] = {}  # errors of numbers that are typed, by field
        self._setup_ui(data_names)
        self._layout()
        self._restore()
        self._on_network()
        self.show_data_options(())
        self.set_outputs(())
        self.set_has_relu6(False)
        self.set_has_forward_folds(False)
        self._connect()
        self._show_schedule()

    def _setup_ui(self, data_names: Sequence[Tuple[str, str]]) -> None:
        self._create_network()
        self._create_data(data_names)
        self._create_objective()
        self._create_training()
        self._create_fields()

    def _create_network(self) -> None:
        """Create the editors of the network, its weights and its quantization."""
        self.network = ModelField([(entry.name, entry.description) for entry in zoo.NETWORKS.values()], self._settings)
        self.weights = WeightsField(self._settings)
        self.from_scratch = choice_box(
            Choice(False, "Weights of the model", "Continue from the model's own weights: fine-tuning"),
            Choice(True, "Random weights (from scratch)", "Use the architecture only, with new weights"),
        )
        self.from_scratch.setToolTip("The weights that training begins with")
        self.replace_relu6 = CheckBox("Replace by ReLU")
        self.replace_relu6.setToolTip(_capitalized(RELU6_HELP))
        self.fold_forward = CheckBox("Fold into the layer behind")
        self.fold_forward.setToolTip(_capitalized(FOLD_FORWARD_HELP))
        self.preset = choice_box(*(Choice(name, name, preset.description) for name, preset in PRESETS.items()))
        self.preset.setToolTip("The initial quantization settings; all can be changed during training")

    def _create_data(self, data_names: Sequence[Tuple[str, str]]) -> None:
        """Create the editors of the data and of how it is read."""
        self.data = DataField(data_names, self._settings)
        self.task = choice_box(
            Choice(_INFERRED, _FROM_DATA, f"{_capitalized(TASK_HELP)}; an archive may name its task"),
            *(Choice(name, *texts) for name, texts in TASK_TEXTS.items()),
        )
        self.task.setToolTip("The task that the network learns")
        self.scaling = free_choice_box(
            SCALING_FORM,
            Choice(_INFERRED, _FROM_DATA, _capitalized(SCALING_HELP)),
            *(Choice(name, scaling.label, _capitalized(scaling.help)) for name, scaling in SCALINGS.items()),
            Choice(STANDARD, STANDARD_LABEL, _capitalized(STANDARD_HELP)),
        )
        self.scaling.setToolTip(f"{SCALING_PURPOSE}\nScalings of several inputs: {SCALING_FORM}")
        self.data_options = DataOptionEditors(self)

    def _create_objective(self) -> None:
        """Create the editors of loss and metric, and of the teacher that the loss may have."""
        self.loss = function_box(
            Choice(AUTOMATIC, _LOSS.text(AUTOMATIC), ""),
            *(Choice(name, loss.title, loss.help) for name, loss in LOSSES.items()),
        )
        self.loss.setToolTip(_LOSS.help)
        self.class_weights = QtWidgets.QLineEdit()
        self.class_weights.setPlaceholderText(f"None; {BALANCED}; or CLASS=WEIGHT, …")
        self.class_weights.setToolTip(f"{_WEIGHTS.help}\nAllowed: {_WEIGHTS.allowed()}")
        self.metric = function_box(
            Choice(AUTOMATIC, _METRIC.text(AUTOMATIC), ""),
            *(Choice(name, _METRIC.text(name), metric.about) for name, metric in METRICS.items()),
        )
        self.metric.setToolTip(_METRIC.help)
        self.teacher_model = TeacherField(self._settings)
        self.heads = OutputsTable(self)

    def _create_training(self) -> None:
        """Create the editors of the training, its length and its record."""
        self.optimizer = choice_box(*(Choice(name, _OPTIMIZER.text(name)) for name in OPTIMIZERS))
        self.optimizer.setToolTip(_OPTIMIZER.help)
        self.lr_schedule = choice_box(*(Choice(name, SCHEDULE.text(name)) for name in SCHEDULE.words))
        self.lr_schedule.setToolTip(SCHEDULE.help)
        self.augment_flip = choice_box(*(Choice(name, FLIP.text(name)) for name in FLIP.words))
        self.augment_flip.setToolTip(FLIP.help)
        self.rates = RateCurve(self._theme)
        self.numbers = {name: NumberEditor(setting) for name, setting in _NUMBERS.items()}
        for name, editor in self.numbers.items():
            editor.name_parts(LABELS[name], _NUMBERS[name].help)
            editor.setToolTip(f"{_NUMBERS[name].help}\nAllowed: {_NUMBERS[name].allowed()}")
        self.workers = QtWidgets.QLineEdit()
        self.workers.setPlaceholderText("None; or HOST:PORT, HOST:PORT, …")
        self.workers.setToolTip("Processes `qatviz worker`, also on other machines, that share each batch")
        self.steps, self.out = StepsField(), OutField(self._settings, self._launcher)

    def _create_fields(self) -> None:
        """Create a field for each editor, in the order of :data:`LABELS`, and name the editors that have no name."""
        widgets: Dict[str, QtWidgets.QWidget] = {**self.numbers, **self.data_options.widgets}
        widgets.update({name: getattr(self, name) for name in LABELS if name not in widgets})
        self.fields: Dict[str, Field] = {name: Field(widgets[name], self._theme) for name in LABELS}
        for name in (
            "from_scratch",
            "task",
            "scaling",
            "preset",
            "loss",
            "class_weights",
            "metric",
            "optimizer",
            "lr_schedule",
            "augment_flip",
            "workers",
        ):
            widgets[name].setAccessibleName(LABELS[name])

    def _layout(self) -> None:
        grid = QtWidgets.QGridLayout(self)  # a form layout leaves gaps for hidden rows
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        line = self.preset.sizeHint().height()
        self._labels = {}
        for index, (name, field) in enumerate(self.fields.items()):
            if name == list(SCHEDULE_NUMBERS)[-1]:
                field.layout().addWidget(self.rates)
            label = Label(LABELS[name])
            label.setBuddy(field)
            label.setMinimumHeight(line)
            row = 2 * index
            grid.addWidget(label, row, 0, QtCore.Qt.AlignTop)
            if name == "heads":  # a table, below its label, as wide as the form
                grid.addWidget(field, row + 1, 0, 1, 2)
            else:
                grid.addWidget(field, row, 1)
            self._labels[name] = label

    def _connect(self) -> None:
        self.network.changed.connect(self._on_network)
        self.data.changed.connect(self._on_data)
        self.data_options.changed.connect(self.changed)
        fields = (self.network, self.weights, self.data, self.teacher_model)
        for changed in (*(field.changed for field in fields), self.steps.changed, self.out.changed):
            changed.connect(self.changed)
        for word_box in (self.loss, self.metric, self.scaling):
            word_box.editTextChanged.connect(lambda _: self.changed.emit())
        for name in ("from_scratch", "task", "preset", "optimizer", "lr_schedule", "augment_flip"):
            getattr(self, name).currentIndexChanged.connect(lambda _: self.changed.emit())
        for name in _CHECKED:
            getattr(self, name).toggled.connect(lambda _: self.changed.emit())
        self.heads.changed.connect(self.changed)
        self.changed.connect(self._show_schedule)
        for line in (self.class_weights, self.workers):
            line.textChanged.connect(lambda _: self.changed.emit())
        for editor in self.numbers.values():
            editor.edited.connect(lambda _: self.changed.emit())
        for name, box in self.boxes().items():
            box.keeps_text = True
            box.refused.connect(lambda problem, name=name: self._on_refused(name, problem))
            box.settled.connect(lambda name=name: self._on_refused(name, ""))

    # The request

    @property
    def request(self) -> NewRunRequest:
        """The fields' request; the dialog adds whether a model's code may be run."""
        network = self.network.text()
        is_model = names_model(network)
        numbers = {name: editor.box.value for name, editor in self.numbers.items()}
        run = {name: numbers.pop(name) for name in _RUN_NUMBERS}
        steps = self.steps.steps()
        learned = {
            "task": self.task.currentData() or None,
            "loss": self.loss.word,
            "class_weights": self.class_weights.text().strip(),
            "metric": self.metric.word,
        }
        return NewRunRequest(
            network=None if is_model else network,
            model=network if is_model else None,
            model_weights=(self.weights.text() or None) if _is_architecture(network) else None,
            from_scratch=self._is_from_scratch(network),
            fold_forward=self._has_forward_folds and self.fold_forward.isChecked(),
            replace_relu6=self._has_relu6 and self.replace_relu6.isChecked(),
            data=self.data.text(),
            scaling=self.scaling.word or None,
            data_options=self.data_options.options,
            preset=self.preset.currentData(),
            optimizer=self.optimizer.currentData(),
            steps=NO_LIMIT if steps is None else steps,
            run=run_settings_for(self.optimizer.currentData(), {**run, **self._run_words()}),
            teacher_model=self.teacher_model.text() or None,
            workers=self.workers.text().strip(),
            out=self.out.out(),
            **({"heads": self.heads.choices} if self.heads.outputs else learned),
            **numbers,
        )

    def _is_from_scratch(self, network: str) -> bool:
        return bool(names_model(network) and self._has_weights and self.from_scratch.currentData())

    def _run_words(self) -> Dict[str, Any]:
        """Return the settings of the run that are chosen from lists, by name."""
        return {name: getattr(self, name).currentData() for name in _RUN_WORDS}

    def show_augmentation(self, input_shape: Tuple[int, ...]) -> None:
        """Show the settings of augmentation that have an effect on examples of this shape; all if it is not known."""
        unused = self.request.run.unused_augmentation(input_shape) if input_shape else ()
        for name in (FLIP.name, *AUGMENTATION_NUMBERS):
            self._show(name, name not in unused)

    def boxes(self) -> Dict[str, NumberBox]:
        """Return the boxes of all numbers, by field."""
        return dict({name: editor.box for name, editor in self.numbers.items()}, steps=self.steps.box)

    def commit_texts(self) -> None:
        """Commit numbers that are still being typed."""
        for box in self.boxes().values():
            box.commit_text()

    def set_has_weights(self, has_weights: bool) -> None:
        """Show the choice between the model's own weights and random ones, or hide it."""
        self._has_weights = has_weights
        self._show("from_scratch", has_weights)

    def set_has_relu6(self, has_relu6: bool) -> None:
        """Show the replacement of each ReLU6, or hide it: a network without one has no effect of it."""
        self._has_relu6 = has_relu6
        self._show("replace_relu6", has_relu6)

    def set_has_forward_folds(self, has_forward_folds: bool) -> None:
        """Show the folding of batch norms into layers behind them, or hide it: other networks have no effect of it."""
        self._has_forward_folds = has_forward_folds
        self._show("fold_forward", has_forward_folds)

    def set_outputs(self, outputs: Sequence[str]) -> None:
        """Show a table of these outputs if there are several, in place of the fields of a single one."""
        outputs = outputs if len(outputs) > 1 else ()
        self.heads.set_outputs(outputs)
        self._show("heads", bool(outputs))
        for name in ("task", "loss", "class_weights", "metric"):
            self._show(name, not outputs)

    def show_data_options(self, names: Iterable[str]) -> None:
        """Show these data options too; those shown before for the same data, and those that are set, stay."""
        self._applicable.update(names)
        given = self.data_options.options.given()
        for name in DATA_OPTIONS:
            self._show(name, name in self._applicable or name in given)

    def _on_data(self) -> None:
        """Reset the data options: they are of the data that was chosen before."""
        self._applicable.clear()
        self.data_options.set_options(DataOptions())
        self.show_data_options(())

    # Errors and notes

    def show_notes(self, problems: Dict[str, str], notes: Dict[str, str], warnings: Dict[str, str]) -> None:
        """Show the error, else warning and note, of each field below it."""
        for name, field in self.fields.items():
            warning = "" if name in problems else warnings.get(name, "")
            field.show_note(problems.get(name, "") or notes.get(name, ""), name in problems, warning)

    def problems(self) -> Dict[str, str]:
        """Return the errors that are shown, by field."""
        return {name: field.note.text() for name, field in self.fields.items() if field.has_problem}

    def _on_refused(self, name: str, problem: str) -> None:
        self.refused.pop(name, None)
        if problem:
            self.refused[name] = problem
        self.changed.emit()

    def _on_network(self) -> None:
        network = self.network.text()
        self.out.suggest(stem_of(network))
        self._show("weights", _is_architecture(network))
        self._show("from_scratch", names_model(network))

    def _show_schedule(self) -> None:
        """Show the numbers that the schedule uses, and its curve."""
        wanted = self.request
        for name in SCHEDULE_NUMBERS:
            self._show(name, name not in wanted.run.unused_schedule_settings)
        self.rates.show_plan(wanted.run, wanted.total_steps, 0)

    def _show(self, name: str, is_shown: bool) -> None:
        self.fields[name].setVisible(is_shown)
        self._labels[name].setVisible(is_shown)

    # Remembered values

    def remember(self) -> None:
        """Remember the values for the next dialog, but not the consent to run code."""
        wanted = self.request
        values = {
            "network": wanted.network or wanted.model,
            "data": wanted.data,
            "preset": wanted.preset,
            "loss": self.loss.word,
            "metric": self.metric.word,
            "optimizer": wanted.optimizer,
            **self._run_words(),
            **{name: editor.box.value for name, editor in self.numbers.items()},
        }
        for name, value in values.items():
            self._settings.setValue("new_run/" + name, str(value))
        self._settings.setValue("new_run/workers", wanted.workers)
        self._settings.setValue("new_run/weights", wanted.model_weights or "")
        self._settings.setValue("new_run/task", self.task.currentData())
        self._settings.setValue("new_run/scaling", wanted.scaling or _INFERRED)
        self._settings.setValue("new_run/data_options", self.data_options.text())
        self._settings.setValue("new_run/steps", self.steps.box.value)
        self._settings.setValue("new_run/until_stopped", self.steps.endless.isChecked())
        for name in _CHECKED:
            self._settings.setValue("new_run/" + name, getattr(self, name).isChecked())
        if wanted.model is not None:
            self._settings.setValue("new_run/from_scratch", wanted.from_scratch)
            self.network.remember(wanted.model)
        if wanted.model_weights:
            self.weights.remember(wanted.model_weights)
        if wanted.teacher_model:  # offered in the list; the next run has none unless it is chosen again
            self.teacher_model.remember(wanted.teacher_model)
        data = self.data.text()
        if data not in self._data_names:
            self.data.remember(data)
        self.out.remember()

    def _restore(self) -> None:
        first = NewRunRequest()
        network = self._settings.value("new_run/network", first.network)
        self.network.set_text(network if network in zoo.NETWORKS or names_model(network) else first.network)
        self.weights.set_text(self._settings.value("new_run/weights", ""))
        from_scratch = self._settings.value("new_run/from_scratch", "false") in (True, "true")
        _choose(self.from_scratch, from_scratch)
        for name in _CHECKED:
            getattr(self, name).setChecked(self._settings.value("new_run/" + name, "false") in (True, "true"))
        for name in _RUN_WORDS:
            _choose(getattr(self, name), self._settings.value("new_run/" + name, getattr(first.run, name)))
        for name, word_box in (("loss", self.loss), ("metric", self.metric)):
            word = self._settings.value("new_run/" + name, AUTOMATIC)
            word_box.choose(word if word_box.findData(word) >= 0 or is_function(word) else AUTOMATIC)
        for name in ("preset", "optimizer", "task", "scaling"):
            for value in (getattr(first, name) or _INFERRED, self._settings.value("new_run/" + name, "")):
                _choose(getattr(self, name), value)
        self.data.set_text(self._settings.value("new_run/data", first.data))
        self.workers.setText(str(self._settings.value("new_run/workers", "")))
        self.data_options.set_text(str(self._settings.value("new_run/data_options", "{}")))
        for name, editor in self.numbers.items():
            editor.set_values([self._remembered(name, _NUMBERS[name])])
        endless = self._settings.value("new_run/until_stopped", "false") in (True, "true")
        self.steps.set_steps(self._remembered("steps", STEPS), endless)

    def _remembered(self, name: str, setting: Setting) -> Any:
        try:
            return setting.parse(str(self._settings.value("new_run/" + name, setting.default)))
        except SettingError:  # the file was edited or is of another version
            return setting.default


def _is_architecture(network: str) -> bool:
    return names_model(network) and network.lower().endswith(_ARCHITECTURE)


def _capitalized(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _choose(box: ComboBox, value: Any) -> None:
    """Choose the item of a value; no effect if there is none, as for a value that another version remembered."""
    row = box.findData(value)
    if row >= 0:
        box.setCurrentIndex(row)
