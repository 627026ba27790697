"""Disks that are full or read-only, and folders that vanish, under runs, reports and exports.

A message names the file and the reason, nothing is half-written, the run goes on, and what was written is readable.
"""

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile

import pytest
from cli_calls import call, write_data
from exhaustive import tries
from waiting import wait_until

from qatviz.errors import RecordError
from qatviz.export.formats import FORMATS
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.graph import TrainingGraph

OPTIONS = ["--network", "mlp", "--batch-size", "8", "--evaluation-interval", "0", "--quiet"]
#: Steps of a run with whose folder a test interferes after RECORDED of them, and the most that may be recorded by then.
STEPS, RECORDED = 200, 20
FULL, READ_ONLY = "No space left on device", "Read-only file system"


class Disk:
    """A small file system in memory."""

    def __init__(self, path):
        self.path = path

    def remount(self, options):
        subprocess.run(["mount", "-o", f"remount,{options}", "tmpfs", str(self.path)], check=True)

    def fill(self, leave=0):
        """Fill it but for ``leave`` bytes."""
        status = os.statvfs(str(self.path))
        with open(str(self.path / "filler"), "wb", 0) as file, contextlib.suppress(OSError):
            file.write(bytes(max(0, status.f_bavail * status.f_bsize - leave)))

    def names(self):
        return sorted(path.relative_to(self.path).as_posix() for path in self.path.rglob("*"))


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("only Linux' root can mount a small disk")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)], stderr=subprocess.PIPE)
    if done.returncode:
        pytest.skip(f"this machine does not permit mounting a small disk: {done.stderr.decode().strip()}")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The directory of a short run, with its data beside it."""
    folder = tmp_path_factory.mktemp("recorded")
    data = write_data(folder / "small.npz")
    assert call("train", "--data", data, *OPTIONS, "--steps", 5, "--out", folder / "run").code == 0
    return folder / "run"


def refused(code, words, *arguments):
    """Check that a call fails with one line that contains ``words``."""
    answer = call(*arguments)
    lines = answer.err.splitlines()
    assert answer.code == code and words in lines[-1] and "Traceback" not in answer.err, answer.err
    assert lines[-1].startswith("qatviz: error: ")


def readable_steps(run):
    """Return the number of recorded steps, which must be consecutive, and check that the record can be shown."""
    assert call("show", run).code == 0
    steps = RunRecord.read(run).steps().steps.tolist()
    assert steps == list(range(1, len(steps) + 1))
    return len(steps)


def train_while(interfere, data, run, monkeypatch):
    """Train for STEPS; call ``interfere`` between two steps, once RECORDED of them have reached the record."""
    step, calls = TrainingGraph.step, itertools.count()

    def interrupted(graph, *arguments):
        if next(calls) == RECORDED:
            wait_until(lambda: RunRecord.read(run).last_step >= RECORDED, f"step {RECORDED} in the record")
            interfere()
        return step(graph, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingGraph, "step", interrupted)
        answer = call("train", "--data", data, *OPTIONS, "--steps", STEPS, "--out", run, "--json")
    assert next(calls) > RECORDED
    return answer


# Full


@pytest.mark.parametrize("megabytes", tries([None], [None, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6]))
def test_a_run_on_a_disk_that_becomes_full_goes_on_and_its_record_is_readable(disk, tmp_path, monkeypatch, megabytes):
    """Full of the record itself on a disk of that size; ``None``: of another file, early in the run."""
    data, run = write_data(tmp_path / "small.npz"), disk.path / "run"
    steps = 1000
    if megabytes is None:
        steps = STEPS
        answer = train_while(disk.fill, data, run, monkeypatch)
    else:
        disk.remount(f"size={int(megabytes * 1024)}k")
        answer = call("train", "--data", data, *OPTIONS, "--steps", steps, "--out", run, "--json")
    assert "Traceback" not in answer.err and answer.err.splitlines()[-1].startswith("qatviz: error: ")
    if answer.code == 2:  # there was not even room for the empty record
        assert megabytes and megabytes < 0.5 and not (run / "run.sqlite").exists()
        return
    assert answer.code == 1 and answer.json["step"] == steps
    assert f"not all of the run was recorded: {run}" in answer.err
    assert "full" in answer.err or FULL in answer.err
    recorded = readable_steps(run)
    assert 0 <= recorded <= steps and (megabytes or 0 < recorded < steps)  # an event may be what has no room
    assert not list(run.rglob("*.part"))
    disk.remount("size=64m")
    assert call("train", "--resume", run, "--steps", recorded + 10, "--quiet").code == 0
    assert readable_steps(run) == recorded + 10


@pytest.mark.parametrize("form", tries(["tflite", "c", "savedmodel"], [*FORMATS]))
@pytest.mark.always("tflite", "savedmodel")
def test_an_export_to_a_full_disk_leaves_nothing(disk, recorded, form):
    disk.fill(4096)
    names = disk.names()
    refused(2, FULL, "export", recorded, "--format", form, "--out", disk.path / "out", "--verify", 8)
    assert disk.names() == names


@pytest.mark.parametrize("form", tries(["savedmodel", "keras"], [*FORMATS]))
def test_an_export_with_a_full_temporary_folder_names_it(disk, recorded, tmp_path, monkeypatch, form):
    disk.fill()
    monkeypatch.setattr(tempfile, "tempdir", str(disk.path))
    names = disk.names()
    arguments = ["export", recorded, "--format", form, "--out", tmp_path / "out", "--verify", 8]
    answer = call(*arguments)
    if form == "keras":  # written and loaded in memory
        assert answer.code == 0 and (tmp_path / "out").is_file()
        return
    if form != "savedmodel":  # they need none, or say in the proof that the file was not run
        assert "Traceback" not in answer.err
        return
    assert answer.code == 2 and str(disk.path) in answer.err and FULL in answer.err, answer.err
    assert disk.names() == names and not (tmp_path / "out").exists()


def test_other_files_on_a_full_disk_leave_nothing(disk, recorded):
    from qatviz.gui.widgets.figures.figure import save_csv
    from qatviz.gui.widgets.figures.files import FigureError

    disk.fill(4096)
    names = disk.names()
    refused(2, FULL, "report", recorded, "--out", disk.path / "r.html")
    refused(2, FULL, "tensorboard", recorded, "--out", disk.path / "tb")
    with pytest.raises(FigureError, match=FULL):
        save_csv({"x": range(10_000)}, disk.path / "table.csv")
    assert disk.names() == names


def test_a_new_run_or_fork_on_a_full_disk_leaves_no_run(disk, recorded):
    disk.fill(8192)
    refused(
        2, "cannot be written", "train", "--data", recorded.parent / "small.npz", *OPTIONS, "--out", disk.path / "a"
    )
    refused(2, FULL, "train", "--fork", recorded, "--out", disk.path / "b", "--quiet")
    for name in "ab":
        with pytest.raises(RecordError, match="not found"):
            RunRecord.read(disk.path / name)
    os.unlink(str(disk.path / "filler"))
    assert call("train", "--fork", recorded, "--out", disk.path / "b", "--steps", 7, "--quiet").code == 0


def test_the_data_of_a_script_that_does_not_fit_is_an_error_without_a_run(disk, recorded):
    import numpy as np

    import qatviz

    disk.fill(65536)
    x, y = np.random.RandomState(0).rand(4000, 6).astype(np.float32), np.arange(4000) % 3
    for _ in range(2):  # the lock was released
        with pytest.raises(RecordError, match=f"data.npz: the data of the run cannot be written: {FULL}"):
            qatviz.train("mlp", (x, y), out=str(disk.path / "run"), steps=2, quiet=True)
    assert not (disk.path / "run" / "run.sqlite").exists() and not list(disk.path.rglob("*.part"))


# Read-only


def test_a_run_on_a_read_only_disk_can_be_read_and_exported_elsewhere(disk, recorded, tmp_path):
    run = disk.path / "run"
    shutil.copytree(str(recorded), str(run))
    disk.remount("ro")
    names = disk.names()
    assert readable_steps(run) == 5
    assert call("evaluate", run, "--json").code == 0
    assert call("report", run, "--out", tmp_path / "r.html").code == 0
    answer = call("export", run, "--format", "npz", "--out", tmp_path / "x.npz", "--verify", 8)
    assert answer.code == 0 and "the run's report will not list this export" in answer.err
    refused(2, READ_ONLY, "report", run)
    refused(2, READ_ONLY, "tensorboard", run)
    refused(2, READ_ONLY, "export", run, "--format", "npz", "--out", run / "x.npz", "--verify", 8)
    refused(2, READ_ONLY, "train", "--resume", run, "--steps", 9)
    refused(2, READ_ONLY, "train", "--data", recorded.parent / "small.npz", *OPTIONS, "--out", disk.path / "new")
    assert disk.names() == names


# Vanishing folders


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let go of an open file")
@pytest.mark.parametrize("how", tries(["removed"], ["removed", "renamed"]))
def test_a_run_whose_folder_vanishes_goes_on_and_says_so(tmp_path, monkeypatch, how):
    data, run, moved = write_data(tmp_path / "small.npz"), tmp_path / "run", tmp_path / "moved"

    def interfere():
        if how == "renamed":
            run.rename(moved)
            return
        while run.exists():  # the run may write a file meanwhile
            shutil.rmtree(str(run), ignore_errors=True)

    answer = train_while(interfere, data, run, monkeypatch)
    assert answer.code == 1 and answer.json["step"] == STEPS and "Traceback" not in answer.err, answer.err
    assert f"not all of the run was recorded: {run}" in answer.err
    assert not run.exists()
    if how == "renamed":
        recorded = readable_steps(moved)
        assert RECORDED <= recorded < STEPS
        assert call("train", "--resume", moved, "--steps", recorded + 5, "--quiet").code == 0
        assert readable_steps(moved) == recorded + 5
