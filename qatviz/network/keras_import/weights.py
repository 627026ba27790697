"""Assignment of stored arrays to the layers of a model."""

from typing import Any, Dict, List, Tuple

from qatviz.errors import NetworkError
from qatviz.network.keras_import.config import NESTED, Path, layer_name, layer_records, shortened
from qatviz.network.keras_import.convert import Weights
from qatviz.network.keras_import.hdf5 import StoredLayers
from qatviz.network.keras_import.kinds import KINDS

Slot = Tuple[Path, str]
"""Array of the model: path of its layer and Keras' name of the array."""


def assign_weights(stored: StoredLayers, record: Dict[str, Any]) -> Weights:
    """Return the stored arrays by the paths of the model's layers.

    Parameters
    ----------
    stored : list
        Layers with their arrays, in the order in which Keras saved them.
    record : dict
        Description of the model, which determines the names and the order of the arrays.

    Raises
    ------
    NetworkError
        If the stored arrays are not those of this model.
    """
    stored = [(name, arrays) for name, arrays in stored if arrays]
    expected = [(name, slots) for name, slots in _expected(record) if slots]
    # Automatic names, which Keras numbers, differ between sessions. As in Keras' load_weights, the order is used then.
    if {name for name, _ in stored} == {name for name, _ in expected}:
        by_name = dict(stored)
        stored = [(name, by_name[name]) for name, _ in expected]
    if len(stored) != len(expected):
        raise NetworkError(
            f"weights of {len(stored)} layers are stored; expected: {len(expected)}, the model's layers with weights"
        )
    weights: Weights = {}
    for (name, arrays), (own, slots) in zip(stored, expected):
        # The array "conv1/kernel:0" is the kernel of conv1.
        found, wanted = [text.split("/")[-1].split(":")[0] for text, _ in arrays], [key for _, key in slots]
        if found != wanted:
            raise NetworkError(
                f"layer {own!r}: weights stored as {name!r} are {shortened(', '.join(found))}; expected: "
                f"{shortened(', '.join(wanted))}"
            )
        for (path, key), (_, array) in zip(slots, arrays):
            weights.setdefault(path, {})[key] = array
    return weights


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
    kind = KINDS.get(record["class_name"])
    if kind is not None and kind.array_names is not None:
        trained, fixed = [[(path, key) for key in keys] for keys in kind.array_names(record["config"])]
    return ([], trained + fixed) if record["config"].get("trainable") is False else (trained, fixed)
