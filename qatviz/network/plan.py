"""Quantization plan of a network by TFLite's rules, independent of any framework.

A network is divided into compute units, each of which is one operation of an integer runtime: a convolution with its
folded batch norm and fused activation is one unit. There is a quantizer for the network's input, for the weights of
each unit and for the output of each unit that computes new values. All other units (max-pool, reshape, ...) only select
or move values, so that their output has the quantization grid (scale and zero point) of their input. The output of an
Embedding has the grid of its weights, from which it selects; its input, ids, has none.
"""

from dataclasses import dataclass, field, replace
from typing import Dict, List, Optional, Sequence, Set, Tuple, Type, TypeVar, Union

from qatviz.errors import NetworkError
from qatviz.network import checks
from qatviz.network.activations import Activation
from qatviz.network.checks import Shape
from qatviz.network.elementwise import EXTREMES, Add, Average, Elementwise, Maximum, Minimum, Multiply, Sum
from qatviz.network.embedding import Embedding
from qatviz.network.graph import WEIGHTED, WITH_WEIGHTS, Network
from qatviz.network.layer import Layer, element_count
from qatviz.network.layers import (
    MOVES,
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
    UpsampleBilinear,
    ZeroPad,
)
from qatviz.network.matmul import MatMul
from qatviz.network.sequences import sequence_layers, shown_kind, shown_shape

WEIGHTS = "weights"
ACTIVATIONS = "activations"
#: Kind of the tensors that are inputs of the network, in place of that of a layer.
INPUT_KIND = "Input"

#: Layers into which an activation is fused.
_FUSING = (*WEIGHTED, Sum, Multiply)
#: Layers that compute new values, so that their output has a quantizer.
_NEW_GRID = (*WEIGHTED, Activation, Elementwise, MatMul, GlobalAveragePool, AveragePool, UpsampleBilinear, Concat)
#: Layers whose output has the grid of their inputs, which they neither widen nor shift.
SAME_GRID = (AveragePool, UpsampleBilinear, Concat, *EXTREMES)
#: Layers without a quantizer, whose output has the grid of their input.
PASSING = (MaxPool, Flatten, Reshape, ZeroPad, Dropout, ReLU, ReLU6, *MOVES)
#: Layers whose output is at least 0 if all inputs are.
_SIGN_PRESERVING = (
    MaxPool,
    AveragePool,
    GlobalAveragePool,
    Add,
    Average,
    Multiply,
    MatMul,
    Minimum,
    Concat,
    Flatten,
    Reshape,
    ZeroPad,
    Dropout,
    UpsampleBilinear,
    *MOVES,
)
#: Layers whose output is at least 0 for any input.
_NEVER_NEGATIVE = (ReLU, ReLU6, Softmax)


@dataclass(frozen=True)
class Unit:
    """One operation of an integer runtime.

    Attributes
    ----------
    name : str
        Name of `op`.
    op : Layer
        Main layer of the unit.
    batch_norm : BatchNorm or None
        Batch normalization folded into the weights and bias of `op`.
    activation : ReLU, ReLU6 or None
        Fused activation, applied before the output is rounded.
    inputs : tuple of str
        Inputs: inputs of the network, or the `output` of earlier units.
    output : str
        Name of the layer whose output is the unit's output: the activation, else the batch norm, else `op`.
    """

    name: str
    op: Layer
    batch_norm: Optional[BatchNorm]
    activation: Optional[Union[ReLU, ReLU6]]
    inputs: Tuple[str, ...]
    output: str

    @property
    def weights(self) -> str:
        """Name of the weights of `op`, as a parameter and as a tensor; those of another layer if it shares them."""
        return f"{self.op.owner}.{WEIGHTS}"

    @property
    def owns_weights(self) -> bool:
        """True if `op` has weights of its own, which other units may use."""
        return isinstance(self.op, WITH_WEIGHTS) and self.op.owner == self.name

    @property
    def bias(self) -> str:
        """Name of the parameter with the bias of `op`, which may not exist."""
        return f"{self.op.owner}.bias"

    @property
    def layers(self) -> Tuple[Layer, ...]:
        """Layers of the unit, in order of computation."""
        return tuple(layer for layer in (self.op, self.batch_norm, self.activation) if layer is not None)


@dataclass(frozen=True)
class QuantizedTensor:
    """Tensor with its own quantizer.

    Attributes
    ----------
    name : str
        "<layer>.weights" or "<layer>.activations".
    layer : str
        Name of the unit, or of the network's input.
    kind : str
        "weights" or "activations".
    shape : tuple of int
        For weights, the shape of the parameter; for activations, without the batch axis.
    num_channels : int
        Number of scales of a per-channel quantizer: for weights, the layer's output channels; for activations, 1.
    channel_axis : int or None
        First of the axes that together enumerate the channels: `prod(shape[channel_axis:]) == num_channels`. These are
        the last axis, or for depthwise weights the last two [in, depth_multiplier]; none of them for the table of an
        Embedding, which has one scale. None for activations.
    group : str
        Name of the first tensor of the group; tensors of a group share one scale and zero point.
    nonnegative : bool
        True if the network guarantees values of at least 0.
    op_kind : str
        Kind of the unit's `op`, such as "Conv2D"; "Input" for the network's input.
    parameters : int
        Number of trained parameters: the elements of weights; 0 for activations.
    is_sequence : bool
        True if it belongs to a layer on sequences, which is one on images of height 1 here.
    fixed_range : str
        Function, such as "sigmoid", whose output has the range :func:`qatviz.network.activations.fixed_range` whatever
        the range method, because TFLite's kernels demand it; empty for all other tensors.
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
    is_sequence: bool = False
    fixed_range: str = ""

    @property
    def shown_kind(self) -> str:
        """Kind of the unit's `op` for display: "Conv1D" on sequences."""
        return shown_kind(self.op_kind, self.is_sequence)

    @property
    def shown_shape(self) -> Shape:
        """Shape for display: without the height of a sequence's image."""
        return shown_shape(self.shape, self.is_sequence)


@dataclass(frozen=True)
class QuantizationPlan:
    """Compute units and quantized tensors of a network, as `quantization_plan` derives them.

    Attributes
    ----------
    units : tuple of Unit
        In topological order.
    tensors : tuple of QuantizedTensor
        The activations of each input, such as "input.activations"; then the weights and activations of each unit in
        order.
    groups : tuple of tuple of int
        Indices in `tensors` of the members of each group, ascending; groups in the order of their first members.
    regression_outputs : tuple of str
        Names of the activations tensors of the outputs that are numbers to predict.
    """

    units: Tuple[Unit, ...]
    tensors: Tuple[QuantizedTensor, ...]
    groups: Tuple[Tuple[int, ...], ...]
    _grids: Dict[str, str] = field(repr=False, compare=False)
    regression_outputs: Tuple[str, ...] = ()
    _indices: Dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_indices", {tensor.name: index for index, tensor in enumerate(self.tensors)})

    def __contains__(self, name: str) -> bool:
        """Return whether there is a quantized tensor of this name."""
        return name in self._indices

    def index(self, name: str) -> int:
        """Return the index in `tensors` of the tensor of this name; raise a `NetworkError` if there is none."""
        if name not in self._indices:
            raise checks.invalid_value("quantized tensor", name, ", ".join(self._indices))
        return self._indices[name]

    def tensor(self, name: str) -> QuantizedTensor:
        """Return the tensor of this name; raise a `NetworkError` if there is none."""
        return self.tensors[self.index(name)]

    def has_outputs(self, name: str) -> bool:
        """Return whether outputs of layers, or an input, have the grid of the tensor of this name.

        They do for activations, and for the weights of an Embedding.
        """
        return self.tensor(name).kind == ACTIVATIONS or name in self._grids.values()

    def shares_grid(self, name: str) -> bool:
        """Return whether the tensor of this name shares its grid with other tensors."""
        index = self.index(name)
        return any(index in members and len(members) > 1 for members in self.groups)

    def predicts_numbers(self, name: str) -> bool:
        """Return whether the tensor of this name has the grid of an output that predicts numbers."""
        index, outputs = self.index(name), set(map(self.index, self.regression_outputs))
        return any(index in members and outputs.intersection(members) for members in self.groups)

    def grid_of(self, layer_name: str) -> str:
        """Return the name of the tensor that defines the grid of a layer's output, or of an input.

        For a folded or fused layer, this is the grid of its unit's output. It is an activations tensor, except for an
        Embedding and layers that only pass on its output: the grid is that of the Embedding's weights.

        Raises
        ------
        NetworkError
            If there is no such layer, or it has no grid: a Softmax at an output, whose probabilities are not quantized,
            or an input of ids.
        """
        if layer_name not in self._grids:
            raise checks.invalid_value("layer with a quantized output", layer_name, ", ".join(self._grids))
        return self._grids[layer_name]


def quantization_plan(network: Network, is_regression: Union[bool, Sequence[bool]] = False) -> QuantizationPlan:
    """Derive the compute units and quantized tensors of a network.

    - Folding and fusion: a BatchNorm is folded into its input layer. A ReLU or ReLU6 is fused into its input layer if
      it is the only consumer of a layer with weights (with its BatchNorm), Add, Subtract, Average or Multiply. Every
      other layer is a separate unit.
    - Weights of all layers are quantized. They have one quantizer, that of the layer that owns them, whichever layers
      use them.
    - Activations are quantized at the input and at the outputs of layers with weights, Activation, Add, Subtract,
      Average, Multiply, Maximum, Minimum, MatMul, AveragePool, GlobalAveragePool, UpsampleBilinear and Concat. A tensor
      with several consumers has one quantizer. The probabilities of a Softmax are quantized unless it is an output.
    - The output of an Embedding has the grid of its weights, which are quantized as a whole. It may be no output of the
      network, and no input of a layer whose inputs share the grid of its output.
    - Not quantized are the outputs of MaxPool, Flatten, Reshape, ZeroPad, Dropout, Slice, Permute, UpsampleNearest, and
      of a ReLU or ReLU6 that is not fused: their values are already on the grid of their input (such a ReLU6 clips at
      the grid's value nearest to 6).
    - Groups: AveragePool and UpsampleBilinear are rounded on the grid of their input (TFLite's AVERAGE_POOL_2D and
      RESIZE_BILINEAR have one scale). Inputs and output of a Concat, a Maximum or a Minimum share one grid
      (CONCATENATION, MAXIMUM and MINIMUM copy codes); this includes inputs behind layers without a quantizer, and all
      such layers that have an input in common. Inputs of all other layers keep their own grids, such as those of Add
      (TFLite's ADD rescales them) and GlobalAveragePool (exported as a depthwise convolution with constant weights).

    Parameters
    ----------
    network : Network
    is_regression : bool or sequence of bool
        True for outputs that are numbers to predict; one for all outputs, or one for each.

    Raises
    ------
    NetworkError
        If the grid of an Embedding is that of an output, or had to be shared.
    """
    units = _units(network)
    nonnegative, sequences = _nonnegative(network), sequence_layers(network)
    functions: Dict[str, str] = {}
    tensors = [
        _activations(name, INPUT_KIND, shape, False) for name, shape in network.inputs if name not in network.id_counts
    ]
    grids = {tensor.layer: tensor.name for tensor in tensors}
    parents = {tensor.name: tensor.name for tensor in tensors}
    for unit in units:
        if unit.owns_weights:
            shape = network.parameter_shapes(unit.name)["weights"]
            tensors.append(replace(_weights(unit.op, shape), is_sequence=unit.name in sequences))
            parents[tensors[-1].name] = tensors[-1].name
        if isinstance(unit.op, _NEW_GRID) or (isinstance(unit.op, Softmax) and unit.output not in network.outputs):
            shape = network.shapes[unit.output]
            found = _activations(unit.name, unit.op.kind, shape, nonnegative[unit.output])
            tensors.append(replace(found, is_sequence=unit.output in sequences))
            grid = tensors[-1].name
            parents[grid] = grid
            functions[grid] = _fixed_range(unit.op, [functions.get(grids[source], "") for source in unit.inputs])
            if isinstance(unit.op, SAME_GRID):
                for source in unit.inputs:
                    if grids[source].endswith("." + WEIGHTS):
                        raise _shares_table(unit.op, source)
                    _unite(parents, grids[source], grid)
        elif isinstance(unit.op, Softmax):
            continue
        elif isinstance(unit.op, Embedding):
            grid = unit.weights
        else:
            grid = grids[unit.inputs[0]]
        grids.update((layer.name, grid) for layer in unit.layers)
    for name in network.outputs:
        if grids.get(name, "").endswith("." + WEIGHTS):
            raise NetworkError(
                f"layer {name!r}: this output of the network has the grid of an Embedding's weights; allowed: the "
                "output of a layer with a grid of its own"
            )
    regressions = [is_regression] * len(network.outputs) if isinstance(is_regression, bool) else is_regression
    predicted = [grids[name] for name, is_one in zip(network.outputs, regressions) if is_one and name in grids]
    plan = _with_groups(units, tensors, parents, grids, tuple(dict.fromkeys(predicted)))
    return _with_fixed_ranges(plan, functions)


def _units(network: Network) -> Tuple[Unit, ...]:
    """Divide the layers into units."""
    units: List[Unit] = []
    assigned: Set[str] = set()
    for layer in network.layers:
        if layer.name in assigned:
            continue
        batch_norm: Optional[BatchNorm] = None
        activation: Optional[Union[ReLU, ReLU6]] = None
        last = layer
        if isinstance(layer, _FUSING):
            batch_norm = _sole_consumer(network, last, BatchNorm)
            last = batch_norm or last
            activation = _sole_consumer(network, last, ReLU) or _sole_consumer(network, last, ReLU6)
            last = activation or last
        unit = Unit(layer.name, layer, batch_norm, activation, layer.inputs, last.name)
        assigned.update(part.name for part in unit.layers)
        units.append(unit)
    return tuple(units)


_Kind = TypeVar("_Kind", bound=Layer)


def _sole_consumer(network: Network, layer: Layer, kind: Type[_Kind]) -> Optional[_Kind]:
    """Return the only consumer of `layer` if it is of this kind, else None; an output is needed by itself."""
    consumer = network.only_consumer(layer.name)
    return consumer if isinstance(consumer, kind) else None


def _nonnegative(network: Network) -> Dict[str, bool]:
    """Return for each layer, and for each input, whether its output is guaranteed to be at least 0."""
    known = dict.fromkeys(network.input_names, False)
    for layer in network.layers:
        known[layer.name] = (
            isinstance(layer, _NEVER_NEGATIVE)
            or (isinstance(layer, Activation) and layer.is_nonnegative)
            or (isinstance(layer, _SIGN_PRESERVING) and all(known[source] for source in layer.inputs))
            or (isinstance(layer, Maximum) and any(known[source] for source in layer.inputs))
        )
    return known


def _activations(layer: str, op_kind: str, shape: Shape, nonnegative: bool) -> QuantizedTensor:
    name = f"{layer}.{ACTIVATIONS}"
    return QuantizedTensor(name, layer, ACTIVATIONS, shape, 1, None, name, nonnegative, op_kind, 0)


def _shares_table(layer: Layer, source: str) -> NetworkError:
    """Return the error for a layer that would share the grid of an Embedding's weights; the caller raises it."""
    return NetworkError(
        f"layer {layer.name!r}: its input {source!r} has the grid of an Embedding's weights, while inputs and output "
        f"of {layer.kind} share one; allowed: a layer with a grid of its own between both, such as a depthwise 1×1 "
        "convolution"
    )


def _weights(op: Layer, shape: Shape) -> QuantizedTensor:
    name, axes = f"{op.name}.{WEIGHTS}", {DepthwiseConv2D: 2, Embedding: 0}
    channel_axis = len(shape) - axes.get(type(op), 1)
    num_channels = element_count(shape[channel_axis:])
    return QuantizedTensor(
        name, op.name, WEIGHTS, shape, num_channels, channel_axis, name, False, op.kind, element_count(shape)
    )


def _root(parents: Dict[str, str], name: str) -> str:
    """Return the representative of a tensor's group in a union-find structure."""
    while parents[name] != name:
        name = parents[name]
    return name


def _unite(parents: Dict[str, str], one: str, other: str) -> None:
    """Merge the groups of two tensors."""
    parents[_root(parents, one)] = _root(parents, other)


def _with_groups(
    units: Tuple[Unit, ...],
    tensors: List[QuantizedTensor],
    parents: Dict[str, str],
    grids: Dict[str, str],
    regression_outputs: Tuple[str, ...],
) -> QuantizationPlan:
    """Return the plan with the groups of a union-find structure."""
    members: Dict[str, List[int]] = {}
    for index, tensor in enumerate(tensors):
        members.setdefault(_root(parents, tensor.name), []).append(index)
    firsts = {root: tensors[indices[0]].name for root, indices in members.items()}
    grouped = tuple(replace(tensor, group=firsts[_root(parents, tensor.name)]) for tensor in tensors)
    return QuantizationPlan(units, grouped, tuple(map(tuple, members.values())), grids, regression_outputs)


def _fixed_range(op: Layer, of_inputs: Sequence[str]) -> str:
    """Return the :attr:`QuantizedTensor.fixed_range` of a layer's output; ``of_inputs`` are those of its inputs."""
    if isinstance(op, Activation) and op.definition.fixed_range:
        return op.function
    if isinstance(op, Softmax):
        return "softmax"
    # Means, extremes and copies of values in a range are in that range.
    return of_inputs[0] if isinstance(op, SAME_GRID) and len(set(of_inputs)) == 1 else ""


def _with_fixed_ranges(plan: QuantizationPlan, functions: Dict[str, str]) -> QuantizationPlan:
    """Return the plan with fixed ranges by tensor, ``functions``, in groups whose members all have the same one."""
    tensors = list(plan.tensors)
    for members in plan.groups:
        found = {functions.get(tensors[index].name, "") for index in members}
        if len(found) == 1:
            for index in members:
                tensors[index] = replace(tensors[index], fixed_range=next(iter(found)))
    return replace(plan, tensors=tuple(tensors))
