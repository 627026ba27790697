"""Exports of a network with one logit for two classes: every proof and program decides by its sign."""

import json
import subprocess
import sys

import numpy as np
import pytest
from export_cases import INT8
from integer_cases import book_of, network_of, state_of

from qatviz.data import from_arrays
from qatviz.errors import ExportError
from qatviz.export.formats import FORMATS
from qatviz.export.integers.lowering import integer_model
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import same_top1
from qatviz.export.source import ExportSource
from qatviz.network.layers import Dense, ReLU

NETWORK = network_of((6,), (Dense, "dense", {"units": 12}), (ReLU, "relu", {}), (Dense, "out", {"units": 1}))
STATE = state_of(NETWORK)


def source():
    x = np.random.RandomState(0).standard_normal((160, 6)).astype(np.float32)
    with EvaluationGraph(NETWORK, book_of(NETWORK, INT8), STATE) as graph:
        y = (graph.logits(x, quantized=False)[:, 0] > 0).astype(np.int64)
    y[::8] = 1 - y[::8]  # an accuracy that neither side has by chance
    data = from_arrays("two classes", "a test", (x[:100], y[:100]), (x[100:], y[100:]), class_names=("cat", "dog"))
    return ExportSource(NETWORK, book_of(NETWORK, INT8), STATE, data)


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"encodings"}))  # which have no outputs
def test_the_proof_of_every_format_decides_by_the_sign(name, tmp_path):
    form, options = FORMATS[name], {"rebuild": True} if name == "keras" else {}
    origin = source()
    written = form.export(origin, tmp_path / ("net" + form.suffix), options)
    assert not written.report.faults
    record = json.loads(json.dumps(written.report.to_record(), allow_nan=False))
    held_out = origin.held_out()
    expected = np.mean((_logits(held_out.images) > 0) == held_out.labels)
    assert 0.6 < expected < 0.95
    assert record["accuracy"]["evaluation graph" if "evaluation graph" in record["accuracy"] else "float"] == (
        pytest.approx(expected, abs=0.02)
    )
    assert all(found["top1"] >= 0.98 for found in record["outputs"].values())


def _logits(images):
    with EvaluationGraph(NETWORK, book_of(NETWORK, INT8), STATE) as graph:
        return graph.logits(images)[:, 0]


def test_decisions_are_compared_at_the_zero_point_and_0_agrees_with_both():
    expected, found = np.array([[3], [5], [4], [4], [-9]]), np.array([[5], [5], [9], [1], [3]])
    assert same_top1(expected, found, 4).tolist() == [False, True, True, True, True]


@pytest.mark.parametrize("name", ["tflite", "onnx", "onnx-float", "c"])
def test_a_softmax_of_one_logit_is_refused(name, tmp_path):
    with pytest.raises(ExportError, match="'out' has a single output, whose softmax is always 1"):
        FORMATS[name].export(source(), tmp_path / ("net" + FORMATS[name].suffix), {"softmax": True})


@pytest.mark.filterwarnings("ignore:distutils Version classes")
def test_the_graph_has_the_probability_of_class_1_and_the_class(tmp_path):
    import tensorflow.compat.v1 as tf

    origin = source()
    written = FORMATS["savedmodel"].export(origin, tmp_path / "net", {})
    images = origin.held_out().images
    with tf.Session(graph=tf.Graph()) as session:
        loaded = tf.saved_model.load(session, ["serve"], str(written.paths[0]))
        outputs = loaded.signature_def["serving_default"].outputs
        names = {name: outputs[name].name for name in ("logits", "probabilities", "class")}
        source_name = next(iter(loaded.signature_def["serving_default"].inputs.values())).name
        found = session.run(names, {source_name: images})
    np.testing.assert_allclose(found["probabilities"], 1 / (1 + np.exp(-found["logits"])), rtol=1e-5)
    assert found["class"].tolist() == (found["logits"][:, 0] > 0).astype(int).tolist()


def test_the_readme_tells_how_to_read_the_logit(tmp_path):
    written = FORMATS["tflite"].export(source(), tmp_path / "net.tflite")
    (readme,) = [path for path in written.paths if path.name.endswith("README.md")]
    text = " ".join(readme.read_text(encoding="utf-8").split())
    assert "Classes, by index: 0 cat, 1 dog. The class is 1 if the single logit is positive, else 0." in text


def test_the_check_program_of_the_arrays_runs(tmp_path):
    FORMATS["npz"].export(source(), tmp_path / "net.npz")
    check = next(tmp_path.glob("*check.py"))
    run = subprocess.run([sys.executable, str(check)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.returncode == 0, run.stdout.decode()
    model = integer_model(NETWORK, book_of(NETWORK, INT8), STATE)
    assert model.logits.shape == (1,)
