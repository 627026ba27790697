"""A network: a validated, directed acyclic graph of layers with one input and one output."""

import heapq
from dataclasses import dataclass, field
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from qatviz.errors import NetworkError
from qatviz.network import checks
from qatviz.network.checks import INPUT, Shape
from qatviz.network.layer import Layer, element_count
from qatviz.network.layers import KINDS, BatchNorm, Conv2D, Dense, DepthwiseConv2D, Softmax, layer_from_dict

WEIGHTED = (Conv2D, DepthwiseConv2D, Dense)
"""The kinds of layers that multiply with weights."""


class SummaryRow(NamedTuple):
    """One layer as a table shows it; `output_shape` is without the batch, `macs` for one example."""

    name: str
    kind: str
    inputs: Tuple[str, ...]
    output_shape: Shape
    parameters: int
    macs: int


@dataclass(frozen=True)
class Network:
    """What a model is, independent of any framework.

    Parameters
    ----------
    name : str
        Spelled as a layer's name is.
    input_shape : tuple of int
        Shape of one example, such as (28, 28, 1).
    layers : sequence of Layer
        In any order; kept in topological order, and among layers that are free to go next in the order given.

    Raises
    ------
    NetworkError
        For duplicate names, unknown inputs, cycles, shapes that do not fit, more than one output, a BatchNorm anywhere
        but directly after a convolution or Dense of its own, a Softmax that is not the output.
    """

    name: str
    input_shape: Shape
    layers: Tuple[Layer, ...]
    _by_name: Dict[str, Layer] = field(init=False, repr=False, compare=False)
    _consumers: Dict[str, Tuple[str, ...]] = field(init=False, repr=False, compare=False)
    _shapes: Dict[str, Shape] = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        checks.layer_name("network: name", self.name)
        where = f"network {self.name!r}: "
        self._set("input_shape", checks.shape(where + INPUT + "_shape", self.input_shape))
        layers = tuple(self.layers)
        if not layers:
            raise checks.refuse(where + "layers", layers, "at least one layer")
        self._set("_by_name", _by_name(layers))
        self._set("layers", _topological(layers, _consumers(layers)))
        self._set("_consumers", _consumers(self.layers))
        self._check_output()
        self._check_batch_norms()
        self._set("_shapes", self._infer_shapes())

    @property
    def output(self) -> str:
        """The name of the one layer that nobody reads."""
        return next(layer.name for layer in self.layers if not self._consumers[layer.name])

    @property
    def num_outputs(self) -> int:
        """The length of the output's last axis: the number of classes of a classifier."""
        return self._shapes[self.output][-1]

    @property
    def shapes(self) -> Dict[str, Shape]:
        """The output shape of every layer by its name, and "input"'s, without the batch axis."""
        return dict(self._shapes)

    @property
    def parameter_count(self) -> int:
        """How many parameters there are, moving statistics of BatchNorm included."""
        return sum(row.parameters for row in self.summary())

    @property
    def macs(self) -> int:
        """Multiply-accumulates with parameters for one example."""
        return sum(row.macs for row in self.summary())

    def layer(self, name: str) -> Layer:
        """The layer of this name; `NetworkError` when there is none."""
        if name not in self._by_name:
            raise checks.refuse(f"network {self.name!r}: layer", name, ", ".join(self._by_name))
        return self._by_name[name]

    def consumers(self, name: str) -> Tuple[str, ...]:
        """The names of the layers that read the layer `name` (or "input"), each once, in the order of `layers`."""
        if name != INPUT:
            self.layer(name)
        return self._consumers[name]

    def input_shapes(self, name: str) -> Tuple[Shape, ...]:
        """The shapes of what the layer `name` reads, in the order of its inputs."""
        return tuple(self._shapes[source] for source in self.layer(name).inputs)

    def parameter_shapes(self, name: str) -> Dict[str, Shape]:
        """The shapes of the parameters of the layer `name`."""
        return self.layer(name).parameter_shapes(self.input_shapes(name))

    def all_parameter_shapes(self) -> Dict[str, Shape]:
        """The shapes of the parameters of all layers, by ``layer.parameter``, as states of runs name them."""
        return {
            f"{layer.name}.{name}": shape
            for layer in self.layers
            for name, shape in self.parameter_shapes(layer.name).items()
        }

    def summary(self) -> List[SummaryRow]:
        """One row for each layer, in topological order."""
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
        """The network as JSON-able data; `from_dict` is the way back."""
        return {
            "name": self.name,
            "input_shape": list(self.input_shape),
            "layers": [layer.to_dict() for layer in self.layers],
        }

    @classmethod
    def from_dict(cls, record: Dict[str, Any]) -> "Network":
        """The network that `to_dict` wrote, checked like any other; `NetworkError` when it is not one."""
        keys = ("name", "input_shape", "layers")
        if not isinstance(record, dict) or set(record) != set(keys):
            found = sorted(record, key=str) if isinstance(record, dict) else record
            raise checks.refuse("network: record", found, "a dict with exactly the keys " + ", ".join(keys))
        if not isinstance(record["layers"], (list, tuple)):
            raise checks.refuse(f"network {record['name']!r}: layers", record["layers"], "a list of dicts")
        return cls(record["name"], record["input_shape"], tuple(map(layer_from_dict, record["layers"])))

    def _set(self, attribute: str, value: Any) -> None:
        object.__setattr__(self, attribute, value)  # the way a frozen dataclass is completed

    def _check_output(self) -> None:
        outputs = [layer.name for layer in self.layers if not self._consumers[layer.name]]
        if len(outputs) > 1:
            raise NetworkError(
                f"network {self.name!r}: layers {_listed(outputs)} are read by nobody; allowed: exactly one "
                "such layer, the output"
            )
        for layer in self.layers:
            if isinstance(layer, Softmax) and layer.name != outputs[0]:
                raise NetworkError(
                    f"layer {layer.name!r}: this Softmax is read by {_listed(self._consumers[layer.name])}; "
                    "allowed: only as the network's output"
                )

    def _check_batch_norms(self) -> None:
        for layer in self.layers:
            if not isinstance(layer, BatchNorm):
                continue
            source = self._by_name.get(layer.inputs[0])
            if not isinstance(source, WEIGHTED):
                found = source.kind if source else "the network's input"
                raise NetworkError(
                    f"layer {layer.name!r}: this BatchNorm reads {layer.inputs[0]!r} ({found}); allowed: "
                    f"{', '.join(kind.__name__ for kind in WEIGHTED)}, into which it is folded"
                )
            others = [reader for reader in self._consumers[source.name] if reader != layer.name]
            if others:
                raise NetworkError(
                    f"layer {layer.name!r}: this BatchNorm reads {source.name!r}, which is also read by "
                    f"{_listed(others)}; allowed: a layer "
                    "that nobody else reads, for it is folded into it"
                )

    def _infer_shapes(self) -> Dict[str, Shape]:
        shapes = {INPUT: self.input_shape}
        for layer in self.layers:
            shapes[layer.name] = layer.output_shape([shapes[source] for source in layer.inputs])
        return shapes


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _by_name(layers: Sequence[Layer]) -> Dict[str, Layer]:
    by_name: Dict[str, Layer] = {}
    for layer in layers:
        if type(layer) not in KINDS.values():
            raise checks.refuse("network: layer", layer, "a record of one of the kinds " + ", ".join(KINDS))
        if layer.name in by_name:
            raise NetworkError(
                f"layer {layer.name!r}: there are two layers of this name ({by_name[layer.name].kind} and "
                f"{layer.kind}); allowed: unique names"
            )
        by_name[layer.name] = layer
    return by_name


def _consumers(layers: Sequence[Layer]) -> Dict[str, Tuple[str, ...]]:
    readers: Dict[str, List[str]] = {name: [] for name in [INPUT] + [layer.name for layer in layers]}
    for layer in layers:
        for source in dict.fromkeys(layer.inputs):
            if source not in readers:
                raise checks.refuse(f"layer {layer.name!r}: input", source, ", ".join(readers))
            readers[source].append(layer.name)
    return {name: tuple(consumers) for name, consumers in readers.items()}


def _topological(layers: Sequence[Layer], consumers: Dict[str, Tuple[str, ...]]) -> Tuple[Layer, ...]:
    """Kahn's algorithm; of the layers free to go next, the one given first goes first."""
    position = {layer.name: index for index, layer in enumerate(layers)}
    unread = {layer.name: len(set(layer.inputs)) for layer in layers}
    ready: List[int] = []
    ordered: List[Layer] = []
    newest: Optional[str] = INPUT
    while newest is not None:
        for consumer in consumers[newest]:
            unread[consumer] -= 1
            if not unread[consumer]:
                heapq.heappush(ready, position[consumer])
        newest = None
        if ready:
            ordered.append(layers[heapq.heappop(ready)])
            newest = ordered[-1].name
    if len(ordered) < len(layers):
        cycle = _cycle({layer.name: layer for layer in layers if unread[layer.name]})
        raise NetworkError(
            f"layer {cycle[0]!r}: it reads itself in the cycle {' <- '.join(map(repr, cycle + cycle[:1]))}; "
            "allowed: no cycles"
        )
    return tuple(ordered)


def _cycle(stuck: Dict[str, Layer]) -> List[str]:
    """A cycle among layers each of which reads at least one other of them; every layer reads the next one."""
    path = [next(iter(stuck))]
    while True:
        source = next(name for name in stuck[path[-1]].inputs if name in stuck)
        if source in path:
            return path[path.index(source) :]
        path.append(source)
