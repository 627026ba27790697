"""Writing of the database of a run: one transaction per commit, on one thread."""

import os
import sqlite3
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Set, Tuple, Union

from qatviz.atomic_files import atomic_path, remove_leftovers
from qatviz.errors import RecordError
from qatviz.protocol.events import Event
from qatviz.protocol.snapshots import Snapshot, StepRecord, phase
from qatviz.protocol.wire import pack_snapshot, pack_steps, to_json
from qatviz.telemetry.record.schema import (
    State,
    connect,
    create_tables,
    insert,
    open_for_reading,
    read_state,
    write_state,
)

#: Number of newest snapshots that are all stored. Of older ones, every 2nd is stored up to the 400th newest, every 4th
#: up to the 800th, and so on: 100 more each time the number of snapshots doubles, 1,500 after a million. The first of
#: each phase of each branch (`qatviz.protocol.snapshots.phase`) is always stored.
SNAPSHOTS_KEPT_WHOLE = 200
#: Number of new snapshots between two deletions of old ones.
_THIN_INTERVAL = 16
#: Largest number of step records in one block.
_MAX_BLOCK_ROWS = 4096
#: Blocks with fewer rows than this are extended by the next commit. A slow run commits a few steps at a time: with 27
#: tensors, a step takes 480 bytes in a block of 64 instead of 1,040 in a block of 4 (measured on lenet), and packing
#: the block again takes 0.6 ms per commit, 0.2 % of a core.
GROWING_ROWS = 64


class Branch(NamedTuple):
    """Branch ``id`` of a run that was set to another state: it starts after step ``fork_step`` of ``parent``."""

    id: int
    parent: int
    fork_step: int


class Timed(NamedTuple):
    """Event with the wall clock of its recording, Unix time in seconds."""

    event: Event
    time: float


Item = Tuple[int, Union[StepRecord, Timed, Snapshot, Branch]]  # the branch it belongs to, and the item itself


def create_database(path: Path, description: Dict[str, Any]) -> None:
    """Create an empty record atomically: a killed process leaves no partial one.

    Raises
    ------
    OSError, sqlite3.Error
        If it cannot be written.
    """
    remove_leftovers(path.parent, path.name)
    with atomic_path(path) as temporary:
        connection = connect(temporary, "rwc")
        try:
            connection.execute("BEGIN")
            create_tables(connection, description)
            connection.execute("COMMIT")
        finally:
            connection.close()


class RecordDatabase:
    """Writing connection to the database; created, used and closed on one thread.

    Parameters
    ----------
    path : Path
        An existing database.

    Raises
    ------
    RecordError, OSError, sqlite3.Error
        If the database is missing, damaged, or not writable. `write` raises the same.
    """

    def __init__(self, path: Path):
        self._path = path
        with open_for_reading(path) as connection:
            self._state = read_state(connection)
            rows = list(connection.execute("SELECT id, branch, step FROM snapshots ORDER BY id"))
        self._snapshot_ids = {row[0] for row in rows}
        #: The first snapshot of each phase of each branch. Not restored after a failed write: no write follows it.
        self._first_of_phase: Dict[Tuple[int, int], int] = {}
        for number, branch, step in rows:
            self._first_of_phase.setdefault((branch, phase(step)), number)
        # Branch and records of the last block as long as it may be extended; that of an earlier writer never is.
        self._growing: Tuple[int, List[StepRecord]] = (-1, [])
        self._connection = connect(path, "rw")
        try:
            self._identity = _identity(path)
            self._connection.execute("PRAGMA journal_mode=WAL")
            # A commit survives the end of the process at any time; a power failure leaves the file consistent, but may
            # take the commits since the last durable one.
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self.write([])  # fails at once where nothing can be written
        except BaseException:
            self._connection.close()
            raise

    def write(self, items: List[Item], durable: bool = False) -> None:
        """Commit ``items`` in order, all or none; after an error, the database can only be closed.

        ``durable``: force this commit, and all before it, to the disk, so that they survive a power failure.
        """
        self._check_identity()
        if durable:
            self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("BEGIN IMMEDIATE")
        state, ids = self._state, set(self._snapshot_ids)
        block: List[StepRecord] = []
        block_branch = 0
        for branch, item in items:
            if isinstance(item, StepRecord):
                if len(block) == _MAX_BLOCK_ROWS:
                    state, block = self._write_block(state, block_branch, block), []
                block_branch = branch
                block.append(item)
            elif isinstance(item, Timed):
                state = self._write_event(state, branch, item)
            elif isinstance(item, Snapshot):
                state = self._write_snapshot(state, branch, item, ids)
            else:
                if block:
                    state, block = self._write_block(state, block_branch, block), []
                insert(self._connection, "branches", *item)
                state = state._replace(branch=item.id, branches=item.id + 1, last_step=item.fork_step)
        if block:
            state = self._write_block(state, block_branch, block)
        write_state(self._connection, state)
        self._connection.execute("COMMIT")
        if durable:
            self._connection.execute("PRAGMA synchronous=NORMAL")
        self._check_identity()
        self._state, self._snapshot_ids = state, ids

    def close(self, settle: bool) -> None:
        """Close the database; ``settle`` merges the write-ahead log into it, so that read-only media are sufficient.

        A concurrent reader prevents the merge, which is harmless: the next writer does it.
        """
        try:
            if settle:
                self._connection.execute("PRAGMA busy_timeout=200")
                self._connection.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
        finally:
            self._connection.close()

    def _write_block(self, state: State, branch: int, records: List[StepRecord]) -> State:
        growing_branch, earlier = self._growing
        grows = branch == growing_branch and len(earlier) + len(records) <= GROWING_ROWS
        number = state.blocks + (0 if grows else 1)
        records = earlier + records if grows else records
        first, last = int(records[0].step), int(records[-1].step)
        insert(self._connection, "blocks", number, branch, first, last, body=pack_steps(records), replace=grows)
        self._growing = (branch, records) if len(records) < GROWING_ROWS else (-1, [])
        return state._replace(blocks=number, last_step=last, shape=records[0].values.shape)

    def _write_event(self, state: State, branch: int, item: Timed) -> State:
        number = state.events + 1
        event, body = item.event, to_json(item.event.to_dict())
        insert(self._connection, "events", number, branch, int(event.step), float(item.time), event.kind, body)
        return state._replace(events=number)

    def _write_snapshot(self, state: State, branch: int, snapshot: Snapshot, ids: Set[int]) -> State:
        number = state.snapshots + 1
        insert(self._connection, "snapshots", number, branch, int(snapshot.step), body=pack_snapshot(snapshot))
        ids.add(number)
        self._first_of_phase.setdefault((branch, phase(snapshot.step)), number)
        if number % _THIN_INTERVAL == 0:
            lasting = set(self._first_of_phase.values())
            thinned = [old for old in ids if old not in lasting and not is_kept(old, number)]
            self._connection.executemany("DELETE FROM snapshots WHERE id = ?", [(old,) for old in thinned])
            ids.difference_update(thinned)
        return state._replace(snapshots=number, kept=len(ids))

    def _check_identity(self) -> None:
        """Verify that the file was not deleted or replaced, which SQLite itself does not notice."""
        if _identity(self._path) != self._identity:
            raise RecordError(f"{self._path}: was replaced by another file while it was being written")


def is_kept(number: int, newest: int) -> bool:
    """Return whether snapshot ``number`` (from 1) is still stored when ``newest`` is the newest.

    >>> [is_kept(1, 10**6), is_kept(10**6 - 199, 10**6), is_kept(10**6 - 201, 10**6)]
    [True, True, False]
    """
    age = newest - number
    stride = 1 << (age // SNAPSHOTS_KEPT_WHOLE).bit_length()
    return (number - 1) % stride == 0


def _identity(path: Path) -> Tuple[int, int]:
    status = os.stat(str(path))
    return status.st_dev, status.st_ino
