"""Removal of the wrappers of TensorFlow's Model Optimization Toolkit (tfmot): quantization-aware training, pruning.

The layers in the wrappers are imported under their own names, with 0 for the weights that are pruned. Layers of nested
models are never wrapped, because tfmot does not support nested models.
"""

from typing import Any, Dict, List, Tuple

import numpy as np

from qatviz.errors import NetworkError
from qatviz.network.keras_import.kinds import KINDS
from qatviz.network.keras_import.reader_process import Form, Stored, StoredLayers
from qatviz.network.keras_import.records import Record, layer_name, layer_records

_PRUNING = "PruneLowMagnitude"
_WRAPPERS = ("QuantizeWrapper", "QuantizeWrapperV2", _PRUNING)
_INPUT_QUANTIZER = "QuantizeLayer"
_MASK = "mask"


def is_wrapped(record: Record) -> bool:
    """Return whether layers of a model are in wrappers."""
    return any(layer["class_name"] in (*_WRAPPERS, _INPUT_QUANTIZER) for layer in layer_records(record))


def unwrapped(record: Record) -> Record:
    """Return the description of a model without wrappers."""
    names: Dict[str, str] = {}
    layers = []
    for layer in layer_records(record):
        inner = _inner(layer)
        names[layer_name(layer)] = layer_name(inner)
        layers.append(inner)
    config = {key: _renamed(value, names) for key, value in record["config"].items() if key != "layers"}
    own = [dict(layer, inbound_nodes=_renamed(layer.get("inbound_nodes", []), names)) for layer in layers]
    return dict(record, config=dict(config, layers=own))


def unwrapped_weights(stored: Stored, record: Record) -> Stored:
    """Return the weights of the layers in the wrappers; `record` describes the model with its wrappers.

    Raises
    ------
    NetworkError
        For weights that are stored by the classes of layers, whose numbers count the wrappers.
    """
    if stored.form is Form.NAMES:
        by_name = dict(stored.layers)
        found = [
            (layer, [(name.split("/")[-1].split(":")[0], array) for name, array in by_name[layer_name(layer)]])
            for layer in layer_records(record)
            if layer_name(layer) in by_name
        ]
        return Stored(stored.form, [(layer_name(_inner(layer)), _kept(layer, arrays)) for layer, arrays in found])
    if stored.form is Form.OBJECTS:
        return Stored(stored.form, _objects(dict(stored.layers), record))
    raise NetworkError("its layers are in tfmot's wrappers; nearest: the same model saved as .h5 or as a SavedModel")


def _objects(stored: Dict[str, Any], record: Record) -> StoredLayers:
    """Return the arrays by the numbers of the layers with weights in the model without wrappers."""
    found: StoredLayers = []
    before = 0
    for layer in layer_records(record):
        is_wrapper = layer["class_name"] in _WRAPPERS
        keys = _keys(_inner(layer))
        if not (is_wrapper or keys or layer["class_name"] == _INPUT_QUANTIZER):
            continue
        path = f"layer_with_weights-{before}"
        before += 1
        own = list(stored.get(path, ()))
        if keys:
            arrays = own + list(stored.get(path + "/layer", ())) if is_wrapper else own
            found.append((f"layer_with_weights-{len(found)}", _kept(layer, arrays)))
    return found


def _kept(layer: Record, arrays: List[Tuple[str, np.ndarray]]) -> List[Tuple[str, np.ndarray]]:
    """Return the arrays of the layer in a wrapper, with 0 for the weights that are pruned."""
    masks = [array for name, array in arrays if name == _MASK and layer["class_name"] == _PRUNING]
    keys = _keys(_inner(layer))
    found = []
    for name, array in arrays:
        if name in keys:
            mask = next((mask for mask in masks if mask.shape == array.shape), None)
            found.append((name, array if mask is None else array * mask))
    return found


def _keys(layer: Record) -> List[str]:
    """Return Keras' names of a layer's arrays."""
    kind = KINDS.get(layer["class_name"])
    if kind is None or kind.array_names is None:
        return []
    trained, fixed = kind.array_names(layer["config"])
    return trained + fixed


def _inner(layer: Record) -> Record:
    """Return the description of the layer in a wrapper, in the place of the wrapper; other layers as they are."""
    if layer["class_name"] == _INPUT_QUANTIZER:
        return dict(layer, class_name="Activation", config={"name": layer_name(layer), "activation": "linear"})
    inner = layer["config"].get("layer") if layer["class_name"] in _WRAPPERS else None
    if not isinstance(inner, dict) or not isinstance(inner.get("config"), dict) or "class_name" not in inner:
        return layer
    config = dict(inner["config"])
    if "activation" in config:
        config["activation"] = _activation(config["activation"])
    return dict(layer, class_name=inner["class_name"], name=layer_name(inner), config=config)


def _activation(value: Any) -> Any:
    """Return an activation without its quantization."""
    while isinstance(value, dict) and value.get("class_name") == "QuantizeAwareActivation":
        value = value.get("config", {}).get("activation")
    return "linear" if isinstance(value, dict) and value.get("class_name") == "NoOpActivation" else value


def _renamed(value: Any, names: Dict[str, str]) -> Any:
    """Return references to layers, [name, node, output, ...], with other names."""
    if isinstance(value, list):
        is_reference = len(value) >= 3 and isinstance(value[0], str) and type(value[1]) is int
        first = [names.get(value[0], value[0])] if is_reference else []
        return first + [_renamed(item, names) for item in value[len(first) :]]
    if isinstance(value, dict):
        return {key: _renamed(item, names) for key, item in value.items()}
    return value
