"""Layers that Keras wraps in another one: Bidirectional and TimeDistributed, as the layers that compute the same.

The paths of weights lead through a wrapper as they lead through a model: ``("both", "forward_layer")`` is the layer of
a Bidirectional "both" that runs from the first element on.
"""

from typing import Any, Dict, Iterable, List, Tuple

from qatviz.errors import NetworkError
from qatviz.network.keras_import.config import LayerSpec, layer_kind
from qatviz.network.keras_import.records import Record, class_and_config, shortened

FORWARD, BACKWARD = "forward_layer", "backward_layer"
"""Keras' names of the two layers of a Bidirectional, which are attributes."""

BIDIRECTIONAL, TIME_DISTRIBUTED = "Bidirectional", "TimeDistributed"

#: Layers that merge the outputs of a Bidirectional.
_MERGES: Dict[str, Tuple[str, Dict[str, Any]]] = {
    "concat": ("Concatenate", {"axis": -1}),
    "sum": ("Add", {}),
    "mul": ("Multiply", {}),
    "ave": ("Average", {}),
}
#: Layers that compute the same for a whole sequence as for each of its elements.
_POINTWISE = ("Activation", "BatchNormalization", "Dense", "Dropout", "ELU", "LeakyReLU", "ReLU", "Softmax")
#: Layers on sequences that are, on a sequence of sequences, a layer on an image with one row for each, and the settings
#: for which the image has a further value, of the rows.
_BY_ROW = {
    "Conv1D": ("Conv2D", ("kernel_size", "strides", "dilation_rate")),
    "MaxPooling1D": ("MaxPooling2D", ("pool_size", "strides")),
    "AveragePooling1D": ("AveragePooling2D", ("pool_size", "strides")),
}
FLATTEN_ELEMENTS = "Flatten of each element"
"""Kind of a Flatten in a TimeDistributed."""


def wrapped_layers(record: Record) -> List[Tuple[Tuple[str, ...], Record]]:
    """Return the layers in a wrapper, each with its path from there; with the path (), a layer itself."""
    kind, config = record["class_name"], record["config"]
    if kind not in (BIDIRECTIONAL, TIME_DISTRIBUTED) or not isinstance(config, dict):
        return [((), record)]
    inner = _inner(config, "layer", kind)
    if kind == TIME_DISTRIBUTED:
        return [((), inner)]
    return [((FORWARD,), inner), ((BACKWARD,), _backward(config))]


def without_wrappers(layers: Iterable[LayerSpec]) -> Tuple[LayerSpec, ...]:
    """Return layers with those in wrappers in their place, where these compute the same.

    Raises
    ------
    NetworkError
        For a wrapper whose description does not have Keras' form, or that merges its outputs in another way.
    """
    return tuple(part for layer in layers for part in _parts(layer))


def _parts(spec: LayerSpec) -> List[LayerSpec]:
    if spec.kind == BIDIRECTIONAL:
        return _bidirectional(spec)
    return _time_distributed(spec) if spec.kind == TIME_DISTRIBUTED else [spec]


def _bidirectional(spec: LayerSpec) -> List[LayerSpec]:
    """Return both recurrent layers and the one that merges their outputs."""
    mode = spec.config.get("merge_mode", "concat")
    if not isinstance(mode, str) or mode not in _MERGES:
        raise NetworkError(
            f"layer {spec.path[-1]!r} ({spec.kind}): merge_mode is {shortened(mode)}; allowed: {', '.join(_MERGES)}"
        )
    parts = []
    for place, record in ((FORWARD, _inner(spec.config, "layer", spec.kind)), (BACKWARD, _backward(spec.config))):
        config = dict(record["config"], restores_order=place == BACKWARD)
        if spec.config.get("trainable") is False:
            config["trainable"] = False
        path = (*spec.path[:-1], f"{spec.path[-1]}/{place.partition('_')[0]}")
        parts.append(LayerSpec(path, layer_kind(record), config, spec.inputs, (*spec.layer, place)))
    kind, settings = _MERGES[mode]
    return [*parts, LayerSpec(spec.path, kind, dict(settings), tuple(part.path for part in parts), spec.layer)]


def _time_distributed(spec: LayerSpec) -> List[LayerSpec]:
    """Return the layer that computes for the whole sequence what that in a TimeDistributed does for each element."""
    record = _inner(spec.config, "layer", spec.kind)
    kind, config = layer_kind(record), dict(record["config"])
    if kind in _BY_ROW:
        kind, settings = _BY_ROW[kind]
        config.update((key, _with_row(config[key])) for key in settings if config.get(key) is not None)
    elif kind == "Flatten":
        kind = FLATTEN_ELEMENTS
    elif kind not in _POINTWISE or config.get("noise_shape") is not None:
        return [spec]
    if isinstance(config.get("axis"), (int, list)):  # counted in one element, which has an axis less
        axes = config["axis"] if isinstance(config["axis"], list) else [config["axis"]]
        config["axis"] = [axis + 1 if type(axis) is int and axis > 0 else axis for axis in axes]
        config["axis"] = config["axis"][0] if len(axes) == 1 else config["axis"]
    if spec.config.get("trainable") is False:
        config["trainable"] = False
    return [spec._replace(kind=kind, config=config)]


def _with_row(value: Any) -> List[Any]:
    """Return the sizes of a window of one row, for those of a window on a sequence: a number, or a list of one."""
    return [1, *value] if isinstance(value, (list, tuple)) else [1, value]


def _inner(config: Dict[str, Any], key: str, kind: str) -> Record:
    """Return the description of a layer in a wrapper."""
    record = config.get(key)
    _, inner = class_and_config(record, f"a {kind} layer: {key}")
    if not isinstance(inner, dict):
        raise NetworkError(f"a {kind} layer: config of its {key} is {shortened(inner)}; expected: an object")
    assert isinstance(record, dict)
    return record


def _backward(config: Dict[str, Any]) -> Record:
    """Return the description of the layer of a Bidirectional that runs from the last element on."""
    if config.get("backward_layer") is not None:
        return _inner(config, "backward_layer", BIDIRECTIONAL)
    record = _inner(config, "layer", BIDIRECTIONAL)
    return dict(record, config=dict(record["config"], go_backwards=not record["config"].get("go_backwards")))
