"""Learning-rate schedules equal those of TensorFlow and PyTorch, at every step."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from hypothesis import given
from hypothesis import strategies as st

from qatviz.learning_rate import CONSTANT, COSINE, EXPONENTIAL, ONE_CYCLE, SCHEDULES, STEP, rate_factor
from qatviz.settings import RunSettings

# OneCycleLR(max_lr=1, total_steps=40, pct_start=0.3, div_factor=25, final_div_factor=4) of PyTorch 2.14 at every third
# step, made with that program.
ONE_CYCLE_OF_PYTORCH = [0.04, 0.205666848, 0.588311122, 0.923801696, 0.996887544, 0.95097959, 0.855017857]
ONE_CYCLE_OF_PYTORCH += [0.719772451, 0.560422416, 0.394852138, 0.241644122, 0.117993416, 0.037777751, 0.01]
REFERENCES = {
    COSINE: lambda step, period, factor: tf.train.cosine_decay(1.0, step, period, factor),
    EXPONENTIAL: lambda step, period, factor: tf.train.exponential_decay(1.0, step, period, factor),
    STEP: lambda step, period, factor: tf.train.exponential_decay(1.0, step, period, factor, staircase=True),
}


@pytest.mark.parametrize("schedule", sorted(REFERENCES))
@pytest.mark.parametrize("period, factor", [(7, 0.5), (40, 0.03), (1, 0.9)])
def test_decays_equal_those_of_tensorflow(schedule, period, factor):
    with tf.Graph().as_default(), tf.Session() as session:
        step = tf.placeholder(tf.int32, [])
        decay = REFERENCES[schedule](step, period, factor)
        expected = [session.run(decay, {step: at}) for at in range(100)]
    # TensorFlow divides step by period in float32, which the power of step and exponential decay magnifies.
    np.testing.assert_allclose(
        [rate_factor(schedule, at, 0, period, factor) for at in range(100)], expected, rtol=1e-5, atol=1e-7
    )


def test_one_cycle_equals_that_of_pytorch_and_ends_at_the_factor():
    found = [rate_factor(ONE_CYCLE, step, 0, 40, 0.01) for step in range(0, 40, 3)]
    np.testing.assert_allclose(found, ONE_CYCLE_OF_PYTORCH, rtol=1e-7)
    assert rate_factor(ONE_CYCLE, 10**6, 0, 40, 0.01) == 0.01


def test_the_warm_up_rises_in_equal_parts_and_the_schedule_starts_after_it():
    found = [rate_factor(CONSTANT, step, 4, 10, 0.1) for step in range(6)]
    assert found == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    for schedule in SCHEDULES:
        first = rate_factor(schedule, 0, 0, 10, 0.1)
        assert [rate_factor(schedule, step, 4, 10, 0.1) for step in range(5)] == [
            0.25 * first * i for i in (1, 2, 3, 4, 4)
        ]
        after = [rate_factor(schedule, step, 4, 10, 0.1) for step in range(4, 60)]
        assert after == [rate_factor(schedule, step, 0, 10, 0.1) for step in range(56)]


@given(
    st.sampled_from(sorted(SCHEDULES)),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.integers(1, 10**9),
    st.floats(0.0, 1.0),
    st.floats(0.0, 100.0),
)
def test_no_schedule_exceeds_the_learning_rate(schedule, step, warmup, period, factor, rate):
    run = RunSettings(learning_rate=rate, lr_schedule=schedule, lr_period=period, lr_factor=factor, warmup_steps=warmup)
    assert 0.0 <= run.learning_rate_at(step) <= rate * (1 + 1e-12)


def test_a_constant_rate_is_exactly_the_one_that_is_set():
    assert all(RunSettings(learning_rate=0.1 + 0.2).learning_rate_at(step) == 0.1 + 0.2 for step in (0, 1, 10**9))
