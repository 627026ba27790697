"""``qatviz predictions``: flips, scores by class, examples as JSON and CSV."""

import csv

import numpy as np
import pytest
import tensorflow  # noqa: F401 - loaded while pytest collects, whose filters know the warnings of its import
from cli_calls import call, error_of
from small_runs import dataset

import qatviz
from qatviz.analysis.predictions import compare, confusion_of, ordered
from qatviz.telemetry.record.schema import DATABASE_NAME

STEPS, FINAL = 60, "final-00000060"


def noise(tiny):
    """Return noise that makes some held-out examples ambiguous."""
    return np.random.RandomState(1).standard_normal(tiny.x_test.shape).astype(np.float32) * 2


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predictions")
    tiny = dataset((8, 8, 1), classes=4)
    data = folder / "tiny.npz"
    np.savez(
        str(data), x_train=tiny.x_train, y_train=tiny.y_train, x_test=tiny.x_test + noise(tiny), y_test=tiny.y_test
    )
    options = ("--network", "mlp", "--data", data, "--steps", STEPS, "--batch-size", 8)
    options += ("--preset", "ternary", "--learning-rate", 0.01)
    answer = call("train", *options, "--quiet", "--out", folder / "run")
    assert answer.code == 0, answer.err
    return folder / "run"


@pytest.fixture(scope="module")
def found(run):
    return qatviz.predictions(run)


def test_json_agrees_with_the_api_and_the_recorded_accuracy(run, found):
    told = call("predictions", run, "--json").json
    (output,) = told["outputs"]
    (own,) = found.found.outputs
    comparison = compare(own)
    assert (told["checkpoint"], told["step"]) == (found.checkpoint, STEPS) == (FINAL, found.found.step)
    assert told["examples"] == told["held_out"] == 40 == len(output["samples"])
    assert output["flipped"] == int(comparison.flipped.sum())
    assert [sample["example"] for sample in output["samples"]] == ordered(comparison).tolist()
    assert output["confusion"]["quantized"] == confusion_of(own).quantized.tolist()
    recorded = call("show", run, "--json").json["accuracy"]
    assert output["accuracy"] == {"float": recorded["float"], "quantized": recorded["quantized"]}
    lost = [group["lost"] for group in output["groups"]]
    assert lost == sorted(lost, reverse=True) and sum(group["number"] for group in output["groups"]) == 40


def test_only_flipped_examples_of_a_class_are_written(run, found, tmp_path):
    path = tmp_path / "flipped.csv"
    answer = call("predictions", run, "--flipped", "--class", "1", "--csv", path)
    assert answer.code == 0, answer.err
    with open(str(path), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    (own,) = found.found.outputs
    comparison = compare(own)
    expected = ordered(comparison, True, own.targets == 1).tolist()
    assert [int(row["example"]) for row in rows] == expected
    for row, index in zip(rows, expected):
        assert row["target"] == "1" and row["flipped"] == "True"
        assert float(row["lost_margin"]) == pytest.approx(comparison.lost_margin[index], rel=1e-5)


def test_the_summary_and_tables_are_printed(run, found):
    answer = call("predictions", run)
    lines = answer.out.splitlines()
    flipped = int(compare(found.found.outputs[0]).flipped.sum())
    assert lines[0].startswith(f"{flipped} of 40 held-out examples flipped") and f"checkpoint {FINAL}" in lines[0]
    assert lines[2].split() == ["class", "examples", "float", "quantized", "lost"]
    assert "and 20 more examples, which --json has" in answer.out and answer.out.isascii()


def test_a_step_is_found_by_its_checkpoint(run):
    assert call("predictions", run, "--step", STEPS, "--json").json["checkpoint"] == FINAL
    assert "has no checkpoint of step 5; available: 60" in error_of("predictions", run, "--step", 5)


def test_errors_name_what_is_wrong(run, tmp_path):
    assert "--class is 'fish': expected one of 0, 1, 2, 3" in error_of("predictions", run, "--class", "fish")
    assert "--output is 'x'" in error_of("predictions", run, "--output", "x")
    assert "not contain the record" in error_of("predictions", tmp_path)
    refused = error_of("predictions", run, "--csv", run / DATABASE_NAME)
    assert "belongs to the record" in refused


def test_the_report_has_the_predictions(run, tmp_path):
    answer = call("report", run, "--predictions", "--out", tmp_path / "report.html")
    assert answer.code == 0, answer.err
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    section = page[page.index('id="predictions"') :].split("</section>")[0]
    assert "of 40 held-out examples flipped" in section and "data:image/png;base64," in section
