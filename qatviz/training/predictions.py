"""Predictions of held-out examples in float and quantized: of one state in pieces, and of a run that trains."""

from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.predictions import OutputPredictions, PredictionFailure, Predictions, predicted_classes
from qatviz.data import Dataset
from qatviz.number_format import shape_text
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.settings_book import SettingsBook
from qatviz.task import REGRESSION, SEGMENTATION
from qatviz.training.graph import TrainingGraph
from qatviz.training.live_run import LiveRun
from qatviz.training.piece_pace import PiecePace
from qatviz.training.pieces import PiecewiseJob, piece_size

#: Largest number of held-out examples that a window shows, always the first ones.
LARGEST_EXAMPLES = 2000
#: Largest number of values of the outputs of one network, which limits the examples: 64 MB of logits.
_LARGEST_VALUES = 16 * 10**6
#: Both networks: whether weights and activations are quantized.
_NETWORKS = (False, True)


def number_predicted(spec: RunSpec, at_most: Optional[int] = LARGEST_EXAMPLES) -> int:
    """Return the number of held-out examples that are predicted: ``at_most`` (None: all), and as memory allows."""
    values = sum(_values_kept(data) for data in spec.dataset.heads)
    number = min(len(spec.dataset.x_test), max(1, _LARGEST_VALUES // max(values, 1)))
    return number if at_most is None else min(number, at_most)


class PredictionJob(PiecewiseJob[Predictions]):
    """Predictions of the state that a graph has at its construction, in pieces between which training continues.

    Parameters
    ----------
    graph : TrainingGraph
    spec : RunSpec
    step : int
        Number of training steps complete.
    at_most : int, optional
        Largest number of held-out examples; None for all.
    is_shared : callable
        Returns whether the state that is published now is needed after a piece: it is published again then.
    """

    def __init__(
        self,
        graph: TrainingGraph,
        spec: RunSpec,
        step: int,
        at_most: Optional[int] = LARGEST_EXAMPLES,
        is_shared: Callable[[], bool] = lambda: False,
    ):
        self._graph, self._spec, self._step, self._is_shared = graph, spec, step, is_shared
        self._num_examples, self._piece = number_predicted(spec, at_most), piece_size(spec.network)
        super().__init__(len(_NETWORKS) * -(-self._num_examples // self._piece))
        self._state = self._capture()

    def advance(self) -> Optional[Predictions]:
        """Run a piece; return the result after the last one, otherwise None."""
        before = self._published() if self._is_shared() else None
        self._graph.republish(*self._state)
        try:
            return super().advance()
        finally:
            if before is not None:
                self._graph.republish(*before)

    def _capture(self) -> List[np.ndarray]:
        """Return the present state in the form of published ones."""
        before = self._published() if self._is_shared() else None
        self._graph.publish()
        state = self._published()
        if before is not None:
            self._graph.republish(*before)
        return state

    def _published(self) -> List[np.ndarray]:
        # Copied: an array that TensorFlow fetches can share its memory with a variable on the CPU.
        return [np.array(array) for array in self._graph.read_published()]

    def _compute(self) -> Iterator[None]:
        found: List[List[np.ndarray]] = []
        for is_quantized in _NETWORKS:
            parts: List[List[np.ndarray]] = []
            for start in range(0, self._num_examples, self._piece):
                if parts:
                    yield
                indices = np.arange(start, min(start + self._piece, self._num_examples), dtype=np.int32)
                _, _, outputs = self._graph.measure_part(indices, is_quantized)
                parts.append([_kept(output, data) for output, data in zip(outputs, self._spec.dataset.heads)])
            found.append([np.concatenate(pieces) for pieces in zip(*parts)])
            if is_quantized:
                self._result = self._whole(*found)
            yield

    def _whole(self, in_float: Sequence[np.ndarray], quantized: Sequence[np.ndarray]) -> Predictions:
        data = self._spec.dataset
        names = self._spec.network.output_names if data.further else ("",)
        outputs = tuple(map(self._of_output, names, data.heads, in_float, quantized))
        return Predictions(self._step, self._num_examples, len(data.x_test), outputs)

    def _of_output(self, name: str, data: Dataset, *both: np.ndarray) -> OutputPredictions:
        refusal = _refusal(data)
        targets = data.y_test[: 0 if refusal else self._num_examples]
        return OutputPredictions(name, data.task, data.class_names, both[0], both[1], np.array(targets), refusal)


class PredictionUpdates:
    """Predictions of a live run, computed in pieces between training steps.

    While they are watched, they follow evaluations and changes of settings; of a paused run, any change of its state.
    The user waits for the first ones, those after a change of settings, and those that were requested.

    Parameters
    ----------
    live : LiveRun
    spec : RunSpec
    put : callable
        Called with each Predictions and PredictionFailure.
    is_shared : callable
        As of :class:`PredictionJob`.
    """

    def __init__(self, live: LiveRun, spec: RunSpec, put: Callable[[Any], None], is_shared: Callable[[], bool]):
        self._live, self._spec, self._put, self._is_shared = live, spec, put, is_shared
        self._is_watched = self._is_requested = self._is_evaluated = False
        self._job: Optional[PredictionJob] = None
        self._job_of: Optional[Tuple[int, SettingsBook]] = None  # step and settings of the newest job
        self._is_waited_for = True
        self._pace = PiecePace()

    def watch(self, is_on: bool) -> None:
        """Begin or end to follow the run."""
        if is_on and not self._is_watched:
            self._is_requested = True  # a reader that has just come has none
        self._is_watched = is_on
        if not is_on:
            self._job, self._is_requested = None, False

    def request(self) -> None:
        """Predict the present state once."""
        self._is_requested = True

    def follow_evaluation(self) -> None:
        """Note that an evaluation is complete."""
        self._is_evaluated = True

    def restart(self) -> None:
        """Drop what is in progress, because the run was set to another state."""
        self._is_requested = self._is_requested or self._is_watched
        self._job = None

    def advance(self, is_idle: bool = False) -> bool:
        """Compute a piece if one is due; return whether it did. ``is_idle``: no training step waits."""
        if not self._pace.is_due(is_idle) or not self._is_due(is_idle):
            return False
        if self._job is None:
            is_first = self._job_of is None or self._job_of[1] != self._live.book
            self._is_waited_for = self._is_requested or is_first
        with self._pace.piece(self._is_waited_for, self._fail):
            self._advance()
        return True

    def _fail(self, message: str) -> None:
        self._is_watched, self._job = False, None
        self._put(PredictionFailure(self._live.step, message))

    def _is_due(self, is_idle: bool) -> bool:
        if self._job is not None or self._is_requested:
            return True
        if not self._is_watched:
            return False
        step, book = self._job_of or (-1, None)
        return self._is_evaluated or book != self._live.book or (is_idle and step != self._live.step)

    def _advance(self) -> None:
        live = self._live
        if self._job is None:
            self._is_requested = self._is_evaluated = False
            self._job_of = live.step, live.book
            self._job = PredictionJob(live.graph, self._spec, live.step, is_shared=self._is_shared)
        found = self._job.advance()
        if found is not None:
            self._job = None
            self._put(found)


def _refusal(data: Dataset) -> str:
    """Return the reason why predictions for the targets are not compared; empty if they are."""
    if data.task == REGRESSION and data.y_test.ndim > 2:
        shape = shape_text(data.y_test.shape[1:])
        return f"The targets are images of {shape}: examples are compared by class, by label or by a row of numbers."
    return ""


def _values_kept(data: Dataset) -> int:
    """Return the number of values of one network that are kept for an example."""
    if _refusal(data):
        return 0
    return int(np.prod(data.y_test.shape[1:])) if data.task == SEGMENTATION else data.num_outputs


def _kept(outputs: np.ndarray, data: Dataset) -> np.ndarray:
    """Return what is kept of the outputs of some examples, see :class:`.OutputPredictions`."""
    if _refusal(data):
        return np.zeros((0, 1), np.float32)
    if data.task == SEGMENTATION:
        return predicted_classes(outputs).astype(data.y_test.dtype)
    return np.array(outputs)
