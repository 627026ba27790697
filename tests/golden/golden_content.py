"""Contents of exported files, reduced to what an export decides.

Files are compared byte for byte, with these exceptions:

- Compressed archives (.npz): zlib's output differs between its builds, and entries contain the operating system. Names,
  order and uncompressed bytes of the entries are compared.
- HDF5 (.h5): objects contain the time at which they were written. Groups, attributes, data sets and the size of the
  file are compared.
- Protocol buffers of TensorFlow (.pb): the order of maps is arbitrary. Messages are compared with sorted keys; those of
  a SavedModel without TensorFlow's version, commit and list of operations.
- TensorBoard's event files: they contain times and the texts of events. Tags, numbers of values, first and last step,
  and `TENSORBOARD_DIGITS` digits of the sums of the values are compared.
- Outputs of a runtime in golden vectors (`COMPUTED_BY_RUNTIMES`): their last digits depend on runtime and processor.
  Types and shapes are compared.
- Proofs: the texts (.parity.txt, README.md, check.py) only have to exist; of the JSON (.parity.json) keys and types are
  compared. They have results of runtimes. Where the runtime is missing, a proof has other keys and golden vectors lack
  its outputs; then neither is compared.
"""

import hashlib
import json
import math
import struct
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np

COMPUTED_BY_RUNTIMES = ("file_output", "litert_output", "double_rounding_output", "expected_output")
#: Texts up to this size are stored, so that a difference can be shown by line.
TEXT_BYTES = 16384
#: Significant digits of numbers in TensorBoard's files.
TENSORBOARD_DIGITS = 4

Parts = Dict[str, str]


def describe(path: Path) -> Dict[str, Any]:
    """Return size and SHA-256 of a file's comparable content, and of its parts."""
    content, name = path.read_bytes(), path.name
    if name.endswith(("parity.txt", "README.md", "check.py")):
        return {"kind": "prose"}
    if name.endswith("parity.json"):
        return {"kind": "proof", "schema": schema_of(json.loads(content.decode("utf-8")))}
    if name.endswith("golden.npz"):
        return {"kind": "vectors", "parts": dict(_npz_parts(path, COMPUTED_BY_RUNTIMES))}
    if name.endswith(".npz"):
        return {"kind": "arrays", "parts": dict(_npz_parts(path))}
    if name.endswith(".h5"):
        return {"kind": "hdf5", "bytes": len(content), "parts": dict(_hdf5_parts(path))}
    if name.endswith(".pb"):
        content, parts = _graph(content, name == "saved_model.pb")
        return dict(_known("graph", content), parts=parts)
    if name.endswith(".tflite"):
        return dict(_known("tflite", content), parts=dict(_tflite_parts(content)))
    if name.endswith(".onnx"):
        return dict(_known("onnx", content), parts=dict(_onnx_parts(content)))
    if ".tfevents." in name:
        return {"kind": "events", "parts": _tensorboard_parts(content)}
    return _known("text", content)


def describe_all(folder: Path) -> Dict[str, Dict[str, Any]]:
    """Return `describe` of all files in a folder, by their paths in it."""
    return {path.relative_to(folder).as_posix(): describe(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def schema_of(value: Any) -> Any:
    """Return JSON with types in the place of values; of a list, one schema for all of its items."""
    if isinstance(value, dict):
        return {key: schema_of(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_merged([schema_of(item) for item in value])] if value else []
    return "null" if value is None else type(value).__name__


def _merged(schemas: List[Any]) -> Any:
    """Return the union of schemas: all keys of objects, ``"float|null"`` where types differ."""
    if all(isinstance(schema, dict) for schema in schemas):
        keys = list(dict.fromkeys(key for schema in schemas for key in schema))
        return {key: _merged([schema[key] for schema in schemas if key in schema]) for key in keys}
    if all(isinstance(schema, list) for schema in schemas):
        items = [item for schema in schemas for item in schema]
        return [_merged(items)] if items else []
    words = {schema if isinstance(schema, str) else type(schema).__name__ for schema in schemas}
    return "|".join(sorted(word for words_ in words for word in words_.split("|")))


def _known(kind: str, content: bytes) -> Dict[str, Any]:
    return {"kind": kind, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _array(array: np.ndarray) -> str:
    return f"{array.dtype.str} {list(array.shape)} {_digest(np.ascontiguousarray(array).tobytes())}"


def _npz_parts(path: Path, only_shapes: Tuple[str, ...] = ()) -> Iterator[Tuple[str, str]]:
    with zipfile.ZipFile(str(path)) as archive, np.load(str(path)) as arrays:
        for entry in archive.namelist():
            name = entry[: -len(".npy")]
            if name in only_shapes:
                yield name, f"{arrays[name].dtype.str} {list(arrays[name].shape)}"
            else:
                yield name, f"{arrays[name].dtype.str} {list(arrays[name].shape)} {_digest(archive.read(entry))}"


def _hdf5_parts(path: Path) -> Iterator[Tuple[str, str]]:
    import h5py

    with h5py.File(str(path), "r") as file:
        found: List[Tuple[str, Any]] = [("", file)]
        file.visititems(lambda name, item: found.append((name, item)))
        for name, item in found:
            for key, value in item.attrs.items():
                yield f"{name}@{key}", _array(np.asarray(value))
            yield name or "/", _array(item[()]) if isinstance(item, h5py.Dataset) else "group"


def _graph(content: bytes, is_saved_model: bool) -> Tuple[bytes, Parts]:
    from tensorflow.core.framework import graph_pb2
    from tensorflow.core.protobuf import saved_model_pb2

    if not is_saved_model:
        graph = message = graph_pb2.GraphDef.FromString(content)
    else:
        message = saved_model_pb2.SavedModel.FromString(content)
        for meta_graph in message.meta_graphs:
            for field in ("tensorflow_version", "tensorflow_git_version", "stripped_op_list"):
                meta_graph.meta_info_def.ClearField(field)
        graph = message.meta_graphs[0].graph_def
    parts = {node.name: f"{node.op} {_digest(node.SerializeToString(deterministic=True))}" for node in graph.node}
    return message.SerializeToString(deterministic=True), parts


def _tflite_parts(content: bytes) -> Iterator[Tuple[str, str]]:
    import tflite

    model = tflite.Model.GetRootAsModel(bytearray(content), 0)
    yield "description", (model.Description() or b"").decode("utf-8")
    graph = model.Subgraphs(0)
    for index in range(model.SignatureDefsLength()):
        signature = model.SignatureDefs(index)
        ends = [
            {end(i).Name().decode("utf-8"): end(i).TensorIndex() for i in range(count)}
            for end, count in (
                (signature.Inputs, signature.InputsLength()),
                (signature.Outputs, signature.OutputsLength()),
            )
        ]
        yield f"signature {signature.SignatureKey().decode('utf-8')}", f"from {ends[0]} to {ends[1]}"
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        data = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
        yield f"entry {entry.Name().decode('utf-8')}", _digest(data) if len(data) > 16 else repr(data.rstrip(bytes(1)))
    for index in range(graph.TensorsLength()):
        tensor = graph.Tensors(index)
        told = [f"type {tensor.Type()}", str(np.asarray(tensor.ShapeAsNumpy()).tolist())]
        grid = tensor.Quantization()
        if grid is not None and grid.ScaleLength():
            told.append("grid " + _digest(grid.ScaleAsNumpy().tobytes() + grid.ZeroPointAsNumpy().tobytes()))
        buffer = model.Buffers(tensor.Buffer())
        if buffer.DataLength():
            told.append(f"data {_digest(buffer.DataAsNumpy().tobytes())}")
        yield f"tensor {index} {tensor.Name().decode('utf-8')}", " ".join(told)
    for index in range(graph.OperatorsLength()):
        operation = graph.Operators(index)
        code = model.OperatorCodes(operation.OpcodeIndex())
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        ends = operation.InputsAsNumpy().tolist(), operation.OutputsAsNumpy().tolist()
        yield f"operation {index}", f"code {kind} version {code.Version()} from {ends[0]} to {ends[1]}"


def _onnx_parts(content: bytes) -> Iterator[Tuple[str, str]]:
    import onnx

    model = onnx.ModelProto.FromString(content)
    yield "versions", f"ir {model.ir_version} opsets {[(o.domain, o.version) for o in model.opset_import]}"
    for entry in model.metadata_props:
        yield f"metadata {entry.key}", entry.value if len(entry.value) < 80 else _digest(entry.value.encode("utf-8"))
    for index, node in enumerate(model.graph.node):
        yield f"node {index} {node.name}", f"{node.op_type} {_digest(node.SerializeToString(deterministic=True))}"
    for array in model.graph.initializer:
        yield f"array {array.name}", f"type {array.data_type} {list(array.dims)} {_digest(array.raw_data)}"
    for value in [*model.graph.input, *model.graph.output]:
        yield f"value {value.name}", _digest(value.SerializeToString(deterministic=True))


def _tensorboard_parts(content: bytes) -> Parts:
    """Return, by tag: number of values, first and last step, and sums of the values."""
    from tensorflow.core.util import event_pb2

    steps: Dict[str, List[int]] = defaultdict(list)
    values: Dict[str, List[List[float]]] = defaultdict(list)
    at = 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        event = event_pb2.Event.FromString(content[at + 12 : at + 12 + length])
        at += length + 16  # length and content have a checksum of four bytes each
        for value in event.summary.value:
            steps[value.tag].append(event.step)
            kind, histogram = value.WhichOneof("value"), value.histo
            numbers = [value.simple_value] if kind == "simple_value" else [len(value.tensor.string_val)]
            if kind == "histo":
                numbers = [histogram.min, histogram.max, histogram.num, histogram.sum, len(histogram.bucket)]
            values[value.tag].append(numbers)
    return {
        tag: f"{len(at_steps)} of steps {at_steps[0]} to {at_steps[-1]}: "
        + " ".join(f"{math.fsum(column):.{TENSORBOARD_DIGITS}g}" for column in zip(*values[tag]))
        for tag, at_steps in steps.items()
    }
