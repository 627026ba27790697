"""Construction of the copies of a run's network: only the plain training copy is built before the first training step.

The evaluation copy is built when it is used for the first time, after that step in a run, and the training copy with
methods while the run trains.
"""

import contextlib
import time
from typing import Iterator, Optional

import tensorflow.compat.v1 as tf

from qatviz.training.background_graph import BackgroundBuild
from qatviz.training.building import quick_building
from qatviz.training.evaluation_copy import EvaluationCopy
from qatviz.training.graph_parts import GraphParts, TrainingParts
from qatviz.training.training_copy import TrainingCopy, Variant

#: Seconds from the first training step to the construction of the copy with methods, so that it does not delay the
#: first curves and histograms of a run, and a short run does not build it.
DELAY_S = 1.0
#: Seconds from the first training step after which steps that need no samples run without the operations that take
#: them: TensorFlow has to prepare this variant of the step, which takes longer than a short run would gain.
UNSAMPLED_AFTER_S = 5.0


class GraphCopies:
    """Copies of a network in the default graph; with towers, the only training copy is the one with methods.

    Parameters
    ----------
    parts : GraphParts
    training : TrainingParts
    device : str
        Device of the operations that are built later, as of those built at once.

    Attributes
    ----------
    first : TrainingCopy
        The copy that is built at once: the plain one or, with towers, the one with methods.
    """

    def __init__(self, parts: GraphParts, training: TrainingParts, device: str):
        self._parts, self._training, self._device = parts, training, device
        self.first = TrainingCopy(parts, training, has_methods=bool(parts.towers))
        self._graph = tf.get_default_graph()
        self._evaluation: Optional[EvaluationCopy] = None
        self._methods: Optional[BackgroundBuild[TrainingCopy]] = None
        self._began_at: Optional[float] = None
        self._sample_interval = self.first.sample_interval if training.telemetry else 1
        if parts.towers:
            self._build_evaluation().build_oscillation()
            self._graph.finalize()
        else:
            self._methods = BackgroundBuild(self._build_methods, "qatviz-methods")

    @property
    def evaluation(self) -> EvaluationCopy:
        """The evaluation copy, which the first request builds unless the copy with methods has been built."""
        if self._evaluation is None:
            self.wait()  # the thread that builds the copy with methods builds this one, too
        if self._evaluation is None:
            with self._building():
                self._build_evaluation()
        assert self._evaluation is not None
        return self._evaluation

    @property
    def has_evaluation(self) -> bool:
        """True if the evaluation copy has been built."""
        return self._evaluation is not None

    def of(self, variant: Variant) -> TrainingCopy:
        """Return the copy for steps of ``variant``; begin to build it if necessary, and wait until it is built."""
        if not variant.has_methods or self._methods is None:
            return self.first
        self._methods.begin()
        return self._methods.get()

    def at_step(self, variant: Variant, step: int) -> Variant:
        """Return the variant of training step ``step``, which may do without the samples of ``variant``.

        The copy with methods begins to be built if the first call was `DELAY_S` ago.
        """
        now = time.monotonic()
        if self._began_at is None:
            self._began_at = now
        seconds = now - self._began_at
        if seconds >= DELAY_S and self._methods is not None and not self._methods.has_begun:
            self._methods.begin()
        is_sampled = step % self._sample_interval == 0 or seconds < UNSAMPLED_AFTER_S
        return variant if is_sampled else variant.without_samples()

    def wait(self) -> None:
        """Wait for the end of the construction of the copy with methods, if it has begun."""
        if self._methods is not None:
            self._methods.wait()

    def close(self) -> None:
        """Abort the construction of the copy with methods, if it is in progress, and wait for the end of its thread."""
        self._graph.finalize()  # the thread fails at the next operation that it would add
        self.wait()

    @contextlib.contextmanager
    def _building(self) -> Iterator[None]:
        """Context in which operations are added to the graph after those of the constructor."""
        with self._graph.as_default(), tf.device(self._device), quick_building():
            yield

    def _build_evaluation(self) -> EvaluationCopy:
        with tf.name_scope("evaluation"):
            self._evaluation = EvaluationCopy(self._parts)
        return self._evaluation

    def _build_methods(self) -> TrainingCopy:
        with self._building():
            with tf.name_scope("methods"):
                copy = TrainingCopy(self._parts, self._training, has_methods=True)
            evaluation = self._evaluation or self._build_evaluation()
            evaluation.build_oscillation()
        self._graph.finalize()
        return copy
