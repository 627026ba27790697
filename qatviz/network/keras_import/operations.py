"""Operations between layers (``x + y``, ``tf.nn.relu(x)``, ``keras.ops``), as the Keras layers that compute the same.

``x * 2.0`` is a Rescaling, ``x + y`` an Add, ``tf.nn.relu(x)`` an Activation. Thus one place decides whether and how
they are imported, for operations and layers alike.
"""

from typing import Any, Callable, Dict, Optional, Tuple

import numpy as np

from qatviz.errors import NetworkError
from qatviz.network.keras_import.attention import MATMUL
from qatviz.network.keras_import.call_arguments import NO_ARGUMENTS, Tensor
from qatviz.network.keras_import.config import KERAS3_OPERATION, NODE_LAYER, LayerSpec
from qatviz.network.keras_import.graph_nodes import NODES, node_arguments, node_operation
from qatviz.network.keras_import.moves import MAX
from qatviz.network.keras_import.moving_operations import MOVES, SLICING
from qatviz.network.keras_import.normalizations import MEAN, SUM
from qatviz.network.keras_import.operation_arguments import OPERANDS, KerasLayerOf, only_tensors, option, refuse_others
from qatviz.network.keras_import.records import shortened
from qatviz.network.keras_import.spelled_functions import FUNCTION
from qatviz.network.keras_import.versions import KERAS3_ACTIVATIONS

#: Modules of TensorFlow whose functions have the meaning of their names; tf.sparse.add, for example, is not an Add.
_MODULES = ("", "math", "nn", "__operators__")
#: Functions of other modules that do, too.
_OF_OTHER_MODULES = ("linalg.matmul", "linalg.l2_normalize", "image.resize")


def as_layer(spec: LayerSpec) -> LayerSpec:
    """Return the layer that computes the same as an operation; other layers as they are.

    Raises
    ------
    NetworkError
        If there is no such layer. The message does not name the call, which the caller adds.
    """
    name = _name(spec)
    if name is None:
        return spec
    if spec.kind == NODE_LAYER:
        spec = spec._replace(arguments=node_arguments(spec))
    layer_of = _LAYERS.get(name)
    if layer_of is None:
        raise NetworkError(f"the operation {name} is not supported; nearest: the layers that the README lists")
    kind, config = layer_of(spec)
    if spec.output and name not in _OF_SEVERAL_OUTPUTS:
        raise NetworkError(f"reference to output {spec.output} of the operation {name}, which has one output")
    kept = {key: spec.config[key] for key in ("name", "dtype", "trainable") if key in spec.config}
    return spec._replace(kind=kind, config={**kept, **config}, arguments=NO_ARGUMENTS)


def is_known(class_name: str, config: Any) -> bool:
    """Return whether `as_layer` knows the operation that a description names; if so, it is not code."""
    if not isinstance(config, dict):
        return False
    spec = LayerSpec((), class_name, config, (), ())
    return _name(spec) in _LAYERS


def _name(spec: LayerSpec) -> Optional[str]:
    """Return the name of the operation in `_LAYERS`, or for messages if it is not one of them; None for a layer."""
    if spec.kind == SLICING:
        return "getitem"
    if spec.kind == NODE_LAYER:
        operation = node_operation(spec.config)
        if not isinstance(operation, str):
            return "None"
        return NODES[operation].name if operation in NODES else shortened(operation)
    if spec.kind not in ("TFOpLambda", KERAS3_OPERATION):
        return None
    full = str(spec.config.get("function"))
    module, _, own = full.rpartition(".")
    if spec.kind == "TFOpLambda" and module not in _MODULES and full not in _OF_OTHER_MODULES:
        return shortened(full)
    plain = own.lower().replace("_", "")
    name = _ALIASES.get(plain, plain)
    return name if name in _LAYERS else shortened(full)


def _activation(name: str) -> KerasLayerOf:
    def layer_of(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
        only_tensors(spec)
        refuse_others(spec)
        return "Activation", {"activation": name}

    return layer_of


def _leaky_relu(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
    slope = option(spec, "negative_slope", option(spec, "alpha", 0.2))
    only_tensors(spec)
    refuse_others(spec, "alpha", "negative_slope")
    return "LeakyReLU", {"negative_slope": slope}


def _gelu(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
    only_tensors(spec)
    refuse_others(spec, "approximate")
    if option(spec, "approximate", spec.kind == KERAS3_OPERATION):
        raise NetworkError("it approximates GELU; supported: approximate=False")
    return "Activation", {"activation": "gelu"}


def _softmax(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
    axis = option(spec, "axis", -1)
    refuse_others(spec, "axis")
    return "Softmax", {"axis": -1 if axis is None else axis}


def _clip(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
    """Return the layer of ``clip(x, lowest, highest)``."""
    names = ("clip_value_min", "x_min", "clip_value_max", "x_max")
    bounds = [value for value in spec.arguments.args if not isinstance(value, Tensor)]
    bounds += [value for value in (option(spec, name, None) for name in names) if value is not None]
    refuse_others(spec, "t", *names)
    if len(bounds) != 2 or any(_number(bound).ndim for bound in bounds) or bounds[0] > bounds[1]:
        raise NetworkError(f"it clips to {shortened(bounds)}; supported: two numbers, the lower one first")
    low, high = bounds
    return _clipped(float(low), float(high))


def _clipped(low: Optional[float], high: Optional[float]) -> Tuple[str, Dict[str, Any]]:
    """Return the layer that clips to a range, one end of which may be open."""
    return FUNCTION, {"function": "clip", "threshold": low, "maximum": high}


def _extreme(kind: str) -> KerasLayerOf:
    """Return the layer of ``maximum`` or ``minimum`` of outputs of layers, or of one and a number, which clips."""

    def layer_of(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
        constants = [value for value in spec.arguments.operands(*OPERANDS) if not isinstance(value, Tensor)]
        if len(constants) != 1 or _number(constants[0]).ndim:
            return _merge(kind)(spec)
        refuse_others(spec)
        number = float(constants[0])
        return _clipped(number, None) if kind == "Maximum" else _clipped(None, number)

    return layer_of


def _merge(kind: str) -> KerasLayerOf:
    """Return the layer of an operation on two or more outputs of layers."""

    def layer_of(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
        only_tensors(spec)
        refuse_others(spec)
        return kind, {}

    return layer_of


def _concatenate(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
    tensors = [value for value in spec.arguments.operands("values", "xs") if isinstance(value, Tensor)]
    axis = option(spec, "axis", -1)
    refuse_others(spec, "axis")
    if len(tensors) != len(spec.inputs):
        raise NetworkError("it concatenates constants; supported: outputs of layers")
    return "Concatenate", {"axis": axis}


def _arithmetic(kind: str, with_constant: Callable[[Any, bool], Tuple[Any, Any]]) -> KerasLayerOf:
    """Return the layer of an operation on two outputs, `kind`, or on an output and a constant, a Rescaling.

    ``with_constant(constant, is_first)`` returns scale and offset.
    """

    def layer_of(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
        operands = spec.arguments.operands(*OPERANDS)
        refuse_others(spec)
        constants = [value for value in operands if not isinstance(value, Tensor)]
        if not constants:
            return kind, {}
        if len(constants) > 1 or len(operands) != 2:
            raise NetworkError(
                f"it has the operands {shortened(operands)}; supported: outputs of layers, or one and a constant"
            )
        scale, offset = with_constant(_number(constants[0]), operands[0] is constants[0])
        return "Rescaling", {"scale": np.asarray(scale).tolist(), "offset": np.asarray(offset).tolist()}

    return layer_of


def _divided(constant: Any, is_first: bool) -> Tuple[Any, Any]:
    if is_first or not np.all(constant):
        raise NetworkError("it divides a constant, or by 0; supported: x / constant")
    return 1 / constant, 0.0


def _power(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
    operands = spec.arguments.operands(*OPERANDS)
    refuse_others(spec)
    exponent = operands[1] if len(operands) == 2 and isinstance(operands[0], Tensor) else None
    if isinstance(exponent, bool) or exponent not in (2, -0.5):
        raise NetworkError(f"it has the operands {shortened(operands)}; supported: the exponents 2 and -0.5")
    return FUNCTION, {"function": "square" if exponent == 2 else "rsqrt"}


def _matmul(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
    names = ("transpose_a", "transpose_b", "adjoint_a", "adjoint_b")
    only_tensors(spec)
    refuse_others(spec, "a", "b", *names)
    flags = [bool(option(spec, name, False)) for name in names]
    return MATMUL, {"transpose_a": flags[0] or flags[2], "transpose_b": flags[1] or flags[3]}


def _reduction(kind: str) -> KerasLayerOf:
    """Return the layer of a sum, mean or maximum along axes."""

    def layer_of(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
        axes, keepdims = option(spec, "axis", None), option(spec, "keepdims", False)
        only_tensors(spec)
        refuse_others(spec, "axis", "keepdims")
        return kind, {"axis": axes, "keepdims": keepdims}

    return layer_of


def _normalize(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
    """Return the layer of TensorFlow's ``l2_normalize``, or of Keras 3's ``normalize``, which divides by the norm."""
    axis = option(spec, "axis", None if spec.kind != KERAS3_OPERATION else -1)
    epsilon = option(spec, "epsilon", None)
    if epsilon is None:
        epsilon = 1e-12 if spec.kind != KERAS3_OPERATION else 1e-7
    order = option(spec, "order", 2)
    refuse_others(spec, "axis", "epsilon", "order", "dim")
    if order != 2:
        raise NetworkError(f"it divides by the norm of order {shortened(order)}; supported: 2")
    if spec.kind == KERAS3_OPERATION and type(epsilon) is float:
        epsilon *= epsilon  # the least norm, while TensorFlow has the least square of a norm
    return "UnitNormalization", {"axis": axis, "epsilon": epsilon}


def _function(name: str) -> KerasLayerOf:
    """Return the layer of a function that Keras has no layer for."""

    def layer_of(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
        only_tensors(spec)
        refuse_others(spec)
        return FUNCTION, {"function": name}

    return layer_of


def _absolute(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
    only_tensors(spec)
    refuse_others(spec)
    return "LeakyReLU", {"negative_slope": -1.0}


def _negative(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
    only_tensors(spec)
    refuse_others(spec)
    return "Rescaling", {"scale": -1.0, "offset": 0.0}


def _cast(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
    wanted = option(spec, "dtype", "float32")
    if wanted != "float32":
        raise NetworkError(f"it converts to {shortened(wanted)}; supported: float32")
    return "Activation", {"activation": "linear"}


def _number(value: Any) -> np.ndarray:
    try:
        array = np.asarray(value, float)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if not np.isfinite(array).all():
        raise NetworkError(f"it has the constant {shortened(value)}; supported: numbers")
    return array


#: By names in lower case without underscores.
_LAYERS: Dict[str, KerasLayerOf] = {
    **MOVES,
    "add": _arithmetic("Add", lambda constant, _: (1.0, constant)),
    "subtract": _arithmetic("Subtract", lambda constant, first: (-1.0, constant) if first else (1.0, -constant)),
    "multiply": _arithmetic("Multiply", lambda constant, _: (constant, 0.0)),
    "divide": _arithmetic("Divide", _divided),
    "maximum": _extreme("Maximum"),
    "minimum": _extreme("Minimum"),
    "concatenate": _concatenate,
    "softmax": _softmax,
    "matmul": _matmul,
    "mean": _reduction(MEAN),
    "sum": _reduction(SUM),
    "square": _function("square"),
    "rsqrt": _function("rsqrt"),
    "l2normalize": _normalize,
    "normalize": _normalize,
    "cast": _cast,
    "negative": _negative,
    "absolute": _absolute,
    "power": _power,
    "max": _reduction(MAX),
    "identity": _activation("linear"),
    **{
        name: _activation(name)
        for name in ["relu", "relu6", "sigmoid", "tanh", "elu", "selu", "celu", "softplus", "softsign", "swish", "mish"]
    },
    "exponential": _activation("exponential"),
    "hardtanh": _activation("hard_tanh"),
    "leakyrelu": _leaky_relu,
    "gelu": _gelu,
    "clip": _clip,
    "hardsigmoid": _activation(KERAS3_ACTIVATIONS["hard_sigmoid"]),
    "hardswish": _activation("hard_swish"),
}
_OF_SEVERAL_OUTPUTS = ("split", "unstack")
#: Names in `_LAYERS` by other names of the same operations.
_ALIASES = {
    "addv2": "add",
    "addn": "add",
    "biasadd": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "truedivide": "divide",
    "div": "divide",
    "clipbyvalue": "clip",
    "concat": "concatenate",
    "batchmatmul": "matmul",
    "reducemean": "mean",
    "reducesum": "sum",
    "reducemax": "max",
    "amax": "max",
    "neg": "negative",
    "padv2": "pad",
    "pow": "power",
    "maxpool2d": "maxpool",
    "avgpool2d": "averagepool",
    "avgpool": "averagepool",
    "exp": "exponential",
    "abs": "absolute",
    "silu": "swish",
    "hardsilu": "hardswish",
}
