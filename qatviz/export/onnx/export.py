"""Export to ONNX."""

from dataclasses import replace
from pathlib import Path
from typing import List, Tuple

import numpy as np

from qatviz.export.fake_quant.proof import REACHED_WIDE, ignore_float_rounding
from qatviz.export.formats import Options, Written
from qatviz.export.guide.guide import Guide, real_check, real_vectors
from qatviz.export.integers.lowering import exported_model
from qatviz.export.integers.model import IntegerModel
from qatviz.export.integers.simulator import quantize_input
from qatviz.export.onnx.file import onnx_package
from qatviz.export.onnx.layout import channels_first
from qatviz.export.onnx.limits import INT8, NCHW
from qatviz.export.onnx.lowering import IMAGES, onnx_model
from qatviz.export.onnx.runtime import REACHED, OnnxRunner, onnxruntime_package, runtime_name, runtime_notes
from qatviz.export.onnx.storage import BITS
from qatviz.export.progress import Progress
from qatviz.export.proof.files import write_export
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import BATCH
from qatviz.export.proof.report import Exported, prove
from qatviz.export.source import ExportSource


def export(source: ExportSource, path: Path, options: Options, progress: Progress) -> Written:
    """Write a state of a run as an ONNX file, with its proof.

    Safe on any thread; uses sessions of its own. See :mod:`qatviz.export.proof.files` for the files, and
    :data:`qatviz.export.formats.ONNX` for the options. The proof compares logits, whatever the file's output is.

    Raises
    ------
    ExportError
        If there is no integer model, if ONNX can't hold it, if a package is missing, or if a file can't be written;
        then none is.
    Cancelled
    """
    progress.at("computing the integer model", 0.0)
    for package in (onnx_package, onnxruntime_package):
        package()
    model = exported_model(source)
    progress.at("writing the operations", 0.05)
    variant = {name: options[name] for name in ("layout", "storage", "exact")}
    file = onnx_model(model, options["softmax"], **variant)
    logits = onnx_model(model, **variant) if options["softmax"] else file
    layers = OnnxRunner(model, onnx_model(model, outputs=[tensor.name for tensor in model.tensors], **variant))
    held_out = source.held_out()
    notes = file.notes + tuple(runtime_notes(file) + _input_notes(model, layers, held_out.images[:BATCH]))
    title = f"ONNX {file.storage.name}{', exact' if file.exact else ''}"
    exported = Exported(
        title,
        runtime_name(),
        OnnxRunner(model, logits).run,
        layers.run,
        len(file.content),
        REACHED_WIDE if _is_wide(model) else REACHED,
        notes,
    )
    progress.at("building the evaluation graph", 0.1)
    with EvaluationGraph(source.network, source.book, source.arrays, source.step) as graph:
        report = prove(model, exported, graph, *held_out, progress.part(0.2, 0.98))
    # onnxruntime accumulates in float32 where it has no integer operation.
    report = replace(report, layers=ignore_float_rounding(model, report.layers))
    report = report.with_golden(real_vectors(report.golden, file.layout == NCHW, options["softmax"]))
    progress.at("writing the files", 0.98)
    level = "ORT_ENABLE_BASIC" if file.storage.name == INT8 else "ORT_ENABLE_ALL"
    guide = Guide(
        source,
        title,
        onnx_inputs(source, IMAGES, file.layout),
        (f"`{file.outputs[0]}`: float32 {['N', *model.logits.shape]}.",),
        (),
        real_check(report, "onnx", "onnxruntime", options["softmax"], level=level),
    )
    return Written(write_export(path, file.content, report, guide=guide), report)


def onnx_inputs(source: ExportSource, name: str, layout: str) -> Tuple[str, ...]:
    """Return what the README says of the images."""
    shape = source.network.input_shape
    order = "channels first" if layout == NCHW else "channels last"
    shape = channels_first(shape) if layout == NCHW else shape
    return (f"`{name}`: float32 {['N', *shape]}{', ' + order if len(shape) == 3 else ''}.",)


def _is_wide(model: IntegerModel) -> bool:
    return (
        max(
            [tensor.num_bits for tensor in model.tensors]
            + [op.weights.num_bits for op in model.ops if op.weights is not None]
        )
        > BITS
    )


def _input_notes(model: IntegerModel, layers: OnnxRunner, images: np.ndarray) -> List[str]:
    """Return a note if the file rounds images differently, which the proof doesn't cover: it begins with codes."""
    different = np.count_nonzero(quantize_input(model, images) != layers.run_images(images)[model.input])
    if not different:
        return []
    return [
        f"the input: {different:,} of {images.size:,} codes of the first {len(images)} images differ from the run's"
    ]
