"""Which stored array is which layer's."""

from typing import Any, Dict, List, Tuple

from qatviz.errors import NetworkError
from qatviz.network.keras_import.config import NESTED, Path, layer_name, layer_records, shortened
from qatviz.network.keras_import.convert import Weights
from qatviz.network.keras_import.hdf5 import StoredLayers
from qatviz.network.keras_import.kinds import KINDS

Slot = Tuple[Path, str]
"""One array of the model: its layer and Keras' name for it."""


def assigned(stored: StoredLayers, record: Dict[str, Any]) -> Weights:
    """The stored arrays by the model's layers.

    Parameters
    ----------
    record : dict
        The model's description, which says what arrays there are and in what order.

    Raises
    ------
    NetworkError
        When the stored weights are not those of this model.
    """
    stored = [(name, arrays) for name, arrays in stored if arrays]
    expected = [(name, slots) for name, slots in _expected(record) if slots]
    # Names that Keras gave by counting differ between sessions; then the order counts, as in Keras' load_weights.
    if {name for name, _ in stored} == {name for name, _ in expected}:
        by_name = dict(stored)
        stored = [(name, by_name[name]) for name, _ in expected]
    if len(stored) != len(expected):
        raise NetworkError(
            f"the weights are of {len(stored)} layers; the model has {len(expected)} layers with weights"
        )
    weights: Weights = {}
    for (name, arrays), (own, slots) in zip(stored, expected):
        # "conv1/kernel:0" is the kernel of conv1.
        found, wanted = [text.split("/")[-1].split(":")[0] for text, _ in arrays], [key for _, key in slots]
        if found != wanted:
            raise NetworkError(
                f"layer {own!r}: its weights (stored as {name!r}) are {shortened(', '.join(found))}; expected "
                f"are {shortened(', '.join(wanted))}"
            )
        for (path, key), (_, array) in zip(slots, arrays):
            weights.setdefault(path, {})[key] = array
    return weights


def _expected(record: Dict[str, Any]) -> List[Tuple[str, List[Slot]]]:
    """The arrays of each layer, or model nested at the top, in the order in which Keras saves them."""
    expected = []
    for layer in layer_records(record):
        trained, fixed = _slots(layer, (layer_name(layer),))
        expected.append((layer_name(layer), trained + fixed))
    return expected


def _slots(record: Dict[str, Any], path: Path) -> Tuple[List[Slot], List[Slot]]:
    """The arrays that Keras trains, and those it does not: the order within a nested model."""
    trained: List[Slot] = []
    fixed: List[Slot] = []
    if record["class_name"] in NESTED:
        for layer in layer_records(record):
            for all_slots, slots in zip((trained, fixed), _slots(layer, (*path, layer_name(layer)))):
                all_slots += slots
        return trained, fixed
    kind = KINDS.get(record["class_name"])
    if kind is not None and kind.weights is not None:
        trained, fixed = [[(path, key) for key in keys] for keys in kind.weights(record["config"])]
    return ([], trained + fixed) if record["config"].get("trainable") is False else (trained, fixed)
