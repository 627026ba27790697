"""Several processes that want to write the same run: one does, the others are refused and change nothing."""

import os

import pytest
import tensorflow  # noqa: F401 - loaded while pytest collects, whose filters know the warnings of its import
from cli_calls import call, write_data
from exhaustive import tries
from test_cli_processes import OPTIONS, posix, start
from waiting import communicate

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


def test_a_lock_that_the_file_system_does_not_support_is_not_another_process(tmp_path, monkeypatch):
    """Some network file systems have no locks."""

    def unsupported(*_):
        raise OSError(95, os.strerror(95))

    monkeypatch.setattr("qatviz.telemetry.record.run_lock._lock", unsupported)
    data = write_data(tmp_path / "small.npz")
    answer = call("train", "--data", data, "--network", "mlp", "--out", tmp_path / "run", "--steps", 2)
    assert answer.code == 2 and f"run.lock: cannot be locked: {os.strerror(95)}" in answer.err
    assert "is being written" not in answer.err
