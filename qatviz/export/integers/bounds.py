"""Bounds and multipliers that follow from an operation's layer, weights and tensors.

The lowering computes integers with them; the reader of a stored model checks integers by them.
"""

from typing import Optional, Sequence, Tuple

import numpy as np

from qatviz.export.integers.fixed_point import FixedPoint
from qatviz.export.integers.model import IntegerTensor, IntegerWeights, Pads, Positions, channel_shape, rounds_terms
from qatviz.network.elementwise import Multiply, Sum
from qatviz.network.layer import Layer, element_count
from qatviz.network.layers import CONVOLUTIONS, POOLS, Conv2DTranspose, GlobalAveragePool, UpsampleBilinear
from qatviz.network.matmul import MatMul
from qatviz.quant.exact_sums import MEAN_BIAS, MEAN_WEIGHT
from qatviz.quant.int16_kernels import NARROW_BITS
from qatviz.quant.interpolation import pixel_positions, position_unit

#: Largest bias: half of int32's range is left to the products. With wide inputs or weights, biases have 64 bits.
_BIAS_LIMIT, _WIDE_BIAS_LIMIT = 2**30, 2**42


def is_wide(source: IntegerTensor, num_bits: int) -> bool:
    """Return whether the input or its weights of ``num_bits`` have more than 8 bits, so that biases have 64."""
    return max(source.num_bits, num_bits) > NARROW_BITS


def bias_limit(wide: bool) -> int:
    """Return the largest bias, in units of input scale times weight scale."""
    return _WIDE_BIAS_LIMIT if wide else _BIAS_LIMIT


def padding(layer: Layer, image: Tuple[int, ...], result: Tuple[int, ...]) -> Optional[Pads]:
    """Return the rows and columns of TensorFlow's padding, the odd one below or to the right.

    None for layers that are neither convolutions nor pools. For a transposed convolution, they are those that it leaves
    out at the borders of the sum; below 0 for rows and columns without products, which it adds.

    Parameters
    ----------
    image, result : tuple of int
        Shapes of input and output, without the batch axis.
    """
    if isinstance(layer, Conv2DTranspose):
        left_out = [
            (image[axis] - 1) * layer.strides[axis] + layer.kernel_size[axis] - result[axis] for axis in range(2)
        ]
        before = [max(rows, 0) // 2 for rows in left_out]
        return (before[0], left_out[0] - before[0]), (before[1], left_out[1] - before[1])
    if isinstance(layer, POOLS):
        size, strides, dilation = layer.pool_size, layer.strides, (1, 1)
    elif isinstance(layer, CONVOLUTIONS):
        size, strides, dilation = layer.kernel_size, layer.strides, layer.dilation
    else:
        return None
    missing = [
        max((result[axis] - 1) * strides[axis] + (size[axis] - 1) * dilation[axis] + 1 - image[axis], 0)
        for axis in range(2)
    ]
    return (missing[0] // 2, missing[0] - missing[0] // 2), (missing[1] // 2, missing[1] - missing[1] // 2)


def positions(layer: UpsampleBilinear, image: Tuple[int, ...], wide: bool) -> Positions:
    """Return the positions of an UpsampleBilinear, whose input has this shape, in a network of ``wide`` activations."""
    rows, columns = (pixel_positions(size, times, wide) for size, times in zip(image, layer.size))
    return Positions(rows, columns, position_unit(wide))


def product_bounds(centred: np.ndarray, channels: int, source: IntegerTensor) -> np.ndarray:
    """Return the largest sum of products of each output channel, whatever the input: int64 ``[channels]``.

    ``centred`` are the codes of the weights minus their zero points.
    """
    axes = tuple(range(centred.ndim - len(channel_shape(centred.shape, channels))))
    return np.abs(centred.astype(np.int64)).sum(axis=axes).reshape(-1) * source.reach


def channel_bounds(weights: IntegerWeights, source: IntegerTensor) -> np.ndarray:
    """Return the largest accumulator of each output channel, whatever the input: int64 ``[channels]``."""
    products = product_bounds(weights.centred, len(weights.bias), source)
    return np.asarray(products + np.abs(weights.bias.astype(np.int64)))


def accumulator_bound(
    layer: Layer,
    weights: Optional[IntegerWeights],
    requantization: Optional[FixedPoint],
    sources: Sequence[IntegerTensor],
) -> int:
    """Return the largest accumulator of an operation, whatever the input; 0 for operations without one."""
    if weights is not None:
        return int(channel_bounds(weights, sources[0]).max())
    if isinstance(layer, GlobalAveragePool):
        return MEAN_WEIGHT * element_count(sources[0].shape[:2]) * sources[0].reach + MEAN_BIAS
    if isinstance(layer, (Multiply, MatMul)):
        count = sources[0].shape[-1] if isinstance(layer, MatMul) else 1
        return sources[0].reach * sources[1].reach * count
    if isinstance(layer, Sum) and requantization is not None:
        if rounds_terms(requantization, len(sources)):
            # Each term is rounded up by at most one.
            terms = zip(sources, *(values.tolist() for values in requantization))
            return sum((source.reach * m >> shift) + 1 for source, m, shift in terms)
        return sum(source.reach * int(m) for source, m in zip(sources, requantization.multiplier))
    return 0


def requantization_multipliers(
    layer: Layer, weights: Optional[IntegerWeights], sources: Sequence[IntegerTensor], output: IntegerTensor
) -> np.ndarray:
    """Return the ratios of scales from accumulators to quantization steps of the output: float64 ``[n]``.

    See :class:`qatviz.export.integers.model.IntegerOp`; for a sum, those of one that is rounded once.
    """
    if weights is not None:
        return sources[0].scale * weights.channel_scales.astype(np.float64) / output.scale
    if isinstance(layer, (Multiply, MatMul)):
        factor = layer.factor if isinstance(layer, MatMul) else 1.0
        return np.array([sources[0].scale * sources[1].scale * factor / output.scale])
    if isinstance(layer, Sum):
        return np.array([source.scale / (layer.divisor * output.scale) for source in sources])
    return np.array([sources[0].scale / (MEAN_WEIGHT * element_count(sources[0].shape[:2]) * output.scale)])


def bits_of(bound: int) -> int:
    """Return the number of bits, with the sign, of integers up to ``bound``."""
    return int(bound).bit_length() + 1
