"""The choice of the state that is restored after a bad step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatviz.protocol.reasons import NonFiniteValue, SaveKind, SaveReason
from qatviz.protocol.run_state import RunState
from qatviz.training.recovery import GOOD_LOSS_FACTOR, Recovery

LOSS, STATE = NonFiniteValue.LOSS, NonFiniteValue.STATE


def state(step, value=0.0):
    return RunState(step, 0.0, None, {"w": np.array([value])}, "good", SaveReason(SaveKind.LAST_GOOD))


def recovery(*steps):
    """Return a recovery with confirmed states after 0 and ``steps`` training steps."""
    made = Recovery(state(0), 1.0, 0.0)
    for step in steps:
        assert made.propose(state(step))
        made.accept(1.0)
    return made


def test_the_newest_confirmed_state_is_restored_after_a_bad_loss():
    made = recovery(10, 20)
    made.propose(state(30))
    assert made.fall_back(LOSS).step == 20
    made.accept(1.0)  # the state that was not confirmed is discarded
    assert made.fall_back(STATE).step == 10


def test_a_state_is_not_confirmed_by_a_diverged_loss_nor_if_it_is_not_finite():
    made = recovery()
    made.accept(2.0)
    made.propose(state(10))
    made.accept(2.0 * GOOD_LOSS_FACTOR * 1.01)
    assert made.fall_back(LOSS).step == 0
    assert not made.propose(state(20, np.nan))
    made.accept(1.0)
    assert made.fall_back(LOSS).step == 0


def test_weights_that_are_not_finite_accuse_the_state_they_were_trained_from():
    """Its gradient may be infinite, so that no learning rate would help."""
    made = recovery(10)
    made.propose(state(10))  # settings changed
    made.accept(1.0)
    assert made.fall_back(STATE).step == 0


def test_a_state_from_which_the_run_fails_twice_is_not_restored_again():
    made = recovery(10, 20)
    for restored in (20, 10, 0, 0):
        good = made.fall_back(LOSS)
        assert good.step == restored
        made.restart(good)
        made.accept(1.0)


def test_a_newer_good_state_ends_the_search():
    made = recovery(10, 20)
    made.restart(made.fall_back(LOSS))
    for step in (20, 30):
        made.propose(state(step))
        made.accept(1.0)
    assert made.fall_back(LOSS).step == 30


@pytest.mark.parametrize("to, restored", [(15, 10), (5, 5)])
def test_states_of_an_abandoned_branch_are_not_restored(to, restored):
    made = Recovery(state(9), 1.0, 0.0)
    for step in (10, 20, 30):
        made.propose(state(step))
        made.accept(1.0)
    made.restart(state(to))
    assert made.fall_back(LOSS).step == restored


@given(st.lists(st.tuples(st.sampled_from(["train", "keep", "loss", "state"]), st.integers(1, 9)), max_size=40))
def test_a_restored_state_is_finite_and_not_in_the_future(actions):
    made, step = recovery(), 0
    for action, number in actions:
        if action == "train":
            step += number
            made.accept(1.0)
        elif action == "keep":
            made.propose(state(step))
        else:
            good = made.fall_back(LOSS if action == "loss" else STATE)
            assert good.is_finite and good.step <= step
            step = good.step
            made.restart(good)


def test_a_loss_that_is_computed_in_another_way_confirms_states():
    made = recovery(10)
    made.propose(state(20))
    made.forget_loss()
    made.accept(3 * GOOD_LOSS_FACTOR)  # of a teacher at a high temperature
    assert made.fall_back(LOSS).step == 20
