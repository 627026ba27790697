"""Comparison of runs: alignment, groups, settings and measures that differ."""

import numpy as np
import pytest
from compared_runs import BOOK, run, track

from qatviz.analysis.comparison import (
    EPOCHS,
    LOSS,
    MOST_POINTS,
    SECONDS,
    STEPS,
    aligned_curve,
    compare,
    distinct_names,
    measure_rows,
    setting_rows,
    tensor_rows,
)
from qatviz.network import zoo
from qatviz.network.plan import quantization_plan
from qatviz.protocol.batch_division import BatchDivision
from qatviz.protocol.settings_book import SettingsBook
from qatviz.telemetry.run_summary import RunSummary


@pytest.mark.parametrize("axis, factor", [(STEPS, 1.0), (SECONDS, 0.5), (EPOCHS, 0.5)])
def test_a_curve_is_placed_on_each_axis(axis, factor):
    curve = aligned_curve([run()], LOSS, axis)
    np.testing.assert_allclose(curve.x, np.arange(1, 11) * factor)
    for part in curve[1:]:
        np.testing.assert_array_equal(part, np.arange(10.0))


def test_epochs_need_the_number_of_examples():
    assert aligned_curve([run(examples=None)], LOSS, EPOCHS) is None
    assert compare([run(), run(examples=None)]).axes() == (STEPS, SECONDS)
    assert compare([run()]).axes() == (STEPS, SECONDS, EPOCHS)


def test_the_mean_and_the_extremes_are_those_of_the_runs_that_reach_a_place():
    runs = [
        run(tracks={LOSS: track([0, 10, 20], [1.0, 2.0, 3.0])}),
        run(tracks={LOSS: track([0, 20], [3.0, 5.0])}),
        run(tracks={LOSS: track([0, 10], [8.0, 9.0])}),
    ]
    curve = aligned_curve(runs, LOSS, STEPS)
    assert curve.x.tolist() == [0, 10, 20]
    assert curve.mean.tolist() == [4.0, 5.0, 4.0]
    assert curve.low.tolist() == [1.0, 2.0, 3.0] and curve.high.tolist() == [8.0, 9.0, 5.0]


def test_a_long_curve_is_a_mean_over_equal_parts():
    steps = np.arange(50_000.0)
    values = np.sin(steps / 5000) + np.where(steps % 2, 1.0, -1.0)
    curve = aligned_curve([run(tracks={LOSS: track(steps, values)})], LOSS, STEPS)
    assert len(curve.x) == MOST_POINTS and (np.diff(curve.x) > 0).all()
    np.testing.assert_allclose(curve.mean, np.sin(curve.x / 5000), atol=0.02)
    both = aligned_curve([run(tracks={LOSS: track(steps, values + 1)})] * 2, LOSS, STEPS)
    assert len(both.x) <= MOST_POINTS
    np.testing.assert_allclose(both.mean, np.sin(both.x / 5000) + 1, atol=0.02)


def test_values_that_are_not_finite_are_left_out():
    curve = aligned_curve([run(tracks={LOSS: track([1, 2, 3], [1.0, np.nan, np.inf])})], LOSS, STEPS)
    assert curve.x.tolist() == [1] and curve.mean.tolist() == [1.0]
    assert aligned_curve([run(tracks={LOSS: track([1], [np.nan])})], LOSS, STEPS) is None
    assert aligned_curve([run(tracks={LOSS: track([], [])})], LOSS, STEPS) is None


def test_runs_that_differ_by_the_seed_only_are_a_group():
    four = [("*.weights.num_bits", 4)]
    runs = [run("x-s0"), run("y-s0", changes=four), run("x-s1", seed=1), run("y-s1", changes=four, seed=1)]
    runs.append(run("z")._replace(about=dict(run().about, batch_size=64)))
    found = compare(runs)
    assert found.groups == ((0, 2), (1, 3), (4,))
    assert [found.group_name(members) for members in found.groups] == ["x (2 runs)", "y (2 runs)", "z"]


def test_equal_names_are_numbered():
    summaries = [RunSummary("/a/x"), RunSummary("/b/x"), RunSummary("/b/y")]
    assert distinct_names(summaries) == ("x (1)", "x (2)", "y")


def settings(*runs):
    return {row.path: row.texts for row in setting_rows(compare(runs))}


def test_settings_of_all_tensors_are_one_row_and_others_a_row_each():
    assert settings(run(), run()) == {}
    assert settings(run(), run(changes=[("*.weights.num_bits", 4)], seed=3)) == {
        "seed": ("0", "3"),
        "*.weights.num_bits": ("8", "4"),
    }
    first = BOOK.plan.tensors[1].name
    assert settings(run(), run(changes=[(first + ".num_bits", 4), ("run.learning_rate", 0.5)])) == {
        "run.learning_rate": ("0.001", "0.5"),
        first + ".num_bits": ("8", "4"),
    }


def test_runs_on_several_workers_differ_from_others_only_with_own_moments():
    divided = [BatchDivision(2, workers=2), BatchDivision(2, workers=2, has_own_moments=True)]
    whole, same, other = (run(name, seed=index) for index, name in enumerate("abc"))
    same, other = (
        one._replace(summary=one.summary._replace(division=division)) for one, division in zip((same, other), divided)
    )
    assert compare([whole, same, other]).groups == ((0, 1), (2,))
    found = settings(whole, same, other)
    assert found["batch_division"] == ("1 device", "2 workers", "2 workers, batch norm by part")
    assert found["tower_moments"] == ("off", "off", "on")


def test_networks_without_a_tensor_have_no_setting_of_it():
    book = SettingsBook.from_preset(quantization_plan(zoo.build("lenet", (28, 28, 1), 10)), "tflite-int8")
    book, _ = book.change([("conv1.weights.num_bits", 3)])
    other = run()._replace(book=book)
    found = settings(run(), other)
    assert found["conv1.weights.num_bits"] == ("–", "3")


def measures(*runs):
    return {row.key: row for row in measure_rows(compare(runs))}


def test_measures_have_differences_to_the_first_run():
    scores = [
        {LOSS: track([1, 2], loss), "quantized": track([2], [score])}
        for loss, score in (([2, 1], 0.9), ([1, 0.5], 0.925))
    ]
    found = measures(run(tracks=scores[0], sqnr=30.0), run(tracks=scores[1], sqnr=20.0))
    assert found["quantized"].texts == ("90.0 %", "92.5 %")
    assert (found["quantized"].differences, found["quantized"].better) == (("", "+2.50 pp"), (0, 1))
    assert found["loss"].values == (1.5, 0.75) and found["loss"].better == (0, 1)
    assert found["loss"].differences[1].startswith("−0.75")
    assert found["sqnr_weights"].better == (0, -1) and found["sqnr_weights"].differences[1] == "−10.0 dB"
    assert found["weight_bytes"].differences == ("", "±0")
    nearly = [{"quantized": track([2], [score])} for score in (0.9, 0.9 - 1e-9)]
    row = measures(run(tracks=nearly[0]), run(tracks=nearly[1]))["quantized"]
    assert (row.differences, row.better) == (("", "±0"), (0, 0)), "what is shown as 0 is no difference"


def test_a_lower_error_is_better_and_other_metrics_are_not_compared():
    errors = [{"quantized": track([1], [value])} for value in (2.0, 1.0)]
    better = measures(run(tracks=errors[0], metric="rmse"), run(tracks=errors[1], metric="rmse"))["quantized"]
    assert better.better == (0, 1)
    other = measures(run(tracks=errors[0], metric="rmse"), run(tracks=errors[1], metric="accuracy"))["quantized"]
    assert (other.differences, other.better) == (("", ""), (0, 0)) and other.texts[1] == "100.0 %"


def test_a_measure_that_no_run_has_is_left_out():
    assert "sqnr_weights" not in measures(run(), run()) and "best" not in measures(run())
    assert measures(run(), run(sqnr=10.0))["sqnr_weights"].differences == ("", "")


def test_tensors_are_compared_by_name():
    rows = tensor_rows(compare([run(sqnr=30.0), run(sqnr=33.0), run()]))
    assert [row.key for row in rows] == [tensor.name for tensor in BOOK.plan.tensors]
    assert rows[0].texts[:2] == ("30.0 dB", "33.0 dB") and rows[0].values[2] is None
    assert rows[0].differences == ("", "+3.0 dB", "") and rows[0].better == (0, 1, 0)
