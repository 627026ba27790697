"""Results that a run computes for panels while they are in view: sensitivities and predictions."""
# Apart from the model, which is large: it passes what the run sends.

import contextlib
from typing import Any, Callable, Dict, Optional, Set

from qatviz.analysis.predictions import PredictionFailure, Predictions
from qatviz.analysis.sensitivity import MeasuredSensitivity, Sensitivity, SensitivityProgress
from qatviz.errors import RunStateError
from qatviz.presentation.example_pictures import ExamplePictures
from qatviz.protocol.commands import Command, WatchPredictions, WatchSensitivity
from qatviz.telemetry.run_handle import RunHandle

#: Topics of the model that a run computes while they are watched, with the command that begins or ends it.
SENSITIVITY, PREDICTIONS = "sensitivity", "predictions"
_COMMANDS: Dict[str, Callable[[bool], Command]] = {SENSITIVITY: WatchSensitivity, PREDICTIONS: WatchPredictions}


class Watching:
    """Requests to runs to compute something while any panel needs it, and no longer.

    Parameters
    ----------
    send : callable
        Sends a command to the shown run.
    """

    def __init__(self, send: Callable[[Command], Any]):
        self._send = send
        self._watchers: Dict[str, Set[str]] = {topic: set() for topic in _COMMANDS}
        self._watched: Dict[str, Optional[RunHandle]] = dict.fromkeys(_COMMANDS)

    def forget_run(self) -> None:
        """Note that no run, or another one, is shown."""
        self._watched = dict.fromkeys(_COMMANDS)

    def watch(self, run: Optional[RunHandle], topic: str, watcher: str, is_on: bool) -> None:
        """Begin or end to watch ``run``, None if it has ended; ``watcher`` repeats its wish for another run."""
        watchers = self._watchers[topic]
        (watchers.add if is_on else watchers.discard)(watcher)
        run = run if watchers else None
        if run is not self._watched[topic]:
            self._watched[topic] = run
            with contextlib.suppress(RunStateError):  # it ends
                self._send(_COMMANDS[topic](run is not None))


class WatchedResults:
    """Part of the :class:`.run_model.RunModel`: the newest results.

    Attributes
    ----------
    sensitivity : Sensitivity or None
        The newest estimate.
    measured_sensitivity : MeasuredSensitivity or None
        The newest measurement.
    sensitivity_progress : SensitivityProgress or None
        That of the measurement in progress, or of the last one if it was cancelled or has failed.
    predictions : Predictions or None
        The newest predictions of held-out examples.
    prediction_failure : str
        Reason why there are no newer ones; empty if there was no failure.
    example_pictures : ExamplePictures or None
        Pictures of the first held-out examples, once a panel has requested them.
    """

    def _clear_results(self) -> None:
        self.sensitivity: Optional[Sensitivity] = None
        self.measured_sensitivity: Optional[MeasuredSensitivity] = None
        self.sensitivity_progress: Optional[SensitivityProgress] = None
        self.predictions: Optional[Predictions] = None
        self.prediction_failure = ""
        self.example_pictures: Optional[ExamplePictures] = None

    def _keep_result(self, item: Any) -> str:
        """Keep a result; return its topic, or an empty text if it is anything else."""
        if isinstance(item, Sensitivity):
            self.sensitivity = item
        elif isinstance(item, MeasuredSensitivity):
            self.measured_sensitivity, self.sensitivity_progress = item, None
        elif isinstance(item, SensitivityProgress):
            self.sensitivity_progress = item
        else:
            return self._keep_predictions(item)
        return SENSITIVITY

    def _keep_predictions(self, item: Any) -> str:
        if isinstance(item, Predictions):
            self.predictions, self.prediction_failure = item, ""
        elif isinstance(item, PredictionFailure):
            self.prediction_failure = item.message
        elif isinstance(item, ExamplePictures):
            self.example_pictures = item
        else:
            return ""
        return PREDICTIONS

    def _drop_results_after(self, step: float) -> None:
        """Drop results of abandoned states."""
        if self.sensitivity is not None and self.sensitivity.step > step:
            self.sensitivity = None
        if self.measured_sensitivity is not None and self.measured_sensitivity.step > step:
            self.measured_sensitivity = None
        if self.predictions is not None and self.predictions.step > step:
            self.predictions = None
