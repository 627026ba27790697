"""Several processes that want to write the same run: one does, the others are refused and change nothing."""

import os
import signal
import time

import pytest
import tensorflow  # noqa: F401 - loaded while pytest collects, whose filters know the warnings of its import
from cli_calls import call, write_data
from exhaustive import tries
from test_cli_processes import OPTIONS, posix, start, wait_for_step
from waiting import communicate, wait_until

from qatviz.telemetry.outcome import read_outcome
from qatviz.telemetry.record.run_record import RunRecord

pytestmark = posix
#: Processes that begin the same run at the same time.
RIVALS = tries(3, 8)
ROUNDS = tries(1, 5)


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_of_several_processes_that_begin_the_same_run_one_does(tmp_path, round_):
    data, run = write_data(tmp_path / "small.npz"), tmp_path / "run"
    begin = ["train", "--data", data, *OPTIONS, "--out", run, "--quiet", "--seed"]
    rivals = [start(*begin, seed, "--steps", 30) for seed in range(RIVALS)]
    ends = [(rival, *communicate(rival)) for rival in rivals]
    won = [seed for seed, (rival, _, _) in enumerate(ends) if rival.returncode == 0]
    assert len(won) == 1, ends
    for rival, out, err in ends:
        if rival.returncode:
            lines = err.splitlines()
            assert (rival.returncode, out, len(lines)) == (2, "", 1)
            assert "is being written by process" in err or "contains a run already" in err
    record = RunRecord.read(run)
    assert record.description["seed"] == won[0] and record.steps().steps.tolist() == list(range(1, 31))
    assert read_outcome(record).ending == "finished"


def content(run):
    """Return {name: modification time} of the files in a run's directory that a run in progress does not write."""
    return {path.name: path.stat().st_mtime_ns for path in run.iterdir() if not path.name.startswith("run.sqlite")}


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_run_in_progress_is_unharmed_by_others_and_its_kill_releases_it(tmp_path, round_):
    data, run = write_data(tmp_path / "small.npz"), tmp_path / "run"
    first = start(
        "train", "--data", data, *OPTIONS, "--out", run, "--steps", "inf", "--set", "checkpoint_interval=3600"
    )
    try:
        wait_for_step(first, run, 20)
        wait_until(lambda: RunRecord.read(run).list_checkpoints(), "a checkpoint", pause=lambda: time.sleep(0.05))
        before = content(run)
        writing, record = f"is being written by process {first.pid}", "belongs to the record of a run"
        for arguments, words in (
            (["train", "--data", data, "--network", "mlp", "--out", run], writing),
            (["train", "--resume", run], writing),
            (["train", "--fork", run, "--out", run], writing),
            (["export", run, "--format", "savedmodel", "--out", run, "--verify", 8], "is not an earlier export"),
            (["export", run, "--format", "npz", "--out", run / "run.sqlite", "--verify", 8], record),
            (["export", run, "--format", "npz", "--out", run / "run.lock", "--verify", 8], record),
            (["report", run, "--out", run / "run.sqlite"], "not a report"),
            (["tensorboard", run, "--out", run], "contains files"),
        ):
            second = call(*arguments)
            assert second.code == 2 and words in second.err and "Traceback" not in second.err, second.err
        for arguments in (["show", run], ["evaluate", run], ["report", run, "--out", tmp_path / "r.html"]):
            assert call(*arguments).code == 0
        wait_for_step(first, run, RunRecord.read(run).last_step + 20)
        assert content(run) == before
    finally:
        first.send_signal(signal.SIGKILL)
        communicate(first)
    steps = RunRecord.read(run).last_step + 5
    again = call("train", "--data", data, "--network", "mlp", "--out", run)
    assert again.code == 2 and "contains a run already" in again.err
    assert call("train", "--resume", run, "--steps", steps, "--quiet").code == 0
    whole = tmp_path / "whole"
    assert call("train", "--data", data, *OPTIONS, "--out", whole, "--steps", steps, "--quiet").code == 0
    found, expected = RunRecord.read(run).steps(), RunRecord.read(whole).steps()
    assert found.steps.tolist() == expected.steps.tolist() == list(range(1, steps + 1))
    assert found.loss.tobytes() == expected.loss.tobytes() and found.values.tobytes() == expected.values.tobytes()


def test_a_lock_that_the_file_system_does_not_support_is_not_another_process(tmp_path, monkeypatch):
    """Some network file systems have no locks."""

    def unsupported(*_):
        raise OSError(95, os.strerror(95))

    monkeypatch.setattr("qatviz.telemetry.record.run_lock._lock", unsupported)
    data = write_data(tmp_path / "small.npz")
    answer = call("train", "--data", data, "--network", "mlp", "--out", tmp_path / "run", "--steps", 2)
    assert answer.code == 2 and f"run.lock: cannot be locked: {os.strerror(95)}" in answer.err
    assert "is being written" not in answer.err
