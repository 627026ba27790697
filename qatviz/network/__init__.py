"""Description of networks, independent of any framework: layers, graph, quantization plan, built-in networks."""

from qatviz.network.activations import Activation
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
    Permute,
    ReLU,
    ReLU6,
    Reshape,
    Slice,
    Softmax,
    UpsampleNearest,
    ZeroPad,
)
from qatviz.network.plan import QuantizationPlan, QuantizedTensor, Unit, quantization_plan
from qatviz.network.zoo import NETWORKS, NetworkEntry

__all__ = [
    "KINDS",
    "NETWORKS",
    "Activation",
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
    "Permute",
    "QuantizationPlan",
    "QuantizedTensor",
    "ReLU",
    "ReLU6",
    "Reshape",
    "Slice",
    "Softmax",
    "SummaryRow",
    "Unit",
    "UpsampleNearest",
    "ZeroPad",
    "quantization_plan",
]
