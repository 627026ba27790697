"""Description of networks, independent of any framework: layers, graph, quantization plan, built-in networks."""

from qatviz.network.graph import Network, NetworkBuilder, SummaryRow
from qatviz.network.layer import Layer
from qatviz.network.layers import (
    KINDS,
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePool,
    MaxPool,
    ReLU,
    ReLU6,
    Reshape,
    Softmax,
    ZeroPad,
)
from qatviz.network.plan import QuantizationPlan, QuantizedTensor, Unit, quantization_plan
from qatviz.network.zoo import NETWORKS, NetworkEntry

__all__ = [
    "KINDS",
    "NETWORKS",
    "Add",
    "AveragePool",
    "BatchNorm",
    "Concat",
    "Conv2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "GlobalAveragePool",
    "Layer",
    "MaxPool",
    "Network",
    "NetworkBuilder",
    "NetworkEntry",
    "QuantizationPlan",
    "QuantizedTensor",
    "ReLU",
    "ReLU6",
    "Reshape",
    "Softmax",
    "SummaryRow",
    "Unit",
    "ZeroPad",
    "quantization_plan",
]
