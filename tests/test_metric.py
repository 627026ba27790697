"""The metric of a task: its computation from a mean, and its text."""

import math

import pytest

from qatviz.errors import DataError
from qatviz.metric import ACCURACY, METRICS, RMSE, evaluated_metrics, metric_of
from qatviz.task import TASKS


def test_every_task_has_a_metric():
    assert {task: [metric.name for metric in evaluated_metrics("auto", task, 3)] for task in TASKS} == {
        "classification": ["accuracy"],
        "multilabel": ["label_accuracy", "exact_match"],
        "regression": ["rmse"],
        "segmentation": ["mean_iou", "pixel_accuracy"],
    }
    assert all(evaluated_metrics("auto", task, 3)[0] is metric_of(task) for task in TASKS)
    assert [metric.name for metric in evaluated_metrics("exact_match", "multilabel", 3)] == [
        "exact_match",
        "label_accuracy",
    ]
    assert {metric.task for metric in METRICS.values()} == set(TASKS)
    expected = "classification, multilabel, segmentation or regression"
    for task in ("x", "", None, 1, ["regression"]):  # a record can claim anything
        with pytest.raises(DataError, match="the task is .*: expected " + expected):
            metric_of(task)


def test_a_metric_is_computed_from_the_mean_over_the_examples():
    assert ACCURACY.of_mean(0.75) == 0.75
    assert RMSE.of_mean(6.25) == 2.5 and math.isnan(RMSE.of_mean(math.nan)) and RMSE.of_mean(math.inf) == math.inf


@pytest.mark.parametrize(
    "metric, value, text",
    [
        (ACCURACY, 0.9712, "97.1 %"),
        (ACCURACY, 1.0, "100.0 %"),
        (ACCURACY, 0.0, "0.0 %"),
        (ACCURACY, None, "–"),
        (ACCURACY, math.nan, "–"),
        (RMSE, 0.0, "0"),
        (RMSE, 0.0234567, "0.02346"),
        (RMSE, 1.5, "1.5"),
        (RMSE, 9999.6, "10,000"),
        (RMSE, 9999.4, "9999"),
        (RMSE, 48213.7, "48,214"),
        (RMSE, 1e-7, "1e-07"),
        (RMSE, math.inf, "inf"),
        (RMSE, 3.2e12, "3.2e+12"),
        (RMSE, None, "–"),
    ],
)
def test_text_of_a_metric(metric, value, text):
    assert metric.text(value) == text


def test_more_digits_on_request():
    assert ACCURACY.text(0.97126, 2) == "97.13 %" and RMSE.text(0.0234567, 2) == "0.023457"


def test_only_accuracies_are_fractions_of_the_examples():
    assert [metric.is_fraction for metric in (ACCURACY, RMSE)] == [True, False]


def test_a_listing_says_100_only_if_all_examples_are_right():
    scores = {"float": 0.9712, "file": 0.99996, "all": 1.0}
    assert ACCURACY.listing(scores) == "float 97.12 %, file 99.99 %, all 100.00 %"
    assert RMSE.listing({"float": 0.0231412, "file": 48213.4}) == "float 0.023141, file 48,213"
