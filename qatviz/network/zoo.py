"""Built-in networks: small classifiers for images of about 28×28 to 32×32 pixels.

All end in the Dense layer "logits" without a Softmax, since the loss is computed from logits. A convolution before a
BatchNorm has no bias. Strides are chosen so that a training step on two CPU cores takes some tens of milliseconds.
"""

from typing import Any, Callable, Dict, NamedTuple, Type

from qatviz.network import checks
from qatviz.network.checks import Shape
from qatviz.network.elementwise import Add
from qatviz.network.graph import Network, NetworkBuilder
from qatviz.network.layer import Layer
from qatviz.network.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GlobalAveragePool,
    MaxPool,
    ReLU,
    ReLU6,
)


class NetworkEntry(NamedTuple):
    """Built-in network; ``build(input_shape, num_classes)`` returns it."""

    name: str
    description: str
    build: Callable[[Shape, int], Network]


def build(name: str, input_shape: Shape, num_classes: int) -> Network:
    """Return the built-in network `name` for examples of `input_shape`, such as (height, width, channels).

    Raises
    ------
    NetworkError
        If there is no such network, or it does not support this shape.
    """
    if name not in NETWORKS:
        raise checks.invalid_value("network", name, ", ".join(NETWORKS))
    return NETWORKS[name].build(input_shape, num_classes)


def _mlp(input_shape: Shape, num_classes: int) -> Network:
    net = NetworkBuilder("mlp", input_shape)
    net.add(Flatten, "flatten")
    for name in ("dense1", "dense2"):
        net.add(Dense, name, units=512)
        net.add(ReLU, name + "_relu")
    net.add(Dense, "logits", units=num_classes)
    return net.network()


def _lenet(input_shape: Shape, num_classes: int) -> Network:
    net = NetworkBuilder("lenet", input_shape)
    for index, filters in ((1, 16), (2, 32)):
        net.add(Conv2D, f"conv{index}", filters=filters, kernel_size=5)
        net.add(ReLU, f"conv{index}_relu")
        net.add(MaxPool, f"pool{index}")
    net.add(Flatten, "flatten")
    net.add(Dense, "dense1", units=128)
    net.add(ReLU, "dense1_relu")
    net.add(Dense, "logits", units=num_classes)
    return net.network()


def _add_normalized(
    net: NetworkBuilder, kind: Type[Layer], name: str, activation: Type[Layer], **settings: Any
) -> None:
    """Add a convolution without a bias, a batch norm and an activation."""
    net.add(kind, name, use_bias=False, **settings)
    net.add(BatchNorm, name + "_bn")
    net.add(activation, name + "_" + activation.__name__.lower())


def _add_separable(net: NetworkBuilder, index: int, filters: int, strides: int, activation: Type[Layer]) -> None:
    """Add the depthwise separable block number `index`."""
    _add_normalized(net, DepthwiseConv2D, f"depthwise{index}", activation, kernel_size=3, strides=strides)
    _add_normalized(net, Conv2D, f"pointwise{index}", activation, filters=filters, kernel_size=1)


def _with_classifier(net: NetworkBuilder, num_classes: int) -> Network:
    """Add the classifier and return the network."""
    net.add(GlobalAveragePool, "global_pool")
    net.add(Dense, "logits", units=num_classes)
    return net.network()


def _dscnn(input_shape: Shape, num_classes: int) -> Network:
    net = NetworkBuilder("dscnn", input_shape)
    _add_normalized(net, Conv2D, "conv", ReLU, filters=64, kernel_size=3, strides=2)
    for index, strides in enumerate((2, 1, 1, 1), start=1):
        _add_separable(net, index, 64, strides, ReLU)
    return _with_classifier(net, num_classes)


def _resnet8(input_shape: Shape, num_classes: int) -> Network:
    net = NetworkBuilder("resnet8", input_shape)
    # MLPerf Tiny's stem has stride 1, with which training at 32×32 would take four times as long.
    _add_normalized(net, Conv2D, "conv", ReLU, filters=16, strides=2)
    for index, (filters, strides) in enumerate(((16, 1), (32, 2), (64, 2)), start=1):
        stack = f"stack{index}_"
        shortcut = net.last
        _add_normalized(net, Conv2D, stack + "conv1", ReLU, filters=filters, strides=strides)
        net.add(Conv2D, stack + "conv2", filters=filters, use_bias=False)
        residual = net.add(BatchNorm, stack + "conv2_bn")
        if strides > 1:
            shortcut = net.add(Conv2D, stack + "shortcut", shortcut, filters=filters, kernel_size=1, strides=strides)
        net.add(Add, stack + "add", (residual, shortcut))
        net.add(ReLU, stack + "add_relu")
    return _with_classifier(net, num_classes)


def _mobilenet(input_shape: Shape, num_classes: int) -> Network:
    net = NetworkBuilder("mobilenet", input_shape)
    _add_normalized(net, Conv2D, "conv", ReLU6, filters=8, kernel_size=3, strides=2)
    for index, (filters, strides) in enumerate(_MOBILENET_BLOCKS, start=1):
        _add_separable(net, index, filters, strides, ReLU6)
    return _with_classifier(net, num_classes)


# (filters, strides) of Howard et al. 2017, table 1, at a quarter of the filters. Of the five strides of 2, which are
# for 224×224 pixels, the fourth is omitted: 28×28 becomes 14, 7, 4, 2, so that the six middle blocks still have 4×4.
_MOBILENET_BLOCKS = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1)) + 6 * ((128, 1),) + ((256, 2), (256, 1))

NETWORKS: Dict[str, NetworkEntry] = {
    entry.name: entry
    for entry in (
        NetworkEntry("mlp", "Two hidden Dense layers of 512 units with ReLU (Keras' classic MNIST example)", _mlp),
        NetworkEntry("lenet", "Two 5×5 convolutions with max-pooling, one hidden Dense layer", _lenet),
        NetworkEntry(
            "dscnn", "Four depthwise separable blocks of 64 channels, batch norm (MLPerf Tiny's DS-CNN)", _dscnn
        ),
        NetworkEntry("resnet8", "Three residual stacks (16, 32, 64), batch norm (MLPerf Tiny's ResNet)", _resnet8),
        NetworkEntry("mobilenet", "MobileNet V1 at width 0.25, batch norm, ReLU6", _mobilenet),
    )
}
"""Built-in networks by name."""
