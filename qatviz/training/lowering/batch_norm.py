"""Batch norm folded into the layer before it, as ``tf.contrib.quantize`` folds it.

The quantized weights are always those of inference, ``w * gamma / sigma`` with the *moving* sigma. In training, the
layer's output is then rescaled by ``sigma / sigma_batch``, so that it is normalized by the batch as usual, while the
quantized weights do not vary from batch to batch. The batch statistics are those of the layer with float weights, which
requires a second convolution. If batch norm is frozen, training uses it as in inference, without that convolution.

Source: ``tensorflow/contrib/quantize/python/fold_batch_norms.py`` and Krishnamoorthi 2018 (arXiv:1806.08342), 3.2.2.
"""

from typing import Callable, Dict, Optional, Tuple, Union

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.network.layer import element_count
from qatviz.network.layers import DepthwiseConv2D
from qatviz.network.plan import Unit
from qatviz.quant.constants import shared_constant
from qatviz.training.variables import scope_name

_STATISTICS_GRADIENT = "QatvizBatchStatistics"
#: A number that is known when the graph is built, or a tensor.
Number = Union[np.float32, np.ndarray, tf.Tensor]
#: Mean, unbiased variance and count of a part of a batch to those of the whole batch.
Moments = Callable[[tf.Tensor, tf.Tensor, Number], Tuple[tf.Tensor, tf.Tensor, Number]]
_ONE = np.float32(1)


class FoldedBatchNorm:
    """Batch norm folded into the weights and bias of one unit, or of several units that share all of these.

    Parameters
    ----------
    unit : Unit
        Unit with a batch norm.
    parameters : dict of str to tf.Tensor
        All parameters by ``layer.parameter``.
    frozen : tf.Tensor or None
        bool scalar: True to use the moving statistics, as in inference, and to leave them unchanged. None for
        evaluation, without :meth:`corrected`.
    moments : callable (mean, variance, count), optional
        Returns these three for the whole batch from those of a tower's part; ``variance`` is unbiased.

    Attributes
    ----------
    weights : tf.Tensor
        ``w * gamma / sigma``: the weights to quantize.
    bias : tf.Tensor
        ``beta - mean * gamma / sigma`` (plus the layer's own bias, scaled), of the moving statistics.
    updates : dict of str to tf.Tensor
        New moving statistics, after :meth:`corrected`.
    """

    def __init__(
        self,
        unit: Unit,
        parameters: Dict[str, tf.Tensor],
        frozen: Optional[tf.Tensor],
        moments: Optional[Moments] = None,
    ):
        assert unit.batch_norm is not None
        self._moments = moments
        self._batch_norm, self._frozen = unit.batch_norm, frozen
        name = self._batch_norm.owner
        self._gamma, self._beta = parameters[name + ".gamma"], parameters[name + ".beta"]
        self._mean, self._variance = parameters[name + ".moving_mean"], parameters[name + ".moving_variance"]
        self._own_bias = parameters.get(unit.bias)
        self._epsilon = _filled_like(self._batch_norm.epsilon, self._variance)
        weights = parameters[unit.weights]
        with tf.name_scope(scope_name(name)):
            rsqrt = _exact_rsqrt if frozen is None else tf.rsqrt
            self._sigma_squared = self._variance + self._epsilon
            self._factor = self._gamma * rsqrt(self._sigma_squared)
            factor = self._factor
            if isinstance(unit.op, DepthwiseConv2D):
                factor = tf.reshape(factor, weights.shape[2:])
            self.weights = weights * factor
            self.bias = self._beta + self._factor * (self._shift(self._mean))
        self.updates: Dict[str, tf.Tensor] = {}

    def corrected(self, output: tf.Tensor, float_output: Callable[[], tf.Tensor]) -> tf.Tensor:
        """Return the training output: ``output`` of the folded, quantized weights, normalized by batch statistics.

        ``float_output`` builds the layer with its float weights; it runs only while batch norm is not frozen.
        """
        # Only the convolution is in the conditional, which adds several operations for each one, and for its gradient.
        mean, variance = tf.cond(
            self._frozen,
            lambda: (tf.identity(self._mean), tf.identity(self._variance)),
            lambda: batch_statistics(float_output()),
        )
        count = _count(output)
        if self._moments is not None:
            mean, variance, count = self._moments(mean, variance, count)
        variance = variance * _filled_like((count - _ONE) / count, variance)
        sigma_squared = variance + self._epsilon
        ratio = tf.rsqrt(sigma_squared) * tf.sqrt(self._sigma_squared)
        if self._own_bias is not None:
            mean = mean + self._own_bias
        bias = self._beta + self._gamma * tf.rsqrt(sigma_squared) * self._shift(mean)
        # The moving variance is the unbiased estimate, as tf.layers keeps it.
        unbiased = variance * _filled_like(count / _at_least_one(count - _ONE), variance)
        mean_name, variance_name = (f"{self._batch_norm.owner}.moving_{what}" for what in ("mean", "variance"))
        # Each of several layers that share it updates the result of the one before.
        self.updates = {
            mean_name: self._next_average(self.updates.get(mean_name, self._mean), mean),
            variance_name: self._next_average(self.updates.get(variance_name, self._variance), unbiased),
        }
        ratio, bias = tf.where(self._frozen, _filled_like(1.0, ratio), ratio), tf.where(self._frozen, self.bias, bias)
        return tf.nn.bias_add(output * ratio, bias)

    def _next_average(self, average: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
        """Return the next value of a moving average."""
        rate = _filled_like(1.0 - self._batch_norm.momentum, average)
        return tf.where(self._frozen, average, average + (new - average) * rate)

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
    """Return a number as an array of the shape of ``x``: broadcasting would add four operations to the gradient."""
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
    """Return the gradient of mean, ``1/n``, and unbiased variance, ``2 (x - mean) / (n - 1)``: affine per channel."""
    x, mean = op.inputs[0], op.outputs[1]
    count = _count(x)
    # Inside of a conditional, local constants cost less than shared ones.
    slope = _full(2.0, mean) * variance_gradient / _full(_at_least_one(count - _ONE), mean)
    return (x * slope + (mean_gradient / _full(count, mean) - slope * mean), None, None, None, None)
