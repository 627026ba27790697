"""Description of networks, independent of any framework: layers, graph, quantization plan, built-in networks."""

from qatviz.network.activations import Activation
from qatviz.network.elementwise import Add, Average, Maximum, Minimum, Multiply, Subtract
from qatviz.network.embedding import Embedding
from qatviz.network.graph import Network, NetworkBuilder, SummaryRow
from qatviz.network.layer import Layer
from qatviz.network.layers import (
    KINDS,
    AveragePool,
    BatchNorm,
    Concat,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePool,
    GroupedConv2D,
    MaxPool,
    Permute,
    ReLU,
    ReLU6,
    Reshape,
    Slice,
    Softmax,
    UpsampleBilinear,
    UpsampleNearest,
    ZeroPad,
)
from qatviz.network.matmul import MatMul
from qatviz.network.plan import QuantizationPlan, QuantizedTensor, Unit, quantization_plan
from qatviz.network.zoo import NETWORKS, NetworkEntry

__all__ = [
    "KINDS",
    "NETWORKS",
    "Activation",
    "Add",
    "Average",
    "AveragePool",
    "BatchNorm",
    "Concat",
    "Conv2D",
    "Conv2DTranspose",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAveragePool",
    "GroupedConv2D",
    "Layer",
    "MatMul",
    "MaxPool",
    "Maximum",
    "Minimum",
    "Multiply",
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
    "Subtract",
    "SummaryRow",
    "Unit",
    "UpsampleBilinear",
    "UpsampleNearest",
    "ZeroPad",
    "quantization_plan",
]
