"""ONNX in float: every layer in onnxruntime against TensorFlow's operations, names, and the export as a whole."""

import sys

import newer_onnxruntime
import numpy as np
import pytest
from export_cases import INT8, export_as
from integer_cases import book_of, state_of
from test_lowering_float import random_chain
from test_tflite_lowering import everything

from qatviz.errors import ExportError
from qatviz.export.encodings.tensors import encoded_tensors
from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.fake_quant.state import PartlyQuantizedState
from qatviz.export.graphs.lowering import inference_graph
from qatviz.export.graphs.runtime import GraphRunner
from qatviz.export.newer_python import NewerPython
from qatviz.export.onnx_float.export import OnnxFloatRunner
from qatviz.export.onnx_float.lowering import float_file
from qatviz.network.layers import Dropout, Softmax

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

#: Differences of sums in float, relative to the largest value of a layer.
CLOSE = 2e-6


def model_of(network, seed=0):
    return fake_quant_model(network, book_of(network, INT8), state_of(network, seed=seed), quantized=False)


def images_of(network, count=12):
    return np.random.RandomState(1).standard_normal((count, *network.input_shape)).astype(np.float32) * 2


def layers_of(network):
    """Return the names of the layers that compute something."""
    parts = model_of(network).units
    return [part.unit.output for part in parts if not isinstance(part.unit.op, (Dropout, Softmax))]


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("make", [everything, lambda: random_chain(0), lambda: random_chain(1)])
def test_every_layer_equals_tensorflows(make, layout):
    network = make()
    model, images, names = model_of(network), images_of(network), layers_of(network)
    graph = inference_graph(model, {})
    with GraphRunner(graph.definition.SerializeToString(), graph.tensors, graph.inputs) as runner:
        expected = runner.values(images, names)
    found = OnnxFloatRunner(float_file(model, layout=layout, outputs=names)).values(images, names)
    assert len(names) >= 6 and sorted(found) == sorted(names)
    for name in names:
        np.testing.assert_allclose(
            found[name], expected[name], rtol=0, atol=CLOSE * np.abs(expected[name]).max(), err_msg=name
        )


def test_values_have_the_names_of_the_encodings():
    """So that a tool finds each of them in the file."""
    network = everything()
    tensors, _ = encoded_tensors(PartlyQuantizedState(network, book_of(network, INT8), state_of(network)))
    graph = onnx.load_from_string(float_file(model_of(network)).content).graph
    values = {graph.input[0].name, *(name for node in graph.node for name in node.output)}
    constants = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for tensor in tensors:
        assert tensor.name in (values if tensor.kind == "activations" else constants), tensor.name
        if tensor.axis is not None:
            assert constants[tensor.name][tensor.axis] == tensor.grid.scale.size
    kinds = {node.name: node.op_type for node in graph.node}
    assert kinds["sum_relu"] == kinds["hidden_relu"] == "Relu" and kinds["relu6"] == kinds["join_relu6"] == "Clip"
    assert kinds["means"] == "ReduceMean" and not {"QuantizeLinear", "DequantizeLinear"} & set(kinds.values())
    assert [port.name for port in graph.output] == ["logits"]


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_an_export_is_proven_against_the_float_evaluation(layout, tmp_path, dataset):
    written = export_as(
        "onnx-float", tmp_path / "net.onnx", dataset, {"num_bits": 3}, metadata={"step": 3}, layout=layout
    )
    assert [path.name for path in written.paths] == [
        "net.onnx",
        "net.onnx.parity.json",
        "net.onnx.parity.txt",
        "net.onnx.golden.npz",
        "net.onnx.README.md",
        "net.onnx.check.py",
    ]
    report = written.report
    assert report.about["format"] == "ONNX float" and report.about["runtime"].startswith("onnxruntime 1.")
    assert report.as_expected and not report.faults and report.examples == 60
    assert report.outputs["file to float"].relative < 1e-5 and report.outputs["file to float"].top1 == 1
    assert report.scores["float"] == report.scores["file"]
    assert onnx.load(str(written.paths[0])).metadata_props[0].key == "qatviz.step"
    with np.load(str(written.paths[3])) as golden:
        session = onnxruntime.InferenceSession(str(written.paths[0]), providers=["CPUExecutionProvider"])
        images = golden["images"] if layout == "nhwc" else golden["images"].transpose(0, 3, 1, 2)
        (found,) = session.run(None, {"input": np.ascontiguousarray(images)})
        np.testing.assert_array_equal(found, golden["file_output"])


def test_tensors_may_be_left_in_float_and_probabilities_appended(tmp_path, dataset):
    plain = export_as("onnx-float", tmp_path / "a.onnx", dataset, {"enabled": False})
    softmax = export_as("onnx-float", tmp_path / "b.onnx", dataset, {"enabled": False}, softmax=True)
    assert plain.report.outputs == softmax.report.outputs
    session = onnxruntime.InferenceSession(str(softmax.paths[0]), providers=["CPUExecutionProvider"])
    assert [port.name for port in session.get_outputs()] == ["softmax"]
    (found,) = session.run(None, {"input": dataset.x_test[:5] / np.float32(255)})
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("opset, ir", [("13", 8), ("19", 9), ("21", 10)])
def test_a_file_without_a_runtime_says_what_was_run(opset, ir, tmp_path, dataset, monkeypatch):
    monkeypatch.setenv("QATVIZ_ONNXRUNTIME_PYTHON", "/nowhere/python")
    written = export_as("onnx-float", tmp_path / "net.onnx", dataset, examples=4, opset=opset)
    file = onnx.ModelProto.FromString(written.paths[0].read_bytes())
    assert (file.opset_import[0].version, file.ir_version) == (int(opset), ir)
    unrun = [note for note in written.report.notes if "the file was not" in note]
    assert bool(unrun) == (opset != "13") and written.report.as_expected


@pytest.mark.parametrize("opset", ["19", "21"])
def test_every_layer_of_a_later_operator_set_equals_that_of_13(opset):
    newer = newer_onnxruntime.find() or pytest.skip(newer_onnxruntime.MISSING)
    network = everything()
    model, images, names = model_of(network), images_of(network), layers_of(network)
    found = []
    for one, python in (("13", None), (opset, NewerPython(*newer))):
        with OnnxFloatRunner(float_file(model, outputs=names, opset=one), python) as runner:
            found.append(runner.values(images, names))
    for name in names:
        largest = np.abs(found[0][name]).max()
        np.testing.assert_allclose(found[1][name], found[0][name], rtol=0, atol=CLOSE * largest, err_msg=name)


def test_an_export_of_a_later_operator_set_is_proven_in_a_current_runtime(tmp_path, dataset, monkeypatch):
    newer = newer_onnxruntime.find() or pytest.skip(newer_onnxruntime.MISSING)
    monkeypatch.setenv("QATVIZ_ONNXRUNTIME_PYTHON", newer.python)
    written = export_as("onnx-float", tmp_path / "net.onnx", dataset, examples=16, opset="21")
    assert written.report.as_expected and len(written.report.notes) == 1
    assert written.report.about["runtime"] == f"onnxruntime {newer.version}"


def test_a_wrong_file_is_a_fault(tmp_path, dataset, monkeypatch):
    values = OnnxFloatRunner.values
    monkeypatch.setattr(
        OnnxFloatRunner, "values", lambda *given: {name: -found for name, found in values(*given).items()}
    )
    report = export_as("onnx-float", tmp_path / "net.onnx", dataset).report
    assert report.faults and not report.as_expected and "WRONG" in report.to_text()


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named(package, tmp_path, dataset, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExportError, match=f"{package}.*pip install"):
        export_as("onnx-float", tmp_path / "net.onnx", dataset)
    assert not list(tmp_path.iterdir())
