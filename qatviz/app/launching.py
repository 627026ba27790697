"""Runs for the window, prepared on worker threads."""

import importlib
import threading
import traceback
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Sequence, Tuple

from PyQt5 import QtCore

from qatviz.errors import QatvizError
from qatviz.gui.model.exporting import Command, ExportWanted
from qatviz.gui.model.launcher import Launcher, Prepared
from qatviz.gui.model.looks import DataQuestion, ModelLook, ModelQuestion
from qatviz.gui.model.run_model import RunModel
from qatviz.session.folders import new_run_directory

if TYPE_CHECKING:
    from qatviz.app.looks import ModelLooks
    from qatviz.export.formats import Format
    from qatviz.presentation.previews import DataLook
    from qatviz.protocol.settings_book import SettingsBook
    from qatviz.telemetry.record.checkpoint_files import CheckpointInfo

#: What is said while a run is prepared, or read.
PREPARING, READING = "Preparing the run…", "Reading the record of the run…"


def _part(name: str) -> Any:
    """A module of this package that does the work, imported when there is some: the window is on screen before."""
    return importlib.import_module("qatviz.app." + name)


class AppLauncher(Launcher):
    """Prepares one run at a time; what an older request comes to is dropped when there is a newer one."""

    #: Something that was said to be done is, on whatever thread.
    _done = QtCore.pyqtSignal(str)

    def __init__(self, parent: QtCore.QObject = None):
        super().__init__(parent)
        self._newest = 0
        self._pool = QtCore.QThreadPool(self)
        self._doing: List[str] = []
        self._done.connect(self._on_done)
        self._lock = threading.Lock()
        self._model_looks: Optional[ModelLooks] = None

    def begin(self, arguments: Sequence[str], new_window: bool = False) -> None:
        self._work(PREPARING, lambda: _part("jobs").prepare_run(arguments), new_window)

    def show_record(self, directory: str) -> None:
        self._work(READING, lambda: _part("jobs").recorded_run(directory), False)

    def kind_of(self, path: str) -> str:
        return _part("jobs").kind_of(path)

    def checkpoints(self, directory: str) -> List[str]:
        return _part("jobs").checkpoints(directory)

    def data_names(self) -> Sequence[Tuple[str, str]]:
        return _part("jobs").data_names()

    def check_data(self, question: DataQuestion) -> "DataLook":
        return _part("looks").look_at_data(question)

    def check_model(self, question: ModelQuestion) -> ModelLook:
        with self._lock:
            if self._model_looks is None:
                self._model_looks = _part("looks").ModelLooks()
        return self._model_looks.look_at(question)

    def end_checks(self) -> None:
        if self._model_looks is not None:
            self._model_looks.end()

    def new_directory(self, network: str) -> str:
        return new_run_directory(network)

    def write_tensorboard(self, model: RunModel, directory: str) -> None:
        self._start("Writing TensorBoard files…", _part("jobs").tensorboard_job(model, directory), self.written.emit)

    def write_report(self, model: RunModel, directory: str, path: str) -> None:
        self._start(
            "Writing the report…",
            _part("jobs").report_job(model, directory, path),
            lambda written: self.report_written.emit(str(written.path)),
        )

    def export_formats(self) -> Sequence["Format"]:
        return _part("jobs").export_formats()

    def export_command(self, wanted: ExportWanted) -> Command:
        return _part("exporting").command_of(wanted)

    def moments(self, directory: str) -> Sequence["CheckpointInfo"]:
        return _part("exporting").moments(directory)

    def settings_at(self, directory: str, checkpoint: str) -> Tuple["SettingsBook", int]:
        return _part("exporting").settings_at(directory, checkpoint)

    def wait(self) -> None:
        """Until nothing is being prepared; for the end of the program."""
        self._newest += 1
        self.end_checks()
        self._pool.waitForDone()

    # Inside

    def _work(self, what: str, job: Callable[[], Prepared], new_window: bool) -> None:
        self._newest += 1
        number = self._newest

        def deliver(prepared: Prepared) -> None:
            if number == self._newest:
                self.prepared.emit(prepared, new_window)
            elif getattr(prepared.run, "record", None) is not None:
                prepared.run.record.close()

        self._start(what, job, deliver)

    def _start(self, what: str, job: Callable[[], Any], deliver: Callable[[Any], None]) -> None:
        """Do ``job`` on another thread; meanwhile, say ``what`` it is."""
        self._doing.append(what)
        self.busy.emit(what)
        self._pool.start(_Job(job, deliver, self.failed.emit, lambda: self._done.emit(what)))

    def _on_done(self, what: str) -> None:
        self._doing.remove(what)
        self.busy.emit(self._doing[-1] if self._doing else "")


class _Job(QtCore.QRunnable):
    """Work on a thread of the pool; its outcome is told by a signal, which Qt brings to the GUI thread."""

    def __init__(
        self,
        job: Callable[[], Any],
        deliver: Callable[[Any], None],
        fail: Callable[[str, str], None],
        end: Callable[[], None],
    ):
        super().__init__()
        self._job, self._deliver, self._fail, self._end = job, deliver, fail, end

    def run(self) -> None:
        try:
            outcome = self._job()
        except QatvizError as error:
            self._fail(str(error), "")
        except Exception as error:  # whatever it is, it has to reach the user
            self._fail(f"{type(error).__name__}: {error}", traceback.format_exc())
        else:
            self._deliver(outcome)
        finally:
            self._end()
