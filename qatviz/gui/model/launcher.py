"""Interface through which the window prepares, inspects, evaluates, reports and exports runs without blocking."""

from typing import TYPE_CHECKING, Any, Mapping, Optional, Sequence, Tuple

from PyQt5 import QtCore

from qatviz.analysis.drift import DriftQuestion
from qatviz.gui.model.exporting import ExportCommand
from qatviz.gui.model.run_model import RunModel
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


class Launcher(QtCore.QObject):
    """Preparation of and work on runs in the background.

    The application implements it, so that the window imports neither TensorFlow nor the modules that read files.

    Attributes
    ----------
    place : str
        Name of the machine on which runs are prepared, trained and computed with, and whose files all paths name; empty
        for this one.
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

    #: Emitted with the :class:`qatviz.telemetry.run_summary.Catalogue` of a folder, or the reason why it can't be read.
    runs_read = QtCore.pyqtSignal(object)
    runs_failed = QtCore.pyqtSignal(str)
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

    #: Emitted with the present activity of an evaluation of settings, and the fraction done, 0 to 1.
    evaluation_progressed = QtCore.pyqtSignal(str, float)
    #: Emitted with the :class:`qatviz.protocol.events.Evaluated` of an evaluation of settings.
    evaluated = QtCore.pyqtSignal(object)
    #: Emitted with the reason why an evaluation of settings failed.
    evaluation_failed = QtCore.pyqtSignal(str)

    #: Emitted with the fraction done of the sensitivity of a run that has ended, 0 to 1.
    sensitivity_progressed = QtCore.pyqtSignal(float)
    #: Emitted with its :class:`qatviz.session.sensitivity.RunSensitivity`.
    sensitivity_found = QtCore.pyqtSignal(object)
    #: Emitted with the reason why it could not be computed.
    sensitivity_failed = QtCore.pyqtSignal(str)

    #: Emitted with the :class:`qatviz.analysis.drift.RunDrift` of a run that has ended.
    drift_found = QtCore.pyqtSignal(object)
    #: Emitted with the reason why it could not be computed.
    drift_failed = QtCore.pyqtSignal(str)
    #: Emitted with the :class:`qatviz.analysis.channels.ChannelsOverview` of a run that has ended.
    channels_found = QtCore.pyqtSignal(object)
    #: Emitted with the reason why it could not be computed.
    channels_failed = QtCore.pyqtSignal(str)

    #: Emitted with the directory of a run, and the evaluations of its forks as
    #: :class:`qatviz.protocol.trials.ForkEvaluation`.
    forks_read = QtCore.pyqtSignal(str, object)
    #: Emitted with the fraction done of the predictions of a run that has ended, 0 to 1.
    predictions_progressed = QtCore.pyqtSignal(float)
    #: Emitted with its :class:`qatviz.analysis.predictions.Predictions`, or with the
    #: :class:`qatviz.analysis.predictions.RunPredictions` of a checkpoint.
    predictions_found = QtCore.pyqtSignal(object)
    #: Emitted with the reason why it could not be predicted.
    predictions_failed = QtCore.pyqtSignal(str)
    #: Emitted with the :class:`qatviz.presentation.example_pictures.ExamplePictures` of held-out examples.
    examples_read = QtCore.pyqtSignal(object)

    def obstacle(self, work: str) -> str:
        """Return why work of :mod:`qatviz.tensorflow_presence` is impossible here, as a sentence; empty if it is not.

        Asked before dialogs that lead to it.
        """
        raise NotImplementedError

    def begin(self, request: RunRequest, new_window: bool = False) -> None:
        """Prepare the requested run in the background; ``prepared`` or ``failed`` follows."""
        raise NotImplementedError

    def new_run_directory(self, network: str, folder: str) -> str:
        """Return the path of a new directory for a run of a network; with an empty ``folder`` in the folder of runs."""
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
        """Read the recorded runs of a folder, in the background; ``runs_read`` or ``runs_failed`` follows."""
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

    def evaluate(self, run: RunHandle, directory: str, book: SettingsBook) -> None:
        """Evaluate settings on a run that has ended, in the background; ``directory`` is empty if it is not recorded.

        ``evaluated`` or ``evaluation_failed`` follows, unless it is cancelled.
        """
        raise NotImplementedError

    def cancel_evaluation(self) -> None:
        """Cancel the evaluation in progress, if any."""
        raise NotImplementedError

    def find_sensitivity(self, run: RunHandle, directory: str, measured: bool) -> None:
        """Estimate, and if ``measured`` measure, the sensitivity of a run that has ended, in the background.

        ``directory`` is empty if it is not recorded. ``sensitivity_found`` or ``sensitivity_failed`` follows, unless it
        is cancelled.
        """
        raise NotImplementedError

    def cancel_sensitivity(self) -> None:
        """Cancel the computation of a sensitivity in progress, if any."""
        raise NotImplementedError

    def find_drift(self, run: RunHandle, directory: str, question: DriftQuestion) -> None:
        """Compute the errors of the layers of a run that has ended, in the background.

        ``directory`` is empty if it is not recorded. ``drift_found`` or ``drift_failed`` follows, unless it is
        cancelled.
        """
        raise NotImplementedError

    def find_channels(self, run: RunHandle, directory: str) -> None:
        """Measure the channels of the weights of a run that has ended, in the background.

        ``directory`` is empty if it is not recorded. ``channels_found`` or ``channels_failed`` follows, unless it is
        cancelled.
        """
        raise NotImplementedError

    def cancel_drift(self) -> None:
        """Cancel the computation of a drift in progress, if any."""
        raise NotImplementedError

    def cancel_channels(self) -> None:
        """Cancel the measurement of channels in progress, if any."""
        raise NotImplementedError

    def predict(self, run: RunHandle, directory: str, book: SettingsBook) -> None:
        """Predict held-out examples of a run that has ended under settings, in float and quantized, in the background.

        ``directory`` is empty if it is not recorded. ``predictions_found`` or ``predictions_failed`` follows, unless it
        is cancelled.
        """
        raise NotImplementedError

    def read_forks(self, run: RunHandle, directory: str) -> None:
        """Read the evaluations of the recorded forks of a run, in the background; ``forks_read`` follows."""
        raise NotImplementedError

    def predict_past(self, run: RunHandle, directory: str, checkpoint: str) -> None:
        """Predict held-out examples of a run in the state of a checkpoint, in the background, also while it trains.

        ``predictions_found`` or ``predictions_failed`` follows, unless it is cancelled.
        """
        raise NotImplementedError

    def read_examples(self, run: RunHandle, directory: str, number: int) -> None:
        """Read the pictures of the first ``number`` held-out examples of a run, in the background.

        ``examples_read`` or ``failed`` follows, unless it is cancelled.
        """
        raise NotImplementedError

    def cancel_predictions(self) -> None:
        """Cancel predictions and the reading of pictures in progress, if any."""
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
