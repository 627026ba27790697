"""Oscillation of weights in the training graph: tracking, dampening and freezing.

They are defined in :mod:`qatviz.quant.oscillation`. The weights of all tensors are one vector here: a few operations
serve all tensors, so that they take little time to build. Steps that neither track nor freeze nor dampen do not run
them (:class:`qatviz.training.training_copy.Variant`).
"""

from typing import Dict, List, Mapping, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.oscillation_settings import CONSTANT, LINEAR, OSCILLATES, RAMPS
from qatviz.quant.constants import shared_constant
from qatviz.quant.frozen_levels import split
from qatviz.quant.gradients import rounded_values
from qatviz.quant.live import LiveQuantizers
from qatviz.quant.oscillation import FROZEN_LEVELS, MOMENTUM, NO_LEVEL, STATE
from qatviz.training.probes import MAX_CODE_BITS, histogram_of, histogram_stride
from qatviz.training.variables import StateVariable

Tensors = Dict[str, tf.Tensor]
Operations = Dict[str, tf.Operation]
_KINDS = list(RAMPS)


class OscillationSteps:
    """Operations that track, dampen and freeze weights in a training step.

    Parameters
    ----------
    quantizers : LiveQuantizers
        Quantizers of the training copy.
    values : dict of str to tf.Tensor
        Values of the variables before the step, by name.
    factors : dict of str to tf.Tensor
        :attr:`.Lowered.factors`.
    step : tf.Tensor
        int32 scalar: number of training steps before this one.

    Attributes
    ----------
    updates : dict of str to tf.Tensor
        Arrays of :data:`qatviz.quant.oscillation.STATE` after the step, by name.
    """

    def __init__(self, quantizers: LiveQuantizers, values: Tensors, factors: Tensors, step: tf.Tensor):
        self._quantizers, self._values, self._factors = quantizers, values, factors
        positions = quantizers.positions
        self._leaders = [positions.leaders[group] for group in positions.weights]
        self._shapes = [tensor.shape for tensor in self._leaders]
        self._ramps = tf.unstack(values["oscillation_ramps"], num=4)
        self._step = tf.cast(step, tf.float32)
        with tf.name_scope("oscillation"):
            # Not mixed with the float weights while the strength of quantization is below 1.
            self._rounded = {
                tensor.name: tf.stop_gradient(rounded_values(quantizers.quantized[tensor.name].values))
                for tensor in self._leaders
            }
            self.updates = self._tracked()
            self._frozen_weights = self._values_of_levels(split(self.updates[FROZEN_LEVELS], self._shapes))

    def dampened(self, gradients: Mapping[str, tf.Tensor]) -> Tensors:
        """Return ``gradients`` by parameter, with the gradient of dampening added to those of weights.

        The factors of batch norms that are folded into weights count as constants.
        """
        strengths = tf.unstack(self._values["dampening"], num=len(self._leaders))
        grown = _ramp(self._ramps[0], self._step, self._ramps[3])
        result = dict(gradients)
        for tensor, strength in zip(self._leaders, strengths):
            if tensor.name not in gradients:
                continue
            quantized = self._quantizers.quantized[tensor.name]
            rounded = self._rounded[tensor.name]
            source, clipped = tf.stop_gradient(quantized.source), tf.stop_gradient(quantized.clipped)
            pull = (clipped - rounded) * (2.0 * grown * strength)
            pull = tf.where(tf.equal(source, clipped), pull, tf.zeros_like(pull))
            if tensor.name in self._factors:
                pull *= self._factors[tensor.name]
            result[tensor.name] = gradients[tensor.name] + pull
        return result

    def freezing(self, variables: Mapping[str, StateVariable], updates: Operations) -> Operations:
        """Return ``updates`` by variable that also set frozen weights to the values of their levels, after the update.

        The float value of a frozen weight thus follows the scale; where batch norm multiplies it by 0, it stays.
        """
        result = dict(updates)
        for tensor, (is_frozen, frozen) in zip(self._leaders, self._frozen_weights):
            if tensor.name not in updates:
                continue
            with tf.control_dependencies([updates[tensor.name]]):
                variable = variables[tensor.name]
                result[tensor.name] = variable.assign(tf.where(is_frozen, frozen, variable.read()))
        return result

    def _tracked(self) -> Tensors:
        """Return the arrays of the state after the step; those of tensors that are not tracked are unchanged."""
        last, direction, frequency, average, frozen = [self._values[name] for name in STATE]
        level = tf.concat([tf.reshape(self._levels(index), [-1]) for index in range(len(self._leaders))], 0)
        is_tracked, freezes, threshold = self._of_weights()
        is_new = tf.equal(last, NO_LEVEL)
        sign = tf.sign(level - tf.where(is_new, level, last))
        reversed_ = tf.cast(tf.equal(sign * direction, -1), tf.float32)
        new_frequency = np.float32(MOMENTUM) * reversed_ + np.float32(1 - np.float32(MOMENTUM)) * frequency
        real = tf.cast(level, tf.float32)
        new_average = np.float32(MOMENTUM) * real + np.float32(1 - np.float32(MOMENTUM)) * average
        exceeds = tf.logical_and(freezes, new_frequency > threshold)
        exceeds = tf.logical_and(exceeds, tf.equal(frozen, NO_LEVEL))
        rounded = tf.cast(tf.floor(average + 0.5), tf.int32)
        new = (
            level,
            tf.where(tf.not_equal(sign, 0), sign, direction),
            new_frequency,
            tf.where(is_new, real, new_average),
            tf.where(exceeds, rounded, frozen),
        )
        return {name: tf.where(is_tracked, value, self._values[name]) for name, value in zip(STATE, new)}

    def _levels(self, index: int) -> tf.Tensor:
        """Return the levels of a tensor's quantized weights in the step, int32 ``[n, channels]``."""
        tensor = self._leaders[index]
        scale, _, _ = self._quantizers.code_parameters(tensor.name)
        values = tf.reshape(self._rounded[tensor.name], [-1, tensor.num_channels])
        return tf.cast(tf.floor(tf.div_no_nan(values, scale + tf.zeros_like(values)) + 0.5), tf.int32)

    def _of_weights(self) -> List[tf.Tensor]:
        """Return whether each weight is tracked, whether it may be frozen, and the threshold of its tensor, ``[N]``."""
        start, final = self._ramps[2], self._values["freeze_threshold"]
        threshold = start + (final - start) * _ramp(self._ramps[1], self._step, self._ramps[3])
        rows = [self._values["tracked"], self._values["freezes"], threshold]
        count = len(self._leaders)
        sizes = [shared_constant(np.array([np.prod(shape)]), np.int32) for shape in self._shapes]
        return [
            tf.concat([tf.fill(size, value) for size, value in zip(sizes, tf.unstack(row, num=count))], 0)
            for row in rows
        ]

    def _values_of_levels(self, levels: List[tf.Tensor]) -> List["_FrozenWeights"]:
        """Return the frozen weights of each tensor for its frozen ``levels``."""
        found = []
        for tensor, level in zip(self._leaders, levels):
            scale, _, _ = self._quantizers.code_parameters(tensor.name)
            rows = tf.cast(tf.reshape(level, [-1, tensor.num_channels]), tf.float32) * scale
            is_frozen, values = tf.not_equal(level, NO_LEVEL), tf.reshape(rows, tensor.shape)
            if tensor.name in self._factors:
                factor = self._factors[tensor.name] + tf.zeros_like(values)
                is_frozen = tf.logical_and(is_frozen, tf.not_equal(factor, 0.0))
                values = tf.div_no_nan(values, factor)
            found.append(_FrozenWeights(is_frozen, values))
        return found


class _FrozenWeights(NamedTuple):
    """Mask of the frozen weights of a tensor (bool), and their float values without batch norm (float32)."""

    is_frozen: tf.Tensor
    values: tf.Tensor


class OscillationProbe:
    """Measures of oscillation in a snapshot.

    Parameters
    ----------
    quantizers : LiveQuantizers
        Quantizers of the evaluation copy.
    edges : list of tf.Tensor
        Outer edges of the histogram of each weight tensor, float32 ``[2]``.
    frozen_levels, frequency : tf.Tensor
        Arrays of :data:`.oscillation.STATE`: the published one, and the live one of the training copy.

    Attributes
    ----------
    fetches : list of tf.Tensor
        The arrays of :class:`OscillationArrays`.
    """

    def __init__(
        self, quantizers: LiveQuantizers, edges: List[tf.Tensor], frozen_levels: tf.Tensor, frequency: tf.Tensor
    ):
        positions = quantizers.positions
        leaders = [positions.leaders[group] for group in positions.weights]
        shapes = [tensor.shape for tensor in leaders]
        oscillates = tf.cast(frequency > np.float32(OSCILLATES), tf.float32)
        oscillating = [tf.reduce_mean(part) for part in split(oscillates, shapes)]
        frozen, counts, bins = [], [], []
        for tensor, levels, ends in zip(leaders, split(frozen_levels, shapes), edges):
            is_frozen = tf.not_equal(levels, NO_LEVEL)
            frozen.append(tf.reduce_mean(tf.cast(is_frozen, tf.float32)))
            scale, zero_point, half = quantizers.code_parameters(tensor.name)
            known = tf.where(is_frozen, levels, tf.zeros_like(levels))
            rows = tf.reshape(known, [-1, tensor.num_channels])
            bins.append(_bins(tf.cast(rows, tf.float32) * scale, tf.reshape(is_frozen, tf.shape(rows)), ends))
            codes = rows + zero_point + half
            codes = tf.reshape(tf.clip_by_value(codes, 0, 2 * half - 1), tensor.shape)
            # 0 stands for weights that are not frozen, whose count is dropped.
            shifted = tf.reshape(tf.where(is_frozen, codes + 1, tf.zeros_like(codes)), [-1])
            size = 2**MAX_CODE_BITS + 1
            counts.append(tf.bincount(shifted, minlength=size, maxlength=size)[1:])
        self.fetches = [tf.stack(oscillating), tf.stack(frozen), tf.stack(counts), tf.stack(bins)]


class OscillationArrays(NamedTuple):
    """Measures of oscillation that a snapshot fetches, for ``W`` weight tensors.

    Attributes
    ----------
    oscillating, frozen : np.ndarray
        float32 ``[W]``: fractions of the weights that oscillate, and that are frozen.
    frozen_counts : np.ndarray
        int32 ``[W, codes]``: number of frozen weights of each code, from the lowest one on.
    frozen_bins : np.ndarray
        int32 ``[W, bins]``: number of frozen weights in each bin of the histogram, among the rows that it samples.
    """

    oscillating: np.ndarray
    frozen: np.ndarray
    frozen_counts: np.ndarray
    frozen_bins: np.ndarray


def _bins(values: tf.Tensor, is_frozen: tf.Tensor, edges: tf.Tensor) -> tf.Tensor:
    """Return the histogram of frozen weights: ``values`` ``[n, channels]``, of the rows that snapshots sample."""
    stride = histogram_stride(values.shape.num_elements())
    return histogram_of(tf.boolean_mask(values[::stride], is_frozen[::stride]), edges)


def _ramp(kind: tf.Tensor, step: tf.Tensor, period: tf.Tensor) -> tf.Tensor:
    """Return :func:`qatviz.oscillation_settings.ramp` in the graph; ``kind`` is the position in RAMPS, as float32."""
    t = tf.minimum(step / period, 1.0)
    cosine = (1.0 - tf.cos(np.float32(np.pi) * t)) / 2.0
    moving = tf.where_v2(tf.equal(kind, float(_KINDS.index(LINEAR))), t, cosine)
    return tf.where_v2(tf.equal(kind, float(_KINDS.index(CONSTANT))), 1.0, moving)
