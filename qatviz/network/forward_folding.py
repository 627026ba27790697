"""Batch norms folded into the layer behind them, on request, before a run begins.

Behind a layer without weights, an imported batch norm is folded into a depthwise 1×1 convolution of its own, with
weights of 1 (:func:`qatviz.network.keras_import.conversions.convert_batch_normalization`). If only layers that keep an
affine map of each channel lie between it and a convolution or Dense, the same outputs result without both: with
s = gamma / sqrt(variance + epsilon), t = beta - s·mean and sums over the taps of a kernel and the input channels,

    Σ W·(s·x + t) + b = Σ (W·s)·x + (b + Σ W·t),

unless zeros are padded, which the batch norm does not map. Training then has no statistics of batches to normalize by,
and no gamma and beta, hence the user decides.
"""

from dataclasses import replace
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from qatviz.network.checks import Shape
from qatviz.network.folding import batch_norm_factor
from qatviz.network.graph import Network
from qatviz.network.layer import Layer
from qatviz.network.layers import (
    AveragePool,
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePool,
    GroupedConv2D,
    MaxPool,
    Reshape,
)
from qatviz.number_format import names_text

#: Layers whose output for s·x + t is s·y + t, with the output y for x; Dropout does so in inference.
_AFFINE = (AveragePool, Dropout, Flatten, GlobalAveragePool, MaxPool, Reshape)
_RESHAPING = (Flatten, Reshape)
_Target = Union[Conv2D, Dense, DepthwiseConv2D]


class ForwardFold(NamedTuple):
    """A batch norm and the layer into which it can be folded.

    Attributes
    ----------
    scale : DepthwiseConv2D
        The convolution with weights of 1 before the batch norm.
    batch_norm : BatchNorm
    target : Conv2D, DepthwiseConv2D or Dense
    channels : np.ndarray of int
        Channel of the batch norm from which each input channel of ``target`` results, ``[in]``.
    increasing : bool
        Whether s must not be negative, since a maximum lies between both.
    """

    scale: DepthwiseConv2D
    batch_norm: BatchNorm
    target: _Target
    channels: np.ndarray
    increasing: bool


class ForwardFolded(NamedTuple):
    """A network after its batch norms are folded forward.

    Attributes
    ----------
    network : Network
    parameters : dict of str to np.ndarray or None
        Those of the network; None if there were none.
    folded : tuple of tuple
        Names of each batch norm that was folded, and of the layer into which it was.
    """

    network: Network
    parameters: Optional[Dict[str, np.ndarray]]
    folded: Tuple[Tuple[str, str], ...]


def forward_folds(network: Network) -> Tuple[ForwardFold, ...]:
    """Return the batch norms of a network that can be folded forward, if the sign of their gamma allows it."""
    return tuple(_folds(network))


def _folds(network: Network) -> Iterator[ForwardFold]:
    shared = {layer.owner for layer in network.layers if layer.owner != layer.name}
    for norm in network.layers:
        if isinstance(norm, BatchNorm) and not norm.shares and norm.name not in shared:
            scale = network.layer(norm.inputs[0])
            if isinstance(scale, DepthwiseConv2D) and _is_pointwise(scale) and not {scale.owner, scale.name} & shared:
                fold = _fold_behind(network, scale, norm)
                if fold is not None and not {fold.target.owner, fold.target.name} & shared:
                    yield fold


def _is_pointwise(layer: DepthwiseConv2D) -> bool:
    """Return whether a layer multiplies each channel by a number, and does nothing else."""
    return layer.kernel_size == layer.strides == (1, 1) and layer.depth_multiplier == 1 and not layer.use_bias


def _fold_behind(network: Network, scale: DepthwiseConv2D, norm: BatchNorm) -> Optional[ForwardFold]:
    """Return the fold of a batch norm; None if no layer behind it allows one."""
    shape = network.shapes[norm.name]
    channels = np.broadcast_to(np.arange(shape[-1]), shape)
    increasing, layer = False, network.only_consumer(norm.name)
    while isinstance(layer, _AFFINE):
        moved = _moved(channels, layer, network.shapes[layer.name])
        if moved is None:
            return None
        channels, increasing = moved, increasing or isinstance(layer, MaxPool)
        layer = network.only_consumer(layer.name)
    if not isinstance(layer, (Conv2D, DepthwiseConv2D, Dense)) or _pads(network, layer):
        return None
    of_inputs = channels if channels.ndim == 1 else _uniform(channels)
    if of_inputs is None:
        return None
    return ForwardFold(scale, norm, layer, of_inputs, increasing)


def _moved(channels: np.ndarray, layer: Layer, shape: Shape) -> Optional[np.ndarray]:
    """Return the channels of a layer's output of this shape, from those of its input; None if it joins several."""
    if isinstance(layer, _RESHAPING):
        return channels.reshape(shape)
    if isinstance(layer, Dropout):
        return channels
    uniform = _uniform(channels)
    return None if uniform is None else np.broadcast_to(uniform, shape)


def _uniform(channels: np.ndarray) -> Optional[np.ndarray]:
    """Return those of one pixel of an image if all pixels have the same ones."""
    first = channels.reshape(-1, channels.shape[-1])[0]
    return first if np.all(channels == first) else None


def _pads(network: Network, layer: _Target) -> bool:
    """Return whether zeros are padded to the input of a layer."""
    if isinstance(layer, Dense) or layer.padding == "VALID":
        return False
    sizes = zip(network.shapes[layer.inputs[0]], network.shapes[layer.name], layer.kernel_size, layer.strides)
    taps = [
        (size, (outputs - 1) * stride + (kernel - 1) * dilation + 1)
        for (size, outputs, kernel, stride), dilation in zip(sizes, layer.dilation)
    ]
    return any(used > size for size, used in taps)


def norm_notes(network: Network) -> List[str]:
    """Return a note on the batch norms to which an import has given a convolution of their own, if there are any."""
    norms = (layer for layer in network.layers if isinstance(layer, BatchNorm))
    names = [repr(norm.name) for norm in norms if norm.inputs[0].startswith(norm.name + "/scale")]
    if not names:
        return []
    sentence = "batch norms that follow no convolution or Dense have a depthwise 1×1 convolution, named <name>/scale"
    return [f"{sentence}: {names_text(names)}"]


def fold_forward(network: Network, parameters: Optional[Mapping[str, np.ndarray]]) -> ForwardFolded:
    """Fold each batch norm for which it is possible into the layer behind it.

    Parameters
    ----------
    parameters : mapping of str to np.ndarray or None
        Parameters ``layer.parameter``, float32; None: training starts with random ones, for which a batch norm is left
        out.
    """
    values = None if parameters is None else dict(parameters)
    folded: List[Tuple[str, str]] = []
    fold = _next_fold(network, values)
    while fold is not None:
        replaced = fold.target if values is None else _fold_parameters(network, fold, values)
        network = _without(network, fold, replaced)
        folded.append((fold.batch_norm.name, fold.target.name))
        fold = _next_fold(network, values)
    return ForwardFolded(network, values, tuple(folded))


def _next_fold(network: Network, values: Optional[Mapping[str, np.ndarray]]) -> Optional[ForwardFold]:
    return next((fold for fold in _folds(network) if values is None or not _inverts(fold, values)), None)


def _inverts(fold: ForwardFold, values: Mapping[str, np.ndarray]) -> bool:
    """Return whether a negative factor forbids a fold, with which a maximum would be that of other values."""
    factors = values[fold.scale.name + ".weights"].reshape(-1) * values[fold.batch_norm.name + ".gamma"]
    return fold.increasing and bool(np.any(factors < 0))


def _fold_parameters(network: Network, fold: ForwardFold, values: Dict[str, np.ndarray]) -> Layer:
    """Fold a batch norm into the arrays of its target; return the target, which may need a bias now."""
    norm, target = fold.batch_norm, fold.target
    factors = batch_norm_factor(norm, values).astype(np.float64)
    _, beta, mean, _ = (
        values.pop(f"{norm.name}.{name}") for name in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    offsets = (beta - factors * mean)[fold.channels]
    factors = (factors * values.pop(fold.scale.name + ".weights").reshape(-1))[fold.channels]
    key = target.name + ".weights"
    weights = values[key].astype(np.float64)
    values[key] = (weights * _by_input(target, factors)).astype(np.float32)
    products = weights * _by_input(target, offsets)
    is_depthwise = isinstance(target, DepthwiseConv2D)
    constants = products.sum((0, 1)).reshape(-1) if is_depthwise else products.sum(tuple(range(products.ndim - 1)))
    consumer = network.only_consumer(target.name)
    if target.use_bias:
        changed, sign = target.name + ".bias", 1
    elif isinstance(consumer, BatchNorm):
        changed, sign = consumer.name + ".moving_mean", -1
    else:
        values[target.name + ".bias"] = constants.astype(np.float32)
        return replace(target, use_bias=True)
    values[changed] = (values[changed] + sign * constants).astype(np.float32)
    return target


def _by_input(target: _Target, values: np.ndarray) -> np.ndarray:
    """Return values of the input channels, ``[in]``, in a shape that broadcasts against the weights."""
    if isinstance(target, GroupedConv2D):  # [in / groups, filters]: a filter has the channels of its group
        by_group = values.reshape(target.groups, -1).T
        return np.asarray(np.repeat(by_group, target.filters // target.groups, axis=1))
    return values[:, np.newaxis]


def _without(network: Network, fold: ForwardFold, replaced: Layer) -> Network:
    """Return the network without a batch norm, and with another layer in place of the target."""
    sources = {fold.batch_norm.name: fold.scale.inputs[0]}
    removed = {fold.scale.name, fold.batch_norm.name}
    before, behind = _layer(network, fold.scale.inputs[0]), network.only_consumer(fold.batch_norm.name)
    if (
        isinstance(before, Reshape)
        and isinstance(behind, _RESHAPING)
        and network.shapes[before.inputs[0]] == network.shapes[behind.name]
        and network.only_consumer(before.name) is fold.scale
    ):  # both served the batch norm
        removed |= {before.name, behind.name}
        sources[behind.name] = before.inputs[0]
    layers = [replaced if layer is fold.target else layer for layer in network.layers if layer.name not in removed]
    return replace(network, layers=tuple(_renamed(layer, sources) for layer in layers))


def _layer(network: Network, name: str) -> Optional[Layer]:
    """Return the layer of an output; None for an input of the network."""
    return None if name in network.input_names else network.layer(name)


def _renamed(layer: Layer, sources: Mapping[str, str]) -> Layer:
    """Return a layer that reads other outputs in place of some."""
    inputs: Sequence[str] = [sources.get(name, name) for name in layer.inputs]
    return layer if tuple(inputs) == layer.inputs else replace(layer, inputs=tuple(inputs))
