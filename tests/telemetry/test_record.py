"""The record on disk compared with a model in memory."""

import json
import os
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telemetry_samples import assert_same_snapshot, assert_steps, snapshot, step_record
from waiting import join, wait_until

from qatviz.errors import RecordError
from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.commands import ChangeSettings
from qatviz.protocol.events import Change, CommandApplied, Evaluated, Failed, Started
from qatviz.protocol.snapshots import phase
from qatviz.telemetry.record.database import SNAPSHOTS_KEPT_WHOLE, is_kept
from qatviz.telemetry.record.reader import RecordReader
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.record.schema import open_for_reading

DESCRIPTION = {"model": {"name": "lenet", "layers": [1, 2]}, "seed": 0, "versions": {"numpy": np.__version__}}


@pytest.fixture
def record(tmp_path):
    with RunRecord.create(tmp_path / "run", DESCRIPTION) as record:
        yield record


def test_everything_written_is_read_back(tmp_path):
    events = [
        Started(0, 1.5, "cpu"),
        CommandApplied(
            2,
            "a-1",
            ChangeSettings((("*.num_bits", 4),)),
            (Change("conv1.weights.num_bits", 8, np.int64(4)),),
            "undo-1",
        ),
        Evaluated(4, {"float": 0.5, "quantized": float("nan")}, 1000, 0.25),
    ]
    with RunRecord.create(tmp_path / "deep" / "run", DESCRIPTION) as record:
        for step in range(1, 6):
            record.append_step(step_record(step))
        for event in events:
            record.append_event(event)
        record.append_snapshot(snapshot(2))
        record.append_snapshot(snapshot(4))
        record.save_checkpoint("a", {"x": np.arange(3)}, {"step": 5, "reason": "test"})
        assert record.flush()
        readers = [record, RunRecord.read(tmp_path / "deep" / "run")]
    readers.append(RunRecord.read(str(tmp_path / "deep" / "run")))
    for reader in readers:
        assert {name: reader.description[name] for name in DESCRIPTION} == DESCRIPTION
        assert reader.description["created"] > 0 and len(reader.description["run_id"]) == 32
        assert_steps(reader.steps(), range(1, 6))
        assert reader.last_step == 5
        found = reader.events()
        assert [(event["kind"], event["step"]) for event in found] == [(e.kind, e.step) for e in events]
        assert found[1]["changes"] == [{"setting": "conv1.weights.num_bits", "old": 8, "new": 4}]
        assert np.isnan(found[2]["accuracy"]["quantized"])
        assert all(event["time"] >= reader.description["created"] for event in found)
        assert reader.snapshots() == [2, 4]
        assert_same_snapshot(reader.snapshot(4), snapshot(4))
        arrays, meta = reader.load_checkpoint("a")
        assert arrays["x"].tolist() == [0, 1, 2] and meta["branch"] == 0
        assert [info.name for info in reader.list_checkpoints()] == ["a"]


def test_a_closed_record_is_one_file_and_its_checkpoints(record):
    record.append_step(step_record(1))
    record.close()
    assert sorted(os.listdir(str(record.directory))) == ["run.lock", "run.sqlite"]


def test_reading_writes_nothing(record):
    record.append_step(step_record(1))
    record.close()
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in record.directory.iterdir()}
    reader = RunRecord.read(record.directory)
    reader.steps(), reader.events(), reader.snapshots()
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in record.directory.iterdir()} == before


def test_reading_the_record_of_a_killed_run_changes_neither_file_nor_log(record, tmp_path):
    record.append_step(step_record(1))
    assert record.flush()
    left = tmp_path / "left"
    left.mkdir()
    files = {name: (record.directory / name).read_bytes() for name in ("run.sqlite", "run.sqlite-wal")}
    for name, content in files.items():
        (left / name).write_bytes(content)
    reader = RunRecord.read(left)
    assert_steps(reader.steps(), [1])
    assert {name: (left / name).read_bytes() for name in files} == files
    assert_steps(reader.steps(), [1])


def test_readers_see_complete_commits_during_writes(tmp_path):
    directory = tmp_path / "run"
    RunRecord.create(directory, DESCRIPTION).close()
    done = threading.Event()
    errors, n_read = [], []

    def read():
        try:
            while not done.is_set():
                reader = RunRecord.read(directory)
                steps, snapshots, events = reader.steps().steps, reader.snapshots(), reader.events()
                assert steps.tolist() == list(range(1, len(steps) + 1))
                assert snapshots == list(range(10, 10 * len(snapshots) + 1, 10))
                assert [event["step"] for event in events] == snapshots[: len(events)] or len(events) > len(snapshots)
                n_read.append(len(steps))
        except Exception as error:
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    for session in range(6):
        with RunRecord.open(directory) as record:
            for step in range(100 * session + 1, 100 * session + 101):
                record.append_step(step_record(step))
                if step % 10 == 0:
                    record.append_snapshot(snapshot(step))
                    record.append_event(Failed(step, "", ""))
            assert record.flush()
            seen = len(n_read)
            wait_until(lambda: len(n_read) > seen or errors, "a reader")
    done.set()
    join(*readers)
    assert not errors
    assert_steps(RunRecord.read(directory).steps(), range(1, 601))
    assert len(set(n_read)) > 1


def test_an_empty_record_has_empty_series(record):
    series = record.steps()
    assert series.steps.shape == (0,) and series.values.ndim == 3
    assert record.events() == [] and record.snapshots() == [] and record.last_step == 0


class Model:
    """Expected contents of a record: the surviving branch as a list, and its state at each mark."""

    def __init__(self):
        self.steps = []  # (step, loss)
        self.snapshots = {}  # step -> seconds
        self.events = []  # (kind, step, surviving mark)

    def rewound(self, step):
        model = Model()
        model.steps = [row for row in self.steps if row[0] <= step]
        model.snapshots = {at: seconds for at, seconds in self.snapshots.items() if at <= step}
        model.events = [at for at in self.events if at[0] <= step]
        return model


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("steps"), st.integers(1, 12)),
            st.tuples(st.sampled_from(["snapshot", "event", "mark", "flush", "reopen"]), st.just(0)),
            st.tuples(st.sampled_from(["undo", "redo"]), st.floats(0, 1, exclude_max=True)),
        ),
        max_size=30,
    ),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_undo_and_redo_yield_the_surviving_branch(tmp_path_factory, actions, start, stop):
    directory = tmp_path_factory.mktemp("run")
    record = RunRecord.create(directory, DESCRIPTION)
    model, marks, step, unique, all_events = Model(), [], 0, 0, []
    try:
        for action, amount in actions:
            unique += 1
            if action == "mark":
                marks.append((record.branch, step, model.rewound(step)))
                # Items at the step of a mark, but after it, survive a return to it: see `RecordReader`
                action, amount = "steps", 1
            if action == "steps":
                for _ in range(amount):
                    step += 1
                    unique += 1
                    record.append_step(replace(step_record(step), loss=float(unique)))
                    model.steps.append((step, float(unique)))
            elif action == "snapshot":
                record.append_snapshot(replace(snapshot(step), seconds=float(unique)))
                model.snapshots[step] = float(unique)
            elif action == "event":
                record.append_event(Failed(step, str(unique), ""))
                model.events.append((step, str(unique)))
                all_events.append((step, str(unique)))
            elif action == "undo":
                step = int(amount * (step + 1))
                record.append_rewind(step)
                model = model.rewound(step)
            elif action == "redo" and marks:
                branch, step, model = marks[int(amount * len(marks))]
                model = model.rewound(step)
                record.append_rewind(step, branch)
            elif action == "flush":
                assert record.flush()
            elif action == "reopen":
                record.close()
                record = RunRecord.open(directory)
        assert record.flush()
        series = record.steps()
        assert list(zip(series.steps.tolist(), series.loss.tolist())) == model.steps
        assert record.snapshots() == sorted(model.snapshots)
        assert [(s.step, s.seconds) for s in record.iter_snapshots()] == sorted(model.snapshots.items())
        for at, seconds in model.snapshots.items():
            assert record.snapshot(at).seconds == seconds
        assert [(e["step"], e["message"]) for e in record.events()] == all_events
        assert [(e["step"], e["message"]) for e in record.events(surviving_only=True)] == model.events
        assert record.last_step == step
        for branch, at, marked in marks:  # a state survives if all of its steps do
            assert not record.is_surviving(BranchPoint(branch, at)) or model.rewound(at).steps == marked.steps
        first, last = int(start * (step + 2)), int(stop * (step + 2))
        part = record.steps(first, last)
        assert list(zip(part.steps.tolist(), part.loss.tolist())) == [r for r in model.steps if first <= r[0] <= last]
        assert [s.step for s in record.iter_snapshots(first, last)] == [
            at for at in sorted(model.snapshots) if first <= at <= last
        ]
        pieces = [step for piece in record.iter_steps() for step in piece.steps.tolist()]
        assert pieces == series.steps.tolist()
    finally:
        record.close()


def test_an_undo_beyond_an_earlier_undo_discards_all_later_steps(record):
    for step in range(1, 101):
        record.append_step(step_record(step))
    assert (record.append_rewind(80), record.append_rewind(50)) == (1, 2)
    assert record.flush()
    assert_steps(record.steps(), range(1, 51))
    assert record.append_rewind(90, 0) == 3
    assert record.flush()
    assert_steps(record.steps(), range(1, 91))


def test_undone_steps_are_discarded_until_a_redo(record):
    record.append_rewind(80)
    record.append_rewind(50)
    assert record.flush()
    assert [record.is_surviving(BranchPoint(0, step)) for step in (0, 50, 51, 80)] == [
        True,
        True,
        False,
        False,
    ]
    assert [record.is_surviving(BranchPoint(1, step)) for step in (50, 51)] == [True, False]
    assert record.is_surviving(BranchPoint(2, 999)) and not record.is_surviving(BranchPoint(3, 0))
    record.append_rewind(90, 1)
    assert record.flush()
    assert [record.is_surviving(BranchPoint(*state)) for state in [(0, 80), (0, 81), (1, 90), (1, 91), (2, 50)]] == [
        True,
        False,
        True,
        False,
        False,
    ]


def blocks_of(record):
    with open_for_reading(record.path) as connection:
        return connection.execute("SELECT branch, first_step, last_step FROM blocks ORDER BY id").fetchall()


def test_a_slow_run_has_few_blocks(record):
    """Steps are committed one by one, merged into blocks of 64, and readable meanwhile."""
    for step in range(1, 151):
        record.append_step(step_record(step))
        assert record.flush()
        if step in (1, 2, 63, 64, 65, 150):
            assert_steps(record.steps(), range(1, step + 1))
    assert blocks_of(record) == [(0, 1, 64), (0, 65, 128), (0, 129, 150)]
    record.append_rewind(140)
    for step in range(141, 144):
        record.append_step(step_record(step))
        assert record.flush()
    assert blocks_of(record)[2:] == [(0, 129, 150), (1, 141, 143)]
    record.close()
    with RunRecord.open(record.directory) as again:
        for step in (144, 145):
            again.append_step(step_record(step))
            assert again.flush()
        assert blocks_of(again)[3:] == [(1, 141, 143), (1, 144, 145)]
        assert_steps(again.steps(), range(1, 146))


def test_a_block_may_grow_while_it_is_read(record):
    for step in range(1, 11):
        record.append_step(step_record(step))
        assert record.flush()
    reading = record.iter_steps()
    for step in range(11, 201):
        record.append_step(step_record(step))
        assert record.flush()
    steps = [step for piece in reading for step in piece.steps.tolist()]
    assert steps == list(range(1, len(steps) + 1)) and len(steps) >= 10


@pytest.mark.parametrize("last", [1, 2, 3])
def test_a_block_is_cut_at_a_rewind(record, last):
    for step in (1, 2, 3):
        record.append_step(step_record(step))
    record.append_rewind(last)
    assert record.flush()
    assert_steps(record.steps(), range(1, last + 1))
    assert_steps(record.steps(last, last), [last])


def test_a_reopened_record_continues_at_its_last_step(tmp_path):
    for session in range(3):
        with RunRecord.create(tmp_path, DESCRIPTION) if session == 0 else RunRecord.open(tmp_path) as record:
            assert record.last_step == 10 * session
            for step in range(10 * session + 1, 10 * session + 11):
                record.append_step(step_record(step))
    assert_steps(RunRecord.read(tmp_path).steps(), range(1, 31))


@pytest.mark.parametrize("step", [5, 4])
def test_steps_must_increase(record, step):
    record.append_step(step_record(5))
    with pytest.raises(ValueError, match="append_rewind"):
        record.append_step(step_record(step))
    record.append_rewind(step - 1)
    record.append_step(step_record(step))
    assert record.flush()
    assert_steps(record.steps(), [step])


def test_the_shape_of_the_values_must_not_change(record):
    record.append_step(step_record(1))
    with pytest.raises(ValueError, match=r"step 2.*\(11, 4\)"):
        record.append_step(replace(step_record(2), values=np.zeros((11, 4), np.float32)))


@pytest.mark.parametrize("branch", [-1, 1])
def test_an_unknown_branch_is_refused(record, branch):
    with pytest.raises(ValueError, match=f"branch {branch}"):
        record.append_rewind(0, branch)


def test_a_missing_snapshot_is_named_with_its_neighbours(record):
    for step in (10, 20, 30):
        record.append_snapshot(snapshot(step))
    assert record.flush()
    with pytest.raises(RecordError, match=r"step 12.*\[10, 20\]"):
        record.snapshot(12)


def test_a_second_run_in_a_directory_is_refused(record):
    record.close()
    with pytest.raises(RecordError, match="contains a run already"):
        RunRecord.create(record.directory, DESCRIPTION)
    RunRecord.open(record.directory).close()


def test_a_second_writer_is_refused(record):
    for act in (lambda: RunRecord.open(record.directory), lambda: RunRecord.create(record.directory, {})):
        with pytest.raises(RecordError, match=f"is being written by process {os.getpid()}"):
            act()
    record.close()
    RunRecord.open(record.directory).close()


@pytest.mark.parametrize("make", [RunRecord.open, RunRecord.read, RecordReader])
def test_a_directory_without_a_run_is_refused_and_unchanged(tmp_path, make):
    for directory in (tmp_path, tmp_path / "missing"):
        with pytest.raises(RecordError, match=r"run\.sqlite: not found"):
            make(directory)
    assert os.listdir(str(tmp_path)) == []


def test_a_file_in_place_of_the_directory_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for directory in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RecordError, match="file"):
            RunRecord.create(directory, DESCRIPTION)


def test_a_description_that_is_not_json_is_refused_and_creates_no_files(tmp_path):
    with pytest.raises(TypeError, match="object"):
        RunRecord.create(tmp_path / "run", {"network": object()})
    assert not (tmp_path / "run").exists()


def test_the_description_is_a_copy(record):
    record.description["model"]["layers"].append(3)
    assert record.description["model"] == DESCRIPTION["model"]
    json.dumps(record.description)


def test_a_closed_record_cannot_be_appended_to(record):
    record.close()
    record.close()
    with pytest.raises(RecordError, match="closed"):
        record.append_step(step_record(1))


def test_the_working_directory_may_change(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with RunRecord.create("run", DESCRIPTION) as record:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        record.append_step(step_record(1))
        record.save_checkpoint("a", {}, {"step": 1, "reason": ""})
        assert record.flush() and record.last_step == 1


@pytest.mark.parametrize("name", ["with space", "with?mark", "with#hash", "with%41percent", "ünïcode"])
def test_any_directory_name_is_supported(tmp_path, name):
    if sys.platform == "win32" and "?" in name:
        pytest.skip("not a file name on Windows")
    with RunRecord.create(tmp_path / name, DESCRIPTION) as record:
        record.append_step(step_record(1))
    assert RunRecord.read(tmp_path / name).last_step == 1
    assert os.listdir(str(tmp_path)) == [name]


def test_thinning_keeps_the_newest_snapshot_and_never_restores_one():
    newest, kept = 0, []
    for newest in range(1, 5001):
        kept.append(newest)
        survivors = [number for number in kept if is_kept(number, newest)]
        assert survivors[-SNAPSHOTS_KEPT_WHOLE:] == list(range(max(1, newest - SNAPSHOTS_KEPT_WHOLE + 1), newest + 1))
        assert survivors[0] == 1
        kept = survivors
    assert kept == [number for number in range(1, newest + 1) if is_kept(number, newest)]
    assert len([n for n in range(1, 10**6 + 1) if is_kept(n, 10**6)]) < 1600


def test_old_snapshots_are_thinned_out(record):
    n = 1600
    small = replace(snapshot(0), histograms={})
    for number in range(1, n + 1):
        record.append_snapshot(replace(small, step=number))
    record.close()
    with RunRecord.open(record.directory) as reopened:
        for number in range(n + 1, n + 17):
            reopened.append_snapshot(replace(small, step=number))
    reader = RunRecord.read(record.directory)
    first_of_phase = [number for number in range(1, n + 17) if number == 1 or phase(number) != phase(number - 1)]
    assert set(range(100, 1001, 100)) < set(first_of_phase)
    kept = [number for number in range(1, n + 17) if is_kept(number, n + 16)]
    assert reader.snapshots() == sorted({*kept, *first_of_phase})
    assert reader.snapshot(1).step == 1
    assert [snapshot_.step for snapshot_ in reader.iter_snapshots()] == reader.snapshots()


def test_snapshots_deleted_while_they_are_read_are_omitted(record):
    small = replace(snapshot(0), histograms={})
    for number in range(1, 301):
        record.append_snapshot(replace(small, step=number))
    assert record.flush()
    reading = record.iter_snapshots()
    before = record.snapshots()
    found = [next(reading).step for _ in range(20)]
    for number in range(301, 701):
        record.append_snapshot(replace(small, step=number))
    assert record.flush()
    found += [snapshot_.step for snapshot_ in reading]
    assert found[:20] == before[:20] and set(found[32:]) == set(before[32:]) & set(record.snapshots())
