"""Exports of a network with several labels: every proof decides each label by the sign of its logit."""

import json

import numpy as np
import pytest
from export_cases import INT8
from integer_cases import book_of, network_of, state_of

from qatviz.data import from_arrays
from qatviz.errors import ExportError
from qatviz.export.formats import FORMATS
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.source import ExportSource
from qatviz.network.layers import Dense, ReLU

NETWORK = network_of((6,), (Dense, "dense", {"units": 12}), (ReLU, "relu", {}), (Dense, "out", {"units": 3}))
STATE = state_of(NETWORK)
NAMES = ("cat", "dog", "car")


def logits(images, quantized=True):
    with EvaluationGraph(NETWORK, book_of(NETWORK, INT8), STATE) as graph:
        return graph.logits(images, quantized)


def source():
    x = np.random.RandomState(0).standard_normal((160, 6)).astype(np.float32)
    y = logits(x, quantized=False) > 0
    y[::8] = ~y[::8]  # an accuracy that neither side has by chance
    data = from_arrays("labels", "a test", (x[:100], y[:100]), (x[100:], y[100:]), NAMES, task="multilabel")
    return ExportSource(NETWORK, book_of(NETWORK, INT8), STATE, data)


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"encodings"}))  # which have no outputs
def test_the_proof_of_every_format_decides_each_label_by_the_sign(name, tmp_path):
    form, options = FORMATS[name], {"rebuild": True} if name == "keras" else {}
    origin = source()
    written = form.export(origin, tmp_path / ("net" + form.suffix), options)
    assert not written.report.faults
    record = json.loads(json.dumps(written.report.to_record(), allow_nan=False))
    held_out = origin.held_out()
    expected = np.mean((logits(held_out.images) > 0) == held_out.labels)
    assert 0.6 < expected < 0.95
    scores = record["label_accuracy"]
    assert scores.get("evaluation graph", scores["float"]) == pytest.approx(expected, abs=0.02)
    assert all(found.get("top1") is None for found in record["outputs"].values())
    readme = next(path for path in written.paths if path.name.endswith("README.md")).read_text(encoding="utf-8")
    assert "Labels, by index: 0 cat, 1 dog, 2 car." in " ".join(readme.split())


@pytest.mark.filterwarnings("ignore:distutils Version classes")
def test_the_graph_has_the_probability_of_each_label(tmp_path):
    import tensorflow.compat.v1 as tf

    origin = source()
    written = FORMATS["savedmodel"].export(origin, tmp_path / "net", {})
    images = origin.held_out().images
    with tf.Session(graph=tf.Graph()) as session:
        loaded = tf.saved_model.load(session, ["serve"], str(written.paths[0]))
        signature = loaded.signature_def["serving_default"]
        names = {name: signature.outputs[name].name for name in ("logits", "probabilities", "labels")}
        found = session.run(names, {next(iter(signature.inputs.values())).name: images})
    np.testing.assert_allclose(found["probabilities"], 1 / (1 + np.exp(-found["logits"])), rtol=1e-5)
    assert found["labels"].tolist() == (found["logits"] > 0).astype(int).tolist()


@pytest.mark.parametrize("name", ["tflite", "onnx", "c"])
def test_a_softmax_of_labels_is_refused(name, tmp_path):
    with pytest.raises(ExportError, match="each output is the logit of one of several labels"):
        FORMATS[name].export(source(), tmp_path / ("net" + FORMATS[name].suffix), {"softmax": True})
