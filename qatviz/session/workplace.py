"""Machine on which a window prepares, evaluates and exports runs, with its files and, for training, TensorFlow.

:class:`Workplace` is the interface, :class:`LocalWorkplace` this machine;
:class:`qatviz.remote.remote_workplace.RemoteWorkplace` is another machine, and calls the methods of the LocalWorkplace
there. Arguments and results are encoded for these calls by the type hints of :class:`Workplace`.
"""

import contextlib
import os
import tempfile
import threading
from typing import TYPE_CHECKING, Any, Callable, Dict, Generic, Mapping, Optional, Tuple, TypeVar
from weakref import WeakKeyDictionary

from qatviz.analysis.drift import DriftQuestion, RunDrift
from qatviz.errors import QatvizError
from qatviz.export.progress import Cancelled, Progress
from qatviz.protocol.events import Evaluated
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.trials import ForkEvaluation
from qatviz.session.folder_entries import Folder, FolderEntry
from qatviz.session.prepared import Notify, Prepared
from qatviz.session.record_requests import ExportRequest
from qatviz.session.request import RunRequest
from qatviz.session.sweep_request import Begun, SweepNews, SweepRequest
from qatviz.telemetry.run_handle import RunHandle

if TYPE_CHECKING:  # they import data and records, which would delay the window
    from qatviz.analysis.channels import ChannelsOverview
    from qatviz.analysis.chip.targets import Target
    from qatviz.analysis.comparison import Comparison
    from qatviz.analysis.predictions import Predictions, RunPredictions
    from qatviz.analysis.sensitivity import RunSensitivity
    from qatviz.presentation.example_pictures import ExamplePictures
    from qatviz.presentation.export_sizes import ExportSize
    from qatviz.presentation.previews import DataInfo
    from qatviz.report.run_data import KnownResults
    from qatviz.session.background_sweeps import BackgroundSweeps
    from qatviz.session.drift import DriftFinder
    from qatviz.session.evaluation import Evaluator
    from qatviz.session.inspection import ModelInspector
    from qatviz.session.model_info import DataQuestion, ModelInfo, ModelQuestion
    from qatviz.telemetry.record.checkpoint_files import CheckpointInfo
    from qatviz.telemetry.record.labels import RunLabels
    from qatviz.telemetry.run_summary import Catalogue


_Work = TypeVar("_Work")


class Workplace:
    """Interface to a machine on which runs are prepared, evaluated and exported.

    Methods block until there is a result, and may be called from any thread. All of them raise QatvizError if the
    request can't be fulfilled, for a reason that the user should see.

    Their parameters have these meanings. All paths are paths on that machine, except those of :meth:`export`:

    - ``directory``: directory of a recorded run; where a ``run`` is passed, too, empty if it is not recorded;
    - ``checkpoint``: name of a checkpoint of the run;
    - ``run``: handle of a run that has ended, unless stated otherwise;
    - ``progress``: receives the fraction done, and makes the method raise Cancelled once the user cancels.

    Attributes
    ----------
    place : str
        Name of the machine; empty for this one.
    """

    place = ""

    def prepare(self, request: RunRequest, notify: Notify) -> Prepared:
        """Return the requested run, not started; ``notify`` is called with each note and warning about it."""
        raise NotImplementedError

    def kind_of(self, path: str) -> str:
        """Return the kind of the file or folder at a path: "run", "model" or "data"; QatvizError if it is none."""
        raise NotImplementedError

    def folder(self, path: str) -> Folder:
        """Return the content of a folder, hidden files excluded; an empty path stands for the home directory."""
        raise NotImplementedError

    def new_run_directory(self, network: str, folder: str) -> str:
        """Return the path of a directory, which does not exist yet, for a new run of a network.

        It is in ``folder``; if that is empty, in the user's folder of runs.
        """
        raise NotImplementedError

    def checkpoints(self, directory: str) -> Tuple["CheckpointInfo", ...]:
        """Return the readable checkpoints of a recorded run, ordered by step."""
        raise NotImplementedError

    def data_names(self) -> Tuple[Tuple[str, str], ...]:
        """Return name and description of each data set that has a name, such as "mnist-5k"."""
        raise NotImplementedError

    def check_data(self, question: "DataQuestion") -> "DataInfo":
        """Return the description of a data set; raise QatvizError if it can't be used."""
        raise NotImplementedError

    def check_model(self, question: "ModelQuestion") -> "ModelInfo":
        """Return the description of a model; raise QatvizError if it can't be used."""
        raise NotImplementedError

    def cancel_checks(self) -> None:
        """Cancel all calls of :meth:`check_model` in progress; of a server's machine, those of this window."""
        raise NotImplementedError

    def read_runs(self, folder: str, progress: Progress) -> "Catalogue":
        """Return the recorded runs in ``folder``; if that is empty, in the user's folder of runs."""
        raise NotImplementedError

    def delete_run(self, directory: str) -> None:
        """Move a recorded run to the trash."""
        raise NotImplementedError

    def compare(self, directories: Tuple[str, ...]) -> "Comparison":
        """Return the comparison of the recorded runs in these directories."""
        raise NotImplementedError

    def evaluate(self, run: RunHandle, directory: str, book: SettingsBook, progress: Progress) -> Evaluated:
        """Return the evaluation of the last state of a run under the settings ``book``."""
        raise NotImplementedError

    def sensitivity(self, run: RunHandle, directory: str, measured: bool, progress: Progress) -> "RunSensitivity":
        """Return the estimated sensitivity of each tensor to few bits; if ``measured``, also the measured one."""
        raise NotImplementedError

    def drift(self, run: RunHandle, directory: str, question: DriftQuestion, progress: Progress) -> RunDrift:
        """Return the quantization error that arises in each layer, and the one that it inherits from its inputs."""
        raise NotImplementedError

    def channels(self, run: RunHandle, directory: str, progress: Progress) -> "ChannelsOverview":
        """Return the range of each channel of each weight tensor."""
        raise NotImplementedError

    def predict(self, run: RunHandle, directory: str, book: SettingsBook, progress: Progress) -> "Predictions":
        """Return the predictions for held-out examples, in float and quantized with the settings ``book``."""
        raise NotImplementedError

    def predict_past(self, directory: str, checkpoint: str, progress: Progress) -> "RunPredictions":
        """Return the predictions for held-out examples in the state of a checkpoint, with its own settings."""
        raise NotImplementedError

    def forks(self, directory: str, progress: Progress) -> Tuple[ForkEvaluation, ...]:
        """Return the evaluations of all recorded forks of a run."""
        raise NotImplementedError

    def pictures(self, run: RunHandle, directory: str, number: int) -> "ExamplePictures":
        """Return the pictures of the first ``number`` held-out examples of a run, which may still train."""
        raise NotImplementedError

    def settings_at(self, directory: str, checkpoint: str) -> Tuple[SettingsBook, int]:
        """Return the settings of a checkpoint, and its number of training steps."""
        raise NotImplementedError

    def export_size(
        self,
        directory: str,
        checkpoint: str,
        book: SettingsBook,
        step: Optional[int],
        form: str,
        options: Mapping[str, Any],
    ) -> "ExportSize":
        """Return the size that an export would have; see :func:`qatviz.session.sizes.size_at` for the parameters."""
        raise NotImplementedError

    def write_labels(self, directory: str, labels: "RunLabels") -> "RunLabels":
        """Write name, notes and tags of a recorded run, and return them as they are stored."""
        raise NotImplementedError

    def report(self, directory: str, known: "KnownResults", goal: Optional["Target"]) -> bytes:
        """Return the report of a recorded run: the bytes of an HTML file.

        Parameters
        ----------
        directory : str
        known : KnownResults
            Results of analyses, which the report includes instead of computing them.
        goal : Target, optional
            Chip for which size and time are reported.
        """
        raise NotImplementedError

    def export(self, request: ExportRequest, progress: Progress) -> Dict[str, Any]:
        """Export a checkpoint to the path ``request.out`` on the machine of the caller.

        Returns
        -------
        dict of str to object
            Record of the proof that the file computes the same outputs, as in ``.parity.json``.
        """
        raise NotImplementedError

    def keep_checkpoint(self, directory: str, checkpoint: str) -> str:
        """Keep a checkpoint, which the run might otherwise delete, and return the name under which it is kept."""
        raise NotImplementedError

    def begin_sweep(self, request: SweepRequest) -> Begun:
        """Begin to train the runs of a sweep; it continues without the caller."""
        raise NotImplementedError

    def sweep_news(self, directory: str, seen: int) -> SweepNews:
        """Return the reports of the sweep in ``directory`` after number ``seen`` (0: all), within half a second.

        Once all reports were returned, a sweep that has failed raises the reason.
        """
        raise NotImplementedError

    def stop_sweep(self, directory: str) -> None:
        """Stop a sweep: the runs that train save their states, and it can be continued."""
        raise NotImplementedError


class ModelChecks:
    """Checks of models for one window: a newer one cancels an older one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inspector: Optional[ModelInspector] = None

    def check(self, question: "ModelQuestion") -> "ModelInfo":
        """Return the description of a model; raise QatvizError if it can't be used, or the check is cancelled."""
        with self._lock:
            if self._inspector is None:
                from qatviz.session.inspection import ModelInspector

                self._inspector = ModelInspector()
        return self._inspector.inspect(question)

    def cancel(self) -> None:
        """Cancel the check in progress, if there is one."""
        if self._inspector is not None:
            self._inspector.cancel()


class LocalWorkplace(Workplace):
    """Workplace on this machine. Modules are imported on first use.

    Parameters
    ----------
    move_to_trash : callable (str)
        Moves the folder at a path to the trash; raises QatvizError if it can't.
    """

    def __init__(self, move_to_trash: Callable[[str], None]):
        self._move_to_trash = move_to_trash
        self._checks = ModelChecks()
        self._evaluators: _OnePerRun[Evaluator] = _OnePerRun()
        self._drifts: _OnePerRun[DriftFinder] = _OnePerRun()
        self._lock = threading.Lock()
        self._sweeps: Optional[BackgroundSweeps] = None

    @property
    def has_sweeps(self) -> bool:
        """Whether sweeps train."""
        return self._sweeps is not None and self._sweeps.is_training

    def close(self) -> None:
        """Stop all sweeps, and wait until they have ended."""
        if self._sweeps is not None:
            self._sweeps.close()

    def prepare(self, request: RunRequest, notify: Notify) -> Prepared:
        from qatviz.session.prepare import prepare

        return prepare(request, shown=True, notify=notify)

    def kind_of(self, path: str) -> str:
        from qatviz.session.inspection import kind_of

        return kind_of(path)

    def folder(self, path: str) -> Folder:
        from qatviz.telemetry.record.schema import DATABASE_NAME

        path = os.path.abspath(os.path.expanduser(path or "~"))
        try:
            with os.scandir(path) as found:
                entries = [
                    FolderEntry(
                        entry.name,
                        entry.is_dir(),
                        entry.is_dir() and os.path.exists(os.path.join(entry.path, DATABASE_NAME)),
                    )
                    for entry in found
                    if not entry.name.startswith(".")
                ]
        except OSError as error:
            raise QatvizError(f"{path}: {error.strerror or error}") from error
        return Folder(path, tuple(sorted(entries, key=lambda entry: (not entry.is_folder, entry.name.lower()))))

    def new_run_directory(self, network: str, folder: str) -> str:
        from qatviz.session.folders import new_run_directory

        return new_run_directory(network, folder or None)

    def checkpoints(self, directory: str) -> Tuple["CheckpointInfo", ...]:
        from qatviz.session.checkpoints import readable_checkpoints

        return tuple(readable_checkpoints(directory))

    def data_names(self) -> Tuple[Tuple[str, str], ...]:
        from qatviz.data import NAMED_DATA

        return tuple((named.name, named.help) for named in NAMED_DATA)

    def check_data(self, question: "DataQuestion") -> "DataInfo":
        from qatviz.session.inspection import inspect_data

        return inspect_data(question)

    def check_model(self, question: "ModelQuestion") -> "ModelInfo":
        return self._checks.check(question)

    def cancel_checks(self) -> None:
        self._checks.cancel()

    def read_runs(self, folder: str, progress: Progress) -> "Catalogue":
        from qatviz.errors import SettingError
        from qatviz.session.catalogue import read_catalogue
        from qatviz.session.folders import runs_folder

        with contextlib.suppress(SettingError):
            folder = folder or runs_folder()
        return read_catalogue(folder, _report_to(progress))

    def delete_run(self, directory: str) -> None:
        from qatviz.session.catalogue import delete_run

        delete_run(directory, self._move_to_trash)

    def compare(self, directories: Tuple[str, ...]) -> "Comparison":
        from qatviz.session.comparison import read_comparison

        return read_comparison(directories)

    def evaluate(self, run: RunHandle, directory: str, book: SettingsBook, progress: Progress) -> Evaluated:
        return self._evaluator(run, directory).evaluate(book, progress)

    def _evaluator(self, run: RunHandle, directory: str) -> "Evaluator":
        """Return the evaluator that all evaluations and predictions of a run share."""
        from qatviz.session.evaluation import evaluator_of

        return self._evaluators.of(run, lambda: evaluator_of(run, directory))

    def sensitivity(self, run: RunHandle, directory: str, measured: bool, progress: Progress) -> "RunSensitivity":
        from qatviz.session.evaluation import ended_spec
        from qatviz.session.sensitivity import sensitivity_of

        return sensitivity_of(ended_spec(run, directory), measured, progress)

    def drift(self, run: RunHandle, directory: str, question: DriftQuestion, progress: Progress) -> RunDrift:
        from qatviz.session.drift import DriftFinder
        from qatviz.session.evaluation import ended_spec

        return self._drifts.of(run, lambda: DriftFinder(ended_spec(run, directory))).find(question, progress)

    def channels(self, run: RunHandle, directory: str, progress: Progress) -> "ChannelsOverview":
        from qatviz.session.channels import channels_of_ended

        return channels_of_ended(run, directory, progress)

    def predict(self, run: RunHandle, directory: str, book: SettingsBook, progress: Progress) -> "Predictions":
        from qatviz.training.predictions import LARGEST_EXAMPLES

        return self._evaluator(run, directory).predict(book, LARGEST_EXAMPLES, progress)

    def predict_past(self, directory: str, checkpoint: str, progress: Progress) -> "RunPredictions":
        from qatviz.session.predictions import predictions_of_record
        from qatviz.session.record_requests import PredictionsRequest
        from qatviz.training.predictions import LARGEST_EXAMPLES

        request = PredictionsRequest(directory, checkpoint, at_most=LARGEST_EXAMPLES)
        return predictions_of_record(request, progress=progress)

    def forks(self, directory: str, progress: Progress) -> Tuple[ForkEvaluation, ...]:
        from qatviz.session.forks import evaluations_of_forks

        return evaluations_of_forks(directory, _report_to(progress))

    def pictures(self, run: RunHandle, directory: str, number: int) -> "ExamplePictures":
        from qatviz.session.predictions import held_out_pictures

        return held_out_pictures(run, lambda: self._evaluator(run, directory), number)

    def settings_at(self, directory: str, checkpoint: str) -> Tuple[SettingsBook, int]:
        from qatviz.session.checkpoints import settings_at

        return settings_at(directory, checkpoint)

    def export_size(
        self,
        directory: str,
        checkpoint: str,
        book: SettingsBook,
        step: Optional[int],
        form: str,
        options: Mapping[str, Any],
    ) -> "ExportSize":
        from qatviz.session.sizes import size_at

        return size_at(directory, checkpoint, book, step, form, options)

    def write_labels(self, directory: str, labels: "RunLabels") -> "RunLabels":
        from qatviz.telemetry.record.labels import write_labels

        return write_labels(directory, labels)

    def report(self, directory: str, known: "KnownResults", goal: Optional["Target"]) -> bytes:
        from qatviz.session.report import write_recorded

        with tempfile.TemporaryDirectory(prefix="qatviz-") as folder:
            path = os.path.join(folder, "report.html")
            write_recorded(directory, path, known=known, goal=goal)
            with open(path, "rb") as file:
                return file.read()

    def export(self, request: ExportRequest, progress: Progress) -> Dict[str, Any]:
        from qatviz.session.export_process import run_export

        return run_export(request, progress)

    def keep_checkpoint(self, directory: str, checkpoint: str) -> str:
        from qatviz.session.checkpoints import keep_checkpoint

        return keep_checkpoint(directory, checkpoint)

    def begin_sweep(self, request: SweepRequest) -> Begun:
        return self._background_sweeps().begin(request)

    def sweep_news(self, directory: str, seen: int) -> SweepNews:
        return self._background_sweeps().news(directory, seen)

    def stop_sweep(self, directory: str) -> None:
        self._background_sweeps().stop(directory)

    def _background_sweeps(self) -> "BackgroundSweeps":
        with self._lock:
            if self._sweeps is None:
                from qatviz.session.background_sweeps import BackgroundSweeps

                self._sweeps = BackgroundSweeps()
        return self._sweeps


class _Slot(Generic[_Work]):
    """Object of one run, None until it is made; ``lock`` is held while it is."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.work: Optional[_Work] = None


class _OnePerRun(Generic[_Work]):
    """Evaluators of runs, with their TensorFlow graphs: one for each run, released with the run's handle.

    Thread-safe. To make one can take seconds, as it reads record and data; only threads that need it wait.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slots: WeakKeyDictionary[RunHandle, _Slot[_Work]] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._slots)

    def of(self, run: RunHandle, make: Callable[[], _Work]) -> _Work:
        """Return the object of a run, which ``make`` returns the first time."""
        with self._lock:
            slot = self._slots.setdefault(run, _Slot())
        with slot.lock:
            if slot.work is None:
                slot.work = make()
            return slot.work


def _report_to(progress: Progress) -> Callable[[int, int], bool]:
    """Return a function (done, total) that reports to ``progress``, and returns False once that is cancelled."""

    def report(done: int, total: int) -> bool:
        try:
            progress.at("", done / max(1, total))
        except Cancelled:
            return False
        return True

    return report
