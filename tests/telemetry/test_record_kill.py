"""``kill -9`` at any moment: the record opens, and lacks at most the last second of telemetry."""

import subprocess
import sys
import time

import numpy as np
import pytest
from telemetry_samples import assert_same_snapshot, assert_steps, snapshot, step_record

from qatviz.errors import RecordError
from qatviz.protocol.events import Failed
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.record.schema import DATABASE_NAME

MAX_LOSS_S = 1.0

# Tells on its standard output, which outlives it, what it has done and when
WRITER = """
import sys, threading, time
import numpy as np
from qatviz.protocol.events import Failed
from qatviz.telemetry.record.run_record import RunRecord
from telemetry_samples import snapshot, step_record

def tell(*words):
    print(*words, repr(time.time()), flush=True)

tell("ready")
record = RunRecord.create(sys.argv[1], {"seed": 3})
tell("created")
pace = threading.Event()
step = 0
while True:
    for _ in range(20):
        step += 1
        record.append_step(step_record(step))
    tell("step", step)
    if step % 100 == 0:
        record.append_event(Failed(step, "test", ""))
        tell("event", step)
        record.append_snapshot(snapshot(step))
        tell("snapshot", step)
    if step % 200 == 0:
        name = "c%d" % (step % 1000)
        record.save_checkpoint(name, {"x": np.full(50000, step)}, {"step": step, "reason": "test"})
        tell("checkpoint", name)
    pace.wait(0.005)
"""


def start(directory):
    import_path = [path for path in sys.path if path]
    script = f"import sys; sys.path[:0] = {import_path!r}\n{WRITER}"
    return subprocess.Popen([sys.executable, "-c", script, str(directory)], stdout=subprocess.PIPE)


def kill(process):
    """Kill it; what it told, and when it was killed."""
    killed = time.time()
    process.kill()
    told = process.stdout.readlines()
    process.stdout.close()
    process.wait()
    return [line.decode().split() for line in told if line.endswith(b"\n")], killed


def let_run(process, seconds):
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(max(seconds, 0))


def latest(told, kind, before):
    """The last step that was told for ``kind`` before that time; 0 where there is none."""
    return max([int(words[1]) for words in told if words[0] == kind and float(words[2]) <= before], default=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_at_any_moment_of_a_run(tmp_path, seed):
    delays = np.sort(np.random.RandomState(seed).uniform(0.05, 2.5, 4))
    directories = [tmp_path / str(i) for i in range(len(delays))]
    processes = [start(directory) for directory in directories]
    try:
        for process in processes:
            assert process.stdout.readline().startswith(b"ready")
        begin, ends = time.monotonic(), []
        for process, delay in zip(processes, delays):
            let_run(process, begin + delay - time.monotonic())
            ends.append(kill(process))
    finally:
        for process in processes:
            process.kill()
    for directory, (told, killed) in zip(directories, ends):
        check(directory, told, killed)


def check(directory, told, killed):
    reader = RunRecord.read(directory)
    steps = reader.steps()
    n = len(steps.steps)
    assert n >= latest(told, "step", killed - MAX_LOSS_S)
    if n:  # else it was killed before the first commit, and the shape of the values is unknown
        assert_steps(steps, range(1, n + 1))
    events = [event["step"] for event in reader.events()]
    assert events == list(range(100, 100 * len(events) + 1, 100))
    assert len(events) >= latest(told, "event", killed - MAX_LOSS_S) // 100
    snapshots = reader.snapshots()
    assert snapshots == list(range(100, 100 * len(snapshots) + 1, 100))
    assert len(snapshots) >= latest(told, "snapshot", killed - MAX_LOSS_S) // 100
    for step in snapshots[-2:]:
        assert_same_snapshot(reader.snapshot(step), snapshot(step))
    checkpoints = {info.name: info for info in reader.list_checkpoints()}
    assert {words[1] for words in told if words[0] == "checkpoint"} <= set(checkpoints)
    for info in checkpoints.values():
        arrays, meta = reader.load_checkpoint(info.name)
        assert (arrays["x"] == meta["step"]).all() and len(arrays["x"]) == 50000
    with RunRecord.open(directory) as record:
        record.append_rewind(n)
        record.append_step(step_record(n + 1))
        record.append_event(Failed(n + 1, "after", ""))
    reader = RunRecord.read(directory)
    assert_steps(reader.steps(n), [step for step in (n, n + 1) if step])
    assert sorted(path.name for path in directory.iterdir() if path.is_file()) == ["run.lock", DATABASE_NAME]


@pytest.mark.slow
def test_while_the_record_is_made(tmp_path):
    """Either there is no run, and one can be made, or there is a whole one."""
    random = np.random.RandomState(0)
    for i in range(8):
        directory = tmp_path / str(i)
        process = start(directory)
        assert process.stdout.readline().startswith(b"ready")
        let_run(process, random.uniform(0, 0.02))
        told, _ = kill(process)
        try:
            RunRecord.open(directory).close()
        except RecordError as error:
            assert "not found" in str(error)
            assert "created" not in [words[0] for words in told]
            RunRecord.create(directory, {}).close()
