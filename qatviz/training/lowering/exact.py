"""Evaluation without the rounding errors of float32, so that its codes equal those of integer arithmetic.

A float32 sum has an error of about 1e-7 of its terms. A sum that close to a tie gets an arbitrary code. This affects
one value in 100,000, but in a deep network each influences many others (measured on a trained mobilenet with 8 bits: 5
% of the logits, by up to 15 codes). The exact accumulator can be recovered, because it is a whole number of units
(input scale times weight scale). The exact result follows from it in double precision, and the float32 result is moved
to the correct side of the tie. Accumulators of more than about 22 bits are too large for this, and may be off by one
unit.

The last digits of the requantization multiplier, from units to quantization steps of the output, are chosen so that
float and fixed-point results agree: see :mod:`qatviz.quant.tie_safe_scales` and :mod:`qatviz.quant.tie_safe_sums`.
These run in Python, because each of their many trials would take many operations of the graph. They cache their
results, so that only the first batch of an evaluation takes time.
"""

from typing import Callable

import tensorflow.compat.v1 as tf
from tensorflow.python.ops.control_flow_ops import merge, switch

from qatviz.quant import tie_safe_scales as scales
from qatviz.quant import tie_safe_sums as sums
from qatviz.quant.exact_sums import SNAP_REACH


def whole_units(x: tf.Tensor, unit: tf.Tensor) -> tf.Tensor:
    """Return the whole number of units (float64, above 0) that ``x`` is closest to, as float64."""
    return tf.cast(tf.floor(x * tf.cast(1.0 / unit, tf.float32) + 0.5), tf.float64)


def tie_safe_scales(
    input_scale: tf.Tensor,
    weight_scales: tf.Tensor,
    output_scale: tf.Tensor,
    output_zero_point: tf.Tensor,
    output_half: tf.Tensor,
) -> tf.Tensor:
    """Call :func:`qatviz.quant.tie_safe_scales.tie_safe_scales` in the graph.

    ``weight_scales`` is a vector, the other arguments are scalars.
    """
    found = tf.py_func(
        scales.tie_safe_scales,
        [input_scale, weight_scales, output_scale, output_zero_point, output_half],
        tf.float32,
        stateful=False,
    )
    found.set_shape(weight_scales.shape)
    return found


def tie_safe_sum_scale(
    input_scales: tf.Tensor,
    input_zero_points: tf.Tensor,
    input_halves: tf.Tensor,
    output_scale: tf.Tensor,
    output_half: tf.Tensor,
) -> tf.Tensor:
    """Call :func:`qatviz.quant.tie_safe_sums.tie_safe_sum_scale` in the graph.

    The arguments of the inputs are vectors, those of the output are scalars.
    """
    found = tf.py_func(
        sums.tie_safe_sum_scale,
        [input_scales, input_zero_points, input_halves, output_scale, output_half],
        tf.float32,
        stateful=False,
    )
    found.set_shape([])
    return found


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
    value = tf.cast(tf.floor(position(on) + 0.5), tf.float32) * scale
    reach = SNAP_REACH * scale
    result = merge([off, tf.raw_ops.ClipByValue(t=on, clip_value_min=value - reach, clip_value_max=value + reach)])[0]
    result.set_shape(x.shape)
    return result
