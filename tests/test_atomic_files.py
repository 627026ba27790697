"""Files are written completely or not at all, for any interruption at any point."""

import errno
import os
import re
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from qatviz import atomic_files
from qatviz.atomic_files import (
    atomic_directory,
    atomic_file,
    atomic_path,
    check_writable,
    remove_leftovers,
    sync_directory,
    write_file,
    write_files,
    write_private_file,
)

ROOT = Path(__file__).resolve().parents[1]
POSIX = pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
ALL_NEW = {"a": b"new a", "b": b"new b", "d/c": b"new c"}


def write_one(folder):
    write_file(folder / "a", b"new a")


def write_in_parts(folder):
    with atomic_file(str(folder / "a")) as file:
        file.write(b"new")
        file.write(b" a")


def write_by_name(folder):
    with atomic_path(folder / "a") as path:
        path.write_bytes(b"new a")


def write_all(folder):
    write_files({folder / "a": b"new a", folder / "b": b"new b", folder / "d" / "c": b"new c"})


def write_directory(folder):
    with atomic_directory(folder / "d") as directory:
        (directory / "c").write_bytes(b"new c")
        (directory / "e").mkdir()
        (directory / "e" / "f").write_bytes(b"new f")


CHANGES = ("replace", "fsync", "open", "close", "chmod")
#: What writes; what it makes new; whether it takes back what an interruption found it at.
WRITES = {
    write_one: ({"a": b"new a"}, False),
    write_in_parts: ({"a": b"new a"}, False),
    write_by_name: ({"a": b"new a"}, False),
    write_all: (ALL_NEW, True),
    write_directory: ({"d/c": b"new c", "d/e/f": b"new f"}, True),
}


def make_folder(path, has_old):
    (path / "d").mkdir(parents=True)
    if has_old:
        for name in ("a", "b", "d/c", "d/g"):
            (path / name).write_bytes(f"old {name}".encode())
    return path


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def expected_new(old, write):
    """Return the contents of the folder after ``write``."""
    new, _ = WRITES[write]
    kept = {name: value for name, value in old.items() if write is not write_directory or not name.startswith("d/")}
    return {**kept, **new}


class Interruption:
    """Have call number ``at`` of the functions that change a disk raise an error, before or after it has its effect.

    ``watch`` is called before each of the calls.
    """

    def __init__(self, patch, at, error, after, watch=lambda: None):
        self.calls, self._at, self._error, self._after, self._watch = [], at, error, after, watch
        wrapped = {name: self._wrapped(name, getattr(os, name)) for name in CHANGES}
        # Not those of the whole interpreter: what removes litter is interrupted where it is tested.
        patch.setattr(atomic_files, "os", SimpleNamespace(**{**vars(os), **wrapped}))
        patch.setattr(atomic_files, "open", self._wrapped("open file", open), raising=False)

    def _wrapped(self, name, function):
        def call(*arguments, **options):
            self._watch()
            self.calls.append(name)
            is_due = len(self.calls) == self._at + 1
            if is_due and not self._after:
                raise self._error
            result = function(*arguments, **options)
            if is_due:
                if name == "open file":
                    result.close()
                raise self._error
            return result

        return call


@pytest.mark.parametrize("has_old", [True, False], ids=["replaces", "new"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("write", WRITES)
def test_an_interruption_at_any_point_leaves_old_or_new(write, error, after, has_old, tmp_path, monkeypatch):
    _, takes_back = WRITES[write]
    at, outcomes = 0, []
    while True:
        folder = make_folder(tmp_path / str(at), has_old)
        old = content(folder)
        with monkeypatch.context() as patch:
            interruption = Interruption(patch, at, error, after)
            try:
                write(folder)
            except type(error) as raised:
                assert raised is error
            else:
                break
        found = content(folder)
        assert found in ([old] if takes_back else [old, expected_new(old, write)]), interruption.calls
        outcomes.append(found == old)
        if not takes_back and "replace" not in interruption.calls:
            assert found == old
        at += 1
    assert content(folder) == expected_new(old, write)
    assert at == len(interruption.calls) >= 6 and outcomes[0]


@pytest.mark.parametrize("write", [write_one, write_in_parts, write_by_name])
def test_a_reader_always_finds_a_complete_file(write, tmp_path, monkeypatch):
    folder, found = make_folder(tmp_path / "f", True), []
    with monkeypatch.context() as patch:
        Interruption(patch, -1, None, False, lambda: found.append((folder / "a").read_bytes()))
        write(folder)
    assert found[0] == b"old a" and found[-1] == b"new a" and set(found) == {b"old a", b"new a"}


@pytest.mark.parametrize("write", WRITES)
def test_an_error_while_writing_leaves_no_files(write, tmp_path, monkeypatch):
    folder = make_folder(tmp_path / "f", True)
    old = content(folder)

    class Full:
        def __init__(self, file):
            self._file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._file.close()

        def write(self, content):
            self._file.write(content[:2])
            raise OSError(errno.ENOSPC, "No space left on device")

    def full(path, mode):
        return Full(open(path, mode)) if mode == "xb" else open(path, mode)

    monkeypatch.setattr(atomic_files, "open", full, raising=False)
    # What is given a path writes it with a library of its own.
    monkeypatch.setattr(Path, "write_bytes", lambda path, content: full(str(path), "xb").write(content))
    with pytest.raises(OSError, match="No space left"):
        write(folder)
    assert content(folder) == old


def exit_code_of_write(write, folder, at):
    """Write in a fork of this process, which ends at call number ``at`` as if killed, with the exit code 9."""
    leave = os._exit
    child = os.fork()
    if child:
        return os.WEXITSTATUS(os.waitpid(child, 0)[1])
    try:
        with pytest.MonkeyPatch.context() as patch:
            interruption = Interruption(patch, -1, None, False)
            interruption._watch = lambda: leave(9) if len(interruption.calls) == at else None
            write(folder)
        leave(0)
    finally:
        leave(1)
    return None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX's")
@pytest.mark.parametrize("write", [write_one, write_all, write_directory])
def test_a_kill_at_any_point_loses_nothing(write, tmp_path):
    for at in range(100):
        folder = make_folder(tmp_path / str(at), True)
        old = content(folder)
        new = expected_new(old, write)
        code = exit_code_of_write(write, folder, at)
        if code == 0:
            break
        assert code == 9
        found = content(folder)
        hidden = {name: value for name, value in found.items() if "/." in "/" + name}
        visible = {name: value for name, value in found.items() if name not in hidden}
        assert all(value in (old.get(name), new.get(name)) for name, value in visible.items())
        assert set(old.values()) <= set(found.values()) or visible == new
        if write is write_one:
            assert "a" in visible
        for directory in (folder, folder / "d"):
            remove_leftovers(directory)
        assert not list(folder.rglob(".*.part"))
    assert at >= 6 and content(folder) == new


@POSIX
def test_file_modes_follow_the_umask_or_the_replaced_file(tmp_path):
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "new", b"1")
        write_files({tmp_path / "several": b"1"})
        with atomic_directory(tmp_path / "directory") as directory:
            (directory / "a").write_bytes(b"1")
        for mode in (0o600, 0o444, 0o755):
            (tmp_path / "old").write_bytes(b"1")
            os.chmod(str(tmp_path / "old"), mode)
            write_file(tmp_path / "old", b"2")
            write_files({tmp_path / "old": b"3"})
            assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == mode
            assert (tmp_path / "old").read_bytes() == b"3"
            (tmp_path / "old").unlink()
        with atomic_directory(tmp_path / "directory"):
            os.chmod(str(tmp_path / "directory"), 0o700)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"new": 0o640, "several": 0o640, "directory": 0o700}


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "🙂" * 63], ids=["ascii", "two bytes", "four bytes"])
def test_names_of_the_maximum_length_are_supported(name, tmp_path):
    if sys.platform != "linux":
        pytest.skip("the limit is Linux'")
    for content_ in (b"1", b"2"):
        write_file(tmp_path / name, content_)
        write_files({tmp_path / name: content_})
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"2"]


@POSIX
def test_a_link_is_replaced_and_its_target_is_unchanged(tmp_path):
    (tmp_path / "target").write_bytes(b"1")
    for name in ("target", "nowhere"):
        (tmp_path / "link").symlink_to(tmp_path / name)
        write_files({tmp_path / "link": b"2"})
        assert not (tmp_path / "link").is_symlink() and (tmp_path / "link").read_bytes() == b"2"
        (tmp_path / "link").unlink()
    assert content(tmp_path) == {"target": b"1"}


def test_only_leftovers_of_the_same_file_are_removed(tmp_path):
    others = [".a.old", ".a.other.part", "a"]
    for name in (".a.0123abcd.part", ".a.0123abcd.part-journal", ".a.b.0123abcd.part", ".b[1].0123abcd.part", *others):
        (tmp_path / name).write_bytes(b"")
    remove_leftovers(tmp_path, "a")
    assert sorted(content(tmp_path)) == sorted([".a.b.0123abcd.part", ".b[1].0123abcd.part", *others])
    remove_leftovers(tmp_path, "b[1]")
    assert sorted(content(tmp_path)) == sorted([".a.b.0123abcd.part", *others])
    remove_leftovers(tmp_path)
    assert sorted(content(tmp_path)) == sorted(others)


def test_the_directory_is_synced_after_the_rename(tmp_path, monkeypatch):
    order, real = [], os.replace
    monkeypatch.setattr(atomic_files, "sync_directory", lambda directory: order.append(directory))
    monkeypatch.setattr(os, "replace", lambda *paths: (order.append("replace"), real(*paths)))
    write_file(tmp_path / "a", b"1")
    assert order == ["replace", tmp_path]
    del order[:]
    write_files({tmp_path / "a": b"2", tmp_path / "b": b"2"})
    assert order == ["replace"] * 3 + [tmp_path]


@pytest.mark.parametrize("number, raises", [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
def test_a_file_system_that_cannot_sync_directories_is_no_error(number, raises, tmp_path, monkeypatch):
    def fail(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    if raises and os.name == "posix":
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            sync_directory(tmp_path)
    else:
        sync_directory(tmp_path)


def test_directories_are_not_synced_on_windows(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "open", None)
    monkeypatch.setattr(os, "name", "nt")
    sync_directory(tmp_path)


def test_no_other_module_replaces_files():
    calls = re.compile(r"\bos\.(replace|rename|renames|fsync)\b|\bshutil\.move\b|\bQSaveFile\b|\bNamedTemporaryFile\b")
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "qatviz").rglob("*.py")
        if calls.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"qatviz/atomic_files.py"}


def test_a_place_is_checked_before_there_is_content(tmp_path):
    (tmp_path / "old.txt").write_text("old")
    for name in ("new.txt", "old.txt"):
        check_writable(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["old.txt"] and (tmp_path / "old.txt").read_text() == "old"
    with pytest.raises(IsADirectoryError):
        check_writable(tmp_path)
    with pytest.raises(FileNotFoundError):
        check_writable(tmp_path / "missing" / "new.txt")


@POSIX
def test_a_private_file_is_so_from_its_first_byte_whatever_it_replaces(tmp_path):
    path = tmp_path / "token"
    path.write_text("old")
    path.chmod(0o644)
    write_private_file(path, b"secret")
    assert path.read_bytes() == b"secret" and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["token"]
