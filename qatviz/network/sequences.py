"""Layers on sequences: their representation as 2-D layers, and their display as 1-D layers.

A 1-D layer such as Keras' Conv1D is represented by the 2-D layer on an image of height 1, as in TFLite, so that no
lowering has 1-D layers. A Reshape turns a sequence (length, features) into such an image. The layers after it that keep
the height are displayed, and exported to Keras, as 1-D layers on sequences.
"""

from typing import FrozenSet, Sequence, Set, Tuple

from qatviz.network.checks import Shape
from qatviz.network.graph import Network
from qatviz.network.layer import Layer
from qatviz.network.layers import Permute, Reshape

#: Names of kinds for display in 1-D, where they differ.
_SHOWN_KINDS = {
    "Conv2D": "Conv1D",
    "GroupedConv2D": "GroupedConv1D",
    "DepthwiseConv2D": "DepthwiseConv1D",
    "Conv2DTranspose": "Conv1DTranspose",
}


def image_of_sequence(shape: Shape) -> Shape:
    """Return the shape of the image (1, length, features) that represents a sequence (length, features)."""
    return (1, *shape)


def begins_sequence(layer: Layer, source: Shape, result: Shape) -> bool:
    """Return whether a layer turns a sequence into an image of height 1."""
    return isinstance(layer, Reshape) and len(source) == 2 and result == image_of_sequence(source)


def keeps_sequence(layer: Layer, are_sequences: Sequence[bool], result: Shape) -> bool:
    """Return whether the output of a layer is a sequence: all inputs are, and it keeps the image's height of 1.

    ``are_sequences`` has a value for each input; ``result`` is the shape of the output.
    """
    window = next((getattr(layer, name) for name in ("kernel_size", "pool_size", "size") if hasattr(layer, name)), None)
    return (
        not isinstance(layer, (Permute, Reshape))
        and all(are_sequences)
        and len(result) == 3
        and result[0] == 1
        and (window is None or window[0] == 1)
    )


def sequence_layers(network: Network) -> FrozenSet[str]:
    """Return the names of the layers whose outputs are sequences, represented by images of height 1."""
    found: Set[str] = set()
    shapes = network.shapes
    for layer in network.layers:
        inputs = [source in found for source in layer.inputs]
        if begins_sequence(layer, shapes[layer.inputs[0]], shapes[layer.name]) or keeps_sequence(
            layer, inputs, shapes[layer.name]
        ):
            found.add(layer.name)
    return frozenset(found)


def shown_kind(kind: str, is_sequence: bool) -> str:
    """Return the kind of a layer for display."""
    return _SHOWN_KINDS.get(kind, kind) if is_sequence else kind


def shown_shape(shape: Shape, is_sequence: bool) -> Shape:
    """Return a shape of activations or of a kernel for display: without the height of a sequence's image."""
    return tuple(shape[1:]) if is_sequence and len(shape) > 2 else tuple(shape)


def shown_window(window: Tuple[int, int], is_sequence: bool) -> Tuple[int, ...]:
    """Return the size of a kernel or pooling window for display."""
    return window[1:] if is_sequence else window
