"""Drift of a run that has ended or was recorded from its network in float, by layer. Nothing is recorded."""

from typing import TYPE_CHECKING, Optional

from qatviz.analysis.drift import Drift, DriftQuestion, FeatureMaps, RunDrift, drift_start
from qatviz.errors import SettingError
from qatviz.export.progress import Progress
from qatviz.session.checkpoints import evaluable_state
from qatviz.session.prepared import Notify, ignore
from qatviz.session.record_requests import DriftRequest
from qatviz.session.state_work import StateWork

if TYPE_CHECKING:
    from qatviz.training.drift import DriftGraph


class DriftFinder(StateWork["DriftGraph"]):
    """Computes drifts of one state of a run."""

    def find(self, question: DriftQuestion, progress: Optional[Progress] = None) -> RunDrift:
        """Return the drift on the examples of ``question``, and the feature maps that it asks for.

        Raises
        ------
        Cancelled
        QatvizError
            If the state does not match the network.
        """
        progress, maps = progress or Progress(), None
        with self._in_use(progress) as graph:
            from qatviz.training.drift import DriftJob

            state = self.state
            job, result = DriftJob(graph, state.arrays, state.book, state.step, question), None
            while not isinstance(result, Drift):
                progress.at("computing", job.pieces_done / job.num_pieces)
                result = job.advance()
                maps = result if isinstance(result, FeatureMaps) else maps
        return RunDrift(state.name, result, maps)

    def _build(self) -> "DriftGraph":
        from qatviz.training.drift import DriftGraph  # imports TensorFlow

        return DriftGraph(self.spec)


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
        found = finder.find(question, progress)
        largest = drift_start(found.drift).largest if request.with_maps and not question.layer else None
        if largest is None:
            return found
        shown = question.shown_example
        return found._replace(maps=finder.find(DriftQuestion(shown, 1, largest.layer, shown), progress).maps)
    finally:
        finder.close()
