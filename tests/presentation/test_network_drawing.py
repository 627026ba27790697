"""The drawing of a network: every operation and tensor once, joined by edges."""

import pytest

from qatviz.network.checks import INPUT
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Add, Conv2D, Dense, MaxPool
from qatviz.network.plan import quantization_plan
from qatviz.network.zoo import NETWORKS, build
from qatviz.presentation.network.drawing import layer_text, network_drawing


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_unit_tensor_and_edge_is_drawn_once(name):
    network = build(name, (32, 32, 3), 10)
    plan = quantization_plan(network)
    texts, tensors, edges = network_drawing(network, plan)
    assert list(texts) == [INPUT] + [unit.name for unit in plan.units] and list(tensors) == list(texts)
    assert {name: text.name for name, text in texts.items()} == {name: name for name in texts}
    assert [tensor for found in tensors.values() for tensor in found] == list(plan.tensors)
    assert len(set(edges)) == len(edges) and {target for _, target in edges} == set(texts) - {INPUT}
    layers = [layer for unit in plan.units for layer in unit.layers]
    assert sum(len(text.layers.split(" + ")) for text in texts.values()) == len(layers) + 1


@pytest.mark.parametrize(
    "layer, text",
    [
        (Conv2D("c", INPUT, filters=3, kernel_size=5), "Conv2D 5×5"),
        (Conv2D("c", INPUT, filters=3, kernel_size=(3, 1), strides=2), "Conv2D 3×1 /2"),
        (Conv2D("c", INPUT, filters=3, kernel_size=3, strides=(2, 1)), "Conv2D 3×3 /2×1"),
        (MaxPool("p", INPUT, pool_size=(2, 3)), "MaxPool 2×3"),
        (Add("a", ("b", "c")), "Add"),
    ],
)
def test_a_layer_has_a_short_text(layer, text):
    assert layer_text(layer) == text


def test_a_layer_with_the_weights_of_another_says_so():
    net = NetworkBuilder("twins", (6,))
    net.add(Dense, "first", units=6)
    net.add(Dense, "second", units=6, shares="first")
    network = net.network()
    texts, tensors, _ = network_drawing(network, quantization_plan(network))
    assert texts["first"].shape == "6 · 42 params" and texts["second"].shape == "6 · weights of first"
    assert [tensor.name for tensor in tensors["second"]] == ["second.activations"]
