"""Cross-layer equalization: the network in float stays the same, ranges become equal."""

import numpy as np
import pytest
from small_runs import convnet, dataset, mlp, spec
from training_cases import graph_of

from qatviz.correction.equalization import equalized
from qatviz.correction.pairs import layer_pairs, named_pairs
from qatviz.network.activations import Activation
from qatviz.network.elementwise import Add
from qatviz.network.folding import folded
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import (
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
)
from qatviz.network.plan import quantization_plan


def chain():
    """Return a network with every kind of layer with weights in one chain."""
    net = NetworkBuilder("chain", (8, 8, 2))
    net.add(Conv2D, "conv", filters=4, use_bias=False)
    net.add(BatchNorm, "conv_bn")
    net.add(ReLU, "conv_relu")
    net.add(DepthwiseConv2D, "depthwise", depth_multiplier=2, use_bias=True)
    net.add(BatchNorm, "depthwise_bn")
    net.add(ReLU, "depthwise_relu")
    net.add(GroupedConv2D, "grouped", filters=6, groups=2)
    net.add(Activation, "leaky", function="leaky_relu")
    net.add(MaxPool, "pool", pool_size=2)
    net.add(Conv2DTranspose, "transposed", filters=3, strides=1)
    net.add(ReLU, "transposed_relu")
    net.add(DepthwiseConv2D, "last_depthwise", padding="VALID")
    net.add(Flatten, "flatten")
    net.add(Dense, "dense", units=5)
    net.add(BatchNorm, "dense_bn")
    net.add(Dense, "logits", units=3)
    return net.network()


def unequal_state(network, run_spec, graph, seed=0):
    """Return the initial state with channels of very different ranges, and statistics and slots that are not 0 or 1."""
    random = np.random.RandomState(seed)
    state = graph.initial_state(run_spec.book.run)
    for name, array in state.items():
        if name.endswith(".weights"):
            state[name] = (array * np.exp(random.uniform(-2, 2, array.shape[-1]))).astype(np.float32)
        elif name.endswith((".moving_variance", ".gamma")):
            state[name] = random.uniform(0.5, 2, array.shape).astype(np.float32)
        elif name.endswith((".beta", ".moving_mean", ".bias")):
            state[name] = (0.3 * random.randn(*array.shape)).astype(np.float32)
        elif "|" in name and not name.startswith("optimizer"):
            state[name] = random.uniform(0.1, 1, array.shape).astype(np.float32)
    return state


@pytest.mark.parametrize("network", [chain(), mlp(), convnet()], ids=lambda network: network.name)
def test_float_network_is_the_same_and_ranges_are_equal(graphs, network):
    run_spec = spec(network, dataset(network.input_shape))
    graph, plan = graph_of(run_spec, graphs), run_spec.plan
    pairs, _ = layer_pairs(network, plan)
    assert pairs
    state = unequal_state(network, run_spec, graph)
    result = equalized(plan, pairs, state)
    images = run_spec.dataset.x_test[:16]

    def outputs(arrays):
        graph.write_settings(run_spec.book.quantizers, run_spec.book.run, 0)
        graph.write_state(arrays)
        graph.publish()
        return graph.logits(images, False, False)

    before, after = outputs(state), outputs(result.arrays)
    assert np.abs(after - before).max() <= 1e-5 * np.abs(before).max()
    for pair in pairs:
        r1, r2 = (ranges(plan, unit, result.arrays, is_input) for unit, is_input in ((pair.first, 0), (pair.second, 1)))
        r2 = r2.reshape(-1, len(r1)).max(axis=0)
        np.testing.assert_allclose(r1, r2, rtol=2e-3)
    unchanged = [name for name in state if name.endswith(("moving_mean", "moving_variance"))]
    assert all(result.arrays[name] is state[name] for name in unchanged)


def ranges(plan, unit, arrays, is_input):
    """Return the largest weight of each output, or of each input channel: an oracle by loops."""
    weights = np.abs(folded(plan, unit, arrays).weights)
    if isinstance(unit.op, DepthwiseConv2D):
        by_input = weights.max(axis=(0, 1))
        return by_input.max(axis=1) if is_input else by_input.reshape(-1)
    if not is_input:
        return weights.reshape(-1, weights.shape[-1]).max(axis=0)
    if isinstance(unit.op, GroupedConv2D):
        size, each = weights.shape[2], weights.shape[3] // unit.op.groups
        return np.array(
            [
                weights[:, :, channel % size, (channel // size) * each : (channel // size + 1) * each].max()
                for channel in range(size * unit.op.groups)
            ]
        )
    return np.array([weights[..., channel, :].max() for channel in range(weights.shape[-2])])


def test_one_pair_has_the_factors_of_the_paper(graphs):
    run_spec = spec(mlp())
    graph = graph_of(run_spec, graphs)
    state = unequal_state(mlp(), run_spec, graph)
    ((pair,), _) = layer_pairs(run_spec.network, run_spec.plan)
    result = equalized(run_spec.plan, [pair], state)
    w1, w2 = state["dense1.weights"], state["logits.weights"]
    for channel in range(8):
        r1, r2 = np.abs(w1[:, channel]).max(), np.abs(w2[channel]).max()
        assert result.factors["dense1"][channel] == pytest.approx(np.sqrt(r1 * r2) / r2, rel=1e-5)
    s = result.factors["dense1"]
    np.testing.assert_allclose(result.arrays["dense1.weights"], w1 / s, rtol=1e-6)
    np.testing.assert_allclose(result.arrays["dense1.bias"], state["dense1.bias"] / s, rtol=1e-6)
    np.testing.assert_allclose(result.arrays["logits.weights"], w2 * s[:, np.newaxis], rtol=1e-6)
    # Averages of gradients, which become smaller where weights become larger.
    np.testing.assert_allclose(result.arrays["dense1.weights|m"], state["dense1.weights|m"] * s, rtol=1e-6)
    np.testing.assert_allclose(result.arrays["dense1.weights|v"], state["dense1.weights|v"] * s**2, rtol=1e-6)
    np.testing.assert_allclose(
        result.arrays["logits.weights|m"], state["logits.weights|m"] / s[:, np.newaxis], rtol=1e-6
    )


def test_gradients_scale_as_the_slots_do(graphs):
    """After one step from empty slots, momentum is the gradient: that of the equalized network, in float."""
    network = convnet()
    run_spec = spec(network, optimizer="momentum")
    graph = graph_of(run_spec, graphs)
    pairs, _ = layer_pairs(network, run_spec.plan)
    state = unequal_state(network, run_spec, graph)
    state = {name: np.zeros_like(array) if "|" in name else array for name, array in state.items()}
    off, _ = run_spec.book.change((("*.enabled", False),))

    def after_step(arrays):
        graph.write_settings(off.quantizers, off.run, 0)
        graph.write_state(arrays)
        graph.step(np.arange(8, dtype=np.int32), 0)
        return graph.read_state()

    stepped, result = after_step(state), equalized(run_spec.plan, pairs, state).arrays
    found = after_step(result)
    for name in ("conv.weights", "conv_bn.gamma", "conv_bn.beta", "depthwise.weights"):
        factor = np.where(state[name] != 0, result[name] / np.where(state[name] != 0, state[name], 1), 1)
        expected = stepped[name + "|momentum"] / factor
        assert np.abs(expected).max() > 0
        np.testing.assert_allclose(
            found[name + "|momentum"], expected, rtol=2e-3, atol=1e-4 * np.abs(expected).max(), err_msg=name
        )


def test_obstacles_name_the_reason_and_the_remedy():
    net = NetworkBuilder("obstacles", (8, 8, 2))
    net.add(Conv2D, "clipped", filters=4)
    net.add(ReLU6, "clipped_relu6")
    first = net.add(Conv2D, "split", filters=4)
    second = net.add(Conv2D, "branch", filters=4)
    net.add(Add, "sum", (first, second))
    net.add(Conv2D, "curved", filters=4)
    net.add(Activation, "curve", function="sigmoid")
    net.add(GlobalAveragePool, "all")
    net.add(Dense, "logits", units=3)
    network = net.network()
    pairs, obstacles = layer_pairs(network, quantization_plan(network))
    assert pairs == []
    texts = {obstacle.layer: obstacle.text for obstacle in obstacles}
    assert "ReLU6" in texts["clipped"] and "--replace-relu6" in texts["clipped"]
    assert [obstacle.layer for obstacle in obstacles if obstacle.is_relu6] == ["clipped"]
    assert "several layers" in texts["split"]
    assert "Add" in texts["branch"]
    assert "curve (Activation)" in texts["curved"]
    assert "logits" not in texts
    assert named_pairs(pairs, obstacles, ("nowhere",))[1][0].layer == "nowhere"


def test_fixed_batch_norm_is_an_obstacle():
    network = convnet()
    _, obstacles = layer_pairs(network, quantization_plan(network), {"conv_bn.gamma"})
    assert "conv_bn.gamma" in obstacles[0].text


def test_channels_without_weights_keep_their_scale(graphs):
    run_spec = spec(mlp())
    state = unequal_state(mlp(), run_spec, graph_of(run_spec, graphs))
    state["dense1.weights"][:, 2] = 0
    state["logits.weights"][5] = 0
    pairs, _ = layer_pairs(run_spec.network, run_spec.plan)
    factors = equalized(run_spec.plan, pairs, state).factors["dense1"]
    assert factors[2] == factors[5] == 1
