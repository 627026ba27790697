"""Export to a folder for TFLite Micro."""

from pathlib import Path
from typing import Dict, List, Optional, Sequence, Union

import numpy as np

from qatviz.export.c.arrays import golden_count
from qatviz.export.c.names import file_stem
from qatviz.export.formats import Options, Written
from qatviz.export.guide.expected import Check
from qatviz.export.guide.guide import Guide, runner_text
from qatviz.export.integers.lowering import exported_model
from qatviz.export.progress import Progress
from qatviz.export.proof.files import write_export
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import golden_codes
from qatviz.export.proof.report import ParityReport, prove
from qatviz.export.proof.unrun import UnrunReport
from qatviz.export.source import ExportSource, HeldOut
from qatviz.export.tflite import litert as litert_runtime
from qatviz.export.tflite import runtime as tflite_runtime
from qatviz.export.tflite.export import exported_file, file_guide, litert_found, prove_files
from qatviz.export.tflite.files import Files, tflm_files
from qatviz.export.tflite.vectors import DOUBLE_ROUNDING_OUTPUT, FILE_INPUT, file_vectors, rounded_once
from qatviz.export.tflite.written import TfliteModel
from qatviz.export.tflm.runtime import Micro, MicroMissing, MicroRunner, find_micro
from qatviz.export.tflm.sources import Arena, GoldenCodes, application, arena_bound, operators
from qatviz.inputs import packed_examples
from qatviz.name_lookup import numbered

#: Factor of the bound on an arena for the proof, whose variants of the file need more: all their tensors are outputs.
_MARGIN = 4

_Report = Union[ParityReport, UnrunReport]


def export(source: ExportSource, path: Path, options: Options, progress: Progress) -> Written:
    """Write a state of a run as a folder for TFLite Micro, with its proof.

    The model is that of the export to TFLite. The proof runs in tflite-micro if a newer Python has it, else as that of
    TFLite. Safe on any thread; uses a session of its own.

    Raises
    ------
    ExportError
        If there is no integer model, if TFLite Micro does not support it or refuses the file, or if a file can't be
        written; then none is.
    Cancelled
    """
    progress.at("computing the integer model", 0.0)
    model = exported_model(source)
    progress.at("writing the operations", 0.05)
    files = tflm_files(model, options)
    progress.at("measuring the arena", 0.08)
    micro = _micro_found()
    arena = _arena(files, micro)
    progress.at("building the evaluation graph", 0.1)
    with EvaluationGraph(source.network, source.book, source.arrays, source.step) as graph:
        report = _prove(files, micro, graph, source.held_out(), progress.part(0.2, 0.98))
    litert = litert_found() if files.shipped.only_litert else None
    vectors = file_vectors(model, files.shipped, report.golden, files.in_eight_bits, litert)
    found = None if micro is None else _outputs(micro, files.shipped, golden_codes(model, report.golden))
    if found is not None and files.shipped.dtype != np.int16:
        # TensorFlow 1.15 may lack kernels of the file.
        for index, codes in enumerate(found):
            vectors.setdefault(numbered(DOUBLE_ROUNDING_OUTPUT, index), codes)
    report = report.with_golden(vectors)
    origin = "" if micro is None else f"those of {micro.name}"
    golden = _golden_codes(files, found, origin, report.golden)
    notes = (
        *report.notes,
        f"the arena has {arena.nbytes:,} bytes, {arena.origin}",
        f"outputs that the application expects: {golden.origin}; with TFLITE_SINGLE_ROUNDING, {_rounded_once(files)}",
    )
    progress.at("writing the files", 0.98)
    name = file_stem(source.network.name)
    content = application(name, files.shipped, arena, golden)
    guide = _guide(source, files, report, name, arena, golden)
    report = report.with_notes(notes)
    return Written(write_export(path, content, report, source.book, guide=guide), report)


def _micro_found() -> Optional[Micro]:
    try:
        return find_micro()
    except MicroMissing:
        return None


def _arena(files: Files, micro: Optional[Micro]) -> Arena:
    """Return the size of the shipped file's arena: measured if there is tflite-micro, else an upper bound."""
    bound = arena_bound(files.shipped.content)
    measured = None if micro is None else micro.smallest_arena(files.shipped, _MARGIN * bound)
    if micro is None or measured is None:
        return Arena(
            bound,
            "computed, not measured: an upper bound for TFLite Micro's reference kernels",
        )
    return Arena(
        measured,
        f"the smallest in which it runs in {micro.name}, with pointers of 64 bits; those of 32 bits need less, kernels "
        "with buffers of their own, such as CMSIS-NN's, more",
    )


def _prove(
    files: Files, micro: Optional[Micro], graph: EvaluationGraph, held_out: HeldOut, progress: Progress
) -> _Report:
    if micro is None:
        return prove_files(files, graph, held_out, False, progress)
    reached = tflite_runtime.reached(files.model)
    if files.shipped.rounded_twice or files.shipped.dtype == np.int16:
        reached = litert_runtime.reached(files.shipped)
    every = files.layers
    enough = _MARGIN * arena_bound(every.content)
    with MicroRunner(micro, files.logits, enough) as logits, MicroRunner(micro, every, enough) as layers:
        exported = exported_file(files, micro.name, logits.run, layers.run, reached)
        return prove(files.model, exported, graph, *held_out, progress)


def _outputs(micro: Micro, shipped: TfliteModel, codes: np.ndarray) -> List[np.ndarray]:
    """Return the outputs of the shipped file in TFLite Micro for codes of the model's input, in their own type."""
    with MicroRunner(micro, shipped, _MARGIN * arena_bound(shipped.content)) as runner:
        ran = runner.run(codes)
    return [shipped.to_file(ran[name], name) for name in shipped.outputs]


def _golden_codes(
    files: Files, measured: Optional[Sequence[np.ndarray]], measured_in: str, vectors: Dict[str, np.ndarray]
) -> GoldenCodes:
    """Return the vectors for the application, with one input and one output after the other.

    ``measured`` are outputs of TFLite Micro, if there are any.
    """
    shipped, outputs = files.shipped, range(len(files.shipped.outputs))
    inputs = packed_examples([vectors[numbered(FILE_INPUT, index)] for index in range(len(files.model.inputs))])
    count = golden_count(len(inputs), inputs[0].size)
    given = inputs[:count]
    once = packed_examples([rounded_once(files.model, shipped, vectors, index)[:count] for index in outputs])
    # Kernels of a softmax have errors themselves: those of int16 interpolate in a table.
    is_exact = shipped.outputs == files.model.outputs
    tolerance = 0 if is_exact else 256 if shipped.dtype == np.int16 else 1
    if measured is not None:
        found = packed_examples([codes[:count] for codes in measured])
        return GoldenCodes(given, once, found, measured_in, tolerance)
    if DOUBLE_ROUNDING_OUTPUT in vectors:
        twice = [vectors[numbered(DOUBLE_ROUNDING_OUTPUT, index)][:count] for index in outputs]
        origin = "those of TensorFlow 1.15, whose kernels round alike"
        return GoldenCodes(given, once, packed_examples(twice), origin, tolerance)
    if shipped.dtype == np.int16:
        return GoldenCodes(given, once, once, "the same: int16 kernels round once", tolerance)
    return GoldenCodes(given, once, None, "not known without tflite-micro, and not compared", tolerance)


def _rounded_once(files: Files) -> str:
    """Return what the golden outputs of kernels that round once are, as a phrase."""
    return "those of the evaluation" if files.shipped.integers is None else "those of this file's own integers"


def _guide(source: ExportSource, files: Files, report: _Report, name: str, arena: Arena, golden: GoldenCodes) -> Guide:
    guide = file_guide(source, files, report)
    assert guide.check is not None
    check = Check(
        "tflm",
        "tflite-micro, LiteRT (ai-edge-litert), tflite_runtime or TensorFlow",
        FILE_INPUT,
        guide.check.expected,
        values=(
            ("tflite", runner_text("tflite", len(files.model.outputs) == 1, {}, len(files.model.inputs))),
            ("model_name", f'"{name}.tflite"'),
            ("arena", str(_MARGIN * arena_bound(files.shipped.content))),
        ),
    )
    use = (
        f"`{name}_model.h` and `{name}_model.cc` are what a firmware needs: the model, a MicroMutableOpResolver with "
        f"its operators ({', '.join(operators(files.shipped.content))}) and the size of its arena: {arena.nbytes:,} "
        f"bytes, {arena.origin}.",
        f"`cmake -B build -DTFLM_DIR=/path/to/tflite-micro && cmake --build build && build/{name}_test` builds TFLite "
        f"Micro with its reference kernels, runs the golden inputs of `{name}_golden.cc`, and compares the outputs. "
        f"The expected ones are {golden.origin}. With `-DSINGLE_ROUNDING=ON`, kernels round each result once; then, "
        f"the expected outputs are {_rounded_once(files)}. Define `TFLITE_SINGLE_ROUNDING=1` for all of a firmware to "
        "have these there.",
    )
    return guide._replace(title=f"Folder for TFLite Micro, {files.shipped.dtype.name}", use=use, check=check)
