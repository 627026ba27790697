"""Conversion of Keras layers: one function for each type, listed in `qatviz.network.keras_import.kinds`.

Each function adds one or more layers to the draft and returns the name of the layer that produces the Keras layer's
output.
"""

from typing import Any, Callable, Dict, List, Optional, Type

import numpy as np

from qatviz.errors import NetworkError
from qatviz.network import checks
from qatviz.network.keras_import.config import MIN_FUSED_EPSILON, shortened
from qatviz.network.keras_import.draft import Draft, KerasLayer
from qatviz.network.layer import Layer
from qatviz.network.layers import (
    Add,
    BatchNorm,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    MaxPool,
    ReLU,
    ReLU6,
    Softmax,
)

Conversion = Callable[[Draft, KerasLayer, List[str]], str]
"""``conversion(draft, layer, inputs)`` returns the name of the layer that produces the output."""

ACTIVATIONS: Dict[str, Optional[Type[Layer]]] = {"linear": None, "relu": ReLU, "relu6": ReLU6, "softmax": Softmax}
#: TensorFlow functions between layers, such as ``x + y`` or ``tf.nn.relu(x)``, by the name of the operation.
OPERATIONS: Dict[str, Optional[Type[Layer]]] = {
    "Add": Add,
    "AddV2": Add,
    "AddN": Add,
    "Relu": ReLU,
    "Relu6": ReLU6,
    "Softmax": Softmax,
    "Identity": None,
}


def convert_conv2d(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    draft.add(
        Conv2D,
        layer.name,
        inputs,
        filters=layer.setting("filters"),
        kernel_size=layer.setting("kernel_size"),
        use_bias=layer.flag("use_bias", True),
        **_convolution_settings(layer),
    )
    draft.copy_parameter(layer.name, "weights", layer, "kernel")
    return _with_bias_and_activation(draft, layer)


def convert_depthwise_conv2d(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    draft.add(
        DepthwiseConv2D,
        layer.name,
        inputs,
        kernel_size=layer.setting("kernel_size"),
        depth_multiplier=layer.setting("depth_multiplier", 1),
        use_bias=layer.flag("use_bias", True),
        **_convolution_settings(layer),
    )
    draft.copy_parameter(layer.name, "weights", layer, "depthwise_kernel")
    return _with_bias_and_activation(draft, layer)


def convert_separable_conv2d(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    depthwise = draft.add(
        DepthwiseConv2D,
        draft.names.derive(layer.name, "depthwise"),
        inputs,
        use_bias=False,
        kernel_size=layer.setting("kernel_size"),
        depth_multiplier=layer.setting("depth_multiplier", 1),
        **_convolution_settings(layer),
    )
    draft.copy_parameter(depthwise, "weights", layer, "depthwise_kernel")
    draft.add(
        Conv2D,
        layer.name,
        depthwise,
        filters=layer.setting("filters"),
        kernel_size=1,
        use_bias=layer.flag("use_bias", True),
    )
    draft.copy_parameter(layer.name, "weights", layer, "pointwise_kernel")
    draft.add_note("SeparableConv2D is imported as two layers, the first of them named <name>/depthwise", layer.name)
    return _with_bias_and_activation(draft, layer)


def convert_dense(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a Dense; on an input with several axes, it multiplies along the last and becomes a 1×1 convolution."""
    source, shape = inputs[0], draft.shapes[inputs[0]]
    use_bias = layer.flag("use_bias", True)
    if len(shape) == 1:
        draft.add(Dense, layer.name, inputs, units=layer.setting("units"), use_bias=use_bias)
        draft.copy_parameter(layer.name, "weights", layer, "kernel")
        return _with_bias_and_activation(draft, layer)
    image = draft.reshape_to_image(layer.name, source)
    draft.add(Conv2D, layer.name, image, filters=layer.setting("units"), kernel_size=1, use_bias=use_bias)
    draft.copy_parameter(layer.name, "weights", layer, "kernel")
    draft.add_note("Dense on an input with several axes is imported as a 1×1 convolution", layer.name)
    if use_bias:
        draft.copy_parameter(layer.name, "bias", layer, "bias")
    return _with_activation(draft, layer, draft.restore_shape(layer.name, layer.name, shape))


def convert_batch_normalization(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a batch norm; without a layer to fold it into, add a depthwise 1×1 convolution with weights of 1."""
    source, shape = inputs[0], draft.shapes[inputs[0]]
    axis = layer.setting("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if axis not in (-1, len(shape)):
        raise checks.invalid_value("setting axis", axis, f"-1 or {len(shape)} (the last axis)")
    is_folded = draft.can_fold_batch_norm(source)
    if not is_folded:
        source = draft.reshape_to_image(layer.name, source)
        scale = draft.names.derive(layer.name, "scale")
        source = draft.add(DepthwiseConv2D, scale, source, kernel_size=1, use_bias=False)
        draft.add_note(
            "BatchNormalization that cannot be folded into a convolution or Dense before it is imported with "
            "<name>/scale, a depthwise 1×1 convolution with weights of 1",
            layer.name,
        )
    epsilon = checks.number_in(0, 1, "[]")("setting epsilon", layer.setting("epsilon", 1e-3))
    if len(shape) == 3 and layer.setting("fused", None) is not False and epsilon < MIN_FUSED_EPSILON:
        draft.add_note(
            f"epsilon is raised to {MIN_FUSED_EPSILON:g}, the minimum of Keras' fused batch norm", layer.name
        )
        epsilon = MIN_FUSED_EPSILON
    draft.add(BatchNorm, layer.name, source, momentum=layer.setting("momentum", 0.99), epsilon=epsilon)
    channels = shape[-1:]
    if not is_folded:
        draft.set_parameter(source, "weights", np.ones(channels, np.float32))
    for key, flag, neutral in (("gamma", "scale", np.ones), ("beta", "center", np.zeros)):
        if layer.flag(flag, True):
            draft.copy_parameter(layer.name, key, layer, key)
        else:
            draft.set_parameter(layer.name, key, neutral(channels, np.float32))
    for key in ("moving_mean", "moving_variance"):
        draft.copy_parameter(layer.name, key, layer, key)
    return layer.name if is_folded else draft.restore_shape(layer.name, layer.name, shape)


def convert_activation(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    output = _with_activation(draft, layer, inputs[0], layer.name)
    return output if output == layer.name else omit(draft, layer, inputs)


def omit(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Omit a layer that has no effect in inference: its output is its input."""
    draft.add_note(f"{layer.spec.kind} is omitted, since it has no effect in inference", layer.name)
    return inputs[0]


def convert_relu(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    limit = layer.setting("max_value", None)
    if limit not in (None, 6):
        raise checks.invalid_value("setting max_value", limit, "None or 6")
    return draft.add(ReLU if limit is None else ReLU6, layer.name, inputs)


def convert_softmax(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    axis, last = layer.setting("axis", -1), len(draft.shapes[inputs[0]])
    if axis not in (-1, last):
        raise checks.invalid_value("setting axis", axis, f"-1 or {last} (the last axis)")
    return draft.add(Softmax, layer.name, inputs)


def convert_pooling(kind: Type[Layer]) -> Conversion:
    """Return the conversion of a pooling layer to `kind`."""

    def convert(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
        return draft.add(
            kind,
            layer.name,
            inputs,
            pool_size=layer.setting("pool_size"),
            strides=layer.setting("strides", None),
            padding=layer.setting("padding", "valid"),
        )

    return convert


def convert_global_max_pooling(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a global max-pooling to a MaxPool of the whole image and a Flatten."""
    size = draft.shapes[inputs[0]][:2]
    pool = draft.add(MaxPool, draft.names.derive(layer.name, "max"), inputs, pool_size=size)
    return draft.add(Flatten, layer.name, pool)


def convert_concatenate(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a Concatenate, whose axis counts the batch."""
    axis = checks.integer("setting axis", layer.setting("axis", -1))
    if axis == 0:
        raise checks.invalid_value("setting axis", axis, "any axis except the batch axis")
    return draft.add(Concat, layer.name, inputs, axis=axis - 1 if axis > 0 else axis)


def convert_same(kind: Type[Layer], *settings: str) -> Conversion:
    """Return the conversion to a layer with the same behavior, and the same settings under the same names."""

    def convert(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
        return draft.add(kind, layer.name, inputs, **{key: layer.setting(key) for key in settings})

    return convert


def convert_operation(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a TensorFlow function between layers, see `OPERATIONS`."""
    node = layer.setting("node_def")
    operation = node.get("op") if isinstance(node, dict) else node
    has_constants = bool(layer.setting("constants", None))
    if operation not in OPERATIONS or has_constants:
        raise NetworkError(
            f"operation is {shortened(operation)}{' with a constant' if has_constants else ''}; supported: "
            f"{', '.join(OPERATIONS)} of layers' outputs"
        )
    kind = OPERATIONS[operation]
    return omit(draft, layer, inputs) if kind is None else draft.add(kind, layer.name, inputs)


def _convolution_settings(layer: KerasLayer) -> Dict[str, Any]:
    """Return the settings that all 2-D convolutions have in common."""
    return {
        "strides": layer.setting("strides", 1),
        "padding": layer.setting("padding", "valid"),
        "dilation": layer.setting("dilation_rate", 1),
    }


def _with_bias_and_activation(draft: Draft, layer: KerasLayer) -> str:
    """Copy the bias, if there is one, and add the activation; return the name of the output's layer."""
    if layer.flag("use_bias", True):
        draft.copy_parameter(layer.name, "bias", layer, "bias")
    return _with_activation(draft, layer, layer.name)


def _with_activation(draft: Draft, layer: KerasLayer, source: str, name: Optional[str] = None) -> str:
    """Add the layer's activation after `source`, by default with a derived name; return the name of the output's layer.

    A linear activation adds no layer.
    """
    activation = layer.setting("activation", "linear") or "linear"
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise NetworkError(f"activation is {shortened(activation)}; supported: {', '.join(ACTIVATIONS)}")
    kind = ACTIVATIONS[activation]
    if kind is None:
        return source
    return draft.add(kind, name or draft.names.derive(layer.name, activation), source)
