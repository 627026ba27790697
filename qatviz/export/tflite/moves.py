"""Operations of TFLite that select, order, repeat or interpolate elements: as data, for integers and floats."""

from typing import Any, Dict, NamedTuple, Tuple

import numpy as np

from qatviz.network.checks import Shape
from qatviz.network.layer import Layer
from qatviz.network.layers import Permute, Slice, UpsampleBilinear, UpsampleNearest

#: Most axes, with that of the batch, for which TensorFlow 1.15 has kernels of these operations.
MOST_OLD_AXES = 4


class Move(NamedTuple):
    """One operation.

    Attributes
    ----------
    name : str
        That of ``BuiltinOperator``.
    constants : dict of str to np.ndarray
        Its inputs after the first, in order, by kind.
    options : str
        Name of the table with its options.
    fields : dict
        The options.
    """

    name: str
    constants: Dict[str, np.ndarray]
    options: str
    fields: Dict[str, Any]


def move(layer: Layer, result: Shape) -> Move:
    """Return the operation of a layer whose output has the shape ``result``, without the batch axis."""
    if isinstance(layer, UpsampleNearest):
        fields = {"AlignCorners": False, "HalfPixelCenters": False}
        return Move("RESIZE_NEAREST_NEIGHBOR", {"size": _int32(result[:2])}, "ResizeNearestNeighborOptions", fields)
    if isinstance(layer, UpsampleBilinear):
        fields = {"AlignCorners": False, "HalfPixelCenters": True}
        return Move("RESIZE_BILINEAR", {"size": _int32(result[:2])}, "ResizeBilinearOptions", fields)
    if isinstance(layer, Permute):
        axes = {"axes": _int32((0, *(axis + 1 for axis in layer.axes)))}
        return Move("TRANSPOSE", axes, "TransposeOptions", {})
    assert isinstance(layer, Slice)
    assert layer.strides is not None
    # Not SLICE, with which LiteRT refuses batches.
    bounds = {
        "begin": _int32((0, *layer.start)),
        "end": _int32((0, *layer.stop)),
        "strides": _int32((1, *layer.strides)),
    }
    # Bit 0 of the masks: begin and end of the batch axis are ignored.
    masks = {"BeginMask": 1, "EndMask": 1, "EllipsisMask": 0, "NewAxisMask": 0, "ShrinkAxisMask": 0}
    return Move("STRIDED_SLICE", bounds, "StridedSliceOptions", masks)


def _int32(values: Tuple[int, ...]) -> np.ndarray:
    return np.array(values, np.int32)
