"""Metadata of a TFLite file, as TensorFlow's readers find it: normalization, labels, and the oldest runtime.

The schema is ``metadata_schema.fbs`` of TensorFlow Lite Support; the numbers of fields here are those of its tables.
Files that the metadata names, such as the labels, are a zip archive behind the flatbuffer.
"""

import io
import zipfile
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple

import flatbuffers
import numpy as np

from qatviz import __version__
from qatviz.data import Dataset
from qatviz.export.integers.input_formula import formula_of, values_formula
from qatviz.export.source import ExportSource
from qatviz.safe_text import one_line
from qatviz.scaling import UNSCALED, scaling_of

#: Names of entries of a file, and of the file with the labels, one a line.
METADATA, MIN_RUNTIME_VERSION, LABELS = "TFLITE_METADATA", "min_runtime_version", "labels.txt"
_IDENTIFIER = b"M001"
#: Version of the schema that has all the fields that are used.
_PARSER = "1.0.0"
#: Members of the unions of contents and process units, of the kinds of files, and colors by number of channels.
_FEATURES, _IMAGE, _NORMALIZATION = np.uint8(1), np.uint8(2), np.uint8(1)
_AXIS_LABELS = np.int8(2)
_COLORS = {1: np.int8(2), 3: np.int8(1)}
#: Number of bytes of the entry with the runtime version.
_VERSION_BYTES = 16
#: First release of TensorFlow with a version of an operation (its ``lite/tools/versioning/runtime_version.cc``); of
#: those that are not here, 1.5.0 has the first version, 1.14.0 the one with int8, and 2.3.0 the one with int16.
_RELEASES: Dict[str, Dict[int, str]] = {
    "CONV_2D": {3: "1.14.0", 4: "2.3.0", 7: "2.11.0"},
    "DEPTHWISE_CONV_2D": {3: "1.14.0", 5: "2.3.0", 7: "2.11.0"},
    "FULLY_CONNECTED": {4: "1.14.0", 10: "2.11.0", 12: "2.17.0"},
    "BATCH_MATMUL": {2: "2.3.0", 3: "2.4.0"},
    "ADD": {3: "2.4.0"},
    "MEAN": {1: "1.6.0"},
    "SUB": {1: "1.6.0", 5: "2.4.0"},
    "MUL": {4: "2.3.0"},
    "PAD": {3: "2.4.0"},
    "MINIMUM": {1: "1.14.0", 4: "2.3.0"},
    "MAXIMUM": {1: "1.14.0", 4: "2.3.0"},
    "RSQRT": {1: "1.10.0"},
    "SQUARE": {1: "1.12.0"},
    "QUANTIZE": {1: "1.14.0", 2: "1.15.0"},
    "FAKE_QUANT": {2: "1.10.0"},
    "STRIDED_SLICE": {1: "1.6.0"},
    "TRANSPOSE_CONV": {1: "1.9.0", 3: "2.3.0"},
    "TRANSPOSE": {1: "1.6.0", 5: "2.4.0"},
    "RESIZE_NEAREST_NEIGHBOR": {1: "1.13.1", 4: "2.4.0"},
    "RESIZE_BILINEAR": {1: "1.7.0", 3: "2.2.0", 4: "2.5.0"},
    "LOGISTIC": {1: "1.14.0"},
    "TANH": {1: "1.14.0"},
    "LEAKY_RELU": {1: "1.13.1", 2: "2.3.0"},
    "ELU": {1: "1.14.0"},
    "CAST": {2: "2.7.0", 3: "2.8.0"},
    "GATHER": {1: "1.6.0", 4: "2.4.0"},
}
_USUAL = {1: "1.5.0", 2: "1.14.0", 3: "2.3.0"}


class Attachment(NamedTuple):
    """Metadata of a file: buffers by the names of their entries, and attached files by their names."""

    entries: Mapping[str, bytes] = {}
    files: Mapping[str, bytes] = {}


def attachment(source: ExportSource, output: str, description: str) -> Attachment:
    """Return the metadata of a file.

    Parameters
    ----------
    source : ExportSource
    output : str
        Display name of the outputs: logits or probabilities.
    description : str
        Description of the model.
    """
    heads = source.dataset.heads
    labels = [_labels(head, shape[-1], index) for index, (head, shape) in enumerate(zip(heads, _shapes(source)))]
    names = [output] if len(labels) == 1 else [f"{output} of {name}" for name in source.network.output_names]
    outputs = [_output(name, own) for name, own in zip(names, labels)]
    model = {
        0: source.network.name,
        1: description,
        2: __version__,
        3: [{0: source.network.name, 2: _inputs(source), 3: outputs}],
        7: _PARSER,
    }
    builder = flatbuffers.Builder(1024)
    builder.Finish(_written(builder, model), _IDENTIFIER)
    files = {name: content for own in labels for name, content in own.items()}
    return Attachment({METADATA: bytes(builder.Output())}, files)


def reading_texts(
    source: ExportSource, signature: str, inputs: Sequence[str], outputs: Sequence[str]
) -> Tuple[str, ...]:
    """Return what a README says on reading a file's signature, its labels and the other metadata.

    Parameters
    ----------
    source : ExportSource
    signature : str
        Its key.
    inputs, outputs : sequence of str
        Names of the inputs and of the outputs.
    """
    listed = (
        f"its output `{outputs[0]}`" if len(outputs) == 1 else f"its outputs {', '.join(f'`{x}`' for x in outputs)}"
    )
    is_single = len(inputs) == 1
    given = f"input is `{inputs[0]}`" if is_single else f"inputs are {', '.join(f'`{x}`' for x in inputs)}"
    texts = [
        f"Signature `{signature}`: its {given}, {listed}. In LiteRT and TensorFlow 2, "
        f'`Interpreter(file).get_signature_runner("{signature}")` returns a function of the '
        f"{'input' if is_single else 'inputs by their names'} that returns the "
        f"{'output by its name' if len(outputs) == 1 else 'outputs by their names'}."
    ]
    for index, (head, shape) in enumerate(zip(source.dataset.heads, _shapes(source))):
        for file in _labels(head, shape[-1], index):
            of = f" of {one_line(source.network.output_names[index])}" if len(outputs) > 1 else ""
            texts.append(
                f"Labels: the file is a zip archive, too, with the names of the classes{of}, one a line, in `{file}`: "
                f'`zipfile.ZipFile(file).read("{file}").decode().splitlines()`.'
            )
    texts.append(
        f"Metadata: the entry `{METADATA}` has description, normalization of the input and labels, which "
        "`MetadataDisplayer.with_model_file(file).get_metadata_json()` of `tflite_support.metadata` returns; the entry "
        f"`{MIN_RUNTIME_VERSION}` is the oldest TensorFlow Lite that has all operations."
    )
    return tuple(texts)


def min_runtime_version(operations: Iterable[Tuple[str, int]]) -> bytes:
    r"""Return the entry with the first release of TensorFlow Lite that has all operations, by names and versions.

    >>> min_runtime_version([("CONV_2D", 3), ("ADD", 3)])
    b'2.4.0\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00'
    """
    # Versions that are not known are left out, as TensorFlow's converter leaves them out.
    releases = {_RELEASES.get(name, {}).get(version, _USUAL.get(version, _USUAL[1])) for name, version in operations}
    latest = max(releases or {_USUAL[1]}, key=lambda release: tuple(map(int, release.split("."))))
    return latest.encode("ascii").ljust(_VERSION_BYTES, b"\0")


def with_files(content: bytes, files: Mapping[str, bytes]) -> bytes:
    """Return a TFLite file with an archive of these files behind it, uncompressed; the same bytes each time."""
    if not files:
        return content
    archived = io.BytesIO(content)
    with zipfile.ZipFile(archived, "a") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return archived.getvalue()


def _shapes(source: ExportSource) -> Tuple[Tuple[int, ...], ...]:
    return source.network.output_shapes


def _labels(dataset: Dataset, outputs: int, index: int) -> Dict[str, bytes]:
    """Return the file with the names of the classes or labels of an output, by its name.

    Empty without an output for each: a label stands for one, and a single logit decides between two classes.
    """
    names = dataset.class_names if outputs == len(dataset.class_names) else ()
    file = LABELS if not index else f"labels_{index}.txt"
    return {file: "".join(name + "\n" for name in names).encode("utf-8")} if names else {}


def _inputs(source: ExportSource) -> List[Dict[int, Any]]:
    dataset, network = source.dataset, source.network
    if not dataset.inputs:
        return [_input("input", network.input_shape, values_formula(dataset), dataset.scaling)]
    return [
        _input(each.name, each.shape, formula_of(each.scaling, each.is_bytes), each.scaling) for each in dataset.inputs
    ]


def _input(name: str, shape: Tuple[int, ...], formula: str, scaling_name: str) -> Dict[int, Any]:
    content: Dict[int, Any] = {0: _FEATURES, 1: {}}
    if len(shape) == 3 and shape[2] in _COLORS:
        size = {0: np.uint32(shape[1]), 1: np.uint32(shape[0])}
        content = {0: _IMAGE, 1: {0: _COLORS[shape[2]], 1: size}}
    tensor: Dict[int, Any] = {0: name, 1: formula, 3: content}
    if scaling_name != UNSCALED:
        scaling = scaling_of(scaling_name)
        normalization = {0: np.float32(scaling.means), 1: np.float32(scaling.deviations)}
        tensor[4] = [{0: _NORMALIZATION, 1: normalization}]
    return tensor


def _output(name: str, labels: Mapping[str, bytes]) -> Dict[int, Any]:
    tensor: Dict[int, Any] = {0: name, 1: f"{name}, one for each output", 3: {0: _FEATURES, 1: {}}}
    if labels:
        tensor[1] = f"{name}, one for each class"
        tensor[6] = [{0: file, 1: "names of the classes", 2: _AXIS_LABELS} for file in labels]
    return tensor


def _written(builder: Any, value: Any) -> int:
    """Write text, numbers, a list of tables, or a table (a dict by numbers of fields); return its offset."""
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, np.ndarray):
        return int(builder.CreateNumpyVector(value))
    if isinstance(value, list):
        offsets: List[int] = [_written(builder, item) for item in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())
    children = {slot: _written(builder, item) for slot, item in value.items() if not isinstance(item, np.generic)}
    builder.StartObject(max(value, default=-1) + 1)
    for slot, item in value.items():
        if slot in children:
            builder.PrependUOffsetTRelativeSlot(slot, children[slot], 0)
        else:
            getattr(builder, f"Prepend{item.dtype.name.capitalize()}Slot")(slot, int(item), 0)
    return int(builder.EndObject())
