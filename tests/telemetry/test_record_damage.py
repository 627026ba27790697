"""A damaged or malicious database yields intact values or a RecordError that names it, and never a crash."""

import os
import shutil
import sqlite3

import numpy as np
import pytest
from telemetry_samples import snapshot, step_record

from qatviz.errors import RecordError
from qatviz.protocol.events import Evaluated, Failed
from qatviz.telemetry.record import schema
from qatviz.telemetry.record.run_record import RunRecord

N_MUTATIONS = 400


def content(directory):
    """Return the whole content of a record in a comparable form."""
    reader = RunRecord.read(directory)
    series = reader.steps()
    return (
        reader.description,
        reader.last_step,
        reader.events(),
        reader.events(surviving_only=True),
        [(column.shape, column.tobytes()) for column in series],
        [(step, reader.snapshot(step).values.tobytes()) for step in reader.snapshots()],
    )


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    directory = tmp_path_factory.mktemp("original")
    with RunRecord.create(directory, {"model": "lenet", "padding": "x" * 3000}) as record:
        for step in range(1, 121):
            record.append_step(step_record(step))
            if step % 40 == 0:
                record.append_snapshot(snapshot(step))
                record.append_event(Evaluated(step, {"float": 0.5}, 100, 0.1))
                assert record.flush()
        record.append_rewind(60)
        record.append_event(Failed(60, "y" * 2000, ""))
        record.append_step(step_record(61))
    return directory


@pytest.fixture
def damaged(original, tmp_path):
    shutil.copy(str(original / "run.sqlite"), str(tmp_path / "run.sqlite"))
    return tmp_path


def mutate(content, random, kind, page=4096):
    content = bytearray(content)
    position = random.randint(len(content))
    if kind == "bit":
        content[position] ^= 1 << random.randint(8)
    elif kind == "header":
        content[random.randint(100)] = random.randint(256)
    elif kind == "page header":
        content[position // page * page + random.randint(40)] = random.randint(256)
    elif kind == "zeros":
        length = random.randint(1, 600)
        content[position : position + length] = bytes(len(content[position : position + length]))
    elif kind == "noise":
        noise = random.bytes(random.randint(1, 64))
        content[position : position + len(noise)] = noise
    elif kind == "truncation":
        content = content[:position]
    elif kind == "whole pages":
        content = content[: position // page * page]
    else:
        a, b = (random.randint(len(content) // page) * page for _ in range(2))
        content[a : a + page] = content[b : b + page]
    return bytes(content)


def test_damage_is_detected(original, damaged):
    expected = content(original)
    whole = (original / "run.sqlite").read_bytes()
    random = np.random.RandomState(0)
    kinds = ("bit", "header", "page header", "zeros", "noise", "truncation", "whole pages", "swap")
    refused = 0
    for i in range(N_MUTATIONS):
        for name in os.listdir(str(damaged)):
            os.unlink(str(damaged / name))
        (damaged / "run.sqlite").write_bytes(mutate(whole, random, kinds[i % len(kinds)]))
        try:
            assert content(damaged) == expected, f"mutation {i} ({kinds[i % len(kinds)]}) was not noticed"
        except RecordError as error:
            assert str(damaged / "run.sqlite") in str(error)
            refused += 1
    assert refused > N_MUTATIONS // 3


def test_damage_to_the_log_of_a_killed_run_loses_only_later_entries(tmp_path):
    source = tmp_path / "source"
    record = RunRecord.create(source, {})
    try:
        for step in range(1, 31):
            record.append_step(step_record(step))
            if step % 3 == 0:
                assert record.flush()
        files = {path.name: path.read_bytes() for path in source.iterdir() if path.name != "run.lock"}
    finally:
        record.close()
    whole = files["run.sqlite-wal"]
    random = np.random.RandomState(0)
    lengths = set()
    for i in range(60):
        directory = tmp_path / str(i)
        directory.mkdir()
        log = mutate(whole, random, "truncation" if i % 2 else "noise")
        for name, file_content in {**files, "run.sqlite-wal": log}.items():
            if name != "run.sqlite-shm":
                (directory / name).write_bytes(file_content)
        steps = RunRecord.read(directory).steps().steps.tolist()
        assert steps == list(range(1, len(steps) + 1))
        lengths.add(len(steps))
    assert len(lengths) > 3


def test_an_incomplete_transaction_is_rolled_back(original, damaged):
    """Left by a kill during the switch between journal modes."""
    whole = (damaged / "run.sqlite").read_bytes()
    connection = sqlite3.connect(str(damaged / "run.sqlite"), isolation_level=None)
    connection.execute("PRAGMA cache_size=1")  # spill to the file before the commit
    connection.execute("BEGIN")
    connection.execute("UPDATE events SET body = body || body")
    connection.execute("DELETE FROM blocks")
    files = {name: (damaged / name).read_bytes() for name in ("run.sqlite", "run.sqlite-journal")}
    connection.close()
    assert files["run.sqlite"] != whole
    for name, file_content in files.items():
        (damaged / name).write_bytes(file_content)
    assert content(damaged) == content(original)
    assert not (damaged / "run.sqlite-journal").exists()
    for name, file_content in files.items():
        (damaged / name).write_bytes(file_content)
    RunRecord.open(damaged).close()
    assert content(damaged) == content(original)


@pytest.mark.parametrize(
    "file_content", [b"", b"SQLite format 3\x00", b"not a database at all, but long enough to be looked at" * 50]
)
def test_files_that_are_not_a_database_are_refused(tmp_path, file_content):
    (tmp_path / "run.sqlite").write_bytes(file_content)
    for act in (lambda: RunRecord.read(tmp_path), lambda: RunRecord.open(tmp_path)):
        with pytest.raises(RecordError, match=r"run\.sqlite"):
            act()
    assert (tmp_path / "run.sqlite").read_bytes() == file_content


def test_a_directory_in_place_of_the_database_is_refused(tmp_path):
    (tmp_path / "run.sqlite").mkdir()
    with pytest.raises(RecordError, match=r"run\.sqlite"):
        RunRecord.read(tmp_path)


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, i, i, i, i, i, i FROM n"
STATE = '{"branch":0,"branches":1,"events":0,"blocks":0,"snapshots":0,"kept":0,"last_step":0,"shape":null}'


@pytest.mark.parametrize(
    "statements",
    [
        ["PRAGMA application_id=1"],
        ["PRAGMA user_version=2"],
        ["DROP TABLE events"],
        ["CREATE TABLE other (x)"],
        ["CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM blocks; END"],
        ["DROP TABLE events", f"CREATE VIEW events AS {ENDLESS}"],
        ["DELETE FROM description"],
        ["DELETE FROM events WHERE id = 2"],
        ["DELETE FROM events WHERE id = 4"],
        ["DELETE FROM blocks WHERE id = 1"],
        ["DELETE FROM snapshots WHERE id = 2"],
        ["DELETE FROM branches WHERE id = 1"],
        ["UPDATE events SET step = step + 1"],
        ["UPDATE events SET body = '{}'"],
        ["UPDATE blocks SET branch = 1 WHERE id = 1"],
        ["UPDATE blocks SET body = x'00'"],
        ["UPDATE blocks SET first_step = 'a'"],
        ["UPDATE blocks SET first_step = 1000"],
        ["UPDATE snapshots SET step = step + 1"],
        ["UPDATE snapshots SET branch = 1"],
        ["UPDATE snapshots SET body = NULL"],
        ["UPDATE state SET body = '[]'"],
        ["UPDATE description SET body = CAST(x'ff00' AS TEXT)"],
    ],
)
def test_edited_databases_are_refused(damaged, statements):
    connection = sqlite3.connect(str(damaged / "run.sqlite"))
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    with pytest.raises(RecordError, match=r"run\.sqlite"):
        content(damaged)


@pytest.mark.parametrize(
    "table, fields, body",
    [
        ("state", (1, "[" * 100_000), None),
        ("state", (1, "{}"), None),
        ("state", (1, STATE.replace('"branches":1', '"branches":1e400')), None),
        ("state", (1, STATE.replace('"branch":0', '"branch":7')), None),
        ("state", (1, STATE.replace('"branch":0', '"unknown":0')), None),
        ("state", (1, STATE.replace('"shape":null', '"shape":[1]')), None),
        ("state", (1, STATE.replace('"blocks":0', f'"blocks":{10**17}')), None),
        ("state", (1, STATE.replace('"events":0', f'"events":{10**17}')), None),
        ("state", (1, STATE.replace('"events":0', f'"events":{10**30}')), None),
        ("branches", (1, 1, 5), None),
        ("branches", (0, 1, 5), None),
        ("branches", (1, "x", None), None),
        ("events", (4, 0, "x", None, b"", "null"), None),
        ("events", (4, 0, 0, 0.0, "Resumed", "[1]"), None),
        ("blocks", (1, 0, 1, 120), b"\xff" * 40),
        ("blocks", (1, None, "x", b""), b""),
        ("blocks", (1, 0, 1, 120), "text"),
        ("snapshots", (1, 0, 40), "text"),
        ("snapshots", (1, 0, 40), bytes(11)),
        ("snapshots", (1, 0, "x"), b""),
    ],
)
def test_hostile_rows_with_right_checksums_are_refused(damaged, table, fields, body):
    connection = sqlite3.connect(str(damaged / "run.sqlite"))
    connection.execute(f"DELETE FROM {table} WHERE id = ?", fields[:1])
    schema.insert(connection, table, *fields, body=body)
    connection.commit()
    connection.close()
    with pytest.raises(RecordError, match=r"run\.sqlite"):
        content(damaged)


def test_the_refusal_of_a_newer_format_names_the_supported_one(damaged):
    connection = sqlite3.connect(str(damaged / "run.sqlite"))
    connection.execute("PRAGMA user_version=2")
    connection.close()
    with pytest.raises(RecordError, match=f"format 2.*reads {schema.FORMAT_VERSION}"):
        RunRecord.read(damaged)
