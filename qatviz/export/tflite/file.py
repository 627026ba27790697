"""Builder of TFLite files, flatbuffers of tensors and operations.

The schema is TensorFlow's ``tensorflow/lite/schema/schema.fbs``; the package ``tflite`` has its field numbers.
"""

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import flatbuffers
import numpy as np
import tflite

from qatviz.export.integers.nibbles import packed_nibbles
from qatviz.export.tflite.metadata import MIN_RUNTIME_VERSION, Attachment, min_runtime_version, with_files
from qatviz.network.checks import Pair
from qatviz.network.layers import AveragePool, MaxPool

SCHEMA_VERSION = 3
IDENTIFIER = b"TFL3"
#: Key of the signature, whose inputs and outputs have the names of the tensors.
SIGNATURE = "serving_default"
#: Alignment of a buffer's data in the schema (bytes).
_ALIGNMENT = 16
#: Largest operator code of the one-byte field that old readers use; larger codes have this placeholder there.
_LARGEST_OLD_CODE = 127
#: Values of options for TensorFlow's names.
PADDING = {"SAME": tflite.Padding.SAME, "VALID": tflite.Padding.VALID}
_TYPES = {
    np.dtype(np.int8): tflite.TensorType.INT8,
    np.dtype(np.uint8): tflite.TensorType.UINT8,
    np.dtype(np.int16): tflite.TensorType.INT16,
    np.dtype(np.int32): tflite.TensorType.INT32,
    np.dtype(np.int64): tflite.TensorType.INT64,
    np.dtype(np.float32): tflite.TensorType.FLOAT32,
    np.dtype(bool): tflite.TensorType.BOOL,
}
#: Bytes of a value in memory by type of tensor; runtimes unpack INT4.
ITEM_BYTES: Dict[int, int] = {**{type: dtype.itemsize for dtype, type in _TYPES.items()}, tflite.TensorType.INT4: 1}
#: Tables with the options of the operations of activation functions; others have none.
FUNCTION_OPTIONS = {
    "ADD": "AddOptions",
    "SUB": "SubOptions",
    "MUL": "MulOptions",
    "DIV": "DivOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "GELU": "GeluOptions",
}
#: Versions of operations with int8 and int16 (TensorFlow's ``lite/tools/versioning/op_version.cc``); 1 with uint8.
VERSIONS: Dict[str, Dict[str, int]] = {
    "int8": {
        "CONV_2D": 3,
        "DEPTHWISE_CONV_2D": 3,
        "TRANSPOSE_CONV": 3,
        "FULLY_CONNECTED": 4,
        "BATCH_MATMUL": 2,
        "MAX_POOL_2D": 2,
        "AVERAGE_POOL_2D": 2,
        "ADD": 2,
        "SUB": 2,
        "MUL": 2,
        "CONCATENATION": 2,
        "PAD": 2,
        "STRIDED_SLICE": 2,
        "TRANSPOSE": 2,
        "RESIZE_NEAREST_NEIGHBOR": 2,
        "RESIZE_BILINEAR": 3,
        "MINIMUM": 2,
        "MAXIMUM": 2,
        "SOFTMAX": 2,
        "LOGISTIC": 2,
        "TANH": 2,
        "LEAKY_RELU": 2,
        "CAST": 2,
        "GATHER": 2,
    },
    "int16": {
        "CONV_2D": 4,
        "DEPTHWISE_CONV_2D": 5,
        "TRANSPOSE_CONV": 3,
        "BATCH_MATMUL": 3,
        "MAX_POOL_2D": 3,
        "AVERAGE_POOL_2D": 3,
        "ADD": 3,
        "SUB": 5,
        "MUL": 4,
        "CONCATENATION": 3,
        "PAD": 3,
        "TRANSPOSE": 5,
        "RESIZE_NEAREST_NEIGHBOR": 4,
        "RESIZE_BILINEAR": 4,
        "MINIMUM": 4,
        "MAXIMUM": 4,
        "SOFTMAX": 3,
        "QUANTIZE": 2,
        "LOGISTIC": 3,
        "TANH": 3,
        "CAST": 3,
        "GATHER": 4,
    },
    "uint8": {"TRANSPOSE_CONV": 3, "RESIZE_BILINEAR": 3},
}
#: Versions of operations with INT4 weights and int8 activations.
INT4_VERSIONS = {"CONV_2D": 7, "DEPTHWISE_CONV_2D": 7, "FULLY_CONNECTED": 10}
#: Version of FULLY_CONNECTED with a scale for each channel.
PER_CHANNEL_VERSION = 12


#: Fields of a table with options.
Fields = Dict[str, Union[int, float, Tuple[int, ...]]]


class Quantization(NamedTuple):
    """Grid of ``real = scale * (code - zero_point)``, with one scale, or one for each index of ``axis``."""

    scale: np.ndarray
    zero_point: np.ndarray
    axis: int = 0


class Operation(NamedTuple):
    """One operation.

    ``name`` and ``version`` are those of ``BuiltinOperator`` ("CONV_2D"), ``inputs`` and ``outputs`` indices of
    tensors, ``options`` the name of a table of the schema ("Conv2DOptions") and its fields.
    """

    name: str
    version: int
    inputs: Tuple[int, ...]
    outputs: Tuple[int, ...]
    options: Optional[Tuple[str, Fields]]


def convolution_options(strides: Pair, padding: str, dilation: Pair) -> Dict[str, int]:
    """Return padding, strides and dilation as fields of a convolution's options."""
    dilations = {"DilationHFactor": dilation[0], "DilationWFactor": dilation[1]}
    return dict(transposed_options(strides, padding), **dilations)


def transposed_options(strides: Pair, padding: str) -> Dict[str, int]:
    """Return padding and strides as fields of a transposed convolution's options."""
    return {"Padding": PADDING[padding], "StrideH": strides[0], "StrideW": strides[1]}


def pool_options(layer: Union[MaxPool, AveragePool]) -> Dict[str, int]:
    """Return the fields of a pool's options."""
    return {
        "Padding": PADDING[layer.padding],
        "StrideH": layer.strides[0],
        "StrideW": layer.strides[1],
        "FilterHeight": layer.pool_size[0],
        "FilterWidth": layer.pool_size[1],
    }


def tensor_type(dtype: np.dtype) -> int:
    """Return the schema's number of a type."""
    return int(_TYPES[np.dtype(dtype)])


class _Tensor(NamedTuple):
    name: str
    shape: Tuple[int, ...]
    kind: int
    quantization: Optional[Quantization]
    buffer: int


class TfliteFile:
    """Builder of a file with one subgraph.

    Parameters
    ----------
    description : str
        Stored in the file.
    """

    def __init__(self, description: str):
        self._description = description
        self._tensors: List[_Tensor] = []
        self._operations: List[Operation] = []
        self._buffers: List[Optional[np.ndarray]] = [None]  # the first is for tensors without data
        #: Indices of the buffers of constants that may be shared, with their data.
        self._shared: Dict[str, List[Tuple[int, np.ndarray]]] = {}

    def add_tensor(
        self, name: str, shape: Sequence[int], dtype: np.dtype, quantization: Optional[Quantization] = None
    ) -> int:
        """Append a tensor that is computed; return its index. ``shape`` includes the batch axis."""
        return self._append(name, tuple(shape), _TYPES[np.dtype(dtype)], quantization, 0)

    def add_constant(
        self, name: str, data: np.ndarray, quantization: Optional[Quantization] = None, shared: str = ""
    ) -> int:
        """Append a tensor with this data; return its index.

        Tensors with the same name ``shared`` and the same data have one buffer.
        """
        buffer = self._buffer(np.ascontiguousarray(data), shared)
        return self._append(name, data.shape, _TYPES[data.dtype], quantization, buffer)

    def add_int4_constant(self, name: str, codes: np.ndarray, quantization: Quantization, shared: str = "") -> int:
        """Append a tensor of type INT4 with these codes from -8 to 7, two per byte; see :meth:`add_constant`."""
        buffer = self._buffer(packed_nibbles(codes), shared)
        return self._append(name, codes.shape, tflite.TensorType.INT4, quantization, buffer)

    def name_of(self, index: int) -> str:
        """Return the name of a tensor."""
        return self._tensors[index].name

    def add_operation(
        self,
        name: str,
        version: int,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: Optional[Tuple[str, Fields]] = None,
    ) -> None:
        """Append an operation, which is computed after those before it."""
        self._operations.append(Operation(name, version, tuple(inputs), tuple(outputs), options))

    def finish(
        self, inputs: Sequence[int], outputs: Sequence[int], attached: Optional[Attachment] = Attachment()
    ) -> bytes:
        """Return the file with these tensors as its inputs and outputs, a signature, and what is ``attached``.

        With None, it has neither signature nor metadata.
        """
        entries: Optional[Dict[str, bytes]] = None
        if attached is not None:
            operations = [(operation.name, operation.version) for operation in self._operations]
            entries = {MIN_RUNTIME_VERSION: min_runtime_version(operations), **attached.entries}
        content = _Writer().model(
            self._description, self._tensors, self._operations, self._buffers, inputs, outputs, entries
        )
        return content if attached is None else with_files(content, attached.files)

    def _buffer(self, data: np.ndarray, shared: str) -> int:
        """Return the index of a buffer with this data."""
        known = self._shared.setdefault(shared, []) if shared else []
        for index, other in known:
            if np.array_equal(other, data):
                return index
        self._buffers.append(data)
        known.append((len(self._buffers) - 1, data))
        return known[-1][0]

    def _append(self, *fields: Any) -> int:
        self._tensors.append(_Tensor(*fields))
        return len(self._tensors) - 1


class _Writer:
    """Writer of the schema's tables to a flatbuffer, which is built from its end: children before their parents."""

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder(1024)

    def model(
        self,
        description: str,
        tensors: Sequence[_Tensor],
        operations: Sequence[Operation],
        buffers: Sequence[Optional[np.ndarray]],
        inputs: Sequence[int],
        outputs: Sequence[int],
        entries: Optional[Mapping[str, bytes]],
    ) -> bytes:
        first, attached = len(buffers), entries or {}
        buffers = [*buffers, *(np.frombuffer(entry, np.uint8) for entry in attached.values())]
        codes = sorted({(operation.name, operation.version) for operation in operations})
        fields = {
            "Buffers": self._vector([self._buffer(data) for data in buffers]),
            "Subgraphs": self._vector([self._subgraph(tensors, operations, codes, inputs, outputs)]),
            "OperatorCodes": self._vector([self._operator_code(*code) for code in codes]),
            "Description": self._builder.CreateString(description),
        }
        if entries is not None:
            fields["Metadata"] = self._vector([self._entry(name, first + i) for i, name in enumerate(entries)])
            fields["SignatureDefs"] = self._vector([self._signature(tensors, inputs, outputs)])
        model = self._table("Model", Version=SCHEMA_VERSION, **fields)
        self._builder.Finish(model, IDENTIFIER)
        return bytes(self._builder.Output())

    def _table(self, kind: str, **fields: Any) -> int:
        getattr(tflite, kind + "Start")(self._builder)
        for name, value in fields.items():
            getattr(tflite, f"{kind}Add{name}")(self._builder, value)
        return int(getattr(tflite, kind + "End")(self._builder))

    def _vector(self, offsets: Sequence[int]) -> int:
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        return int(self._builder.EndVector())

    def _numbers(self, values: Any, dtype: Any) -> int:
        return int(self._builder.CreateNumpyVector(np.atleast_1d(np.asarray(values, dtype))))

    def _buffer(self, data: Optional[np.ndarray]) -> int:
        if data is None:
            return self._table("Buffer")
        content = data.astype(data.dtype.newbyteorder("<")).tobytes()
        self._builder.StartVector(1, len(content), _ALIGNMENT)
        self._builder.head -= len(content)
        self._builder.Bytes[self._builder.head : self._builder.head + len(content)] = content
        return self._table("Buffer", Data=self._builder.EndVector())

    def _entry(self, name: str, buffer: int) -> int:
        return self._table("Metadata", Name=self._builder.CreateString(name), Buffer=buffer)

    def _signature(self, tensors: Sequence[_Tensor], inputs: Sequence[int], outputs: Sequence[int]) -> int:
        fields = {
            kind: self._vector([self._named(tensors[index].name, index) for index in indices])
            for kind, indices in (("Inputs", inputs), ("Outputs", outputs))
        }
        return self._table("SignatureDef", SignatureKey=self._builder.CreateString(SIGNATURE), **fields)

    def _named(self, name: str, index: int) -> int:
        return self._table("TensorMap", Name=self._builder.CreateString(name), TensorIndex=index)

    def _operator_code(self, name: str, version: int) -> int:
        code = getattr(tflite.BuiltinOperator, name)
        # Readers up to TensorFlow 2.3 know the first field only; later ones use the larger.
        return self._table(
            "OperatorCode", DeprecatedBuiltinCode=min(code, _LARGEST_OLD_CODE), BuiltinCode=code, Version=version
        )

    def _subgraph(
        self,
        tensors: Sequence[_Tensor],
        operations: Sequence[Operation],
        codes: Sequence[Tuple[str, int]],
        inputs: Sequence[int],
        outputs: Sequence[int],
    ) -> int:
        fields = {
            "Tensors": self._vector([self._tensor(tensor) for tensor in tensors]),
            "Operators": self._vector([self._operation(operation, codes) for operation in operations]),
            "Inputs": self._numbers(inputs, np.int32),
            "Outputs": self._numbers(outputs, np.int32),
            "Name": self._builder.CreateString("main"),
        }
        return self._table("SubGraph", **fields)

    def _tensor(self, tensor: _Tensor) -> int:
        fields = {"Name": self._builder.CreateString(tensor.name), "Shape": self._numbers(tensor.shape, np.int32)}
        if tensor.quantization is not None:
            fields["Quantization"] = self._quantization(tensor.quantization)
        return self._table("Tensor", Type=tensor.kind, Buffer=tensor.buffer, **fields)

    def _quantization(self, found: Quantization) -> int:
        fields = {
            "Scale": self._numbers(found.scale, np.float32),
            "ZeroPoint": self._numbers(found.zero_point, np.int64),
        }
        return self._table("QuantizationParameters", QuantizedDimension=found.axis, **fields)

    def _operation(self, operation: Operation, codes: Sequence[Tuple[str, int]]) -> int:
        fields = {
            "Inputs": self._numbers(operation.inputs, np.int32),
            "Outputs": self._numbers(operation.outputs, np.int32),
        }
        if operation.options is not None:
            kind, options = operation.options
            vectors = {
                name: self._numbers(value, np.int32) for name, value in options.items() if isinstance(value, tuple)
            }
            fields["BuiltinOptions"] = self._table(kind, **dict(options, **vectors))
            fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, kind)
        return self._table("Operator", OpcodeIndex=codes.index((operation.name, operation.version)), **fields)
