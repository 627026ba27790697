"""The metric on held-out data, four ways, a small piece at a time, so that training and commands go on meanwhile."""

import time
from typing import Dict, Iterator, Optional

import numpy as np

from qatviz.metric import WAYS, Metric
from qatviz.network.graph import Network
from qatviz.protocol.events import Evaluated
from qatviz.training.graph import TrainingGraph

#: Whether weights and activations are quantized in each evaluation.
EVALUATIONS = dict(zip(WAYS, ((False, False), (True, False), (False, True), (True, True))))
#: Examples of a piece, and their multiplications, at most: few enough for a command to wait no longer than for some
#: steps, of a large network a third of a second.
LARGEST_PIECE, _PIECE_MACS = 128, 2 * 10**9


def piece_size(network: Network) -> int:
    """How many examples are evaluated at a time; the same for a network wherever it runs."""
    return max(1, min(LARGEST_PIECE, _PIECE_MACS // max(network.macs, 1)))


class Evaluation:
    """One evaluation of the state that was published when it was made.

    Each :meth:`advance` runs one piece, of :func:`piece_size` examples.
    """

    def __init__(self, graph: TrainingGraph, metric: Metric, num_examples: int, step: int):
        self._graph, self._metric, self._num_examples, self._step = graph, metric, num_examples, step
        self._piece, self._seconds = piece_size(graph.network), 0.0
        self._scores: Dict[str, float] = {}
        graph.publish()
        self._pieces = self._run()

    def advance(self) -> Optional[Evaluated]:
        """Run a piece; the result once all are done, else None."""
        started = time.perf_counter()
        done = next(self._pieces)
        self._seconds += time.perf_counter() - started
        if not done:
            return None
        return Evaluated(self._step, dict(self._scores), self._num_examples, self._seconds, self._metric.name)

    def _run(self) -> Iterator[bool]:
        last = list(EVALUATIONS)[-1]
        for name, (weights, activations) in EVALUATIONS.items():
            total = 0.0
            for start in range(0, self._num_examples, self._piece):
                end = min(start + self._piece, self._num_examples)
                total += self._graph.total_score(np.arange(start, end, dtype=np.int32), weights, activations)
                if end < self._num_examples:
                    yield False
            self._scores[name] = self._metric.of_mean(total / self._num_examples)
            yield name == last
