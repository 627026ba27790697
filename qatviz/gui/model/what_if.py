"""Evaluation of the pending settings of a run that has ended, without training."""

from typing import Optional

from PyQt5 import QtCore

from qatviz.gui.model.edits import Edits
from qatviz.gui.model.run_model import RUN, RunModel
from qatviz.protocol.events import Evaluated
from qatviz.protocol.settings_book import SettingsBook


class WhatIf(QtCore.QObject):
    """Evaluation of the settings shown for a run that has ended; the window passes it to the launcher.

    Attributes
    ----------
    is_busy : bool
        True from :meth:`begin` until a result, a failure or :meth:`cancel`.
    activity, fraction
        Present activity, and the fraction done, 0 to 1.
    result : Evaluated or None
        The newest result, of the settings ``book``.
    message : str
        Reason why the last evaluation failed; empty if it did not.
    """

    #: Emitted when an attribute has changed.
    changed = QtCore.pyqtSignal()
    #: Emitted with the settings to evaluate.
    wanted = QtCore.pyqtSignal(object)
    #: Emitted when the evaluation in progress is no longer wanted.
    cancelled = QtCore.pyqtSignal()

    def __init__(self, model: RunModel, edits: Edits, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self._model, self._edits = model, edits
        self._asked: Optional[SettingsBook] = None
        self._reset()
        model.changed.connect(self._on_topic)

    def _reset(self) -> None:
        self.is_busy, self.activity, self.fraction = False, "", 0.0
        self.result: Optional[Evaluated] = None
        self.book: Optional[SettingsBook] = None
        self.message = ""

    def begin(self) -> None:
        """Request an evaluation of the pending settings; if there are none, of those in effect."""
        if self.is_busy or not self._edits.are_previews:
            return
        self._asked = self._settings()
        self.is_busy, self.activity, self.fraction, self.message = True, "starting", 0.0, ""
        self.wanted.emit(self._asked)
        self.changed.emit()

    def cancel(self) -> None:
        """Cancel the evaluation in progress."""
        if self.is_busy:
            self.is_busy = False
            self.cancelled.emit()
            self.changed.emit()

    @property
    def is_current(self) -> bool:
        """True if the result is that of the settings shown now."""
        return self.result is not None and self.book == self._settings()

    def show_progress(self, activity: str, fraction: float) -> None:
        if self.is_busy:
            self.activity, self.fraction = activity, fraction
            self.changed.emit()

    def finish(self, result: Evaluated) -> None:
        """End the evaluation in progress with its result."""
        if self.is_busy:
            self.is_busy, self.result, self.book = False, result, self._asked
            self.changed.emit()

    def fail(self, message: str) -> None:
        """End the evaluation in progress with the reason why it failed."""
        if self.is_busy:
            self.is_busy, self.message = False, message
            self.changed.emit()

    def _settings(self) -> Optional[SettingsBook]:
        return self._edits.pending_book() or self._model.book

    def _on_topic(self, topic: str) -> None:
        if topic == RUN:
            self.cancel()
            self._reset()
            self.changed.emit()
