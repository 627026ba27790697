"""Lock file that admits one writer per run; the operating system releases it when the process ends."""

import errno
import os
import sys
from pathlib import Path

from qatviz.errors import RecordError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK_NAME = "run.lock"
#: Windows locks bytes and prevents others from reading them: lock one that is far from the process id.
_LOCKED_BYTE = 1 << 30
_MAX_DIGITS = 20
#: Error numbers of a lock that another process holds; others mean that the file system has no locks.
_HELD = (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)
#: Do not follow a link in place of the lock: the process id would overwrite its target.
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)


class RunLock:
    """Exclusive right to write the run in ``directory``, until `release` or the end of the process.

    The file is not deleted: a run is locked if there is a lock on the file, not if the file exists. The file contains
    the process id, for the error message.

    Raises
    ------
    RecordError
        If another process (or another record in this one) writes the run, or the lock file cannot be created.
    """

    def __init__(self, directory: Path):
        path = directory / LOCK_NAME
        try:
            self._descriptor = os.open(str(path), _FLAGS, 0o644)
        except OSError as error:
            raise RecordError(f"{path}: cannot be created: {error.strerror or error}") from error
        try:
            _lock(self._descriptor)
        except OSError as error:
            owner = os.read(self._descriptor, _MAX_DIGITS).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            if error.errno not in _HELD:
                raise RecordError(f"{path}: cannot be locked: {error.strerror or error}") from error
            raise RecordError(f"{directory}: is being written by process {owner or 'unknown'}") from error
        try:
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, str(os.getpid()).encode("ascii"))
        except OSError as error:
            self.release()
            raise RecordError(f"{path}: cannot be written: {error.strerror or error}") from error

    def release(self) -> None:
        """Release the lock; does nothing if it is released already."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        # flock, not POSIX locks: it belongs to this descriptor, so that a second record in this process is refused
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
