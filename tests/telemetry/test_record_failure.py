"""Disk failures cause a clear error, and the run continues in memory."""

import shutil
import subprocess
import sys
import threading

import pytest
from telemetry_samples import assert_steps, snapshot, step_record
from waiting import ENDLESS_S, join, wait_for, wait_until

from qatviz.errors import RecordError
from qatviz.protocol.events import Failed, Finished
from qatviz.telemetry.record import database
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.record.writer import _MAX_LOAD, RecordWriter


@pytest.fixture
def record(tmp_path):
    with RunRecord.create(tmp_path / "run", {"seed": 0}) as record:
        record.append_step(step_record(1))
        assert record.flush()
        yield record


def assert_failed(record, reason):
    """Check that the failure contains file and reason, and that appending does not block."""
    assert not record.flush(ENDLESS_S)
    failure = record.failure
    assert isinstance(failure, RecordError) and str(record.path) in str(failure) and reason in str(failure)
    for step in range(10_000, 10_000 + 6000):  # more than the capacity of the queue
        record.append_step(_at(step))
    record.append_event(Failed(10_000, "", ""))
    record.append_snapshot(snapshot(10_000))
    assert not record.flush(ENDLESS_S) and record.failure is failure


def _at(step, sample=step_record(1)):
    return type(sample)(step, sample.seconds, sample.loss, sample.learning_rate, sample.values)


def limit_pages(monkeypatch, max_pages):
    """Limit the pages of the writer's file, so that SQLite reports a full disk."""
    connect = database.connect

    def limited(path, mode):
        connection = connect(path, mode)
        if mode == "rw":
            connection.execute(f"PRAGMA max_page_count={max_pages}")
        return connection

    monkeypatch.setattr(database, "connect", limited)


def fail_as_full(directory, monkeypatch, act=lambda record: None):
    """Fail a record of 100 steps on a full disk, call ``act`` with it, and close it."""
    with monkeypatch.context() as patch:
        limit_pages(patch, 24)
        with RunRecord.create(directory, {"seed": 0}) as record:
            for step in range(1, 101):
                record.append_step(step_record(step))
            assert record.flush()
            for step in range(200, 300):
                record.append_snapshot(snapshot(step, n_bins=256))
            assert_failed(record, "full")
            assert_steps(record.steps(), range(1, 101))
            act(record)


def test_what_was_committed_on_a_full_disk_is_readable_and_can_be_continued_once_there_is_room(tmp_path, monkeypatch):
    fail_as_full(tmp_path, monkeypatch)
    assert_steps(RunRecord.read(tmp_path).steps(), range(1, 101))
    with RunRecord.open(tmp_path) as record:
        record.append_step(step_record(101))
        record.append_event(Finished(101))
        assert record.flush() and record.failure is None
    assert_steps(RunRecord.read(tmp_path).steps(), range(1, 102))
    RunRecord.open(tmp_path).close()


def test_branches_that_began_after_a_failure_are_restored_from_checkpoints(tmp_path, monkeypatch):
    def rewind_twice(record):
        assert record.append_rewind(40) == 1
        record.save_checkpoint("one", {}, {"step": 60, "reason": "asked for"})
        assert record.append_rewind(55) == 2
        record.save_checkpoint("two", {}, {"step": 70, "reason": "asked for"})

    fail_as_full(tmp_path, monkeypatch, rewind_twice)
    reader = RunRecord.read(tmp_path)
    points = {info.name: info.point for info in reader.list_checkpoints()}
    assert not any(reader.is_surviving(point) for point in points.values())
    with RunRecord.open(tmp_path) as record:
        assert record.branch == 2 and record.last_step == 55
        assert record.is_surviving(points["two"]) and not record.is_surviving(points["one"])
        assert_steps(record.steps(), range(1, 41))
        assert record.append_rewind(70, 2) == 3  # no number is given twice
        record.append_step(step_record(71))
        assert record.flush()
        assert_steps(record.steps(), [*range(1, 41), 71])
        record.append_rewind(30, 0)
        assert record.flush() and not record.is_surviving(points["two"])
    with RunRecord.open(tmp_path) as again:
        assert again.branch == 4 and again.branches().newest == 4


def test_checkpoints_of_another_history_add_no_branches(tmp_path, monkeypatch):
    def rewind(record):
        record.append_rewind(40)
        record.save_checkpoint("lost", {}, {"step": 60, "reason": "asked for"})

    fail_as_full(tmp_path, monkeypatch, rewind)
    lost = tmp_path / "checkpoints" / "lost.npz"
    lost.rename(tmp_path / "lost.npz")
    with RunRecord.open(tmp_path) as record:
        record.append_rewind(50)
    (tmp_path / "lost.npz").rename(lost)
    with RunRecord.open(tmp_path) as record:
        assert record.branch == 1 and record.branches().parent_of(1).step == 50


LIMITED_WRITER = """
import resource, signal, sys
from qatviz.telemetry.record.run_record import RunRecord
from telemetry_samples import snapshot, step_record

record = RunRecord.create(sys.argv[1], {})
for step in range(1, 51):
    record.append_step(step_record(step))
assert record.flush()
size = record.path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 65536, resource.RLIM_INFINITY))
for step in range(51, 1000):
    record.append_step(step_record(step))
    record.append_snapshot(snapshot(step, n_bins=256))
assert not record.flush()
assert str(record.path) in str(record.failure), record.failure
try:
    record.save_checkpoint("a", {"x": __import__("numpy").zeros(10 ** 6)}, {"step": 1, "reason": ""})
    raise SystemExit("a checkpoint was written over the limit")
except Exception as error:
    assert "a.npz" in str(error) and type(error).__name__ == "RecordError", repr(error)
assert record.list_checkpoints() == []
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
record.close()
with RunRecord.open(sys.argv[1]) as again:
    again.append_step(step_record(1000))
assert again.failure is None, again.failure
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_write_error_of_the_operating_system(tmp_path):
    import_path = [path for path in sys.path if path]
    script = f"import sys; sys.path[:0] = {import_path!r}\n{LIMITED_WRITER}"
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr.decode()
    series = RunRecord.read(tmp_path).steps()
    assert series.steps[:50].tolist() == list(range(1, 51)) and series.steps[-1] == 1000


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let go of an open file")
def test_a_vanished_directory(record):
    shutil.rmtree(str(record.directory))
    record.append_event(Failed(1, "", ""))
    assert_failed(record, "No such file")
    with pytest.raises(RecordError, match="not found"):
        record.events()
    with pytest.raises(RecordError, match="no longer exists"):
        record.save_checkpoint("a", {}, {"step": 1, "reason": ""})
    assert record.description["seed"] == 0
    record.close()
    with RunRecord.create(record.directory, {"seed": 1}) as new:  # the name is free again
        assert new.flush()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let go of an open file")
def test_a_record_replaced_by_another_run(record, tmp_path):
    record.directory.rename(tmp_path / "moved")
    with RunRecord.create(record.directory, {"seed": 1}):
        record.append_event(Failed(1, "", ""))
        assert_failed(record, "replaced")
    assert RunRecord.read(record.directory).description["seed"] == 1
    assert RunRecord.read(record.directory).events() == []
    assert_steps(RunRecord.read(tmp_path / "moved").steps(), [1])


def test_a_directory_that_vanishes_during_a_commit(record, monkeypatch):
    identity = database._identity
    looks = []

    def vanish_at_the_second_check(path):
        looks.append(path)
        return (0, 0) if len(looks) == 2 else identity(path)

    monkeypatch.setattr(database, "_identity", vanish_at_the_second_check)
    record.append_event(Failed(1, "", ""))
    assert_failed(record, "replaced")
    assert len(looks) == 2


def test_an_input_output_error(record, monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(database.os, "stat", fail)
    record.append_event(Failed(1, "", ""))
    assert_failed(record, "Input/output error")
    monkeypatch.undo()
    with pytest.raises(RecordError, match="is being written"):  # a failed record stays locked until it is closed
        RunRecord.open(record.directory)
    record.close()
    with RunRecord.open(record.directory) as again:
        again.append_step(step_record(2))
        assert again.flush()
        assert_steps(again.steps(), [1, 2])


def test_an_event_that_is_not_json_fails_the_record_and_not_the_run(record):
    record.append_event(Failed(1, object(), ""))
    assert_failed(record, "object has no JSON form")


def test_a_damaged_file_fails_the_resumed_record(record):
    record.close()
    content = bytearray(record.path.read_bytes())
    content[5000:9000] = bytes(4000)
    record.path.write_bytes(bytes(content))
    with pytest.raises(RecordError, match=r"run\.sqlite"):
        RunRecord.open(record.directory)
    with pytest.raises(RecordError, match=r"run\.sqlite"):  # not "is being written": the lock was released
        RunRecord.open(record.directory)


class StagedDatabase:
    """Stand-in for the database: commits only when the test permits it, or fails."""

    def __init__(self):
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.written = []
        self.error = None

    def __call__(self, *_):
        return self

    def write(self, items, durable):
        self.entered.set()
        wait_for(self.gate)
        if self.error is not None:
            raise self.error
        self.written.extend(items)

    def close(self, settle):
        pass


@pytest.fixture
def staged(monkeypatch):
    database = StagedDatabase()
    monkeypatch.setattr("qatviz.telemetry.record.writer.RecordDatabase", database)
    return database


def test_a_slow_disk_delays_the_run_without_loss(staged, tmp_path):
    writer = RecordWriter(tmp_path / "run.sqlite")
    writer.put((0, 0), urgent=True)
    wait_for(staged.entered)
    n = 2 * _MAX_LOAD
    progress = []

    def produce():
        for i in range(1, n):
            writer.put((0, i))
            progress.append(i)

    producer = threading.Thread(target=produce)
    producer.start()
    wait_until(lambda: len(progress) == _MAX_LOAD)
    producer.join(0.1)  # it can't end while the disk hangs
    assert producer.is_alive() and len(progress) == _MAX_LOAD
    assert not writer.flush(0.01)
    staged.gate.set()
    join(producer)
    assert writer.flush(ENDLESS_S) and writer.close(ENDLESS_S)
    assert [item for _, item in staged.written] == list(range(n))


def test_a_failure_unblocks_a_waiting_run(staged, tmp_path):
    writer = RecordWriter(tmp_path / "run.sqlite")
    writer.put((0, 0), urgent=True)
    wait_for(staged.entered)
    n = 2 * _MAX_LOAD
    producer = threading.Thread(target=lambda: [writer.put((0, i)) for i in range(1, n)])
    producer.start()
    staged.error = OSError(28, "No space left on device")
    staged.gate.set()
    join(producer)
    assert "No space left" in str(writer.failure) and staged.written == []
    assert not writer.flush(ENDLESS_S) and writer.close(ENDLESS_S)


def test_closing_does_not_wait_for_a_disk_that_hangs(staged, tmp_path):
    writer = RecordWriter(tmp_path / "run.sqlite")
    writer.put((0, 0), urgent=True)
    wait_for(staged.entered)
    assert not writer.close(0.01)
    staged.gate.set()
    assert writer.close(ENDLESS_S)
