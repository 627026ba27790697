"""The weights in an HDF5 file that Keras wrote, by layer."""

from typing import Any, Dict, List, Tuple

import numpy as np

from qatviz.errors import NetworkError
from qatviz.network.keras_import.config import NESTED, Path, layer_name, layer_records, shortened
from qatviz.network.keras_import.convert import Weights
from qatviz.network.keras_import.kinds import KINDS

Slot = Tuple[Path, str]
"""One array of the model: its layer and Keras' name for it."""

# Deflate, the one compression in common use with HDF5, makes data up to 1032 times smaller (zlib's documentation).
MOST_COMPRESSION = 1032


def read_weights(group: Any, record: Dict[str, Any]) -> Weights:
    """The arrays of a model.

    Parameters
    ----------
    group : h5py.Group
        The one with the attribute "layer_names".
    record : dict
        The model's description, which says what arrays there are and in what order.

    Raises
    ------
    NetworkError
        When the file's weights are not those of this model.
    """
    stored = [(name, datasets) for name, datasets in ((name, _datasets(group, name)) for name in
                                                      _texts(group, "layer_names")) if datasets]
    expected = [(name, slots) for name, slots in _expected(record) if slots]
    if {name for name, _ in stored} == {name for name, _ in expected}:
        stored = [(name, dict(stored)[name]) for name, _ in expected]
    # Names that Keras gave by counting differ between sessions; then the order counts, as in Keras' load_weights.
    if len(stored) != len(expected):
        raise NetworkError("the weights are of {} layers; the model has {} layers with weights".format(
            len(stored), len(expected)))
    weights = {}  # type: Weights
    for (name, datasets), (own, slots) in zip(stored, expected):
        found, wanted = [key for key, _ in datasets], [key for _, key in slots]
        if found != wanted:
            raise NetworkError("layer {!r}: its weights (stored as {!r}) are {}; expected are {}".format(
                own, name, shortened(", ".join(found)), shortened(", ".join(wanted))))
        for (path, key), (_, dataset) in zip(slots, datasets):
            weights.setdefault(path, {})[key] = _array(dataset, own)
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
    trained, fixed = [], []  # type: Tuple[List[Slot], List[Slot]]
    if record["class_name"] in NESTED:
        for layer in layer_records(record):
            for all_slots, slots in zip((trained, fixed), _slots(layer, path + (layer_name(layer),))):
                all_slots += slots
        return trained, fixed
    kind = KINDS.get(record["class_name"])
    if kind is not None and kind.weights is not None:
        trained, fixed = [[(path, key) for key in keys] for keys in kind.weights(record["config"])]
    return ([], trained + fixed) if record["config"].get("trainable") is False else (trained, fixed)


def _texts(node: Any, key: str) -> List[str]:
    """A list of names among the attributes; long ones are cut into key0, key1, ..."""
    parts = [node.attrs[key]] if key in node.attrs else []
    while key + str(len(parts)) in node.attrs:
        parts.append(node.attrs[key + str(len(parts))])
    if not parts:
        raise NetworkError("the weights have no {}; expected is what Keras' save or save_weights wrote".format(key))
    return [text.decode("utf-8") if isinstance(text, bytes) else str(text) for part in parts for text in part]


def _datasets(group: Any, name: str) -> List[Tuple[str, Any]]:
    """The stored arrays of a layer by Keras' names: "kernel" of "conv1/kernel:0"."""
    layer = group[name]
    return [(text.split("/")[-1].split(":")[0], layer[text]) for text in _texts(layer, "weight_names")]


def _array(dataset: Any, layer: str) -> np.ndarray:
    """The values; not read where the file cannot hold as many, since room would be made for all of them."""
    declared = int(np.prod(dataset.shape, dtype=np.float64)) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size() * (1 if dataset.compression is None else MOST_COMPRESSION)
    if declared > stored:
        raise NetworkError("layer {!r}: {} of shape {} is declared, but the file holds {} bytes of it".format(
            layer, dataset.name, dataset.shape, stored))
    return dataset[()]
