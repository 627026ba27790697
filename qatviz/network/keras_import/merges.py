"""Conversion of layers that combine inputs position by position, and of a PReLU, which becomes such layers."""

from typing import List, Type

import numpy as np

from qatviz.network import checks
from qatviz.network.elementwise import Add, Average, Elementwise, Subtract
from qatviz.network.keras_import.conversions import Conversion
from qatviz.network.keras_import.draft import Draft, KerasLayer
from qatviz.network.keras_import.scalings import scaled
from qatviz.network.layer import element_count
from qatviz.network.layers import DepthwiseConv2D, ReLU, Reshape


def convert_merge(kind: Type[Elementwise]) -> Conversion:
    """Return the conversion of a layer that combines its inputs position by position to `kind`.

    Inputs with fewer axes get axes of length 1 before their own, as in Keras. More inputs than `kind` takes, and sums
    of more than two inputs of different shapes, are combined by a chain of layers; the average of more than two is
    their sum, scaled.
    """

    def convert(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
        rank = max(len(draft.keras_shape(source)) for source in inputs)
        sources = draft.alike(layer.name, [_with_axes(draft, layer, source, rank) for source in inputs])
        if kind is Average and len(sources) > 2:
            total = _chain(draft, Add, layer, sources, draft.names.derive(layer.name, "sum"))
            return scaled(draft, layer, total, np.float64(1 / len(sources)), np.float64(0))
        most = kind.max_inputs or (len(sources) if len({draft.shapes[source] for source in sources}) == 1 else 2)
        if len(sources) > most:
            return _chain(draft, kind, layer, sources, layer.name)
        return draft.add(kind, layer.name, sources)

    return convert


def _chain(draft: Draft, kind: Type[Elementwise], layer: KerasLayer, sources: List[str], name: str) -> str:
    """Combine inputs two by two; return the name of the last layer, `name`."""
    for place, source in enumerate(sources[1:-1], 2):
        first = draft.names.derive(layer.name, f"first{place}")
        sources = [draft.add(kind, first, (sources[0], source)), *sources[1:]]
    return draft.add(kind, name, (sources[0], sources[-1]))


def _with_axes(draft: Draft, layer: KerasLayer, source: str, rank: int) -> str:
    """Return the name of an output with `rank` axes, the first of which are added with length 1 if they are missing."""
    shape = draft.keras_shape(source)
    if len(shape) == rank:
        return source
    name = draft.names.derive(layer.name, "axes")
    return draft.add(Reshape, name, draft.as_plain(source), target_shape=(1,) * (rank - len(shape)) + shape)


def convert_prelu(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a PReLU to max(x, 0) plus x - max(x, 0) times a trained slope of each channel, or of each value.

    Its parts are operations that every format has and computes exactly; values below 0 have a grid of their own.
    TFLite's PRELU is a single operation, but rounds twice in LiteRT, with and without XNNPACK, and in TFLite Micro:
    over random grids, 2.4 % of its codes are not the nearest ones.
    """
    shape = draft.keras_shape(inputs[0])
    shared = checks.distinct_axes("setting shared_axes", layer.setting("shared_axes", None) or ())
    is_per_channel = all(size == 1 or axis in shared for axis, size in enumerate(shape[:-1], 1))
    if len(shape) in shared or (shared and not is_per_channel):
        allowed = f"{list(range(1, len(shape)))}, one slope for each channel, or none, one for each value"
        raise checks.invalid_value("setting shared_axes", list(shared), allowed)
    if is_per_channel:
        source = draft.reshape_to_image(layer.name, inputs[0])
    else:
        pixel = (1, 1, element_count(shape))
        source = draft.add_part(Reshape, layer.name, "pixel", draft.as_plain(inputs[0]), target_shape=pixel)
    positive = draft.add_part(ReLU, layer.name, "positive", source)
    negative = draft.add_part(Subtract, layer.name, "negative", (source, positive))
    slope = draft.names.derive(layer.name, "slope")
    draft.add(DepthwiseConv2D, slope, negative, kernel_size=1, use_bias=False)
    if is_per_channel:
        draft.copy_parameter(slope, "weights", layer, "alpha")
    else:
        draft.copy_parameter(slope, "weights", layer, "alpha", (element_count(shape),))
    draft.add(Add, layer.name, (positive, slope))
    draft.add_note(
        "PReLU is imported as max(x, 0) plus the values below 0 times <name>/slope, a depthwise 1×1 convolution",
        layer.name,
    )
    if is_per_channel:
        return draft.restore_shape(layer.name, layer.name, shape)
    return draft.add_part(Reshape, layer.name, "shape", layer.name, target_shape=shape)
