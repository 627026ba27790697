"""Activation functions as tables of codes: the same integers in evaluation, simulator and every runtime."""

import newer_onnxruntime
import numpy as np
import pytest
from integer_cases import book_of, state_of
from npz_evaluator import evaluate
from test_c_model import compiled, compiler, source_of
from test_tflite_litert import litert

from qatviz.export.fake_quant.export import FakeQuantRunner
from qatviz.export.fake_quant.lowering import fake_quant_file
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
from qatviz.export.tflite.runtime import TfliteRunner
from qatviz.network.activations import FUNCTIONS, Activation
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Concat, Conv2D, Dense, GlobalAveragePool
from qatviz.quant import int16_functions

assert compiler and litert  # fixtures

#: Functions with their parameters: defaults, and others.
CASES = {
    **{name: {} for name in FUNCTIONS},
    "clip": {"threshold": -1.0, "maximum": 1.0},
    "clip below": {"function": "clip", "threshold": -0.25},
    "clip above": {"function": "clip", "maximum": 0.75},
    "leaky_relu flat": {"function": "leaky_relu", "slope": 0.001},
    "leaky_relu steep": {"function": "leaky_relu", "slope": -1.25},
    "relu sloped": {"function": "relu", "slope": 0.1, "threshold": 0.5, "maximum": 4.0},
    "elu alpha": {"function": "elu", "slope": 0.7},
    "linear affine": {"function": "linear", "slope": -0.5, "offset": 1.3},
}
SETTINGS = {
    "int8": ({"symmetric": True, "per_channel": True}, {}, {}),
    "int8, all symmetric": ({"symmetric": True}, {"symmetric": True}, {}),
    "5 bits": ({"symmetric": True}, {"num_bits": 5, "narrow_range": True}, {}),
    "uint8": ({}, {}, {}),
    "int16 of 12 bits": ({"symmetric": True}, {"num_bits": 12}, {"int16": True}),
    "int16 of 16 bits": ({"symmetric": True}, {"num_bits": 16, "symmetric": True}, {"int16": True}),
}
EIGHT_BITS = [name for name in SETTINGS if "int16" not in name]


def most_slow(names):
    """Return parameters of a test that takes seconds for each; only the first is part of the fast tests."""
    return [names[0], *(pytest.param(name, marks=pytest.mark.slow) for name in names[1:])]


def functions_network(cases):
    """Return a network with each of the functions (names to settings) of the same convolution."""
    net = NetworkBuilder("functions", (3, 4, 5))
    conv = net.add(Conv2D, "conv", filters=32, kernel_size=1)
    pooled = []
    for name, settings in cases.items():
        function = net.add(Activation, name.replace(" ", "_"), inputs=conv, **{"function": name, **settings})
        pooled.append(net.add(GlobalAveragePool, function + "_mean", inputs=function))
    if len(pooled) > 1:
        net.add(Concat, "joined", inputs=pooled)
    net.add(Dense, "logits", units=6)
    return net.network()


class Functions:
    """All functions, with codes of the network's input that reach all codes of their own inputs."""

    def __init__(self, setting, cases=CASES, seed=0):
        weights, activations, self.tflite_options = SETTINGS[setting]
        self.network = functions_network(cases)
        self.book, self.state = book_of(self.network, weights, activations), state_of(self.network, seed=seed)
        self.model = integer_model(self.network, self.book, self.state)
        low, high = self.model.tensor("input").bounds
        self.codes = np.random.RandomState(seed).randint(low, high + 1, (24, 3, 4, 5)).astype(np.int32)
        self.outputs = [op.output for op in self.model.ops]
        self.names = [op.output for op in self.model.ops if op.kind == "Activation"]
        self.expected = run_codes(self.model, self.codes, self.outputs)

    @property
    def images(self):
        return dequantize(self.model.tensor("input"), self.codes)

    def check_tables(self, run):
        """Check that a runtime's functions are the tables, given its own codes of their input."""
        found = run(self.codes)
        for name in self.names:
            op = self.model.op(name)
            low = -(2 ** (self.model.tensor(op.inputs[0]).num_bits - 1))
            np.testing.assert_array_equal(found[name], op.table[found[op.inputs[0]] - low], name)
        return found

    def check_all(self, run):
        found = self.check_tables(run)
        for name, codes in self.expected.items():
            np.testing.assert_array_equal(found[name], codes, name)


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_tables_are_the_functions_rounded_to_the_nearest_code(setting):
    """Unless they are those of a kernel, which are within a code of them."""
    case = Functions(setting)
    assert len(np.unique(case.expected["conv"])) > (20 if setting == "5 bits" else 150)
    for name in case.names:
        op = case.model.op(name)
        source, output = case.model.tensor(op.inputs[0]), case.model.tensor(op.output)
        codes = np.arange(-(2 ** (source.num_bits - 1)), 2 ** (source.num_bits - 1))
        exact = op.layer.values((codes - source.zero_point) * source.scale) / output.scale + output.zero_point
        error = np.abs(np.clip(exact, *output.bounds) - op.table)
        kernels = {"leaky_relu": 0.95} if "int8" in setting else {}
        if setting == "int16 of 16 bits":
            kernels = {"sigmoid": 1.4, "tanh": 2.8}
        assert error.max() <= kernels.get(op.layer.function, 0.5001), name


@pytest.mark.parametrize("setting", most_slow(sorted(SETTINGS)))
def test_the_evaluation_computes_the_tables(setting):
    case = Functions(setting)
    with EvaluationGraph(case.network, case.book, case.state) as graph:
        found = codes_of(graph.logits(case.images), case.model.logits)
    np.testing.assert_array_equal(found, case.expected["logits"])


def test_sigmoid_and_tanh_have_the_grids_that_kernels_demand():
    case = Functions("int8", {"sigmoid": {}, "tanh": {}})
    for bits in (4, 8, 16):
        for symmetric in (False, True):
            book, _ = case.book.change([("*.activations.num_bits", bits), ("*.activations.symmetric", symmetric)])
            model = integer_model(case.network, book, case.state)
            grids = [(model.tensor(name).scale, model.tensor(name).zero_point) for name in ("sigmoid", "tanh")]
            kernels = (2.0 ** (1 - bits), 0)
            assert grids == [kernels if symmetric else (2.0**-bits, -(2 ** (bits - 1))), kernels]


@pytest.mark.parametrize("function", ["sigmoid", "tanh"])
def test_int16_kernels_have_no_other_scales(function):
    """LiteRT's kernels for scales near these powers of two differ between processors."""
    steps = np.arange(-(2**15), 2**15)
    for exponent, has_kernel in (
        (-13, True),
        (-12, False),
        (-11, function == "sigmoid"),
        (-3, True),
        (1, True),
        (2, False),
    ):
        found = int16_functions.kernel_steps(function, steps, 2.0**exponent)
        assert (found is not None) == has_kernel, exponent
        assert found is None or (np.diff(found) >= 0).all()
    assert int16_functions.kernel_steps(function, steps + 1, 2.0**-13) is None
    assert int16_functions.kernel_steps("gelu", steps, 2.0**-13) is None


@pytest.mark.parametrize("activations", [{"num_bits": 16, "symmetric": True}, {"num_bits": 15}], ids=str)
def test_int16_kernels_of_litert_are_used_where_grids_allow_it(activations, litert):
    network = functions_network({"sigmoid": {}, "tanh": {}})
    book = book_of(network, {"symmetric": True}, activations)
    model = integer_model(network, book, state_of(network))
    file = tflite_model(model, outputs=["conv", "sigmoid", "tanh"], int16=True)
    found = operators(file.content)
    # Tanh has the kernel's scale with 16 bits only. Then, nothing is clamped.
    assert found["LOGISTIC"] == 1 and found.get("TANH", 0) == (activations["num_bits"] == 16)
    assert activations["num_bits"] == 15 or not {"MAXIMUM", "MINIMUM", "GATHER"} & set(found)
    codes = np.random.RandomState(0).randint(*model.tensor("input").bounds, (400, 3, 4, 5)).astype(np.int32)
    with LitertRunner(litert, file, XNNPACK) as runner:
        computed = runner.run(codes)
    assert len(np.unique(computed["conv"])) > 20000
    for name in ("sigmoid", "tanh"):
        np.testing.assert_array_equal(computed[name], run_op(model, model.op(name), computed))


@pytest.mark.parametrize("setting", most_slow(list(SETTINGS)))
def test_c_computes_the_same(setting, compiler):
    case = Functions(setting)
    with compiled(source_of(case.model), compiler, layers=True) as runner:
        case.check_all(runner.run)


@pytest.mark.parametrize("setting", most_slow(list(SETTINGS)))
def test_litert_computes_the_same(setting, litert):
    case = Functions(setting)
    file = tflite_model(case.model, outputs=case.outputs, **case.tflite_options)
    with LitertRunner(litert, file, XNNPACK) as runner:
        (case.check_tables if setting == "uint8" else case.check_all)(runner.run)


def test_kernels_of_litert_are_used_where_they_compute_the_same(litert):
    case = Functions("int8")
    file = tflite_model(case.model)
    for name in ("LOGISTIC", "TANH", "LEAKY_RELU", "ELU"):
        assert operators(file.content)[name] >= 1, name
    assert operators(file.content)["GATHER"] < len(case.names) - 4


def operators(content):
    import tflite

    model = tflite.Model.GetRootAsModel(content, 0)
    names = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
    graph, counts = model.Subgraphs(0), {}
    for index in range(graph.OperatorsLength()):
        code = model.OperatorCodes(graph.Operators(index).OpcodeIndex())
        name = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        counts[name] = counts.get(name, 0) + 1
    return counts


@pytest.mark.parametrize("setting", ["int8", "uint8"])
def test_tensorflows_interpreter_computes_sigmoid_and_tanh(setting):
    case = Functions(setting, {"sigmoid": {}, "tanh": {}})
    file = tflite_model(case.model, outputs=case.outputs)
    assert not file.only_litert and "GATHER" not in operators(file.content)
    case.check_tables(TfliteRunner(file).run)
    assert tflite_model(Functions(setting, {"swish": {}}).model).only_litert


@pytest.mark.parametrize("form", [{}, {"storage": "int8", "layout": "nchw"}, {"exact": True}], ids=str)
@pytest.mark.parametrize("setting", most_slow(EIGHT_BITS))
def test_onnxruntime_computes_the_same(setting, form):
    pytest.importorskip("onnxruntime")
    case = Functions(setting)
    case.check_all(OnnxRunner(case.model, onnx_model(case.model, outputs=case.outputs, **form)).run)


@pytest.mark.slow
@pytest.mark.parametrize("form", [{}, {"storage": "int8"}, {"exact": True}, {"opset": "21"}], ids=str)
def test_a_current_onnxruntime_computes_the_same(form, tmp_path):
    newer = newer_onnxruntime.find() or pytest.skip(newer_onnxruntime.MISSING)
    case = Functions("int8")
    file = onnx_model(case.model, outputs=case.outputs, **form)
    (tensors,) = newer_onnxruntime.run_files(newer, tmp_path, case.images, file)
    codes = [np.moveaxis(found, 1, -1).astype(np.int32) - file.storage.offset for found in tensors]
    case.check_all(lambda _: dict(zip(file.outputs, codes)))


def test_the_description_of_an_npz_says_how_tables_are_read():
    case = Functions("int8")
    found = evaluate(description(case.model), arrays_of(case.model), case.images)
    for name, codes in case.expected.items():
        np.testing.assert_array_equal(found[name], codes, name)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("setting", most_slow(["int8", "int16 of 12 bits"]))
def test_tensorflow_graphs_compute_the_same(setting, exact):
    case = Functions(setting)
    graph = inference_graph(fake_quant_model(case.network, case.book, case.state), {}, exact=exact)
    with GraphRunner(graph.definition.SerializeToString(), graph.tensors, graph.inputs) as runner:
        run = codes_runtime(case.model, runner.values, case.outputs)
        if exact:
            (case.check_all if setting in EIGHT_BITS else case.check_tables)(run)
        else:
            check_float(case, run)


def check_float(case, run):
    """Check functions that were computed in float: the nearest codes, which are not those of LEAKY_RELU."""
    found = run(case.codes)
    for name in case.names:
        op = case.model.op(name)
        low = -(2 ** (case.model.tensor(op.inputs[0]).num_bits - 1))
        difference = np.abs(found[name] - op.table[found[op.inputs[0]] - low].astype(np.int64))
        assert difference.max() <= 1 and (difference > 0).mean() < (0.2 if "leaky" in name else 1e-3), name


def test_simulating_tflite_files_compute_the_same():
    case = Functions("int8", {name: settings for name, settings in CASES.items() if name != "gelu"})
    file = fake_quant_file(fake_quant_model(case.network, case.book, case.state), outputs=case.outputs)
    check_float(case, codes_runtime(case.model, FakeQuantRunner(file).values, case.outputs))
