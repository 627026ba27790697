"""Exports of a network with several outputs: every output has the evaluation's codes, and its own metric."""

import functools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from export_cases import INT8
from integer_cases import book_of, state_of

import qatviz
from qatviz.data.heads import for_outputs, from_heads
from qatviz.errors import ExportError
from qatviz.export.formats import FORMATS
from qatviz.export.integers.lowering import integer_model
from qatviz.export.npz.reader import load_integer_model
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.report import ParityReport
from qatviz.export.source import ExportSource
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Conv2D, Dense, Dropout, Flatten, MaxPool, ReLU, Softmax, UpsampleNearest
from qatviz.session.sizes import export_size

pytestmark = pytest.mark.usefixtures("quick_c")

STUBS = Path(__file__).with_name("tflm_stubs")


def network():
    """Return a network with classes, a yes or no, and an image as outputs, the last of which is used inside, too."""
    net = NetworkBuilder("heads", (8, 8, 2))
    net.add(Conv2D, "stem", filters=4)
    net.add(ReLU, "stem_relu")
    image = net.add(Conv2D, "image", filters=2, kernel_size=1)
    net.add(MaxPool, "pool")
    small = net.add(Flatten, "flat")
    net.add(Dense, "digit", small, units=3)
    digit = net.add(Softmax, "digit/softmax")
    valid = net.add(Dense, "valid", small, units=1)
    large = net.add(UpsampleNearest, "large", image)
    return net.network([digit, valid, image, large])


NETWORK = network()
STATE = state_of(NETWORK)
BOOK = book_of(NETWORK, INT8)
#: Formats with outputs, and those of them whose proof compares values.
WITH_OUTPUTS = sorted(set(FORMATS) - {"encodings"})
BY_VALUES = ("keras", "onnx-float")


@pytest.fixture(autouse=True)
def without_micro(monkeypatch):
    monkeypatch.setenv("QATVIZ_TFLM_PYTHON", "/nowhere/python")


@functools.lru_cache(maxsize=None)
def data():
    random = np.random.RandomState(0)
    x = random.standard_normal((120, 8, 8, 2)).astype(np.float32)
    with EvaluationGraph(NETWORK, BOOK, STATE) as graph:
        digit, valid, image, large = graph.outputs(x, quantized=False)
    targets = {
        "digit": np.where(random.rand(120) < 0.7, digit.argmax(axis=1), random.randint(3, size=120)),
        "valid": (valid[:, 0] > 0) ^ (random.rand(120) < 0.2),
        "image": image + random.standard_normal(image.shape),
        "large": large + random.standard_normal(large.shape),
    }
    found = from_heads("heads", "a test", (x, targets), validation_fraction=0.5)
    return for_outputs(found, NETWORK.output_names, NETWORK.output_shapes)


def source(book=BOOK, examples=40):
    return ExportSource(NETWORK, book, STATE, data(), examples=examples)


@functools.lru_cache(maxsize=None)
def evaluated(quantized):
    """Return the outputs of the evaluation for the held-out examples."""
    with EvaluationGraph(NETWORK, BOOK, STATE) as graph:
        return graph.outputs(data().x_test, quantized)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return a function that exports to a format, once, and returns what was written."""

    @functools.lru_cache(maxsize=None)
    def export(name):
        return FORMATS[name].export(source(), tmp_path_factory.mktemp(name) / ("net" + FORMATS[name].suffix))

    return export


def scores_of(outputs, targets):
    """Return the metric of each output of the network."""
    digit, valid, image, large = targets
    return [
        np.mean(outputs[0].argmax(axis=1) == digit),
        np.mean((outputs[1][:, 0] > 0) == valid),
        *(np.sqrt(np.mean((values - labels) ** 2)) for values, labels in zip(outputs[2:], (image, large))),
    ]


@pytest.mark.parametrize("name", WITH_OUTPUTS)
@pytest.mark.always("c", "tflite", "onnx", "keras", "savedmodel", "npz")
def test_the_proof_compares_every_output(name, exported):
    written = exported(name)
    record = json.loads(json.dumps(written.report.to_record(), allow_nan=False))
    assert not record["faults"] and record["as_expected"]
    assert record["output"] == "digit" and [row["output"] for row in record["further"]] == ["valid", "image", "large"]
    assert [row["metric"] for row in record["further"]] == ["accuracy", "rmse", "rmse"]
    held_out, whole = source().held_out(), data()
    assert len(whole.x_test) == 60
    np.testing.assert_array_equal(held_out.images, whole.x_test[:40])
    reference = "float" if name in BY_VALUES else "evaluation graph"
    outputs = evaluated(name not in BY_VALUES)
    expected = scores_of([values[:40] for values in outputs], (held_out.labels, *held_out.further))
    on_whole = scores_of(outputs, [head.y_test for head in whole.heads])
    for row, scores in ((record, expected), (record["held_out"], on_whole)):
        found = [row["accuracy"], *(each[each["metric"]] for each in row["further"])]
        assert [each[reference] for each in found] == pytest.approx(scores, abs=0.02)
    text = written.report.to_text()
    assert "image: RMSE on 40 of 60 held-out examples: " in text and "image: RMSE on all 60 held-out examples: " in text
    if name in BY_VALUES:
        assert list(record["outputs"]) == [f"{output}, file to float" for output in NETWORK.output_names]
    else:
        compared = [record["outputs"], *(row["outputs"] for row in record["further"])]
        bar = min(record["reached"]["identical"], 0.97)  # a few codes of the smallest output are a large fraction
        assert all(found["file to evaluation graph"]["identical"] >= bar for found in compared)
    readme = " ".join(next(p for p in written.paths if p.name.endswith("README.md")).read_text("utf-8").split())
    assert "digit: classes, by index: 0 0, 1 1, 2 2." in readme and "`labels_1`" in readme
    check = next(path for path in written.paths if path.name.endswith("check.py"))
    run = subprocess.run([sys.executable, str(check)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.returncode == 0, run.stdout.decode()
    assert all(f"output {output}, in " in run.stdout.decode() for output in NETWORK.output_names)
    for index in range(4):
        key = "expected_output" if name in BY_VALUES else "simulator_output"
        key = f"{key}_{index}" if index else key
        assert written.report.golden[key].shape[1:] == NETWORK.output_shapes[index]


def test_the_arrays_have_every_output(exported):
    model = load_integer_model(exported("npz").paths[0])
    assert model.outputs == ("digit/logits", "valid", "image", "large") and model.softmax == "digit/softmax"
    assert model.outputs[1:] == integer_model(NETWORK, BOOK, STATE).outputs[1:]


def test_onnx_has_every_output_by_name(exported):
    import onnx

    file = onnx.load(str(exported("onnx").paths[0]))
    assert len(file.graph.output) == 4 and [x.name.partition(".")[0] for x in file.graph.output][1:] == [
        "valid",
        "image",
        "large",
    ]


@pytest.mark.parametrize("form", ["float", "exact"])
def test_graphs_name_the_nodes_of_each_output(form, tmp_path):
    import tensorflow.compat.v1 as tf

    origin = source()
    written = FORMATS["frozen"].export(origin, tmp_path / "net.pb", {"form": form})
    assert written.report.as_expected and not written.report.faults
    assert (written.report.output, written.report.further[0].output) == ("digit", "valid")
    definition = tf.GraphDef()
    definition.ParseFromString(written.paths[0].read_bytes())
    with tf.Graph().as_default() as graph, tf.Session() as session:
        tf.import_graph_def(definition, name="")
        names = {node.name for node in graph.as_graph_def().node}
        assert {"digit/logits", "digit/class", "valid/probabilities", "image/logits", "large/logits"} <= names
        assert not {"logits", "image/class"} & names
        images = origin.held_out().images[:8]
        logits, found = session.run(["valid/logits:0", "valid/class:0"], {"input:0": images})
    assert found.tolist() == (logits[:, 0] > 0).astype(int).tolist()


@pytest.mark.parametrize("name", [name for name in FORMATS if "softmax" in FORMATS[name].with_defaults()])
def test_a_softmax_of_several_outputs_is_refused(name, tmp_path):
    message = "the network has 4 outputs, which are not all logits of classes"
    with pytest.raises(ExportError, match=message):
        FORMATS[name].export(source(), tmp_path / ("net" + FORMATS[name].suffix), {"softmax": True})
    with pytest.raises(ExportError, match=message):
        export_size(FORMATS[name], source(), {"softmax": True})


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_a_float_onnx_file_has_every_output_in_its_layout(layout, tmp_path):
    import onnx

    written = FORMATS["onnx-float"].export(source(), tmp_path / "net.onnx", {"layout": layout})
    assert written.report.as_expected
    ports = onnx.load(str(written.paths[0])).graph.output
    shapes = [[axis.dim_value for axis in port.type.tensor_type.shape.dim][1:] for port in ports]
    images = [[8, 8, 2], [16, 16, 2]] if layout == "nhwc" else [[2, 8, 8], [2, 16, 16]]
    assert shapes == [[3], [1], *images]
    assert len({port.name for port in ports}) == 4


def test_outputs_of_one_value_have_names_of_their_own(tmp_path):
    """A Dropout computes nothing, so that its output is that of the layer before it."""
    import onnxruntime

    net = NetworkBuilder("repeated", (6,))
    first = net.add(Dense, "first", units=2)
    network = net.network([first, net.add(Dropout, "second", first, rate=0.5)])
    state, x = state_of(network), np.random.RandomState(0).standard_normal((20, 6)).astype(np.float32)
    data = from_heads("repeated", "a test", (x, [x[:, :2] + 0.5, x[:, 2:4] + 0.5]))
    fitted = for_outputs(data, network.output_names, network.output_shapes)
    origin = ExportSource(network, book_of(network, INT8), state, fitted)
    written = FORMATS["onnx-float"].export(origin, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(written.paths[0]))
    one, other = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_array_equal(one, other)
    assert np.ptp(one) > 0.1


def test_the_application_for_tflite_micro_has_the_codes_of_every_output(exported, tmp_path):
    written = exported("tflm")
    shutil.copytree(str(written.paths[0]), str(tmp_path / "net"))
    golden, text = written.report.golden, (tmp_path / "net" / "heads_golden.cc").read_text()
    rows = [
        np.array(re.findall(r"-?\d+", part), int) for part in re.findall(r"kGoldenOutput\S* = {(.*?)};", text, re.S)
    ]
    for key, found in zip(("litert_output", "double_rounding_output"), rows):
        outputs = [golden[key], *(golden[f"{key}_{index}"] for index in range(1, 4))]
        expected = np.concatenate([codes.reshape(16, -1) for codes in outputs], axis=1)
        np.testing.assert_array_equal(found.reshape(-1, expected.shape[1]), expected[: len(found) // expected.shape[1]])
    compiler = next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    header = (tmp_path / "net" / "heads_model.h").read_text()
    codes = np.concatenate([codes.reshape(16, -1) for codes in outputs], axis=1).astype(np.int8)
    sizes = {
        "STUB_INPUT_BYTES": golden["file_input"][0].nbytes,
        "STUB_OUTPUT_BYTES": golden["litert_output"][0].nbytes,
        "STUB_SECOND_BYTES": codes[0].nbytes - golden["litert_output"][0].nbytes,
        "STUB_ARENA_BYTES": re.search(r"kArenaBytes = (\d+)", header).group(1),
    }
    command = [compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", "-I", str(STUBS)]
    command += [f"-D{name}={size}" for name, size in sizes.items()]
    sources = [*command, "-o", "application", "main.cc", "heads_model.cc", "heads_golden.cc"]
    subprocess.run(sources, cwd=str(tmp_path / "net"), check=True)
    for wrong, code in ((0, 0), (4, 1)):
        found = codes.copy()
        found[-1, -1] ^= wrong
        (tmp_path / "net" / "found.bin").write_bytes(found.tobytes())
        assert subprocess.run(["./application"], cwd=str(tmp_path / "net")).returncode == code


def test_c_has_outputs_of_8_and_of_16_bits_in_one_array(tmp_path):
    book, _ = book_of(NETWORK, INT8).change([("digit.activations.num_bits", 12)])
    model = integer_model(NETWORK, book, STATE)
    assert [model.tensor(name).dtype.name for name in model.outputs] == ["int16", "int8", "int8", "int8"]
    written = FORMATS["c"].export(source(book), tmp_path / "net")
    assert not written.report.faults and written.report.as_expected
    header = (tmp_path / "net" / "heads.h").read_text()
    assert "void heads_run(const int8_t *input, int16_t *output);" in header
    golden = written.report.golden
    assert golden["simulator_output"].dtype == np.int16 and golden["simulator_output_1"].dtype == np.int8
    if not isinstance(written.report, ParityReport):
        pytest.skip("there is no C compiler")
    for proof in (written.report, *written.report.further):
        assert proof.outputs["file to simulator"].identical == 1
    check = subprocess.run([sys.executable, str(tmp_path / "net" / "check.py")], stdout=subprocess.PIPE)
    assert check.returncode == 0, check.stdout.decode()


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_the_size_is_known_before_the_export(name, exported):
    assert export_size(FORMATS[name], source(), {}).nbytes == exported(name).report.nbytes["file"]


def test_a_keras_file_ends_as_the_imported_model_does(tmp_path):
    """Its softmax and the sigmoid that was left to the loss are in the file, and a check program of it runs."""
    import tensorflow.compat.v1 as tf

    x = np.random.RandomState(0).standard_normal((80, 5)).astype(np.float32)
    targets = {"kind": np.arange(80) % 3, "real": (x[:, 0] > 0).astype(int)}
    with tf.Graph().as_default(), tf.Session():
        given = tf.keras.layers.Input((5,))
        outputs = [
            tf.keras.layers.Dense(size, activation=function, name=name)(given)
            for name, size, function in (("real", 1, "sigmoid"), ("kind", 3, "softmax"))
        ]
        model = tf.keras.Model(given, outputs)
        result = qatviz.train(model, (x, targets), steps=20, batch_size=8, quiet=True)
        written = result.export(tmp_path / "net.h5", "keras")
    assert written.report.as_expected and not written.report.faults
    assert [each.output for each in written.report.further] == ["kind"]
    found = written.report.golden
    assert found["expected_output"].min() > 0 and found["expected_output"].max() < 1
    np.testing.assert_allclose(found["expected_output_1"].sum(axis=1), 1, rtol=1e-5)
    check = subprocess.run([sys.executable, str(tmp_path / "net.h5.check.py")], stdout=subprocess.PIPE)
    assert check.returncode == 0, check.stdout.decode()


def test_an_output_that_is_used_inside_is_not_fused():
    units = {unit.name: unit for unit in BOOK.plan.units}
    assert units["image"].output == "image" and units["stem"].output == "stem_relu"
