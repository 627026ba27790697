"""State of an import: the Keras layer to be converted, and the network of the layers added so far."""

from dataclasses import replace
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple, Type, Union

import numpy as np

from qatviz.errors import NetworkError
from qatviz.network import checks
from qatviz.network.checks import Shape
from qatviz.network.embedding import Embedding
from qatviz.network.graph import WEIGHTED, Network
from qatviz.network.inputs import NetworkInput
from qatviz.network.keras_import.array_parts import array_part
from qatviz.network.keras_import.config import LayerSpec
from qatviz.network.keras_import.names import Names
from qatviz.network.keras_import.records import Path
from qatviz.network.layer import Layer, element_count
from qatviz.network.layers import DepthwiseConv2D, Dropout, Flatten, Reshape, Softmax
from qatviz.network.plan import PASSING, SAME_GRID
from qatviz.network.sequences import image_of_sequence, keeps_sequence

_MISSING = object()


class KerasLayer:
    """Keras layer to be converted: its description, its name in the network, and its arrays by Keras' names.

    The arrays are None if only the architecture is imported.
    """

    def __init__(self, spec: LayerSpec, name: str, arrays: Optional[Dict[str, np.ndarray]]):
        self.spec, self.name = spec, name
        self._arrays = arrays

    def setting(self, key: str, default: Any = _MISSING) -> Any:
        """Return a setting; raise a `NetworkError` if it is missing and there is no default."""
        value = self.spec.config.get(key, default)
        if value is _MISSING:
            raise NetworkError(f"setting {key} is missing")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Return a boolean setting, which files of some versions have as 0 or 1."""
        value = self.setting(key, default)
        return checks.boolean("setting " + key, bool(value) if value in (0, 1) else value)

    def array(self, key: str) -> Optional[np.ndarray]:
        """Return an array, or a part of it (:func:`.array_parts.array_part`); None if only the layers are imported."""
        if self._arrays is None:
            return None
        key, part = array_part(key)
        if key not in self._arrays:
            raise NetworkError(f"array {key} is missing; found: {', '.join(sorted(self._arrays)) or 'none'}")
        array = self._arrays[key]
        if part is None:
            return array
        if part.axis >= array.ndim:
            raise NetworkError(f"array {key} has shape {array.shape}; expected: at least {part.axis + 1} axes")
        return array.take(np.arange(part.start, min(part.stop, array.shape[part.axis])), part.axis)


class Scaling(NamedTuple):
    """Constants of ``x * scale + offset``, one for each channel, in double precision."""

    scale: np.ndarray
    offset: np.ndarray


class Draft:
    """Network under construction; names in arguments and results are names in the network.

    Parameters
    ----------
    inputs : sequence of NetworkInput
    names : Names
    are_paired : callable
        ``are_paired(layer, norm)`` returns whether each call of a Keras layer is followed by one of a batch norm only,
        and vice versa.

    Attributes
    ----------
    inputs : tuple of NetworkInput
    names : Names
    shapes : dict of str to tuple of int
        Shapes of the output of each layer and of the inputs.
    consumer_counts : dict of str to int
        Number of Keras layers that have a layer's output as an input.
    origins : dict of str to tuple
        For each ``layer.parameter`` from Keras, the path of the Keras layer and Keras' name of the array.
    scalings : dict of str to Scaling or None
        Layers that scale their input by constants, which are None if only the architecture is imported.
    constants : set of str
        Parameters ``layer.parameter`` with values of the architecture, which are not trained.
    rearranged : set of str
        Convolutions that only rearrange the channels of their input.
    shared : set of str
        Layers that use the parameters of another one, because Keras calls a layer more than once.
    """

    def __init__(self, inputs: Sequence[NetworkInput], names: Names, are_paired: Callable[[Path, Path], bool]):
        self.inputs, self.names, self._are_paired = tuple(inputs), names, are_paired
        self.shapes: Dict[str, Shape] = dict(inputs)
        self.consumer_counts: Dict[str, int] = {}
        self.origins: Dict[str, Tuple[Path, str]] = {}
        #: Outputs that are sequences, represented by images of height 1.
        self._sequences: Set[str] = set()
        #: Layers that reshape an output of two axes to an image, and a sequence to Keras' axes, by that output.
        self._images: Dict[str, str] = {}
        self._plain: Dict[str, str] = {}
        self.rearranged: Set[str] = set()
        self.constants: Set[str] = set()
        self.scalings: Dict[str, Optional[Scaling]] = {}
        self.shared: Set[str] = set()
        #: Outputs with the grid of an Embedding's weights.
        self._embedded: Set[str] = set()
        #: Layers that give them grids of their own.
        self._rescaled: Dict[str, str] = {}
        #: Layers with parameters that the first call of each Keras layer added; those that the present call may share.
        self._owners: Dict[Path, List[str]] = {}
        self._unshared: Optional[List[str]] = None
        self._keras_layers: Dict[str, Path] = {}
        self._present: Path = ()
        self._notes: Dict[str, List[str]] = {}
        self._layers: Dict[str, Layer] = {}
        self._values: Dict[str, Optional[np.ndarray]] = {}

    def begin_call(self, layer: Path, has_weights: bool) -> None:
        """Begin the conversion of a call of a Keras layer.

        If it ``has_weights``, the layers with parameters that its first call adds share them with those of later calls.
        """
        self._present, first = layer, layer not in self._owners
        owners = self._owners.setdefault(layer, []) if has_weights else []
        self._unshared = None if first or not has_weights else list(owners)

    def owner_kind(self) -> Optional[Type[Layer]]:
        """Return the kind of the layer whose parameters the next layer with some will use; None if it has its own."""
        return type(self._layers[self._unshared[0]]) if self._unshared else None

    def add(self, kind: Type[Layer], name: str, inputs: Union[str, Sequence[str]], **settings: Any) -> str:
        """Add a layer and return its name.

        If inputs and output of a layer share one grid, inputs on the grid of an Embedding's weights get one of their
        own.
        """
        names: Any = inputs
        if issubclass(kind, SAME_GRID):
            names = [self._with_own_grid(source) for source in ([inputs] if isinstance(inputs, str) else inputs)]
        layer = self._with_owner(kind(name, names, **settings))
        self._keras_layers[name] = self._present
        self.shapes[name] = layer.output_shape([self.shapes[source] for source in layer.inputs])
        self._layers[name] = layer
        if kind is Embedding or (issubclass(kind, PASSING) and layer.inputs[0] in self._embedded):
            self._embedded.add(name)
        if keeps_sequence(layer, [source in self._sequences for source in layer.inputs], self.shapes[name]):
            self._sequences.add(name)
        return name

    def add_part(
        self, kind: Type[Layer], name: str, part: str, inputs: Union[str, Sequence[str]], **settings: Any
    ) -> str:
        """Add a layer that computes a part of the layer `name`, and return its name."""
        return self.add(kind, self.names.derive(name, part), inputs, **settings)

    def _with_own_grid(self, source: str) -> str:
        """Return the name of an output with the values of ``source``, but not with the grid of an Embedding's weights.

        If necessary, a depthwise 1×1 convolution with weights of 1 is added, once.
        """
        if source not in self._embedded:
            return source
        if source not in self._rescaled:
            shape, scale = self.shapes[source], self.names.derive(source, "scale")
            self.add(DepthwiseConv2D, scale, self.reshape_to_image(scale, source), kernel_size=1, use_bias=False)
            self.set_constant(scale, "weights", np.ones(shape[-1:], np.float32))
            self.add_note("a depthwise 1×1 convolution with weights of 1 is added, for a grid of its own", scale)
            result = scale
            if self.shapes[scale] != shape:
                result = self.add(Reshape, self.names.derive(source, "scaled"), scale, target_shape=shape)
            self._rescaled[source] = result
        return self._rescaled[source]

    def _with_owner(self, layer: Layer) -> Layer:
        """Return a layer with the parameters of the one that the first call of the Keras layer added in its place."""
        if layer.owner != layer.name:
            self.shared.add(layer.name)
            return layer.with_owner(self._layers[layer.owner].owner)
        if not hasattr(layer, "shares") or self._present not in self._owners:
            return layer
        if self._unshared is None:
            self._owners[self._present].append(layer.name)
            return layer
        owner = self._layers[self._unshared.pop(0)] if self._unshared else None
        if owner is None or type(owner) is not type(layer):
            raise NetworkError(
                f"it is called on inputs of different shapes, for which its weights are those of a {layer.kind} and of "
                f"{f'a {owner.kind}' if owner else 'no layer'}; allowed: inputs of the same number of axes"
            )
        self.shared.add(layer.name)
        return layer.with_owner(owner.name)

    def keras_shape(self, name: str) -> Shape:
        """Return the shape of an output in Keras, in which a sequence has no height."""
        return self.shapes[name][1:] if name in self._sequences else self.shapes[name]

    def is_sequence(self, name: str) -> bool:
        """Return whether an output is a sequence, represented by an image of height 1."""
        return name in self._sequences

    def as_plain(self, source: str) -> str:
        """Return the name of an output in Keras' shape; a Reshape is added, once, if it is a sequence."""
        if source not in self._sequences:
            return source
        if source not in self._plain:
            name = self.names.derive(source, "shape")
            self._plain[source] = self.add(Reshape, name, source, target_shape=self.keras_shape(source))
        return self._plain[source]

    def as_image(self, name: str, source: str) -> str:
        """Return the name of an output in three axes; a Reshape for the layer `name` is added, once, for a sequence."""
        shape = self.shapes[source]
        if len(shape) != 2:
            return source
        if source not in self._images:
            target = image_of_sequence(shape)
            image = self.add_part(Reshape, name, "image", source, target_shape=target)
            self._images[source], self._plain[image] = image, source
            self._sequences.add(image)
        return self._images[source]

    def alike(self, name: str, sources: Sequence[str]) -> List[str]:
        """Return the names of the inputs of the layer `name` with all sequences as images, if one of them is."""
        if not any(map(self.is_sequence, sources)):
            return list(sources)
        return [self.as_image(name, source) for source in sources]

    def set_parameter(self, name: str, parameter: str, value: Optional[np.ndarray]) -> None:
        """Set a parameter of the layer `name`, unless it uses that of another one.

        Axes of length 1 may be added or missing. None: an unknown value.
        """
        if name not in self.shared:
            self._values[f"{name}.{parameter}"] = value

    def set_constant(self, name: str, parameter: str, value: Optional[np.ndarray]) -> None:
        """Set a parameter as `set_parameter` does, which is not trained."""
        if name not in self.shared:
            self.constants.add(f"{name}.{parameter}")
        self.set_parameter(name, parameter, value)

    def copy_parameter(
        self, name: str, parameter: str, layer: KerasLayer, key: str, shape: Optional[Shape] = None
    ) -> None:
        """Set a parameter of the layer `name` to the array `key` of a Keras layer, and record its origin.

        With a `shape`, neighbouring axes of the array are one.
        """
        if name not in self.shared:
            self.origins[f"{name}.{parameter}"] = layer.spec.layer, key
        value = layer.array(key)
        if value is not None and shape is not None and value.size == element_count(shape):
            value = value.reshape(shape)
        self.set_parameter(name, parameter, value)

    def set_scaling(self, name: str, scaling: Optional[Scaling]) -> None:
        """Set weights and bias of the depthwise 1×1 convolution `name`, which scales its input."""
        self.scalings[name] = scaling
        for parameter, values in zip(("weights", "bias"), scaling or (None, None)):
            self.set_constant(name, parameter, None if values is None else values.astype(np.float32))

    def add_note(self, sentence: str, layer: str) -> None:
        """Add a note for the user about a layer; the same sentence about several layers becomes one note."""
        self._notes.setdefault(sentence, []).append(repr(layer))

    @property
    def layers(self) -> Tuple[Layer, ...]:
        """Layers added so far, each after its inputs."""
        return tuple(self._layers.values())

    @property
    def notes(self) -> List[str]:
        """Notes for the user."""
        return [with_list(sentence, layers) for sentence, layers in self._notes.items()]

    def can_fold_batch_norm(self, name: str) -> bool:
        """Return whether the BatchNormalization in conversion, whose input is `name`, can be folded into that layer."""
        is_foldable = isinstance(self._layers.get(name), WEIGHTED) and self.consumer_counts.get(name) == 1
        return is_foldable and self._are_paired(self._keras_layers[name], self._present)

    def reshape_to_image(self, name: str, source: str) -> str:
        """Return the name of an output in three axes, the last of which it keeps, for the layer `name`."""
        source = self.as_image(name, source)
        shape = self.shapes[source]
        if len(shape) == 3:
            return source
        target_shape = (element_count(shape[:-1]), 1, shape[-1])
        return self.add_part(Reshape, name, "image", source, target_shape=target_shape)

    def restore_shape(self, name: str, source: str, shape: Shape) -> str:
        """Add a Reshape that reverts `reshape_to_image` of a tensor of `shape`; the last axis is that of `source`.

        Outputs of two or three axes need none.
        """
        if len(shape) in (2, 3):
            return source
        target_shape = shape[:-1] + self.shapes[source][-1:]
        return self.add_part(Reshape, name, "shape", source, target_shape=target_shape)

    def move_softmaxes_last(self, outputs: Sequence[str]) -> List[str]:
        """Move each Softmax behind the layers up to an output that reshape probabilities and keep the last axis.

        The Softmax is an output then, because training and exports use the logits. Return the outputs with it.
        """
        return [self._with_softmax_last(output, outputs) for output in outputs]

    def _with_softmax_last(self, output: str, outputs: Sequence[str]) -> str:
        following: List[Layer] = []
        layer = self._layers.get(output)
        while isinstance(layer, (Reshape, Flatten, Dropout)):
            source = layer.inputs[0]
            if self.shapes[layer.name][-1] != self.shapes[source][-1] or source in outputs:
                return output
            following.append(layer)
            layer = self._layers.get(source)
        consumers = [other for other in self._layers.values() if layer is not None and layer.name in other.inputs]
        if not isinstance(layer, Softmax) or not following or len(consumers) != 1:
            return output
        if any(output in other.inputs for other in self._layers.values()):
            return output
        first = following[-1]
        self._layers[first.name] = replace(first, inputs=layer.inputs)
        self._layers[layer.name] = replace(layer, inputs=(output,))
        self.shapes[layer.name] = self.shapes[output]
        self.add_note("computed behind the layers that reshape its output", layer.name)
        return layer.name

    def build(self, name: str, outputs: Sequence[str]) -> Tuple[Network, Dict[str, np.ndarray]]:
        """Return the network and all of its parameters as float32; no parameters if some are not known."""
        shape = self.inputs[0].shape
        network = Network(name, shape, tuple(self._layers.values()), tuple(outputs), self.inputs)
        values = {name: value for name, value in self._values.items() if value is not None}
        if len(values) < len(self._values):
            return network, {}
        return network, {
            f"{layer.name}.{parameter}": _checked(values[f"{layer.name}.{parameter}"], layer, parameter, shape)
            for layer in network.layers
            for parameter, shape in network.parameter_shapes(layer.name).items()
        }


def _checked(value: np.ndarray, layer: Layer, parameter: str, shape: Shape) -> np.ndarray:
    """Return a copy of a parameter in its shape, or raise a `NetworkError` if it is not valid."""
    where = f"layer {layer.name!r} ({layer.kind}): {parameter}"
    # Axes of length 1 may be added or missing: a Dense on an image is imported as a 1×1 convolution.
    if [axis for axis in value.shape if axis != 1] != [axis for axis in shape if axis != 1]:
        raise NetworkError(f"{where} has shape {value.shape}; expected: {shape}")
    if value.dtype != np.float32:
        raise NetworkError(f"{where} has dtype {value.dtype}; allowed: float32")
    if not np.isfinite(value).all():
        count = np.count_nonzero(~np.isfinite(value))
        raise NetworkError(f"{where} has {count} values of {value.size} that are not finite; allowed: none")
    if parameter == "moving_variance" and (value < 0).any():
        raise NetworkError(f"{where} has the minimum {value.min()}; allowed: at least 0")
    return np.array(value).reshape(shape)


def with_list(sentence: str, items: Sequence[str], most: int = 5, separator: str = ": ") -> str:
    """Return a sentence followed by a list of items, which is cut off after `most` items."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return f"{sentence}{separator}{', '.join(items[:most])}{more}"
