"""Fake quantization whose settings are tensors, at the cost of TensorFlow's fused kernel.

``fake_quant_with_min_max_vars`` takes ``num_bits`` and ``narrow_range`` as graph attributes, so they cannot change
while a graph runs. But its 16-bit form *carries* any narrower grid: with the grid's minimum as its lower end and
``minimum + 65535 * scale`` as its upper end, its quantization steps are exactly those of the narrower grid, so that
only clipping at the grid's maximum has to be added.

Forward:  ``q = floor((clip(x, minimum, maximum) - minimum) / scale + 0.5) * scale + minimum``
Gradient: ``dx = dq`` where ``minimum <= x <= maximum`` (inclusive), else 0 (straight-through estimator).
"""

from typing import NamedTuple, Optional, Tuple, Union

import tensorflow.compat.v1 as tf
from tensorflow.python.ops.control_flow_ops import merge, switch

from qatviz.quant.constants import shared_constant, shared_zeros
from qatviz.quant.gradients import Rounded, Rounding, remember, round_generally, split_gradient
from qatviz.quant.grid import ChannelGrid, Grid
from qatviz.quant.grid import channel_grid as prepare_channel_grid

_GRADIENT = "QatvizStraightThrough"


class Quantized(NamedTuple):
    """A tensor before quantization (``source``), ``clipped`` to the grid, and after quantization (``values``)."""

    values: tf.Tensor
    source: tf.Tensor
    clipped: tf.Tensor


def fake_quantize(
    x: tf.Tensor,
    grid: Optional[Grid] = None,
    enabled: Optional[tf.Tensor] = None,
    nonnegative: bool = False,
    channel_grid: Optional[Union[Grid, ChannelGrid]] = None,
    per_channel: Optional[tf.Tensor] = None,
    rounding: Optional[Rounding] = None,
) -> Quantized:
    """Round ``x`` to the values of a grid, with the straight-through gradient.

    Parameters
    ----------
    x : tf.Tensor
        float32, any shape.
    grid : Grid, optional
        Grid of scalars, for the whole tensor.
    enabled : tf.Tensor, optional
        bool scalar; if False, ``x`` is returned unchanged, and nothing is computed. Default: always on.
    nonnegative : bool
        ``x >= 0`` is known (after a ReLU), so that nothing has to be clipped at the lower bound.
    channel_grid : Grid or ChannelGrid, optional
        Grid for each channel: arrays that broadcast against the last axes of ``x``.
    per_channel : tf.Tensor, optional
        bool scalar that decides between the two grids where both are given.
    rounding : Rounding, optional
        General form of :mod:`qatviz.quant.gradients`, which is used where its ``is_general`` is True.

    Returns
    -------
    Quantized
        Only ``values`` has a gradient, with respect to ``x``.
    """
    x = tf.convert_to_tensor(x, tf.float32)
    # Switch and Merge pass the tensor itself: the branch not taken costs nothing, and nothing is copied.
    off, on = (None, x) if enabled is None else switch(x, enabled)
    plain, general = (on, None) if rounding is None else switch(on, rounding.is_general)
    whole, split = (plain, plain) if grid is None or channel_grid is None else switch(plain, per_channel)
    branches = [] if enabled is None else [(off, off)]
    if grid is not None:
        branches.append(_round_whole(whole, grid, nonnegative))
    operands: Optional[ChannelGrid] = None
    if channel_grid is not None:
        operands = prepare_channel_grid(channel_grid) if isinstance(channel_grid, Grid) else channel_grid
        branches.append(_round_by_channel(split, operands))
    rounded: Optional[Rounded] = None
    if rounding is not None:
        rounded = round_generally(general, rounding, operands, per_channel)
        branches.append((rounded.clipped, rounded.values))
    clipped, values = branches[0] if len(branches) == 1 else [merge(list(results))[0] for results in zip(*branches)]
    for tensor in (clipped, values):
        tensor.set_shape(x.shape)
    with tf.get_default_graph().gradient_override_map({"IdentityN": _GRADIENT}):
        result = tf.identity_n([values, x, clipped])[0]
    if rounding is not None and rounded is not None:
        remember(result.op, rounding, rounded)
    return Quantized(result, x, clipped)


def _round_whole(x: tf.Tensor, grid: Grid, nonnegative: bool) -> Tuple[tf.Tensor, tf.Tensor]:
    """Round ``x`` to a single grid, by the fused 16-bit kernel."""
    if nonnegative:
        clipped = tf.minimum(x, grid.maximum)
    else:
        clipped = tf.raw_ops.ClipByValue(t=x, clip_value_min=grid.minimum, clip_value_max=grid.maximum)
    values = tf.quantization.fake_quant_with_min_max_vars(clipped, grid.minimum, grid.carrier, num_bits=16)
    return clipped, values


def _round_by_channel(x: tf.Tensor, grid: ChannelGrid) -> Tuple[tf.Tensor, tf.Tensor]:
    """Round ``x`` to a grid for each channel, by plain operations: the fused kernel's loop over channels is slower."""
    clipped = tf.minimum(tf.maximum(x, grid.minimum), grid.maximum)
    steps = tf.floor((clipped - grid.minimum) / grid.divisor + shared_constant(0.5))
    # Not a sum: Grappler would factor the scale, which the minimum contains, out of it, which rounds differently.
    return clipped, grid.minimum - steps * grid.minus_scale


@tf.RegisterGradient(_GRADIENT)  # type: ignore[misc]  # untyped decorator
def _straight_through_gradient(op: tf.Operation, gradient: tf.Tensor, *_: tf.Tensor) -> Tuple[None, tf.Tensor, None]:
    x, clipped = op.inputs[1], op.inputs[2]
    # Equality with the clipped value is the kernel's inclusive test of both ends, and cheaper than the fused gradient
    # kernel, which also sums the gradients of the range. If the quantizer is off, the two are the same.
    gradient, general = split_gradient(op, gradient)
    passed = straight_through(gradient, x, clipped)
    return None, passed if general is None else merge([passed, general])[0], None


def straight_through(gradient: tf.Tensor, x: tf.Tensor, clipped: tf.Tensor) -> tf.Tensor:
    """Return ``gradient`` where ``x`` was not clipped, elsewhere 0."""
    shape = gradient.shape
    zeros = shared_zeros(shape.as_list()) if shape.is_fully_defined() else tf.zeros_like(gradient)
    return tf.where(tf.equal(x, clipped), gradient, zeros)
