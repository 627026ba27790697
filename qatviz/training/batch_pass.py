"""Forward and backward pass of the batch of a training step, on one device."""

from functools import partial
from typing import Dict, List, NamedTuple, Optional

import tensorflow.compat.v1 as tf

from qatviz.quant.learned import GradientSums, gradient_sums, trained_tensors
from qatviz.quant.live import LiveQuantizers
from qatviz.training import distillation
from qatviz.training.graph_parts import GraphParts, TrainingParts
from qatviz.training.lowering.forward_pass import Lowered, lower
from qatviz.training.lowering.training import BatchPart
from qatviz.training.step_inputs import StepInputs

Tensors = Dict[str, tf.Tensor]
#: Name of the operation that fails if the loss of a training step is not finite.
FINITE = "loss_is_finite"


class StepValues(NamedTuple):
    """Values of a training step that are the same for all of its examples.

    Attributes
    ----------
    step : tf.Tensor
        Number of training steps before this one, int32 scalar.
    dropout_seed : tf.Tensor
        Seed of dropout and of stochastic rounding, int32 ``[2]``.
    strength : tf.Tensor
        Strength of quantization, float32 scalar.
    label_smoothing : tf.Tensor
        float32 scalar.
    """

    step: tf.Tensor
    dropout_seed: tf.Tensor
    strength: tf.Tensor
    label_smoothing: tf.Tensor


class BatchPass(NamedTuple):
    """Forward and backward pass of a batch; with towers, on the device of the first one.

    Attributes
    ----------
    lowered : Lowered
        Forward pass; with towers, that of the first one, whose quantizers observe all towers and whose updates are
        those of the batch.
    loss : tf.Tensor
        Loss of the batch, float32 scalar.
    finite : tf.Tensor
        Output of the operation :data:`FINITE`, which passes the loss on; updates of variables wait for it.
    losses : list of tf.Tensor
        Losses of the outputs, see :meth:`.GraphHeads.reported`.
    gradients : dict of str to tf.Tensor
        Gradients of the loss by parameter, each of the parameter's shape.
    sums : GradientSums or None
        Sums of the gradients of learned ranges; None without methods.
    quantizers : list of LiveQuantizers
        Quantizers of each tower; none without towers.
    """

    lowered: Lowered
    loss: tf.Tensor
    finite: tf.Tensor
    losses: List[tf.Tensor]
    gradients: Tensors
    sums: Optional[GradientSums]
    quantizers: List[LiveQuantizers]


def lowered_examples(
    parts: GraphParts,
    training: TrainingParts,
    inputs: StepInputs,
    values: Tensors,
    step: StepValues,
    part: Optional[BatchPart] = None,
    has_methods: bool = True,
) -> Lowered:
    """Build the forward pass of the examples ``inputs``, and make its quantizers observe the targets.

    Parameters
    ----------
    values : dict of str to tf.Tensor
        Values of :attr:`.GraphParts.live` on the current device.
    part : BatchPart, optional
        With towers, the part of the batch that consists of these examples.
    has_methods : bool
        Build the methods for low bits, too.
    """
    lowered = lower(
        parts.network,
        parts.plan,
        inputs.examples,
        values,
        values,
        training=True,
        freeze_batch_norm=values["freeze_batch_norm"],
        single_convolution=values["single_convolution"] if has_methods else None,
        fixed=training.fixed,
        dropout_seed=step.dropout_seed,
        strength=step.strength,
        part=part,
        has_methods=has_methods,
    )
    parts.heads.observe(lowered.quantizers, parts.plan, inputs.labels)
    return lowered


def single_pass(
    parts: GraphParts, training: TrainingParts, inputs: StepInputs, step: StepValues, has_methods: bool
) -> BatchPass:
    """Build the forward and backward pass of a batch on the current device."""
    heads, values = parts.heads, parts.values
    lowered = lowered_examples(parts, training, inputs, values, step, has_methods=has_methods)
    loss, losses = inputs.loss(heads, lowered.outputs, step.label_smoothing)
    if has_methods:
        answers = partial(training.teachers.outputs, inputs.examples)
        loss = distillation.distilled(loss, heads, lowered.outputs, answers, values[distillation.SETTINGS])
    finite = tf.check_numerics(loss, "loss", name=FINITE)
    quantized = trained_tensors(lowered.quantizers) if has_methods else {}
    found = tf.gradients(finite, [*(values[name] for name in training.trained), *quantized.values()])
    number = len(training.trained)
    sums = None
    if has_methods:
        sums = gradient_sums(lowered.quantizers, dict(zip(quantized, found[number:])), values["learn"])
    return BatchPass(lowered, loss, finite, losses, dict(zip(training.trained, found)), sums, [])
