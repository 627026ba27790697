"""Export to a TensorFlow SavedModel: a directory that also contains its proof."""

import json
import tempfile
from pathlib import Path
from typing import Any, Dict

import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf import saved_model_pb2

from qatviz.errors import ExportError
from qatviz.export.formats import Options, Written
from qatviz.export.graphs.export import Packed, export_graph
from qatviz.export.graphs.lowering import InferenceGraph
from qatviz.export.progress import Progress
from qatviz.export.source import ExportSource

#: File with the same description as the graph's constant ``about``.
_ABOUT = "about.json"


def export(source: ExportSource, path: Path, options: Options, progress: Progress) -> Written:
    """Write a state of a run as a SavedModel with the signature ``serving_default``.

    See :func:`qatviz.export.graphs.export.export_graph`.
    """
    return export_graph(source, path, options, progress, "SavedModel", packed)


def packed(graph: InferenceGraph, about: Dict[str, Any]) -> Packed:
    """Return the files of a SavedModel and of its description."""
    saved = _saved(graph)
    description = (json.dumps(about, indent=1) + "\n").encode("utf-8")
    return Packed(dict(saved, **{_ABOUT: description}), _graph_in(saved), sum(map(len, saved.values())))


def _saved(graph: InferenceGraph) -> Dict[str, bytes]:
    """Return the files of a SavedModel, by their paths in it."""
    saved = tf.saved_model
    tf.logging.set_verbosity(tf.logging.ERROR)  # hide TensorFlow's warnings about its own deprecations
    with tempfile.TemporaryDirectory() as parent, tf.Graph().as_default() as own, tf.Session(graph=own) as session:
        directory = Path(parent) / "model"
        tf.import_graph_def(graph.definition, name="")
        inputs, outputs = (
            {name: saved.build_tensor_info(own.get_tensor_by_name(name + ":0")) for name in names}
            for names in ([name for name, _ in graph.inputs], graph.outputs)
        )
        signature = saved.build_signature_def(inputs, outputs, saved.signature_constants.PREDICT_METHOD_NAME)
        try:
            builder = saved.builder.SavedModelBuilder(str(directory))
            builder.add_meta_graph_and_variables(
                session,
                [saved.tag_constants.SERVING],
                signature_def_map={saved.signature_constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY: signature},
            )
            builder.save()
        except tf.errors.OpError as error:
            raise ExportError(f"{directory}: a temporary file can't be written: {error.message}") from error
        return {
            path.relative_to(directory).as_posix(): path.read_bytes()
            for path in sorted(directory.rglob("*"))
            if path.is_file()
        }


def _graph_in(contents: Dict[str, bytes]) -> bytes:
    """Return the serialized graph of a SavedModel."""
    # Not with TensorFlow 1.15's loader, which emits warnings on import.
    model = saved_model_pb2.SavedModel()
    model.ParseFromString(contents[tf.saved_model.constants.SAVED_MODEL_FILENAME_PB])
    return bytes(model.meta_graphs[0].graph_def.SerializeToString())
