"""Activation functions of codes in a TFLite file: a kernel that computes the model's table, or the table itself.

TFLite has kernels for the codes of some functions. One is used if it computes every entry of the table: if the table is
defined to be the kernel's, or if no entry is so close to a tie that float32 arithmetic may round it otherwise, and if
the output has the scale that it demands. For all other functions and grids, the table is a constant, from which GATHER
takes the entries.
"""

# A separate module, because it compares tables with kernels, and knows no file.

from typing import Optional

import numpy as np

from qatviz.export.integers.model import IntegerModel, IntegerOp
from qatviz.export.tflite.storage import code_offset
from qatviz.network.activations import Activation, Step, fixed_range
from qatviz.quant.function_tables import distance_from_tie, follows_kernel

#: Kernels that TensorFlow 1.15's interpreter has, and all by the type of their codes. LiteRT has a GELU, too, but
#: TFLite Micro has none.
_KERNELS = {
    "int8": ("LOGISTIC", "TANH", "LEAKY_RELU", "ELU"),
    "uint8": ("LOGISTIC", "TANH"),
    "int16": ("LOGISTIC", "TANH"),
}
OLD_KERNELS = ("LOGISTIC", "TANH")
#: Smallest distance from a tie, in quantization steps, that float32 arithmetic resolves for sure.
_RESOLVED = 2.0**-12


def function_kernel(model: IntegerModel, op: IntegerOp, dtype: np.dtype) -> Optional[Step]:
    """Return the operation that computes the table of an Activation in a file of this type; None if there is none."""
    assert isinstance(op.layer, Activation)
    form = op.layer.definition.tflite(op.layer.parameters)
    source, output = model.tensor(op.inputs[0]), model.tensor(op.output)
    if len(form) > 1 or form[0].operator not in _KERNELS[dtype.name]:
        return None
    wide = dtype == np.int16
    if wide or form[0].operator == "LEAKY_RELU":
        return form[0] if follows_kernel(op.layer, source.grid, output.grid, wide) else None
    if op.layer.definition.fixed_range:
        low, high = fixed_range(op.layer.function, 8)
        limits = np.iinfo(dtype)
        scale = (high - low) / (limits.max - limits.min)
        zero_point = round(limits.min - low / scale)
        if (output.scale, output.zero_point + code_offset(output, dtype)) != (scale, zero_point):
            return None
    return form[0] if distance_from_tie(op.layer, source.grid, output.grid) > _RESOLVED else None
