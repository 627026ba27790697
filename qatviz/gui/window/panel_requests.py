"""Requests of panels for results on the shown run, which the launcher computes in the background."""

from functools import partial
from typing import Any, Callable, Dict, Optional, Tuple, Union

from PyQt5 import QtCore

from qatviz.analysis.channels import ChannelsOverview
from qatviz.analysis.drift import RunDrift
from qatviz.analysis.predictions import Predictions, RunPredictions
from qatviz.analysis.sensitivity import RunSensitivity
from qatviz.gui.model.background_work import BackgroundWork
from qatviz.gui.model.launcher import EVALUATION, EXAMPLES, FORKS
from qatviz.gui.model.run_model import RUN
from qatviz.gui.model.watching import CHANNELS, DRIFT, PREDICTIONS, SENSITIVITY
from qatviz.gui.widgets.panel import Panel
from qatviz.gui.window.base import RunWindow
from qatviz.protocol import events
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.trials import ForkEvaluation, SettingsEvaluated


class PanelRequests(QtCore.QObject):
    """Connects the panels of a window with its launcher; results go to the model, as from a run.

    Parameters
    ----------
    window : RunWindow
    """

    def __init__(self, window: RunWindow):
        super().__init__(window)
        self._window, self._panels, self._launcher = window, window.panels, window.launcher
        self._evaluated_book: Optional[SettingsBook] = None
        launcher = self._launcher
        launcher.works[EVALUATION].found.connect(self._on_evaluated)
        launcher.works[FORKS].found.connect(self._on_forks)
        launcher.works[EXAMPLES].found.connect(lambda pictures: window.model.process([pictures]))
        launcher.works[EXAMPLES].failed.connect(window.show_failure)
        window.model.changed.connect(self._on_topic)
        request = self._request
        #: What begins the analysis of each panel that has one.
        self._analyses: Dict[str, Tuple[str, Callable[[Any], None]]] = {
            "sensitivity": (SENSITIVITY, partial(request, launcher.find_sensitivity)),
            "drift": (DRIFT, partial(request, launcher.find_drift)),
            "channels": (CHANNELS, lambda _: request(launcher.find_channels)),
            "predictions": (PREDICTIONS, self._predict),
        }
        self._panels.for_each(self._connect_panel)

    def _connect_panel(self, panel: Panel) -> None:
        """Connect a panel that was made."""
        if panel.name in self._analyses:
            kind, begin = self._analyses[panel.name]
            self._connect(kind, panel.work, begin)
            self._launcher.works[kind].found.connect(partial(self._on_found, panel.work))
        if panel.name == "predictions":
            panel.pictures_wanted.connect(partial(self._request, self._launcher.read_examples))
        elif panel.name == "quantization":
            self._connect(EVALUATION, panel.what_if, self._evaluate_settings)
        elif panel.name == "budget":
            self._connect_budget(panel)

    def _connect_budget(self, budget: Panel) -> None:
        launcher, evaluation = self._launcher, self._launcher.works[EVALUATION]
        budget.trials.wanted.connect(self._evaluate_bits)
        budget.trials.cancelled.connect(partial(launcher.cancel, EVALUATION))
        evaluation.progressed.connect(budget.trials.show_progress)
        evaluation.failed.connect(budget.trials.fail)
        budget.forks.wanted.connect(partial(self._request, launcher.read_forks))
        launcher.works[FORKS].failed.connect(budget.forks.fail)

    def _connect(self, kind: str, work: BackgroundWork, begin: Callable[[Any], None]) -> None:
        """Pass the requests of ``work`` to ``begin``, and its progress and failures back."""
        signals = self._launcher.works[kind]
        work.wanted.connect(begin)
        work.cancelled.connect(partial(self._launcher.cancel, kind))
        signals.progressed.connect(work.show_progress)
        signals.failed.connect(work.fail)

    def _request(self, begin: Callable[..., None], *given: Any) -> None:
        """Begin a work of the launcher on the shown run."""
        run = self._window.model.run
        assert run is not None, "a panel asks about a run"
        begin(run, self._window.directory, *given)

    def _predict(self, question: Union[SettingsBook, str]) -> None:
        """Predict under settings, or in the state of the checkpoint of this name."""
        if isinstance(question, str):
            self._request(self._launcher.predict_past, question)
        else:
            self._request(self._launcher.predict, question)

    def _evaluate(self, book: SettingsBook) -> None:
        self._evaluated_book = book
        self._request(self._launcher.evaluate, book)

    # One evaluation is in progress at a time: a panel's request ends that of the other panel.

    def _evaluate_settings(self, book: SettingsBook) -> None:
        for budget in self._panels.among("budget"):
            budget.trials.fail("other settings are evaluated instead")
        self._evaluate(book)

    def _evaluate_bits(self, book: SettingsBook) -> None:
        self._panels["quantization"].what_if.cancel()
        self._evaluate(book)

    def _on_evaluated(self, result: events.Evaluated) -> None:
        self._panels["quantization"].what_if.show_result(result)
        if self._evaluated_book is not None:
            self._window.model.process([SettingsEvaluated(self._evaluated_book, result)])

    def _on_forks(self, read: Tuple[str, Tuple[ForkEvaluation, ...]]) -> None:
        directory, found = read
        if directory == self._window.directory:
            self._window.model.show_forks(found)

    def _on_found(self, work: BackgroundWork, result: Any) -> None:
        work.finish()
        self._window.model.process(_parts(result))

    def _on_topic(self, topic: str) -> None:
        if topic == RUN:
            self._launcher.cancel(EXAMPLES)


def _parts(result: Union[RunSensitivity, RunDrift, ChannelsOverview, Predictions, RunPredictions]) -> Tuple[Any, ...]:
    """Return a result of the launcher as the separate results that a run in progress sends."""
    if isinstance(result, RunSensitivity):
        parts: Tuple[Any, ...] = (result.estimated, result.measured)
    elif isinstance(result, RunDrift):
        parts = (result.drift, result.maps)
    else:
        parts = (result,)
    return tuple(part for part in parts if part is not None)
