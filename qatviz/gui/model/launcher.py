"""Interface through which the window prepares, inspects, evaluates, reports and exports runs without blocking."""

from typing import TYPE_CHECKING, Any, Mapping, Optional, Sequence, Tuple

from PyQt5 import QtCore

from qatviz.analysis.drift import DriftQuestion
from qatviz.gui.model.exporting import ExportCommand
from qatviz.gui.model.run_model import RunModel
from qatviz.gui.model.watching import CHANNELS, DRIFT, PREDICTIONS, SENSITIVITY
from qatviz.network.graph import Network
from qatviz.protocol.settings_book import SettingsBook
from qatviz.session.record_requests import ExportRequest
from qatviz.session.request import RunRequest
from qatviz.session.sweep_request import SweepRequest
from qatviz.telemetry.run_handle import RunHandle

if TYPE_CHECKING:  # they import data and records, which would delay the window
    from qatviz.analysis.chip.graph import ChipGraph
    from qatviz.presentation.export_sizes import ExportSize
    from qatviz.presentation.previews import DataInfo
    from qatviz.session.folder_entries import Folder
    from qatviz.session.model_info import DataQuestion, ModelInfo, ModelQuestion
    from qatviz.telemetry.record.checkpoint_files import CheckpointInfo
    from qatviz.telemetry.record.labels import RunLabels


RUNS, EVALUATION, FORKS, EXAMPLES = "runs", "evaluation", "forks", "examples"
#: Kinds of work, and the result of each. A request replaces an earlier one of the same kind.
WORKS = {
    RUNS: "the :class:`qatviz.telemetry.run_summary.Catalogue` of a folder",
    EVALUATION: "the :class:`qatviz.protocol.events.Evaluated` of settings",
    FORKS: "a directory of a run and the :class:`qatviz.protocol.trials.ForkEvaluation` of its forks, as a pair",
    SENSITIVITY: "a :class:`qatviz.analysis.sensitivity.RunSensitivity`",
    DRIFT: "a :class:`qatviz.analysis.drift.RunDrift`",
    CHANNELS: "a :class:`qatviz.analysis.channels.ChannelsOverview`",
    PREDICTIONS: "a :class:`qatviz.analysis.predictions.Predictions`, or the ``RunPredictions`` of a checkpoint",
    EXAMPLES: "the :class:`qatviz.presentation.example_pictures.ExamplePictures` of held-out examples",
}


class Work(QtCore.QObject):
    """Signals of one kind of work; one of ``found`` and ``failed`` ends a request, unless it is cancelled before."""

    #: Emitted with the present activity, and the fraction done, 0 to 1.
    progressed = QtCore.pyqtSignal(str, float)
    #: Emitted with the result.
    found = QtCore.pyqtSignal(object)
    #: Emitted with the reason why there is none.
    failed = QtCore.pyqtSignal(str)


class Launcher(QtCore.QObject):
    """Preparation of and work on runs in the background.

    The application implements it, so that the window imports neither TensorFlow nor the modules that read files.

    Attributes
    ----------
    place : str
        Name of the machine that prepares and trains runs and has the files of all paths; empty for this one.
    works : dict of str to Work
        Signals of each kind of work, by a key of :data:`WORKS`.
    """

    place = ""

    #: Emitted with a :class:`qatviz.session.prepared.Prepared`, and whether it opens a window of its own.
    prepared = QtCore.pyqtSignal(object, bool)
    #: Emitted when a machine is connected on which no run is in progress.
    connected = QtCore.pyqtSignal()
    #: Emitted with a text on work in the background ("Preparing the run…"); empty when it is done.
    busy = QtCore.pyqtSignal(str)
    #: Emitted with a message for the user, and details (which may be empty).
    failed = QtCore.pyqtSignal(str, str)
    #: Emitted with a message for the user about written files.
    written = QtCore.pyqtSignal(str)
    #: Emitted with the path of a report that was written.
    report_written = QtCore.pyqtSignal(str)

    #: Emitted with the directories of compared runs, and the :class:`qatviz.analysis.comparison.Comparison` of them or
    #: the reason why they can't be compared.
    comparison_read = QtCore.pyqtSignal(object, object)
    comparison_failed = QtCore.pyqtSignal(object, str)

    #: Emitted with the :class:`qatviz.session.sweep_request.Begun` of a sweep, before any of its runs starts.
    sweep_begun = QtCore.pyqtSignal(object)
    #: Emitted with the directory of a sweep, and a :class:`qatviz.session.sweep_request.Report` on one of its runs.
    sweep_reported = QtCore.pyqtSignal(str, object)
    #: Emitted with the directory of a sweep that has ended or was stopped, and the reason if it could not be trained.
    sweep_ended = QtCore.pyqtSignal(str, str)

    def __init__(self, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self.works = {kind: Work(self) for kind in WORKS}

    def obstacle(self, work: str) -> str:
        """Return the reason why work is impossible here, as a sentence; empty if it is possible.

        ``work`` is a kind of :mod:`qatviz.tensorflow_presence`. The window asks before it opens a dialog for it.
        """
        raise NotImplementedError

    def begin(self, request: RunRequest, new_window: bool = False) -> None:
        """Prepare the requested run in the background; ``prepared`` or ``failed`` follows."""
        raise NotImplementedError

    def new_run_directory(self, network: str, folder: str) -> str:
        """Return the path of a new directory for a run of a network, in ``folder`` (empty: the default folder of runs).

        Raises
        ------
        QatvizError
            If there is no folder of runs, or no connection to its machine.
        """
        raise NotImplementedError

    def folder(self, path: str) -> "Folder":
        """Return the content of a folder; an empty path is the home directory. QatvizError if it can't be read."""
        raise NotImplementedError

    def kind_of(self, path: str) -> str:
        """Return the kind of a path: "run", "model" or "data"; raise QatvizError for anything else."""
        raise NotImplementedError

    def checkpoints(self, directory: str) -> Sequence["CheckpointInfo"]:
        """Return the readable checkpoints of a recorded run, by step."""
        raise NotImplementedError

    def data_names(self) -> Sequence[Tuple[str, str]]:
        """Return the names of data sets, with descriptions."""
        raise NotImplementedError

    def check_data(self, question: "DataQuestion") -> "DataInfo":
        """Inspect a data set; raise QatvizError if it can't be used. May be called on any thread."""
        raise NotImplementedError

    def check_model(self, question: "ModelQuestion") -> "ModelInfo":
        """Inspect a model; raise QatvizError if it can't be used. May be called on any thread."""
        raise NotImplementedError

    def cancel_checks(self) -> None:
        """Cancel the inspections of models and data in progress."""
        raise NotImplementedError

    def read_runs(self, folder: str) -> None:
        """Read the recorded runs of a folder, as the work ``RUNS``."""
        raise NotImplementedError

    def delete_run(self, directory: str) -> None:
        """Move a recorded run to the trash; raise QatvizError if that fails."""
        raise NotImplementedError

    def write_labels(self, directory: str, labels: "RunLabels") -> "RunLabels":
        """Write the labels of a recorded run, and return them in their normal form; raise QatvizError if that fails."""
        raise NotImplementedError

    def read_comparison(self, directories: Sequence[str]) -> None:
        """Compare recorded runs, in the background; ``comparison_read`` or ``comparison_failed`` follows."""
        raise NotImplementedError

    def write_comparison(self, directories: Sequence[str], path: str) -> None:
        """Write the comparison of recorded runs as HTML, in the background.

        ``report_written`` or ``failed`` follows.
        """
        raise NotImplementedError

    def begin_sweep(self, request: SweepRequest) -> None:
        """Train the runs of a sweep in the background; ``sweep_begun``, ``sweep_reported``, ``sweep_ended`` follow."""
        raise NotImplementedError

    def stop_sweep(self, directory: str) -> None:
        """Stop a sweep: the runs that train save their states, and it can be continued. ``sweep_ended`` follows."""
        raise NotImplementedError

    def write_tensorboard(self, model: RunModel, directory: str) -> None:
        """Write the run in ``model`` as TensorBoard files, in the background; ``written`` or ``failed`` follows."""
        raise NotImplementedError

    def write_report(self, model: RunModel, directory: str, path: str) -> None:
        """Write the report of the run in ``model``, recorded in ``directory`` (empty: not recorded), in the background.

        ``report_written`` or ``failed`` follows.
        """
        raise NotImplementedError

    # Work that a panel requests for a run; ``directory`` is that of its record, empty if it is not recorded

    def cancel(self, kind: str) -> None:
        """Cancel the work of a kind in progress, if any."""
        raise NotImplementedError

    def evaluate(self, run: RunHandle, directory: str, book: SettingsBook) -> None:
        """Evaluate settings on a run that has ended, as the work ``EVALUATION``."""
        raise NotImplementedError

    def find_sensitivity(self, run: RunHandle, directory: str, measured: bool) -> None:
        """Estimate, or also measure, the sensitivity of a run that has ended, as the work ``SENSITIVITY``."""
        raise NotImplementedError

    def find_drift(self, run: RunHandle, directory: str, question: DriftQuestion) -> None:
        """Compute the errors of the layers of a run that has ended, as the work ``DRIFT``."""
        raise NotImplementedError

    def find_channels(self, run: RunHandle, directory: str) -> None:
        """Measure the channels of the weights of a run that has ended, as the work ``CHANNELS``."""
        raise NotImplementedError

    def predict(self, run: RunHandle, directory: str, book: SettingsBook) -> None:
        """Predict held-out examples of a run that has ended in float and quantized, as the work ``PREDICTIONS``."""
        raise NotImplementedError

    def predict_past(self, run: RunHandle, directory: str, checkpoint: str) -> None:
        """Predict held-out examples of a run in the state of a checkpoint, also while it trains, as ``PREDICTIONS``."""
        raise NotImplementedError

    def read_forks(self, run: RunHandle, directory: str) -> None:
        """Read the evaluations of the recorded forks of a run, as the work ``FORKS``."""
        raise NotImplementedError

    def read_examples(self, run: RunHandle, directory: str, number: int) -> None:
        """Read the pictures of the first ``number`` held-out examples of a run, as the work ``EXAMPLES``."""
        raise NotImplementedError

    def export_formats(self) -> Sequence[Any]:
        """Return the formats for exports, as :class:`qatviz.export.formats.Format`."""
        raise NotImplementedError

    def export_command(self, request: ExportRequest) -> ExportCommand:
        """Return the command that writes an export; raise QatvizError if it is impossible."""
        raise NotImplementedError

    def settings_at(self, directory: str, checkpoint: str) -> Tuple[SettingsBook, int]:
        """Return the settings and the step of a checkpoint; may raise QatvizError. May be called on any thread."""
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
        """Return the size of an export in the format ``form``, which is not written; may raise QatvizError.

        The state is that of a checkpoint, or with an empty name the present one, whose settings are ``book``; ``step``
        is None if no quantization is delayed. May be called on any thread.
        """
        raise NotImplementedError

    def chip_graph(self, network: Network, book: SettingsBook) -> "ChipGraph":
        """Return the graph of a network as a microcontroller runs it; may raise QatvizError.

        May be called on any thread.
        """
        raise NotImplementedError
