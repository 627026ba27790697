"""Conversion of operations that move, add or select elements: TensorFlow's squeeze, pad, depth_to_space, reduce_max."""

# Apart from the other conversions, which would not fit in one module.

from typing import Any, List, Tuple

from qatviz.errors import NetworkError
from qatviz.network import checks
from qatviz.network.keras_import.draft import Draft, KerasLayer
from qatviz.network.keras_import.normalizations import axes_behind_batch
from qatviz.network.keras_import.records import shortened
from qatviz.network.layer import element_count
from qatviz.network.layers import MaxPool, Permute, Reshape, ZeroPad

#: Types of layers without a class in Keras.
SQUEEZE, EXPAND_DIMS, SWAP_AXES, PAD, MAX = "Squeeze", "ExpandDims", "SwapAxes", "Pad", "Max"
DEPTH_TO_SPACE, SPACE_TO_DEPTH = "DepthToSpace", "SpaceToDepth"


def convert_squeeze(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert the removal of axes of length 1."""
    shape = draft.keras_shape(inputs[0])
    given = layer.setting("axis", None)
    every = tuple(axis for axis, size in enumerate(shape) if size == 1)
    removed = every if given in (None, []) else axes_behind_batch(given, shape)
    if any(shape[axis] != 1 for axis in removed):
        raise checks.invalid_value("axis", given, f"axes of length 1 of {shape}")
    rest = tuple(size for axis, size in enumerate(shape) if axis not in removed)
    if not rest:
        raise NetworkError("it leaves no axis; supported: at least one axis, without the batch")
    return draft.add(Reshape, layer.name, draft.as_plain(inputs[0]), target_shape=rest)


def convert_expand_dims(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert the insertion of axes of length 1."""
    shape, given = draft.keras_shape(inputs[0]), layer.setting("axis", None)
    count = len(given) if isinstance(given, (list, tuple)) else 1
    added = axes_behind_batch(given, (*shape, *(1,) * count))
    sizes = iter(shape)
    target = tuple(1 if axis in added else next(sizes) for axis in range(len(shape) + count))
    return draft.add(Reshape, layer.name, draft.as_plain(inputs[0]), target_shape=target)


def convert_swap_axes(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert the exchange of two axes."""
    shape = draft.keras_shape(inputs[0])
    (first,), (second,) = (axes_behind_batch(layer.setting(key, None), shape) for key in ("axis1", "axis2"))
    axes = list(range(len(shape)))
    axes[first], axes[second] = second, first
    return draft.add(Permute, layer.name, draft.as_plain(inputs[0]), axes=tuple(axes))


def convert_pad(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a padding with zeros: first of height and width, then of the channels, which are exchanged with them."""
    source, shape = inputs[0], draft.keras_shape(inputs[0])
    borders = _borders(layer.setting("paddings", None), len(shape))
    if len(shape) == 2:
        borders, source = [(0, 0), *borders], draft.as_image(layer.name, source)
    elif len(shape) == 1:
        borders = [(0, 0), (0, 0), *borders]
        source = draft.add_part(Reshape, layer.name, "pixel", source, target_shape=(1, 1, *shape))
    elif len(shape) > 3:
        raise NetworkError(f"it pads a tensor of the shape {shape}; supported: up to three axes, without the batch")
    spatial, channels = borders[:2], borders[2]
    if channels == (0, 0):
        return draft.add(ZeroPad, layer.name, source, padding=tuple(spatial))
    if any(border != (0, 0) for border in spatial):
        source = draft.add_part(ZeroPad, layer.name, "borders", source, padding=tuple(spatial))
    first = draft.add_part(Permute, layer.name, "first", source, axes=(2, 0, 1))
    padded = draft.add_part(ZeroPad, layer.name, "channels", first, padding=(channels, (0, 0)))
    if len(shape) == 3:
        return draft.add(Permute, layer.name, padded, axes=(1, 2, 0))
    last = draft.add_part(Permute, layer.name, "last", padded, axes=(1, 2, 0))
    return draft.add(Reshape, layer.name, last, target_shape=draft.shapes[last][3 - len(shape) :])


def _borders(given: Any, rank: int) -> List[Tuple[int, int]]:
    """Return the numbers of zeros before and after each axis without the batch."""
    pairs = given if isinstance(given, (list, tuple)) else [given]
    if not pairs or not all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 and all(type(count) is int and count >= 0 for count in pair)
        for pair in pairs
    ):
        raise NetworkError(f"it pads by {shortened(given)}; supported: two numbers for each axis")
    if len(pairs) != rank + 1 or tuple(pairs[0]) != (0, 0):
        raise NetworkError(f"it pads by {shortened(given)}; supported: [0, 0] for the batch, and {rank} other axes")
    return [(before, after) for before, after in pairs[1:]]


def convert_depth_to_space(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a pixel shuffle: blocks of channels become blocks of pixels."""
    (height, width, channels), block = _image(draft, inputs[0]), _block(layer)
    if channels % (block * block):
        raise checks.invalid_value("block_size", block, f"one whose square divides {channels}, the number of channels")
    depth = channels // (block * block)
    parts = draft.add_part(Reshape, layer.name, "blocks", inputs, target_shape=(height, width, block, block * depth))
    moved = draft.add_part(Permute, layer.name, "rows", parts, axes=(0, 2, 1, 3))
    return draft.add(Reshape, layer.name, moved, target_shape=(height * block, width * block, depth))


def convert_space_to_depth(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert the reverse of a pixel shuffle: blocks of pixels become blocks of channels."""
    (height, width, channels), block = _image(draft, inputs[0]), _block(layer)
    if height % block or width % block:
        raise checks.invalid_value("block_size", block, f"one that divides height and width, {height} and {width}")
    rows, columns = height // block, width // block
    parts = draft.add_part(Reshape, layer.name, "blocks", inputs, target_shape=(rows, block, columns, block * channels))
    moved = draft.add_part(Permute, layer.name, "pixels", parts, axes=(0, 2, 1, 3))
    return draft.add(Reshape, layer.name, moved, target_shape=(rows, columns, block * block * channels))


def _image(draft: Draft, source: str) -> Tuple[int, ...]:
    shape = draft.keras_shape(source)
    if len(shape) != 3:
        raise checks.invalid_value("input shape", shape, "three axes (height, width, channels)")
    return shape


def _block(layer: KerasLayer) -> int:
    return checks.positive_integer("block_size", layer.setting("block_size", None))


def convert_max(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert the maximum along axes: a MaxPool of an image with these axes as rows, and the others as channels."""
    source, shape = draft.as_plain(inputs[0]), draft.keras_shape(inputs[0])
    axes = axes_behind_batch(layer.setting("axis", None), shape)
    rest = tuple(axis for axis in range(len(shape)) if axis not in axes)
    if axes + rest != tuple(range(len(shape))):
        source = draft.add_part(Permute, layer.name, "first", source, axes=axes + rest)
    count = element_count(tuple(shape[axis] for axis in axes))
    target = (count, 1, element_count(shape) // count)
    image = draft.add_part(Reshape, layer.name, "image", source, target_shape=target)
    pool = draft.add_part(MaxPool, layer.name, "max", image, pool_size=(count, 1))
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    if not layer.flag("keepdims", False):
        kept = tuple(shape[axis] for axis in rest) or (1,)
    return draft.add(Reshape, layer.name, pool, target_shape=kept)
