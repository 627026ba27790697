"""Layers that use the parameters of another one: description, checks, plan."""

import pytest

from qatviz.errors import NetworkError
from qatviz.network.graph import Network, NetworkBuilder
from qatviz.network.layers import Add, BatchNorm, Concat, Conv2D, Dense, Flatten, ReLU
from qatviz.network.plan import quantization_plan
from qatviz.training.parameters import initial_parameters


def twins(norms=("norm", ""), second=Conv2D, **settings):
    """Return a network whose second convolution uses the weights of the first; a batch norm behind each that has one.

    ``norms`` are the layers whose parameters the batch norms of both use, "" for none.
    """
    net = NetworkBuilder("twins", (6, 6, 3))
    first = net.add(Conv2D, "first", filters=3, kernel_size=3)
    if norms[0]:
        first = net.add(BatchNorm, "norm")
    net.add(ReLU, "relu", inputs=first)
    last = net.add(second, "second", **{"filters": 3, "kernel_size": 3, "shares": "first", **settings})
    if norms[1]:
        last = net.add(BatchNorm, "second_norm", shares="" if norms[1] == "own" else norms[1])
    net.add(Add, "sum", inputs=("relu", last))
    net.add(Flatten, "flat")
    net.add(Dense, "logits", units=4)
    return net.network()


def test_parameters_belong_to_the_first_layer():
    network = twins(("norm", "norm"))
    assert network.layer("second").owner == "first" and network.layer("first").owner == "first"
    assert network.parameter_shapes("second") == network.parameter_shapes("second_norm") == {}
    names = ["first.weights", "first.bias"]
    names += ["norm." + part for part in ("gamma", "beta", "moving_mean", "moving_variance")]
    assert list(network.all_parameter_shapes()) == [*names, "logits.weights", "logits.bias"]
    assert list(initial_parameters(network, 0)) == list(network.all_parameter_shapes())
    rows = {row.name: row for row in network.summary()}
    assert rows["second"].parameters == 0 and rows["first"].parameters == 3 * 3 * 3 * 3 + 3
    assert rows["second"].macs == rows["first"].macs == 36 * 81
    assert network.parameter_count == 84 + 12 + 108 * 4 + 4


def test_weights_have_one_quantizer_and_outputs_one_each():
    plan = quantization_plan(twins(("norm", "norm")))
    names = ["input.activations", "first.weights", "first.activations", "second.activations", "sum.activations"]
    assert [tensor.name for tensor in plan.tensors] == [*names, "logits.weights", "logits.activations"]
    units = {unit.name: unit for unit in plan.units}
    assert units["second"].weights == units["first"].weights == "first.weights"
    assert [unit.name for unit in plan.units if unit.owns_weights] == ["first", "logits"]


def test_records_name_the_other_layer_only_if_there_is_one():
    network = twins(("norm", "norm"))
    record = network.to_dict()
    assert [layer.get("shares") for layer in record["layers"]] == [None, None, None, "first", "norm", None, None, None]
    assert sum("shares" in layer for layer in record["layers"]) == 2
    assert Network.from_dict(record) == network


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"shares": "third"}, "shares is 'third'; allowed: an earlier Conv2D with parameters of its own: 'first'$"),
        ({"shares": "second"}, "shares is 'second'; allowed: an earlier Conv2D"),
        ({"shares": "relu"}, "shares is 'relu'; allowed: an earlier Conv2D"),
        ({"shares": 3}, "shares is 3; allowed: a letter"),
        ({"dilation": 2}, "shares is 'first', which has other settings; allowed: a layer with the same ones"),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(NetworkError, match="layer 'second': " + message):
        twins(("", ""), **settings)


def test_inputs_must_have_the_same_number_of_channels():
    net = NetworkBuilder("wide", (6, 6, 3))
    first = net.add(Conv2D, "first", filters=4)
    net.add(Concat, "both", inputs=(first, "input"))
    net.add(Conv2D, "second", filters=4, shares="first")
    with pytest.raises(NetworkError, match=r"'second': shares is 'first'.*\(3, 3, 3, 4\).*requires.*\(3, 3, 7, 4\)"):
        net.network()


def test_a_layer_that_shares_has_no_parameters_to_share():
    net = NetworkBuilder("chain", (8,))
    net.add(Dense, "first", units=8)
    net.add(Dense, "second", units=8, shares="first")
    net.add(Dense, "third", units=8, shares="second")
    with pytest.raises(NetworkError, match="'third': shares is 'second'; allowed: .* of its own: 'first'$"):
        net.network()


@pytest.mark.parametrize("norms", [("norm", ""), ("", "own"), ("norm", "own")])
def test_a_batch_norm_is_folded_into_all_layers_with_the_weights_or_none(norms):
    with pytest.raises(NetworkError, match="this BatchNorm is folded into '(first|second)', but not all layers with"):
        twins(norms)
    assert twins(("", "")) and twins(("norm", "norm"))
