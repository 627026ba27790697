"""``kill -9`` at any moment: the record opens, and lacks at most what was appended in the last second.

Which second that is depends on how much of the processor a writer gets, so there are two parts: what was committed
when the process was killed is there, and what was appended is committed within a second of the writer's own clock.
"""

import subprocess
import sys
import threading
import types

import numpy as np
import pytest
from exhaustive import tries
from telemetry_samples import assert_same_snapshot, assert_steps, snapshot, step_record
from waiting import wait_until

from qatviz.errors import RecordError
from qatviz.protocol.events import Failed
from qatviz.telemetry.record import writer
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.record.schema import DATABASE_NAME

MAX_LOSS_S = 1.0

# Reports on its standard output, which outlives it, what it has committed; each line in one call, of either thread
WRITER = """
import os, sys, threading
import numpy as np
from qatviz.protocol.events import Failed
from qatviz.telemetry.record.database import RecordDatabase, Timed
from qatviz.telemetry.record.run_record import RunRecord
from exhaustive import tries
from telemetry_samples import snapshot, step_record

def tell(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def write_and_tell(database, items):
    write(database, items)
    last = {}
    for _, item in items:
        last[type(item).__name__] = item.event.step if isinstance(item, Timed) else item.step
    for kind, step in last.items():
        tell(kind, step)

write, RecordDatabase.write = RecordDatabase.write, write_and_tell
tell("ready")
record = RunRecord.create(sys.argv[1], {"seed": 3})
tell("created")
pace = threading.Event()
step = 0
while True:
    for _ in range(20):
        step += 1
        record.append_step(step_record(step))
    if step % 100 == 0:
        record.append_event(Failed(step, "test", ""))
        record.append_snapshot(snapshot(step))
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
    """Kill the process; return its output, in words."""
    process.kill()
    told = process.stdout.readlines()
    process.stdout.close()
    process.wait()
    return [line.decode().split() for line in told if line.endswith(b"\n")]


def let_run(process, seconds):
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(max(seconds, 0))


def latest(told, kind):
    """Return the last step that was reported for ``kind``; 0 if there is none."""
    return max([int(words[1]) for words in told if words[0] == kind], default=0)


@pytest.mark.parametrize("seed", range(tries(2, 5)))
def test_a_run_killed_at_any_moment_loses_at_most_a_second(tmp_path, seed):
    delays = np.diff(np.sort(np.random.RandomState(seed).uniform(0, 2.5, 4)), prepend=0)
    directories = [tmp_path / str(i) for i in range(len(delays))]
    processes = [start(directory) for directory in directories]
    try:
        for process in processes:
            assert process.stdout.readline() == b"ready\n"
            assert process.stdout.readline() == b"created\n"
        ends = []
        for process, delay in zip(processes, delays):
            let_run(process, delay)
            ends.append(kill(process))
    finally:
        for process in processes:
            process.kill()
    for directory, told in zip(directories, ends):
        check(directory, told)


def check(directory, told):
    reader = RunRecord.read(directory)
    steps = reader.steps()
    n = len(steps.steps)
    assert n >= latest(told, "StepRecord")
    if n:  # else it was killed before the first commit, and the shape of the values is unknown
        assert_steps(steps, range(1, n + 1))
    events = [event["step"] for event in reader.events()]
    assert events == list(range(100, 100 * len(events) + 1, 100))
    assert len(events) >= latest(told, "Timed") // 100
    snapshots = reader.snapshots()
    assert snapshots == list(range(100, 100 * len(snapshots) + 1, 100))
    assert len(snapshots) >= latest(told, "Snapshot") // 100
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


def test_a_run_killed_while_its_record_is_created(tmp_path):
    """Either there is no run and one can be created, or there is a complete one."""
    random = np.random.RandomState(0)
    for i in range(8):
        directory = tmp_path / str(i)
        process = start(directory)
        assert process.stdout.readline() == b"ready\n"
        let_run(process, random.uniform(0, 0.02))
        told = kill(process)
        try:
            RunRecord.open(directory).close()
        except RecordError as error:
            assert "not found" in str(error)
            assert "created" not in [words[0] for words in told]
            RunRecord.create(directory, {}).close()


def test_appended_items_are_committed_within_a_second(tmp_path, monkeypatch):
    waited_s = []

    class FastClock(threading.Condition):
        """Condition whose waits with a time-out expire immediately."""

        def wait_for(self, predicate, timeout=None):
            if timeout is None:
                return super().wait_for(predicate)
            waited_s.append(timeout)
            return predicate()

    clocks = types.SimpleNamespace(Condition=FastClock, Thread=threading.Thread)
    monkeypatch.setattr(writer, "threading", clocks)
    record = RunRecord.create(tmp_path / "run", {})
    for step in (1, 2, 3):
        record.append_step(step_record(step))
        wait_until(lambda: len(RunRecord.read(tmp_path / "run").steps().steps) == step, "the commit")
        assert len(waited_s) == step and max(waited_s) <= MAX_LOSS_S / 2, "half of it is left for the commit itself"
    monkeypatch.undo()
    record.close()
