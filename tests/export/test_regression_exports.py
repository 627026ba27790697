"""Exports of a regression network: the proof of every format has its error and no classes."""

import json
import math

import numpy as np
import pytest
from export_cases import INT8
from integer_cases import book_of, network_of, state_of

from qatviz.data import from_arrays
from qatviz.export.formats import FORMATS
from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import run_codes
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import Agreement, compare_logits
from qatviz.export.proof.report import Exported, prove
from qatviz.export.proof.scores import score, score_codes
from qatviz.export.proof.unrun import prove_unrun
from qatviz.export.source import ExportSource
from qatviz.network.layers import Dense, ReLU

pytestmark = pytest.mark.usefixtures("quick_c")

NETWORK = network_of((6,), (Dense, "dense", {"units": 12}), (ReLU, "relu", {}), (Dense, "out", {"units": 2}))
STATE = state_of(NETWORK)
REACHED = Agreement(0.9, 1, 1.0)


def source():
    random = np.random.RandomState(0)
    x = random.standard_normal((60, 6)).astype(np.float32)
    y = (x[:, :2] * 3 + 0.5).astype(np.float32)
    data = from_arrays("numbers", "a test", (x, y), (x[:40], y[:40]))
    return ExportSource(NETWORK, book_of(NETWORK, INT8), STATE, data)


def proof(run, known=True):
    held_out = source().held_out()
    model = integer_model(NETWORK, book_of(NETWORK, INT8), STATE)
    exported = Exported(
        "a format", "a runtime", lambda codes: run(model, codes), lambda codes: run(model, codes), 123, REACHED
    )
    with EvaluationGraph(NETWORK, book_of(NETWORK, INT8), STATE) as graph:
        report = (
            prove(model, exported, graph, *held_out)
            if known
            else prove_unrun(model, exported, "there is none", "See elsewhere.", graph, *held_out)
        )
        return report, held_out, graph.logits(held_out.images).astype(np.float64)


def perfect(model, codes):
    return run_codes(model, codes, [op.output for op in model.ops])


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"encodings"}))  # which have no outputs
def test_the_proof_of_every_format_has_the_error_of_its_file(name, tmp_path):
    form, options = FORMATS[name], {"rebuild": True} if name == "keras" else {}
    written = form.export(source(), tmp_path / ("net" + form.suffix), options)
    assert not written.report.faults
    record = json.loads(json.dumps(written.report.to_record(), allow_nan=False))
    assert record["metric"] == "rmse" and "accuracy" not in record
    assert all(found.get("top1") is None for found in record["outputs"].values())
    assert len(record["rmse"]) >= 2
    # Close to each other, and far from the rounding error alone.
    assert max(record["rmse"].values()) == pytest.approx(min(record["rmse"].values()), rel=0.05)
    assert min(record["rmse"].values()) > 0.5
    assert (
        "RMSE on all 40 held-out examples: " in written.report.to_text() and "ccuracy" not in written.report.to_text()
    )


def test_the_error_is_computed_from_dequantized_outputs():
    report, (_, targets, *_), seen = proof(perfect)
    expected = math.sqrt(np.mean((seen - targets) ** 2))
    assert report.scores["evaluation graph"] == pytest.approx(expected, rel=1e-5)
    assert report.scores["file"] == report.scores["simulator"] == pytest.approx(expected, rel=1e-2)
    assert report.as_expected and report.outputs["file to simulator"] == (1.0, 0, None)
    assert "outputs" in report.to_text() and "top-1" not in report.to_text()


def test_the_proof_detects_a_wrong_regression_file():
    def wrong(model, codes):
        found = perfect(model, codes)
        return dict(found, out=found["out"] + 5)

    report = proof(wrong)[0]
    assert report.faults and not report.as_expected and "WRONG" in report.to_text()
    assert report.scores["file"] != report.scores["simulator"]


def test_the_error_of_a_file_that_was_not_run_is_omitted():
    report = proof(perfect, known=False)[0]
    record = report.to_record()
    assert set(record["rmse"]) == {"float", "evaluation graph", "simulator"} and report.as_expected
    assert "top-1" not in report.to_text() and "RMSE on all 40 held-out examples: float" in report.to_text()


def test_top_1_is_not_required_of_regression_outputs():
    codes = np.array([[1, 5], [7, 0]])
    assert compare_logits(codes, codes + 1, classes=False) == (0.0, 1, None)
    assert compare_logits(codes, codes, classes=False).reaches(REACHED)
    assert not compare_logits(codes, codes[:, ::-1]).reaches(Agreement(0.0, 9, 0.5))


def test_scores_of_classifiers_are_accuracies():
    model = integer_model(NETWORK, book_of(NETWORK, INT8), STATE)
    codes, labels = np.array([[1, 5], [7, 7], [0, -3]]), np.array([1, 1, 0])
    assert score(codes, labels) == score_codes(codes, model.logits, labels) == 2 / 3
