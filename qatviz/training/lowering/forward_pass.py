"""Forward pass of a network, quantized according to its plan."""

from typing import Collection, Dict, Mapping, NamedTuple, Optional, Tuple

import tensorflow.compat.v1 as tf

from qatviz.errors import NetworkError
from qatviz.inputs import input_parts
from qatviz.network.graph import WITH_WEIGHTS, Network
from qatviz.network.plan import QuantizationPlan
from qatviz.quant.gradients import TrainingRounding
from qatviz.quant.live import LiveQuantizers, Modes
from qatviz.training.lowering.batch_norm import BatchNormMode, FoldedBatchNorm, Moments
from qatviz.training.lowering.evaluation import EvaluationLowering
from qatviz.training.lowering.layers import LayerLowering, Parameters
from qatviz.training.lowering.training import BatchPart, TrainingLowering
from qatviz.training.variables import scope_name


class Lowered(NamedTuple):
    """Forward pass in the graph.

    Attributes
    ----------
    outputs : tuple of tf.Tensor
        The network's outputs, float32 ``[batch] + output shape``; those of a Softmax as logits.
    quantizers : LiveQuantizers
    updates : dict of str to tf.Tensor
        New values of parameters updated by the forward pass (moving statistics).
    factors : dict of str to tf.Tensor
        Factor ``gamma / sigma`` of weights with batch norm folded in, by name, in a shape that broadcasts against them.
    """

    outputs: Tuple[tf.Tensor, ...]
    quantizers: LiveQuantizers
    updates: Parameters
    factors: Parameters

    @property
    def logits(self) -> tf.Tensor:
        """The first output."""
        return self.outputs[0]


def lower(
    network: Network,
    plan: QuantizationPlan,
    images: tf.Tensor,
    parameters: Parameters,
    state: Dict[str, tf.Tensor],
    training: bool,
    freeze_batch_norm: Optional[tf.Tensor] = None,
    dropout_seed: Optional[tf.Tensor] = None,
    modes: Optional[Modes] = None,
    fixed: Collection[str] = (),
    strength: Optional[tf.Tensor] = None,
    single_convolution: Optional[tf.Tensor] = None,
    part: Optional[BatchPart] = None,
    has_methods: bool = True,
) -> Lowered:
    """Build the forward pass.

    Parameters
    ----------
    images : tf.Tensor
        float32 ``[batch] + network.input_shape``.
    parameters : dict of str to tf.Tensor
        ``layer.weights``, ``layer.bias``, ``layer.gamma`` ..., named as in :meth:`Network.parameter_shapes`.
    state : dict of str to tf.Tensor
        Arrays of :mod:`qatviz.quant.live_state`.
    training : bool
        If True, use batch statistics and dropout. Otherwise the result matches the exported network: biases on the
        int32 grid, codes equal to integer arithmetic (:mod:`qatviz.training.lowering.exact`).
    freeze_batch_norm : tf.Tensor, optional
        bool ``[n]``, for training: each batch norm of the plan's units uses its moving statistics.
    dropout_seed : tf.Tensor, optional
        int32 ``[2]``, for training: equal seeds drop equal units, and round weights stochastically in the same way.
    modes : Modes, optional
        Switches for quantization, for evaluation.
    fixed : collection of str
        Parameters ``layer.parameter`` that are not trained. A batch norm whose statistics are among them uses these in
        training, too.
    strength : tf.Tensor, optional
        float32 scalar, for training: strength of quantization (:mod:`qatviz.quant.gradients`).
    single_convolution : tf.Tensor, optional
        bool scalar, for training: layers with batch norm convolve once, see :mod:`.batch_norm`.
    part : BatchPart, optional
        The part of the batch that ``images`` are, for training with several towers.
    has_methods : bool
        That of :class:`.LiveQuantizers`.

    Raises
    ------
    NetworkError
        If no layer has weights.
    """
    normed = [unit for unit in plan.units if unit.batch_norm is not None]
    modes_of_norms: Dict[str, BatchNormMode] = {}
    if training and freeze_batch_norm is not None and normed:
        is_fixed = [unit.batch_norm.owner + ".moving_mean" in fixed for unit in normed if unit.batch_norm]
        frozen = tf.logical_or(freeze_batch_norm, is_fixed) if any(is_fixed) else freeze_batch_norm
        rows = BatchNormMode.of(frozen, single_convolution).each(len(normed))
        modes_of_norms = {unit.name: mode for unit, mode in zip(normed, rows)}
    batch_norms = folded_batch_norms(plan, parameters, modes_of_norms, part.moments if part is not None else None)
    sources = float_weights(network, plan, parameters, batch_norms)
    rounding = None if strength is None or dropout_seed is None else TrainingRounding(strength, dropout_seed)
    quantizers = LiveQuantizers(plan, state, sources, modes, rounding, has_methods)
    lowering: LayerLowering
    if training:
        lowering = TrainingLowering(
            network, plan, parameters, quantizers, batch_norms, dropout_seed=dropout_seed, part=part
        )
    else:
        lowering = EvaluationLowering(network, plan, parameters, quantizers, batch_norms)
    outputs = lowered_outputs(images, lowering)
    updates = {}
    for folded in batch_norms.values():
        updates.update(folded.updates)
    factors = {unit.weights: batch_norms[unit.name].factor for unit in normed}
    return Lowered(outputs, quantizers, updates, factors)


def folded_batch_norms(
    plan: QuantizationPlan,
    parameters: Parameters,
    modes: Mapping[str, BatchNormMode],
    moments: Optional[Moments] = None,
) -> Dict[str, FoldedBatchNorm]:
    """Return the folded batch norm of each unit that has one; units that share all of its parameters share it.

    ``modes`` has the mode of each unit in training; all have the same ``moments``.
    """
    batch_norms: Dict[str, FoldedBatchNorm] = {}
    for unit in plan.units:
        if unit.batch_norm is not None:
            shared = batch_norms.get(unit.op.owner)
            batch_norms[unit.name] = shared or FoldedBatchNorm(unit, parameters, modes.get(unit.name), moments)
    return batch_norms


def float_weights(
    network: Network, plan: QuantizationPlan, parameters: Parameters, batch_norms: Mapping[str, FoldedBatchNorm]
) -> Parameters:
    """Return the weights to quantize by name, with batch norm folded in; NetworkError if no layer has weights."""
    sources = {
        unit.weights: batch_norms[unit.name].weights if unit.name in batch_norms else parameters[unit.weights]
        for unit in plan.units
        if isinstance(unit.op, WITH_WEIGHTS)
    }
    if not sources:
        raise NetworkError(f"network {network.name!r}: it has no layer with weights, so it cannot be trained")
    return sources


def lowered_outputs(examples: tf.Tensor, lowering: LayerLowering) -> Tuple[tf.Tensor, ...]:
    """Return the outputs of the network for ``examples``, float32 ``[batch] + network.input_shape``."""
    outputs = lowered_layers(examples, lowering)
    return tuple(outputs[name] for name in lowering.network.outputs)


def lowered_layers(examples: tf.Tensor, lowering: LayerLowering) -> Parameters:
    """Return the inputs of the network and the outputs of all units by name, for ``examples``."""
    network = lowering.network
    outputs = {
        name: values if name in network.id_counts else lowering.quantizers.quantizer(name + ".activations")(values)
        for name, values in _inputs(network, examples).items()
    }
    for unit in lowering.plan.units:
        with tf.name_scope(scope_name(unit.name)):
            outputs[unit.output] = lowering.unit(unit, [outputs[name] for name in unit.inputs])
    return outputs


def _inputs(network: Network, examples: tf.Tensor) -> Parameters:
    """Return the values of the network's inputs by name, float32 ``[batch] + shape``."""
    if len(network.inputs) == 1:
        return {network.input_names[0]: examples}
    return {
        part.name: tf.reshape(examples[:, part.start : part.stop], (-1, *part.shape))
        for part in input_parts(network.inputs)
    }
