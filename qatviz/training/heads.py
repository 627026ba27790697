"""Losses and scores of a network's outputs: the weighted sum that training minimizes, and the parts of metrics."""

from typing import List, Optional, Sequence

import tensorflow.compat.v1 as tf

from qatviz.data import Dataset
from qatviz.heads import Head
from qatviz.losses import loss_for
from qatviz.network.graph import Network
from qatviz.network.plan import QuantizationPlan
from qatviz.protocol.run_spec import metrics_of
from qatviz.quant.live import LiveQuantizers
from qatviz.training.objective import OBJECTIVES
from qatviz.training.scoring import SCORINGS


class GraphHeads:
    """What the outputs of a network learn, in the order of the outputs.

    Parameters
    ----------
    network : Network
    dataset : Dataset
        Data for the outputs, see :func:`qatviz.data.heads.for_outputs`.
    heads : sequence of Head
        Of each output.
    """

    def __init__(self, network: Network, dataset: Dataset, heads: Sequence[Head]):
        self._outputs, self._heads = network.outputs, tuple(heads)
        choices = zip(heads, dataset.heads, network.output_shapes)
        self._objectives = [OBJECTIVES[loss_for(head.loss, own.task, shape[-1])] for head, own, shape in choices]
        place = {head.output: index for index, head in enumerate(heads)}
        #: Computation of each metric of evaluations, with the index of its output.
        self._scorings = [(place[each.output], SCORINGS[each.metric.name]) for each in metrics_of(heads, dataset)]

    def loss(
        self,
        outputs: Sequence[tf.Tensor],
        labels: Sequence[tf.Tensor],
        label_smoothing: Optional[tf.Tensor] = None,
        weights: Optional[tf.Tensor] = None,
    ) -> tf.Tensor:
        """Return the loss of a batch, float32 scalar: the weighted sum over the outputs.

        ``label_smoothing`` and ``weights`` are those of :meth:`qatviz.training.objective.Objective.mean_loss`; without
        them, the loss is that of the labels as they are.
        """
        losses = [
            tf.reduce_mean(objective.loss(output, own))
            if label_smoothing is None
            else objective.mean_loss(output, own, label_smoothing, weights)
            for objective, output, own in zip(self._objectives, outputs, labels)
        ]
        if len(losses) == 1:
            return losses[0]
        return tf.add_n([head.weight * loss for head, loss in zip(self._heads, losses)])

    def observe(self, quantizers: LiveQuantizers, plan: QuantizationPlan, labels: Sequence[tf.Tensor]) -> None:
        """Let the quantizers of outputs observe the targets, too, where their losses require it."""
        for output, objective, own in zip(self._outputs, self._objectives, labels):
            if objective.observes_labels:
                quantizers.observe(plan.grid_of(output), own)

    def scores(self, outputs: Sequence[tf.Tensor], labels: Sequence[tf.Tensor]) -> List[tf.Tensor]:
        """Return the parts of the metrics, see :attr:`qatviz.training.scoring.Scoring.part`."""
        return [scoring.part(outputs[index], labels[index]) for index, scoring in self._scorings]


def baseline_loss(heads: Sequence[Head], dataset: Dataset) -> float:
    """Return the loss on the training data without any knowledge of the input; the heads' losses are resolved."""
    return sum(head.weight * OBJECTIVES[head.loss].baseline_loss(own) for head, own in zip(heads, dataset.heads))
