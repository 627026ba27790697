"""Construction of a run's two training copies: the plain one at once, the one with methods while the run trains."""

import time
from typing import Callable, Optional

import tensorflow.compat.v1 as tf

from qatviz.training.background_graph import BackgroundBuild
from qatviz.training.building import quick_building
from qatviz.training.graph_parts import GraphParts, TrainingParts
from qatviz.training.training_copy import TrainingCopy, Variant

#: Seconds from the first training step to the construction of the copy with methods, so that it does not delay the
#: first curves and histograms of a run, and a short run does not build it.
DELAY_S = 1.0
#: Seconds from the first training step after which steps that need no samples run without the operations that take
#: them: TensorFlow has to prepare this variant of the step, which takes longer than a short run would gain.
UNSAMPLED_AFTER_S = 5.0


class TrainingCopies:
    """Training copies in the default graph; with towers, there is only the one with methods.

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
        self._graph: Optional[tf.Graph] = None
        self._build_others: Callable[[], None] = lambda: None
        self._methods: Optional[BackgroundBuild[TrainingCopy]] = None
        self._began_at: Optional[float] = None
        self._sample_interval = self.first.sample_interval if training.telemetry else 1

    def finish(self, graph: tf.Graph, build_others: Callable[[], None]) -> None:
        """End the construction of ``graph``, all of whose other operations must have been built.

        It is finalized now with towers, otherwise when the copy with methods has been built. ``build_others`` builds,
        with that copy, the operations outside of it that only methods need.
        """
        if self._parts.towers:
            build_others()
            graph.finalize()
        else:
            self._graph, self._build_others = graph, build_others
            self._methods = BackgroundBuild(self._build_methods, "qatviz-methods")

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
        if self._graph is not None:
            self._graph.finalize()  # the thread fails at the next operation that it would add
        self.wait()

    def _build_methods(self) -> TrainingCopy:
        assert self._graph is not None
        with self._graph.as_default(), tf.device(self._device), quick_building(), tf.name_scope("methods"):
            copy = TrainingCopy(self._parts, self._training, has_methods=True)
            self._build_others()
        self._graph.finalize()
        return copy
