"""Export to ONNX."""

from dataclasses import replace
from pathlib import Path
from typing import List, Tuple, Union

import numpy as np

from qatviz.export.fake_quant.proof import REACHED_WIDE, ignore_float_rounding
from qatviz.export.formats import Options, Written
from qatviz.export.guide.guide import Guide, real_check, real_vectors
from qatviz.export.integers.lowering import exported_model
from qatviz.export.integers.model import IntegerModel
from qatviz.export.integers.simulator import quantize_input
from qatviz.export.newer_python import NewerPython
from qatviz.export.onnx.description import input_texts, kind, known_traps, onnx_file, port_text, variant
from qatviz.export.onnx.file import onnx_package
from qatviz.export.onnx.limits import NCHW, OPSET_13
from qatviz.export.onnx.lowering import OnnxModel
from qatviz.export.onnx.runtime import OnnxRunner, find_newer, onnxruntime_package, runtime_name, runtime_notes
from qatviz.export.onnx.storage import BITS
from qatviz.export.progress import Progress
from qatviz.export.proof.files import write_export
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import BATCH, ROUNDED_ONCE
from qatviz.export.proof.report import Exported, ParityReport, prove
from qatviz.export.proof.unrun import UnrunReport, no_runtime, prove_unrun
from qatviz.export.source import ExportSource
from qatviz.inputs import packed_examples

_ADVICE = "To check the file itself, export again on a machine with a current onnxruntime under a newer Python."


def export(source: ExportSource, path: Path, options: Options, progress: Progress) -> Written:
    """Write a state of a run as an ONNX file, with its proof.

    Safe on any thread; uses sessions of its own. See :mod:`qatviz.export.proof.files` for the files, and
    :data:`qatviz.export.formats.ONNX` for the options. The proof compares logits, whatever the file's output is.

    Raises
    ------
    ExportError
        If there is no integer model, if ONNX does not support it, if a package is missing, or if a file can't be
        written; then none is.
    Cancelled
    """
    progress.at("computing the integer model", 0.0)
    for package in (onnx_package, onnxruntime_package):
        package()
    model = exported_model(source)
    progress.at("writing the operations", 0.05)
    file = onnx_file(model, source, options)
    logits = variant(model, options) if options["softmax"] else file
    layers = variant(model, options, outputs=[tensor.name for tensor in model.tensors if not tensor.ids])
    title = f"{kind(options)}{', exact' if file.exact else ''}"
    newer = None if options["opset"] == OPSET_13 else find_newer()
    notes = file.notes + known_traps(model, options)
    report = _prove(source, model, title, (file, logits, layers), notes, newer, progress)
    report = report.with_golden(real_vectors(report.golden, file.layout == NCHW, options["softmax"]))
    progress.at("writing the files", 0.98)
    level = "ORT_ENABLE_ALL" if file.fuse else "ORT_ENABLE_BASIC"
    guide = Guide(
        source,
        title,
        input_texts(source.network, file.layout, file.inputs[0][0]),
        tuple(port_text(port, head.logits.shape, file.layout) for port, head in zip(file.ports, model.heads)),
        (),
        real_check(
            report.report if isinstance(report, UnrunReport) else report,
            "onnx",
            "onnxruntime",
            options["softmax"],
            level=level,
        ),
    )
    return Written(write_export(path, file.content, report, source.book, guide=guide), report)


def _prove(
    source: ExportSource,
    model: IntegerModel,
    title: str,
    files: Tuple[OnnxModel, OnnxModel, OnnxModel],
    notes: Tuple[str, ...],
    newer: Union[NewerPython, str, None],
    progress: Progress,
) -> Union[ParityReport, UnrunReport]:
    """Return the proof of a file, with its variants whose outputs are the logits and all tensors.

    ``newer`` is the Python to run them in, None for this one, or the reason why there is none.
    """
    file, logits, layers = files
    held_out, reached = source.held_out(), REACHED_WIDE if _is_wide(model) and not file.exact else ROUNDED_ONCE
    exported = Exported(title, "", no_runtime, no_runtime, len(file.content), reached, notes)
    progress.at("building the evaluation graph", 0.1)
    with EvaluationGraph(source.network, source.book, source.arrays, source.step) as graph:
        if isinstance(newer, str):
            reason, rest = f"there is no onnxruntime for its operator set: {newer}", progress.part(0.2, 0.98)
            return prove_unrun(model, exported, reason, _ADVICE, graph, *held_out, rest)
        with OnnxRunner(model, logits, newer) as output, OnnxRunner(model, layers, newer) as inner:
            notes += tuple(runtime_notes(file) + _input_notes(model, inner, held_out.images[:BATCH]))
            exported = exported._replace(runtime=runtime_name(newer), run=output.run, run_layers=inner.run, notes=notes)
            report = prove(model, exported, graph, *held_out, progress.part(0.2, 0.98))
    # onnxruntime accumulates in float32 where it has no integer operation.
    return replace(report, layers=ignore_float_rounding(model, report.layers))


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
    found = {**model.split(images), **layers.run_images(images)}
    rounded = packed_examples([found[tensor.name] for tensor in model.inputs])
    different = np.count_nonzero(quantize_input(model, images) != rounded)
    if not different:
        return []
    return [
        f"the input: {different:,} of {images.size:,} codes of the first {len(images)} images differ from the run's"
    ]
