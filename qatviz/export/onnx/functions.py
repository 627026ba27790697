"""Activation functions as nodes of an ONNX file: in float, with or without quantization around them, and as tables."""

from typing import List, Optional

import numpy as np

from qatviz.export.integers.model import IntegerModel, IntegerOp
from qatviz.export.onnx.file import INT32, OnnxFile
from qatviz.export.onnx.grids import Grids, is_wide
from qatviz.network.activations import Activation
from qatviz.quant.function_tables import distance_from_tie, follows_kernel

#: Largest error of a function in float, in quantization steps of 8 bits; onnxruntime approximates some by polynomials.
_LARGEST_ERROR = 2.0**-9


def append_form(file: OnnxFile, layer: Activation, value: str, name: str, output: Optional[str] = None) -> str:
    """Append the nodes of a function of ``value``; return the name of the result.

    ``name`` is that of the last node, and the beginning of the names of the others; ``output`` is the name of the
    result, if it has to be another than that of a step.
    """
    results: List[str] = []
    steps = layer.definition.onnx(layer.parameters)
    for place, step in enumerate(steps):
        last = place == len(steps) - 1
        node = name if last else f"{name}.step{place}"
        inputs = [
            value
            if given == "x"
            else results[given]
            if isinstance(given, int)
            else file.add_constant(f"{node}.operand{position}", given, np.float32)
            for position, given in enumerate(step.inputs)
        ]
        if last and output is not None:
            results.append(file.add_node(step.operator, inputs, output, node, **step.attributes))
        else:
            results.append(file.add_step(step.operator, inputs, node, **step.attributes))
    return results[-1]


def is_nearest(model: IntegerModel, op: IntegerOp) -> bool:
    """Return whether float arithmetic computes the table of an Activation of up to 8 bits for sure."""
    assert isinstance(op.layer, Activation)
    source, output = model.tensor(op.inputs[0]).grid, model.tensor(op.output).grid
    if follows_kernel(op.layer, source, output, any(map(is_wide, model.tensors))):
        return False
    return distance_from_tie(op.layer, source, output) > _LARGEST_ERROR


def look_up_in_float(file: OnnxFile, grids: Grids, model: IntegerModel, op: IntegerOp) -> None:
    """Append the table of an Activation with codes of more than 8 bits, which are numbers in float."""
    source, output, name = model.tensor(op.inputs[0]), model.tensor(op.output), op.name
    value = grids.relative_codes(source, source.zero_point, name + ".source")
    first = file.add_constant(name + ".first", source.zero_point + 2 ** (source.num_bits - 1), np.float32)
    value = file.add_step("Add", [value, first], name + ".code")
    position = file.add_step("Cast", [value], name + ".position", to=INT32)
    codes = op.require_table().astype(np.int64) - output.zero_point
    values = file.add_constant(name + ".table", codes, np.float32)
    grids.put_relative_codes(output, file.add_step("Gather", [values, position], name, axis=0), output.zero_point)
