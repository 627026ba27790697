"""Forward pass of the quantized network as exported: its codes equal those of integer arithmetic."""

from dataclasses import replace
from typing import Any, Dict, List, Optional, cast

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.ops.control_flow_ops import switch

from qatviz.network.activations import Activation
from qatviz.network.elementwise import Sum
from qatviz.network.layer import element_count
from qatviz.network.layers import AveragePool, UpsampleBilinear
from qatviz.network.matmul import MatMul
from qatviz.network.plan import Unit
from qatviz.quant.constants import half_up, is_positive, shared_constant
from qatviz.quant.exact_sums import FINE_UNIT, MEAN_BIAS, MEAN_WEIGHT, WIDE_FINE_UNIT
from qatviz.quant.int16_kernels import LARGEST_PRODUCT
from qatviz.quant.interpolation import interpolation_weights, pixel_positions, position_unit
from qatviz.quant.matrix_products import can_round_twice
from qatviz.training.lowering.batch_norm import Operation, Quantizer
from qatviz.training.lowering.exact import (
    codes_of,
    exact_value,
    function_table,
    int16_product,
    int16_requantized,
    int16_sum,
    matrix_code,
    only_if,
    probability_steps,
    snap_to_exact_code,
    tie_safe_product_scale,
    tie_safe_scales,
    tie_safe_sum_scale,
    whole_units,
)
from qatviz.training.lowering.layers import LayerLowering, linear, multiplied, summed


class EvaluationLowering(LayerLowering):
    """Lowering of layers for evaluation: biases on the int32 grid, results snapped to those of integer arithmetic."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        #: Tie-safe scales by tensor, which replace the scales in use in the requantization multipliers.
        self._tie_safe: Dict[str, tf.Tensor] = {}
        #: Inputs of the unit that is lowered now.
        self._inputs: List[tf.Tensor] = []
        self._wide = self.quantizers.has_wide_activations
        #: Unit of accumulators if all weights are zero, so that there is no other: every bias is a whole number of it.
        self._fine = tf.where(self._wide, *(shared_constant(unit, np.float64) for unit in (WIDE_FINE_UNIT, FINE_UNIT)))
        self._scales64: Dict[str, tf.Tensor] = {}

    def unit(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        self._inputs = inputs
        return super().unit(unit, inputs)

    def _bias(self, unit: Unit) -> Optional[tf.Tensor]:
        bias = self.parameters.get(unit.bias)
        return bias if bias is None else self._on_bias_grid(unit, bias)

    def _batch_normalized(self, unit: Unit, x: tf.Tensor, operation: Operation, quantizer: Quantizer) -> tf.Tensor:
        folded = self.batch_norms[unit.name]
        return tf.nn.bias_add(operation(x, folded.weights, quantizer), self._on_bias_grid(unit, folded.bias))

    def _products(self, unit: Unit, x: tf.Tensor) -> tf.Tensor:
        """Snap a sum of products and its bias, a whole number of ``scale_in * scale_weights``, to its exact code."""
        source, output = self.plan.grid_of(unit.inputs[0]), self.plan.grid_of(unit.output)
        scale, weight_scales = self._scale(output), self._channel_scales(unit)
        zero_point, half = self.quantizers.zero_point(output), self.quantizers.half(output)
        chosen = tie_safe_scales(self._chosen_scale(source), weight_scales, scale, zero_point, half, self._wide)
        units = self._scale64(unit.inputs[0]) * tf.cast(weight_scales, tf.float64)
        factors = self._tie_safe_scale64(unit.inputs[0]) * tf.cast(chosen, tf.float64) / self._scale64(unit.output)
        fine = tf.fill(tf.shape(units), self._fine)
        units = tf.where(is_positive(units), units, fine * self._scale64(unit.output))
        factors = tf.where(is_positive(factors), factors, fine)
        known = tf.logical_and(
            self.quantizers.enabled(unit.weights), is_positive(tf.minimum(self._scale(source), scale))
        )
        wide = tf.logical_and(known, self._wide)
        x = snap_to_exact_code(x, lambda sums: whole_units(sums, units) * factors, scale, tf.not_equal(known, wide))
        return exact_value(x, lambda: self._wide_products(unit, units, factors, wide), scale, wide)

    def _wide_products(self, unit: Unit, units: tf.Tensor, factors: tf.Tensor, wide: tf.Tensor) -> tf.Tensor:
        """Return the exact codes of sums of products and bias, float64, as TFLite's int16 kernels compute them."""
        source = only_if(wide, self._inputs[0])
        weights = only_if(wide, self.quantizers.quantized[unit.weights].values)
        channels = weights.shape[self.plan.tensor(unit.weights).channel_axis :]
        scales = tf.reshape(self._channel_scales(unit), channels)
        sums = linear(
            unit.op, codes_of(source, self._scale(self.plan.grid_of(unit.inputs[0]))), codes_of(weights, scales)
        )
        bias = self._unit_bias(unit)
        if bias is not None:
            # Not on the grid, if there is none because all weights are zero.
            codes = tf.cast(self._bias_codes(unit, bias), tf.float64)
            sums += tf.where(is_positive(self._bias_scale(unit)), codes, codes_of(bias, tf.cast(units, tf.float32)))
        return int16_requantized(sums, factors)

    def _mean(self, unit: Unit, mean: tf.Tensor, count: int) -> tf.Tensor:
        """Snap a mean to its exact code, after adding a third of a unit of the accumulator.

        A mean of integer codes is often a tie, which float arithmetic rounds arbitrarily and an integer kernel rounds
        up. Why a third: see :data:`qatviz.quant.exact_sums.MEAN_WEIGHT`.
        """
        mean += self._scale(self.plan.grid_of(unit.inputs[0])) / (MEAN_WEIGHT * count)
        third, steps = self._scale64(unit.inputs[0]) / (MEAN_WEIGHT * count), self._scale64(unit.output)
        factor = self._tie_safe_scale64(unit.inputs[0]) / (MEAN_WEIGHT * count) / steps
        scale, known = self._scale(unit.name + ".activations"), is_positive(tf.minimum(third, steps))
        wide = tf.logical_and(known, self._wide)
        mean = snap_to_exact_code(mean, lambda x: whole_units(x, third) * factor, scale, tf.not_equal(known, wide))

        def code() -> tf.Tensor:
            codes = codes_of(only_if(wide, self._inputs[0]), self._scale(self.plan.grid_of(unit.inputs[0])))
            return int16_requantized(MEAN_WEIGHT * tf.reduce_sum(codes, axis=[1, 2]) + MEAN_BIAS, factor)

        return exact_value(mean, code, scale, wide)

    def _pooled(self, unit: Unit, x: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
        """Return means as values of their exact codes, like :func:`qatviz.quant.exact_sums.rounded_means`.

        A third of a unit decides ties here, too. Pooling windows at padding have fewer elements, and so larger units.
        """
        op, grid = cast(AveragePool, unit.op), self.plan.grid_of(unit.output)
        zero_point = self.quantizers.zero_point(grid)
        third = 1 / (MEAN_WEIGHT * element_count(op.pool_size))
        known = is_positive(self._scale(grid))

        def code() -> tf.Tensor:
            # Codes relative to the center of ties are those relative to the zero point, up to a constant.
            shift = tf.cast(tf.where(self._wide, 0 * zero_point, zero_point), tf.float64)
            codes = whole_units(only_if(known, x), self._scale64(unit.output)) + shift
            means = tf.nn.avg_pool2d(codes, op.pool_size, op.strides, op.padding)
            return tf.sign(means) * tf.floor(tf.abs(means) + third + 0.5) - shift

        return exact_value(mean, code, self._scale(grid), known)

    def _interpolated(self, unit: Unit, x: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Snap values between pixels to their exact codes (:mod:`qatviz.quant.interpolation`)."""
        op, grid = cast(UpsampleBilinear, unit.op), self.plan.grid_of(unit.output)
        zero_point, half = self.quantizers.zero_point(grid), self.quantizers.half(grid)
        known = is_positive(self._scale(grid))

        def code() -> tf.Tensor:
            # Codes relative to the center of ties.
            shift = tf.cast(tf.where(self._wide, 0 * zero_point, zero_point + half), tf.float64)
            codes = whole_units(only_if(known, x), self._scale64(unit.output)) + shift
            for axis, (size, times) in enumerate(zip(x.shape.as_list()[1:3], op.size)):
                wide, narrow = (
                    interpolation_weights(pixel_positions(size, times, is_wide), size, parts) / parts
                    for is_wide, parts in ((True, position_unit(True)), (False, position_unit(False)))
                )
                weights = tf.where(self._wide, tf.constant(wide), tf.constant(narrow))
                codes = tf.einsum(("oi,nijc->nojc", "oj,nijc->nioc")[axis], weights, codes)
            return tf.sign(codes) * half_up(tf.abs(codes)) - shift

        return exact_value(values, code, self._scale(grid), known)

    def _sum(self, unit: Unit, inputs: List[tf.Tensor], total: tf.Tensor) -> tf.Tensor:
        """Snap a sum of tensors, each a whole number of its own scale, to its exact code."""
        op, units = cast(Sum, unit.op), [self._scale64(name) for name in unit.inputs]
        self._choose_sum_scale(unit)
        known = is_positive(tf.reduce_min(tf.stack([*units, self._scale64(unit.output)])))
        steps = op.divisor * self._tie_safe_scale64(unit.output)
        factors = [self._tie_safe_scale64(name) / steps for name in unit.inputs]

        def position(_: tf.Tensor) -> tf.Tensor:
            parts = [switch(x, known)[1] for x in inputs]
            return summed(op, [whole_units(x, own) * factor for x, own, factor in zip(parts, units, factors)])

        scale = self._scale(unit.name + ".activations")
        # TFLite adds two tensors.
        wide = tf.logical_and(known, self._wide) if len(inputs) == 2 else tf.constant(False)
        total = snap_to_exact_code(total, position, scale, tf.not_equal(known, wide))
        return (
            exact_value(total, lambda: self._wide_sum(unit, inputs, wide), scale, wide) if len(inputs) == 2 else total
        )

    def _wide_sum(self, unit: Unit, inputs: List[tf.Tensor], wide: tf.Tensor) -> tf.Tensor:
        """Return the exact codes of a sum of two tensors, int64, as TFLite's int16 kernel computes them."""
        codes = [
            codes_of(only_if(wide, x), self._scale(self.plan.grid_of(name))) for x, name in zip(inputs, unit.inputs)
        ]
        scales = [only_if(wide, self._tie_safe_scale64(name)) for name in (*unit.inputs, unit.output)]
        return int16_sum(codes, scales[:-1], scales[-1], cast(Sum, unit.op))

    def _choose_sum_scale(self, unit: Unit) -> None:
        """Choose a tie-safe scale for the output of a sum, unless it shares the grid of other tensors."""
        output, sources = self.plan.grid_of(unit.output), [self.plan.grid_of(name) for name in unit.inputs]
        if self.plan.shares_grid(output):
            return
        self._tie_safe[output] = tie_safe_sum_scale(
            tf.stack([self._chosen_scale(name) for name in sources]),
            tf.stack([self.quantizers.zero_point(name) for name in sources]),
            tf.stack([self.quantizers.half(name) for name in sources]),
            self._scale(output),
            self.quantizers.half(output),
            cast(Sum, unit.op),
        )

    def _product(self, unit: Unit, inputs: List[tf.Tensor], product: tf.Tensor) -> tf.Tensor:
        """Snap a product of two tensors to its exact code; it is a whole number of the product of their scales."""
        units = [self._scale64(name) for name in unit.inputs]
        self._choose_product_scale(unit)
        known = is_positive(tf.reduce_min(tf.stack([*units, self._scale64(unit.output)])))
        factor = tf.multiply(*(self._tie_safe_scale64(name) for name in unit.inputs))
        factor /= self._tie_safe_scale64(unit.output)

        def position(_: tf.Tensor) -> tf.Tensor:
            parts = [whole_units(switch(x, known)[1], own) for x, own in zip(inputs, units)]
            return tf.multiply(*parts) * factor

        scale = self._scale(unit.name + ".activations")
        # With products of more than 31 bits, which TFLite doesn't have, results are rounded once.
        halves = [self._reach(self.plan.grid_of(name)) for name in unit.inputs]
        wide = tf.logical_and(known, tf.logical_and(self._wide, tf.multiply(*halves) < LARGEST_PRODUCT))
        product = snap_to_exact_code(product, position, scale, tf.not_equal(known, wide))
        return exact_value(product, lambda: self._wide_product(unit, inputs, wide), scale, wide)

    def _wide_product(self, unit: Unit, inputs: List[tf.Tensor], wide: tf.Tensor) -> tf.Tensor:
        """Return the exact codes of a product of two tensors, int64, as TFLite's int16 kernel computes them."""
        codes = [
            codes_of(only_if(wide, x), self._scale(self.plan.grid_of(name))) for x, name in zip(inputs, unit.inputs)
        ]
        scales = [only_if(wide, self._chosen_scale(self.plan.grid_of(name))) for name in (*unit.inputs, unit.output)]
        return int16_product(tf.multiply(*codes), *scales)

    def _matrix_product(self, unit: Unit, inputs: List[tf.Tensor], product: tf.Tensor) -> tf.Tensor:
        """Snap sums of products of two tensors, whole numbers of the product of their scales, to their exact codes."""
        op, names = cast(MatMul, unit.op), (*unit.inputs, unit.output)
        units = [self._scale64(name) for name in names]
        known = is_positive(tf.reduce_min(tf.stack(units)))
        scale, wide = self._scale(unit.name + ".activations"), tf.logical_and(known, self._wide)
        narrow, terms = tf.not_equal(known, wide), inputs[0].shape[-1].value
        factor = tf.multiply(*(self._tie_safe_scale64(name) for name in unit.inputs)) * op.factor
        factor /= self._tie_safe_scale64(unit.output)

        def sums(condition: tf.Tensor) -> tf.Tensor:
            parts = [whole_units(only_if(condition, x), own) for x, own in zip(inputs, units)]
            return multiplied(replace(op, factor=1.0), parts)

        if can_round_twice(terms, False):
            zero_point = self.quantizers.zero_point(self.plan.grid_of(unit.inputs[1]))
            twice = tf.logical_and(narrow, tf.not_equal(zero_point, 0))
            narrow = tf.not_equal(narrow, twice)
            scales = [only_if(twice, self._chosen_scale(self.plan.grid_of(name))) for name in names]
            product = exact_value(product, lambda: matrix_code(sums(twice), scales, op.factor), scale, twice)
        product = snap_to_exact_code(product, lambda _: sums(narrow) * factor, scale, narrow)
        return exact_value(product, lambda: int16_requantized(sums(wide), factor), scale, wide)

    def _reach(self, tensor: str) -> tf.Tensor:
        """Return the largest distance of a code of an activation tensor from its zero point, float64 scalar."""
        zero, half = (
            tf.cast(own, tf.float64) for own in (self.quantizers.zero_point(tensor), self.quantizers.half(tensor))
        )
        return tf.maximum(half - 1 - zero, zero + half)

    def _choose_product_scale(self, unit: Unit) -> None:
        """Choose a tie-safe scale for the output of a Multiply, unless it shares the grid of other tensors."""
        output = self.plan.grid_of(unit.output)
        if not self.plan.shares_grid(output):
            first, second = (self._chosen_scale(self.plan.grid_of(name)) for name in unit.inputs)
            zero_point, half = self.quantizers.zero_point(output), self.quantizers.half(output)
            self._tie_safe[output] = tie_safe_product_scale(first, second, self._scale(output), zero_point, half)

    def _function(self, unit: Unit, x: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Return the values of the codes in the function's table (:mod:`qatviz.quant.function_tables`)."""
        source, output = self.plan.grid_of(unit.inputs[0]), self.plan.grid_of(unit.output)
        scale = self._scale(output)
        known = is_positive(tf.minimum(self._scale(source), scale))

        def code() -> tf.Tensor:
            # Only if there are scales: the table is not defined for others.
            _, zero_point, half = self.quantizers.code_parameters(source)
            _, output_zero_point, output_half = self.quantizers.code_parameters(output)
            table = function_table(
                cast(Activation, unit.op),
                (only_if(known, self._chosen_scale(source)), zero_point, half),
                (only_if(known, self._chosen_scale(output)), output_zero_point, output_half),
                self._wide,
            )
            steps = tf.cast(codes_of(only_if(known, x), self._scale(source)), tf.int32)
            return tf.gather(table, steps + zero_point[0] + half) - output_zero_point[0]

        return exact_value(values, code, scale, known)

    def _probabilities(self, unit: Unit, x: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Return the values of the codes of a softmax (:mod:`qatviz.quant.softmax_codes`)."""
        source, output = self.plan.grid_of(unit.inputs[0]), self.plan.grid_of(unit.output)
        scale = self._scale(output)
        known = is_positive(tf.minimum(self._scale(source), scale))

        def code() -> tf.Tensor:
            grids = []
            for name in (source, output):
                _, zero_point, half = self.quantizers.code_parameters(name)
                grids += [self._chosen_scale(name), zero_point, half]
            steps = tf.cast(codes_of(only_if(known, x), self._scale(source)), tf.int32)
            return probability_steps(steps, grids[:3], grids[3:])

        return exact_value(values, code, scale, known)

    def _dropout(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        return inputs[0]

    # Scales in use

    def _on_bias_grid(self, unit: Unit, bias: tf.Tensor) -> tf.Tensor:
        """Round ``bias`` to multiples of ``scale_in * scale_weights``, like an exported int32 bias.

        It remains unchanged if input or weights are not quantized.
        """
        scale = self._bias_scale(unit)
        return tf.where(is_positive(scale), self._bias_codes(unit, bias) * scale, bias)

    def _bias_codes(self, unit: Unit, bias: tf.Tensor) -> tf.Tensor:
        return half_up(tf.div_no_nan(bias, self._bias_scale(unit)))

    def _bias_scale(self, unit: Unit) -> tf.Tensor:
        return self._scale(self.plan.grid_of(unit.inputs[0])) * self._channel_scales(unit)

    def _unit_bias(self, unit: Unit) -> Optional[tf.Tensor]:
        """Return the bias of a unit before it is rounded, with its batch norm folded in."""
        if unit.batch_norm is not None:
            return self.batch_norms[unit.name].bias
        return self.parameters.get(unit.bias)

    def _scale(self, tensor: str) -> tf.Tensor:
        """Return the scale in use of a tensor quantized as a whole, 0 if its quantizer is off."""
        return self.quantizers.scale_in_use(tensor)

    def _channel_scales(self, unit: Unit) -> tf.Tensor:
        return self.quantizers.channel_scales_in_use(unit.weights)

    def _scale64(self, layer: str) -> tf.Tensor:
        """Return the scale of a layer's output as float64, 0 if its quantizer is off."""
        grid = self.plan.grid_of(layer)
        if grid not in self._scales64:
            self._scales64[grid] = tf.cast(self._scale(grid), tf.float64)
        return self._scales64[grid]

    def _chosen_scale(self, grid: str) -> tf.Tensor:
        """Return the tie-safe scale of an activation tensor, or the scale in use if there is none."""
        return self._tie_safe.get(grid, self._scale(grid))

    def _tie_safe_scale64(self, layer: str) -> tf.Tensor:
        """Return the tie-safe scale of a layer's output as float64, or the scale in use if there is none."""
        chosen = self._tie_safe.get(self.plan.grid_of(layer))
        return self._scale64(layer) if chosen is None else tf.cast(chosen, tf.float64)
