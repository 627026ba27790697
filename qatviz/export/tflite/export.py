"""Export to TFLite."""

from dataclasses import replace
from pathlib import Path
from typing import Optional, Tuple, Union

import numpy as np

from qatviz.export.formats import Options, Written
from qatviz.export.guide.expected import Check
from qatviz.export.guide.guide import Guide, expected_codes, input_codes, input_texts, smallest, values_of_codes
from qatviz.export.integers.lowering import exported_model
from qatviz.export.integers.model import IntegerModel
from qatviz.export.progress import Progress
from qatviz.export.proof.files import write_export
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import (
    Agreement,
    Runtime,
    codes_of,
    compare_layers,
    compare_logits,
    inner_examples,
    run_outputs,
)
from qatviz.export.proof.report import Exported, OutputProof, ParityReport, prove
from qatviz.export.proof.scores import score_codes
from qatviz.export.proof.unrun import UnrunReport, no_runtime, prove_unrun
from qatviz.export.source import ExportSource, HeldOut
from qatviz.export.tflite import litert as litert_runtime
from qatviz.export.tflite import runtime as tflite_runtime
from qatviz.export.tflite.file import SIGNATURE
from qatviz.export.tflite.files import Files, file_attachment
from qatviz.export.tflite.litert import Litert, LitertMissing, LitertRunner, find_litert
from qatviz.export.tflite.metadata import reading_texts
from qatviz.export.tflite.runtime import TfliteRunner
from qatviz.export.tflite.storage import softmax_grid
from qatviz.export.tflite.vectors import (
    DOUBLE_ROUNDING_OUTPUT,
    FILE_INPUT,
    LITERT_OUTPUT,
    absent_vectors,
    file_vectors,
)
from qatviz.export.tflite.written import TfliteModel
from qatviz.task import CLASSIFICATION


def export(source: ExportSource, path: Path, options: Options, progress: Progress) -> Written:
    """Write a state of a run as a TFLite file, with its proof.

    Safe on any thread; uses a session of its own. See :mod:`qatviz.export.proof.files` for the files, and
    :data:`qatviz.export.formats.TFLITE` for the options. The proof compares logits, whatever the file's output is. It
    runs in the interpreter of TensorFlow 1.15; in LiteRT if only that can run the file; in both with the option litert.
    Its golden vectors include input and outputs of the shipped file in its own types
    (:mod:`qatviz.export.tflite.vectors`).

    Raises
    ------
    ExportError
        If there is no integer model, if TFLite does not support it, or if a file can't be written; then none is.
    Cancelled
    """
    progress.at("computing the integer model", 0.0)
    model = exported_model(source)
    progress.at("writing the operations", 0.05)
    files = Files(model, options, file_attachment(source, options))
    progress.at("building the evaluation graph", 0.1)
    with EvaluationGraph(source.network, source.book, source.arrays, source.step) as graph:
        report = prove_files(files, graph, source.held_out(), options["litert"], progress.part(0.2, 0.98))
    litert = litert_found() if files.shipped.only_litert or options["litert"] else None
    report = report.with_golden(file_vectors(model, files.shipped, report.golden, files.in_eight_bits, litert))
    report = report.with_notes((*report.notes, *absent_vectors(files.shipped, report.golden)))
    progress.at("writing the files", 0.98)
    return Written(
        write_export(path, files.shipped.content, report, source.book, guide=file_guide(source, files, report)), report
    )


def file_guide(source: ExportSource, files: Files, report: Union[ParityReport, UnrunReport]) -> Guide:
    """Return the content of README and check program of a file with the golden vectors of ``report``."""
    model, shipped = files.model, files.shipped
    dtype, output = shipped.dtype.name, shipped.outputs[0]
    is_uint8 = shipped.dtype == np.uint8  # which TFLite Micro does not run
    size = smallest(report.golden, LITERT_OUTPUT)
    once, largest = litert_runtime.reached(shipped), 0 if output == model.output else 1
    once = once._replace(identical=once.identical - 0.2 * largest, largest=once.largest + largest)
    expected = [expected_codes(LITERT_OUTPUT, "LiteRT and its XNNPACK kernels, which round once", once, size)]
    twice = tflite_runtime.reached(model)
    if DOUBLE_ROUNDING_OUTPUT in report.golden:
        meaning = f"kernels that round twice: {'LiteRT without XNNPACK' if shipped.only_litert else 'TensorFlow 1.15'}"
        if not is_uint8:
            meaning += ", and by default TFLite Micro and CMSIS-NN"
        expected.append(expected_codes(DOUBLE_ROUNDING_OUTPUT, meaning, twice, size))
    elif shipped.dtype != np.int16:
        kernels = "LiteRT without XNNPACK" if is_uint8 else "LiteRT without XNNPACK and of TFLite Micro"
        meaning = f"kernels that round twice, as those of {kernels} do; their own outputs are not known here"
        expected.append(expected_codes(LITERT_OUTPUT, meaning, twice, size))
    return Guide(
        source,
        f"TensorFlow Lite, {dtype}",
        input_texts(
            model,
            lambda tensor: (
                f"Tensor `{tensor.name}`: {tensor.dtype if tensor.ids else dtype} {['batch', *tensor.shape]}.",
                input_codes(tensor, dtype, shipped.offsets[tensor.name]),
            ),
        ),
        tuple(text for head, name in zip(model.heads, shipped.outputs) for text in _output_texts(shipped, head, name)),
        reading_texts(source, SIGNATURE, source.network.input_names, shipped.outputs),
        Check("tflite", "LiteRT (ai-edge-litert), tflite_runtime or TensorFlow", FILE_INPUT, tuple(expected)),
    )


def _output_texts(shipped: TfliteModel, model: IntegerModel, output: str) -> Tuple[str, str]:
    """Return the paragraphs on one output of the shipped file."""
    logits = model.logits
    if output == model.output:
        values = values_of_codes(logits.scale, logits.zero_point + shipped.offsets[output])
    else:
        values = values_of_codes(*softmax_grid(shipped.dtype), "probability")
    return f"Tensor `{output}`: {shipped.dtype.name} {['batch', *logits.shape]}.", values


def exported_file(files: Files, runtime: str, run: Runtime, run_layers: Runtime, reached: Agreement) -> Exported:
    """Return the shipped file with the functions that run it, for the proof."""
    shipped = files.shipped
    return Exported(files.title, runtime, run, run_layers, len(shipped.content), reached, shipped.notes)


def litert_found() -> Optional[Litert]:
    """Return LiteRT; None if this machine has none."""
    try:
        return find_litert()
    except LitertMissing:
        return None


def prove_files(
    files: Files, graph: EvaluationGraph, held_out: HeldOut, in_litert: bool, progress: Progress
) -> Union[ParityReport, UnrunReport]:
    """Return the proof in TensorFlow 1.15's interpreter, and in LiteRT if ``in_litert``; or in LiteRT alone.

    LiteRT is the only runtime of a file that is ``only_litert``.
    """
    if files.shipped.only_litert:
        return _prove_in_litert(files, graph, held_out, progress)
    fraction = 0.7 if in_litert else 1.0
    exported = exported_file(
        files,
        tflite_runtime.RUNTIME,
        TfliteRunner(files.logits).run,
        TfliteRunner(files.layers).run,
        tflite_runtime.reached(files.model),
    )
    report = prove(files.model, exported, graph, *held_out, progress.part(0.0, fraction))
    if not (report.as_expected or report.faults or files.double_rounding):
        report = replace(
            report,
            notes=(
                *report.notes,
                "this runtime rounds twice in each operation. LiteRT rounds once (the option litert runs the file "
                "there); the option double_rounding makes a file for kernels that round twice",
            ),
        )
    return _with_litert_results(report, files, graph, held_out, progress.part(fraction, 1.0)) if in_litert else report


def _prove_in_litert(
    files: Files, graph: EvaluationGraph, held_out: HeldOut, progress: Progress
) -> Union[ParityReport, UnrunReport]:
    """Return the proof of a file that only LiteRT can run."""
    reached = litert_runtime.reached(files.shipped)
    try:
        litert = find_litert()
    except LitertMissing as missing:
        exported = exported_file(files, "", no_runtime, no_runtime, reached)
        return prove_unrun(
            files.model,
            exported,
            str(missing),
            "To check the file itself, export again on a machine with LiteRT.",
            graph,
            *held_out,
            progress,
        )
    with LitertRunner(litert, files.logits) as logits, LitertRunner(litert, files.layers) as layers:
        exported = exported_file(files, litert.name, logits.run, layers.run, reached)
        return prove(files.model, exported, graph, *held_out, progress)


def _with_litert_results(
    report: ParityReport, files: Files, graph: EvaluationGraph, held_out: HeldOut, progress: Progress
) -> ParityReport:
    """Return the report with LiteRT's results for the same file, or with a note that LiteRT is missing."""
    try:
        litert = find_litert()
    except LitertMissing as missing:
        return replace(report, notes=(*report.notes, f"not run in LiteRT: {missing}"))
    with LitertRunner(litert, files.logits) as logits, LitertRunner(litert, files.layers) as layers:
        ran = run_outputs(files.model, logits.run, held_out.images, progress.part(0.0, 0.6))
        by_layer = compare_layers(files.model, layers.run, inner_examples(held_out.images), progress.part(0.6, 1.0))
    first, *further = (OutputProof(report.output, report.outputs, report.metric, report.scores), *report.further)
    targets = (held_out.labels, *held_out.further)
    proofs = []
    for proof, values, head, (simulated, found), labels in zip(
        (first, *further), graph.outputs(held_out.images), files.model.heads, ran, targets
    ):
        classes, zero_point = proof.metric.task == CLASSIFICATION, head.logits.zero_point
        evaluated = codes_of(values, head.logits)
        outputs = {
            litert.name + " to evaluation graph": compare_logits(evaluated, found, classes, zero_point),
            litert.name + " to simulator": compare_logits(simulated, found, classes, zero_point),
        }
        scores = {**proof.scores, litert.name: score_codes(found, head.logits, labels, proof.metric)}
        proofs.append(proof._replace(outputs={**proof.outputs, **outputs}, scores=scores))
    return replace(
        report,
        outputs=proofs[0].outputs,
        more_layers={litert.name: tuple(by_layer)},
        scores=proofs[0].scores,
        further=tuple(proofs[1:]),
    )
