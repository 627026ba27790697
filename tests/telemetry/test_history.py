"""The history against a naive one that keeps every row."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import join

from qatviz.telemetry.history import History

VALUES = st.floats(width=32, allow_nan=True, allow_infinity=True)


class Oracle:
    """All rows of a track at full resolution."""

    def __init__(self):
        self.rows = {}

    def check(self, series, column):
        """Every bucket says what the rows between its steps say, and the buckets hold all rows."""
        assert (series.first_step <= series.last_step).all()
        assert (series.first_step[1:] > series.last_step[:-1]).all()
        steps = np.array(sorted(self.rows), np.int64)
        values = np.array([self.rows[step][column] for step in steps], np.float32)
        begins = np.searchsorted(steps, series.first_step)
        ends = np.searchsorted(steps, series.last_step, side="right")
        assert (ends - begins).sum() == len(steps)
        for i, (begin, end) in enumerate(zip(begins, ends)):
            assert (steps[begin], steps[end - 1]) == (series.first_step[i], series.last_step[i])
            present = values[begin:end][~np.isnan(values[begin:end])]
            assert series.count[i] == len(present)
            statistics = [series.minimum[i], series.maximum[i], series.mean[i]]
            if len(present):
                mean = present.astype(np.float64).mean()
                scale = np.abs(present).max()
                assert statistics[:2] == [present.min(), present.max()]
                np.testing.assert_allclose(statistics[2], mean, rtol=0, atol=1e-5 * scale + 1e-30)
            else:
                assert np.isnan(statistics).all()


@settings(deadline=None)
@given(
    st.sampled_from([2, 4, 6, 16]),
    st.integers(1, 5),
    st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.integers(1, 40), st.integers(1, 3)),
            st.tuples(st.just("extend"), st.integers(0, 40), st.integers(1, 3)),
            st.tuples(st.just("rewind"), st.floats(0, 1), st.just(0)),
        ),
        max_size=25,
    ),
    st.integers(0, 2**31 - 1),
)
def test_every_bucket_tells_the_truth(capacity, recent, actions, seed):
    random = np.random.RandomState(seed)
    history = History({"track": ["a", "b"]}, capacity, recent)
    oracle, step, n_seen = Oracle(), 0, 0
    for action, amount, stride in actions:
        if action == "rewind":
            target = int(amount * (step + 1))
            history.rewind(target)
            kept = history.last_step("track")
            gone = [s for s in oracle.rows if s > (0 if kept is None else kept)]
            n_gap = sum(1 for s in gone if s <= target)
            assert n_gap < max(1, 2 * n_seen / capacity + recent), "only a straddling bucket may go beyond the target"
            for s in gone:
                del oracle.rows[s]
            step = target
            continue
        n = int(amount)
        steps = step + stride * np.arange(1, n + 1)
        values = random.normal(size=(n, 2)).astype(np.float32)
        values[random.uniform(size=values.shape) < 0.2] = np.nan
        if action == "extend":
            history.extend("track", steps, values)
        else:
            for s, row in zip(steps, values):
                history.append("track", int(s), row)
        oracle.rows.update(zip(steps.tolist(), values))
        n_seen += n
        step = int(steps[-1]) if n else step
        assert history.last_step("track") == (max(oracle.rows) if oracle.rows else None)
    for column, name in enumerate("ab"):
        series = history.series(name)
        oracle.check(series, column)
        assert len(series.count) <= capacity + 2 * recent


@settings(deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=300))
def test_the_extremes_of_the_whole_run_survive(values):
    history = History({"track": ["a"]}, capacity=4, recent=2)
    for step, value in enumerate(values):
        history.append("track", step, np.array([value], np.float32))
    series = history.series("a")
    present = np.array(values, np.float32)
    present = present[~np.isnan(present)]
    assert series.count.sum() == len(present)
    if len(present):
        assert np.nanmin(series.minimum) == present.min()
        assert np.nanmax(series.maximum) == present.max()


def test_infinities_are_extremes_and_spoil_only_the_mean():
    history = History({"track": ["a"]}, capacity=2, recent=4)
    row = np.array([1, np.inf, -np.inf, 2] + [0] * 36, np.float32)
    history.extend("track", np.arange(40), row[:, np.newaxis])
    series = history.series("a")
    assert series.minimum[0] == -np.inf and series.maximum[0] == np.inf and np.isnan(series.mean[0])
    assert series.count.sum() == 40


@settings(deadline=None)
@given(st.integers(-5, 260), st.integers(-5, 260), st.integers(0, 250))
def test_a_range_is_the_part_of_the_series_that_touches_it(start, stop, n):
    history = History({"track": ["a"]}, capacity=8, recent=4)
    history.extend("track", np.arange(1, n + 1), np.arange(n, dtype=np.float32)[:, np.newaxis])
    whole = history.series("a")
    touches = (whole.last_step >= start) & (whole.first_step <= stop) & (start <= stop)
    for part, column in zip(history.series("a", start, stop), whole):
        np.testing.assert_array_equal(part, column[touches])


def test_recent_rows_are_kept_as_they_came():
    history = History({"track": ["a"]}, capacity=4, recent=10)
    history.extend("track", np.arange(1000), np.arange(1000, dtype=np.float32)[:, np.newaxis])
    newest = [column[-10:].tolist() for column in history.series("a")]
    assert newest == [list(range(990, 1000))] * 5 + [[1] * 10]


def test_tracks_have_steps_of_their_own():
    history = History({"steps": ["loss", "rate"], "evaluations": ["accuracy"]})
    for step in range(1, 101):
        history.append("steps", step, np.array([step, 0], np.float32))
        if step % 50 == 0:
            history.append("evaluations", step, np.array([step / 100], np.float32))
    assert len(history.series("loss").count) == 100
    assert history.series("accuracy").first_step.tolist() == [50, 100]
    assert history.series("accuracy").mean.tolist() == [0.5, 1.0]
    assert history.tracks == ["steps", "evaluations"] and history.names("steps") == ("loss", "rate")
    assert "loss" in history and "nothing" not in history
    step, values = history.latest("steps")
    assert (step, values.tolist()) == (100, [100, 0])
    history.rewind(60)
    assert history.last_step("steps") == 60 and history.last_step("evaluations") == 50
    history.rewind(-1)
    assert history.last_step("steps") is None and history.latest("steps") is None


def test_what_is_read_is_a_read_only_copy():
    history = History({"track": ["a"]})
    history.append("track", 1, np.array([1], np.float32))
    series = history.series("a")
    for array in (*series, history.latest("track")[1]):
        assert not array.flags.writeable
    history.rewind(0)
    history.append("track", 1, np.array([2], np.float32))
    assert series.mean.tolist() == [1]


@pytest.mark.parametrize(
    "act, message",
    [
        (lambda h: h.append("track", 5, np.zeros(2)), "step 5 is not after step 5"),
        (lambda h: h.append("track", 6, np.zeros(3)), r"\(3,\)"),
        (lambda h: h.extend("track", [5, 6], np.zeros((2, 2))), "step 5 is not after step 5"),
        (lambda h: h.extend("track", [7, 7], np.zeros((2, 2))), "ascend"),
        (lambda h: h.extend("track", [7], np.zeros((2, 2))), r"\(2, 2\)"),
    ],
)
def test_refuses_wrong_rows_and_stays_as_it_was(act, message):
    history = History({"track": ["a", "b"]})
    history.append("track", 5, np.zeros(2))
    with pytest.raises(ValueError, match=message):
        act(history)
    assert history.series("a").first_step.tolist() == [5]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (({"x": ["a"], "y": ["a"]},), "'a'"),
        (({"x": ["a"]}, 3), "3"),
        (({"x": ["a"]}, 0), "0"),
        (({"x": ["a"]}, 2, 0), "0"),
    ],
)
def test_refuses_wrong_layouts(arguments, message):
    with pytest.raises(ValueError, match=message):
        History(*arguments)


def test_a_full_history_grows_no_more():
    history = History({"track": [str(i) for i in range(8)]}, capacity=64, recent=16)
    rows = np.zeros((200, 8), np.float32)
    for block in range(20):
        history.extend("track", np.arange(200 * block, 200 * (block + 1)), rows)
        if block == 4:
            full = history.nbytes
    assert history.nbytes == full
    assert full <= 8 * (64 * 16 + 32 * 4) + (64 + 64 + 32) * 8


def test_readers_see_whole_rows_while_one_writes():
    history = History({"track": ["a", "b"]}, capacity=16, recent=8)
    done = threading.Event()
    errors = []

    def read():
        while not done.is_set():
            series = history.series("a")
            if len(series.count) and not (
                (series.minimum == series.first_step).all()
                and (series.maximum == series.last_step).all()
                and series.count.sum() == series.last_step[-1]
            ):
                errors.append(series)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    for step in range(1, 5001):
        history.append("track", step, np.array([step, -step], np.float32))
    done.set()
    join(*readers)
    assert not errors
