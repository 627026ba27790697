"""Malicious run directories: a clear error or a run; no code is run, nothing blocks or is written elsewhere.

Damage that checksums find is in test_record_damage.py and test_checkpoint_files.py; here the checksums are right, or it
is another kind of damage.
"""

import contextlib
import copy
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from exhaustive import tries
from tensorflow_needed import needs_tensorflow

from qatviz.errors import QatvizError, RecordError
from qatviz.session.recorded import open_recorded
from qatviz.session.request import ResumeRequest
from qatviz.session.resume import resume as resume_run
from qatviz.telemetry.outcome import read_outcome
from qatviz.telemetry.record import schema
from qatviz.telemetry.record.checkpoint_files import CheckpointFiles
from qatviz.telemetry.record.run_lock import LOCK_NAME
from qatviz.telemetry.record.run_record import RunRecord

pytestmark = needs_tensorflow
#: QATVIZ_EXHAUSTIVE=1 runs all.
MUTATIONS = tries(12, 200)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Return a run of a few steps with changes, evaluations, snapshots and checkpoints."""
    directory = tmp_path_factory.mktemp("runs") / "original"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "qatviz",
            "train",
            "--network",
            "lenet",
            "--steps",
            "6",
            "--quiet",
            "--evaluation-interval",
            "3",
            "--snapshot-interval",
            "0.02",
            "--set",
            "3:conv1.weights.num_bits=4",
            "--out",
            str(directory),
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return directory


@pytest.fixture
def run(original, tmp_path):
    shutil.copytree(str(original), str(tmp_path / "run"))
    return tmp_path / "run"


def open_and_read(directory):
    """Do everything that precedes the first step with a run directory."""
    open_recorded(str(directory))
    reader = RunRecord.read(directory)
    read_outcome(reader).to_dict()
    reader.list_checkpoints()
    reader.initial_parameters()


def resume(directory):
    resume_run(ResumeRequest(directory=str(directory))).run.record.close()


def is_refused(act, directory):
    """Return whether it is refused with a clear error; fail for any other exception."""
    try:
        act(directory)
    except QatvizError as error:
        assert str(error)
        return True
    return False


@contextlib.contextmanager
def database(directory):
    connection = sqlite3.connect(str(directory / schema.DATABASE_NAME))
    try:
        yield connection
        connection.commit()
    finally:
        connection.close()


def rewritten(connection, table, change):
    """Replace every row of a table by ``change`` of it (a list of its columns), with correct checksums."""
    for row in connection.execute(f"SELECT * FROM {table} ORDER BY id").fetchall():
        columns = [c[1] for c in connection.execute(f"PRAGMA table_info({table})")]
        values = dict(zip(columns, row))
        body = values.pop("body") if "body_crc" in values else None
        crcs = ("body_crc", "crc")
        fields = [value for name, value in values.items() if name not in crcs]
        fields, body = change(fields, body)
        schema.insert(connection, table, *fields, body=body, replace=True)


VALUES = [
    None,
    True,
    False,
    -1,
    0,
    1,
    2**31,
    10**30,
    0.5,
    -1e308,
    "",
    "lenet",
    "x" * 5000,
    [],
    [[]],
    [None],
    {},
    {"a": 1},
    "conv1",
    "../../x",
    1e400,
    ["conv1.weights.num_bits", 8, 4],
]


def with_another_value(record, chance):
    """Return a copy of a JSON record with one value, anywhere in it, replaced, removed or duplicated."""
    record = copy.deepcopy(record)
    node = record
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = chance.choice(keys)
        if not isinstance(node[key], (dict, list)) or not node[key] or chance.random() < 0.15:
            break
        node = node[key]
    if chance.random() < 0.15:
        del node[key]
    else:
        node[key] = chance.choice(VALUES)
    return record


def changed_json(text, chance):
    return json.dumps(with_another_value(json.loads(text), chance))


@pytest.mark.slow
def test_descriptions_with_wrong_values_are_an_error_or_a_run(original, run):
    whole = (original / "run.sqlite").read_bytes()
    chance, refused = random.Random(0), 0
    for index in range(MUTATIONS):
        (run / "run.sqlite").write_bytes(whole)
        with database(run) as connection:
            rewritten(
                connection, "description", lambda fields, body: ([fields[0], changed_json(fields[1], chance)], body)
            )
        refused += is_refused(open_and_read, run) | (index % 4 == 0 and is_refused(resume, run))
    assert refused > MUTATIONS / 5


def test_events_with_wrong_values_are_an_error_or_a_run(original, run):
    whole = (original / "run.sqlite").read_bytes()
    chance, refused = random.Random(1), 0
    for index in range(MUTATIONS):
        (run / "run.sqlite").write_bytes(whole)
        with database(run) as connection:
            count = connection.execute("SELECT COUNT(*) FROM events").fetchone()[0]
            chosen = chance.randint(1, count)

            def change(fields, body):
                if fields[0] == chosen:
                    if chance.random() < 0.2:
                        fields[4] = chance.choice(["Paused", "Failed", "Evaluated", "Restored", "CommandApplied", "no"])
                    else:
                        fields[5] = changed_json(fields[5], chance)
                return fields, body

            rewritten(connection, "events", change)
        refused += is_refused(open_and_read, run) | (index % 4 == 0 and is_refused(resume, run))
    assert refused > MUTATIONS / 10


@pytest.mark.parametrize("table", ["blocks", "snapshots"])
def test_blobs_with_wrong_content_are_an_error_or_a_run(original, run, table):
    whole = (original / "run.sqlite").read_bytes()
    chance, refused = random.Random(2), 0
    for _ in range(MUTATIONS):
        (run / "run.sqlite").write_bytes(whole)

        def change(fields, body):
            data = bytearray(body)
            place = chance.randrange(min(len(data), chance.choice((30, 3000))))
            way = chance.randrange(4)
            if way == 0:
                data[place] ^= 1 << chance.randrange(8)
            elif way == 1:
                del data[place:]
            elif way == 2:
                data[place:place] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 30)))
            else:
                text = bytes(data).replace(b'"shape"', b'"ahape"') if chance.random() < 0.3 else bytes(data)
                digits = [index for index, byte in enumerate(text[:600]) if 48 <= byte <= 57]
                data = bytearray(text)
                if digits:
                    data[chance.choice(digits)] = ord(chance.choice("0123456789-"))
            return fields, bytes(data)

        with database(run) as connection:
            rewritten(connection, table, change)
        refused += is_refused(open_and_read, run)
    assert refused > MUTATIONS / 3


def test_checkpoints_with_wrong_values_are_an_error_or_a_run(original, run):
    files, chance, refused = CheckpointFiles(run), random.Random(3), 0
    names = [info.name for info in files.list()]
    arrays, meta = files.load(names[-1])
    for name in names[:-1]:
        files.delete(name)
    for _ in range(MUTATIONS // 2):
        changed = with_another_value(meta, chance)
        if chance.random() < 0.5:
            some = chance.choice(sorted(arrays))
            odd = {
                some: chance.choice(
                    [
                        np.zeros((2, 2), np.float32),
                        arrays[some].astype(np.float64),
                        np.full(arrays[some].shape, np.nan, np.float32),
                    ]
                )
            }
        else:
            odd = {}
        changed.setdefault("step", meta["step"])
        changed.setdefault("reason", meta["reason"])
        try:
            files.save(names[-1], {**arrays, **odd}, changed)
        except (TypeError, ValueError, OverflowError):
            continue  # it can't be written in this form
        refused += is_refused(open_and_read, run) | is_refused(resume, run)
    assert refused > MUTATIONS / 20


# Pipes, devices and links


@pytest.mark.parametrize(
    "name", ["run.sqlite", "run.sqlite-wal", "run.sqlite-journal", "run.sqlite-shm", "checkpoints/odd.npz"]
)
def test_reading_a_pipe_does_not_block(run, name):
    path = run / name
    if path.exists():
        path.unlink()
    os.mkfifo(str(path))
    if name.startswith("checkpoints"):
        open_and_read(run)
        assert next(info.error for info in RunRecord.read(run).list_checkpoints() if info.name == "odd")
        with pytest.raises(RecordError, match="odd"):
            RunRecord.read(run).load_checkpoint("odd")
    else:
        for act in (open_and_read, resume):
            with pytest.raises(RecordError, match="run.sqlite"):
                act(run)


@pytest.mark.parametrize("name", ["run.sqlite-wal", "run.sqlite-journal", "run.sqlite-shm", LOCK_NAME])
def test_nothing_is_written_through_a_link(run, tmp_path, name):
    precious = tmp_path / "precious"
    precious.write_text("keep me " * 100)
    path = run / name
    if path.exists():
        path.unlink()
    path.symlink_to(precious)
    assert is_refused(resume, run)
    assert precious.read_text() == "keep me " * 100


def test_a_path_named_by_a_record_is_read_as_data_only(run):
    """A record may name any path as the data of its run."""
    with database(run) as connection:
        rewritten(
            connection,
            "description",
            lambda fields, body: ([fields[0], json.dumps(dict(json.loads(fields[1]), data="/dev/zero"))], body),
        )
    with pytest.raises(QatvizError, match="/dev/zero"):
        resume(run)


def test_a_records_claim_about_code_in_its_model_is_not_trusted(run):
    """If it were, an export to Keras would run the code without permission."""
    code = json.dumps(
        {
            "class_name": "Sequential",
            "config": {
                "name": "s",
                "layers": [{"class_name": "Lambda", "config": {"name": "risky", "function": ["4wEAAAA=", None, None]}}],
            },
        }
    )
    with database(run) as connection:
        rewritten(
            connection,
            "description",
            lambda fields, body: (
                [
                    fields[0],
                    json.dumps(dict(json.loads(fields[1]), keras={"config": code, "has_code": False, "arrays": {}})),
                ],
                body,
            ),
        )
    resumed = resume_run(ResumeRequest(directory=str(run))).run
    resumed.record.close()
    assert resumed.spec.keras.has_code


def test_files_of_other_formats_are_refused(original, run):
    whole = (original / "run.sqlite").read_bytes()
    for start in (
        b"SQLite format 3\x01",
        b"\x89HDF\r\n\x1a\n",
        b"PK\x03\x04",
        bytes(100),
        whole[:16] + b"\x00\x01" + whole[18:20],
    ):
        (run / "run.sqlite").write_bytes(start + whole[len(start) :])
        assert is_refused(open_and_read, run)
    for place in (1, 100, 4096, len(whole) // 2):
        (run / "run.sqlite").write_bytes(whole[:place] + b"put in" + whole[place:])
        assert is_refused(open_and_read, run)
