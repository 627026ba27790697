"""What Keras writes down of a model's architecture (`model.to_json()`), as a flat list of layers.

Models nested in others are opened, every layer's sources are resolved, and what the model's output does not depend on
falls away. The record is data from outside: whatever does not have the expected form is refused.
"""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from qatviz.errors import NetworkError

Path = Tuple[str, ...]

INPUT_PATH: Path = ()
"""What stands for the model's input among the sources of a layer."""

FUNCTIONAL = ("Model", "Functional")  # the second since TensorFlow 2.3
SEQUENTIAL = ("Sequential",)
NESTED = FUNCTIONAL + SEQUENTIAL


class LayerSpec(NamedTuple):
    """One layer as Keras describes it; `path` is its name behind those of the models around it."""

    path: Path
    kind: str
    config: Dict[str, Any]
    inputs: Tuple[Path, ...]


class ModelSpec(NamedTuple):
    """A model's layers in topological order; `input_shape` is without the batch, None where it is not known."""

    name: str
    input_shape: Optional[Tuple[Optional[int], ...]]
    layers: Tuple[LayerSpec, ...]
    output: Path


def model_spec(record: Any) -> ModelSpec:
    """The flat description of a model.

    Parameters
    ----------
    record : dict
        What `json.loads(model.to_json())` gives.

    Raises
    ------
    NetworkError
        For layers called more than once, more than one input or output, calls with arguments that change the outcome,
        and for anything that is not in Keras' form.
    """
    kind, _config = class_and_config(record, "the model")
    if kind not in NESTED:
        raise NetworkError(f"the model is of the class {kind!r}; allowed: {', '.join(NESTED)}")
    name = model_name(record)
    layers: List[LayerSpec] = []
    outputs = _flatten(record, (), [INPUT_PATH], layers)
    if len(outputs) != 1:
        raise NetworkError(f"model {name!r}: it has {len(outputs)} outputs; allowed: exactly one")
    return ModelSpec(name, _input_shape(record), _that_count(layers, outputs[0]), outputs[0])


def class_and_config(record: Any, what: str) -> Tuple[str, Any]:
    """The class name and the settings of a record of a layer or model."""
    if not isinstance(record, dict) or not isinstance(record.get("class_name"), str) or "config" not in record:
        raise NetworkError(
            f"{what}: its description is {shortened(record)}; expected is a record with class_name and config"
        )
    return record["class_name"], record["config"]


def model_name(record: Dict[str, Any]) -> str:
    config = record["config"]
    name = config.get("name") if isinstance(config, dict) else None
    return name if isinstance(name, str) and name else record["class_name"].lower()


def layer_records(record: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The records of the layers of a model; a list by itself is Keras' older form of a Sequential."""
    config = record["config"]
    layers = config.get("layers") if isinstance(config, dict) else config
    if not isinstance(layers, list) or not layers:
        raise NetworkError(
            f"model {model_name(record)!r}: its layers are {shortened(layers)}; expected is a list of records"
        )
    for layer in layers:
        class_and_config(layer, f"a layer of model {model_name(record)!r}")
    return layers


def layer_name(record: Dict[str, Any]) -> str:
    """The name of a layer (or nested model) from its record."""
    config = record["config"]
    name = record.get("name") or (config.get("name") if isinstance(config, dict) else None)
    if not isinstance(name, str) or not name:
        raise NetworkError(f"a layer of type {record['class_name']} has the name {shortened(name)}; expected is a text")
    return name


def shortened(value: Any, length: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."


def _flatten(record, path: Path, sources: Sequence[Path], layers: List[LayerSpec]) -> List[Path]:
    """Appends the layers of a model that reads `sources`; returns what its outputs are."""
    if record["class_name"] in SEQUENTIAL:
        return _flatten_sequential(record, path, sources, layers)
    return _flatten_functional(record, path, sources, layers)


def _flatten_sequential(record, path, sources, layers) -> List[Path]:
    seen = set()
    for layer in layer_records(record):
        name = layer_name(layer)
        if name in seen:
            raise _shared(name, layer["class_name"], 2)
        seen.add(name)
        if layer["class_name"] != "InputLayer":
            sources = _appended(layer, path, sources, layers)
    return list(sources)


def _flatten_functional(record, path, sources, layers) -> List[Path]:
    where = f"model {model_name(record)!r}"
    config = record["config"]
    if not isinstance(config, dict):
        raise NetworkError(f"{where}: its settings are {shortened(config)}; expected is a record")
    inputs = _references(config.get("input_layers"), where + ": input_layers")
    if len(inputs) != len(sources):
        raise NetworkError(
            f"{where}: it has {len(inputs)} inputs ({', '.join(repr(name) for name, _ in inputs)}); allowed: "
            "exactly one"
        )
    known: Dict[str, List[Path]] = {name: [source] for (name, _), source in zip(inputs, sources)}
    waiting = _calls(layer_records(record), known)
    while waiting:
        still = []
        for layer, reads in waiting:
            if all(name in known for name, _ in reads):
                read = [_output(known, reference, layer_name(layer)) for reference in reads]
                known[layer_name(layer)] = _appended(layer, path, read, layers)
            else:
                still.append((layer, reads))
        if len(still) == len(waiting):
            raise NetworkError(
                f"layer {layer_name(still[0][0])!r}: it reads "
                f"{', '.join(repr(name) for name, _ in still[0][1])}, of which some are not there or read it "
                "in turn"
            )
        waiting = still
    return [
        _output(known, reference, where)
        for reference in _references(config.get("output_layers"), where + ": output_layers")
    ]


def _calls(records, known) -> List[Tuple[Dict[str, Any], List[Tuple[str, int]]]]:
    """Every layer but the inputs with the references it reads; each must be called exactly once."""
    calls = []
    seen = set()
    for layer in records:
        name, kind = layer_name(layer), layer["class_name"]
        if name in seen:
            raise NetworkError(f"layer {name!r} ({kind}): there are two layers of this name; allowed: unique names")
        seen.add(name)
        if name in known:
            continue
        nodes = layer.get("inbound_nodes")
        if not isinstance(nodes, list) or not nodes:
            raise NetworkError(
                f"layer {name!r} ({kind}): it reads {shortened(nodes)}; expected are the layers it is connected to"
            )
        if len(nodes) > 1:
            raise _shared(name, kind, len(nodes))
        where = f"layer {name!r} ({kind})"
        if isinstance(nodes[0], dict):  # Keras 3
            _check_arguments(nodes[0].get("kwargs"), where)
            calls.append((layer, _histories(nodes[0].get("args"))))
        else:
            calls.append((layer, _references(nodes[0], where)))
    return calls


def _shared(name: str, kind: str, count: int) -> NetworkError:
    return NetworkError(
        f"layer {name!r} ({kind}): it is called {count} times, and its weights are shared between the calls; "
        "allowed: layers that are called once"
    )


def _references(value: Any, where: str) -> List[Tuple[str, int]]:
    """Names and output numbers of [[name, node, output], ...]; the call's arguments may follow as a fourth."""
    if isinstance(value, list) and value and isinstance(value[0], str):  # Keras 3, and an only input in some others
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
            raise NetworkError(f"{where}: {shortened(item)} does not say which layer is read")
        if len(item) == 4:
            _check_arguments(item[3], where)
        references.append((item[0], item[2]))
    if not references:
        raise NetworkError(f"{where}: it reads {shortened(value)}; expected is at least one layer")
    return references


def _histories(value: Any) -> List[Tuple[str, int]]:
    """The references in the arguments of a call as Keras 3 writes them."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        config = value.get("config")
        history = config.get("keras_history") if isinstance(config, dict) else None
        return _references([history], f"the tensor {shortened(value)}")
    if isinstance(value, dict):
        value = list(value.values())
    return [reference for item in value for reference in _histories(item)] if isinstance(value, list) else []


def _check_arguments(arguments: Any, where: str) -> None:
    """Nothing but what changes nothing may be given with a call, such as training=False."""
    for name, value in (arguments or {}).items() if isinstance(arguments or {}, dict) else [("arguments", arguments)]:
        if value is not None and value is not False:
            raise NetworkError(
                f"{where}: it is called with {name}={shortened(value)}; allowed: calls without arguments"
            )


def _output(known: Dict[str, List[Path]], reference: Tuple[str, int], where: str) -> Path:
    name, number = reference
    if name not in known or not 0 <= number < len(known[name]):
        raise NetworkError(f"{where}: output {number} of {name!r} is read, which is not there")
    return known[name][number]


def _appended(record, path: Path, sources: Sequence[Path], layers: List[LayerSpec]) -> List[Path]:
    """Appends a layer, or the layers of a nested model; returns what can be read of it."""
    own = (*path, layer_name(record))
    if record["class_name"] in NESTED:
        return _flatten(record, own, sources, layers)
    config = record["config"]
    if not isinstance(config, dict):
        raise NetworkError(
            f"layer {own[-1]!r} ({record['class_name']}): its settings are {shortened(config)}; expected is a record"
        )
    layers.append(LayerSpec(own, record["class_name"], config, tuple(sources)))
    return [own]


def _that_count(layers: Sequence[LayerSpec], output: Path) -> Tuple[LayerSpec, ...]:
    """The layers that the output depends on; nested models may have outputs that nobody reads."""
    needed = {output}
    for layer in reversed(layers):
        if layer.path in needed:
            needed.update(layer.inputs)
    return tuple(layer for layer in layers if layer.path in needed)


def _input_shape(record: Dict[str, Any]) -> Optional[Tuple[Optional[int], ...]]:
    """The shape that the first layer, or the layer that is the input, declares."""
    config = record["config"]
    records = layer_records(record)
    if record["class_name"] in SEQUENTIAL:
        first = records[0]
    else:
        name = _references(config.get("input_layers"), "input_layers")[0][0]
        first = next((layer for layer in records if layer_name(layer) == name), records[0])
    if first["class_name"] in NESTED:
        return _input_shape(first)
    declared = [
        first["config"].get(key) for key in ("batch_input_shape", "batch_shape") if isinstance(first["config"], dict)
    ]
    if isinstance(config, dict):
        declared.append(config.get("build_input_shape"))
    shape = next((shape for shape in declared if isinstance(shape, (list, tuple)) and len(shape) > 1), None)
    return None if shape is None else tuple(shape[1:])
