"""Axes of images and attributes of kernels in ONNX, which has channels first."""

from typing import Dict, List, Tuple

from qatviz.export.integers.model import Pads
from qatviz.network.checks import Pair

#: Permutations between TensorFlow's order of axes and that of ONNX, with the batch axis.
TO_CHANNELS_FIRST, TO_CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


def channels_first(shape: Tuple[int, ...]) -> Tuple[int, ...]:
    """Return the shape inside of a file, without the batch axis."""
    return (shape[2], shape[0], shape[1]) if len(shape) == 3 else shape


def kernel_attributes(size: Pair, strides: Pair, pads: Pads, dilation: Pair = (1, 1)) -> Dict[str, List[int]]:
    """Return the attributes of a convolution or pool."""
    (top, bottom), (left, right) = pads
    attributes = {"kernel_shape": list(size), "strides": list(strides), "pads": [top, left, bottom, right]}
    # Pools have dilations too, which older runtimes refuse.
    return attributes if dilation == (1, 1) else dict(attributes, dilations=list(dilation))


def padding_widths(padding: Pads) -> List[int]:
    """Return the input ``pads`` of a Pad for images."""
    (top, bottom), (left, right) = padding
    return [0, 0, top, left, 0, 0, bottom, right]


def concat_axis(axis: int, rank: int) -> int:
    """Return the axis of a Concat of tensors with ``rank`` axes, without the batch axis."""
    place = axis % rank + 1
    return TO_CHANNELS_FIRST.index(place) if rank == 3 else place
