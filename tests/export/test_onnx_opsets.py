"""Operator sets of ONNX files: INT4 and INT16 from 21 on, in a current onnxruntime, and the description in a file."""

import json

import newer_onnxruntime
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


def test_an_export_of_a_later_operator_set_is_proven_in_a_current_runtime(newer, tmp_path, monkeypatch):
    monkeypatch.setenv("QATVIZ_ONNXRUNTIME_PYTHON", newer.python)
    weights = {"num_bits": 4, "symmetric": True}
    written = export_as("onnx", tmp_path / "net.onnx", noise(), weights, examples=16, opset="21")
    assert written.report.as_expected and not written.report.faults
    assert written.report.about["runtime"] == f"onnxruntime {newer.version}"
