"""Layers that share parameters: one layer owns them, and layers after it use them with inputs of their own.

A layer that Keras calls several times becomes as many layers here. The first owns weights, bias and, in the plan, the
quantizer of the weights; the others name it in their setting ``shares``. All have the same kind and settings.
"""

from dataclasses import replace
from typing import Dict, Mapping, Sequence

from qatviz.errors import NetworkError
from qatviz.network import checks
from qatviz.network.checks import Shape
from qatviz.network.layer import Layer
from qatviz.network.layers import BatchNorm


def check_sharing(layers: Sequence[Layer], shapes: Mapping[str, Shape]) -> None:
    """Check the layers that use the parameters of another one.

    Parameters
    ----------
    layers : sequence of Layer
        All layers of a network, in topological order.
    shapes : mapping of str to tuple of int
        Shapes of their outputs and of the input.

    Raises
    ------
    NetworkError
        If the other layer is not an earlier one with parameters of its own, of the same kind, settings and parameter
        shapes; or if a BatchNorm is folded into layers of which only some share it.
    """
    before: Dict[str, Layer] = {}
    for layer in layers:
        if getattr(layer, "shares", ""):
            _check_owner(layer, before, shapes)
        before[layer.name] = layer
    if any(layer.owner != layer.name for layer in layers):
        _check_folded(layers)


def _check_owner(layer: Layer, before: Mapping[str, Layer], shapes: Mapping[str, Shape]) -> None:
    """Check the layer whose parameters ``layer`` uses, one of those ``before`` it."""
    owner, where = before.get(layer.owner), f"layer {layer.name!r}: shares"
    if owner is None or owner.kind != layer.kind or owner.owner != owner.name:
        owners = [
            repr(other.name) for other in before.values() if (other.kind, other.owner) == (layer.kind, other.name)
        ]
        allowed = f"an earlier {layer.kind} with parameters of its own: {', '.join(owners) or 'there is none'}"
        raise checks.invalid_value(where, layer.owner, allowed)
    if replace(layer.with_owner(""), name=owner.name, inputs=owner.inputs) != owner:
        raise NetworkError(f"{where} is {owner.name!r}, which has other settings; allowed: a layer with the same ones")
    found, expected = (one.parameter_shapes([shapes[source] for source in one.inputs]) for one in (layer, owner))
    if found != expected:
        raise NetworkError(
            f"{where} is {owner.name!r}, whose parameters have the shapes {expected}; its input requires {found}; "
            "allowed: inputs with the same number of channels"
        )


def _check_folded(layers: Sequence[Layer]) -> None:
    """Check that layers with common weights have a common BatchNorm, because folded weights are common, too."""
    by_name = {layer.name: layer for layer in layers}
    norms = {layer.inputs[0]: layer for layer in layers if isinstance(layer, BatchNorm)}
    pairs = {(layer.owner, norms[layer.name].owner if layer.name in norms else "") for layer in layers}
    for source, norm in norms.items():
        weights = by_name[source].owner
        if any((layer == weights) != (statistics == norm.owner) for layer, statistics in pairs):
            raise NetworkError(
                f"layer {norm.name!r}: this BatchNorm is folded into {source!r}, but not all layers with the weights "
                f"of {weights!r} have the statistics of {norm.owner!r} behind them; allowed: all of them or none"
            )
