"""Results that a run computes for panels while they are in view: sensitivities, predictions, errors."""
# Apart from the model, which is large: it passes what the run sends.

import contextlib
from typing import Any, Callable, Dict, Optional, Set, Tuple, Type, Union

from qatviz.analysis.channels import ChannelsOverview
from qatviz.analysis.drift import Drift, FeatureMaps
from qatviz.analysis.predictions import PredictionFailure, Predictions, RunPredictions
from qatviz.analysis.sensitivity import MeasuredSensitivity, Sensitivity, SensitivityProgress
from qatviz.errors import RunStateError
from qatviz.gui.model.kept_predictions import KeptPredictions
from qatviz.presentation.example_pictures import ExamplePictures
from qatviz.protocol.commands import Command, WatchChannels, WatchDrift, WatchPredictions, WatchSensitivity
from qatviz.protocol.corrections import CorrectionProgress
from qatviz.protocol.watch_failure import WatchFailure
from qatviz.telemetry.run_handle import RunHandle

#: Topics of the model that a run computes while they are watched, with the command that begins or ends it.
SENSITIVITY, PREDICTIONS, DRIFT, CHANNELS = "sensitivity", "predictions", "drift", "channels"
#: Topic of the progress of corrections.
CORRECTION = "correction"
_COMMANDS: Dict[str, Type[Union[WatchSensitivity, WatchPredictions, WatchDrift, WatchChannels]]] = {
    SENSITIVITY: WatchSensitivity,
    PREDICTIONS: WatchPredictions,
    DRIFT: WatchDrift,
    CHANNELS: WatchChannels,
}


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
        self._requests: Dict[str, Command] = {topic: command() for topic, command in _COMMANDS.items()}
        self._watched: Dict[str, Optional[Tuple[RunHandle, Command]]] = dict.fromkeys(_COMMANDS)

    def forget_run(self) -> None:
        """Note that no run, or another one, is shown."""
        self._watched = dict.fromkeys(_COMMANDS)

    def watch(
        self, run: Optional[RunHandle], topic: str, watcher: str, is_on: bool, request: Optional[Command] = None
    ) -> None:
        """Begin or end to watch ``run``, None if it has ended; ``watcher`` repeats its wish for another run.

        ``request`` is the command that requests it, if the watcher does not need the default.
        """
        watchers = self._watchers[topic]
        (watchers.add if is_on else watchers.discard)(watcher)
        self._requests[topic] = request or self._requests[topic]
        wanted = (run, self._requests[topic]) if run is not None and watchers else None
        if wanted != self._watched[topic]:
            self._watched[topic] = wanted
            with contextlib.suppress(RunStateError):  # it ends
                self._send(_COMMANDS[topic](False) if wanted is None else wanted[1])


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
    kept_predictions : KeptPredictions
        Predictions of the run's past states.
    prediction_failure : str
        Reason why there are no newer ones; empty if there was no failure.
    example_pictures : ExamplePictures or None
        Pictures of the first held-out examples, once a panel has requested them.
    drift : Drift or None
        The newest errors of all layers.
    feature_maps : FeatureMaps or None
        The newest output of a layer for one example.
    channels : ChannelsOverview or None
        The newest channels of all weights.
    correction : CorrectionProgress or None
        Progress of the correction; None if none is in progress.
    watch_failures : dict of str to str
        By topic: reason why there are no newer results; missing if there was no failure.
    """

    ended: bool  # declared for the mixin: whether the run can no longer train

    def _clear_results(self) -> None:
        self.kept_predictions = KeptPredictions()
        self.sensitivity: Optional[Sensitivity] = None
        self.measured_sensitivity: Optional[MeasuredSensitivity] = None
        self.sensitivity_progress: Optional[SensitivityProgress] = None
        self.predictions: Optional[Predictions] = None
        self.prediction_failure = ""
        self.example_pictures: Optional[ExamplePictures] = None
        self.drift: Optional[Drift] = None
        self.feature_maps: Optional[FeatureMaps] = None
        self.channels: Optional[ChannelsOverview] = None
        self.correction: Optional[CorrectionProgress] = None
        self.watch_failures: Dict[str, str] = {}

    def _keep_result(self, item: Any) -> str:
        """Keep a result; return its topic, or an empty text if it is anything else."""
        if isinstance(item, CorrectionProgress):
            self.correction = None if item.fraction is None else item
            return CORRECTION
        if isinstance(item, Sensitivity):
            self.sensitivity = item
        elif isinstance(item, MeasuredSensitivity):
            self.measured_sensitivity, self.sensitivity_progress = item, None
        elif isinstance(item, SensitivityProgress):
            self.sensitivity_progress = item
        else:
            return self._keep_predictions(item) or self._keep_errors(item)
        return SENSITIVITY

    def _keep_predictions(self, item: Any) -> str:
        if isinstance(item, Predictions):
            self.predictions, self.prediction_failure = item, ""
            if not self.ended:  # a run that has ended is also predicted under other settings
                self.kept_predictions.add(item)
        elif isinstance(item, RunPredictions):  # of a checkpoint
            self.kept_predictions.add(item.found)
        elif isinstance(item, PredictionFailure):
            self.prediction_failure = item.message
        elif isinstance(item, ExamplePictures):
            self.example_pictures = item
        else:
            return ""
        return PREDICTIONS

    def _keep_errors(self, item: Any) -> str:
        """Keep a drift, feature maps, channels, or the reason why there are none; return the topic."""
        topic = ""
        if isinstance(item, Drift):
            self.drift, topic = item, DRIFT
        elif isinstance(item, FeatureMaps):
            self.feature_maps, topic = item, DRIFT
        elif isinstance(item, ChannelsOverview):
            self.channels, topic = item, CHANNELS
        elif isinstance(item, WatchFailure):
            topic = next(topic for topic, command in _COMMANDS.items() if command.__name__ == item.command)
            self.watch_failures[topic] = item.message
            return topic
        self.watch_failures.pop(topic, None)
        return topic

    def _drop_results_after(self, step: float) -> None:
        """Drop results of abandoned states."""
        self.kept_predictions.drop_after(step)
        for name in ("sensitivity", "measured_sensitivity", "predictions", "drift", "feature_maps", "channels"):
            found = getattr(self, name)
            if found is not None and found.step > step:
                setattr(self, name, None)
