"""File format of an integer model: arrays in a ``.npz``, and a description in a ``.json`` beside it.

The description has the layers in order with their attributes, the grids of tensors, clamps, pads, and the rules by
which operations are computed: a program that follows it computes the same integers. The arrays of an operation
``conv1`` are

========================  =====================================================================================
``conv1.weights``         codes, int8 or (above 8 bits) int16, in TensorFlow's order
``conv1.weights.scale``   float32 ``[]``, or ``[out]`` per channel; ``.zero_point``: int32, same shape
``conv1.bias``            int32 or int64 ``[out]``, in units of input scale times weight scale
``act1.table``            int8 or int16 ``[2**num_bits]`` of its input: codes of an Activation's output
``words.table``           int8 or int16 ``[input_dim, output_dim]``: codes of an Embedding's output for each id
``up1.row_position``      int32 ``[rows]``, and ``up1.column_position``: of the pixels of an UpsampleBilinear
``conv1.multiplier``      int64 ``[n]``, and ``conv1.right_shift``, for ``multiplier * 2**-right_shift``
========================  =====================================================================================

An operation without weights has no others than the last; see :class:`qatviz.export.integers.model.IntegerOp` for ``n``.
One whose layer shares the weights of another has no codes of its own if they are the same.
"""

import hashlib
import io
import json
from typing import Any, Dict, List, Tuple

import numpy as np

from qatviz.export.integers.input_formula import input_formula
from qatviz.export.integers.model import IntegerModel, IntegerOp, IntegerTensor, OutputTensor
from qatviz.quant.exact_sums import MEAN_BIAS, MEAN_WEIGHT

#: Version of the format; it changes whenever an older reader would misread a file.
SCHEMA = "qatviz-integer-model/3"
#: Earlier version, whose average pools have no ``tie_center``: they round ties up.
OLD_SCHEMA = "qatviz-integer-model/2"
#: Suffix of the description, which replaces that of the arrays.
SUFFIX = ".json"
#: Entry that reveals damage; to change a description or an array on purpose, leave it out.
CHECKSUM = "checksum"
_ABOUT = (
    "A quantized network in integers. The arrays are in the .npz beside this file; names of those of an operation "
    "begin with the name of its layer. Operations are computed in order, by the entry of 'rules' that 'rule' names, "
    "from codes of their inputs to codes of their output. The other entries explain the terms."
)
_REQUANTIZED = "requantize(accumulator, multiplier, right_shift) + zero_y"
#: Definitions that the rules of all operations use. x are codes of the input, y those of the output.
_GENERAL_RULES = {
    "values": "A value is scale * (code - zero_point), with scale and zero_point of its tensor. Codes are signed. In "
    "the rules, zero_x and zero_y are the zero points of an operation's input and output.",
    "names": "output is the tensor with the logits. A softmax, if there is one, is that of their values and has no "
    "codes. aliases are other names of tensors.",
    "shapes": "Shapes are without the batch axis. Images are [rows, columns, channels]; the last axis is contiguous.",
    "input": "Codes of real inputs, computed in float32: low = -2**(num_bits - 1), plus 1 if narrow_range; high = "
    "2**(num_bits - 1) - 1; least = (low - zero_point) * scale; greatest = (high - zero_point) * scale; code = low + "
    "floor((min(max(value, least), greatest) - least) / scale + 1/2).",
    "clamp": "The result of every operation is clamped: y = min(max(result, clamp[0]), clamp[1]).",
    "requantize": "requantize(a, multiplier, right_shift) = floor((a * multiplier + 2**(right_shift - 1)) / "
    "2**right_shift), in integers of 64 bits: rounded once, half up.",
    "windows": "Of convolutions and pools: row r of the output is computed from rows r * strides[0] - pads[0][0] + i * "
    "dilation[0] of the input (dilation of pools: 1), i from 0 to size[0] - 1, where size is kernel_size or pool_size; "
    "columns likewise from the second items. Positions outside of the input are left out. pads are [[above, below], "
    "[left, right]].",
    "weights": "Their zero point zero_w has one item per output channel, or is one for all. Biases are added to the "
    "accumulator unchanged.",
}
_SHARED_RULE = (
    " An operation without an array of codes of its own has those of the layer that its layer's entry 'shares' names."
)
#: Definition for networks with inputs of ids.
_IDS_RULE = "The codes of a tensor with the entry 'ids' are the values themselves: integers from 0 to ids - 1."
#: Suffix in the rule of a sum whose terms are rounded before they are summed.
_OF_ROUNDED = " of rounded terms"
#: What a rule adds to the kind of a product that is rounded twice.
ROUNDED_TWICE = " rounded twice"
_REPEATED = "An input that has length 1 along an axis is repeated along it."
_ROUND = (
    "round(a, k) is, in integers of 64 bits, with m = multiplier[k], r = "
    "right_shift[k]: if r < 31, a is multiplied by 2**(31 - r) first and r is 31; h = floor((a * m + 2**30) / 2**31); "
    "s = r - 31; if s is 0, the result is h; else it is floor((h + 2**(s - 1)) / 2**s), with h - 1 in place of h if h "
    "is below 0."
)
_MATRICES = (
    "accumulator[..., i, j] = sum over k of (x_0[..., i, k] - zero_x_0) * (x_1[..., k, j] - zero_x_1), with "
    "x_1[..., j, k] in place of x_1[..., k, j] if transpose_second;"
)
_SUM_OF_ROUNDED = "result = round(round(x_0 - zero_x_0, 0) + round(x_1 - zero_x_1, 1), 2) + zero_y. " + _ROUND
_SUM = (
    "accumulator = sum over the inputs k of (x_k - zero_x_k) * multiplier[k]; result = "
    "requantize(accumulator, 1, right_shift[0]) + zero_y. All items of right_shift are equal."
)
_RULES = {
    "Conv2D": "accumulator[o] = bias[o] + sum over i, j, c of (x[row i, column j, c] - zero_x) * "
    f"(weights[i, j, c, o] - zero_w[o]); result[o] = {_REQUANTIZED} with the items o.",
    "GroupedConv2D": "accumulator[o] = bias[o] + sum over i, j, c of (x[row i, column j, g * in + c] - zero_x) * "
    "(weights[i, j, c, o] - zero_w[o]), where c counts the in channels of a group; g = floor(o / (filters / groups)); "
    f"result[o] = {_REQUANTIZED} with the items o.",
    "DepthwiseConv2D": "accumulator[o] = bias[o] + sum over i, j of (x[row i, column j, c] - zero_x) * "
    "(weights[i, j, c, m] - zero_w[o]), with o = c * depth_multiplier + m; result[o] = "
    f"{_REQUANTIZED} with the items o.",
    "Conv2DTranspose": "accumulator[o] of row r and column s = bias[o] + sum over i, j, k, l, c of (x[i, j, c] - "
    "zero_x) * (weights[k, l, c, o] - zero_w[o]), where i * strides[0] + k - pads[0][0] = r and j * strides[1] + l - "
    f"pads[1][0] = s: pads are rows and columns that are left out; result[o] = {_REQUANTIZED} with the items o.",
    "Dense": "accumulator[o] = bias[o] + sum over c of (x[c] - zero_x) * (weights[c, o] - zero_w[o]); result[o] = "
    f"{_REQUANTIZED} with the items o.",
    "Add": f"{_SUM} {_REPEATED}",
    "Add" + _OF_ROUNDED: f"{_SUM_OF_ROUNDED} {_REPEATED}",
    "Subtract": "accumulator = (x_0 - zero_x_0) * multiplier[0] - (x_1 - zero_x_1) * multiplier[1]; result = "
    f"requantize(accumulator, 1, right_shift[0]) + zero_y. Both items of right_shift are equal. {_REPEATED}",
    "Subtract" + _OF_ROUNDED: f"{_SUM_OF_ROUNDED} {_REPEATED}".replace(" + round(x_1", " - round(x_1"),
    "Average": f"{_SUM} The multipliers include the division by the number of inputs. {_REPEATED}",
    "Average" + _OF_ROUNDED: f"{_SUM_OF_ROUNDED} The last multiplier includes the division by 2. {_REPEATED}",
    "Multiply": "accumulator = (x_0 - zero_x_0) * (x_1 - zero_x_1), where an input that has length 1 along an axis is "
    f"repeated along it; result = {_REQUANTIZED} with the items 0.",
    "MatMul": f"{_MATRICES} result = {_REQUANTIZED} with the items 0. The multiplier includes factor.",
    "MatMul" + ROUNDED_TWICE: f"{_MATRICES} result = round(accumulator, 0) + zero_y. The multiplier includes factor. "
    + _ROUND,
    "Multiply" + ROUNDED_TWICE: "result = round((x_0 - zero_x_0) * (x_1 - zero_x_1), 0) + zero_y. " + _ROUND,
    "Maximum": f"result = the larger of the two inputs' codes. {_REPEATED}",
    "Minimum": f"result = the smaller of the two inputs' codes. {_REPEATED}",
    "GlobalAveragePool": f"accumulator[c] = {MEAN_WEIGHT} * (sum over all rows and columns of (x[c] - zero_x)) + "
    f"{MEAN_BIAS}; result[c] = {_REQUANTIZED} with the items 0. The multiplier includes the division by {MEAN_WEIGHT} "
    f"times the number of rows and columns; the {MEAN_BIAS} rounds ties up.",
    "AveragePool": "n = number of positions of the window inside of the input; s = sum over them of (x - tie_center); "
    "result = sign(s) * floor((2 * |s| + n) / (2 * n)) + tie_center: the mean, rounded to the nearest code, ties away "
    "from tie_center.",
    "Embedding": "result = table[x], the row of each id x.",
    "Activation": "result = table[x + 2**(num_bits - 1)] with num_bits of its input; entries are in order of codes.",
    "Softmax": "along the last axis, with d = (largest x) - x. If x has up to 8 bits and y has 8 bits, scale 1/256 and "
    "zero point -128, in float32: e[d] = exp(-scale_x * d), where the product is rounded to float32 and then the "
    "exponential; s = the sum of all e[d], added one after the other; result = min(floor(e[d] * (1 / (s * (1/256))) + "
    "1/2), 255) + zero_y. Otherwise in float64: result = floor(exp(-scale_x * d) / (sum of all exp(-scale_x * d)) / "
    "scale_y + 1/2) + zero_y.",
    "MaxPool": "result = largest x in the window.",
    "Concat": "result = the inputs one after the other along axis, which counts without the batch; negative ones count "
    "from the last.",
    "Flatten": "result = x in the same order, in the shape of the output.",
    "Reshape": "result = x in the same order, in the shape of the output.",
    "ZeroPad": "result = x with rows and columns of zero_x around it: padding is [[above, below], [left, right]].",
    "Slice": "result = x[start[0] : stop[0] : strides[0], start[1] : stop[1] : strides[1], ...], one item per axis: "
    "every strides-th element from start on, before stop.",
    "Permute": "result = x with axis axes[i] of x as axis i; axes count without the batch.",
    "UpsampleNearest": "result[r, c] = x[floor(r / size[0]), floor(c / size[1])], for all rows r and columns c.",
    "UpsampleBilinear": "of row r and column s: u = position_unit; i = floor(row_position[r] / u), a = row_position[r] "
    "mod u, k = min(i + 1, last row); j = floor(column_position[s] / u), b = column_position[s] mod u, l = min(j + 1, "
    "last column); t = (u - a) * ((u - b) * x[i, j] + b * x[i, l]) + a * ((u - b) * x[k, j] + b * x[k, l]) - u * u * "
    "tie_center; result[r, s] = sign(t) * floor((2 * |t| + u * u) / (2 * u * u)) + tie_center.",
    "ReLU": "result = x; the clamp is the activation.",
    "ReLU6": "result = x; the clamp is the activation.",
}


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
            if model.codes_owner(op) is op:
                arrays[op.name + ".weights"] = op.weights.codes
            arrays.update(
                {
                    op.name + ".weights.scale": op.weights.scale,
                    op.name + ".weights.zero_point": op.weights.zero_point,
                    op.name + ".bias": op.weights.bias,
                }
            )
        if op.table is not None and (op.layer.owner == op.name):
            arrays[op.name + ".table"] = op.table
        if op.positions is not None:
            rows, columns, _ = op.positions
            arrays.update({op.name + ".row_position": rows, op.name + ".column_position": columns})
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
        "about": _ABOUT,
        "name": model.name,
        **_inputs(model),
        "output": model.output,
        "softmax": model.softmax,
        **({"outputs": [head._asdict() for head in _outputs(model)]} if model.further else {}),
        "aliases": dict(model.aliases),
        "notes": list(model.notes),
        "metadata": model.metadata,
        "tensors": [_tensor(tensor) for tensor in model.tensors],
        "operations": [_operation(op) for op in model.ops],
        "rules": dict(_general_rules(model), **{kind: _RULES[kind] for kind in sorted(set(map(_rule, model.ops)))}),
        "arrays": {
            name: {"dtype": array.dtype.name, "shape": list(array.shape)} for name, array in arrays_of(model).items()
        },
    }


def _inputs(model: IntegerModel) -> Dict[str, Any]:
    """Return the entries on the input, or on several inputs."""
    rows: List[Dict[str, Any]] = [{"input": each.name, "input_codes": input_formula(each)} for each in model.inputs]
    return rows[0] if len(rows) == 1 else {"inputs": rows}


def _general_rules(model: IntegerModel) -> Dict[str, str]:
    rules = dict(_GENERAL_RULES)
    if any(tensor.ids for tensor in model.inputs):
        rules["ids"] = _IDS_RULE
    if any(op.layer.owner != op.name for op in model.ops):
        rules["weights"] += _SHARED_RULE
    return rules


def _outputs(model: IntegerModel) -> Tuple[OutputTensor, ...]:
    return (OutputTensor(model.output, model.softmax), *model.further)


def checksum(record: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> str:
    """Return the SHA-256 of a description, without its checksum and regardless of its layout, and of the arrays."""
    rest = {name: value for name, value in record.items() if name != CHECKSUM}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode("utf-8"))
    for name in sorted(arrays):
        little = arrays[name].astype(arrays[name].dtype.newbyteorder("<"), copy=False)
        digest.update(np.ascontiguousarray(little).tobytes())
    return digest.hexdigest()


def _tensor(tensor: IntegerTensor) -> Dict[str, Any]:
    if tensor.ids:
        return {"name": tensor.name, "shape": list(tensor.shape), "ids": tensor.ids}
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
        "num_bits": tensor.num_bits,
        "narrow_range": tensor.narrow_range,
        "quantizer": tensor.quantizer,
    }


def _rule(op: IntegerOp) -> str:
    """Return the name of the rule by which an operation is computed."""
    if op.rounds_twice:
        return op.kind + ROUNDED_TWICE
    return op.kind + _OF_ROUNDED if op.rounds_terms else op.kind


def _operation(op: IntegerOp) -> Dict[str, Any]:
    weights = op.weights
    record = {
        "layer": op.layer.to_dict(),
        "layers": list(op.layers),
        "inputs": list(op.inputs),
        "output": op.output,
        "clamp": list(op.clamp),
        "pads": None if op.pads is None else [list(side) for side in op.pads],
        "weights": None if weights is None else {"num_bits": weights.num_bits, "narrow_range": weights.narrow_range},
        "accumulator_bits": op.accumulator_bits,
        "tie_center": op.tie_center,
        "rule": _rule(op),
    }
    return record if op.positions is None else dict(record, position_unit=op.positions.unit)


def _text(record: Dict[str, Any]) -> str:
    """Return JSON with a line for each tensor, operation, rule and array."""
    entries = []
    for name, value in record.items():
        if name in ("tensors", "operations"):
            text = "[\n  {}\n ]".format(",\n  ".join(_line(entry) for entry in value))
        elif name in ("arrays", "rules"):
            text = "{{\n  {}\n }}".format(",\n  ".join(f"{_line(key)}: {_line(entry)}" for key, entry in value.items()))
        else:
            text = _line(value)
        entries.append(f"{_line(name)}: {text}")
    return "{\n " + ",\n ".join(entries) + "\n}\n"


def _line(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
