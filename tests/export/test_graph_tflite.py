"""Float TFLite files that simulate: each operation in TensorFlow 1.15's interpreter against the simulator."""

import subprocess
from collections import Counter

import numpy as np
import pytest
import tflite
from integer_cases import book_of, network_of, simulate, state_of
from test_graph_lowering import GRAPH_SETTINGS, branches, images_for
from test_lowering_float import random_chain
from test_tflite_lowering import everything, operations

from qatviz.errors import ExportError
from qatviz.export.fake_quant.export import FakeQuantRunner
from qatviz.export.fake_quant.lowering import FakeQuantFile, fake_quant_file
from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.fake_quant.proof import codes_runtime, ignore_float_rounding
from qatviz.export.integers.lowering import integer_model
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import codes_of, compare_layers, compare_logits
from qatviz.export.tflite.litert import LitertMissing, find_litert
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Add, Dense, ReLU


def file_of(network, book, state, **options):
    return fake_quant_file(fake_quant_model(network, book, state), **options)


def check_layers(network, setting, count=24):
    book, state = book_of(network, *GRAPH_SETTINGS[setting]), state_of(network)
    model = integer_model(network, book, state)
    names = [op.output for op in model.ops]
    run = codes_runtime(model, FakeQuantRunner(file_of(network, book, state, outputs=names)).values, names)
    wide = max(tensor.num_bits for tensor in model.tensors) > 8
    for layer in ignore_float_rounding(model, compare_layers(model, run, images_for(network, count))):
        assert layer.unexplained == 0 and layer.own.largest <= 1, layer
        assert layer.own.identical >= (0.95 if wide else 0.999), layer


@pytest.mark.parametrize("setting", sorted(GRAPH_SETTINGS))
def test_every_kind_of_operation_equals_the_simulator(setting):
    check_layers(everything(), setting)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("setting", ["int8", "uint8 of 5 bits", "wide"])
def test_chains_of_all_shapes_equal_the_simulator(setting, seed):
    check_layers(random_chain(seed), setting)


def test_networks_with_float_tensors_equal_the_evaluation_graph():
    network = branches()
    book, _ = book_of(network, {"num_bits": 5}, {"num_bits": 6}).change(
        [("stem.weights.enabled", False), ("left.activations.enabled", False)]
    )
    state, images = state_of(network), images_for(network, 32)
    found = FakeQuantRunner(file_of(network, book, state)).values(images, ["logits"])["logits"]
    with EvaluationGraph(network, book, state) as graph:
        expected = graph.logits(images)
    assert np.mean(np.abs(found - expected) > 1e-4 * np.abs(expected).max()) < 0.02


# Contents


def dense(**settings):
    return network_of((4,), (Dense, "hidden", {"units": 5}), (ReLU, "act", {}), (Dense, "logits", {"units": 2}))


@pytest.mark.parametrize(
    "activations, before", [({}, []), ({"narrow_range": True}, ["MAXIMUM"]), ({"enabled": False}, None)]
)
def test_every_rounded_tensor_has_a_fake_quant_operation(activations, before):
    network = dense()
    found = operations(file_of(network, book_of(network, {}, activations), state_of(network)).content)
    rounding = [] if before is None else [*before, "FAKE_QUANT"]
    assert found == [*rounding, "FULLY_CONNECTED", *rounding, "FULLY_CONNECTED", *rounding]


@pytest.mark.parametrize("bits", [2, 5, 16])
def test_the_file_has_the_bit_width(bits):
    network = dense()
    content = file_of(network, book_of(network, {}, {"num_bits": bits}), state_of(network)).content
    graph = tflite.Model.GetRootAsModel(content, 0).Subgraphs(0)
    found = Counter()
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        if operator.BuiltinOptionsType() == tflite.BuiltinOptions.FakeQuantOptions:
            options = tflite.FakeQuantOptions()
            options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
            found[options.NumBits(), options.NarrowRange()] += 1
    assert found == {(bits, False): 3}
    model = tflite.Model.GetRootAsModel(content, 0)
    assert b"simulated in float with FAKE_QUANT" in model.Description()


def test_weights_are_stored_as_the_values_of_their_codes():
    network = dense()
    book, state = book_of(network, {"num_bits": 3, "per_channel": True}), state_of(network)
    content = file_of(network, book, state).content
    model = tflite.Model.GetRootAsModel(content, 0)
    graph = model.Subgraphs(0)
    tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
    tensor = next(tensor for tensor in tensors if tensor.Name() == b"hidden.weights")
    stored = np.frombuffer(model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes(), np.float32).reshape(5, 4).T
    weights = integer_model(network, book, state).op("hidden").weights
    np.testing.assert_allclose(stored, weights.centred * weights.channel_scales, rtol=1e-6)
    assert max(len(np.unique(column)) for column in stored.T) <= 8


def test_a_narrow_range_excludes_the_lowest_code():
    network = dense()
    book, state = book_of(network, {}, {"num_bits": 3, "narrow_range": True}), state_of(network)
    model = integer_model(network, book, state)
    images = images_for(network, 500) * 10
    found = FakeQuantRunner(file_of(network, book, state)).values(images, ["logits"])["logits"]
    codes = codes_of(found, model.logits)
    assert (codes.min(), codes.max()) == (-3, 3)
    np.testing.assert_array_equal(codes, simulate(model, images))


def test_a_tensor_that_is_always_zero_stays_zero():
    network = dense()
    state = state_of(network, {"hidden.activations": (0.0, 0.0)})
    found = FakeQuantRunner(file_of(network, book_of(network), state, outputs=["act", "logits"])).values(
        images_for(network, 9), ["act", "logits"]
    )
    assert (found["act"] == 0).all() and np.isfinite(found["logits"]).all()


def test_more_than_two_tensors_are_added_in_a_chain():
    net = NetworkBuilder("sums", (5,))
    parts = [net.add(Dense, f"part{i}", inputs="input", units=3) for i in range(4)]
    net.add(Add, "sum", inputs=tuple(parts))
    net.add(ReLU, "positive")
    network = net.network()
    content = file_of(network, book_of(network), state_of(network)).content
    assert operations(content).count("ADD") == 3
    check_layers(network, "uint8")


def test_probabilities_are_the_softmax_of_the_logits():
    network = dense()
    book, state, images = book_of(network), state_of(network), images_for(network, 9)
    logits = FakeQuantRunner(file_of(network, book, state)).values(images, ["logits"])["logits"]
    file = file_of(network, book, state, softmax=True)
    found = FakeQuantRunner(file).values(images, file.outputs)["softmax"]
    powers = np.exp(logits)
    np.testing.assert_allclose(found, powers / powers.sum(axis=1, keepdims=True), rtol=1e-5)


def test_errors_of_the_interpreter_are_export_errors():
    with pytest.raises(ExportError, match="refuses the file"):
        FakeQuantRunner(FakeQuantFile(b"nonsense", ("logits",), ("logits",), False))


# LiteRT

PROGRAM = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter, images = Interpreter(model_path=sys.argv[1]), np.load(sys.argv[2])
source = interpreter.get_input_details()[0]["index"]
interpreter.resize_tensor_input(source, images.shape)
interpreter.allocate_tensors()
interpreter.set_tensor(source, images)
interpreter.invoke()
np.save(sys.argv[3], interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["int8", "wide"])
def test_litert_runs_the_file(setting, tmp_path):
    try:
        python = find_litert().python
    except LitertMissing as missing:
        pytest.skip(str(missing))
    network = random_chain(4)
    book, state, images = book_of(network, *GRAPH_SETTINGS[setting]), state_of(network), images_for(network, 32)
    paths = [tmp_path / name for name in ("net.tflite", "images.npy", "logits.npy")]
    paths[0].write_bytes(file_of(network, book, state).content)
    np.save(str(paths[1]), images)
    subprocess.run([python, "-c", PROGRAM] + [str(path) for path in paths], check=True, stderr=subprocess.DEVNULL)
    model = integer_model(network, book, state)
    agreement = compare_logits(simulate(model, images), codes_of(np.load(str(paths[2])), model.logits))
    assert agreement.largest <= (3 if setting == "wide" else 1) and agreement.top1 == 1
    assert setting == "wide" or agreement.identical >= 0.98
