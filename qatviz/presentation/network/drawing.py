"""What a drawing of a network says: a node for each operation, with the tensors that are quantized there."""

from typing import Dict, List, NamedTuple, Tuple

from qatviz.network.checks import INPUT
from qatviz.network.graph import Network
from qatviz.network.layer import Layer
from qatviz.network.plan import QuantizationPlan, QuantizedTensor
from qatviz.number_format import shape_text, si


class NodeText(NamedTuple):
    """What a node says: its name, the layers that are one operation, the shape of what it puts out."""

    name: str
    layers: str
    shape: str


class NetworkDrawing(NamedTuple):
    """The nodes of a network by their names, the input first, and the edges between them as (from, to).

    ``tensors`` has the quantized tensors of every node, weights first; none for one that passes values on.
    """

    texts: Dict[str, NodeText]
    tensors: Dict[str, List[QuantizedTensor]]
    edges: List[Tuple[str, str]]


def network_drawing(network: Network, plan: QuantizationPlan) -> NetworkDrawing:
    """Return the nodes and edges to draw: a node for each unit of ``plan``."""
    parameters = {row.name: row.parameters for row in network.summary()}
    texts = {INPUT: NodeText(INPUT, "the data", shape_text(network.input_shape))}
    unit_of = {INPUT: INPUT}
    for unit in plan.units:
        unit_of.update((layer.name, unit.name) for layer in unit.layers)
        count = sum(parameters[layer.name] for layer in unit.layers)
        output = shape_text(network.shapes[unit.output]) + (f" · {si(count)} params" if count else "")
        texts[unit.name] = NodeText(unit.name, " + ".join(map(layer_text, unit.layers)), output)
    tensors: Dict[str, List[QuantizedTensor]] = {name: [] for name in texts}
    for tensor in plan.tensors:
        tensors[tensor.layer].append(tensor)
    edges = [(unit_of[source], unit.name) for unit in plan.units for source in dict.fromkeys(unit.inputs)]
    return NetworkDrawing(texts, tensors, edges)


def layer_text(layer: Layer) -> str:
    """Return a layer in a word or two: ``Conv2D 5×5``, ``MaxPool 2×2``."""
    window = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    strides = getattr(layer, "strides", None)
    text = layer.kind
    if window:
        text += " {}×{}".format(*window)
    if window and strides and tuple(strides) != (1, 1) and not hasattr(layer, "pool_size"):
        text += f" /{strides[0] if strides[0] == strides[1] else '{}×{}'.format(*strides)}"
    return text
