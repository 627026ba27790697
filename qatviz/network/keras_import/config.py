"""Parser of Keras' description of a model's architecture (`model.to_json()`): a flat list of layers.

Nested models are inlined, the inputs of all layers are resolved, and layers that the output does not depend on are
omitted. Descriptions are untrusted data: anything that does not have Keras' form is refused.
"""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from qatviz.errors import NetworkError

Path = Tuple[str, ...]
Record = Dict[str, Any]
"""Description of a layer or model: an object with class_name and config."""
Reference = Tuple[str, int]
"""Name of a layer and index of its output."""

INPUT_PATH: Path = ()
"""Stands for the model's input among the inputs of a layer."""

MIN_FUSED_EPSILON = 1.001e-5
"""Minimum epsilon of tf.nn.fused_batch_norm, which Keras uses on images and which replaces a smaller epsilon by it."""

FUNCTIONAL = ("Model", "Functional")  # the second since TensorFlow 2.3
SEQUENTIAL = ("Sequential",)
NESTED = FUNCTIONAL + SEQUENTIAL


class LayerSpec(NamedTuple):
    """Keras layer; `path` is its name, preceded by the names of the enclosing models."""

    path: Path
    kind: str
    config: Dict[str, Any]
    inputs: Tuple[Path, ...]


class ModelSpec(NamedTuple):
    """Layers of a model in topological order; `input_shape` has no batch axis and is None if it is not known."""

    name: str
    input_shape: Optional[Tuple[Optional[int], ...]]
    layers: Tuple[LayerSpec, ...]
    output: Path


def parse_model(record: Any) -> ModelSpec:
    """Parse the description of a model.

    Parameters
    ----------
    record : dict
        Result of ``json.loads(model.to_json())``.

    Raises
    ------
    NetworkError
        For layers that are called more than once, for more than one input or output, for calls with arguments that
        change the result, and for anything that does not have Keras' form.
    """
    kind, _ = class_and_config(record, "the model")
    if kind not in NESTED:
        raise NetworkError(f"the model's class is {kind!r}; allowed: {', '.join(NESTED)}")
    name = model_name(record)
    layers: List[LayerSpec] = []
    outputs = _append_model(record, (), [INPUT_PATH], layers)
    if len(outputs) != 1:
        raise NetworkError(f"model {name!r}: found {len(outputs)} outputs; allowed: exactly one")
    return ModelSpec(name, _declared_input_shape(record), _required_layers(layers, outputs[0]), outputs[0])


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


def shortened(value: Any, length: int = 60) -> str:
    """Return a value's `repr`, cut off to `length` characters."""
    text = repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."


def _append_model(record: Record, path: Path, sources: Sequence[Path], layers: List[LayerSpec]) -> List[Path]:
    """Append the layers of a model whose inputs are `sources`; return the paths of its outputs."""
    if record["class_name"] in SEQUENTIAL:
        return _append_sequential(record, path, sources, layers)
    return _append_functional(record, path, sources, layers)


def _append_sequential(record: Record, path: Path, sources: Sequence[Path], layers: List[LayerSpec]) -> List[Path]:
    """Append the layers of a Sequential, each of which has the previous one as its input."""
    seen = set()
    for layer in layer_records(record):
        name = layer_name(layer)
        if name in seen:
            raise _several_calls(name, layer["class_name"], 2)
        seen.add(name)
        if layer["class_name"] != "InputLayer":
            sources = _append_layer(layer, path, sources, layers)
    return list(sources)


def _append_functional(record: Record, path: Path, sources: Sequence[Path], layers: List[LayerSpec]) -> List[Path]:
    """Append the layers of a functional model, each after its inputs."""
    where = f"model {model_name(record)!r}"
    config = record["config"]
    if not isinstance(config, dict):
        raise NetworkError(f"{where}: config is {shortened(config)}; expected: an object")
    inputs = _references(config.get("input_layers"), where + ": input_layers")
    if len(inputs) != len(sources):
        names = ", ".join(repr(name) for name, _ in inputs)
        raise NetworkError(f"{where}: found {len(inputs)} inputs ({names}); allowed: exactly one")
    known: Dict[str, List[Path]] = {name: [source] for (name, _), source in zip(inputs, sources)}
    waiting = _calls(layer_records(record), known)
    while waiting:
        still_waiting = []
        for layer, references in waiting:
            if all(name in known for name, _ in references):
                own_sources = [_resolve(known, reference, layer_name(layer)) for reference in references]
                known[layer_name(layer)] = _append_layer(layer, path, own_sources, layers)
            else:
                still_waiting.append((layer, references))
        if len(still_waiting) == len(waiting):
            layer, references = waiting[0]
            names = ", ".join(repr(name) for name, _ in references)
            raise NetworkError(
                f"layer {layer_name(layer)!r}: inputs are {names}; expected: layers of the model that do not depend on "
                "this one"
            )
        waiting = still_waiting
    output_layers = _references(config.get("output_layers"), where + ": output_layers")
    return [_resolve(known, reference, where) for reference in output_layers]


def _calls(records: Sequence[Record], known: Dict[str, List[Path]]) -> List[Tuple[Record, List[Reference]]]:
    """Return every layer but the inputs with its input references; each layer must be called exactly once."""
    calls = []
    seen = set()
    for layer in records:
        name, kind = layer_name(layer), layer["class_name"]
        where = f"layer {name!r} ({kind})"
        if name in seen:
            raise NetworkError(f"{where}: two layers have this name; allowed: unique names")
        seen.add(name)
        if name in known:
            continue
        nodes = layer.get("inbound_nodes")
        if not isinstance(nodes, list) or not nodes:
            raise NetworkError(f"{where}: inbound_nodes is {shortened(nodes)}; expected: the layers it is connected to")
        if len(nodes) > 1:
            raise _several_calls(name, kind, len(nodes))
        if isinstance(nodes[0], dict):  # Keras 3
            _check_arguments(nodes[0].get("kwargs"), where)
            calls.append((layer, _keras3_references(nodes[0].get("args"))))
        else:
            calls.append((layer, _references(nodes[0], where)))
    return calls


def _several_calls(name: str, kind: str, count: int) -> NetworkError:
    return NetworkError(
        f"layer {name!r} ({kind}): it is called {count} times, so that its weights are shared; allowed: layers "
        "that are called once"
    )


def _references(value: Any, where: str) -> List[Reference]:
    """Return the references in [[name, node, output], ...]; arguments of the call may follow as a fourth item."""
    if isinstance(value, list) and value and isinstance(value[0], str):  # Keras 3, and single inputs elsewhere
        value = [value]
    references = []
    for item in value if isinstance(value, list) else []:
        if not (
            isinstance(item, list)
            and 3 <= len(item) <= 4
            and isinstance(item[0], str)
            and type(item[1]) is int
            and type(item[2]) is int
        ):
            raise NetworkError(f"{where}: reference to a layer is {shortened(item)}; expected: [name, node, output]")
        if len(item) == 4:
            _check_arguments(item[3], where)
        references.append((item[0], item[2]))
    if not references:
        raise NetworkError(f"{where}: inputs are {shortened(value)}; expected: at least one layer")
    return references


def _keras3_references(value: Any) -> List[Reference]:
    """Return the references in the arguments of a call, in the form of Keras 3."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        config = value.get("config")
        history = config.get("keras_history") if isinstance(config, dict) else None
        return _references([history], f"the tensor {shortened(value)}")
    if isinstance(value, dict):
        value = list(value.values())
    return [reference for item in value for reference in _keras3_references(item)] if isinstance(value, list) else []


def _check_arguments(arguments: Any, where: str) -> None:
    """Refuse arguments of a call, except those without effect, such as training=False."""
    for name, value in (arguments or {}).items() if isinstance(arguments or {}, dict) else [("arguments", arguments)]:
        if value is not None and value is not False:
            raise NetworkError(
                f"{where}: it is called with {name}={shortened(value)}; allowed: calls without arguments"
            )


def _resolve(known: Dict[str, List[Path]], reference: Reference, where: str) -> Path:
    """Return the path of a layer's output."""
    name, number = reference
    if name not in known or not 0 <= number < len(known[name]):
        raise NetworkError(f"{where}: reference to output {number} of {name!r}, which does not exist")
    return known[name][number]


def _append_layer(record: Record, path: Path, sources: Sequence[Path], layers: List[LayerSpec]) -> List[Path]:
    """Append a layer, or the layers of a nested model; return the paths of its outputs."""
    own = (*path, layer_name(record))
    kind, config = record["class_name"], record["config"]
    if kind in NESTED:
        return _append_model(record, own, sources, layers)
    if not isinstance(config, dict):
        raise NetworkError(f"layer {own[-1]!r} ({kind}): config is {shortened(config)}; expected: an object")
    layers.append(LayerSpec(own, kind, config, tuple(sources)))
    return [own]


def _required_layers(layers: Sequence[LayerSpec], output: Path) -> Tuple[LayerSpec, ...]:
    """Return the layers that the output depends on; nested models may have unused outputs."""
    required = {output}
    for layer in reversed(layers):
        if layer.path in required:
            required.update(layer.inputs)
    return tuple(layer for layer in layers if layer.path in required)


def _declared_input_shape(record: Record) -> Optional[Tuple[Optional[int], ...]]:
    """Return the shape that the input layer, or the first layer of a Sequential, declares; None if there is none."""
    config = record["config"]
    records = layer_records(record)
    if record["class_name"] in SEQUENTIAL:
        first = records[0]
    else:
        name = _references(config.get("input_layers"), "input_layers")[0][0]
        first = next((layer for layer in records if layer_name(layer) == name), records[0])
    if first["class_name"] in NESTED:
        return _declared_input_shape(first)
    declared = [
        first["config"].get(key) for key in ("batch_input_shape", "batch_shape") if isinstance(first["config"], dict)
    ]
    if isinstance(config, dict):
        declared.append(config.get("build_input_shape"))
    shape = next((shape for shape in declared if isinstance(shape, (list, tuple)) and len(shape) > 1), None)
    return None if shape is None else tuple(shape[1:])
