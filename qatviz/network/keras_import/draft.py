"""A network while it is being imported: its layers so far, their shapes, and the values of their parameters."""

from typing import Any, Dict, List, Optional, Sequence, Tuple, Type, Union

import numpy as np

from qatviz.errors import NetworkError
from qatviz.network.checks import INPUT, Shape
from qatviz.network.graph import WEIGHTED, Network
from qatviz.network.keras_import.config import Path
from qatviz.network.keras_import.keras_layer import KerasLayer
from qatviz.network.keras_import.names import Names
from qatviz.network.layer import Layer, element_count
from qatviz.network.layers import Reshape


def listed(sentence: str, things: Sequence[str], most: int = 5) -> str:
    """A sentence and what it is about."""
    more = f" and {len(things) - most} more" if len(things) > most else ""
    return f"{sentence}: {', '.join(things[:most])}{more}"


class Draft:
    """Collects layers; every name that is given or returned is a layer's in the network.

    Attributes
    ----------
    names : Names
    shapes : dict of str to tuple of int
        Of every layer's output and of "input".
    readers : dict of str to int
        How many of the model's layers read a layer's output.
    origins : dict of str to tuple
        Whose array each ``layer.parameter`` is: the Keras layer's path and its name for it.
    """

    def __init__(self, input_shape: Shape, names: Names):
        self.names = names
        self.shapes: Dict[str, Shape] = {INPUT: tuple(input_shape)}
        self.readers: Dict[str, int] = {}
        self.origins: Dict[str, Tuple[Path, str]] = {}
        self._notes: Dict[str, List[str]] = {}
        self._layers: Dict[str, Layer] = {}
        self._values: Dict[str, Optional[np.ndarray]] = {}

    def add(self, kind: Type[Layer], name: str, inputs: Union[str, Sequence[str]], **settings: Any) -> str:
        """Adds a layer and returns its name."""
        layer = kind(name, inputs, **settings)
        self.shapes[name] = layer.output_shape([self.shapes[source] for source in layer.inputs])
        self._layers[name] = layer
        return name

    def set(self, name: str, parameter: str, value: Optional[np.ndarray]) -> None:
        """The value of a parameter of the layer `name`; axes of length 1 may be more or fewer. None: not known."""
        self._values[f"{name}.{parameter}"] = value

    def take(self, name: str, parameter: str, layer: KerasLayer, key: str) -> None:
        """As `set`, with the Keras layer's array `key`."""
        self.origins[f"{name}.{parameter}"] = layer.spec.path, key
        self.set(name, parameter, layer.array(key))

    def note(self, sentence: str, layer: str) -> None:
        """Tells the user something of a layer; what is told of several becomes one sentence."""
        self._notes.setdefault(sentence, []).append(repr(layer))

    @property
    def notes(self) -> List[str]:
        """What the user should know."""
        return [listed(sentence, layers) for sentence, layers in self._notes.items()]

    def takes_batch_norm(self, name: str) -> bool:
        """Whether a BatchNorm that reads the layer `name` can be folded into it."""
        return isinstance(self._layers.get(name), WEIGHTED) and self.readers.get(name) == 1

    def as_image(self, name: str, source: str) -> str:
        """`source` with three axes, its last one kept; a Reshape derived of `name` where it has another number."""
        shape = self.shapes[source]
        if len(shape) == 3:
            return source
        return self.add(
            Reshape, self.names.derived(name, "image"), source, target_shape=(element_count(shape[:-1]), 1, shape[-1])
        )

    def as_before(self, name: str, source: str, shape: Shape) -> str:
        """What `as_image` did to a tensor of `shape` taken back, but for the last axis, which `source` may change."""
        if len(shape) == 3:
            return source
        return self.add(
            Reshape, self.names.derived(name, "shape"), source, target_shape=shape[:-1] + self.shapes[source][-1:]
        )

    def finished(self, name: str) -> Tuple[Network, Dict[str, np.ndarray]]:
        """The network and float32 arrays of all of its parameters (none at all where one is not known)."""
        network = Network(name, self.shapes[INPUT], tuple(self._layers.values()))
        if any(value is None for value in self._values.values()):
            return network, {}
        return network, {
            f"{layer.name}.{parameter}": self._checked(layer, parameter, shape)
            for layer in network.layers
            for parameter, shape in network.parameter_shapes(layer.name).items()
        }

    def _checked(self, layer: Layer, parameter: str, shape: Shape) -> np.ndarray:
        where = f"layer {layer.name!r} ({layer.kind}): {parameter}"
        value = self._values[f"{layer.name}.{parameter}"]
        # Axes of length 1 may come and go: a Dense on an image is a 1x1 convolution here.
        if [axis for axis in value.shape if axis != 1] != [axis for axis in shape if axis != 1]:
            raise NetworkError(f"{where} has the shape {value.shape}; expected is {shape}")
        if value.dtype != np.float32:
            raise NetworkError(f"{where} is of the type {value.dtype}; allowed: float32")
        if not np.isfinite(value).all():
            raise NetworkError(
                f"{where} holds {np.count_nonzero(~np.isfinite(value))} values that are not finite, of {value.size}"
            )
        if parameter == "moving_variance" and (value < 0).any():
            raise NetworkError(f"{where} is {value.min()} at its lowest; allowed: at least 0")
        return np.array(value).reshape(shape)
