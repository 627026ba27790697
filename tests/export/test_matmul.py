"""Products of two activations as matrices, in every runtime, and the attention and normalization made of them."""

import numpy as np
import pytest
from integer_cases import book_of, state_of
from layer_cases import LayerCase
from test_activations import most_slow
from test_c_model import compiler
from test_tflite_litert import litert

from qatviz.data import from_arrays
from qatviz.errors import ExportError
from qatviz.export.fake_quant.export import FakeQuantRunner
from qatviz.export.fake_quant.lowering import fake_quant_file
from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.fake_quant.proof import codes_runtime
from qatviz.export.formats import FORMATS
from qatviz.export.source import ExportSource
from qatviz.export.tflite.litert import BUILTIN, VARIABLE, LitertRunner
from qatviz.export.tflite.lowering import tflite_model
from qatviz.export.tflite.written import TfliteModel
from qatviz.network.activations import Activation
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Concat, Conv2D, Dense, Flatten, Multiply, Permute, ReLU, Reshape, Softmax
from qatviz.network.matmul import MatMul

assert compiler and litert  # fixtures

SETTINGS = {
    "int8": ({"symmetric": True, "per_channel": True}, {}),
    "int8, all symmetric": ({"symmetric": True}, {"symmetric": True}),
    "5 bits": ({"symmetric": True}, {"num_bits": 5, "narrow_range": True}),
    "12 bits": ({"symmetric": True}, {"num_bits": 12}),
    "powers of two": ({"symmetric": True}, {"power_of_two": True}),
}
PRODUCTS = ("scores", "context", "gram", "pairs")


def products_network():
    """Return a network with products of images as several matrices, and of sequences, with and without a factor."""
    net = NetworkBuilder("products", (3, 4, 5))
    query = net.add(Conv2D, "query", filters=6, kernel_size=1)
    key = net.add(Conv2D, "key", inputs="input", filters=6, kernel_size=1)
    net.add(MatMul, "scores", inputs=(query, key), transpose_second=True, factor=6**-0.5)
    weights = net.add(Activation, "weights", function="sigmoid")
    context = net.add(MatMul, "context", inputs=(weights, key))
    positive = net.add(ReLU, "context_relu", inputs=context)
    plain = net.add(Reshape, "plain", inputs=positive, target_shape=(12, 6))
    gram = net.add(MatMul, "gram", inputs=(plain, plain), transpose_second=True)
    net.add(MatMul, "pairs", inputs=(gram, plain), factor=0.25)
    flat = net.add(Flatten, "flat")
    net.add(Dense, "logits", inputs=flat, units=5)
    return net.network()


def case_of(setting):
    return LayerCase(products_network(), *SETTINGS[setting])


@pytest.mark.parametrize("setting", sorted(set(SETTINGS) - {"12 bits"}))
def test_products_are_within_the_error_of_two_roundings(setting):
    case = case_of(setting)
    for name in PRODUCTS:
        ((x, y), tensor), layer, op = case.real(name), case.network.layer(name), case.model.op(name)
        exact = layer.factor * (x @ (y.swapaxes(-1, -2) if layer.transpose_second else y)) / tensor.scale
        codes = case.expected[name].astype(np.float64) - tensor.zero_point
        inside = (codes + tensor.zero_point > op.clamp[0]) & (codes + tensor.zero_point < op.clamp[1])
        assert op.rounds_twice == (case.model.tensor(op.inputs[1]).zero_point != 0)
        first = op.rounds_twice * 2.0 ** min(31 - int(op.requantization.right_shift[0]), 0) / 2
        assert np.abs(codes - exact)[inside].max() <= 0.5 + first + 1e-6
        assert inside.any() and len(np.unique(codes)) > 2


@pytest.mark.parametrize("setting", most_slow(list(SETTINGS)))
def test_the_evaluation_computes_the_same(setting):
    case_of(setting).check_evaluation()


@pytest.mark.parametrize("setting", most_slow(list(SETTINGS)))
def test_c_computes_the_same(setting, compiler):
    case_of(setting).check_c(compiler)


def mixed_network():
    """Return a network with products of two tensors whose zero points can be chosen apart."""
    net = NetworkBuilder("mixed", (3, 4, 5))
    first = net.add(Conv2D, "first", filters=6, kernel_size=1)
    second = net.add(Conv2D, "second", inputs="input", filters=6, kernel_size=1)
    turned = net.add(Permute, "turned", axes=(0, 2, 1))
    net.add(MatMul, "plain", inputs=(first, turned))
    net.add(MatMul, "rows", inputs=(first, second), transpose_second=True)
    net.add(MatMul, "scaled", inputs=(first, second), transpose_second=True, factor=0.3)
    net.add(Concat, "all", inputs=("plain", "rows", "scaled"))
    net.add(Flatten, "flat")
    net.add(Dense, "logits", units=5)
    return net.network()


@pytest.mark.parametrize("symmetric", [(), ("first",), ("second",), ("first", "second")], ids=str)
def test_litert_computes_the_same_with_any_zero_points(symmetric, litert):
    case = LayerCase(
        mixed_network(), *SETTINGS["int8"], changes=[(f"{name}.activations.symmetric", True) for name in symmetric]
    )
    zeros = [case.model.tensor(name).zero_point == 0 for name in ("first", "second")]
    assert zeros == [name in symmetric for name in ("first", "second")]
    assert [case.model.op(name).rounds_twice for name in ("plain", "rows", "scaled")] == [not zeros[1]] * 3
    case.check_litert(litert)


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_litert_computes_the_same(setting, litert):
    options = {"int16": True} if setting == "12 bits" else {}
    file = case_of(setting).check_litert(litert, **options)
    assert file.only_litert and any("BATCH_MATMUL, for which LiteRT and TFLite Micro" in note for note in file.notes)


def exported_products(path):
    """Export the network to TFLite; return the content of the file and the report."""
    network, random = products_network(), np.random.RandomState(0)
    examples = random.standard_normal((40, *network.input_shape)).astype(np.float32)
    data = from_arrays("noise", "a test", (examples, np.arange(40) % 5), validation_fraction=0.5)
    source = ExportSource(network, book_of(network, *SETTINGS["int8"]), state_of(network), data)
    return path, FORMATS["tflite"].export(source, path).report


def test_golden_outputs_of_kernels_that_round_twice_are_those_of_litert_without_xnnpack(litert, tmp_path):
    """TensorFlow 1.15, which computes them for other files, lacks a kernel of this one."""
    path, report = exported_products(tmp_path / "net.tflite")
    file = TfliteModel(path.read_bytes(), np.dtype(np.int8), {"input": 0, "logits": 0})
    with LitertRunner(litert, file, BUILTIN) as runner:
        found = runner.run(report.golden["file_input"].astype(np.int32))["logits"]
    assert np.array_equal(found, report.golden["double_rounding_output"])
    assert not any("double_rounding_output" in note for note in report.notes)
    (text,) = [path.read_text() for path in tmp_path.glob("*README.md")]
    assert "kernels that round twice: LiteRT without XNNPACK, and by default TFLite Micro and CMSIS-NN" in text


def test_without_litert_the_missing_golden_outputs_are_noted(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "/nowhere/python")
    _path, report = exported_products(tmp_path / "net.tflite")
    assert "double_rounding_output" not in report.golden
    assert any("double_rounding_output" in note and "LiteRT can compute it" in note for note in report.notes)


def test_a_uint8_file_is_refused():
    with pytest.raises(ExportError, match="'scores': multiplies uint8 codes, which query.weights"):
        tflite_model(LayerCase(products_network(), {}, {}).model)


@pytest.mark.parametrize("form", [{}, {"exact": True}, {"storage": "int8"}, {"layout": "nchw"}], ids=str)
@pytest.mark.parametrize("setting", ["int8", "5 bits", "powers of two"])
def test_onnxruntime_computes_the_same(setting, form):
    exact = form.get("exact", False)
    case_of(setting).check_onnx(1.0 if exact else 0.999, 0 if exact else 1, **form)


@pytest.mark.parametrize("form", [{}, {"exact": True}, {"opset": "21"}], ids=str)
def test_a_current_onnxruntime_computes_the_same(form, tmp_path):
    case_of("int8").check_current_onnxruntime(tmp_path, 0.999, 1, **form)


@pytest.mark.parametrize("setting", ["int8", "12 bits"])
def test_the_description_of_an_npz_says_how_they_are_computed(setting):
    case_of(setting).check_npz()


def test_tensorflow_graphs_compute_the_same():
    case_of("int8").check_graphs(in_float=8)


def test_a_float_tflite_file_computes_nearly_the_same():
    case = case_of("int8")
    model = fake_quant_model(case.network, case.book, case.state)
    with_outputs = fake_quant_file(model, outputs=case.outputs)
    assert with_outputs.single
    found = codes_runtime(case.model, FakeQuantRunner(with_outputs).values, case.outputs)(case.codes)
    # A product of differences is larger than each.
    case.check(found, 0.9, 32)


def attention_network():
    """Return a network with a block of attention, and a normalization as the import makes it."""
    net = NetworkBuilder("attention", (6, 8))
    image = net.add(Reshape, "image", target_shape=(1, 6, 8))
    heads = []
    for what in ("query", "key", "value"):
        net.add(Conv2D, what, inputs=image, filters=8, kernel_size=1)
        net.add(Reshape, what + "/apart", target_shape=(6, 2, 4))
        heads.append(net.add(Permute, what + "/heads", axes=(1, 0, 2)))
    net.add(MatMul, "scores", inputs=heads[:2], transpose_second=True, factor=0.5)
    weights = net.add(Softmax, "softmax")
    net.add(MatMul, "context", inputs=(weights, heads[2]))
    net.add(Permute, "joined", axes=(1, 0, 2))
    net.add(Reshape, "sequence", target_shape=(1, 6, 8))
    net.add(Conv2D, "output", filters=8, kernel_size=1)
    net.add(Activation, "square", function="square")
    net.add(Conv2D, "variance", filters=1, kernel_size=1, use_bias=False)
    roots = net.add(Activation, "rsqrt", function="rsqrt", offset=0.001)
    net.add(Multiply, "normalized", inputs=("output", roots))
    net.add(Flatten, "flat")
    net.add(Dense, "logits", units=4)
    return net.network()


def test_attention_is_exact_in_c_and_npz_and_evaluation(compiler):
    case = LayerCase(attention_network(), *SETTINGS["int8"])
    case.check_c(compiler)
    case.check_npz()
    case.check_evaluation()


def test_a_root_of_a_small_number_is_that_of_half_a_step():
    case = LayerCase(attention_network(), *SETTINGS["int8"])
    op, tensor = case.model.op("rsqrt"), case.model.tensor("variance")
    assert op.layer.threshold == pytest.approx(tensor.scale / 2)
    (x,), _ = case.real("rsqrt")
    case.check_rounded("rsqrt", 1 / np.sqrt(np.maximum(x, tensor.scale / 2) + 0.001))
