"""Products of two tensors: the same integers in evaluation, simulator and every runtime, as in squeeze-and-excite."""

import newer_onnxruntime
import numpy as np
import pytest
from integer_cases import book_of, state_of
from layer_cases import LayerCase
from npz_evaluator import evaluate
from test_activations import most_slow
from test_c_model import compiled, compiler, source_of
from test_tflite_litert import litert

from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.fake_quant.proof import codes_runtime
from qatviz.export.graphs.lowering import inference_graph
from qatviz.export.graphs.runtime import GraphRunner
from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import dequantize, run_codes, run_op
from qatviz.export.npz.format import arrays_of, description
from qatviz.export.onnx.lowering import onnx_model
from qatviz.export.onnx.runtime import OnnxRunner
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import codes_of
from qatviz.export.tflite.litert import XNNPACK, LitertRunner
from qatviz.export.tflite.lowering import tflite_model
from qatviz.network.activations import Activation
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Conv2D, Dense, GlobalAveragePool, Multiply, ReLU, Reshape

assert compiler and litert  # fixtures

SETTINGS = {
    "int8": ({"symmetric": True, "per_channel": True}, {}),
    "int8, all symmetric": ({"symmetric": True}, {"symmetric": True}),
    "5 bits": ({"symmetric": True}, {"num_bits": 5, "narrow_range": True}),
    "uint8": ({}, {}),
    "powers of two": ({"symmetric": True}, {"power_of_two": True}),
}


def squeeze_and_excite():
    """Return a network with a squeeze-and-excite block, whose gates are repeated, and a product of two images."""
    net = NetworkBuilder("se", (5, 4, 3))
    trunk = net.add(Conv2D, "conv", filters=12, kernel_size=3)
    net.add(GlobalAveragePool, "squeeze")
    net.add(Dense, "reduce", units=6)
    net.add(ReLU, "reduce_relu")
    net.add(Dense, "expand", units=12)
    net.add(Activation, "gate", function="sigmoid")
    gates = net.add(Reshape, "gates", target_shape=(1, 1, 12))
    excited = net.add(Multiply, "excited", inputs=(gates, trunk))
    net.add(Multiply, "product", inputs=(excited, trunk))
    net.add(ReLU, "product_relu")
    net.add(GlobalAveragePool, "pool")
    net.add(Dense, "logits", units=5)
    return net.network()


class Products:
    """The network as integers, with codes of its input and those of all layers."""

    def __init__(self, setting):
        self.network = squeeze_and_excite()
        self.book, self.state = book_of(self.network, *SETTINGS[setting]), state_of(self.network)
        self.model = integer_model(self.network, self.book, self.state)
        low, high = self.model.tensor("input").bounds
        self.codes = np.random.RandomState(0).randint(low, high + 1, (64, 5, 4, 3)).astype(np.int32)
        self.outputs = [op.output for op in self.model.ops]
        self.expected = run_codes(self.model, self.codes, self.outputs)

    @property
    def images(self):
        return dequantize(self.model.tensor("input"), self.codes)

    def check(self, found):
        """Compare the codes of all layers."""
        for name, codes in self.expected.items():
            np.testing.assert_array_equal(found[name], codes, name)

    def check_in_float(self, found):
        """Compare each operation on the file's own inputs.

        Where a runtime adds the products of a layer with weights in float32, a result next to a tie may get the other
        code: of 15,360, the one whose exact value is 1.4e-5 quantization steps from its tie. All others are equal.
        """
        values = {"input": self.codes, **found}
        for op in self.model.ops:
            codes = run_op(self.model, op, {name: values[name] for name in op.inputs})
            difference = np.abs(found[op.output] - codes)
            assert np.count_nonzero(difference) <= difference.max() <= (op.weights is not None), op.output


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_products_are_rounded_half_up(setting):
    case = Products(setting)
    tensors = [case.model.tensor(name) for name in ("gates", "conv", "excited")]
    first, second, output = (tensor.scale for tensor in tensors)
    codes = [case.expected[tensor.name].astype(np.int64) - tensor.zero_point for tensor in tensors[:2]]
    exact = codes[0] * codes[1] * (first * second / output) + tensors[2].zero_point
    low, high = case.model.op("excited").clamp
    np.testing.assert_array_equal(case.expected["excited"], np.clip(np.floor(exact + 0.5), low, high))
    assert len(np.unique(case.expected["excited"])) > 10


@pytest.mark.parametrize("setting", most_slow(list(SETTINGS)))
def test_the_evaluation_computes_the_same(setting):
    case = Products(setting)
    with EvaluationGraph(case.network, case.book, case.state) as graph:
        found = codes_of(graph.logits(case.images), case.model.logits)
    np.testing.assert_array_equal(found, case.expected["logits"])


@pytest.mark.parametrize("setting", most_slow(list(SETTINGS)))
def test_c_computes_the_same(setting, compiler):
    case = Products(setting)
    with compiled(source_of(case.model), compiler, layers=True) as runner:
        case.check(runner.run(case.codes))


@pytest.mark.parametrize("setting", most_slow([name for name in SETTINGS if name not in ("uint8", "powers of two")]))
def test_litert_computes_the_same(setting, litert):
    case = Products(setting)
    with LitertRunner(litert, tflite_model(case.model, outputs=case.outputs), XNNPACK) as runner:
        case.check(runner.run(case.codes))


@pytest.mark.parametrize("form", [{}, {"storage": "int8", "layout": "nchw"}, {"exact": True}], ids=str)
@pytest.mark.parametrize("setting", most_slow(list(SETTINGS)))
def test_onnxruntime_computes_the_same(setting, form):
    pytest.importorskip("onnxruntime")
    case = Products(setting)
    file = onnx_model(case.model, outputs=case.outputs, **form)
    found = OnnxRunner(case.model, file).run(case.codes)
    (case.check if file.fuse else case.check_in_float)(found)


@pytest.mark.parametrize("form", [{}, {"exact": True}], ids=str)
def test_a_current_onnxruntime_computes_the_same(form, tmp_path):
    newer = newer_onnxruntime.find() or pytest.skip(newer_onnxruntime.MISSING)
    case = Products("int8")
    file = onnx_model(case.model, outputs=case.outputs, **form)
    (tensors,) = newer_onnxruntime.run_files(newer, tmp_path, case.images, file)
    case.check(
        {
            name: np.moveaxis(found, 1, -1).astype(np.int32) - file.storage.offset
            for name, found in zip(file.outputs, tensors)
        }
    )


def test_the_description_of_an_npz_says_how_products_are_computed():
    case = Products("int8")
    case.check(evaluate(description(case.model), arrays_of(case.model), case.images))


@pytest.mark.parametrize("exact", [True, False])
def test_tensorflow_graphs_compute_the_same(exact):
    case = Products("int8")
    graph = inference_graph(fake_quant_model(case.network, case.book, case.state), {}, exact=exact)
    with GraphRunner(graph.definition.SerializeToString(), graph.tensors, graph.inputs) as runner:
        found = codes_runtime(case.model, runner.values, case.outputs)(case.codes)
    if exact:
        case.check(found)
    assert (found["excited"] == case.expected["excited"]).mean() > 0.999


@pytest.mark.parametrize("weights, bits", [("int8", 12), ("int8", 15)])
def test_products_of_wide_codes_are_rounded_as_by_tflites_kernel(weights, bits, litert, compiler):
    case = LayerCase(squeeze_and_excite(), SETTINGS[weights][0], {"num_bits": bits})
    assert case.model.op("excited").rounds_twice
    case.check_litert(litert, int16=True)
    case.check_c(compiler)
    case.check_npz()
    case.check_evaluation()


def test_products_of_wide_codes_in_exact_onnx():
    LayerCase(squeeze_and_excite(), {"symmetric": True}, {"num_bits": 12}).check_onnx(exact=True)
