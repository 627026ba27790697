"""With rounded biases, a training step computes the loss of the exported network; without, it does not at 2 bits."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from small_runs import dataset, spec
from training_cases import Driver, graph_of

from qatviz.data import from_arrays
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import BatchNorm, Conv2D, Dense, DepthwiseConv2D, GlobalAveragePool, ReLU
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings, SingleStep
from qatviz.quant.bias_grid import with_rounded_bias

NUMBER = 16


def network():
    """Return layers with and without batch norm, without dropout."""
    net = NetworkBuilder("biases", (6, 6, 2))
    net.add(Conv2D, "conv", filters=4, use_bias=False)
    net.add(BatchNorm, "conv_bn", momentum=0.5)
    net.add(ReLU, "conv_relu")
    net.add(DepthwiseConv2D, "depthwise", depth_multiplier=2)
    net.add(ReLU, "depthwise_relu")
    net.add(GlobalAveragePool, "pool")
    net.add(Dense, "logits", units=3)
    return net.network()


def same_examples():
    """Return a data set whose held-out examples are those of the training batch."""
    data = dataset((6, 6, 2))
    part = data.x_train[:NUMBER], data.y_train[:NUMBER]
    return from_arrays("same", "made for the test", part, part)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("round_biases", [False, True])
def test_the_loss_of_a_step_is_that_of_the_exported_network(graphs, per_channel, round_biases):
    run_spec = spec(
        network(),
        same_examples(),
        run={"round_biases": round_biases},
        weights={"num_bits": 2, "symmetric": True, "per_channel": per_channel},
        activations={"num_bits": 3},
        batch_size=NUMBER,
    )
    with Driver(run_spec, paused=True) as driver:
        driver.run.send(SingleStep(20))
        driver.until(lambda item: isinstance(item, events.Paused) and item.step == 20)
        driver.send(ChangeSettings((("run.freeze_batch_norm", True),)))
        graph = graph_of(run_spec, graphs)
        graph.publish()
        expected = graph.held_out_loss(np.arange(NUMBER, dtype=np.int32))
        driver.run.send(SingleStep(1))
        driver.until(lambda item: isinstance(item, events.Paused) and item.step == 21)
        loss = driver.steps()[-1].loss
    # Means that are ties are rounded differently in the two copies.
    assert (abs(loss / expected - 1) < 5e-3) == round_biases


class Scales:
    """Quantizers with one unit for the whole tensor and others by channel."""

    def __init__(self, is_on, per_channel):
        self._is_on, self._per_channel = tf.constant(is_on), tf.constant(per_channel)

    def rounds_bias(self, weights, source):
        return self._is_on

    def is_per_channel(self, weights):
        return self._per_channel

    def bias_units(self, weights, source):
        return tf.constant(0.5), tf.constant([0.25, 0.0, 1.0])


@pytest.mark.parametrize(
    "is_on, per_channel, expected",
    [(False, False, [0.3, 0.3, 0.6]), (True, False, [0.5, 0.5, 0.5]), (True, True, [0.25, 0.3, 1.0])],
)
def test_values_and_the_straight_through_gradient(is_on, per_channel, expected):
    with tf.Graph().as_default(), tf.Session() as session:
        bias = tf.constant([0.3, 0.3, 0.6])
        x = bias + tf.zeros([2, 3])
        result = with_rounded_bias(Scales(is_on, per_channel), x, bias, "w", "a")
        gradient = tf.gradients(result * [1.0, 2.0, 3.0], bias)[0]
        found, slope = session.run([result, gradient])
    np.testing.assert_allclose(found, [expected] * 2, rtol=1e-6)
    np.testing.assert_allclose(slope, [2, 4, 6])
