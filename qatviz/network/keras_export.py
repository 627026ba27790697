"""Export of a network as the description of a functional Keras model (`model.to_json()`).

This is the inverse of :mod:`qatviz.network.keras_import`, for networks that were not imported from Keras. Like all
descriptions it is plain data: no TensorFlow is needed.
"""

import json
import re
from typing import Any, Callable, Dict, List, Set, Tuple

from qatviz.network.checks import INPUT
from qatviz.network.graph import Network
from qatviz.network.keras_import.config import Path
from qatviz.network.keras_import.origin import KerasOrigin
from qatviz.network.layer import Layer

#: Names of parameters in Keras by kind of layer, where they differ.
_ARRAYS = {
    "Conv2D": {"weights": "kernel"},
    "DepthwiseConv2D": {"weights": "depthwise_kernel"},
    "Dense": {"weights": "kernel"},
}
#: Version of tf.keras in TensorFlow 1.15, which determines the form of the description.
_VERSION = "2.2.4-tf"

KerasClass = Tuple[str, Dict[str, Any]]
"""Class name and config of a Keras layer."""


def keras_description(network: Network) -> KerasOrigin:
    """Return the description of the Keras model that is equivalent to a network, and its array for each parameter.

    Layers keep their names with two exceptions: names that begin with ``_``, which is not allowed for TensorFlow's
    scopes, and names such as "a/b", which Keras 3 does not allow.

    Keras raises the epsilon of a BatchNorm on images to `qatviz.network.keras_import.config.MIN_FUSED_EPSILON` if it is
    smaller; the caller must subtract the difference from the variance.
    """
    names = _names(network)
    layers = [
        _record(
            INPUT,
            "InputLayer",
            {"batch_input_shape": [None, *network.input_shape], "dtype": "float32", "sparse": False},
            [],
        )
    ]
    arrays: Dict[str, Tuple[Path, str]] = {}
    for layer in network.layers:
        kind, settings = _KINDS[layer.kind](layer)
        if layer.kind == "Reshape":  # the resolved shape: Keras would keep a -1
            settings = {"target_shape": list(network.shapes[layer.name])}
        layers.append(_record(names[layer.name], kind, settings, [names[source] for source in layer.inputs]))
        for parameter in network.parameter_shapes(layer.name):
            array = _ARRAYS.get(layer.kind, {}).get(parameter, parameter)
            arrays[f"{layer.name}.{parameter}"] = ((names[layer.name],), array)
    config = {
        "name": _valid_name(network.name),
        "layers": layers,
        "input_layers": [[INPUT, 0, 0]],
        "output_layers": [[names[network.output], 0, 0]],
    }
    record = {"class_name": "Model", "config": config, "keras_version": _VERSION, "backend": "tensorflow"}
    return KerasOrigin(json.dumps(record), arrays)


def _record(name: str, kind: str, settings: Dict[str, Any], inputs: List[str]) -> Dict[str, Any]:
    calls = [[[source, 0, 0, {}] for source in inputs]] if inputs else []
    return {"name": name, "class_name": kind, "config": dict(settings, name=name), "inbound_nodes": calls}


def _names(network: Network) -> Dict[str, str]:
    """Return Keras' name of each layer; names that need no change are assigned first."""
    names: Dict[str, str] = {INPUT: INPUT}
    taken: Set[str] = {INPUT}
    valid = {layer.name: _valid_name(layer.name) for layer in network.layers}
    for layer in sorted(network.layers, key=lambda layer: valid[layer.name] != layer.name):
        wanted = name = valid[layer.name]
        count = 1
        while name in taken:
            count += 1
            name = f"{wanted}_{count}"
        taken.add(name)
        names[layer.name] = name
    return names


def _valid_name(name: str) -> str:
    """Return a valid name for Keras."""
    name = name.replace("/", "_")
    return name if re.match("[A-Za-z]", name) else "layer" + name


def _convolution(layer: Any) -> Dict[str, Any]:
    return {
        "kernel_size": list(layer.kernel_size),
        "strides": list(layer.strides),
        "padding": layer.padding.lower(),
        "dilation_rate": list(layer.dilation),
        "use_bias": layer.use_bias,
        "data_format": "channels_last",
    }


def _conv2d(layer: Any) -> KerasClass:
    return "Conv2D", dict(_convolution(layer), filters=layer.filters)


def _depthwise_conv2d(layer: Any) -> KerasClass:
    return "DepthwiseConv2D", dict(_convolution(layer), depth_multiplier=layer.depth_multiplier)


def _dense(layer: Any) -> KerasClass:
    return "Dense", {"units": layer.units, "use_bias": layer.use_bias}


def _batch_norm(layer: Any) -> KerasClass:
    return "BatchNormalization", {
        "axis": -1,
        "momentum": layer.momentum,
        "epsilon": layer.epsilon,
        "center": True,
        "scale": True,
    }


def _pool(kind: str) -> Callable[[Any], KerasClass]:
    def record(layer: Any) -> KerasClass:
        return kind, {
            "pool_size": list(layer.pool_size),
            "strides": list(layer.strides),
            "padding": layer.padding.lower(),
            "data_format": "channels_last",
        }

    return record


def _concat(layer: Any) -> KerasClass:
    return "Concatenate", {"axis": layer.axis + 1 if layer.axis >= 0 else layer.axis}


def _constant(kind: str, **settings: Any) -> Callable[[Layer], KerasClass]:
    """Return the conversion of a layer whose config does not depend on the layer."""
    return lambda layer: (kind, settings)


_KINDS: Dict[str, Callable[[Any], KerasClass]] = {
    "Add": _constant("Add"),
    "AveragePool": _pool("AveragePooling2D"),
    "BatchNorm": _batch_norm,
    "Concat": _concat,
    "Conv2D": _conv2d,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise_conv2d,
    "Dropout": lambda layer: ("Dropout", {"rate": layer.rate}),
    "Flatten": _constant("Flatten", data_format="channels_last"),
    "GlobalAveragePool": _constant("GlobalAveragePooling2D", data_format="channels_last"),
    "MaxPool": _pool("MaxPooling2D"),
    "ReLU": _constant("ReLU"),
    "ReLU6": _constant("ReLU", max_value=6.0),
    "Reshape": _constant("Reshape"),
    "Softmax": _constant("Softmax", axis=-1),
    "ZeroPad": lambda layer: (
        "ZeroPadding2D",
        {"padding": [list(pair) for pair in layer.padding], "data_format": "channels_last"},
    ),
}
