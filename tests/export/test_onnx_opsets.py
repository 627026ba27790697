"""Operator sets of ONNX files: INT4 and INT16 from 21 on, in a current onnxruntime, and the description in a file."""

import json

import newer_onnxruntime
import newer_python
import numpy as np
import pytest
from export_cases import export_as, noise
from integer_cases import model_of, simulate_tensors
from test_tflite_lowering import everything, images_for

from qatviz.export.newer_python import NewerPython
from qatviz.export.onnx.lowering import onnx_model
from qatviz.export.onnx.runtime import OnnxRunner

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SETTINGS = {
    "int4": ({"num_bits": 4, "symmetric": True, "per_channel": True}, {}),
    "asymmetric int4": ({"num_bits": 4}, {}),
    "3 bits": ({"num_bits": 3}, {"num_bits": 7}),
    "int16": ({"symmetric": True, "per_channel": True}, {"num_bits": 16, "symmetric": True}),
    "int4 and 12 bits": ({"num_bits": 4, "per_channel": True}, {"num_bits": 12}),
    "int16 weights": ({"num_bits": 16, "symmetric": True}, {"num_bits": 16, "symmetric": True}),
}
INT4, INT16 = 22, 5

#: Runs a file with and without the session's option that removes pairs of QuantizeLinear and DequantizeLinear.
_CLEANED_UP = """
import numpy as np
import onnxruntime
for name, value in (("plain", "0"), ("cleaned", "1")):
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.enable_quant_qdq_cleanup", value)
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession("net.onnx", options, providers=["CPUExecutionProvider"])
    np.save(name + ".npy", session.run(None, {session.get_inputs()[0].name: np.load("images.npy")})[0])
"""


@pytest.fixture(scope="session")
def newer():
    """Return the newer Python."""
    found = newer_onnxruntime.find()
    return NewerPython(*found) if found else pytest.skip(newer_onnxruntime.MISSING)


@pytest.mark.parametrize("storage", ["uint8", "int8"])
@pytest.mark.parametrize("opset", ["19", "21"])
@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_the_logits_are_the_simulators(setting, opset, storage, newer):
    model = model_of(everything(), *SETTINGS[setting])
    images = images_for(model, 24)
    with OnnxRunner(model, onnx_model(model, storage=storage, opset=opset), newer) as runner:
        found = runner.run_images(images)[model.output]
    different = np.abs(found - simulate_tensors(model, images)[model.output])
    assert different.max() <= 1 and np.mean(different == 0) >= 0.97


def types(content):
    """Return the element types of the inputs of DequantizeLinear by their names."""
    graph = onnx.ModelProto.FromString(content).graph
    known = {array.name: array.data_type for array in graph.initializer}
    given = {node.output[0]: known[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear"}
    known.update(given)
    return {node.input[0]: known.get(node.input[0]) for node in graph.node if node.op_type == "DequantizeLinear"}


def test_weights_of_four_bits_are_int4_and_activations_of_sixteen_int16():
    model = model_of(everything(), *SETTINGS["int4 and 12 bits"])
    small, old = (types(onnx_model(model, opset=opset).content) for opset in ("21", "19"))
    weights = [op.weights.name + ".codes" for op in model.ops if op.weights is not None]
    assert {small[name] for name in weights} == {INT4} and not {INT4, INT16} & set(old.values())
    assert {small[tensor.name + ".codes"] for tensor in model.tensors} == {INT16}


def test_int4_weights_take_half_the_bytes():
    model = model_of(everything(), *SETTINGS["int4"])
    arrays = {}
    for opset in ("19", "21"):
        graph = onnx.ModelProto.FromString(onnx_model(model, opset=opset).content).graph
        arrays[opset] = {array.name: len(array.raw_data) for array in graph.initializer}
    for op in model.ops:
        if op.weights is not None:
            name = op.weights.name + ".codes"
            assert arrays["21"][name] == (arrays["19"][name] + 1) // 2


@pytest.mark.parametrize("opset, ir", [("13", 8), ("19", 9), ("21", 10)])
def test_an_export_states_its_operator_set_and_what_it_is(opset, ir, tmp_path, monkeypatch):
    monkeypatch.setenv("QATVIZ_ONNXRUNTIME_PYTHON", "/nowhere/python")
    written = export_as("onnx", tmp_path / "net.onnx", noise(), examples=16, opset=opset)
    file = onnx.ModelProto.FromString(written.paths[0].read_bytes())
    assert (file.opset_import[0].version, file.ir_version) == (int(opset), ir)
    assert "value = x" in file.doc_string and "Classes, by index: 0 0, 1 1, 2 2, 3 3." in file.doc_string
    about = {entry.key: entry.value for entry in file.metadata_props}
    assert json.loads(about["qatviz.classes"]) == ["0", "1", "2", "3"] and about["qatviz.input"].startswith("value = x")
    text = (tmp_path / "net.onnx.parity.txt").read_text()
    assert ("NOT RUN: there is no onnxruntime for its operator set" in text) == (opset != "13")


@pytest.mark.parametrize(
    "options, traps",
    [
        ({}, ["OpenVINO"]),
        ({"storage": "int8"}, ["OpenVINO", "session.enable_quant_qdq_cleanup", "session.x64quantprecision"]),
        ({"opset": "21"}, ["OpenVINO", "int16 codes"]),
        ({"bits": 4}, ["OpenVINO", "IREE"]),
        ({"bits": 4, "storage": "int8"}, ["OpenVINO", "session.enable_quant_qdq_cleanup", "session.x64quantprecision"]),
    ],
    ids=str,
)
def test_known_traps_of_runtimes_are_notes_of_the_file(options, traps, tmp_path, monkeypatch):
    monkeypatch.setenv("QATVIZ_ONNXRUNTIME_PYTHON", "/nowhere/python")
    options = dict(options)
    activations = {"num_bits": options.pop("bits", 12 if "opset" in options else 8)}
    written = export_as("onnx", tmp_path / "net.onnx", noise(), activations=activations, examples=16, **options)
    file = onnx.ModelProto.FromString(written.paths[0].read_bytes())
    notes = json.loads({entry.key: entry.value for entry in file.metadata_props}["qatviz.notes"])
    everywhere = [file.doc_string, " ".join(notes), (tmp_path / "net.onnx.README.md").read_text(encoding="utf-8")]
    known = {"IREE", "OpenVINO", "session.enable_quant_qdq_cleanup", "session.x64quantprecision", "int16 codes"}
    assert [{trap for trap in known if trap in text} for text in everywhere] == 3 * [set(traps)]


@pytest.mark.parametrize(
    "bits, differences",
    [(8, "codes differ by a few"), (9, "codes differ (measured with 16-bit"), (16, "83 % of them, by up to 476")],
)
def test_the_note_on_openvino_says_more_of_wide_activations(bits, differences, tmp_path):
    written = export_as("onnx", tmp_path / "net.onnx", noise(), activations={"num_bits": bits}, examples=16)
    (note,) = [note for note in written.report.notes if note.startswith("OpenVINO")]
    assert differences in note and ("by a few" in note) == (bits == 8)


def test_the_clean_up_of_pairs_changes_codes_of_int8_files(newer, tmp_path):
    """The trap that a file warns of; with a later onnxruntime in which it is none, the note can go."""
    model = model_of(everything(), {"symmetric": True, "per_channel": True})
    images = images_for(model, 64)
    different = {}
    for storage in ("uint8", "int8"):
        (tmp_path / "net.onnx").write_bytes(onnx_model(model, storage=storage).content)
        np.save(str(tmp_path / "images.npy"), images)
        newer_python.run(newer, _CLEANED_UP, tmp_path)
        plain, cleaned = (np.load(str(tmp_path / name)) for name in ("plain.npy", "cleaned.npy"))
        different[storage] = np.count_nonzero(plain != cleaned)
    assert different["uint8"] == 0 < different["int8"]


def test_an_export_of_a_later_operator_set_is_proven_in_a_current_runtime(newer, tmp_path, monkeypatch):
    monkeypatch.setenv("QATVIZ_ONNXRUNTIME_PYTHON", newer.python)
    weights = {"num_bits": 4, "symmetric": True}
    written = export_as("onnx", tmp_path / "net.onnx", noise(), weights, examples=16, opset="21")
    assert written.report.as_expected and not written.report.faults
    assert written.report.about["runtime"] == f"onnxruntime {newer.version}"
