"""Parser of Keras' description of a model's architecture (`model.to_json()`): a flat list of layers.

Nested models are inlined, the inputs of all layers are resolved, and layers that no output depends on are omitted.
Descriptions are untrusted data: anything that does not have Keras' form is refused.
"""

import re
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from qatviz.errors import NetworkError
from qatviz.network.keras_import.call_arguments import (
    NO_ARGUMENTS,
    Arguments,
    Tensor,
    keras2_arguments,
    keras3_arguments,
    keras3_reference,
)
from qatviz.network.keras_import.call_names import CallNames
from qatviz.network.keras_import.inputs import InputSpec, declared_inputs
from qatviz.network.keras_import.records import (
    Path,
    Record,
    class_and_config,
    layer_name,
    layer_records,
    model_name,
    shortened,
)
from qatviz.network.keras_import.versions import CALLED_IN_TRAINING, is_keras3, with_keras3_names

MIN_FUSED_EPSILON = 1.001e-5
"""Minimum epsilon of tf.nn.fused_batch_norm, which Keras uses on images: a smaller epsilon is raised to it."""

FUNCTIONAL = ("Model", "Functional")  # the second since TensorFlow 2.3
SEQUENTIAL = ("Sequential",)
NESTED = FUNCTIONAL + SEQUENTIAL

#: Packages of Keras' own classes, in descriptions of TensorFlow 2.13 and later and of Keras 3.
KERAS_MODULES = ("keras", "tf_keras", "tensorflow", "builtins")

#: Kind of the layers that consist of Python code of the model's author.
LAMBDA = "Lambda"
#: Kind of the layers that stand for an operation between layers in Keras 3; its name is the setting "function".
KERAS3_OPERATION = "Operation"
#: Kind of the layers of attention whose calls have several tensors as arguments.
MULTI_HEAD_ATTENTION = "MultiHeadAttention"
#: Kind of the layers that stand for operations of a graph in TensorFlow 1.13 to 2.3.
NODE_LAYER = "TensorFlowOpLayer"
#: Kinds of the layers that stand for operations since TensorFlow 2.4, the first two up to Keras 2.15.
OPERATIONS = ("TFOpLambda", "SlicingOpLambda", KERAS3_OPERATION)

MAX_CALLS = 20_000
"""Maximum number of calls of layers in a model. If nested models call models twice, it doubles with each level, so that
a small file could declare any number of calls."""


class Reference(NamedTuple):
    """Reference to an output of a call of a layer: the layer's name, number of the call, index of the output."""

    name: str
    call: int
    output: int


class LayerSpec(NamedTuple):
    """Call of a Keras layer.

    Attributes
    ----------
    path : tuple of str
        Unique name of the call, preceded by the names of the calls of the enclosing models. For the first call of a
        layer, it is `layer`; the second call of "relu" is named "relu_2".
    kind : str
    config : dict
    inputs : tuple of Path
    layer : tuple of str
        Name of the layer, preceded by the names of the enclosing models.
    arguments : Arguments
        For an operation: its arguments, with the positions of the outputs of layers in `inputs`.
    output : int
        For an operation: the number of its output that it stands for.
    """

    path: Path
    kind: str
    config: Dict[str, Any]
    inputs: Tuple[Path, ...]
    layer: Path
    arguments: Arguments = NO_ARGUMENTS
    output: int = 0


class _Layers:
    """Calls of layers appended so far, and the number of all calls, including those of nested models."""

    def __init__(self) -> None:
        self.specs: List[LayerSpec] = []
        self._calls = 0

    def count_call(self) -> None:
        self._calls += 1
        if self._calls > MAX_CALLS:
            raise NetworkError(f"the model's layers are called more than {MAX_CALLS:,} times; allowed: at most that")

    def add_outputs(self, first: Path, last: int) -> List[Path]:
        """Append the outputs of the operation added last, up to number `last`; return the paths of all of them."""
        spec, paths = self.specs[-1], [first]
        for output in range(1, last + 1):
            self.count_call()
            paths.append((*first[:-1], f"{first[-1]}/output{output}"))
            self.specs.append(spec._replace(path=paths[-1], layer=paths[-1], output=output))
        return paths


class _Place(NamedTuple):
    """Position of a call of a layer or nested model: `path` and `layer` as in `LayerSpec`."""

    path: Path = ()
    layer: Path = ()

    def inside(self, call: str, layer: str) -> "_Place":
        """Return the position of a call in the model that is called here."""
        return _Place((*self.path, call), (*self.layer, layer))


class ModelSpec(NamedTuple):
    """Layers of a model in topological order, without those that its outputs do not depend on.

    Attributes
    ----------
    name : str
    inputs : tuple of InputSpec
    layers : tuple of LayerSpec
    outputs : tuple of Path
    """

    name: str
    inputs: Tuple[InputSpec, ...]
    layers: Tuple[LayerSpec, ...]
    outputs: Tuple[Path, ...]


def parse_model(record: Any) -> ModelSpec:
    """Parse the description of a model.

    Parameters
    ----------
    record : dict
        Result of ``json.loads(model.to_json())``.

    Raises
    ------
    NetworkError
        For calls with arguments that change the result, and for anything that does not have Keras' form.
    """
    kind, _ = class_and_config(record, "the model")
    if kind not in NESTED:
        raise subclassed("the model", repr(kind))
    name = model_name(record)
    layers = _Layers()
    inputs = declared_inputs(record, NESTED)
    outputs = _append_model(record, _Place(), [each.path for each in inputs], layers)
    specs = _required_layers(layers.specs, outputs)
    if is_keras3(record):
        specs = tuple(spec._replace(config=with_keras3_names(spec.config)) for spec in specs)
    return ModelSpec(name, inputs, specs, tuple(outputs))


def subclassed(where: str, kind: str) -> NetworkError:
    """Return the error for a model whose class, `kind`, is not Keras' own; the caller raises it."""
    return NetworkError(
        f"{where}: its class is {kind}, whose code connects its layers, which no description contains; nearest: the "
        "same layers in a functional model, tf.keras.Model(inputs, model.call(inputs))"
    )


def _append_model(record: Record, place: _Place, sources: Sequence[Path], layers: _Layers) -> List[Path]:
    """Append the layers of a model whose inputs are `sources`; return the paths of its outputs."""
    if record["class_name"] in SEQUENTIAL:
        return _append_sequential(record, place, sources, layers)
    return _append_functional(record, place, sources, layers)


def _append_sequential(record: Record, place: _Place, sources: Sequence[Path], layers: _Layers) -> List[Path]:
    """Append the layers of a Sequential, each of which has the previous one as its input."""
    records = layer_records(record)
    calls = CallNames(map(layer_name, records))
    for layer in records:
        name = layer_name(layer)
        own = place.inside(calls.next(name), name)
        if layer["class_name"] != "InputLayer":
            sources = _append_layer(layer, own, sources, layers)
    return list(sources)


def _append_functional(record: Record, place: _Place, sources: Sequence[Path], layers: _Layers) -> List[Path]:
    """Append the layers of a functional model, each after its inputs."""
    where = f"model {model_name(record)!r}"
    config = record["config"]
    if not isinstance(config, dict):
        raise NetworkError(f"{where}: config is {shortened(config)}; expected: an object")
    inputs = _references(config.get("input_layers"), where + ": input_layers")
    if len(inputs) != len(sources):
        names = ", ".join(repr(reference.name) for reference in inputs)
        raise NetworkError(
            f"{where}: it has {len(inputs)} inputs ({names}), but is called with {len(sources)}; allowed: as many"
        )
    outputs = _Outputs({reference.name: source for reference, source in zip(inputs, sources)})
    output_layers = _references(config.get("output_layers"), where + ": output_layers")
    waiting = _calls(layer_records(record), outputs)
    outputs.number_calls(waiting, output_layers)
    while waiting:
        still_waiting = []
        for call in waiting:
            if all(outputs.has(reference) for reference in call.references):
                own_sources = [outputs.resolve(reference, call.name) for reference in call.references]
                own = place.inside(call.unique_name, call.name)
                paths = _append_layer(call.record, own, own_sources, layers, call.arguments)
                if layer_kind(call.record) in (NODE_LAYER, *OPERATIONS):
                    paths = layers.add_outputs(paths[0], outputs.last.get(call.name, 0))
                outputs.add(call, paths)
            else:
                still_waiting.append(call)
        if len(still_waiting) == len(waiting):
            names = ", ".join(repr(reference.name) for reference in waiting[0].references)
            raise NetworkError(
                f"layer {waiting[0].name!r}: inputs are {names}; expected: layers of the model that do not depend on "
                "this one"
            )
        waiting = still_waiting
    return [outputs.resolve(reference, where) for reference in output_layers]


class _Call(NamedTuple):
    """Call of a layer in a functional model; `number` counts the calls of the layer from 0."""

    record: Record
    name: str
    number: int
    unique_name: str
    references: List[Reference]
    arguments: Arguments = NO_ARGUMENTS


class _Outputs:
    """Outputs of the calls of a functional model's layers.

    Keras numbers the calls of a layer from 0, and those of a nested model from 1, as its own definition counts as one.
    If there is a single call, its number is ignored. `last` is the largest number of an output that is referenced.
    """

    def __init__(self, inputs: Dict[str, Path]):
        self.inputs = inputs
        self._paths: Dict[Tuple[str, int], List[Path]] = {(name, 0): [path] for name, path in inputs.items()}
        self._counts: Dict[str, int] = dict.fromkeys(inputs, 1)
        self._first: Dict[str, int] = {}
        self.last: Dict[str, int] = {}

    def number_calls(self, calls: Sequence[_Call], output_layers: Sequence[Reference]) -> None:
        """Set the number of calls of each layer, and the number that Keras gives to the first of them."""
        for call in calls:
            self._counts[call.name] = self._counts.get(call.name, 0) + 1
        nested = {call.name for call in calls if call.record["class_name"] in NESTED}
        for reference in [reference for call in calls for reference in call.references] + list(output_layers):
            self.last[reference.name] = max(self.last.get(reference.name, 0), reference.output)
            if reference.name in nested and reference.call == self._counts[reference.name]:
                self._first[reference.name] = 1

    def has(self, reference: Reference) -> bool:
        """Return whether the outputs of the referenced call are known."""
        return self._key(reference) in self._paths

    def add(self, call: _Call, paths: List[Path]) -> None:
        """Add the outputs of a call."""
        self._paths[call.name, call.number] = paths

    def resolve(self, reference: Reference, where: str) -> Path:
        """Return the path of the referenced output."""
        paths = self._paths.get(self._key(reference), [])
        if not 0 <= reference.output < len(paths):
            raise NetworkError(
                f"{where}: reference to output {reference.output} of {reference.name!r}, which does not exist"
            )
        return paths[reference.output]

    def _key(self, reference: Reference) -> Tuple[str, int]:
        if self._counts.get(reference.name, 1) == 1:
            return reference.name, 0
        return reference.name, reference.call - self._first.get(reference.name, 0)


def _calls(records: Sequence[Record], outputs: _Outputs) -> List[_Call]:
    """Return the calls of every layer but the inputs."""
    calls: List[_Call] = []
    names = CallNames(map(layer_name, records))
    seen = set()
    for layer in records:
        name, kind = layer_name(layer), layer["class_name"]
        where = f"layer {name!r} ({kind})"
        if name in seen:
            raise NetworkError(f"{where}: two layers have this name; allowed: unique names")
        seen.add(name)
        if name in outputs.inputs:
            continue
        nodes = layer.get("inbound_nodes")
        if not isinstance(nodes, list) or not nodes:
            raise NetworkError(f"{where}: inbound_nodes is {shortened(nodes)}; expected: the layers it is connected to")
        for number, node in enumerate(nodes):
            arguments = NO_ARGUMENTS
            if layer_kind(layer) in (MULTI_HEAD_ATTENTION, *OPERATIONS):
                references, arguments = _operation_call(node, where)
            elif isinstance(node, dict):  # Keras 3
                check_arguments(_without_training(kind, node.get("kwargs")), where)
                references = _keras3_references(node.get("args"))
            else:
                references = _references(node, where)
            calls.append(_Call(layer, name, number, names.next(name), references, arguments))
    return calls


def _operation_call(node: Any, where: str) -> Tuple[List[Reference], Arguments]:
    """Return the references and the arguments of a call of an operation."""
    references: List[Reference] = []

    def add(value: Any) -> Tensor:
        references.extend(_references([value], where))
        return Tensor(len(references) - 1)

    parse = keras3_arguments if isinstance(node, dict) else keras2_arguments
    arguments = parse(node, add, where)
    if not references:
        raise NetworkError(f"{where}: inputs are {shortened(node)}; expected: at least one layer")
    return references, arguments


def _references(value: Any, where: str) -> List[Reference]:
    """Return the references in [[name, node, output], ...]; arguments of the call may follow as a fourth item."""
    if isinstance(value, dict):  # inputs or outputs by name
        value = list(value.values())
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
            check_arguments(item[3], where)
        references.append(Reference(item[0], item[1], item[2]))
    if not references:
        raise NetworkError(f"{where}: inputs are {shortened(value)}; expected: at least one layer")
    return references


def _keras3_references(value: Any) -> List[Reference]:
    """Return the references in the arguments of a call, in the form of Keras 3."""
    reference = keras3_reference(value)
    if reference is not None:
        return _references([reference], f"the tensor {shortened(value)}")
    if isinstance(value, dict):
        value = list(value.values())
    return [reference for item in value for reference in _keras3_references(item)] if isinstance(value, list) else []


def _without_training(kind: Any, arguments: Any) -> Any:
    """Return the arguments of a call in Keras 3 without "training" if that is the default of a layer on images."""
    if kind not in CALLED_IN_TRAINING or not isinstance(arguments, dict):
        return arguments
    return {name: value for name, value in arguments.items() if name != "training"}


def check_arguments(arguments: Any, where: str) -> None:
    """Refuse arguments of a call, except those without effect, such as training=False."""
    for name, value in (arguments or {}).items() if isinstance(arguments or {}, dict) else [("arguments", arguments)]:
        if value is not None and value is not False:
            raise NetworkError(
                f"{where}: it is called with {name}={shortened(value)}; allowed: calls without arguments"
            )


def layer_kind(record: Record) -> str:
    """Return the class name of a layer; that of a user's class, which may be Keras' own, with its module or package."""
    kind, module, registered = record["class_name"], record.get("module"), record.get("registered_name")
    if isinstance(registered, str) and ">" in registered:
        return registered
    if isinstance(module, str) and module.split(".")[0] not in KERAS_MODULES:
        return f"{module}.{kind}"
    if isinstance(module, str) and re.match(r"keras\.(src\.)?(ops|operations)\.", module + "."):
        return KERAS3_OPERATION
    return KERAS3_OPERATION if module is None and _is_operation(record) else str(kind)


def _is_operation(record: Record) -> bool:
    """Return whether a description without a module, as in HDF5 files of Keras 3, is that of an operation.

    Operations may have the names of layers, such as Add, but neither dtype nor the setting trainable.
    """
    config, nodes = record.get("config"), record.get("inbound_nodes")
    is_keras3 = isinstance(nodes, list) and bool(nodes) and isinstance(nodes[0], dict)
    return is_keras3 and isinstance(config, dict) and "dtype" not in config and "trainable" not in config


def _append_layer(
    record: Record, place: _Place, sources: Sequence[Path], layers: _Layers, arguments: Arguments = NO_ARGUMENTS
) -> List[Path]:
    """Append a call of a layer, or of the layers of a nested model; return the paths of its outputs."""
    kind, config = record["class_name"], record["config"]
    layers.count_call()
    if kind in NESTED:
        return _append_model(record, place, sources, layers)
    if not isinstance(config, dict):
        raise NetworkError(f"layer {place.layer[-1]!r} ({kind}): config is {shortened(config)}; expected: an object")
    kind = layer_kind(record)
    if kind == KERAS3_OPERATION:
        config = dict(config, function=record["class_name"])
    layers.specs.append(LayerSpec(place.path, kind, config, tuple(sources), place.layer, arguments))
    return [place.path]


def _required_layers(layers: Sequence[LayerSpec], outputs: Sequence[Path]) -> Tuple[LayerSpec, ...]:
    """Return the layers that the outputs depend on; nested models may have unused outputs."""
    required = set(outputs)
    for layer in reversed(layers):
        if layer.path in required:
            required.update(layer.inputs)
    return tuple(layer for layer in layers if layer.path in required)
