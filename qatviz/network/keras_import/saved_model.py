"""Reader of Keras' descriptions and weights in SavedModels and TensorFlow checkpoints.

Graphs and functions of the model are not loaded. Damaged files raise the errors of
:mod:`qatviz.network.keras_import.tensor_bundle`.
"""

import json
import os
import re
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

from qatviz.data.checks import check_memory
from qatviz.network.keras_import.layer_wrappers import BACKWARD, FORWARD
from qatviz.network.keras_import.reader_process import Form, KerasFile, Stored
from qatviz.network.keras_import.tensor_bundle import TensorBundle, integer, parts, text
from qatviz.network.model_formats import METADATA, SAVED_MODEL

#: Key of the description of a checkpoint's objects, a TrackableObjectGraph.
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
#: Names of objects that are layers with weights: those of a model, and that of the layer in a wrapper of tfmot.
_CHILD = re.compile(r"layer_with_weights-\d+|layer|_(query|key|value|output)_dense")
#: Objects in a recurrent layer or Bidirectional whose variables are its own, and what their names begin with then.
_PARTS = {"cell": "", FORWARD: FORWARD + "/", BACKWARD: BACKWARD + "/"}
#: Largest number of layers, and of models within models.
_MAX_OBJECTS, _MAX_DEPTH = 100_000, 50
#: Variables of optimizers in the checkpoints of tf.train.Saver.
_OPTIMIZER = re.compile(
    r".*(/(Adam|Momentum|RMSProp|Adagrad|Ftrl|Adadelta|ExponentialMovingAverage)(_\d+)?|_power|_step)"
)


def read_saved_model(path: str) -> KerasFile:
    """Return the contents of the SavedModel in the folder `path`; no weights if Keras did not save it."""
    config = _description(path)
    weights = None if config is None else _weights(os.path.join(path, "variables", "variables"))
    return KerasFile(config, weights)


def read_checkpoint(prefix: str) -> KerasFile:
    """Return the contents of the checkpoint whose files begin with `prefix`."""
    return KerasFile(None, _weights(prefix))


def _description(path: str) -> Optional[str]:
    """Return Keras' description of the model in a SavedModel; None if Keras did not save it."""
    for name, metadata in ((METADATA, _metadata), (SAVED_MODEL, _metadata_in_graph)):
        own = os.path.join(path, name)
        if os.path.isfile(own):
            check_memory(own, 2 * os.path.getsize(own))
            with open(own, "rb") as file:
                found = metadata(file.read())
            if found:
                record = json.loads(found, object_hook=_plain)
                record = record.get("model_config") or record
                return json.dumps({key: record[key] for key in ("class_name", "config") if key in record})
    own = os.path.join(path, "assets", "saved_model.json")  # of export_saved_model of TensorFlow 1
    if os.path.isfile(own):
        with open(own, encoding="utf-8") as file:
            return file.read()
    return None


def _plain(value: Dict[str, Any]) -> Any:
    """Return a list in the place of the description of a tuple or shape."""
    return value["items"] if value.get("class_name") in ("__tuple__", "TensorShape") and "items" in value else value


def _metadata(content: bytes) -> str:
    """Return the metadata of the root object in keras_metadata.pb, which TensorFlow 2.5 and later write.

    The message SavedMetadata has nodes = 1, each of which has node_path = 3 and metadata = 5.
    """
    return next((text(node, 5) for node in parts(content, 1) if text(node, 3) == "root"), "")


def _metadata_in_graph(content: bytes) -> str:
    """Return the metadata of the root object in saved_model.pb, where TensorFlow 1.15 to 2.4 write it.

    It is SavedModel.meta_graphs (2) . object_graph_def (7) . nodes (1) . user_object (4) . metadata (3).
    """
    message = content
    for field in (2, 7, 1, 4):
        message = next(parts(message, field), b"")
    return text(message, 3) if text(message, 1).startswith("_tf_keras_") else ""


def _weights(prefix: str) -> Stored:
    """Return the variables of a checkpoint: by Keras' objects if it describes them, else by their names."""
    bundle = TensorBundle(prefix)
    check_memory(prefix, sum(tensor.size for tensor in bundle.tensors.values()))
    if _OBJECT_GRAPH in bundle.tensors:
        found = list(_objects(bundle.text(_OBJECT_GRAPH)))
        arrays = {key: bundle.array(key) for _, own in found for _, key in own}  # each once, however often it is named
        return Stored(Form.OBJECTS, [(path, [(name, arrays[key]) for name, key in own]) for path, own in found])
    keys = [key for key in bundle.tensors if bundle.is_numeric(key) and not _OPTIMIZER.fullmatch(key)]
    return Stored(Form.VARIABLES, [(key, [(key, bundle.array(key))]) for key in keys])


def _objects(content: bytes) -> Iterator[Tuple[str, List[Tuple[str, str]]]]:
    """Yield the path of each object of a model that has variables, with their names and their keys in the checkpoint.

    The message TrackableObjectGraph has nodes = 1, each of which has children = 1 (node_id = 1, local_name = 2) and
    attributes = 2 (name = 1, checkpoint_key = 3).
    """
    nodes = list(parts(content, 1))
    children: List[Dict[str, int]] = [{text(child, 2): integer(child, 1) for child in parts(node, 1)} for node in nodes]
    keys = [[text(part, 3) for part in parts(node, 2) if text(part, 1) == "VARIABLE_VALUE"] for node in nodes]
    is_model = any(_CHILD.fullmatch(name) for name in children[0])
    waiting = [("", 0 if is_model else children[0].get("model", 0), 0)]  # tf.train.Checkpoint(model=model)
    seen: Set[int] = set()

    def variables(number: int, inside: str, levels: int) -> Iterator[Tuple[str, str]]:
        """Yield the names and keys of a layer's variables, and of those of the layers and cells in it."""
        for name, child in children[number].items():
            yield from ((inside + name, key) for key in keys[child])
            if name in _PARTS and levels:
                yield from variables(child, inside + _PARTS[name], levels - 1)

    while waiting:
        path, number, depth = waiting.pop()
        if depth > _MAX_DEPTH or len(waiting) > _MAX_OBJECTS:
            raise ValueError(f"the model has more than {_MAX_OBJECTS} layers or {_MAX_DEPTH} levels")
        for name, child in children[number].items():
            if _CHILD.fullmatch(name):
                waiting.append((f"{path}/{name}" if path else name, child, depth + 1))
        own = list(variables(number, "", len(_PARTS))) if path else []
        if path and own and number not in seen:  # a layer that is in the model twice has its arrays once
            yield path, own
        seen.add(number)
