"""What of a network gets quantized, decided by TFLite's rules, apart from any framework.

A network is cut into compute units, each one operation of an integer runtime: a convolution with its folded batch
norm and its fused activation is one unit. A quantizer sits on the network's input, on every unit's weights and on the
output of every unit that computes new values; all other units (max-pool, reshape, ...) pass values on, which stay on
the grid they came on.
"""

from dataclasses import dataclass, field, replace
from typing import Dict, List, Optional, Tuple, Union

from qatviz.network import checks
from qatviz.network.checks import INPUT, Shape
from qatviz.network.graph import WEIGHTED, Network
from qatviz.network.layer import Layer, element_count
from qatviz.network.layers import (
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePool,
    MaxPool,
    ReLU,
    ReLU6,
    Reshape,
    Softmax,
    ZeroPad,
)

WEIGHTS = "weights"
ACTIVATIONS = "activations"

_FUSING = (*WEIGHTED, Add)
_NEW_GRID = (*WEIGHTED, Add, GlobalAveragePool, AveragePool, Concat)
_SIGN_PRESERVING = (MaxPool, AveragePool, GlobalAveragePool, Add, Concat, Flatten, Reshape, ZeroPad, Dropout)
_NEVER_NEGATIVE = (ReLU, ReLU6, Softmax)


@dataclass(frozen=True)
class Unit:
    """One operation of an integer runtime.

    Attributes
    ----------
    name : str
        The name of `op`.
    op : Layer
        What is computed.
    batch_norm : BatchNorm or None
        Folded into the weights and bias of `op`.
    activation : ReLU, ReLU6 or None
        Fused: the clamp applied before the output is rounded.
    inputs : tuple of str
        Whose outputs are read: "input" or the `output` of earlier units.
    output : str
        The name of the layer whose output this unit puts out: of the activation, else of the batch norm, else of `op`.
    """

    name: str
    op: Layer
    batch_norm: Optional[BatchNorm]
    activation: Optional[Union[ReLU, ReLU6]]
    inputs: Tuple[str, ...]
    output: str

    @property
    def layers(self) -> Tuple[Layer, ...]:
        """The layers this unit stands for, in the order of computation."""
        return tuple(layer for layer in (self.op, self.batch_norm, self.activation) if layer is not None)


@dataclass(frozen=True)
class QuantizedTensor:
    """A tensor with a quantizer of its own.

    Attributes
    ----------
    name : str
        "<layer>.weights" or "<layer>.activations".
    layer : str
        The name of the unit (that is, of its `op`) it belongs to, or "input".
    kind : str
        "weights" or "activations".
    shape : tuple of int
        Weights: the parameter's shape; activations: without the batch axis.
    num_channels : int
        How many scales a per-channel quantizer has: for weights the layer's output channels, for activations 1.
    channel_axis : int or None
        The channels are the axes from here on, taken as one: `prod(shape[channel_axis:]) == num_channels`. That is the
        last axis, but for depthwise weights the last two [in, depth_multiplier]. None for activations.
    group : str
        Tensors of the same group must share one scale and zero point; the name of the group's first tensor.
    nonnegative : bool
        Whether the values are provably at least 0.
    op_kind : str
        The kind of the unit's `op`, such as "Conv2D"; "Input" for the network's input.
    parameters : int
        How many trained numbers the tensor has: the elements of weights, 0 for activations.
    """

    name: str
    layer: str
    kind: str
    shape: Shape
    num_channels: int
    channel_axis: Optional[int]
    group: str
    nonnegative: bool
    op_kind: str
    parameters: int


@dataclass(frozen=True)
class QuantizationPlan:
    """The compute units and quantized tensors of a network, as `quantization_plan` derives them.

    Attributes
    ----------
    units : tuple of Unit
        In topological order.
    tensors : tuple of QuantizedTensor
        "input.activations", then unit by unit its weights and its activations.
    groups : tuple of tuple of int
        The indices in `tensors` of each group's members, ascending; groups in the order of their first members.
    """

    units: Tuple[Unit, ...]
    tensors: Tuple[QuantizedTensor, ...]
    groups: Tuple[Tuple[int, ...], ...]
    _grids: Dict[str, str] = field(repr=False, compare=False)
    _indices: Dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        object.__setattr__(self, "_indices", {tensor.name: index for index, tensor in enumerate(self.tensors)})

    def __contains__(self, name: str) -> bool:
        """Whether there is a quantized tensor of this name."""
        return name in self._indices

    def index(self, name: str) -> int:
        """The place in `tensors` of the tensor of this name; `NetworkError` when there is none."""
        if name not in self._indices:
            raise checks.refuse("quantized tensor", name, ", ".join(self._indices))
        return self._indices[name]

    def tensor(self, name: str) -> QuantizedTensor:
        """The tensor of this name; `NetworkError` when there is none."""
        return self.tensors[self.index(name)]

    def shares_grid(self, name: str) -> bool:
        """Whether the tensor of this name has its grid together with others."""
        index = self.index(name)
        return any(index in members and len(members) > 1 for members in self.groups)

    def grid_of(self, layer_name: str) -> str:
        """The name of the activations tensor on whose grid the output of a layer (or "input") lies.

        For a layer that is folded or fused it is the grid of its unit's output.

        Raises
        ------
        NetworkError
            When there is no such layer, or it is a Softmax: probabilities lie on the grid of no quantizer.
        """
        if layer_name not in self._grids:
            raise checks.refuse("layer on a grid", layer_name, ", ".join(self._grids))
        return self._grids[layer_name]


def quantization_plan(network: Network) -> QuantizationPlan:
    """Derives what of a network gets quantized.

    - A BatchNorm is folded into the layer it reads. A ReLU or ReLU6 is fused into a Conv2D, DepthwiseConv2D, Dense
      (with its BatchNorm) or Add when nobody else reads that. Every other layer is a unit by itself.
    - Activations quantizers: the input, Conv2D, DepthwiseConv2D, Dense, Add, AveragePool, GlobalAveragePool, Concat. A
      tensor that several layers read has one quantizer.
    - No quantizer: MaxPool, Flatten, Reshape, ZeroPad, Dropout, and a ReLU or ReLU6 that is not fused: their values
      stay on the grid of what they read (for such a ReLU6 this means that it clips at the grid's value nearest to 6).
      Softmax puts out probabilities on no grid.
    - Groups: AveragePool's output is rounded on the grid of its input (TFLite's AVERAGE_POOL_2D takes one scale).
      Concat's inputs and output share one grid (CONCATENATION copies codes), traced back through layers without a
      quantizer, and transitively where concats share an input. The inputs of Add keep their own grids (TFLite's ADD
      rescales), and GlobalAveragePool has its own (it is a depthwise convolution with constant weights in an export).
    """
    units = _units(network)
    nonnegative = _nonnegative(network)
    tensors = [_activations(INPUT, "Input", network.input_shape, False)]
    grids = {INPUT: tensors[0].name}
    parents = {tensors[0].name: tensors[0].name}
    for unit in units:
        if isinstance(unit.op, WEIGHTED):
            tensors.append(_weights(unit.op, network.parameter_shapes(unit.name)["weights"]))
            parents[tensors[-1].name] = tensors[-1].name
        if isinstance(unit.op, _NEW_GRID):
            tensors.append(_activations(unit.name, unit.op.kind, network.shapes[unit.output], nonnegative[unit.output]))
            grid = tensors[-1].name
            parents[grid] = grid
            if isinstance(unit.op, (AveragePool, Concat)):
                for source in unit.inputs:
                    _unite(parents, grids[source], grid)
        elif isinstance(unit.op, Softmax):
            continue
        else:
            grid = grids[unit.inputs[0]]
        grids.update((layer.name, grid) for layer in unit.layers)
    return _with_groups(units, tensors, parents, grids)


def _units(network: Network) -> Tuple[Unit, ...]:
    units: List[Unit] = []
    taken = set()
    for layer in network.layers:
        if layer.name in taken:
            continue
        batch_norm = activation = None
        last = layer
        if isinstance(layer, _FUSING):
            batch_norm = _only_reader(network, last, BatchNorm)
            last = batch_norm or last
            activation = _only_reader(network, last, (ReLU, ReLU6))
            last = activation or last
        unit = Unit(layer.name, layer, batch_norm, activation, layer.inputs, last.name)
        taken.update(part.name for part in unit.layers)
        units.append(unit)
    return tuple(units)


def _only_reader(network: Network, layer: Layer, kinds) -> Optional[Layer]:
    """The one layer that reads `layer`, if it is of these kinds."""
    readers = network.consumers(layer.name)
    reader = network.layer(readers[0]) if len(readers) == 1 else None
    return reader if isinstance(reader, kinds) else None


def _nonnegative(network: Network) -> Dict[str, bool]:
    known = {INPUT: False}
    for layer in network.layers:
        known[layer.name] = isinstance(layer, _NEVER_NEGATIVE) or (
            isinstance(layer, _SIGN_PRESERVING) and all(known[source] for source in layer.inputs)
        )
    return known


def _activations(layer: str, op_kind: str, shape: Shape, nonnegative: bool) -> QuantizedTensor:
    name = f"{layer}.{ACTIVATIONS}"
    return QuantizedTensor(name, layer, ACTIVATIONS, shape, 1, None, name, nonnegative, op_kind, 0)


def _weights(op: Layer, shape: Shape) -> QuantizedTensor:
    name = f"{op.name}.{WEIGHTS}"
    channel_axis = len(shape) - (2 if isinstance(op, DepthwiseConv2D) else 1)
    num_channels = element_count(shape[channel_axis:])
    return QuantizedTensor(
        name, op.name, WEIGHTS, shape, num_channels, channel_axis, name, False, op.kind, element_count(shape)
    )


def _root(parents: Dict[str, str], name: str) -> str:
    while parents[name] != name:
        name = parents[name]
    return name


def _unite(parents: Dict[str, str], one: str, other: str) -> None:
    parents[_root(parents, one)] = _root(parents, other)


def _with_groups(
    units: Tuple[Unit, ...], tensors: List[QuantizedTensor], parents: Dict[str, str], grids: Dict[str, str]
) -> QuantizationPlan:
    members: Dict[str, List[int]] = {}
    for index, tensor in enumerate(tensors):
        members.setdefault(_root(parents, tensor.name), []).append(index)
    firsts = {root: tensors[indices[0]].name for root, indices in members.items()}
    grouped = tuple(replace(tensor, group=firsts[_root(parents, tensor.name)]) for tensor in tensors)
    return QuantizationPlan(units, grouped, tuple(map(tuple, members.values())), grids)
