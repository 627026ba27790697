"""Evaluation of settings on one state of a run, without training."""
# Separate from qatviz.session.evaluation, which imports it only when an evaluation begins: it imports TensorFlow.

from dataclasses import replace
from typing import Optional

from qatviz.protocol.branches import BranchCursor
from qatviz.protocol.events import Event
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.settings_book import SettingsBook
from qatviz.training.building import graph_arguments
from qatviz.training.graph import TrainingGraph
from qatviz.training.live_run import LiveRun
from qatviz.training.measuring import Evaluation
from qatviz.training.predictions import PredictionJob
from qatviz.training.sensitivity_measuring import MeasuringJob


class StateEvaluator:
    """Graph of a run that is set to its ``spec.start`` for each evaluation; used by one thread at a time."""

    def __init__(self, spec: RunSpec):
        assert spec.start is not None, "settings are evaluated on a state"
        self._spec = spec
        self._graph = TrainingGraph(*graph_arguments(replace(spec, telemetry=False)))

    def begin(self, book: SettingsBook) -> Evaluation:
        """Return an evaluation of the state under ``book``, to be advanced to its end before the next one begins.

        The state adopts ``book`` as a run does between two training steps: the ranges of activations, which are
        averages over past batches, stay; those of weights follow the new settings.
        """
        live, spec = self._adopted(book), self._spec
        return Evaluation(self._graph, spec.metrics, len(spec.dataset.x_test), live.step, heads=spec.heads)

    def begin_measuring(self, book: SettingsBook) -> MeasuringJob:
        """Return a measurement of each tensor's effect on the state under ``book``, like :meth:`begin`."""
        live = self._adopted(book)
        return MeasuringJob(self._graph, self._spec, book, live.step)

    def begin_predictions(self, book: SettingsBook, at_most: Optional[int]) -> PredictionJob:
        """Return the predictions of the state under ``book`` for ``at_most`` examples, like :meth:`begin`."""
        live = self._adopted(book)
        return PredictionJob(self._graph, self._spec, live.step, at_most)

    def _adopted(self, book: SettingsBook) -> LiveRun:
        live = LiveRun(self._graph, self._spec, BranchCursor(), _ignore)
        if book != live.book:
            live.apply_settings(book)
        return live

    def close(self) -> None:
        self._graph.close()


def _ignore(event: Event) -> None:
    """Drop an event: nothing is recorded."""
