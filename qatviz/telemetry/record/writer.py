"""Thread that writes the record of a run."""

import threading
from collections import deque
from pathlib import Path
from typing import Deque, List, Optional, Tuple

from qatviz.errors import RecordError
from qatviz.telemetry.record.database import Item, RecordDatabase

#: Longest time between commits of step records, in seconds, which bounds the loss if the process is killed.
COMMIT_INTERVAL_S = 0.3
#: Weight of a snapshot among pending items, relative to a step record.
SNAPSHOT_WEIGHT = 64
#: Total weight of pending items from which on they are committed before the interval has passed.
_WAKE_LOAD = 1024
#: Total weight of pending items from which on `put` blocks.
_MAX_LOAD = 4096


class RecordWriter:
    """Writer that accepts items from any thread and commits all of them, unless it fails, on its own thread.

    If the disk is slower than the run, `put` blocks. After a failure nothing is written and `put` no longer blocks:
    further items are dropped.

    Parameters
    ----------
    path : Path
        The database.
    """

    def __init__(self, path: Path):
        self._path = path
        self._changed = threading.Condition()
        self._waiting: Deque[Item] = deque()
        self._load = 0
        self._urgent = False
        self._durable = False  # True if the next commit must be durable
        self._closing = False
        self._n_put = 0
        self._n_written = 0
        self._n_durable = 0
        self._failure: Optional[RecordError] = None
        self._opened = False
        # A daemon thread, so that a program can end without closing the record.
        self._thread = threading.Thread(target=self._run, name="qatviz-record", daemon=True)
        self._thread.start()

    @property
    def failure(self) -> Optional[RecordError]:
        """Error that ended writing; None while writing works."""
        with self._changed:
            return self._failure

    def put(self, item: Item, weight: int = 1, urgent: bool = False) -> None:
        """Append an item; blocks while too many are pending. ``urgent``: commit at once, not with the next batch."""
        self.put_atomically([item], weight, urgent)

    def put_atomically(self, items: List[Item], weight: int = 1, urgent: bool = False) -> None:
        """Append items that are committed all or none; otherwise like `put`."""
        with self._changed:
            self._changed.wait_for(lambda: self._load < _MAX_LOAD or self._failure is not None or self._closing)
            if self._failure is not None:
                return
            if self._closing:
                raise RecordError(f"{self._path}: the record is closed")
            first = not self._waiting
            self._waiting.extend(items)
            self._load += weight
            self._n_put += len(items)
            if urgent or self._load >= _WAKE_LOAD:
                self._urgent = True
            if self._urgent or first:
                self._changed.notify_all()

    def flush(self, timeout_s: Optional[float], durable: bool = False) -> bool:
        """Wait until all appended items are committed; return False on failure or after ``timeout_s`` seconds.

        ``durable``: wait until they are on the disk, too.
        """
        with self._changed:
            target = self._n_put

            def is_done() -> bool:
                return (self._n_durable if durable else self._n_written) >= target

            if not is_done():
                self._urgent = True
                self._durable |= durable
                self._changed.notify_all()
            self._changed.wait_for(lambda: is_done() or self._failure is not None, timeout_s)
            return is_done() and self._failure is None

    def close(self, timeout_s: float) -> bool:
        """Commit all pending items and end the thread; return False if that takes longer than ``timeout_s`` seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def wait_opened(self) -> Optional[RecordError]:
        """Wait until the database is open for writing; return the failure if it cannot be opened."""
        with self._changed:
            self._changed.wait_for(lambda: self._opened or self._failure is not None)
            return self._failure

    def _run(self) -> None:
        try:
            database = RecordDatabase(self._path)
            try:
                with self._changed:
                    self._opened = True
                    self._changed.notify_all()
                closing = False
                while not closing:
                    items, durable, closing = self._next_batch()
                    if items or durable:
                        database.write(items, durable)
                    with self._changed:
                        self._n_written += len(items)
                        if durable:
                            self._n_durable = self._n_written
                        self._changed.notify_all()
            except BaseException:
                database.close(settle=False)
                raise
            database.close(settle=True)
        except Exception as error:  # any failure must be reported, and must not end the run
            self._fail(record_error(self._path, error))

    def _next_batch(self) -> Tuple[List[Item], bool, bool]:
        """Wait for the next batch; return it, whether its commit must be durable, and whether it is the last one."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._urgent or self._closing)
            self._changed.wait_for(lambda: self._urgent or self._closing, COMMIT_INTERVAL_S)
            items, self._waiting = list(self._waiting), deque()
            durable, self._durable = self._durable, False
            self._load = 0
            self._urgent = False
            self._changed.notify_all()
            return items, durable, self._closing

    def _fail(self, failure: RecordError) -> None:
        with self._changed:
            self._failure = failure
            self._waiting.clear()
            self._changed.notify_all()


def record_error(path: Path, error: Exception) -> RecordError:
    """Return ``error`` as a RecordError that names the file and the reason."""
    if isinstance(error, RecordError):
        return error
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    failure = RecordError(f"{path}: the record of the run cannot be written: {reason}")
    failure.__cause__ = error
    return failure
