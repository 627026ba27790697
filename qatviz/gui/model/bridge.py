"""From the run's thread to the window: a timer empties the run's channel and hands the news to the model, once a
frame.
"""

from typing import Any, Optional

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.model.frames import TICK_MS, Frames
from qatviz.gui.model.run_model import STATE, RunModel


class Bridge(QtCore.QObject):
    """Polls a run on the GUI thread; the run is asked nothing that could block.

    Parameters
    ----------
    model : RunModel
    frames : Frames
        Ticked after the news are in, so that what is drawn is the newest.
    """

    def __init__(self, model: RunModel, frames: Frames, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self._model, self._frames = model, frames
        self._run: Any = None
        self._state = ""
        self._pointer: Any = None
        self._timer = QtCore.QTimer(self, interval=TICK_MS)
        self._timer.timeout.connect(self.tick)

    def start(self) -> None:
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def tick(self) -> None:
        """Take what is new, and draw what is due."""
        run = self._model.run
        if run is not None:
            self._model.take(run.drain())
            if (run, run.state) != (self._run, self._state):
                self._run, self._state = run, run.state
                self._model.changed.emit(STATE)
        self._notice_user()
        self._frames.tick()

    def _notice_user(self) -> None:
        """A pointer that moves over the window, or a button that is held. An event filter would tell as well, but be
        called, and need the interpreter lock, for each of thousands of events a second.
        """
        pointer = (QtGui.QCursor.pos(), QtWidgets.QApplication.mouseButtons())
        if pointer != self._pointer and QtWidgets.QApplication.activeWindow() is not None:
            self._frames.touch()
        self._pointer = pointer
