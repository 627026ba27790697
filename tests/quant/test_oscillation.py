"""Oscillation of weights in NumPy, against the definitions written out for one weight, and policies of changes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatviz.oscillation_settings import CONSTANT, COSINE, LINEAR, OSCILLATES, ramp
from qatviz.quant import oscillation as o
from qatviz.settings import WEIGHTS, RunSettings, quantizer_settings

FREEZING = quantizer_settings(WEIGHTS, num_bits=3, freeze_threshold=0.02)
TRACK = RunSettings(track_oscillation=True)


def states(levels, threshold=np.inf):
    """Yield the states of one weight after steps with ``levels``; a frozen one keeps its level."""
    state = o.Tracking(*(np.array(array) for array in o.empty_state(1).values()))
    for level in levels:
        held = state.frozen[0]
        state = o.tracked(state, np.array([level if held == o.NO_LEVEL else held], np.int32), threshold)
        yield state


@given(st.lists(st.integers(-4, 3), min_size=1, max_size=60))
def test_the_frequency_is_that_of_reversals(levels):
    """A reversal is a change of level against the direction of the change before it, however long ago that was."""
    changes = [(i, np.sign(b - a)) for i, (a, b) in enumerate(zip(levels, levels[1:]), 1) if a != b]
    reversals = {i for (_, before), (i, now) in zip(changes, changes[1:]) if now == -before}
    frequency = average = 0.0
    for step, (level, state) in enumerate(zip(levels, states(levels))):
        frequency = 0.01 * (step in reversals) + 0.99 * frequency
        average = level if step == 0 else 0.01 * level + 0.99 * average
        assert state.frequency[0] == pytest.approx(frequency, abs=1e-6)
        assert state.average[0] == pytest.approx(average, abs=1e-4)
        assert state.level[0] == level and state.frozen[0] == o.NO_LEVEL


def test_a_weight_over_the_threshold_is_frozen_to_the_code_of_its_average_and_stays():
    levels = [1, 2, 2, 2, 1, 2, 2, 1, 2, 2] * 20
    found = list(states(levels, 0.1))
    frozen = [state.frozen[0] for state in found]
    first = next(i for i, level in enumerate(frozen) if level != o.NO_LEVEL)
    assert found[first].frequency[0] > 0.1 >= found[first - 1].frequency[0]
    assert set(frozen[first:]) == {int(np.floor(found[first - 1].average[0] + 0.5))}
    assert found[-1].frequency[0] < found[first].frequency[0], "a frozen weight does not reverse"


def test_an_oscillating_weight_exceeds_the_limit_of_the_paper_and_a_drifting_one_does_not():
    *_, oscillating = states([0, 1] * 40)
    *_, drifting = states(list(range(-4, 4)))
    assert oscillating.frequency[0] > OSCILLATES and drifting.frequency[0] == 0


def test_dampening_is_the_gradient_of_the_squared_distance_to_the_level():
    weights = np.array([-0.9, -0.4, 0.1, 0.45, 2.0], np.float64)
    scale, low, high = 0.5, -1.0, 1.0

    def loss(w):
        return 0.3 * np.sum((quantized - np.clip(w, low, high)) ** 2)

    quantized = np.clip(np.floor(weights / scale + 0.5) * scale, low, high)  # a constant of the loss
    step = 1e-6
    expected = [(loss(weights + step * row) - loss(weights - step * row)) / (2 * step) for row in np.eye(5)]
    found = o.dampening_gradient(weights, quantized, np.clip(weights, low, high), 0.3)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found[-1] == 0, "a clipped weight has no gradient"


@pytest.mark.parametrize(
    "kind, expected", [(CONSTANT, [1, 1, 1, 1]), (LINEAR, [0, 0.25, 0.5, 1]), (COSINE, [0, 0.1464466, 0.5, 1])]
)
def test_ramps(kind, expected):
    assert [ramp(kind, step, 100) for step in (0, 25, 50, 300)] == pytest.approx(expected)
    run = RunSettings(freeze_schedule=kind, freeze_start=0.04, oscillation_period=100)
    assert o.threshold_at(0.01, run, 50) == pytest.approx(0.04 - 0.03 * expected[2])


def state_of(frequency=(0.0, 0.03, 0.05), average=(0.0, 1.4, -2.6), frozen=(o.NO_LEVEL,) * 3):
    arrays = o.empty_state(3)
    arrays["oscillation_level"][:] = 1
    arrays["oscillation_frequency"][:], arrays["oscillation_average"][:] = frequency, average
    arrays["frozen_levels"][:] = frozen
    return arrays


def adopted(old, new, runs=(TRACK, TRACK), **state):
    return o.adopted([3], [old], [new], runs, 10, state_of(**state))


def test_weights_over_the_threshold_are_frozen_when_it_is_set():
    found = adopted(replace(FREEZING, freeze_threshold=0.0), FREEZING)
    assert found["frozen_levels"].tolist() == [o.NO_LEVEL, 1, -3]
    # A lower threshold later freezes more, and lifts none.
    more = adopted(FREEZING, replace(FREEZING, freeze_threshold=0.01), frozen=(o.NO_LEVEL, 0, o.NO_LEVEL))
    assert more["frozen_levels"].tolist() == [o.NO_LEVEL, 0, -3]


@pytest.mark.parametrize(
    "change", [{"freeze_threshold": 0.0}, {"num_bits": 4}, {"enabled": False}, {"symmetric": True}]
)
def test_frozen_weights_are_lifted_when_the_threshold_is_0_or_the_grid_changes(change):
    found = adopted(FREEZING, replace(FREEZING, **change), frozen=(1, o.NO_LEVEL, 0))
    assert (found["frozen_levels"] == o.NO_LEVEL).all()
    is_known = "freeze_threshold" in change
    assert (found["oscillation_frequency"] > 0).any() == is_known, "levels of another grid are not compared"


@pytest.mark.parametrize("change", [{"trainable": False}, {"dampening": 0.1}, {"freeze_threshold": 0.5}])
def test_other_changes_keep_them(change):
    found = adopted(FREEZING, replace(FREEZING, **change), frozen=(1, o.NO_LEVEL, 0))
    assert found["frozen_levels"][[0, 2]].tolist() == [1, 0]


def test_what_is_tracked_no_more_is_forgotten():
    plain = replace(FREEZING, freeze_threshold=0.0)
    off = adopted(plain, plain, runs=(TRACK, RunSettings()))
    for name, array in o.empty_state(3).items():
        np.testing.assert_array_equal(off[name], array)
    assert not o.is_affected([plain], [plain], [RunSettings(), RunSettings(learning_rate=0.1)])
    assert o.is_affected([plain], [plain], [TRACK, RunSettings()])


@pytest.mark.parametrize("which", [(True, False), (False, True), (False, False)])
def test_the_levels_of_some_tensors_are_forgotten_and_those_of_others_stay(which):
    arrays = state_of(frozen=(1, o.NO_LEVEL, 0))
    before = {name: array.copy() for name, array in arrays.items()}
    found, empty = o.forgotten([2, 1], which, arrays), o.empty_state(3)
    is_forgotten = np.array([which[0], which[0], which[1]])
    for name in o.STATE:
        assert found[name].dtype == before[name].dtype
        np.testing.assert_array_equal(found[name][is_forgotten], empty[name][is_forgotten])
        np.testing.assert_array_equal(found[name][~is_forgotten], before[name][~is_forgotten])
        np.testing.assert_array_equal(arrays[name], before[name], "the argument is not changed")
