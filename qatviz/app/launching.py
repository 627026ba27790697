"""Runs for the window, prepared on worker threads in the same way as the command line prepares them."""

import os
import traceback
from typing import Any, Callable, List, Sequence, Tuple

from PyQt5 import QtCore

from qatviz import data
from qatviz.analysis.data_look import DataLook
from qatviz.app import exporting
from qatviz.app.folders import new_run_directory
from qatviz.app.looks import ModelLooks, is_data, look_at_data
from qatviz.app.recorded import recall, recorded_run
from qatviz.app.report import report_job
from qatviz.cli.launch import Launch, prepare
from qatviz.cli.parser import parse
from qatviz.errors import QatvizError
from qatviz.export.formats import FORMATS, Format
from qatviz.gui.exporting import Command, ExportWanted
from qatviz.gui.launcher import Launcher, Prepared
from qatviz.gui.new_run import is_model_path
from qatviz.gui.new_run_looks import DataQuestion, ModelLook, ModelQuestion
from qatviz.gui.run_model import RunModel
from qatviz.telemetry.checkpoint_files import CheckpointInfo
from qatviz.telemetry.record import RunRecord
from qatviz.telemetry.record_schema import DATABASE_NAME
from qatviz.training.handle import Run
from qatviz.training.settings_book import SettingsBook


class AppLauncher(Launcher):
    """Prepares one run at a time; what an older request comes to is dropped when there is a newer one."""

    def __init__(self, parent: QtCore.QObject = None):
        super().__init__(parent)
        self._newest = 0
        self._pool = QtCore.QThreadPool(self)
        self._model_looks = ModelLooks()

    def begin(self, arguments: Sequence[str], new_window: bool = False) -> None:
        self._work(lambda: prepared_from(prepare(parse(["train"] + list(arguments))), arguments), new_window)

    def show_record(self, directory: str) -> None:
        self._work(lambda: recorded_run(directory), False)

    def kind_of(self, path: str) -> str:
        if os.path.isdir(path) and os.path.exists(os.path.join(path, DATABASE_NAME)):
            return "run"
        if os.path.basename(path) == DATABASE_NAME:
            raise QatvizError("{}: this is the record of a run: open the directory that it is in".format(path))
        if is_model_path(path):
            return "model"
        if not is_data(path):
            raise QatvizError("{}: is neither a run nor a Keras model nor data that can be read".format(path))
        return "data"

    def checkpoints(self, directory: str) -> List[str]:
        return [info.name for info in RunRecord.read(directory).list_checkpoints() if not info.error]

    def data_names(self) -> Sequence[Tuple[str, str]]:
        return [(named.name, named.help) for named in data.NAMED_DATA]

    def check_data(self, question: DataQuestion) -> DataLook:
        return look_at_data(question)

    def check_model(self, question: ModelQuestion) -> ModelLook:
        return self._model_looks.look_at(question)

    def end_checks(self) -> None:
        self._model_looks.end()

    def new_directory(self, network: str) -> str:
        return new_run_directory(network)

    def write_tensorboard(self, model: RunModel, directory: str) -> None:
        from qatviz.export.tensorboard import write_events  # TensorFlow, which the window does without

        history, snapshots, happenings = model.history, list(model.snapshots), list(model.happenings)

        def write() -> str:
            write_events(directory, history, snapshots, [h.event for h in happenings if h.survives])
            return "Wrote TensorBoard files to {0}; look at them with tensorboard --logdir {0}".format(directory)

        self._start(write, self.written.emit)

    def write_report(self, model: RunModel, directory: str, path: str) -> None:
        self._start(report_job(model, directory, path), lambda written: self.report_written.emit(str(written.path)))

    def export_formats(self) -> Sequence[Format]:
        return tuple(FORMATS.values())

    def export_command(self, wanted: ExportWanted) -> Command:
        return exporting.command_of(wanted)

    def moments(self, directory: str) -> Sequence[CheckpointInfo]:
        return exporting.moments(directory)

    def settings_at(self, directory: str, checkpoint: str) -> Tuple[SettingsBook, int]:
        return exporting.settings_at(directory, checkpoint)

    def wait(self) -> None:
        """Until nothing is being prepared; for the end of the program."""
        self._newest += 1
        self.end_checks()
        self._pool.waitForDone()

    # Inside

    def _work(self, job: Callable[[], Prepared], new_window: bool) -> None:
        self._newest += 1
        number = self._newest

        def deliver(prepared: Prepared) -> None:
            if number == self._newest:
                self.prepared.emit(prepared, new_window)
            elif getattr(prepared.run, "record", None) is not None:
                prepared.run.record.close()

        self._start(job, deliver)

    def _start(self, job: Callable[[], Any], deliver: Callable[[Any], None]) -> None:
        self._pool.start(_Job(job, deliver, self.failed.emit))


class _Job(QtCore.QRunnable):
    """Work on a thread of the pool; its outcome is told by a signal, which Qt brings to the GUI thread."""

    def __init__(self, job: Callable[[], Any], deliver: Callable[[Any], None], fail: Callable[[str, str], None]):
        super().__init__()
        self._job, self._deliver, self._fail = job, deliver, fail

    def run(self) -> None:
        try:
            outcome = self._job()
        except QatvizError as error:
            self._fail(str(error), "")
        except Exception as error:  # whatever it is, it has to reach the user
            self._fail("{}: {}".format(type(error).__name__, error), traceback.format_exc())
        else:
            self._deliver(outcome)


def prepared_from(launch: Launch, arguments: Sequence[str] = ()) -> Prepared:
    """The run that ``launch`` describes, not started."""
    spec = launch.spec
    run = Run(spec, launch.record, yields=True)
    happenings, snapshots = recall(launch.record) if launch.record is not None and "--resume" in arguments else ((), ())
    book = spec.start.book if spec.start is not None else spec.book
    return Prepared(run, spec.network, book, "{} on {}".format(spec.network.name, spec.dataset.name),
                    len(spec.dataset.x_train) / spec.batch_size, str(launch.record.directory) if launch.record else "",
                    happenings, snapshots)
