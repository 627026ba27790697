"""Arrays of integers and of float32 numbers as C source, and the order in which weights are stored."""

import textwrap
from typing import Dict, List, Optional

import numpy as np

from qatviz.export.integers.model import IntegerOp, IntegerWeights
from qatviz.export.integers.nibbles import packed_nibbles
from qatviz.network.layers import DepthwiseConv2D

#: Length of a line of source (characters).
_WIDTH = 120
#: Largest number of bits of codes that are packed two per byte.
PACKED_BITS = 4
#: Limit on the codes of all golden inputs in a source file, which a single input may exceed.
_GOLDEN_CODES = 2**16
#: The runtime's names of storages of codes.
INT4, INT8, INT16 = "QNN_INT4", "QNN_INT8", "QNN_INT16"
#: Types in C by the names of dtypes.
C_TYPES = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "float32": "float",
}


def storage(dtype: np.dtype) -> str:
    """Return the runtime's name of the storage of codes with dtype int8 or int16."""
    return {1: INT8, 2: INT16}[np.dtype(dtype).itemsize]


def array(name: str, values: np.ndarray, qualifiers: str = "static const ", c_type: Optional[str] = None) -> str:
    """Return the definition of an array of one or two axes; its type is that of its dtype unless ``c_type`` names one.

    >>> print(array("a", np.int8([1, -2])))
    static const int8_t a[2] = {
        1, -2};
    """
    shape = "".join(f"[{extent}]" for extent in values.shape)
    parts = [_filled(_numbers(row)) for row in np.atleast_2d(values)]
    body = parts[0] if values.ndim == 1 else "    {" + "},\n    {".join(part.lstrip() for part in parts) + "}"
    return f"{qualifiers}{c_type or C_TYPES[values.dtype.name]} {name}{shape} = {{\n{body}}};"


def weight_order(op: IntegerOp) -> np.ndarray:
    """Return the codes of an operation's weights, int8 or int16 ``[n]``, in the runtime's order.

    The order is [out][height][width][in], [out][in] for a Dense, [height][width][out] for a depthwise convolution.
    """
    codes = op.require_weights().codes
    if isinstance(op.layer, DepthwiseConv2D):
        return codes.reshape(-1)
    return np.moveaxis(codes, -1, 0).reshape(-1)


def stored_weights(op: IntegerOp, pack: bool) -> Dict[str, np.ndarray]:
    """Return ``{storage: array}``, a single item: the codes as stored, with ``pack`` two of up to 4 bits per byte."""
    codes = weight_order(op)
    if pack and op.require_weights().num_bits <= PACKED_BITS:
        return {INT4: packed_nibbles(codes)}
    return {storage(codes.dtype): codes}


def weights_note(weights: IntegerWeights) -> str:
    """Return the comment about an operation's weights."""
    text = "Weights: {} bits, codes {} to {}; scale {}; zero point {}.".format(
        weights.num_bits, *weights.bounds, _listed(weights.scale, "{:.9g}"), _listed(weights.zero_point, "{}")
    )
    return textwrap.fill(f"/* {text} */", _WIDTH, subsequent_indent="   ")


def golden_count(available: int, size: int) -> int:
    """Return the number of golden inputs of ``size`` codes for a source file: at least one, at most ``available``."""
    return max(1, min(available, _GOLDEN_CODES // size))


def weights_offset(weights: IntegerWeights) -> np.ndarray:
    """Return the negative zero points, int32 ``[out]``; an empty array if they are all 0."""
    offset = -weights.channel_zero_points
    return offset if offset.any() else offset[:0]


def _listed(values: np.ndarray, form: str) -> str:
    """Return a list of the values, or a single value if they are equal."""
    different = np.unique(values)
    values = different if len(different) == 1 else values
    return ", ".join(form.format(value) for value in values.reshape(-1).tolist())


def _numbers(values: np.ndarray) -> List[str]:
    if values.dtype == np.int64:
        return [f"{value}LL" for value in values.tolist()]
    if values.dtype == np.float32:
        return [float_literal(value) for value in values.tolist()]
    # C has no negative literals, and the absolute value of the smallest number would not fit its type.
    return ["-2147483647 - 1" if value == -(2**31) else str(value) for value in values.tolist()]


def float_literal(value: float) -> str:
    """Return the literal of a float32 number.

    >>> float_literal(2.0), float_literal(0.1)
    ('2.0f', '0.100000001f')
    """
    text = f"{np.float32(value):.9g}"
    return text + ("f" if "." in text or "e" in text else ".0f")


def _filled(numbers: List[str]) -> str:
    """Return numbers as indented lines of text."""
    widest = max(map(len, numbers), default=1) + 2
    each = max((_WIDTH - 4) // widest, 1)
    lines = (", ".join(numbers[start : start + each]) for start in range(0, len(numbers), each))
    return ",\n".join("    " + line for line in lines)
