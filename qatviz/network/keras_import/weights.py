"""Assignment of stored arrays to the layers of a model."""

import re
from typing import Any, Dict, List, Pattern, Tuple

import numpy as np

from qatviz.errors import NetworkError
from qatviz.network.keras_import.config import NESTED
from qatviz.network.keras_import.convert import Weights
from qatviz.network.keras_import.kinds import ATTENTION_PARTS, KINDS
from qatviz.network.keras_import.layer_wrappers import BACKWARD, FORWARD, TIME_DISTRIBUTED, wrapped_layers
from qatviz.network.keras_import.reader_process import Form, Stored, StoredLayers
from qatviz.network.keras_import.records import Path, layer_name, layer_records, shortened
from qatviz.network.keras_import.recurrent import CONVERSIONS

Slot = Tuple[Path, str]
"""Array of the model: path of its layer and Keras' name of the array."""

Arrays = List[Tuple[str, np.ndarray]]
"""Arrays with their names in the file, in its order."""

#: Names of arrays since Keras 3, by those before.
_ALIASES = {"depthwise_kernel": "kernel"}
#: Dense layers of a MultiHeadAttention by the names of their objects.
_PARTS = {"query_dense": "query", "key_dense": "key", "value_dense": "value", "output_dense": "attention_output"}


def assign_weights(stored: Stored, record: Dict[str, Any]) -> Weights:
    """Return the stored arrays by the paths of the model's layers.

    Parameters
    ----------
    stored : Stored
    record : dict
        Description of the model, which determines the names and the order of the arrays.

    Raises
    ------
    NetworkError
        If the numbers of layers and arrays, or their names, are not those of this model.
    """
    if stored.form in (Form.CLASSES, Form.OBJECTS):
        stored = Stored(stored.form, _with_parts(stored.layers))
    if stored.form is Form.CLASSES:
        weights: Weights = {}
        _assign_by_class(dict(stored.layers), "", record, (), weights)
        return weights
    if stored.form is Form.OBJECTS:
        return _assign_by_number(dict(stored.layers), record)
    if stored.form is Form.VARIABLES:
        return _assign_variables({name: array for name, ((_, array),) in stored.layers}, record)
    return _assign_by_name(stored.layers, record)


def _assign_by_name(stored: StoredLayers, record: Dict[str, Any]) -> Weights:
    """Return arrays that are stored by the names of layers."""
    stored = [(name, arrays) for name, arrays in stored if arrays]
    expected = [(name, slots) for name, slots in _expected(record) if slots]
    # Automatic names, which Keras numbers, differ between sessions. As in Keras' load_weights, the order is used then.
    if {name for name, _ in stored} == {name for name, _ in expected}:
        by_name = dict(stored)
        stored = [(name, by_name[name]) for name, _ in expected]
    if len(stored) != len(expected):
        raise _other_count(f"weights of {len(stored)} layers", f"{len(expected)}, the model's layers with weights")
    weights: Weights = {}
    for (name, arrays), (own, slots) in zip(stored, expected):
        # The array "conv1/kernel:0" is the kernel of conv1.
        found = [text.split("/")[-1].split(":")[0] for text, _ in arrays]
        wanted = [key.split("/")[-1] for _, key in slots]
        if len(found) != len(wanted) or any(a not in (b, _ALIASES.get(b)) for a, b in zip(found, wanted)):
            raise NetworkError(
                f"layer {own!r}: weights stored as {name!r} are {shortened(', '.join(found))}; expected: "
                f"{shortened(', '.join(wanted))}"
            )
        for (path, key), (_, array) in zip(slots, arrays):
            weights.setdefault(path, {})[key] = array
    return weights


def _with_parts(layers: StoredLayers) -> StoredLayers:
    """Return the layers with the arrays of the Dense layers in a MultiHeadAttention as its own, under their names."""
    found: StoredLayers = []
    parts: Dict[str, Dict[str, Arrays]] = {}
    for name, arrays in layers:
        layer, _, last = name.rpartition("/")
        part = _PARTS.get(last.lstrip("_"))
        if part is None:
            found.append((name, arrays))
        else:
            parts.setdefault(layer, {})[part] = [(f"{part}/{array}", values) for array, values in arrays]
    for layer, by_part in parts.items():
        found.append((layer, [item for part in ATTENTION_PARTS for item in by_part.get(part, ())]))
    return found


def _assign_by_class(stored: Dict[str, Arrays], prefix: str, record: Dict[str, Any], path: Path, out: Weights) -> None:
    """Assign arrays that are stored by the classes of layers, those of a model below `prefix`.

    Keras numbers layers of the same class in the order of the model; some versions leave out numbers.
    """
    names = _names_below(stored, prefix)
    by_class: Dict[str, List[Dict[str, Any]]] = {}
    for layer in layer_records(record):
        by_class.setdefault(_snake_case(layer["class_name"]), []).append(layer)
    for kind, layers in by_class.items():
        if not any(any(_slots(layer, ())) for layer in layers):
            continue
        found = sorted((number, name) for name, (own, number) in names.items() if own == kind)
        if len(found) != len(layers):
            raise _other_count(
                f"weights of {len(found)} layers of the class {layers[0]['class_name']}",
                f"{len(layers)}, as in the model",
            )
        for (_, name), layer in zip(found, layers):
            own = (*path, layer_name(layer))
            if layer["class_name"] in NESTED:
                _assign_by_class(stored, name + "/", layer, own, out)
                continue
            for place, inner in wrapped_layers(layer):
                inside = (*own, *place)
                trained, fixed = _slots(inner, inside)
                arrays, slots = _stored_below(stored, "/".join((name, *place)), layer, inner), trained + fixed
                if len(arrays) != len(slots):
                    raise _other_count(f"layer {inside[-1]!r}: {len(arrays)} arrays", f"{len(slots)}")
                out[inside] = {key: array for (_, key), (_, array) in zip(slots, arrays)}


def _assign_by_number(stored: Dict[str, Arrays], record: Dict[str, Any]) -> Weights:
    """Return arrays that are stored by the numbers of the layers with weights in the model and in nested models."""
    expected: Dict[str, Tuple[Path, List[Slot]]] = {}
    waiting: List[Tuple[str, Dict[str, Any], Path]] = [("", record, ())]
    while waiting:
        prefix, model, path = waiting.pop()
        with_weights = [layer for layer in layer_records(model) if any(_slots(layer, ()))]
        for number, layer in enumerate(with_weights):
            name, own = f"{prefix}layer_with_weights-{number}", (*path, layer_name(layer))
            if layer["class_name"] in NESTED:
                waiting.append((name + "/", layer, own))
                continue
            trained, fixed = _slots(layer, own)
            expected[name + "/layer" * (layer["class_name"] == TIME_DISTRIBUTED)] = own, trained + fixed
    if not set(expected).issuperset(stored):
        raise _other_count(f"weights of {len(stored)} layers", f"{len(expected)}, the model's layers with weights")
    weights: Weights = {own: {} for own, _ in expected.values()}
    for name, (own, slots) in expected.items():
        arrays = dict(stored.get(name, ()))
        for path, key in slots:
            weights.setdefault(path, {})[key] = _array(arrays, "/".join((*path[len(own) :], key)), path)
    return weights


def _assign_variables(stored: Dict[str, np.ndarray], record: Dict[str, Any]) -> Weights:
    """Return arrays that are stored by the names of TensorFlow's variables, which end with LAYER/ARRAY."""
    weights: Weights = {}
    for _, slots in _expected(record):
        for path, key in slots:
            ending = _variable_ending(path, key)
            found = [name for name in stored if ending.fullmatch(name)]
            if len(found) != 1:
                raise NetworkError(
                    f"layer {path[-1]!r}: {len(found)} variables named {path[-1] + '/' + key!r} are stored; expected: "
                    "1; nearest: a file that Keras' model.save_weights wrote"
                )
            weights.setdefault(path, {})[key] = stored[found[0]]
    return weights


def _variable_ending(path: Path, key: str) -> Pattern[str]:
    """Return the expression of the names of a variable.

    The layers of a Bidirectional "both" are named "both/forward_NAME"; since TensorFlow 2, a recurrent layer has its
    variables in its cell.
    """
    layer = re.escape(path[-1])
    if path[-1] in (FORWARD, BACKWARD) and len(path) > 1:
        layer += f"|{re.escape(path[-2])}/{path[-1].partition('_')[0]}_[^/]+"
    return re.compile(f"(.*/)?({layer})(/[^/]*_cell(_[0-9]+)?)?/{re.escape(key)}")


def _array(arrays: Dict[str, np.ndarray], key: str, path: Path) -> np.ndarray:
    name = next((name for name in (key, _ALIASES.get(key)) if name in arrays), None)
    if name is None:
        raise NetworkError(
            f"layer {path[-1]!r}: no {key} is stored; found: {shortened(', '.join(sorted(arrays)) or 'no arrays')}"
        )
    return arrays[name]


def _stored_below(stored: Dict[str, Arrays], name: str, layer: Dict[str, Any], inner: Dict[str, Any]) -> Arrays:
    """Return the arrays of a layer, or of the layer ``inner`` in a wrapper; a recurrent layer has them in its cell."""
    name += "/layer" * (layer["class_name"] == TIME_DISTRIBUTED)
    return stored.get(name + "/cell" if inner["class_name"] in CONVERSIONS else name, [])


def _names_below(stored: Dict[str, Arrays], prefix: str) -> Dict[str, Tuple[str, int]]:
    """Return class and number by the name of each layer of the model below `prefix`."""
    for tree in sorted({name.split("/")[0] for name in stored}):
        start = f"{prefix}{tree}/"
        own = sorted({start + name[len(start) :].split("/")[0] for name in stored if name.startswith(start)})
        if own:
            matches = {name: re.fullmatch(r"(.+?)(?:_(\d+))?", name[len(start) :]) for name in own}
            return {name: (match.group(1), int(match.group(2) or 0)) for name, match in matches.items() if match}
    return {}


def _snake_case(name: str) -> str:
    """Return a class name in the form in which Keras stores it: "re_lu" for "ReLU"."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    name = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
    return "functional" if name == "model" else name


def _other_count(found: str, expected: str) -> NetworkError:
    return NetworkError(f"{found} are stored; expected: {expected}")


def _expected(record: Dict[str, Any]) -> List[Tuple[str, List[Slot]]]:
    """Return the arrays of each layer, or directly nested model, in the order in which Keras saves them."""
    expected = []
    for layer in layer_records(record):
        trained, fixed = _slots(layer, (layer_name(layer),))
        expected.append((layer_name(layer), trained + fixed))
    return expected


def _slots(record: Dict[str, Any], path: Path) -> Tuple[List[Slot], List[Slot]]:
    """Return the trained arrays and the other arrays; within a nested model, Keras saves them in this order."""
    trained: List[Slot] = []
    fixed: List[Slot] = []
    if record["class_name"] in NESTED:
        for layer in layer_records(record):
            for all_slots, slots in zip((trained, fixed), _slots(layer, (*path, layer_name(layer)))):
                all_slots += slots
        return trained, fixed
    for place, layer in wrapped_layers(record):
        kind = KINDS.get(layer["class_name"])
        if kind is not None and kind.array_names is not None:
            for all_slots, keys in zip((trained, fixed), kind.array_names(layer["config"])):
                all_slots += [((*path, *place), key) for key in keys]
    return ([], trained + fixed) if record["config"].get("trainable") is False else (trained, fixed)
