"""What is in an exported file, and how it is compared: byte for byte where bytes say what was exported.

These bytes do not, and are left out:

- Compressed archives (.npz): how zlib compresses differs from build to build, and the system is noted for each entry.
  Names, order and uncompressed bytes of the entries are compared.
- HDF5 (.h5): each object has the time it was written. Groups, attributes, data sets and the file's size are compared.
- Protocol buffers of TensorFlow (.pb): maps are written in any order. The message is compared as it is written with its
  keys sorted; in a SavedModel without what TensorFlow says of itself (version, commit, the list of its operations).
- Golden vectors that a runtime computed (file_output, put_out, expected_output): their last digit is the runtime's, or
  the processor's. Types and shapes are compared.
- The proof in words (.parity.txt) is prose, and the proof as JSON (.parity.json) has what runtimes computed: that they
  are there is compared, and of the JSON its keys and types, see `schema_of`.
"""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np

COMPUTED_BY_RUNTIMES = ("file_output", "put_out", "expected_output")
#: Text up to this size is stored as it is, to be compared line by line.
TEXT_BYTES = 16384

Parts = Dict[str, str]


def describe(path: Path) -> Dict[str, Any]:
    """Return what is stored of a file: size and SHA-256 of what is compared, and of its parts."""
    content, name = path.read_bytes(), path.name
    if name.endswith("parity.txt"):
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
    return _known("text", content)


def describe_all(folder: Path) -> Dict[str, Dict[str, Any]]:
    """Return `describe` of all files in a folder, by their paths in it."""
    return {path.relative_to(folder).as_posix(): describe(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def schema_of(value: Any) -> Any:
    """Return the keys of JSON with the types of what they hold; of lists, what there is in any of their items."""
    if isinstance(value, dict):
        return {key: schema_of(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_merged([schema_of(item) for item in value])] if value else []
    return "null" if value is None else type(value).__name__


def _merged(schemas: List[Any]) -> Any:
    """Return one schema for the items of a list: ``"float|null"`` where types differ, all keys of objects."""
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
