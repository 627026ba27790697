"""What a model is: a directed acyclic graph of layers as plain data, what of it gets quantized, and a zoo."""

from qatviz.network.builder import NetworkBuilder
from qatviz.network.graph import Network, SummaryRow
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
