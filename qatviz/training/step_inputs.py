"""Inputs of a training step: examples and labels from the graph's data, or an augmented batch in their place."""

from typing import Any, List, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.data.augmentation import augment_outputs
from qatviz.settings import RunSettings
from qatviz.training.graph_data import TRAIN, GraphData
from qatviz.training.heads import GraphHeads


class StepInputs:
    """Examples, and labels and weights for each output, of a training step.

    Augmented batches, computed in NumPy, are fed in place of what the graph would gather. Without augmentation, nothing
    is fed, and the graph gathers the examples ``indices`` itself.

    Parameters
    ----------
    data : GraphData
    indices : tf.Tensor
        int32 ``[batch]``: training examples of the step.
    has_ids : bool
        True if examples have ids, on which augmentation has no effect.
    can_mix : bool
        If False, batches can't be mixed (mixup), and nothing is built for that.

    Attributes
    ----------
    examples : tf.Tensor
        float32 ``[batch] + input shape``.
    labels : list of tf.Tensor
        Labels or targets for each output, see :meth:`qatviz.training.graph_data.GraphData.labels`.
    feeds : list of tf.Tensor
        Placeholders of the values that :meth:`augmented` returns.
    """

    def __init__(self, data: GraphData, indices: tf.Tensor, has_ids: bool = False, can_mix: bool = True):
        self._data, self._has_ids, self._can_mix = data, has_ids, can_mix
        self.examples = _replaceable(data.examples(TRAIN, indices), "examples")
        self.labels = [_replaceable(labels, "labels") for labels in data.labels(TRAIN, indices)]
        self._weights = data.weights(indices)
        self.feeds: List[tf.Tensor] = [self.examples, *self.labels]
        if can_mix:
            # Labels and weights of the examples with which mixup mixes those of the batch.
            self._second_labels = [_replaceable(labels, "second_labels") for labels in self.labels]
            second_indices = _replaceable(indices, "second_indices")
            self._second_weights = data.weights(second_indices)
            self._weight = tf.placeholder_with_default(1.0, [], "share")
            self.feeds += [*self._second_labels, second_indices, self._weight]

    def augmented(self, indices: np.ndarray, step: int, run: RunSettings, seed: int) -> Tuple[Any, ...]:
        """Return the values of :attr:`feeds` for a training step; `DataError` if the examples can't be read."""
        return augmented_batch(self._data, self._has_ids, indices, step, run, seed)[: len(self.feeds)]

    def loss(
        self, heads: GraphHeads, outputs: Sequence[tf.Tensor], label_smoothing: tf.Tensor
    ) -> Tuple[tf.Tensor, List[tf.Tensor]]:
        """Return the loss of the batch, float32 scalar; of a mixed one, the mixture of the losses of both labels.

        The second result is that of :meth:`.GraphHeads.reported`.
        """
        losses = self.losses(heads, outputs, label_smoothing)
        return heads.total(losses), heads.reported(losses)

    def losses(self, heads: GraphHeads, outputs: Sequence[tf.Tensor], label_smoothing: tf.Tensor) -> List[tf.Tensor]:
        """Return the loss of each output, as :meth:`loss` does, float32 scalars."""

        def plain() -> List[tf.Tensor]:
            return heads.losses(outputs, self.labels, label_smoothing, self._weights)

        def mixed() -> List[tf.Tensor]:
            second = heads.losses(outputs, self._second_labels, label_smoothing, self._second_weights)
            return [self._weight * own + (1.0 - self._weight) * other for own, other in zip(plain(), second)]

        return list(tf.cond(self._weight < 1.0, mixed, plain, strict=True)) if self._can_mix else plain()


def augmented_batch(
    data: GraphData, has_ids: bool, indices: np.ndarray, step: int, run: RunSettings, seed: int
) -> Tuple[Any, ...]:
    """Return the values of :attr:`StepInputs.feeds` for an augmented batch.

    They are the examples, their labels, labels and indices of the examples that are mixed into them, and the weight of
    the former in the mixture.

    Raises
    ------
    DataError
        If the examples can't be read.
    """
    examples, labels = data.batch(indices)
    if has_ids:
        return (examples, *labels, *labels, indices, 1.0)
    batch = augment_outputs(examples, labels, run, seed, step)
    second = [own[batch.order] for own in batch.targets]
    return (batch.examples, *batch.targets, *second, indices[batch.order], batch.weight)


def _replaceable(value: tf.Tensor, name: str) -> tf.Tensor:
    """Return a tensor with this value unless another one is fed."""
    return tf.placeholder_with_default(value, value.shape, name)
