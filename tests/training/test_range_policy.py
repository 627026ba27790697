"""Times at which held ranges of weights are searched again, for all pairs of settings."""

import itertools

import numpy as np
import pytest
from small_runs import mlp

from qatviz.network.plan import quantization_plan
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant import ranges
from qatviz.quant.live_state import initial_ranges, layout
from qatviz.settings import FROZEN, MIN_MAX, MSE, PERCENTILE
from qatviz.training.range_policy import (
    CAPTURE,
    KEEP,
    SEARCH,
    SEARCH_INTERVAL,
    actions_at_step,
    actions_on_change,
    held_ranges,
)

PLAN = quantization_plan(mlp())
PLACE = layout(PLAN)
METHODS = (MIN_MAX, PERCENTILE, MSE, FROZEN)


def book(method, freeze):
    started = SettingsBook.from_preset(PLAN, "tflite-int8", {"range_method": method})
    return started.change([("run.freeze_ranges", freeze)])[0]


@pytest.mark.parametrize(
    "old, new",
    list(
        itertools.product([None, *itertools.product(METHODS, (False, True))], itertools.product(METHODS, (False, True)))
    ),
)
def test_searches_after_a_change_of_settings(old, new):
    actions = actions_on_change(PLACE, None if old is None else book(*old), book(*new))
    method, freeze = new
    if method in (PERCENTILE, MSE) and (not freeze or old is None):
        expected = SEARCH
    elif method == MIN_MAX and not freeze:
        expected = KEEP  # the held range is not in use
    elif old is None or old == (MIN_MAX, False):
        expected = CAPTURE  # the followed range is held from now on
    else:
        expected = KEEP  # it was held already
    assert actions == [expected] * len(PLACE.weights)


@pytest.mark.parametrize("method, freeze", list(itertools.product(METHODS, (False, True))))
def test_ranges_are_searched_at_their_period(method, freeze):
    for step in range(1, 2 * SEARCH_INTERVAL + 1):
        searches = step % SEARCH_INTERVAL == 0 and method in (PERCENTILE, MSE) and not freeze
        expected = SEARCH if searches else KEEP
        assert actions_at_step(PLACE, book(method, freeze), step) == [expected] * len(PLACE.weights)


def test_ranges_are_searched_per_tensor_and_per_channel():
    random = np.random.RandomState(0)
    weights = [random.standard_normal(PLACE.leaders[group].shape).astype(np.float32) for group in PLACE.weights]
    held = {name: value + 7 for name, value in initial_ranges(PLACE).items() if name.startswith("held")}
    found = held_ranges(PLACE, book(PERCENTILE, False), [SEARCH, KEEP], weights, held)
    low, high = ranges.percentile_range(weights[0], 99.9)
    first, second = PLACE.channels
    np.testing.assert_array_equal(found["held_channel_min"][first], low)
    np.testing.assert_array_equal(found["held_channel_max"][first], high)
    whole = ranges.percentile_range(weights[0].reshape(-1, 1), 99.9)
    assert (found["held_min"][0], found["held_max"][0]) == (whole[0][0], whole[1][0])
    assert (found["held_channel_min"][second] == 7).all() and found["held_min"][1] == 7
    assert (held["held_min"] == 7).all(), "the arrays that came in are left alone"
    captured = held_ranges(PLACE, book(PERCENTILE, False), [CAPTURE, CAPTURE], weights, held)
    assert [captured["held_max"][i] for i in range(2)] == [w.max() for w in weights]
