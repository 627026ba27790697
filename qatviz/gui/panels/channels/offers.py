"""Buttons that apply the remedies of a tensor, once each was tried on held-out data."""
# Apart from the panel, which draws the channels of a weight.

import time
from typing import Any, Callable, List, Tuple

from PyQt5 import QtCore

from qatviz.analysis.remedies import Remedy, TriedRemedy
from qatviz.gui.model.edits import Edits
from qatviz.gui.model.remedy_trials import ABOUT_REMEDY, REMEDY_LASTS_S, RemedyTrials
from qatviz.gui.model.run_model import RunModel
from qatviz.gui.widgets.offer_button import OfferButton


class Offers(QtCore.QObject):
    """Buttons, as many as there can be remedies; one for each that does no harm, with its measured effect, is shown."""

    def __init__(self, model: RunModel, edits: Edits, number: int, clock: Callable[[], float] = time.monotonic):
        super().__init__()
        self._model, self._edits, self._clock = model, edits, clock
        self._question: Tuple[Any, ...] = ()  # tensor, settings and remedies to which the buttons belong
        self._tensor = ""
        self._harmless: List[TriedRemedy] = []
        self._offered: List[TriedRemedy] = []
        self._tried_at = 0.0
        self._trials = RemedyTrials(model, self)
        self._trials.found.connect(lambda tried: self._harmless.append(tried))
        self._trials.done.connect(lambda: self._show(self._harmless))
        self.buttons = [OfferButton() for _ in range(number)]
        for index, button in enumerate(self.buttons):
            button.clicked.connect(lambda _, index=index: self._apply(index))
            button.hide()

    def show_remedies(self, tensor: str, remedies: Tuple[Remedy, ...]) -> None:
        """Try the remedies of a tensor, and offer those that do no harm; without any, offer nothing."""
        question = (tensor, self._model.book, remedies) if remedies else ()
        is_old = self._clock() - self._tried_at >= REMEDY_LASTS_S and not self._trials.is_busy
        if question == self._question and not (question and is_old):
            return
        if question != self._question:
            self._show([])
        self._question, self._tensor, self._tried_at = question, tensor, self._clock()
        self._harmless = []
        self._trials.begin(tensor, remedies)

    def _show(self, offered: List[TriedRemedy]) -> None:
        self._offered = offered
        for button, tried in zip(self.buttons, offered):
            text = f"{self._tensor}: {tried.text}"
            button.setText(text)
            button.setToolTip(f"{text}\n{ABOUT_REMEDY}")
        for index, button in enumerate(self.buttons):
            button.setVisible(index < len(offered))

    def _apply(self, index: int) -> None:
        tried = self._offered[index]
        self._show([])
        self._edits.edit([self._tensor], tried.setting, tried.value)
