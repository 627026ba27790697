"""Checkpoints are read back bit for bit, or refused with a RecordError that names the file."""

import errno
import io
import json
import os
import zipfile

import numpy as np
import pytest
from telemetry_samples import assert_same_array

from qatviz.errors import RecordError
from qatviz.telemetry.record import checkpoint_files
from qatviz.telemetry.record.checkpoint_files import CheckpointFiles

ARRAYS = {
    "conv1/kernel:0": np.random.RandomState(0).normal(size=(3, 3, 1, 8)).astype(np.float32),
    "conv1/kernel/Adam": np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)),
    "file": np.array(7, np.int64),
    "empty": np.zeros((0, 3), np.float16),
    "enabled": np.array([True, False]),
}
META = {"step": 12, "reason": "num_bits of conv1: 8 to 4", "settings": {"num_bits": [8, 4]}}


@pytest.fixture
def files(tmp_path):
    return CheckpointFiles(tmp_path)


@pytest.fixture
def saved(files, tmp_path):
    files.save("a", ARRAYS, META)
    return tmp_path / "checkpoints" / "a.npz"


def assert_intact(loaded):
    arrays, meta = loaded
    assert sorted(arrays) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].shape == array.shape
        assert_same_array(arrays[name], array)
    assert {name: meta[name] for name in META} == META


def test_checkpoints_are_read_back_unchanged(files, saved):
    assert_intact(files.load("a"))
    (info,) = files.list()
    assert (info.name, info.step, info.reason.note, info.error) == ("a", 12, META["reason"], "")
    assert info.nbytes == saved.stat().st_size and info.created == files.load("a")[1]["created"]


def test_numpy_can_open_checkpoints(saved):
    with np.load(str(saved), allow_pickle=False) as archive:
        assert_same_array(archive["conv1/kernel:0"], ARRAYS["conv1/kernel:0"])


def test_loaded_arrays_can_be_changed(files, saved):
    files.load("a")[0]["enabled"][0] = False


def test_checkpoints_are_listed_by_step_and_deleted(files):
    assert files.list() == []
    for name, step in (("b", 5), ("a", 9), ("c", 1)):
        files.save(name, {}, {"step": step, "reason": ""})
    assert [info.name for info in files.list()] == ["c", "b", "a"]
    files.delete("b")
    assert [info.name for info in files.list()] == ["c", "a"]
    with pytest.raises(RecordError, match="b.npz"):
        files.delete("b")


def test_times_increase_even_if_the_clock_is_set_back(files, tmp_path, monkeypatch):
    """Else the newest would be deleted as the oldest, and an older one resumed from."""
    clock = [5e8, 4e8, 3e8, 6e8]
    monkeypatch.setattr(checkpoint_files.time, "time", lambda: clock[0])
    created = []
    while clock:
        # A resumed run has files of its own for the same directory.
        writer = files if len(clock) % 2 else CheckpointFiles(tmp_path)
        created.append(writer.save(f"c{len(clock)}", ARRAYS, META).created)
        clock.pop(0)
    assert created == sorted(set(created)) and created[0] == 5e8 and created[-1] == 6e8
    assert [info.name for info in files.list()] == ["c4", "c3", "c2", "c1"]


def test_a_missing_checkpoint_is_named_with_the_existing_ones(files, saved):
    with pytest.raises(RecordError, match=r"b\.npz.*available: a"):
        files.load("b")


@pytest.mark.parametrize("name", ["nul.npz", "COM1.x.npz", "a..npz", "a b.npz", ".npz"])
def test_files_with_other_names_are_no_checkpoints(files, saved, name):
    saved.with_name(name).write_bytes(saved.read_bytes())
    assert [info.name for info in files.list()] == ["a"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a", "a/b", "a\\b", ".hidden", "a ", "nul", "COM1.x", "a.", "ä", "a\n", "x" * 101]
)
def test_unsafe_names_are_refused(files, name):
    for act in (lambda: files.save(name, {}, META), lambda: files.load(name), lambda: files.delete(name)):
        with pytest.raises(RecordError, match="not allowed"):
            act()


@pytest.mark.parametrize(
    "arrays, meta",
    [
        ({}, {"step": 1}),
        ({}, {"reason": ""}),
        ({}, {**META, "x": {1}}),
        ({"a": np.array([None])}, META),
        ({"a": np.zeros(1, np.complex64)}, META),
        ({"__meta__": np.zeros(1)}, META),
    ],
)
def test_unreadable_contents_are_not_written(files, saved, arrays, meta):
    with pytest.raises((KeyError, TypeError)):
        files.save("a", arrays, meta)
    assert_intact(files.load("a"))


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_save_keeps_the_old_checkpoint_and_leaves_no_files(files, saved, monkeypatch, failing):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(RecordError, match=r"a\.npz.*No space left"):
        files.save("a", {}, META)
    monkeypatch.undo()
    assert_intact(files.load("a"))
    assert os.listdir(str(saved.parent)) == ["a.npz"]


def test_a_vanished_run_directory_is_an_error(tmp_path):
    with pytest.raises(RecordError, match="no longer exists"):
        CheckpointFiles(tmp_path / "gone").save("a", ARRAYS, META)


def test_leftovers_of_a_killed_process_are_removed(files, saved):
    (saved.parent / "b.npz.unfinished").write_bytes(b"half")
    assert [info.name for info in files.list()] == ["a"]
    files.remove_unfinished()
    assert os.listdir(str(saved.parent)) == ["a.npz"]


def test_damage_is_detected(files, saved):
    """Truncation, flipped bits, overwritten ranges: intact values or a RecordError with the file's name."""
    original = saved.read_bytes()
    random = np.random.RandomState(1)
    refused = 0
    for i in range(400):
        content = bytearray(original)
        position = random.randint(len(content))
        if i % 4 == 0:
            content = content[:position]
        elif i % 4 == 1:
            content[position : position + random.randint(1, 64)] = random.bytes(random.randint(1, 64))
        else:
            content[position] ^= 1 << random.randint(8)
        saved.write_bytes(bytes(content))
        try:
            assert_intact(files.load("a"))
        except RecordError as error:
            assert str(saved) in str(error)
            refused += 1
        listed = files.list()
        assert len(listed) == 1 and (listed[0].step == 12) != bool(listed[0].error)
    assert refused > 200


class Evil:
    """Unpickling it would leave a trace."""

    def __reduce__(self):
        return os.mkdir, ("pickle-was-executed",)


def npy(array, **kwargs):
    stream = io.BytesIO()
    np.save(stream, array, **kwargs)
    return stream.getvalue()


def meta_member(arrays):
    encoded = json.dumps({"step": 1, "reason": "", "created": 0, "arrays": arrays}).encode()
    return npy(np.frombuffer(encoded, np.uint8))


def header(text):
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "members, compression",
    [
        ({"__meta__": meta_member(["a"]), "a": npy(np.array([Evil()]), allow_pickle=True)}, zipfile.ZIP_STORED),
        ({"__meta__": npy(np.array([Evil()]), allow_pickle=True)}, zipfile.ZIP_STORED),
        ({"__meta__": meta_member(["a"]), "a": npy(np.array(["text"]))}, zipfile.ZIP_STORED),
        ({"__meta__": meta_member(["a"]), "a": npy(np.zeros(2, [("x", "f4")]))}, zipfile.ZIP_STORED),
        ({"__meta__": meta_member(["a"]), "a": npy(np.zeros(10**7))}, zipfile.ZIP_DEFLATED),
        ({"__meta__": meta_member(["a"])}, zipfile.ZIP_STORED),
        ({"__meta__": meta_member([]), "a": npy(np.zeros(1))}, zipfile.ZIP_STORED),
        ({"a": npy(np.zeros(1))}, zipfile.ZIP_STORED),
        ({"__meta__": npy(np.frombuffer(b"[1]", np.uint8))}, zipfile.ZIP_STORED),
        ({"__meta__": npy(np.frombuffer(b"[" * 100_000, np.uint8))}, zipfile.ZIP_STORED),
        (
            {
                "__meta__": meta_member(["a"]),
                "a": header(b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }\n") + bytes(8),
            },
            zipfile.ZIP_STORED,
        ),
        ({"__meta__": meta_member(["a"]), "a": header(b"{'descr': " + b"(" * 5000)}, zipfile.ZIP_STORED),
        ({"__meta__": meta_member(["a"]), "a": b"not an array"}, zipfile.ZIP_STORED),
    ],
)
def test_hostile_archives_are_refused(files, saved, tmp_path, monkeypatch, members, compression):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(str(saved), "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    with pytest.raises(RecordError, match=r"a\.npz"):
        files.load("a")
    assert not (tmp_path / "pickle-was-executed").exists()


def test_a_directory_in_place_of_a_checkpoint_is_refused(files, saved):
    saved.unlink()
    saved.mkdir()
    with pytest.raises(RecordError, match=r"a\.npz"):
        files.load("a")
    (info,) = files.list()
    assert info.error
