"""Forward pass of a training step: batch statistics, dropout and plain float32 arithmetic.

Biases are not rounded, unless the run's setting ``round_biases`` is on: at 8 bits, a quantization step of their int32
grid is far smaller than the update of a training step.
"""

# A separate module, as the counterpart of evaluation.py.

from typing import Any, List, NamedTuple, Optional, cast

import tensorflow.compat.v1 as tf

from qatviz.network.layers import Dropout
from qatviz.network.plan import Unit
from qatviz.quant.bias_grid import with_rounded_bias
from qatviz.training.lowering.batch_norm import Moments, Operation, Quantizer
from qatviz.training.lowering.layers import LayerLowering


class BatchPart(NamedTuple):
    """Consecutive examples of a batch, of which a tower computes the forward pass.

    Attributes
    ----------
    start, stop : int
        The first example, and the one after the last.
    size : int
        Number of examples of the whole batch.
    moments : callable, optional
        That of :class:`qatviz.training.lowering.batch_norm.FoldedBatchNorm`; None: batch norm uses those of the part.
    """

    start: int
    stop: int
    size: int
    moments: Optional[Moments] = None


class TrainingLowering(LayerLowering):
    """Lowering of layers for training; ``dropout_seed`` (int32 ``[2]``) determines the dropped units.

    An example of a ``part`` drops the same units as it would in the whole batch.
    """

    def __init__(self, *arguments: Any, dropout_seed: Optional[tf.Tensor], part: Optional[BatchPart] = None):
        super().__init__(*arguments)
        self._dropout_seed, self._part = dropout_seed, part

    def _bias(self, unit: Unit) -> Optional[tf.Tensor]:
        bias = self.parameters.get(unit.bias)
        return bias if bias is None else self._rounded(unit, bias, bias)

    def _batch_normalized(self, unit: Unit, x: tf.Tensor, operation: Operation, quantizer: Quantizer) -> tf.Tensor:
        # The exported bias is that of the moving statistics, and so is its rounding error.
        folded = self.batch_norms[unit.name]
        return self._rounded(unit, folded.normalized(x, operation, quantizer), folded.bias)

    def _rounded(self, unit: Unit, x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        """Return ``x`` as if ``bias``, which it contains, were rounded as in exports, if the setting is on."""
        if not self.quantizers.has_methods:
            return x
        return with_rounded_bias(self.quantizers, x, bias, unit.weights, self.plan.grid_of(unit.inputs[0]))

    def _products(self, unit: Unit, x: tf.Tensor) -> tf.Tensor:
        return x

    def _mean(self, unit: Unit, mean: tf.Tensor, count: int) -> tf.Tensor:
        return mean

    def _pooled(self, unit: Unit, x: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
        return mean

    def _interpolated(self, unit: Unit, x: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        return values

    def _sum(self, unit: Unit, inputs: List[tf.Tensor], total: tf.Tensor) -> tf.Tensor:
        return total

    def _product(self, unit: Unit, inputs: List[tf.Tensor], product: tf.Tensor) -> tf.Tensor:
        return product

    def _matrix_product(self, unit: Unit, inputs: List[tf.Tensor], product: tf.Tensor) -> tf.Tensor:
        return product

    def _function(self, unit: Unit, x: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        return values

    def _probabilities(self, unit: Unit, x: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        return values

    def _dropout(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        op = cast(Dropout, unit.op)
        rate = op.rate
        if rate == 0:
            return inputs[0]
        position = [u.name for u in self.plan.units].index(unit.name)
        shape = tf.shape(inputs[0])
        if op.shared_axes:
            shape = tf.stack([1 if axis - 1 in op.shared_axes else shape[axis] for axis in range(inputs[0].shape.rank)])
        part = self._part
        if part is not None:
            shape = tf.concat([[part.size], shape[1:]], 0)
        noise = tf.random.stateless_uniform(shape, tf.add(self._dropout_seed, [position, 0]))
        if part is not None:
            noise = noise[part.start : part.stop]
        keep = tf.cast(noise >= rate, tf.float32) / (1.0 - rate)
        return inputs[0] * keep
