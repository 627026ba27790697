"""Exports of a network for masks: every proof has the mean IoU of the classes, or the metric of the run."""

import functools
import json

import numpy as np
import pytest
from export_cases import INT8
from integer_cases import book_of, network_of, state_of

from qatviz.data import from_arrays
from qatviz.errors import ExportError
from qatviz.export.formats import FORMATS
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.scores import score
from qatviz.export.source import ExportSource
from qatviz.metric import METRICS
from qatviz.network.layers import Conv2D, ReLU
from qatviz.training.scoring import SCORINGS, scores_of

pytestmark = pytest.mark.usefixtures("quick_c")

NETWORK = network_of(
    (6, 6, 2), (Conv2D, "conv", {"filters": 5}), (ReLU, "relu", {}), (Conv2D, "out", {"filters": 3, "kernel_size": 1})
)
STATE = state_of(NETWORK)
NAMES = ("sky", "sea", "land")


X = np.random.RandomState(0).standard_normal((120, 6, 6, 2)).astype(np.float32)


@functools.lru_cache(maxsize=None)
def predicted(quantized):
    """Return the class of each pixel of all examples in the evaluation."""
    with EvaluationGraph(NETWORK, book_of(NETWORK, INT8), STATE) as graph:
        return graph.logits(X, quantized).argmax(axis=3)


def source(**more):
    y = predicted(False).copy()
    y[::5] = (y[::5] + 1) % 3  # an IoU that neither side has by chance
    y[:, 0] = 255
    data = from_arrays("masks", "a test", (X[:60], y[:60]), (X[60:], y[60:]), NAMES)
    return ExportSource(NETWORK, book_of(NETWORK, INT8), STATE, data, **more)


def mean_iou(found, masks):
    counted = masks != 255
    pairs = [(counted & (found == label), counted & (masks == label)) for label in range(3)]
    return np.mean([(one & other).sum() / (one | other).sum() for one, other in pairs])


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"encodings"}))  # which have no outputs
def test_the_proof_of_every_format_has_the_mean_iou(name, tmp_path):
    form, options = FORMATS[name], {"rebuild": True} if name == "keras" else {}
    origin = source()
    written = form.export(origin, tmp_path / ("net" + form.suffix), options)
    assert not written.report.faults
    record = json.loads(json.dumps(written.report.to_record(), allow_nan=False))
    held_out = origin.held_out()
    np.testing.assert_array_equal(held_out.images, X[60:])
    expected = mean_iou(predicted(True)[60:], held_out.labels)
    assert 0.4 < expected < 0.9
    scores = record["mean_iou"]
    assert scores.get("evaluation graph", scores["float"]) == pytest.approx(expected, abs=0.03)
    assert all(found.get("top1") is None for found in record["outputs"].values())
    readme = next(path for path in written.paths if path.name.endswith("README.md")).read_text(encoding="utf-8")
    assert "Logits of each pixel, 6×6×3; its class is that of the largest of its logits. Classes, by index: 0 sky" in (
        " ".join(readme.split())
    )


def test_the_metric_of_the_run_replaces_that_of_the_task(tmp_path):
    origin = source(metrics=(METRICS["pixel_accuracy"],))
    written = FORMATS["npz"].export(origin, tmp_path / "net.npz", {})
    held_out = origin.held_out()
    expected = (predicted(True)[60:] == held_out.labels)[held_out.labels != 255].mean()
    record = written.report.to_record()
    assert record["metric"] == "pixel_accuracy" and "mean_iou" not in record
    assert record["pixel_accuracy"]["evaluation graph"] == pytest.approx(expected)
    assert record["held_out"]["pixel_accuracy"]["evaluation graph"] == pytest.approx(expected)
    assert "pixel accuracy on all 60 held-out examples" in written.report.to_text()


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_the_scores_of_proofs_are_those_of_evaluations(metric):
    """In NumPy, and from the parts of the graph."""
    import tensorflow.compat.v1 as tf

    random = np.random.RandomState(3)
    outputs = random.standard_normal((60, 2) if metric == "auc" else (60, 8)).astype(np.float32)
    labels = {
        "accuracy": random.randint(0, 8, 60),
        "top5": random.randint(0, 8, 60),
        "auc": random.randint(0, 2, 60),
        "label_accuracy": random.randint(0, 2, (60, 8)),
        "exact_match": np.where(random.rand(60, 1) < 0.5, outputs > 0, outputs < 0),
        "rmse": random.standard_normal((60, 8)),
    }.get(metric)
    if labels is None:
        outputs = random.standard_normal((60, 4, 5, 3)).astype(np.float32)
        labels = np.where(random.rand(60, 4, 5) < 0.2, 255, random.randint(0, 3, (60, 4, 5))).astype(np.uint8)
    else:
        labels = labels.astype(np.float32 if metric == "rmse" else np.int32)
    with tf.Graph().as_default(), tf.Session() as session:
        part = SCORINGS[metric].part(tf.constant(outputs), tf.constant(labels))
        parts = [np.array(session.run(part), np.float64)]
    expected = scores_of(METRICS[metric], parts, 60)[0]
    assert score(outputs, labels, METRICS[metric]) == pytest.approx(expected, rel=1e-6)
    assert expected > 0


@pytest.mark.filterwarnings("ignore:distutils Version classes")
def test_the_graph_has_the_class_and_the_probabilities_of_each_pixel(tmp_path):
    import tensorflow.compat.v1 as tf

    origin = source()
    written = FORMATS["savedmodel"].export(origin, tmp_path / "net", {})
    images = origin.held_out().images
    with tf.Session(graph=tf.Graph()) as session:
        loaded = tf.saved_model.load(session, ["serve"], str(written.paths[0]))
        signature = loaded.signature_def["serving_default"]
        names = {name: signature.outputs[name].name for name in ("logits", "probabilities", "class")}
        found = session.run(names, {next(iter(signature.inputs.values())).name: images})
    np.testing.assert_array_equal(found["class"], found["logits"].argmax(axis=3))
    assert found["class"].shape == (60, 6, 6)
    np.testing.assert_allclose(found["probabilities"].sum(axis=3), 1, rtol=1e-5)


@pytest.mark.parametrize("name", ["tflite", "onnx", "c"])
def test_a_softmax_of_pixels_is_refused(name, tmp_path):
    with pytest.raises(ExportError, match="each output is a logit of one of many pixels"):
        FORMATS[name].export(source(), tmp_path / "net", {"softmax": True})
