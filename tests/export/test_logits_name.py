"""Names of outputs: one that holds logits is not named after a layer whose output is probabilities."""

import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from integer_cases import network_of
from test_keras_h5 import imported_from, source_of, trained

from qatviz.export.encodings.format import read_json
from qatviz.export.encodings.limits import VERSIONS
from qatviz.export.formats import FORMATS
from qatviz.network.layers import Dense, Flatten

layers = tf.keras.layers


def source_named(*names):
    """Return the source of an imported model whose Dense layers have these names, the last with a softmax."""
    source = [layers.Flatten(input_shape=(4, 4, 1))]
    source += [layers.Dense(6, name=name) for name in names[:-1]]
    source.append(layers.Dense(3, activation="softmax", name=names[-1]))
    imported = imported_from(lambda: tf.keras.Sequential(source))
    return source_of(imported.network, imported.origin, trained(imported))


def tflite_output(path):
    interpreter = tf.lite.Interpreter(model_path=str(path))
    return [details["name"] for details in interpreter.get_output_details()]


def onnx_output(path):
    onnx = pytest.importorskip("onnx")
    return [value.name for value in onnx.load(str(path)).graph.output]


def npz_output(path):
    return [json.loads(path.with_suffix(".json").read_text())["output"]]


READERS = {
    "tflite": tflite_output,
    "tflite-fakequant": tflite_output,
    "onnx": onnx_output,
    "onnx-float": onnx_output,
    "npz": npz_output,
}


def exported(name, source, directory, **options):
    written = FORMATS[name].export(source, directory / ("net" + FORMATS[name].suffix), options)
    assert not written.report.faults
    return READERS[name](written.paths[0]), written.report


@pytest.mark.parametrize("name", sorted(READERS))
def test_logits_below_a_fused_softmax_are_named_logits(name, tmp_path):
    if name.startswith("onnx"):
        pytest.importorskip("onnxruntime")
    names, report = exported(name, source_named("hidden", "probs"), tmp_path)
    assert names == ["logits"]
    assert report.as_expected or report.outputs["file to evaluation graph"].identical >= 0.9


@pytest.mark.parametrize("name", sorted(READERS))
def test_the_name_of_another_layer_is_not_taken(name, tmp_path):
    if name.startswith("onnx"):
        pytest.importorskip("onnxruntime")
    assert exported(name, source_named("logits", "probs"), tmp_path)[0] == ["probs/logits"]


@pytest.mark.parametrize("name", sorted(READERS))
def test_logits_keep_the_name_of_a_layer_that_computes_them(name, tmp_path):
    if name.startswith("onnx"):
        pytest.importorskip("onnxruntime")
    network = network_of((4, 4, 1), (Flatten, "flat", {}), (Dense, "scores", {"units": 3}))
    assert exported(name, source_of(network), tmp_path)[0] == ["scores"]
    assert exported(name, source_named("hidden", "logits"), tmp_path)[0] == ["logits"]


@pytest.mark.parametrize("version", VERSIONS)
def test_encodings_name_the_logits_as_the_float_onnx_file_does(version, tmp_path):
    """Tools find the quantizer of a tensor by its name; modules keep the names of the layers."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    source = source_named("hidden", "probs")
    in_float = FORMATS["onnx-float"].export(source, tmp_path / "net.onnx").paths[0]
    nodes = onnx.load(str(in_float)).graph.node
    written = FORMATS["encodings"].export(source, tmp_path / "net.encodings", {"encodings_version": version})
    grids = read_json(written.paths[0].read_bytes(), "net.encodings")
    assert "logits" in grids and "probs" not in grids
    assert {"probs.weights", "probs.bias"} <= set(grids)
    values = {name for node in nodes for name in (*node.input, *node.output)}
    assert set(grids) <= values
    assert written.report.as_expected
    assert next(tensor.codes for tensor in written.report.tensors if tensor.name == "logits")
    modules = json.loads(tmp_path.joinpath("net_torch.encodings").read_text())
    assert "output" in modules["activation_encodings"]["probs"] and "probs.weight" in modules["param_encodings"]


def test_c_names_the_logits_too(tmp_path):
    FORMATS["c"].export(source_named("hidden", "probs"), tmp_path / "net")
    (source,) = [path for path in (tmp_path / "net").glob("*.c") if b"DUMP(" in path.read_bytes()]
    text = source.read_text()
    assert 'DUMP("logits"' in text and '"probs"' in text and 'DUMP("probs"' not in text
    golden = np.load(str(tmp_path / "net" / "golden.npz"))
    assert golden["simulator_output"].shape[1] == 3
