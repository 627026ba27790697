"""Trial of a remedy: evaluations of the run's state on held-out data under settings without it and with it."""

from typing import Optional, Tuple

from PyQt5 import QtCore

from qatviz.analysis.remedies import Remedy, TriedRemedy
from qatviz.errors import QatvizError
from qatviz.gui.model.run_model import RUN, SETTINGS, STATE, TRIALS, RunModel
from qatviz.protocol.commands import EvaluateSettings
from qatviz.protocol.settings_book import SettingsBook

#: Age (s) from which a remedy is tried again, which takes two evaluations on held-out data.
REMEDY_LASTS_S = 60.0
#: Tooltip of a remedy that is offered.
ABOUT_REMEDY = (
    "Apply this change of settings, which acts on training. The network was evaluated on held-out data without it and "
    "with it, before any training with it; Undo restores the settings."
)


class RemedyTrial(QtCore.QObject):
    """Trial of one remedy at a time, in a run that has not ended."""

    #: Emitted with the :class:`qatviz.analysis.remedies.TriedRemedy`, or None if it could not be evaluated.
    done = QtCore.pyqtSignal(object)

    def __init__(self, model: RunModel, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self._model = model
        self._remedy: Optional[Remedy] = None
        self._book: Optional[SettingsBook] = None  # settings in effect as the trial began
        self._command_ids: Tuple[str, ...] = ()  # of the evaluations without and with the remedy
        model.changed.connect(self._on_topic)

    @property
    def is_busy(self) -> bool:
        """Whether a trial is in progress."""
        return self._remedy is not None

    def begin(self, tensor: str, remedy: Remedy) -> None:
        """Evaluate ``remedy`` for a tensor; a trial in progress is dropped."""
        assert self._model.book is not None, "there is a run"
        self._remedy, self._book = remedy, self._model.book
        changes = ((f"{tensor}.{remedy.setting}", remedy.value),)
        try:
            self._command_ids = tuple(self._model.send(EvaluateSettings(changed)) for changed in ((), changes))
        except QatvizError:
            self._finish(None)

    def cancel(self) -> None:
        """Drop the trial in progress; :attr:`done` is not emitted."""
        self._remedy = None

    def _on_topic(self, topic: str) -> None:
        if self._remedy is None:
            return
        if topic == RUN or (topic == SETTINGS and self._model.book != self._book) or self._model.ended:
            self._finish(None)
        elif topic in (TRIALS, STATE):
            self._finish_if_complete(self._remedy)

    def _finish_if_complete(self, remedy: Remedy) -> None:
        before, after = [self._model.trial_of(command_id) for command_id in self._command_ids]
        if before is None or after is None:
            return
        if before.result is None or after.result is None:  # dropped with its state
            self._finish(None)
            return
        scores = [result.scores["quantized"] for result in (before.result, after.result)]
        self._finish(TriedRemedy(*remedy, after.result.metric, *scores))

    def _finish(self, tried: Optional[TriedRemedy]) -> None:
        self._remedy = None
        self.done.emit(tried)
