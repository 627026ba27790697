"""Cross-layer equalization: balance the ranges of channels between consecutive layers.

Let layer 1 have weights ``W1`` and bias ``b1``, batch norm folded in, and layer 2 weights ``W2``. For any ``s > 0`` and
any function ``f`` with ``f(s x) = s f(x)``, such as ReLU::

    W2 f(W1 x + b1) = (W2 S) f(S^-1 W1 x + S^-1 b1),  S = diag(s)

so that the network in float stays the same. With ``r1[i]`` the largest magnitude of the weights of output channel i of
layer 1, and ``r2[i]`` that of the weights that layer 2 applies to this channel, the sum of the products of each
channel's precision is largest for equal ranges::

    s[i] = sqrt(r1[i] r2[i]) / r2[i],  so that  r1[i] / s[i] = s[i] r2[i] = sqrt(r1[i] r2[i])

The pairs of a network are equalized in turn, until their factors converge.

Batch norm: if layer 1 has one, its gamma and beta take up ``1 / s``, and its weights stay as they are. Moving
statistics never change: those of layer 1 are of an output before gamma, and in layer 2 ``s`` and ``1 / s`` cancel.
Training continues as without it, except for the quantizers and the size of updates relative to the scaled parameters.

Optimizer: for ``w' = c w``, gradients become ``g / c``. Slots follow: averages of gradients (``m``, ``momentum``) are
divided by ``c``, averages of their squares (``v``, ``rms``) by ``c^2``.

Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction" (arXiv:1906.04721),
4.1 and 4.1.2.
"""

from typing import Dict, List, Mapping, NamedTuple, Sequence, Set, Tuple

import numpy as np

from qatviz.correction.pairs import LayerPair
from qatviz.network.folding import folded
from qatviz.network.layers import DepthwiseConv2D, GroupedConv2D
from qatviz.network.plan import QuantizationPlan, Unit

Arrays = Dict[str, np.ndarray]

#: The iteration ends when all factors of a pass over all pairs differ from 1 by at most the first number, or after the
#: second number of passes.
_CONVERGED, _PASSES = 1e-4, 200
#: Power of the gradient in each slot of an optimizer; other slots do not depend on the scale of the gradient.
_GRADIENT_POWER = {"m": 1, "momentum": 1, "v": 2, "rms": 2}


class Equalized(NamedTuple):
    """Result of an equalization.

    Attributes
    ----------
    arrays : dict of str to np.ndarray
        All arrays of the state; those that did not change are the same objects.
    factors : dict of str to np.ndarray
        ``s`` of each pair by the name of its first layer, float64 ``[channels]``.
    passes : int
        Number of passes over all pairs.
    """

    arrays: Arrays
    factors: Dict[str, np.ndarray]
    passes: int


def equalized(plan: QuantizationPlan, pairs: Sequence[LayerPair], arrays: Mapping[str, np.ndarray]) -> Equalized:
    """Return the state with equalized layers; ``arrays`` are not changed.

    Parameters
    ----------
    plan : QuantizationPlan
    pairs : sequence of LayerPair
    arrays : mapping of str to np.ndarray
        Parameters and optimizer slots as in a checkpoint, float32.
    """
    magnitudes = {
        unit.name: _magnitudes(unit, folded(plan, unit, arrays).weights)
        for pair in pairs
        for unit in (pair.first, pair.second)
    }
    factors = {pair.first.name: np.ones(magnitudes[pair.first.name].shape[1]) for pair in pairs}
    passes, largest_change = 0, np.inf
    while largest_change > _CONVERGED and passes < _PASSES:
        passes, largest_change = passes + 1, 0.0
        for pair in pairs:
            first, second = magnitudes[pair.first.name], magnitudes[pair.second.name]
            change = _factors(first.max(axis=0), second.reshape(-1, first.shape[1], second.shape[1]).max(axis=(0, 2)))
            first /= change
            second *= _spread(change, len(second))[:, np.newaxis]
            factors[pair.first.name] *= change
            largest_change = max(largest_change, float(np.abs(change - 1).max()))
    return Equalized(scaled(pairs, factors, arrays), factors, passes)


def scaled(pairs: Sequence[LayerPair], factors: Mapping[str, np.ndarray], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Return the arrays of the state after an equalization by given factors; ``arrays`` are not changed.

    Parameters
    ----------
    factors : mapping of str to np.ndarray
        ``s`` of each pair by the name of its first layer, float64 ``[channels]``.
    arrays : mapping of str to np.ndarray
        As in :func:`equalized`.
    """
    changed = dict(arrays)
    for pair in pairs:
        for name, factor in parameter_factors(pair, factors[pair.first.name], changed).items():
            _scale(changed, name, factor)
    return changed


def parameter_factors(pair: LayerPair, s: np.ndarray, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Return the factors of the parameters that the equalization of a pair changes, by name of the parameter.

    ``s`` is float64 ``[channels]``; the results are float64 and broadcast against the parameters in ``arrays``.
    """
    first, second = pair.first, pair.second
    found: Arrays = {}
    if first.batch_norm is not None:
        found.update({f"{first.batch_norm.owner}.{name}": 1 / s for name in ("gamma", "beta")})
    else:
        weights = arrays[first.weights]
        found[first.weights] = 1 / (s.reshape(weights.shape[2:]) if isinstance(first.op, DepthwiseConv2D) else s)
        if first.bias in arrays:
            found[first.bias] = 1 / s
    found[second.weights] = _input_factors(second, s, arrays[second.weights].shape)
    return found


def changed_units(pairs: Sequence[LayerPair]) -> Set[str]:
    """Return the names of all layers whose folded weights change."""
    return {unit.name for pair in pairs for unit in (pair.first, pair.second)}


def _factors(r1: np.ndarray, r2: np.ndarray) -> np.ndarray:
    """Return ``sqrt(r1 r2) / r2``; 1 for channels without weights, or with weights that are not finite."""
    is_used = (r1 > 0) & (r2 > 0) & np.isfinite(r1) & np.isfinite(r2)
    return np.where(is_used, np.sqrt(np.where(is_used, r1, 1) / np.where(is_used, r2, 1)), 1.0)


def _magnitudes(unit: Unit, weights: np.ndarray) -> np.ndarray:
    """Return the largest magnitude of the weights from each input channel to each output channel.

    The result is float64 ``[inputs, outputs]``; 0 where no weight connects two channels.
    """
    values = np.abs(np.asarray(weights, np.float64))
    if values.ndim == 2:
        return values
    values = values.max(axis=(0, 1))
    inputs, outputs = values.shape
    if isinstance(unit.op, DepthwiseConv2D):
        found = np.zeros((inputs, inputs, outputs))
        found[np.arange(inputs), np.arange(inputs)] = values
        return found.reshape(inputs, inputs * outputs)
    if isinstance(unit.op, GroupedConv2D):
        groups = unit.op.groups
        found = np.zeros((groups, inputs, groups, outputs // groups))
        for group in range(groups):
            found[group, :, group] = values.reshape(inputs, groups, -1)[:, group]
        return found.reshape(groups * inputs, outputs)
    return values


def _spread(s: np.ndarray, inputs: int) -> np.ndarray:
    """Return the factor of each input of a layer, ``[inputs]``: a Flatten repeats the channels for each pixel."""
    return np.tile(s, inputs // len(s))


def _input_factors(unit: Unit, s: np.ndarray, shape: Tuple[int, ...]) -> np.ndarray:
    """Return the factors of a layer's weights for the factors ``s`` of its input channels, broadcastable."""
    if isinstance(unit.op, GroupedConv2D):
        by_group = s.reshape(unit.op.groups, shape[2])
        return np.repeat(by_group.T, shape[3] // unit.op.groups, axis=1)
    return _spread(s, shape[-2])[:, np.newaxis]


def _scale(arrays: Arrays, name: str, factor: np.ndarray) -> None:
    """Multiply a parameter by ``factor``, and divide its optimizer slots by the power of it that gradients require."""
    arrays[name] = (arrays[name] * factor).astype(np.float32)
    for key in slots_of(arrays, name):
        power = _GRADIENT_POWER.get(key.rpartition("|")[2], 0)
        arrays[key] = (arrays[key] / factor**power).astype(arrays[key].dtype)


def slots_of(arrays: Mapping[str, np.ndarray], name: str) -> List[str]:
    """Return the names of the optimizer slots of a parameter."""
    return [key for key in arrays if key.startswith(name + "|")]
