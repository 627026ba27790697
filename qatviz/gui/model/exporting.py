"""Exports started by the window, each in a process of its own so that neither the window nor training waits for it."""

import json
from dataclasses import replace
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Set

from PyQt5 import QtCore

from qatviz.errors import QatvizError
from qatviz.gui.model.availability import ACTIVE_STATES
from qatviz.gui.model.run_model import RUN, RunModel
from qatviz.protocol import events
from qatviz.protocol.commands import SaveCheckpoint
from qatviz.protocol.reasons import RecordPart
from qatviz.session.record_requests import ExportRequest

#: Time (ms) after which a cancelled process is killed, and after which it is killed when the window closes.
KILL_AFTER_MS, CLOSING_MS = 4000, 500


class ExportCommand(NamedTuple):
    """Command line of a program that writes an export and reports progress as :mod:`qatviz.cli.followed` describes.

    ``environment`` has variables to add to those of this process.
    """

    program: str
    arguments: List[str]
    environment: Optional[Dict[str, str]] = None

    def process(self, parent: QtCore.QObject) -> QtCore.QProcess:
        """Return the process, not started."""
        process = QtCore.QProcess(parent)
        environment = QtCore.QProcessEnvironment.systemEnvironment()
        for name, value in (self.environment or {}).items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        process.setProgram(self.program)
        process.setArguments(self.arguments)
        return process


class EndedExport(NamedTuple):
    """Outcome of an export: the ``record`` of its proof, or an error ``message``; neither if it was cancelled.

    ``details`` are the traceback or the output of an export that failed.
    """

    request: ExportRequest
    record: Optional[Dict[str, Any]] = None
    message: str = ""
    details: str = ""


class Exporter(QtCore.QObject):
    """Runner of exports, one at a time.

    Parameters
    ----------
    model : RunModel
        To export the present state, its run saves a checkpoint first.
    command_of : callable (ExportRequest) -> ExportCommand
        Called with a request that names a checkpoint. Raises :class:`QatvizError`.

    Attributes
    ----------
    request : ExportRequest or None
        Request of the export in progress.
    what, fraction
        Its present activity, and the fraction done, 0 to 1.
    """

    #: Emitted with a description of the present work and the fraction done, 0 to 1.
    progressed = QtCore.pyqtSignal(str, float)
    #: Emitted with an :class:`EndedExport`.
    ended = QtCore.pyqtSignal(object)

    def __init__(
        self,
        model: RunModel,
        command_of: Callable[[ExportRequest], ExportCommand],
        parent: Optional[QtCore.QObject] = None,
    ):
        super().__init__(parent)
        self._model, self._command_of = model, command_of
        self.request: Optional[ExportRequest] = None
        self.what, self.fraction = "", 0.0
        self._process: Optional[QtCore.QProcess] = None
        self._saving = ""  # id of the command that saves the checkpoint to export; empty if there is none
        self._saved: Set[str] = set()  # names of the checkpoints that were saved since it was sent
        self._cancelled = False
        self._lines, self._errors = b"", b""
        self._record: Optional[Dict[str, Any]] = None
        self._error: Optional[Dict[str, str]] = None
        self._kill_timer = QtCore.QTimer(self, singleShot=True, interval=KILL_AFTER_MS)
        self._kill_timer.timeout.connect(self._kill)
        model.happened.connect(self._on_event)
        model.changed.connect(self._on_topic)

    @property
    def is_busy(self) -> bool:
        return self.request is not None

    def begin(self, request: ExportRequest) -> None:
        """Start an export; ``ended`` follows in any case. No other export may be running."""
        self.request, self._cancelled = request, False
        self._lines, self._errors, self._record, self._error = b"", b"", None, None
        if request.checkpoint is not None:
            self._start(request)
            return
        self._report("saving a checkpoint", 0.0)
        self._saved.clear()
        try:
            self._saving = self._model.send(SaveCheckpoint())
        except QatvizError as error:
            self._end(message=str(error))

    def cancel(self) -> None:
        """Cancel the export; nothing is written, and ``ended`` follows later."""
        if not self.is_busy or self._cancelled:
            return
        self._cancelled = True
        self._saving = ""
        if self._process is None:
            self._end()
            return
        self._report("cancelling", self.fraction)
        self._process.closeWriteChannel()  # cancels on every system, unlike terminate
        self._process.terminate()
        self._kill_timer.start()

    def close(self) -> None:
        """End the export's process, if there is one, within about a second; ``ended`` is not emitted."""
        process = self._process
        if process is None:
            return
        self.cancel()
        process.finished.disconnect()
        if not process.waitForFinished(CLOSING_MS):
            process.kill()
            process.waitForFinished(CLOSING_MS)
        self._kill_timer.stop()
        self._process = self.request = None

    # The checkpoint of the present state

    def _on_event(self, event: events.Event) -> None:
        if not self._saving or self.request is None:
            return
        if isinstance(event, events.CheckpointSaved):
            self._saved.add(event.name)  # saved in another thread, so it may precede the command's own event
        elif isinstance(event, (events.CommandApplied, events.CommandRejected)) and event.id == self._saving:
            if isinstance(event, events.CommandRejected):
                self._end(message=f"The checkpoint could not be saved: {event.message}")
                return
            self.request = replace(self.request, checkpoint=event.checkpoint)
        elif self._ends_waiting(event) and not self._is_saved(self.request):
            self._end(
                message=f"The checkpoint could not be saved: {getattr(event, 'message', '') or 'the run has ended'}"
            )
            return
        if self._is_saved(self.request):
            self._saving = ""
            self._start(self.request)

    @staticmethod
    def _ends_waiting(event: events.Event) -> bool:
        """Return whether no checkpoint is to be expected; those are saved although the record itself has failed."""
        if isinstance(event, events.RecordFailed):
            return event.part is RecordPart.CHECKPOINT
        return isinstance(event, events.ENDINGS)

    def _is_saved(self, request: ExportRequest) -> bool:
        return request.checkpoint in self._saved

    def _on_topic(self, topic: str) -> None:
        if topic == RUN and self._saving:
            self._end(message="The checkpoint could not be saved: another run was opened")

    # The process

    def _start(self, request: ExportRequest) -> None:
        try:
            command = self._command_of(request)
        except QatvizError as error:
            self._end(message=str(error))
            return
        self._report("starting", 0.0)
        process = self._process = command.process(self)
        process.readyReadStandardOutput.connect(self._on_output)
        process.readyReadStandardError.connect(self._on_errors)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_process_error)
        process.start()

    def _on_output(self) -> None:
        if self._process is None:
            return
        *whole, self._lines = (self._lines + bytes(self._process.readAllStandardOutput())).split(b"\n")
        for line in whole:
            self._process_line(line)

    def _process_line(self, line: bytes) -> None:
        try:
            message = json.loads(line.decode("utf-8", "replace"))
        except ValueError:
            self._errors += line + b"\n"  # printed by a library
            return
        if isinstance(message, dict) and "progress" in message:
            if not self._cancelled:
                self._report(str(message.get("what", "")), float(message["progress"]))
        elif isinstance(message, dict) and "result" in message:
            self._record = message["result"]
        elif isinstance(message, dict) and "error" in message:
            self._error = message["error"]
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
        if self._record is not None:  # written, even if cancelled: too late
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
                self._end(message="The export process crashed; it may have run out of memory", details=text)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _end(self, **outcome: Any) -> None:
        assert self.request is not None, "only a running export ends"
        ended = EndedExport(self.request, **outcome)
        self._kill_timer.stop()
        if self._process is not None:
            self._process.deleteLater()
        self._process = self.request = None
        self._saving = ""
        self.ended.emit(ended)

    def _report(self, what: str, fraction: float) -> None:
        self.what, self.fraction = what, fraction
        self.progressed.emit(what, fraction)


def can_save_checkpoint(model: RunModel) -> bool:
    """Return whether the shown run can save a checkpoint of its present state."""
    return model.run is not None and not model.ended and model.state in ACTIVE_STATES
