"""Forward pass of inference in float, with the tensors at which quantization would change it."""

from typing import Any, Callable, Dict, List, NamedTuple, Tuple

import tensorflow.compat.v1 as tf

from qatviz.network.embedding import Embedding
from qatviz.network.graph import Network
from qatviz.network.plan import QuantizationPlan, Unit
from qatviz.quant.live import LiveQuantizers
from qatviz.settings import WEIGHTS
from qatviz.training.lowering.batch_norm import Operation, Quantizer
from qatviz.training.lowering.forward_pass import float_weights, folded_batch_norms, lowered_outputs
from qatviz.training.lowering.layers import Parameters, linear
from qatviz.training.lowering.training import TrainingLowering


class Product(NamedTuple):
    """Use of weights in a unit: for its ``input``, the ``result`` is a linear function of the weights."""

    unit: Unit
    input: tf.Tensor
    result: tf.Tensor

    def change(self, error: tf.Tensor) -> tf.Tensor:
        """Return the change of the result if ``error`` is added to the weights."""
        if isinstance(self.unit.op, Embedding):
            return tf.gather(error, tf.cast(self.input, tf.int32))
        return linear(self.unit.op, self.input, error)


class InFloat(NamedTuple):
    """Forward pass in float.

    Attributes
    ----------
    outputs : tuple of tf.Tensor
        As in :class:`qatviz.training.lowering.forward_pass.Lowered`.
    weights : dict of str to tf.Tensor
        Weights by name, with batch norm folded in.
    activations : dict of str to tf.Tensor
        Values that have a quantizer, by name; all layers that use the values use these tensors.
    products : tuple of Product
        Products of all units with weights.
    """

    outputs: Tuple[tf.Tensor, ...]
    weights: Parameters
    activations: Parameters
    products: Tuple[Product, ...]


def lower_in_float(network: Network, plan: QuantizationPlan, examples: tf.Tensor, parameters: Parameters) -> InFloat:
    """Build the forward pass for ``examples``, float32 ``[batch] + network.input_shape``.

    Raises
    ------
    NetworkError
        If no layer has weights.
    """
    batch_norms = folded_batch_norms(plan, parameters, {})
    weights = float_weights(network, plan, parameters, batch_norms)
    tensors = FloatTensors(plan)
    lowering = InferenceLowering(network, plan, parameters, tensors, batch_norms, dropout_seed=None)
    outputs = lowered_outputs(examples, lowering)
    return InFloat(outputs, weights, tensors.activations, tuple(lowering.products))


class FloatTensors(LiveQuantizers):
    """Quantizers that return all values unchanged, and collect those of activations."""

    def __init__(self, plan: QuantizationPlan):  # without the arrays of the base class
        self.plan = plan
        self.activations: Dict[str, tf.Tensor] = {}

    def quantizer(self, name: str, observe: bool = True) -> Callable[[tf.Tensor], tf.Tensor]:
        return lambda x: self.register(name, x)

    def register(self, name: str, x: tf.Tensor) -> tf.Tensor:
        if self.plan.tensor(name).kind == WEIGHTS:
            return x
        self.activations[name] = tf.identity(x)
        return self.activations[name]

    def scale_in_use(self, name: str) -> tf.Tensor:
        return tf.constant(0.0)

    def round_to_grid(self, name: str, value: float) -> tf.Tensor:
        return tf.constant(value)


class InferenceLowering(TrainingLowering):
    """Lowering of layers with the moving statistics of batch norm and without dropout."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.products: List[Product] = []
        self._input: tf.Tensor = None

    def unit(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        self._input = inputs[0]
        return super().unit(unit, inputs)

    def _rounded(self, unit: Unit, x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        return x

    def _batch_normalized(self, unit: Unit, x: tf.Tensor, operation: Operation, quantizer: Quantizer) -> tf.Tensor:
        folded = self.batch_norms[unit.name]
        return tf.nn.bias_add(operation(x, folded.weights, quantizer), folded.bias)

    def _products(self, unit: Unit, x: tf.Tensor) -> tf.Tensor:
        self.products.append(Product(unit, self._input, x))
        return x

    def _embedding(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        return self._products(unit, super()._embedding(unit, inputs))

    def _dropout(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        return inputs[0]
