"""Batch norm folded into the layer before it, as ``tf.contrib.quantize`` folds it.

The quantized weights are always those of inference, ``w * gamma / sigma`` with the *moving* sigma. In training, the
layer's output is then rescaled by ``sigma / sigma_batch``, so that it is normalized by the batch as usual, while the
quantized weights do not vary from batch to batch. The batch statistics are those of the layer with float weights, which
requires a second convolution. If batch norm is frozen, training uses it as in inference, without that convolution.

With a single convolution, the batch statistics are those of the layer with its quantized weights, after division by
the factor of the folding: with ``f = gamma / sigma`` and the quantizer ``q``,

    y = gamma * (z - mean(z)) / sqrt(var(z) + epsilon) + beta,    z = conv(x, q(w * f) / f).

A channel with ``f = 0``, whose folded weights are 0, uses ``w`` instead of ``q(w * f) / f``, so that its gamma has a
gradient.

Sources: ``tensorflow/contrib/quantize/python/fold_batch_norms.py`` and Krishnamoorthi 2018 (arXiv:1806.08342), 3.2.2;
for the single convolution, ``torch.ao.nn.intrinsic.qat.ConvBn2d`` and Jacob et al. 2018 (arXiv:1712.05877), 3.2.
"""

from typing import Callable, Dict, List, NamedTuple, Optional, Tuple, Union

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.network.layer import element_count
from qatviz.network.layers import DepthwiseConv2D
from qatviz.network.plan import Unit
from qatviz.quant.constants import shared_constant
from qatviz.training.variables import scope_name

_STATISTICS_GRADIENT, _NORMALIZATION_GRADIENT = "QatvizBatchStatistics", "QatvizBatchNormalization"
#: A number that is known when the graph is built, or a tensor.
Number = Union[np.float32, np.ndarray, tf.Tensor]
#: Function from mean, unbiased variance and count of a part of a batch to those of the whole batch.
Moments = Callable[[tf.Tensor, tf.Tensor, Number], Tuple[tf.Tensor, tf.Tensor, Number]]
_ONE = np.float32(1)
Quantizer = Callable[[tf.Tensor], tf.Tensor]
#: Layer with weights, as a function from input, weights and their quantizer to output.
Operation = Callable[[tf.Tensor, tf.Tensor, Quantizer], tf.Tensor]


class BatchNormMode(NamedTuple):
    """How a batch norm normalizes in training, bool tensors; scalars for one batch norm, otherwise ``[n]``.

    Attributes
    ----------
    frozen
        Use the moving statistics, as in inference, and leave them unchanged.
    single, double
        Otherwise, use the batch's statistics: those of the layer with its quantized weights, or with its float weights,
        which takes a second convolution. ``single`` is None in a graph without the method, which spares its operations.
    """

    frozen: tf.Tensor
    single: Optional[tf.Tensor]
    double: tf.Tensor

    @classmethod
    def of(cls, frozen: tf.Tensor, is_single: Optional[tf.Tensor]) -> "BatchNormMode":
        """Return the mode for bool tensors ``[n]``: which are frozen, and which of the others use one convolution."""
        if is_single is None:
            return cls(frozen, None, tf.logical_not(frozen))
        single = tf.logical_and(is_single, tf.logical_not(frozen))
        return cls(frozen, single, tf.logical_not(tf.logical_or(frozen, single)))

    def each(self, number: int) -> List["BatchNormMode"]:
        """Return the modes of ``number`` batch norms."""
        columns = [[None] * number if flags is None else tf.unstack(flags, num=number) for flags in self]
        return [BatchNormMode(*flags) for flags in zip(*columns)]


class FoldedBatchNorm:
    """Batch norm folded into the weights and bias of one unit, or of several units that share all of these.

    Parameters
    ----------
    unit : Unit
        Unit with a batch norm.
    parameters : dict of str to tf.Tensor
        All parameters by ``layer.parameter``.
    mode : BatchNormMode or None
        None for evaluation, without :meth:`normalized`.
    moments : callable (mean, variance, count), optional
        Returns these three for the whole batch from those of a tower's part; ``variance`` is unbiased.

    Attributes
    ----------
    weights : tf.Tensor
        ``w * gamma / sigma``: the weights to quantize.
    factor : tf.Tensor
        ``gamma / sigma``, in a shape that broadcasts against the weights.
    bias : tf.Tensor
        ``beta + (own_bias - mean) * gamma / sigma`` with the moving statistics; ``own_bias`` is the layer's, or 0.
    updates : dict of str to tf.Tensor
        New moving statistics, after :meth:`normalized`.
    """

    def __init__(
        self,
        unit: Unit,
        parameters: Dict[str, tf.Tensor],
        mode: Optional[BatchNormMode],
        moments: Optional[Moments] = None,
    ):
        assert unit.batch_norm is not None
        self._batch_norm, self._mode, self._moments = unit.batch_norm, mode, moments
        name = self._batch_norm.owner
        self._gamma, self._beta = parameters[name + ".gamma"], parameters[name + ".beta"]
        self._mean, self._variance = parameters[name + ".moving_mean"], parameters[name + ".moving_variance"]
        self._own_bias = parameters.get(unit.bias)
        self._epsilon = _filled_like(self._batch_norm.epsilon, self._variance)
        self._float_weights = weights = parameters[unit.weights]
        with tf.name_scope(scope_name(name)):
            rsqrt = _exact_rsqrt if mode is None else tf.rsqrt
            self._sigma_squared = self._variance + self._epsilon
            self._factor = self._gamma * rsqrt(self._sigma_squared)
            #: Shape in which a vector of all channels broadcasts against the weights.
            self._channels = weights.shape[2:] if isinstance(unit.op, DepthwiseConv2D) else weights.shape[-1:]
            self.factor = self._by_channel(self._factor)
            self.weights = weights * self.factor
            self.bias = self._beta + self._factor * self._shift(self._mean)
        self.updates: Dict[str, tf.Tensor] = {}

    def normalized(self, x: tf.Tensor, operation: Operation, quantizer: Quantizer) -> tf.Tensor:
        """Return the training output of ``operation`` for ``x``: normalized, with bias; see the module's docstring."""
        assert self._mode is not None, "evaluation does not normalize by batches"
        mode: BatchNormMode = self._mode
        x, x_of_second = _gated(x, mode.double)
        output = operation(x, self.weights, lambda weights: self._unscaled(quantizer(weights), mode.single))
        # Only large operations are in conditionals, which add several operations for each one, and for its gradient.
        mean, variance = tf.cond(
            mode.double,
            lambda: batch_statistics(operation(x_of_second, self._float_weights, lambda weights: weights)),
            lambda: (tf.identity(self._mean), tf.identity(self._variance)),
        )
        count = _count(output)
        if self._moments is not None:
            assert mode.single is not None, "towers have all methods"
            output, of_moments = _gated(output, mode.single)
            mean, variance = tf.cond(
                mode.single, lambda: batch_statistics(of_moments), lambda: (tf.identity(mean), tf.identity(variance))
            )
            mean, variance, count = self._moments(mean, variance, count)
        biased = variance * _filled_like((count - _ONE) / count, variance)
        sigma_squared = biased + self._epsilon
        ratio = tf.rsqrt(sigma_squared) * tf.sqrt(self._sigma_squared)
        own_mean = mean if self._own_bias is None else mean + self._own_bias
        bias = self._beta + self._gamma * tf.rsqrt(sigma_squared) * self._shift(own_mean)
        if self._moments is not None:
            # The fused kernel of a single convolution would normalize by the part's moments.
            ratio = tf.where(mode.single, self._gamma * tf.rsqrt(sigma_squared), ratio)
            ratio = tf.where(mode.frozen, _filled_like(1.0, ratio), ratio)
            result = tf.nn.bias_add(output * ratio, tf.where(mode.frozen, self.bias, bias))
            self._update(own_mean, variance, mode.frozen)
            return result
        ratio = tf.where(mode.double, ratio, _filled_like(1.0, ratio))
        bias = tf.where(mode.double, bias, self.bias)
        if mode.single is None:
            result = tf.nn.bias_add(output * ratio, bias)
        else:
            result, mean, variance = tf.cond(
                mode.single,
                lambda: batch_normalized(output, self._gamma, self._beta, self._batch_norm.epsilon),
                lambda: (tf.nn.bias_add(output * ratio, bias), tf.identity(mean), tf.identity(variance)),
            )
        self._update(mean if self._own_bias is None else mean + self._own_bias, variance, mode.frozen)
        return result

    def _by_channel(self, vector: tf.Tensor) -> tf.Tensor:
        """Return a vector of all channels in the shape in which it is multiplied with the weights."""
        return vector if len(self._channels) == 1 else tf.reshape(vector, self._channels)

    def _unscaled(self, quantized: tf.Tensor, is_single: Optional[tf.Tensor]) -> tf.Tensor:
        """Return the weights of the convolution; for a single one, they are divided by the factor of the folding.

        Channels whose factor is 0 then have the float weights; see the module's docstring.
        """
        if is_single is None:
            return quantized
        is_zero = tf.equal(self._factor, 0.0)
        one = _filled_like(1.0, self._factor)
        divisor = tf.where(tf.logical_and(is_single, tf.logical_not(is_zero)), self._factor, one)
        in_float = tf.cast(tf.logical_and(is_single, is_zero), tf.float32)
        return quantized / self._by_channel(divisor) + self._float_weights * self._by_channel(in_float)

    def _update(self, mean: tf.Tensor, variance: tf.Tensor, is_frozen: tf.Tensor) -> None:
        """Set :attr:`updates` for the batch's mean and unbiased variance, of which tf.layers keeps averages, too."""
        mean_name, variance_name = (f"{self._batch_norm.owner}.moving_{what}" for what in ("mean", "variance"))
        # If several layers share the batch norm, each one continues from the result of the one before.
        self.updates = {
            mean_name: self._next_average(self.updates.get(mean_name, self._mean), mean, is_frozen),
            variance_name: self._next_average(self.updates.get(variance_name, self._variance), variance, is_frozen),
        }

    def _next_average(self, average: tf.Tensor, new: tf.Tensor, is_frozen: tf.Tensor) -> tf.Tensor:
        """Return the next value of a moving average."""
        rate = _filled_like(1.0 - self._batch_norm.momentum, average)
        return tf.where(is_frozen, average, average + (new - average) * rate)

    def _shift(self, mean: tf.Tensor) -> tf.Tensor:
        """Return the shift of the output before scaling; ``mean`` includes the layer's own bias."""
        return -mean if self._own_bias is None else self._own_bias - mean


def batch_statistics(x: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """Return mean and (unbiased) variance over all axes but the last.

    The fused batch norm kernel is several times faster than ``tf.nn.moments``. Its normalized output is not used, and
    its gradient is replaced, because TensorFlow's ignores the statistics.
    """
    image = x if x.shape.ndims == 4 else x[:, None, None, :]
    channels = int(x.shape[-1])
    with tf.get_default_graph().gradient_override_map({"FusedBatchNormV3": _STATISTICS_GRADIENT}):
        fused = tf.raw_ops.FusedBatchNormV3(
            x=image,
            scale=np.ones(channels, np.float32),
            offset=np.zeros(channels, np.float32),
            mean=np.zeros(0, np.float32),
            variance=np.zeros(0, np.float32),
            epsilon=1e-3,
            is_training=True,
        )
    return fused.batch_mean, fused.batch_variance


def batch_normalized(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return ``x`` normalized by its own statistics, and these: mean and (unbiased) variance, which have no gradient.

    The gradient of the fused kernel is replaced by one that takes half as long on a CPU.
    """
    image = x if x.shape.ndims == 4 else x[:, None, None, :]
    with tf.get_default_graph().gradient_override_map({"FusedBatchNormV3": _NORMALIZATION_GRADIENT}):
        fused = tf.raw_ops.FusedBatchNormV3(
            x=image,
            scale=gamma,
            offset=beta,
            mean=np.zeros(0, np.float32),
            variance=np.zeros(0, np.float32),
            epsilon=epsilon,
            is_training=True,
        )
    y = fused.y if x.shape.ndims == 4 else fused.y[:, 0, 0, :]
    return y, fused.batch_mean, fused.batch_variance


def _gated(x: tf.Tensor, is_used: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """Return ``x`` twice; the second one exists only while ``is_used`` (bool scalar), and so does its gradient.

    A conditional that uses ``x`` itself would add an array of zeros to the gradient while it is not executed.
    """
    unused, used = tf.raw_ops.Switch(data=x, pred=is_used)
    return tf.raw_ops.Merge(inputs=[unused, used]).output, used


def _count(x: tf.Tensor) -> Number:
    """Return the number of values per channel, float32: a NumPy scalar if known, otherwise a tensor."""
    inner = np.float32(element_count(tuple(x.shape.as_list()[1:-1])))
    batch = x.shape.as_list()[0]
    return inner * (tf.cast(tf.shape(x)[0], tf.float32) if batch is None else np.float32(batch))


def _at_least_one(count: Number) -> Number:
    return tf.maximum(count, _ONE) if tf.is_tensor(count) else max(count, _ONE)


def _full(value: Number, x: tf.Tensor) -> Number:
    return value if tf.is_tensor(value) else np.full(x.shape.as_list(), value, np.float32)


def _filled_like(value: Number, x: tf.Tensor) -> tf.Tensor:
    """Return a number as an array of the shape of ``x``, because broadcasting adds four operations to the gradient.

    A tensor is returned as it is.
    """
    return value if tf.is_tensor(value) else shared_constant(_full(value, x))


def _exact_rsqrt(x: tf.Tensor) -> tf.Tensor:
    """Return ``1 / sqrt(x)`` computed in double precision, for evaluation.

    The float32 kernel starts from the processor's estimate, with an error of several ULPs that depends on the
    processor, so that an export could not reproduce the same integers.
    """
    return tf.cast(tf.rsqrt(tf.cast(x, tf.float64)), tf.float32)


@tf.RegisterGradient(_STATISTICS_GRADIENT)  # type: ignore[misc]  # untyped decorator
def _batch_statistics_gradient(
    op: tf.Operation, _: tf.Tensor, mean_gradient: tf.Tensor, variance_gradient: tf.Tensor, *unused: tf.Tensor
) -> Tuple[tf.Tensor, None, None, None, None]:
    """Return the gradient with respect to x, affine for each channel.

    The derivative of the mean is ``1/n``, that of the unbiased variance ``2 (x - mean) / (n - 1)``.
    """
    x, mean = op.inputs[0], op.outputs[1]
    count = _count(x)
    # Within a conditional, local constants cost less than shared ones.
    slope = _full(2.0, mean) * variance_gradient / _full(_at_least_one(count - _ONE), mean)
    return (x * slope + (mean_gradient / _full(count, mean) - slope * mean), None, None, None, None)


@tf.RegisterGradient(_NORMALIZATION_GRADIENT)  # type: ignore[misc]  # untyped decorator
def _normalization_gradient(
    op: tf.Operation, gradient: tf.Tensor, *unused: tf.Tensor
) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor, None, None]:
    """Return the gradients with respect to x, gamma and beta (Ioffe and Szegedy 2015, section 3).

    With ``n`` values per channel, ``r = 1 / sqrt(var + epsilon)``, ``s = sum(dy)`` and ``t = sum(dy * (x - mean))``:
    ``dx = gamma * r * (dy - s / n - (x - mean) * r**2 * t / n)``, ``dgamma = r * t``, ``dbeta = s``.
    """
    x, gamma, mean, count = op.inputs[0], op.inputs[1], op.outputs[1], _count(op.inputs[0])
    variance = op.outputs[2] * _full((count - _ONE) / count, gamma)
    rsqrt = tf.rsqrt(variance + _full(op.get_attr("epsilon"), gamma))
    # The sums of the bias' gradient are the fastest ones on a CPU.
    total = tf.raw_ops.BiasAddGrad(out_backprop=gradient)
    product = tf.raw_ops.BiasAddGrad(out_backprop=gradient * x) - mean * total
    slope = tf.square(rsqrt) * product / _full(count, gamma)
    shift = total / _full(count, gamma) - slope * mean
    return ((gradient - (x * slope + shift)) * (gamma * rsqrt), rsqrt * product, total, None, None)
