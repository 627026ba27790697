"""Conversion of layers that scale, slice, split or stack tensors.

A scaling ``x * a + b`` with constants a and b, for the whole tensor or for each channel, is a depthwise 1×1 convolution
with the weights a and the bias b, which computes the same. Several in sequence become one. With a constant for each
element, such as an embedding of positions, the elements are the channels of a single pixel.
"""

from typing import Any, List, Optional

import numpy as np

from qatviz.errors import NetworkError
from qatviz.network import checks
from qatviz.network.checks import Shape
from qatviz.network.keras_import.draft import Draft, KerasLayer, Scaling
from qatviz.network.keras_import.records import shortened
from qatviz.network.layer import element_count
from qatviz.network.layers import Concat, Conv2D, DepthwiseConv2D, Reshape, Slice

_EPSILON = 1e-7
"""Keras' backend.epsilon(), the minimum standard deviation of a Normalization."""


def convert_rescaling(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a Rescaling, whose scale and offset are numbers, or one for each channel or element."""
    scale, offset = (np.asarray(layer.setting(key, default), float) for key, default in (("scale", 1), ("offset", 0)))
    return scaled(draft, layer, inputs[0], scale, offset)


def convert_normalization(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a Normalization, whose mean and variance are settings or, after `adapt`, arrays."""
    shape = draft.keras_shape(inputs[0])
    axis = layer.setting("axis", -1)
    axes = [axis] if isinstance(axis, int) else axis
    if axes not in (None, [], [-1], [len(shape)]):
        raise checks.invalid_value("setting axis", axis, f"-1, {len(shape)} (the last axis) or None")
    statistics = [layer.setting(key, None) for key in ("mean", "variance")]
    if None in statistics:
        statistics = [layer.array(key) for key in ("mean", "variance")]
        if statistics[0] is None or statistics[1] is None:
            return scaled(draft, layer, inputs[0], None, None)
    mean, variance = (np.asarray(values, float).reshape(-1) for values in statistics)
    deviation = np.maximum(np.sqrt(variance), _EPSILON)
    if layer.flag("invert", False):
        return scaled(draft, layer, inputs[0], deviation, mean)
    return scaled(draft, layer, inputs[0], 1 / deviation, -mean / deviation)


def convert_slicing(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert ``x[key]``; a key that reverses the channels becomes a 1×1 convolution with weights of 0 and 1.

    None in the key is a new axis of length 1.
    """
    shape = draft.shapes[inputs[0]]
    key = _full_key(layer.setting("key"), len(shape) + 1)
    if key[0] not in (slice(None), slice(0, None, None)):
        raise NetworkError("it selects a part of the batch; supported: parts of the other axes")
    own = key[1:]
    if own[-1] == slice(None, None, -1) and all(item == slice(None) for item in own[:-1]):
        return _reversed_channels(draft, layer, inputs[0])
    ranges = []
    for item, size in zip((item for item in own if item is not None), shape):
        start, stop, step = (
            (item % size if -size <= item < size else size, None, 1) if isinstance(item, int) else item.indices(size)
        )
        ranges.append((start, start + 1 if stop is None else stop, step))
        if step < 1:
            raise NetworkError(f"it selects elements with the step {step}; supported: at least 1")
    settings = dict(zip(("start", "stop", "strides"), (tuple(values) for values in zip(*ranges))))
    if all(isinstance(item, slice) for item in own):
        return draft.add(Slice, layer.name, inputs, **settings)
    part = draft.add_part(Slice, layer.name, "part", inputs, **settings)
    sizes = iter(draft.shapes[part])
    with_positions = [(item, 1 if item is None else next(sizes)) for item in own]
    target = [size for item, size in with_positions if not isinstance(item, int)]
    return draft.add(Reshape, layer.name, part, target_shape=tuple(target) or (1,))


def convert_split(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a part of ``split``, whose axis counts the batch, to a Slice."""
    shape = draft.shapes[inputs[0]]
    place, part = _axis_behind_batch(layer, len(shape)), layer.setting("part")
    ends = _ends_of_parts(layer.setting("sections"), shape[place], bool(layer.setting("by_positions")))
    if ends is None or part >= len(ends):
        raise NetworkError(f"it splits {shape[place]} elements into {shortened(layer.setting('sections'))}")
    start, stop = [0] * len(shape), list(shape)
    start[place], stop[place] = ends[part - 1] if part else 0, ends[part]
    return draft.add(Slice, layer.name, inputs, start=tuple(start), stop=tuple(stop))


def _ends_of_parts(sections: Any, size: int, by_positions: bool) -> Optional[List[int]]:
    """Return the ends of the parts into which an axis is split; None if there is no such split."""
    if type(sections) is int:
        sizes = [size // sections] * sections if 0 < sections <= size and size % sections == 0 else []
    elif not isinstance(sections, list) or not all(type(value) is int for value in sections):
        return None
    elif by_positions:
        sizes = [stop - start for start, stop in zip([0, *sections], [*sections, size])]
    else:
        rest = size - sum(value for value in sections if value != -1)
        sizes = [rest if value == -1 else value for value in sections]
    ends = [int(end) for end in np.cumsum(sizes)]
    return ends if ends and min(sizes) > 0 and ends[-1] == size else None


def convert_stack(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert ``stack``, whose axis counts the batch, to a Concat of the inputs with one more axis."""
    shape = draft.shapes[inputs[0]]
    place = _axis_behind_batch(layer, len(shape) + 1)
    target = (*shape[:place], 1, *shape[place:])
    parts = [draft.add_part(Reshape, layer.name, "part", source, target_shape=target) for source in inputs]
    return draft.add(Concat, layer.name, parts, axis=place)


def _axis_behind_batch(layer: KerasLayer, rank: int) -> int:
    """Return the setting axis, which counts the batch, as one of the ``rank`` other axes, from 0 on."""
    axis = checks.integer("setting axis", layer.setting("axis"))
    place = axis - 1 if axis > 0 else axis + rank
    if axis == 0 or not 0 <= place < rank:
        raise checks.invalid_value("setting axis", axis, f"1 to {rank}, or below 0")
    return place


def _full_key(key: Any, rank: int) -> List[Any]:
    """Return a slice or a position for each of ``rank`` axes from a key, which may have an ellipsis or be shorter.

    New axes are None, in addition to these.
    """
    found: List[Any] = []
    count = sum(item is not None for item in key)
    for item in key:
        if item is None:
            found.append(None)
        elif item in (Ellipsis, "..."):
            found += [slice(None)] * (rank - count + 1)
        elif isinstance(item, dict) and all(type(value) is int or value is None for value in item.values()):
            found.append(slice(*(item.get(name) for name in ("start", "stop", "step"))))
        elif type(item) is int:
            found.append(item)
        else:
            raise NetworkError(f"it selects the part {shortened(item)}; supported: slices and positions")
    return [
        slice(item.start, item.stop, None if item.step == 1 else item.step) if isinstance(item, slice) else item
        for item in found + [slice(None)] * (rank - sum(item is not None for item in found))
    ]


def _reversed_channels(draft: Draft, layer: KerasLayer, source: str) -> str:
    """Add a 1×1 convolution that reverses the channels; return the name of the output."""
    shape = draft.keras_shape(source)
    image = draft.reshape_to_image(layer.name, source)
    draft.add(Conv2D, layer.name, image, filters=shape[-1], kernel_size=1, use_bias=False)
    draft.set_parameter(layer.name, "weights", np.eye(shape[-1], dtype=np.float32)[:, ::-1])
    draft.rearranged.add(layer.name)
    draft.add_note("reversed channels are imported as a 1×1 convolution with weights of 0 and 1", layer.name)
    return draft.restore_shape(layer.name, layer.name, shape)


def scaled(
    draft: Draft, layer: KerasLayer, source: str, scale: Optional[np.ndarray], offset: Optional[np.ndarray]
) -> str:
    """Add a scaling of the output of `source`, or merge it into `source` if that is a scaling used only here.

    Scale and offset are None if only the architecture is imported.
    """
    shape = draft.keras_shape(source)
    scaling = None
    if scale is not None and offset is not None:
        if not (_is_per_channel(scale, shape[-1]) and _is_per_channel(offset, shape[-1])):
            return _scaled_elements(draft, layer, source, scale, offset)
        scaling = Scaling(_per_channel(scale, shape[-1]), _per_channel(offset, shape[-1]))
    before = draft.scalings.get(source)
    if source in draft.scalings and draft.consumer_counts.get(source) == 1:
        if before is not None and scaling is not None:
            scaling = Scaling(before.scale * scaling.scale, before.offset * scaling.scale + scaling.offset)
        draft.set_scaling(source, scaling)
        draft.add_note("merged with the scaling before it", layer.name)
        return source
    image = draft.reshape_to_image(layer.name, source)
    draft.add(DepthwiseConv2D, layer.name, image, kernel_size=1, use_bias=True)
    draft.set_scaling(layer.name, scaling)
    draft.add_note("scaling is imported as a depthwise 1×1 convolution", layer.name)
    return draft.restore_shape(layer.name, layer.name, shape)


def _is_per_channel(value: np.ndarray, channels: int) -> bool:
    """Return whether a constant is a number, or one for each channel."""
    return bool(value.size == 1 or (value.size == channels and value.shape[-1:] == (channels,)))


def _per_channel(value: np.ndarray, channels: int) -> np.ndarray:
    """Return a constant for each channel."""
    return np.broadcast_to(value.reshape(-1), (channels,))


def _scaled_elements(draft: Draft, layer: KerasLayer, source: str, scale: np.ndarray, offset: np.ndarray) -> str:
    """Add a scaling with constants for the elements of the output of `source`."""
    shape = draft.keras_shape(source)
    scaling = Scaling(*(_per_element(value, shape) for value in (scale, offset)))
    name, target = draft.names.derive(layer.name, "pixel"), (1, 1, element_count(shape))
    pixel = draft.add(Reshape, name, draft.as_plain(source), target_shape=target)
    draft.add(DepthwiseConv2D, layer.name, pixel, kernel_size=1, use_bias=True)
    draft.set_scaling(layer.name, scaling)
    draft.add_note(
        "constants for each element are imported as a depthwise 1×1 convolution of a pixel of all elements", layer.name
    )
    return draft.add_part(Reshape, layer.name, "shape", layer.name, target_shape=shape)


def _per_element(value: np.ndarray, shape: Shape) -> np.ndarray:
    """Return a constant for each element of a tensor; an axis of length 1 is repeated, as in NumPy."""
    own = value[0] if value.ndim == len(shape) + 1 and len(value) == 1 else value
    try:
        return np.broadcast_to(own, shape).reshape(-1)
    except ValueError:
        raise NetworkError(
            f"it has constants of shape {value.shape}; supported: shapes that are repeated to that of its input, "
            f"{shape}"
        ) from None
