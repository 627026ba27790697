"""Exports of networks that decide by the sign of a logit: several labels, or one logit for two classes."""

import functools
import json
import subprocess
import sys
from typing import NamedTuple, Tuple

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

pytestmark = pytest.mark.usefixtures("quick_c")

X = np.random.RandomState(0).standard_normal((160, 6)).astype(np.float32)


class Case(NamedTuple):
    """Task whose outputs are decided by sign, and what its exports state."""

    task: str
    names: Tuple[str, ...]
    outputs: int
    metric: str
    decided: str  # output of the graph
    refusal: str  # of a softmax
    readme: str

    @property
    def network(self):
        last = (Dense, "out", {"units": self.outputs})
        return network_of((6,), (Dense, "dense", {"units": 12}), (ReLU, "relu", {}), last)

    @property
    def book(self):
        return book_of(self.network, INT8)

    def decisions(self, logits):
        return logits > 0 if self.outputs > 1 else logits[:, 0] > 0

    def source(self):
        y = self.decisions(evaluated(self, quantized=False))
        y[::8] = ~y[::8]  # an accuracy that neither side has by chance
        y = y.astype(np.int64)
        data = from_arrays(self.task, "a test", (X[:100], y[:100]), (X[100:], y[100:]), self.names, task=self.task)
        return ExportSource(self.network, self.book, state_of(self.network), data)


@functools.lru_cache(maxsize=None)
def evaluated(case, quantized):
    """Return the logits of all examples in the evaluation."""
    with EvaluationGraph(case.network, case.book, state_of(case.network)) as graph:
        return graph.logits(X, quantized)


LABELS = Case(
    "multilabel",
    ("cat", "dog", "car"),
    3,
    "label_accuracy",
    "labels",
    "each output is the logit of one of several labels",
    "Labels, by index: 0 cat, 1 dog, 2 car.",
)
ONE_LOGIT = Case(
    "classification",
    ("cat", "dog"),
    1,
    "accuracy",
    "class",
    "'out' has a single output, whose softmax is always 1",
    "Classes, by index: 0 cat, 1 dog. The class is 1 if the single logit is positive, else 0.",
)
CASES = pytest.mark.parametrize("case", [LABELS, ONE_LOGIT], ids=["several labels", "one logit"])


@CASES
@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"encodings"}))  # which have no outputs
@pytest.mark.always("*-several labels", "tflite-one logit", "onnx-one logit")
def test_the_proof_of_every_format_decides_by_the_sign(name, case, tmp_path):
    form, options = FORMATS[name], {"rebuild": True} if name == "keras" else {}
    origin = case.source()
    written = form.export(origin, tmp_path / ("net" + form.suffix), options)
    assert not written.report.faults
    record = json.loads(json.dumps(written.report.to_record(), allow_nan=False))
    held_out = origin.held_out()
    np.testing.assert_array_equal(held_out.images, X[100:])
    expected = np.mean(case.decisions(evaluated(case, quantized=True)[100:]) == held_out.labels)
    assert 0.6 < expected < 0.95
    scores = record[case.metric]
    assert scores.get("evaluation graph", scores["float"]) == pytest.approx(expected, abs=0.02)
    for found in record["outputs"].values():
        assert found["top1"] >= 0.98 if case is ONE_LOGIT else found.get("top1") is None
    readme = next(path for path in written.paths if path.name.endswith("README.md")).read_text(encoding="utf-8")
    assert case.readme in " ".join(readme.split())


def test_decisions_are_compared_at_the_zero_point_and_0_agrees_with_both():
    expected, found = np.array([[3], [5], [4], [4], [-9]]), np.array([[5], [5], [9], [1], [3]])
    assert same_top1(expected, found, 4).tolist() == [False, True, True, True, True]


@CASES
@pytest.mark.filterwarnings("ignore:distutils Version classes")
def test_the_graph_has_a_probability_and_a_decision_for_each_logit(case, tmp_path):
    import tensorflow.compat.v1 as tf

    origin = case.source()
    written = FORMATS["savedmodel"].export(origin, tmp_path / "net", {})
    images = origin.held_out().images
    with tf.Session(graph=tf.Graph()) as session:
        loaded = tf.saved_model.load(session, ["serve"], str(written.paths[0]))
        signature = loaded.signature_def["serving_default"]
        names = {name: signature.outputs[name].name for name in ("logits", "probabilities", case.decided)}
        found = session.run(names, {next(iter(signature.inputs.values())).name: images})
    np.testing.assert_allclose(found["probabilities"], 1 / (1 + np.exp(-found["logits"])), rtol=1e-5)
    assert found[case.decided].tolist() == case.decisions(found["logits"]).astype(int).tolist()


@CASES
@pytest.mark.parametrize("name", ["tflite", "onnx", "onnx-float", "c"])
def test_a_softmax_is_refused(name, case, tmp_path):
    with pytest.raises(ExportError, match=case.refusal):
        FORMATS[name].export(case.source(), tmp_path / ("net" + FORMATS[name].suffix), {"softmax": True})


def test_the_check_program_of_the_arrays_runs_for_one_logit(tmp_path):
    FORMATS["npz"].export(ONE_LOGIT.source(), tmp_path / "net.npz")
    check = next(tmp_path.glob("*check.py"))
    run = subprocess.run([sys.executable, str(check)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.returncode == 0, run.stdout.decode()
    model = integer_model(ONE_LOGIT.network, ONE_LOGIT.book, state_of(ONE_LOGIT.network))
    assert model.logits.shape == (1,)
