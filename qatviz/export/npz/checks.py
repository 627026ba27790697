"""What must hold between an operation's integers and its tensors, for those that come from a file."""

from typing import List, Optional, Tuple

import numpy as np

from qatviz.errors import ExportError
from qatviz.export.integers.fixed_point import PRODUCT_BITS
from qatviz.export.integers.model import IntegerOp, IntegerTensor, Pads, channel_shape
from qatviz.network.layer import Layer, element_count
from qatviz.network.layers import Add, AveragePool, Conv2D, Dense, DepthwiseConv2D, GlobalAveragePool, MaxPool
from qatviz.quant.exact_sums import MEAN_BIAS, MEAN_WEIGHT

_WEIGHTED = (Conv2D, DepthwiseConv2D, Dense)
#: Share that a multiplier may be off: it has 18 bits at least. Of an Add, of the largest.
_FACTOR_ERROR = 2.0**-17
#: A factor beyond it takes every accumulator but 0 beyond 16 bits, and need not be exact.
_SATURATED = 2.0**16


def expected_pads(layer: Layer, image: Tuple[int, ...], result: Tuple[int, ...]) -> Optional[Pads]:
    """What a layer's padding comes to, the odd row below and the odd column to the right; None where it has none."""
    if isinstance(layer, (MaxPool, AveragePool)):
        size, dilation = layer.pool_size, (1, 1)
    elif isinstance(layer, (Conv2D, DepthwiseConv2D)):
        size, dilation = layer.kernel_size, layer.dilation
    else:
        return None
    missing = [
        max((result[axis] - 1) * layer.strides[axis] + (size[axis] - 1) * dilation[axis] + 1 - image[axis], 0)
        for axis in range(2)
    ]
    return (missing[0] // 2, missing[0] - missing[0] // 2), (missing[1] // 2, missing[1] - missing[1] // 2)


def check_grids(layer: Layer, sources: List[IntegerTensor], output: IntegerTensor, where: str) -> None:
    """Codes that are passed on must mean the same before and after.

    Raises
    ------
    ExportError
    """
    if isinstance(layer, (*_WEIGHTED, Add, GlobalAveragePool)):
        return
    for source in sources:
        if (source.scale, source.zero_point, source.num_bits, source.narrow_range) != (
            output.scale,
            output.zero_point,
            output.num_bits,
            output.narrow_range,
        ):
            raise ExportError(
                f"{where}: its input {source.name!r} has another scale, zero point or range than its output: "
                "expected the "
                f"same, for a {layer.kind} passes codes on"
            )


def accumulator_bound(op: IntegerOp, sources: List[IntegerTensor]) -> int:
    """How large sums become at most, whatever the input; 0 of operations that have none."""
    if op.weights is not None:
        codes = np.abs(op.weights.centred.astype(np.int64))
        channels = channel_shape(codes.shape, len(op.weights.bias))
        products = codes.sum(axis=tuple(range(codes.ndim - len(channels)))).reshape(-1) * _reach(sources[0])
        return int((products + np.abs(op.weights.bias)).max())
    if isinstance(op.layer, GlobalAveragePool):
        return MEAN_WEIGHT * element_count(sources[0].shape[:2]) * _reach(sources[0]) + MEAN_BIAS
    if isinstance(op.layer, Add):
        return sum(_reach(source) * int(m) for source, m in zip(sources, op.factors.multiplier))
    return 0


def check_factors(op: IntegerOp, sources: List[IntegerTensor], output: IntegerTensor, where: str) -> None:
    """Factors must be those of the scales, and small enough for 64-bit products.

    Raises
    ------
    ExportError
    """
    if op.factors is None:
        return
    where = f"{where}: {op.name}"
    multiplier, right_shift = op.factors
    if op.weights is not None:
        real = sources[0].scale * op.weights.channel_scales.astype(np.float64) / output.scale
    elif isinstance(op.layer, Add):
        real = np.array([source.scale for source in sources]) / output.scale
    else:
        real = np.array([sources[0].scale / (MEAN_WEIGHT * element_count(sources[0].shape[:2]) * output.scale)])
    for name, array, low, high in (
        ("multiplier", multiplier, 0, 2**31 - 1),
        ("right_shift", right_shift, 1, PRODUCT_BITS),
    ):
        if array.dtype != np.int64 or array.shape != real.shape or array.min() < low or array.max() > high:
            raise ExportError(
                f"{where}.{name} is {array.dtype} {list(array.shape)}: expected int64 {list(real.shape)} of "
                f"{low} to {high}"
            )
    bound = accumulator_bound(op, sources)
    largest = bound if isinstance(op.layer, Add) else bound * int(multiplier.max())
    if largest.bit_length() > PRODUCT_BITS or (isinstance(op.layer, Add) and len(set(right_shift.tolist())) > 1):
        raise ExportError(
            f"{where}.multiplier: its products take {largest.bit_length()} bits, or its shifts differ: at most "
            f"{PRODUCT_BITS} are "
            "possible"
        )
    allowed = _FACTOR_ERROR * (real.max() if isinstance(op.layer, Add) else real)
    as_it_is = np.abs(op.factors.real - real) <= allowed
    vanishes = (multiplier == 0) & (real * bound < 1)
    saturates = np.minimum(op.factors.real, real) >= _SATURATED
    if not (as_it_is | vanishes | saturates).all():
        raise ExportError(
            f"{where}.multiplier and {where}.right_shift are not the ratio of the scales: expected "
            f"{real[0]:.6g}, found "
            f"{op.factors.real[0]:.6g}"
        )


def _reach(tensor: IntegerTensor) -> int:
    """How far a code can be from the zero point."""
    low, high = tensor.bounds
    return max(high - tensor.zero_point, tensor.zero_point - low)
