"""Small data sets, networks and specs of runs: a training step takes a millisecond."""

import numpy as np

from qatviz.data import from_arrays
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import BatchNorm, Conv2D, Dense, DepthwiseConv2D, Dropout, GlobalAveragePool, ReLU, ReLU6
from qatviz.network.plan import quantization_plan
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.settings_book import SettingsBook
from qatviz.settings import RunSettings


def dataset(shape=(6,), classes=3, train=96, test=40, seed=0):
    """Return a float32 data set that can be learned: the classes have different centres."""
    random = np.random.RandomState(seed)
    centres = random.standard_normal((classes, *shape))

    def part(count):
        labels = np.arange(count) % classes
        return (centres[labels] + 0.5 * random.standard_normal((count, *shape))).astype(np.float32), labels

    return from_arrays("tiny", "made for the test", part(train), part(test))


def mlp(shape=(6,), classes=3):
    """Return a network of two dense layers."""
    net = NetworkBuilder("tiny_mlp", shape)
    net.add(Dense, "dense1", units=8)
    net.add(ReLU, "dense1_relu")
    net.add(Dense, "logits", units=classes)
    return net.network()


def convnet(shape=(6, 6, 2), classes=3):
    """Return a network of convolutions with batch norm, and dropout."""
    net = NetworkBuilder("tiny_conv", shape)
    net.add(Conv2D, "conv", filters=4, use_bias=False)
    net.add(BatchNorm, "conv_bn", momentum=0.9)
    net.add(ReLU, "conv_relu")
    net.add(DepthwiseConv2D, "depthwise", strides=2, depth_multiplier=2, use_bias=False)
    net.add(BatchNorm, "depthwise_bn", momentum=0.9)
    net.add(ReLU6, "depthwise_relu6")
    net.add(GlobalAveragePool, "pool")
    net.add(Dropout, "dropout", rate=0.25)
    net.add(Dense, "logits", units=classes)
    return net.network()


def spec(
    network=None, data=None, preset="tflite-int8", steps=None, run=None, weights=None, activations=None, **settings
):
    """Return the spec of a small run; by default of the mlp, without a limit and without evaluations."""
    network = network or mlp()
    data = data or dataset(network.input_shape)
    run = dict({"evaluation_interval": 0, "snapshot_interval": 3600.0, "learning_rate": 1e-2}, **(run or {}))
    book = SettingsBook.from_preset(
        quantization_plan(network, [head.task == "regression" for head in data.heads])
        if len(network.outputs) > 1
        else quantization_plan(network),
        preset,
        weights,
        activations,
        RunSettings(**run),
    )
    return RunSpec(network, data, "tiny", book, batch_size=settings.pop("batch_size", 8), steps=steps, **settings)
