"""Trial of a remedy: evaluations of the run's state on held-out data under settings without it and with it."""

from typing import Optional, Tuple

from PyQt5 import QtCore

from qatviz.analysis.remedies import Remedy, TriedRemedy
from qatviz.errors import QatvizError
from qatviz.gui.model.run_model import RUN, SETTINGS, STATE, TRIALS, RunModel
from qatviz.protocol.commands import EvaluateSettings
from qatviz.protocol.events import Evaluated
from qatviz.protocol.settings_book import SettingsBook


class RemedyTrial(QtCore.QObject):
    """Trial of one remedy at a time, in a run that has not ended."""

    #: Emitted with the :class:`qatviz.analysis.remedies.TriedRemedy`, or None if it could not be evaluated.
    done = QtCore.pyqtSignal(object)

    def __init__(self, model: RunModel, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self._model = model
        self._remedy: Optional[Remedy] = None
        self._books: Tuple[SettingsBook, ...] = ()
        self._number = 0
        model.changed.connect(self._on_topic)

    @property
    def is_busy(self) -> bool:
        """Whether a trial is in progress."""
        return self._remedy is not None

    def begin(self, tensor: str, remedy: Remedy) -> None:
        """Evaluate ``remedy`` for a tensor; a trial in progress is dropped."""
        book = self._model.book
        assert book is not None, "there is a run"
        path = f"{tensor}.{remedy.setting}"
        self._books = (book, book.change([(path, remedy.value)])[0])
        self._remedy, self._number = remedy, len(self._model.trials)
        try:
            self._model.send(EvaluateSettings(()))
            self._model.send(EvaluateSettings(((path, remedy.value),)))
        except QatvizError:
            self._finish(None)

    def cancel(self) -> None:
        """Drop the trial in progress; :attr:`done` is not emitted."""
        self._remedy = None

    def _on_topic(self, topic: str) -> None:
        if self._remedy is None:
            return
        if topic == RUN or (topic == SETTINGS and self._model.book != self._books[0]) or self._model.ended:
            self._finish(None)
        elif topic in (TRIALS, STATE):
            self._finish_if_complete(self._remedy)

    def _finish_if_complete(self, remedy: Remedy) -> None:
        before, after = [self._result(book) for book in self._books]
        if before is not None and after is not None:
            scores = [result.scores["quantized"] for result in (before, after)]
            self._finish(TriedRemedy(*remedy, after.metric, *scores))

    def _result(self, book: SettingsBook) -> Optional[Evaluated]:
        """Return the newest evaluation of ``book`` since the trial began; None if there is none yet."""
        for trial in reversed(self._model.trials[self._number :]):
            if (trial.book.quantizers, trial.book.run) == (book.quantizers, book.run) and trial.result is not None:
                return trial.result
        return None

    def _finish(self, tried: Optional[TriedRemedy]) -> None:
        self._remedy = None
        self.done.emit(tried)
