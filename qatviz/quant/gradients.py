"""General form of fake quantization: maps of weights, and methods that train with another rounding or gradient.

With the grid's ``minimum``, ``maximum`` and ``scale``, the map ``m`` of :mod:`qatviz.quant.weight_maps` (the identity
for activations) and ``c(w) = clip(m(w), minimum, maximum)``:

Forward:  ``v = floor((c(w) - minimum) / scale + u) * scale + minimum``, ``y = (1 - s) w + s v``

- ``u = 0.5`` rounds to the nearest level. **Stochastic rounding** (Gupta 2015, arXiv:1502.02551, section 3): ``u`` is
  uniform in [0, 1), so that the mean of ``v`` is ``c(w)``. It is drawn anew for each training step, from the seed of
  the run and the number of the step: the same step draws the same numbers.
- ``s`` in 0..1 is the **strength** of quantization (:mod:`qatviz.strength_settings`): QKeras' ``qnoise_factor``.

Gradient: ``dw = (1 - s) dy + s m'(w) [minimum <= m(w) <= maximum] (dy + d |dy| (c(w) - v) / (maximum - minimum))``

- ``d`` is the factor of **EWGS** (element-wise gradient scaling, Lee 2021, arXiv:2104.00903, equation 5, which has
  ``dy (1 + d sign(dy) (x_n - x_q))`` for values normalized to 0..1). With ``d = 0``, this is the straight-through
  estimator. If ``dy > 0``, the update decreases ``w``: it is larger if ``w`` is above its level.
- Binary and ternary weights pass the gradient on everywhere, and their ``c(w)`` is ``clip(w, minimum, maximum)``.

Example: ``dy = 1`` and ``d = 0.5`` on a grid from -1 to 1 with scale 1: ``w = 0.3`` has ``v = 0`` and
``dw = 1 + 0.5 * 0.3 / 2 = 1.075``; ``w = 0.7`` has ``v = 1`` and ``dw = 1 - 0.5 * 0.3 / 2 = 0.925``.
"""

from typing import Dict, NamedTuple, Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.ops.control_flow_ops import merge, switch

from qatviz.quant.constants import shared_constant
from qatviz.quant.graph_function import graph_function
from qatviz.quant.grid import ChannelGrid, Grid, channel_grid
from qatviz.quant.live_maps import CODED, TANH_MAP, MapRanges
from qatviz.quant.live_state import Layout

#: Offset from the first number of a step's seed to that of the first weight tensor; dropout uses smaller offsets.
_FIRST_SEED = 2**20
#: Attribute of a fake quantization operation that stores the tensors for its gradient.
_ATTRIBUTE = "_qatviz_general_form"


class Rounding(NamedTuple):
    """Tensors that determine the general form for one tensor.

    Attributes
    ----------
    is_general : tf.Tensor
        bool scalar: the quantizer is on, and needs more than the plain form. If it is False, the general form is not
        computed.
    grid : ChannelGrid
        Grid of the whole tensor, scalars.
    map : tf.Tensor
        int32 scalar: index in :data:`qatviz.quant.weight_maps.MAPS`.
    factor : tf.Tensor
        float64 scalar: factor ``M / tanh(M)`` of the tanh map.
    threshold, channel_threshold : tf.Tensor
        float32 scalar, and ``[channels]`` in a shape that broadcasts against the tensor: thresholds of binary and
        ternary weights.
    stochastic : tf.Tensor
        bool scalar: rounds stochastically instead of to the nearest level.
    gradient_scaling, strength : tf.Tensor
        float32 scalars: ``d`` and ``s``.
    seed : tf.Tensor
        int32 ``[2]``: seed of stochastic rounding.
    """

    is_general: tf.Tensor
    grid: ChannelGrid
    map: tf.Tensor
    factor: tf.Tensor
    threshold: tf.Tensor
    channel_threshold: tf.Tensor
    stochastic: tf.Tensor
    gradient_scaling: tf.Tensor
    strength: tf.Tensor
    seed: tf.Tensor


class TrainingRounding(NamedTuple):
    """Strength of quantization in a training step (float32 scalar), and seed of its random numbers (int32 ``[2]``)."""

    strength: tf.Tensor
    seed: tf.Tensor


class Rounded(NamedTuple):
    """Results of the general form.

    Attributes
    ----------
    clipped : tf.Tensor
        The values before the map, clipped to the grid.
    values : tf.Tensor
        ``y``.
    slope : tf.Tensor
        ``m'(w)``, 0 where the gradient does not pass.
    distance : tf.Tensor
        ``(c(w) - v) / (maximum - minimum)``.
    rounded : tf.Tensor
        ``v``.
    """

    clipped: tf.Tensor
    values: tf.Tensor
    slope: tf.Tensor
    distance: tf.Tensor
    rounded: tf.Tensor


def general_forms(
    positions: Layout,
    state: Dict[str, tf.Tensor],
    grid: Grid,
    enabled: tf.Tensor,
    ranges: MapRanges,
    training: Optional[TrainingRounding] = None,
) -> Dict[int, Rounding]:
    """Return the operands of the general form of each group that may need it, by group.

    In evaluations, these are the groups of weights, which may have a map.

    Parameters
    ----------
    state : dict of str to tf.Tensor
        Arrays of :mod:`qatviz.quant.live_state`.
    grid : Grid
        Grids of all groups, ``[G]``.
    enabled : tf.Tensor
        bool ``[G]``: the quantizer is on.
    ranges : MapRanges
        Ranges and thresholds of weights.
    training : TrainingRounding, optional
        For training: activates stochastic rounding, EWGS and the strength, which evaluations do not have.
    """
    weights, leaders = positions.weights, positions.leaders
    if training is None:
        is_mapped = tf.scatter_nd(tf.constant(weights, tf.int32)[:, None], state["map"], [len(leaders)]) > 0
        general = tf.logical_and(enabled, is_mapped)
    else:
        general = tf.logical_and(enabled, tf.logical_or(state["general"], training.strength < 1.0))
    # The operands are computed only if a tensor needs them.
    any_general = tf.reduce_any(general)
    grids = channel_grid(Grid(*(switch(field, any_general)[1] for field in grid)))
    columns = list(zip(*(tf.unstack(field, num=len(leaders)) for field in grids)))
    scaling, *rows = [
        tf.unstack(switch(values, any_general)[1], num=number)
        for values, number in (
            (state["gradient_scaling"], len(leaders)),
            (state["map"], len(weights)),
            (ranges.factors, len(weights)),
            (ranges.thresholds, len(weights)),
            (state["stochastic"], len(weights)),
        )
    ]
    sizes = [leaders[group].num_channels for group in weights]
    channels = tf.split(switch(ranges.channel_thresholds, any_general)[1], sizes)
    nearest, seed = shared_constant(False, bool), shared_constant([0, 0], np.int32)
    plain = (0, 1.0, 0.0), (np.int32, np.float64, np.float32)
    forms: Dict[int, Rounding] = {}
    for group, is_general in enumerate(tf.unstack(general, num=len(leaders))):
        strength, scale = shared_constant(1.0), shared_constant(0.0)
        if training is not None:
            strength, scale = training.strength, scaling[group]
        elif group not in weights:
            continue
        own = ChannelGrid(*columns[group])
        if group not in weights:
            which, factor, threshold = (shared_constant(value, dtype) for value, dtype in zip(*plain))
            forms[group] = Rounding(
                is_general, own, which, factor, threshold, threshold, nearest, scale, strength, seed
            )
            continue
        rank = weights.index(group)
        which, factor, threshold, stochastic = (row[rank] for row in rows)
        shape = leaders[group].shape[leaders[group].channel_axis :]
        channel_threshold = channels[rank] if len(shape) == 1 else tf.reshape(channels[rank], shape)
        if training is None:
            stochastic = nearest
        forms[group] = Rounding(
            is_general,
            own,
            which,
            factor,
            threshold,
            channel_threshold,
            stochastic,
            scale,
            strength,
            seed if training is None else training.seed + shared_constant([_FIRST_SEED + rank, 0], np.int32),
        )
    return forms


def round_generally(
    x: tf.Tensor,
    rounding: Rounding,
    channels: Optional[ChannelGrid] = None,
    per_channel: Optional[tf.Tensor] = None,
) -> Rounded:
    """Return the results of the general form for ``x``, float32.

    ``per_channel`` (bool scalar) decides between ``channels`` and the grid of the whole tensor.
    """
    rest = (rounding.map, rounding.factor, rounding.stochastic, rounding.strength, rounding.seed)
    if channels is None:
        return Rounded(*_rounded(x, *rounding.grid, rounding.threshold, *rest))
    whole, split = switch(x, per_channel)
    results = (
        _rounded(whole, *rounding.grid, rounding.threshold, *rest),
        _rounded(split, *channels, rounding.channel_threshold, *rest),
    )
    return Rounded(*(merge(list(pair))[0] for pair in zip(*results)))


def remember(op: tf.Operation, rounding: Rounding, rounded: Rounded) -> None:
    """Store the tensors that :func:`split_gradient` and :func:`rounded_values` need of ``op``."""
    setattr(op, _ATTRIBUTE, (rounding, rounded))


def rounded_values(values: tf.Tensor) -> tf.Tensor:
    """Return ``v`` for the result ``y`` of a fake quantization: the quantized values also at a strength below 1."""
    if not hasattr(values.op, _ATTRIBUTE):
        return values
    rounding, rounded = getattr(values.op, _ATTRIBUTE)
    result = merge([switch(values, rounding.is_general)[0], rounded.rounded])[0]
    result.set_shape(values.shape)
    return result


def split_gradient(op: tf.Operation, gradient: tf.Tensor) -> Tuple[tf.Tensor, Optional[tf.Tensor]]:
    """Return ``gradient``, for the plain form to mask, and the gradient of the general form with respect to ``w``.

    Only one of them is computed. The second is None if the operation has no general form.
    """
    if not hasattr(op, _ATTRIBUTE):
        return gradient, None
    rounding, rounded = getattr(op, _ATTRIBUTE)
    plain, general = switch(gradient, rounding.is_general)
    plain.set_shape(gradient.shape)
    scaled = _scaled(general, rounded.slope, rounded.distance, rounding.strength, rounding.gradient_scaling)
    return plain, scaled


# Single functions in the graph, called once for each tensor: each of their operations would take time in every step,
# even if it does not run.
_ANY, _SCALAR = tf.TensorSpec(None, tf.float32), tf.TensorSpec([], tf.float32)
_SIGNATURE = [_ANY] * 6 + [tf.TensorSpec([], dtype) for dtype in (tf.int32, tf.float64, tf.bool, tf.float32)]


@graph_function([*_SIGNATURE, tf.TensorSpec([2], tf.int32)])
def _rounded(
    w: tf.Tensor,
    minimum: tf.Tensor,
    maximum: tf.Tensor,
    divisor: tf.Tensor,
    minus_scale: tf.Tensor,
    threshold: tf.Tensor,
    which: tf.Tensor,
    factor: tf.Tensor,
    stochastic: tf.Tensor,
    strength: tf.Tensor,
    seed: tf.Tensor,
) -> Tuple[tf.Tensor, ...]:
    """Return the fields of :class:`Rounded`."""
    shape, zeros = tf.shape(w), tf.zeros_like(w)
    clipped = tf.minimum(tf.maximum(w, minimum), maximum)

    def by_codes() -> Tuple[tf.Tensor, ...]:
        ends = tf.where(w >= 0.0, tf.broadcast_to(maximum, shape), tf.broadcast_to(minimum, shape))
        return clipped, tf.where(tf.abs(w) > threshold, ends, zeros), tf.ones_like(w)

    def by_levels() -> Tuple[tf.Tensor, ...]:
        mapped, derivative = tf.cond(tf.equal(which, TANH_MAP), curved, lambda: (w, tf.ones_like(w)))
        inside = tf.minimum(tf.maximum(mapped, minimum), maximum)
        offset = tf.cond(
            stochastic, lambda: tf.random.stateless_uniform(shape, seed), lambda: tf.fill(shape, tf.constant(0.5))
        )
        steps = tf.floor((inside - minimum) / divisor + offset)
        # In float32, the sum of the last step and a number below 1 can be the next step.
        steps = tf.minimum(steps, tf.floor((maximum - minimum) / divisor + 0.5))
        return inside, minimum - steps * minus_scale, tf.where(tf.equal(mapped, inside), derivative, zeros)

    def curved() -> Tuple[tf.Tensor, tf.Tensor]:
        # Double precision: exports, which compute this by NumPy, must round to the same codes.
        tanh = tf.tanh(tf.cast(w, tf.float64))
        return tf.cast(factor * tanh, tf.float32), tf.cast(factor * (1.0 - tf.square(tanh)), tf.float32)

    inside, rounded, slope = tf.cond(which >= CODED, by_codes, by_levels)
    values = tf.cond(strength < 1.0, lambda: (1.0 - strength) * w + strength * rounded, lambda: rounded)
    distance = tf.div_no_nan(inside - rounded, tf.broadcast_to(maximum - minimum, shape))
    return clipped, values, slope, distance, rounded


@graph_function([_ANY, _ANY, _ANY, _SCALAR, _SCALAR])
def _scaled(
    gradient: tf.Tensor, slope: tf.Tensor, distance: tf.Tensor, strength: tf.Tensor, scaling: tf.Tensor
) -> tf.Tensor:
    """Return the gradient of the general form with respect to ``w``."""
    through = (1.0 - strength) + strength * slope
    return gradient * through + strength * scaling * slope * tf.abs(gradient) * distance
