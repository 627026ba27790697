"""Networks whose quantized evaluation graph is compared with integers.

With random parameters and the ranges of digits, which is quick, or after some training.
"""

from functools import lru_cache

import numpy as np
import tensorflow.compat.v1 as tf
from lowering_cases import LoweredNetwork
from stored_states import stored_ranges

from qatviz.data import load
from qatviz.export.integers.lowering import integer_model
from qatviz.export.proof.parity import run_outputs
from qatviz.network import zoo
from qatviz.network.activations import Activation
from qatviz.network.elementwise import Add, Average, Maximum, Multiply, Subtract
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import (
    AveragePool,
    BatchNorm,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GlobalAveragePool,
    GroupedConv2D,
    MaxPool,
    ReLU,
    ReLU6,
    Reshape,
    UpsampleBilinear,
    UpsampleNearest,
)
from qatviz.network.plan import quantization_plan
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant import live_state
from qatviz.settings import RunSettings
from qatviz.training.graph import TrainingGraph

BATCH_SIZE, CALIBRATED_ON = 32, 64
FEW_LAYERS = "few_layers"
#: MobileNetV2: expansion, filters, number of blocks, stride of the first (Sandler et al. 2018, table 2); at most two
#: equal blocks, because each takes a second.
_BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 2, 2), (6, 64, 2, 2), (6, 96, 2, 1), (6, 160, 2, 2), (6, 320, 1, 1))


def digits(shape, count):
    """Return held-out digits, float32 ``[count] + shape``: padded and repeated in all channels."""
    data = load("mnist-5k")
    found = data.x_test[:count].astype(np.float32) * np.float32(data.pixel_scale)
    missing = [size - have for size, have in zip(shape[:2], found.shape[1:3])]
    found = np.pad(found, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)), "constant")
    return np.repeat(found, shape[2], axis=3)


def sensible_parameters(network, seed=0):
    """Return random parameters with which signals neither grow nor vanish from layer to layer."""
    random = np.random.RandomState(seed)
    values = {}
    for layer in network.layers:
        for name, shape in network.parameter_shapes(layer.name).items():
            if name in ("gamma", "moving_variance"):
                value = random.uniform(0.5, 1.5, shape)
            elif name == "weights":
                fan_in = np.prod(shape[:2] if layer.kind == "DepthwiseConv2D" else shape[:-1])
                value = random.standard_normal(shape) * np.sqrt(2.0 / fan_in)
            else:
                value = random.standard_normal(shape) * 0.3
            values[f"{layer.name}.{name}"] = value.astype(np.float32)
    return values


def mobilenet_v2(input_shape=(32, 32, 3), classes=10):
    """Return a MobileNetV2 with all kinds of its blocks for small inputs."""
    net = NetworkBuilder("mobilenetv2", input_shape)

    def normalized(kind, name, activated=True, **settings):
        net.add(kind, name, padding="SAME", use_bias=False, **settings)
        net.add(BatchNorm, name + "_bn", epsilon=1e-3)
        return net.add(ReLU6, name + "_relu") if activated else net.last

    source, channels = normalized(Conv2D, "stem", filters=32, kernel_size=3, strides=2), 32
    for stage, (expansion, filters, count, stride) in enumerate(_BLOCKS):
        for index in range(count):
            name = f"block{stage}_{index}_"
            if expansion > 1:
                normalized(Conv2D, name + "expand", filters=expansion * channels, kernel_size=1)
            normalized(DepthwiseConv2D, name + "depthwise", kernel_size=3, strides=1 if index else stride)
            result = normalized(Conv2D, name + "project", False, filters=filters, kernel_size=1)
            source = net.add(Add, name + "add", inputs=(source, result)) if index else result
            channels = filters
    normalized(Conv2D, "head", filters=1280, kernel_size=1)
    net.add(GlobalAveragePool, "means")
    net.add(Dense, "logits", units=classes)
    return net.network()


def few_layers(input_shape=(28, 28, 1), classes=10):
    """Return the network for which the agreement of runtimes is known: all kinds of layers, without batch norm."""
    net = NetworkBuilder(FEW_LAYERS, input_shape)
    net.add(Conv2D, "conv", filters=8, kernel_size=3, padding="SAME")
    net.add(ReLU, "conv_relu")
    net.add(MaxPool, "max", pool_size=2)
    net.add(DepthwiseConv2D, "depthwise", kernel_size=3, padding="SAME")
    net.add(ReLU, "depthwise_relu")
    net.add(AveragePool, "mean", pool_size=2)
    net.add(Conv2D, "strided", filters=16, kernel_size=3, strides=2, padding="SAME")
    net.add(ReLU, "strided_relu")
    net.add(Flatten, "flatten")
    net.add(Dense, "dense", units=32)
    net.add(ReLU, "dense_relu")
    net.add(Dense, "logits", units=classes)
    return net.network()


def _digits_network(name):
    """Return the builder of a network, with a first convolution."""
    net = NetworkBuilder(name, (28, 28, 1))
    net.add(Conv2D, "stem", filters=8, kernel_size=3, strides=2)
    net.add(ReLU, "stem_relu")
    return net


def _ended(net):
    """Return the network with a Dense of all values at its end."""
    net.add(Flatten, "flatten")
    net.add(Dense, "logits", units=10)
    return net.network()


def functions():
    net = _digits_network("functions")
    for index, function in enumerate(("swish", "tanh", "leaky_relu", "hard_swish", "elu", "sigmoid")):
        net.add(Conv2D, f"conv{index}", filters=8, kernel_size=3, strides=2 if index == 2 else 1)
        net.add(Activation, f"{function}{index}", function=function)
    return _ended(net)


def products():
    """Products, differences, means and extremes of two tensors, one of which may be repeated."""
    net = _digits_network("products")
    trunk = net.last
    net.add(GlobalAveragePool, "squeeze")
    net.add(Dense, "gate", units=8)
    net.add(Activation, "gate_sigmoid", function="sigmoid")
    gates = net.add(Reshape, "gates", target_shape=(1, 1, 8))
    gated = net.add(Multiply, "gated", inputs=(gates, trunk))
    branch = net.add(Conv2D, "branch", filters=8, kernel_size=3)
    difference = net.add(Subtract, "difference", inputs=(gated, branch))
    mean = net.add(Average, "mean", inputs=(difference, trunk))
    net.add(Multiply, "square", inputs=(mean, mean))
    other = net.add(Conv2D, "other", filters=8, kernel_size=1)
    net.add(Maximum, "larger", inputs=(other, net.add(Conv2D, "third", inputs=mean, filters=8, kernel_size=1)))
    net.add(MaxPool, "pool")
    return _ended(net)


def transposed():
    """Transposed convolutions, and convolutions of groups of channels."""
    net = _digits_network("transposed")
    net.add(GroupedConv2D, "grouped", filters=16, kernel_size=3, strides=2, groups=2)
    net.add(ReLU, "grouped_relu")
    net.add(Conv2DTranspose, "larger", filters=8, kernel_size=3, strides=2)
    net.add(ReLU, "larger_relu")
    net.add(GroupedConv2D, "fours", filters=8, kernel_size=3, strides=2, groups=4)
    net.add(ReLU, "fours_relu")
    net.add(Conv2DTranspose, "last", filters=4, kernel_size=2, strides=2)
    return _ended(net)


def enlarged():
    """Linear interpolation, by a power of two and by another factor, and repetition of pixels."""
    net = _digits_network("enlarged")
    net.add(MaxPool, "pool")
    net.add(UpsampleBilinear, "twice", size=2)
    net.add(Conv2D, "conv", filters=8, kernel_size=3, strides=2)
    net.add(ReLU, "conv_relu")
    net.add(UpsampleBilinear, "thrice", size=3)
    net.add(Conv2D, "thin", filters=8, kernel_size=3, strides=3)
    net.add(UpsampleNearest, "repeated", size=2)
    net.add(Conv2D, "last", filters=4, kernel_size=3, strides=2)
    return _ended(net)


def sequence():
    """1-D layers, which are those of an image of one row."""
    net = NetworkBuilder("sequence", (28, 28, 1))
    net.add(Reshape, "row", target_shape=(1, 28, 28))
    for index in range(2):
        net.add(Conv2D, f"conv{index}", filters=16, kernel_size=(1, 3))
        net.add(ReLU, f"relu{index}")
    net.add(MaxPool, "pool", pool_size=(1, 2))
    net.add(DepthwiseConv2D, "depthwise", kernel_size=(1, 3), dilation=(1, 2))
    net.add(AveragePool, "mean", pool_size=(1, 2))
    return _ended(net)


def multiply_add():
    """Layers that a batch norm, a Rescaling or a constant becomes where it can't be folded, around a pool."""
    net = NetworkBuilder("multiply_add", (28, 28, 1))
    net.add(DepthwiseConv2D, "rescaled", kernel_size=1)
    net.add(Conv2D, "conv", filters=8, kernel_size=3, strides=2)
    net.add(ReLU, "relu")
    net.add(MaxPool, "pool")
    net.add(DepthwiseConv2D, "norm", kernel_size=1)
    net.add(ReLU, "norm_relu")
    net.add(Conv2D, "second", filters=8, kernel_size=3)
    net.add(Activation, "scaled", function="linear", slope=0.5, offset=0.25)
    return _ended(net)


#: Networks whose layers are not in those of the zoo, by name; for digits.
LAYER_NETWORKS = {build.__name__: build for build in (functions, products, transposed, enlarged, sequence)}


@lru_cache(maxsize=None)
def calibrated(name):
    """A network of the zoo, or "mobilenetv2", with its graph, which stays for whoever else asks."""
    return Calibrated(name)


class Calibrated:
    """A network with random parameters and the ranges of digits.

    The ranges are stored: sums in the order of another processor would make every grid another one. Others are those
    that are given.
    """

    def __init__(self, name, ranges=None):
        self.network = mobilenet_v2() if name == "mobilenetv2" else zoo.build(name, (28, 28, 1), 10)
        self.parameters = sensible_parameters(self.network)
        config = tf.ConfigProto()
        config.graph_options.rewrite_options.disable_meta_optimizer = True  # like qatviz runs its graph
        self._graph = tf.Graph()
        with self._graph.as_default():
            self._lowered = LoweredNetwork(self.network)
            self._observed = self._lowered.lowered.quantizers.observed_ranges()
        self.plan = self._lowered.plan
        self._session = tf.Session(graph=self._graph, config=config)
        self.state = dict(self.parameters, **live_state.initial_ranges(live_state.layout(self.plan)))
        self.state.update(stored_ranges(name) if ranges is None else ranges)

    def observed_ranges(self):
        """Return the ranges of digits in float, which are then stored."""
        feeds = self._feeds(
            SettingsBook.from_preset(self.plan, "float"), digits(self.network.input_shape, CALIBRATED_ON)
        )
        return dict(zip(("range_min", "range_max"), self._session.run(self._observed, feeds)))

    def _feeds(self, book, images):
        place = live_state.layout(self.plan)
        state = {name: self.state[name] for name in live_state.initial_ranges(place)}
        state.update(live_state.settings_arrays(place, book.quantizers, book.run, 0))
        return self._lowered.feeds(images, state, self.parameters)

    def logits(self, book, images):
        """float32 ``[n, classes]``, quantized as in ``book``."""
        return np.concatenate(
            [
                self._session.run(self._lowered.lowered.logits, self._feeds(book, images[start : start + BATCH_SIZE]))
                for start in range(0, len(images), BATCH_SIZE)
            ]
        )

    def model(self, book):
        """Return the integer model."""
        return integer_model(self.network, book, self.state)


class Trained:
    """A network of the zoo at its normal size, or of few layers, after some steps on digits; use as a context
    manager."""

    def __init__(self, name, steps=24):
        data = load("mnist-5k")
        built = {FEW_LAYERS: few_layers, **LAYER_NETWORKS}.get(name)
        self.network = zoo.build(name, data.input_shape, data.num_classes) if built is None else built()
        self.plan = quantization_plan(self.network)
        self._steps = steps
        self._graph = TrainingGraph(self.network, self.plan, data, BATCH_SIZE, "adam", telemetry=False)
        book = SettingsBook.from_preset(self.plan, "tflite-int8", run=RunSettings(learning_rate=2e-3))
        batches = np.random.RandomState(0).randint(0, len(data.x_train), (steps, BATCH_SIZE)).astype(np.int32)
        self._graph.write_state(self._graph.initial_state(book.run))
        self._graph.write_settings(book.quantizers, book.run, 0)
        self._graph.calibrate(batches[0])
        for step, batch in enumerate(batches):
            self._graph.step(batch, step)
        self.state = self._debiased(self._graph.read_state())
        self._graph.write_state(self.state)

    def _debiased(self, state):
        """Return the state with moving statistics corrected for their initial values 0 and 1."""
        for layer in self.network.layers:
            if isinstance(layer, BatchNorm):
                begun = np.float32(layer.momentum**self._steps)
                mean, variance = layer.name + ".moving_mean", layer.name + ".moving_variance"
                state[mean] = state[mean] / (1 - begun)
                state[variance] = np.maximum((state[variance] - begun) / (1 - begun), np.float32(0))
        return state

    def logits(self, book, images, quantized=True):
        """float32 ``[n, classes]``, quantized as in ``book``, or in float."""
        self._graph.write_settings(book.quantizers, book.run, self._steps)
        self._graph.publish()
        parts = np.array_split(images, -(-len(images) // 250))
        return np.concatenate([self._graph.logits(part, quantized, quantized) for part in parts])

    def model(self, book):
        """Return the integer model."""
        return integer_model(self.network, book, self._graph.read_state(), self._steps)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._graph.close()


def run_logits(model, run, images):
    """Return the codes of the first output that the simulator and ``run`` compute from float32 images."""
    return run_outputs(model, run, images)[0]
