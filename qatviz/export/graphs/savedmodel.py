"""Export to a TensorFlow SavedModel: a directory, its proof in it."""

import json
import tempfile
from pathlib import Path
from typing import Dict

import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf import saved_model_pb2

from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.fake_quant.proof import Simulation, prove_simulation
from qatviz.export.formats import Options, Written
from qatviz.export.graphs.about import EXACT, FLOAT, graph_about, notes_on
from qatviz.export.graphs.lowering import INPUT, InferenceGraph, inference_graph
from qatviz.export.graphs.runtime import RUNTIME, GraphRunner
from qatviz.export.progress import Progress
from qatviz.export.proof.files import write_export
from qatviz.export.source import ExportSource
from qatviz.metric import CLASSIFICATION

#: What the directory says of itself, besides the graph's own constant ``about``.
_ABOUT = "about.json"


def export(source: ExportSource, path: Path, options: Options, progress: Progress) -> Written:
    """Write a moment of a run as a SavedModel, with the proof that it computes what was seen.

    Any thread; it has its own graphs and sessions and touches no run. The graph is that of
    :mod:`qatviz.export.graphs.lowering`, with the signature ``serving_default``; the option ``form`` says
    whether it rounds ("fake-quant"), rounds exact sums ("exact"), or does not ("float").

    Raises
    ------
    ExportError
        If an array is missing, nothing has been seen yet, or the directory can't be written; then nothing is.
    Cancelled
    """
    progress.at("folding the parameters", 0.0)
    quantized = options["form"] != FLOAT
    model = fake_quant_model(source.network, source.book, source.arrays, source.step, quantized, source.metadata)
    progress.at("writing the operations", 0.05)
    about = graph_about(source, options["form"])
    graph = inference_graph(model, about, source.dataset.task == CLASSIFICATION,
                            options["form"] == EXACT)
    contents = _saved(graph)
    nbytes = sum(map(len, contents.values()))
    with GraphRunner(_graph_in(contents), graph.tensors) as runner:
        simulation = Simulation("SavedModel ({})".format(options["form"]), RUNTIME, runner.values, nbytes,
                                notes_on(options["form"]))
        report = prove_simulation(model, simulation, source, quantized, progress.part(0.1, 0.98))
    contents[_ABOUT] = (json.dumps(about, indent=1) + "\n").encode("utf-8")
    progress.at("writing the files", 0.98)
    return Written(write_export(path, contents, report), report)


def _saved(graph: InferenceGraph) -> Dict[str, bytes]:
    """The files of a SavedModel, by their paths in it."""
    saved = tf.saved_model
    with tempfile.TemporaryDirectory() as parent, tf.Graph().as_default() as own, tf.Session(graph=own) as session:
        directory = Path(parent) / "model"
        tf.import_graph_def(graph.definition, name="")
        inputs, outputs = ({name: saved.build_tensor_info(own.get_tensor_by_name(name + ":0")) for name in names}
                           for names in ((INPUT,), graph.outputs))
        signature = saved.build_signature_def(inputs, outputs, saved.signature_constants.PREDICT_METHOD_NAME)
        builder = saved.builder.SavedModelBuilder(str(directory))
        builder.add_meta_graph_and_variables(
            session, [saved.tag_constants.SERVING],
            signature_def_map={saved.signature_constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY: signature})
        builder.save()
        return {path.relative_to(directory).as_posix(): path.read_bytes()
                for path in sorted(directory.rglob("*")) if path.is_file()}


def _graph_in(contents: Dict[str, bytes]) -> bytes:
    """The serialized graph of a SavedModel; TensorFlow 1.15's loader would do, but for warnings of what it imports."""
    model = saved_model_pb2.SavedModel()
    model.ParseFromString(contents[tf.saved_model.constants.SAVED_MODEL_FILENAME_PB])
    return model.meta_graphs[0].graph_def.SerializeToString()
