"""Inspection of the Keras model that is chosen as the teacher of a new run."""

from typing import Optional

from PyQt5 import QtCore

from qatviz.errors import QatvizError
from qatviz.gui.dialogs.path_field import TeacherField
from qatviz.gui.model.check_worker import CheckWorker
from qatviz.gui.model.launcher import Launcher
from qatviz.network.keras_import import InputShape
from qatviz.session.model_info import ModelInfo, ModelQuestion

_READING = "Reading the teacher…"


class TeacherCheck(QtCore.QObject):
    """Reader of the model that a field names; its Python code is not run.

    Parameters
    ----------
    field : TeacherField
    launcher : Launcher
    delay_ms : int
        Delay after typing until the file is read (ms).

    Attributes
    ----------
    info : ModelInfo or None
        None while the file is read, if it can't be read, or if there is no teacher.
    problem : QatvizError or None
    """

    #: Emitted when :attr:`info` or :attr:`problem` has changed.
    changed = QtCore.pyqtSignal()

    def __init__(self, field: TeacherField, launcher: Launcher, delay_ms: int, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self._field = field
        self._shape: Optional[InputShape] = None
        self.info: Optional[ModelInfo] = None
        self.problem: Optional[QatvizError] = None
        self._worker = CheckWorker(launcher.check_model, self)
        self._delay = QtCore.QTimer(self, singleShot=True, interval=delay_ms)
        self._delay.timeout.connect(self._ask)
        field.changed.connect(self._on_text)
        self._worker.answered.connect(self._on_info)
        self._worker.failed.connect(self._on_failed)
        self._on_text()

    @property
    def is_ready(self) -> bool:
        """Whether there is no teacher, or it has been read."""
        return not self._field.text() or self.info is not None

    @property
    def has_code(self) -> bool:
        """Whether the teacher has Python code, which must run to use it."""
        return self.info is not None and self.info.network is None

    @property
    def note(self) -> str:
        """Text on the teacher, below its field."""
        if not self._field.text() or self.problem is not None:
            return ""
        if self.info is None:
            return _READING
        if self.info.network is None:
            return f"{self.info.code.rstrip('.')}. You are asked before it runs."
        return f"Keras model {self.info.network.name!r}; the run begins with distillation from it"

    def set_data_shape(self, shape: Optional[InputShape]) -> None:
        """Set the shape of the data's examples, for a model whose input shape has unknown axes."""
        if shape != self._shape:
            self._shape = shape
            self._on_text()

    def forget(self) -> None:
        """Drop the inspection that is due or in progress: its answer is ignored."""
        self._worker.forget()
        self._delay.stop()

    def _on_text(self) -> None:
        self.info = self.problem = None
        self.forget()
        if self._field.text():
            self._delay.start()
        self.changed.emit()

    def _ask(self) -> None:
        self._worker.ask(ModelQuestion(self._field.text(), None, False, self._shape))

    def _on_info(self, question: ModelQuestion, info: ModelInfo) -> None:
        self.info = info
        self.changed.emit()

    def _on_failed(self, question: ModelQuestion, problem: QatvizError) -> None:
        self.problem = problem
        self.changed.emit()
