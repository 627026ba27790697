"""Conversion of means along axes, and of the layers that normalize by them, to layers that every format has.

The mean of the last axis is a 1×1 convolution with equal weights, which are not trained. A LayerNormalization is the
means of its values and of their squares, a reciprocal square root, a product and a scaling, as in TFLite.
"""

from typing import Any, List, Tuple

import numpy as np

from qatviz.errors import NetworkError
from qatviz.network import checks
from qatviz.network.activations import Activation
from qatviz.network.checks import Shape
from qatviz.network.elementwise import Multiply, Subtract
from qatviz.network.keras_import.conversions import convert_global_average_pooling
from qatviz.network.keras_import.draft import Draft, KerasLayer
from qatviz.network.keras_import.records import shortened
from qatviz.network.layer import element_count
from qatviz.network.layers import Conv2D, DepthwiseConv2D, Permute, Reshape

#: Types of layers without a class in Keras: means and sums along any axes.
MEAN, SUM = "Mean", "Sum"
#: Numbers of axes of images and sequences, with those other than the channels.
_SPATIAL = ((3, (0, 1)), (2, (0,)))


def convert_mean(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a mean, or a sum, along axes that count the batch."""
    source, shape = inputs[0], draft.keras_shape(inputs[0])
    axes = _axes(layer, shape)
    if layer.spec.kind == MEAN and (len(shape), axes) in _SPATIAL:
        return convert_global_average_pooling(draft, layer, [draft.as_image(layer.name, source)])
    count = element_count(tuple(shape[axis] for axis in axes))
    reduced = _reduced(draft, layer.name, source, axes, 1.0 if layer.spec.kind == SUM else 1 / count)
    if layer.flag("keepdims", False):
        return reduced
    rest = tuple(size for axis, size in enumerate(shape) if axis not in axes) or (1,)
    if draft.keras_shape(reduced) == rest:
        return reduced
    name = draft.names.derive(layer.name, "rest")
    return draft.add(Reshape, name, draft.as_plain(reduced), target_shape=rest)


def convert_unit_normalization(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a division by the Euclidean norm along axes: a product with the reciprocal root of the sum of squares."""
    shape = draft.keras_shape(inputs[0])
    axes = _axes(layer, shape)
    least = checks.number_in(0, 1, "[]")("setting epsilon", layer.setting("epsilon", 1e-12))
    source = inputs[0] if axes == (len(shape) - 1,) else draft.as_plain(inputs[0])
    square = draft.add_part(Activation, layer.name, "square", source, function="square")
    total = _reduced(draft, draft.names.derive(layer.name, "sum"), square, axes, 1.0)
    name = draft.names.derive(layer.name, "rsqrt")
    inverse = draft.add(Activation, name, total, function="rsqrt", threshold=least)
    draft.add_note(_parts_note(layer), layer.name)
    return draft.add(Multiply, layer.name, draft.alike(layer.name, (source, inverse)))


def convert_layer_normalization(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a LayerNormalization along the last axis, or along all of them."""
    shape, name = draft.keras_shape(inputs[0]), layer.name
    axes = _axes(layer, shape)
    if layer.flag("rms_scaling", False):
        raise checks.invalid_value("setting rms_scaling", True, "False")
    if axes not in ((len(shape) - 1,), tuple(range(len(shape)))):
        allowed = f"-1, or all axes of {shape}: one gamma and beta for each channel, or for each value"
        raise checks.invalid_value("setting axis", layer.setting("axis", -1), allowed)
    is_whole = len(axes) > 1
    if is_whole:
        pixel = (1, 1, element_count(shape))
        source = draft.add_part(Reshape, name, "pixel", draft.as_plain(inputs[0]), target_shape=pixel)
    else:
        source = draft.reshape_to_image(name, inputs[0])
    count = draft.shapes[source][2]

    centered, inverse = _centered(draft, layer, source)
    if layer.flag("scale", True) or layer.flag("center", True):
        normalized = draft.add_part(Multiply, name, "normalized", (centered, inverse))
        _add_gamma_and_beta(draft, layer, normalized, count)
    else:
        draft.add(Multiply, name, (centered, inverse))
    if is_whole:
        return draft.add_part(Reshape, name, "shape", name, target_shape=shape)
    return draft.restore_shape(name, name, shape)


def convert_group_normalization(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a GroupNormalization: a LayerNormalization of all values of each group of channels."""
    shape, name = draft.keras_shape(inputs[0]), layer.name
    channels = shape[-1]
    if _axes(layer, shape) != (len(shape) - 1,):
        raise checks.invalid_value("setting axis", layer.setting("axis", -1), f"-1 or {len(shape)} (the last axis)")
    given = checks.integer("setting groups", layer.setting("groups", 32))
    groups = channels if given == -1 else given
    if groups < 1 or channels % groups:
        raise checks.invalid_value("setting groups", given, f"a divisor of {channels}, the number of channels, or -1")
    pixels, size = element_count(shape) // channels, channels // groups
    source = draft.as_plain(inputs[0])
    if groups > 1 and pixels > 1:
        parts = draft.add_part(Reshape, name, "parts", source, target_shape=(pixels, groups, size))
        source = draft.add_part(Permute, name, "groups", parts, axes=(1, 0, 2))
    source = draft.add_part(Reshape, name, "image", source, target_shape=(groups, 1, pixels * size))
    centered, inverse = _centered(draft, layer, source)
    result = draft.add_part(Multiply, name, "normalized", (centered, inverse))
    if groups > 1 and pixels > 1:
        parts = draft.add_part(Reshape, name, "apart", result, target_shape=(groups, pixels, size))
        result = draft.add_part(Permute, name, "joined", parts, axes=(1, 0, 2))
    if not (layer.flag("scale", True) or layer.flag("center", True)):
        return draft.add(Reshape, name, result, target_shape=shape)
    result = draft.add_part(Reshape, name, "channels", result, target_shape=(pixels, 1, channels))
    _add_gamma_and_beta(draft, layer, result, channels)
    return draft.add_part(Reshape, name, "shape", name, target_shape=shape)


def convert_rms_normalization(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert an RMSNormalization along the last axis, which divides by the root of the mean square."""
    shape, name = draft.keras_shape(inputs[0]), layer.name
    if _axes(layer, shape) != (len(shape) - 1,):
        raise checks.invalid_value("setting axis", layer.setting("axis", -1), f"-1 or {len(shape)} (the last axis)")
    source = draft.reshape_to_image(name, inputs[0])
    square = draft.add_part(Activation, name, "square", source, function="square")
    inverse = _inverse_root_of_mean(draft, layer, "mean", square, 1e-6)
    normalized = draft.add_part(Multiply, name, "normalized", (source, inverse))
    draft.add(DepthwiseConv2D, name, normalized, kernel_size=1, use_bias=False)
    draft.copy_parameter(name, "weights", layer, "scale")
    draft.add_note(_parts_note(layer), name)
    return draft.restore_shape(name, name, shape)


def _centered(draft: Draft, layer: KerasLayer, source: str) -> Tuple[str, str]:
    """Add what normalizes the channels of each pixel: values minus their mean, and the reciprocal of the deviation."""
    name = layer.name
    mean = _sum_of_channels(draft, draft.names.derive(name, "mean"), source, 1 / draft.shapes[source][2])
    centered = draft.add_part(Subtract, name, "centered", (source, mean))
    square = draft.add_part(Activation, name, "square", centered, function="square")
    inverse = _inverse_root_of_mean(draft, layer, "variance", square, 1e-3)
    draft.add_note(_parts_note(layer), name)
    return centered, inverse


def _inverse_root_of_mean(draft: Draft, layer: KerasLayer, what: str, square: str, epsilon: float) -> str:
    """Add the reciprocal root of the mean of each pixel's channels, to which the setting epsilon is added."""
    mean = _sum_of_channels(draft, draft.names.derive(layer.name, what), square, 1 / draft.shapes[square][2])
    offset = checks.number_in(0, 1, "[]")("setting epsilon", layer.setting("epsilon", epsilon))
    return draft.add_part(Activation, layer.name, "rsqrt", mean, function="rsqrt", offset=offset)


def _add_gamma_and_beta(draft: Draft, layer: KerasLayer, source: str, count: int) -> None:
    """Add the trained scaling of a normalization's result, a depthwise 1×1 convolution."""
    has_gamma, has_beta = layer.flag("scale", True), layer.flag("center", True)
    draft.add(DepthwiseConv2D, layer.name, source, kernel_size=1, use_bias=has_beta)
    for parameter, key, is_given in (("weights", "gamma", has_gamma), ("bias", "beta", has_beta)):
        if is_given:
            draft.copy_parameter(layer.name, parameter, layer, key, (count,))
    if not has_gamma:
        draft.set_constant(layer.name, "weights", np.ones(count, np.float32))


def _parts_note(layer: KerasLayer) -> str:
    return f"{layer.spec.kind} is imported as its parts: sums of squares, their reciprocal roots and products"


def _axes(layer: KerasLayer, shape: Shape) -> Tuple[int, ...]:
    return axes_behind_batch(layer.setting("axis", -1), shape)


def axes_behind_batch(given: Any, shape: Shape) -> Tuple[int, ...]:
    """Return the axes of a layer, which count the batch in Keras, without the batch and in order.

    Raises
    ------
    NetworkError
        If they are no axes of ``shape``, in which the batch is missing.
    """
    axes = [given] if isinstance(given, int) else given
    rank = len(shape) + 1
    if not isinstance(axes, (list, tuple)) or not axes or not all(type(axis) is int for axis in axes):
        raise NetworkError(f"its axes are {shortened(given)}; supported: axes other than that of the batch")
    found = tuple(sorted(axis % rank for axis in axes if -rank <= axis < rank))
    if len(set(found)) < len(axes) or found[0] == 0:
        raise checks.invalid_value("setting axis", given, f"different axes from 1 to {rank - 1}, or below 0")
    return tuple(axis - 1 for axis in found)


def _reduced(draft: Draft, name: str, source: str, axes: Tuple[int, ...], factor: float) -> str:
    """Add a sum along axes, times a factor; these axes are kept with length 1. Return the name of the output."""
    shape = draft.keras_shape(source)
    last = len(shape) - 1
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    if axes == (last,):
        image = draft.reshape_to_image(name, source)
        return draft.restore_shape(name, _sum_of_channels(draft, name, image, factor), shape)
    source = draft.as_plain(source)
    rest = tuple(axis for axis in range(len(shape)) if axis not in axes)
    if rest + axes != tuple(range(len(shape))):
        source = draft.add_part(Permute, name, "last", source, axes=rest + axes)
    count = element_count(tuple(shape[axis] for axis in axes))
    target = (element_count(shape) // count, 1, count)
    image = draft.add_part(Reshape, name, "image", source, target_shape=target)
    total = _sum_of_channels(draft, name, image, factor)
    return draft.add_part(Reshape, name, "shape", total, target_shape=kept)


def _sum_of_channels(draft: Draft, name: str, image: str, factor: float) -> str:
    """Add a 1×1 convolution: the sum of an image's channels, times a factor."""
    draft.add(Conv2D, name, image, filters=1, kernel_size=1, use_bias=False)
    draft.set_constant(name, "weights", np.full(draft.shapes[image][2], factor, np.float32))
    draft.add_note("a mean or sum is imported as a 1×1 convolution with equal weights, which are not trained", name)
    return name
