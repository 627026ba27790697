"""The tensors at the ends of a network: inputs, and those of the last layers with weights."""

from small_runs import convnet

from qatviz.network import zoo
from qatviz.network.ends import end_tensors
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Concat, Dense, ReLU, Softmax
from qatviz.network.plan import quantization_plan


def ends(network):
    return set(end_tensors(quantization_plan(network)))


def test_the_input_and_the_last_layer_with_its_inputs():
    last = {"logits.weights", "logits.activations", "pool.activations"}
    assert ends(convnet()) == {"input.activations", *last}
    assert ends(zoo.build("resnet8", (28, 28, 1), 10)) == {
        "input.activations",
        "logits.weights",
        "logits.activations",
        "global_pool.activations",
    }


def test_layers_without_weights_behind_the_last_one():
    net = NetworkBuilder("soft", (4,))
    net.add(Dense, "first", units=5)
    net.add(ReLU, "relu")
    net.add(Dense, "last", units=3)
    net.add(Softmax, "probabilities")
    assert ends(net.network()) == {"input.activations", "first.activations", "last.weights", "last.activations"}


def test_all_tensors_that_share_a_grid_with_one():
    net = NetworkBuilder("numbers", (4,))
    one, other = net.add(Dense, "one", units=3), net.add(Dense, "other", inputs="input", units=3)
    net.add(Concat, "both", inputs=(one, other))
    assert ends(net.network()) == {
        "input.activations",
        *(f"{name}.activations" for name in ("one", "other", "both")),
        "one.weights",
        "other.weights",
    }
