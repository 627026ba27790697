"""Loss of all outputs of a network, which training minimizes, and the parts of their metrics."""

from typing import List, Optional, Sequence

import tensorflow.compat.v1 as tf

from qatviz.data import Dataset
from qatviz.data.example_weights import example_weights
from qatviz.heads import Head
from qatviz.losses import BINARY_CROSS_ENTROPY, loss_for
from qatviz.metric import Metric
from qatviz.network.graph import Network
from qatviz.network.layers import Softmax
from qatviz.network.plan import QuantizationPlan
from qatviz.own_functions import OwnFunctions, is_function
from qatviz.protocol.run_spec import metrics_of
from qatviz.quant.live import LiveQuantizers
from qatviz.task import MULTILABEL, REGRESSION
from qatviz.training.objective import OBJECTIVES, imitation_loss, objective_for
from qatviz.training.own_functions import activation_of, own_objective, own_scoring
from qatviz.training.scoring import SCORINGS, Scoring


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
    functions : OwnFunctions
        Functions of the user among losses and metrics.

    Raises
    ------
    SettingError
        If a function of the user fails; when the losses and scores are built.
    """

    def __init__(
        self, network: Network, dataset: Dataset, heads: Sequence[Head], functions: OwnFunctions = OwnFunctions()
    ):
        self._outputs, self._heads = network.outputs, tuple(heads)
        ends = [
            activation_of(name in functions.sigmoids, isinstance(network.layer(name), Softmax))
            for name in network.outputs
        ]
        choices = zip(heads, dataset.heads, network.output_shapes, ends)
        self._objectives = [
            own_objective(functions.named(head.loss), own.task, end)
            if is_function(head.loss)
            else objective_for(loss_for(head.loss, own.task, shape[-1]), own.task)
            for head, own, shape, end in choices
        ]
        self._tasks = [own.task for own in dataset.heads]
        place = {head.output: index for index, head in enumerate(heads)}

        def scoring(index: int, metric: Metric) -> Scoring:
            if metric.name in SCORINGS:
                return SCORINGS[metric.name]
            return own_scoring(functions.named(heads[index].metric), dataset.heads[index].task, ends[index])

        #: Computation of each metric of evaluations, with the index of its output.
        self._scorings = [
            (place[each.output], scoring(place[each.output], each.metric)) for each in metrics_of(heads, dataset)
        ]

    def losses(
        self,
        outputs: Sequence[tf.Tensor],
        labels: Sequence[tf.Tensor],
        label_smoothing: Optional[tf.Tensor] = None,
        weights: Sequence[Optional[tf.Tensor]] = (),
    ) -> List[tf.Tensor]:
        """Return the loss of each output on a batch, float32 scalars.

        ``label_smoothing``, and ``weights`` of each output, are those of
        :meth:`qatviz.training.objective.Objective.mean_loss`.
        """
        return [
            objective.mean_loss(output, own, label_smoothing, own_weights)
            for objective, output, own, own_weights in zip(
                self._objectives, outputs, labels, weights or [None] * len(self._objectives)
            )
        ]

    def imitation(
        self, outputs: Sequence[tf.Tensor], answers: Sequence[tf.Tensor], temperature: tf.Tensor
    ) -> tf.Tensor:
        """Return the weighted sum of the outputs' losses for the ``answers`` of a teacher, float32 scalar.

        See :mod:`qatviz.training.distillation`.
        """
        losses = []
        for head, task, objective, output, answer in zip(self._heads, self._tasks, self._objectives, outputs, answers):
            if task == REGRESSION:
                losses.append(tf.reduce_mean(objective.loss(output, answer)))
            else:
                is_sigmoid = head.loss == BINARY_CROSS_ENTROPY or task == MULTILABEL or output.shape[-1] == 1
                losses.append(imitation_loss(output, answer, temperature, bool(is_sigmoid)))
        return self.total(losses)

    def total(self, losses: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return the loss that training minimizes, float32 scalar: the weighted sum of the losses of the outputs."""
        if len(losses) == 1:
            return losses[0]
        return tf.add_n([head.weight * loss for head, loss in zip(self._heads, losses)])

    @staticmethod
    def reported(losses: Sequence[tf.Tensor]) -> List[tf.Tensor]:
        """Return what a training step reports besides the total: the losses, float32 ``[outputs]``; none for one."""
        return [tf.stack(losses)] if len(losses) > 1 else []

    def counts(self, labels: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return the number of terms of which each loss is the mean, up to a factor: float32 ``[outputs]``."""
        return tf.stack(
            [
                tf.cast(tf.shape(own)[0], tf.float32)
                if objective.counted is None
                else tf.reduce_sum(objective.counted(own))
                for objective, own in zip(self._objectives, labels)
            ]
        )

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

    The losses of ``heads`` are names of :data:`qatviz.losses.LOSSES`, not "auto"; those of a user's functions are
    unknown, and count as 0.
    """
    total = 0.0
    for head, data in zip(heads, dataset.heads):
        if head.loss not in OBJECTIVES:
            continue
        weights = example_weights(data, head.class_weights)
        loss = OBJECTIVES[head.loss].baseline_loss(data)
        total += head.weight * (loss if weights is None else loss * float(weights.mean()))
    return total
