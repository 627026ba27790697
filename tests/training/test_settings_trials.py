"""Evaluations of settings that are not in effect, in a run that trains."""

import pytest
from small_runs import spec
from training_cases import Driver

from qatviz.protocol.commands import ChangeSettings, Evaluate, EvaluateSettings, Resume
from qatviz.protocol.events import CommandRejected, Evaluated
from qatviz.protocol.snapshots import StepRecord
from qatviz.protocol.trials import SettingsEvaluated
from qatviz.training import pieces

TWO_BITS = (("*.weights.num_bits", 2), ("dense1.weights.symmetric", True))


def is_trial(item):
    return isinstance(item, SettingsEvaluated)


def test_the_result_is_that_of_the_settings_once_they_are_in_effect(graphs):
    with Driver(spec(), paused=True) as driver:
        driver.send(Evaluate())
        before = driver.until_event(Evaluated)
        reply = driver.send(EvaluateSettings(TWO_BITS))
        trial = driver.until(is_trial)
        driver.send(Evaluate())
        again = driver.until_event(Evaluated, since=driver.news.index(before) + 1)
        driver.send(ChangeSettings(TWO_BITS))
        driver.send(Evaluate())
        after = driver.until_event(Evaluated, since=driver.news.index(again) + 1)
    assert again.scores == before.scores != trial.result.scores == after.scores
    assert trial.command_id == reply.id and trial.book.of("dense1.weights").num_bits == 2
    assert trial.result.num_examples == after.num_examples
    assert sum(isinstance(item, Evaluated) for item in driver.news) == 3, "it is no evaluation of the run"


def test_training_is_as_without_it(graphs):
    losses = []
    for commands in ((), (EvaluateSettings(TWO_BITS), EvaluateSettings((("*.num_bits", 3),)))):
        with Driver(spec(steps=12), paused=True) as driver:
            for command in commands:
                driver.run.send(command)
            driver.run.send(Resume())
            driver.until_step(12)
        losses.append({item.step: item.loss for item in driver.news if isinstance(item, StepRecord)})
        assert sum(map(is_trial, driver.news)) == len(commands)
    assert losses[0] == losses[1]


def test_settings_that_are_not_allowed_are_rejected_and_dropped_ones_reported(graphs, monkeypatch):
    monkeypatch.setattr(pieces, "LARGEST_PIECE", 1)  # hundreds of pieces
    with Driver(spec(), paused=True) as driver:
        answer = driver.send(EvaluateSettings((("dense1.weights.num_bits", 99),)))
        assert isinstance(answer, CommandRejected) and "99" in answer.message
        reply = driver.send(EvaluateSettings(TWO_BITS))
    dropped = driver.until(is_trial) if any(map(is_trial, driver.news)) else None
    assert dropped is not None and (dropped.result, dropped.command_id) == (None, reply.id), "the run has ended before"


def test_it_has_pairs_of_path_and_value():
    with pytest.raises(Exception, match="EvaluateSettings: assignments is 'x'"):
        EvaluateSettings("x")
