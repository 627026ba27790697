"""Network: a validated, directed acyclic graph of layers with one or more inputs and outputs."""

import heapq
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Type, Union

from qatviz.errors import NetworkError
from qatviz.inputs import packed_shape
from qatviz.network import checks
from qatviz.network.checks import Shape
from qatviz.network.embedding import Embedding, id_counts
from qatviz.network.inputs import NetworkInput, check_all_used, checked_inputs
from qatviz.network.layer import Layer, element_count
from qatviz.network.layers import (
    KINDS,
    BatchNorm,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    GroupedConv2D,
    Softmax,
    layer_from_dict,
)
from qatviz.network.sharing import check_sharing

WEIGHTED = (Conv2D, GroupedConv2D, DepthwiseConv2D, Conv2DTranspose, Dense)
"""Layers that multiply by weights."""

WITH_WEIGHTS = (*WEIGHTED, Embedding)
"""Layers with weights that are quantized: those of an Embedding are its table."""


class SummaryRow(NamedTuple):
    """Summary of a layer; `output_shape` has no batch axis, `macs` counts multiply-accumulates per example."""

    name: str
    kind: str
    inputs: Tuple[str, ...]
    output_shape: Shape
    parameters: int
    macs: int


@dataclass(frozen=True)
class Network:
    """Model architecture, independent of any framework.

    Parameters
    ----------
    name : str
        Subject to the same rules as a layer's name.
    input_shape : tuple of int, or mapping of str to tuple of int
        Shape of one example, such as (28, 28, 1); for several inputs, their shapes by name, in order. The attribute is
        then the shape of a row with the values of all inputs (:mod:`qatviz.inputs`).
    layers : sequence of Layer
        In any order. They are sorted topologically; the given order decides wherever there is a choice.
    outputs : sequence of str
        Names of the layers that are outputs, in order; by default the one layer without consumers. An output may have
        consumers.
    inputs : sequence of NetworkInput
        Name and shape of each input; the only one is named "input". Several replace ``input_shape``.

    Raises
    ------
    NetworkError
        For duplicate names, unknown inputs, cycles, shapes that do not fit, inputs of the network that no layer uses,
        layers without consumers that are no outputs, an Embedding whose input is not one of the network, a BatchNorm
        that is not the only consumer of a convolution or Dense, or parameters that are not shared as
        :mod:`qatviz.network.sharing` requires.
    """

    name: str
    input_shape: Shape
    layers: Tuple[Layer, ...]
    outputs: Tuple[str, ...] = ()
    inputs: Tuple[NetworkInput, ...] = ()
    _by_name: Dict[str, Layer] = field(init=False, repr=False, compare=False)
    _consumers: Dict[str, Tuple[str, ...]] = field(init=False, repr=False, compare=False)
    _shapes: Dict[str, Shape] = field(init=False, repr=False, compare=False)
    _id_counts: Dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        checks.layer_name("network: name", self.name)
        where = f"network {self.name!r}: "
        self._set("inputs", checked_inputs(where, self.input_shape, self.inputs))
        self._set("input_shape", packed_shape(self.inputs))
        layers = tuple(self.layers)
        if not layers:
            raise checks.invalid_value(where + "layers", layers, "at least one layer")
        self._set("_by_name", _by_name(layers, self.input_names))
        self._set("layers", _topological(layers, self.input_names, _consumers(layers, self.input_names)))
        self._set("_consumers", _consumers(self.layers, self.input_names))
        check_all_used(where, self.inputs, self._consumers)
        self._set("_id_counts", id_counts(self.layers, self.input_names))
        self._set("outputs", self._checked_outputs())
        self._check_softmaxes()
        self._check_batch_norms()
        self._set("_shapes", self._infer_shapes())
        check_sharing(self.layers, self._shapes)

    @property
    def input_names(self) -> Tuple[str, ...]:
        """Names of the inputs, in order; "input" if there is only one."""
        return tuple(each.name for each in self.inputs)

    @property
    def id_counts(self) -> Dict[str, int]:
        """Number of ids, which are 0 to this number less 1, of each input of an Embedding, by name."""
        return dict(self._id_counts)

    def input_type(self, name: str) -> str:
        """Return the type of an input's values in exported files of floating-point numbers."""
        return "int32" if name in self._id_counts else "float32"

    @property
    def output(self) -> str:
        """Name of the first output, which is the only one of most networks."""
        return self.outputs[0]

    @property
    def output_shape(self) -> Shape:
        """Shape of the first output for one example."""
        return self._shapes[self.output]

    @property
    def num_outputs(self) -> int:
        """Length of the first output's last axis: the number of classes, labels, or numbers to predict."""
        return self._shapes[self.output][-1]

    @property
    def output_names(self) -> Tuple[str, ...]:
        """Names of the outputs for users: that of a layer without its activation, ``digit`` of ``digit/softmax``."""
        names = [name.rpartition("/")[0] if name.rpartition("/")[0] in self._by_name else name for name in self.outputs]
        return tuple(names) if len(set(names)) == len(names) else self.outputs

    @property
    def output_shapes(self) -> Tuple[Shape, ...]:
        """Shapes of the outputs for one example."""
        return tuple(self._shapes[name] for name in self.outputs)

    @property
    def shapes(self) -> Dict[str, Shape]:
        """Output shapes by layer name, and the shapes of the inputs; without the batch axis."""
        return dict(self._shapes)

    @property
    def parameter_count(self) -> int:
        """Number of parameters, including moving statistics of BatchNorm."""
        return sum(row.parameters for row in self.summary())

    @property
    def macs(self) -> int:
        """Number of multiply-accumulates with weights, and of products of matrices, per example."""
        return sum(row.macs for row in self.summary())

    def layer(self, name: str) -> Layer:
        """Return the layer of this name; raise a `NetworkError` if there is none."""
        if name not in self._by_name:
            raise checks.invalid_value(f"network {self.name!r}: layer", name, ", ".join(self._by_name))
        return self._by_name[name]

    def consumers(self, name: str) -> Tuple[str, ...]:
        """Return the layers that have `name` (a layer or an input) as an input, each once, in topological order."""
        if name not in self.input_names:
            self.layer(name)
        return self._consumers[name]

    def only_consumer(self, name: str) -> Optional[Layer]:
        """Return the layer that alone uses an output; None if there are others, or it is an output of the network."""
        consumers = () if name in self.outputs else self.consumers(name)
        return self.layer(consumers[0]) if len(consumers) == 1 else None

    def input_shapes(self, name: str) -> Tuple[Shape, ...]:
        """Return the shapes of the inputs of the layer `name`."""
        return tuple(self._shapes[source] for source in self.layer(name).inputs)

    def parameter_shapes(self, name: str) -> Dict[str, Shape]:
        """Return the shapes of the parameters of the layer `name`; none if it uses those of another layer."""
        layer = self.layer(name)
        return layer.parameter_shapes(self.input_shapes(name)) if layer.owner == name else {}

    def all_parameter_shapes(self) -> Dict[str, Shape]:
        """Return the shapes of all parameters by ``layer.parameter``, the names in a run's state."""
        return {
            f"{layer.name}.{name}": shape
            for layer in self.layers
            for name, shape in self.parameter_shapes(layer.name).items()
        }

    def summary(self) -> List[SummaryRow]:
        """Return one row per layer, in topological order."""
        return [
            SummaryRow(
                layer.name,
                layer.kind,
                layer.inputs,
                self._shapes[layer.name],
                sum(element_count(shape) for shape in self.parameter_shapes(layer.name).values()),
                layer.macs(self.input_shapes(layer.name)),
            )
            for layer in self.layers
        ]

    def to_dict(self) -> Dict[str, Any]:
        """Return the network as JSON-serializable data; `from_dict` is the inverse."""
        record: Dict[str, Any] = {
            "name": self.name,
            **self._input_record(),
            "layers": [layer.to_dict() for layer in self.layers],
        }
        is_only_end = len(self.outputs) == 1 and self.outputs == self._ends()
        return record if is_only_end else {**record, "outputs": list(self.outputs)}

    def _input_record(self) -> Dict[str, Any]:
        if len(self.inputs) == 1:
            return {"input_shape": list(self.input_shape)}
        return {"inputs": [[name, list(shape)] for name, shape in self.inputs]}

    @classmethod
    def from_dict(cls, record: Dict[str, Any]) -> "Network":
        """Return the network of a record that `to_dict` returned; raise a `NetworkError` if the record is invalid."""
        shapes = "inputs" if isinstance(record, dict) and "inputs" in record else "input_shape"
        keys = ("name", shapes, "layers")
        if not isinstance(record, dict) or set(record) - {"outputs"} != set(keys):
            found = sorted(record, key=str) if isinstance(record, dict) else record
            raise checks.invalid_value(
                "network: record", found, f"a dict with the keys {', '.join(keys)}, and optionally outputs"
            )
        if not isinstance(record["layers"], (list, tuple)):
            raise checks.invalid_value(f"network {record['name']!r}: layers", record["layers"], "a list of dicts")
        layers = tuple(map(layer_from_dict, record["layers"]))
        given = record[shapes] if shapes == "input_shape" else _shapes_by_name(record["inputs"])
        return cls(record["name"], given, layers, record.get("outputs", ()))

    def _set(self, attribute: str, value: Any) -> None:
        object.__setattr__(self, attribute, value)  # a frozen dataclass has no other way to set a field

    def _ends(self) -> Tuple[str, ...]:
        """Return the names of the layers without consumers."""
        return tuple(layer.name for layer in self.layers if not self._consumers[layer.name])

    def _checked_outputs(self) -> Tuple[str, ...]:
        """Return the names of the outputs; those that are given must exist and include all ends."""
        ends, where = self._ends(), f"network {self.name!r}: "
        given = self.outputs
        if not isinstance(given, (tuple, list)) or not all(isinstance(name, str) for name in given):
            raise checks.invalid_value(where + "outputs", given, "names of layers")
        if not given and len(ends) > 1:
            raise NetworkError(
                f"{where}layers {_quoted(ends)} have no consumers; allowed: exactly one such layer, the output, or "
                "stated outputs"
            )
        for name in given:
            self.layer(name)
        unused = [name for name in ends if given and name not in given]
        if unused or len(set(given)) < len(given):
            allowed = f"each layer once, and all without consumers: {_quoted(ends)}"
            raise checks.invalid_value(where + "outputs", tuple(given), allowed)
        return tuple(given) or ends

    def _check_softmaxes(self) -> None:
        for name in self.outputs:
            if isinstance(self.layer(name), Softmax) and self._consumers[name]:
                raise NetworkError(
                    f"layer {name!r}: this Softmax is an output and the input of {_quoted(self._consumers[name])}; "
                    "allowed: only one of both, because outputs are trained as logits"
                )

    def _check_batch_norms(self) -> None:
        for layer in self.layers:
            if not isinstance(layer, BatchNorm):
                continue
            source = self._by_name.get(layer.inputs[0])
            if not isinstance(source, WEIGHTED):
                found = source.kind if source else "the network's input"
                raise NetworkError(
                    f"layer {layer.name!r}: the input of this BatchNorm is {layer.inputs[0]!r} ({found}); allowed: "
                    f"{', '.join(kind.__name__ for kind in WEIGHTED)}, into which it is folded"
                )
            others = [name for name in self._consumers[source.name] if name != layer.name]
            if source.name in self.outputs:
                raise NetworkError(
                    f"layer {layer.name!r}: the input of this BatchNorm, {source.name!r}, is an output of the network; "
                    "allowed: a layer without other consumers, into which it is folded"
                )
            if others:
                raise NetworkError(
                    f"layer {layer.name!r}: the input of this BatchNorm, {source.name!r}, is also the input of "
                    f"{_quoted(others)}; allowed: a layer without other consumers, into which it is folded"
                )

    def _infer_shapes(self) -> Dict[str, Shape]:
        shapes = dict(self.inputs)
        for layer in self.layers:
            inputs = [shapes[source] for source in layer.inputs]
            shapes[layer.name] = layer.output_shape(inputs)
            parts = {"output": shapes[layer.name], **layer.parameter_shapes(inputs)}
            for part, shape in parts.items():
                if element_count(shape) > checks.LARGEST_AXIS:
                    where = f"layer {layer.name!r}: shape of its {part}"
                    raise checks.invalid_value(where, shape, f"at most {checks.LARGEST_AXIS} elements")
        return shapes


class NetworkBuilder:
    """Builder that adds layers one by one; by default, the input of a layer is the layer added before it.

    >>> from qatviz.network import Add, Conv2D
    >>> builder = NetworkBuilder("tiny", (8, 8, 1))
    >>> stem = builder.add(Conv2D, "stem", filters=4)
    >>> side = builder.add(Conv2D, "side", filters=4)
    >>> builder.add(Add, "sum", inputs=(stem, side))
    'sum'
    >>> builder.network().output
    'sum'
    """

    def __init__(self, name: str, input_shape: Union[Shape, Mapping[str, Shape]]):
        self._name = name
        self._input_shape: Any = input_shape
        self._layers: List[Layer] = []
        self.last = checked_inputs(f"network {name!r}: ", input_shape)[0].name
        """Name of the layer added last; that of the first input before the first layer."""

    def add(
        self, kind: Type[Layer], name: str, inputs: Optional[Union[str, Sequence[str]]] = None, **settings: Any
    ) -> str:
        """Add a layer and return its name."""
        names: Any = self.last if inputs is None else inputs
        layer = kind(name, names, **settings)
        self._layers.append(layer)
        self.last = layer.name
        return layer.name

    def network(self, outputs: Sequence[str] = ()) -> Network:
        """Return the validated network of the layers added so far.

        Its outputs are by default the only layer without consumers.
        """
        return Network(self._name, self._input_shape, tuple(self._layers), tuple(outputs))


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _shapes_by_name(rows: Any) -> Dict[Any, Any]:
    """Return the shapes of several inputs by name from their form in a record, [[name, shape], ...]."""
    if not isinstance(rows, (list, tuple)) or not all(
        isinstance(row, (list, tuple)) and len(row) == 2 and isinstance(row[0], str) for row in rows
    ):
        raise checks.invalid_value("network: inputs", rows, "a list of pairs of a name and a shape")
    if len({name for name, _ in rows}) < len(rows):
        raise checks.invalid_value("network: inputs", [name for name, _ in rows], "different names")
    return dict(rows)


def _by_name(layers: Sequence[Layer], inputs: Sequence[str]) -> Dict[str, Layer]:
    """Return layers by name; names must be unique, also among those of the inputs."""
    by_name: Dict[str, Layer] = {}
    for layer in layers:
        if type(layer) not in KINDS.values():
            raise checks.invalid_value("network: layer", layer, "one of " + ", ".join(KINDS))
        if layer.name in inputs:
            raise checks.invalid_value("network: name of a layer", layer.name, "a name that no input has")
        if layer.name in by_name:
            raise NetworkError(
                f"layer {layer.name!r}: two layers have this name ({by_name[layer.name].kind} and {layer.kind}); "
                "allowed: unique names"
            )
        by_name[layer.name] = layer
    return by_name


def _consumers(layers: Sequence[Layer], inputs: Sequence[str]) -> Dict[str, Tuple[str, ...]]:
    """Return the consumers of each layer and of the network's inputs; the inputs of all layers must exist."""
    consumers: Dict[str, List[str]] = {name: [] for name in [*inputs, *(layer.name for layer in layers)]}
    for layer in layers:
        for source in dict.fromkeys(layer.inputs):
            if source not in consumers:
                raise checks.invalid_value(f"layer {layer.name!r}: input", source, ", ".join(consumers))
            consumers[source].append(layer.name)
    return {name: tuple(names) for name, names in consumers.items()}


def _topological(
    layers: Sequence[Layer], inputs: Sequence[str], consumers: Dict[str, Tuple[str, ...]]
) -> Tuple[Layer, ...]:
    """Sort layers by Kahn's algorithm; of the layers that can be next, the one given first is next."""
    position = {layer.name: index for index, layer in enumerate(layers)}
    missing = {layer.name: len(set(layer.inputs)) for layer in layers}
    ready: List[int] = []
    ordered: List[Layer] = []
    newest: Sequence[str] = inputs
    while newest:
        for consumer in (consumer for name in newest for consumer in consumers[name]):
            missing[consumer] -= 1
            if not missing[consumer]:
                heapq.heappush(ready, position[consumer])
        newest = ()
        if ready:
            ordered.append(layers[heapq.heappop(ready)])
            newest = (ordered[-1].name,)
    if len(ordered) < len(layers):
        cycle = _cycle({layer.name: layer for layer in layers if missing[layer.name]})
        raise NetworkError(
            f"layer {cycle[0]!r}: its input depends on its output in the cycle "
            f"{' <- '.join(map(repr, cycle + cycle[:1]))}; allowed: no cycles"
        )
    return tuple(ordered)


def _cycle(stuck: Dict[str, Layer]) -> List[str]:
    """Return a cycle of ``stuck`` layers, each of which has an input among them; an input follows each name."""
    path = [next(iter(stuck))]
    while True:
        source = next(name for name in stuck[path[-1]].inputs if name in stuck)
        if source in path:
            return path[path.index(source) :]
        path.append(source)
