"""Checks of an operation's integers against its tensors, for models that are read from a file."""

from typing import List

import numpy as np

from qatviz.errors import ExportError
from qatviz.export.integers.bounds import accumulator_bound, requantization_multipliers
from qatviz.export.integers.fixed_point import PRODUCT_BITS, FixedPoint
from qatviz.export.integers.model import IntegerOp, IntegerTensor
from qatviz.network.activations import Activation
from qatviz.network.elementwise import Multiply, Sum
from qatviz.network.embedding import Embedding
from qatviz.network.graph import WEIGHTED
from qatviz.network.layer import Layer
from qatviz.network.layers import GlobalAveragePool, Softmax
from qatviz.network.matmul import MatMul
from qatviz.quant.int16_kernels import sum_constants

#: Largest relative error of a multiplier, which has at least 15 bits; for a sum, relative to its largest multiplier.
_MULTIPLIER_ERROR = 2.0**-14.9
#: Multipliers from this one on move every accumulator but 0 beyond 16 bits and need not be exact.
_SATURATED = 2.0**16


def check_grids(layer: Layer, sources: List[IntegerTensor], output: IntegerTensor, where: str) -> None:
    """Check that inputs and output of an operation that only copies codes have the same grid.

    Raises
    ------
    ExportError
    """
    if isinstance(layer, (*WEIGHTED, Embedding, Activation, Softmax, Sum, Multiply, MatMul, GlobalAveragePool)):
        return
    for source in sources:
        if (source.scale, source.zero_point, source.num_bits, source.narrow_range) != (
            output.scale,
            output.zero_point,
            output.num_bits,
            output.narrow_range,
        ):
            raise ExportError(
                f"{where}: its input {source.name!r} has another scale, zero point or range than its output: expected "
                f"the same, because a {layer.kind} copies codes"
            )


def check_requantization(op: IntegerOp, sources: List[IntegerTensor], output: IntegerTensor, where: str) -> None:
    """Check that multipliers follow from the scales, and are small enough for 64-bit products.

    Raises
    ------
    ExportError
    """
    if op.requantization is None:
        return
    where = f"{where}: {op.name}"
    multiplier, right_shift = op.requantization
    real = requantization_multipliers(op.layer, op.weights, sources, output)
    if op.rounds_terms:
        assert isinstance(op.layer, Sum)
        _check_rounded_sum(op.requantization, sources, op.layer.divisor * output.scale, where)
        return
    for name, array, low, high in (
        ("multiplier", multiplier, 0, 2**31 - 1),
        ("right_shift", right_shift, 1, PRODUCT_BITS),
    ):
        if array.dtype != np.int64 or array.shape != real.shape or array.min() < low or array.max() > high:
            raise ExportError(
                f"{where}.{name} is {array.dtype} {list(array.shape)}: expected int64 {list(real.shape)} of "
                f"{low} to {high}"
            )
    bound = accumulator_bound(op.layer, op.weights, op.requantization, sources)
    largest = bound if isinstance(op.layer, Sum) else bound * int(multiplier.max())
    if largest.bit_length() > PRODUCT_BITS or (isinstance(op.layer, Sum) and len(set(right_shift.tolist())) > 1):
        raise ExportError(
            f"{where}.multiplier: its products need {largest.bit_length()} bits, or its shifts differ: expected at "
            f"most {PRODUCT_BITS} bits and one shift"
        )
    allowed = _MULTIPLIER_ERROR * (real.max() if isinstance(op.layer, Sum) else real)
    is_close = np.abs(op.requantization.real - real) <= allowed
    vanishes = (multiplier == 0) & (real * bound < 1)
    saturates = np.minimum(op.requantization.real, real) >= _SATURATED
    if not (is_close | vanishes | saturates).all():
        raise ExportError(
            f"{where}.multiplier and {where}.right_shift are not the ratio of the scales: expected {real[0]:.6g}, "
            f"found {op.requantization.real[0]:.6g}"
        )


def _check_rounded_sum(found: FixedPoint, sources: List[IntegerTensor], output_scale: float, where: str) -> None:
    """Check the multipliers of a sum that rounds its terms, which follow from the scales."""
    expected = sum_constants([source.scale for source in sources], output_scale)
    for name, array, values in zip(found._fields, found, expected):
        if array.dtype != values.dtype or not np.array_equal(array, values):
            raise ExportError(f"{where}.{name} is {array.tolist()}: expected {values.tolist()}, as the scales require")
