"""Export on another machine, with the interface of the process that exports on this one."""

import json
import threading
import traceback
from typing import Any, Callable, Dict, Optional

from PyQt5 import QtCore

from qatviz.errors import explanation, message_of
from qatviz.export.progress import Cancelled, Progress
from qatviz.gui.model.exporting import ExportCommand

#: Work of an export: reports progress, and returns the record of the proof.
Work = Callable[[Progress], Dict[str, Any]]


class ExportThere(ExportCommand):
    """Command of an export that is written on another machine and fetched from there."""

    _work: Work

    def __new__(cls, work: Work) -> "ExportThere":
        made = super().__new__(cls, "", [])
        made._work = work
        return made

    def process(self, parent: QtCore.QObject) -> "ExportThread":
        return ExportThread(self._work, parent)


class ExportThread(QtCore.QObject):
    """Thread with the part of QProcess's interface that :class:`qatviz.gui.model.exporting.Exporter` uses.

    It outputs the lines that :mod:`qatviz.cli.followed` describes.
    """

    readyReadStandardOutput = QtCore.pyqtSignal()
    readyReadStandardError = QtCore.pyqtSignal()
    finished = QtCore.pyqtSignal(int, int)
    errorOccurred = QtCore.pyqtSignal(int)

    def __init__(self, work: Work, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self._work = work
        self._lock = threading.Lock()
        self._lines = b""
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, name="qatviz-export", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def readAllStandardOutput(self) -> bytes:
        with self._lock:
            lines, self._lines = self._lines, b""
        return lines

    def readAllStandardError(self) -> bytes:
        return b""

    def closeWriteChannel(self) -> None:
        self._cancelled.set()

    def terminate(self) -> None:
        self._cancelled.set()

    def kill(self) -> None:
        self._cancelled.set()

    def waitForFinished(self, timeout_ms: int) -> bool:
        self._thread.join(timeout_ms / 1000)
        return not self._thread.is_alive()

    def errorString(self) -> str:
        return ""

    def _run(self) -> None:
        code = 0
        try:
            record = self._work(Progress(self._report, self._cancelled.is_set))
            self._write({"result": record})
        except Cancelled:
            code = 1
        except Exception as error:  # the exporter shows it
            code = 1
            details = traceback.format_exc() if explanation(error) is None else ""
            row = {"kind": type(error).__name__, "message": message_of(error), "field": "", "details": details}
            self._write({"error": row})
        self.finished.emit(code, QtCore.QProcess.NormalExit)

    def _report(self, what: str, fraction: float) -> None:
        self._write({"progress": fraction, "what": what})

    def _write(self, line: Dict[str, Any]) -> None:
        with self._lock:
            self._lines += json.dumps(line).encode("utf-8") + b"\n"
        self.readyReadStandardOutput.emit()
