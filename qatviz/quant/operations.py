"""Quantization-aware building blocks for TensorFlow 1.15: the public functions of :mod:`qatviz.quant`.

Every setting may be a Python value or a scalar tensor, so that it can change from one ``session.run`` to the next. The
ranges are those of the tensor itself (its minimum and maximum, widened to contain 0). The program's own graph is built
from the same functions, with a ``quantizer`` in place of the settings: one of :mod:`qatviz.quant.live`, whose ranges of
activations are averages over batches.
"""

from numbers import Real
from typing import Callable, Optional, Sequence, Tuple, Union

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.errors import SettingError
from qatviz.quant.affine import MAX_BITS, MIN_BITS
from qatviz.quant.fake_quant import fake_quantize
from qatviz.quant.grid import Grid, GridSpec, TensorLike, choose_grid, grid_spec

Quantizer = Callable[[tf.Tensor], tf.Tensor]


def quantize_tensor(
    tensor: tf.Tensor,
    num_bits: TensorLike = 8,
    symmetric: TensorLike = False,
    narrow_range: TensorLike = False,
    per_channel: TensorLike = False,
) -> tf.Tensor:
    """Simulate affine quantization of a tensor over its own range.

    Forward: ``q = floor((clip(x, min, max) - min) / scale + 0.5) * scale + min`` with the grid of
    :func:`qatviz.quant.affine.choose_grid`. Gradient: straight through where ``min <= x <= max``, else 0.

    Parameters
    ----------
    tensor : tf.Tensor
        float32, any shape.
    num_bits : int or tf.Tensor
        2 to 16.
    symmetric : bool or tf.Tensor
        If True, the zero point is 0.
    narrow_range : bool or tf.Tensor
        If True, the lowest code is not used.
    per_channel : bool or tf.Tensor
        If True, each element of the last axis has its own grid.

    Returns
    -------
    tf.Tensor
        float32, shape of ``tensor``.

    Raises
    ------
    SettingError
        If ``num_bits`` is a Python value outside 2..16. (A tensor outside that range fails when it is run.)

    Examples
    --------
    2 bits, values -1 to 3: scale 4/3, representable -4/3, 0, 4/3, 8/3.

    >>> with tf.Session() as session:
    ...     session.run(quantize_tensor(tf.constant([-1.0, 0.5, 0.7, 3.0]), num_bits=2)).round(3).tolist()
    [-1.333, 0.0, 1.333, 2.667]
    """
    tensor = tf.convert_to_tensor(tensor, tf.float32)
    spec = grid_spec(_checked_bits(num_bits), symmetric, narrow_range)
    if tf.is_tensor(per_channel):
        return fake_quantize(
            tensor, _own_grid(tensor, spec, False), channel_grid=_own_grid(tensor, spec, True), per_channel=per_channel
        ).values
    if per_channel:
        return fake_quantize(tensor, channel_grid=_own_grid(tensor, spec, True)).values
    return fake_quantize(tensor, _own_grid(tensor, spec, False)).values


def quantize_activation(
    input_tensor: tf.Tensor,
    num_bits: TensorLike = 8,
    symmetric: TensorLike = False,
    narrow_range: TensorLike = False,
    quantizer: Optional[Quantizer] = None,
) -> tf.Tensor:
    """Quantize an activation, by default over the range of this batch; see :func:`quantize_tensor`.

    A ``quantizer``, which maps a tensor to its quantized values, replaces the settings.
    """
    if quantizer is not None:
        return quantizer(input_tensor)
    return quantize_tensor(input_tensor, num_bits, symmetric, narrow_range)


def quantize_conv2d(
    input_tensor: tf.Tensor,
    filters: tf.Tensor,
    strides: Union[int, Sequence[int]] = 1,
    padding: str = "SAME",
    num_bits: TensorLike = 8,
    symmetric_weights: TensorLike = True,
    narrow_range_weights: TensorLike = True,
    per_channel: TensorLike = False,
    dilations: Union[int, Sequence[int]] = 1,
    quantizer: Optional[Quantizer] = None,
) -> tf.Tensor:
    """Return a 2-D convolution with quantized filters.

    Parameters
    ----------
    input_tensor : tf.Tensor
        float32 ``[batch, height, width, in_channels]``.
    filters : tf.Tensor
        float32 ``[height, width, in_channels, out_channels]``, with the straight-through gradient.
    strides, dilations : int, pair or four numbers
        As in ``tf.nn.conv2d``.
    padding : str
        ``SAME`` or ``VALID``.
    num_bits, symmetric_weights, narrow_range_weights, per_channel
        Settings of the filters, as in :func:`quantize_tensor`.
    quantizer : callable, optional
        Replaces the settings.

    Returns
    -------
    tf.Tensor
        float32 ``[batch, out_height, out_width, out_channels]``.
    """
    quantized = _weights(filters, num_bits, symmetric_weights, narrow_range_weights, per_channel, quantizer)
    strides, dilations = _nhwc(strides), _nhwc(dilations)
    if max(dilations) > 1:  # on a CPU, conv2d's own dilations have no gradient
        return tf.nn.convolution(input_tensor, quantized, padding, strides[1:3], dilations[1:3])
    return tf.nn.conv2d(input_tensor, quantized, strides=strides, padding=padding)


def quantize_depthwise_conv2d(
    input_tensor: tf.Tensor,
    filters: tf.Tensor,
    strides: Union[int, Sequence[int]] = 1,
    padding: str = "SAME",
    num_bits: TensorLike = 8,
    symmetric_weights: TensorLike = True,
    narrow_range_weights: TensorLike = True,
    dilations: Union[int, Sequence[int]] = 1,
    quantizer: Optional[Quantizer] = None,
) -> tf.Tensor:
    """Return a depthwise convolution with quantized filters ``[height, width, in_channels, multiplier]``.

    Parameters are those of :func:`quantize_conv2d`; the filters have one grid.
    """
    quantized = _weights(filters, num_bits, symmetric_weights, narrow_range_weights, False, quantizer)
    return tf.nn.depthwise_conv2d(
        input_tensor, quantized, strides=_nhwc(strides), padding=padding, rate=_nhwc(dilations)[1:3]
    )


def quantize_dense(
    input_tensor: tf.Tensor,
    weights: tf.Tensor,
    biases: Optional[tf.Tensor],
    num_bits_weights: TensorLike = 8,
    num_bits_activation: TensorLike = 8,
    symmetric_weights: TensorLike = True,
    symmetric_activation: TensorLike = False,
    narrow_range_weights: TensorLike = True,
    narrow_range_activation: TensorLike = False,
    per_channel: TensorLike = False,
    activation: Optional[Callable[[tf.Tensor], tf.Tensor]] = None,
    weights_quantizer: Optional[Quantizer] = None,
    activation_quantizer: Optional[Quantizer] = None,
) -> tf.Tensor:
    """Return the quantized output of a fully connected layer with quantized weights.

    ``quantize_activation(activation(input @ quantize_tensor(weights) + biases))``

    Parameters
    ----------
    input_tensor : tf.Tensor
        float32 ``[batch, in_units]``.
    weights, biases : tf.Tensor
        float32 ``[in_units, out_units]`` and ``[out_units]`` (None: no bias). Biases are not quantized.
    num_bits_weights ... per_channel
        As in :func:`quantize_tensor`, for the weights and for the output.
    activation : callable, optional
        Applied before the output is quantized, such as ``tf.nn.relu``.
    weights_quantizer, activation_quantizer : callable, optional
        Replace the settings.

    Returns
    -------
    tf.Tensor
        float32 ``[batch, out_units]``.
    """
    quantized = _weights(
        weights, num_bits_weights, symmetric_weights, narrow_range_weights, per_channel, weights_quantizer
    )
    output = tf.matmul(input_tensor, quantized)
    if biases is not None:
        output = tf.nn.bias_add(output, biases)
    if activation is not None:
        output = activation(output)
    return quantize_activation(
        output, num_bits_activation, symmetric_activation, narrow_range_activation, activation_quantizer
    )


def _weights(
    weights: tf.Tensor,
    num_bits: TensorLike,
    symmetric: TensorLike,
    narrow_range: TensorLike,
    per_channel: TensorLike,
    quantizer: Optional[Quantizer],
) -> tf.Tensor:
    if quantizer is not None:
        return quantizer(weights)
    return quantize_tensor(weights, num_bits, symmetric, narrow_range, per_channel)


def _own_grid(tensor: tf.Tensor, spec: GridSpec, per_channel: bool) -> Grid:
    """Return the grid over a tensor's own range; for an empty tensor, of range [inf, -inf], that of all zeros."""
    axes = list(range(tensor.shape.ndims - 1)) if per_channel else None
    grid = choose_grid(tf.reduce_min(tensor, axis=axes), tf.reduce_max(tensor, axis=axes), spec)
    return Grid(*map(tf.stop_gradient, grid))


def _checked_bits(num_bits: TensorLike) -> TensorLike:
    """Return ``num_bits``; a Python value outside 2..16 is refused, a tensor is guarded by an assertion."""
    if not tf.is_tensor(num_bits):
        whole = isinstance(num_bits, (Real, np.number)) and not isinstance(num_bits, bool) and num_bits % 1 == 0
        if not whole or not MIN_BITS <= num_bits <= MAX_BITS:
            raise SettingError(f"num_bits is {num_bits!r}: expected a whole number from {MIN_BITS} to {MAX_BITS}")
        return int(num_bits)
    num_bits = tf.convert_to_tensor(num_bits)  # the value of a variable
    message = f"num_bits must be from {MIN_BITS} to {MAX_BITS}"
    with tf.control_dependencies(
        [
            tf.debugging.assert_greater_equal(num_bits, tf.cast(MIN_BITS, num_bits.dtype), message=message),
            tf.debugging.assert_less_equal(num_bits, tf.cast(MAX_BITS, num_bits.dtype), message=message),
        ]
    ):
        return tf.identity(num_bits)


def _nhwc(value: Union[int, Sequence[int]]) -> Tuple[int, ...]:
    if isinstance(value, int):
        return (1, value, value, 1)
    return tuple(value) if len(value) == 4 else (1, *value, 1)
