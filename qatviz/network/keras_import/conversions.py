"""Conversion of Keras layers: one function for each type, listed in `qatviz.network.keras_import.kinds`.

Each function adds one or more layers to the draft and returns the name of the layer that produces the Keras layer's
output.
"""

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Type

import numpy as np

from qatviz.errors import NetworkError
from qatviz.network import checks
from qatviz.network.activations import FUNCTION_PARAMETERS, Activation
from qatviz.network.keras_import.config import MIN_FUSED_EPSILON
from qatviz.network.keras_import.draft import Draft, KerasLayer
from qatviz.network.keras_import.records import shortened
from qatviz.network.keras_import.versions import KERAS3_ACTIVATIONS, OLD_INTERPOLATIONS
from qatviz.network.layer import Layer, element_count
from qatviz.network.layers import (
    BatchNorm,
    Concat,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePool,
    GroupedConv2D,
    MaxPool,
    Permute,
    ReLU,
    ReLU6,
    Reshape,
    Slice,
    Softmax,
    UpsampleBilinear,
    UpsampleNearest,
    ZeroPad,
)

Conversion = Callable[[Draft, KerasLayer, List[str]], str]
"""``conversion(draft, layer, inputs)`` returns the name of the layer that produces the output."""


class LayerForm(NamedTuple):
    """Layer of the network, without its name and inputs."""

    kind: Type[Layer]
    settings: Mapping[str, Any] = {}


def _function(name: str, **settings: Any) -> LayerForm:
    return LayerForm(Activation, dict(settings, function=name))


#: Layers by Keras' names of activations; None for the identity.
ACTIVATIONS: Dict[str, Optional[LayerForm]] = {
    "linear": None,
    "relu": LayerForm(ReLU),
    "relu6": LayerForm(ReLU6),
    "softmax": LayerForm(Softmax),
    **{
        name: _function(name)
        for name in ("sigmoid", "tanh", "elu", "selu", "softplus", "softsign", "mish", "exponential")
    },
    **{name: _function("hard_swish") for name in ("hard_swish", "hard_silu")},
    **{name: _function("swish") for name in ("swish", "silu")},
    "gelu": _function("gelu"),
    "celu": _function("elu"),
    "hard_tanh": _function("clip", threshold=-1.0, maximum=1.0),
    "hard_sigmoid": _function("hard_sigmoid"),
    "leaky_relu": _function("leaky_relu", slope=0.2),
}
_FORMS = {**ACTIVATIONS, KERAS3_ACTIVATIONS["hard_sigmoid"]: _function("hard_sigmoid", slope=1 / 6)}

#: Layers by Keras' names of interpolations.
_UPSAMPLINGS: Dict[str, Type[Layer]] = {"nearest": UpsampleNearest, "bilinear": UpsampleBilinear}


def convert_conv2d(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a convolution in 1-D or 2-D."""
    window = _Window(draft, layer, inputs[0])
    groups = checks.positive_integer("setting groups", layer.setting("groups", None) or 1)
    form = LayerForm(GroupedConv2D, {"groups": groups}) if groups > 1 else LayerForm(Conv2D)
    draft.add(
        form.kind,
        layer.name,
        window.source,
        filters=layer.setting("filters"),
        kernel_size=window.kernel_size,
        use_bias=layer.flag("use_bias", True),
        strides=window.strides,
        **window.rest,
        **form.settings,
    )
    draft.copy_parameter(layer.name, "weights", layer, "kernel")
    return _with_bias_and_activation(draft, layer)


def convert_conv2d_transpose(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a transposed convolution in 1-D or 2-D, without dilation."""
    window = _Window(draft, layer, inputs[0])
    if checks.pair("setting dilation_rate", window.rest["dilation"]) != (1, 1):
        raise checks.invalid_value("setting dilation_rate", layer.setting("dilation_rate"), "1")
    extra = layer.setting("output_padding", None)
    if window.is_sequence and extra is not None:
        extra = (0, extra[0] if isinstance(extra, (list, tuple)) and len(extra) == 1 else extra)
    draft.add(
        Conv2DTranspose,
        layer.name,
        window.source,
        filters=layer.setting("filters"),
        kernel_size=window.kernel_size,
        strides=window.strides,
        padding=window.rest["padding"],
        output_padding=extra,
        use_bias=layer.flag("use_bias", True),
    )
    draft.copy_parameter(layer.name, "weights", layer, "kernel")
    kernel = layer.array("kernel")
    if kernel is not None and kernel.ndim > 1:  # Keras has [..., filters, in]
        draft.set_parameter(layer.name, "weights", kernel.swapaxes(-1, -2))
    return _with_bias_and_activation(draft, layer)


def convert_depthwise_conv2d(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a depthwise convolution in 1-D or 2-D."""
    _add_depthwise(draft, layer, inputs[0], layer.name, layer.flag("use_bias", True))
    return _with_bias_and_activation(draft, layer)


def convert_separable_conv2d(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a separable convolution to a depthwise and a 1×1 convolution."""
    depthwise = draft.names.derive(layer.name, "depthwise")
    _add_depthwise(draft, layer, inputs[0], depthwise, False)
    draft.add(
        Conv2D,
        layer.name,
        depthwise,
        filters=layer.setting("filters"),
        kernel_size=1,
        use_bias=layer.flag("use_bias", True),
    )
    draft.copy_parameter(layer.name, "weights", layer, "pointwise_kernel")
    draft.add_note(f"{layer.spec.kind} is imported as two layers, the first of them named <name>/depthwise", layer.name)
    return _with_bias_and_activation(draft, layer)


def _add_depthwise(draft: Draft, layer: KerasLayer, source: str, name: str, use_bias: bool) -> None:
    """Add a depthwise convolution of this name, with the depthwise kernel of a Keras layer."""
    window = _Window(draft, layer, source)
    strides = window.strides
    draft.add(
        DepthwiseConv2D,
        name,
        window.source,
        use_bias=use_bias,
        kernel_size=window.kernel_size,
        depth_multiplier=layer.setting("depth_multiplier", 1),
        # TensorFlow requires equal strides; that of the only row has no effect.
        strides=strides[1] if window.is_sequence and isinstance(strides, tuple) else strides,
        **window.rest,
    )
    draft.copy_parameter(name, "weights", layer, "depthwise_kernel")


def convert_dense(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a Dense; on an input with several axes, it multiplies along the last and becomes a 1×1 convolution."""
    source, shape = inputs[0], draft.keras_shape(inputs[0])
    use_bias = layer.flag("use_bias", True)
    if len(shape) == 1 and draft.owner_kind() is not Conv2D:
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
    """Convert a batch norm; without a layer to fold it into, add a depthwise 1×1 convolution with weights of 1.

    :mod:`qatviz.network.forward_folding` can fold that forward, into a layer behind it, for a user who wants it.
    """
    source, shape = inputs[0], draft.keras_shape(inputs[0])
    axis = layer.setting("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if axis not in (-1, len(shape)):
        raise checks.invalid_value("setting axis", axis, f"-1 or {len(shape)} (the last axis)")
    is_folded = draft.can_fold_batch_norm(source)
    if not is_folded:
        source = draft.reshape_to_image(layer.name, source)
        scale = draft.names.derive(layer.name, "scale")
        source = draft.add(DepthwiseConv2D, scale, source, kernel_size=1, use_bias=False)
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
    """Convert an Activation; a linear one is omitted."""
    output = _with_activation(draft, layer, inputs[0], layer.name)
    return output if output == layer.name else omit(draft, layer, inputs)


def omit(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Omit a layer that has no effect in inference: its output is its input."""
    draft.add_note(f"{layer.spec.kind} is omitted, since it has no effect in inference", layer.name)
    return inputs[0]


def convert_dropout(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a Dropout; the axes of length 1 in its noise_shape, which counts the batch, are those that it shares."""
    shape, noise = draft.keras_shape(inputs[0]), layer.setting("noise_shape", None)
    if noise is None:
        return _add_dropout(draft, layer, inputs, ())
    sizes = list(noise[1:]) if isinstance(noise, (list, tuple)) and noise[:1] in ([None], (None,)) else []
    if len(sizes) != len(shape) or any(found not in (None, 1, size) for found, size in zip(sizes, shape)):
        allowed = f"None for the batch, then 1 or None for each axis of {shape}"
        raise checks.invalid_value("setting noise_shape", noise, allowed)
    return _add_dropout(draft, layer, inputs, [axis for axis, size in enumerate(sizes) if size == 1])


def convert_spatial_dropout(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a spatial dropout, which drops whole channels, to a Dropout that shares all other axes."""
    return _add_dropout(draft, layer, inputs, range(len(draft.keras_shape(inputs[0])) - 1))


def _add_dropout(draft: Draft, layer: KerasLayer, inputs: List[str], axes: Sequence[int]) -> str:
    """Add a Dropout that shares axes of Keras' shape."""
    first = int(draft.is_sequence(inputs[0]))  # an image has one axis more
    shared = tuple(axis + first for axis in axes)
    return draft.add(Dropout, layer.name, inputs, rate=layer.setting("rate"), shared_axes=shared)


def convert_relu(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a ReLU; one with a slope, a threshold or another maximum than 6 becomes an Activation."""
    limit = layer.setting("max_value", None)
    slope, threshold = layer.setting("negative_slope", 0), layer.setting("threshold", 0)
    if not slope and not threshold and limit in (None, 6):
        return draft.add(ReLU if limit is None else ReLU6, layer.name, inputs)
    settings = {"slope": slope or 0, "threshold": threshold or 0, "maximum": limit}
    return draft.add(Activation, layer.name, inputs, function="relu", **settings)


def convert_function(function: str, *slopes: str, **settings: Any) -> Conversion:
    """Return the conversion to an Activation, whose slope has one of the names ``slopes`` in Keras."""

    def convert(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
        found = [layer.setting(key) for key in slopes if layer.setting(key, None) is not None]
        slope = {"slope": found[0]} if found else {}
        return draft.add(Activation, layer.name, inputs, function=function, **{**settings, **slope})

    return convert


def convert_named_function(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a function that is no layer in Keras: its settings are those of an Activation."""
    function = layer.setting("function")
    settings = {key: layer.setting(key, None) for key in FUNCTION_PARAMETERS}
    if layer.flag("merged", False):
        draft.add_note(f"the layers of a {function} are imported as one, with the name of the last", layer.name)
    if function == "clip" and settings["threshold"] == 0 and settings["maximum"] in (None, 6):
        return draft.add(ReLU if settings["maximum"] is None else ReLU6, layer.name, inputs)
    return draft.add(Activation, layer.name, inputs, function=function, **settings)


def convert_thresholded_relu(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a ThresholdedReLU, which maps its threshold to 0; that of an Activation is the next float32 above it."""
    theta = np.nextafter(np.float32(layer.setting("theta", 1.0)), np.float32(np.inf))
    return draft.add(Activation, layer.name, inputs, function="relu", threshold=float(theta))


def convert_softmax(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a Softmax along the last axis."""
    axis, last = layer.setting("axis", -1), len(draft.keras_shape(inputs[0]))
    if axis not in (-1, last):
        raise checks.invalid_value("setting axis", axis, f"-1 or {last} (the last axis)")
    return draft.add(Softmax, layer.name, draft.as_plain(inputs[0]))


def convert_pooling(kind: Type[Layer]) -> Conversion:
    """Return the conversion of a pooling layer to `kind`."""

    def convert(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
        return draft.add(
            kind,
            layer.name,
            inputs,
            pool_size=_in_two_axes(draft, layer, inputs[0], "pool_size"),
            strides=_in_two_axes(draft, layer, inputs[0], "strides", None),
            padding=layer.setting("padding", "valid"),
        )

    return convert


def convert_global_average_pooling(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a global average pooling in 1-D or 2-D."""
    draft.add(GlobalAveragePool, layer.name, inputs)
    return _with_kept_axes(draft, layer, inputs[0])


def convert_global_max_pooling(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a global max-pooling to a MaxPool of the whole image and a Flatten."""
    size = draft.shapes[inputs[0]][:2]
    pool = draft.add_part(MaxPool, layer.name, "max", inputs, pool_size=size)
    draft.add(Flatten, layer.name, pool)
    return _with_kept_axes(draft, layer, inputs[0])


def _with_kept_axes(draft: Draft, layer: KerasLayer, source: str) -> str:
    """Add a Reshape that keeps the pooled axes with length 1, if the layer does; return the name of the output."""
    if not layer.flag("keepdims", False):
        return layer.name
    rank = len(draft.keras_shape(source))
    target_shape = (*(1,) * (rank - 1), *draft.shapes[layer.name])
    return draft.add_part(Reshape, layer.name, "keepdims", layer.name, target_shape=target_shape)


def convert_zero_padding_1d(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a ZeroPadding1D."""
    return draft.add(ZeroPad, layer.name, inputs, padding=((0, 0), layer.setting("padding")))


def convert_cropping(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a cropping in 1-D or 2-D to a Slice."""
    shape = draft.shapes[inputs[0]]
    if draft.is_sequence(inputs[0]):
        sides = checks.border_widths("setting cropping", ((0, 0), layer.setting("cropping")))
    else:
        sides = checks.border_widths("setting cropping", layer.setting("cropping"))
    return draft.add(
        Slice,
        layer.name,
        inputs,
        start=(*(before for before, _ in sides), 0),
        stop=(*(max(size - after, 0) for (_, after), size in zip(sides, shape)), shape[2]),
    )


def convert_permute(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a Permute; Keras counts axes from 1, as the batch is axis 0."""
    axes = checks.shape("setting dims", layer.setting("dims"))
    return draft.add(Permute, layer.name, inputs, axes=tuple(axis - 1 for axis in axes))


def convert_upsampling(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert an UpSampling in 1-D or 2-D, which repeats or interpolates values."""
    interpolation = layer.setting("interpolation", "nearest")
    if interpolation in OLD_INTERPOLATIONS.values():
        raise NetworkError(
            "the package Keras up to 2.3.1 interpolates between the corners of pixels, layers here and Keras in "
            "TensorFlow between their centers; nearest: the same model in tf.keras, which has to be trained anew"
        )
    if interpolation not in _UPSAMPLINGS:
        allowed = " or ".join(map(repr, _UPSAMPLINGS))
        raise checks.invalid_value("setting interpolation", interpolation, allowed)
    size = _in_two_axes(draft, layer, inputs[0], "size")
    return draft.add(_UPSAMPLINGS[interpolation], layer.name, inputs, size=size)


def convert_repeat_vector(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert the repetition of a vector (features) to a sequence (n, features)."""
    count, features = checks.positive_integer("setting n", layer.setting("n")), draft.shapes[inputs[0]][-1]
    if len(draft.shapes[inputs[0]]) != 1:
        raise checks.invalid_value("input shape", draft.shapes[inputs[0]], "one axis (features)")
    pixel = draft.add_part(Reshape, layer.name, "image", inputs, target_shape=(1, 1, features))
    repeated = draft.add_part(UpsampleNearest, layer.name, "repeat", pixel, size=(1, count))
    return draft.add(Reshape, layer.name, repeated, target_shape=(count, features))


def convert_concatenate(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a Concatenate; in Keras, the batch is axis 0."""
    axis = checks.integer("setting axis", layer.setting("axis", -1))
    if axis == 0:
        raise checks.invalid_value("setting axis", axis, "any axis except the batch axis")
    if axis > 0:
        axis -= 0 if draft.is_sequence(inputs[0]) else 1  # an image has one axis more
    return draft.add(Concat, layer.name, inputs, axis=axis)


def convert_same(kind: Type[Layer], *settings: str) -> Conversion:
    """Return the conversion to a layer with the same behavior, and the same settings under the same names."""

    def convert(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
        return draft.add(kind, layer.name, inputs, **{key: layer.setting(key) for key in settings})

    return convert


def convert_flattened_elements(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a Flatten of each element of a sequence."""
    length, *rest = draft.shapes[inputs[0]]
    return draft.add(Reshape, layer.name, inputs, target_shape=(length, element_count(tuple(rest))))


class _Window:
    """Settings of a Keras convolution's window as those of a 2-D one, and its input, padded if the padding is causal.

    Attributes
    ----------
    source : str
        Name of its input: a layer that pads, if the padding is causal.
    is_sequence : bool
        True for a convolution in 1-D.
    kernel_size, strides
        For rows and columns, or an integer for both.
    rest : dict
        Padding and dilation.
    """

    def __init__(self, draft: Draft, layer: KerasLayer, source: str):
        self.is_sequence = draft.is_sequence(source)
        self.kernel_size = _in_two_axes(draft, layer, source, "kernel_size")
        self.strides = _in_two_axes(draft, layer, source, "strides", 1)
        dilation = _in_two_axes(draft, layer, source, "dilation_rate", 1)
        padding = layer.setting("padding", "valid")
        if padding == "causal" and self.is_sequence:
            before = (checks.pair("setting kernel_size", self.kernel_size)[1] - 1) * dilation[1]
            name = draft.names.derive(layer.name, "causal")
            source, padding = draft.add(ZeroPad, name, source, padding=((0, 0), (before, 0))), "valid"
        self.source = source
        self.rest: Dict[str, Any] = {"padding": padding, "dilation": dilation}


def _in_two_axes(draft: Draft, layer: KerasLayer, source: str, key: str, *default: Any) -> Any:
    """Return a setting of a layer for rows and columns; that of a layer on a sequence is for its only axis."""
    value = layer.setting(key, *default)
    if not draft.is_sequence(source) or value is None:
        return value
    return (1, value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value)


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
    return add_activation(draft, activation, source, name or "", layer.name)


def add_activation(draft: Draft, activation: Any, source: str, name: str, layer: str = "") -> str:
    """Add an activation by Keras' name for it, after `source`; return the name of the output's layer.

    Without a `name`, it is derived from that of the `layer`. A linear activation adds no layer.
    """
    if not isinstance(activation, str) or activation not in _FORMS:
        raise NetworkError(f"activation is {shortened(activation)}; supported: {', '.join(ACTIVATIONS)}")
    form = _FORMS[activation]
    if form is None:
        return source
    if form.kind is Softmax:  # the output, in Keras' shape
        source = draft.as_plain(source)
    return draft.add(form.kind, name or draft.names.derive(layer, activation), source, **form.settings)
