"""A MatMul in an ONNX file: between Transposes for images, which have channels first there, so that rows are last."""

# A separate module, because the lowerings of rounded and float files share it.

from typing import Any, Dict, List, NamedTuple, Sequence

import numpy as np

from qatviz.export.onnx.file import OnnxFile
from qatviz.export.onnx.layout import TO_CHANNELS_FIRST, matrix_permutation
from qatviz.network.matmul import MatMul
from qatviz.quant.int16_kernels import Q31

#: Factor of values that moves ties away from 0, and the most bits behind the point for which it moves no other value
#: to a tie.
_AWAY_FROM_ZERO, _MOST_BITS = 1 + 2.0**-21, 12


class LastNode(NamedTuple):
    """Operator, inputs and attributes of a node that is not appended yet."""

    operator: str
    inputs: List[str]
    attributes: Dict[str, Any]


def put_matrices(file: OnnxFile, layer: MatMul, values: Sequence[str], rank: int, name: str) -> List[str]:
    """Append Transposes of two ``values`` of ``rank`` axes to matrices on the last two axes; return the results."""
    found = []
    for place, value in enumerate(values):
        axes = matrix_permutation(rank, place == 1 and layer.transpose_second)
        if axes is not None:
            value = file.add_step("Transpose", [value], f"{name}.matrix{place}", perm=axes)
        found.append(value)
    return found


def put_product(file: OnnxFile, layer: MatMul, values: Sequence[str], rank: int, name: str) -> LastNode:
    """Append all nodes of a MatMul in float but the last one, and return that."""
    last = LastNode("MatMul", put_matrices(file, layer, values, rank, name), {})
    if layer.factor != 1:
        product = file.add_step(last.operator, last.inputs, name + ".product")
        last = LastNode("Mul", [product, file.add_constant(name + ".factor", layer.factor, np.float32)], {})
    if rank == 3:
        matrices = file.add_step(last.operator, last.inputs, name + ".matrices")
        last = LastNode("Transpose", [matrices], {"perm": TO_CHANNELS_FIRST})
    return last


def put_rounded_twice(file: OnnxFile, value: str, scale: float, right_shift: int, name: str) -> str:
    """Append the first of two roundings of ``value``, which is followed by QuantizeLinear with this scale.

    It is rounded half up, to a multiple of ``2**(31 - right_shift)`` quantization steps; the second rounding, half away
    from 0, has an effect if there are not many of those in a step.
    """
    bits = max(right_shift - Q31, 0)
    if bits > _MOST_BITS:
        return value
    unit = file.add_constant(name + ".unit", np.float32(scale) * np.float32(2.0**-bits), np.float32)
    value = file.add_step("Div", [value, unit], name + ".in_units")
    value = file.add_step("Add", [value, file.add_constant(name + ".half_unit", 0.5, np.float32)], name + ".half_up")
    value = file.add_step("Floor", [value], name + ".whole_units")
    away = file.add_constant(name + ".unit_away", np.float64(scale) * 2.0**-bits * _AWAY_FROM_ZERO, np.float32)
    return file.add_step("Mul", [value, away], name + ".rounded_once")
