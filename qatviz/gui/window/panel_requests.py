"""Requests of panels for results on the shown run, which the launcher computes in the background."""

from functools import partial
from typing import Any, Callable, Optional, Tuple, Union

from PyQt5 import QtCore

from qatviz.analysis.drift import RunDrift
from qatviz.analysis.predictions import Predictions, RunPredictions
from qatviz.analysis.sensitivity import RunSensitivity
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
        self._process = window.model.process
        self._evaluated_book: Optional[SettingsBook] = None
        self._connect_evaluations()
        self._connect_analyses()

    def _connect_evaluations(self) -> None:
        launcher, budget, what_if = self._launcher, self._panels["budget"], self._panels["quantization"].what_if
        what_if.wanted.connect(self._evaluate)
        what_if.cancelled.connect(launcher.cancel_evaluation)
        launcher.evaluation_progressed.connect(what_if.show_progress)
        launcher.evaluated.connect(self._on_evaluated)
        launcher.evaluation_failed.connect(what_if.fail)
        launcher.evaluation_failed.connect(budget.fail_trial)
        budget.trial_wanted.connect(self._evaluate_instead)
        budget.forks.wanted.connect(partial(self._request, launcher.read_forks))
        launcher.forks_read.connect(self._on_forks)
        budget.trial_cancelled.connect(launcher.cancel_evaluation)

    def _connect_analyses(self) -> None:
        launcher, sensitivity, drift = self._launcher, self._panels["sensitivity"], self._panels["drift"]
        channels, predictions = self._panels["channels"], self._panels["predictions"]
        sensitivity.wanted.connect(partial(self._request, launcher.find_sensitivity))
        sensitivity.cancelled.connect(launcher.cancel_sensitivity)
        launcher.sensitivity_progressed.connect(sensitivity.show_progress)
        launcher.sensitivity_found.connect(self._on_sensitivity)
        launcher.sensitivity_failed.connect(sensitivity.finish)
        drift.wanted.connect(partial(self._request, launcher.find_drift))
        drift.cancelled.connect(launcher.cancel_drift)
        launcher.drift_found.connect(self._on_drift)
        launcher.drift_failed.connect(drift.finish)
        channels.wanted.connect(partial(self._request, launcher.find_channels))
        channels.cancelled.connect(launcher.cancel_channels)
        launcher.channels_found.connect(lambda found: self._process([found]))
        launcher.channels_failed.connect(channels.finish)
        predictions.wanted.connect(partial(self._request, launcher.predict))
        predictions.past_wanted.connect(partial(self._request, launcher.predict_past))
        predictions.cancelled.connect(launcher.cancel_predictions)
        predictions.pictures_wanted.connect(partial(self._request, launcher.read_examples))
        launcher.predictions_progressed.connect(predictions.show_progress)
        launcher.predictions_found.connect(self._on_predictions)
        launcher.predictions_failed.connect(predictions.finish)
        launcher.examples_read.connect(lambda pictures: self._process([pictures]))

    def _request(self, work: Callable[..., None], *given: Any) -> None:
        """Begin a work of the launcher on the shown run."""
        run = self._window.model.run
        assert run is not None, "a panel asks about a run"
        work(run, self._window.directory, *given)

    def _evaluate(self, book: SettingsBook) -> None:
        self._evaluated_book = book
        self._request(self._launcher.evaluate, book)

    def _evaluate_instead(self, book: SettingsBook) -> None:
        self._panels["quantization"].what_if.cancel()  # one evaluation at a time
        self._evaluate(book)

    def _on_evaluated(self, result: events.Evaluated) -> None:
        self._panels["quantization"].what_if.finish(result)
        if self._evaluated_book is not None:
            self._process([SettingsEvaluated(self._evaluated_book, result)])

    def _on_forks(self, directory: str, found: Tuple[ForkEvaluation, ...]) -> None:
        if directory == self._window.directory:
            self._window.model.show_forks(found)

    def _on_sensitivity(self, found: RunSensitivity) -> None:
        self._panels["sensitivity"].finish()
        self._process([found.estimated, *([] if found.measured is None else [found.measured])])

    def _on_drift(self, found: RunDrift) -> None:
        self._process([found.drift, *([] if found.maps is None else [found.maps])])

    def _on_predictions(self, found: Union[Predictions, RunPredictions]) -> None:
        self._panels["predictions"].finish()
        self._process([found])
