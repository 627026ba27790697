"""Layers that select, order or repeat codes, as axes of the C runtime's function."""

# A separate module, because operations.py would be too long with it.

from typing import List, Tuple

from qatviz.network.layer import Layer, element_count
from qatviz.network.layers import Permute, Slice, UpsampleNearest


def viewed_axes(layer: Layer, shape: Tuple[int, ...]) -> Tuple[List[Tuple[int, int]], int]:
    """Return the axes of a layer's output in codes of its input, and the index of the first code.

    An axis is the number of its elements, and the distance between the codes of two neighbours: 0 for copies. Axes that
    are one in memory are joined.

    >>> viewed_axes(Permute("p", "input", axes=(1, 0)), (3, 4)), viewed_axes(UpsampleNearest("u", "input"), (2, 2, 5))
    (([(4, 1), (3, 4)], 0), ([(2, 10), (2, 0), (2, 5), (2, 0), (5, 1)], 0))
    """
    strides = [element_count(shape[axis + 1 :]) for axis in range(len(shape))]
    axes, first = list(zip(shape, strides)), 0
    if isinstance(layer, Permute):
        axes = [axes[axis] for axis in layer.axes]
    elif isinstance(layer, UpsampleNearest):
        rows, columns = layer.size
        axes = [axes[0], (rows, 0), axes[1], (columns, 0), axes[2]]
    else:
        assert isinstance(layer, Slice)
        axes = [
            (len(range(size)[part]), stride * part.step) for size, stride, part in zip(shape, strides, layer.slices)
        ]
        first = sum(start * stride for start, stride in zip(layer.start, strides))
    joined: List[Tuple[int, int]] = []
    for count, stride in axes:
        if count == 1:
            continue
        if joined and joined[-1][1] == count * stride:
            joined[-1] = (joined[-1][0] * count, stride)
        else:
            joined.append((count, stride))
    return joined or [(1, 1)], first
