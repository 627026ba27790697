"""File format of an integer model: arrays in a ``.npz``, and a description in a ``.json`` beside it.

The description has layers in order with their attributes, grids of tensors, clamps, pads. The arrays of an operation
``conv1`` are

========================  =====================================================================================
``conv1.weights``         codes, int8 or (above 8 bits) int16, in TensorFlow's order
``conv1.weights.scale``   float32 ``[]``, or ``[out]`` per channel; ``.zero_point``: int32, same shape
``conv1.bias``            int32 or int64 ``[out]``, in units of input scale times weight scale
``conv1.multiplier``      int64 ``[n]``, and ``conv1.right_shift``, for ``multiplier * 2**-right_shift``
========================  =====================================================================================

as far as the operation has them; see :class:`qatviz.export.integers.model.IntegerOp` for ``n`` and
:mod:`qatviz.export.integers.simulator` for how each operation is computed.
"""

import hashlib
import io
import json
from typing import Any, Dict, Tuple

import numpy as np

from qatviz.export.integers.model import IntegerModel, IntegerOp, IntegerTensor

#: Version of the format; it changes whenever an older reader would misread a file.
SCHEMA = "qatviz-integer-model/3"
#: Version before, whose average pools have no `tie_center`: they round ties up.
OLD_SCHEMA = "qatviz-integer-model/2"
#: Entry that reveals damage; to change a description or an array on purpose, leave it out.
CHECKSUM = "checksum"
_ABOUT = (
    "A quantized network in integers. A value is scale * (code - zero_point). An operation sums products of "
    "codes less their zero points, adds its bias, takes that times multiplier / 2**right_shift, rounds once, half "
    "up, adds its output's zero point, and clamps. An average pool rounds ties away from its tie_center. The arrays are in the .npz beside this file."
)
_ROUNDED_SUMS = (
    " An addition with three multipliers sums round(code less zero point, first or second multiplier), then computes "
    "round(sum, third multiplier), adds its output's zero point, and clamps. round(a, multiplier, right_shift) is, in "
    "integers of 64 bits: if right_shift is below 31, a is multiplied by 2**(31 - right_shift) and right_shift is 31; "
    "h = floor((a * multiplier + 2**30) / 2**31); s = right_shift - 31; if s is 0, the result is h; else it is "
    "floor((h + 2**(s - 1)) / 2**s), with 1 less than h in place of h if h is below 0."
)


def to_files(model: IntegerModel) -> Tuple[bytes, bytes]:
    """Return the contents of the ``.npz`` and of the ``.json``."""
    arrays, record = arrays_of(model), description(model)
    archive = io.BytesIO()
    np.savez_compressed(archive, **arrays)
    record[CHECKSUM] = checksum(record, arrays)
    return archive.getvalue(), _text(record).encode("utf-8")


def arrays_of(model: IntegerModel) -> Dict[str, np.ndarray]:
    """Return all arrays of a model by name."""
    arrays = {}
    for op in model.ops:
        if op.weights is not None:
            arrays.update(
                {
                    op.name + ".weights": op.weights.codes,
                    op.name + ".weights.scale": op.weights.scale,
                    op.name + ".weights.zero_point": op.weights.zero_point,
                    op.name + ".bias": op.weights.bias,
                }
            )
        if op.requantization is not None:
            arrays.update(
                {
                    op.name + ".multiplier": op.requantization.multiplier,
                    op.name + ".right_shift": op.requantization.right_shift,
                }
            )
    return arrays


def description(model: IntegerModel) -> Dict[str, Any]:
    """Return the description of a model, JSON-able."""
    return {
        "schema": SCHEMA,
        "about": _ABOUT + (_ROUNDED_SUMS if any(op.rounds_terms for op in model.ops) else ""),
        "name": model.name,
        "input": model.input,
        "output": model.output,
        "softmax": model.softmax,
        "aliases": dict(model.aliases),
        "notes": list(model.notes),
        "metadata": model.metadata,
        "tensors": [_tensor(tensor) for tensor in model.tensors],
        "operations": [_operation(op) for op in model.ops],
        "arrays": {
            name: {"dtype": array.dtype.name, "shape": list(array.shape)} for name, array in arrays_of(model).items()
        },
    }


def checksum(record: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> str:
    """Return the SHA-256 of a description, without its checksum and regardless of its layout, and of the arrays."""
    rest = {name: value for name, value in record.items() if name != CHECKSUM}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode("utf-8"))
    for name in sorted(arrays):
        little = arrays[name].astype(arrays[name].dtype.newbyteorder("<"), copy=False)
        digest.update(np.ascontiguousarray(little).tobytes())
    return digest.hexdigest()


def _tensor(tensor: IntegerTensor) -> Dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
        "num_bits": tensor.num_bits,
        "narrow_range": tensor.narrow_range,
        "quantizer": tensor.quantizer,
    }


def _operation(op: IntegerOp) -> Dict[str, Any]:
    weights = op.weights
    return {
        "layer": op.layer.to_dict(),
        "layers": list(op.layers),
        "inputs": list(op.inputs),
        "output": op.output,
        "clamp": list(op.clamp),
        "pads": None if op.pads is None else [list(side) for side in op.pads],
        "weights": None if weights is None else {"num_bits": weights.num_bits, "narrow_range": weights.narrow_range},
        "accumulator_bits": op.accumulator_bits,
        "tie_center": op.tie_center,
    }


def _text(record: Dict[str, Any]) -> str:
    """Return JSON with a line for each tensor, operation and array."""
    entries = []
    for name, value in record.items():
        if name in ("tensors", "operations"):
            text = "[\n  {}\n ]".format(",\n  ".join(_line(entry) for entry in value))
        elif name == "arrays":
            text = "{{\n  {}\n }}".format(",\n  ".join(f"{_line(key)}: {_line(entry)}" for key, entry in value.items()))
        else:
            text = _line(value)
        entries.append(f"{_line(name)}: {text}")
    return "{\n " + ",\n ".join(entries) + "\n}\n"


def _line(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
