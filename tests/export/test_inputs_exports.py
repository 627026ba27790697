"""Exports of networks with several inputs: files have each input, and the codes of the evaluation."""

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

from qatviz.data.inputs import for_inputs, from_inputs
from qatviz.errors import ExportError
from qatviz.export.formats import FORMATS
from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import dequantize_input, quantize_input
from qatviz.export.npz.reader import load_integer_model
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.source import ExportSource
from qatviz.export.tflite.runtime import REACHED
from qatviz.export.tflm.runtime import MicroMissing, find_micro
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Add, Concat, Conv2D, Dense, Flatten, MaxPool, ReLU

pytestmark = pytest.mark.usefixtures("quick_c")


def network():
    """Return a network of two images and a row; one image has two consumers, and the row has the grid of a Concat."""
    net = NetworkBuilder("inputs", {"left": (8, 8, 1), "age": (3,), "right": (8, 8, 2)})
    one = net.add(Conv2D, "conv_left", "left", filters=4)
    two = net.add(Conv2D, "conv_right", "right", filters=4)
    net.add(Add, "sum", (one, two))
    net.add(ReLU, "relu")
    small = net.add(MaxPool, "pool")
    edges = net.add(MaxPool, "edges", "right")
    net.add(Concat, "images", (small, edges))
    flat = net.add(Flatten, "flat")
    net.add(Dense, "of_age", "age", units=4)
    net.add(Concat, "both", (flat, "of_age", "age"))
    net.add(Dense, "logits", units=3)
    return net.network()


NETWORK = network()
BOOK = book_of(NETWORK, INT8)
STATE = state_of(NETWORK)
STATE = {**STATE, "range_max": STATE["range_max"] * np.linspace(1, 1.5, len(STATE["range_max"]), dtype=np.float32)}
STUBS = Path(__file__).with_name("tflm_stubs")


@pytest.fixture
def without_micro(monkeypatch):
    monkeypatch.setenv("QATVIZ_TFLM_PYTHON", "/nowhere/python")


def source(count=120):
    random = np.random.RandomState(0)
    given = {
        "left": random.randint(0, 256, (count, 8, 8, 1)).astype(np.uint8),
        "right": random.standard_normal((count, 8, 8, 2)).astype(np.float32),
        "age": random.standard_normal((count, 3)).astype(np.float32) * 2 + 1,
    }
    labels = np.arange(count) % 3
    data = for_inputs(from_inputs("inputs", "a test", (given, labels), validation_fraction=0.5), NETWORK.inputs)
    return ExportSource(NETWORK, BOOK, STATE, data)


@functools.lru_cache(maxsize=None)
def evaluated():
    """Return the outputs of the evaluation for the held-out examples."""
    with EvaluationGraph(NETWORK, BOOK, STATE) as graph:
        return graph.outputs(source().held_out().images)[0]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return a function that exports to a format, once, and returns what was written."""

    @functools.lru_cache(maxsize=None)
    def export(name):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("QATVIZ_TFLM_PYTHON", "/nowhere/python")
            return FORMATS[name].export(source(), tmp_path_factory.mktemp(name) / ("net" + FORMATS[name].suffix))

    return export


def test_codes_are_rows_of_each_inputs_codes():
    origin = source()
    model, rows = integer_model(NETWORK, BOOK, STATE), origin.held_out().images
    assert [tensor.name for tensor in model.inputs] == ["left", "age", "right"]
    grids = [(tensor.scale, tensor.zero_point) for tensor in model.inputs]
    assert grids[0] != grids[1] and grids[1] == grids[2]  # which are joined by Concat
    codes = quantize_input(model, rows)
    assert codes.shape == rows.shape
    for tensor in model.inputs:
        own = model.split(codes)[tensor.name]
        assert own.shape[1:] == tensor.shape
        values = ((own - tensor.zero_point) * np.float32(tensor.scale)).astype(np.float32)
        np.testing.assert_array_equal(model.split(dequantize_input(model, codes))[tensor.name], values)
        inside = np.clip(
            model.split(rows)[tensor.name], *((bound - tensor.zero_point) * tensor.scale for bound in tensor.bounds)
        )
        assert np.abs(values - inside).max() <= tensor.scale * 0.501


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"encodings"}))
@pytest.mark.always("c", "tflite", "onnx", "keras", "savedmodel", "npz")
def test_the_proof_feeds_every_input(name, exported):
    written = exported(name)
    record = json.loads(json.dumps(written.report.to_record(), allow_nan=False))
    assert not record["faults"] and record["as_expected"]
    expected = np.mean(evaluated().argmax(axis=1) == source().held_out().labels)
    if "evaluation graph" in record["accuracy"]:
        assert record["accuracy"]["evaluation graph"] == pytest.approx(expected, abs=0.02)
    readme = " ".join(next(p for p in written.paths if p.name.endswith("README.md")).read_text("utf-8").split())
    assert "left: value = x * 0.003921569 for pixels x from 0 to 255" in readme and "age: value = x:" in readme
    assert "of the input right" in readme
    golden = written.report.golden
    for index, (_, shape) in enumerate(NETWORK.inputs):
        assert golden[f"images_{index}" if index else "images"].shape == (16, *shape)
    check = next(path for path in written.paths if path.name.endswith("check.py"))
    run = subprocess.run([sys.executable, str(check)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.returncode == 0, run.stdout.decode()


def test_the_application_for_tflite_micro_feeds_every_input(tmp_path, without_micro):
    golden = FORMATS["tflm"].export(source(), tmp_path / "net").report.golden
    given = [golden["file_input"], golden["file_input_1"], golden["file_input_2"]]
    rows = np.concatenate([codes.reshape(16, -1) for codes in given], axis=1)
    compiler = next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    arena = re.search(r"kArenaBytes = (\d+)", (tmp_path / "net" / "inputs_model.h").read_text()).group(1)
    for missing, code in ((0, 0), (1, 1)):
        sizes = {
            "STUB_INPUT_BYTES": given[0][0].nbytes,
            # The stand-in's second input has the codes of all further ones.
            "STUB_SECOND_INPUT_BYTES": rows[0].nbytes - given[0][0].nbytes - missing,
            "STUB_OUTPUT_BYTES": golden["litert_output"][0].nbytes,
            "STUB_ARENA_BYTES": arena,
        }
        command = [compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", "-I", str(STUBS)]
        command += [f"-D{name}={size}" for name, size in sizes.items()]
        sources = [*command, "-o", "application", "main.cc", "inputs_model.cc", "inputs_golden.cc"]
        subprocess.run(sources, cwd=str(tmp_path / "net"), check=True)
        (tmp_path / "net" / "found.bin").write_bytes(golden["double_rounding_output"].tobytes())
        (tmp_path / "net" / "given.bin").write_bytes(b"")
        assert subprocess.run(["./application"], cwd=str(tmp_path / "net")).returncode == code
        assert (tmp_path / "net" / "given.bin").read_bytes() == (b"" if missing else rows.tobytes())


def test_tflite_micro_runs_every_input(tmp_path):
    try:
        micro = find_micro()
    except MicroMissing as missing:
        pytest.skip(str(missing))
    written = FORMATS["tflm"].export(source(), tmp_path / "net")
    assert written.report.about["runtime"] == micro.name and not written.report.faults
    assert written.report.outputs["file to evaluation graph"].reaches(REACHED)
    check = subprocess.run([micro.python, str(tmp_path / "net" / "check.py")], stdout=subprocess.PIPE)
    assert check.returncode == 0 and b"in TFLite Micro, 16 examples" in check.stdout, check.stdout.decode()


def test_the_arrays_are_read_back(exported, tmp_path):
    file = tmp_path / "net.npz"
    for path in exported("npz").paths[0].parent.glob("net.*"):
        shutil.copy(str(path), str(tmp_path))
    model = load_integer_model(file)
    assert [tensor.name for tensor in model.inputs] == list(NETWORK.input_names)
    path = tmp_path / "net.json"
    record = json.loads(path.read_text("utf-8"))
    assert [row["input"] for row in record["inputs"]] == list(NETWORK.input_names)
    for damage in ([], record["inputs"][:1], record["inputs"][:2], record["inputs"][::-1], [{}] * 3, "left"):
        path.write_text(json.dumps(dict(record, inputs=damage, checksum="")), "utf-8")
        with pytest.raises(ExportError):
            load_integer_model(file)


def test_a_tflite_file_has_inputs_and_a_signature_with_their_names(exported):
    import tensorflow.compat.v1 as tf

    interpreter = tf.lite.Interpreter(model_path=str(exported("tflite").paths[0]))
    details = interpreter.get_input_details()
    assert [each["name"] for each in details] == list(NETWORK.input_names)
    assert [tuple(each["shape"][1:]) for each in details] == [shape for _, shape in NETWORK.inputs]
    assert len({each["quantization"] for each in details}) == 2


def test_encodings_have_every_input(tmp_path):
    written = FORMATS["encodings"].export(source(), tmp_path / "net.encodings")
    assert written.report.as_expected and not written.report.faults
    record = json.loads((tmp_path / "net.encodings").read_text("utf-8"))
    assert set(NETWORK.input_names) <= {row["name"] for row in record["activation_encodings"]}
    torch = json.loads((tmp_path / "net_torch.encodings").read_text("utf-8"))["activation_encodings"]
    assert set(torch["of_age"]["input"]) == {"0"} and set(torch["both"]["input"]) == {"2"}
