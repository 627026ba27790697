"""Form of the export dialog: state, format, options and path of an export."""

from typing import Any, List, Optional, Sequence, Tuple, Union

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.errors import OptionChange, QatvizError, Refusal, SettingChange
from qatviz.gui.dialogs.export.fields import NOW, ExportPathField, StateBox
from qatviz.gui.dialogs.export.formats import READING, FormatList, LimitsView, OptionsForm
from qatviz.gui.dialogs.export.size import SizeQuestion, SizeView
from qatviz.gui.dialogs.fields import Field
from qatviz.gui.model.check_worker import CheckWorker
from qatviz.gui.model.context import Context
from qatviz.gui.model.exporting import can_save_checkpoint
from qatviz.gui.model.launcher import Launcher
from qatviz.gui.model.run_model import SETTINGS, STATE
from qatviz.gui.widgets.labels import Label
from qatviz.protocol.settings_book import SettingsBook
from qatviz.session.record_requests import ExportRequest
from qatviz.telemetry.record.checkpoint_files import CheckpointInfo

#: Interval of updates with the present state while the form is visible (ms).
UPDATE_MS = 500
_MAX_EXAMPLES = 1000000
_DEFAULT_EXAMPLES = "Default"
_EXAMPLES_TIP = (
    "Number of held-out examples on which the export is compared with the evaluation. Default: 1,000, or fewer for "
    "large networks."
)
_NO_RUN = "There is no run to export."
_NOT_RECORDED = "This run is not recorded, and only recorded runs can be exported. Record the next run to a folder."
_NO_CHECKPOINT = "This run has no checkpoint to export."


class ExportForm(QtWidgets.QWidget):
    """Form for an :class:`ExportRequest` of the window's run.

    Parameters
    ----------
    context : Context
    launcher : Launcher
        Lists formats, checkpoints and their settings.
    """

    #: Emitted when the request, or whether it is possible, has changed.
    changed = QtCore.pyqtSignal()

    def __init__(self, context: Context, launcher: Launcher, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._context, self._launcher, self._settings = context, launcher, context.settings
        self._model, self._directory = context.model, ""
        #: The chosen state, its settings (None if not known yet), and its step if that matters to a format.
        self._state: Tuple[str, Optional[SettingsBook], Optional[int]] = ("", None, None)
        #: Errors of the record and of the chosen checkpoint.
        self._record_problem, self._state_problem = "", ""
        self._seen: Any = None  # inputs of the shown refusals
        self._worker = CheckWorker(lambda name: launcher.settings_at(*name), self)
        self._timer = QtCore.QTimer(self, interval=UPDATE_MS)
        self._setup_ui()
        self._layout()
        self._connect()
        self.formats.choose(self._settings.value("export/format", ""))
        self._on_format()

    def _setup_ui(self) -> None:
        theme = self._context.theme
        self.formats = FormatList(self._launcher.export_formats(), theme)
        self.about = Label(wordWrap=True)
        self.limits = LimitsView(theme)
        self.pages = QtWidgets.QStackedWidget()
        self.pages.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Maximum)
        self._options = {known.name: OptionsForm(known, self._settings) for known in self.formats.known}
        for options in self._options.values():
            options.changed.connect(self._update)
            self.pages.addWidget(options)
        self.state_box, self.path = StateBox(), ExportPathField(self._settings)
        self.state_field, self.path_field = Field(self.state_box, theme), Field(self.path, theme)
        self.size_view = SizeView(self._launcher, theme)
        self.examples = QtWidgets.QSpinBox(minimum=0, maximum=_MAX_EXAMPLES, specialValueText=_DEFAULT_EXAMPLES)
        self.examples.setGroupSeparatorShown(True)
        self.examples.setAccessibleName("Held-out examples")
        self.examples.setToolTip(_EXAMPLES_TIP)
        self.examples.setValue(self._settings.value("export/examples", 0, int))

    def _layout(self) -> None:
        form = QtWidgets.QFormLayout()
        form.setFieldGrowthPolicy(QtWidgets.QFormLayout.AllNonFixedFieldsGrow)
        for text, field in (("&State", self.state_field), ("&File", self.path_field), ("&Examples", self.examples)):
            label = Label(text)
            label.setBuddy(field)
            form.addRow(label, field)
        form.addRow(Label("Size"), self.size_view)
        self.title = Label()
        font = QtGui.QFont(self.title.font())
        font.setBold(True)
        self.title.setFont(font)
        right = self._right = QtWidgets.QVBoxLayout()
        right.setSpacing(10)
        for part in (self.title, self.about):
            right.addWidget(part)
        right.addWidget(self.limits)
        right.addWidget(self.pages)
        right.addLayout(form)
        right.addStretch(0)
        both = QtWidgets.QHBoxLayout(self)
        both.setContentsMargins(0, 0, 0, 0)
        both.setSpacing(16)
        both.addWidget(self.formats)
        both.addLayout(right, 1)

    def _connect(self) -> None:
        self.formats.currentRowChanged.connect(lambda _: self._on_format())
        self.state_box.currentIndexChanged.connect(lambda _: self._on_state())
        self.state_box.opened.connect(self._list_states)
        self.path.changed.connect(self._on_path)
        self._worker.answered.connect(self._on_answered)
        self._worker.failed.connect(self._on_failed)
        self.limits.change_wanted.connect(self._on_change_wanted)
        self._model.changed.connect(self._on_topic)
        self._timer.timeout.connect(self._update)

    # The run

    def show_run(self, directory: str) -> None:
        """Show the window's run, which is recorded in ``directory``; empty if it is not recorded."""
        self._directory = directory
        self._list_states()
        self._suggest()
        self._update()

    def refresh(self) -> None:
        """Update the form with the present state of the run."""
        self._update()

    def problem(self) -> str:
        """Return the reason why the run can't be exported as requested; empty if it can."""
        if self._model.run is None:
            return _NO_RUN
        if not self._directory:
            return _NOT_RECORDED
        if self.state_box.state() is None:
            return self._record_problem or _NO_CHECKPOINT
        refusals = self._refusals(self.formats.chosen())
        if self._state_problem or refusals is None:
            return self._state_problem or READING
        if refusals:
            return f"{self.formats.chosen().title} does not support these settings."
        return self.path.problem()

    @property
    def request(self) -> ExportRequest:
        """The fields' request."""
        chosen = self.formats.chosen()
        return ExportRequest(
            self._directory,
            self.state_box.state() or None,
            format=chosen.name,
            out=self.path.path(),
            options=self._options[chosen.name].values(),
            examples=self.examples.value() or None,
        )

    def forget_consent(self) -> None:
        """Withdraw consent, which is given for a single export."""
        for options in self._options.values():
            options.forget_consent()

    def remember(self) -> None:
        """Remember the choices for the next export."""
        self._settings.setValue("export/format", self.formats.chosen().name)
        self._settings.setValue("export/examples", self.examples.value())
        self.path.remember()

    # Limits of formats

    def _refusals(self, export_format: Any) -> Optional[List[Refusal]]:
        """Return the reasons why a format does not support the settings; None if the settings are not known yet."""
        _name, book, step = self._state
        if self.state_box.state() is None:  # nothing is being read: `problem` has the reason
            return []
        if book is None or self._model.network is None:
            return None
        options = self._options[export_format.name].values()
        return export_format.refusals(self._model.network, book, step, options)

    def _update(self) -> None:
        """Update the marks and reasons of formats that don't support the settings of the chosen state."""
        model = self._model
        # Checked at every update, because a run announces its end before its state has changed.
        if self._can_save() != (self.state_box.findData(NOW) >= 0):
            self._list_states()
        if self.state_box.state() == NOW and self.isEnabled():
            self.state_box.show_step(model.step)
            delayed = model.book is not None and any(s.is_delayed(model.step) for s in model.book.quantizers)
            self._state = (NOW, model.book, model.step if delayed else None)
        chosen = self.formats.chosen()
        seen = (self._state, model.network, chosen.name, self._options[chosen.name].values())
        if seen != self._seen:
            self._seen = seen
            found = {known.name: self._refusals(known) for known in self.formats.known}
            self.formats.show_limits(found)
            refusals = found[chosen.name]
            self.limits.show_limits(chosen, refusals, self._state[0] == NOW)
            self.limits.setVisible(model.run is not None and bool(self._directory) and not self._state_problem)
            policy = QtWidgets.QSizePolicy
            self.limits.setSizePolicy(policy.Preferred, policy.Expanding if refusals else policy.Maximum)
            self._right.setStretchFactor(self.limits, int(bool(refusals)))
            self.size_view.ask(self._size_question(refusals))
            self.changed.emit()

    def _size_question(self, refusals: Optional[List[Refusal]]) -> Optional[SizeQuestion]:
        """Return the question for the size of the export; None if the format does not support the settings."""
        name, book, step = self._state
        if refusals or book is None or not self._directory or self._state_problem:
            return None
        chosen = self.formats.chosen().name
        return SizeQuestion(self._directory, name, book, step, chosen, self._options[chosen].values())

    def _on_change_wanted(self, change: Union[SettingChange, OptionChange]) -> None:
        """Change an option of the chosen format, or a setting of the run as the Quantization panel does."""
        if isinstance(change, OptionChange):
            self._options[self.formats.chosen().name].set_value(change.option, change.value)
            return
        book = self._model.book
        if book is None:
            return
        pattern, _, name = change.path.rpartition(".")
        try:
            tensors = book.matching(pattern, name, change.path)
        except QatvizError as error:
            self._context.edits.refused.emit(str(error))
        else:
            self._context.edits.edit([tensor.name for tensor in tensors], name, change.value)

    def _list_states(self) -> None:
        """Update the list of states."""
        states: Sequence[CheckpointInfo] = ()
        self._record_problem = ""
        if self._directory:
            try:
                states = self._launcher.checkpoints(self._directory)
            except QatvizError as error:
                self._record_problem = str(error)
        self.state_box.show_states(states, self._can_save(), self._model.step)
        self._show_state_problem()
        self._seen = None

    def _can_save(self) -> bool:
        return bool(self._directory) and can_save_checkpoint(self._model)

    def _on_topic(self, topic: str) -> None:
        if self.isVisible() and topic in (STATE, SETTINGS):  # show_run follows for another run
            self._update()

    def _on_state(self) -> None:
        name = self.state_box.state()
        self._state_problem = ""
        self._show_state_problem()
        self._worker.forget()
        if name:
            self._state = (name, None, None)
            self._worker.ask((self._directory, name))
        self._update()

    def _on_answered(self, question: Tuple[str, str], answer: Tuple[SettingsBook, int]) -> None:
        self._state = (question[1], *answer)
        self._update()

    def _on_failed(self, question: Tuple[str, str], problem: QatvizError) -> None:
        self._state_problem, self._seen = str(problem), None
        self._show_state_problem()
        self._update()

    def _show_state_problem(self) -> None:
        problem = self._record_problem or self._state_problem
        self.state_field.show_note(problem, bool(problem))

    # The format

    def _on_format(self) -> None:
        chosen, policy = self.formats.chosen(), QtWidgets.QSizePolicy
        for name, options in self._options.items():  # the height is that of the visible one
            options.setSizePolicy(policy.Preferred, policy.Preferred if name == chosen.name else policy.Ignored)
        self.pages.setCurrentWidget(self._options[chosen.name])
        self.pages.setVisible(bool(chosen.options))
        self.title.setText(chosen.title)
        self.about.setText(chosen.about + ("" if chosen.about.endswith(".") else "."))
        self._suggest()
        self._update()

    def _suggest(self) -> None:
        name = self._model.network.name if self._model.network is not None else ""
        self.path.suggest(self._directory, name, self.formats.chosen())

    def _on_path(self) -> None:
        problem = self.path.problem() if self._directory else ""
        self.path_field.show_note(problem or self.path.note(), bool(problem))
        self.changed.emit()

    # Qt

    def showEvent(self, event: QtGui.QShowEvent) -> None:
        super().showEvent(event)
        self._timer.start()

    def hideEvent(self, event: QtGui.QHideEvent) -> None:
        super().hideEvent(event)
        self._timer.stop()
