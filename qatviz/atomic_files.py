"""Atomic writes of files and directories.

After any interruption (an exception, a killed process, a power failure), a reader finds either the old or the new
content, never a part. New content is written to a temporary file in the same directory and synced; then the file is
renamed, and the directory is synced, which makes the rename durable.

A temporary file is named ``.<name>.<token>.part``; it gets the mode of the file it replaces, or that of the umask. All
functions raise OSError and leave the old content in place, unless only the sync of the directory fails, after the
rename. A killed process leaves its temporary file behind; see :func:`remove_leftovers`.
"""

import contextlib
import errno
import glob
import os
import shutil
import stat
from pathlib import Path
from typing import BinaryIO, Dict, Iterator, List, Mapping, Union

AnyPath = Union[str, "os.PathLike[str]"]

_NEW, _OLD = ".part", ".old"
#: Random bytes of the token, and the pattern of its hexadecimal digits.
_TOKEN_BYTES, _TOKEN = 4, "[0-9a-f]" * 8
#: Longest part of a file's name in the name of its temporary file, so that the latter has at most 255 bytes.
_MAX_NAME = 50
#: Error numbers of file systems that do not support syncing a directory.
_NO_DIRECTORY_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)


@contextlib.contextmanager
def atomic_path(path: AnyPath) -> Iterator[Path]:
    """Yield the path of a temporary file, for a library that opens files by name; it replaces ``path`` at the end.

    The block creates the file and closes it. An exception in the block removes it.
    """
    path = Path(path)
    temporary = _temporary_path(path, _NEW)
    try:
        yield temporary
        _sync_file(temporary)
        _copy_mode(path, temporary)
        os.replace(str(temporary), str(path))
    finally:
        _remove(temporary)
    sync_directory(path.parent)


@contextlib.contextmanager
def atomic_file(path: AnyPath) -> Iterator[BinaryIO]:
    """Yield a new file, open for writing bytes, that replaces ``path`` at the end; an exception removes it."""
    with atomic_path(path) as temporary, open(str(temporary), "xb") as file:
        yield file
        file.flush()


def write_file(path: AnyPath, content: bytes) -> None:
    """Write one file, replacing an existing one."""
    with atomic_file(path) as file:
        file.write(content)


def write_private_file(path: AnyPath, content: bytes) -> None:
    """Write one file that only the user can read, replacing an existing one, whatever its mode."""
    path = Path(path)
    temporary = _temporary_path(path, _NEW)
    try:
        with os.fdopen(os.open(str(temporary), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(str(temporary), str(path))
    finally:
        _remove(temporary)
    sync_directory(path.parent)


def check_writable(path: AnyPath) -> None:
    """Raise the OSError that writing a file would, before the work that leads to its content."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = _temporary_path(path, _NEW)
    try:
        open(str(temporary), "xb").close()
    finally:
        _remove(temporary)


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write several files, replacing existing ones: all of them, or none.

    The files are renamed in the order of ``contents``, once all are synced. Meanwhile, old content has another name
    (``.<name>.<token>.old``), where it remains if the process is killed.
    """
    new, old = ({path: _temporary_path(path, ending) for path in contents} for ending in (_NEW, _OLD))
    try:
        for path, content in contents.items():
            with open(str(new[path]), "xb") as file:
                file.write(content)
            _sync_file(new[path])
            _copy_mode(path, new[path])
        _rename_together(new, old)
    finally:
        _remove(*new.values())


@contextlib.contextmanager
def atomic_directory(path: AnyPath) -> Iterator[Path]:
    """Yield an empty temporary directory that replaces ``path`` and its content at the end.

    The old directory has another name until the new one is renamed. An exception in the block removes the
    temporary directory.
    """
    path = Path(path)
    new, old = _temporary_path(path, _NEW), _temporary_path(path, _OLD)
    try:
        new.mkdir()
        yield new
        for folder, _, files in os.walk(str(new)):
            for name in files:
                _sync_file(Path(folder, name))
            sync_directory(Path(folder))
        _copy_mode(path, new)
        _rename_together({path: new}, {path: old})
    finally:
        shutil.rmtree(str(new), ignore_errors=True)


def sync_directory(directory: Path) -> None:
    """Sync the entries of a directory to the disk. Windows has no such call and needs none."""
    if os.name != "posix":
        return
    try:
        descriptor = os.open(str(directory), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise


def remove_leftovers(directory: Path, name: str = "") -> None:
    """Remove temporary files of killed processes, of one file or of all files in a directory.

    Call it only while no other process writes there.
    """
    # Libraries add endings to the name of a temporary file, such as SQLite's -journal.
    for path in directory.glob(f".{glob.escape(name[:_MAX_NAME]) or '*'}.{_TOKEN}{_NEW}*"):
        _remove(path)


def _temporary_path(path: Path, ending: str) -> Path:
    """Return an unused path in the same directory."""
    return path.with_name(f".{path.name[:_MAX_NAME]}.{os.urandom(_TOKEN_BYTES).hex()}{ending}")


def _sync_file(path: Path) -> None:
    with open(str(path), "rb+") as file:  # Windows syncs only files that are open for writing
        os.fsync(file.fileno())


def _copy_mode(old: Path, new: Path) -> None:
    if os.name == "posix" and old.exists():
        os.chmod(str(new), stat.S_IMODE(os.stat(str(old)).st_mode))


def _rename_together(new: Dict[Path, Path], old: Dict[Path, Path]) -> None:
    """Rename the files or directories ``new`` to their keys, all or none; existing ones are ``old`` meanwhile."""
    started: List[Path] = []
    try:
        for path, temporary in new.items():
            started.append(path)
            if os.path.lexists(str(path)):
                os.replace(str(path), str(old[path]))
            os.replace(str(temporary), str(path))
        for directory in {path.parent for path in new}:
            sync_directory(directory)
    except BaseException:  # including KeyboardInterrupt
        for path in started:
            _undo_rename(path, new[path], old[path])
        raise
    _remove(*old.values())


def _undo_rename(path: Path, new: Path, old: Path) -> None:
    """Undo the renaming of ``new`` to ``path``, as far as it was done."""
    has_old = os.path.lexists(str(old))
    if not os.path.lexists(str(new)) and (path.is_dir() or not has_old):
        _remove(path)
    if has_old:
        os.replace(str(old), str(path))


def _remove(*paths: Path) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(str(path), ignore_errors=True)
        else:
            with contextlib.suppress(OSError):  # usually, it does not exist
                path.unlink()
