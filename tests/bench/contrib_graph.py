"""Static reference graphs: a network rewritten by ``tf.contrib.quantize``, and the plain float network.

Built with nothing of qatviz but the description of the network, the way a TensorFlow 1.15 user would: ``tf.nn`` layers,
``tf.nn.fused_batch_norm`` with its moving averages in UPDATE_OPS, ``tf.train.AdamOptimizer``. Data is fed like
in qatviz: the whole set in a variable, a batch by its indices.
"""

import re
import warnings
from typing import Dict, List, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.data import Dataset
from qatviz.network.graph import WEIGHTED, Network
from qatviz.network.layers import Add, BatchNorm

FLOAT, CONTRIB = "float", "contrib"
_FAKE_QUANT = "FakeQuantWithMinMaxVars"


class StaticGraph:
    """A network in a graph that never changes, and its session.

    Parameters
    ----------
    network : Network
    dataset : Dataset
    batch_size : int
    scheme : str
        ``contrib``: rewritten by ``tf.contrib.quantize`` with its defaults (8 bits, affine, per tensor, no delay);
        ``float``.
    learning_rate : float
    num_bits : int
        Bits of weights and activations.
    """

    def __init__(
        self,
        network: Network,
        dataset: Dataset,
        batch_size: int,
        scheme: str,
        learning_rate: float = 1e-3,
        num_bits: int = 8,
    ):
        self.network, self._dataset, self._scheme = network, dataset, scheme
        self.graph = tf.Graph()
        with self.graph.as_default():
            images, labels = self._inputs(dataset.x_train, dataset.y_train, batch_size)
            logits = _layers(network, images, training=True)
            self.loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
            if scheme == CONTRIB:
                # Like create_training_graph, which has no argument for the bits.
                _contrib().experimental_create_training_graph(
                    self.graph, weight_bits=num_bits, activation_bits=num_bits, quant_delay=0
                )
                check_quantized(self.graph, network)
            self._rate = tf.Variable(learning_rate, name="learning_rate", trainable=False)
            optimizer = tf.train.AdamOptimizer(self._rate)
            gradients = optimizer.compute_gradients(self.loss)
            self._gradients = {variable.op.name: gradient for gradient, variable in gradients}
            updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
            self._moving = {update.op.inputs[0].op.name: tf.subtract(*update.op.inputs) for update in updates}
            self.train = tf.group(optimizer.apply_gradients(gradients), *updates)
            self._variables = {variable.op.name: variable for variable in tf.global_variables()}
            self._assign = {name: _assignment(variable) for name, variable in self._variables.items()}
            self._initialize = tf.global_variables_initializer()
        self.session = tf.Session(graph=self.graph)
        self.begin()
        self._step = self.session.make_callable([self.loss, self.train], [self.indices])

    def begin(self) -> None:
        """Reset all variables to their initial values."""
        self.session.run(self._initialize, self._feeds)

    def gradients(self, indices: np.ndarray) -> Tuple[float, Dict[str, np.ndarray], Dict[str, np.ndarray]]:
        """Return what a step on the examples ``indices`` computes, changing only the ranges of activations.

        These are the loss, the gradient of each trainable variable, and the new moving statistics, by name. (A step
        reads a moving average before or after its update, as its threads happen to run.)
        """
        return self.session.run([self.loss, self._gradients, self._moving], {self.indices: indices})

    def step(self, indices: np.ndarray) -> float:
        """Run one training step; return the loss before it."""
        return float(self._step(indices)[0])

    def write_parameters(self, parameters: Dict[str, np.ndarray]) -> None:
        """Set parameters by qatviz's names (``conv1.weights``)."""
        self._set({name.replace(".", "/"): value for name, value in parameters.items()})

    def set_learning_rate(self, value: float) -> None:
        """Set the learning rate of the following steps."""
        self._set({"learning_rate": value})

    def state(self) -> Dict[str, np.ndarray]:
        """Return all variables by name."""
        return self.session.run(self._variables)

    def close(self) -> None:
        self.session.close()

    def _set(self, values):
        self.session.run(
            [self._assign[name][0] for name in values], {self._assign[name][1]: value for name, value in values.items()}
        )

    def _inputs(self, x, y, batch_size):
        self.indices = tf.placeholder(tf.int32, [batch_size], "indices")
        self._feeds = {}
        images, labels = [self._stored(name, value) for name, value in (("images", x), ("labels", y))]
        images = tf.cast(tf.gather(images, self.indices), tf.float32) * self._dataset.pixel_scale
        return images, tf.gather(labels, self.indices)

    def _stored(self, name, value):
        feed = tf.placeholder(value.dtype, value.shape)
        self._feeds[feed] = value
        # A resource variable: gathering from it copies nothing, which favours contrib.
        return tf.Variable(feed, name="data/" + name, trainable=False, use_resource=True)


class StaticEvaluation:
    """The inference form of a network, rewritten by ``tf.contrib.quantize`` if that is the ``scheme``."""

    def __init__(self, network: Network, dataset: Dataset, scheme: str):
        self._dataset = dataset
        graph = tf.Graph()
        with graph.as_default():
            self._images = tf.placeholder(tf.float32, (None, *dataset.input_shape))
            self._predicted = tf.argmax(_layers(network, self._images, training=False), axis=1, output_type=tf.int32)
            if scheme == CONTRIB:
                _contrib().create_eval_graph(graph)
                check_quantized(graph, network)
            self._assign = {variable.op.name: _assignment(variable) for variable in tf.global_variables()}
        self._session = tf.Session(graph=graph)

    def accuracy(self, state: Dict[str, np.ndarray], batch_size: int = 500) -> float:
        """Return the accuracy on held-out examples with the variables ``state`` of a :class:`StaticGraph`."""
        self._session.run(
            [operation for operation, _ in self._assign.values()],
            {feed: state[name] for name, (_, feed) in self._assign.items()},
        )
        x, y = self._dataset.x_test, self._dataset.y_test
        correct = 0
        for start in range(0, len(x), batch_size):
            pixels = x[start : start + batch_size].astype(np.float32) * np.float32(self._dataset.pixel_scale)
            correct += np.count_nonzero(
                self._session.run(self._predicted, {self._images: pixels}) == y[start : start + batch_size]
            )
        return correct / len(x)

    def close(self) -> None:
        self._session.close()


def fake_quant_names(graph: tf.Graph) -> List[str]:
    """Return the names of all fake quantization operations."""
    return [op.name for op in graph.get_operations() if op.type == _FAKE_QUANT]


def check_quantized(graph: tf.Graph, network: Network) -> None:
    """Raise AssertionError unless contrib quantized everything: otherwise the comparison would be unfair.

    Every convolution and dense layer has quantized weights and a quantized output, every Add a quantized output, and
    every batch norm is folded.
    """
    names = fake_quant_names(graph)
    for layer in network.layers:
        if isinstance(layer, WEIGHTED):
            pattern = f"(^|/){re.escape(layer.name)}/weights_quant/"
            assert any(re.search(pattern, name) for name in names), f"weights of {layer.name} are not quantized"
    weighted = [layer for layer in network.layers if isinstance(layer, WEIGHTED)]
    adds = [layer for layer in network.layers if isinstance(layer, Add)]
    activations = len(names) - len(weighted)
    assert activations >= len(weighted) + len(adds), (
        f"{activations} activations are quantized: expected {len(weighted) + len(adds)}; {names}"
    )
    folded = {op.name.split("/")[-3] for op in graph.get_operations() if op.name.endswith("BatchNorm_Fold/bias")}
    expected = {layer.inputs[0] for layer in network.layers if isinstance(layer, BatchNorm)}
    assert folded == expected, f"batch norm is folded into {sorted(folded)}: expected {sorted(expected)}"


def _layers(network: Network, images: tf.Tensor, training: bool) -> tf.Tensor:
    """Return the logits: one ``tf.nn`` call for each layer."""
    outputs = {"input": images}
    for layer in network.layers:
        shapes = network.parameter_shapes(layer.name)
        with tf.variable_scope(layer.name):
            parameters = {
                name: tf.get_variable(
                    name, shape, initializer=tf.zeros_initializer(), trainable=not name.startswith("moving_")
                )
                for name, shape in shapes.items()
            }
            inputs = [outputs[name] for name in layer.inputs]
            outputs[layer.name] = _LOWERINGS[layer.kind](layer, inputs, parameters, training)
    return outputs[network.output]


def _conv2d(layer, inputs, parameters, training):
    result = tf.nn.conv2d(
        inputs[0],
        parameters["weights"],
        strides=(1, *layer.strides, 1),
        padding=layer.padding,
        dilations=(1, *layer.dilation, 1),
    )
    return _biased(result, parameters)


def _depthwise_conv2d(layer, inputs, parameters, training):
    result = tf.nn.depthwise_conv2d(
        inputs[0],
        parameters["weights"],
        strides=(1, *layer.strides, 1),
        padding=layer.padding,
        rate=layer.dilation,
    )
    return _biased(result, parameters)


def _dense(layer, inputs, parameters, training):
    return _biased(tf.matmul(inputs[0], parameters["weights"]), parameters)


def _biased(x, parameters):
    return tf.nn.bias_add(x, parameters["bias"]) if "bias" in parameters else x


def _batch_norm(layer, inputs, parameters, training):
    moving = {"mean": parameters["moving_mean"], "variance": parameters["moving_variance"]}
    normalized, *batch = tf.nn.fused_batch_norm(
        inputs[0],
        parameters["gamma"],
        parameters["beta"],
        epsilon=layer.epsilon,
        is_training=training,
        **({} if training else moving),
    )
    if training:
        for variable, value in zip(moving.values(), batch):
            # The form that contrib.quantize looks for.
            delta = (variable - value) * (1.0 - layer.momentum)
            tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, tf.assign_sub(variable, delta))
    return normalized


def _max_pool(layer, inputs, parameters, training):
    return tf.nn.max_pool2d(inputs[0], layer.pool_size, layer.strides, layer.padding)


_LOWERINGS = {
    "Conv2D": _conv2d,
    "DepthwiseConv2D": _depthwise_conv2d,
    "Dense": _dense,
    "BatchNorm": _batch_norm,
    "ReLU": lambda layer, inputs, parameters, training: tf.nn.relu(inputs[0]),
    "ReLU6": lambda layer, inputs, parameters, training: tf.nn.relu6(inputs[0]),
    "MaxPool": _max_pool,
    "GlobalAveragePool": lambda layer, inputs, parameters, training: tf.reduce_mean(inputs[0], axis=[1, 2]),
    "Add": lambda layer, inputs, parameters, training: tf.add(*inputs),
    "Flatten": lambda layer, inputs, parameters, training: tf.reshape(
        inputs[0], [-1, np.prod(inputs[0].shape.as_list()[1:])]
    ),
}


def _assignment(variable):
    """Return an operation that sets a variable, and its placeholder."""
    feed = tf.placeholder(variable.dtype.base_dtype, variable.shape)
    return tf.assign(variable, feed).op, feed


def _contrib():
    """Return ``tf.contrib.quantize``, without the warnings of its import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorflow.contrib import quantize
    return quantize
