"""Timer that moves steps, snapshots and events from the run's channel to the window's model, once a frame."""
# Separate, because it is the only code of the window that reads a run's channel.

from typing import Any, Optional

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.model.frames import TICK_MS, Frames
from qatviz.gui.model.run_model import STATE, RunModel
from qatviz.telemetry.run_handle import HERE, RunHandle


class Bridge(QtCore.QObject):
    """Poller of a run on the GUI thread; it makes no call that could block.

    Parameters
    ----------
    model : RunModel
    frames : Frames
        Ticked after the model is up to date, so that panels draw the newest state.
    """

    def __init__(self, model: RunModel, frames: Frames, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self._model, self._frames = model, frames
        self._run: Optional[RunHandle] = None
        self._state, self._connection = "", HERE
        self._pointer: Any = None
        self._timer = QtCore.QTimer(self, interval=TICK_MS)
        self._timer.timeout.connect(self.tick)

    def start(self) -> None:
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def tick(self) -> None:
        """Update the model, then the panels that are due."""
        run = self._model.run
        if run is not None:
            self._model.process(run.drain())
        connection = HERE if run is None else run.connection
        if (run, self._model.state, connection) != (self._run, self._state, self._connection):
            self._run, self._state, self._connection = run, self._model.state, connection
            self._model.changed.emit(STATE)
        self._detect_interaction()
        self._frames.tick()

    def _detect_interaction(self) -> None:
        # Polled, because an event filter would be called, and take the interpreter lock, thousands of times a second.
        pointer = (QtGui.QCursor.pos(), QtWidgets.QApplication.mouseButtons())
        if pointer != self._pointer and QtWidgets.QApplication.activeWindow() is not None:
            self._frames.touch()
        self._pointer = pointer
