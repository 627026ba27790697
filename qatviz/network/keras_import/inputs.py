"""Inputs that Keras' description of a model declares."""

from typing import Collection, List, NamedTuple, Optional, Sequence, Tuple

from qatviz.network.checks import INPUT
from qatviz.network.keras_import.records import Path, Record, layer_name, layer_records

INPUT_PATH: Path = ()
"""Path of the model's only input among the inputs of a layer; that of one of several has its name."""


class InputSpec(NamedTuple):
    """Input of a model.

    Attributes
    ----------
    name : str
        Name of the input layer; of the only input, "input".
    path : tuple of str
        Its path among the inputs of layers.
    shape : tuple of int or None, optional
        Shape without the batch axis, None for unknown axes; None if the description does not have it.
    """

    name: str
    path: Path
    shape: Optional[Tuple[Optional[int], ...]]


def declared_inputs(record: Record, nested: Collection[str]) -> Tuple[InputSpec, ...]:
    """Return the inputs of a model; ``nested`` are the class names of models."""
    names = input_layer_names(record)
    if len(names) < 2:
        return (InputSpec(INPUT, INPUT_PATH, _declared_shape(record, names, nested)),)
    return tuple(InputSpec(name, (name,), _declared_shape(record, [name], nested)) for name in names)


def input_layer_names(record: Record) -> List[str]:
    """Return the names of a functional model's input layers, in order; none for other models."""
    config = record["config"]
    given = config.get("input_layers") if isinstance(config, dict) else None
    rows = list(given.values()) if isinstance(given, dict) else given
    if isinstance(rows, list) and rows and isinstance(rows[0], str):  # Keras 3
        rows = [rows]
    return [row[0] for row in rows if isinstance(row, list) and row and isinstance(row[0], str)] if rows else []


def _declared_shape(
    record: Record, names: Sequence[str], nested: Collection[str]
) -> Optional[Tuple[Optional[int], ...]]:
    """Return the shape that the input layer, or the first layer of a Sequential, declares; None if there is none.

    The input layer is the first of `names`.
    """
    config = record["config"]
    records = layer_records(record)
    first = next((layer for layer in records if layer_name(layer) in names[:1]), records[0])
    if first["class_name"] in nested:
        return _declared_shape(first, input_layer_names(first), nested)
    declared = [
        first["config"].get(key) for key in ("batch_input_shape", "batch_shape") if isinstance(first["config"], dict)
    ]
    if isinstance(config, dict):
        declared.append(config.get("build_input_shape"))
    shape = next((shape for shape in declared if isinstance(shape, (list, tuple)) and len(shape) > 1), None)
    return None if shape is None else tuple(shape[1:])
