"""Files and directories that are written as a whole or not at all.

Whatever interrupts a write (an exception, a killed process, a power failure), a reader finds the old content or the new
one, never a part. New content goes to a temporary file in the same directory and is forced to the disk; then it is
renamed, and the directory is forced to the disk, which makes the rename durable.

A temporary file is named ``.<name>.<token>.part``; it gets the mode of the file it replaces, or what the umask leaves.
All functions raise OSError, and leave the old content in place, except where the last step fails: if the directory
can't be forced to the disk, the new content is there already. A killed process leaves its temporary file behind; see
:func:`remove_leftovers`.
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
#: Longest part of a file's name that is repeated in the name of its temporary file: the whole stays below 255 bytes.
_MAX_NAME = 50
#: What file systems answer that can't force a directory to the disk.
_NO_DIRECTORY_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)


@contextlib.contextmanager
def atomic_path(path: AnyPath) -> Iterator[Path]:
    """Yield the path of a temporary file, for a library that opens files by name; it replaces ``path`` at the end.

    The block creates the file and closes it. An exception in the block removes it.
    """
    path = Path(path)
    temporary = _beside(path, _NEW)
    try:
        yield temporary
        _sync_file(temporary)
        _keep_mode(path, temporary)
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
    """Write one file, replacing what is there."""
    with atomic_file(path) as file:
        file.write(content)


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write several files, replacing what is there: all of them, or none.

    They get their names in the order of ``contents``, once all are on the disk. Old content is kept under another name
    (``.<name>.<token>.old``) until all are renamed; that is where a process that is killed in between leaves it.
    """
    new, old = ({path: _beside(path, ending) for path in contents} for ending in (_NEW, _OLD))
    try:
        for path, content in contents.items():
            with open(str(new[path]), "xb") as file:
                file.write(content)
            _sync_file(new[path])
            _keep_mode(path, new[path])
        _rename_together(new, old)
    finally:
        _remove(*new.values())


@contextlib.contextmanager
def atomic_directory(path: AnyPath) -> Iterator[Path]:
    """Yield an empty temporary directory that replaces ``path``, with all that is in it, at the end.

    The old directory is kept under another name until the new one has its own. An exception in the block removes the
    temporary directory.
    """
    path = Path(path)
    new, old = _beside(path, _NEW), _beside(path, _OLD)
    try:
        new.mkdir()
        yield new
        for folder, _, files in os.walk(str(new)):
            for name in files:
                _sync_file(Path(folder, name))
            sync_directory(Path(folder))
        _keep_mode(path, new)
        _rename_together({path: new}, {path: old})
    finally:
        shutil.rmtree(str(new), ignore_errors=True)


def sync_directory(directory: Path) -> None:
    """Force the names in a directory to the disk. Windows has no such call and needs none."""
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
    """Remove the temporary files that killed processes left behind, of one file or of all in a directory.

    Only while no other process writes there.
    """
    for path in directory.glob(f".{glob.escape(name[:_MAX_NAME]) or '*'}.*{_NEW}*"):
        _remove(path)


def _beside(path: Path, ending: str) -> Path:
    """Return an unused path in the same directory."""
    return path.with_name(f".{path.name[:_MAX_NAME]}.{os.urandom(4).hex()}{ending}")


def _sync_file(path: Path) -> None:
    with open(str(path), "rb+") as file:  # Windows forces only what is open for writing
        os.fsync(file.fileno())


def _keep_mode(old: Path, new: Path) -> None:
    if os.name == "posix" and old.exists():
        os.chmod(str(new), stat.S_IMODE(os.stat(str(old)).st_mode))


def _rename_together(new: Dict[Path, Path], old: Dict[Path, Path]) -> None:
    """Give the files or directories in ``new`` their names, the keys; what has them goes to ``old`` meanwhile."""
    begun: List[Path] = []
    try:
        for path, temporary in new.items():
            begun.append(path)
            if os.path.lexists(str(path)):
                os.replace(str(path), str(old[path]))
            os.replace(str(temporary), str(path))
        for directory in {path.parent for path in new}:
            sync_directory(directory)
    except BaseException:  # an interruption too
        for path in begun:
            _put_back(path, new[path], old[path])
        raise
    _remove(*old.values())


def _put_back(path: Path, new: Path, old: Path) -> None:
    """Undo what was done of the renaming of ``new`` to ``path``."""
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
            with contextlib.suppress(OSError):  # mostly: there is none
                path.unlink()
