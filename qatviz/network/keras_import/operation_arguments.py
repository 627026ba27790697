"""Access to the arguments of an operation between layers, and the type of the functions that read them."""

from typing import Any, Callable, Dict, Tuple

from qatviz.errors import NetworkError
from qatviz.network.keras_import.call_arguments import Tensor
from qatviz.network.keras_import.config import LayerSpec
from qatviz.network.keras_import.records import shortened

#: Keyword arguments that are operands.
OPERANDS = ("x", "y", "x1", "x2", "value", "bias")
#: Operands, and arguments without effect on the result.
IGNORED = (*OPERANDS, "name", "features", "logits", "values", "input", "data_format", "inputs", "xs", "tensor")
KerasLayerOf = Callable[[LayerSpec], Tuple[str, Dict[str, Any]]]
"""``layer_of(spec)`` returns kind and config of the layer that computes the same as an operation."""


def option(spec: LayerSpec, key: str, default: Any) -> Any:
    """Return an argument by keyword, of the call or, in Keras 3, of the config."""
    return spec.arguments.kwargs.get(key, spec.config.get(key, default))


def only_tensors(spec: LayerSpec) -> None:
    """Refuse constants among the operands."""
    constants = [value for value in spec.arguments.operands(*OPERANDS) if not isinstance(value, Tensor)]
    if constants:
        raise NetworkError(f"it has the constant {shortened(constants[0])}; supported: outputs of layers")


def refuse_others(spec: LayerSpec, *names: str) -> None:
    """Refuse arguments by keyword that are not read, and images with channels first."""
    if option(spec, "data_format", None) not in (None, "channels_last", "NHWC", "NWC"):
        raise NetworkError("its images have channels first; supported: channels last")
    for key, value in spec.arguments.others(*IGNORED, *names).items():
        if value is not False:
            raise NetworkError(f"it is called with {key}={shortened(value)}; supported: its operands")
