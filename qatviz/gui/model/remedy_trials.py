"""Trials of remedies: evaluations of the run's state on held-out data under settings without each and with it."""

from typing import List, Optional, Sequence, Tuple

from PyQt5 import QtCore

from qatviz.analysis.remedies import Remedy, TriedRemedy
from qatviz.errors import QatvizError
from qatviz.gui.model.run_model import RUN, STATE, TRIALS, RunModel
from qatviz.protocol.commands import EvaluateSettings
from qatviz.protocol.settings_book import SettingsBook

#: Age (s) from which a remedy is tried again, which takes two evaluations on held-out data.
REMEDY_LASTS_S = 60.0
#: Tooltip of a remedy that is offered.
ABOUT_REMEDY = (
    "Apply this change of settings, which acts on training. The network was evaluated on held-out data without it and "
    "with it, before any training with it; Undo restores the settings."
)


class RemedyTrials(QtCore.QObject):
    """Trials of the remedies for one tensor, one after the other, in a run that has not ended."""

    #: Emitted with each :class:`qatviz.analysis.remedies.TriedRemedy` that does no harm.
    found = QtCore.pyqtSignal(object)
    #: Emitted once all were tried.
    done = QtCore.pyqtSignal()

    def __init__(self, model: RunModel, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self._model = model
        self._tensor = ""
        self._untried: List[Remedy] = []
        self._remedy: Optional[Remedy] = None
        self._book: Optional[SettingsBook] = None  # settings in effect as the trial began
        self._command_ids: Tuple[str, ...] = ()  # of the evaluations without and with the remedy
        model.changed.connect(self._on_topic)

    @property
    def is_busy(self) -> bool:
        """Whether a trial is in progress."""
        return self._remedy is not None

    def begin(self, tensor: str, remedies: Sequence[Remedy]) -> None:
        """Try ``remedies`` for a tensor, in order; those of an earlier call are tried no further."""
        self._tensor, self._untried = tensor, list(remedies)
        self._try_next()

    def cancel(self) -> None:
        """Try no further remedies; no signal is emitted."""
        self._remedy, self._untried = None, []

    def _try_next(self) -> None:
        self._remedy = self._untried.pop(0) if self._untried else None
        if self._remedy is None:
            self.done.emit()
        else:
            self._evaluate(self._remedy)

    def _evaluate(self, remedy: Remedy) -> None:
        assert self._model.book is not None, "there is a run"
        self._book = self._model.book
        changes = ((f"{self._tensor}.{remedy.setting}", remedy.value),)
        try:
            self._command_ids = tuple(self._model.send(EvaluateSettings(changed)) for changed in ((), changes))
        except QatvizError:
            self._try_next()

    def _on_topic(self, topic: str) -> None:
        if self._remedy is None:
            return
        if topic == RUN or self._model.ended:
            self.cancel()
        elif topic in (TRIALS, STATE):
            self._finish_if_complete(self._remedy)

    def _finish_if_complete(self, remedy: Remedy) -> None:
        before, after = [self._model.trial_of(command_id) for command_id in self._command_ids]
        if before is None or after is None:
            return
        if self._model.book != self._book:
            self._evaluate(remedy)  # under the settings that are in effect now
            return
        if before.result is not None and after.result is not None:  # not dropped with their state
            scores = [result.scores["quantized"] for result in (before.result, after.result)]
            tried = TriedRemedy(*remedy, after.result.metric, *scores)
            if tried.is_harmless:
                self.found.emit(tried)
        if self._remedy is remedy:
            self._try_next()
