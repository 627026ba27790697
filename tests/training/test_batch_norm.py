"""Folded batch norm: in float it equals batch norm with gradients; quantized, it equals tf.contrib.quantize's."""

import importlib.util
import pathlib

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from lowering_cases import LoweredNetwork, random_parameters, settings_of, state_arrays
from small_runs import dataset

from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import BatchNorm, Conv2D, Dense, DepthwiseConv2D, Flatten, GlobalAveragePool, ReLU, ReLU6
from qatviz.network.plan import quantization_plan
from qatviz.quant import affine
from qatviz.settings import FROZEN, RunSettings, quantizer_settings
from qatviz.training.graph import TrainingGraph

EPSILON, MOMENTUM = 2e-3, 0.8


def normalized(kind, bias):
    """Return a network of one layer with batch norm, and a readout."""
    net = NetworkBuilder("normalized", (6,) if kind is Dense else (6, 5, 2))
    settings = {Dense: {"units": 4}, Conv2D: {"filters": 4, "strides": 2}, DepthwiseConv2D: {"depth_multiplier": 2}}[
        kind
    ]
    net.add(kind, "layer", use_bias=bias, **settings)
    net.add(BatchNorm, "bn", momentum=MOMENTUM, epsilon=EPSILON)
    if kind is not Dense:
        net.add(Flatten, "flatten")
    net.add(Dense, "logits", units=3)
    return net.network()


def plain(case, parameters):
    """Return logits and moving statistics computed by ``tf.nn.moments``, with TensorFlow's own gradients."""
    layer, x = case.network.layer("layer"), case.images
    if layer.kind == "Dense":
        y = tf.matmul(x, parameters["layer.weights"])
    elif layer.kind == "Conv2D":
        y = tf.nn.conv2d(x, parameters["layer.weights"], layer.strides, layer.padding)
    else:
        y = tf.nn.depthwise_conv2d(x, parameters["layer.weights"], (1, 1, 1, 1), layer.padding)
    if layer.use_bias:
        y = y + parameters["layer.bias"]
    mean, variance = tf.nn.moments(y, axes=list(range(y.shape.ndims - 1)))
    count = tf.cast(tf.size(y) / y.shape[-1].value, tf.float32)
    z = (y - mean) / tf.sqrt(variance + EPSILON) * parameters["bn.gamma"] + parameters["bn.beta"]
    logits = tf.matmul(tf.reshape(z, [tf.shape(z)[0], -1]), parameters["logits.weights"]) + parameters["logits.bias"]
    unbiased = variance * count / (count - 1)
    moving = {
        "bn.moving_mean": parameters["bn.moving_mean"] * MOMENTUM + mean * (1 - MOMENTUM),
        "bn.moving_variance": parameters["bn.moving_variance"] * MOMENTUM + unbiased * (1 - MOMENTUM),
    }
    return logits, moving


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", [Conv2D, DepthwiseConv2D, Dense])
@pytest.mark.always("Conv2D-True-True", "DepthwiseConv2D-False-False", "Dense-True-False", "Conv2D-False-True")
def test_in_float_folded_batch_norm_equals_batch_norm_with_gradients(kind, bias, single):
    network = normalized(kind, bias)
    images = np.random.RandomState(1).standard_normal((7, *network.input_shape)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        case = LoweredNetwork(network, training=True)
        expected_logits, expected_moving = plain(case, case.parameters)
        # A loss without symmetry: every element has a different weight.
        weight = tf.constant(np.random.RandomState(2).standard_normal((7, 3)).astype(np.float32))
        sources = [case.parameters[name] for name in case.trainable] + [case.images]
        found = [
            case.lowered.logits,
            case.lowered.updates,
            tf.gradients(tf.reduce_sum(case.lowered.logits * weight), sources),
        ]
        expected = [expected_logits, expected_moving, tf.gradients(tf.reduce_sum(expected_logits * weight), sources)]
        state = state_arrays(case.plan, settings_of(case.plan, enabled=False))
        found, expected = session.run([found, expected], case.feeds(images, state, single=single))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, atol=1e-4)
    assert sorted(found[1]) == sorted(expected[1])
    for name in expected[1]:
        np.testing.assert_allclose(found[1][name], expected[1][name], rtol=1e-4, atol=1e-5, err_msg=name)
    for name, one, other in zip([*case.trainable, "images"], found[2], expected[2]):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-4 * max(np.abs(other).max(), 0.1), err_msg=name)
    assert max(np.abs(gradient).max() for gradient in expected[2]) > 0.1


def test_moving_statistics_equal_those_of_tf_layers():
    network = normalized(Conv2D, False)
    parameters = random_parameters(network)
    images = np.random.RandomState(1).standard_normal((7, *network.input_shape)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        case = LoweredNetwork(network, training=True)
        layer = network.layer("layer")
        y = tf.nn.conv2d(case.images, case.parameters["layer.weights"], layer.strides, layer.padding)
        fixed = {
            name: tf.constant_initializer(parameters["bn." + name])
            for name in ("gamma", "beta", "moving_mean", "moving_variance")
        }
        normalize = tf.keras.layers.BatchNormalization(
            momentum=MOMENTUM, epsilon=EPSILON, **{name + "_initializer": value for name, value in fixed.items()}
        )
        output = normalize(y, training=True)
        session.run(tf.global_variables_initializer())
        state = state_arrays(case.plan, settings_of(case.plan, enabled=False))
        feeds = case.feeds(images, state)
        found, source = session.run(
            [case.lowered.updates, case.lowered.quantizers.quantized["layer.activations"].source], feeds
        )
        expected, _ = session.run([output, normalize.updates], feeds)
        moving = session.run([normalize.moving_mean, normalize.moving_variance])
    np.testing.assert_allclose(source, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["bn.moving_mean"], moving[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["bn.moving_variance"], moving[1], rtol=1e-4)


@pytest.mark.parametrize("kind", [Conv2D, DepthwiseConv2D, Dense])
@pytest.mark.always("Conv2D")
def test_frozen_batch_norm_equals_inference_and_keeps_its_statistics(kind):
    network = normalized(kind, True)
    images = np.random.RandomState(1).standard_normal((7, *network.input_shape)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        training, evaluation = LoweredNetwork(network, training=True), LoweredNetwork(network)
        state = state_arrays(
            training.plan, settings_of(training.plan, weights={"num_bits": 4}, activations={"num_bits": 16})
        )
        frozen, updates, _moving = session.run(
            [training.lowered.logits, training.lowered.updates, training.lowered.logits],
            training.feeds(images, state, frozen=True),
        )
        by_batch = session.run(training.lowered.logits, training.feeds(images, state))
        inference = session.run(evaluation.lowered.logits, evaluation.feeds(images, state))
    np.testing.assert_allclose(frozen, inference, atol=2e-3)  # in inference, biases are on their grid
    assert np.abs(by_batch - inference).max() > 0.05
    parameters = random_parameters(network)
    for name, value in updates.items():
        np.testing.assert_array_equal(value, parameters[name])


@pytest.mark.parametrize("kind", [Conv2D, DepthwiseConv2D, Dense])
def test_quantized_weights_are_folded_with_moving_statistics(kind):
    """w * gamma / sigma with the moving statistics, for any batch."""
    network = normalized(kind, False)
    parameters = random_parameters(network)
    factor = parameters["bn.gamma"] / np.sqrt(parameters["bn.moving_variance"] + np.float32(EPSILON))
    weights = parameters["layer.weights"]
    folded = weights * (factor.reshape(weights.shape[2:]) if kind is DepthwiseConv2D else factor)
    with tf.Graph().as_default(), tf.Session() as session:
        case = LoweredNetwork(network, training=True)
        state = state_arrays(case.plan, settings_of(case.plan, weights={"num_bits": 3, "symmetric": True}))
        images = np.random.RandomState(1).standard_normal((7, *network.input_shape)).astype(np.float32)
        quantized = session.run(case.lowered.quantizers.quantized["layer.weights"], case.feeds(images, state))
    np.testing.assert_allclose(quantized.source, folded, rtol=1e-5)
    grid = affine.choose_grid(quantized.source.min(), quantized.source.max(), 3, symmetric=True)
    np.testing.assert_array_equal(quantized.values, affine.fake_quant(quantized.source, grid))
    assert len(np.unique(quantized.values)) <= 8


def single_convolution(network, parameters, quantized, images):
    """Return activations and moving statistics of a Conv2D that convolves once, in NumPy (float64)."""
    layer = network.layer("layer")
    factor = parameters["bn.gamma"] / np.sqrt(parameters["bn.moving_variance"].astype(np.float64) + EPSILON)
    weights = np.where(factor == 0, parameters["layer.weights"], quantized / np.where(factor == 0, 1, factor))
    rows, columns = (-(-size // stride) for size, stride in zip(images.shape[1:3], layer.strides))
    padding = [
        (count - 1) * stride + kernel - size
        for count, stride, kernel, size in zip((rows, columns), layer.strides, weights.shape, images.shape[1:3])
    ]
    padded = np.pad(images, ((0, 0), *((p // 2, p - p // 2) for p in np.maximum(padding, 0)), (0, 0)), "constant")
    z = np.zeros((len(images), rows, columns, weights.shape[-1]))
    for i in range(weights.shape[0]):
        for j in range(weights.shape[1]):
            reached = padded[:, i : i + rows * layer.strides[0] : layer.strides[0]]
            reached = reached[:, :rows, j : j + columns * layer.strides[1] : layer.strides[1]][:, :, :columns]
            z += reached @ weights[i, j]
    z += parameters["layer.bias"]
    mean, variance, count = z.mean((0, 1, 2)), z.var((0, 1, 2)), z[..., 0].size
    y = parameters["bn.gamma"] * (z - mean) / np.sqrt(variance + EPSILON) + parameters["bn.beta"]
    found = {"mean": mean, "variance": variance * count / (count - 1)}
    moving = {name: parameters["bn.moving_" + name] * MOMENTUM + found[name] * (1 - MOMENTUM) for name in found}
    return y, moving


@pytest.mark.parametrize("settings", [{"num_bits": 3, "symmetric": True}, {"num_bits": 4, "per_channel": True}])
def test_single_convolution_equals_its_definition(settings):
    """Channel 1 has a gamma of 0: its folded weights are 0, and its float weights are normalized instead."""
    network = normalized(Conv2D, True)
    parameters = random_parameters(network)
    parameters["bn.gamma"][1] = 0
    parameters["bn.gamma"][2] *= -1
    images = np.random.RandomState(1).standard_normal((7, *network.input_shape)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        case = LoweredNetwork(network, training=True)
        state = state_arrays(case.plan, settings_of(case.plan, weights=settings, activations={"enabled": False}))
        tensors = case.lowered.quantizers.quantized
        gamma = tf.gradients(tf.reduce_sum(case.lowered.logits[:, 0]), case.parameters["bn.gamma"])[0]
        feeds = case.feeds(images, state, parameters, single=True)
        found, quantized, updates, slope = session.run(
            [tensors["layer.activations"].source, tensors["layer.weights"].values, case.lowered.updates, gamma], feeds
        )
        by_two = session.run(tensors["layer.activations"].source, case.feeds(images, state, parameters))
    expected, moving = single_convolution(network, parameters, quantized, images.astype(np.float64))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    for name, value in moving.items():
        np.testing.assert_allclose(updates["bn.moving_" + name], value, rtol=1e-4, atol=1e-5)
    assert np.abs(found - by_two).max() > 0.02  # the statistics of float weights differ
    assert np.isfinite(slope).all() and np.abs(slope).min() > 1e-3


def test_gradients_of_a_single_convolution_are_those_of_finite_differences():
    network = normalized(Conv2D, False)
    images = np.random.RandomState(1).standard_normal((7, *network.input_shape)).astype(np.float32)
    parameters = random_parameters(network)
    with tf.Graph().as_default(), tf.Session() as session:
        case = LoweredNetwork(network, training=True)
        weight = tf.constant(np.random.RandomState(2).standard_normal((7, 3)).astype(np.float32))
        loss = tf.reduce_sum(case.lowered.logits * weight)
        names = ("layer.weights", "bn.gamma", "bn.beta")
        gradients = tf.gradients(loss, [case.parameters[name] for name in names])
        state = state_arrays(case.plan, settings_of(case.plan, enabled=False))
        found = session.run(gradients, case.feeds(images, state, single=True))
        for name, gradient in zip(names, found):
            direction = np.random.RandomState(3).standard_normal(gradient.shape).astype(np.float32)
            ends = [
                session.run(
                    loss, case.feeds(images, state, {name: parameters[name] + sign * 1e-2 * direction}, single=True)
                )
                for sign in (1, -1)
            ]
            expected = (float(ends[0]) - float(ends[1])) / 2e-2
            assert np.sum(gradient * direction) == pytest.approx(expected, rel=2e-2, abs=2e-2), name


def test_single_convolution_is_switched_in_the_finalized_graph():
    """A step with it changes the state as in a graph that always had it, and as without it after it is off again."""
    network, data = separable(), dataset((8, 8, 2), train=32, test=16)
    graph = TrainingGraph(network, quantization_plan(network), data, 8, "adam")
    settings = [quantizer_settings(t.kind, num_bits=4) for t in graph.layout.leaders]
    indices, states = np.arange(8, dtype=np.int32), []
    try:
        initial = graph.initial_state(RunSettings())
        for single, frozen in ((False, False), (True, False), (False, True), (True, True), (False, False)):
            graph.write_settings(settings, RunSettings(single_convolution=single, freeze_batch_norm=frozen), 0)
            graph.write_state(initial)
            graph.calibrate(indices)
            graph.step(indices, 0)
            states.append(graph.read_state())
    finally:
        graph.close()

    def differ(one, other):
        return [name for name in states[one] if not np.array_equal(states[one][name], states[other][name])]

    assert differ(0, 4) == [] and differ(2, 3) == []
    assert "conv_bn.moving_mean" in differ(0, 1) and "conv.weights" in differ(0, 1)
    assert "conv_bn.moving_mean" in differ(0, 2)


def separable():
    """Return a network that tf.contrib.quantize can rewrite."""
    net = NetworkBuilder("separable", (8, 8, 2))
    net.add(Conv2D, "conv", filters=4, use_bias=False)
    net.add(BatchNorm, "conv_bn")
    net.add(ReLU, "conv_relu")
    net.add(DepthwiseConv2D, "depthwise", strides=2, use_bias=False)
    net.add(BatchNorm, "depthwise_bn")
    net.add(ReLU6, "depthwise_relu6")
    net.add(GlobalAveragePool, "pool")
    net.add(Dense, "logits", units=3)
    return net.network()


def contrib_graph():
    """Return the benchmark module that builds tf.contrib.quantize's graph."""
    path = pathlib.Path(__file__).parents[1] / "bench" / "contrib_graph.py"
    spec = importlib.util.spec_from_file_location("contrib_graph_of_benchmarks", str(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


#: A different order of summation occasionally moves a value across a tie: a fine grid makes that negligible.
NUM_BITS = 16
#: A hundredth of a typical gradient. Smaller ones are residues of cancellation.
SMALLEST = 5e-3
BATCHES, BATCH_SIZE = 40, 8
IN_FLOAT = ("input.activations", "pool.activations")
#: A range that no activation reaches, by layer, and the number of steps after which contrib's moving averages have
#: forgotten where they began.
RANGES, MANY_STEPS = {"conv": (0, 8), "depthwise": (0, 8), "logits": (-8, 8)}, 10**5
#: Next to a kink (of a ReLU, or the end of a range) a value has a gradient or not, as sums in another order have it,
#: and with it goes a hundredth of a layer's. So the batches that keep farthest away are compared, and these keep far:
#: five rounding levels, hundreds of times what sums in another order differ by.
COMPARED, CLEAR = 6, 6e-4


def test_loss_and_gradients_equal_those_of_contrib_quantize():
    """From the same parameters, on the same batch, with moving statistics that are far from the batch's.

    Adam's first moment after a step is a tenth of the gradient. Ranges are taken over from contrib, and what it leaves
    in float (the input, the pool) is in float here, so that both round to the same grids.
    """
    module = contrib_graph()
    network, data = separable(), dataset((8, 8, 2), train=BATCHES * BATCH_SIZE, test=16)
    run = RunSettings(learning_rate=1e-2)
    graph = TrainingGraph(network, quantization_plan(network), data, BATCH_SIZE, "adam", telemetry=False)
    static = module.StaticGraph(network, data, BATCH_SIZE, module.CONTRIB, run.learning_rate, NUM_BITS)
    own = {"weights": {"narrow_range": True}, "activations": {"range_method": FROZEN}}
    settings = [
        quantizer_settings(t.kind, enabled=t.name not in IN_FLOAT, num_bits=NUM_BITS, **own[t.kind])
        for t in graph.layout.leaders
    ]
    graph.write_settings(settings, run, 0)
    try:
        batches = np.arange(BATCHES * BATCH_SIZE, dtype=np.int32).reshape(BATCHES, BATCH_SIZE)
        begin(graph, static, run)
        distances = np.array([distance_from_kinks(static, batch) for batch in batches])
        chosen = np.argsort(distances)[-COMPARED:]
        assert distances[chosen].min() > CLEAR
        for batch in batches[chosen]:
            assert different(graph, static, run, batch) == []
    finally:
        static.close()
        graph.close()


def begin(graph, static, run):
    """Set contrib's graph to the state in which both begin, and return it for the other."""
    initial = graph.initial_state(run)
    for name in initial:
        if name.endswith("moving_variance"):
            initial[name] *= 0.3
        if name.endswith("moving_mean"):
            initial[name] += 0.5
    static.begin()
    static.write_parameters({name: value for name, value in initial.items() if "." in name and "|" not in name})
    for layer, ends in RANGES.items():
        for end, value in zip(("min", "max"), ends):
            average = f"{layer}/act_quant/{layer}/act_quant/{end}/"
            static.write_parameters({average + "biased": value, average + "local_step": MANY_STEPS})
    return initial


def distance_from_kinks(static, batch):
    """Return the smallest distance of a value in contrib's graph to a discontinuity of a gradient."""
    sources, kinks = [], []
    for operation in static.graph.get_operations():
        if operation.type in ("Relu", "Relu6"):
            kinks.append((0, 6) if operation.type == "Relu6" else (0,))
        elif operation.type == "FakeQuantWithMinMaxVars" and "act_quant" in operation.name:
            kinks.append([end for end in RANGES[operation.name.partition("/")[0]] if end])
        else:
            continue
        sources.append(operation.inputs[0])
    values = static.session.run(sources, {static.indices: batch})
    return min(np.abs(value - kink).min() for value, own in zip(values, kinks) for kink in own)


def different(graph, static, run, batch):
    """Return how a step on ``batch`` differs in the two graphs, in words."""
    initial = begin(graph, static, run)
    trainable = [name.partition("|")[0] for name in initial if name.endswith("|m")]

    def variable(name):
        return static.session.run(static.graph.get_tensor_by_name(name + ":0"))

    expected_loss, expected, moving = static.gradients(batch)
    for index, group in enumerate(graph.layout.activations):
        tensor = graph.layout.leaders[group]
        for end in ("min", "max"):
            if tensor.name not in IN_FLOAT:
                initial["range_" + end][index] = variable(f"{tensor.layer}/act_quant/{end}")
    graph.write_state(initial)
    loss, _ = graph.step(batch, 0)
    state, found = graph.read_state(), []
    if loss != pytest.approx(expected_loss, rel=1e-4):
        found.append(f"loss {expected_loss} is {loss}")
    for name in trainable:
        gradient = expected[name.replace(".", "/")]
        size, apart = np.abs(gradient).max(), np.abs(10 * state[name + "|m"] - gradient).max()
        if apart > 1e-3 * max(size, SMALLEST):
            found.append(f"gradient of {name}: {apart} apart, of {size}")
        assert size > 1e-6, name
    assert len(moving) == 4
    for name, value in moving.items():
        np.testing.assert_allclose(state[name.replace("/", ".")], value, rtol=1e-4, atol=1e-6, err_msg=name)
    return found
