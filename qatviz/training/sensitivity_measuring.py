"""Measurement of what the quantization of each tensor costs: with only this tensor quantized, and with all but this."""

from typing import Any, Iterator, List, Sequence

import numpy as np

from qatviz.analysis.sensitivity import Measured, MeasuredSensitivity, divergence
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.settings_book import SettingsBook
from qatviz.training.graph import TrainingGraph
from qatviz.training.pieces import PiecewiseJob, piece_size
from qatviz.training.scoring import scores_of

#: Largest number of held-out examples, always the first ones.
LARGEST_EXAMPLES = 1000


class MeasuringJob(PiecewiseJob[MeasuredSensitivity]):
    """Measurement of the state that a graph has at its construction, in pieces between which training continues.

    Parameters
    ----------
    graph : TrainingGraph
        Others may publish states between two pieces, if they call :meth:`interrupt`.
    spec : RunSpec
    book : SettingsBook
        Settings in effect.
    step : int
        Number of training steps complete.
    """

    def __init__(self, graph: TrainingGraph, spec: RunSpec, book: SettingsBook, step: int):
        self._graph, self._spec, self._step = graph, spec, step
        self._num_examples = min(LARGEST_EXAMPLES, len(spec.dataset.x_test))
        self._piece = piece_size(spec.network)
        active = np.array([settings.is_active(step) for settings in book.quantizers], bool)
        only = np.eye(len(active), dtype=bool)[active]
        self._tensors = tuple(
            spec.plan.tensors[members[0]].name for members, is_on in zip(spec.plan.groups, active) if is_on
        )
        #: Groups that are quantized in each measurement.
        self._cases = [np.zeros_like(active), active, *only, *(active & ~only)]
        graph.publish()
        # Copied: an array that TensorFlow fetches can share its memory with a variable on the CPU.
        self._state = [np.array(array) for array in graph.read_published()]
        self._is_published = True
        super().__init__(len(self._cases) * -(-self._num_examples // self._piece))

    def interrupt(self) -> None:
        """Note that another state was published, which the next piece replaces."""
        self._is_published = False

    def _compute(self) -> Iterator[None]:
        reference: List[np.ndarray] = []
        found: List[Measured] = []
        for number, enabled in enumerate(self._cases):
            parts: List[Any] = []
            for start in range(0, self._num_examples, self._piece):
                if not (self._is_published and parts):
                    self._publish(enabled)
                indices = np.arange(start, min(start + self._piece, self._num_examples), dtype=np.int32)
                parts.append((len(indices), *self._graph.measure_part(indices)))
                if start + self._piece < self._num_examples:
                    yield
            outputs = [np.concatenate(pieces) for pieces in zip(*(part[-1] for part in parts))]
            reference = outputs if number == 0 else reference
            found.append(self._measured(parts, reference, outputs))
            if number == len(self._cases) - 1:
                self._result = self._whole(found)
            yield

    def _publish(self, enabled: np.ndarray) -> None:
        if not self._is_published:
            self._graph.republish(*self._state)
            self._is_published = True
        self._graph.enable_published(enabled)

    def _measured(
        self, parts: Sequence[Any], reference: Sequence[np.ndarray], outputs: Sequence[np.ndarray]
    ) -> Measured:
        counts = [count for count, *_ in parts]
        metric = self._spec.metrics[0].metric
        score, _ = scores_of(metric, [np.array(scores[0], np.float64) for _, scores, *_ in parts], self._num_examples)
        heads = zip(self._spec.all_heads, self._spec.dataset.heads, reference, outputs)
        difference = sum(head.weight * divergence(first, second, data.task) for head, data, first, second in heads)
        loss = float(np.average([loss for _, _, loss, _ in parts], weights=counts))
        return Measured(loss, float(difference), score)

    def _whole(self, found: Sequence[Measured]) -> MeasuredSensitivity:
        in_float, quantized, *others = found
        number = len(self._tensors)
        return MeasuredSensitivity(
            self._tensors,
            tuple(others[:number]),
            tuple(others[number:]),
            in_float,
            quantized,
            self._spec.metrics[0].metric.name,
            self._step,
            self._num_examples,
        )
