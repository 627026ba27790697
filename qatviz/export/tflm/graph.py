"""Graph of a TFLite file for estimates of a chip's memory and time: its operations, buffers, and stored bytes."""

from typing import Any, Container, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import tflite

from qatviz.analysis.chip.graph import Buffer, ChipGraph, FlashBytes, Operation
from qatviz.analysis.chip.work import Work, convolution, dense, depthwise, reading
from qatviz.export.tflite.file import ITEM_BYTES

_NAMES = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
#: Types of tensors that are codes of activations.
_CODES = {tflite.TensorType.INT8: 8, tflite.TensorType.UINT8: 8, tflite.TensorType.INT16: 16}
_ALIGNMENT = 16
#: Bytes of a scale and a zero point in a file.
_SCALE_BYTES, _ZERO_POINT_BYTES = 4, 8
#: Operations with weights as second input.
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


class _Tensor(NamedTuple):
    name: str
    shape: Tuple[int, ...]
    type: int
    stored: int
    scales: int

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        return self.size * ITEM_BYTES[self.type]


def chip_graph(content: bytes, units: Mapping[str, str], packed: Container[str] = ()) -> ChipGraph:
    """Return the graph of a file.

    Parameters
    ----------
    content : bytes
        TFLite file.
    units : mapping of str to str
        Names of the network's layers, and of the units that compute them; operations are attributed to the units by
        the names of their weights and outputs.
    packed : container of str
        Names of int8 weights that are to be stored two per byte, as INT4 tensors are.
    """
    model = tflite.Model.GetRootAsModel(content, 0)
    graph = model.Subgraphs(0)
    tensors = [_tensor(model, graph.Tensors(index)) for index in range(graph.TensorsLength())]
    inputs, outputs = _indices(graph.InputsAsNumpy()), _indices(graph.OutputsAsNumpy())
    attribution = _Attribution(units)
    operations = tuple(
        _operation(model, graph.Operators(index), tensors, attribution, packed)
        for index in range(graph.OperatorsLength())
    )
    buffers = tuple(Buffer(tensor.name, tensor.nbytes, tensor.stored > 0) for tensor in tensors)
    flash = _flash(content, tensors, operations, packed)
    bits = max((_CODES[tensors[index].type] for index in inputs if tensors[index].type in _CODES), default=8)
    return ChipGraph(buffers, operations, inputs, outputs, flash, bits)


class _Attribution:
    """Units of operations, by the names of their weights and outputs; else that of the operation before."""

    def __init__(self, units: Mapping[str, str]):
        self._units = units
        self._layers = sorted(units, key=len, reverse=True)
        self._last = next(iter(units.values()), "")

    def of(self, names: Sequence[str]) -> str:
        """Return the unit of the first of ``names`` that begins with the name of a layer."""
        for name in names:
            found = self._named(name)
            if found:
                self._last = found
                break
        return self._last

    def _named(self, name: str) -> Optional[str]:
        for layer in self._layers:
            if name == layer or (name.startswith(layer) and name[len(layer)] in "./"):
                return self._units[layer]
        return None


def _tensor(model: Any, tensor: Any) -> _Tensor:
    quantization = tensor.Quantization()
    shape = tuple(int(size) for size in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()
    return _Tensor(
        tensor.Name().decode(),
        shape,
        tensor.Type(),
        model.Buffers(tensor.Buffer()).DataLength(),
        quantization.ScaleLength() if quantization is not None else 0,
    )


def _indices(found: Any) -> Tuple[int, ...]:
    return tuple(int(index) for index in found) if isinstance(found, np.ndarray) else ()


def _operation(
    model: Any, operator: Any, tensors: List[_Tensor], attribution: _Attribution, packed: Container[str]
) -> Operation:
    code = model.OperatorCodes(operator.OpcodeIndex())
    kind = _NAMES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
    inputs = tuple(index for index in _indices(operator.InputsAsNumpy()) if index >= 0)
    outputs = _indices(operator.OutputsAsNumpy())
    given, made = [tensors[index] for index in inputs], tensors[outputs[0]]
    weights = given[1] if kind in _WEIGHTED else None
    names = [*([weights.name] if weights is not None else []), *(tensors[index].name for index in outputs)]
    image = (made.shape[1], made.shape[2]) if len(made.shape) == 4 else (1, 1)
    found = _work(kind, given, made, image)
    is_int4 = weights is not None and (weights.type == tflite.TensorType.INT4 or weights.name in packed)
    kernel = weights.shape[1:3] if weights is not None and len(weights.shape) == 4 else (1, 1)
    return Operation(
        kind,
        attribution.of(names),
        inputs,
        outputs,
        found,
        _channels(kind, weights, made),
        _patch(kind, weights, kernel),
        (int(kernel[0]), int(kernel[1])),
        weights.size if is_int4 and weights is not None else 0,
        given[1].nbytes if kind == "BATCH_MATMUL" and not _is_transposed(operator) else 0,
    )


def _is_transposed(operator: Any) -> bool:
    """Return whether the second input of a BATCH_MATMUL is transposed already, as its kernel reads it."""
    table, options = operator.BuiltinOptions(), tflite.BatchMatMulOptions()
    options.Init(table.Bytes, table.Pos)
    return bool(options.AdjY())


def _channels(kind: str, weights: Optional[_Tensor], made: _Tensor) -> int:
    """Return the number of multipliers of an operation with weights, or the channels of a pooling."""
    if weights is None:
        return made.shape[-1] if kind == "AVERAGE_POOL_2D" else 0
    return made.shape[-1] if kind != "FULLY_CONNECTED" else weights.scales


def _patch(kind: str, weights: Optional[_Tensor], kernel: Sequence[int]) -> int:
    """Return the number of values under the kernel; 0 for a kernel of 1×1."""
    if weights is None or tuple(kernel) == (1, 1) or kind == "FULLY_CONNECTED":
        return 0
    return int(np.prod(weights.shape[1:], dtype=np.int64))


def _work(kind: str, given: List[_Tensor], made: _Tensor, image: Tuple[int, int]) -> Work:
    positions = image[0] * image[1]
    if kind == "CONV_2D":
        filters, height, width, channels = given[1].shape
        return convolution(positions, channels, filters, height * width)
    if kind == "DEPTHWISE_CONV_2D":
        return depthwise(positions, given[1].shape[3], given[1].shape[1] * given[1].shape[2])
    if kind == "TRANSPOSE_CONV":
        filters, height, width, channels = given[1].shape
        source = given[2].shape
        return convolution(source[1] * source[2], channels, filters, height * width)
    if kind == "FULLY_CONNECTED":
        units, depth = given[1].shape
        return dense(made.size // units, depth, units)
    if kind == "BATCH_MATMUL":
        return dense(made.size // made.shape[-1], given[0].size * made.shape[-1] // made.size, made.shape[-1])
    if kind == "RESHAPE":
        return reading(made.size)
    return reading(sum(tensor.size for tensor in given if not tensor.stored))


def _flash(
    content: bytes, tensors: List[_Tensor], operations: Sequence[Operation], packed: Container[str]
) -> FlashBytes:
    """Return the bytes of the file by purpose; those of ``packed`` weights as if they were packed."""
    weights = {operation.inputs[1] for operation in operations if operation.kind in _WEIGHTED}
    biases = {
        operation.inputs[-1]
        for operation in operations
        if operation.kind in _WEIGHTED and len(operation.inputs) > 2 and tensors[operation.inputs[-1]].stored
    }
    stored: Dict[int, int] = {index: tensors[index].stored for index in weights | biases}
    saved = 0
    for index in weights:
        tensor = tensors[index]
        if tensor.name in packed and tensor.type == tflite.TensorType.INT8:
            half = (tensor.size + 1) // 2
            saved += _rounded_up(stored[index]) - _rounded_up(half)
            stored[index] = half
    parameters = sum(tensor.scales for tensor in tensors) * (_SCALE_BYTES + _ZERO_POINT_BYTES)
    of_weights, of_biases = (sum(stored[index] for index in indices) for indices in (weights, biases - weights))
    rest = len(content) - saved - of_weights - of_biases - parameters
    return FlashBytes(of_weights, of_biases, parameters, max(rest, 0))


def _rounded_up(nbytes: int) -> int:
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT
