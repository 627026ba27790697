"""Grids of :mod:`qatviz.quant.affine`, computed in the TensorFlow graph from settings that may change.

The scalars of all tensors are computed together as vectors: one pass over ``[num_tensors]`` elements costs what a
single scalar costs, so that changing settings are as cheap as static ones.
"""

from typing import NamedTuple, Union

import tensorflow.compat.v1 as tf

from qatviz.quant.affine import LARGEST_SCALE, SMALLEST_SCALE

#: Number of quantization steps of the 16-bit kernel that carries every narrower grid (see
#: :mod:`qatviz.quant.fake_quant`).
CARRIER_STEPS = 65535.0
_MANTISSA, _EXPONENT = 0x7FFFFF, 0x7F800000  # fields of a float32

TensorLike = Union[tf.Tensor, int, float, bool]


class GridSpec(NamedTuple):
    """Settings of a grid as float32 tensors that broadcast against the ranges.

    Codes are unsigned here, as in TensorFlow's kernel: ``unsigned = signed + half``.
    """

    unsigned_min: tf.Tensor  # 0, or 1 for a narrow range
    unsigned_max: tf.Tensor  # 2**num_bits - 1
    half: tf.Tensor  # 2**(num_bits - 1)
    symmetric: tf.Tensor  # 0 or 1
    power_of_two: tf.Tensor  # 0 or 1


class Grid(NamedTuple):
    """A grid as float32 tensors of the shape of the ranges.

    ``minimum`` and ``maximum`` are the smallest and largest representable value, ``scale`` the distance of neighbouring
    ones, ``zero_point`` the signed code of 0, ``carrier`` the upper end of the 16-bit grid with the same scale and
    minimum.
    """

    minimum: tf.Tensor
    maximum: tf.Tensor
    scale: tf.Tensor
    zero_point: tf.Tensor
    carrier: tf.Tensor


class ChannelGrid(NamedTuple):
    """Operands of rounding to a grid for each channel, as float32 tensors."""

    minimum: tf.Tensor
    maximum: tf.Tensor
    divisor: tf.Tensor  # the scale; 1 where that is 0
    minus_scale: tf.Tensor


def channel_grid(grid: Grid) -> ChannelGrid:
    """Return the :class:`ChannelGrid` of a grid of arrays."""
    divisor = tf.where(grid.scale > 0, grid.scale, tf.ones_like(grid.scale))
    return ChannelGrid(grid.minimum, grid.maximum, divisor, tf.negative(grid.scale))


def grid_spec(
    num_bits: TensorLike, symmetric: TensorLike, narrow_range: TensorLike, power_of_two: TensorLike = False
) -> GridSpec:
    """Return the :class:`GridSpec` of settings, which are Python values or tensors of any (broadcastable) shape."""
    bits = tf.cast(num_bits, tf.int32)
    one = tf.ones_like(bits)
    half = tf.cast(tf.bitwise.left_shift(one, bits - 1), tf.float32)
    return GridSpec(
        unsigned_min=tf.cast(narrow_range, tf.float32),
        unsigned_max=2.0 * half - 1.0,
        half=half,
        symmetric=tf.cast(symmetric, tf.float32),
        power_of_two=tf.cast(power_of_two, tf.float32),
    )


def choose_grid(range_min: tf.Tensor, range_max: tf.Tensor, spec: GridSpec) -> Grid:
    """Return the grid of :func:`qatviz.quant.affine.choose_grid`, computed in the graph element by element.

    Parameters
    ----------
    range_min, range_max : tf.Tensor
        float32, any shape that ``spec`` broadcasts against.
    """
    low, high = tf.minimum(range_min, 0.0), tf.maximum(range_max, 0.0)
    signed_min, signed_max = spec.unsigned_min - spec.half, spec.unsigned_max - spec.half
    symmetric = spec.symmetric > 0.5
    # Never "/": if the settings are constants, TensorFlow's optimizer (Grappler) would turn a division by a constant
    # into a multiplication with its reciprocal, whose result can be one ULP off.
    step = tf.maximum(tf.div_no_nan(low, signed_min), tf.div_no_nan(high, signed_max))
    symmetric = tf.broadcast_to(symmetric, tf.shape(step))
    low = tf.where(symmetric, step * signed_min, low)
    high = tf.where(symmetric, step * signed_max, high)
    scale = tf.div_no_nan(high - low, spec.unsigned_max - spec.unsigned_min)
    scale = _raise_to_power_of_two(scale, spec.power_of_two)
    usable = tf.logical_and(scale >= SMALLEST_SCALE, scale <= LARGEST_SCALE)
    # Tested on the original ends: whether tf.minimum returns NaN depends on the position in the vector.
    usable = tf.logical_and(usable, tf.is_finite(range_max - range_min))
    scale = tf.where(usable, scale, tf.zeros_like(scale))
    low = tf.where(usable, low, tf.zeros_like(low))
    zero = tf.floor((spec.unsigned_min - tf.div_no_nan(low, scale)) + 0.5)
    zero = tf.clip_by_value(zero, spec.unsigned_min, spec.unsigned_max)
    zero = tf.where(symmetric, spec.half + tf.zeros_like(zero), zero)
    minimum = (spec.unsigned_min - zero) * scale
    return Grid(
        minimum=minimum,
        maximum=(spec.unsigned_max - zero) * scale,
        scale=scale,
        zero_point=zero - spec.half,
        # Not a sum: Grappler would factor the scale out of it, and the carrier's scale, (carrier - minimum) / 65535,
        # would then differ from scale by one ULP in a quarter of all grids (instead of 0.1 % at 8 bits, 3 % at 16).
        carrier=minimum - (-CARRIER_STEPS) * scale,
    )


def _raise_to_power_of_two(scale: tf.Tensor, power_of_two: tf.Tensor) -> tf.Tensor:
    """Return the next power of two at or above ``scale`` where requested, computed on the bits of the float."""
    mask = tf.cast(power_of_two, tf.int32)
    bits = tf.bitcast(scale, tf.int32) + mask * _MANTISSA
    # mask 1 keeps the exponent field only; mask 0 keeps all bits (-1).
    return tf.bitcast(tf.bitwise.bitwise_and(bits, mask * (_EXPONENT + 1) - 1), tf.float32)
