"""Rounding of biases in training to the grid on which exports store them.

An integer layer adds its int32 bias to a sum of products of codes, so that its unit is scale of the input times scale
of the weights. At 8 bits, it is far smaller than a training step's update; at 2 bits, it can be as large as a
quantization step of the output, and a network that was trained without it loses a quarter of its accuracy in integers
(dscnn with 2-bit weights and activations: 62 % instead of 87 %).

Forward:  ``b' = floor(b / (s_in * s_w) + 0.5) * s_in * s_w`` with the scales in use.
Gradient: ``db = db'`` (straight-through estimator).
"""

# A separate module, because its custom gradient and the equations above concern nothing else.

from typing import Tuple

import tensorflow.compat.v1 as tf
from tensorflow.python.ops.control_flow_ops import merge, switch

from qatviz.quant.constants import shared_constant
from qatviz.quant.live import LiveQuantizers

_GRADIENT = "QatvizPassThrough"


def with_rounded_bias(
    quantizers: LiveQuantizers, x: tf.Tensor, bias: tf.Tensor, weights: str, source: str
) -> tf.Tensor:
    """Return ``x``, to which ``bias`` was added (or which is the bias), as if this had been rounded.

    Nothing is computed, and ``x`` itself returned, unless the setting is on and both quantizers are.

    Parameters
    ----------
    x : tf.Tensor
        float32 ``[..., out_channels]``.
    bias : tf.Tensor
        float32 ``[out_channels]``.
    weights, source : str
        Tensors whose scales are the factors of the unit: weights of the layer, activations of its input.
    """
    is_on = quantizers.rounds_bias(weights, source)
    off, on = switch(x, is_on)
    whole, split = switch(switch(bias, is_on)[1], quantizers.is_per_channel(weights))
    of_tensor, of_channels = quantizers.bias_units(weights, source)
    error = merge([_rounding_error(whole, of_tensor), _rounding_error(split, of_channels)])[0]
    result = merge([off, on + error])[0]
    result.set_shape(x.shape)
    with tf.get_default_graph().gradient_override_map({"IdentityN": _GRADIENT}):
        return tf.identity_n([result, x])[0]


def _rounding_error(bias: tf.Tensor, unit: tf.Tensor) -> tf.Tensor:
    """Return the rounded bias minus the bias; 0 where there is no unit, because all weights are 0."""
    rounded = tf.floor(tf.div_no_nan(bias, unit) + shared_constant(0.5)) * unit
    return (rounded - bias) * tf.cast(unit > 0, tf.float32)


@tf.RegisterGradient(_GRADIENT)  # type: ignore[misc]  # untyped decorator
def _pass_through(op: tf.Operation, gradient: tf.Tensor, *_: tf.Tensor) -> Tuple[None, tf.Tensor]:
    return None, gradient
