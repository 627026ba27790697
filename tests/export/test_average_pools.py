"""Average pools round ties as TFLite does, in every runtime: any window, in front of a Concat and an Add."""

import newer_onnxruntime
import numpy as np
import pytest
from integer_cases import book_of, network_of, state_of
from test_c_model import compiled, compiler, source_of
from test_tflite_litert import litert

from qatviz.export.fake_quant.export import FakeQuantRunner
from qatviz.export.fake_quant.lowering import fake_quant_file
from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.fake_quant.proof import codes_runtime
from qatviz.export.graphs.lowering import inference_graph
from qatviz.export.graphs.runtime import GraphRunner
from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import dequantize, run_codes
from qatviz.export.onnx.lowering import onnx_model
from qatviz.export.onnx.runtime import OnnxRunner
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import codes_of
from qatviz.export.tflite.litert import BUILTIN, XNNPACK, LitertRunner
from qatviz.export.tflite.lowering import tflite_model
from qatviz.export.tflite.runtime import TfliteRunner
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Add, AveragePool, Concat, Conv2D, Dense, Flatten

assert compiler and litert  # fixtures

#: Size, strides and padding of a pool, and rows and columns of its input.
POOLS = {
    "2x2 valid": ((2, 2), (2, 2), "VALID", (8, 8)),
    "3x3 same": ((3, 3), (1, 1), "SAME", (7, 8)),
    "4x2 same": ((4, 2), (3, 2), "SAME", (10, 9)),
    "1x1, stride 2": ((1, 1), (2, 2), "VALID", (6, 6)),
    "33x33 valid": ((33, 33), (1, 1), "VALID", (34, 33)),
    "33x33 same": ((33, 33), (16, 16), "SAME", (34, 33)),
}
SMALL = [name for name in POOLS if "33" not in name]
MIXED = "int16 of 8 and 12 bits"
SETTINGS = {
    "int8": ({"symmetric": True, "per_channel": True}, {}, {}),
    "int8, all symmetric": ({"symmetric": True}, {"symmetric": True}, {}),
    "5 bits": ({"symmetric": True}, {"num_bits": 5, "narrow_range": True}, {}),
    "uint8": ({}, {}, {}),
    "int16 of 12 bits": ({"symmetric": True}, {"num_bits": 12}, {"int16": True}),
    MIXED: ({"symmetric": True}, {"num_bits": 12}, {"int16": True}),
}
EIGHT_BITS = [name for name in SETTINGS if "int16" not in name]


def most_slow(names):
    """Return parameters of a test that takes seconds for each; only the first is part of the fast tests."""
    return [names[0], *(pytest.param(name, marks=pytest.mark.slow) for name in names[1:])]


class Pooled:
    """A network whose input and a convolution are pooled in front of a Concat and an Add, with codes of its input.

    ``pools`` names its average pools.
    """

    def __init__(self, pool, setting):
        size, strides, padding, shape = POOLS[pool]
        settings = {"pool_size": size, "strides": strides, "padding": padding}
        weights, activations, self.tflite_options = SETTINGS[setting]
        net = NetworkBuilder("pooled", (*shape, 6))
        left = net.add(AveragePool, "left", inputs="input", **settings)
        net.add(Conv2D, "conv", inputs="input", filters=6, kernel_size=1)
        right = net.add(AveragePool, "right", **settings)
        summed = net.add(Add, "sum", inputs=(left, right))
        net.add(Concat, "joined", inputs=(summed, right), axis=-1)
        net.add(Flatten, "flatten")
        net.add(Dense, "logits", units=3)
        self.network, self.pools = net.network(), ("left", "right")
        self.book = book_of(self.network, weights, activations)
        if setting == MIXED:
            # On the grids of both pools.
            self.book, _ = self.book.change([(f"{name}.activations.num_bits", 8) for name in ("input", "conv")])
        self.state = state_of(self.network)
        self.model = integer_model(self.network, self.book, self.state)
        low, high = self.model.tensor("input").bounds
        random = np.random.RandomState(0)
        # Neighbours are close, so that means of many elements differ, too; half of them are next to a tie.
        levels = random.randint(low, high, (16, 1, 1, 6))
        spread = random.randint(-4, 5, (16, *shape, 6)) if pool in SMALL else random.randint(0, 2, (16, *shape, 6))
        self.codes = np.clip(levels + spread, low, high).astype(np.int32)

    @property
    def images(self):
        """The codes as values."""
        return dequantize(self.model.tensor("input"), self.codes)

    def check_pools(self, run):
        """Check that a runtime's pools are those of TFLite's kernel, given its own codes of their inputs."""
        found = dict(run(self.codes), input=self.codes)
        for name in self.pools:
            op = self.model.op(name)
            expected = kernel(found[op.inputs[0]], op.layer, self.stored_zero(op))
            np.testing.assert_array_equal(found[name], expected, name)
        return found

    def stored_zero(self, op):
        """Return the model's code that TFLite's kernel sees as 0: int16 files have zero points of 0."""
        return self.model.tensor(op.output).zero_point if self.tflite_options else 0

    def check_all(self, run):
        """Check that every code of a runtime is the simulator's, too."""
        found, names = self.check_pools(run), [op.output for op in self.model.ops]
        for name, codes in run_codes(self.model, self.codes, names).items():
            np.testing.assert_array_equal(found[name], codes, name)

    @property
    def outputs(self):
        return [op.output for op in self.model.ops]


def kernel(codes, layer, zero):
    """``AveragePool`` of ``tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h``, window by window."""
    codes, rows, columns = codes.astype(np.int64) - zero, codes.shape[1], codes.shape[2]
    places, counts = [], []
    for axis, length in ((0, rows), (1, columns)):
        size, stride = layer.pool_size[axis], layer.strides[axis]
        count = -(-length // stride) if layer.padding == "SAME" else (length - size) // stride + 1
        begin = max((count - 1) * stride + size - length, 0) // 2
        places.append([(max(i * stride - begin, 0), min(i * stride - begin + size, length)) for i in range(count)])
    result = np.empty((len(codes), len(places[0]), len(places[1]), codes.shape[3]), np.int64)
    for row, (top, bottom) in enumerate(places[0]):
        for column, (left, right) in enumerate(places[1]):
            count = (bottom - top) * (right - left)
            acc = codes[:, top:bottom, left:right].sum(axis=(1, 2))
            result[:, row, column] = np.where(acc > 0, (acc + count // 2) // count, -((count // 2 - acc) // count))
            counts.append((np.abs(2 * acc) % (2 * count) == count).mean())
    assert max(counts) > 0 or layer.pool_size[0] % 2, "there are no ties"
    return result + zero


@pytest.fixture(params=sorted(POOLS))
def pool(request):
    return request.param


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_the_simulator_computes_tflites_averages(pool, setting):
    case = Pooled(pool, setting)
    case.check_all(lambda codes: run_codes(case.model, codes, case.outputs))


@pytest.mark.parametrize("setting", most_slow(list(SETTINGS)))
def test_the_evaluation_computes_the_simulators_logits(pool, setting):
    case = Pooled(pool, setting)
    with EvaluationGraph(case.network, case.book, case.state) as graph:
        found = codes_of(graph.logits(case.images), case.model.logits)
    np.testing.assert_array_equal(found, run_codes(case.model, case.codes, ["logits"])["logits"])


@pytest.mark.parametrize("setting", most_slow(list(SETTINGS)))
def test_c_computes_the_same(setting, compiler):
    for pool in sorted(POOLS):
        case = Pooled(pool, setting)
        with compiled(source_of(case.model), compiler, layers=True) as runner:
            case.check_all(runner.run)


@pytest.mark.parametrize("kernels", [XNNPACK, BUILTIN])
@pytest.mark.parametrize("setting", most_slow(list(SETTINGS)))
def test_litert_computes_the_same(setting, kernels, litert):
    """All layers where LiteRT rounds once; the averages always."""
    for pool in sorted(POOLS):
        case = Pooled(pool, setting)
        file = tflite_model(case.model, outputs=case.outputs, **case.tflite_options)
        with LitertRunner(litert, file, kernels) as runner:
            (case.check_all if kernels == XNNPACK and "int8" in setting[:4] else case.check_pools)(runner.run)


@pytest.mark.parametrize("setting", EIGHT_BITS)
def test_tensorflows_interpreter_computes_the_same_unless_sums_overflow(pool, setting):
    case = Pooled(pool, setting)
    file = tflite_model(case.model, outputs=case.outputs)
    assert file.only_litert == (pool not in SMALL)
    assert [note for note in file.notes if "more than 256 elements" in note] or pool in SMALL
    if pool in SMALL:
        case.check_pools(TfliteRunner(file).run)


@pytest.mark.parametrize("form", [{}, {"storage": "int8", "layout": "nchw"}, {"exact": True}], ids=str)
@pytest.mark.parametrize("setting", most_slow([*EIGHT_BITS, "int16 of 12 bits"]))
def test_onnxruntime_computes_the_same(pool, setting, form):
    """All layers with up to 8 bits; of more, which are computed in float, the averages of few elements."""
    pytest.importorskip("onnxruntime")
    case = Pooled(pool, setting)
    run = OnnxRunner(case.model, onnx_model(case.model, outputs=case.outputs, **form)).run
    if setting in EIGHT_BITS:
        case.check_all(run)
    elif pool in SMALL:
        case.check_pools(run)
    if form == {"exact": True}:
        case.check_all(run)


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["uint8", "int8"])
def test_a_current_onnxruntime_computes_the_same(storage, tmp_path):
    newer = newer_onnxruntime.find() or pytest.skip(newer_onnxruntime.MISSING)
    for pool in sorted(POOLS):
        case = Pooled(pool, "int8")
        file = onnx_model(case.model, outputs=case.outputs, storage=storage)
        (tensors,) = newer_onnxruntime.run_files(newer, tmp_path, case.images, file)
        codes = [np.moveaxis(found, 1, -1).astype(np.int32) - file.storage.offset for found in tensors]
        case.check_all(lambda _, found=dict(zip(file.outputs, codes)): found)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("setting", most_slow([*EIGHT_BITS, MIXED]))
def test_tensorflow_graphs_compute_the_same(pool, setting, exact):
    if pool not in SMALL and not exact:
        pytest.skip("float32 sums of 1,089 elements are not exact")
    case = Pooled(pool, setting)
    graph = inference_graph(fake_quant_model(case.network, case.book, case.state), {}, exact=exact)
    with GraphRunner(graph.definition.SerializeToString(), graph.tensors, graph.inputs) as runner:
        run = codes_runtime(case.model, runner.values, case.outputs)
        (case.check_all if exact and setting in EIGHT_BITS else case.check_pools)(run)


@pytest.mark.parametrize("setting", most_slow([*EIGHT_BITS, MIXED]))
@pytest.mark.parametrize("pool", SMALL)
def test_simulating_tflite_files_compute_the_same(pool, setting):
    case = Pooled(pool, setting)
    file = fake_quant_file(fake_quant_model(case.network, case.book, case.state), outputs=case.outputs)
    case.check_pools(codes_runtime(case.model, FakeQuantRunner(file).values, case.outputs))


def test_means_of_codes_below_zero_are_rounded_away_from_it():
    """-2.5 to -3 and 2.5 to 3, whatever the zero point."""
    network = network_of(
        (2, 2, 1), (AveragePool, "pool", {}), (Flatten, "flatten", {}), (Dense, "logits", {"units": 2})
    )
    for zero in (0, 37, -128):
        model = integer_model(
            network,
            book_of(network, {"symmetric": True}),
            state_of(network, {"input.activations": (-128.0 - zero, 127.0 - zero)}),
        )
        assert model.tensor("input").zero_point == zero
        codes = np.int32([[-10, 0, 0, 0], [10, 0, 0, 0], [-2, 0, 0, 0], [-9, 0, 0, 0]]).reshape(4, 2, 2, 1)
        assert run_codes(model, codes, ["pool"])["pool"].reshape(-1).tolist() == [-3, 3, -1, -2]
