"""Axes of images and attributes of kernels in ONNX, which has channels first."""

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.export.integers.model import Pads
from qatviz.network.checks import Pair
from qatviz.network.layer import Layer
from qatviz.network.layers import Conv2DTranspose, GroupedConv2D, Permute, Slice, UpsampleBilinear, UpsampleNearest

#: Permutations between TensorFlow's order of axes and that of ONNX, with the batch axis.
TO_CHANNELS_FIRST, TO_CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)

_COMBINING = {
    "Add": "Add",
    "Subtract": "Sub",
    "Average": "Mean",
    "Multiply": "Mul",
    "Maximum": "Max",
    "Minimum": "Min",
}


def channels_first(shape: Tuple[int, ...]) -> Tuple[int, ...]:
    """Return the shape inside of a file, without the batch axis."""
    return (shape[2], shape[0], shape[1]) if len(shape) == 3 else shape


def combining_operator(layer: Layer) -> str:
    """Return the operator of a layer that combines inputs position by position."""
    if layer.kind == "Add" and len(layer.inputs) > 2:
        return "Sum"
    return _COMBINING[layer.kind]


def kernel_attributes(size: Pair, strides: Pair, pads: Pads, dilation: Pair = (1, 1)) -> Dict[str, List[int]]:
    """Return the attributes of a convolution or pool."""
    (top, bottom), (left, right) = pads
    attributes = {"kernel_shape": list(size), "strides": list(strides), "pads": [top, left, bottom, right]}
    # Pools have dilations too, which older runtimes refuse.
    return attributes if dilation == (1, 1) else dict(attributes, dilations=list(dilation))


def group_attributes(layer: Layer) -> Dict[str, int]:
    """Return the attributes of the groups of a convolution, if it has some."""
    return {"group": layer.groups} if isinstance(layer, GroupedConv2D) else {}


def transposed_attributes(layer: Conv2DTranspose, left_out: Pads) -> Dict[str, List[int]]:
    """Return the attributes of a transposed convolution, which leaves out ``left_out`` rows and columns.

    Those that it adds instead are its output padding.
    """
    (top, bottom), (left, right) = left_out
    added = [max(-bottom, 0), max(-right, 0)]
    pads = [top, left, max(bottom, 0), max(right, 0)]
    attributes = {"kernel_shape": list(layer.kernel_size), "strides": list(layer.strides), "pads": pads}
    return dict(attributes, output_padding=added) if any(added) else attributes


def padding_widths(padding: Pads) -> List[int]:
    """Return the input ``pads`` of a Pad for images."""
    (top, bottom), (left, right) = padding
    return [0, 0, top, left, 0, 0, bottom, right]


def matrix_permutation(rank: int, transposed: bool) -> Optional[Tuple[int, ...]]:
    """Return the permutation, with the batch axis, from a file's order of ``rank`` axes to matrices on the last two.

    ``transposed`` exchanges these. None if there is nothing to permute.
    """
    axes = list(TO_CHANNELS_LAST) if rank == 3 else list(range(rank + 1))
    if transposed:
        axes[-2:] = axes[:-3:-1]
    return None if axes == list(range(rank + 1)) else tuple(axes)


class Move(NamedTuple):
    """Node that selects, orders, repeats or interpolates elements.

    Attributes
    ----------
    operator : str
    constants : dict of str to np.ndarray
        Its inputs after the first, in order, by kind; "" is left out.
    attributes : dict
    """

    operator: str
    constants: Dict[str, np.ndarray]
    attributes: Dict[str, Any]


def move(layer: Layer, rank: int) -> Move:
    """Return the node of a layer whose input has ``rank`` axes, without the batch axis."""
    order = tuple(place - 1 for place in TO_CHANNELS_FIRST[1:]) if rank == 3 else tuple(range(rank))
    if isinstance(layer, Permute):
        axes = [order.index(layer.axes[axis]) + 1 for axis in order]
        return Move("Transpose", {}, {"perm": [0, *axes]})
    if isinstance(layer, UpsampleNearest):
        scales = {"": np.zeros(0), "scales": np.float32([1, 1, *layer.size])}
        modes = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return Move("Resize", scales, dict(modes, mode="nearest"))
    if isinstance(layer, UpsampleBilinear):
        scales = {"": np.zeros(0), "scales": np.float32([1, 1, *layer.size])}
        return Move("Resize", scales, {"coordinate_transformation_mode": "half_pixel", "mode": "linear"})
    assert isinstance(layer, Slice)
    assert layer.strides is not None
    names = {"starts": layer.start, "ends": layer.stop}
    bounds = {name: np.int64([values[axis] for axis in order]) for name, values in names.items()}
    bounds["axes"] = np.arange(1, rank + 1, dtype=np.int64)
    bounds["steps"] = np.int64([layer.strides[axis] for axis in order])
    return Move("Slice", bounds, {})


def concat_axis(axis: int, rank: int) -> int:
    """Return the axis of a Concat of tensors with ``rank`` axes, without the batch axis."""
    place = axis % rank + 1
    return TO_CHANNELS_FIRST.index(place) if rank == 3 else place
