"""Conversion of layers that resize or crop images, and of one that changes their size only in training."""

# Apart from the other conversions, which would not fit in one module.

import math
from typing import List, Tuple

import numpy as np

from qatviz.errors import NetworkError
from qatviz.network import checks
from qatviz.network.keras_import.conversions import omit
from qatviz.network.keras_import.draft import Draft, KerasLayer
from qatviz.network.layers import Conv2D, Permute, Slice, UpsampleBilinear, UpsampleNearest

_BILINEAR, _NEAREST = "bilinear", "nearest"


def convert_resizing(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a Resizing, which interpolates between the centers of pixels.

    To a multiple of the size, it is an upsampling. Else each axis is multiplied by a matrix, a 1×1 convolution of the
    image with this axis as channels, whose weights are not trained.
    """
    source, size = inputs[0], _size(draft, layer, inputs[0])
    shape = draft.shapes[source]
    method = layer.setting("interpolation", _BILINEAR)
    if method not in (_BILINEAR, _NEAREST):
        raise checks.invalid_value("setting interpolation", method, f"{_BILINEAR!r} or {_NEAREST!r}")
    for key in ("crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias"):
        if layer.flag(key, False):
            raise checks.invalid_value(f"setting {key}", True, "False")
    if size == shape[:2]:
        return omit(draft, layer, inputs)
    if all(new % old == 0 for new, old in zip(size, shape)):
        kind = UpsampleBilinear if method == _BILINEAR else UpsampleNearest
        return draft.add(kind, layer.name, source, size=tuple(new // old for new, old in zip(size, shape)))
    draft.add_note(
        "Resizing is imported as a 1×1 convolution of each axis, whose weights are not trained",
        layer.name,
    )
    changed = [axis for axis in (0, 1) if size[axis] != shape[axis]]
    for axis in changed:
        name = layer.name if axis == changed[-1] else draft.names.derive(layer.name, "rows")
        source = _resized_axis(draft, name, source, axis, _matrix(shape[axis], size[axis], method))
    return source


def convert_center_crop(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a CenterCrop of images that are at least as large as its size to a Slice."""
    size, shape = _size(draft, layer, inputs[0]), draft.shapes[inputs[0]]
    if size == shape[:2]:
        return omit(draft, layer, inputs)
    if any(new > old for new, old in zip(size, shape)):
        raise NetworkError(
            f"it enlarges images of {shape[0]}x{shape[1]} to {size[0]}x{size[1]}; nearest: a Resizing and a CenterCrop "
            "to a smaller size"
        )
    start = tuple((old - new) // 2 for new, old in zip(size, shape))
    stop = tuple(first + new for first, new in zip(start, size))
    return draft.add(Slice, layer.name, inputs, start=(*start, 0), stop=(*stop, shape[2]))


def convert_random_crop(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Omit a RandomCrop to the size that images have: versions of Keras compute different things of other sizes."""
    size, shape = _size(draft, layer, inputs[0]), draft.shapes[inputs[0]]
    if size != shape[:2]:
        raise NetworkError(
            f"it crops images of {shape[0]}x{shape[1]} to {size[0]}x{size[1]} in training only; nearest: a CenterCrop, "
            "which crops them always"
        )
    return omit(draft, layer, inputs)


def _size(draft: Draft, layer: KerasLayer, source: str) -> Tuple[int, ...]:
    """Return the height and width of a layer's output; its input must be images."""
    if len(draft.keras_shape(source)) != 3:
        raise checks.invalid_value("input shape", draft.keras_shape(source), "three axes (height, width, channels)")
    return tuple(checks.positive_integer(f"setting {key}", layer.setting(key)) for key in ("height", "width"))


def _matrix(old: int, new: int, method: str) -> np.ndarray:
    """Return the weights ``[old, new]`` of the positions of an axis in those of the resized axis."""
    weights = np.zeros((old, new), np.float32)
    for position in range(new):
        if method == _NEAREST:
            weights[min(math.floor((position + 0.5) * old / new), old - 1), position] = 1
            continue
        place = min(max((position + 0.5) * old / new - 0.5, 0), old - 1)
        first = math.floor(place)
        weights[first, position] += 1 - (place - first)
        weights[min(first + 1, old - 1), position] += place - first
    return weights


def _resized_axis(draft: Draft, name: str, source: str, axis: int, weights: np.ndarray) -> str:
    """Add the product of an axis of an image with a matrix; return the name of the output, ``name``."""
    axes = (2, 1, 0) if axis == 0 else (0, 2, 1)
    last = draft.add_part(Permute, name, "last", source, axes=axes)
    product = draft.add_part(Conv2D, name, "product", last, filters=weights.shape[1], kernel_size=1, use_bias=False)
    draft.set_constant(product, "weights", weights)
    return draft.add(Permute, name, product, axes=axes)
