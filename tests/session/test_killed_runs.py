"""``kill -9`` of a run, its resumption and its export: the record continues like an uninterrupted run's."""

import os
import random
import signal
import subprocess
import sys

import numpy as np
import pytest
from exhaustive import tries
from tensorflow_needed import needs_tensorflow
from waiting import communicate

from qatviz.errors import RecordError
from qatviz.telemetry.record.run_record import RunRecord

pytestmark = [needs_tensorflow, pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")]

STEPS = 40
#: Steps at which settings change.
CHANGES = 10, 25
#: Kills of the random test; QATVIZ_EXHAUSTIVE=1 asks for all 50.
KILLS = tries(2, 50)

# ``qatviz ARGUMENTS`` that kills itself at a call of a function, given as "MODULE/CLASS:NAME:NUMBER OF THE CALL:WHEN".
CHILD = """
import importlib, os, sys, time
from qatviz.telemetry.record import writer
from qatviz.training.checkpointer import Checkpointer
from qatviz.cli import main

writer.COMMIT_INTERVAL_S, due_step = float(sys.argv[1]), int(sys.argv[2])
where, name, number, when = sys.argv[3].split(":")
module, _, kind = where.partition("/")
owner = importlib.import_module(module)
owner = getattr(owner, kind) if kind else owner
function, calls, asked = getattr(owner, name), [0], [0]

def deadly(*arguments, **named):
    calls[0] += 1
    is_last = calls[0] == int(number)
    if is_last and when == "before":
        os.kill(os.getpid(), 9)
    result = function(*arguments, **named)
    if is_last:
        os.kill(os.getpid(), 9)
    return result

def is_due(*_):
    asked[0] += 1
    while asked[0] > due_step:  # no event may come, which would be committed with all before it
        time.sleep(1)
    return asked[0] == due_step

setattr(owner, name, deadly)
if due_step:
    Checkpointer.is_due = is_due
sys.exit(main(sys.argv[4:]))
"""
SAVE = "qatviz.telemetry.record.checkpoint_files/CheckpointFiles:save"
#: A moment that does not come, and an interval that does not end.
NEVER, NEVER_S = f"{SAVE}:0:after", 3600.0


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A small data set that trains in milliseconds."""
    chance = np.random.RandomState(0)
    labels = np.arange(240) % 4
    images = chance.rand(240, 6, 6, 1).astype(np.float32) + labels[:, None, None, None] / 2
    path = tmp_path_factory.mktemp("data") / "small.npz"
    np.savez(str(path), x_train=images[:200], y_train=labels[:200], x_test=images[200:], y_test=labels[200:])
    return path


#: Maps of weights by layer, random rounding and a ramp of the strength, all set at the first of the changes.
MAPPED = (
    "dense1.weights.num_bits=1",
    "dense2.weights.weight_map=ternary",
    "logits.weights.weight_map=tanh",
    "logits.weights.stochastic_rounding=on",
    "run.ramp_end=30",
)


def new_run(data, directory, steps=STEPS, first=("dense1.weights.num_bits=3",)):
    """Return the arguments of a new run with scheduled changes, of which ``first`` are at the first step of these."""
    arguments = ["train", "--network", "mlp", "--data", data, "--out", directory, "--steps", steps, "--batch-size", 8]
    arguments += ["--quiet", "--evaluation-interval", 10]
    return [
        *arguments,
        *(text for change in first for text in ("--set", f"{CHANGES[0]}:{change}")),
        "--set",
        f"{CHANGES[1]}:run.learning_rate=0.003",
    ]


def resumed(directory, steps=STEPS):
    return ["train", "--resume", directory, "--quiet", "--steps", steps]


def start(arguments, moment=NEVER, commit_interval_s=NEVER_S, due_step=0):
    """Start ``qatviz`` ``arguments``; ``due_step``: save one automatic checkpoint, after that step, and wait."""
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2", PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(commit_interval_s), str(due_step), moment, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )


def exit_code_of(process):
    """Return the exit code of a process, which must not end with a traceback."""
    _, err = communicate(process)
    assert "Traceback" not in err, err
    return process.returncode


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    """The record of the same run without interruption."""
    directory = tmp_path_factory.mktemp("undisturbed") / "run"
    assert exit_code_of(start(new_run(data, directory))) == 0
    return RunRecord.read(directory)


def assert_same_series(directory, uninterrupted):
    found, expected = RunRecord.read(directory).steps(), uninterrupted.steps()
    assert found.steps.tolist() == expected.steps.tolist() == list(range(1, STEPS + 1))
    assert found.loss.tobytes() == expected.loss.tobytes()
    assert found.learning_rate.tobytes() == expected.learning_rate.tobytes()
    assert found.values.tobytes() == expected.values.tobytes()


@pytest.mark.parametrize("step", tries([17], [7, 17]))
def test_the_record_is_committed_before_an_automatic_checkpoint(data, uninterrupted, tmp_path, step):
    """Killed right after an automatic checkpoint, while nothing else has made the record commit."""
    directory = tmp_path / "run"
    killed = start(
        new_run(data, directory), f"{SAVE}:{1 + sum(step > change for change in CHANGES)}:after", due_step=step
    )
    assert exit_code_of(killed) == -signal.SIGKILL
    record = RunRecord.read(directory)
    assert record.list_checkpoints()[-1].step == step
    assert record.steps().steps.tolist()[:step] == list(range(1, step + 1))
    assert exit_code_of(start(resumed(directory))) == 0
    assert_same_series(directory, uninterrupted)


def final_arrays(directory):
    """Return the arrays of the newest checkpoint of a run, which is that of its last step."""
    record = RunRecord.read(directory)
    newest = record.list_checkpoints()[-1]
    assert newest.step == STEPS
    return record.load_checkpoint(newest.name)[0]


def test_maps_of_weights_are_kept_bit_for_bit(data, tmp_path):
    """Killed in a ramp of the strength, with binary, ternary and tanh-mapped weights; also the exports are the same."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert exit_code_of(start(new_run(data, whole, first=MAPPED))) == 0
    process = start(new_run(data, killed, first=MAPPED), f"{SAVE}:2:after", due_step=17)
    assert exit_code_of(process) == -signal.SIGKILL
    assert RunRecord.read(killed).list_checkpoints()[-1].step == 17
    assert exit_code_of(start(resumed(killed))) == 0
    assert_same_series(killed, RunRecord.read(whole))
    found, expected = final_arrays(killed), final_arrays(whole)
    assert sorted(found) == sorted(expected)
    assert all(found[name].tobytes() == array.tobytes() for name, array in expected.items())
    stored = []
    for directory in (whole, killed):
        out = directory.parent / f"{directory.name}.npz"
        assert exit_code_of(start(["export", directory, "--format", "npz", "--out", out])) == 0
        with np.load(str(out)) as arrays:
            stored.append({name: arrays[name] for name in arrays.files if arrays[name].dtype.kind in "iu"})
    assert stored[0] and sorted(stored[0]) == sorted(stored[1])
    for name, codes in stored[0].items():
        np.testing.assert_array_equal(stored[1][name], codes)
    levels = {name: set(np.unique(codes)) for name, codes in stored[0].items() if "weights" in name}
    assert {-1, 1} in levels.values() and {-1, 0, 1} in levels.values(), "binary, and ternary"


#: Functions at whose calls a run is killed, with the largest number of calls to let pass.
MOMENTS = [
    ("qatviz.training.graph/TrainingGraph:step", STEPS),
    ("qatviz.telemetry.record.database/RecordDatabase:write", 15),
    ("qatviz.telemetry.record.run_record/RunRecord:append_rewind", 1),
    (SAVE, 3),
    ("os:fsync", 10),
    ("os:replace", 4),
]


def run_until_killed(arguments, chance):
    """Start a process, kill it at a random moment, and return its exit code: 0 if it ended earlier."""
    interval = chance.choice([0.01, 0.3, 3600.0])
    if chance.random() < 0.25:  # at a time, rather than at a call
        process = start(arguments, commit_interval_s=interval)
        try:
            process.wait(chance.uniform(0, 15))
        except subprocess.TimeoutExpired:
            process.kill()
    else:
        function, most = chance.choice(MOMENTS)
        number = chance.randint(1, most)
        process = start(arguments, f"{function}:{number}:{chance.choice(['before', 'after'])}", interval)
    return exit_code_of(process)


def has_run(directory):
    try:
        RunRecord.read(directory)
    except RecordError as error:
        assert "not found" in str(error)
        return False
    return True


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_run_killed_at_random_moments_ends_like_an_uninterrupted_one(data, uninterrupted, tmp_path):
    """Kills at random moments of training, checkpoint, resumption and export; the same run is resumed after each."""
    chance, kills, runs = random.Random(0), 0, 0
    while kills < KILLS:
        runs += 1
        directory = tmp_path / str(runs)
        while kills < KILLS:
            code = run_until_killed(resumed(directory) if has_run(directory) else new_run(data, directory), chance)
            assert code in (0, -signal.SIGKILL)
            kills += code != 0
            if code == 0:
                break
            if has_run(directory):
                saved = [info for info in RunRecord.read(directory).list_checkpoints() if not info.error]
                steps = RunRecord.read(directory).steps().steps.tolist()
                assert steps == list(range(1, len(steps) + 1))
                assert len(steps) >= max([info.step for info in saved], default=0)
        assert exit_code_of(start(resumed(directory) if has_run(directory) else new_run(data, directory))) == 0
        assert_same_series(directory, uninterrupted)
        out = tmp_path / f"{runs}.npz"
        export = ["export", directory, "--format", "npz", "--out", out]
        code = run_until_killed(export, chance)
        kills += code != 0
        assert exit_code_of(start(export)) == 0 and out.is_file()
        assert_same_series(directory, uninterrupted)
    assert kills >= KILLS
