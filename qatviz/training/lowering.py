"""A network's layers as TensorFlow operations, quantized where the plan says so.

One function for each kind of layer, found by its name. Layers with weights go through the public functions of
:mod:`qatviz.quant`.
"""

from typing import Callable, Dict, List, NamedTuple, Optional

import tensorflow.compat.v1 as tf
from tensorflow.python.ops.control_flow_ops import switch

from qatviz.errors import NetworkError
from qatviz.network.graph import WEIGHTED, Network
from qatviz.network.layers import AveragePool, Concat, GlobalAveragePool, element_count
from qatviz.network.plan import QuantizationPlan, Unit
from qatviz.quant.live import LiveQuantizers, Modes
from qatviz.quant.recipe import quantize_conv2d, quantize_dense, quantize_depthwise_conv2d
from qatviz.training.batch_norm import FoldedBatchNorm
from qatviz.training.exact import agreeing, agreeing_sum, settled, whole_units
from qatviz.training.variables import scope_name

Parameters = Dict[str, tf.Tensor]
#: To a sum of codes that is to be a mean, one by this is added in evaluation, so that ties go up. The mean of ``n``
#: codes, in steps that are a share ``1/r`` of its input's, is a tie where the sum is ``(2j + 1) * n / 2r``. Where ``r``
#: is a power of two, as with scales that are, these are halves, quarters, eighths ..., among which no third is. A
#: quarter is: 49 codes and steps of half the size have ties a quarter above whole sums, and what is raised to a tie is
#: rounded by chance.
MEAN_WEIGHT = 3.0


class Lowered(NamedTuple):
    """A network in the graph: ``logits`` ``[batch, classes]``, its quantizers, and new values of parameters that the
    forward pass itself changes (moving statistics), by name.
    """

    logits: tf.Tensor
    quantizers: LiveQuantizers
    updates: Parameters


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
) -> Lowered:
    """Build the forward pass.

    Parameters
    ----------
    images : tf.Tensor
        float32 ``[batch] + network.input_shape``.
    parameters : dict of str to tf.Tensor
        ``layer.weights``, ``layer.bias``, ``layer.gamma`` ... as :meth:`Network.parameter_shapes` names them.
    state : dict of str to tf.Tensor
        Arrays of :mod:`qatviz.quant.live_state`.
    training : bool
        Batch statistics and dropout. Otherwise the graph that ships: biases on the int32 grid, pool ties broken, codes
        those of integer arithmetic (:mod:`qatviz.training.exact`).
    freeze_batch_norm : tf.Tensor, optional
        bool scalar, for training.
    dropout_seed : tf.Tensor, optional
        int32 ``[2]``, for training: equal seeds drop equal units.
    modes : Modes, optional
        For evaluation.
    """
    batch_norms = {
        unit.name: FoldedBatchNorm(unit, parameters, freeze_batch_norm if training else None)
        for unit in plan.units
        if unit.batch_norm is not None
    }
    sources = {}
    for unit in plan.units:
        if isinstance(unit.op, WEIGHTED):
            name = unit.name + ".weights"
            sources[name] = batch_norms[unit.name].weights if unit.name in batch_norms else parameters[name]
    if not sources:
        raise NetworkError(f"network {network.name!r}: it has no layer with weights, so there is nothing to train")
    quantizers = LiveQuantizers(plan, state, sources, modes)
    builder = _Builder(network, plan, parameters, quantizers, batch_norms, training, dropout_seed, modes)
    outputs = {"input": quantizers.quantizer("input.activations")(images)}
    for unit in plan.units:
        with tf.name_scope(scope_name(unit.name)):
            outputs[unit.output] = builder.unit(unit, [outputs[name] for name in unit.inputs])
    updates = {}
    for folded in batch_norms.values():
        updates.update(folded.updates)
    return Lowered(outputs[network.output], quantizers, updates)


class _Builder:
    """One forward pass under construction; each ``_<kind>`` method lowers one kind of layer."""

    def __init__(self, network, plan, parameters, quantizers, batch_norms, training, dropout_seed, modes):
        self.network, self.plan, self.parameters = network, plan, parameters
        self.quantizers, self.batch_norms = quantizers, batch_norms
        self.training, self.dropout_seed, self.modes = training, dropout_seed, modes
        #: Scales that were moved, by the tensor whose they are: of the factors that take sums to steps of an output.
        self.moved: Dict[str, tf.Tensor] = {}

    def unit(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        return getattr(self, "_" + unit.op.kind.lower())(unit, inputs)

    def _conv2d(self, unit, inputs):
        def convolve(x, weights, quantizer):
            return quantize_conv2d(
                x, weights, unit.op.strides, unit.op.padding, dilations=unit.op.dilation, quantizer=quantizer
            )

        return self._weighted(unit, inputs[0], convolve)

    def _depthwiseconv2d(self, unit, inputs):
        def convolve(x, weights, quantizer):
            return quantize_depthwise_conv2d(
                x, weights, unit.op.strides, unit.op.padding, dilations=unit.op.dilation, quantizer=quantizer
            )

        return self._weighted(unit, inputs[0], convolve)

    def _dense(self, unit, inputs):
        weights = self.parameters[unit.name + ".weights"]
        if unit.batch_norm is None:
            return quantize_dense(
                inputs[0],
                weights,
                self._bias(unit),
                activation=lambda x: _activated(unit, self._exact_products(unit, x)),
                weights_quantizer=self.quantizers.quantizer(unit.name + ".weights"),
                activation_quantizer=self.quantizers.quantizer(unit.name + ".activations"),
            )

        def multiply(x, folded, quantizer):
            return tf.matmul(x, quantizer(folded))

        return self._weighted(unit, inputs[0], multiply)

    def _weighted(self, unit: Unit, x: tf.Tensor, operation: Callable) -> tf.Tensor:
        """Conv and depthwise (and Dense with batch norm): operation, bias, activation, quantizer."""
        quantizer = self.quantizers.quantizer(unit.name + ".weights")
        if unit.batch_norm is None:
            result = operation(x, self.parameters[unit.name + ".weights"], quantizer)
            bias = self._bias(unit)
            if bias is not None:
                result = tf.nn.bias_add(result, bias)
        else:
            folded = self.batch_norms[unit.name]
            result = operation(x, folded.weights, quantizer)
            if self.training:
                result = folded.corrected(
                    result, lambda: operation(x, self.parameters[unit.name + ".weights"], lambda weights: weights)
                )
            else:
                result = tf.nn.bias_add(result, self._on_bias_grid(unit, folded.bias))
        return self._finish(unit, self._exact_products(unit, result))

    def _finish(self, unit: Unit, x: tf.Tensor) -> tf.Tensor:
        """The fused activation and the quantizer of a unit's output."""
        return self.quantizers.quantizer(unit.name + ".activations")(_activated(unit, x))

    def _exact_products(self, unit: Unit, x: tf.Tensor) -> tf.Tensor:
        """A sum of products and its bias: a whole number of ``scale_in * scale_weights``."""
        if self.training:
            return x
        source, output = self.plan.grid_of(unit.inputs[0]), self.plan.grid_of(unit.output)
        scale, weight_scales = self._scale(output), self._channel_scales(unit)
        _, zero_point, half = self.quantizers.codes_of(output)
        chosen = agreeing(self.moved.get(source, self._scale(source)), weight_scales, scale, zero_point[0], half)
        units = self._double(unit.inputs[0]) * tf.cast(weight_scales, tf.float64)
        factors = self._moved_double(unit.inputs[0]) * tf.cast(chosen, tf.float64) / self._double(unit.output)
        # Weights that are all zero have no such unit; of so fine a one every bias is a whole number.
        fine = tf.fill(tf.shape(units), tf.constant(2.0**-20, tf.float64))
        units = tf.where(units > 0, units, fine * self._double(unit.output))
        factors = tf.where(factors > 0, factors, fine)
        known = tf.logical_and(tf.reduce_max(weight_scales) * self._scale(source) > 0, scale > 0)
        return settled(x, lambda sums: whole_units(sums, units) * factors, scale, known)

    def _double(self, layer: str) -> tf.Tensor:
        """float64: the scale of what a layer puts out, 0 where its quantizer is off."""
        return tf.cast(self._scale(self.plan.grid_of(layer)), tf.float64)

    def _moved_double(self, layer: str) -> tf.Tensor:
        """The same, moved if it was."""
        grid = self.plan.grid_of(layer)
        return tf.cast(self.moved[grid], tf.float64) if grid in self.moved else self._double(layer)

    def _bias(self, unit: Unit) -> Optional[tf.Tensor]:
        bias = self.parameters.get(unit.name + ".bias")
        return bias if bias is None or self.training else self._on_bias_grid(unit, bias)

    def _on_bias_grid(self, unit: Unit, bias: tf.Tensor) -> tf.Tensor:
        """``bias`` rounded to multiples of ``scale_in * scale_weights``, as an int32 bias of an export is; where either
        is not quantized, unchanged. Training leaves this out: the grid is far finer than a step.
        """
        scale = self._scale(self.plan.grid_of(unit.inputs[0])) * self._channel_scales(unit)
        on_grid = tf.floor(tf.div_no_nan(bias, scale) + 0.5) * scale
        return tf.where(scale > 0, on_grid, bias)

    def _scale(self, tensor: str) -> tf.Tensor:
        """Scale in use of a tensor quantized as a whole: 0 where its quantizer is off."""
        return self.quantizers.scale_in_use(tensor)

    def _channel_scales(self, unit: Unit) -> tf.Tensor:
        return self.quantizers.channel_scales_in_use(unit.name + ".weights")

    def _relu(self, unit, inputs):
        return tf.nn.relu(inputs[0])

    def _relu6(self, unit, inputs):
        # Not fused, it clips codes: at the value nearest to 6 that its input's grid has.
        limit = self.quantizers.on_grid(self.plan.grid_of(unit.inputs[0]), 6.0)
        return tf.minimum(tf.nn.relu(inputs[0]), limit)

    def _maxpool(self, unit, inputs):
        return tf.nn.max_pool2d(inputs[0], unit.op.pool_size, unit.op.strides, unit.op.padding)

    def _averagepool(self, unit, inputs):
        op: AveragePool = unit.op
        return self._average(
            unit, tf.nn.avg_pool2d(inputs[0], op.pool_size, op.strides, op.padding), element_count(op.pool_size)
        )

    def _globalaveragepool(self, unit, inputs):
        op: GlobalAveragePool = unit.op
        count = element_count(self.network.shapes[op.inputs[0]][:2])
        return self._average(unit, tf.reduce_mean(inputs[0], axis=[1, 2]), count)

    def _average(self, unit: Unit, mean: tf.Tensor, count: int) -> tf.Tensor:
        """Rounds a mean. In evaluation a third of a unit of the sum is added first: a mean of integer codes is often a
        tie, and which way a float mean falls is chance; an integer kernel rounds ties up. (Half a unit would make ties
        of means just below: 4 of 9 codes are 1/18 short of one.)
        """
        own_range = isinstance(unit.op, GlobalAveragePool)
        if not self.training:
            mean += self._scale(self.plan.grid_of(unit.inputs[0])) / (MEAN_WEIGHT * count)
            if own_range:
                third, steps = self._double(unit.inputs[0]) / (MEAN_WEIGHT * count), self._double(unit.output)
                factor = self._moved_double(unit.inputs[0]) / (MEAN_WEIGHT * count) / steps
                mean = settled(
                    mean,
                    lambda x: whole_units(x, third) * factor,
                    self._scale(unit.name + ".activations"),
                    tf.minimum(third, steps) > 0,
                )
        # An average pool keeps its input's grid, and cannot leave its range.
        return self.quantizers.quantizer(unit.name + ".activations", observe=own_range)(mean)

    def _add(self, unit, inputs):
        total = tf.add_n(inputs) if len(inputs) > 2 else tf.add(*inputs)
        if not self.training:
            units = [self._double(name) for name in unit.inputs]
            self._move_sum(unit)
            known = tf.reduce_min(tf.stack([*units, self._double(unit.output)])) > 0
            factors = [self._moved_double(name) / self._moved_double(unit.output) for name in unit.inputs]

            def position(_):
                parts = [switch(x, known)[1] for x in inputs]
                return sum(whole_units(x, own) * factor for x, own, factor in zip(parts, units, factors))

            total = settled(total, position, self._scale(unit.name + ".activations"), known)
        return self._finish(unit, total)

    def _move_sum(self, unit: Unit) -> None:
        """Choose the scale of an Add's output, if that is its own."""
        output, sources = self.plan.grid_of(unit.output), [self.plan.grid_of(name) for name in unit.inputs]
        if self.plan.shares_grid(output):
            return
        codes = [self.quantizers.codes_of(name) for name in sources]
        self.moved[output] = agreeing_sum(
            tf.stack([self.moved.get(name, self._scale(name)) for name in sources]),
            tf.stack([zero_point[0] for _, zero_point, _ in codes]),
            tf.stack([half for _, _, half in codes]),
            self._scale(output),
            self.quantizers.codes_of(output)[2],
        )

    def _concat(self, unit, inputs):
        op: Concat = unit.op
        axis = op.axis + 1 if op.axis >= 0 else op.axis
        return self.quantizers.pass_on(unit.name + ".activations", tf.concat(inputs, axis))

    def _flatten(self, unit, inputs):
        return tf.reshape(inputs[0], [-1, element_count(self.network.shapes[unit.output])])

    def _reshape(self, unit, inputs):
        return tf.reshape(inputs[0], (-1, *tuple(self.network.shapes[unit.output])))

    def _zeropad(self, unit, inputs):
        return tf.pad(inputs[0], ((0, 0), *tuple(unit.op.padding), (0, 0)))

    def _dropout(self, unit, inputs):
        if not self.training or unit.op.rate == 0:
            return inputs[0]
        position = [u.name for u in self.plan.units].index(unit.name)
        noise = tf.random.stateless_uniform(tf.shape(inputs[0]), tf.add(self.dropout_seed, [position, 0]))
        keep = tf.cast(noise >= unit.op.rate, tf.float32) / (1.0 - unit.op.rate)
        return inputs[0] * keep

    def _softmax(self, unit, inputs):
        # The loss and the argmax take logits; a softmax at the end changes neither.
        return inputs[0]


def _activated(unit: Unit, x: tf.Tensor) -> tf.Tensor:
    """The fused activation of ``x``."""
    if unit.activation is None:
        return x
    return {"ReLU": tf.nn.relu, "ReLU6": tf.nn.relu6}[unit.activation.kind](x)
