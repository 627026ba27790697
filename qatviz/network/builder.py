"""Writing a network down in the order of its layers."""

from typing import Any, List, Optional, Sequence, Type, Union

from qatviz.network.checks import INPUT, Shape
from qatviz.network.graph import Network
from qatviz.network.layer import Layer


class NetworkBuilder:
    """Writes a network down layer by layer; what does not say what it reads, reads the layer before.

    >>> from qatviz.network import Add, Conv2D
    >>> build = NetworkBuilder("tiny", (8, 8, 1))
    >>> stem = build.add(Conv2D, "stem", filters=4)
    >>> side = build.add(Conv2D, "side", filters=4)
    >>> build.add(Add, "sum", inputs=(stem, side))
    'sum'
    >>> build.network().output
    'sum'
    """

    def __init__(self, name: str, input_shape: Shape):
        self._name = name
        self._input_shape = input_shape
        self._layers: List[Layer] = []
        self.last = INPUT
        """The name of the layer added last; "input" before the first."""

    def add(
        self, kind: Type[Layer], name: str, inputs: Optional[Union[str, Sequence[str]]] = None, **settings: Any
    ) -> str:
        """Adds a layer and returns its name, for others to read."""
        layer = kind(name, self.last if inputs is None else inputs, **settings)
        self._layers.append(layer)
        self.last = layer.name
        return layer.name

    def network(self) -> Network:
        """The network of the layers added so far, validated."""
        return Network(self._name, self._input_shape, tuple(self._layers))
