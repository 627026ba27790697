"""Minibatches: every epoch is a permutation, and the schedule is a pure function of (seed, step)."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qatviz.data import BatchSchedule
from qatviz.errors import SettingError

SIZES = {"n": st.integers(1, 200), "batch": st.integers(1, 90), "seed": st.integers(0, 2**70)}


@given(**SIZES)
@settings(max_examples=100, deadline=None)
def test_consecutive_batches_form_one_permutation_after_another(n, batch, seed):
    schedule = BatchSchedule(n, batch, seed)
    n_steps = -(-3 * n // batch)
    places = np.concatenate([schedule.indices(step) for step in range(n_steps)])
    for epoch in range(3):
        assert sorted(places[epoch * n : (epoch + 1) * n]) == list(range(n))


@given(step=st.integers(0, 10**9), **SIZES)
@settings(max_examples=100, deadline=None)
def test_indices_depend_on_seed_and_step_alone(n, batch, seed, step):
    used = BatchSchedule(n, batch, seed)
    for other in (step + 7, max(step - 3, 0), 0):
        used.indices(other)
    fresh = BatchSchedule(n, batch, seed).indices(step)
    np.testing.assert_array_equal(used.indices(step), fresh)
    assert fresh.dtype == np.int32 and fresh.shape == (batch,) and not fresh.flags.writeable


def test_seeds_and_epochs_differ():
    orders = {
        tuple(BatchSchedule(100, 100, seed).indices(step))
        for seed in (0, 1, 2, 2**32, 2**32 + 1, 2**40)
        for step in range(5)
    }
    assert len(orders) == 30


def test_the_stream_is_the_same_on_every_platform_and_version():
    schedule = BatchSchedule(4000, 64, 1234)
    digest = hashlib.sha256()
    for step in (0, 62, 63, 1000, 10**6):
        digest.update(schedule.indices(step).astype("<i4").tobytes())
    assert digest.hexdigest() == "20180513c8566378aa13285c809576eff3e11ebe55498482128c5e5ebf817d68"


def test_only_neighbouring_permutations_are_cached():
    schedule = BatchSchedule(10, 3, 0)
    for step in range(200):
        schedule.indices(step)
    assert len(schedule._permutations) <= 2


def test_a_batch_may_span_several_epochs():
    batch = BatchSchedule(3, 10, 0).indices(0)
    assert np.bincount(batch, minlength=3).tolist() in ([3, 3, 4], [3, 4, 3], [4, 3, 3])


@pytest.mark.parametrize(
    "arguments, found",
    [
        ((0, 1, 0), "number of examples is 0"),
        ((5, 0, 0), "batch size is 0"),
        ((5, 2.0, 0), "batch size is 2.0"),
        ((5, True, 0), "batch size is True"),
        ((5, 2**31, 0), "batch size is 2147483648"),
        ((5, 2, -1), "seed is -1"),
        ((5, 2, 1.5), "seed is 1.5"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, found):
    with pytest.raises(SettingError, match=found):
        BatchSchedule(*arguments)


def test_a_negative_step_is_a_value_error():
    with pytest.raises(ValueError, match="step is -1"):
        BatchSchedule(5, 2, 0).indices(-1)
