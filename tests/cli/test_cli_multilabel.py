"""Several labels from the command line: outputs, records and reports have the accuracy of each and exact matches."""

import numpy as np
import pytest
import tensorflow  # noqa: F401 - loaded while pytest collects, whose filters know the warnings of its import
from cli_calls import call

OPTIONS = ("--network", "mlp", "--batch-size", 16, "--evaluation-interval", 20, "--steps", 40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("labels")
    x = np.random.RandomState(0).rand(240, 8).astype(np.float32)
    y = np.stack([x[:, 0] > 0.5, x[:, 1] + x[:, 2] > 1.2, x[:, 3] > 0.3], axis=1)
    np.savez(str(path / "labels.npz"), x=x, y=y)
    assert call("train", "--data", path / "labels.npz", *OPTIONS, "--out", path / "run").code == 0
    return path


def test_show_and_evaluate_have_both_metrics(folder):
    found = call("show", folder / "run", "--json").json
    assert found["metric"] == "label_accuracy" and found["description"]["task"] == "multilabel"
    assert found["description"]["loss"] == "binary_cross_entropy"
    (further,) = found["further"]
    assert further["metric"] == "exact_match" and 0 < further["exact_match"]["quantized"] < 1
    for mode, score in found["label_accuracy"].items():
        assert np.mean(found["label_accuracy_by_output"][mode]) == pytest.approx(score)
    again = call("evaluate", folder / "run", "--json").json
    assert again["label_accuracy"] == found["label_accuracy"] and again["further"] == found["further"]
    for text in (call("show", folder / "run").out, call("evaluate", folder / "run").out):
        row = next(line for line in text.splitlines() if line.startswith("exact match"))
        assert row.split()[-2] == f"{100 * further['exact_match']['quantized']:.1f}"


def test_the_report_has_both_metrics(folder):
    assert call("report", folder / "run", "--out", folder / "report.html").code == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Label accuracy by output after step 40" in page and ">exact match<" in page


def test_the_data_is_described_by_its_labels(folder):
    text = call("data", folder / "labels.npz").out
    assert "label     train      test" in text and "an example has any of 3 labels" in text
