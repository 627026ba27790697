"""Layers that share weights: the same integers in every runtime, and one array of codes in every file."""

import numpy as np
import pytest
from integer_cases import book_of, state_of
from layer_cases import LayerCase
from test_c_model import compiler, source_of
from test_tflite_litert import litert

from qatviz.data import from_arrays
from qatviz.errors import ExportError
from qatviz.export.encodings.tensors import encoded_tensors
from qatviz.export.fake_quant.lowering import fake_quant_file
from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.fake_quant.state import PartlyQuantizedState
from qatviz.export.formats import FORMATS
from qatviz.export.graphs.lowering import inference_graph
from qatviz.export.integers.lowering import integer_model
from qatviz.export.npz.format import to_files
from qatviz.export.npz.reader import load_integer_model
from qatviz.export.onnx.lowering import onnx_model
from qatviz.export.onnx_float.lowering import float_file
from qatviz.export.progress import Progress
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.source import ExportSource
from qatviz.export.tflite.lowering import tflite_model
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import (
    BatchNorm,
    Concat,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    GlobalAveragePool,
    GroupedConv2D,
    ReLU,
)

assert compiler and litert  # fixtures

SETTINGS = {
    "int8": ({"symmetric": True, "per_channel": True}, {}),
    "int8, per tensor": ({"symmetric": True, "narrow_range": True}, {"symmetric": True}),
    "4 bits": ({"symmetric": True, "per_channel": True, "num_bits": 4}, {"num_bits": 5}),
    "uint8": ({}, {}),
}
INT8 = SETTINGS["int8"]
#: Layers whose weights others use, with the number of those that use them.
SHARED = {"conv": 3, "grouped": 2, "depth": 2, "up": 2, "dense": 3}


def twins():
    """Return a network of layers of every kind with weights, each called with inputs of different ranges."""
    net = NetworkBuilder("twins", (5, 4, 4))

    def called(kind, name, number, source, norm="", **settings):
        own = f"{name}_{number}" if number else name
        net.add(kind, own, inputs=source, shares=name if number else "", **settings)
        if norm:
            net.add(BatchNorm, f"{own}/{norm}", shares=f"{name}/{norm}" if number else "")
        return net.last

    source = "input"
    for number in range(3):
        called(Conv2D, "conv", number, source, "norm", filters=4, kernel_size=3)
        source = net.add(ReLU, f"relu_{number}") if number != 1 else net.last
    for number in range(2):
        source = called(GroupedConv2D, "grouped", number, source, filters=4, kernel_size=1, groups=2)
        source = called(DepthwiseConv2D, "depth", number, source, kernel_size=2)
        source = called(Conv2DTranspose, "up", number, source, filters=4, kernel_size=2, use_bias=False)
    net.add(GlobalAveragePool, "pool")
    rows = [net.last]
    for number in range(3):
        rows.append(called(Dense, "dense", number, rows[-1], units=4, use_bias=number < 3))
    net.add(Concat, "all", inputs=tuple(rows[1:]))
    net.add(Dense, "logits", units=5)
    return net.network()


@pytest.fixture(scope="module", params=SETTINGS)
def case(request):
    found = LayerCase(twins(), *SETTINGS[request.param])
    found.settings = SETTINGS[request.param]
    return found


@pytest.fixture(scope="module")
def int8():
    return LayerCase(twins(), *INT8)


def test_evaluation_and_simulator_compute_the_same_codes(case):
    case.check_evaluation()


def test_codes_are_those_of_a_network_with_copies_of_the_weights(case):
    """The oracle: an ordinary layer for each call, with equal weights."""
    net = NetworkBuilder("copies", case.network.input_shape)
    parameters = {}
    for layer in case.network.layers:
        settings = {name: value for name, value in layer.to_dict().items() if name not in ("kind", "shares")}
        net.add(type(layer), **{**settings, "inputs": tuple(settings["inputs"])})
        for name in case.network.parameter_shapes(layer.owner):
            parameters[f"{layer.name}.{name}"] = case.state[f"{layer.owner}.{name}"]
    copies = net.network()
    ranges = {name: case.state[name] for name in ("range_min", "range_max")}
    state = dict(state_of(copies), **parameters, **ranges)
    model = integer_model(copies, book_of(copies, *case.settings), state)
    for op, other in zip(case.model.ops, model.ops):
        assert op.clamp == other.clamp and op.output == other.output
        if op.weights is not None:
            for name in ("codes", "scale", "zero_point", "bias"):
                np.testing.assert_array_equal(getattr(op.weights, name), getattr(other.weights, name), op.name)
            assert other.weights.name == op.name + ".weights" and op.weights.name == op.layer.owner + ".weights"


def test_npz(case, tmp_path):
    case.check_npz()
    arrays, text = to_files(case.model)
    (tmp_path / "net.npz").write_bytes(arrays)
    (tmp_path / "net.json").write_bytes(text)
    again = load_integer_model(tmp_path / "net.npz")
    assert to_files(again) == (arrays, text)
    with np.load(str(tmp_path / "net.npz")) as found:
        assert {name for name in found if name.endswith(".weights")} == {
            name + ".weights" for name in (*SHARED, "logits")
        }


def test_npz_of_layers_without_an_owner_is_refused(int8, tmp_path):
    arrays, text = to_files(int8.model)
    (tmp_path / "net.npz").write_bytes(arrays)
    (tmp_path / "net.json").write_bytes(text.replace(b'"shares": "dense"', b'"shares": "logits"'))
    with pytest.raises(ExportError, match="'dense_1': shares is 'logits': expected a Dense before it with weights"):
        load_integer_model(tmp_path / "net.npz")


def test_c(case, compiler):
    case.check_c(compiler)


def test_c_has_one_array_for_shared_codes(int8):
    text = source_of(int8.model).files["twins.c"].decode()
    assert text.count("_weights[") == len(SHARED) + 1
    for name, count in SHARED.items():
        assert text.count(f"= {name}_weights,") == count


def test_litert(case, litert):
    case.check_litert(litert)


def test_tflite_has_one_buffer_for_shared_codes(int8):
    file = tflite_model(int8.model)
    for name in SHARED:
        assert file.content.count(_stored(int8, name)) == 1


def _stored(case, name):
    codes = case.model.op(name).require_weights().codes
    if name == "depth":
        return codes.tobytes()
    return np.ascontiguousarray(np.moveaxis(codes, -1, 0)).tobytes()


def test_onnx(case):
    case.check_onnx()


def test_onnx_of_the_current_runtime(case, tmp_path):
    case.check_current_onnxruntime(tmp_path)


def test_onnx_has_one_tensor_for_shared_codes(int8):
    onnx = pytest.importorskip("onnx")
    graph = onnx.load_from_string(onnx_model(int8.model).content).graph
    names = [one.name for one in graph.initializer if one.name.endswith(".weights.codes")]
    assert sorted(names) == sorted(name + ".weights.codes" for name in (*SHARED, "logits"))


def test_graphs(case):
    case.check_graphs()


def test_float_and_fake_quant_files_have_the_weights_once(int8):
    pytest.importorskip("onnx")
    plain = fake_quant_model(int8.network, int8.book, int8.state, quantized=False)
    values = {part.unit.name: part.require_weights() for part in plain.units if part.weights is not None}
    dense, conv = values["dense"].values, values["conv"].values
    assert float_file(plain).content.count(dense.tobytes()) == 1
    assert float_file(plain).content.count(conv.transpose(3, 2, 0, 1).tobytes()) == 1
    fake = fake_quant_model(int8.network, int8.book, int8.state)
    rounded = next(part for part in fake.units if part.unit.name == "dense").require_weights()
    assert fake_quant_file(fake).content.count(np.ascontiguousarray(rounded.rounded.T).tobytes()) == 1
    content = inference_graph(fake, {}, exact=False).definition.SerializeToString()
    assert content.count(rounded.on_grid.tobytes()) == 1


def test_encodings_have_the_weights_once():
    network = twins()
    state = PartlyQuantizedState(network, book_of(network, *INT8), state_of(network))
    tensors, notes = encoded_tensors(state)
    assert [one.name for one in tensors if one.kind == "weights"] == [f"{name}.weights" for name in (*SHARED, "logits")]
    biases = {one.name: one.grid for one in tensors if one.kind == "bias"}
    assert {name for name, grid in biases.items() if grid is not None} == {"logits.bias"}
    assert sum("the layers that share it have different inputs" in note for note in notes) == len(SHARED)


def test_values_in_float_are_those_of_the_evaluation_in_float(int8):
    with EvaluationGraph(int8.network, int8.book, int8.state) as graph:
        rounded = graph.rounded(int8.images[:4])
    assert {name for name in rounded if name.endswith(".weights")} == {
        f"{name}.weights" for name in (*SHARED, "logits")
    }


def small():
    """Return a network whose layers, but for their calls, the Keras of TensorFlow 1.15 has."""
    net = NetworkBuilder("small", (6, 6, 2))
    for number, source in enumerate(["input", "relu"]):
        net.add(Conv2D, f"conv{number or ''}", source, filters=2, shares="conv" * number)
        net.add(BatchNorm, f"norm{number or ''}", shares="norm" * number)
        net.add(ReLU, f"relu{number or ''}")
    net.add(GlobalAveragePool, "pool")
    for number in range(2):
        net.add(Dense, f"dense{number or ''}", units=2, shares="dense" * number)
    net.add(Dense, "logits", units=3)
    return net.network()


@pytest.mark.usefixtures("quick_c")
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_exports_it_as_expected(name, tmp_path):
    for package in ("onnx", "onnxruntime") if name.startswith("onnx") else ():
        pytest.importorskip(package)
    network = small()
    book = book_of(network, {"symmetric": True, "narrow_range": True, "per_channel": True})
    random = np.random.RandomState(0)
    images = random.standard_normal((60, 6, 6, 2)).astype(np.float32)
    data = from_arrays("noise", "a test", (images, np.arange(60) % 3), (images, np.arange(60) % 3))
    form = FORMATS[name]
    source = ExportSource(network, book, state_of(network), data)
    written = form.export(source, tmp_path / ("net" + form.suffix), form.with_defaults(), Progress())
    record = written.report.to_record()
    assert record["as_expected"] and not record["faults"], record["faults"]
    parameters = 2 * 2 * 9 + 2 + 2 * 2 + 2 + 2 * 3 + 3
    assert record["bytes"]["float32 parameters"] in (4 * parameters, 4 * (parameters + 4 * 2))  # with batch norm
