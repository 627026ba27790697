"""The proof by values: agreement, faults and texts."""

import json

import numpy as np
import pytest

from qatviz.export.proof.values import Bar, compare_values, value_report
from qatviz.export.source import HeldOut

BAR = Bar(0.01, close=0.75, top1=0.5)


def report_of(found, expected=None, bar=BAR, labels=None):
    expected = np.float32([[1, 2], [-4, 3]]) if expected is None else expected
    held_out = HeldOut(np.zeros((len(expected), 3), np.float32), np.int32([1, 0]) if labels is None else labels)
    return value_report(
        {"format": "F", "network": "N", "runtime": "R", "step": 7},
        "evaluation graph",
        {"evaluation graph": expected, "file": np.float32(found)},
        held_out,
        {"file": 5, "float32 parameters": 1234},
        bar,
        ("mind this",),
    )


def test_differences_are_relative_to_the_largest_value():
    found = compare_values(np.float32([[1, 2], [-4, 3]]), np.float32([[1, 2.04], [-4, 3.2]]), 0.02)
    assert found.largest == pytest.approx(0.2, rel=1e-5) and found.relative == pytest.approx(0.05, rel=1e-5)
    assert (found.close, found.top1) == (0.75, 1.0)


def test_top_1_is_the_fraction_of_examples_with_the_same_largest_value():
    found = compare_values(np.float32([[1, 2], [-4, 3], [5, 5]]), np.float32([[2, 1], [-4, 3], [5, 4]]), 1.0)
    assert found.top1 == pytest.approx(2 / 3)
    assert compare_values(np.ones((2, 2)), np.ones((2, 2)), 0, classes=False).top1 is None


def test_a_perfect_file_is_as_expected():
    report = report_of([[1, 2], [-4, 3]])
    assert report.as_expected and not report.faults and report.outputs["file to evaluation graph"] == (0, 0, 1, 1)
    assert report.scores == {"evaluation graph": 0.5, "file": 0.5}
    text = report.to_text()
    for words in (
        "F of N, run in R",
        "file to evaluation graph",
        "100.00 %",
        "1,234 bytes",
        "note: mind this",
        "2 held-out",
    ):
        assert words in text
    assert "WRONG" not in text and "note: expected" not in text


@pytest.mark.parametrize(
    "found, as_expected", [([[1, 2], [-4, 3.1]], True), ([[1, 2.1], [-4, 3.1]], False), ([[2, 1], [-4, 3]], False)]
)
def test_agreement_below_the_bar_is_noted(found, as_expected):
    report = report_of(found, bar=Bar(0.01, 0.75, 0.75))
    assert report.as_expected == report.to_record()["as_expected"] == as_expected
    falls_short = not as_expected and not report.faults
    assert ("note: expected: 75.00 % of the values within 0.01" in report.to_text()) == falls_short


@pytest.mark.parametrize("found", [[[1, 2], [-4, 1]], [[1, np.nan], [-4, 3]], [[1, 2], [-np.inf, 3]]])
def test_differences_beyond_rounding_are_faults(found):
    report = report_of(found)
    assert report.faults and "WRONG: file to evaluation graph" in report.to_text()
    assert json.loads(json.dumps(report.to_record(), allow_nan=False))["faults"] == report.faults


def test_regression_outputs_have_an_error_and_no_top_1():
    targets = np.float32([[1, 2], [-4, 4]])
    report = report_of([[1, 2], [-4, 3.1]], labels=targets)
    assert report.scores["evaluation graph"] == pytest.approx(0.5) and report.scores["file"] == pytest.approx(0.45)
    assert report.to_record()["rmse"] == report.scores and report.as_expected
    text = report.to_text()
    assert (
        "RMSE on 2 held-out examples: evaluation graph 0.5, file 0.45" in text
        and "top-1" not in text
        and "%  " not in text.splitlines()[2]
    )


def test_golden_vectors_are_of_the_first_examples():
    expected = np.arange(80, dtype=np.float32).reshape(40, 2)
    golden = report_of(expected + 1, expected, labels=np.zeros(40, np.int32)).golden
    assert {name: len(part) for name, part in golden.items()} == dict.fromkeys(
        ("images", "labels", "expected_output", "file_output"), 16
    )
    np.testing.assert_array_equal(golden["file_output"], golden["expected_output"] + 1)
