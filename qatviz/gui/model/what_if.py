"""Evaluation of the pending settings of a run that has ended, without training."""

from typing import Optional

from PyQt5 import QtCore

from qatviz.gui.model.background_work import BackgroundWork
from qatviz.gui.model.edits import Edits
from qatviz.gui.model.run_model import RunModel
from qatviz.protocol.events import Evaluated
from qatviz.protocol.settings_book import SettingsBook


class WhatIf(BackgroundWork):
    """Evaluation of the settings shown for a run that has ended.

    Attributes
    ----------
    result : Evaluated or None
        The newest result, of the settings ``answered``.
    """

    def __init__(self, model: RunModel, edits: Edits, parent: Optional[QtCore.QObject] = None):
        super().__init__(model, parent)
        self._model, self._edits = model, edits

    def _reset(self) -> None:
        super()._reset()
        self.result: Optional[Evaluated] = None

    def evaluate(self) -> None:
        """Request an evaluation of the pending settings; if there are none, of those in effect."""
        if not self.is_busy and self._edits.are_previews:
            self.begin(self._settings())

    @property
    def is_current(self) -> bool:
        """True if the result is that of the settings shown now."""
        return self.result is not None and self.answered == self._settings()

    def show_result(self, result: Evaluated) -> None:
        """End the evaluation in progress with its result."""
        if self.is_busy:
            self.result = result
            self.finish()

    def _settings(self) -> Optional[SettingsBook]:
        return self._edits.pending_book() or self._model.book
