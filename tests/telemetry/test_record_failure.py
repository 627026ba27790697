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


class Failures(list):
    """Collector of the calls of ``on_failure``, which a test can wait for."""

    def __init__(self):
        super().__init__()
        self.arrived = threading.Event()

    def __call__(self, error):
        self.append(error)
        self.arrived.set()


@pytest.fixture
def failures():
    return Failures()


@pytest.fixture
def record(tmp_path, failures):
    with RunRecord.create(tmp_path / "run", {"seed": 0}, failures) as record:
        record.append_step(step_record(1))
        assert record.flush()
        yield record


def assert_failed(record, failures, reason):
    """Check that one failure was reported with file and reason, and that appending is counted without blocking."""
    wait_for(failures.arrived)
    assert isinstance(record.failure, RecordError)
    assert str(record.path) in str(record.failure) and reason in str(record.failure)
    lost = record.lost
    n = 6000  # more than the capacity of the queue
    for step in range(10_000, 10_000 + n):
        record.append_step(_at(step))
    record.append_event(Failed(10_000, "", ""))
    record.append_snapshot(snapshot(10_000))
    assert record.lost == lost + n + 2
    assert not record.flush()
    assert failures == [record.failure]


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


def test_a_full_disk(tmp_path, failures, monkeypatch):
    with monkeypatch.context() as patch:
        limit_pages(patch, 24)
        record = RunRecord.create(tmp_path, {"seed": 0}, failures)
        for step in range(1, 101):
            record.append_step(step_record(step))
        assert record.flush()
        for step in range(200, 300):
            record.append_snapshot(snapshot(step, n_bins=256))
        assert_failed(record, failures, "full")
    assert_steps(record.steps(), range(1, 101))
    assert record.retry() and record.failure is None
    record.append_rewind(100)
    record.append_step(step_record(101))
    record.append_event(Finished(101))
    assert record.flush()
    record.close()
    assert_steps(RunRecord.read(tmp_path).steps(), range(1, 102))
    RunRecord.open(tmp_path).close()


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
assert record.lost and str(record.path) in str(record.failure), record.failure
try:
    record.save_checkpoint("a", {"x": __import__("numpy").zeros(10 ** 6)}, {"step": 1, "reason": ""})
    raise SystemExit("a checkpoint was written over the limit")
except Exception as error:
    assert "a.npz" in str(error) and type(error).__name__ == "RecordError", repr(error)
assert record.list_checkpoints() == []
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert record.retry(), record.failure
record.append_step(step_record(1000))
record.close()
assert record.failure is None, record.failure
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
def test_a_vanished_directory(record, failures):
    branch = record.append_rewind(0)
    assert record.flush()
    shutil.rmtree(str(record.directory))
    record.append_event(Failed(1, "", ""))
    assert_failed(record, failures, "No such file")
    with pytest.raises(RecordError, match="not found"):
        record.events()
    with pytest.raises(RecordError, match="no longer exists"):
        record.save_checkpoint("a", {}, {"step": 1, "reason": ""})
    assert record.retry()
    assert record.description["seed"] == 0
    record.append_rewind(1, branch)
    record.append_step(step_record(2))
    record.save_checkpoint("a", {}, {"step": 2, "reason": ""})
    assert record.flush()
    assert_steps(record.steps(), [2])
    with pytest.raises(RecordError, match="is being written"):
        RunRecord.open(record.directory)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let go of an open file")
def test_a_record_replaced_by_another_run(record, failures, tmp_path):
    record.directory.rename(tmp_path / "moved")
    with RunRecord.create(record.directory, {"seed": 1}):
        record.append_event(Failed(1, "", ""))
        assert_failed(record, failures, "replaced")
        assert not record.retry() and "is being written by process" in str(record.failure)
    assert not record.retry() and "another run" in str(record.failure)
    assert len(failures) == 1
    assert RunRecord.read(record.directory).description["seed"] == 1
    assert RunRecord.read(record.directory).events() == []
    assert_steps(RunRecord.read(tmp_path / "moved").steps(), [1])


def test_a_directory_that_vanishes_during_a_commit(record, failures, monkeypatch):
    identity = database._identity
    looks = []

    def vanish_at_the_second_check(path):
        looks.append(path)
        return (0, 0) if len(looks) == 2 else identity(path)

    monkeypatch.setattr(database, "_identity", vanish_at_the_second_check)
    record.append_event(Failed(1, "", ""))
    assert_failed(record, failures, "replaced")
    assert len(looks) == 2


def test_a_failed_retry_has_its_reason(record, failures, monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(database.os, "stat", fail)
    record.append_event(Failed(1, "", ""))
    assert_failed(record, failures, "Input/output error")
    assert not record.retry() and "Input/output error" in str(record.failure)
    assert len(failures) == 1
    monkeypatch.undo()
    assert record.retry() and record.retry()
    record.append_rewind(1)
    record.append_step(step_record(2))
    assert record.flush()
    assert_steps(record.steps(), [1, 2])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let go of an open file")
def test_a_directory_that_cannot_be_created_again(record, failures):
    shutil.rmtree(str(record.directory))
    record.directory.write_text("in the way")
    record.append_event(Failed(1, "", ""))
    wait_for(failures.arrived)
    assert not record.retry() and "File exists" in str(record.failure)
    record.directory.unlink()
    assert record.retry() and len(failures) == 1


def test_an_event_that_is_not_json_fails_the_record_and_not_the_run(record, failures):
    record.append_event(Failed(1, object(), ""))
    assert_failed(record, failures, "object has no JSON form")


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
    writer = RecordWriter(tmp_path / "run.sqlite", {}, [], None)
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
    assert [item for _, item in staged.written] == list(range(n)) and writer.lost == 0


def test_a_failure_unblocks_a_waiting_run(staged, tmp_path, failures):
    writer = RecordWriter(tmp_path / "run.sqlite", {}, [], failures)
    writer.put((0, 0), urgent=True)
    wait_for(staged.entered)
    n = 2 * _MAX_LOAD
    producer = threading.Thread(target=lambda: [writer.put((0, i)) for i in range(1, n)])
    producer.start()
    staged.error = OSError(28, "No space left on device")
    staged.gate.set()
    join(producer)
    wait_for(failures.arrived)
    assert writer.lost == n and "No space left" in str(writer.failure) and failures == [writer.failure]
    assert writer.close(ENDLESS_S)


def test_closing_does_not_wait_for_a_disk_that_hangs(staged, tmp_path):
    writer = RecordWriter(tmp_path / "run.sqlite", {}, [], None)
    writer.put((0, 0), urgent=True)
    wait_for(staged.entered)
    assert not writer.close(0.01)
    staged.gate.set()
    assert writer.close(ENDLESS_S)
