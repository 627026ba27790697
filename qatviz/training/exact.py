"""Evaluation without the rounding errors of float32: codes that integer arithmetic has too.

A sum in float32 is off by some 1e-7 of its terms. Where it lies that close to a tie, its code is left to chance: of
100,000 values one does, and a deep network makes many of one (measured on a trained mobilenet with 8 bits: 5 % of the
logits, by up to 15 codes). But the exact sum is known all the same, for it is a whole number of units (input scale
times weight scale). From it the exact result follows in double precision, and the result in float32 is moved to the
side of the tie that it belongs to. Sums of more than 22 bits or so are too large for that, and may be off by one unit.

What a unit is in steps of the output is a number whose last digits are chosen: see :mod:`qatviz.quant.tie_safe_scales`
and :mod:`qatviz.quant.tie_safe_sums`. They are in Python: as operations they would be many, for each of their tries.
They remember what they found, so that of an evaluation's batches only the first takes time.
"""

from typing import Callable

import tensorflow.compat.v1 as tf
from tensorflow.python.ops.control_flow_ops import merge, switch

from qatviz.quant.tie_safe_scales import agreeing_scales
from qatviz.quant.tie_safe_sums import agreeing_sum_scale

#: How far from a code, in steps, a value may lie that is to be rounded to it: a thousandth before the tie.
_REACH = 0.499


def whole_units(x: tf.Tensor, unit: tf.Tensor) -> tf.Tensor:
    """float64: the whole number of units (float64, above 0) that ``x`` is closest to."""
    return tf.cast(tf.floor(x * tf.cast(1.0 / unit, tf.float32) + 0.5), tf.float64)


def agreeing(
    input_scale: tf.Tensor,
    weight_scales: tf.Tensor,
    output_scale: tf.Tensor,
    output_zero_point: tf.Tensor,
    output_half: tf.Tensor,
) -> tf.Tensor:
    """:func:`qatviz.quant.tie_safe_scales.agreeing_scales` in the graph: all but ``weight_scales`` ``[n]`` are
    scalars.
    """
    found = tf.py_func(
        agreeing_scales,
        [input_scale, weight_scales, output_scale, output_zero_point, output_half],
        tf.float32,
        stateful=False,
    )
    found.set_shape(weight_scales.shape)
    return found


def agreeing_sum(
    input_scales: tf.Tensor,
    input_zero_points: tf.Tensor,
    input_halves: tf.Tensor,
    output_scale: tf.Tensor,
    output_half: tf.Tensor,
) -> tf.Tensor:
    """:func:`qatviz.quant.tie_safe_sums.agreeing_sum_scale` in the graph: the inputs' are vectors, the others
    scalars.
    """
    found = tf.py_func(
        agreeing_sum_scale,
        [input_scales, input_zero_points, input_halves, output_scale, output_half],
        tf.float32,
        stateful=False,
    )
    found.set_shape([])
    return found


def settled(x: tf.Tensor, position: Callable[[tf.Tensor], tf.Tensor], scale: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """``x``, moved by as little as it takes to be rounded to the code that the exact result is rounded to.

    Parameters
    ----------
    x : tf.Tensor
        float32, on its way to a quantizer.
    position : callable
        From ``x`` to the exact result, float64, in steps of that quantizer.
    scale : tf.Tensor
        float32 scalar, of that quantizer.
    known : tf.Tensor
        bool scalar: whether there is an exact result; else ``x`` passes, and nothing is computed.
    """
    off, on = switch(x, known)
    value = tf.cast(tf.floor(position(on) + 0.5), tf.float32) * scale
    reach = _REACH * scale
    result = merge([off, tf.raw_ops.ClipByValue(t=on, clip_value_min=value - reach, clip_value_max=value + reach)])[0]
    result.set_shape(x.shape)
    return result
