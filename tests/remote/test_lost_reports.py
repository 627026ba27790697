"""Reports that can't be processed and records that can't be read: the user gets a message, and later reports arrive."""

import os

import pytest
from recorded_samples import record_run
from waiting import wait_until

from qatviz.presentation.event_texts import record_failure_text
from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.telemetry.record.refill import STEPS
from qatviz.telemetry.record.schema import DATABASE_NAME


def failures_until(remote, condition):
    """Return the messages on lost data once ``condition(news)`` is true for all news of a run so far."""
    news = []
    wait_until(lambda: news.extend(remote.drain()) or condition(news))
    return [record_failure_text(item) for item in news if isinstance(item, events.RecordFailed)]


def has_ended(news):
    return any(isinstance(item, events.Finished) for item in news)


def test_reports_that_cannot_be_read_are_named_and_later_ones_arrive(stage, monkeypatch):
    remote, run = stage.staged()
    drain, faults = run.drain, [ValueError("a broken queue"), ValueError("again")]

    def failing():
        if faults:
            raise faults.pop(0)
        return drain()

    monkeypatch.setattr(run, "drain", failing)
    wait_until(lambda: not faults)
    run.end(events.Finished(run.step))
    (message,) = failures_until(remote, has_ended)
    assert message == (
        "Some data are missing in curves, and perhaps in the record: a report of the run can't be processed: "
        "ValueError: a broken queue. Training continues."
    )


@pytest.mark.parametrize("began", [False, True])
def test_a_report_that_cannot_be_processed_does_not_hide_the_end(stage, began):
    remote, run = stage.staged()
    hosted = stage.server.run(remote.hosted_id)
    hosted.began = began
    change = events.Change("nowhere.weights.num_bits", 8, 4)
    run.put(events.CommandApplied(run.step, "x", c.Pause(), (change,)), events.Finished(run.step))
    (message,) = failures_until(remote, has_ended)
    assert "a report of the run can't be processed" in message and "nowhere" in message
    run.end(events.Finished(run.step))
    if began:
        wait_until(lambda: not hosted.is_training)


def test_a_damaged_record_is_named_and_training_is_shown_on(stage, tmp_path):
    directory = str(tmp_path / "run")
    record_run(directory)
    remote, run = stage.staged(directory)
    wait_until(lambda: remote.history.last_step(STEPS) == 20)
    with open(os.path.join(directory, DATABASE_NAME), "r+b") as file:
        file.write(bytes(4096))
    for _ in range(2):  # the reason is given once
        remote._mirror.expect_filling()
        remote._request_missing(remote._mirror.tail)
        wait_until(lambda: not remote._mirror.is_filling)
    run.end(events.Finished(run.step))
    (message,) = failures_until(remote, has_ended)
    assert "the record on box can't be read" in message and directory in message
