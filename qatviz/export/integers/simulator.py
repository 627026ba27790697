"""Simulator of the integer model in NumPy: the reference with which every runtime of an export is compared.

Each operation computes integers from integers, with one rounding of its result, half up except where ``tie_center`` is
given:

- Conv2D, GroupedConv2D, DepthwiseConv2D, Conv2DTranspose, Dense: ``sum (w - zero_w)(x - zero_x) + bias``, times the
  requantization multiplier, plus the output's zero point;
- GlobalAveragePool: ``3 * sum (x - zero_x) + 1``, likewise;
- AveragePool: the mean of the codes that are not padding, on the same grid; ties are rounded away from the code
  ``tie_center``;
- UpsampleBilinear: the mean of neighbouring codes, weighted by their distances from ``positions``, rounded likewise;
- Add, Subtract, Average: ``sum (x_i - zero_i) * multiplier_i``, where the second term of a Subtract is subtracted,
  shifted once; with three multipliers, terms and sum are rounded as by TFLite's int16 kernels
  (:func:`qatviz.quant.int16_kernels.rounded_twice`);
- Multiply: ``(x_0 - zero_0)(x_1 - zero_1)``, likewise, or rounded as by TFLite's int16 kernel;
- MatMul: ``sum (x_0 - zero_0)(x_1 - zero_1)``, likewise; rounded twice unless the second zero point is 0;
- Softmax: the codes of :func:`qatviz.quant.softmax_codes.probability_codes`;
- Embedding: the row of its table that each id of its input has;
- Activation: the code that its table has for the code of its input;
- Maximum, Minimum: the larger, the smaller code;
- all others copy codes.

Padding is the zero point. The result is clamped to the bounds of the grid and the activation.
"""

from typing import Callable, Dict, Iterable, List, Tuple

import numpy as np

from qatviz.errors import ExportError
from qatviz.export.integers.fixed_point import requantize, round_shift
from qatviz.export.integers.model import IntegerModel, IntegerOp, IntegerTensor
from qatviz.inputs import packed_examples, packed_shape
from qatviz.network.checks import Pair
from qatviz.network.elementwise import Sum
from qatviz.network.layers import (
    CONVOLUTIONS,
    POOLS,
    Concat,
    Conv2DTranspose,
    GroupedConv2D,
    Permute,
    Slice,
    UpsampleNearest,
    ZeroPad,
)
from qatviz.network.matmul import MatMul
from qatviz.quant.affine import quantize
from qatviz.quant.exact_sums import MEAN_BIAS, MEAN_WEIGHT, rounded_means
from qatviz.quant.int16_kernels import rounded_twice
from qatviz.quant.softmax_codes import probability_codes

#: Bounds up to which sums of integers are exact in floating point, whatever the order, so that BLAS can compute them.
_EXACT = ((2**24, np.float32), (2**53, np.float64))


def quantize_input(model: IntegerModel, images: np.ndarray) -> np.ndarray:
    """Return the int32 codes of float32 ``images`` ``[n] + input shape``, rounded half up; those of ids are the ids.

    Of several inputs, images and codes are rows (:mod:`qatviz.inputs`).
    """
    shape = packed_shape([(tensor.name, tensor.shape) for tensor in model.inputs])
    images = np.asarray(images, np.float32)
    if images.shape[1:] != shape:
        raise ExportError(
            f"integer model {model.name!r}: the images are {list(images.shape)}; expected: [n, "
            f"{', '.join(map(str, shape))}]"
        )
    values = model.split(images)
    return packed_examples([_input_codes(tensor, values[tensor.name]) for tensor in model.inputs])


def _input_codes(tensor: IntegerTensor, values: np.ndarray) -> np.ndarray:
    return values.astype(np.int32) if tensor.ids else quantize(values, tensor.grid)


def dequantize_input(model: IntegerModel, codes: np.ndarray) -> np.ndarray:
    """Return the float32 values of codes as :func:`quantize_input` returns them, in the same shape."""
    by_name = model.split(codes)
    return packed_examples([dequantize(tensor, by_name[tensor.name]) for tensor in model.inputs])


def run_codes(model: IntegerModel, codes: np.ndarray, names: Iterable[str]) -> Dict[str, np.ndarray]:
    """Return the int32 codes of the named tensors for int32 ``codes`` of the input, all examples at once.

    Of several inputs, ``codes`` are rows as :func:`quantize_input` returns them.
    """
    known = {name: own.astype(np.int32) for name, own in model.split(codes).items()}
    for op in model.ops:
        known[op.output] = run_op(model, op, known)
    return {name: known[name] for name in names}


def run_op(model: IntegerModel, op: IntegerOp, known: Dict[str, np.ndarray]) -> np.ndarray:
    """Return the int32 codes of the output of one operation, from codes of its inputs by name."""
    inputs = [(known[name], model.tensor(name)) for name in op.inputs]
    return np.clip(_KERNELS[op.kind](op, inputs, model.tensor(op.output)), *op.clamp).astype(np.int32)


def dequantize(tensor: IntegerTensor, codes: np.ndarray) -> np.ndarray:
    """Return the float32 values of codes."""
    return ((codes - tensor.zero_point) * np.float32(tensor.scale)).astype(np.float32)


_Inputs = List[Tuple[np.ndarray, IntegerTensor]]


def _centred(inputs: _Inputs) -> np.ndarray:
    codes, tensor = inputs[0]
    return codes - np.int32(tensor.zero_point)


def _conv(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    weights = op.require_weights().centred
    columns = _kernel_windows(op, inputs, output)
    matrix = weights.reshape(-1, weights.shape[-1]).astype(columns.dtype)
    return _requantized(op, columns.reshape((*columns.shape[:3], len(matrix))) @ matrix, output)


def _grouped_conv(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    assert isinstance(op.layer, GroupedConv2D)
    weights, columns = op.require_weights().centred, _kernel_windows(op, inputs, output)
    parts = zip(np.split(columns, op.layer.groups, -1), np.split(weights, op.layer.groups, -1))
    sums = [np.tensordot(window, own.astype(columns.dtype), 3) for window, own in parts]
    return _requantized(op, np.concatenate(sums, -1), output)


def _conv_transpose(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    """Return the convolution of the input, with zeros between its pixels, by the kernel turned by 180 degrees."""
    layer = op.layer
    assert isinstance(layer, Conv2DTranspose)
    x = _centred(inputs)
    size = [(count - 1) * stride + 1 for count, stride in zip(x.shape[1:], layer.strides)]
    spread = np.zeros((len(x), *size, x.shape[3]), _exact_dtype(op))
    spread[:, :: layer.strides[0], :: layer.strides[1]] = x
    around = [
        (kernel - 1 - before, kernel - 1 - after)
        for kernel, (before, after) in zip(layer.kernel_size, op.require_pads())
    ]
    spread = np.pad(spread, ((0, 0), *around, (0, 0)), "constant")
    columns = _windows(spread, layer.kernel_size, (1, 1), (1, 1), output.shape)
    matrix = op.require_weights().centred[::-1, ::-1].reshape(-1, output.shape[2]).astype(columns.dtype)
    return _requantized(op, columns.reshape((*columns.shape[:3], len(matrix))) @ matrix, output)


def _depthwise(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    weights = op.require_weights().centred
    windows = _kernel_windows(op, inputs, output)
    sums = np.zeros(windows.shape[:3] + weights.shape[2:], windows.dtype)
    for row in range(weights.shape[0]):
        for column in range(weights.shape[1]):
            sums += windows[:, :, :, row, column, :, None] * weights[row, column].astype(windows.dtype)
    return _requantized(op, sums.reshape(sums.shape[:3] + output.shape[2:]), output)


def _dense(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    dtype = _exact_dtype(op)
    return _requantized(op, _centred(inputs).astype(dtype) @ op.require_weights().centred.astype(dtype), output)


def _requantized(op: IntegerOp, sums: np.ndarray, output: IntegerTensor) -> np.ndarray:
    accumulators = sums.astype(np.int64) + op.require_weights().bias
    return requantize(accumulators, op.require_requantization()) + output.zero_point


def _add(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    assert isinstance(op.layer, Sum)
    multipliers, shifts = op.require_requantization()
    if op.rounds_terms:
        terms = sum(
            sign * rounded_twice(codes.astype(np.int64) - tensor.zero_point, multiplier, shift)
            for (codes, tensor), multiplier, shift, sign in zip(inputs, multipliers, shifts, op.layer.signs)
        )
        return rounded_twice(terms, multipliers[-1], shifts[-1]) + output.zero_point
    products = sum(
        (codes.astype(np.int64) - tensor.zero_point) * (sign * multiplier)
        for (codes, tensor), multiplier, sign in zip(inputs, multipliers, op.layer.signs)
    )
    return round_shift(products, shifts[0]) + output.zero_point


def _multiply(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    (first, one), (second, other) = inputs
    products = (first.astype(np.int64) - one.zero_point) * (second.astype(np.int64) - other.zero_point)
    by = op.require_requantization()
    return (rounded_twice(products, *by) if op.rounds_twice else requantize(products, by)) + output.zero_point


def _matmul(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    assert isinstance(op.layer, MatMul)
    first, second = ((codes - np.int32(tensor.zero_point)).astype(_exact_dtype(op)) for codes, tensor in inputs)
    sums = first @ (second.swapaxes(-1, -2) if op.layer.transpose_second else second)
    by, whole = op.require_requantization(), sums.astype(np.int64)
    return (rounded_twice(whole, *by) if op.rounds_twice else requantize(whole, by)) + output.zero_point


def _maximum(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    return np.maximum(*(codes for codes, _ in inputs))


def _minimum(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    return np.minimum(*(codes for codes, _ in inputs))


def _global_average_pool(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    sums = _centred(inputs).sum(axis=(1, 2), dtype=np.int64)
    return requantize(MEAN_WEIGHT * sums + MEAN_BIAS, op.require_requantization()) + output.zero_point


def _average_pool(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    codes, center = inputs[0][0].astype(np.int64), op.require_tie_center()
    counts = _pooled(op, _padded(op, np.ones((1, *codes.shape[1:]), np.int64), 0), output, np.add)
    sums = _pooled(op, _padded(op, codes - center, 0), output, np.add)
    return rounded_means(sums, counts) + center


def _upsample_bilinear(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    center, (rows, columns, unit) = op.require_tie_center(), op.require_positions()
    sums = inputs[0][0].astype(np.int64) - center
    for axis, positions in ((1, rows), (2, columns)):
        first, last = positions // unit, sums.shape[axis] - 1
        fraction = (positions % unit).reshape((-1,) + (1,) * (3 - axis))
        second = np.take(sums, np.minimum(first + 1, last), axis)
        sums = np.take(sums, first, axis) * (unit - fraction) + second * fraction
    return rounded_means(sums, np.int64(unit * unit)) + center


def _embedding(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    return op.require_table()[inputs[0][0]]


def _activation(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    codes, tensor = inputs[0]
    return op.require_table()[codes + 2 ** (tensor.num_bits - 1)]


def _softmax(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    codes, tensor = inputs[0]
    return probability_codes(codes, tensor.grid, output.grid)


def _max_pool(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    codes, tensor = inputs[0]
    # Padding is the smallest code, so that it has no effect on the maximum.
    return _pooled(op, _padded(op, codes, tensor.bounds[0]), output, np.maximum)


def _concat(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    assert isinstance(op.layer, Concat)
    return np.concatenate([codes for codes, _ in inputs], op.layer.axis % len(output.shape) + 1)


def _reshape(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    codes, _ = inputs[0]
    return codes.reshape((len(codes), *output.shape))


def _zero_pad(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    assert isinstance(op.layer, ZeroPad)
    codes, tensor = inputs[0]
    return np.pad(codes, ((0, 0), *op.layer.padding, (0, 0)), "constant", constant_values=tensor.zero_point)


def _slice(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    assert isinstance(op.layer, Slice)
    return inputs[0][0][(slice(None), *op.layer.slices)]


def _permute(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    assert isinstance(op.layer, Permute)
    return inputs[0][0].transpose((0, *(axis + 1 for axis in op.layer.axes)))


def _upsample_nearest(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    assert isinstance(op.layer, UpsampleNearest)
    rows, columns = op.layer.size
    return inputs[0][0].repeat(rows, axis=1).repeat(columns, axis=2)


def _copy(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    return inputs[0][0]


_KERNELS: Dict[str, Callable[[IntegerOp, _Inputs, IntegerTensor], np.ndarray]] = {
    "Conv2D": _conv,
    "GroupedConv2D": _grouped_conv,
    "DepthwiseConv2D": _depthwise,
    "Conv2DTranspose": _conv_transpose,
    "Dense": _dense,
    "Embedding": _embedding,
    "Add": _add,
    "Subtract": _add,
    "Average": _add,
    "Multiply": _multiply,
    "MatMul": _matmul,
    "Maximum": _maximum,
    "Minimum": _minimum,
    "GlobalAveragePool": _global_average_pool,
    "AveragePool": _average_pool,
    "Activation": _activation,
    "Softmax": _softmax,
    "MaxPool": _max_pool,
    "Concat": _concat,
    "Flatten": _reshape,
    "Reshape": _reshape,
    "ZeroPad": _zero_pad,
    "Slice": _slice,
    "Permute": _permute,
    "UpsampleNearest": _upsample_nearest,
    "UpsampleBilinear": _upsample_bilinear,
    "ReLU": _copy,
    "ReLU6": _copy,
}


def _exact_dtype(op: IntegerOp) -> np.dtype:
    """Return the fastest type in which the sums of products are exact."""
    largest = 2 ** (op.accumulator_bits - 1)
    return next(np.dtype(dtype) for limit, dtype in _EXACT if largest <= limit)


def _padded(op: IntegerOp, x: np.ndarray, value: int) -> np.ndarray:
    if op.pads == ((0, 0), (0, 0)):
        return x
    return np.pad(x, ((0, 0), *op.require_pads(), (0, 0)), "constant", constant_values=value)


def _kernel_windows(op: IntegerOp, inputs: _Inputs, output: IntegerTensor) -> np.ndarray:
    """Return the windows of the input that a convolution's kernel is multiplied with, in a type with exact sums."""
    assert isinstance(op.layer, CONVOLUTIONS)
    x = _padded(op, _centred(inputs), 0).astype(_exact_dtype(op))
    return _windows(x, op.layer.kernel_size, op.layer.strides, op.layer.dilation, output.shape)


def _windows(x: np.ndarray, size: Pair, strides: Pair, dilation: Pair, shape: Tuple[int, ...]) -> np.ndarray:
    """Return a view ``[n, rows, columns, height, width, channels]`` of the windows of ``x`` ``[n, ., ., channels]``."""
    n, row, column, channel = x.strides
    return np.lib.stride_tricks.as_strided(
        x,
        (len(x), *shape[:2], *size, *x.shape[3:]),
        (n, row * strides[0], column * strides[1], row * dilation[0], column * dilation[1], channel),
        writeable=False,
    )


def _pooled(op: IntegerOp, x: np.ndarray, output: IntegerTensor, combine: Callable[..., np.ndarray]) -> np.ndarray:
    assert isinstance(op.layer, POOLS)
    windows = _windows(x, op.layer.pool_size, op.layer.strides, (1, 1), output.shape)
    result = windows[:, :, :, 0, 0].copy()
    for row in range(op.layer.pool_size[0]):
        for column in range(op.layer.pool_size[1]):
            if row or column:
                combine(result, windows[:, :, :, row, column], out=result)
    return result
