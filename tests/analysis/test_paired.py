"""Differences of runs that train on the same batches."""

import numpy as np
import pytest
from compared_runs import run, track

from qatviz.analysis.comparison import EPOCHS, LOSS, SECONDS, STEPS, compare
from qatviz.analysis.paired import BLOCKS, PARTS, difference_curve, effect_of, effects_on_first, matched_runs, pairs_of


def losses(steps, values, **more):
    return run(tracks={LOSS: track(steps, values)}, **more)


def test_only_steps_of_both_runs_are_paired():
    a, b = losses([1, 2, 4, 5], [1.0, 2.0, 4.0, np.nan]), losses([2, 3, 4, 5], [3.0, 3.0, 3.0, 3.0])
    pairs = pairs_of(b, a)
    assert pairs.steps.tolist() == [2, 4] and pairs.differences.tolist() == [1.0, -1.0]
    assert pairs_of(a, losses([9], [1.0])) is None and pairs_of(a, run(tracks={"quantized": track([1], [1.0])})) is None


def test_steps_before_the_fork_are_left_out_of_two_forks_only():
    fork = losses([1, 2, 3], [5.0, 5.0, 5.0], first_step=2)
    assert pairs_of(fork, fork._replace(first_step=1)).steps.tolist() == [2, 3]
    assert pairs_of(fork, fork._replace(first_step=0)).steps.tolist() == [1, 2, 3], "the parent: its own steps"


def test_the_mean_has_the_standard_error_of_its_blocks():
    random = np.random.RandomState(0)
    noise = np.repeat(random.randn(BLOCKS * 5), 4)  # four consecutive steps are alike
    steps = np.arange(1, len(noise) + 1)
    pairs = pairs_of(losses(steps, 1.0 + noise), losses(steps, np.ones(len(noise))))
    effect = effect_of([pairs])
    assert effect.steps == len(noise) and effect.mean == pytest.approx(noise.mean())
    assert effect.error == pytest.approx(noise.reshape(BLOCKS, -1).mean(axis=1).std(ddof=1) / np.sqrt(BLOCKS))
    assert effect.error > 1.5 * noise.std(ddof=1) / np.sqrt(len(noise)), "that of independent steps is too small"
    assert effect.lower == (noise < 0).mean()
    assert np.isnan(effect_of([pairs_of(losses([1], [1.0]), losses([1], [2.0]))]).error) and effect_of([]) is None


def test_runs_are_matched_by_seed():
    comparison = compare([run("a0", seed=0), run("a1", seed=1), run("b1", seed=1), run("b2", seed=2)])
    matched = matched_runs(comparison, (2, 3), (0, 1))
    assert [(one.summary.name, other.summary.name) for one, other in matched] == [("b1", "a1")]
    alone = matched_runs(comparison, (0, 2, 3), (0,))
    assert [(one.summary.name, other.summary.name) for one, other in alone] == [("b1", "a0"), ("b2", "a0")]


def test_a_difference_of_few_points_has_no_band():
    curve = difference_curve([(losses([1, 2], [3.0, 5.0]), losses([1, 2], [1.0, 1.0]))], LOSS, STEPS)
    assert curve.x.tolist() == [1, 2] and curve.mean.tolist() == [2.0, 4.0]
    np.testing.assert_array_equal(curve.low, curve.high)
    assert difference_curve([(run(), losses([99], [1.0]))], LOSS, STEPS) is None


def test_a_long_difference_is_a_mean_with_a_band_that_contains_it():
    random, steps = np.random.RandomState(1), np.arange(1, 10 * PARTS * 10 + 1)
    pair = losses(steps, 2.0 + random.randn(len(steps))), losses(steps, np.zeros(len(steps)))
    curve = difference_curve([pair], LOSS, STEPS)
    assert len(curve.x) == PARTS and (np.diff(curve.x) > 0).all()
    assert ((curve.low <= 2.0) & (curve.high >= 2.0)).mean() > 0.85
    np.testing.assert_allclose(curve.high - curve.low, 2 * 1.96 / np.sqrt(100), rtol=0.3)


@pytest.mark.parametrize("axis, factor", [(STEPS, 1.0), (SECONDS, 0.5), (EPOCHS, 0.5)])
def test_differences_at_equal_steps_are_placed_on_each_axis(axis, factor):
    slow = run(tracks={LOSS: track(range(1, 11), np.arange(10.0), 2.0)})
    curve = difference_curve([(run(), slow)], LOSS, axis)
    np.testing.assert_allclose(curve.x, np.arange(1, 11) * factor)
    np.testing.assert_array_equal(curve.mean, np.zeros(10))


def fork(name, run_id="base", seed=0, step=4, values=1.0):
    one = run(name, tracks={LOSS: track(range(1, 9), np.full(8, values))}, seed=seed, first_step=step)
    return one._replace(about=dict(one.about, forked_from={"run_id": run_id, "step": step}))


def test_only_forks_of_one_checkpoint_and_seed_have_the_same_batches():
    others = [fork("b", values=3.0), fork("c", run_id="x"), fork("d", seed=1), fork("e", step=5), run("f")]
    effects = effects_on_first(compare([fork("a"), *others]))
    assert [effect is not None for effect in effects] == [False, True, False, False, False, False]
    assert (effects[1].mean, effects[1].steps) == (2.0, 4)
    assert effects[1].to_dict()["error"] is None, "four steps are too few for an error"
