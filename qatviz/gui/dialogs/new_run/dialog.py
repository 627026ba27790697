"""New run dialog, which previews and checks model and data as the user fills it in."""

from dataclasses import replace
from typing import Dict, List, Optional, Set

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.data_options import DATA_OPTIONS
from qatviz.errors import ChoiceNeeded, QatvizError
from qatviz.gui.dialogs.new_run.data_preview import DataPreview
from qatviz.gui.dialogs.new_run.form import NewRunForm
from qatviz.gui.dialogs.new_run.network_preview import NetworkPreview
from qatviz.gui.dialogs.new_run.teacher_check import TeacherCheck
from qatviz.gui.dialogs.path_field import dropped_path
from qatviz.gui.model.check_worker import CheckWorker
from qatviz.gui.model.context import Context
from qatviz.gui.model.launcher import Launcher
from qatviz.gui.model.new_run import field_of, problems_of
from qatviz.gui.widgets.controls.column import Column
from qatviz.gui.widgets.scrolled import Scrolled, screen_room
from qatviz.heads import stated_tasks
from qatviz.network import zoo
from qatviz.network.forward_folding import fold_forward, forward_folds, norm_notes
from qatviz.network.graph import Network
from qatviz.network.replaced_relu6 import has_relu6, with_relu
from qatviz.presentation.previews import DataInfo
from qatviz.presets import PRESETS
from qatviz.scaling import found_text
from qatviz.session.model_info import (
    DataQuestion,
    ModelInfo,
    ModelQuestion,
    fit_note,
    mismatch_reason,
    used_shape_text,
    zoo_network_for,
    zoo_problem,
)
from qatviz.session.request import NewRunRequest, is_model_path

#: Delay after typing until files are inspected (ms).
CHECK_DELAY_MS = 400
_READING_DATA, _READING_MODEL = "Reading the data…", "Reading the model…"


class NewRunDialog(QtWidgets.QDialog):
    """Dialog for a :class:`qatviz.session.request.NewRunRequest`.

    Parameters
    ----------
    context : Context
    launcher : Launcher
        Inspects models and data on worker threads.

    Attributes
    ----------
    data : DataInfo or None
        Result of inspecting the data; None if not known yet.
    model : ModelInfo or None
        Result of inspecting the user's model; None if not known yet, or if the network is one of the zoo.
    """

    #: Emitted with the accepted request.
    wanted = QtCore.pyqtSignal(object)

    def __init__(self, context: Context, launcher: Launcher, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.setWindowTitle("New run")
        self.setAcceptDrops(not launcher.place)  # dropped files are of this machine
        self._theme, self._launcher = context.theme, launcher
        self.data: Optional[DataInfo] = None
        self.model: Optional[ModelInfo] = None
        self.consent: Optional[ConsentDialog] = None
        self._allowed = ""  # model whose code may be run
        self._allowed_code: Set[str] = set()  # losses, metrics and teachers whose code may be run
        self._asks_consent = False  # True: ask for consent at once, as the model was chosen, not typed
        self._data_problem: Optional[QatvizError] = None
        self._model_problem: Optional[QatvizError] = None
        self._data_worker = CheckWorker(launcher.check_data, self)
        self._model_worker = CheckWorker(launcher.check_model, self)
        self._data_delay = QtCore.QTimer(self, singleShot=True, interval=CHECK_DELAY_MS)
        self._model_delay = QtCore.QTimer(self, singleShot=True, interval=CHECK_DELAY_MS)
        self._setup_ui(context)
        self._layout()
        self._connect()
        self.form.network.setFocus()
        self._ask_data()
        self._ask_model()
        self._update()

    def _setup_ui(self, context: Context) -> None:
        self.form = NewRunForm(context, self._launcher.data_names())
        self.teacher = TeacherCheck(self.form.teacher_model, self._launcher, CHECK_DELAY_MS, self)
        self.network_preview = NetworkPreview()
        self.data_preview = DataPreview(self._theme)
        self.buttons = QtWidgets.QDialogButtonBox(QtWidgets.QDialogButtonBox.Cancel)
        self.start = self.buttons.addButton("Start run", QtWidgets.QDialogButtonBox.AcceptRole)
        self.start.setDefault(True)

    def _layout(self) -> None:
        left = Column([self.form])
        right = QtWidgets.QSplitter(QtCore.Qt.Vertical)
        right.setChildrenCollapsible(False)
        right.addWidget(self.network_preview)
        right.addWidget(self.data_preview)
        for part, share in enumerate((4, 3)):
            right.setStretchFactor(part, share)
        right.setSizes([400, 300])
        content = QtWidgets.QWidget()
        both = QtWidgets.QHBoxLayout(content)
        both.setContentsMargins(0, 0, 0, 0)
        both.setSpacing(16)
        both.addWidget(left, 2)
        both.addWidget(right, 3)
        rows = QtWidgets.QVBoxLayout(self)
        area = Scrolled(content)
        area.limit_minimum(screen_room())
        rows.addWidget(area, 1)
        rows.addWidget(self.buttons)
        self.resize(1180, 740)

    def _connect(self) -> None:
        self.form.changed.connect(self._update)
        self.form.data.changed.connect(self._on_data_changed)
        self.form.task.currentIndexChanged.connect(lambda _: self._on_data_changed())
        self.form.scaling.editTextChanged.connect(lambda _: self._on_data_changed())
        self.form.data_options.changed.connect(self._on_data_changed)
        self.form.heads.task_changed.connect(self._on_data_changed)
        self.form.network.changed.connect(self._on_model_changed)
        self.form.weights.changed.connect(self._on_model_changed)
        self.form.network.chosen.connect(self._on_model_chosen)
        self.form.network.code_asked.connect(self._ask_consent)
        self.teacher.changed.connect(self._update)
        self._data_delay.timeout.connect(self._ask_data)
        self._model_delay.timeout.connect(self._ask_model)
        self._data_worker.answered.connect(self._on_data)
        self._data_worker.failed.connect(self._on_data_failed)
        self._model_worker.answered.connect(self._on_model)
        self._model_worker.failed.connect(self._on_model_failed)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)

    # The request

    @property
    def request(self) -> NewRunRequest:
        """The fields' request, with the user's consent to run the code of models, of losses and metrics."""
        wanted = self.form.request
        is_allowed = bool(self._code_of(wanted)) or self._allowed == wanted.model
        return replace(wanted, allow_code=is_allowed and not self._code_to_allow(wanted))

    def _code_of(self, wanted: NewRunRequest) -> List[str]:
        """Return the losses and metrics of Python files, and the teacher if it contains Python code."""
        return [*wanted.functions, *([str(wanted.teacher_model)] if self.teacher.has_code else [])]

    def _code_to_allow(self, wanted: NewRunRequest) -> List[str]:
        """Return those of :meth:`_code_of` that the user has not allowed to be run."""
        return [text for text in self._code_of(wanted) if text not in self._allowed_code]

    def open_model(self, path: str) -> None:
        """Choose the file ``path`` as the model."""
        self.form.network.choose(path)

    def open_data(self, path: str) -> None:
        """Choose the file or folder ``path`` as the data."""
        self.form.data.choose(path)

    def problems(self) -> Dict[str, str]:
        """Return the errors that are shown, by field."""
        return self.form.problems()

    def _update(self) -> None:
        """Update the previews and the error or note of each field."""
        wanted = self.form.request
        problems = dict(problems_of(wanted, not self._launcher.place), **self.form.refused)
        self.form.show_augmentation(() if self.data is None else self.data.input_shape)
        self.data_preview.show_augmentation(self.data, wanted.run, wanted.seed)
        notes = {"preset": PRESETS[self.form.preset.currentData()].description, "data": self._data_note()}
        if self.data is not None and wanted.scaling is None:
            notes["scaling"] = f"Examples are {found_text(self.data.scaling)}"
        network = (
            self._show_model(wanted, problems, notes) if wanted.model is not None else self._show_zoo(wanted, problems)
        )
        if network is None:
            self.form.set_has_relu6(False)
        if network is not None and self.data is not None:
            unfit = mismatch_reason(network, self.data)
            if unfit:
                problems.setdefault("network", unfit)
            elif wanted.model is not None:
                notes["network"] = fit_note(network, self.data)
        if self._data_problem is not None:
            field = field_of(self._data_problem.field, "data")
            field = "heads" if field == "task" and wanted.heads else field
            problems.setdefault(field, str(self._data_problem))
        notes["teacher_model"] = self.teacher.note
        if self.teacher.problem is not None:
            problems.setdefault("teacher_model", str(self.teacher.problem))
        wrong = [name for name in problems if name in DATA_OPTIONS]
        self.form.show_data_options(wrong)
        if wrong:
            notes["data"] = ""
        mistakes = self.data.mistakes if self.data is not None else ()
        warnings = {"data": "\n".join(f"! warning: {mistake}" for mistake in mistakes)}
        self.form.show_notes(problems, notes, warnings)
        self.form.network.allow.setVisible(
            wanted.model is not None and self.model is not None and self.model.network is None
        )
        is_read = self.teacher.is_ready and (wanted.model is None or self.model is not None)
        self.start.setEnabled(not problems and is_read)

    def _show_zoo(self, wanted: NewRunRequest, problems: Dict[str, str]) -> Optional[Network]:
        """Show a network of the zoo, built for the data, and return it; return None if there is none to show."""
        if wanted.network not in zoo.NETWORKS:
            self.network_preview.show_network(None, "")
            return None
        self.form.set_outputs(())
        about = zoo.NETWORKS[wanted.network].description
        problem = zoo_problem(wanted.network, self.data)
        if problem:
            problems.setdefault("network", problem)
            self.network_preview.show_network(None, about)
            return None
        network = self._as_trained(zoo_network_for(wanted.network, self.data))
        self.network_preview.show_network(network, about, (), self.data is not None)
        return network

    def _show_model(self, wanted: NewRunRequest, problems: Dict[str, str], notes: Dict[str, str]) -> Optional[Network]:
        """Show the user's own model and return its network; return None if there is none to show."""
        if self._model_problem is not None:
            problems.setdefault(field_of(self._model_problem.field), str(self._model_problem))
            self.network_preview.show_network(None, "")
            return None
        if self.model is None:
            notes["network"] = "" if "network" in problems else _READING_MODEL
            self.network_preview.show_network(None, notes["network"])
            return None
        if self.model.network is None:
            problems.setdefault("network", f"{self.model.code.rstrip('.')}. It runs only if you allow it.")
            self.network_preview.show_network(None, "The layers are shown once you allow the code to run.")
            return None
        self.form.set_has_weights(self.model.has_weights)
        self.form.set_outputs(self.model.network.output_names)
        shown = list(self.model.notes)
        if self.model.used_shape is not None:
            shown.insert(
                0,
                f"the model has no fixed input shape: that of the data is used, {used_shape_text(self.model)}",
            )
        network = self._as_trained(self.model.network)
        shown += norm_notes(network)
        self.network_preview.show_network(network, f"Keras model {network.name!r}", shown)
        return network

    def _as_trained(self, network: Network) -> Network:
        """Offer to replace each ReLU6 and to fold batch norms; return the network as the user wants it."""
        self.form.set_has_relu6(has_relu6(network))
        self.form.set_has_forward_folds(bool(forward_folds(network)))
        wanted = self.form.request
        network = with_relu(network) if wanted.replace_relu6 else network
        return fold_forward(network, None).network if wanted.fold_forward else network

    def _data_note(self) -> str:
        if self.data is None:
            return _READING_DATA
        return "\n".join([self.data.describe(), *("note: " + note for note in self.data.notes)])

    # The data

    def _on_data_changed(self) -> None:
        self.data, self._data_problem = None, None
        self._data_worker.forget()
        self._data_delay.start()
        self.data_preview.show_info(None, _READING_DATA)

    def _ask_data(self) -> None:
        self._data_delay.stop()
        wanted = self.form.request
        if wanted.data and not any(name == "scaling" or name in DATA_OPTIONS for name in problems_of(wanted)):
            self.data_preview.show_info(None, _READING_DATA)
            tasks = tuple(stated_tasks(wanted.heads).items())
            self._data_worker.ask(DataQuestion(wanted.data, wanted.task, wanted.scaling, wanted.data_options, tasks))

    def _on_data(self, question: DataQuestion, data: DataInfo) -> None:
        self.data = data
        self.teacher.set_data_shape(data.example_shapes)
        self.form.show_data_options(data.options)
        self.form.data_options.set_choices(data.choices)
        self.data_preview.show_info(data, "")
        # A model without an input shape gets that of the data.
        if self._model_problem is not None or (
            self.model is not None and self.model.used_shape not in (None, data.example_shapes)
        ):
            self._ask_model()
        self._update()

    def _on_data_failed(self, question: DataQuestion, problem: QatvizError) -> None:
        self._data_problem = problem
        if isinstance(problem, ChoiceNeeded):
            self.form.show_data_options(problem.choices)
            self.form.data_options.set_choices(problem.choices)
        self.data_preview.show_info(None, "No preview: the data can't be used.")
        self._update()

    # The model

    def _on_model_changed(self) -> None:
        if self.form.network.text() != self._allowed:
            self._allowed = ""
        self._asks_consent = False
        self._forget_model()
        if self.form.request.model is not None:
            self._model_delay.start()

    def _on_model_chosen(self, path: str) -> None:
        self._asks_consent = True
        self._ask_model()
        self._update()

    def _forget_model(self) -> None:
        self.model, self._model_problem = None, None
        if self._model_worker.is_busy:
            self._launcher.cancel_checks()  # a model's own code may hang
        self._model_worker.forget()
        self._model_delay.stop()

    def _ask_model(self) -> None:
        self._forget_model()
        wanted = self.form.request
        if wanted.model is not None and "network" not in problems_of(wanted):
            shape = self.data.example_shapes if self.data is not None else None
            is_allowed = self._allowed == wanted.model
            self._model_worker.ask(ModelQuestion(wanted.model, wanted.model_weights, is_allowed, shape))

    def _on_model(self, question: ModelQuestion, model: ModelInfo) -> None:
        self.model = model
        self._update()
        if model.network is None and self._asks_consent:
            self._ask_consent()

    def _on_model_failed(self, question: ModelQuestion, problem: QatvizError) -> None:
        self._model_problem = problem
        if question.data_shape is None and self.data is not None:  # the data, read by now, may have the input shape
            self._ask_model()
        self._update()

    def _ask_consent(self) -> None:
        self._asks_consent = False
        if self.model is None:  # another model is being read
            return
        network = self.form.network.text()
        self.consent = ConsentDialog(network, self.model.code, self, place=self._launcher.place)
        self.consent.allowed.connect(lambda: self._on_allowed(network))
        self.consent.open()

    def _on_allowed(self, network: str) -> None:
        if network == self.form.network.text():
            self._allowed = network
            self._ask_model()
            self._update()

    def _ask_code(self, code: List[str]) -> None:
        wanted = self.form.request
        owners = ["loss or metric"] if any(text in wanted.functions for text in code) else []
        owners += ["teacher"] if wanted.teacher_model in code else []
        verb, what = ("has", "it") if len(owners) == 1 else ("have", "them")
        about = f"The {' and the '.join(owners)} {verb} Python code, which must run to compute {what}."
        self.consent = ConsentDialog("\n".join(code), about, self, " and ".join(owners), self._launcher.place)
        self.consent.allowed.connect(lambda: self._on_code_allowed(code))
        self.consent.open()

    def _on_code_allowed(self, code: List[str]) -> None:
        self._allowed_code.update(code)
        self.accept()

    # Dropped files

    def dragEnterEvent(self, event: QtGui.QDragEnterEvent) -> None:
        if dropped_path(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QtGui.QDropEvent) -> None:
        event.acceptProposedAction()
        path = dropped_path(event.mimeData())
        (self.open_model if is_model_path(path) else self.open_data)(path)

    # Closing

    def accept(self) -> None:
        self.form.commit_texts()
        self._update()
        if not self.start.isEnabled():
            return
        wanted = self.request
        code = self._code_to_allow(wanted)
        if code:
            self._ask_code(code)
            return
        self.form.remember()
        self._forget()
        super().accept()
        self.wanted.emit(wanted)

    def reject(self) -> None:
        self._forget()
        super().reject()

    def _forget(self) -> None:
        """Cancel the checks."""
        for worker, delay in ((self._data_worker, self._data_delay), (self._model_worker, self._model_delay)):
            worker.forget()
            delay.stop()
        self.teacher.forget()
        self._launcher.cancel_checks()


class ConsentDialog(QtWidgets.QMessageBox):
    """Question whether the Python code of a model, of a loss or metric, or of a teacher, may be run.

    The answer applies to this run only; files of losses and metrics run again when it is resumed, until they change.
    The default is No. Open the dialog with :meth:`open`, which does not block.

    Parameters
    ----------
    path : str
        The file; losses, metrics and a teacher are one a line.
    code : str
        A sentence on the code that it contains.
    owner : str
        Noun for the model or function that the code belongs to.
    place : str
        Name of the machine on which the code would run; empty for this one.
    """

    #: Emitted when the user allows the code to run.
    allowed = QtCore.pyqtSignal()

    def __init__(
        self,
        path: str,
        code: str,
        parent: Optional[QtWidgets.QWidget] = None,
        owner: str = "model",
        place: str = "",
    ):
        super().__init__(parent)
        self.setWindowTitle("Run code?")
        self.setIcon(QtWidgets.QMessageBox.Warning)
        self.setTextFormat(QtCore.Qt.PlainText)  # a file's name is not markup
        self.setText(f"Run the Python code of this {owner}?")
        where = f"on {place} with your permissions there" if place else "on this computer with your permissions"
        self.setInformativeText(
            f"{path}\n\n{code}\n\nThe code runs {where}: it can read, change and send anything that you can. Run it "
            "only if you trust its author.\n\nYour answer applies to this run only."
        )
        self.setStandardButtons(QtWidgets.QMessageBox.Yes | QtWidgets.QMessageBox.No)
        self.button(QtWidgets.QMessageBox.Yes).setText("Run code")
        self.button(QtWidgets.QMessageBox.No).setText("Don't run it")
        self.setDefaultButton(QtWidgets.QMessageBox.No)
        self.setEscapeButton(QtWidgets.QMessageBox.No)
        self.setAttribute(QtCore.Qt.WA_DeleteOnClose)
        self.finished.connect(self._on_finished)

    def _on_finished(self, answer: int) -> None:
        if answer == QtWidgets.QMessageBox.Yes:
            self.allowed.emit()
