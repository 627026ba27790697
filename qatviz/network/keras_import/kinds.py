"""What becomes of each kind of Keras layer.

One function for each kind, found by its name in `KINDS`. It adds layers to the draft and returns the name of the one
that puts out what the Keras layer puts out. Settings that it does not know may have no other than their neutral value.
"""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.errors import NetworkError
from qatviz.network import checks
from qatviz.network.keras_import.config import LayerSpec, shortened
from qatviz.network.keras_import.draft import Draft
from qatviz.network.keras_import.keras_layer import KerasLayer
from qatviz.network.layers import (
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Conv2D,
    Dense,
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

# tf.nn.fused_batch_norm, which Keras uses where there are four axes with the batch, replaces a smaller one by it.
_LEAST_FUSED_EPSILON = 1.001e-5

_ACTIVATIONS = {"linear": None, "relu": ReLU, "relu6": ReLU6, "softmax": Softmax}


class Kind(NamedTuple):
    """How a kind of Keras layer is imported.

    Attributes
    ----------
    convert : callable
        ``convert(draft, layer, inputs)`` returns the name of the layer that puts out the result.
    settings : tuple of str
        The settings that `convert` reads.
    weights : callable
        ``weights(config)`` names the layer's arrays: those Keras trains, those it does not.
    """

    convert: Callable[[Draft, KerasLayer, List[str]], str]
    settings: Tuple[str, ...] = ()
    weights: Optional[Callable[[Dict[str, Any]], Tuple[List[str], List[str]]]] = None


def check_settings(spec: LayerSpec) -> None:
    """Refuses a layer of a kind, or with a setting, that would not be imported exactly."""
    where = f"layer {spec.path[-1]!r} ({spec.kind})"
    if spec.kind not in KINDS:
        reason = "it holds Python code" if spec.kind == "Lambda" else "layers of this type are not known here"
        raise NetworkError(f"{where}: {reason}; supported: {', '.join(sorted(KINDS))}")
    for key, value in spec.config.items():
        if key in KINDS[spec.kind].settings or key in _WITHOUT_EFFECT or key.endswith(_OF_TRAINING):
            continue
        if key == "dtype":
            if _dtype(value) not in (None, "float32"):
                raise checks.refuse(where + ": dtype", _dtype(value), "'float32'")
        elif key not in _NEUTRAL:
            raise NetworkError(
                f"{where}: its setting {key} ({shortened(value)}) is not known; known: "
                f"{', '.join(KINDS[spec.kind].settings) or 'none'}"
            )
        elif value != _NEUTRAL[key]:
            raise checks.refuse(f"{where}: {key}", value, repr(_NEUTRAL[key]))


_WITHOUT_EFFECT = ("name", "trainable", "batch_input_shape", "batch_shape", "seed", "autocast")
_OF_TRAINING = ("_initializer", "_regularizer", "_constraint")
_NEUTRAL = {
    "data_format": "channels_last",
    "groups": 1,
    "keepdims": False,
    "renorm": False,
    "virtual_batch_size": None,
    "adjustment": None,
    "noise_shape": None,
    "negative_slope": 0,
    "threshold": 0,
    "synchronized": False,
    "input_dtype": None,
}


def _dtype(value: Any) -> Any:
    """The type's name, also where it is wrapped into a policy."""
    if isinstance(value, dict) and isinstance(value.get("config"), dict):
        return value["config"].get("name")
    return value


def _activation(draft: Draft, layer: KerasLayer, output: str, name: Optional[str] = None) -> str:
    """Adds the layer's activation, as `name` or as a layer derived of it."""
    activation = layer.setting("activation", "linear") or "linear"
    if not isinstance(activation, str) or activation not in _ACTIVATIONS:
        raise NetworkError(f"its activation is {shortened(activation)}; supported: {', '.join(_ACTIVATIONS)}")
    kind = _ACTIVATIONS[activation]
    if kind is None:
        return output
    return draft.add(kind, name or draft.names.derived(layer.name, activation), output)


def _window(layer: KerasLayer) -> Dict[str, Any]:
    """What the two-dimensional convolutions have in common."""
    return {
        "strides": layer.setting("strides", 1),
        "padding": layer.setting("padding", "valid"),
        "dilation": layer.setting("dilation_rate", 1),
    }


def _conv2d(draft, layer, inputs):
    use_bias = layer.flag("use_bias", True)
    draft.add(
        Conv2D,
        layer.name,
        inputs,
        filters=layer.setting("filters"),
        kernel_size=layer.setting("kernel_size"),
        use_bias=use_bias,
        **_window(layer),
    )
    draft.take(layer.name, "weights", layer, "kernel")
    return _biased(draft, layer, layer.name)


def _biased(draft: Draft, layer: KerasLayer, name: str) -> str:
    """Sets the bias of `name`, if there is one, and adds the activation."""
    if layer.flag("use_bias", True):
        draft.take(name, "bias", layer, "bias")
    return _activation(draft, layer, name)


def _depthwise_conv2d(draft, layer, inputs):
    draft.add(
        DepthwiseConv2D,
        layer.name,
        inputs,
        kernel_size=layer.setting("kernel_size"),
        depth_multiplier=layer.setting("depth_multiplier", 1),
        use_bias=layer.flag("use_bias", True),
        **_window(layer),
    )
    draft.take(layer.name, "weights", layer, "depthwise_kernel")
    return _biased(draft, layer, layer.name)


def _separable_conv2d(draft, layer, inputs):
    first = draft.add(
        DepthwiseConv2D,
        draft.names.derived(layer.name, "depthwise"),
        inputs,
        use_bias=False,
        kernel_size=layer.setting("kernel_size"),
        depth_multiplier=layer.setting("depth_multiplier", 1),
        **_window(layer),
    )
    draft.take(first, "weights", layer, "depthwise_kernel")
    draft.add(
        Conv2D,
        layer.name,
        first,
        filters=layer.setting("filters"),
        kernel_size=1,
        use_bias=layer.flag("use_bias", True),
    )
    draft.take(layer.name, "weights", layer, "pointwise_kernel")
    draft.note("SeparableConv2D is two layers here, the first of which is called <name>/depthwise", layer.name)
    return _biased(draft, layer, layer.name)


def _dense(draft, layer, inputs):
    """On more than one axis Keras multiplies along the last: a 1x1 convolution."""
    source, shape = inputs[0], draft.shapes[inputs[0]]
    use_bias = layer.flag("use_bias", True)
    if len(shape) == 1:
        draft.add(Dense, layer.name, inputs, units=layer.setting("units"), use_bias=use_bias)
        draft.take(layer.name, "weights", layer, "kernel")
        return _biased(draft, layer, layer.name)
    draft.add(
        Conv2D,
        layer.name,
        [draft.as_image(layer.name, source)],
        filters=layer.setting("units"),
        kernel_size=1,
        use_bias=use_bias,
    )
    draft.take(layer.name, "weights", layer, "kernel")
    draft.note("Dense on the last of several axes is a 1x1 convolution here", layer.name)
    if use_bias:
        draft.take(layer.name, "bias", layer, "bias")
    return _activation(draft, layer, draft.as_before(layer.name, layer.name, shape))


def _batch_normalization(draft, layer, inputs):
    """Where there is no layer to fold it into, it gets one: a depthwise 1x1 convolution with weights of 1."""
    source, shape = inputs[0], draft.shapes[inputs[0]]
    axis = layer.setting("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if axis not in (-1, len(shape)):
        raise checks.refuse("its setting axis", axis, f"-1 or {len(shape)}, the last")
    folded = draft.takes_batch_norm(source)
    if not folded:
        source = draft.as_image(layer.name, source)
        source = draft.add(
            DepthwiseConv2D, draft.names.derived(layer.name, "scale"), source, kernel_size=1, use_bias=False
        )
        draft.note(
            "BatchNormalization that follows no convolution or Dense of its own, into which it could be folded, "
            "gets <name>/scale before it, a depthwise 1x1 convolution with weights of 1",
            layer.name,
        )
    epsilon = checks.number_in(0, 1, "[]")("its setting epsilon", layer.setting("epsilon", 1e-3))
    if len(shape) == 3 and layer.setting("fused", None) is not False and epsilon < _LEAST_FUSED_EPSILON:
        draft.note(f"epsilon is {_LEAST_FUSED_EPSILON:g}, the least with which Keras computes on images", layer.name)
        epsilon = _LEAST_FUSED_EPSILON
    draft.add(BatchNorm, layer.name, source, momentum=layer.setting("momentum", 0.99), epsilon=epsilon)
    channels = shape[-1:]
    if not folded:
        draft.set(source, "weights", np.ones(channels, np.float32))
    for key, flag, neutral in (("gamma", "scale", np.ones), ("beta", "center", np.zeros)):
        if layer.flag(flag, True):
            draft.take(layer.name, key, layer, key)
        else:
            draft.set(layer.name, key, neutral(channels, np.float32))
    for key in ("moving_mean", "moving_variance"):
        draft.take(layer.name, key, layer, key)
    return layer.name if folded else draft.as_before(layer.name, layer.name, shape)


def _activation_layer(draft, layer, inputs):
    output = _activation(draft, layer, inputs[0], layer.name)
    return output if output == layer.name else _left_out(draft, layer, inputs)


def _left_out(draft, layer, inputs):
    draft.note(f"{layer.spec.kind} without effect outside of training is left out", layer.name)
    return inputs[0]


def _relu(draft, layer, inputs):
    limit = layer.setting("max_value", None)
    if limit not in (None, 6):
        raise checks.refuse("its setting max_value", limit, "None or 6")
    return draft.add(ReLU if limit is None else ReLU6, layer.name, inputs)


def _softmax(draft, layer, inputs):
    axis, last = layer.setting("axis", -1), len(draft.shapes[inputs[0]])
    if axis not in (-1, last):
        raise checks.refuse("its setting axis", axis, f"-1 or {last}, the last")
    return draft.add(Softmax, layer.name, inputs)


def _pool(kind):
    def convert(draft, layer, inputs):
        return draft.add(
            kind,
            layer.name,
            inputs,
            pool_size=layer.setting("pool_size"),
            strides=layer.setting("strides", None),
            padding=layer.setting("padding", "valid"),
        )

    return convert


def _global_max_pool(draft, layer, inputs):
    size = draft.shapes[inputs[0]][:2]
    largest = draft.add(MaxPool, draft.names.derived(layer.name, "max"), inputs, pool_size=size)
    return draft.add(Flatten, layer.name, largest)


def _concatenate(draft, layer, inputs):
    axis = checks.integer("its setting axis", layer.setting("axis", -1))
    if axis == 0:
        raise checks.refuse("its setting axis", axis, "any but the batch's")
    return draft.add(Concat, layer.name, inputs, axis=axis - 1 if axis > 0 else axis)


def _plain(kind, **settings):
    """The same in both; `settings` maps our names to Keras'."""

    def convert(draft, layer, inputs):
        return draft.add(kind, layer.name, inputs, **{own: layer.setting(key) for own, key in settings.items()})

    return convert


def _operation(draft, layer, inputs):
    """A TensorFlow function used among layers, such as `x + y` or `tf.nn.relu(x)`."""
    node = layer.setting("node_def")
    operation = node.get("op") if isinstance(node, dict) else node
    if operation not in OPERATIONS or layer.setting("constants", None):
        constant = " with a constant" if layer.setting("constants", None) else ""
        raise NetworkError(
            f"it computes {shortened(operation)}{constant}; supported: {', '.join(OPERATIONS)} of layers' outputs"
        )
    kind = OPERATIONS[operation]
    return _left_out(draft, layer, inputs) if kind is None else draft.add(kind, layer.name, inputs)


OPERATIONS = {"Add": Add, "AddV2": Add, "AddN": Add, "Relu": ReLU, "Relu6": ReLU6, "Softmax": Softmax, "Identity": None}


def _kernel_and_bias(*kernels):
    def names(config):
        return list(kernels) + ["bias"] * bool(config.get("use_bias", True)), []

    return names


def _statistics(config):
    return (
        ["gamma"] * bool(config.get("scale", True)) + ["beta"] * bool(config.get("center", True)),
        ["moving_mean", "moving_variance"],
    )


_CONVOLUTION = ("kernel_size", "strides", "padding", "dilation_rate", "activation", "use_bias")
_POOL = ("pool_size", "strides", "padding")
_BATCH_NORMALIZATION = Kind(
    _batch_normalization, ("axis", "momentum", "epsilon", "center", "scale", "fused"), _statistics
)

KINDS: Dict[str, Kind] = {
    "Activation": Kind(_activation_layer, ("activation",)),
    "ActivityRegularization": Kind(_left_out, ("l1", "l2")),
    "Add": Kind(_plain(Add)),
    "AlphaDropout": Kind(_left_out, ("rate",)),
    "AveragePooling2D": Kind(_pool(AveragePool), _POOL),
    "BatchNormalization": _BATCH_NORMALIZATION,
    "BatchNormalizationV1": _BATCH_NORMALIZATION,
    "BatchNormalizationV2": _BATCH_NORMALIZATION,
    "Concatenate": Kind(_concatenate, ("axis",)),
    "Conv2D": Kind(_conv2d, ("filters", *_CONVOLUTION), _kernel_and_bias("kernel")),
    "Dense": Kind(_dense, ("units", "activation", "use_bias"), _kernel_and_bias("kernel")),
    "DepthwiseConv2D": Kind(
        _depthwise_conv2d, ("depth_multiplier", *_CONVOLUTION), _kernel_and_bias("depthwise_kernel")
    ),
    "Dropout": Kind(_plain(Dropout, rate="rate"), ("rate",)),
    "Flatten": Kind(_plain(Flatten)),
    "GaussianDropout": Kind(_left_out, ("rate",)),
    "GaussianNoise": Kind(_left_out, ("stddev",)),
    "GlobalAveragePooling2D": Kind(_plain(GlobalAveragePool)),
    "GlobalMaxPooling2D": Kind(_global_max_pool),
    "MaxPooling2D": Kind(_pool(MaxPool), _POOL),
    "ReLU": Kind(_relu, ("max_value",)),
    "Reshape": Kind(_plain(Reshape, target_shape="target_shape"), ("target_shape",)),
    "SeparableConv2D": Kind(
        _separable_conv2d,
        ("filters", "depth_multiplier", *_CONVOLUTION),
        _kernel_and_bias("depthwise_kernel", "pointwise_kernel"),
    ),
    "Softmax": Kind(_softmax, ("axis",)),
    "SpatialDropout2D": Kind(_left_out, ("rate",)),
    "TensorFlowOpLayer": Kind(_operation, ("node_def", "constants")),
    "ZeroPadding2D": Kind(_plain(ZeroPad, padding="padding"), ("padding",)),
}
"""The kinds of Keras layers that can be imported, by the names of their classes."""
