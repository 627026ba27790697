"""Preparation, analysis and export of runs for the window, on worker threads.

Modules are imported on first use, so that the window opens early.
"""

import sys
import time
import traceback
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, List, Mapping, Optional, Sequence, Set, Tuple

from PyQt5 import QtCore

from qatviz.analysis.drift import DriftQuestion
from qatviz.app.export_there import ExportThere
from qatviz.app.trash import move_to_trash
from qatviz.atomic_files import atomic_file
from qatviz.errors import explanation, message_of, require_tensorflow
from qatviz.export.progress import Progress
from qatviz.gui.model.exporting import ExportCommand
from qatviz.gui.model.launcher import EVALUATION, EXAMPLES, FORKS, RUNS, WORKS, Launcher
from qatviz.gui.model.run_model import RunModel
from qatviz.gui.model.watching import CHANNELS, DRIFT, PREDICTIONS, SENSITIVITY
from qatviz.session.export_process import export_arguments, export_environment
from qatviz.session.folder_entries import Folder
from qatviz.session.prepared import Notice, Prepared
from qatviz.session.record_requests import ExportRequest
from qatviz.session.request import OpenRequest, RunRequest
from qatviz.session.sweep_request import SweepRequest
from qatviz.session.workplace import LocalWorkplace, Workplace
from qatviz.telemetry.run_handle import RunHandle
from qatviz.tensorflow_presence import EXPORTING, WRITING_EVENTS, has_tensorflow, missing_text

if TYPE_CHECKING:
    from qatviz.analysis.chip.graph import ChipGraph
    from qatviz.export.formats import Format
    from qatviz.network.graph import Network
    from qatviz.presentation.export_sizes import ExportSize
    from qatviz.presentation.previews import DataInfo
    from qatviz.protocol.settings_book import SettingsBook
    from qatviz.remote.remote_workplace import RemoteWorkplace
    from qatviz.session.model_info import DataQuestion, ModelInfo, ModelQuestion
    from qatviz.telemetry.record.checkpoint_files import CheckpointInfo
    from qatviz.telemetry.record.labels import RunLabels

#: Seconds between two tries to read news of a sweep over a lost connection.
_RETRY_S = 0.5
#: Shown while a run is prepared or read.
PREPARING, READING = "Preparing the run…", "Reading the record of the run…"
READING_RUNS = "Reading the records of the runs…"
#: Shown during each kind of work.
_ACTIVITIES = {
    RUNS: READING_RUNS,
    EVALUATION: "Evaluating settings…",
    FORKS: "Reading the forks of the run…",
    SENSITIVITY: "Computing sensitivities…",
    DRIFT: "Measuring the errors of all layers…",
    CHANNELS: "Measuring the channels of all weights…",
    PREDICTIONS: "Predicting held-out examples…",
    EXAMPLES: "Reading held-out examples…",
}
#: Longest single wait in Qt, in milliseconds: Python handles signals, such as Ctrl-C, between two waits.
_SIGNALS_MS = 100


class AppLauncher(Launcher):
    """Launcher that works on a machine; the result of a request is dropped if there is a newer one of its kind.

    Parameters
    ----------
    workplace : Workplace, optional
        Machine on which the work is done; by default this one.
    """

    #: Emitted, on any thread, with the description of background work when that has ended.
    _done = QtCore.pyqtSignal(str)
    #: Emitted, on any thread, with a kind of work, the number of the request, and a function that emits its signal.
    _answered = QtCore.pyqtSignal(str, int, object)

    def __init__(self, workplace: Optional[Workplace] = None, parent: QtCore.QObject = None):
        super().__init__(parent)
        self.workplace = workplace or LocalWorkplace(move_to_trash)
        self.place = self.workplace.place
        self._newest = 0  # number of the newest request for this window
        self._has_ended = False
        self._comparing: Set[Tuple[str, ...]] = set()  # directories of the runs of each comparison in progress
        self._pool = QtCore.QThreadPool(self)
        self._sweeps: Set[str] = set()  # directories of sweeps that were started and not stopped
        self._sweep_pool = QtCore.QThreadPool(self)  # separate, because a sweep takes hours
        self._doing: List[str] = []  # descriptions of the background work in progress
        self._done.connect(self._on_done)
        self._answered.connect(self._on_answered)
        self._numbers = dict.fromkeys(WORKS, 0)  # number of requests and cancellations of each kind of work

    def obstacle(self, work: str) -> str:
        is_done_there = bool(self.place) and work != WRITING_EVENTS
        return "" if is_done_there or has_tensorflow() else missing_text(work)

    def begin(self, request: RunRequest, new_window: bool = False) -> None:
        self._newest += 0 if new_window else 1
        number = self._newest

        def prepare() -> Prepared:
            notices: List[Notice] = []
            return self.workplace.prepare(request, notices.append)._replace(notices=tuple(notices))

        def deliver(prepared: Prepared) -> None:
            if not self._has_ended and (new_window or number == self._newest):
                self.prepared.emit(prepared, new_window)
            else:
                prepared.run.discard()

        self._start(READING if isinstance(request, OpenRequest) else PREPARING, prepare, deliver)

    def open_remote(self, workplace: "RemoteWorkplace", run: str) -> None:
        """Connect, and open a run there, by default the newest that trains.

        ``prepared`` is emitted with it; ``connected`` if ``run`` is empty and no run trains; ``failed`` after an error.
        """

        def work() -> Optional[Prepared]:
            workplace.client.open()
            return workplace.open_run(run)

        def deliver(prepared: Optional[Prepared]) -> None:
            if prepared is None:
                self.connected.emit()
            elif self._has_ended:
                prepared.run.discard()
            else:
                self.prepared.emit(prepared, False)

        self._start(f"Connecting to {self.place}…", work, deliver)

    def new_run_directory(self, network: str, folder: str) -> str:
        return self.workplace.new_run_directory(network, folder)

    def folder(self, path: str) -> Folder:
        return self.workplace.folder(path)

    def kind_of(self, path: str) -> str:
        return self.workplace.kind_of(path)

    def checkpoints(self, directory: str) -> Sequence["CheckpointInfo"]:
        return self.workplace.checkpoints(directory)

    def data_names(self) -> Sequence[Tuple[str, str]]:
        return self.workplace.data_names()

    def check_data(self, question: "DataQuestion") -> "DataInfo":
        return self.workplace.check_data(question)

    def check_model(self, question: "ModelQuestion") -> "ModelInfo":
        return self.workplace.check_model(question)

    def cancel_checks(self) -> None:
        self.workplace.cancel_checks()

    def read_runs(self, folder: str) -> None:
        self._work(RUNS, lambda progress: self.workplace.read_runs(folder, progress))

    def delete_run(self, directory: str) -> None:
        self.workplace.delete_run(directory)

    def write_labels(self, directory: str, labels: "RunLabels") -> "RunLabels":
        return self.workplace.write_labels(directory, labels)

    def read_comparison(self, directories: Sequence[str]) -> None:
        chosen = tuple(directories)
        if chosen in self._comparing:
            return
        self._comparing.add(chosen)

        def work() -> Any:
            return self.workplace.compare(chosen)

        def end() -> None:
            self._comparing.discard(chosen)

        def deliver(comparison: Any) -> None:
            end()
            self.comparison_read.emit(chosen, comparison)

        def fail(message: str, details: str) -> None:
            end()
            self._refuse(lambda text: self.comparison_failed.emit(chosen, text), message, details)

        self._start(READING_RUNS, work, deliver, fail)

    def write_comparison(self, directories: Sequence[str], path: str) -> None:
        def work() -> Any:
            from qatviz.report.comparison_page import write_comparison

            return write_comparison(self.workplace.compare(tuple(directories)), path)

        self._start("Writing the comparison…", work, lambda written: self.report_written.emit(str(written.path)))

    def begin_sweep(self, request: SweepRequest) -> None:
        self._sweeps.add(request.out)

        def fail(message: str, details: str) -> None:
            self._refuse(lambda text: self.sweep_ended.emit(request.out, text), message, details)

        job = _Job(
            lambda: self._follow_sweep(request),
            lambda _: self.sweep_ended.emit(request.out, ""),
            fail,
            lambda: self._sweeps.discard(request.out),
        )
        self._sweep_pool.start(job)

    def _follow_sweep(self, request: SweepRequest) -> None:
        """Begin a sweep, and emit its news until it has ended.

        On another machine, it goes on if the window closes or the connection is lost, which then is waited for.
        """
        from qatviz.remote.errors import LinkError

        self.sweep_begun.emit(self.workplace.begin_sweep(request))
        number, has_ended, is_stopped = 0, False, False
        while not has_ended and not (self._has_ended and self.place):
            try:
                if request.out not in self._sweeps and not is_stopped:
                    self.workplace.stop_sweep(request.out)
                    is_stopped = True
                reports, number, has_ended = self.workplace.sweep_news(request.out, number)
            except LinkError:
                time.sleep(_RETRY_S)
                continue
            for report in reports:
                self.sweep_reported.emit(request.out, report)

    def stop_sweep(self, directory: str) -> None:
        self._sweeps.discard(directory)

    def write_tensorboard(self, model: RunModel, directory: str) -> None:
        from qatviz.session.tensorboard import tensorboard_job

        self._start("Writing TensorBoard files…", tensorboard_job(model, directory), self.written.emit)

    def write_report(self, model: RunModel, directory: str, path: str) -> None:
        from qatviz.session.report import known_results, report_job

        if self.place:
            known, goal = known_results(model), None if model.chip is None else model.chip.target

            def write_page() -> str:
                page = self.workplace.report(directory, known, goal)
                with atomic_file(path) as file:
                    file.write(page)
                return path

            job: Callable[[], Any] = write_page
        else:
            job = report_job(model, directory, path)

        def deliver(written: Any) -> None:
            self.report_written.emit(str(getattr(written, "path", written)))

        self._start("Writing the report…", job, deliver)

    def evaluate(self, run: RunHandle, directory: str, book: "SettingsBook") -> None:
        self._work(EVALUATION, lambda progress: self.workplace.evaluate(run, directory, book, progress))

    def find_sensitivity(self, run: RunHandle, directory: str, measured: bool) -> None:
        self._work(SENSITIVITY, lambda progress: self.workplace.sensitivity(run, directory, measured, progress))

    def find_drift(self, run: RunHandle, directory: str, question: DriftQuestion) -> None:
        self._work(DRIFT, lambda progress: self.workplace.drift(run, directory, question, progress))

    def find_channels(self, run: RunHandle, directory: str) -> None:
        self._work(CHANNELS, lambda progress: self.workplace.channels(run, directory, progress))

    def predict(self, run: RunHandle, directory: str, book: "SettingsBook") -> None:
        self._work(PREDICTIONS, lambda progress: self.workplace.predict(run, directory, book, progress))

    def predict_past(self, run: RunHandle, directory: str, checkpoint: str) -> None:
        self._work(PREDICTIONS, lambda progress: self.workplace.predict_past(directory, checkpoint, progress))

    def read_forks(self, run: RunHandle, directory: str) -> None:
        self._work(FORKS, lambda progress: (directory, self.workplace.forks(directory, progress)))

    def read_examples(self, run: RunHandle, directory: str, number: int) -> None:
        self._work(EXAMPLES, lambda _: self.workplace.pictures(run, directory, number))

    def cancel(self, kind: str) -> None:
        self._numbers[kind] += 1

    def export_formats(self) -> Sequence["Format"]:
        from qatviz.export.formats import FORMATS

        return tuple(FORMATS.values())

    def export_command(self, request: ExportRequest) -> ExportCommand:
        if not self.place:
            require_tensorflow(EXPORTING)
        assert request.checkpoint is not None, "the window has saved the present state"
        # The run might delete an automatic checkpoint before the export has read it.
        kept = replace(request, checkpoint=self.workplace.keep_checkpoint(request.directory, request.checkpoint))
        if self.place:
            return ExportThere(lambda progress: self.workplace.export(kept, progress))
        return ExportCommand(sys.executable, export_arguments(kept), export_environment())

    def settings_at(self, directory: str, checkpoint: str) -> Tuple["SettingsBook", int]:
        return self.workplace.settings_at(directory, checkpoint)

    def export_size(
        self,
        directory: str,
        checkpoint: str,
        book: "SettingsBook",
        step: Optional[int],
        form: str,
        options: Mapping[str, Any],
    ) -> "ExportSize":
        return self.workplace.export_size(directory, checkpoint, book, step, form, options)

    def chip_graph(self, network: "Network", book: "SettingsBook") -> "ChipGraph":
        from qatviz.session.chip import network_graph

        return network_graph(network, book)

    def wait(self) -> None:
        """Cancel background work where possible, and wait until all has ended, at the end of the program."""
        self._has_ended = True
        for kind in WORKS:
            self.cancel(kind)
        self.cancel_checks()
        if not self.place:
            self._sweeps.clear()
        for pool in (self._pool, self._sweep_pool):
            while not pool.waitForDone(_SIGNALS_MS):
                pass

    # Implementation

    def _start(
        self,
        what: str,
        job: Callable[[], Any],
        deliver: Callable[[Any], None],
        fail: Optional[Callable[[str, str], None]] = None,
    ) -> None:
        """Run ``job`` on another thread, which then calls ``deliver`` with its result or ``fail`` with its error.

        The description ``what`` is shown meanwhile.
        """
        self._doing.append(what)
        self.busy.emit(what)
        self._pool.start(_Job(job, deliver, fail or self.failed.emit, lambda: self._done.emit(what)))

    def _work(self, kind: str, job: Callable[[Progress], Any]) -> None:
        """Run ``job`` as :meth:`_start` does, and emit the signals of its kind until there is a newer request of it."""
        self.cancel(kind)
        number, signals = self._numbers[kind], self.works[kind]

        def answer(emit: Callable[..., None], *values: Any) -> None:
            self._answered.emit(kind, number, partial(emit, *values))

        progress = Progress(partial(answer, signals.progressed.emit), lambda: number != self._numbers[kind])
        self._start(
            _ACTIVITIES[kind],
            lambda: job(progress),
            partial(answer, signals.found.emit),
            partial(answer, partial(self._refuse, signals.failed.emit)),
        )

    def _on_answered(self, kind: str, number: int, emit: Callable[[], None]) -> None:
        """Emit the signal of a request, unless the request was superseded before this thread received it."""
        if number == self._numbers[kind]:
            emit()

    def _refuse(self, refuse: Callable[[str], None], message: str, details: str) -> None:
        """Report an error by ``refuse``; one in the program, which has ``details``, also by ``failed``."""
        refuse(message)
        if details:
            self.failed.emit(message, details)

    def _on_done(self, what: str) -> None:
        self._doing.remove(what)
        self.busy.emit(self._doing[-1] if self._doing else "")


class _Job(QtCore.QRunnable):
    """Job on a thread of the pool, which also calls ``deliver`` or ``fail``, and ``end`` in any case.

    These emit signals, which Qt delivers to the GUI thread.
    """

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
        except Exception as error:  # the user must see it
            self._fail(message_of(error), traceback.format_exc() if explanation(error) is None else "")
        else:
            self._deliver(outcome)
        finally:
            self._end()
