"""Graph for corrections of states of a run, beside that of the run, built at the first correction that needs it."""

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.correction.statistics import MeanError
from qatviz.network.graph import WEIGHTED
from qatviz.network.plan import Unit
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant.live import LiveQuantizers
from qatviz.training.lowering.batch_norm import Operation, Quantizer, batch_statistics
from qatviz.training.lowering.forward_pass import float_weights, folded_batch_norms, lowered_layers
from qatviz.training.lowering.in_float import FloatTensors, InferenceLowering, Product
from qatviz.training.lowering.layers import Parameters
from qatviz.training.side_graph import SideGraph
from qatviz.training.variables import Loader


class _Layer(NamedTuple):
    """Tensors of a layer with weights in the networks of the graph.

    Attributes
    ----------
    input : tf.Tensor
        Input in the quantized network, float32 ``[batch, ...]``.
    output : tf.Tensor
        Output in the network in float, before the activation, float32 ``[batch, ..., channels]``.
    means : (tf.Tensor, tf.Tensor)
        Mean output of each channel before the activation, in float and quantized, float32 ``[channels]`` each.
    """

    input: tf.Tensor
    output: tf.Tensor
    means: Tuple[tf.Tensor, tf.Tensor]


class CorrectionGraph(SideGraph):
    """The network in float, quantized, and quantized with batch statistics; used by one thread at a time.

    Parameters
    ----------
    spec : RunSpec

    Attributes
    ----------
    units : tuple of Unit
        Those with weights, in order.
    """

    def __init__(self, spec: RunSpec):
        self.units = tuple(unit for unit in spec.plan.units if isinstance(unit.op, WEIGHTED))
        super().__init__(spec)
        self._callables: Dict[str, Callable[..., Any]] = {}

    def load(self, arrays: Mapping[str, np.ndarray], book: SettingsBook, step: int) -> None:
        """Set the state to that of a checkpoint's arrays, under the settings ``book`` after ``step`` steps."""
        self._load(self._session, {**arrays, **self._settings(book, step)})
        self._load_reference(self._session, arrays)

    def load_parameters(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Set the parameters of the quantized network; those in float, ranges and settings stay as they are."""
        self._load_parameters(self._session, arrays)

    def batch_statistics(self, indices: np.ndarray) -> List[Tuple[str, np.ndarray, np.ndarray]]:
        """Return the statistics of each batch norm for the training examples ``indices`` (int32 ``[n]``).

        They are its name, and mean and unbiased variance of its input, float32 ``[channels]`` each.
        """
        found = self._run("statistics", [(mean, variance) for _, mean, variance in self._statistics], indices)
        return [(name, mean, variance) for (name, _, _), (mean, variance) in zip(self._statistics, found)]

    def mean_error(self, unit: Unit, indices: np.ndarray) -> MeanError:
        """Return the mean outputs of a layer for the training examples ``indices`` (int32 ``[n]``)."""
        found = self._run("means " + unit.name, self._layers[unit.name].means, indices)
        return MeanError(*(np.asarray(mean, np.float64) for mean in found))

    def values(self, unit: Unit, indices: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Return a layer's input in the quantized network, and its output in float before the activation, float32.

        ``indices`` (int32 ``[n]``) are those of the training examples.
        """
        layer = self._layers[unit.name]
        found: Tuple[np.ndarray, np.ndarray] = self._run("values " + unit.name, [layer.input, layer.output], indices)
        return found

    def weight_grid(self, unit: Unit) -> Tuple[np.ndarray, np.ndarray]:
        """Return scale (float32; 0 if the quantizer is off) and zero point (int32) of a layer's weights.

        Both are ``[num_channels]``.
        """
        scale, zero_point = self._session.run(self._grids[unit.name])
        return scale, zero_point

    def _run(self, name: str, fetches: Any, indices: np.ndarray) -> Any:
        if name not in self._callables:
            self._callables[name] = self._session.make_callable(fetches, [self._examples])
        data = self._spec.dataset
        return self._callables[name](data.as_fed(data.x_train[indices]))

    def _build(self) -> None:
        network, plan = self._spec.network, self._spec.plan
        values = self._read_variables()
        self._examples = tf.placeholder(tf.float32, [None, *self._spec.dataset.x_train.shape[1:]], "examples")
        batch_norms = folded_batch_norms(plan, values, {})
        weights = float_weights(network, plan, values, batch_norms)
        quantizers = LiveQuantizers(plan, values, weights)
        reference = self._read_reference()
        of_reference = folded_batch_norms(plan, reference, {})
        in_float = InferenceLowering(network, plan, reference, FloatTensors(plan), of_reference, dropout_seed=None)
        quantized = InferenceLowering(network, plan, values, quantizers, batch_norms, dropout_seed=None)
        normalized = StatisticsLowering(network, plan, values, quantizers, batch_norms, dropout_seed=None)
        for lowering in (in_float, quantized, normalized):
            lowered_layers(self._examples, lowering)
        self._statistics = normalized.statistics
        floating = {product.unit.name: product for product in in_float.products}
        pairs: List[Tuple[Product, Product]] = [
            (floating[product.unit.name], product) for product in quantized.products
        ]
        self._layers = {
            own.unit.name: _Layer(own.input, other.result, (_channel_means(other.result), _channel_means(own.result)))
            for other, own in pairs
        }
        self._grids = {}
        for unit in self.units:
            _, zero_point, _ = quantizers.code_parameters(unit.weights)
            self._grids[unit.name] = [quantizers.channel_scales_in_use(unit.weights), zero_point]

    def _read_variables(self) -> Parameters:
        """Return the values of the parameters, ranges and settings, each in a variable that :meth:`load` sets."""
        parameters = self._parameters()
        # Without frozen levels: the float value of a frozen weight is that of its level.
        variables = {**self._quantization({}), **parameters}
        self._load, self._load_parameters = Loader(variables, sorted(variables)), Loader(variables, sorted(parameters))
        return {name: variable.read() for name, variable in variables.items()}

    def _read_reference(self) -> Parameters:
        """Return the values of the parameters of the network in float, which a correction does not change."""
        with tf.name_scope("reference"):
            variables = self._parameters()
            self._load_reference = Loader(variables, sorted(variables))
            return {name: variable.read() for name, variable in variables.items()}


def _channel_means(x: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(x, axis=list(range(x.shape.ndims - 1)))


class StatisticsLowering(InferenceLowering):
    """Quantized lowering in which each batch norm uses the statistics of its batch.

    See :class:`qatviz.correction.statistics.BatchNormMeans`.

    Attributes
    ----------
    statistics : list of (str, tf.Tensor, tf.Tensor)
        Name of each batch norm's owner, with mean and unbiased variance of the batch, float32 ``[channels]``.
    """

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.statistics: List[Tuple[str, tf.Tensor, tf.Tensor]] = []

    def _batch_normalized(self, unit: Unit, x: tf.Tensor, operation: Operation, quantizer: Quantizer) -> tf.Tensor:
        assert unit.batch_norm is not None
        name = unit.batch_norm.owner
        gamma, beta = self.parameters[name + ".gamma"], self.parameters[name + ".beta"]
        epsilon = np.float32(unit.batch_norm.epsilon)
        factor = gamma * tf.rsqrt(self.parameters[name + ".moving_variance"] + epsilon)
        output = operation(x, self.batch_norms[unit.name].weights, quantizer) / tf.where(
            tf.equal(factor, 0.0), tf.ones_like(factor), factor
        )
        bias = self.parameters.get(unit.bias)
        if bias is not None:
            output = output + bias
        mean, variance = batch_statistics(output)
        self.statistics.append((name, mean, variance))
        count = tf.cast(tf.size(output) // tf.size(gamma), tf.float32)
        biased = variance * (count - 1.0) / count
        return (output - mean) * gamma * tf.rsqrt(biased + epsilon) + beta
