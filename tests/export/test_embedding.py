"""Embedding in every runtime: rows of a table of codes, chosen by int32 ids."""

import json
import subprocess
import sys

import numpy as np
import pytest
from export_cases import INT8
from integer_cases import book_of, state_of
from layer_cases import LayerCase
from test_activations import most_slow
from test_c_model import compiler
from test_tflite_litert import litert

from qatviz.data.build import from_arrays
from qatviz.data.inputs import for_inputs, from_inputs
from qatviz.errors import ExportError
from qatviz.export.formats import FORMATS
from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import run_codes
from qatviz.export.npz.format import arrays_of, to_files
from qatviz.export.npz.reader import load_integer_model
from qatviz.export.source import ExportSource
from qatviz.export.tflite.files import tflm_files
from qatviz.export.tflm.runtime import MicroMissing, MicroRunner, find_micro
from qatviz.export.tflm.sources import arena_bound
from qatviz.network.elementwise import Add
from qatviz.network.embedding import Embedding
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Concat, Conv2D, Dense, Flatten, GlobalAveragePool, MaxPool, ReLU, Reshape

assert compiler and litert  # fixtures

IDS = 300
SETTINGS = {
    "int8": (INT8, {}),
    "affine": ({"symmetric": True}, {"symmetric": True}),
    "4 bits": ({"symmetric": True, "num_bits": 4}, {}),
    "12 bits": ({"symmetric": True}, {"num_bits": 12}),
}


def text(ids=IDS, length=12):
    """Return a network on sequences of ids."""
    net = NetworkBuilder("text", (length,))
    net.add(Embedding, "words", input_dim=ids, output_dim=6)
    net.add(Reshape, "image", target_shape=(1, length, 6))
    net.add(Conv2D, "conv", filters=5, kernel_size=(1, 3))
    net.add(ReLU, "relu")
    net.add(MaxPool, "pool", pool_size=(1, 2))
    net.add(GlobalAveragePool, "means")
    net.add(Dense, "logits", units=3)
    return net.network()


def grid_of_ids():
    """Return a network on images of ids, whose vectors are channels."""
    net = NetworkBuilder("tiles", (4, 5))
    net.add(Embedding, "tiles", input_dim=9, output_dim=3)
    net.add(Conv2D, "conv", filters=4)
    net.add(Flatten, "flat")
    net.add(Dense, "logits", units=3)
    return net.network()


def twins():
    """Return a network of two inputs of ids that share a table, and a row of numbers."""
    net = NetworkBuilder("twins", {"one": (4,), "numbers": (3,), "two": (4,)})
    net.add(Embedding, "table", "one", input_dim=20, output_dim=5)
    net.add(Embedding, "again", "two", input_dim=20, output_dim=5, shares="table")
    net.add(Add, "sum", ("table", "again"))
    net.add(Flatten, "flat")
    net.add(Dense, "of_numbers", "numbers", units=4)
    net.add(Concat, "both", ("flat", "of_numbers"))
    net.add(Dense, "logits", units=3)
    return net.network()


def case_of(setting, network=None):
    return LayerCase(network or text(), *SETTINGS[setting])


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_rows_are_codes_of_the_table(setting):
    case = case_of(setting)
    op, tensor = case.model.op("words"), case.model.tensor("words")
    assert case.model.tensor("input").dtype == np.int32 and case.model.tensor("input").bounds == (0, IDS - 1)
    assert tensor.quantizer == "words.weights" and tensor.num_bits == case.book.of("words.weights").num_bits
    rounded = (op.require_table() - tensor.zero_point) * np.float32(tensor.scale)
    assert np.abs(rounded - case.state["words.weights"]).max() <= 0.51 * tensor.scale
    np.testing.assert_array_equal(case.expected["words"], op.require_table()[case.codes])


@pytest.mark.parametrize("setting", most_slow(list(SETTINGS)))
def test_the_evaluation_computes_the_same(setting):
    case_of(setting).check_evaluation()


@pytest.mark.parametrize("setting", most_slow(list(SETTINGS)))
def test_c_computes_the_same(setting, compiler):
    case_of(setting).check_c(compiler)


def test_c_replaces_ids_out_of_range(compiler):
    case = case_of("int8")
    inside = np.clip(case.codes - 20, 0, IDS - 1)
    case.expected = run_codes(case.model, inside, case.outputs)
    case.codes = case.codes - 20
    case.check_c(compiler)


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_litert_computes_the_same(setting, litert):
    options = {"int16": True} if setting == "12 bits" else {}
    case_of(setting).check_litert(litert, **options)


def test_a_uint8_file_has_the_same_ids(litert):
    file = LayerCase(text(), {}, {}).check_litert(litert)
    assert file.dtype == np.uint8 and file.offsets["input"] == 0


@pytest.mark.parametrize("form", [{}, {"exact": True}, {"storage": "int8"}, {"layout": "nchw"}], ids=str)
@pytest.mark.parametrize("setting", ["int8", "4 bits", "12 bits"])
def test_onnxruntime_computes_the_same(setting, form):
    wide = setting == "12 bits"
    case_of(setting).check_onnx(0.5 if wide else 0.999, 3 if wide else 1, **form)


@pytest.mark.parametrize("form", [{}, {"opset": "21"}], ids=str)
def test_a_current_onnxruntime_computes_the_same(form, tmp_path):
    case_of("int8").check_current_onnxruntime(tmp_path, 0.999, 1, **form)


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_vectors_of_an_image_of_ids_are_channels(layout, compiler):
    case = case_of("int8", grid_of_ids())
    case.check_onnx(0.999, 1, layout=layout)
    case.check_c(compiler)
    case.check_npz()


@pytest.mark.parametrize("setting", ["int8", "12 bits"])
def test_the_description_of_an_npz_says_how_they_are_computed(setting):
    case_of(setting).check_npz()


def test_tensorflow_graphs_compute_the_same():
    case_of("int8").check_graphs()


@pytest.mark.parametrize("setting", ["int8", "12 bits"])
def test_tflite_micro_computes_the_same(setting):
    try:
        micro = find_micro()
    except MicroMissing as missing:
        pytest.skip(str(missing))
    case, form = case_of(setting), FORMATS["tflm"]
    file = tflm_files(case.model, form.with_defaults({"int16": setting == "12 bits"})).layers
    with MicroRunner(micro, file, 2 * arena_bound(file.content)) as runner:
        found = runner.run(case.codes[:8])
    np.testing.assert_array_equal(found["words"], case.expected["words"][:8])
    assert np.abs(found["logits"] - case.expected["logits"][:8]).max() <= 3


# Exports with their proofs


def source_of_text(count=60):
    random = np.random.RandomState(0)
    ids = random.randint(0, IDS, (count, 12)).astype(np.float32)
    network = text()
    data = from_arrays("words", "a test", (ids, np.arange(count) % 3), validation_fraction=0.5)
    return ExportSource(network, book_of(network, INT8), state_of(network), data)


def source_of_twins(count=60):
    random = np.random.RandomState(0)
    given = {name: random.randint(0, 20, (count, 4)).astype(np.float32) for name in ("one", "two")}
    given["numbers"] = random.standard_normal((count, 3)).astype(np.float32)
    network = twins()
    data = from_inputs("twins", "a test", (given, np.arange(count) % 3), validation_fraction=0.5)
    return ExportSource(network, book_of(network, INT8), state_of(network), for_inputs(data, network.inputs))


@pytest.mark.parametrize("several", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"encodings"}))
@pytest.mark.always("c-*", "tflite-*", "onnx-*", "keras-*", "npz-*")
def test_every_format_is_proven(name, several, tmp_path):
    form, origin = FORMATS[name], source_of_twins() if several else source_of_text()
    if several and name == "c":
        with pytest.raises(ExportError, match="the inputs 'one', 'two' have ids, which are int32, and the others"):
            form.export(origin, tmp_path / "net")
        return
    written = form.export(origin, tmp_path / ("net" + form.suffix))
    record = json.loads(json.dumps(written.report.to_record(), allow_nan=False))
    assert not record["faults"] and record["as_expected"]
    golden = written.report.golden
    assert golden["images"].dtype == np.int32
    readme = " ".join(next(p for p in written.paths if p.name.endswith("README.md")).read_text("utf-8").split())
    assert "int32" in readme
    check = next(path for path in written.paths if path.name.endswith("check.py"))
    run = subprocess.run([sys.executable, str(check)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.returncode == 0, run.stdout.decode()


def test_encodings_are_refused(tmp_path):
    with pytest.raises(ExportError, match="'words': an Embedding, whose output has the grid of its weights"):
        FORMATS["encodings"].export(source_of_text(), tmp_path / "net.encodings")


def test_a_table_is_stored_once(tmp_path):
    network = twins()
    model = integer_model(network, book_of(network, INT8), state_of(network))
    assert "table.table" in arrays_of(model) and "again.table" not in arrays_of(model)
    for suffix, content in zip((".npz", ".json"), to_files(model)):
        (tmp_path / ("net" + suffix)).write_bytes(content)
    read = load_integer_model(tmp_path / "net.npz")
    np.testing.assert_array_equal(read.op("again").require_table(), model.op("table").require_table())
    assert [tensor.ids for tensor in read.inputs] == [20, 0, 20]


def test_a_damaged_description_of_ids_is_refused(tmp_path):
    network = text()
    model = integer_model(network, book_of(network, INT8), state_of(network))
    arrays, described = to_files(model)
    (tmp_path / "net.npz").write_bytes(arrays)
    record = json.loads(described.decode())
    for ids in (0, -1, IDS + 1, "many", 2**40):
        tensors = [dict(record["tensors"][0], ids=ids), *record["tensors"][1:]]
        (tmp_path / "net.json").write_text(json.dumps(dict(record, tensors=tensors, checksum="")))
        with pytest.raises(ExportError):
            load_integer_model(tmp_path / "net.npz")
