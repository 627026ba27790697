"""How the window gets runs: it asks, and what was asked for is prepared elsewhere (files are read, nothing blocks)."""

from typing import Any, List, Sequence, Tuple

from PyQt5 import QtCore

from qatviz.gui.model.exporting import Command, ExportWanted
from qatviz.gui.model.looks import DataQuestion, ModelLook, ModelQuestion
from qatviz.gui.model.run_model import RunModel
from qatviz.presentation.previews import DataLook
from qatviz.protocol.settings_book import SettingsBook
from qatviz.session.request import RunRequest
from qatviz.telemetry.record.checkpoint_files import CheckpointInfo


class Launcher(QtCore.QObject):
    """Prepares runs in the background. The application implements it; here nothing knows TensorFlow."""

    #: A :class:`qatviz.session.prepared.Prepared`, and whether it opens a window of its own.
    prepared = QtCore.pyqtSignal(object, bool)
    #: What is being done in the background ("Preparing the run…"); empty when nothing is.
    busy = QtCore.pyqtSignal(str)
    #: A sentence for the user, and the details (may be empty).
    failed = QtCore.pyqtSignal(str, str)
    #: What was written: a sentence for the user.
    written = QtCore.pyqtSignal(str)
    #: Where a report was written.
    report_written = QtCore.pyqtSignal(str)

    def begin(self, request: RunRequest, new_window: bool = False) -> None:
        """Prepare what ``request`` asks for, in the background; ``prepared`` or ``failed`` follows."""
        raise NotImplementedError

    def kind_of(self, path: str) -> str:
        """``run``, ``model`` or ``data``; QatvizError that says what it is not."""
        raise NotImplementedError

    def checkpoints(self, directory: str) -> List[str]:
        """Names of the checkpoints of a recorded run that can be read, by step."""
        raise NotImplementedError

    def data_names(self) -> Sequence[Tuple[str, str]]:
        """Data sets that are known by name, and what they are."""
        raise NotImplementedError

    def check_data(self, question: DataQuestion) -> DataLook:
        """What data a run would have; raises QatvizError. May be called on any thread."""
        raise NotImplementedError

    def check_model(self, question: ModelQuestion) -> ModelLook:
        """What a model of the user's own is; raises QatvizError. May be called on any thread."""
        raise NotImplementedError

    def end_checks(self) -> None:
        """Nobody waits for checks any more."""
        raise NotImplementedError

    def new_directory(self, network: str) -> str:
        """A directory that does not exist yet, for a run to be recorded in."""
        raise NotImplementedError

    def write_tensorboard(self, model: RunModel, directory: str) -> None:
        """Write what ``model`` knows as TensorBoard event files, in the background; ``written`` or ``failed`` tells."""
        raise NotImplementedError

    def write_report(self, model: RunModel, directory: str, path: str) -> None:
        """Write the report of the run of ``model``, recorded in ``directory`` (empty: not recorded), as the file
        ``path``, in the background; ``report_written`` or ``failed`` tells.
        """
        raise NotImplementedError

    def export_formats(self) -> Sequence[Any]:
        """What a run can be exported to: as :class:`qatviz.export.formats.Format`."""
        raise NotImplementedError

    def export_command(self, wanted: ExportWanted) -> Command:
        """What writes an export; QatvizError where it can't be done."""
        raise NotImplementedError

    def moments(self, directory: str) -> Sequence[CheckpointInfo]:
        """The checkpoints of a recorded run that can be read, by step."""
        raise NotImplementedError

    def settings_at(self, directory: str, checkpoint: str) -> Tuple[SettingsBook, int]:
        """The settings of a checkpoint, and its step; raises QatvizError. May be called on any thread."""
        raise NotImplementedError
