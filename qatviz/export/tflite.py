"""Export to TFLite: the file, its proof, both written."""

from pathlib import Path

from qatviz.export.formats import Options, Written
from qatviz.export.lower_integer import integer_model
from qatviz.export.parity_files import write_export
from qatviz.export.parity_graph import EvaluationGraph
from qatviz.export.parity_report import Exported, prove
from qatviz.export.progress import Progress
from qatviz.export.source import ExportSource
from qatviz.export.tflite_lowering import tflite_model
from qatviz.export.tflite_runtime import REACHED, RUNTIME, TfliteRunner


def export(source: ExportSource, path: Path, options: Options, progress: Progress) -> Written:
    """Write a moment of a run as a TFLite file, with the proof that it computes what was seen.

    Any thread; it has its own session and touches no run. See :mod:`qatviz.export.parity_files` for what is written,
    and :data:`qatviz.export.formats.TFLITE` for the options. The proof compares logits, whatever is put out.

    Raises
    ------
    ExportError
        If there is no integer model of it, TFLite can't hold it, or a file can't be written; then none is.
    Cancelled
    """
    progress.at("making the integers", 0.0)
    model = integer_model(source.network, source.book, source.arrays, source.step, source.metadata)
    multiply_codes = not options["plain_codes"]
    progress.at("writing the operations", 0.05)
    file = tflite_model(model, options["softmax"], multiply_codes)
    logits = tflite_model(model, multiply_codes=multiply_codes) if options["softmax"] else file
    layers = tflite_model(model, multiply_codes=multiply_codes, outputs=[op.output for op in model.ops])
    exported = Exported("TFLite {}".format(file.dtype.name), RUNTIME, TfliteRunner(logits).run,
                        TfliteRunner(layers).run, len(file.content), REACHED, file.notes)
    progress.at("building the evaluation graph", 0.1)
    with EvaluationGraph(source.network, source.book, source.arrays, source.step) as graph:
        report = prove(model, exported, graph, *source.held_out(), progress.part(0.2, 0.98))
    progress.at("writing the files", 0.98)
    return Written(write_export(path, file.content, report), report)
