"""Forward pass of the quantized network as exported: its codes equal those of integer arithmetic."""

from typing import Any, Callable, Dict, List, Optional

import tensorflow.compat.v1 as tf
from tensorflow.python.ops.control_flow_ops import switch

from qatviz.network.layers import GlobalAveragePool
from qatviz.network.plan import Unit
from qatviz.quant.exact_sums import FINE_UNIT, MEAN_WEIGHT
from qatviz.training.lowering.exact import (
    snap_to_exact_code,
    tie_safe_scales,
    tie_safe_sum_scale,
    whole_units,
)
from qatviz.training.lowering.layers import LayerLowering


class EvaluationLowering(LayerLowering):
    """Lowering of layers for evaluation: biases on the int32 grid, pool ties broken, results snapped to exact codes."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        #: Tie-safe scales by tensor, which replace the scales in use in the requantization multipliers.
        self._tie_safe: Dict[str, tf.Tensor] = {}

    def _bias(self, unit: Unit) -> Optional[tf.Tensor]:
        bias = self.parameters.get(unit.name + ".bias")
        return bias if bias is None else self._on_bias_grid(unit, bias)

    def _batch_normalized(self, unit: Unit, x: tf.Tensor, operation: Callable[[], tf.Tensor]) -> tf.Tensor:
        return tf.nn.bias_add(x, self._on_bias_grid(unit, self.batch_norms[unit.name].bias))

    def _products(self, unit: Unit, x: tf.Tensor) -> tf.Tensor:
        """Snap a sum of products and its bias, a whole number of ``scale_in * scale_weights``, to its exact code."""
        source, output = self.plan.grid_of(unit.inputs[0]), self.plan.grid_of(unit.output)
        scale, weight_scales = self._scale(output), self._channel_scales(unit)
        _, zero_point, half = self.quantizers.code_parameters(output)
        input_scale = self._tie_safe.get(source, self._scale(source))
        chosen = tie_safe_scales(input_scale, weight_scales, scale, zero_point[0], half)
        units = self._scale64(unit.inputs[0]) * tf.cast(weight_scales, tf.float64)
        factors = self._tie_safe_scale64(unit.inputs[0]) * tf.cast(chosen, tf.float64) / self._scale64(unit.output)
        # If all weights are zero, there is no such unit; every bias is a whole number of the fine one.
        fine = tf.fill(tf.shape(units), tf.constant(FINE_UNIT, tf.float64))
        units = tf.where(units > 0, units, fine * self._scale64(unit.output))
        factors = tf.where(factors > 0, factors, fine)
        known = tf.logical_and(tf.reduce_max(weight_scales) * self._scale(source) > 0, scale > 0)
        return snap_to_exact_code(x, lambda sums: whole_units(sums, units) * factors, scale, known)

    def _mean(self, unit: Unit, mean: tf.Tensor, count: int) -> tf.Tensor:
        """Add a third of a unit of the accumulator, and snap to the exact code.

        A mean of integer codes is often a tie, which float arithmetic rounds arbitrarily and an integer kernel rounds
        up. Why a third: see :data:`qatviz.quant.exact_sums.MEAN_WEIGHT`.
        """
        mean += self._scale(self.plan.grid_of(unit.inputs[0])) / (MEAN_WEIGHT * count)
        if not isinstance(unit.op, GlobalAveragePool):
            return mean
        third, steps = self._scale64(unit.inputs[0]) / (MEAN_WEIGHT * count), self._scale64(unit.output)
        factor = self._tie_safe_scale64(unit.inputs[0]) / (MEAN_WEIGHT * count) / steps
        return snap_to_exact_code(
            mean,
            lambda x: whole_units(x, third) * factor,
            self._scale(unit.name + ".activations"),
            tf.minimum(third, steps) > 0,
        )

    def _sum(self, unit: Unit, inputs: List[tf.Tensor], total: tf.Tensor) -> tf.Tensor:
        """Snap a sum of tensors, each a whole number of its own scale, to its exact code."""
        units = [self._scale64(name) for name in unit.inputs]
        self._choose_sum_scale(unit)
        known = tf.reduce_min(tf.stack([*units, self._scale64(unit.output)])) > 0
        factors = [self._tie_safe_scale64(name) / self._tie_safe_scale64(unit.output) for name in unit.inputs]

        def position(_: tf.Tensor) -> tf.Tensor:
            parts = [switch(x, known)[1] for x in inputs]
            return sum(whole_units(x, own) * factor for x, own, factor in zip(parts, units, factors))

        return snap_to_exact_code(total, position, self._scale(unit.name + ".activations"), known)

    def _choose_sum_scale(self, unit: Unit) -> None:
        """Choose a tie-safe scale for the output of an Add, unless it shares the grid of other tensors."""
        output, sources = self.plan.grid_of(unit.output), [self.plan.grid_of(name) for name in unit.inputs]
        if self.plan.shares_grid(output):
            return
        codes = [self.quantizers.code_parameters(name) for name in sources]
        self._tie_safe[output] = tie_safe_sum_scale(
            tf.stack([self._tie_safe.get(name, self._scale(name)) for name in sources]),
            tf.stack([zero_point[0] for _, zero_point, _ in codes]),
            tf.stack([half for _, _, half in codes]),
            self._scale(output),
            self.quantizers.code_parameters(output)[2],
        )

    def _dropout(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        return inputs[0]

    # Scales in use

    def _on_bias_grid(self, unit: Unit, bias: tf.Tensor) -> tf.Tensor:
        """Round ``bias`` to multiples of ``scale_in * scale_weights``, like an exported int32 bias.

        It remains unchanged if input or weights are not quantized.
        """
        scale = self._scale(self.plan.grid_of(unit.inputs[0])) * self._channel_scales(unit)
        on_grid = tf.floor(tf.div_no_nan(bias, scale) + 0.5) * scale
        return tf.where(scale > 0, on_grid, bias)

    def _scale(self, tensor: str) -> tf.Tensor:
        """Return the scale in use of a tensor quantized as a whole, 0 if its quantizer is off."""
        return self.quantizers.scale_in_use(tensor)

    def _channel_scales(self, unit: Unit) -> tf.Tensor:
        return self.quantizers.channel_scales_in_use(unit.name + ".weights")

    def _scale64(self, layer: str) -> tf.Tensor:
        """Return the scale of a layer's output as float64, 0 if its quantizer is off."""
        return tf.cast(self._scale(self.plan.grid_of(layer)), tf.float64)

    def _tie_safe_scale64(self, layer: str) -> tf.Tensor:
        """Return the tie-safe scale of a layer's output as float64, or the scale in use if there is none."""
        grid = self.plan.grid_of(layer)
        return tf.cast(self._tie_safe[grid], tf.float64) if grid in self._tie_safe else self._scale64(layer)
