"""One writer per run, across processes, for its lifetime."""

import os
import subprocess
import sys

import pytest

from qatviz.errors import RecordError
from qatviz.telemetry.record.run_lock import LOCK_NAME, RunLock

HOLDER = """
import sys
from pathlib import Path
from qatviz.telemetry.record.run_lock import RunLock
lock = RunLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_the_locking_process_is_named_and_its_death_releases_the_lock(tmp_path):
    import_path = [path for path in sys.path if path]
    script = f"import sys; sys.path[:0] = {import_path!r}\n{HOLDER}"
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline().strip() == b"held"
        with pytest.raises(RecordError, match=f"is being written by process {holder.pid}"):
            RunLock(tmp_path)
    finally:
        holder.kill()
        holder.communicate()
    lock = RunLock(tmp_path)
    assert (tmp_path / LOCK_NAME).read_text() == str(os.getpid())
    lock.release()


def test_the_lock_is_held_until_released(tmp_path):
    lock = RunLock(tmp_path)
    with pytest.raises(RecordError, match=str(os.getpid())):
        RunLock(tmp_path)
    lock.release()
    lock.release()
    RunLock(tmp_path).release()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let go of an open file")
def test_the_lock_is_lost_with_its_file(tmp_path):
    lock = RunLock(tmp_path)
    (tmp_path / LOCK_NAME).unlink()
    RunLock(tmp_path).release()
    lock.release()


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(RecordError, match="missing"):
        RunLock(tmp_path / "missing")
