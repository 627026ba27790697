"""Records with right checksums and any other content: a clear error or a result from every reader, in bounded time.

Random damage is in tests/telemetry/test_record_hostile.py; here entries of each part are replaced by values that no run
writes, one at a time, and the record is given to all that read one.
"""

import contextlib
import io
import json
import random
import re
import resource
import shutil
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from exhaustive import tries
from file_damage import changed, mutated_record
from tensorflow_needed import needs_tensorflow

from qatviz.cli import main
from qatviz.errors import QatvizError
from qatviz.protocol import wire
from qatviz.protocol.reasons import SaveKind, SaveReason
from qatviz.session.checkpoints import recorded_state
from qatviz.session.export import source_of
from qatviz.session.prepared import ignore
from qatviz.session.record_requests import RecordedStateRequest
from qatviz.session.recorded import open_recorded
from qatviz.session.request import ResumeRequest
from qatviz.session.resume import resume
from qatviz.telemetry.record import checkpoint_files, schema
from qatviz.telemetry.record.checkpoint_files import CheckpointFiles, CheckpointInfo

pytestmark = needs_tensorflow

#: QATVIZ_EXHAUSTIVE=1 asks for all.
MUTATIONS = tries(12, 300)
#: Memory that may be added while records are read, in bytes: a hundred times the size of the record.
MOST_MEMORY = 700e6

COLUMNS = [None, -1, 0, 1, 2, 7, 2**31, -(2**63), 2**63 - 1, 0.5, 1e308, float("inf"), "", "Paused", "Evaluated", b"x"]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A resumed run of a few steps with a change, evaluations, snapshots and checkpoints."""
    folder = tmp_path_factory.mktemp("runs")
    chance = np.random.RandomState(0)
    labels = np.arange(240) % 4
    images = chance.rand(240, 6, 6, 1).astype(np.float32) + labels[:, None, None, None] / 2
    data = folder / "small.npz"
    np.savez(str(data), x_train=images[:200], y_train=labels[:200], x_test=images[200:], y_test=labels[200:])
    run = ["--network", "mlp", "--data", data, "--batch-size", 8, "--steps", 12, "--evaluation-interval", 5]
    run += ["--snapshot-interval", 0.02, "--set", "3:dense1.weights.num_bits=4", "--out", folder / "run"]
    for arguments in (run, ["--resume", folder / "run", "--steps", 14]):
        command = [sys.executable, "-m", "qatviz", "train", "--quiet", *map(str, arguments)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return folder / "run"


@pytest.fixture
def run(original, tmp_path):
    shutil.copytree(str(original), str(tmp_path / "run"))
    return tmp_path / "run"


def command(*arguments):
    """Function that runs ``qatviz`` in this process and returns its output, or raises its error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    text = out.getvalue() + err.getvalue()
    assert not {character for character in text if ord(character) < 32} - set("\n\t"), repr(text)
    assert "Traceback" not in text, text
    if code == 2:
        raise QatvizError(err.getvalue())
    return text


def prepare_to_resume(directory):
    resume(ResumeRequest(directory=str(directory)), shown=True).run.record.close()


READERS = {
    "show": lambda run: command("show", run),
    "show --json": lambda run: command("show", run, "--json"),
    "report": lambda run: command("report", run),
    "tensorboard": lambda run: command("tensorboard", run),
    "window": lambda run: open_recorded(str(run)),
    "export": lambda run: source_of(RecordedStateRequest(str(run))),
    "resume": prepare_to_resume,
}
#: Commands on several runs, which list a run that can't be read or name it.
READERS_OF_SEVERAL = {
    "runs": lambda run: command("runs", "--folder", run.parent),
    "compare": lambda run: command("compare", run, run),
    "compare --html": lambda run: command("compare", run, "--json", "--html", run.parent / "comparison.html"),
    "state": lambda run: recorded_state(str(run), None, None, ignore),  # for evaluate, sensitivity and advise
}


def rewrite(run, table, change, row=None, chance=random):
    """Pass one row of a table to ``change(fields, body)``, and store the result with valid checksums."""
    connection = sqlite3.connect(str(run / schema.DATABASE_NAME))
    try:
        rows = connection.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()
        columns = [column[1] for column in connection.execute(f"PRAGMA table_info({table})")]
        values = dict(zip(columns, rows[chance.randrange(len(rows)) if row is None else row]))
        fields = [value for name, value in values.items() if name not in ("body_crc", "crc") and name != "body"]
        if "body_crc" not in values and "body" in values:
            fields = [value for name, value in values.items() if name != "crc"]
        body = values["body"] if "body_crc" in values else None
        fields, body = change(fields, body)
        schema.insert(connection, table, *fields, body=body, replace=True)
        connection.commit()
    finally:
        connection.close()


def change_json(run, table, column, chance):
    told = []

    def change(fields, body):
        record, what = mutated_record(json.loads(fields[column]), chance)
        told.append(what)
        return [*fields[:column], json.dumps(record), *fields[column + 1 :]], body

    rewrite(run, table, change, chance=chance)
    return told


def change_column(run, table, chance):
    told = []

    def change(fields, body):
        column, value = chance.randrange(1, len(fields)), chance.choice(COLUMNS)
        told.append((column, value))
        return [*fields[:column], value, *fields[column + 1 :]], body

    rewrite(run, table, change, chance=chance)
    return told


def change_blob(run, table, chance):
    told = []

    def change(fields, body):
        header, arrays = wire.unpack(body)
        if header and chance.random() < 0.6:
            header, what = mutated_record(header, chance)
        else:
            name = chance.choice(sorted(arrays))
            what = name, chance.randrange(6)
            odd = odd_array(arrays[name], what[1], chance)
            arrays = {**arrays, name: odd} if odd is not None else {n: a for n, a in arrays.items() if n != name}
        told.append(what)
        return fields, wire.pack(header, arrays)

    rewrite(run, table, change, chance=chance)
    return told


def odd_array(array, kind, chance):
    """Return the array in another form, or with values that no run writes, or None for no array."""
    worst = np.nan if array.dtype.kind == "f" else np.iinfo(array.dtype).min if array.dtype.kind == "i" else False
    if kind == 0:
        return array.reshape(-1)
    if kind == 1:
        return array[..., :-1]
    if kind == 2:
        return array.astype(np.int32 if array.dtype.kind == "f" else np.float64)
    if kind == 3:
        return np.full(array.shape, worst, array.dtype)
    if kind == 4 and array.size:
        one = array.reshape(-1).copy()
        one[chance.randrange(array.size)] = worst
        return one.reshape(array.shape)
    return None


def change_checkpoint(run, chance):
    files = CheckpointFiles(run)
    names = [info.name for info in files.list()]
    name = chance.choice(names)
    arrays, meta = files.load(name)
    if chance.random() < 0.7:
        meta, what = mutated_record(meta, chance)
    else:
        array = chance.choice(sorted(arrays))
        what = array, chance.randrange(6)
        odd = odd_array(arrays[array], what[1], chance)
        arrays = {**arrays, array: odd} if odd is not None else {n: a for n, a in arrays.items() if n != array}
    with pytest.MonkeyPatch.context() as patch:  # what is written is not what may be written
        info = CheckpointInfo(name, 0, SaveReason(SaveKind.OTHER), 0.0, 0)
        patch.setattr(checkpoint_files, "_info", lambda *_: info)
        files.save(name, arrays, meta)
    for other in names:
        if other != name and chance.random() < 0.5:
            files.delete(other)
    return [what]


CHANGES = {
    "description": lambda run, chance: change_json(run, "description", 1, chance),
    "state": lambda run, chance: change_json(run, "state", 1, chance),
    "events": lambda run, chance: change_json(run, "events", 5, chance),
    "columns of events": lambda run, chance: change_column(run, "events", chance),
    "columns of branches": lambda run, chance: change_column(run, "branches", chance),
    "columns of blocks": lambda run, chance: change_column(run, "blocks", chance),
    "columns of snapshots": lambda run, chance: change_column(run, "snapshots", chance),
    "blocks": lambda run, chance: change_blob(run, "blocks", chance),
    "snapshots": lambda run, chance: change_blob(run, "snapshots", chance),
    "checkpoints": change_checkpoint,
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, about numbers that no run writes
@pytest.mark.parametrize("part", CHANGES)
def test_each_reader_gives_a_result_or_an_error(original, tmp_path, part):
    chance = random.Random(part)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for number in range(-(-MUTATIONS // len(CHANGES))):
        run = tmp_path / str(number)
        shutil.copytree(str(original), str(run))
        what = CHANGES[part](run, chance)
        for name, read in {**READERS, **READERS_OF_SEVERAL}.items():
            try:
                read(run)
            except QatvizError as error:
                assert str(error)
            except Exception as error:
                raise AssertionError(f"{name} of a record with {part} {what}: {error!r}") from error
        shutil.rmtree(str(run))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < before + MOST_MEMORY


def edit_description(run, path, value):
    rewrite(
        run,
        "description",
        lambda fields, body: ([fields[0], json.dumps(changed(json.loads(fields[1]), path, value))], body),
        row=0,
    )


LAYERS = ("network", "layers")
QUANTIZER = ("settings", "quantizers", "dense1.weights")


@pytest.mark.parametrize(
    "path, value, message",
    [
        ((*QUANTIZER, "num_bits"), 5000, "num_bits is 5000: expected a whole number from 1 to 16"),
        ((*QUANTIZER, "num_bits"), 2**63, "expected a whole number from 1 to 16"),
        ((*QUANTIZER, "num_bits"), "8", "num_bits is '8': expected a whole number"),
        ((*QUANTIZER, "num_bits"), int("9" * 400), "expected a whole number from 1 to 16"),
        (("settings",), ..., "'settings'"),
        (("created",), 1e300, "created is 1e[+]300: expected a finite number from 0 to"),
        (("data",), 3, "data is 3: expected text"),
        (("data",), "a\0b", "expected text of at most 4096 characters without NUL"),
        (("batch_size",), 0, "batch_size is 0: expected a whole number from 1"),
        ((*LAYERS, 1, "units"), 2**40, "units is 1099511627776; allowed: an integer from 1 to 2147483647"),
        (
            (*LAYERS, 1, "units"),
            10**9,
            "shape of its weights is .36, 1000000000.; allowed: at most 2147483647 elements",
        ),
        (("network", "input_shape"), [10**6, 10**6, 1], "elements"),
        (("schedule",), [[-1, "int4", "a"]], "step of a scheduled change is -1: expected a whole number from 0"),
        (("later",), float("nan"), "not JSON compliant"),
    ],
)
def test_an_error_names_the_entry_its_value_and_what_is_allowed(run, path, value, message):
    edit_description(run, path, value)
    for name in ("show", "report", "window", "export", "resume"):
        with pytest.raises(QatvizError, match=message):
            READERS[name](run)


def test_a_network_larger_than_memory_is_refused_before_it_is_built(run):
    edit_description(run, (*LAYERS, 1, "units"), 5 * 10**7)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in READERS.values():
        with pytest.raises(QatvizError):
            read(run)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_snapshot_with_invalid_bits_or_other_tensors_is_refused(run):
    def with_bits(fields, body):
        header, arrays = wire.unpack(body)
        return fields, wire.pack({**header, "num_bits": [2**31] * len(header["num_bits"])}, arrays)

    rewrite(run, "snapshots", with_bits, row=-1)
    with pytest.raises(QatvizError, match="num_bits is 2147483648: expected a whole number from 1 to 16"):
        READERS["report"](run)


@pytest.mark.parametrize(
    "key, value", [("step", -5), ("step", "3"), ("created", 1e20), ("branch", -1), ("seconds", -1)]
)
def test_a_checkpoint_with_invalid_metadata_is_refused(run, key, value):
    files = CheckpointFiles(run)
    newest = files.list()[-1].name
    arrays, meta = files.load(newest)
    with pytest.MonkeyPatch.context() as patch:
        info = CheckpointInfo(newest, 0, SaveReason(SaveKind.OTHER), 0.0, 0)
        patch.setattr(checkpoint_files, "_info", lambda *_: info)
        files.save(newest, arrays, {**meta, key: value})
    assert "can't be used" in READERS["show"](run)
    with pytest.raises(QatvizError, match=re.escape(f"{key} is {value!r}: expected")):
        files.load(newest)


def test_names_do_not_control_the_terminal(run):
    edit_description(run, ("data_name",), "\x1b]0;owned\x07\u202edata")
    shown = READERS["show"](run)
    assert r"\x1b]0;owned\x07\u202edata" in shown and "\u202e" not in shown
