"""The ONNX file of an export as its options say, with its description of input, output and data."""

from typing import Any, Dict, Sequence, Tuple

from qatviz import __version__
from qatviz.export.formats import Options
from qatviz.export.guide.guide import class_lines, fed_values
from qatviz.export.integers.model import IntegerModel
from qatviz.export.onnx.file import FileText, port_name, properties
from qatviz.export.onnx.grids import is_wide
from qatviz.export.onnx.layout import channels_first
from qatviz.export.onnx.limits import INT8, NCHW, OPSET_21, UINT8
from qatviz.export.onnx.lowering import OnnxModel, onnx_model
from qatviz.export.onnx.storage import LIMITS
from qatviz.export.source import ExportSource
from qatviz.network.checks import INPUT
from qatviz.network.graph import Network
from qatviz.task import MULTILABEL


def onnx_file(model: IntegerModel, source: ExportSource, options: Options) -> OnnxModel:
    """Return the file to ship, for the options of :data:`qatviz.export.formats.ONNX`."""
    network = source.network
    name = port_name(network.input_names[0], bool(network.id_counts))
    text = onnx_text(source, kind(options), name, options["layout"], known_traps(model, options))
    return variant(model, options, softmax=options["softmax"], text=text)


def variant(model: IntegerModel, options: Options, **changes: Any) -> OnnxModel:
    """Return a file of the same operations, by default with logits as its output and without a description."""
    return onnx_model(model, **{name: options[name] for name in ("layout", "storage", "exact", "opset")}, **changes)


def kind(options: Options) -> str:
    """Return the display name of the files that these options make."""
    return f"ONNX {options['storage']}"


def known_traps(model: IntegerModel, options: Options) -> Tuple[str, ...]:
    """Return notes on settings of runtimes with which a file does not compute its codes."""
    found = []
    if options["storage"] == INT8:
        found.append(
            "onnxruntime: with graph optimizations above ORT_ENABLE_BASIC, it adds products of int8 codes in pairs, "
            "which saturate where an x86 processor has no VNNI instructions, unless the session's option "
            "session.x64quantprecision is 1; files of uint8 codes never saturate"
        )
        found.append(
            "onnxruntime: leave the session's option session.enable_quant_qdq_cleanup off, as it is by default; with "
            "it, int8 codes differ"
        )
    if options["opset"] == OPSET_21 and any(map(is_wide, model.tensors)):
        found.append(
            "onnxruntime: with graph optimizations above ORT_ENABLE_BASIC, it computes int16 codes that differ by many"
        )
    narrow = [tensor for tensor in model.tensors if not (is_wide(tensor) or tensor.ids or tensor.bounds == LIMITS)]
    if options["storage"] == UINT8 and not options["exact"] and narrow:
        found.append(
            "IREE clips uint8 codes as if they were signed, so that outputs are wrong where a tensor has fewer codes "
            "than 8 bits hold; it runs the file with --storage int8"
        )
    if any(map(is_wide, model.tensors)):
        differences = "codes differ (measured with 16-bit activations: 83 % of them, by up to 476)"
    else:
        differences = "codes differ by a few (measured: a third of those of uint8 files, half of those of int8 files)"
    found.append(f"OpenVINO rounds by rules of its own: {differences}, and it refuses some files of int8 codes")
    return tuple(found)


def onnx_text(source: ExportSource, title: str, name: str, layout: str, notes: Sequence[str] = ()) -> FileText:
    """Return the description of a file, and the metadata on its data; both have ``notes``.

    ``name`` is that of its only input; several have their names.
    """
    dataset = source.dataset
    ports = input_texts(source.network, layout, name)
    facts = [fed_values(source), *ports, *class_lines(source)]
    about: Dict[str, Any] = {"input": fed_values(source)}
    if dataset.class_names:
        about["labels" if dataset.task == MULTILABEL else "classes"] = list(dataset.class_names)
    if notes:
        about["notes"] = list(notes)
        facts += [f"Note: {note}." for note in notes]
    return FileText(
        f"{source.network.name}: {title}, exported by qatviz {__version__}. " + " ".join(facts), properties(about)
    )


def input_texts(network: Network, layout: str, only: str) -> Tuple[str, ...]:
    """Return what the README says of each input; ``only`` is the name of the only one."""
    return tuple(
        port_text(only if name == INPUT else name, shape, layout, network.input_type(name))
        for name, shape in network.inputs
    )


def port_text(name: str, shape: Tuple[int, ...], layout: str, dtype: str = "float32") -> str:
    """Return what the README says of an input or output: ``shape`` is in TensorFlow's order."""
    order = "channels first" if layout == NCHW else "channels last"
    shape = channels_first(shape) if layout == NCHW else shape
    return f"`{name}`: {dtype} {['N', *shape]}{', ' + order if len(shape) == 3 else ''}."
