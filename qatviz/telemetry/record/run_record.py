"""Record of a run on disk: a directory with ``run.sqlite`` and ``checkpoints/NAME.npz``."""

import sqlite3
import threading
import time
import uuid
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from qatviz.errors import RecordError
from qatviz.protocol.branches import BranchCursor, BranchPoint
from qatviz.protocol.events import Event
from qatviz.protocol.snapshots import Snapshot, StepRecord
from qatviz.protocol.wire import to_json
from qatviz.telemetry.record.checkpoint_files import CheckpointFiles, CheckpointInfo
from qatviz.telemetry.record.database import Branch, Item, Timed, create_database
from qatviz.telemetry.record.own_files import INITIAL
from qatviz.telemetry.record.reader import PARAMETERS, RecordReader
from qatviz.telemetry.record.run_lock import RunLock
from qatviz.telemetry.record.schema import DATABASE_NAME, open_for_reading, read_branches
from qatviz.telemetry.record.writer import SNAPSHOT_WEIGHT, RecordWriter, record_error


class RunRecord(RecordReader):
    """Record of a run that is being written, returned by `create` or `open`; readable like any `RecordReader`.

    Appending is cheap: a thread of the record writes. Steps are committed every 0.3 s, events at once; if the process
    is killed, at most the last second of telemetry is lost. Readers see committed items only: call `flush` first.

    If writing fails (disk full, directory deleted), the run continues without a record: `failure` is the reason, and
    items appended later are dropped. What was committed stays readable; to write again, close the record and `open` it.
    Checkpoints are separate files: `save_checkpoint` works independently, and raises if it fails.

    Any thread may read; one thread at a time may append.
    """

    def __init__(self, directory: Path, lock: RunLock):
        super().__init__(directory)
        self._lock = lock
        self._appending = threading.Lock()
        with open_for_reading(self.path) as connection:
            state = self._state(connection)
            self._branches = [Branch(*row) for row in read_branches(connection, state)]
        self._branch = state.branch
        log = self._log()
        self._cursor = BranchCursor(log.tree.copy(), log.next_position())
        self._shape = state.shape
        self._last_step = state.last_step if state.blocks else None
        self._checkpoints.remove_unfinished()
        unrecorded = self._unrecorded_branches()
        self._writer = RecordWriter(self.path)
        failure = self._writer.wait_opened()
        if failure is not None:
            raise failure
        for parent, step in unrecorded:
            self.append_rewind(step, parent)
        if unrecorded:
            self.commit()

    @classmethod
    def create(
        cls,
        directory: Union[str, Path],
        description: Dict[str, Any],
        parameters: Optional[Dict[str, np.ndarray]] = None,
        write_before: Optional[Callable[[Path], None]] = None,
    ) -> "RunRecord":
        """Create the record of a new run, with the directory and its parents if missing.

        Parameters
        ----------
        description : dict
            JSON-able: network, data, options, settings, versions. ``run_id`` and ``created`` are added if missing.
        parameters : dict of str to np.ndarray, optional
            Initial parameters given to the run; stored in a separate file (`RecordReader.initial_parameters`).
        write_before : callable, optional
            Called with the directory once it is locked, to write further files to which the record refers; if it
            raises, there is no record.

        Raises
        ------
        RecordError
            If the directory contains a run already, is being written, or cannot be written.
        TypeError
            If a value in ``description`` has no JSON form.
        """
        directory = Path(directory).absolute()
        described = {"run_id": uuid.uuid4().hex, "created": time.time(), **description}
        if parameters is not None:
            described["given_parameters"] = True
        to_json(described)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordError(f"{directory}: cannot be created: {error.strerror or error}") from error
        return cls._locked(directory, described, parameters, write_before)

    @classmethod
    def open(cls, directory: Union[str, Path]) -> "RunRecord":
        """Open the record of an ended or interrupted run for further writing.

        Raises
        ------
        RecordError
            If there is no record, it is damaged, or another process is writing it.
        """
        directory = Path(directory).absolute()
        RecordReader(directory)  # validate first, so that no lock file is created in another directory
        return cls._locked(directory, None)

    @staticmethod
    def read(directory: Union[str, Path]) -> RecordReader:
        """Return a read-only view of the record of a run."""
        return RecordReader(directory)

    @property
    def failure(self) -> Optional[RecordError]:
        """Error that ended writing; None while writing works."""
        return self._writer.failure

    @property
    def branch(self) -> int:
        """Branch that is being written; checkpoints store it for `append_rewind`."""
        return self._branch

    def append_step(self, record: StepRecord) -> None:
        """Append a step record; blocks only if the disk is slower than the run.

        Raises
        ------
        ValueError
            If its step is not after the last one (call `append_rewind` first), or the shape of its values has changed.
        RecordError
            If the record is closed.
        """
        with self._appending:
            if self._last_step is not None and record.step <= self._last_step:
                raise ValueError(f"step {record.step} is not after step {self._last_step}: append_rewind first")
            if record.values.ndim != 2 or record.values.shape != (self._shape or record.values.shape):
                raise ValueError(f"values of step {record.step} have the shape {record.values.shape}")
            self._writer.put((self._branch, record))
            self._shape = record.values.shape
            self._last_step = record.step

    def append_snapshot(self, snapshot: Snapshot) -> None:
        """Append a snapshot; old ones are thinned out (see `RecordReader.snapshots`)."""
        with self._appending:
            self._writer.put((self._branch, snapshot), SNAPSHOT_WEIGHT)

    def append_event(self, event: Event) -> None:
        """Append an event and commit it at once; one without a place belongs to the current state.

        Raises
        ------
        ValueError
            If there is no such branch.
        """
        with self._appending:
            if event.branch >= len(self._branches):
                raise ValueError(f"event on branch {event.branch}, expected 0 to {len(self._branches) - 1}")
            event = self._cursor.place(event)
            self._writer.put((event.branch, Timed(event, time.time())), urgent=True)

    def cursor(self) -> BranchCursor:
        """Return a cursor at the end of the branch that is being written."""
        with self._appending:
            return self._cursor.copy()

    def append_rewind(
        self,
        step: int,
        branch: Optional[int] = None,
        reports: Sequence[Event] = (),
        position: Optional[int] = None,
    ) -> int:
        """Record that the run was set to the state after ``step`` training steps; start a new branch there.

        Parameters
        ----------
        branch : int, optional
            Branch of that state (the entry ``branch`` of a checkpoint's metadata); by default the current one and its
            ancestors. Redo needs it, because its state is on an abandoned branch.
        reports : sequence of Event
            Events that report the rewind, placed on the new branch and committed together with it. If empty, the branch
            is committed with the next item.
        position : int, optional
            Number of events on that branch before the state.

        Returns
        -------
        int
            Number of the new branch.

        Raises
        ------
        ValueError
            If there is no such branch.
        """
        with self._appending:
            parent = self._branch if branch is None else branch
            if not 0 <= parent < len(self._branches):
                raise ValueError(f"branch {parent} of the record, expected 0 to {len(self._branches) - 1}")
            new = Branch(len(self._branches), parent, int(step))
            self._cursor.fork(BranchPoint(parent, new.fork_step, position))
            now = time.time()
            items: List[Item] = [(new.id, new)]
            items += [(new.id, Timed(self._cursor.place(event), now)) for event in reports]
            self._writer.put_atomically(items, urgent=bool(reports))
            self._branches.append(new)
            self._branch, self._last_step = new.id, new.fork_step
            return new.id

    def save_checkpoint(self, name: str, arrays: Dict[str, np.ndarray], meta: Dict[str, Any]) -> CheckpointInfo:
        """Write a checkpoint on the calling thread (`CheckpointFiles.save`); adds ``branch`` to its metadata.

        After a failure of the record, it contains the branches, too, which would else be unknown to the next writer.
        """
        known = {} if self.failure is None else {"branches": [[b.parent, b.fork_step] for b in self._branches[1:]]}
        return self._checkpoints.save(name, arrays, {"branch": self._branch, **known, **meta})

    def delete_checkpoint(self, name: str) -> None:
        """Delete a checkpoint; RecordError if that fails."""
        self._checkpoints.delete(name)

    def flush(self, timeout_s: Optional[float] = 10.0, *, durable: bool = False) -> bool:
        """Wait until all appended items are committed; return False on failure or time-out (None: none).

        A commit survives the end of the process; a ``durable`` one, which is forced to the disk, a power failure, too.
        """
        return self._writer.flush(timeout_s, durable)

    def commit(self) -> None:
        """Wait until all appended items are committed; RecordError if that fails, or takes more than 10 s."""
        if not self.flush():
            raise self.failure or RecordError(f"{self.path}: could not be written: the disk does not respond")

    def close(self, timeout_s: float = 10.0) -> None:
        """Commit all pending items and release the lock; does nothing if closed already.

        Raises
        ------
        RecordError
            If that takes longer than ``timeout_s`` seconds; the writer continues in the background.
        """
        if not self._writer.close(timeout_s):
            raise RecordError(f"{self.path}: could not be closed within {timeout_s} s: the disk does not respond")
        self._lock.release()

    def __enter__(self) -> "RunRecord":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _unrecorded_branches(self) -> Sequence[Tuple[int, int]]:
        """Return parent and starting step of the branches that began after an earlier writer of the record had failed.

        Checkpoints saved since then contain them. Once they are in the record, the run can continue on them, and their
        numbers are not given to other branches.
        """
        own = tuple((branch.parent, branch.fork_step) for branch in self._branches[1:])
        known = [info.branches for info in self._checkpoints.list() if info.branches[: len(own)] == own]
        return max(known, key=len, default=own)[len(own) :]

    @classmethod
    def _locked(
        cls,
        directory: Path,
        new_description: Optional[Dict[str, Any]],
        parameters: Optional[Dict[str, np.ndarray]] = None,
        write_before: Optional[Callable[[Path], None]] = None,
    ) -> "RunRecord":
        lock = RunLock(directory)
        try:
            path = directory / DATABASE_NAME
            if new_description is not None:
                if path.exists():
                    raise RecordError(f"{directory}: contains a run already; resume it, or choose another directory")
                if parameters is not None:  # before the record, which refers to them
                    CheckpointFiles(directory, INITIAL).save(PARAMETERS, parameters, {"step": 0, "reason": "given"})
                if write_before is not None:
                    write_before(directory)
                try:
                    create_database(path, new_description)
                except (OSError, sqlite3.Error) as error:
                    raise record_error(path, error) from error
            return cls(directory, lock)
        except BaseException:
            lock.release()
            raise
