"""The measured effect of a change of settings."""

from dataclasses import replace

import numpy as np
import pytest

from qatviz.analysis.effects import MIN_STEPS, SPAN_STEPS, TRANSIENT_STEPS, effect, tensors_of
from qatviz.metric import MODES
from qatviz.protocol.commands import ChangeSettings
from qatviz.protocol.events import Change, CommandApplied, Evaluated
from qatviz.protocol.snapshots import STEP_MEASURES
from qatviz.protocol.timeline import LoggedEvent
from qatviz.telemetry.history import History
from qatviz.telemetry.record.refill import extend_steps, history_names

TENSORS = ("a.weights", "b.weights")


def history_of(loss, sqnr_db=None, errors=None, **options):
    """Return a history whose step ``i + 1`` has ``loss[i]``, ``sqnr_db[tensor][i]`` and its standard error."""
    history = History(history_names(TENSORS), **options)
    loss = np.asarray(loss, np.float32)
    rows = np.zeros((len(loss), len(STEP_MEASURES), len(TENSORS)), np.float32)
    for measure, columns in (("sqnr_db", sqnr_db), ("sqnr_db_error", errors)):
        for tensor, values in (columns or {}).items():
            rows[:, STEP_MEASURES.index(measure), TENSORS.index(tensor)] = values
    extend_steps(history, np.arange(1, len(loss) + 1), np.stack([loss, loss], axis=1), rows)
    return history


def evaluated(step, quantized, position=0):
    scores = {name: 0.99 if name != "quantized" else quantized for name in MODES}
    return LoggedEvent(Evaluated(step, scores, 9, 1.0).placed(0, position, None))


def changed(step, position=0):
    command, change = ChangeSettings((("a.weights.num_bits", 4),)), Change("a.weights.num_bits", 8, 4)
    return LoggedEvent(CommandApplied(step, "a-1", command, (change,)).placed(0, position, None))


def step_function(n, at, before, after):
    return np.where(np.arange(1, n + 1) <= at, before, after)


def test_means_cover_the_steps_around_the_change_without_the_transient():
    loss = step_function(300, 100, 0.2, 0.3)
    loss[:50] = 9.0  # before the window
    loss[100 : 100 + TRANSIENT_STEPS] = 9.0
    loss[100 + TRANSIENT_STEPS + SPAN_STEPS :] = 9.0
    found = effect(history_of(loss), 100)
    assert found.loss == pytest.approx((0.2, 0.3)) and found.steps == SPAN_STEPS


def test_steps_of_the_neighbouring_changes_are_not_counted():
    loss = np.concatenate([np.full(80, 9.0), np.full(20, 0.2), np.full(30, 0.3), np.full(100, 7.0)])
    found = effect(history_of(loss), 100, previous=80, following=130)
    assert found.loss == pytest.approx((0.2, 0.3)) and found.steps == 30 - TRANSIENT_STEPS and found.complete


def test_accuracies_are_the_last_before_and_the_first_after_the_transient():
    history = history_of(np.ones(300))
    scores = ((20, None), (40, 0.90), (100, 0.97), (100, None), (109, 0.10), (140, None), (150, 0.95), (250, 0.99))
    assert scores[4][0] == 100 + TRANSIENT_STEPS - 1
    log = [changed(step) if score is None else evaluated(step, score) for step, score in scores]
    assert effect(history, 100, log=log).score == (0.97, 0.95)
    assert effect(history, 100, following=140, log=log).score is None
    assert effect(history, 20, log=log).score is None
    assert effect(history, 100).score is None


def test_an_evaluation_at_the_step_of_a_change_belongs_to_the_state_that_it_found():
    """A paused run is evaluated, changed and evaluated again, or changed first; results come while training goes on."""
    history = history_of(np.ones(300))
    log = [evaluated(50, 0.9), changed(100, 1), evaluated(100, 0.4, 2), evaluated(200, 0.8, 3), changed(200, 4)]
    log.append(evaluated(200, 0.1, 5))
    assert effect(history, 100, following=200, log=log).score == (0.9, 0.8)
    late = evaluated(100, 0.95, 1)  # of the state before the change, but known after it
    log[2:2] = [late]
    assert effect(history, 100, following=200, log=log).score == (0.95, 0.8)
    log[2] = replace(late, survives=False)
    assert effect(history, 100, following=200, log=log).score == (0.9, 0.8)


def test_sqnr_covers_only_the_changed_tensors():
    history = history_of(np.ones(200), {"a.weights": step_function(200, 100, 31, 12), "b.weights": np.full(200, 77)})
    found = effect(history, 100, ["a.weights"])
    assert found.sqnr_db == pytest.approx((31, 12)) and found.num_tensors == 1
    assert effect(history, 100, TENSORS).sqnr_db == pytest.approx((54, 44.5))
    assert effect(history, 100).sqnr_db is None


@pytest.mark.parametrize(
    "errors, expected, text",
    [
        ((0.0, 0.0), (0.0, 0.0), "31.0 dB → 12.0 dB"),
        ((0.3, 0.4), (0.3, 0.4), "≈ 31.0 dB ± 0.3 → ≈ 12.0 dB ± 0.4"),
        ((np.nan, 0.4), None, "≈ 31.0 dB → ≈ 12.0 dB"),
    ],
)
def test_an_effect_on_a_sampled_tensor_has_a_standard_error(errors, expected, text):
    """All steps measure the same sample: averaging over tensors reduces the error, averaging over steps does not."""
    values = {"a.weights": step_function(200, 100, 31, 12), "b.weights": step_function(200, 100, 31, 12)}
    history = history_of(np.ones(200), values, dict.fromkeys(values, step_function(200, 100, *errors)))
    found = effect(history, 100, ["a.weights"])
    assert found.sqnr_db_errors == (expected if expected is None else pytest.approx(expected))
    assert text in found.describe()
    both = effect(history, 100, TENSORS)
    if expected is not None:
        assert both.sqnr_db_errors == pytest.approx([error / np.sqrt(2) for error in expected])


def test_values_that_are_not_finite_are_left_out():
    sqnr = step_function(200, 100, 31.0, 12.0)
    sqnr[[70, 120]] = np.nan
    sqnr[[71, 121]] = np.inf
    assert effect(history_of(np.ones(200), {"a.weights": sqnr}), 100, ["a.weights"]).sqnr_db == pytest.approx((31, 12))


def test_an_effect_is_complete_once_no_more_steps_can_count():
    short = history_of(np.ones(100 + TRANSIENT_STEPS + MIN_STEPS - 1))
    found = effect(short, 100)
    assert found.loss is None and not found.complete and "later" in found.describe()
    full = history_of(np.ones(300))
    assert not effect(full, 100).complete, "an evaluation is still to come"
    log = [evaluated(90, 0.9), changed(100), evaluated(200, 0.9)]
    assert effect(full, 100, log=log).complete
    assert "not enough" in effect(full, 100, following=101)._replace(score=None).describe()


def test_buckets_that_span_the_change_do_not_count():
    history = history_of(step_function(4000, 2001, 1.0, 2.0), capacity=512, recent=16)
    series = history.series("loss", 1990, 2010)
    assert (series.first_step < series.last_step).any(), "old steps are in buckets"
    assert effect(history, 2001).loss == pytest.approx((1, 2))


def test_an_effect_is_described_in_one_line():
    history = history_of(step_function(300, 100, 0.21, 0.34), {"a.weights": step_function(300, 100, 31, 12)})
    log = [evaluated(100, 0.971), changed(100), evaluated(200, 0.958)]
    assert effect(history, 100, ["a.weights"], log=log).describe() == (
        "loss 0.21 → 0.34 (50 steps), accuracy 97.1 % → 95.8 %, SQNR 31.0 dB → 12.0 dB"
    )


def test_changed_tensors_are_distinguished_from_run_settings():
    changes = [
        Change("run.learning_rate", 1, 2),
        Change("b.weights.num_bits", 8, 4),
        Change("b.weights.symmetric", 0, 1),
    ]
    assert tensors_of(changes, TENSORS) == ("b.weights",)
