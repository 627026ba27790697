"""Training of layers that share weights and a batch norm: gradients are sums, each call updates the statistics."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from lowering_cases import LoweredNetwork, random_parameters, settings_of, state_arrays
from small_runs import dataset

from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import BatchNorm, Concat, Conv2D, Dense, GlobalAveragePool, ReLU, Slice
from qatviz.network.plan import quantization_plan
from qatviz.settings import RunSettings, quantizer_settings
from qatviz.training.graph import TrainingGraph

EPSILON, MOMENTUM = 2e-3, 0.8
SHAPE = (6, 5, 2)


def twins(shared=True, norm=True, shape=SHAPE, classes=3):
    """Return a network that calls a convolution on both halves of its input, and again on one of the results."""
    net = NetworkBuilder("twins", shape)
    half = shape[0] // 2
    ends = []
    for number, (start, stop) in enumerate([(0, half), (half, shape[0]), (0, 0)]):
        source = "input" if stop else ends[0]
        if stop:
            source = net.add(Slice, f"part{number}", source, start=(start, 0, 0), stop=(stop, *shape[1:]))
        owner = "conv" if shared and number else ""
        net.add(Conv2D, f"conv{number}" if number else "conv", source, filters=shape[2], shares=owner)
        if norm:
            own = {"momentum": MOMENTUM, "epsilon": EPSILON, "shares": "norm" if owner else ""}
            net.add(BatchNorm, f"norm{number}" if number else "norm", **own)
        net.add(ReLU, f"relu{number}")
        ends.append(net.last)
    net.add(Concat, "both", inputs=(ends[1], ends[2]))
    net.add(GlobalAveragePool, "pool")
    net.add(Dense, "logits", units=classes)
    return net.network()


def plain(case, parameters):
    """Return logits and moving statistics of `twins`, computed by ``tf.nn.moments`` with TensorFlow's gradients."""
    moving = {name: parameters[f"norm.moving_{name}"] for name in ("mean", "variance")}

    def called(x):
        y = tf.nn.conv2d(x, parameters["conv.weights"], 1, "SAME") + parameters["conv.bias"]
        mean, variance = tf.nn.moments(y, axes=[0, 1, 2])
        count = tf.cast(tf.size(y) / y.shape[-1].value, tf.float32)
        for name, value in (("mean", mean), ("variance", variance * count / (count - 1))):
            moving[name] = moving[name] * MOMENTUM + value * (1 - MOMENTUM)
        return tf.nn.relu((y - mean) / tf.sqrt(variance + EPSILON) * parameters["norm.gamma"] + parameters["norm.beta"])

    first, second = called(case.images[:, :3]), called(case.images[:, 3:])
    pooled = tf.reduce_mean(tf.concat([second, called(first)], -1), [1, 2])
    logits = tf.matmul(pooled, parameters["logits.weights"]) + parameters["logits.bias"]
    return logits, {f"norm.moving_{name}": value for name, value in moving.items()}


def test_in_float_it_equals_the_same_calls_in_tensorflow():
    network = twins()
    images = np.random.RandomState(1).standard_normal((7, *network.input_shape)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        case = LoweredNetwork(network, training=True)
        expected_logits, expected_moving = plain(case, case.parameters)
        weight = tf.constant(np.random.RandomState(2).standard_normal((7, 3)).astype(np.float32))
        sources = [case.parameters[name] for name in case.trainable] + [case.images]
        found, expected = (
            [logits, updates, tf.gradients(tf.reduce_sum(logits * weight), sources)]
            for logits, updates in (
                (case.lowered.logits, case.lowered.updates),
                (expected_logits, expected_moving),
            )
        )
        state = state_arrays(case.plan, settings_of(case.plan, enabled=False))
        found, expected = session.run([found, expected], case.feeds(images, state))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, atol=1e-4)
    assert sorted(found[1]) == sorted(expected[1])
    for name in expected[1]:
        np.testing.assert_allclose(found[1][name], expected[1][name], rtol=1e-4, atol=1e-5, err_msg=name)
    for name, one, other in zip([*case.trainable, "images"], found[2], expected[2]):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-4 * max(np.abs(other).max(), 0.1), err_msg=name)
    assert max(np.abs(gradient).max() for gradient in expected[2]) > 0.1


@pytest.mark.parametrize("per_channel", [False, True])
def test_quantized_gradients_are_the_sums_of_those_of_copies(per_channel):
    shared, copies = twins(norm=False), twins(shared=False, norm=False)
    images = np.random.RandomState(1).standard_normal((7, *SHAPE)).astype(np.float32)
    values = random_parameters(shared)
    equal = dict(values, **{f"conv{n}.{part}": values[f"conv.{part}"] for n in (1, 2) for part in ("weights", "bias")})
    found = []
    for network, parameters in ((shared, values), (copies, equal)):
        with tf.Graph().as_default(), tf.Session() as session:
            case = LoweredNetwork(network, training=True)
            loss = tf.reduce_sum(tf.square(case.lowered.logits - 0.3))
            gradients = tf.gradients(loss, [case.parameters[name] for name in case.trainable])
            settings = settings_of(case.plan, weights={"num_bits": 4, "per_channel": per_channel})
            feeds = case.feeds(images, state_arrays(case.plan, settings), parameters)
            logits, gradients = session.run([case.lowered.logits, gradients], feeds)
            found.append((logits, dict(zip(case.trainable, gradients))))
    (logits, gradients), (expected, parts) = found
    np.testing.assert_allclose(logits, expected, rtol=1e-6)
    for name in ("weights", "bias"):
        total = sum(parts[f"{conv}.{name}"] for conv in ("conv", "conv1", "conv2"))
        np.testing.assert_allclose(gradients[f"conv.{name}"], total, rtol=1e-4, atol=1e-5)
        assert np.abs(parts[f"conv2.{name}"]).max() > 1e-3


def test_shared_weights_are_quantized_once_a_step():
    def count(network):
        with tf.Graph().as_default() as graph:
            LoweredNetwork(network, training=True)
            return sum(op.type == "FakeQuantWithMinMaxVars" for op in graph.get_operations())

    # Each of two copies has a quantizer per tensor and one per channel, of kinds that the network has three times.
    assert count(twins(norm=False)) < count(twins(shared=False, norm=False))


def test_a_run_learns_and_reports_one_weight_tensor():
    data = dataset(SHAPE)
    network = twins()
    plan = quantization_plan(network)
    graph = TrainingGraph(network, plan, data, batch_size=16, optimizer="adam")
    try:
        run = RunSettings(learning_rate=0.01)
        settings = [quantizer_settings(plan.tensors[members[0]].kind, "") for members in plan.groups]
        graph.write_settings(settings, run, 0)
        graph.write_state(graph.initial_state(run))
        graph.calibrate(np.arange(16, dtype=np.int32))
        losses = [graph.step(np.arange(16, dtype=np.int32), step)[0] for step in range(30)]
        graph.publish()
        state, snapshot = graph.read_state(), graph.snapshot()
    finally:
        graph.close()
    assert losses[-1] < 0.7 * losses[0]
    assert sorted(name for name in state if name.endswith("weights")) == ["conv.weights", "logits.weights"]
    assert len(snapshot) == len(plan.tensors)
    assert snapshot[plan.index("conv.weights")].size == network.parameter_shapes("conv")["weights"][-1] ** 2 * 9
