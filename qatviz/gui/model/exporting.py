"""Exports started by the window, each in a process of its own so that neither the window nor training waits for it."""

import json
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Set

from PyQt5 import QtCore

from qatviz.errors import QatvizError
from qatviz.gui.model.run_model import GOING, RUN, RunModel
from qatviz.protocol import events
from qatviz.protocol.commands import SaveCheckpoint

#: Time (ms) after which a cancelled process is killed, and the process of a window that closes.
PATIENCE_MS, CLOSING_MS = 4000, 500


class ExportWanted(NamedTuple):
    """Request for an export.

    Attributes
    ----------
    directory : str
        Directory of the run's record.
    checkpoint : str
        Name of the checkpoint; empty for the present state, of which a checkpoint is saved first.
    form : str
        Name of the format.
    options : dict
        Options of the format.
    path : str
        The file or directory to write.
    examples : int, optional
        Number of held-out examples to prove the export on; None for the export's default.
    """

    directory: str
    checkpoint: str
    form: str
    options: Mapping[str, Any]
    path: str
    examples: Optional[int] = None


class Command(NamedTuple):
    """Program that writes an export and reports progress as :mod:`qatviz.cli.followed` describes.

    ``environment`` has variables to set besides this process' own.
    """

    program: str
    arguments: List[str]
    environment: Optional[Dict[str, str]] = None


class Ended(NamedTuple):
    """Result of an export: the ``record`` of its proof, or an error ``message`` with ``details``; none if cancelled."""

    wanted: ExportWanted
    record: Optional[Dict[str, Any]] = None
    message: str = ""
    details: str = ""


class Exporter(QtCore.QObject):
    """Runner of exports, one at a time.

    Parameters
    ----------
    model : RunModel
        Its run saves the checkpoint of an export of the present state.
    command_of : callable (ExportWanted) -> Command
        Its argument names a checkpoint. Raises :class:`QatvizError`.
    """

    #: Emitted with a description of the present work and the fraction done, 0 to 1.
    progressed = QtCore.pyqtSignal(str, float)
    #: Emitted with an :class:`Ended`.
    ended = QtCore.pyqtSignal(object)

    def __init__(
        self, model: RunModel, command_of: Callable[[ExportWanted], Command], parent: Optional[QtCore.QObject] = None
    ):
        super().__init__(parent)
        self._model, self._command_of = model, command_of
        self.wanted: Optional[ExportWanted] = None
        self.what, self.share = "", 0.0
        self._process: Optional[QtCore.QProcess] = None
        self._saving = ""
        self._saved: Set[str] = set()
        self._cancelled = False
        self._lines, self._errors = b"", b""
        self._record: Optional[Dict[str, Any]] = None
        self._error: Optional[Dict[str, str]] = None
        self._patience = QtCore.QTimer(self, singleShot=True, interval=PATIENCE_MS)
        self._patience.timeout.connect(self._kill)
        model.happened.connect(self._on_event)
        model.changed.connect(self._on_topic)

    @property
    def is_busy(self) -> bool:
        return self.wanted is not None

    def begin(self, wanted: ExportWanted) -> None:
        """Start an export; ``ended`` follows in any case. There must be no other one."""
        self.wanted, self._cancelled = wanted, False
        self._lines, self._errors, self._record, self._error = b"", b"", None, None
        if wanted.checkpoint:
            self._start(wanted)
            return
        self._tell("keeping the present state", 0.0)
        self._saved.clear()
        try:
            self._saving = self._model.send(SaveCheckpoint())
        except QatvizError as error:
            self._end(message=str(error))

    def cancel(self) -> None:
        """Cancel the export, so that nothing is written; ``ended`` follows later."""
        if not self.is_busy or self._cancelled:
            return
        self._cancelled = True
        self._saving = ""
        if self._process is None:
            self._end()
            return
        self._tell("cancelling", self.share)
        self._process.closeWriteChannel()  # cancels on every system, unlike terminate
        self._process.terminate()
        self._patience.start()

    def close(self) -> None:
        """End the export now, without ``ended``."""
        process = self._process
        if process is None:
            return
        self.cancel()
        process.finished.disconnect()
        if not process.waitForFinished(CLOSING_MS):
            process.kill()
            process.waitForFinished(CLOSING_MS)
        self._patience.stop()
        self._process = self.wanted = None

    # The checkpoint of the present state

    def _on_event(self, event: events.Event) -> None:
        if not self._saving or self.wanted is None:
            return
        if isinstance(event, events.CheckpointSaved):
            self._saved.add(event.name)  # may come before the command's own event: it is saved in another thread
        elif isinstance(event, (events.CommandApplied, events.CommandRejected)) and event.id == self._saving:
            if isinstance(event, events.CommandRejected):
                self._end(message=f"The present state could not be kept: {event.message}")
                return
            self.wanted = self.wanted._replace(checkpoint=event.checkpoint)
        elif isinstance(event, (events.RecordFailed, *events.ENDINGS)) and not self._is_kept(self.wanted):
            self._end(
                message=f"The present state could not be kept: {getattr(event, 'message', '') or 'the run has ended'}"
            )
            return
        if self._is_kept(self.wanted):
            self._saving = ""
            self._start(self.wanted)

    def _is_kept(self, wanted: ExportWanted) -> bool:
        return bool(wanted.checkpoint) and wanted.checkpoint in self._saved

    def _on_topic(self, topic: str) -> None:
        if topic == RUN and self._saving:
            self._end(message="The present state could not be kept: another run is shown now")

    # The process

    def _start(self, wanted: ExportWanted) -> None:
        try:
            command = self._command_of(wanted)
        except QatvizError as error:
            self._end(message=str(error))
            return
        self._tell("starting", 0.0)
        process = self._process = QtCore.QProcess(self)
        environment = QtCore.QProcessEnvironment.systemEnvironment()
        for name, value in (command.environment or {}).items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        process.readyReadStandardOutput.connect(self._on_output)
        process.readyReadStandardError.connect(self._on_errors)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_process_error)
        process.start(command.program, command.arguments)

    def _on_output(self) -> None:
        if self._process is None:
            return
        *whole, self._lines = (self._lines + bytes(self._process.readAllStandardOutput())).split(b"\n")
        for line in whole:
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            said = json.loads(line.decode("utf-8", "replace"))
        except ValueError:
            self._errors += line + b"\n"  # printed by a library
            return
        if isinstance(said, dict) and "progress" in said:
            if not self._cancelled:
                self._tell(str(said.get("what", "")), float(said["progress"]))
        elif isinstance(said, dict) and "result" in said:
            self._record = said["result"]
        elif isinstance(said, dict) and "error" in said:
            self._error = said["error"]
        else:
            self._errors += line + b"\n"

    def _on_errors(self) -> None:
        if self._process is not None:
            self._errors += bytes(self._process.readAllStandardError())

    def _on_process_error(self, error: int) -> None:
        if error == QtCore.QProcess.FailedToStart and self._process is not None:
            self._end(message=f"The export could not be started: {self._process.errorString()}")

    def _on_finished(self, code: int, status: int) -> None:
        self._on_output()
        self._on_errors()
        if self._record is not None:  # written, even if it was cancelled too late
            self._end(record=self._record)
        elif self._cancelled:
            self._end()
        else:
            text = self._errors.decode("utf-8", "replace").strip()
            if self._error is not None:
                self._end(message=self._error["message"], details=self._error["details"])
            elif status == QtCore.QProcess.NormalExit:
                last = text.rpartition("\n")[2]
                self._end(message=last or f"The export ended with code {code}", details=text)
            else:
                self._end(message="The export came to a sudden end; it may have run out of memory", details=text)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _end(self, **how: Any) -> None:
        assert self.wanted is not None, "only an export that was begun ends"
        ended = Ended(self.wanted, **how)
        self._patience.stop()
        if self._process is not None:
            self._process.deleteLater()
        self._process = self.wanted = None
        self._saving = ""
        self.ended.emit(ended)

    def _tell(self, what: str, share: float) -> None:
        self.what, self.share = what, share
        self.progressed.emit(what, share)


def can_be_kept(model: RunModel) -> bool:
    """Return whether the shown run can save a checkpoint of its present state."""
    return model.run is not None and model.state in GOING
