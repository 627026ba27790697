"""Points of series for drawing: reading, smoothing, time axis."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatviz.presentation.series import Clock, SeriesReader, estimates, nearest, smooth, thin, width_for
from qatviz.protocol.branches import BranchPoint
from qatviz.telemetry.history import History


def history_of(values, **options):
    history = History({"steps": ["x"]}, **options)
    append(history, values, 1)
    return history


def append(history, values, first):
    history.extend("steps", np.arange(first, first + len(values)), np.asarray(values, np.float32)[:, np.newaxis])


floats = st.lists(st.one_of(st.floats(-100, 100, width=32), st.just(float("nan"))), min_size=1, max_size=200)


@given(floats, st.sampled_from([1, 2, 4, 16, 64]))
def test_points_have_extremes_mean_and_number_of_their_rows(values, width):
    points = thin(history_of(values).series("x"), width)
    steps, values = np.arange(1, len(values) + 1), np.float32(values)
    groups = [values[steps // width == group] for group in np.unique(steps // width)]
    assert len(points.first) == len(groups)
    for i, group in enumerate(groups):
        present = group[~np.isnan(group)].astype(np.float64)
        assert points.count[i] == len(present)
        if len(present):
            assert (points.low[i], points.high[i]) == (present.min(), present.max())
            assert points.mean[i] == pytest.approx(present.mean(), abs=1e-4)
        else:
            assert np.isnan([points.low[i], points.high[i], points.mean[i]]).all()


def test_an_infinite_value_survives_without_a_warning():
    points = thin(history_of([1, np.inf, -np.inf, 2]).series("x"), 8)
    assert (points.low[0], points.high[0]) == (-np.inf, np.inf) and np.isnan(points.mean[0])


@given(st.floats(1, 1e7), st.integers(10, 2000))
def test_the_bucket_width_is_the_smallest_that_fits(steps, n):
    width = width_for(steps, n)
    assert width & (width - 1) == 0 and width * n >= steps and (width == 1 or width // 2 * n < steps)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=12), st.sampled_from([1, 4, 32]))
def test_incremental_reading_equals_full_reading(growth, width):
    """Incremental reading is exact as long as nothing was folded."""
    random = np.random.RandomState(sum(growth))
    history = History({"steps": ["x"]}, recent=8192)
    reader, done = SeriesReader(history), 0
    for n in growth:
        append(history, random.randn(n), done + 1)
        done += n
        points = reader.points("x", 0, 4000, width)
        for found, wanted in zip(points, thin(history.series("x", 0, 4000), width)):
            np.testing.assert_allclose(found, wanted)
    if done:
        assert reader.points("x", 0, 4000, width) is points, "nothing new: the same object"


def test_a_step_that_is_measured_again_has_its_newest_value():
    history = History({"evaluations": ["x"]})
    reader = SeriesReader(history)
    for step, value in ((5, 0.9), (8, 0.7), (8, 0.2)):
        history.append("evaluations", step, np.float32([value]))
        points = reader.points("x", 0, 100, 1)
        assert points.mean[-1] == np.float32(value) and reader.points("x", 0, 100, 1) is points
    assert points.first.tolist() == [5, 8]


def test_points_read_before_folding_keep_their_resolution():
    history = history_of(np.arange(1, 101), capacity=8, recent=8)
    reader = SeriesReader(history)
    before = reader.points("x", 0, 500, 1)
    append(history, np.arange(101, 401), 101)
    after = reader.points("x", 0, 500, 1)
    assert len(after.first) > len(before.first) >= len(history.series("x", 0, 100).first_step)
    assert after.count.sum() > 300 and (np.diff(after.first) > 0).all(), "all but the bucket of both"


def test_a_reader_drops_an_abandoned_branch():
    history = history_of(np.ones(100))
    reader = SeriesReader(history)
    reader.points("x", 0, 200, 1)
    history.rewind(BranchPoint(0, 40), 1)
    append(history, np.full(20, 5), 41)
    reader.forget()
    points = reader.points("x", 0, 200, 1)
    assert points.first[-1] == 60 and points.mean[39] == 1 and points.mean[40] == 5


def test_a_reader_reads_another_range_of_steps_on_request():
    reader = SeriesReader(history_of(np.arange(1, 2001), recent=4096))
    assert reader.points("x", 0, 100, 1).first[-1] >= 100
    points = reader.points("x", 900, 1000, 1)
    assert points.first[0] <= 900 and 1000 <= points.first[-1] < 1100
    assert len(reader.points("x", 0, 2000, 16).first) == 126


@pytest.mark.parametrize("width", [1, 4])
def test_the_nearest_points_on_either_side_are_read_however_far_they_are(width):
    """The line between two of them crosses the view."""
    history = History({"evaluations": ["x"]})
    reader = SeriesReader(history)

    def evaluate(step):
        history.append("evaluations", step, np.float32([step]))

    for step in (500, 1000):
        evaluate(step)
    assert reader.points("x", 1600, 1610, width).mean.tolist() == [1000]
    evaluate(4000)
    points = reader.points("x", 1600, 1610, width)
    assert points.mean.tolist() == [1000, 4000]
    evaluate(5000)
    assert reader.points("x", 1600, 1610, width) is points, "nothing new"
    assert reader.points("x", 100, 110, width).mean.tolist() == [500]
    assert reader.points("x", 5100, 5110, width).mean[-1] == 5000


def test_an_unknown_series_is_an_error():
    with pytest.raises(KeyError):
        SeriesReader(history_of([1])).points("y", 0, 1, 1)


def test_smoothing_keeps_constants_and_responds_with_its_time_constant():
    points = thin(history_of(np.concatenate([np.zeros(200), np.ones(400)])).series("x"), 1)
    smoothed = smooth(points, 50)
    np.testing.assert_allclose(smoothed[:200], 0, atol=1e-12)
    assert smoothed[249] == pytest.approx(1 - np.exp(-1), abs=0.02) and smoothed[-1] > 0.99
    np.testing.assert_allclose(smooth(thin(history_of(np.full(300, 3.0)).series("x"), 4), 20), 3)


def test_smoothing_is_nearly_the_same_in_coarse_points():
    values = np.sin(np.arange(2000) / 200.0)
    series = history_of(values, recent=2048).series("x")
    fine, coarse = thin(series, 1), thin(series, 8)
    at = [nearest(fine.step, step) for step in coarse.step]
    np.testing.assert_allclose(smooth(coarse, 100)[20:], smooth(fine, 100)[at][20:], atol=0.02)


def test_smoothing_continues_after_nonfinite_values():
    smoothed = smooth(thin(history_of([1, np.nan, np.inf, 1]).series("x"), 1), 10)
    np.testing.assert_allclose(smoothed, [1, np.nan, np.nan, 1])


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50, unique=True), st.floats(-10, 1010))
def test_nearest_returns_the_index_of_the_closest_value(values, wanted):
    x = np.sort(np.array(values))
    assert abs(x[nearest(x, wanted)] - wanted) == np.abs(x - wanted).min()


def test_nearest_of_no_values_is_none():
    assert nearest(np.zeros(0), 1.0) is None


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0.01, 9)), min_size=1, max_size=60))
def test_the_clock_reproduces_its_pairs_and_is_invertible(increments):
    clock, step, seconds, pairs = Clock(), 0, 0.0, []
    for ds, dt in increments:
        step, seconds = step + ds, seconds + dt
        clock.add(step, seconds)
        pairs.append((step, seconds))
    steps, times = np.array(pairs).T
    np.testing.assert_allclose(clock.seconds(steps), times)
    everywhere = np.linspace(0, 2 * step, 57)
    np.testing.assert_allclose(clock.steps(clock.seconds(everywhere)), everywhere, rtol=1e-6, atol=1e-6)


def test_the_clock_has_a_bounded_size_and_exact_ends():
    clock = Clock()
    for step in range(1, 20001):
        clock.add(step, step * 0.1)
    assert len(clock) <= 4096
    assert clock.seconds(20000) == pytest.approx(2000) and clock.seconds(7) == pytest.approx(0.7)


def test_steps_with_a_snapshot_are_exact_and_others_have_standard_errors():
    names = ["w/sqnr_db", "w/mse", "w/mse_clipping", "w/sqnr_db_error", "w/mse_error", "w/scale"]
    history = History({"steps": names, "snapshots": ["snapshot:" + name for name in names]}, capacity=2, recent=4)
    steps = np.arange(1, 13)
    rows = np.stack([30 + steps, 0.1 * steps, 0 * steps, 0.5 + 0 * steps, 0.01 * steps, steps], axis=1)
    history.extend("steps", steps, rows.astype(np.float32))
    for step in (2, 10):  # the second step is in a bucket with others
        history.append("snapshots", step, np.float32([99, 9, 8, 0, 0, 7]))
    found, errors = estimates(history, "w/sqnr_db", 9, 12)
    np.testing.assert_array_equal(found.mean, [39, 99, 41, 42])
    np.testing.assert_array_equal(errors, [0.5, 0, 0.5, 0.5])
    np.testing.assert_array_equal(estimates(history, "w/scale", 9, 12)[0].mean, [9, 7, 11, 12])
    assert not estimates(history, "w/scale", 9, 12)[1].any()
    np.testing.assert_allclose(estimates(history, "w/mse", 9, 12)[1], [0.09, 0, 0.11, 0.12], rtol=1e-6)
    # Of the parts of the error it is known that they are estimates, but not how good.
    np.testing.assert_array_equal(np.isnan(estimates(history, "w/mse_clipping", 9, 12)[1]), [1, 0, 1, 1])
    bucket, _ = estimates(history, "w/sqnr_db", 1, 4)
    assert 99 not in bucket.mean and (bucket.count > 1).any()
