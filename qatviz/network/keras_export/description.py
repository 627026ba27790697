"""A network as a functional Keras model (`model.to_json()`): one function for each kind of layer, names kept."""

import json
import re
from typing import Any, Callable, Dict, FrozenSet, List, Set, Tuple, Union

from qatviz.network.checks import INPUT
from qatviz.network.graph import Network
from qatviz.network.keras_import.origin import KerasOrigin
from qatviz.network.layer import Layer

#: Keras' batch norm on images replaces a smaller epsilon by it (tf.nn.fused_batch_norm).
LEAST_FUSED_EPSILON = 1.001e-5

#: The names of parameters in Keras, where they differ, by kind.
_ARRAYS = {
    "Conv2D": {"weights": "kernel"},
    "DepthwiseConv2D": {"weights": "depthwise_kernel"},
    "Dense": {"weights": "kernel"},
}
#: tf.keras of TensorFlow 1.15, whose form of descriptions this is.
_VERSION = "2.2.4-tf"

Record = Tuple[str, Dict[str, Any]]


def keras_description(network: Network) -> KerasOrigin:
    """The Keras model that computes what a network computes, and whose array each parameter is.

    Layers keep their names, but for those that begin with ``_``, as TensorFlow's scopes do not, and for "a/b" where
    there is an "a", for in HDF5 files one would be in the other.

    A BatchNorm on images whose epsilon is below ``LEAST_FUSED_EPSILON`` has that one in Keras; who sets its variance
    takes the difference off.
    """
    names = _names(network)
    layers = [
        _record(
            INPUT,
            "InputLayer",
            {"batch_input_shape": [None, *list(network.input_shape)], "dtype": "float32", "sparse": False},
            [],
        )
    ]
    arrays = {}
    for layer in network.layers:
        kind, settings = _KINDS[layer.kind](layer)
        if layer.kind == "Reshape":  # Keras would not know the shape that -1 comes to
            settings = {"target_shape": list(network.shapes[layer.name])}
        layers.append(_record(names[layer.name], kind, settings, [names[source] for source in layer.inputs]))
        for parameter in network.parameter_shapes(layer.name):
            array = _ARRAYS.get(layer.kind, {}).get(parameter, parameter)
            arrays[f"{layer.name}.{parameter}"] = ((names[layer.name],), array)
    config = {
        "name": _spelled(network.name),
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
    """Keras' name of every layer; those that can stay are given out first."""
    names: Dict[str, str] = {INPUT: INPUT}
    taken: Set[str] = {INPUT}
    all_names = {layer.name for layer in network.layers}
    spelled = {name: _spelled(name, all_names) for name in all_names}
    for layer in sorted(network.layers, key=lambda layer: spelled[layer.name] != layer.name):
        wanted = name = spelled[layer.name]
        count = 1
        while name in taken:
            count += 1
            name = f"{wanted}_{count}"
        taken.add(name)
        names[layer.name] = name
    return names


def _spelled(name: str, others: Union[Set[str], FrozenSet[str]] = frozenset()) -> str:
    parts = name.split("/")
    if any("/".join(parts[:count]) in others for count in range(1, len(parts))):
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


def _conv2d(layer: Any) -> Record:
    return "Conv2D", dict(_convolution(layer), filters=layer.filters)


def _depthwise_conv2d(layer: Any) -> Record:
    return "DepthwiseConv2D", dict(_convolution(layer), depth_multiplier=layer.depth_multiplier)


def _dense(layer: Any) -> Record:
    return "Dense", {"units": layer.units, "use_bias": layer.use_bias}


def _batch_norm(layer: Any) -> Record:
    return "BatchNormalization", {
        "axis": -1,
        "momentum": layer.momentum,
        "epsilon": layer.epsilon,
        "center": True,
        "scale": True,
    }


def _pool(kind: str) -> Callable[[Any], Record]:
    def record(layer: Any) -> Record:
        return kind, {
            "pool_size": list(layer.pool_size),
            "strides": list(layer.strides),
            "padding": layer.padding.lower(),
            "data_format": "channels_last",
        }

    return record


def _concat(layer: Any) -> Record:
    return "Concatenate", {"axis": layer.axis + 1 if layer.axis >= 0 else layer.axis}


def _plain(kind: str, **settings: Any) -> Callable[[Layer], Record]:
    return lambda layer: (kind, settings)


_KINDS: Dict[str, Callable[[Any], Record]] = {
    "Add": _plain("Add"),
    "AveragePool": _pool("AveragePooling2D"),
    "BatchNorm": _batch_norm,
    "Concat": _concat,
    "Conv2D": _conv2d,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise_conv2d,
    "Dropout": lambda layer: ("Dropout", {"rate": layer.rate}),
    "Flatten": _plain("Flatten", data_format="channels_last"),
    "GlobalAveragePool": _plain("GlobalAveragePooling2D", data_format="channels_last"),
    "MaxPool": _pool("MaxPooling2D"),
    "ReLU": _plain("ReLU"),
    "ReLU6": _plain("ReLU", max_value=6.0),
    "Reshape": _plain("Reshape"),
    "Softmax": _plain("Softmax", axis=-1),
    "ZeroPad": lambda layer: (
        "ZeroPadding2D",
        {"padding": [list(pair) for pair in layer.padding], "data_format": "channels_last"},
    ),
}
