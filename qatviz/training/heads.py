"""Loss of all outputs of a network, which training minimizes, and the parts of their metrics."""

from typing import List, Optional, Sequence

import tensorflow.compat.v1 as tf

from qatviz.data import Dataset
from qatviz.data.example_weights import example_weights
from qatviz.heads import Head
from qatviz.losses import loss_for
from qatviz.network.graph import Network
from qatviz.network.plan import QuantizationPlan
from qatviz.protocol.run_spec import metrics_of
from qatviz.quant.live import LiveQuantizers
from qatviz.training.objective import OBJECTIVES
from qatviz.training.scoring import SCORINGS


class GraphHeads:
    """Losses and metrics of a network's outputs in the graph.

    Arguments and results that are sequences of tensors have one for each output, in order.

    Parameters
    ----------
    network : Network
    dataset : Dataset
        Data with targets for each output, see :func:`qatviz.data.heads.for_outputs`.
    heads : sequence of Head
        One for each output.
    """

    def __init__(self, network: Network, dataset: Dataset, heads: Sequence[Head]):
        self._outputs, self._heads = network.outputs, tuple(heads)
        self._objectives = [
            OBJECTIVES[loss_for(head.loss, data.task, shape[-1])]
            for head, data, shape in zip(heads, dataset.heads, network.output_shapes)
        ]
        place = {head.output: index for index, head in enumerate(heads)}
        #: Index of the output and computation of each metric of evaluations.
        self._scorings = [(place[each.output], SCORINGS[each.metric.name]) for each in metrics_of(heads, dataset)]

    def loss(
        self,
        outputs: Sequence[tf.Tensor],
        labels: Sequence[tf.Tensor],
        label_smoothing: Optional[tf.Tensor] = None,
        weights: Sequence[Optional[tf.Tensor]] = (),
    ) -> tf.Tensor:
        """Return the loss of a batch, float32 scalar: the weighted sum over the outputs.

        ``label_smoothing``, and ``weights`` of each output, are those of
        :meth:`qatviz.training.objective.Objective.mean_loss`.
        """
        losses = [
            objective.mean_loss(output, own, label_smoothing, own_weights)
            for objective, output, own, own_weights in zip(
                self._objectives, outputs, labels, weights or [None] * len(self._objectives)
            )
        ]
        if len(losses) == 1:
            return losses[0]
        return tf.add_n([head.weight * loss for head, loss in zip(self._heads, losses)])

    def observe(self, quantizers: LiveQuantizers, plan: QuantizationPlan, labels: Sequence[tf.Tensor]) -> None:
        """Make the quantizers of outputs observe the targets, too, where :attr:`.Objective.observes_labels` is True."""
        for output, objective, own in zip(self._outputs, self._objectives, labels):
            if objective.observes_labels:
                quantizers.observe(plan.grid_of(output), own)

    def scores(self, outputs: Sequence[tf.Tensor], labels: Sequence[tf.Tensor]) -> List[tf.Tensor]:
        """Return the part of each metric, see :attr:`qatviz.training.scoring.Scoring.part`.

        With several outputs, there is one more: the mean losses of the examples, float32 ``[outputs]``.
        """
        parts = [scoring.part(outputs[index], labels[index]) for index, scoring in self._scorings]
        if len(self._objectives) == 1:
            return parts
        losses = [each.mean_loss(output, own) for each, output, own in zip(self._objectives, outputs, labels)]
        return [*parts, tf.stack(losses)]


def baseline_loss(heads: Sequence[Head], dataset: Dataset) -> float:
    """Return the weighted sum of :attr:`.Objective.baseline_loss` over the outputs.

    The losses of ``heads`` are names of :data:`qatviz.losses.LOSSES`, not "auto".
    """
    total = 0.0
    for head, data in zip(heads, dataset.heads):
        weights = example_weights(data, head.class_weights)
        loss = OBJECTIVES[head.loss].baseline_loss(data)
        total += head.weight * (loss if weights is None else loss * float(weights.mean()))
    return total
