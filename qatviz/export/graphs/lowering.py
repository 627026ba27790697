"""Lowering of a trained network to a TensorFlow inference graph of constants and common operations.

The graph rounds with TensorFlow's own ``FakeQuantWithMinMaxVars`` and ``FakeQuantWithMinMaxVarsPerChannel`` at constant
ranges, which converters and viewers support, instead of the operations of the training graph, whose settings can
change. Weights are stored as the values of their codes, because TensorFlow 1 and 2 round weights next to a tie
differently.

It has a placeholder ``input``, float32 ``[batch] + input shape``; the output ``logits`` and, for classes, the outputs
``probabilities`` and ``class``, for several labels ``probabilities`` and ``labels``; and a string constant ``about``
with its description (JSON). If the network has several outputs, their names precede these: ``box/logits``. Layers are
in the scope ``network``, under their names.
"""

import json
from dataclasses import replace
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.export.fake_quant.model import ExactSums, ExactTable, FakeQuantModel, FakeQuantUnit, TieBreaker
from qatviz.export.fake_quant.ranges import kernel_range
from qatviz.export.integers.model import Positions
from qatviz.losses import is_single_logit
from qatviz.network.activations import Activation
from qatviz.network.elementwise import Multiply, Sum
from qatviz.network.graph import Network
from qatviz.network.layer import Layer, element_count
from qatviz.network.layers import (
    AveragePool,
    Concat,
    Conv2D,
    Conv2DTranspose,
    DepthwiseConv2D,
    MaxPool,
    UpsampleBilinear,
    ZeroPad,
)
from qatviz.network.matmul import MatMul
from qatviz.quant.affine import AffineGrid
from qatviz.quant.exact_sums import MEAN_WEIGHT, SNAP_REACH
from qatviz.quant.interpolation import interpolation_weights
from qatviz.task import CLASSIFICATION, MULTILABEL, SEGMENTATION
from qatviz.training.lowering.layers import combined, interpolated, linear, moved, multiplied, transposed

LOGITS, PROBABILITIES, CLASS, LABELS, ABOUT = "logits", "probabilities", "class", "labels", "about"
_SCOPE = "network"


class InferenceGraph(NamedTuple):
    """A graph with the names in it.

    Attributes
    ----------
    definition : tf.GraphDef
    outputs : tuple of str
        Names of its output nodes.
    tensors : dict of str to str
        Name of the output tensor of each unit of the network, by the layer's name, and of the inputs.
    inputs : tuple of (str, tuple of int)
        Names and shapes of its placeholders.
    """

    definition: Any
    outputs: Tuple[str, ...]
    tensors: Dict[str, str]
    inputs: Tuple[Tuple[str, Tuple[int, ...]], ...]


def inference_graph(
    model: FakeQuantModel,
    about: Dict[str, Any],
    tasks: Sequence[str] = (CLASSIFICATION,),
    exact: bool = False,
    pool_ties: bool = True,
) -> InferenceGraph:
    """Return the graph of a model.

    Parameters
    ----------
    model : FakeQuantModel
    about : dict
        JSON-able: value of the constant ``about``.
    tasks : sequence of str
        Task of each output. A single logit of a classification is that of the second of two classes.
    exact : bool
        Add operations in double precision that snap results to the exact codes.
    pool_ties : bool
        Add operations that round ties of an AveragePool as TFLite's int8 kernel does. Without them, they are rounded
        up, as by its uint8 kernel.
    """
    network = model.network
    graph = tf.Graph()
    with graph.as_default():
        given = {name: tf.placeholder(network.input_type(name), (None, *shape), name) for name, shape in network.inputs}
        tf.constant(json.dumps(about, sort_keys=True), name=ABOUT)
        with tf.name_scope(_SCOPE + "/"):
            outputs = {}
            for name, values in given.items():
                with tf.name_scope(name):
                    outputs[name] = _rounded(values, model.input_grids[name])
            builder = _Builder(model, outputs, exact, pool_ties)
            for part in model.units:
                with tf.name_scope(part.unit.name):
                    outputs[part.unit.output] = builder.unit(part)
        names = []
        for layer, prefix, task in zip(network.outputs, output_prefixes(network), tasks):
            names += _add_output(outputs[layer], prefix, task)
        tensors = {name: tensor.name for name, tensor in outputs.items()}
        return InferenceGraph(graph.as_graph_def(), tuple(names), tensors, network.inputs)


def output_prefixes(network: Network) -> Tuple[str, ...]:
    """Return what the names of each output's nodes begin with: nothing, or if there are several, its name and /."""
    return ("",) if len(network.outputs) == 1 else tuple(name + "/" for name in network.output_names)


def output_parts(task: str) -> Tuple[str, ...]:
    """Return the names of an output's nodes, without their prefix."""
    classes = (LOGITS, PROBABILITIES, CLASS)
    return {CLASSIFICATION: classes, SEGMENTATION: classes, MULTILABEL: (LOGITS, PROBABILITIES, LABELS)}.get(
        task, (LOGITS,)
    )


def _add_output(tensor: tf.Tensor, prefix: str, task: str) -> List[str]:
    """Add the nodes of an output; return their names."""
    logits = tf.identity(tensor, prefix + LOGITS)
    if task == MULTILABEL:
        tf.nn.sigmoid(logits, name=prefix + PROBABILITIES)
        tf.cast(logits > 0.0, tf.int64, name=prefix + LABELS)
    elif task in (CLASSIFICATION, SEGMENTATION):
        if is_single_logit(task, int(logits.shape[-1])):
            tf.nn.sigmoid(logits, name=prefix + PROBABILITIES)
            tf.cast(logits[..., 0] > 0.0, tf.int64, name=prefix + CLASS)
        else:
            tf.nn.softmax(logits, name=prefix + PROBABILITIES)
            tf.argmax(logits, axis=-1, output_type=tf.int64, name=prefix + CLASS)
    return [prefix + part for part in output_parts(task)]


_Inputs = List[tf.Tensor]


class _Builder:
    """Builder of a graph; each ``_<kind>`` method adds one kind of layer."""

    def __init__(self, model: FakeQuantModel, outputs: Dict[str, tf.Tensor], exact: bool, pool_ties: bool):
        self._network, self._outputs, self._exact, self._pool_ties = model.network, outputs, exact, pool_ties
        #: Values of weights that layers may share, with their constants, by the weights' names.
        self._constants: Dict[str, List[Tuple[np.ndarray, tf.Tensor]]] = {}

    def unit(self, part: FakeQuantUnit) -> tf.Tensor:
        unit = part.unit
        inputs = [self._outputs[name] for name in unit.inputs]
        result = getattr(self, "_" + unit.op.kind.lower())(part, inputs)
        if self._exact and part.exact is not None:
            with tf.name_scope("exact"):
                # For a sum, each input is a whole number of units; for other operations, the result is.
                if isinstance(unit.op, (Multiply, MatMul)):
                    result = _snap_to_exact_product(unit.op, result, part.exact, inputs)
                else:
                    parts = inputs if isinstance(unit.op, Sum) else None
                    result = _snap_to_exact_code(result, part.exact, parts)
        if unit.activation is not None:
            result = {"ReLU": tf.nn.relu, "ReLU6": tf.nn.relu6}[unit.activation.kind](result)
        return _rounded(result, part.grid)

    def _conv2d(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        op = part.unit.op
        assert isinstance(op, Conv2D)
        return self._biased(
            part,
            tf.nn.conv2d(inputs[0], self._weights(part), strides=op.strides, padding=op.padding, dilations=op.dilation),
        )

    def _groupedconv2d(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        return self._biased(part, linear(part.unit.op, inputs[0], self._weights(part)))

    def _depthwiseconv2d(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        op = part.unit.op
        assert isinstance(op, DepthwiseConv2D)
        return self._biased(
            part,
            tf.nn.depthwise_conv2d(
                inputs[0],
                self._weights(part),
                strides=(1, *op.strides, 1),
                padding=op.padding,
                rate=op.dilation,
            ),
        )

    def _conv2dtranspose(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        op = part.unit.op
        assert isinstance(op, Conv2DTranspose)
        shape = self._network.shapes[part.unit.name]
        return self._biased(part, transposed(op, inputs[0], self._weights(part), shape))

    def _dense(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        return self._biased(part, tf.matmul(inputs[0], self._weights(part)))

    def _embedding(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        return tf.gather(self._weights(part), inputs[0])

    def _weights(self, part: FakeQuantUnit) -> tf.Tensor:
        """Return the rounded weights in the layer's shape; per-channel kernels require channels on the last axis."""
        with tf.name_scope("weights"):
            weights = part.require_weights()
            values, grid, bias = weights.on_grid, weights.grid, weights.bias
            shape = columns = values.shape
            if grid is not None and grid.scale.ndim and shape[-1] != len(bias):
                columns = (*shape[:2], len(bias))
            rounded = _rounded(self._weights_constant(part.unit.weights, values.reshape(columns)), grid)
            return rounded if columns == shape else tf.reshape(rounded, shape)

    def _weights_constant(self, name: str, values: np.ndarray) -> tf.Tensor:
        """Return the constant of the weights ``name``: a common one if the layers that share them have equal values."""
        known = self._constants.setdefault(name, [])
        for other, constant in known:
            if np.array_equal(other, values):
                return constant
        known.append((values, tf.constant(values)))
        return known[-1][1]

    def _biased(self, part: FakeQuantUnit, products: tf.Tensor) -> tf.Tensor:
        return tf.nn.bias_add(products, tf.constant(part.require_weights().bias, name="bias"))

    def _relu(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        return tf.nn.relu(inputs[0])

    def _relu6(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        if part.limit == 6.0:
            return tf.nn.relu6(inputs[0])
        return tf.minimum(tf.nn.relu(inputs[0]), np.float32(part.limit))

    def _activation(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        op = part.unit.op
        assert isinstance(op, Activation)
        if self._exact and part.table is not None:
            with tf.name_scope("exact"):
                return _looked_up(inputs[0], part.table)
        return op.definition.tensorflow(tf, op.parameters, inputs[0])

    def _maxpool(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        op = part.unit.op
        assert isinstance(op, MaxPool)
        return tf.nn.max_pool2d(inputs[0], op.pool_size, op.strides, op.padding)

    def _averagepool(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        op = part.unit.op
        assert isinstance(op, AveragePool)
        mean = tf.nn.avg_pool2d(inputs[0], op.pool_size, op.strides, op.padding)
        if part.tie is None or part.tie.center is None or not self._pool_ties:
            return mean
        if self._exact and part.grid is not None and part.grid.scale > 0:
            with tf.name_scope("exact"):
                return _snap_to_exact_mean(mean, inputs[0], op, part.grid, part.tie.steps)
        return _with_ties_away(mean, part.tie)

    def _upsamplebilinear(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        op = part.unit.op
        assert isinstance(op, UpsampleBilinear)
        values = interpolated(op, inputs[0])
        if part.tie is None or part.grid is None or not part.grid.scale > 0:
            return values
        if not self._exact or part.positions is None:
            return _with_ties_away(values, part.tie)
        with tf.name_scope("exact"):
            return _snap_to_exact_pixels(values, inputs[0], part.positions, part.grid, part.tie.steps)

    def _globalaveragepool(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        mean = tf.reduce_mean(inputs[0], axis=[1, 2])
        if part.factor != 1:
            mean = tf.multiply(mean, np.float32(part.factor), name="factor")
        return mean if part.tie is None else tf.add(mean, np.float32(part.tie.offset), name="tie")

    def _combined(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        return combined(part.unit.op, inputs)

    def _matmul(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        op = part.unit.op
        assert isinstance(op, MatMul)
        return multiplied(op, inputs)

    _add = _subtract = _average = _multiply = _maximum = _minimum = _combined

    def _concat(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        op = part.unit.op
        assert isinstance(op, Concat)
        return tf.concat(inputs, op.axis + 1 if op.axis >= 0 else op.axis)

    def _flatten(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        return tf.reshape(inputs[0], [-1, element_count(self._network.shapes[part.unit.output])])

    def _reshape(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        return tf.reshape(inputs[0], (-1, *self._network.shapes[part.unit.output]))

    def _zeropad(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        op = part.unit.op
        assert isinstance(op, ZeroPad)
        return tf.pad(inputs[0], ((0, 0), *op.padding, (0, 0)))

    def _moved(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        return moved(part.unit.op, inputs[0])

    _slice = _permute = _upsamplenearest = _moved

    def _dropout(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        return tf.identity(inputs[0])

    def _softmax(self, part: FakeQuantUnit, inputs: _Inputs) -> tf.Tensor:
        """Return the logits at the output, whose softmax is the graph's output ``probabilities``."""
        return tf.identity(inputs[0]) if part.unit.output in self._network.outputs else tf.nn.softmax(inputs[0])


def _rounded(x: tf.Tensor, grid: Optional[AffineGrid]) -> tf.Tensor:
    """Return ``x`` rounded to a grid, with channels on the last axis; without a grid, return ``x`` itself."""
    if grid is None:
        return x
    low, high, num_bits, narrow_range = kernel_range(grid)
    operation = tf.quantization.fake_quant_with_min_max_vars
    if np.ndim(low):
        operation = tf.quantization.fake_quant_with_min_max_vars_per_channel
    return operation(
        x, tf.constant(low, name="min"), tf.constant(high, name="max"), num_bits=num_bits, narrow_range=narrow_range
    )


def _snap_to_exact_code(x: tf.Tensor, sums: ExactSums, parts: Optional[Sequence[tf.Tensor]] = None) -> tf.Tensor:
    """Clamp ``x``, or the sum of ``parts``, into the rounding interval of the exact result.

    Like :func:`qatviz.training.lowering.exact.snap_to_exact_code`, but with constant scales.
    """
    if parts is None:
        position = _exact_value(x, sums.units, sums.multipliers)
    else:
        terms = [_exact_value(*part) for part in zip(parts, sums.units, sums.multipliers)]
        position = tf.add_n(terms) if len({tuple(term.shape.as_list()[1:]) for term in terms}) == 1 else tf.add(*terms)
    return _snap(x, tf.floor(position + 0.5), sums.output_scale)


def _snap_to_exact_product(op: Layer, x: tf.Tensor, products: ExactSums, factors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Clamp ``x``, the product of two ``factors``, into the rounding interval of the exact result."""
    parts = [_exact_value(*part) for part in zip(factors, products.units, products.multipliers)]
    # The multipliers include the factor of a MatMul.
    if not isinstance(op, MatMul):
        return _snap(x, tf.floor(tf.multiply(*parts) + 0.5), products.output_scale)
    product, bits = multiplied(replace(op, factor=1.0), parts), products.bits
    if bits is None:
        return _snap(x, tf.floor(product + 0.5), products.output_scale)
    units = tf.floor(product * 2.0**bits + 0.5)
    return _snap(x, tf.sign(units) * tf.floor(tf.abs(units) * 2.0**-bits + 0.5), products.output_scale)


def _looked_up(x: tf.Tensor, table: ExactTable) -> tf.Tensor:
    """Return the values of a table's codes for the codes of ``x``."""
    source, output = table.source, table.output
    first = int(source.zero_point) + 2 ** (source.num_bits - 1)
    position = tf.cast(tf.floor(x / np.float32(source.scale) + 0.5), tf.int32) + first
    values = (table.codes - int(output.zero_point)).astype(np.float32) * np.float32(output.scale)
    return tf.gather(tf.constant(values, name="table"), position)


def _snap_to_exact_mean(mean: tf.Tensor, x: tf.Tensor, op: AveragePool, grid: AffineGrid, center: int) -> tf.Tensor:
    """Clamp an average pool's ``mean`` of ``x`` into the rounding interval of the exact code.

    Like :class:`qatviz.training.lowering.evaluation.EvaluationLowering`, but with constant scales; ``center`` of ties
    in quantization steps.
    """
    shift = np.float64(-center)
    codes = _exact_value(x, np.float64(grid.scale), np.float64(1)) + shift
    means = tf.nn.avg_pool2d(codes, op.pool_size, op.strides, op.padding)
    third = 1 / (MEAN_WEIGHT * element_count(op.pool_size))
    return _snap(mean, tf.sign(means) * tf.floor(tf.abs(means) + third + 0.5) - shift, np.float32(grid.scale))


def _snap_to_exact_pixels(
    values: tf.Tensor, x: tf.Tensor, positions: Positions, grid: AffineGrid, center: int
) -> tf.Tensor:
    """Clamp ``values`` between the pixels of ``x`` into the rounding interval of the exact codes; as for a mean."""
    codes = _exact_value(x, np.float64(grid.scale), np.float64(1)) - np.float64(center)
    for axis, places in enumerate(positions[:2]):
        weights = interpolation_weights(places, x.shape.as_list()[1 + axis], positions.unit) / positions.unit
        codes = tf.einsum(("oi,nijc->nojc", "oj,nijc->nioc")[axis], tf.constant(weights), codes)
    return _snap(values, tf.sign(codes) * tf.floor(tf.abs(codes) + 0.5) + center, np.float32(grid.scale))


def _with_ties_away(values: tf.Tensor, tie: TieBreaker) -> tf.Tensor:
    """Return values moved away from the center of ties, by so little that only ties are rounded otherwise."""
    assert tie.center is not None
    with tf.name_scope("tie"):
        offset = tf.minimum((values - np.float32(tie.center)) * np.float32(tie.slope), tie.offset)
        return values + tf.maximum(offset, -tie.offset)


def _snap(x: tf.Tensor, code: tf.Tensor, scale: np.float32) -> tf.Tensor:
    """Clamp ``x`` into the rounding interval of ``code`` (float64, relative to the zero point)."""
    value = tf.cast(code, tf.float32) * scale
    reach = np.float32(SNAP_REACH) * scale
    return tf.maximum(tf.minimum(x, value + reach), value - reach)


def _exact_value(x: tf.Tensor, units: np.ndarray, multipliers: np.ndarray) -> tf.Tensor:
    """Return the exact value of ``x``, a whole number of ``units``, in quantization steps, float64."""
    whole = tf.floor(x * np.float32(1.0 / units) + np.float32(0.5))
    return tf.cast(whole, tf.float64) * tf.constant(multipliers)
