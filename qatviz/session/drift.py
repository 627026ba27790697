"""Drift of a run that has ended or was recorded from its network in float, by layer. Nothing is recorded."""

import threading
from typing import TYPE_CHECKING, Optional

from qatviz.analysis.drift import Drift, DriftQuestion, FeatureMaps, RunDrift
from qatviz.errors import SettingError
from qatviz.export.progress import Progress
from qatviz.protocol.run_spec import RunSpec
from qatviz.session.checkpoints import evaluable_state
from qatviz.session.prepared import Notify, ignore
from qatviz.session.record_requests import DriftRequest

if TYPE_CHECKING:
    from qatviz.training.drift import DriftGraph


class DriftFinder:
    """Computes drifts of one state of a run; all share one graph.

    Thread-safe. TensorFlow is imported, and the graph built, by the first computation.

    Parameters
    ----------
    spec : RunSpec
        Its ``start`` is the state.
    """

    def __init__(self, spec: RunSpec):
        assert spec.start is not None, "the drift is that of a state"
        self.spec, self.state = spec, spec.start
        self._graph: Optional[DriftGraph] = None
        self._lock = threading.Lock()

    def find(self, question: DriftQuestion, progress: Optional[Progress] = None) -> RunDrift:
        """Return the drift on the examples of ``question``, and the feature maps that it asks for.

        Raises
        ------
        Cancelled
        QatvizError
            If the state does not match the network.
        """
        progress, maps = progress or Progress(), None
        with self._lock:
            if self._graph is None:
                progress.at("building the graph", 0.0)
                from qatviz.training.drift import DriftGraph  # imports TensorFlow

                self._graph = DriftGraph(self.spec)
            from qatviz.training.drift import DriftJob

            state = self.state
            job, result = DriftJob(self._graph, state.arrays, state.book, state.step, question), None
            while not isinstance(result, Drift):
                progress.at("computing", job.pieces_done / job.num_pieces)
                result = job.advance()
                maps = result if isinstance(result, FeatureMaps) else maps
        return RunDrift(state.name, result, maps)

    def close(self) -> None:
        """Release the graph, after the computation in progress."""
        with self._lock:
            if self._graph is not None:
                self._graph.close()
                self._graph = None


def drift_of_record(request: DriftRequest, notify: Notify = ignore, progress: Optional[Progress] = None) -> RunDrift:
    """Return the drift of a checkpoint of a recorded run.

    Raises
    ------
    RecordError
        If there is no run, its record is damaged, or there is no checkpoint.
    DataError
        If its data can't be read.
    SettingError
        If there are no such held-out examples.
    Cancelled
    """
    _, spec = evaluable_state(request.directory, request.checkpoint, request.data, notify)
    question, number = request.question, len(spec.dataset.x_test)
    if question.example is not None and not 0 <= question.example < number:
        raise SettingError.of_field("example", f"is {question.example}: expected 0 to {number - 1:,}")
    if question.examples < 1:
        raise SettingError.of_field("examples", f"is {question.examples}: expected at least 1")
    finder = DriftFinder(spec)
    try:
        return finder.find(question, progress)
    finally:
        finder.close()
