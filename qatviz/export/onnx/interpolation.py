"""An UpsampleBilinear in an ONNX file: a Resize of whole codes, or products with matrices of whole weights.

The codes are relative to the center of ties, so that no sum needs the zero point. Resize computes in float32, exactly
if the weights are powers of two and the codes have up to 8 bits; a factor just above 1 then moves ties away from the
center. Otherwise the weights of the integer model, which are rounded, are two matrices, in double precision.
"""

# A separate module, because the lowering would be too long with it.

from typing import Tuple

import numpy as np

from qatviz.export.integers.model import IntegerModel, IntegerOp, Positions
from qatviz.export.onnx.file import DOUBLE, FLOAT, INT64, OnnxFile
from qatviz.export.onnx.grids import Grids, is_wide
from qatviz.export.onnx.layout import move
from qatviz.network.layers import UpsampleBilinear
from qatviz.quant.interpolation import interpolation_weights

#: Largest enlargement for which float32 resolves the distance of all other results from a tie.
_LARGEST_SIZE = 16


def put_interpolated(file: OnnxFile, grids: Grids, model: IntegerModel, op: IntegerOp, away: float) -> None:
    """Append an UpsampleBilinear; ``away`` is a factor just above 1."""
    source, output, center, name = model.tensor(op.inputs[0]), model.tensor(op.output), op.require_tie_center(), op.name
    assert isinstance(op.layer, UpsampleBilinear)
    value = grids.relative_codes(source, center, name)
    if not is_wide(source) and all(size <= _LARGEST_SIZE and size & (size - 1) == 0 for size in op.layer.size):
        resize = move(op.layer, len(source.shape))
        value = file.add_step(resize.operator, [value, *file.add_inputs(name, resize)], name, **resize.attributes)
        factor = file.add_constant(name + ".away", away, np.float32)
        value = file.add_step("Mul", [value, factor], name + ".ties_away")
    else:
        value = _matrix_products(file, value, op.require_positions(), source.shape, name)
    grids.put_relative_codes(output, value, center)


def _matrix_products(file: OnnxFile, value: str, positions: Positions, shape: Tuple[int, ...], name: str) -> str:
    """Return the rounded codes, in float, relative to the center of ties."""
    unit = positions.unit
    rows, columns = (
        interpolation_weights(places, size, unit) for places, size in zip((positions.rows, positions.columns), shape)
    )
    value = file.add_step("Cast", [value], name + ".in_double", to=DOUBLE)
    value = file.add_step(
        "MatMul", [value, file.add_constant(name + ".columns", columns.T, np.float64)], name + ".wider"
    )
    value = file.add_step("MatMul", [file.add_constant(name + ".rows", rows, np.float64), value], name)
    size = file.add_step("Abs", [value], name + ".size")
    size = file.add_step("Div", [size, file.add_constant(name + ".parts", unit * unit, np.float64)], name + ".in_codes")
    size = file.add_step("Add", [size, file.add_constant(name + ".half_code", 0.5, np.float64)], name + ".ties_away")
    size = file.add_step("Cast", [size], name + ".whole", to=INT64)
    size = file.add_step("Cast", [size], name + ".size_in_double", to=DOUBLE)
    value = file.add_step("Mul", [size, file.add_step("Sign", [value], name + ".sign")], name + ".signed")
    return file.add_step("Cast", [value], name + ".in_float", to=FLOAT)
