"""A MatMul in a float TFLite file: a FULLY_CONNECTED for each matrix, whose weights are an activation.

TensorFlow 1.15's interpreter has no BATCH_MATMUL. The file takes one example at a time.
"""

# A separate module, because the lowering would be too long with it.

from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from qatviz.export.tflite.file import TfliteFile
from qatviz.export.tflite.moves import move_inputs, move_steps
from qatviz.network.checks import INPUT
from qatviz.network.layer import Layer, element_count
from qatviz.network.layers import Permute, Slice
from qatviz.network.matmul import MatMul

_FLOAT = np.dtype(np.float32)


class LastOperation(NamedTuple):
    """Operation that is not appended yet: its name, inputs, table of options, and their fields."""

    name: str
    inputs: List[int]
    options: str
    fields: Dict[str, Any]


def append_product(
    file: TfliteFile, layer: MatMul, sources: Sequence[int], terms: int, shape: Tuple[int, ...], name: str
) -> LastOperation:
    """Append all operations of a product but the last one, and return that.

    Parameters
    ----------
    file : TfliteFile
    layer : MatMul
    sources : sequence of int
        Indices of its two inputs.
    terms : int
        Number of terms of each sum.
    shape : tuple of int
        Shape of the product, without the batch axis.
    name : str
        What the names of tensors begin with.
    """
    count, (rows, columns) = element_count(shape[:-2]), shape[-2:]
    first = _reshaped(file, sources[0], name + "/first", (1, count, rows, terms))
    lines = (1, count, *((columns, terms) if layer.transpose_second else (terms, columns)))
    second = _reshaped(file, sources[1], name + "/second", lines)
    if not layer.transpose_second:
        transposed = (1, count, columns, terms)
        axes = Permute("axes", (INPUT,), (0, 2, 1))
        second = _moved(file, axes, second, lines[1:], name + "/transposed", transposed)
    products = []
    for place in range(count):
        own, inputs = f"{name}/matrix{place}", []
        for index, size, what in ((first, rows, "first"), (second, columns, "second")):
            piece = Slice("piece", (INPUT,), (place, 0, 0), (place + 1, size, terms))
            index = _moved(file, piece, index, (count, size, terms), f"{own}/{what}_part", (1, 1, size, terms))
            inputs.append(_reshaped(file, index, f"{own}/{what}", (size, terms)))
        product = file.add_tensor(own, (rows, columns), _FLOAT)
        file.add_operation("FULLY_CONNECTED", 1, inputs, [product], ("FullyConnectedOptions", {}))
        products.append(_reshaped(file, product, own + "/product", (1, 1, rows, columns)))
    value = products[0]
    if count > 1:
        value = file.add_tensor(name + "/joined", (1, count, rows, columns), _FLOAT)
        file.add_operation("CONCATENATION", 1, products, [value], ("ConcatenationOptions", {"Axis": 1}))
    if layer.factor != 1:
        factor, product = file.add_constant(name + "/by", np.float32([layer.factor])), value
        value = file.add_tensor(name + "/scaled", (1, count, rows, columns), _FLOAT)
        file.add_operation("MUL", 1, [product, factor], [value], ("MulOptions", {}))
    constant = file.add_constant(name + "/shape", np.array((1, *shape), np.int32))
    return LastOperation("RESHAPE", [value, constant], "ReshapeOptions", {"NewShape": (1, *shape)})


def _reshaped(file: TfliteFile, index: int, name: str, shape: Tuple[int, ...]) -> int:
    """Append a RESHAPE to this shape, with the batch axis; return the index of the result."""
    result = file.add_tensor(name, shape, _FLOAT)
    constant = file.add_constant(name + "/shape", np.array(shape, np.int32))
    file.add_operation("RESHAPE", 1, [index, constant], [result], ("ReshapeOptions", {"NewShape": shape}))
    return result


def _moved(
    file: TfliteFile, layer: Layer, index: int, given: Tuple[int, ...], name: str, shape: Tuple[int, ...]
) -> int:
    """Append a layer that moves elements; return the index of its output, of this shape, with the batch axis.

    ``given`` is the shape of its input, without the batch axis.
    """
    ((_, found, _),) = move_steps(layer, given, shape[1:])
    inputs = move_inputs(file, name, found, index)
    result = file.add_tensor(name, shape, _FLOAT)
    file.add_operation(found.name, 1, inputs, [result], (found.options, found.fields))
    return result
