"""Replacement of ReLU6 by ReLU, which equalization requires."""

# Apart from the graph, which knows no kinds of activations.

from dataclasses import replace

from qatviz.network.graph import Network
from qatviz.network.layers import ReLU, ReLU6


def has_relu6(network: Network) -> bool:
    """Return whether the network has a ReLU6."""
    return any(isinstance(layer, ReLU6) for layer in network.layers)


def with_relu(network: Network) -> Network:
    """Return the network with a ReLU in place of each ReLU6, under the same names.

    A ReLU6 clips all channels at the same value, so that their scales can't be changed; quantization clips outputs
    at the end of their range anyway.
    """
    layers = tuple(ReLU(layer.name, layer.inputs) if isinstance(layer, ReLU6) else layer for layer in network.layers)
    return replace(network, layers=layers)
