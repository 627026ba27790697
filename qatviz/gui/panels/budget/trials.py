"""Measurement of bits without training, and the search for the cheapest bits that lose little."""
# Separate from the panel: what is in progress, and when it ends, does not depend on what is shown.

from typing import Callable, Optional, Sequence

from PyQt5 import QtCore

from qatviz.analysis.budget import LOSS_ROUNDING, Allocation, CheapestSearch
from qatviz.errors import RunStateError
from qatviz.gui.model.run_model import RUN, STATE, TRIALS, RunModel
from qatviz.gui.panels.budget.evaluations import QUANTIZED
from qatviz.metric import METRICS
from qatviz.protocol.commands import EvaluateSettings
from qatviz.protocol.events import Evaluated
from qatviz.protocol.settings_book import SettingsBook

#: Returns the settings with the bits of an allocation.
BookOf = Callable[[Allocation], SettingsBook]


class Trials(QtCore.QObject):
    """Evaluations of settings that are not in effect, one at a time.

    A run that trains evaluates them between its training steps; for one that has ended, the launcher does so.

    Attributes
    ----------
    is_busy : bool
    text : str
        Present activity, or the result of the last search or the reason why it failed.
    """

    #: Emitted when an attribute has changed.
    changed = QtCore.pyqtSignal()
    #: Emitted with settings to evaluate for a run that has ended.
    wanted = QtCore.pyqtSignal(object)
    #: Emitted when that evaluation is cancelled.
    cancelled = QtCore.pyqtSignal()
    #: Emitted with the allocation that a search has found.
    found = QtCore.pyqtSignal(object)

    def __init__(self, model: RunModel, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self._model = model
        self.is_busy, self.text = False, ""
        self._is_by_launcher = False  # whether the launcher evaluates, as the run has ended
        self._measured = 0.0  # fraction done of the evaluation in progress
        self._search: Optional[CheapestSearch] = None
        model.changed.connect(self._on_topic)

    def measure(self, book: SettingsBook) -> None:
        """Evaluate settings."""
        self._search = None
        self._ask(book, "Measuring these bits…")

    def find(self, front: Sequence[Allocation], largest_loss: float, book_of: BookOf) -> None:
        """Search for the cheapest of the allocations, which are sorted by cost, whose metric is not much worse.

        Parameters
        ----------
        largest_loss : float
            Of the metric, see :meth:`qatviz.metric.Metric.loss`, against the settings in effect.
        """
        assert self._model.book is not None, "there is a run"
        self._search, self._front, self._largest, self._book_of = (
            CheapestSearch(len(front)),
            front,
            largest_loss,
            book_of,
        )
        self._before: Optional[float] = None
        self._ask(self._model.book, "Measuring the bits in effect…")

    def forget(self) -> None:
        """Drop the text of the last result: other bits were chosen."""
        if not self.is_busy:
            self.text = ""

    def cancel(self, text: str = "") -> None:
        """Drop what is in progress; a run that trains completes its evaluation."""
        if self.is_busy:
            self.is_busy, self._search = False, None
            if self._is_by_launcher:
                self.cancelled.emit()
        self.text = text
        self.changed.emit()

    @property
    def fraction(self) -> float:
        """Fraction done, 0 to 1; a search counts its measurements and that of the bits in effect."""
        if self._search is None:
            return self._measured
        done = 0 if self._before is None else self._search.done + 1
        return (done + self._measured) / (self._search.tries + 1)

    def show_progress(self, _activity: str, fraction: float) -> None:
        """Set the fraction done, 0 to 1, of the evaluation in progress, which the launcher reports."""
        if self.is_busy:
            self._measured = fraction
            self.changed.emit()

    def fail(self, message: str) -> None:
        """End the launcher's evaluation in progress with the reason why it failed."""
        if self.is_busy:
            self.cancel(f"Not measured: {message}")

    def _ask(self, book: SettingsBook, text: str) -> None:
        own = self._model.book
        assert own is not None, "there is a run"
        self.is_busy, self.text, self._number, self._measured = True, text, len(self._model.trials), 0.0
        # No command requests an evaluation of the launcher: it has an empty id, as those before ``_number`` may have.
        self._is_by_launcher, self._command_id = self._model.ended, ""
        self.changed.emit()
        if self._is_by_launcher:
            self.wanted.emit(book)
            return
        try:
            self._command_id = self._model.send(
                EvaluateSettings(tuple((c.setting, c.new) for c in own.differences(book)))
            )
        except RunStateError as error:
            self.cancel(f"Not measured: {error}")

    def _on_topic(self, topic: str) -> None:
        if topic == RUN:
            self.cancel()
        elif topic == TRIALS and self.is_busy:
            answer = self._model.trial_of(self._command_id, self._number)
            if answer is not None:
                self._continue_with(answer.result)
        elif topic == STATE and self.is_busy and self._model.failure is not None:
            self.cancel("Not measured: the run has failed")

    def _continue_with(self, result: Optional[Evaluated]) -> None:
        """Show a measurement, or continue the search with it; None: it was dropped with its state."""
        search = self._search
        if result is None:
            self.cancel("Not measured: the run was set to another state")
            return
        metric, score = METRICS[result.metric], result.scores[QUANTIZED]
        if search is None:
            self.is_busy, self.text = False, f"Without training, {metric.title} {metric.text(score)} with these bits."
            self.changed.emit()
            return
        if self._before is None:
            self._before = score
        else:
            search.record(metric.loss(self._before, score) <= self._largest + LOSS_ROUNDING)
        if search.next is not None:
            self._ask(
                self._book_of(self._front[search.next]), f"Measurement {search.done + 1} of up to {search.tries}…"
            )
            return
        self.is_busy, self._search = False, None
        if search.found is None:
            self.text = "With the most bits that the constraints allow, the metric loses more."
        else:
            self.text = f"Found by {search.done} measurements, without training."
            self.found.emit(self._front[search.found])
        self.changed.emit()
