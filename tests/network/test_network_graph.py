"""Networks: order, shapes, validation and records."""

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from network_strategies import RELAXED, networks

from qatviz.errors import NetworkError
from qatviz.network import (
    Add,
    BatchNorm,
    Concat,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePool,
    Layer,
    MaxPool,
    Network,
    NetworkBuilder,
    ReLU,
)

IMAGE = (8, 8, 2)


@RELAXED
@given(networks())
def test_layers_are_kept_in_topological_order(network):
    seen = {"input"}
    for layer in network.layers:
        assert seen.issuperset(layer.inputs)
        seen.add(layer.name)


@RELAXED
@given(networks())
def test_the_order_is_stable(network):
    assert Network(network.name, network.input_shape, network.layers) == network


@RELAXED
@given(networks(), st.randoms(use_true_random=False))
def test_the_given_order_affects_only_the_order(network, random):
    layers = list(network.layers)
    random.shuffle(layers)
    shuffled = Network(network.name, network.input_shape, layers)
    assert set(shuffled.layers) == set(network.layers)
    assert shuffled.shapes == network.shapes and shuffled.output == network.output
    assert (shuffled.macs, shuffled.parameter_count) == (network.macs, network.parameter_count)


def test_independent_layers_keep_the_given_order():
    a, b, c = (ReLU(name, "input") for name in "abc")
    total = Add("total", ("a", "b", "c"))
    assert Network("net", IMAGE, (total, c, a, b)).layers == (c, a, b, total)


@RELAXED
@given(networks())
def test_shapes_and_consumers_agree_with_the_layers(network):
    assert set(network.shapes) == {"input"} | {layer.name for layer in network.layers}
    for layer in network.layers:
        assert network.layer(layer.name) is layer
        assert network.shapes[layer.name] == layer.output_shape([network.shapes[name] for name in layer.inputs])
    positions = [layer.name for layer in network.layers]
    for name in network.shapes:
        readers = [layer.name for layer in network.layers if name in layer.inputs]
        assert network.consumers(name) == tuple(sorted(readers, key=positions.index))
        assert (not readers) == (name == network.output)
    assert network.num_outputs == 3


@RELAXED
@given(networks())
def test_a_network_round_trips_through_json_pickle_and_copy(network):
    again = Network.from_dict(json.loads(json.dumps(network.to_dict())))
    assert again == network and again.layers == network.layers and again.shapes == network.shapes
    assert pickle.loads(pickle.dumps(network)) == network == copy.deepcopy(network)
    assert hash(again) == hash(network)


@RELAXED
@given(networks())
def test_the_summary_adds_up(network):
    rows = network.summary()
    assert [(row.name, row.kind, row.inputs) for row in rows] == [
        (layer.name, layer.kind, layer.inputs) for layer in network.layers
    ]
    assert all(row.output_shape == network.shapes[row.name] for row in rows)
    assert network.macs == sum(row.macs for row in rows)
    assert network.parameter_count == sum(row.parameters for row in rows)


def test_counts_of_a_network_computed_by_hand():
    net = NetworkBuilder("net", (4, 4, 3))
    net.add(Conv2D, "conv", filters=5)
    net.add(BatchNorm, "bn")
    net.add(GlobalAveragePool, "gap")
    net.add(Dense, "logits", units=2)
    network = net.network()
    assert network.parameter_count == (3 * 3 * 3 * 5 + 5) + 4 * 5 + (5 * 2 + 2)
    assert network.macs == 4 * 4 * 3 * 3 * 3 * 5 + 5 * 2
    assert network.parameter_shapes("conv") == {"weights": (3, 3, 3, 5), "bias": (5,)}


def test_returned_objects_cannot_change_the_network():
    network = Network("net", IMAGE, [Flatten("flat", "input")])
    network.shapes["flat"] = (1,)
    assert network.shapes["flat"] == (128,)
    with pytest.raises(AttributeError):
        network.layers = ()


def test_the_builder_chains_and_branches():
    net = NetworkBuilder("net", IMAGE)
    stem = net.add(Conv2D, "stem", filters=3)
    assert net.last == stem
    net.add(ReLU, "relu")
    side = net.add(Conv2D, "side", stem, filters=3)
    net.add(Add, "add", ("relu", side))
    assert [layer.inputs for layer in net.network().layers] == [("input",), ("stem",), ("stem",), ("relu", "side")]


CONV = Conv2D("conv", "input", 2)

BAD_NETWORKS = {
    "no layers": ([], "network 'net': layers is ()"),
    "not a layer": ([CONV, "relu"], "network: layer is 'relu'"),
    "the base class": ([Layer("relu", "input")], "network: layer is Layer("),
    "unknown input": ([CONV, ReLU("relu", "convv")], "layer 'relu': input is 'convv'; allowed: input, conv"),
    "two of one name": ([CONV, ReLU("conv", "input")], "layer 'conv': two layers have this name"),
    "two outputs": ([CONV, ReLU("relu", "input")], "network 'net': layers 'conv', 'relu' have no consumers"),
    "reads itself": (
        [Add("add", ("input", "add"))],
        "'add': its input depends on its output in the cycle 'add' <- 'add'",
    ),
    "cycle": (
        [CONV, Add("sum", ("conv", "c")), ReLU("a", "sum"), ReLU("b", "a"), ReLU("c", "b"), ReLU("out", "c")],
        "layer 'sum': its input depends on its output in the cycle 'sum' <- 'c' <- 'b' <- 'a' <- 'sum'",
    ),
    "downstream of a cycle": ([ReLU("out", "a"), ReLU("a", "b"), ReLU("b", "a")], "the cycle 'a' <- 'b' <- 'a'"),
    "Dense on an image": (
        [CONV, Dense("logits", "conv", 3)],
        "layer 'logits': input shape is (8, 8, 2); allowed: one axis for Dense; add a Flatten",
    ),
    "Add of different shapes": (
        [CONV, MaxPool("pool", "conv"), Add("add", ("conv", "pool"))],
        "layer 'add': input shapes is ((8, 8, 2), (4, 4, 2))",
    ),
    "BatchNorm on the input": ([BatchNorm("bn", "input")], "layer 'bn': the input of this BatchNorm is 'input' (the n"),
    "BatchNorm on a ReLU": (
        [CONV, ReLU("relu", "conv"), BatchNorm("bn", "relu")],
        "layer 'bn': the input of this BatchNorm is 'relu' (ReLU); allowed: Conv2D, GroupedConv2D, DepthwiseConv2D, "
        "Conv2DTranspose, Dense",
    ),
    "BatchNorm on a BatchNorm": (
        [CONV, BatchNorm("bn", "conv"), BatchNorm("bn2", "bn")],
        "layer 'bn2': the input of this BatchNorm is 'bn' (BatchNorm)",
    ),
    "BatchNorm on a shared layer": (
        [CONV, BatchNorm("bn", "conv"), Add("add", ("conv", "bn"))],
        "layer 'bn': the input of this BatchNorm, 'conv', is also the input of 'add'",
    ),
}


@pytest.mark.parametrize("layers, message", BAD_NETWORKS.values(), ids=list(BAD_NETWORKS))
def test_an_inconsistent_network_is_refused(layers, message):
    with pytest.raises(NetworkError) as caught:
        Network("net", IMAGE, layers)
    assert message in str(caught.value) and "allowed: " in str(caught.value)


@pytest.mark.parametrize("shape", [(), (0, 8, 1), (8, -1), 8, None, (8, 8.0, 1), "888", (True, 8)])
def test_an_invalid_input_shape_is_refused(shape):
    with pytest.raises(NetworkError, match="network 'net': input_shape is"):
        Network("net", shape, [Flatten("flat", "input")])


@pytest.mark.parametrize(
    "record, message",
    [
        (None, "record is None"),
        ({"name": "net", "input_shape": [8, 8, 1]}, r"record is \['input_shape', 'name'\]"),
        ({"name": "net", "input_shape": [8, 8, 1], "layers": {}}, "network 'net': layers is {}"),
        ({"name": "n.t", "input_shape": [8, 8, 1], "layers": []}, "network: name is 'n.t'"),
        ({"name": "net", "input_shape": [8, 8, 1], "layers": [None]}, "layer is None"),
    ],
)
def test_an_invalid_record_is_refused(record, message):
    with pytest.raises(NetworkError, match=message):
        Network.from_dict(record)


def test_an_unknown_layer_is_an_error_that_lists_the_layers():
    network = Network("net", IMAGE, [Flatten("flat", "input")])
    for ask in (network.layer, network.consumers, network.input_shapes, network.parameter_shapes):
        with pytest.raises(NetworkError, match="network 'net': layer is 'flatt'; allowed: flat"):
            ask("flatt")


def test_a_network_of_a_thousand_layers_is_supported():
    layers = [ReLU("r0", "input")] + [Concat(f"r{i}", (f"r{i - 1}", "input"), axis=-1) for i in range(1, 1000)]
    network = Network("deep", (3,), layers[::-1])
    assert network.output == "r999" and network.shapes["r999"] == (3000,)
