"""Content of a network's drawing: a node for each operation, with its quantized tensors."""

from typing import Dict, List, NamedTuple, Tuple

from qatviz.network.activations import Activation
from qatviz.network.graph import Network
from qatviz.network.layer import Layer
from qatviz.network.plan import QuantizationPlan, QuantizedTensor
from qatviz.network.sequences import sequence_layers, shown_kind, shown_shape, shown_window
from qatviz.number_format import shape_text, si


class NodeText(NamedTuple):
    """Texts of a node: its name, its fused layers, and the shape of its output."""

    name: str
    layers: str
    shape: str


class NetworkDrawing(NamedTuple):
    """Nodes of a network by name, the inputs first, and edges as (from, to).

    ``tensors`` has the quantized tensors of every node, weights first; none for operations such as pooling.
    """

    texts: Dict[str, NodeText]
    tensors: Dict[str, List[QuantizedTensor]]
    edges: List[Tuple[str, str]]


def network_drawing(network: Network, plan: QuantizationPlan) -> NetworkDrawing:
    """Return the nodes and edges to draw: a node for each unit of ``plan``."""
    parameters = {row.name: row.parameters for row in network.summary()}
    texts = {name: NodeText(name, "the data", shape_text(shape)) for name, shape in network.inputs}
    unit_of = dict(zip(network.input_names, network.input_names))
    sequences, shapes = sequence_layers(network), network.shapes
    for unit in plan.units:
        unit_of.update((layer.name, unit.name) for layer in unit.layers)
        count = sum(parameters[layer.name] for layer in unit.layers)
        shape = shown_shape(shapes[unit.output], unit.output in sequences)
        output = shape_text(shape) + (f" · {si(count)} params" if count else "")
        if unit.op.owner != unit.name:
            output += f" · weights of {unit.op.owner}"
        layers = " + ".join(layer_text(layer, layer.name in sequences) for layer in unit.layers)
        texts[unit.name] = NodeText(unit.name, layers, output)
    tensors: Dict[str, List[QuantizedTensor]] = {name: [] for name in texts}
    for tensor in plan.tensors:
        tensors[tensor.layer].append(tensor)
    edges = [(unit_of[source], unit.name) for unit in plan.units for source in dict.fromkeys(unit.inputs)]
    return NetworkDrawing(texts, tensors, edges)


def layer_text(layer: Layer, is_sequence: bool = False) -> str:
    """Return a short text of a layer: ``Conv2D 5×5``, ``MaxPool 2×2``, ``Conv1D 5`` on sequences."""
    kernel = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    kernel = kernel or getattr(layer, "size", None)
    strides = getattr(layer, "strides", None)
    text = layer.function if isinstance(layer, Activation) else shown_kind(layer.kind, is_sequence)
    if kernel:
        text += " " + shape_text(shown_window(kernel, is_sequence))
    if kernel and strides and tuple(strides) != (1, 1) and not hasattr(layer, "pool_size"):
        strides = shown_window(strides, is_sequence)
        text += " /" + (str(strides[0]) if len(set(strides)) == 1 else shape_text(strides))
    return text
