"""Evaluation without the rounding errors of float32, so that its codes equal those of integer arithmetic.

A float32 sum has an error of about 1e-7 of its terms. A sum that close to a tie gets an arbitrary code. This affects
one value in 100,000, but in a deep network each influences many others (measured on a trained mobilenet with 8 bits: 5
% of the logits, by up to 15 codes). The exact accumulator can be recovered, because it is a whole number of units
(input scale times weight scale). The exact result follows from it in double precision, and the float32 result is moved
to the correct side of the tie. Accumulators of more than about 22 bits are too large for this, and may be off by one
unit. So if any activation has more than 8 bits, sums are computed from codes in float64, and multiplied as TFLite's
int16 kernels do it (:mod:`qatviz.quant.int16_kernels`).

The last digits of the requantization multiplier, from units to quantization steps of the output, are chosen so that
float and fixed-point results agree: see :mod:`qatviz.quant.tie_safe_scales` and :mod:`qatviz.quant.tie_safe_sums`.
These run in Python, because each of their many trials would take many operations of the graph. They cache their
results, so that only the first batch of an evaluation takes time.
"""

from typing import Callable, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.ops.control_flow_ops import merge, switch

from qatviz.network.activations import Activation
from qatviz.network.elementwise import Sum
from qatviz.quant.constants import half_up, shared_constant
from qatviz.quant.exact_sums import SNAP_REACH
from qatviz.quant.int16_kernels import Q31, TAIL_BITS
from qatviz.training.lowering.layers import summed
from qatviz.training.lowering.python_calls import in_python


def whole_units(x: tf.Tensor, unit: tf.Tensor) -> tf.Tensor:
    """Return the whole number of units (float64, above 0) that ``x`` is closest to, as float64."""
    return tf.cast(half_up(x * tf.cast(shared_constant(1.0, np.float64) / unit, tf.float32)), tf.float64)


def tie_safe_scales(
    input_scale: tf.Tensor,
    weight_scales: tf.Tensor,
    output_scale: tf.Tensor,
    output_zero_point: tf.Tensor,
    output_half: tf.Tensor,
    wide: tf.Tensor,
) -> tf.Tensor:
    """Call :func:`qatviz.quant.tie_safe_scales.tie_safe_scales` in the graph.

    ``weight_scales`` is a vector, the other arguments are scalars.
    """
    given = [input_scale, weight_scales, output_scale, output_zero_point, output_half, wide]
    return in_python("tie_safe_scales", given, tf.float32, weight_scales.shape)


def tie_safe_sum_scale(
    input_scales: tf.Tensor,
    input_zero_points: tf.Tensor,
    input_halves: tf.Tensor,
    output_scale: tf.Tensor,
    output_half: tf.Tensor,
    op: Sum,
) -> tf.Tensor:
    """Call :func:`qatviz.quant.tie_safe_sums.tie_safe_sum_scale` in the graph.

    The arguments of the inputs are vectors, those of the output are scalars.
    """
    given = [input_scales, input_zero_points, input_halves, output_scale, output_half]
    return in_python("tie_safe_sum_scale", given, tf.float32, [], [op.signs, op.divisor])


def tie_safe_product_scale(
    first: tf.Tensor, second: tf.Tensor, output_scale: tf.Tensor, output_zero_point: tf.Tensor, output_half: tf.Tensor
) -> tf.Tensor:
    """Call :func:`qatviz.quant.tie_safe_scales.tie_safe_product_scale` in the graph; all arguments are scalars."""
    given = [first, second, output_scale, output_zero_point, output_half]
    return in_python("tie_safe_product_scale", given, tf.float32, [])


def function_table(
    layer: Activation,
    source: Tuple[tf.Tensor, tf.Tensor, tf.Tensor],
    output: Tuple[tf.Tensor, tf.Tensor, tf.Tensor],
    wide: tf.Tensor,
) -> tf.Tensor:
    """Call :func:`qatviz.quant.function_tables.function_table` in the graph; return int32 codes ``[2**bits]``.

    The input and the output each have a scale, a zero point ``[1]`` and ``2**(num_bits - 1)``. ``wide`` is a scalar.
    """
    given = [*source, *output, wide]
    return in_python("function_table", given, tf.int32, [None], [layer.to_dict()])


def probability_steps(steps: tf.Tensor, source: Sequence[tf.Tensor], output: Sequence[tf.Tensor]) -> tf.Tensor:
    """Call :func:`qatviz.quant.softmax_codes.probability_codes` in the graph, for codes minus zero points, int32.

    The input and the output each have a scale, a zero point ``[1]`` and ``2**(num_bits - 1)``.
    """
    return in_python("probabilities", [steps, *source, *output], tf.int32, steps.shape)


def snap_to_exact_code(
    x: tf.Tensor, position: Callable[[tf.Tensor], tf.Tensor], scale: tf.Tensor, known: tf.Tensor
) -> tf.Tensor:
    """Clamp ``x`` into the rounding interval of the exact result.

    Parameters
    ----------
    x : tf.Tensor
        float32, input of a quantizer.
    position : callable
        Returns the exact result for ``x``, float64, in quantization steps of that quantizer.
    scale : tf.Tensor
        float32 scalar: scale of that quantizer.
    known : tf.Tensor
        bool scalar; if False, there is no exact result, and ``x`` is returned without any computation.
    """
    off, on = switch(x, known)
    value = tf.cast(half_up(position(on)), tf.float32) * scale
    reach = shared_constant(SNAP_REACH) * scale
    result = merge([off, tf.raw_ops.ClipByValue(t=on, clip_value_min=value - reach, clip_value_max=value + reach)])[0]
    result.set_shape(x.shape)
    return result


def exact_value(x: tf.Tensor, code: Callable[[], tf.Tensor], scale: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """Return the value of an exact code.

    Parameters
    ----------
    x : tf.Tensor
        float32, returned if there is no exact code.
    code : callable
        Returns the exact code, less the zero point; computed from tensors that :func:`only_if` passes on.
    scale : tf.Tensor
        float32 scalar.
    known : tf.Tensor
        bool scalar; if False, nothing is computed.
    """
    result = merge([switch(x, known)[0], tf.cast(code(), tf.float32) * only_if(known, scale)])[0]
    result.set_shape(x.shape)
    return result


def only_if(condition: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Return ``x`` such that what depends on it is computed only if ``condition`` is true."""
    return switch(x, condition)[1]


def codes_of(x: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Return the whole multiples, float64, of ``scale`` (broadcast; 0 where it is 0) that ``x`` is closest to."""
    return tf.cast(half_up(tf.div_no_nan(x, scale)), tf.float64)


def int16_requantized(sums: tf.Tensor, multipliers: tf.Tensor) -> tf.Tensor:
    """Return whole ``sums`` times ``multipliers``, of 15 bits, rounded half up; all are float64.

    Exact for sums of up to 38 bits; those of more are rounded correctly unless they are within 2**-22 of a tie.
    """
    return half_up(sums * round_multipliers(multipliers))


def round_multipliers(real: tf.Tensor) -> tf.Tensor:
    """Compute :func:`qatviz.quant.int16_kernels.round_multipliers` in the graph."""
    tail, half = (shared_constant(value, np.int64) for value in (TAIL_BITS, 1 << (TAIL_BITS - 1)))
    kept = tf.bitwise.right_shift(tf.bitcast(real, tf.int64) + half, tail)
    return tf.bitcast(tf.bitwise.left_shift(kept, tail), tf.float64)


def int16_sum(
    terms: Sequence[tf.Tensor], input_scales: Sequence[tf.Tensor], output_scale: tf.Tensor, op: Sum
) -> tf.Tensor:
    """Return the code, int64, of a sum of codes (float64) as TFLite's int16 kernels compute it."""
    given = [*input_scales, op.divisor * output_scale]
    constants = in_python("sum_constants", given, tf.int64, [2, len(terms) + 1])
    multipliers, shifts = (tf.unstack(row, num=len(terms) + 1) for row in tf.unstack(constants, num=2))
    parts = [_rounded_twice(tf.cast(term, tf.int64), *by) for term, *by in zip(terms, multipliers, shifts)]
    return _rounded_twice(summed(op, parts), multipliers[-1], shifts[-1])


def int16_product(
    product: tf.Tensor, first_scale: tf.Tensor, second_scale: tf.Tensor, output_scale: tf.Tensor
) -> tf.Tensor:
    """Return the code, int64, of a ``product`` of two codes (float64) as TFLite's int16 kernel computes it."""
    constants = in_python("product_constants", [first_scale, second_scale, output_scale], tf.int64, [2, 1])
    return _rounded_twice(tf.cast(product, tf.int64), constants[0, 0], constants[1, 0])


def matrix_code(sums: tf.Tensor, scales: Sequence[tf.Tensor], factor: float) -> tf.Tensor:
    """Return the code, int64, of sums of products of codes (float64) as TFLite's BATCH_MATMUL computes it.

    The ``scales`` are those of both inputs and of the output.
    """
    constants = in_python("matrix_constants", list(scales), tf.int64, [2, 1], [factor])
    return _rounded_twice(tf.cast(sums, tf.int64), constants[0, 0], constants[1, 0])


def _rounded_twice(values: tf.Tensor, multiplier: tf.Tensor, right_shift: tf.Tensor) -> tf.Tensor:
    """Compute :func:`qatviz.quant.int16_kernels.rounded_twice` in the graph."""
    shift_left, shift_right = tf.bitwise.left_shift, tf.bitwise.right_shift
    bits, one, zero = (shared_constant(value, np.int64) for value in (Q31, 1, 0))
    left, right = tf.maximum(bits - right_shift, zero), tf.maximum(right_shift - bits, zero)
    high = shift_right(shift_left(values, left) * multiplier + shift_left(one, bits - one), bits)
    half = shift_right(shift_left(one, right), one)
    # Halves below 0 are rounded down, if there are any.
    down = tf.cast(high < zero, tf.int64) * tf.minimum(right, one)
    return shift_right(high + half - down, right)
