"""What exports of graphs for TensorFlow have in common: the graph, its proof, both written."""

from pathlib import Path
from typing import Any, Callable, Dict, NamedTuple, Union

from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.fake_quant.proof import Simulation, prove_simulation
from qatviz.export.formats import Options, Written
from qatviz.export.graphs.about import EXACT, FLOAT, graph_about, notes_on
from qatviz.export.graphs.lowering import InferenceGraph, inference_graph
from qatviz.export.graphs.runtime import RUNTIME, GraphRunner
from qatviz.export.progress import Progress
from qatviz.export.proof.files import write_export
from qatviz.export.source import ExportSource
from qatviz.metric import CLASSIFICATION


class Packed(NamedTuple):
    """A graph in the form that is written.

    Attributes
    ----------
    content : bytes or dict of str to bytes
        Of the file, or of the files of a directory by their paths in it.
    definition : bytes
        The serialized GraphDef that is in there: what the proof runs.
    nbytes : int
        Size of the graph and what it needs to be loaded.
    """

    content: Union[bytes, Dict[str, bytes]]
    definition: bytes
    nbytes: int


def export_graph(
    source: ExportSource,
    path: Path,
    options: Options,
    progress: Progress,
    title: str,
    pack: Callable[[InferenceGraph, Dict[str, Any]], Packed],
) -> Written:
    """Write a moment of a run as a graph of :mod:`qatviz.export.graphs.lowering`, with the proof of what was seen.

    Any thread; it has its own graphs and sessions and touches no run. The option ``form`` says whether the graph rounds
    ("fake-quant"), rounds exact sums ("exact"), or does not ("float").

    Parameters
    ----------
    title : str
        What the proof calls the format.
    pack : callable
        Makes what is written of the graph and of what it says of itself.

    Raises
    ------
    ExportError
        If an array is missing, nothing has been seen yet, or something can't be written; then nothing is.
    Cancelled
    """
    progress.at("folding the parameters", 0.0)
    form = options["form"]
    quantized = form != FLOAT
    model = fake_quant_model(source.network, source.book, source.arrays, source.step, quantized, source.metadata)
    progress.at("writing the operations", 0.05)
    about = graph_about(source, form)
    graph = inference_graph(model, about, source.dataset.task == CLASSIFICATION, form == EXACT)
    packed = pack(graph, about)
    with GraphRunner(packed.definition, graph.tensors) as runner:
        simulation = Simulation(f"{title} ({form})", RUNTIME, runner.values, packed.nbytes, notes_on(form))
        report = prove_simulation(model, simulation, source, quantized, progress.part(0.1, 0.98))
    progress.at("writing the files", 0.98)
    return Written(write_export(path, packed.content, report), report)
