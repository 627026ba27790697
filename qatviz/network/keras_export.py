"""Export of a network as the description of a functional Keras model (`model.to_json()`).

This is the inverse of :mod:`qatviz.network.keras_import`, for networks that were not imported from Keras, or of which a
new model is to be built. Descriptions are plain data: no TensorFlow is needed.
"""

import json
import re
from typing import Any, Callable, Dict, List, NamedTuple, Set, Tuple

from qatviz.errors import NetworkError
from qatviz.network.checks import Shape
from qatviz.network.graph import Network
from qatviz.network.keras_import.origin import KerasOrigin
from qatviz.network.keras_import.records import Path
from qatviz.network.layer import Layer, element_count
from qatviz.network.layers import Dropout, Slice
from qatviz.network.matmul import MatMul
from qatviz.network.sequences import begins_sequence, sequence_layers

#: Names of parameters in Keras by kind of layer, where they differ.
_ARRAYS = {
    "Conv2D": {"weights": "kernel"},
    "GroupedConv2D": {"weights": "kernel"},
    "Conv2DTranspose": {"weights": "kernel"},
    "DepthwiseConv2D": {"weights": "depthwise_kernel"},
    "Dense": {"weights": "kernel"},
    "Embedding": {"weights": "embeddings"},
}
#: Version of tf.keras in TensorFlow 1.15, which determines the form of the description.
_VERSION = "2.2.4-tf"
#: Way out of a refusal.
_IN_FLOAT = "the formats onnx-float and, in float, savedmodel have all layers"

#: Layers that the Keras of TensorFlow 1.15 has on images only.
_ONLY_2D = ("Conv2DTranspose", "DepthwiseConv2D", "UpsampleBilinear")
#: Layers whose output is no sequence, but whose input may be one.
_FROM_SEQUENCES = ("Flatten", "GlobalAveragePooling2D", "Reshape")

KerasClass = Tuple[str, Dict[str, Any]]
"""Class name and config of a Keras layer."""


class _Output(NamedTuple):
    """Output of a Keras layer: its name, and the number of the call among those of the layer."""

    layer: str
    call: int = 0


def keras_description(network: Network) -> KerasOrigin:
    """Return the description of the Keras model that is equivalent to a network, and its array for each parameter.

    Layers keep their names with two exceptions: names that begin with ``_``, which is not allowed for TensorFlow's
    scopes, and names such as "a/b", which Keras 3 does not allow.

    Keras raises the epsilon of a BatchNorm on images to `qatviz.network.keras_import.config.MIN_FUSED_EPSILON` if it is
    smaller; the caller must subtract the difference from the variance.

    Raises
    ------
    NetworkError
        If the Keras of TensorFlow 1.15 does not have a layer.
    """
    return _Description(network).origin()


class _Description:
    """Description of a network under construction; sequences have Keras' two axes (:mod:`.sequences`)."""

    def __init__(self, network: Network):
        self._network, self._shapes = network, network.shapes
        self._sequences = sequence_layers(network)
        self._names = _names(network)
        self._records = {
            self._names[name]: _record(
                self._names[name],
                "InputLayer",
                {"batch_input_shape": [None, *shape], "dtype": network.input_type(name), "sparse": False},
                [],
            )
            for name, shape in network.inputs
        }
        self._arrays: Dict[str, Tuple[Path, str]] = {}
        #: Outputs in Keras of layers in Keras' axes, by layer of the network.
        self._outputs: Dict[str, _Output] = {name: _Output(self._names[name]) for name in network.input_names}
        #: Outputs in Keras that reshape outputs that are sequences to images, by layer of the network.
        self._images: Dict[str, _Output] = {}

    def origin(self) -> KerasOrigin:
        """Describe all layers; return the description and the array of each parameter."""
        for layer in self._network.layers:
            self._add(layer)
            for parameter in self._network.parameter_shapes(layer.name):
                array = _ARRAYS.get(layer.kind, {}).get(parameter, parameter)
                self._arrays[f"{layer.name}.{parameter}"] = ((self._names[layer.name],), array)
        config = {
            "name": _valid_name(self._network.name),
            "layers": list(self._records.values()),
            "input_layers": [[name, 0, 0] for name, _ in self._inputs()],
            "output_layers": [[*self._in_shape(name), 0] for name in self._network.outputs],
        }
        record = {"class_name": "Model", "config": config, "keras_version": _VERSION, "backend": "tensorflow"}
        return KerasOrigin(json.dumps(record), self._arrays)

    def _inputs(self) -> List[Tuple[str, Shape]]:
        """Return Keras' names of the inputs, and their shapes."""
        return [(self._names[name], shape) for name, shape in self._network.inputs]

    def _add(self, layer: Layer) -> None:
        source, name = layer.inputs[0], self._names[layer.name]
        is_sequence, of_sequence = layer.name in self._sequences, source in self._sequences
        if is_sequence and begins_sequence(layer, self._shapes[source], self._shapes[layer.name]):
            self._outputs[layer.name] = self._outputs[source]
            return
        if isinstance(layer, Slice) and not _is_cropping(layer, self._shapes[source]):
            self._add_slice(layer)
            return
        if isinstance(layer, MatMul) and len(self._shapes[layer.name]) > 2:
            raise NetworkError(
                f"layer {layer.name!r}: Keras' Dot multiplies one matrix of an example by another, not "
                f"{element_count(self._shapes[layer.name][:-2])} of them"
            )
        kind, settings = _KINDS[layer.kind](layer)
        if isinstance(layer, Slice):
            settings = {"cropping": _cropping(layer, self._shapes[source]), "data_format": "channels_last"}
        if layer.kind == "Reshape":  # the resolved shape: Keras would keep a -1
            settings = {"target_shape": list(self._shapes[layer.name])}
        if isinstance(layer, Dropout) and layer.shared_axes:
            axes = range(len(self._shapes[layer.name]))
            settings["noise_shape"] = [None, *(1 if axis in layer.shared_axes else None for axis in axes)]
        if of_sequence and (is_sequence or kind in _FROM_SEQUENCES) and layer.kind not in _ONLY_2D:
            kind, settings = _in_one_axis(kind, settings)
            sources = [self._outputs[one] for one in layer.inputs]
        else:
            sources = [self._in_shape(one) for one in layer.inputs]
        self._outputs[layer.name] = self._called(layer, kind, settings, sources)
        if is_sequence and layer.kind in _ONLY_2D:
            output, shape = self._outputs[layer.name], self._shapes[layer.name][1:]
            self._outputs[layer.name] = self._reshaped(output, name + "_shape", shape)

    def _called(self, layer: Layer, kind: str, settings: Dict[str, Any], sources: List[_Output]) -> _Output:
        """Append a layer, or a further call of the one whose parameters it uses; return its output."""
        name = self._names[layer.owner]
        record = _record(name, kind, settings, sources)
        if layer.owner == layer.name:
            self._records[name] = record
            return _Output(name)
        owner = self._records[name]
        if owner["class_name"] != kind:
            raise NetworkError(
                f"layer {layer.name!r}: it is a {kind} in Keras, while {layer.owner!r}, whose weights it uses, is a "
                f"{owner['class_name']}, because one of them is on sequences; allowed: both of the same kind"
            )
        owner["inbound_nodes"] += record["inbound_nodes"]
        return _Output(name, len(owner["inbound_nodes"]) - 1)

    def _add_slice(self, layer: Slice) -> None:
        """Append a slice, axis by axis: each is the second one of an image that is cropped and thinned out."""
        name, shape = self._names[layer.name], list(self._shapes[layer.inputs[0]])
        last, target = self._in_shape(layer.inputs[0]), list(self._shapes[layer.name])
        for axis, part in enumerate(layer.slices):
            if part == slice(0, shape[axis], 1):
                continue
            outer, inner = element_count(tuple(shape[:axis])), element_count(tuple(shape[axis + 1 :]))
            last = self._reshaped(last, f"{name}_axis{axis}", (outer, shape[axis], inner))
            sides = [[0, 0], [part.start, shape[axis] - part.stop]]
            last = self._appended(last, f"{name}_crop{axis}", "Cropping2D", {"cropping": sides})
            if part.step > 1:
                every = {"pool_size": [1, 1], "strides": [1, part.step], "padding": "same"}
                last = self._appended(last, f"{name}_every{axis}", "MaxPooling2D", every)
            shape[axis] = target[axis]
        self._records[name] = _record(name, "Reshape", {"target_shape": target}, [last])
        self._outputs[layer.name] = _Output(name)
        if layer.name in self._sequences:
            self._outputs[layer.name] = self._reshaped(_Output(name), name + "_shape", tuple(target[1:]))

    def _in_shape(self, layer: str) -> _Output:
        """Return the output in Keras that has the network's shape."""
        if layer not in self._sequences:
            return self._outputs[layer]
        if layer not in self._images:
            name = self._names[layer] + "_image"
            self._images[layer] = self._reshaped(self._outputs[layer], name, self._shapes[layer])
        return self._images[layer]

    def _reshaped(self, source: _Output, name: str, shape: Shape) -> _Output:
        """Append a Reshape; return its output."""
        return self._appended(source, name, "Reshape", {"target_shape": list(shape)})

    def _appended(self, source: _Output, name: str, kind: str, settings: Dict[str, Any]) -> _Output:
        """Append a layer that is none of the network's; return its output."""
        taken = set(self._records) | set(self._names.values())
        while name in taken:
            name += "_"
        self._records[name] = _record(name, kind, settings, [source])
        return _Output(name)


def _is_cropping(layer: Slice, shape: Shape) -> bool:
    """Return whether a slice only removes rows and columns at the borders of an image."""
    is_whole = len(shape) == 3 and (layer.start[2], layer.stop[2]) == (0, shape[2])
    return is_whole and layer.strides == (1, 1, 1)


def _cropping(layer: Slice, shape: Shape) -> List[List[int]]:
    """Return the numbers of rows above and below, and of columns left and right, that a slice of an image removes."""
    return [[start, size - stop] for start, stop, size in zip(layer.start[:2], layer.stop, shape)]


def _in_one_axis(kind: str, settings: Dict[str, Any]) -> KerasClass:
    """Return the layer on sequences that is equivalent to a layer on images of height 1."""
    found = {key: value for key, value in settings.items() if key not in ("data_format", "interpolation")}
    for key in ("kernel_size", "strides", "dilation_rate", "pool_size"):
        if key in found:
            found[key] = [found[key][1]]
    for key in ("padding", "cropping", "size"):  # the padding of a convolution is a word
        if isinstance(found.get(key), list):
            found[key] = found[key][1]
    if "noise_shape" in found:
        found["noise_shape"] = found["noise_shape"][:1] + found["noise_shape"][2:]
    if kind == "Concatenate" and found["axis"] > 0:
        found["axis"] -= 1
    return kind.replace("2D", "1D"), found


def _record(name: str, kind: str, settings: Dict[str, Any], inputs: List[_Output]) -> Dict[str, Any]:
    calls = [[[*source, 0, {}] for source in inputs]] if inputs else []
    return {"name": name, "class_name": kind, "config": dict(settings, name=name), "inbound_nodes": calls}


def _names(network: Network) -> Dict[str, str]:
    """Return Keras' name of each layer; names that need no change are assigned first."""
    names: Dict[str, str] = {}
    taken: Set[str] = set()
    valid = {name: _valid_name(name) for name in (*network.input_names, *(layer.name for layer in network.layers))}
    for own in sorted(valid, key=lambda own: valid[own] != own):
        wanted = name = valid[own]
        count = 1
        while name in taken:
            count += 1
            name = f"{wanted}_{count}"
        taken.add(name)
        names[own] = name
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


def _grouped_conv2d(layer: Any) -> KerasClass:
    raise NetworkError(f"layer {layer.name!r}: the Keras of TensorFlow 1.15 has no groups in convolutions; {_IN_FLOAT}")


def _conv2d_transpose(layer: Any) -> KerasClass:
    return "Conv2DTranspose", {
        "filters": layer.filters,
        "kernel_size": list(layer.kernel_size),
        "strides": list(layer.strides),
        "padding": layer.padding.lower(),
        "output_padding": None if layer.output_padding is None else list(layer.output_padding),
        "use_bias": layer.use_bias,
        "data_format": "channels_last",
    }


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


def _upsampling(interpolation: str) -> Callable[[Any], KerasClass]:
    def record(layer: Any) -> KerasClass:
        settings = {"size": list(layer.size), "data_format": "channels_last"}
        return "UpSampling2D", dict(settings, interpolation=interpolation)

    return record


def _concat(layer: Any) -> KerasClass:
    return "Concatenate", {"axis": layer.axis + 1 if layer.axis >= 0 else layer.axis}


def _activation(layer: Any) -> KerasClass:
    form = layer.definition.keras
    if form is None:
        raise NetworkError(f"layer {layer.name!r}: the Keras of TensorFlow 1.15 has no {layer.function}; {_IN_FLOAT}")
    kind, settings = form(layer.parameters)
    return kind, dict(settings)


def _dot(layer: Any) -> KerasClass:
    if layer.factor != 1:
        raise NetworkError(f"layer {layer.name!r}: Keras has no product of matrices with a factor, {layer.factor:g}")
    return "Dot", {"axes": [2, 2 if layer.transpose_second else 1], "normalize": False}


def _constant(kind: str, **settings: Any) -> Callable[[Layer], KerasClass]:
    """Return the conversion of a layer whose config does not depend on the layer."""
    return lambda layer: (kind, settings)


_KINDS: Dict[str, Callable[[Any], KerasClass]] = {
    "Activation": _activation,
    "Add": _constant("Add"),
    "Average": _constant("Average"),
    "AveragePool": _pool("AveragePooling2D"),
    "BatchNorm": _batch_norm,
    "Concat": _concat,
    "Conv2D": _conv2d,
    "Conv2DTranspose": _conv2d_transpose,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise_conv2d,
    "Embedding": lambda layer: ("Embedding", {"input_dim": layer.input_dim, "output_dim": layer.output_dim}),
    "Dropout": lambda layer: ("Dropout", {"rate": layer.rate}),
    "Flatten": _constant("Flatten", data_format="channels_last"),
    "GlobalAveragePool": _constant("GlobalAveragePooling2D", data_format="channels_last"),
    "GroupedConv2D": _grouped_conv2d,
    "MatMul": _dot,
    "MaxPool": _pool("MaxPooling2D"),
    "Maximum": _constant("Maximum"),
    "Minimum": _constant("Minimum"),
    "Multiply": _constant("Multiply"),
    "Permute": lambda layer: ("Permute", {"dims": [axis + 1 for axis in layer.axes]}),
    "ReLU": _constant("ReLU"),
    "ReLU6": _constant("ReLU", max_value=6.0),
    "Reshape": _constant("Reshape"),
    "Slice": _constant("Cropping2D"),
    "Softmax": _constant("Softmax", axis=-1),
    "Subtract": _constant("Subtract"),
    "UpsampleBilinear": _upsampling("bilinear"),
    "UpsampleNearest": _upsampling("nearest"),
    "ZeroPad": lambda layer: (
        "ZeroPadding2D",
        {"padding": [list(pair) for pair in layer.padding], "data_format": "channels_last"},
    ),
}
