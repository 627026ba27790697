"""Place where runs are prepared and computed with: a machine with its files and, for training, TensorFlow.

:class:`Workplace` is the interface, :class:`LocalWorkplace` this machine. Its methods block, and may be called from any
thread. The types of their parameters and results are also those of the calls to another machine.
"""

import contextlib
import os
import tempfile
import threading
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Optional, Tuple
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
    from qatviz.session.drift import DriftFinder
    from qatviz.session.evaluation import Evaluator
    from qatviz.session.inspection import ModelInspector
    from qatviz.session.model_info import DataQuestion, ModelInfo, ModelQuestion
    from qatviz.telemetry.record.checkpoint_files import CheckpointInfo
    from qatviz.telemetry.record.labels import RunLabels
    from qatviz.telemetry.run_summary import Catalogue


class Workplace:
    """Machine on which runs are prepared and computed with.

    Attributes
    ----------
    place : str
        Name of the machine; empty for this one.
    """

    place = ""

    def prepare(self, request: RunRequest, notify: Notify) -> Prepared:
        """Return the requested run, not started; as :func:`qatviz.session.prepare.prepare`."""
        raise NotImplementedError

    def kind_of(self, path: str) -> str:
        """Return the kind of a path: "run", "model" or "data"; raise QatvizError for anything else."""
        raise NotImplementedError

    def folder(self, path: str) -> Folder:
        """Return the content of a folder; an empty path is the home directory. QatvizError if it can't be read."""
        raise NotImplementedError

    def new_run_directory(self, network: str, folder: str) -> str:
        """Return the path of a new directory for a run; with an empty ``folder`` in the folder of runs."""
        raise NotImplementedError

    def checkpoints(self, directory: str) -> Tuple["CheckpointInfo", ...]:
        """Return the readable checkpoints of a recorded run, by step."""
        raise NotImplementedError

    def data_names(self) -> Tuple[Tuple[str, str], ...]:
        """Return the names of data sets, with descriptions."""
        raise NotImplementedError

    def check_data(self, question: "DataQuestion") -> "DataInfo":
        """Inspect a data set; raise QatvizError if it can't be used."""
        raise NotImplementedError

    def check_model(self, question: "ModelQuestion") -> "ModelInfo":
        """Inspect a model; raise QatvizError if it can't be used."""
        raise NotImplementedError

    def cancel_checks(self) -> None:
        """Cancel the inspections of models in progress."""
        raise NotImplementedError

    def read_runs(self, folder: str, progress: Progress) -> "Catalogue":
        """Return the recorded runs of a folder; with an empty path of the folder of runs."""
        raise NotImplementedError

    def delete_run(self, directory: str) -> None:
        """Move a recorded run to the trash; raise QatvizError if that fails."""
        raise NotImplementedError

    def compare(self, directories: Tuple[str, ...]) -> "Comparison":
        """Return the comparison of recorded runs."""
        raise NotImplementedError

    def evaluate(self, run: RunHandle, directory: str, book: SettingsBook, progress: Progress) -> Evaluated:
        """Evaluate settings on a run that has ended; ``directory`` is empty if it is not recorded."""
        raise NotImplementedError

    def sensitivity(self, run: RunHandle, directory: str, measured: bool, progress: Progress) -> "RunSensitivity":
        """Return the sensitivity of a run that has ended."""
        raise NotImplementedError

    def drift(self, run: RunHandle, directory: str, question: DriftQuestion, progress: Progress) -> RunDrift:
        """Return the errors of the layers of a run that has ended."""
        raise NotImplementedError

    def channels(self, run: RunHandle, directory: str, progress: Progress) -> "ChannelsOverview":
        """Return the channels of the weights of a run that has ended."""
        raise NotImplementedError

    def predict(self, run: RunHandle, directory: str, book: SettingsBook, progress: Progress) -> "Predictions":
        """Predict held-out examples of a run that has ended under settings."""
        raise NotImplementedError

    def predict_past(self, directory: str, checkpoint: str, progress: Progress) -> "RunPredictions":
        """Predict held-out examples of a run in the state of a checkpoint."""
        raise NotImplementedError

    def forks(self, directory: str, progress: Progress) -> Tuple[ForkEvaluation, ...]:
        """Return the evaluations of the recorded forks of a run."""
        raise NotImplementedError

    def pictures(self, run: RunHandle, directory: str, number: int) -> "ExamplePictures":
        """Return the pictures of the first ``number`` held-out examples of a run."""
        raise NotImplementedError

    def settings_at(self, directory: str, checkpoint: str) -> Tuple[SettingsBook, int]:
        """Return the settings and the step of a checkpoint."""
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
        """Return the size of an export, which is not written; as `qatviz.session.sizes.size_at`."""
        raise NotImplementedError

    def write_labels(self, directory: str, labels: "RunLabels") -> "RunLabels":
        """Write the labels of a recorded run, and return them in their normal form."""
        raise NotImplementedError

    def report(self, directory: str, known: "KnownResults", goal: Optional["Target"]) -> bytes:
        """Return the report of a recorded run, an HTML file, with results that are known; ``goal`` is the chip."""
        raise NotImplementedError

    def export(self, request: ExportRequest, progress: Progress) -> Dict[str, Any]:
        """Export a checkpoint to a path on the machine of the caller, and return the record of the proof."""
        raise NotImplementedError

    def keep_checkpoint(self, directory: str, checkpoint: str) -> str:
        """Make a checkpoint permanent, and return its name."""
        raise NotImplementedError


class LocalWorkplace(Workplace):
    """Workplace on this machine. Modules are imported on first use.

    Parameters
    ----------
    move_to_trash : callable
        Moves a path to the trash, or raises QatvizError.
    """

    def __init__(self, move_to_trash: Callable[[str], None]):
        self._move_to_trash = move_to_trash
        self._lock, self._inspector_lock = threading.Lock(), threading.Lock()
        self._inspector: Optional[ModelInspector] = None
        #: Graphs of the runs that are still shown.
        self._evaluators: WeakKeyDictionary[RunHandle, Evaluator] = WeakKeyDictionary()
        self._drifts: WeakKeyDictionary[RunHandle, DriftFinder] = WeakKeyDictionary()

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
        with self._inspector_lock:
            if self._inspector is None:
                from qatviz.session.inspection import ModelInspector

                self._inspector = ModelInspector()
        return self._inspector.inspect(question)

    def cancel_checks(self) -> None:
        if self._inspector is not None:
            self._inspector.cancel()

    def read_runs(self, folder: str, progress: Progress) -> "Catalogue":
        from qatviz.errors import SettingError
        from qatviz.session.catalogue import read_catalogue
        from qatviz.session.folders import runs_folder

        with contextlib.suppress(SettingError):
            folder = folder or runs_folder()
        return read_catalogue(folder, _watch(progress))

    def delete_run(self, directory: str) -> None:
        from qatviz.session.catalogue import delete_run

        delete_run(directory, self._move_to_trash)

    def compare(self, directories: Tuple[str, ...]) -> "Comparison":
        from qatviz.session.comparison import read_comparison

        return read_comparison(directories)

    def evaluate(self, run: RunHandle, directory: str, book: SettingsBook, progress: Progress) -> Evaluated:
        return self._evaluator(run, directory).evaluate(book, progress)

    def _evaluator(self, run: RunHandle, directory: str) -> "Evaluator":
        """Return the evaluator of a run that has ended, which all its evaluations and predictions share."""
        from qatviz.session.evaluation import evaluator_of

        with self._lock:
            if run not in self._evaluators:
                self._evaluators[run] = evaluator_of(run, directory)
            return self._evaluators[run]

    def sensitivity(self, run: RunHandle, directory: str, measured: bool, progress: Progress) -> "RunSensitivity":
        from qatviz.session.evaluation import ended_spec
        from qatviz.session.sensitivity import sensitivity_of

        return sensitivity_of(ended_spec(run, directory), measured, progress)

    def drift(self, run: RunHandle, directory: str, question: DriftQuestion, progress: Progress) -> RunDrift:
        from qatviz.session.drift import DriftFinder
        from qatviz.session.evaluation import ended_spec

        with self._lock:
            if run not in self._drifts:
                self._drifts[run] = DriftFinder(ended_spec(run, directory))
        return self._drifts[run].find(question, progress)

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

        return evaluations_of_forks(directory, _watch(progress))

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


def _watch(progress: Progress) -> Callable[[int, int], bool]:
    """Return the watch of a catalogue's reading that reports to ``progress``."""

    def is_wanted(done: int, of: int) -> bool:
        try:
            progress.at("", done / max(1, of))
        except Cancelled:
            return False
        return True

    return is_wanted
