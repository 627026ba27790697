"""Sparklines: positions of points, and refreshing."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qatviz.gui.panels.layers.sparkline import REFRESH_S, Sparklines, normalized
from qatviz.telemetry.history import History, Series


def series(values):
    steps, values = np.arange(len(values)) * 3, np.array(values, np.float32)
    return Series(steps, steps, values, values, values, np.ones(len(values), np.int32))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # of a loaded machine
@given(
    st.lists(st.floats(-60, 90, width=32) | st.sampled_from([float("nan"), float("inf")]), max_size=200),
    st.integers(2, 80),
)
def test_points_lie_within_the_sparkline_and_their_number_is_bounded(values, count):
    points = normalized(series(values), count, 6.0)
    known = [value for value in values if np.isfinite(value)]
    if len(known) < 2:
        assert points is None
        return
    x, y = points
    assert len(x) == len(y) == min(len(known), count)
    assert x[0] == 0 and x[-1] == 1 and (np.diff(x) > 0).all()
    assert y.min() >= -1e-6 and y.max() <= 1 + 1e-6


def test_values_keep_their_order_and_small_noise_stays_flat():
    _, y = normalized(series([10, 30, 20]), 50, 6.0)
    assert y.tolist() == [0, 1, 0.5]
    _, y = normalized(series([10, 10.6]), 50, 6.0)
    assert y[1] - y[0] == pytest.approx(0.1, abs=1e-6) and y.mean() == pytest.approx(0.5)


def test_series_are_read_again_only_when_due():
    now = [0.0]
    lines = Sparklines("s:{}", clock=lambda: now[0])
    history = History({"track": ["s:a"]})
    lines.show(history)
    for step in range(4):
        history.append("track", step, np.array([step]))
    assert lines.polygon("a", 50, 20).count() == 4
    history.append("track", 9, np.array([9]))
    assert not lines.refresh_if_old() and lines.polygon("a", 50, 20).count() == 4
    now[0] += REFRESH_S
    assert lines.refresh_if_old() and lines.polygon("a", 50, 20).count() == 5
    assert lines.polygon("b", 50, 20) is None
    lines.show(None)
    assert lines.polygon("a", 50, 20) is None
