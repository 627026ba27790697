"""The history compared with a naive one that keeps every row."""

import threading

import numpy as np
import pytest
from exhaustive import tries
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import join

from qatviz.protocol.branches import BranchPoint, BranchTree
from qatviz.telemetry.history import History

VALUES = st.floats(width=32, allow_nan=True, allow_infinity=True)


class Oracle:
    """All rows of a track at full resolution, on all branches."""

    def __init__(self):
        self.tree, self.rows = BranchTree(), {0: []}

    @property
    def branch(self):
        return self.tree.newest

    def add(self, step, position, row):
        self.rows[self.branch].append((step, position, row))

    def fork(self, parent):
        self.tree.add(self.branch + 1, parent)
        self.rows[self.branch] = []
        return self.branch

    def path(self):
        """Return the rows of each branch that led to the present state, in order."""
        path = self.tree.path()
        return [
            [row for row in self.rows[branch] if path.includes(BranchPoint(branch, *row[:2]))]
            for branch, _ in path.pieces
        ]

    def check(self, series, column, is_exact):
        """Check every bucket; rows may be missing only right before a restored state, and none if exact."""
        assert (series.first_step <= series.last_step).all()
        assert (series.first_step[1:] > series.last_step[:-1]).all()
        parts = self.path()
        rows = [row for part in parts for row in part]
        steps = np.array([step for step, _, _ in rows], np.int64)
        values = np.array([row[column] for _, _, row in rows], np.float32)
        begins = np.searchsorted(steps, series.first_step)
        ends = np.searchsorted(steps, series.last_step, side="right")
        told = {step for begin, end in zip(begins, ends) for step in steps[begin:end].tolist()}
        for part in parts[:-1]:
            missing = [step not in told for step, _, _ in part]
            assert missing == sorted(missing) and not (is_exact and any(missing))
        assert all(step in told for step, _, _ in parts[-1])
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
    st.sampled_from([(2, 1), (4, 3), (6, 2), (16, 5), (4096, 1024)]),
    st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.integers(1, 40), st.integers(1, 3)),
            st.tuples(st.just("extend"), st.integers(0, 40), st.integers(1, 3)),
            st.tuples(st.just("rewind"), st.floats(0, 1), st.floats(0, 1)),
        ),
        max_size=25,
    ),
    st.integers(0, 2**31 - 1),
)
def test_series_contain_only_rows_that_led_to_the_present_state(sizes, actions, seed):
    """Any state may be restored, even one on a discarded branch. With enough space, the series is exact."""
    random = np.random.RandomState(seed)
    history = History({"track": ["a", "b"]}, *sizes)
    oracle, step, position = Oracle(), 0, 0
    for action, amount, other in actions:
        if action == "rewind":
            branch = int(other * oracle.branch)
            states = [(0, 0), *((step, position) for step, position, _ in oracle.rows[branch])]
            if branch and len(states) > 1:
                del states[0]
            step, position = states[int(amount * (len(states) - 1))]
            point = BranchPoint(branch, step, position)
            if branch and not oracle.rows[branch]:
                point, step = oracle.tree.parent_of(branch), oracle.tree.parent_of(branch).step
            history.rewind(point, oracle.fork(point))
        else:
            steps = step + other * np.arange(1, amount + 1)
            values = random.normal(size=(amount, 2)).astype(np.float32)
            values[random.uniform(size=values.shape) < 0.2] = np.nan
            if action == "extend":
                history.extend("track", steps, values)
            else:
                for at, row in zip(steps, values):
                    history.append("track", int(at), row)
            for at, row in zip(steps.tolist(), values):
                oracle.add(at, 0, row)
            step = int(steps[-1]) if amount else step
        position = 0
    is_exact = sizes[0] == 4096
    for column, name in enumerate("ab"):
        oracle.check(history.series(name), column, is_exact)
    rows = [row for part in oracle.path() for row in part]
    if is_exact:
        assert history.last_step("track") == (rows[-1][0] if rows else None)
    capacity, recent = sizes
    limit = 2 * (capacity * 16 + 2 * recent * 4)
    steps_and_positions = (2 * capacity + 2 * recent) * 24
    assert history.nbytes <= 2 * limit + 2 * steps_and_positions


def test_rows_after_a_change_do_not_belong_to_the_state_before_it():
    history = History({"track": ["a"]})
    history.append("track", 5, np.array([1.0]), position=3)
    history.append("track", 10, np.array([2.0]), position=6)
    history.rewind(BranchPoint(0, 10, 5), 1)
    assert history.series("a").mean.tolist() == [1]
    history.append("track", 10, np.array([3.0]), position=1)
    assert history.series("a").mean.tolist() == [1, 3]
    history.rewind(BranchPoint(0, 10, 6), 2)
    assert history.series("a").mean.tolist() == [1, 2]
    history.rewind(BranchPoint(1, 10, 1), 3)
    assert history.series("a").mean.tolist() == [1, 3]


def test_returning_to_a_branch_restores_its_rows():
    history = History({"steps": ["loss"], "evaluations": ["accuracy"]}, capacity=2048, recent=16)
    rows = np.random.RandomState(0).normal(size=(2000, 1)).astype(np.float32)
    history.extend("steps", np.arange(1, 1001), rows[:1000])
    history.append("evaluations", 700, np.array([0.7]))
    before = [history.series(name) for name in ("loss", "accuracy")]
    history.rewind(BranchPoint(0, 500), 1)
    assert history.series("loss").last_step[-1] <= 500 and not len(history.series("accuracy").mean)
    history.extend("steps", np.arange(501, 801), rows[1000:1300])
    assert history.series("loss").last_step[-1] == 800
    assert history.steps_around("loss", 600, 700) == (599, 701) and history.steps_around("loss", 501, 800) == (
        500,
        None,
    )
    assert history.steps_around("accuracy", 600, 700) == (None, None)
    history.rewind(BranchPoint(0, 1000), 2)
    for was, now in zip(before, (history.series(name) for name in ("loss", "accuracy"))):
        for old, new in zip(was, now):
            np.testing.assert_array_equal(old, new)
    assert history.last_step("steps") == 1000
    history.append("steps", 1001, np.array([9.0]))
    assert history.series("loss").mean[-1] == 9


@pytest.mark.parametrize("rewinds", [3, 40, tries(200, 1500)])
def test_memory_does_not_grow_with_the_number_of_rewinds(rewinds):
    history = History({"track": [str(i) for i in range(8)]}, capacity=64, recent=16)
    rows = np.arange(200 * 8, dtype=np.float32).reshape(200, 8)
    history.extend("track", np.arange(1, 1001), np.zeros((1000, 8)))
    full = history.nbytes
    last = 1000
    for branch in range(1, rewinds + 1):
        back = 3 if branch % 3 else 150
        history.rewind(BranchPoint(branch - 1, last - back), branch)
        history.extend("track", np.arange(last - back + 1, last - back + 201), rows)
        last += 200 - back
        assert history.nbytes <= 2 * full
    series = history.series("0")
    assert series.last_step[-1] == last and (np.diff(series.last_step) > 0).all()
    assert series.maximum.max() == rows[:, 0].max()


def test_a_branch_cannot_be_started_twice():
    history = History({"track": ["a"]}, branch=3)
    assert history.branch == 3
    with pytest.raises(ValueError, match="3"):
        history.rewind(BranchPoint(0, 0), 3)
    history.rewind(BranchPoint(3, 0), 7)
    assert history.branch == 7


@settings(deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=300))
def test_the_extremes_of_the_whole_run_are_kept(values):
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


def test_infinities_are_extremes_and_affect_only_the_mean():
    history = History({"track": ["a"]}, capacity=2, recent=4)
    row = np.array([1, np.inf, -np.inf, 2] + [0] * 36, np.float32)
    history.extend("track", np.arange(40), row[:, np.newaxis])
    series = history.series("a")
    assert series.minimum[0] == -np.inf and series.maximum[0] == np.inf and np.isnan(series.mean[0])
    assert series.count.sum() == 40


@settings(deadline=None)
@given(st.integers(-5, 260), st.integers(-5, 260), st.integers(0, 250))
def test_a_range_query_returns_the_overlapping_part_of_the_series(start, stop, n):
    history = History({"track": ["a"]}, capacity=8, recent=4)
    history.extend("track", np.arange(1, n + 1), np.arange(n, dtype=np.float32)[:, np.newaxis])
    whole = history.series("a")
    touches = (whole.last_step >= start) & (whole.first_step <= stop) & (start <= stop)
    for part, column in zip(history.series("a", start, stop), whole):
        np.testing.assert_array_equal(part, column[touches])
    before, after = whole.last_step[whole.last_step < start], whole.first_step[whole.first_step > stop]
    assert history.steps_around("a", start, stop) == (max(before, default=None), min(after, default=None))


def test_recent_rows_are_kept_at_full_resolution():
    history = History({"track": ["a"]}, capacity=4, recent=10)
    history.extend("track", np.arange(1000), np.arange(1000, dtype=np.float32)[:, np.newaxis])
    newest = [column[-10:].tolist() for column in history.series("a")]
    assert newest == [list(range(990, 1000))] * 5 + [[1] * 10]


def test_tracks_have_independent_steps():
    history = History({"steps": ["loss", "rate"], "evaluations": ["accuracy"]})
    for step in range(1, 101):
        history.append("steps", step, np.array([step, 0], np.float32))
        if step % 50 == 0:
            history.append("evaluations", step, np.array([step / 100], np.float32))
    assert len(history.series("loss").count) == 100
    assert history.series("accuracy").first_step.tolist() == [50, 100]
    assert history.series("accuracy").mean.tolist() == [0.5, 1.0]
    assert history.names("steps") == ("loss", "rate")
    assert "loss" in history and "nothing" not in history
    step, values = history.latest("steps")
    assert (step, values.tolist()) == (100, [100, 0])
    history.rewind(BranchPoint(0, 60), 1)
    assert history.last_step("steps") == 60 and history.last_step("evaluations") == 50
    assert history.latest("steps")[0] == 60
    history.rewind(BranchPoint(0, -1), 2)
    assert history.last_step("steps") is None and history.latest("steps") is None


def test_series_are_read_only_copies():
    history = History({"track": ["a"]})
    history.append("track", 1, np.array([1], np.float32))
    series = history.series("a")
    for array in (*series, history.latest("track")[1]):
        assert not array.flags.writeable
    history.rewind(BranchPoint(0, 0), 1)
    history.append("track", 1, np.array([2], np.float32))
    assert series.mean.tolist() == [1]


@pytest.mark.parametrize(
    "act, message",
    [
        (lambda h: h.append("track", 4, np.zeros(2)), "step 4 is before step 5"),
        (lambda h: h.append("track", 6, np.zeros(3)), r"\(3,\)"),
        (lambda h: h.extend("track", [5, 6], np.zeros((2, 2))), "step 5 is not after step 5"),
        (lambda h: h.extend("track", [7, 7], np.zeros((2, 2))), "ascend"),
        (lambda h: h.extend("track", [7], np.zeros((2, 2))), r"\(2, 2\)"),
    ],
)
def test_invalid_rows_are_refused_without_effect(act, message):
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
def test_invalid_layouts_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        History(*arguments)


def test_a_full_history_does_not_grow():
    history = History({"track": [str(i) for i in range(8)]}, capacity=64, recent=16)
    rows = np.zeros((200, 8), np.float32)
    for block in range(20):
        history.extend("track", np.arange(200 * block, 200 * (block + 1)), rows)
        if block == 4:
            full = history.nbytes
    assert history.nbytes == full
    assert full <= 8 * (64 * 16 + 32 * 4) + (3 * 64 + 2 * 32) * 8


def test_readers_see_complete_rows_during_writes():
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
