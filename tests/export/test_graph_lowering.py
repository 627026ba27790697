"""The inference graph: each operation against the simulator and the whole against the evaluation graph."""

import json
from collections import Counter

import numpy as np
import pytest
from integer_cases import book_of, network_of, simulate_tensors, state_of
from test_lowering_float import random_chain
from test_tflite_lowering import SETTINGS, everything

from qatviz.errors import ExportError
from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.fake_quant.proof import codes_runtime, ignore_float_rounding
from qatviz.export.graphs.lowering import inference_graph
from qatviz.export.graphs.runtime import GraphRunner
from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import quantize_input, run_codes
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import codes_of, compare_layers, compare_logits
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Add, Concat, Conv2D, Dense, DepthwiseConv2D, Flatten, GlobalAveragePool, ReLU, ReLU6

GRAPH_SETTINGS = dict(
    SETTINGS,
    **{
        "affine 8 bits per channel": ({"per_channel": True}, {}),
        "power of two": ({"power_of_two": True}, {"power_of_two": True}),
        "wide": ({"num_bits": 12, "symmetric": True}, {"num_bits": 16}),
    },
)


def graph_of(network, book, state, step=None, quantized=True, exact=False):
    model = fake_quant_model(network, book, state, step, quantized)
    return inference_graph(model, {"made_by": "a test"}, exact=exact)


def runner_of(*arguments, **settings):
    graph = graph_of(*arguments, **settings)
    return GraphRunner(graph.definition.SerializeToString(), graph.tensors, graph.inputs)


def images_for(network, count=48, seed=0):
    return np.random.RandomState(seed).standard_normal((count, *network.input_shape)).astype(np.float32) * 2


def check_layers(network, setting, count=24):
    book, state = book_of(network, *GRAPH_SETTINGS[setting]), state_of(network)
    model = integer_model(network, book, state)
    with runner_of(network, book, state) as runner:
        run = codes_runtime(model, runner.values, [op.output for op in model.ops])
        layers = ignore_float_rounding(model, compare_layers(model, run, images_for(network, count)))
    wide = max(tensor.num_bits for tensor in model.tensors) > 8
    for layer in layers:
        assert layer.unexplained == 0 and layer.own.largest <= 1, layer
        assert layer.own.identical >= (0.95 if wide else 0.999), layer


@pytest.mark.parametrize("setting", sorted(GRAPH_SETTINGS))
def test_every_kind_of_operation_equals_the_simulator(setting):
    check_layers(everything(), setting)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("setting", ["int8", "uint8", "affine 7 bits", "wide"])
def test_chains_of_all_shapes_equal_the_simulator(setting, seed):
    check_layers(random_chain(seed), setting)


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_in_the_exact_form_every_code_equals_the_simulators(setting):
    network = everything()
    book, state, images = book_of(network, *SETTINGS[setting]), state_of(network), images_for(network)
    model = integer_model(network, book, state)
    names = [op.output for op in model.ops]
    with runner_of(network, book, state, exact=True) as runner:
        found = codes_runtime(model, runner.values, names)(quantize_input(model, images))
    expected = run_codes(model, quantize_input(model, images), names)
    for name in names:
        np.testing.assert_array_equal(found[name], expected[name], name)


def test_the_exact_form_rounds_ties_correctly_where_float_sums_do_not():
    """A thousand terms of 0.1, and a bias that makes the exact sum a tie, which is rounded up."""
    net = network_of((1000,), (Dense, "sum", {"units": 1}), (Dense, "logits", {"units": 2}))
    unit = {"input.activations": (-12.8, 12.7), "sum.activations": (-128.0, 127.0)}
    book = book_of(net, {"symmetric": True, "narrow_range": True, "num_bits": 2})
    state = state_of(net, unit, sum__weights=np.full((1000, 1), 0.1), sum__bias=[0.0])
    model = integer_model(net, book, state)
    images = np.zeros((400, 1000), np.float32)
    for row, image in enumerate(images):
        # Codes whose sum is an odd multiple of 50, half a quantization step: a tie.
        image[:] = np.random.RandomState(row).randint(-60, 60, 1000)
        image[0] = 0
        image[:30] -= np.round((image.sum() - 50 * (2 * (row % 9) - 9)) / 30)
        image[0] -= image.sum() - 50 * (2 * (row % 9) - 9)
    images /= 10
    expected = simulate_tensors(model, images, ["sum"])["sum"]
    shares = {}
    for exact in (False, True):
        with runner_of(net, book, state, exact=exact) as runner:
            found = codes_of(runner.values(images, ["sum"])["sum"], model.tensor("sum"))
        shares[exact] = np.mean(found == expected)
    assert shares[True] == 1 and shares[False] < 0.9, shares


def test_outputs_for_images_equal_the_evaluation_graphs():
    network = everything()
    book, state, images = book_of(network, *SETTINGS["int4"]), state_of(network), images_for(network)
    logits = integer_model(network, book, state).logits
    with EvaluationGraph(network, book, state) as seen:
        expected, expected_in_float = seen.logits(images), seen.logits(images, quantized=False)
    with runner_of(network, book, state) as runner:
        found = runner.values(images, ["softmax"])["softmax"]
    with runner_of(network, book, state, quantized=False) as runner:
        found_in_float = runner.values(images, ["softmax"])["softmax"]
    agreement = compare_logits(codes_of(expected, logits), codes_of(found, logits))
    assert agreement.identical >= 0.995 and agreement.largest <= 1 and agreement.top1 == 1
    scale = np.abs(expected_in_float).max()
    assert np.abs(found_in_float - expected_in_float).max() <= 1e-5 * scale
    assert np.abs(expected - expected_in_float).max() > 0.02 * scale, "the rounding makes no difference"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_float_form_equals_the_evaluation_in_float(seed):
    network = random_chain(seed)
    book, state, images = book_of(network), state_of(network), images_for(network)
    with runner_of(network, book, state, quantized=False) as runner, EvaluationGraph(network, book, state) as seen:
        expected = seen.logits(images, quantized=False)
        found = runner.values(images, [network.output])[network.output]
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max() and np.ptp(expected) > 0.1


# Contents


def operations(graph):
    return Counter(node.op for node in graph.definition.node)


def dense(**settings):
    return network_of((4,), (Dense, "hidden", {"units": 5}), (ReLU, "act", {}), (Dense, "logits", {"units": 2}))


def test_exactly_the_quantized_tensors_have_fake_quant_operations():
    network = everything()
    plan = book_of(network).plan
    own_grid = [tensor for tensor in plan.tensors if tensor.op_kind != "Concat"]
    state = state_of(network)
    found = operations(graph_of(network, book_of(network, {"per_channel": True}), state))
    weights = sum(tensor.kind == "weights" for tensor in own_grid)
    assert found["FakeQuantWithMinMaxVarsPerChannel"] == weights
    assert found["FakeQuantWithMinMaxVars"] == len(own_grid) - weights
    found = operations(graph_of(network, book_of(network, {"enabled": False}), state))
    assert found["FakeQuantWithMinMaxVars"] == len(own_grid) - weights and len(found) > 10
    assert found["FakeQuantWithMinMaxVarsPerChannel"] == 0
    for graph in (
        graph_of(network, book_of(network, {"enabled": False}, {"enabled": False}), state),
        graph_of(network, book_of(network), state, quantized=False),
    ):
        assert not any("Quant" in name for name in operations(graph))


def test_bit_widths_and_narrow_ranges_are_attributes_of_the_operations():
    network = dense()
    book = book_of(network, {"num_bits": 3, "narrow_range": True, "symmetric": True}, {"num_bits": 11})
    nodes = graph_of(network, book, state_of(network)).definition.node
    found = Counter((node.attr["num_bits"].i, node.attr["narrow_range"].b) for node in nodes if "Quant" in node.op)
    assert found == {(3, True): 2, (11, False): 3}


def test_the_graph_has_only_operations_that_converters_support():
    found = set(operations(graph_of(everything(), book_of(everything()), state_of(everything()))))
    assert found <= {
        "Placeholder",
        "Const",
        "Identity",
        "Conv2D",
        "DepthwiseConv2dNative",
        "MatMul",
        "BiasAdd",
        "Relu",
        "Relu6",
        "Minimum",
        "Maximum",
        "Mul",
        "Sub",
        "MaxPool",
        "AvgPool",
        "Mean",
        "AddV2",
        "Add",
        "ConcatV2",
        "Reshape",
        "Pad",
        "Softmax",
        "ArgMax",
        "SpaceToBatchND",
        "BatchToSpaceND",
        "ResizeNearestNeighbor",
        "StridedSlice",
        "Transpose",
        "FakeQuantWithMinMaxVars",
        "FakeQuantWithMinMaxVarsPerChannel",
    }


def test_layers_keep_the_users_names():
    network = network_of(
        (4, 4, 2),
        (Conv2D, "block/first", {"filters": 3}),
        (ReLU, "_act-1", {}),
        (Flatten, "flat", {}),
        (Dense, "logits", {"units": 3}),
    )
    graph = graph_of(network, book_of(network), state_of(network))
    names = {node.name for node in graph.definition.node}
    assert {"input", "logits", "probabilities", "class", "about"} <= names
    assert {"network/block/first/Conv2D", "network/block/first/bias", "network/logits/MatMul"} <= names
    assert set(graph.tensors) == {"input", "_act-1", "flat", "logits"}
    about = next(node for node in graph.definition.node if node.name == "about").attr["value"].tensor.string_val[0]
    assert json.loads(about.decode()) == {"made_by": "a test"}


def test_the_class_is_the_largest_logit_and_probabilities_sum_to_one():
    network = dense()
    graph = graph_of(network, book_of(network), state_of(network))
    names = {name: name + ":0" for name in graph.outputs}
    with GraphRunner(graph.definition.SerializeToString(), names, graph.inputs) as runner:
        found = runner.values(images_for(network, 9), graph.outputs)
    np.testing.assert_array_equal(found["class"], found["logits"].argmax(axis=1))
    powers = np.exp(found["logits"])
    np.testing.assert_allclose(found["probabilities"], powers / powers.sum(axis=1, keepdims=True), rtol=1e-5)


def test_regression_graphs_have_no_probabilities():
    network = dense()
    model = fake_quant_model(network, book_of(network), state_of(network))
    graph = inference_graph(model, {}, ["regression"])
    assert graph.outputs == ("logits",) and "Softmax" not in operations(graph)


# Float tensors


def branches():
    net = NetworkBuilder("branches", (6, 6, 2))
    stem = net.add(Conv2D, "stem", filters=4)
    left = net.add(DepthwiseConv2D, "left", inputs=stem)
    net.add(Add, "sum", inputs=(stem, left))
    net.add(ReLU6, "sum_relu6")
    net.add(Concat, "join", inputs=(net.last, stem))
    net.add(GlobalAveragePool, "means")
    net.add(Dense, "logits", units=3)
    return net.network()


@pytest.fixture(scope="module")
def all_rounded():
    """Return the logits of `branches` with all tensors quantized."""
    network = branches()
    with EvaluationGraph(network, book_of(network, {"num_bits": 5}, {"num_bits": 6}), state_of(network)) as seen:
        return seen.logits(images_for(network, 32))


@pytest.mark.parametrize(
    "off",
    [
        ["input.activations", "logits.weights"],
        ["stem.weights", "left.activations"],
        ["means.activations"],
        ["join.activations", "logits.activations"],
    ],
    ids=" ".join,
)
def test_float_tensors_are_left_in_float_as_in_the_evaluation_graph(off, all_rounded):
    network = branches()
    state, images = state_of(network), images_for(network, 32)
    all_on = book_of(network, {"num_bits": 5}, {"num_bits": 6})
    book, _ = all_on.change([(name + ".enabled", False) for name in off])
    with runner_of(network, book, state) as runner, EvaluationGraph(network, book, state) as seen:
        expected, found = seen.logits(images), runner.values(images, ["logits"])["logits"]
    scale = np.abs(expected).max()
    apart, apart_if_rounded = (np.mean(np.abs(values - expected) > 1e-4 * scale) for values in (found, all_rounded))
    assert apart < 0.02 < apart_if_rounded


def test_a_tensor_is_in_float_until_its_delay_is_over():
    network = dense()
    book, state = book_of(network, {}, {"quant_delay": 10}), state_of(network)
    counts = [operations(graph_of(network, book, state, step))["FakeQuantWithMinMaxVars"] for step in (9, 10, None)]
    assert counts == [2, 5, 5]


# Refusals and special cases


def test_ranges_that_were_never_observed_are_refused_if_needed():
    network = dense()
    nothing = {tensor.name: (0.0, 0.0) for tensor in book_of(network).plan.tensors if tensor.kind == "activations"}
    state = state_of(network, nothing)
    with pytest.raises(ExportError, match="no values have been observed yet; possible after the first step"):
        graph_of(network, book_of(network), state)
    graph_of(network, book_of(network), state, quantized=False)
    graph_of(network, book_of(network, {}, {"enabled": False}), state)


@pytest.mark.parametrize("name, value", [("hidden.weights", None), ("logits.bias", np.float32([1, np.nan]))])
def test_arrays_that_are_missing_or_not_finite_are_refused(name, value):
    network = dense()
    state = dict(state_of(network), **{name: value})
    with pytest.raises(ExportError, match=f"layer '{name.split('.')[0]}'"):
        graph_of(network, book_of(network), state, quantized=False)


def test_a_tensor_that_is_always_zero_stays_zero():
    network = dense()
    book = book_of(network)
    state = state_of(network, {"hidden.activations": (0.0, 0.0)}, hidden__weights=np.zeros((4, 5)))
    with runner_of(network, book, state) as runner:
        found = runner.values(images_for(network, 9), ["act", "logits"])
    assert (found["act"] == 0).all() and np.isfinite(found["logits"]).all()
