"""Lowering of layers, common to training and evaluation: one method for each kind of layer.

Layers with weights go through the public functions of :mod:`qatviz.quant`.
"""

from abc import ABC, abstractmethod
from typing import Dict, List, Optional, Sequence, cast

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.network.activations import Activation
from qatviz.network.checks import Shape
from qatviz.network.elementwise import Elementwise, Maximum, Multiply, Sum
from qatviz.network.graph import Network
from qatviz.network.layer import Layer, element_count
from qatviz.network.layers import (
    AveragePool,
    Concat,
    Conv2D,
    Conv2DTranspose,
    DepthwiseConv2D,
    GlobalAveragePool,
    GroupedConv2D,
    MaxPool,
    Permute,
    Slice,
    UpsampleBilinear,
    UpsampleNearest,
    ZeroPad,
)
from qatviz.network.matmul import MatMul
from qatviz.network.plan import QuantizationPlan, Unit
from qatviz.quant.live import LiveQuantizers
from qatviz.quant.operations import quantize_conv2d, quantize_dense, quantize_depthwise_conv2d
from qatviz.training.lowering.batch_norm import FoldedBatchNorm, Operation, Quantizer

Parameters = Dict[str, tf.Tensor]


class LayerLowering(ABC):
    """Construction of a forward pass; each ``_<kind>`` method lowers one kind of layer.

    Parameters
    ----------
    network : Network
    plan : QuantizationPlan
    parameters : dict of str to tf.Tensor
    quantizers : LiveQuantizers
    batch_norms : dict of str to FoldedBatchNorm
        Batch norms by the name of the unit into which they are folded.
    """

    def __init__(
        self,
        network: Network,
        plan: QuantizationPlan,
        parameters: Parameters,
        quantizers: LiveQuantizers,
        batch_norms: Dict[str, FoldedBatchNorm],
    ):
        self.network, self.plan, self.parameters = network, plan, parameters
        self.quantizers, self.batch_norms = quantizers, batch_norms

    def unit(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        """Return the output of a unit."""
        return getattr(self, "_" + unit.op.kind.lower())(unit, inputs)

    # Differences between training and evaluation

    @abstractmethod
    def _bias(self, unit: Unit) -> Optional[tf.Tensor]:
        """Return the bias that is added by a layer without batch norm."""

    @abstractmethod
    def _batch_normalized(self, unit: Unit, x: tf.Tensor, operation: Operation, quantizer: Quantizer) -> tf.Tensor:
        """Return the batch-normalized output of a layer with input ``x``."""

    @abstractmethod
    def _products(self, unit: Unit, x: tf.Tensor) -> tf.Tensor:
        """Return a sum of products and bias as input of activation and quantizer."""

    @abstractmethod
    def _mean(self, unit: Unit, mean: tf.Tensor, count: int) -> tf.Tensor:
        """Return the mean of ``count`` values as input of its quantizer."""

    @abstractmethod
    def _pooled(self, unit: Unit, x: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
        """Return the ``mean`` of each pooling window of ``x`` as input of its quantizer."""

    @abstractmethod
    def _interpolated(self, unit: Unit, x: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Return the ``values`` interpolated between pixels of ``x`` as input of their quantizer."""

    @abstractmethod
    def _sum(self, unit: Unit, inputs: List[tf.Tensor], total: tf.Tensor) -> tf.Tensor:
        """Return the result ``total`` of a :class:`Sum` of ``inputs`` as input of activation and quantizer."""

    @abstractmethod
    def _product(self, unit: Unit, inputs: List[tf.Tensor], product: tf.Tensor) -> tf.Tensor:
        """Return the ``product`` of two inputs as input of activation and quantizer."""

    @abstractmethod
    def _matrix_product(self, unit: Unit, inputs: List[tf.Tensor], product: tf.Tensor) -> tf.Tensor:
        """Return the matrix ``product`` of two inputs as input of its quantizer."""

    @abstractmethod
    def _function(self, unit: Unit, x: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Return an activation function's ``values`` for ``x`` as input of their quantizer."""

    @abstractmethod
    def _probabilities(self, unit: Unit, x: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Return the softmax ``values`` of ``x`` as input of their quantizer."""

    @abstractmethod
    def _dropout(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        """Lower a Dropout layer."""

    # Layers with weights

    def _conv2d(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        op = cast(Conv2D, unit.op)

        def convolve(x: tf.Tensor, weights: tf.Tensor, quantizer: Quantizer) -> tf.Tensor:
            return quantize_conv2d(x, weights, op.strides, op.padding, dilations=op.dilation, quantizer=quantizer)

        return self._weighted(unit, inputs[0], convolve)

    def _depthwiseconv2d(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        op = cast(DepthwiseConv2D, unit.op)

        def convolve(x: tf.Tensor, weights: tf.Tensor, quantizer: Quantizer) -> tf.Tensor:
            return quantize_depthwise_conv2d(
                x, weights, op.strides, op.padding, dilations=op.dilation, quantizer=quantizer
            )

        return self._weighted(unit, inputs[0], convolve)

    def _groupedconv2d(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        def convolve(x: tf.Tensor, weights: tf.Tensor, quantizer: Quantizer) -> tf.Tensor:
            return linear(unit.op, x, quantizer(weights))

        return self._weighted(unit, inputs[0], convolve)

    def _conv2dtranspose(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        op, shape = cast(Conv2DTranspose, unit.op), self.network.shapes[unit.name]

        def convolve(x: tf.Tensor, weights: tf.Tensor, quantizer: Quantizer) -> tf.Tensor:
            return transposed(op, x, quantizer(weights), shape)

        return self._weighted(unit, inputs[0], convolve)

    def _dense(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        weights = self.parameters[unit.weights]
        if unit.batch_norm is None:
            return quantize_dense(
                inputs[0],
                weights,
                self._bias(unit),
                activation=lambda x: _activated(unit, self._products(unit, x)),
                weights_quantizer=self.quantizers.quantizer(unit.weights),
                activation_quantizer=self.quantizers.quantizer(unit.name + ".activations"),
            )

        def multiply(x: tf.Tensor, folded: tf.Tensor, quantizer: Quantizer) -> tf.Tensor:
            return tf.matmul(x, quantizer(folded))

        return self._weighted(unit, inputs[0], multiply)

    def _embedding(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        table = self.quantizers.quantizer(unit.weights)(self.parameters[unit.weights])
        # Behind a reshape, so that the gradient of the table is dense, as quantizers require.
        return tf.gather(tf.reshape(table, table.shape), tf.cast(inputs[0], tf.int32))

    def _weighted(self, unit: Unit, x: tf.Tensor, operation: Operation) -> tf.Tensor:
        """Lower a convolution (or Dense with batch norm): operation, bias, activation, quantizer."""
        quantizer = self.quantizers.quantizer(unit.weights)
        if unit.batch_norm is None:
            result = operation(x, self.parameters[unit.weights], quantizer)
            bias = self._bias(unit)
            if bias is not None:
                result = tf.nn.bias_add(result, bias)
        else:
            result = self._batch_normalized(unit, x, operation, quantizer)
        return self._finish(unit, self._products(unit, result))

    def _finish(self, unit: Unit, x: tf.Tensor) -> tf.Tensor:
        """Apply the fused activation and the quantizer of a unit's output."""
        return self.quantizers.quantizer(unit.name + ".activations")(_activated(unit, x))

    # Layers without weights

    def _relu(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        return tf.nn.relu(inputs[0])

    def _relu6(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        # A ReLU6 that is not fused clips codes, at the value on its input's grid that is nearest to 6.
        limit = self.quantizers.round_to_grid(self.plan.grid_of(unit.inputs[0]), 6.0)
        return tf.minimum(tf.nn.relu(inputs[0]), limit)

    def _activation(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        op = cast(Activation, unit.op)
        parameters = op.parameters
        if op.function == "rsqrt":  # see Activation.on_grid
            half = 0.5 * self.quantizers.scale_in_use(self.plan.grid_of(unit.inputs[0]))
            parameters["threshold"] = tf.maximum(half, np.float32(op.threshold))
        values = op.definition.tensorflow(tf, parameters, inputs[0])
        return self.quantizers.quantizer(unit.name + ".activations")(self._function(unit, inputs[0], values))

    def _maxpool(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        op = cast(MaxPool, unit.op)
        return tf.nn.max_pool2d(inputs[0], op.pool_size, op.strides, op.padding)

    def _averagepool(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        op = cast(AveragePool, unit.op)
        mean = tf.nn.avg_pool2d(inputs[0], op.pool_size, op.strides, op.padding)
        # It has its input's grid, and cannot exceed its range.
        quantizer = self.quantizers.quantizer(unit.name + ".activations", observe=False)
        return quantizer(self._pooled(unit, inputs[0], mean))

    def _upsamplebilinear(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        values = interpolated(cast(UpsampleBilinear, unit.op), inputs[0])
        # On its input's grid, like an AveragePool.
        quantizer = self.quantizers.quantizer(unit.name + ".activations", observe=False)
        return quantizer(self._interpolated(unit, inputs[0], values))

    def _globalaveragepool(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        op = cast(GlobalAveragePool, unit.op)
        count = element_count(self.network.shapes[op.inputs[0]][:2])
        quantizer = self.quantizers.quantizer(unit.name + ".activations")
        return quantizer(self._mean(unit, tf.reduce_mean(inputs[0], axis=[1, 2]), count))

    def _add(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        return self._finish(unit, self._sum(unit, inputs, combined(unit.op, inputs)))

    _subtract = _average = _add

    def _multiply(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        return self._finish(unit, self._product(unit, inputs, combined(unit.op, inputs)))

    def _matmul(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        product = multiplied(cast(MatMul, unit.op), inputs)
        return self._finish(unit, self._matrix_product(unit, inputs, product))

    def _maximum(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        return self.quantizers.register(unit.name + ".activations", combined(unit.op, inputs))

    _minimum = _maximum

    def _concat(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        op = cast(Concat, unit.op)
        axis = op.axis + 1 if op.axis >= 0 else op.axis
        return self.quantizers.register(unit.name + ".activations", tf.concat(inputs, axis))

    def _flatten(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        return tf.reshape(inputs[0], [-1, element_count(self.network.shapes[unit.output])])

    def _reshape(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        return tf.reshape(inputs[0], (-1, *self.network.shapes[unit.output]))

    def _zeropad(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        return tf.pad(inputs[0], ((0, 0), *cast(ZeroPad, unit.op).padding, (0, 0)))

    def _moved(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        return moved(unit.op, inputs[0])

    _slice = _permute = _upsamplenearest = _moved

    def _softmax(self, unit: Unit, inputs: List[tf.Tensor]) -> tf.Tensor:
        name = unit.name + ".activations"
        if name not in self.plan:
            # At the output; loss and argmax are computed from the logits.
            return inputs[0]
        return self.quantizers.quantizer(name)(self._probabilities(unit, inputs[0], tf.nn.softmax(inputs[0])))


def _activated(unit: Unit, x: tf.Tensor) -> tf.Tensor:
    """Return the fused activation of ``x``."""
    if unit.activation is None:
        return x
    return {"ReLU": tf.nn.relu, "ReLU6": tf.nn.relu6}[unit.activation.kind](x)


def transposed(op: Conv2DTranspose, x: tf.Tensor, weights: tf.Tensor, shape: Shape) -> tf.Tensor:
    """Return a transposed convolution, without bias, whose output has this shape, without the batch axis."""
    size = tf.stack([tf.shape(x)[0], *shape])
    result = tf.nn.conv2d_transpose(x, tf.transpose(weights, (0, 1, 3, 2)), size, op.strides, op.padding)
    result.set_shape((x.shape[0], *shape))
    return result


def combined(op: Layer, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return the output of a layer that combines inputs position by position."""
    assert isinstance(op, Elementwise)
    if isinstance(op, Sum):
        total = summed(op, inputs)
        return total if op.divisor == 1 else total * np.float32(1 / op.divisor)
    if isinstance(op, Multiply):
        return tf.multiply(*inputs)
    return tf.maximum(*inputs) if isinstance(op, Maximum) else tf.minimum(*inputs)


def summed(op: Sum, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return the sum of ``inputs`` of any type with the signs of a layer, not divided."""
    if -1 in op.signs:
        return tf.subtract(*inputs)
    return tf.add_n(inputs) if len(inputs) > 2 else tf.add(*inputs)


def multiplied(op: MatMul, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return the product of two inputs as matrices, times the factor of the layer."""
    product = tf.matmul(*inputs, transpose_b=op.transpose_second)
    return product if op.factor == 1 else product * op.factor


def moved(op: Layer, x: tf.Tensor) -> tf.Tensor:
    """Return the output of a layer that selects, orders or repeats elements of ``x``."""
    if isinstance(op, Slice):
        return x[(slice(None), *op.slices)]
    if isinstance(op, Permute):
        return tf.transpose(x, (0, *(axis + 1 for axis in op.axes)))
    assert isinstance(op, UpsampleNearest)
    rows, columns = x.shape.as_list()[1:3]
    return tf.image.resize_nearest_neighbor(x, (rows * op.size[0], columns * op.size[1]))


def interpolated(op: UpsampleBilinear, x: tf.Tensor) -> tf.Tensor:
    """Return an image enlarged with linear interpolation between the centers of pixels."""
    rows, columns = x.shape.as_list()[1:3]
    size = np.int32((rows * op.size[0], columns * op.size[1]))
    return tf.raw_ops.ResizeBilinear(images=x, size=size, align_corners=False, half_pixel_centers=True)


def _convolved(op: Conv2D, x: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    return tf.nn.conv2d(x, weights, strides=op.strides, padding=op.padding, dilations=op.dilation)


def linear(op: Layer, x: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return the products of a layer with weights, in the type of ``x`` and ``weights``, without bias."""
    if isinstance(op, Conv2DTranspose):
        return transposed(op, x, weights, op.output_shape([tuple(x.shape.as_list()[1:])]))
    if isinstance(op, GroupedConv2D):
        # TensorFlow's processors compute one group only.
        parts = zip(tf.split(x, op.groups, -1), tf.split(weights, op.groups, -1))
        return tf.concat([_convolved(op, *part) for part in parts], -1)
    if isinstance(op, Conv2D):
        return _convolved(op, x, weights)
    if isinstance(op, DepthwiseConv2D):
        return tf.nn.depthwise_conv2d(x, weights, (1, *op.strides, 1), op.padding, rate=op.dilation)
    return tf.matmul(x, weights)
