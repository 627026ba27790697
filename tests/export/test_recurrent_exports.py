"""Recurrent layers in every runtime: the codes of all layers of all elements."""

import numpy as np
import pytest
from exhaustive import tries
from integer_cases import book_of, simulate
from layer_cases import LayerCase
from test_c_model import compiler
from test_tflite_litert import litert

from qatviz.data import from_arrays
from qatviz.export.integers.lowering import integer_model
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import codes_of
from qatviz.network.keras_import.config import parse_model
from qatviz.network.keras_import.convert import convert
from qatviz.network.plan import quantization_plan
from qatviz.settings import RunSettings
from qatviz.training.graph import TrainingGraph

assert compiler and litert  # fixtures

#: Length and features of the sequences: a first element, one in the middle, and a last one.
SHAPE = (3, 3)
LSTM = ("LSTM", {"units": 4, "recurrent_activation": "sigmoid", "return_sequences": True})
GRU = ("GRU", {"units": 3, "recurrent_activation": "hard_sigmoid", "reset_after": False})
GRU_AFTER = ("GRU", {"units": 3, "recurrent_activation": "sigmoid", "reset_after": True, "go_backwards": True})
SIMPLE = ("SimpleRNN", {"units": 5, "activation": "relu"})
BOTH = ("Bidirectional", {"merge_mode": "concat", "layer": {"class_name": "LSTM", "config": LSTM[1]}})
NETWORKS = {
    "LSTM, GRU": (LSTM, GRU),
    "GRU that resets after": (GRU_AFTER,),
    "both ways, SimpleRNN": (BOTH, SIMPLE),
}
SETTINGS = {
    "int8": ({"symmetric": True, "per_channel": True}, {}),
    "6 bits": ({"symmetric": True, "num_bits": 6}, {"num_bits": 6}),
}


def network_of(layers, input_shape=SHAPE):
    """Return the network of Keras' layers, one after the other, and a Dense."""
    shape = {"batch_input_shape": [None, *input_shape]}
    records = [{"class_name": "InputLayer", "name": "x", "config": dict(shape, name="x"), "inbound_nodes": []}]
    for number, (kind, config) in enumerate([*layers, ("Dense", {"units": 3})]):
        calls = [[[records[-1]["name"], 0, 0, {}]]]
        name = f"{kind.lower()}{number}"
        records.append({"class_name": kind, "name": name, "config": dict(config, name=name), "inbound_nodes": calls})
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [[records[-1]["name"], 0, 0]]}
    record = {"class_name": "Model", "config": {"name": "recurrent", "layers": records, **ends}}
    return convert(parse_model(record), None).network


#: Each network and each setting, or all pairs of them.
CASES = tries(
    [*((name, "int8") for name in NETWORKS), ("LSTM, GRU", "6 bits")],
    [(name, setting) for name in NETWORKS for setting in SETTINGS],
)


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request):
    name, setting = request.param
    return LayerCase(network_of(NETWORKS[name]), *SETTINGS[setting])


def test_evaluation_and_simulator_compute_the_same_codes(case):
    case.check_evaluation()


def test_npz(case):
    case.check_npz()


def test_c(case, compiler):
    case.check_c(compiler)


def test_litert(case, litert):
    case.check_litert(litert, least=0.999, most=1)


def test_onnx(case):
    case.check_onnx(least=0.999, most=1)


def test_onnx_of_the_current_runtime(case, tmp_path):
    case.check_current_onnxruntime(tmp_path, least=0.999, most=1)


def test_graphs(case):
    case.check_graphs()


def test_a_trained_network_is_as_accurate_in_integers():
    """Sequences whose classes differ in order only, so that nothing but the state tells them apart."""
    random, shape = np.random.RandomState(0), (4, 3)

    def part(count):
        labels = np.arange(count) % 3
        places = np.stack([labels, (labels + 1) % 3], 1)  # a bump at one place before a dip at another
        x = 0.3 * random.standard_normal((count, *shape))
        x[np.arange(count), places[:, 0], 0] += 2
        x[np.arange(count), places[:, 1], 0] -= 2
        return x.astype(np.float32), labels

    data = from_arrays("bumps", "made for the test", part(192), part(96))
    network = network_of((("LSTM", {"units": 8, "recurrent_activation": "sigmoid"}),), shape)
    plan = quantization_plan(network)
    book = book_of(network, {"symmetric": True})
    run = RunSettings(learning_rate=0.02)
    graph = TrainingGraph(network, plan, data, batch_size=32, optimizer="adam")
    try:
        graph.write_settings(book.quantizers, run, 0)
        graph.write_state(graph.initial_state(run))
        graph.calibrate(np.arange(32, dtype=np.int32))
        for step in range(120):
            graph.step(random.permutation(192)[:32].astype(np.int32), step)
        state = graph.read_state()
    finally:
        graph.close()
    model = integer_model(network, book, state)
    images, labels = data.x_test.reshape(-1, *shape), data.y_test
    codes = simulate(model, images)
    with EvaluationGraph(network, book, state) as evaluation:
        exact, in_float = evaluation.logits(images), evaluation.logits(images, quantized=False)
    np.testing.assert_array_equal(codes_of(exact, model.logits), codes)
    accuracies = [np.mean(values.argmax(axis=1) == labels) for values in (in_float, codes)]
    assert accuracies[0] > 0.95 and accuracies[1] > 0.95, accuracies
