"""Frozen weights in the graph: they enter their quantizer as the values of their levels, and have no gradient.

See :mod:`qatviz.quant.oscillation`. While no tensor freezes weights, three operations per tensor pass them on without a
copy.
"""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.ops.control_flow_ops import merge, switch

from qatviz.quant.oscillation import NO_LEVEL

_GRADIENT = "QatvizFrozenLevels"


class Frozen(NamedTuple):
    """Frozen levels of one weight tensor.

    Attributes
    ----------
    levels : tf.Tensor
        int32 in the tensor's shape; computed only while any tensor freezes.
    is_on : tf.Tensor
        bool scalar: the tensor freezes weights.
    """

    levels: tf.Tensor
    is_on: tf.Tensor


def split_levels(
    levels: tf.Tensor, is_any_on: tf.Tensor, are_on: tf.Tensor, shapes: Sequence[Tuple[int, ...]]
) -> List[Frozen]:
    """Return the frozen levels of tensors of these ``shapes``, which follow each other in ``levels`` (int32 ``[N]``).

    ``is_any_on`` (bool scalar): any tensor freezes weights; ``are_on`` (bool ``[W]``): those that do.
    """
    parts = split(switch(levels, is_any_on)[1], shapes)
    return [Frozen(part, is_on) for part, is_on in zip(parts, tf.unstack(are_on, num=len(shapes)))]


def split(flat: tf.Tensor, shapes: Sequence[Tuple[int, ...]]) -> List[tf.Tensor]:
    """Return the tensors of these ``shapes`` that follow each other in ``flat`` ``[N]``."""
    parts = tf.split(flat, [int(np.prod(shape)) for shape in shapes])
    return [tf.reshape(part, shape) for part, shape in zip(parts, shapes)]


def with_frozen(
    x: tf.Tensor, frozen: Frozen, scale: tf.Tensor, channel_scale: Optional[tf.Tensor], per_channel: tf.Tensor
) -> tf.Tensor:
    """Return the weights ``x`` with the values ``level * scale`` where they are frozen.

    Parameters
    ----------
    x : tf.Tensor
        Float weights, float32 in the tensor's shape.
    frozen : Frozen
    scale : tf.Tensor
        Scale of the tensor as a whole, a scalar.
    channel_scale : tf.Tensor, optional
        Scale of each channel, in a shape that broadcasts against ``x``.
    per_channel : tf.Tensor
        bool scalar that decides between the two.

    Returns
    -------
    tf.Tensor
        float32, shape of ``x``; its gradient with respect to ``x`` is 0 where weights are frozen.
    """
    off, on = switch(x, frozen.is_on)
    values = level_values(switch(frozen.levels, frozen.is_on)[1], scale, channel_scale, per_channel)
    result = merge([off, tf.where(tf.not_equal(frozen.levels, NO_LEVEL), values, on)])[0]
    result.set_shape(x.shape)
    graph = tf.get_default_graph()
    with graph.gradient_override_map({"IdentityN": _GRADIENT}):
        passed = tf.identity_n([result, x])[0]
    # The levels are not an input: they are not computed while no tensor freezes, and the operation would not run.
    graph.add_to_collection(_GRADIENT + passed.op.name, frozen)
    return passed


def level_values(
    levels: tf.Tensor, scale: tf.Tensor, channel_scale: Optional[tf.Tensor], per_channel: tf.Tensor
) -> tf.Tensor:
    """Return ``level * scale``, float32; the parameters are those of :func:`with_frozen`."""
    real = tf.cast(levels, tf.float32)
    if channel_scale is None:
        return real * scale
    whole, split_ = switch(real, per_channel)
    values = merge([whole * scale, split_ * channel_scale])[0]
    values.set_shape(levels.shape)
    return values


@tf.RegisterGradient(_GRADIENT)  # type: ignore[misc]  # untyped decorator
def _gradient_of_unfrozen(op: tf.Operation, gradient: tf.Tensor, *_: tf.Tensor) -> Tuple[None, tf.Tensor]:
    """Return the gradients of the two inputs: none for the result, that of weights which are not frozen for ``x``."""
    (frozen,) = op.graph.get_collection(_GRADIENT + op.name)
    off, on = switch(gradient, frozen.is_on)
    is_frozen = tf.not_equal(frozen.levels, NO_LEVEL)
    result = merge([off, tf.where(is_frozen, tf.zeros_like(on), on)])[0]
    result.set_shape(gradient.shape)
    return None, result
