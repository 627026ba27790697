"""Operations of TensorFlow's graphs, of which Keras of TensorFlow 1.13 to 2.3 makes layers: their arguments by name.

Some of a node's arguments are constants at its positions among the inputs, others are attributes of the node.
"""

import json
from typing import Any, Dict, List, Mapping, NamedTuple

from qatviz.errors import NetworkError
from qatviz.network.keras_import.call_arguments import Arguments, Tensor
from qatviz.network.keras_import.config import LayerSpec
from qatviz.network.keras_import.records import shortened


class Node(NamedTuple):
    """Operation of a graph.

    Attributes
    ----------
    name : str
        Name of the operation between layers that computes the same.
    constants : mapping
        Names of arguments by their positions; -1 is the last.
    attributes : mapping
        Names of arguments by those of the node's attributes.
    """

    name: str
    constants: Mapping[int, str] = {}
    attributes: Mapping[str, str] = {}


#: Attributes of a slice: bits of the axes that have no begin or end, of an ellipsis, of new axes, and of positions.
SLICE_MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
#: Operations by their names in a graph; some of those that are missing run code.
NODES: Dict[str, Node] = {
    **{name: Node("add") for name in ("Add", "AddV2", "AddN")},
    "Sub": Node("subtract"),
    "Mul": Node("multiply"),
    "Maximum": Node("maximum"),
    "Minimum": Node("minimum"),
    "RealDiv": Node("divide"),
    "Relu": Node("relu"),
    "Relu6": Node("relu6"),
    "LeakyRelu": Node("leakyrelu", attributes={"alpha": "alpha"}),
    **{
        name: Node("matmul", attributes={"adj_x": "transpose_a", "adj_y": "transpose_b"})
        for name in ("BatchMatMul", "BatchMatMulV2")
    },
    "Softmax": Node("softmax"),
    "Sigmoid": Node("sigmoid"),
    "Tanh": Node("tanh"),
    "Elu": Node("elu"),
    "Selu": Node("selu"),
    "Softplus": Node("softplus"),
    "Softsign": Node("softsign"),
    "Identity": Node("identity"),
    "ClipByValue": Node("clip"),
    "ConcatV2": Node("concatenate", {-1: "axis"}),
    "Mean": Node("mean", {1: "axis"}, {"keep_dims": "keepdims"}),
    "Sum": Node("sum", {1: "axis"}, {"keep_dims": "keepdims"}),
    "Square": Node("square"),
    "Rsqrt": Node("rsqrt"),
    "Reshape": Node("reshape", {1: "shape"}),
    "StridedSlice": Node("stridedslice", {1: "begin", 2: "end", 3: "strides"}, {name: name for name in SLICE_MASKS}),
    "Max": Node("max", {1: "axis"}, {"keep_dims": "keepdims"}),
    "Neg": Node("negative"),
    "Abs": Node("absolute"),
    "Exp": Node("exponential"),
    "Squeeze": Node("squeeze", attributes={"squeeze_dims": "axis"}),
    "ExpandDims": Node("expanddims", {1: "axis"}),
    "Transpose": Node("transpose", {1: "perm"}),
    "Pad": Node("pad", {1: "paddings"}),
    "PadV2": Node("pad", {1: "paddings", 2: "constant_values"}),
    "DepthToSpace": Node("depthtospace", attributes={"block_size": "block_size"}),
    "SpaceToDepth": Node("spacetodepth", attributes={"block_size": "block_size"}),
    "Pack": Node("stack", attributes={"axis": "axis"}),
    "Unpack": Node("unstack", attributes={"axis": "axis"}),
    "Split": Node("split", {0: "axis"}, {"num_split": "num_or_size_splits"}),
    "SplitV": Node("split", {1: "num_or_size_splits", 2: "axis"}),
}
#: Values of an attribute by their names in a description of a node.
_VALUES = {"i": int, "f": float, "b": bool}


def node_operation(config: Mapping[str, Any]) -> Any:
    """Return the name of the operation in the config of a layer."""
    return _definition(config).get("op")


def node_arguments(spec: LayerSpec) -> Arguments:
    """Return the arguments of a node: its tensors, unnamed constants, and the others by name."""
    constants = spec.config.get("constants") or {}
    if not isinstance(constants, dict):
        raise NetworkError(f"constants are {shortened(constants)}; expected: an object")
    node = NODES.get(node_operation(spec.config), Node(""))
    tensors = iter(range(len(spec.inputs)))
    count = len(spec.inputs) + len(constants)
    args: List[Any] = []
    kwargs: Dict[str, Any] = {}
    for place in range(count):
        name = node.constants.get(place, node.constants.get(place - count))
        if str(place) not in constants:
            args.append(Tensor(next(tensors, 0)))
        elif name is None:
            args.append(constants[str(place)])
        else:
            kwargs[name] = constants[str(place)]
    if node.attributes:
        given = _definition(spec.config).get("attr")
        if not isinstance(given, dict):
            raise NetworkError(f"the description has no {' and '.join(node.attributes)} of its operation")
        kwargs.update(
            (name, _attribute(given[attribute])) for attribute, name in node.attributes.items() if attribute in given
        )
    return Arguments(args, kwargs)


def _definition(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the definition of a layer's node, which is an object, its JSON text, or the name of its operation."""
    node = config.get("node_def")
    if isinstance(node, str) and node.startswith("{"):
        try:
            node = json.loads(node)
        except ValueError:
            return {}
    return node if isinstance(node, dict) else {"op": node}


def _attribute(value: Any) -> Any:
    """Return the value of an attribute, an object with its type; integers are texts in it."""
    if isinstance(value, dict) and len(value) == 1:
        (kind, found), *_ = value.items()
        if kind == "list" and isinstance(found, dict) and set(found) <= {"i"}:
            own = found.get("i", [])
            return [_attribute({"i": item}) for item in (own if isinstance(own, list) else [own])]
        if kind in _VALUES and isinstance(found, (int, float, str)):
            try:
                return _VALUES[kind](found)
            except ValueError:
                pass
    raise NetworkError(f"an attribute of its node is {shortened(value)}; expected: a number")
