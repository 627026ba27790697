"""Descriptions of Keras models that both the Keras of TensorFlow 1.15 and Keras 3 build."""

from typing import Any, Dict, Iterator, List, Tuple

_MODELS = ("Model", "Functional", "Sequential")
#: Entries of the configurations of layers that have no effect, and that Keras 3 refuses.
_UNUSED = {
    "SeparableConv2D": ("kernel_initializer", "kernel_regularizer", "kernel_constraint"),
    "SpatialDropout2D": ("noise_shape", "trainable"),
}
#: Layers that Keras 3 does not have, or not without consent to run their code.
_MISSING = {
    "TensorFlowOpLayer": "an operation that is no layer",
    "Lambda": "a Lambda layer, whose code it runs with safe_mode=False only",
}


def for_keras_3(value: Any) -> Any:
    """Return a description, or a part of it, in a form from which Keras 3 builds the same model.

    The dtypes of initializers, which are float32, and entries without effect are left out; the input of a Sequential is
    a layer of its own instead of an entry of the first layer.
    """
    if isinstance(value, list):
        return [for_keras_3(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {name: for_keras_3(item) for name, item in value.items()}
    for name, item in found.items():
        if name.endswith("_initializer") and isinstance(item, dict) and isinstance(item.get("config"), dict):
            item["config"].pop("dtype", None)
    kind, config = found.get("class_name"), found.get("config")
    if not isinstance(config, dict):
        return found
    for name in _UNUSED.get(str(kind), ()):
        config.pop(name, None)
    if kind == "Sequential" and config.get("layers"):
        config["layers"] = _with_input(config["layers"])
    return found


def _with_input(layers: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Return the layers of a Sequential, with an InputLayer first."""
    first = layers[0]
    if first["class_name"] == "InputLayer" or "batch_input_shape" not in first["config"]:
        return layers
    config = {
        "name": first["config"]["name"] + "_input",
        "batch_input_shape": first["config"]["batch_input_shape"],
        "dtype": first["config"].get("dtype", "float32"),
        "sparse": False,
    }
    rest = {name: value for name, value in first["config"].items() if name != "batch_input_shape"}
    return [{"class_name": "InputLayer", "config": config}, dict(first, config=rest), *layers[1:]]


def obstacles(description: Dict[str, Any]) -> List[str]:
    """Return the reasons why Keras 3 does not open a model with this description; none if it does."""
    found = []
    for layer, inside in _layers(description):
        kind, name = layer["class_name"], layer["config"].get("name", layer.get("name", ""))
        if kind in _MISSING:
            found.append(f"layer {name!r} is {_MISSING[kind]}")
        if "/" in name:
            found.append(f"layer {name!r} has a / in its name")
        if kind in _MODELS and inside in ("Model", "Functional"):
            found.append(f"{name!r} is a model within a functional model, whose calls Keras 3 counts differently")
    return found


def _layers(model: Dict[str, Any]) -> Iterator[Tuple[Dict[str, Any], str]]:
    """Yield all layers of a model and of the models within it, with the class of the model that they are in."""
    config = model["config"]
    for layer in config if isinstance(config, list) else config["layers"]:
        yield layer, model["class_name"]
        if layer["class_name"] in _MODELS:
            yield from _layers(layer)
