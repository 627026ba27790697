"""Access to Keras' descriptions of layers and models, which are untrusted data."""

from typing import Any, Dict, List, Tuple

from qatviz.errors import NetworkError

Path = Tuple[str, ...]
Record = Dict[str, Any]
"""Description of a layer or model: an object with class_name and config."""

#: Largest number of characters of a value in a message.
_SHOWN = 60


def class_and_config(record: Any, where: str) -> Tuple[str, Any]:
    """Return class name and config of the description of a layer or model."""
    if not isinstance(record, dict) or not isinstance(record.get("class_name"), str) or "config" not in record:
        raise NetworkError(
            f"{where}: description is {shortened(record)}; expected: an object with class_name and config"
        )
    return record["class_name"], record["config"]


def model_name(record: Record) -> str:
    """Return the name of a model from its description; without one, its class name in lower case."""
    config = record["config"]
    name = config.get("name") if isinstance(config, dict) else None
    return name if isinstance(name, str) and name else str(record["class_name"]).lower()


def layer_records(record: Record) -> List[Record]:
    """Return the descriptions of the layers of a model, whose config is a plain list in Keras' oldest form."""
    config = record["config"]
    layers = config.get("layers") if isinstance(config, dict) else config
    where = f"model {model_name(record)!r}"
    if not isinstance(layers, list) or not layers:
        raise NetworkError(f"{where}: layers is {shortened(layers)}; expected: a list of objects")
    for layer in layers:
        class_and_config(layer, f"{where}: a layer")
    return layers


def layer_name(record: Record) -> str:
    """Return the name of a layer or nested model from its description."""
    config = record["config"]
    name = record.get("name") or (config.get("name") if isinstance(config, dict) else None)
    if not isinstance(name, str) or not name:
        raise NetworkError(f"a {record['class_name']} layer: name is {shortened(name)}; expected: a string")
    return name


def shortened(value: Any) -> str:
    """Return a value's `repr`, cut off to `_SHOWN` characters."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
