"""Updates of the estimate for a chip: computed in the background after each change of quantizers."""

from typing import Any, NamedTuple, Optional, Tuple

from PyQt5 import QtCore

from qatviz.analysis.chip.estimate import ChipEstimate, estimate
from qatviz.analysis.chip.graph import ChipGraph
from qatviz.analysis.chip.targets import Target, target
from qatviz.errors import ExportError, QatvizError, SettingError
from qatviz.gui.model.check_worker import CheckWorker
from qatviz.gui.model.launcher import Launcher
from qatviz.gui.model.run_model import RUN, SETTINGS, STEPS, RunModel
from qatviz.network.graph import Network
from qatviz.number_format import count
from qatviz.protocol.settings_book import SettingsBook
from qatviz.telemetry.run_handle import BUILDING, NEW, RUNNING

#: Time without further changes after which the estimate is computed again.
SETTLING_MS = 250
_KEY_TARGET, _KEY_MHZ = "chip/target", "chip/mhz"


class _Question(NamedTuple):
    """Network and settings, and the target."""

    network: Network
    book: SettingsBook
    target: Target


class ChipUpdates(QtCore.QObject):
    """Owner of the chosen target, which is remembered; it keeps ``model.chip`` up to date.

    Attributes
    ----------
    target : Target
    """

    def __init__(
        self, model: RunModel, launcher: Launcher, settings: QtCore.QSettings, parent: Optional[QtCore.QObject] = None
    ):
        super().__init__(parent)
        self._model, self._launcher, self._settings = model, launcher, settings
        self.target = _remembered(settings)
        self._shown: Optional[Tuple[Any, ...]] = None
        self._has_stepped = False  # the run reported a step since it is shown
        #: The newest graph, and what it is of.
        self._graph: Optional[Tuple[Network, Tuple[Any, ...], ChipGraph]] = None
        self._worker = CheckWorker(self._found, self)
        self._worker.answered.connect(self._on_answered)
        self._worker.failed.connect(self._on_failed)
        self._soon = QtCore.QTimer(self, singleShot=True, interval=SETTLING_MS)
        self._soon.timeout.connect(self._ask)
        model.changed.connect(self._on_topic)

    def choose(self, chosen: Target) -> None:
        """Estimate for another target from now on."""
        if chosen == self.target:
            return
        self.target = chosen
        self._settings.setValue(_KEY_TARGET, chosen.key)
        self._settings.setValue(_KEY_MHZ, chosen.mhz)
        self._soon.start(0)

    @property
    def is_settled(self) -> bool:
        """True if no estimate is due or in progress."""
        return not self._soon.isActive() and not self._worker.is_busy

    def stop(self) -> None:
        """Drop the work in progress."""
        self._soon.stop()
        self._worker.forget()

    def _on_topic(self, topic: str) -> None:
        if topic == RUN:
            self.stop()
            self._shown, self._has_stepped = None, False
        if topic == STEPS:
            self._has_stepped = True
        if topic in (RUN, SETTINGS) and self._model.book is not None:
            self._soon.start(SETTLING_MS)

    def _ask(self) -> None:
        network, book = self._model.network, self._model.book
        if network is None or book is None:
            return
        if not self._has_stepped and self._model.state in (NEW, BUILDING, RUNNING):
            self._soon.start(SETTLING_MS)  # the estimate would delay the first training step
            return
        wanted = (network, book.quantizers, self.target)
        if wanted != self._shown:
            self._shown = wanted
            self._worker.ask(_Question(network, book, self.target))

    def _found(self, question: _Question) -> ChipEstimate:
        """Return the estimate; called on another thread."""
        known, kept = question.book.quantizers, self._graph
        if kept is None or kept[0] is not question.network or kept[1] != known:
            graph = self._launcher.chip_graph(question.network, question.book)
            self._graph = kept = (question.network, known, graph)
        return estimate(kept[2], question.target)

    def _on_answered(self, question: _Question, found: ChipEstimate) -> None:
        if question.network is self._model.network:
            self._model.set_chip(found)

    def _on_failed(self, question: _Question, problem: QatvizError) -> None:
        if question.network is self._model.network:
            self._model.set_chip(None, _reason(problem))


def _reason(problem: QatvizError) -> str:
    """Return a reason that fits into the panel: of many refusals, the first one."""
    if not isinstance(problem, ExportError) or not problem.refusals:
        return str(problem)
    first, *others = problem.refusals
    more = f" (and {count(len(others), 'other reason')})" if others else ""
    return f"TFLite Micro does not support these settings: {first.reason}{more}"


def _remembered(settings: QtCore.QSettings) -> Target:
    """Return the remembered target, or the default."""
    try:
        return target(settings.value(_KEY_TARGET, "", str), "", max(0.0, settings.value(_KEY_MHZ, 0.0, float)))
    except (SettingError, TypeError):  # edited, or written by another version
        return target()
