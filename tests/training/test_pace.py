"""Intervals grow from the first to the longest, and periodic work never exceeds its fraction of time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatviz.training.pace import Pace, SnapshotPace


def times(pace, until, cost=0.0, tick=0.25):
    """Return the times at which work is done if it is polled every ``tick`` seconds."""
    now, found = 0.0, []
    while now < until:
        if pace.is_due(now):
            found.append(now)
            pace.done(now, now + cost)
            now += cost
        now += tick
    return found


def test_intervals_double_up_to_the_longest():
    assert times(Pace(0.0, 0.5, 4.0, 0.01), 20.0) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5]


def test_a_restart_shortens_intervals_without_delay():
    pace = Pace(0.0, 0.5, 4.0, 0.01)
    for now in (0.5, 1.5, 3.5):
        pace.done(now, now)
    assert not pace.is_due(5.0)
    pace.restart(5.0)
    assert not pace.is_due(5.25) and pace.is_due(5.5)
    pace.restart(5.25)
    assert pace.is_due(5.5)


def test_known_slow_work_is_delayed_even_at_first_and_after_a_restart():
    pace = Pace(0.0, 0.5, 4.0, 0.01, cost_s=1.0)
    pace.restart(10.0)
    assert not pace.is_due(98.0) and pace.is_due(99.0)


@given(st.floats(1e-4, 2.0), st.floats(0.01, 0.5), st.floats(0.1, 3.0))
def test_the_time_share_is_not_exceeded(cost, share, tick):
    until = 300.0
    found = times(Pace(0.0, 0.5, 4.0, share, cost), until, cost, tick)
    assert len(found) * cost <= share * (until + cost / share) * (1 + 1e-9)


@pytest.mark.parametrize("cost", [0.0, 0.001])
def test_cheap_work_is_not_delayed(cost):
    assert len(times(Pace(0.0, 0.5, 4.0, 0.01, cost), 20.0, cost)) == 7


def test_snapshots_rest_in_proportion_to_their_time_except_after_the_first():
    pace = SnapshotPace(10.0, rest=75, oldest_s=5.0)
    assert pace.is_due(10.0)
    pace.done(10.0, 10.5, 0.25)
    assert not pace.is_due(10.74) and pace.is_due(10.75)
    pace.done(11.0, 11.02, 0.25)
    assert not pace.is_due(12.51) and pace.is_due(12.53)
    pace.done(13.0, 13.02, 0.25, rest_share=0.5)
    assert not pace.is_due(13.76) and pace.is_due(13.78)
    pace.done(14.0, 14.001, 0.25)
    assert not pace.is_due(14.25) and pace.is_due(14.26)


@given(st.floats(1e-4, 10.0), st.floats(0.02, 2.0))
def test_the_newest_snapshot_is_never_older_than_allowed(cost, interval):
    pace, now = SnapshotPace(0.0, rest=75, oldest_s=2.0), 0.0
    for _ in range(5):
        pace.done(now, now + cost, interval)
        now += cost
        assert pace.is_due(now + 2.0 + 1e-6)


def test_a_rest_is_shorter_by_the_delays_of_recent_snapshots():
    pace = SnapshotPace(0.0, rest=100, oldest_s=2.0)
    pace.done(0.0, 0.1, 0.25)  # the first one is no measure
    pace.done(0.35, 0.45, 0.25)
    assert not pace.is_due(2.34) and pace.is_due(2.36)
    pace.done(2.75, 2.95, 0.25)  # 0.4 s late, because of a long step, and 0.2 s long
    assert not pace.is_due(4.34) and pace.is_due(4.36)
    pace.done(60.0, 60.1, 0.25)  # after a pause, which is no delay
    assert not pace.is_due(61.49) and pace.is_due(61.51)
    pace.done(62.0, 63.2, 0.25)
    assert not pace.is_due(64.19) and pace.is_due(64.21)


def test_snapshots_after_changes_use_at_most_half_of_the_time():
    pace = SnapshotPace(0.0, rest=75, oldest_s=2.0)
    pace.done(0.0, 0.1, 0.25)
    pace.done(1.0, 1.1, 0.25)
    pace.schedule_soon()
    assert not pace.is_due(1.19) and pace.is_due(1.21)
    pace.done(1.21, 1.31, 0.25)
    assert not pace.is_due(2.0)
    pace.schedule_soon()
    assert pace.is_due(2.0)


def test_an_urgent_snapshot_obeys_only_the_interval():
    pace = SnapshotPace(0.0, rest=75, oldest_s=20.0)
    pace.done(0.0, 0.1, 0.25)
    pace.done(1.0, 1.1, 0.25)
    assert not pace.is_due(8.0)
    pace.schedule_soon(0.25)
    assert not pace.is_due(1.3) and pace.is_due(1.36)
    pace.done(9.0, 9.1, 10.0)
    pace.schedule_soon(10.0)
    assert not pace.is_due(19.0) and pace.is_due(19.2)
