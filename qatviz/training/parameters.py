"""Seeded initial parameters of a network, computed in NumPy so that they are equal on every platform."""

# A separate module, because it needs no TensorFlow.

from typing import Dict, FrozenSet, Sequence, Tuple

import numpy as np

from qatviz.network.embedding import Embedding
from qatviz.network.graph import Network
from qatviz.network.keras_import.origin import KerasOrigin
from qatviz.network.layers import Conv2DTranspose
from qatviz.network.plan import QuantizationPlan
from qatviz.settings import WEIGHTS, QuantizerSettings

#: Parameters that the optimizer does not train.
STATISTICS = ("moving_mean", "moving_variance")
#: Ends of the uniform distribution of an Embedding's table: those of Keras.
_TABLE = (-0.05, 0.05)
#: Parameters that it trains.
TRAINED = ("weights", "bias", "gamma", "beta")


def initial_parameters(network: Network, seed: int) -> Dict[str, np.ndarray]:
    """Return random initial parameters: float32 arrays by ``layer.parameter``.

    Weights have a normal distribution truncated at two standard deviations, with variance ``2 / fan_in`` (He et al.
    2015), and ``1 / fan_in`` in layers that are outputs, which no ReLU follows. Tables of an Embedding have Keras'
    uniform distribution. Biases, beta and moving means are 0, gamma and moving variances 1.
    """
    parameters = {}
    for index, layer in enumerate(network.layers):
        for name, shape in network.parameter_shapes(layer.name).items():
            if name == "weights":
                random = np.random.RandomState([seed % 2**32, index])
                if isinstance(layer, Embedding):
                    parameters[f"{layer.name}.{name}"] = random.uniform(*_TABLE, shape).astype(np.float32)
                    continue
                gain = 1.0 if layer.name in network.outputs else 2.0
                fan_in = np.prod(shape[:2] if layer.kind == "DepthwiseConv2D" else shape[:-1])
                if isinstance(layer, Conv2DTranspose):  # an output has the products of some of the kernel's pixels
                    fan_in = max(fan_in / np.prod(layer.strides), 1)
                value = _truncated_normal(random, shape) * np.sqrt(gain / fan_in)
            else:
                value = np.full(shape, 1.0 if name in ("gamma", "moving_variance") else 0.0)
            parameters[f"{layer.name}.{name}"] = value.astype(np.float32)
    return parameters


def is_trainable(name: str) -> bool:
    """Return whether the optimizer trains the parameter ``layer.parameter``."""
    return name.rsplit(".", 1)[1] not in STATISTICS


def untrained_parameters(plan: QuantizationPlan, settings: Sequence[QuantizerSettings]) -> FrozenSet[str]:
    """Return the parameters of layers whose weights are not trainable by the ``settings`` of each group of the plan.

    They include those of the folded batch norm.
    """
    leaders = [plan.tensors[members[0]] for members in plan.groups]
    names = {leader.name for leader, own in zip(leaders, settings) if leader.kind == WEIGHTS and not own.trainable}
    layers = [layer.owner for unit in plan.units if unit.weights in names for layer in unit.layers]
    return frozenset(f"{layer}.{name}" for layer in layers for name in TRAINED)


def kept_layers(plan: QuantizationPlan, network: Network, origin: KerasOrigin) -> Dict[str, FrozenSet[str]]:
    """Return all parameters of each layer that is not trainable in Keras, by the quantized tensor of its weights.

    Of a convolution and its folded batch norm, both must not be trainable: the setting is of both.
    """
    frozen, kept = origin.frozen.intersection(origin.arrays), {}
    for unit in plan.units:
        own = {f"{layer.name}.{name}" for layer in unit.layers for name in network.parameter_shapes(layer.name)}
        if own and own <= frozen:
            kept[unit.name + ".weights"] = frozenset(own)
    return kept


def is_decayed(name: str) -> bool:
    """Return whether weight decay and pruning apply to the trained parameter ``layer.parameter``: weights of layers."""
    return name.rsplit(".", 1)[1] == "weights"


def _truncated_normal(random: np.random.RandomState, shape: Tuple[int, ...]) -> np.ndarray:
    """Return values of a normal distribution truncated at 2 and scaled to standard deviation 1."""
    values = random.standard_normal(shape)
    outside = np.abs(values) > 2
    while outside.any():
        values[outside] = random.standard_normal(np.count_nonzero(outside))
        outside = np.abs(values) > 2
    return values / 0.8796256610342398  # standard deviation of a normal distribution truncated at 2
