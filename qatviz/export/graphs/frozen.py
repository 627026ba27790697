"""Export to a frozen TensorFlow graph: one ``.pb`` file, its proof, both written."""

from pathlib import Path

from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.fake_quant.proof import Simulation, prove_simulation
from qatviz.export.formats import Options, Written
from qatviz.export.graphs.about import EXACT, FLOAT, graph_about, notes_on
from qatviz.export.graphs.lowering import inference_graph
from qatviz.export.graphs.runtime import RUNTIME, GraphRunner
from qatviz.export.progress import Progress
from qatviz.export.proof.files import write_export
from qatviz.export.source import ExportSource
from qatviz.metric import CLASSIFICATION


def export(source: ExportSource, path: Path, options: Options, progress: Progress) -> Written:
    """Write a moment of a run as a serialized GraphDef, with the proof that it computes what was seen.

    Any thread; it has its own graphs and sessions and touches no run. The graph is that of
    :mod:`qatviz.export.graphs.lowering`; the option ``form`` says whether it rounds ("fake-quant"), rounds exact sums
    ("exact"), or does not ("float").

    Raises
    ------
    ExportError
        If an array is missing, nothing has been seen yet, or a file can't be written; then none is.
    Cancelled
    """
    progress.at("folding the parameters", 0.0)
    quantized = options["form"] != FLOAT
    model = fake_quant_model(source.network, source.book, source.arrays, source.step, quantized, source.metadata)
    progress.at("writing the operations", 0.05)
    graph = inference_graph(model, graph_about(source, options["form"]), source.dataset.task == CLASSIFICATION,
                            options["form"] == EXACT)
    content = graph.definition.SerializeToString()
    with GraphRunner(content, graph.tensors) as runner:
        simulation = Simulation("Frozen graph ({})".format(options["form"]), RUNTIME, runner.values, len(content),
                                notes_on(options["form"]))
        report = prove_simulation(model, simulation, source, quantized, progress.part(0.1, 0.98))
    progress.at("writing the files", 0.98)
    return Written(write_export(path, content, report), report)
