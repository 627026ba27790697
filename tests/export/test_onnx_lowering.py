"""Each operation of an ONNX file, run in onnxruntime, compared with the simulator."""

import re
from collections import Counter

import numpy as np
import pytest
from integer_cases import MEANS_BY_POWERS, MeansByPowers, means_of_four, model_of, network_of, simulate
from parity_cases import run_logits
from test_lowering_float import random_chain
from test_tflite_lowering import everything, images_for

from qatviz.export.fake_quant.proof import ignore_float_rounding
from qatviz.export.integers.simulator import quantize_input, run_codes
from qatviz.export.onnx.lowering import onnx_model
from qatviz.export.onnx.runtime import OnnxRunner
from qatviz.export.proof.parity import compare_layers, compare_logits
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Add, AveragePool, Conv2D, Dense, Flatten, GlobalAveragePool, ReLU, ReLU6

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

_SYMMETRIC = {"symmetric": True, "per_channel": True}
SETTINGS = {
    "8 bits": (dict(_SYMMETRIC, narrow_range=True), {}),
    "8 bits per tensor": ({"symmetric": True, "narrow_range": True}, {}),
    "8 bits, all symmetric": (_SYMMETRIC, {"symmetric": True}),
    "asymmetric": ({"narrow_range": True}, {}),
    "asymmetric per channel": ({"per_channel": True}, {}),
    "asymmetric, 7 bits": ({"num_bits": 7, "per_channel": True}, {"narrow_range": True}),
    "4 bits": (dict(_SYMMETRIC, num_bits=4), {"num_bits": 6, "symmetric": True}),
    "4-bit activations": ({}, {"num_bits": 4}),
    "ternary": (dict(_SYMMETRIC, num_bits=2, narrow_range=True), {"num_bits": 5}),
    "powers of two": (dict(_SYMMETRIC, power_of_two=True), {"power_of_two": True}),
}
#: Settings of more than 8 bits.
WIDE = {
    "16-bit activations": (_SYMMETRIC, {"num_bits": 16}),
    "16-bit weights": ({"num_bits": 16, "per_channel": True}, {}),
    "16 bits": ({"num_bits": 16}, {"num_bits": 16, "symmetric": True}),
    "9 bits": ({"num_bits": 9, "narrow_range": True}, {"num_bits": 9}),
    "4-bit weights, 12-bit activations": ({"num_bits": 4}, {"num_bits": 12}),
}
#: Operations that copy or select input codes.
COPIES = ("MaxPool", "Concat", "Flatten", "Reshape", "ZeroPad", "ReLU", "ReLU6")
FORMS = {"uint8": {}, "int8": {"storage": "int8", "layout": "nchw"}}


def all_outputs(model, **form):
    """Load the file with all tensors as outputs."""
    return OnnxRunner(model, onnx_model(model, outputs=[tensor.name for tensor in model.tensors], **form))


def check_layers(model, **form):
    for layer in compare_layers(model, all_outputs(model, **form).run, images_for(model, 32)):
        assert layer.unexplained == 0 and layer.own.largest <= (0 if layer.kind in COPIES else 1), layer
        assert layer.own.identical >= 0.999, layer


def nodes(content):
    """Return a file's nodes by name."""
    return {node.name: node for node in onnx.load_model_from_string(content).graph.node}


def operators(content):
    return Counter(node.op_type for node in nodes(content).values())


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_every_kind_of_operation_equals_the_simulator(setting, form):
    check_layers(model_of(everything(), *SETTINGS[setting]), **FORMS[form])


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("setting", sorted(WIDE))
def test_operations_of_more_than_8_bits_equal_the_simulator_in_float(setting, form):
    model = model_of(everything(), *WIDE[setting])
    runner = all_outputs(model, **FORMS[form])
    images = images_for(model, 32)
    for layer in ignore_float_rounding(model, compare_layers(model, runner.run, images)):
        assert layer.unexplained == 0 and layer.own.largest <= (0 if layer.kind in COPIES else 1), layer
        assert layer.own.identical >= 0.99, layer
    np.testing.assert_array_equal(runner.run_images(images)["input"], quantize_input(model, images))
    agreement = compare_logits(*run_logits(model, OnnxRunner(model, onnx_model(model, **FORMS[form])).run, images))
    assert agreement.identical >= 0.9 and agreement.largest <= 3 and agreement.top1 == 1, agreement


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("setting", ["8 bits", "asymmetric per channel", "4 bits"])
def test_chains_of_all_shapes_equal_the_simulator(setting, seed):
    check_layers(model_of(random_chain(seed), *SETTINGS[setting], seed=seed))


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_shipped_logits_equal_the_simulators(setting, form):
    """Without codes as outputs, onnxruntime fuses more operations into integer ones."""
    model = model_of(everything(), *SETTINGS[setting])
    runner = OnnxRunner(model, onnx_model(model, **FORMS[form]))
    agreement = compare_logits(*run_logits(model, runner.run, images_for(model)))
    assert agreement.identical >= 0.99 and agreement.largest <= 1 and agreement.top1 == 1, agreement


@pytest.mark.parametrize("setting", sorted(set(SETTINGS) - {"asymmetric per channel"}))
def test_every_code_of_an_exact_file_equals_the_simulators(setting):
    model = model_of(everything(), *SETTINGS[setting])
    runner = all_outputs(model, exact=True)
    for layer in compare_layers(model, runner.run, images_for(model)):
        assert layer.whole.identical == layer.own.identical == 1, layer
    shipped = onnx_model(model, exact=True)
    np.testing.assert_array_equal(
        OnnxRunner(model, shipped).run_images(images_for(model))["logits"], simulate(model, images_for(model))
    )
    found = operators(shipped.content)
    assert (found["ConvInteger"], found["MatMulInteger"], found["Conv"], found["Gemm"]) == (6, 4, 0, 0)


@pytest.mark.parametrize("setting", ["16-bit activations", "4-bit weights, 12-bit activations"])
def test_codes_of_two_bytes_are_exact_too(setting):
    """Each sum of products is one of the upper bytes and one of the lower bytes."""
    model = model_of(everything(), *WIDE[setting])
    for layer in compare_layers(model, all_outputs(model, exact=True).run, images_for(model)):
        assert layer.whole.identical == layer.own.identical == 1, layer
    file = onnx_model(model, exact=True)
    found = OnnxRunner(model, file).run_images(images_for(model))["logits"]
    np.testing.assert_array_equal(found, simulate(model, images_for(model)))
    assert file.exact and not file.notes
    count = operators(file.content)
    assert (count["ConvInteger"], count["MatMulInteger"], count["Conv"], count["Gemm"]) == (12, 8, 0, 0)


@pytest.mark.parametrize("setting, left", [("asymmetric per channel", (6, 4)), ("9 bits", (6, 4))])
def test_operations_in_float_stay_in_float_in_an_exact_file(setting, left):
    model = model_of(everything(), *dict(SETTINGS, **WIDE)[setting])
    file = onnx_model(model, exact=True)
    assert (operators(file.content)["Conv"], operators(file.content)["Gemm"]) == left and file.notes
    agreement = compare_logits(*run_logits(model, OnnxRunner(model, file).run, images_for(model)))
    assert agreement.identical >= 0.9 and agreement.largest <= 1 and agreement.top1 == 1, agreement


@pytest.mark.parametrize("exact", [False, True])
def test_multipliers_of_any_size_are_supported(exact):
    """Accumulators far beyond the output's codes, and ones that are always below half a code."""
    net = network_of(
        (8,), (Dense, "large", {"units": 6}), (Dense, "small", {"units": 6}), (Dense, "logits", {"units": 2})
    )
    model = model_of(
        net,
        {"symmetric": True, "per_channel": True},
        ranges={
            "large.activations": (-1e-6, 1e-6),
            "small.activations": (-1e12, 1e12),
            "logits.activations": (-1e-3, 1e-3),
        },
    )
    codes = np.random.RandomState(0).randint(-128, 128, (50, 8)).astype(np.int32)
    found = all_outputs(model, exact=exact).run(codes)
    for name in ("large", "small", "logits"):
        np.testing.assert_array_equal(found[name], run_codes(model, codes, [name])[name])
    assert set(np.unique(found["large"])) == {-128, 127} and len(np.unique(found["small"])) == 1


def test_neighbouring_large_weights_do_not_saturate():
    """With int8 weights, x86 processors without VNNI add pairs of products in 16 bits; with uint8 they do not."""
    net = network_of(
        (4, 4, 16), (Conv2D, "conv", {"filters": 8}), (Flatten, "flatten", {}), (Dense, "logits", {"units": 3})
    )
    weights = np.random.RandomState(0).uniform(0.9, 1.0, (3, 3, 16, 8))
    model = model_of(net, {"symmetric": True}, conv__weights=weights, ranges={"conv.activations": (-2000.0, 2000.0)})
    codes = np.full((2, 4, 4, 16), 127, np.int32)
    for form in [*FORMS.values(), {"exact": True}]:
        found = all_outputs(model, **form).run(codes)["conv"]
        np.testing.assert_array_equal(found, run_codes(model, codes, ["conv"])["conv"])
        assert found.max() < 127


# Rounding

#: Grid on which codes equal values: scale 1, zero point 0.
UNIT = (-128.0, 127.0)


@pytest.mark.parametrize("kind", [AveragePool, GlobalAveragePool])
def test_all_means_are_exact(kind):
    net = NetworkBuilder("means", (2, 2, 1))
    net.add(kind, "pool")
    net.add(Flatten, "flatten")
    net.add(Dense, "logits", units=2)
    ranges = {"input.activations": UNIT, "pool.activations": UNIT}
    model = model_of(net.network(), {"symmetric": True}, ranges=ranges, logits__weights=[[0.1, 1.0]])
    codes, means = means_of_four(kind)
    np.testing.assert_array_equal(all_outputs(model).run(codes)["pool"].reshape(-1), means)


@pytest.mark.parametrize("size, halvings", MEANS_BY_POWERS)
def test_means_with_power_of_two_scale_ratios_are_exact(size, halvings):
    case = MeansByPowers(size, halvings)
    for form in ({}, {"exact": True}):
        np.testing.assert_array_equal(all_outputs(case.model, **form).run(case.codes)["means"], case.expected)


def test_averages_exclude_padding():
    model = model_of(
        network_of(
            (5, 5, 1),
            (AveragePool, "pool", {"pool_size": 3, "strides": 1, "padding": "SAME"}),
            (Flatten, "flatten", {}),
            (Dense, "logits", {"units": 2}),
        )
    )
    codes = np.random.RandomState(0).randint(-128, 128, (200, 5, 5, 1)).astype(np.int32)
    np.testing.assert_array_equal(all_outputs(model).run(codes)["pool"], run_codes(model, codes, ["pool"])["pool"])


@pytest.mark.parametrize("images, low", [("-1..1", -1.0), ("0..1", 0.0)])
def test_pixels_between_two_codes_are_rounded_as_in_training(images, low):
    """8-bit pixels in -1..1 are all ties on an 8-bit grid of that range."""
    model = model_of(
        network_of((16, 16, 1), (Flatten, "flatten", {}), (Dense, "logits", {"units": 2})),
        ranges={"input.activations": (low, 1.0)},
    )
    pixels = (np.arange(256).reshape(1, 16, 16, 1) / np.float32(255)).astype(np.float32)
    pixels = pixels if low == 0 else pixels * np.float32(2) - np.float32(1)
    beyond = np.concatenate([pixels, pixels * 3 - 1])
    for form in FORMS.values():
        found = all_outputs(model, **form).run_images(beyond)["input"]
        np.testing.assert_array_equal(found, quantize_input(model, beyond))


@pytest.mark.parametrize(
    "setting, num_bits, anywhere", [("powers of two", 8, True), ("8 bits", 8, False), ("powers of two", 9, False)]
)
def test_tie_breakers_are_added_only_if_ties_are_possible(setting, num_bits, anywhere):
    """Above 8 bits none are needed: rounding in float rounds ties up. Those of an AveragePool are not rounded up."""
    weights, activations = SETTINGS[setting]
    file = onnx_model(model_of(everything(), weights, dict(activations, num_bits=num_bits)))
    broken = {name.split(".")[0] for name in nodes(file.content) if name.endswith(".ties_up")}
    assert "means" in broken and not {"average", "average_same"} & broken
    assert ("conv" in broken) == ("sum" in broken) == anywhere


# Contents


def test_clamps_are_written_only_where_the_type_does_not_saturate():
    def found(activation, weights=None, **settings):
        layers = [(Dense, "hidden", {"units": 5})] + ([(activation, "act", {})] if activation else [])
        model = model_of(network_of((4,), *layers, (Dense, "logits", {"units": 2})), weights, settings)
        counts = operators(onnx_model(model).content)
        return counts["Relu"], counts["Clip"] - 1  # one belongs to the image

    assert found(None) == found(ReLU) == (0, 0)
    assert found(ReLU, symmetric=True) == (1, 0)
    assert found(ReLU6) == found(ReLU6, symmetric=True) == (0, 1)
    assert found(None, num_bits=4) == found(ReLU, num_bits=4) == found(ReLU, num_bits=4, symmetric=True) == (0, 3)


@pytest.mark.parametrize(
    "setting, expected",
    [
        ("asymmetric per channel", ["zero point for each channel, .*: conv, dilated, .* and 4 more$"]),
        ("asymmetric", []),
        ("asymmetric, 7 bits", []),
        ("16-bit activations", [r"9 to 16 bits, .*: input.activations, conv.activations, .* and \d+ more$"]),
        ("16-bit weights", ["9 to 16 bits, .*: conv.weights, dilated.weights"]),
        ("16 bits", ["9 to 16 bits, .*: input.activations, "]),
    ],
)
def test_tensors_computed_in_float_are_noted(setting, expected):
    notes = onnx_model(model_of(everything(), *dict(SETTINGS, **WIDE)[setting])).notes
    assert len(notes) == len(expected) and all(re.search(*pair) for pair in zip(expected, notes)), notes


def test_sums_of_more_than_two_are_rounded_once():
    net = NetworkBuilder("sums", (6,))
    branches = [net.add(Dense, f"branch{i}", units=4, inputs="input") for i in range(3)]
    net.add(Add, "sum", inputs=branches)
    net.add(Dense, "logits", units=2)
    model = model_of(net.network())
    assert operators(onnx_model(model).content)["Sum"] == 1
    check_layers(model)
    check_layers(model, exact=True)


@pytest.mark.parametrize("exact", [False, True])
def test_layers_and_tensors_have_their_names(exact):
    model = model_of(everything(), *SETTINGS["4 bits"])
    found = nodes(onnx_model(model, exact=exact).content)
    assert {op.name for op in model.ops} <= set(found)
    values = {output for node in found.values() for output in node.output}
    assert {tensor.name for tensor in model.tensors} <= values
    expected = ("ConvInteger", "MatMulInteger") if exact else ("Conv", "Gemm")
    assert (found["conv"].op_type, found["logits"].op_type) == expected
    constants = {name for node in found.values() for name in node.input}
    assert {op.weights.name + ".codes" for op in model.ops if op.weights is not None} <= constants


def test_weights_are_stored_in_8_bits_with_their_scales():
    model = model_of(everything(), *SETTINGS["4 bits"])
    graph = onnx.load_model_from_string(onnx_model(model, storage="int8").content).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights = model.op("conv").weights
    codes = constants["conv.weights.codes"]
    np.testing.assert_array_equal(codes, weights.codes.transpose(3, 2, 0, 1))
    assert codes.dtype == np.int8 and constants["conv.bias.codes"].dtype == np.int32
    np.testing.assert_array_equal(constants["conv.weights.scale"], weights.scale)
    np.testing.assert_array_equal(constants["conv.bias.codes"], weights.bias)
    largest = {name: array.nbytes for name, array in constants.items() if array.dtype == np.float32}
    assert max(largest.values()) <= 4 * 12  # scales of the layer with the most channels


def test_the_file_has_metadata_on_its_source():
    model = model_of(everything(), *SETTINGS["4 bits"])
    model.metadata.update(run="a run", step=7)
    file = onnx.load_model_from_string(onnx_model(model).content)
    about = {entry.key: entry.value for entry in file.metadata_props}
    assert about["qatviz.run"] == "a run" and about["qatviz.step"] == "7" and about["qatviz.network"] == "everything"
    assert '"conv.weights": {"num_bits": 4, "narrow_range": false, "per_channel": true' in about["qatviz.quantizers"]
    assert (file.opset_import[0].version, file.ir_version, file.producer_name) == (13, 8, "qatviz")


# Inputs and outputs


def test_examples_do_not_depend_on_each_other():
    model = model_of(everything(), *SETTINGS["8 bits"])
    runner = OnnxRunner(model, onnx_model(model))
    images = images_for(model, 5)
    together = runner.run_images(images)["logits"]
    apart = np.concatenate([runner.run_images(images[i : i + 1])["logits"] for i in range(5)])
    np.testing.assert_array_equal(together, apart)
    np.testing.assert_array_equal(together, simulate(model, images))


def test_images_are_fed_in_the_chosen_layout():
    model = model_of(everything(), *SETTINGS["8 bits"])
    shapes = {}
    for layout in ("nhwc", "nchw"):
        file = onnx.load_model_from_string(onnx_model(model, layout=layout).content)
        shapes[layout] = [axis.dim_param or axis.dim_value for axis in file.graph.input[0].type.tensor_type.shape.dim]
    assert shapes == {"nhwc": ["N", 12, 10, 2], "nchw": ["N", 2, 12, 10]}


def test_probabilities_are_the_softmax_of_the_logits():
    model = model_of(everything(), *SETTINGS["8 bits"])
    file = onnx_model(model, softmax=True)
    session = onnxruntime.InferenceSession(file.content, providers=["CPUExecutionProvider"])
    images = images_for(model, 9)
    (found,) = session.run(["softmax"], {"images": images})
    codes = OnnxRunner(model, onnx_model(model)).run_images(images)["logits"].astype(np.float64)
    odds = np.exp((codes - codes.max(axis=1, keepdims=True)) * model.logits.scale)
    np.testing.assert_allclose(found, odds / odds.sum(axis=1, keepdims=True), rtol=1e-5, atol=1e-7)


def test_a_tensor_that_is_always_zero_stays_zero():
    net = network_of((4,), (Dense, "hidden", {"units": 5}), (ReLU, "act", {}), (Dense, "logits", {"units": 2}))
    model = model_of(net, {"symmetric": True}, ranges={"hidden.activations": (0.0, 0.0)})
    found = all_outputs(model).run(np.random.RandomState(0).randint(-128, 128, (9, 4)))
    assert set(np.unique(found["act"])) == {model.tensor("act").zero_point}
