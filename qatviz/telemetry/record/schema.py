"""Schema of the database of a run, ``run.sqlite``: tables, versions, integrity checks.

Format 1. Each row has a CRC-32 over its other columns (``body`` has a separate one, so that lists of blocks and
snapshots can be verified without reading their content):

``description``
    One row of JSON: the description of the run. Never changes.
``state``
    One row of JSON, written with every commit: the number of rows of the other tables (so that missing rows are
    detected), the current branch, the last step and the shape of the step values.
``branches``
    A run that is set to another state (undo, redo, restore) continues on a new branch, which starts after step
    ``fork_step`` of ``parent``. All other rows name their branch. The run starts on branch 0.
``events``
    JSON of each event, with the wall clock.
``blocks``
    Consecutive step records, one blob per commit interval; the newest is rewritten by each commit until it is large
    enough.
``snapshots``
    One blob each; ``id`` counts all snapshots ever taken; older ones are thinned out.
"""

import json
import sqlite3
import struct
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple, Type, cast

from qatviz.errors import RecordError
from qatviz.memory import memory_shortage
from qatviz.protocol import values
from qatviz.protocol.snapshots import OLDER_ROWS, STEP_MEASURES
from qatviz.protocol.wire import to_json

DATABASE_NAME = "run.sqlite"
FORMAT_VERSION = 1
#: "qatv" in ASCII; SQLite stores it in the file's header.
APPLICATION_ID = 0x71617476
#: Seconds that a reader waits for a lock of the writer, which locks only while it opens or closes the record.
BUSY_TIMEOUT_S = 5.0

SCHEMA = (
    "CREATE TABLE description (id INTEGER PRIMARY KEY, body TEXT, crc INTEGER)",
    "CREATE TABLE state (id INTEGER PRIMARY KEY, body TEXT, crc INTEGER)",
    "CREATE TABLE branches (id INTEGER PRIMARY KEY, parent INTEGER, fork_step INTEGER, crc INTEGER)",
    "CREATE TABLE events (id INTEGER PRIMARY KEY, branch INTEGER, step INTEGER, time REAL, kind TEXT, body TEXT,"
    " crc INTEGER)",
    "CREATE TABLE blocks (id INTEGER PRIMARY KEY, branch INTEGER, first_step INTEGER, last_step INTEGER,"
    " body_crc INTEGER, crc INTEGER, body BLOB)",
    "CREATE TABLE snapshots (id INTEGER PRIMARY KEY, branch INTEGER, step INTEGER, body_crc INTEGER, crc INTEGER,"
    " body BLOB)",
)
#: Columns of each table; the last is the CRC over the others.
_COLUMNS = {
    "description": ("id", "body", "crc"),
    "state": ("id", "body", "crc"),
    "branches": ("id", "parent", "fork_step", "crc"),
    "events": ("id", "branch", "step", "time", "kind", "body", "crc"),
    "blocks": ("id", "branch", "first_step", "last_step", "body_crc", "crc"),
    "snapshots": ("id", "branch", "step", "body_crc", "crc"),
}
#: Largest number of measures and of tensors of a step.
_MOST_MEASURES, _MOST_TENSORS = 1 << 8, 1 << 16
#: Exceptions raised by reading untrusted bytes; each becomes a RecordError.
_DAMAGE: Tuple[Type[Exception], ...] = (
    *(sqlite3.Error, ValueError, TypeError, KeyError, IndexError, ArithmeticError, AttributeError, RecursionError),
    *(EOFError, struct.error, zlib.error),
)


class State(NamedTuple):
    """Counters of a record."""

    branch: int = 0  # the current one
    branches: int = 1  # number of branches
    events: int = 0  # number of events
    blocks: int = 0  # number of blocks
    snapshots: int = 0  # number of all snapshots ever taken
    kept: int = 0  # number of those that are stored
    last_step: int = 0  # on the current branch, or that at which the branch starts
    shape: Optional[Tuple[int, int]] = None  # of the step values: measures, tensors; None before the first step


def row_crc(*fields: Any) -> int:
    """Return the CRC-32 over the fields of a row (int, float, str, bytes): SQLite does not detect flipped bits."""
    crc = 0
    for field in fields:
        crc = zlib.crc32(field if isinstance(field, bytes) else repr(field).encode("utf-8", "surrogatepass"), crc)
    return crc


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Return a connection in autocommit mode for any one thread; ``mode`` is SQLite's ``ro``, ``rw`` or ``rwc``."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA cell_size_check=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def journal_of(path: Path) -> Path:
    """Return the path of a database's rollback journal."""
    return path.with_name(path.name + "-journal")


def check_companions(path: Path) -> None:
    """Raise RecordError if a file that SQLite would use as a journal is not a plain file.

    SQLite would block on a pipe, and follow a link and write to its target.
    """
    for ending in ("-journal", "-wal", "-shm"):
        companion = path.with_name(path.name + ending)
        if companion.is_symlink() or (companion.exists() and not companion.is_file()):
            raise RecordError(f"{companion}: is not a plain file, so the record was not opened")


def create_tables(connection: sqlite3.Connection, description: Dict[str, Any]) -> None:
    """Create the tables of an empty record; the caller commits."""
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={FORMAT_VERSION}")
    for statement in SCHEMA:
        connection.execute(statement)
    insert(connection, "description", 1, to_json(description))
    insert(connection, "branches", 0, -1, -1)
    write_state(connection, State())


def write_state(connection: sqlite3.Connection, state: State) -> None:
    insert(connection, "state", 1, to_json(state._asdict()), replace=True)


@contextmanager
def reading(
    path: Path, what: str = "the record of a run", damage: Tuple[Type[Exception], ...] = _DAMAGE
) -> Iterator[None]:
    """Convert every error of reading ``path`` to a RecordError that names the file.

    ``what`` is the expected content; ``damage`` are the exceptions that a damaged or malicious file can cause.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise RecordError(f"{path}: cannot be read: {error}") from error
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise RecordError(f"{path}: cannot be read: {memory_shortage(error)}") from error
    except KeyError as error:
        raise RecordError(f"{path}: damaged, or not {what}: {error} is missing or unknown") from error
    except damage as error:
        raise RecordError(f"{path}: damaged, or not {what}: {error}") from error


@contextmanager
def open_for_reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a read-only connection inside a transaction, after checking the format.

    The connection is writable if there is a rollback journal, left by a process that was killed while it opened or
    closed the database: nothing can be read until SQLite has played the journal back, which requires write access.
    """
    if not path.is_file():
        raise RecordError(f"{path}: not found; {path.parent} does not contain the record of a run")
    check_companions(path)
    with reading(path):
        connection = connect(path, "rw" if journal_of(path).exists() else "ro")
        try:
            connection.execute("BEGIN")
            check_format(connection, path)
            yield connection
        finally:
            connection.close()


def check_format(connection: sqlite3.Connection, path: Path) -> None:
    """Raise RecordError unless the database is a record of this format.

    The schema must equal the one above exactly: a malicious file could use the names of the tables for views or
    triggers.
    """
    found = connection.execute("PRAGMA application_id").fetchone()[0]
    if found != APPLICATION_ID:
        raise RecordError(f"{path}: not the record of a run (application id {found:#x}, expected {APPLICATION_ID:#x})")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != FORMAT_VERSION:
        raise RecordError(f"{path}: has the record format {version}; this version of qatviz reads {FORMAT_VERSION}")
    statements = [row[0] for row in connection.execute("SELECT sql FROM sqlite_master ORDER BY rootpage")]
    if sorted(map(str, statements)) != sorted(SCHEMA):
        raise RecordError(f"{path}: damaged, or not the record of a run: its tables are not those of a record")


def read_description(connection: sqlite3.Connection) -> Dict[str, Any]:
    return _read_json(connection, "description")


def read_state(connection: sqlite3.Connection) -> State:
    """Return the checked counters of the record."""
    fields = _read_json(connection, "state")
    shape = fields.pop("shape")
    counters: Dict[str, Any] = {name: values.whole(value, name) for name, value in fields.items()}
    state = State(**counters)
    values.step(state.last_step, "last_step")
    if state.branch >= state.branches:
        raise values.refusal("branch", state.branch, f"a whole number below {state.branches}")
    if shape is None:
        return state
    measures, tensors = values.sequence(shape, "shape")
    rows = values.whole(measures, "shape", 0, _MOST_MEASURES)
    rows = len(STEP_MEASURES) if rows in OLDER_ROWS else rows
    return state._replace(shape=(rows, values.whole(tensors, "shape", 0, _MOST_TENSORS)))


def read_branches(connection: sqlite3.Connection, state: State) -> List[Tuple[int, int, int]]:
    """Return the checked rows of the table of branches: id, parent, starting step."""
    rows = list(read_rows(connection, "branches", range(state.branches)))
    for branch, parent, fork_step in rows:
        if branch:
            values.whole(parent, f"parent of branch {branch}", 0, branch - 1)
            values.step(fork_step, f"starting step of branch {branch}")
        elif (parent, fork_step) != (-1, -1):
            raise values.refusal("parent and starting step of the first branch", (parent, fork_step), "(-1, -1)")
    return cast(List[Tuple[int, int, int]], rows)


def read_rows(connection: sqlite3.Connection, table: str, expected_ids: Iterable[int]) -> Iterator[Tuple[Any, ...]]:
    """Yield the verified rows of ``table`` by ascending id, without CRC and body; their ids must be as expected.

    Raises
    ------
    ValueError
        If a row is missing, surplus or damaged.
    """
    expected_ids = iter(expected_ids)
    for row in checked_rows(connection, table):
        expected = next(expected_ids, None)
        if row[0] != expected:
            raise ValueError(f"table {table} has the row {row[0]} where {expected or 'its end'} is expected")
        yield row
    missing = next(expected_ids, None)
    if missing is not None:
        raise ValueError(f"table {table} lacks the row {missing}")


def checked_rows(
    connection: sqlite3.Connection, table: str, where: str = "", parameters: Tuple[Any, ...] = ()
) -> Iterator[Tuple[Any, ...]]:
    """Yield the rows of ``table`` by ascending id, without CRC and body; ValueError if a CRC is wrong."""
    columns = ", ".join(_COLUMNS[table])
    for row in connection.execute(f"SELECT {columns} FROM {table} {where} ORDER BY id", parameters):
        if row_crc(*row[:-1]) != row[-1]:
            raise ValueError(f"row {row[0]} of table {table} has a wrong checksum")
        yield row[:-1]


def read_body(connection: sqlite3.Connection, table: str, number: int, body_crc: int) -> bytes:
    """Return the body of a row from `checked_rows`; ValueError if its CRC is wrong."""
    body: bytes = connection.execute(f"SELECT body FROM {table} WHERE id = ?", (number,)).fetchone()[0]
    if row_crc(body) != body_crc:
        raise ValueError(f"row {number} of table {table} has a body with a wrong checksum")
    return body


def insert(
    connection: sqlite3.Connection, table: str, *fields: Any, body: Optional[bytes] = None, replace: bool = False
) -> None:
    """Insert a row with its checksums, or ``replace`` the one with the same id."""
    if body is not None:
        fields += (row_crc(body),)
    row = (*fields, row_crc(*fields)) + (() if body is None else (body,))
    verb = "REPLACE" if replace else "INSERT"
    connection.execute(f"{verb} INTO {table} VALUES ({', '.join('?' * len(row))})", row)


def _read_json(connection: sqlite3.Connection, table: str) -> Dict[str, Any]:
    ((_, body),) = read_rows(connection, table, [1])
    value = json.loads(body)
    if not isinstance(value, dict):
        raise ValueError(f"table {table} contains a {type(value).__name__}, expected an object")
    return value
