"""TFLite files in LiteRT, TFLite's current runtime, whose XNNPACK kernels round once.

Without a Python that has it (see :mod:`qatviz.export.tflite.litert`), these tests are skipped.
"""

from dataclasses import replace

import numpy as np
import pytest
from export_cases import INT8, NETWORK, STATE, noise
from integer_cases import book_of, model_of, network_of, simulate_tensors
from parity_cases import calibrated, digits, run_logits
from test_lowering_float import random_chain
from test_parity import DEEP, DEEPEST, SHALLOW, WIDE_SETTINGS
from test_parity import SETTINGS as ZOO_SETTINGS
from test_tflite_lowering import SETTINGS, everything, images_for

from qatviz.export.formats import TFLITE
from qatviz.export.integers.simulator import quantize_input, run_codes
from qatviz.export.proof.parity import ROUNDED_ONCE, codes_of, compare_layers, compare_logits
from qatviz.export.source import ExportSource
from qatviz.export.tflite.litert import BUILTIN, VARIABLE, XNNPACK, LitertMissing, LitertRunner, find_litert
from qatviz.export.tflite.lowering import tflite_model
from qatviz.export.tflite.vectors import FILE_INPUT, LITERT_OUTPUT
from qatviz.export.tflite.written import TfliteModel
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Add, Conv2D, Dense, DepthwiseConv2D, Flatten, GlobalAveragePool, ReLU
from qatviz.protocol.settings_book import SettingsBook

#: Settings of weights and activations whose files only LiteRT runs, and the option that makes them.
WIDE = {
    "int4": (*SETTINGS["int4"], "int4"),
    "int4 per tensor": ({"num_bits": 4, "symmetric": True}, {}, "int4"),
    "int4 where they fit": ({"num_bits": 4}, {}, "int4_all"),
    "affine 3 bits": ({"num_bits": 3, "per_channel": True}, {}, "int4"),
    "ternary": (*SETTINGS["ternary"], "int4"),
    "int4 that is rounded twice": (*SETTINGS["int4"], "int4_all"),
    "int16": (INT8, {"num_bits": 16, "symmetric": True}, "int16"),
    "int16 of 12 affine bits": ({"symmetric": True}, {"num_bits": 12}, "int16"),
    "int16 of 15 affine bits": ({"num_bits": 7, "per_channel": True}, {"num_bits": 15, "narrow_range": True}, "int16"),
}


@pytest.fixture(scope="session")
def litert():
    try:
        return find_litert()
    except LitertMissing as missing:
        return pytest.skip(str(missing))


def check_layers(litert, model, kernels, **options):
    file = tflite_model(model, outputs=[op.output for op in model.ops], **options)
    with LitertRunner(litert, file, kernels) as runner:
        for layer in compare_layers(model, runner.run, images_for(model, 24)):
            assert layer.unexplained == 0 and layer.own.largest <= 1, layer
            has_weights = file.int4 and not file.rounded_twice and model.op(layer.layer).weights is not None
            if kernels == XNNPACK and layer.kind != "AveragePool" and (file.dtype == np.int16 or has_weights):
                assert layer.own.identical == 1, layer
    return file


@pytest.mark.slow
@pytest.mark.parametrize("kernels", [XNNPACK, BUILTIN])
@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_every_operation_equals_the_simulator(setting, kernels, litert):
    check_layers(litert, model_of(everything(), *SETTINGS[setting]), kernels)


@pytest.mark.slow
@pytest.mark.parametrize("kernels", [XNNPACK, BUILTIN])
@pytest.mark.parametrize("setting", sorted(WIDE))
def test_operations_with_types_of_litert_only_equal_the_simulator(setting, kernels, litert):
    weights, activations, option = WIDE[setting]
    options = {"int4": option != "int16", option: True}
    file = check_layers(litert, model_of(everything(), weights, activations), kernels, **options)
    assert file.only_litert and file.int4 == (option != "int16") and file.rounded_twice == (option == "int4_all")


@pytest.mark.slow
@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_with_single_rounding_almost_all_codes_are_identical(setting, litert):
    model = model_of(random_chain(4), *SETTINGS[setting])
    with LitertRunner(litert, tflite_model(model)) as runner:
        simulated, found = run_logits(model, runner.run, images_for(model, 32))
    agreement = compare_logits(simulated, found)
    assert agreement.reaches(ROUNDED_ONCE), agreement


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["int8", "2-bit", "asymmetric-8-bit", "symmetric-activations"])
@pytest.mark.parametrize("name", DEEP + DEEPEST)
def test_deep_networks_equal_the_evaluation_graph(name, setting, litert):
    case = calibrated(name)
    book = SettingsBook.from_preset(case.plan, **ZOO_SETTINGS[setting])
    model, images = case.model(book), digits(case.network.input_shape, 32)
    with LitertRunner(litert, tflite_model(model)) as runner:
        found = run_logits(model, runner.run, images)[1]
    np.testing.assert_array_equal(found, codes_of(case.logits(book, images), model.logits))


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["int4", "2-bit"])
@pytest.mark.parametrize("name", SHALLOW + DEEP + DEEPEST)
def test_with_int4_weights_networks_equal_the_evaluation_graph(name, setting, litert):
    case = calibrated(name)
    book = SettingsBook.from_preset(case.plan, **ZOO_SETTINGS[setting])
    model, images = case.model(book), digits(case.network.input_shape, 32)
    file = tflite_model(model, int4=True)
    with LitertRunner(litert, file) as runner:
        found = run_logits(model, runner.run, images)[1]
    assert file.int4
    np.testing.assert_array_equal(found, codes_of(case.logits(book, images), model.logits))


@pytest.mark.slow
@pytest.mark.parametrize("setting", WIDE_SETTINGS)
@pytest.mark.parametrize("name", SHALLOW + DEEP + DEEPEST)
def test_with_activations_above_8_bits_networks_equal_the_evaluation_graph(name, setting, litert):
    """A single different code of an inner layer would change many of the logits' 65,536."""
    case = calibrated(name)
    book = SettingsBook.from_preset(case.plan, **ZOO_SETTINGS[setting])
    model, images = case.model(book), digits(case.network.input_shape, 32)
    with LitertRunner(litert, tflite_model(model, int16=True)) as runner:
        found = run_logits(model, runner.run, images)[1]
    assert len(np.unique(found)) > 100, "the logits say nothing"
    np.testing.assert_array_equal(found, codes_of(case.logits(book, images), model.logits))


@pytest.mark.parametrize("seed", range(3))
def test_int16_sums_equal_the_simulator(seed, litert):
    """One code in 100,000 would differ if terms were not rounded; 16 codes and more are computed by vectors."""
    net = NetworkBuilder("sum", (64, 64, 32))
    source = net.add(Conv2D, "first", inputs=("input",), filters=32, kernel_size=1)
    other = net.add(Conv2D, "second", inputs=("input",), filters=32, kernel_size=1)
    net.add(Add, "sum", inputs=(source, other))
    net.add(GlobalAveragePool, "means")
    net.add(Dense, "logits", units=2)
    random = np.random.RandomState(seed)
    low, high = -random.uniform(1, 9, 3), random.uniform(1, 9, 3)
    names = ("first.activations", "second.activations", "sum.activations")
    ranges = dict(zip(names, zip(low, high)))
    model = model_of(net.network(), INT8, {"num_bits": 16, "symmetric": True}, ranges, seed)
    codes = random.randint(-32768, 32768, (8, 64, 64, 32)).astype(np.int32)
    with LitertRunner(litert, tflite_model(model, int16=True, outputs=["sum"])) as runner:
        found = runner.run(codes)["sum"]
    np.testing.assert_array_equal(found, run_codes(model, codes, ["sum"])["sum"])


@pytest.mark.parametrize("kernels", [XNNPACK, BUILTIN])
def test_int16_multipliers_next_to_powers_of_two_are_those_of_the_simulator(kernels, litert):
    """Just below a power of two, a kernel's multiplier would have one bit less."""
    net = network_of((1, 1, 1), (Conv2D, "conv", {"filters": 512, "kernel_size": 1}), (Flatten, "logits", {}))
    ranges = {"input.activations": (-1.9, 1.9), "conv.activations": (-1.3, 1.3)}
    steps = 2.0 ** np.random.RandomState(0).randint(-3, 2, 512) * (1 + np.linspace(-1, 1, 512) * 2.0**-14)
    plain = model_of(net, INT8, {"num_bits": 16, "symmetric": True}, ranges, conv__weights=np.ones((1, 1, 1, 512)))
    ratio = plain.op("conv").requantization.real[0] * 127
    weights = (steps / ratio).reshape(1, 1, 1, 512) * 127
    model = model_of(net, INT8, {"num_bits": 16, "symmetric": True}, ranges, conv__weights=weights)
    multipliers = model.op("conv").requantization.multiplier
    assert {2**14, 2**15 - 1} <= set(multipliers.tolist()), "no multiplier is next to a power of two"
    codes = np.arange(-32767, 32768, 64, dtype=np.int32).reshape(-1, 1, 1, 1)
    with LitertRunner(litert, tflite_model(model, int16=True), kernels) as runner:
        found = runner.run(codes)["logits"]
    np.testing.assert_array_equal(found, run_codes(model, codes, ["logits"])["logits"])


@pytest.mark.parametrize(
    "weights", [{"symmetric": True}, {"symmetric": True, "per_channel": True}, {"symmetric": True, "num_bits": 4}, {}]
)
@pytest.mark.parametrize(
    "kind, sizes, shape",
    [(Conv2D, {"filters": 8}, (3, 3, 4)), (DepthwiseConv2D, {}, (3, 3, 4)), (Dense, {"units": 8}, (12,))],
)
def test_ties_with_power_of_two_scales_are_rounded_up_before_a_relu(kind, sizes, shape, weights, litert):
    """Some sums in a hundred are ties; rounded to even, half of them would have a different code."""
    net = network_of(
        shape, (kind, "layer", sizes), (ReLU, "relu", {}), (Flatten, "flat", {}), (Dense, "logits", {"units": 2})
    )
    by_powers = {"power_of_two": True}
    model = model_of(
        net,
        dict(weights, **by_powers),
        by_powers,
        ranges={"input.activations": (-2.0, 1.9), "layer.activations": (0.0, 1.9)},
    )
    images = images_for(model, 500)
    expected = simulate_tensors(model, images, ["relu"])["relu"]
    assert (np.log2(model.op("layer").requantization.real) % 1 == 0).all(), "there are no ties"
    with LitertRunner(litert, tflite_model(model, outputs=["relu"])) as runner:
        found = runner.run(quantize_input(model, images))["relu"]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("setting", ["int4", "int16"])
def test_probabilities_are_the_softmax_of_the_logits(setting, litert):
    weights, activations, option = WIDE[setting]
    model = model_of(everything(), weights, activations)
    codes = np.random.RandomState(0).randint(*model.tensor("input").bounds, (20, *model.tensor("input").shape))
    with LitertRunner(litert, tflite_model(model, **{option: True})) as runner:
        logits = runner.run(codes)["logits"]
    with LitertRunner(litert, tflite_model(model, softmax=True, **{option: True})) as runner:
        steps = runner.run(codes)["softmax"]
    odds = np.exp((logits - logits.max(axis=1, keepdims=True)) * model.logits.scale)
    count = 256 if setting == "int4" else 32768
    assert np.abs(steps / count - odds / odds.sum(axis=1, keepdims=True)).max() <= 2 / 256


@pytest.mark.parametrize("setting, title", [("int4", "TFLite int8 and int4"), ("int16", "TFLite int16")])
def test_an_export_that_only_litert_supports_is_proven_in_litert(setting, title, litert, tmp_path):
    weights, activations, option = WIDE[setting]
    source = ExportSource(NETWORK, book_of(NETWORK, weights, activations), STATE, noise())
    report = TFLITE.export(source, tmp_path / "net.tflite", {option: True}).report
    assert report.to_text().startswith(f"{title} of chain, run in {litert.name}")
    assert report.as_expected and not report.faults and len(report.layers) == 4
    assert len(report.golden["file_output"]) == 16


def test_a_file_can_be_run_in_both_runtimes(litert, tmp_path):
    source = ExportSource(NETWORK, book_of(NETWORK, INT8), STATE, noise())
    report = TFLITE.export(source, tmp_path / "net.tflite", {"litert": True}).report
    alone = TFLITE.export(source, tmp_path / "net.tflite").report
    added = {name: found for name, found in report.outputs.items() if name not in alone.outputs}
    assert sorted(added) == [litert.name + to for to in (" to evaluation graph", " to simulator")]
    assert all(found.identical >= 0.99 and found.largest <= 1 and found.top1 == 1 for found in added.values())
    assert {name: report.outputs[name] for name in alone.outputs} == alone.outputs
    assert litert.name in report.scores and litert.name in report.to_text()


@pytest.mark.parametrize("double_rounding", [False, True])
@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("weights", [INT8, {}, {"num_bits": 4, "symmetric": True}])
def test_golden_outputs_for_litert_are_litert_s(weights, softmax, double_rounding, litert, tmp_path, monkeypatch):
    """They are computed without it: the file's outputs in TensorFlow 1.15 are others."""
    source = ExportSource(NETWORK, book_of(NETWORK, weights), STATE, noise())
    monkeypatch.setenv(VARIABLE, "/nowhere/python")
    options = {"softmax": softmax, "double_rounding": double_rounding}
    written = TFLITE.export(source, tmp_path / "net.tflite", options)
    golden = written.report.golden
    name = "softmax" if softmax else "logits"
    file = TfliteModel(written.paths[0].read_bytes(), golden[LITERT_OUTPUT].dtype, {"input": 0, name: 0})
    with LitertRunner(litert, file) as runner:
        found = runner.run(golden[FILE_INPUT].astype(np.int32))[name]
    off = np.abs(found - golden[LITERT_OUTPUT])
    # A softmax's kernel is off by a step itself; scales for double rounding are not tie-safe.
    least = 0.9 if softmax else 0.97 if double_rounding else 1.0
    assert off.max() <= int(softmax or double_rounding) and np.mean(off == 0) >= least, off


def test_layers_are_compared_in_litert_too(litert, tmp_path):
    source = ExportSource(NETWORK, book_of(NETWORK, INT8), STATE, noise())
    report = TFLITE.export(source, tmp_path / "net.tflite", {"litert": True}).report
    assert list(report.more_layers) == [litert.name] and not report.faults and len(report.layers) == 4
    for layer in report.more_layers[litert.name]:
        assert layer.own.largest <= 1 and layer.unexplained == 0 and layer.own.identical >= 0.99, layer
    text, record = report.to_text(), report.to_record()
    assert f"{litert.name} to simulator for 15 held-out examples" in text
    assert "file to simulator for 15 held-out examples" in text
    assert [row["layer"] for row in record["more_layers"][litert.name]] == [row["layer"] for row in record["layers"]]
    wrong = replace(report, more_layers={"a runtime": (report.layers[0]._replace(unexplained=3),)})
    assert wrong.faults == [
        f"a runtime, layer 'relu': alone, 3 of its codes differ by more than rounding explains, by up to "
        f"{report.layers[0].own.largest}"
    ]


@pytest.mark.parametrize("seed", range(3))
def test_int4_convolutions_with_outputs_from_zero_round_few_ties_wrongly(seed, litert):
    net = network_of(
        (8, 8, 3),
        (Conv2D, "conv", {"filters": 8, "kernel_size": 3}),
        (ReLU, "conv_relu", {}),
        (DepthwiseConv2D, "depthwise", {"kernel_size": 3}),
        (ReLU, "depthwise_relu", {}),
        (Conv2D, "wide", {"filters": 16, "kernel_size": 3}),
        (ReLU, "wide_relu", {}),
        (Flatten, "flatten", {}),
        (Dense, "logits", {"units": 4}),
    )
    weights = {"num_bits": 4, "symmetric": True, "per_channel": True}
    model = model_of(net, weights, seed=seed)
    file = tflite_model(model, outputs=[op.output for op in model.ops], int4=True, int4_all=True)
    with LitertRunner(litert, file) as runner:
        layers = compare_layers(model, runner.run, images_for(model, 64))
    shares = [1 - layer.own.identical for layer in layers if layer.kind in ("Conv2D", "DepthwiseConv2D")]
    assert np.mean(shares) < 0.01, shares
