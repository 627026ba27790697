"""Gradients of learned ranges: scale (LSQ), power-of-two threshold (TQT), scale and offset (LSQ+), clip (PACT).

A learned range is a held one that a gradient moves: the forward pass and the exports are those of any other range.
With ``v = x / s``, ``Qn <= v <= Qp`` inside the representable range, ``q`` the rounded ``v`` (clipped to ``Qn .. Qp``,
zero point subtracted) and ``g`` the gradient of the loss with respect to the quantized value ``s * q``:

========================  ============================================================================================
LSQ (Esser et al. 2020)   ``ds = c * sum(g * (q - v inside, Qn below, Qp above))``, ``c = 1 / sqrt(N * Qp)`` with the
                          number of values ``N``: of a tensor, of a channel, of a batch of activations
TQT (Jain et al. 2020)    ``dlog2(t) = ln(2) * s * sum(g * (q - v inside, Qn below, Qp above))``; the scale is the power
                          of two at or above that of the threshold ``t``, straight through this rounding
LSQ+ (Bhalgat et al.      ``ds = c * sum(g * (q - v inside, 0 below, Qp - Qn above))``, ``dlow = c * sum(g outside)``,
2020)                     where the grid starts at ``low``; straight through the rounding of the zero point
PACT (Choi et al. 2018)   ``dhigh = sum(g above) + decay * high``, and the same of a lower end that is not 0
========================  ============================================================================================

Worked number: the values 0.3 and 2.0 on the grid 0, 0.5, 1.0, 1.5 (s = 0.5, Qp = 3), with ``g`` = 1 and 1: q - v is
1 - 0.6 inside and 3 above, so that LSQ's ``ds`` is 3.4 / sqrt(2 * 3) = 1.388. PACT's ``dhigh`` is 1.

All sums are found from two products, with ``x̂`` the quantized values and ``m`` 1 inside and 0 outside:
``u = sum(g * x̂) - sum(m * g * x)`` is ``s`` times LSQ's sum, since ``x̂ = s * q``. With ``o = sum(g) - sum(m * g)``, the
gradient of values outside, LSQ+ has ``u / s - Qn * o``.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.ops.control_flow_ops import merge, switch

from qatviz.network.layer import element_count
from qatviz.network.plan import QuantizedTensor
from qatviz.quant.constants import all_axes, shared_constant
from qatviz.quant.fake_quant import Quantized, straight_through
from qatviz.quant.grid import GridSpec
from qatviz.quant.live import LiveQuantizers
from qatviz.quant.live_state import Layout
from qatviz.settings import LEARNED, LEARNED_CLIP, LEARNED_METHODS, LEARNED_RANGE

_LN2 = float(np.log(2.0))


class LearnedGradients(NamedTuple):
    """Gradients of all ranges that can be learned, in the order of ``K`` of :mod:`qatviz.quant.live_state`.

    Attributes
    ----------
    values : tf.Tensor
        float32 ``[2, K]``: present values of the numbers that are learned. Row 0: scale, or the upper end of a clip;
        row 1: the lower end of a learned range or of a clip.
    gradients : tf.Tensor
        float32 ``[2, K]``: gradients of the loss with respect to ``values``; 0 where nothing is learned.
    units : tf.Tensor
        float32 ``[2, K]``: size of an update by an optimizer whose updates do not depend on the size of the gradients,
        at a learning rate of 1.
    is_log : tf.Tensor
        bool ``[K]``: row 0 of the gradients is with respect to the base-2 logarithm of the value, which is learned.
    """

    values: tf.Tensor
    gradients: tf.Tensor
    units: tf.Tensor
    is_log: tf.Tensor


class GradientSums(NamedTuple):
    """Sums over all examples from which the gradients of ranges are computed, float32 ``[K]`` each.

    The sums of the parts of a batch add up to those of the batch: they are linear in the gradients of quantized values.

    Attributes
    ----------
    products : tf.Tensor
        ``u`` of the module's docstring.
    outside, above : tf.Tensor
        ``o``, and the part of it from values above the upper end. They are 0 for weights, which learn neither a range
        nor a clip, and computed only while an activation learns one.
    """

    products: tf.Tensor
    outside: tf.Tensor
    above: tf.Tensor


def trained_tensors(quantizers: LiveQuantizers) -> Dict[str, tf.Tensor]:
    """Return the quantized values, by tensor, whose gradients :func:`gradient_sums` needs."""
    return {
        name: quantized.values
        for name, quantized in quantizers.quantized.items()
        if quantized.values is not quantized.source  # not the output of a Concat, which is on the grid of its inputs
    }


def learned_gradients(
    quantizers: LiveQuantizers,
    state: Dict[str, tf.Tensor],
    sums: GradientSums,
    batch_size: int,
    clip_decay: tf.Tensor,
) -> LearnedGradients:
    """Return the gradients of learned ranges, as the module's docstring defines them.

    Parameters
    ----------
    quantizers : LiveQuantizers
        Quantizers of a forward pass.
    state : dict of str to tf.Tensor
        Arrays of :mod:`qatviz.quant.live_state`.
    sums : GradientSums
        Sums over all examples of the batch.
    batch_size : int
        Number of examples in the batch.
    clip_decay : tf.Tensor
        float32 scalar: L2 decay of the ends of a clip.
    """
    positions = quantizers.positions
    products, outside, above = sums
    scale, minimum, maximum = _in_order(positions, quantizers)
    spec = tf.gather(state["spec"], _groups(positions), axis=1)
    unsigned_min, unsigned_max, _, _, power_of_two = tf.unstack(spec, num=len(GridSpec._fields))
    levels, is_log = unsigned_max - unsigned_min, power_of_two > 0.5
    ranges = learned_ranges(positions, state)
    low, high = tf.minimum(ranges[0], 0.0), tf.maximum(ranges[1], 0.0)
    raw_scale = tf.where(is_log, _unrounded_scale(low, high, spec), scale)
    # Qp, but at least 1: the upper end of a grid may be 0.
    most = tf.maximum(tf.div_no_nan(maximum, scale), 1.0)
    balance = tf.math.rsqrt(most * shared_constant(_value_counts(positions, batch_size)))
    slope = tf.div_no_nan(products, scale)
    by_scale = tf.where(is_log, products * _LN2, slope * balance)
    by_range = (slope - tf.div_no_nan(minimum, scale) * outside) * balance
    extent = high - low
    rows = {
        LEARNED: (raw_scale, by_scale, raw_scale, low, tf.zeros_like(low)),
        LEARNED_RANGE: (tf.div_no_nan(extent, levels), by_range, scale, low, outside * balance),
        LEARNED_CLIP: (high, above + clip_decay * high, extent, low, (outside - above) + clip_decay * low),
    }
    chosen = [tf.zeros_like(scale)] * 5
    for row, method in enumerate(LEARNED_METHODS):
        is_on = state["learn"][row]
        chosen = [tf.where(is_on, new, old) for new, old in zip(rows[method], chosen)]
    first, d_first, unit, second, d_second = chosen
    is_scale = state["learn"][LEARNED_METHODS.index(LEARNED)]
    return LearnedGradients(
        tf.stack([first, second]),
        tf.stack([d_first, d_second]),
        tf.stack([tf.where(is_log & is_scale, tf.ones_like(unit), unit), extent]),
        is_log & is_scale,
    )


def moved_ranges(
    positions: Layout, state: Dict[str, tf.Tensor], learned: LearnedGradients, changes: tf.Tensor
) -> Dict[str, tf.Tensor]:
    """Return the arrays of held ranges of weights and of ranges of activations after an update, by name.

    No update changes a scale, or the upper end of a clip, by more than a factor of 2, so that none becomes negative.

    Parameters
    ----------
    state : dict of str to tf.Tensor
        Arrays of :mod:`qatviz.quant.live_state`.
    learned : LearnedGradients
    changes : tf.Tensor
        float32 ``[2, K]``: subtracted from the learned values, or from their logarithms where ``learned.is_log``.
    """
    old_low, old_high = learned_ranges(positions, state)
    value, lower = tf.unstack(learned.values)
    reduced = tf.where(learned.is_log, value * tf.pow(2.0, -changes[0]), value - changes[0])
    value = tf.clip_by_value(reduced, value / 2.0, value * 2.0)
    lower = tf.minimum(lower - changes[1], 0.0)
    factor = tf.div_no_nan(value, learned.values[0])
    spec = tf.gather(state["spec"], _groups(positions), axis=1)
    ends = {
        LEARNED: (old_low * factor, old_high * factor),
        LEARNED_RANGE: (lower, tf.maximum(lower + value * (spec[1] - spec[0]), 0.0)),
        LEARNED_CLIP: (lower, value),
    }
    low, high = old_low, old_high
    for row, method in enumerate(LEARNED_METHODS):
        is_on = state["learn"][row] & (learned.values[0] > 0)
        low, high = tf.where(is_on, ends[method][0], low), tf.where(is_on, ends[method][1], high)
    sizes = [len(positions.weights), positions.num_channels, len(positions.activations)]
    lows, highs = tf.split(low, sizes), tf.split(high, sizes)
    return dict(
        zip(("held_min", "held_channel_min", "range_min", "held_max", "held_channel_max", "range_max"), lows + highs)
    )


def learned_ranges(positions: Layout, state: Dict[str, tf.Tensor]) -> Tuple[tf.Tensor, tf.Tensor]:
    """Return the lower and upper ends of all ranges that can be learned, float32 ``[K]`` each."""
    low = tf.concat([state["held_min"], state["held_channel_min"], state["range_min"]], 0)
    return low, tf.concat([state["held_max"], state["held_channel_max"], state["range_max"]], 0)


def _unrounded_scale(low: tf.Tensor, high: tf.Tensor, spec: tf.Tensor) -> tf.Tensor:
    """Return the scale of ranges before it is raised to a power of two, as in :func:`.grid.choose_grid`."""
    unsigned_min, unsigned_max, half, symmetric, _ = tf.unstack(spec, num=len(GridSpec._fields))
    step = tf.maximum(tf.div_no_nan(low, unsigned_min - half), tf.div_no_nan(high, unsigned_max - half))
    return tf.where(symmetric > 0.5, step, tf.div_no_nan(high - low, unsigned_max - unsigned_min))


def _groups(positions: Layout) -> np.ndarray:
    """Return the group of each range that can be learned, int32 ``[K]``."""
    sizes = [channels.stop - channels.start for channels in positions.channels]
    return np.int32([*positions.weights, *np.repeat(positions.weights, sizes), *positions.activations])


def _in_order(positions: Layout, quantizers: LiveQuantizers) -> List[tf.Tensor]:
    """Return scale, minimum and maximum of the grids, ``[K]`` each.

    Those of channels are 0 while no tensor is quantized per channel.
    """
    whole, channels = quantizers.step_grids()
    weights, activations = [np.array(groups, np.int32) for groups in (positions.weights, positions.activations)]
    rows = tf.concat([tf.gather(whole, weights, axis=1), channels, tf.gather(whole, activations, axis=1)], 1)
    scale, _, minimum, maximum = tf.unstack(rows, num=4)
    return [scale, minimum, maximum]


def _value_counts(positions: Layout, batch_size: int) -> np.ndarray:
    """Return the number of values to which each range applies, float32 ``[K]``: those of the group's first tensor."""
    weights = [positions.leaders[group] for group in positions.weights]
    whole = [element_count(tensor.shape) for tensor in weights]
    channels = [number // tensor.num_channels for number, tensor in zip(whole, weights)]
    repeated = np.repeat(channels, [tensor.num_channels for tensor in weights])
    activations = [batch_size * element_count(positions.leaders[group].shape) for group in positions.activations]
    return np.float32([*whole, *repeated, *activations])


def gradient_sums(
    quantizers: LiveQuantizers, gradients: Dict[str, Optional[tf.Tensor]], learn: tf.Tensor
) -> GradientSums:
    """Return the sums over the examples of a forward pass.

    Parameters
    ----------
    quantizers : LiveQuantizers
        Quantizers of that forward pass.
    gradients : dict of str to tf.Tensor
        Gradient of the loss with respect to each of :func:`trained_tensors`; None where the loss does not depend on it.
    learn : tf.Tensor
        The array ``learn`` of :mod:`qatviz.quant.live_state`.
    """
    positions = quantizers.positions
    members: Dict[int, List[Tuple[QuantizedTensor, Quantized, tf.Tensor]]] = {}
    for name, gradient in gradients.items():
        group = positions.group_of[quantizers.plan.index(name)]
        known = [quantized.values for _, quantized, _ in members.get(group, [])]
        if gradient is not None and not any(values is quantizers.quantized[name].values for values in known):
            found = (quantizers.plan.tensor(name), quantizers.quantized[name], gradient)
            members.setdefault(group, []).append(found)
    by_channel = [
        _added(
            [_by_channel(*member) for member in members.get(group, [])],
            [positions.leaders[group].num_channels],
        )
        for group in positions.weights
    ]
    whole = [tf.reduce_sum(sums) for sums in by_channel]
    has_ends = tf.reduce_any(learn[LEARNED_METHODS.index(LEARNED_RANGE) :])
    products, outside, above = [], [], []
    for group in positions.activations:
        own = members.get(group, [])
        products.append(_added([_product(quantized, gradient) for _, quantized, gradient in own], []))
        ends = [_beyond(tensor, quantized, gradient, has_ends) for tensor, quantized, gradient in own]
        outside.append(_added([part for part, _ in ends], []))
        above.append(_added([part for _, part in ends], []))
    rest = tf.zeros([len(positions.weights) + positions.num_channels])
    return GradientSums(
        tf.concat([tf.stack(whole), *by_channel, tf.stack(products)], 0),
        tf.concat([rest, tf.stack(outside)], 0),
        tf.concat([rest, tf.stack(above)], 0),
    )


def _added(parts: Sequence[tf.Tensor], shape: List[int]) -> tf.Tensor:
    return tf.add_n(list(parts)) if parts else tf.zeros(shape)


def _by_channel(tensor: QuantizedTensor, quantized: Quantized, gradient: tf.Tensor) -> tf.Tensor:
    """Return ``u`` of each channel of weights, ``[num_channels]``."""
    inside = straight_through(gradient, quantized.source, quantized.clipped)
    parts = gradient * quantized.values - inside * quantized.source
    return tf.reduce_sum(tf.reshape(parts, [-1, tensor.num_channels]), axis=0)


def _product(quantized: Quantized, gradient: tf.Tensor) -> tf.Tensor:
    """Return ``u`` of activations, a scalar.

    The masked gradient is the one that the straight-through estimator passes on: the graph computes it once for both.
    """
    inside = straight_through(gradient, quantized.source, quantized.clipped)
    return _dot(gradient, quantized.values) - _dot(inside, quantized.source)


def _dot(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(x * y)


def _beyond(
    tensor: QuantizedTensor, quantized: Quantized, gradient: tf.Tensor, wanted: tf.Tensor
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Return the sums of the gradients of values outside the range and of those above it; 0 unless ``wanted``."""
    inside = straight_through(gradient, quantized.source, quantized.clipped)
    zero = switch(shared_constant(0.0), wanted)[0]
    all_, kept = [switch(part, wanted)[1] for part in (gradient, inside)]
    outside = _total(all_) - _total(kept)
    if tensor.nonnegative:
        above = outside
    else:
        source, clipped = [switch(part, wanted)[1] for part in (quantized.source, quantized.clipped)]
        above = _total(tf.where(source > clipped, all_, tf.zeros_like(all_)))
    return merge([zero, outside])[0], merge([zero, above])[0]


def _total(x: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.Sum(input=x, axis=all_axes(x))
