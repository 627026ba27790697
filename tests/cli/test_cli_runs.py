"""``qatviz runs``, ``label`` and ``delete``."""

import os

import pytest
from cli_calls import call, error_of
from recorded_samples import record_run

from qatviz.errors import RecordError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded")
    record_run(folder / "wide", created=1000.0)
    record_run(folder / "narrow", bits=4, steps=30, created=2000.0, ending=False)
    return folder


def names(answer):
    return [line.split()[0] for line in answer.out.splitlines()[1:-1]]


def test_runs_are_listed_and_sorted(folder, monkeypatch):
    monkeypatch.setenv("QATVIZ_RUNS", str(folder))
    newest = call("runs")
    assert newest.code == 0 and names(newest) == ["narrow", "wide"]
    assert newest.out.splitlines()[-1] == f"{folder}: 2 runs"
    assert "not ended" in newest.out.splitlines()[1] and "finished" in newest.out.splitlines()[2]
    assert names(call("runs", "--sort", "quantized")) == ["wide", "narrow"], "the best first"
    assert names(call("runs", "--sort", "size")) == ["narrow", "wide"], "the smallest first"
    assert names(call("runs", "--sort", "size", "--reverse")) == ["wide", "narrow"]
    found = call("runs", "NARROW", "mlp")
    assert names(found) == ["narrow"] and found.out.splitlines()[-1] == f"{folder}: 1 run of 2"


def test_json_has_the_values_of_each_run(folder):
    row = call("runs", "--folder", folder, "--json").json[1]
    assert (row["name"], row["step"], row["ending"], row["metric"]) == ("wide", 20, "finished", "accuracy")
    assert row["float"] == row["quantized"] and row["directory"] == str(folder / "wide")


def test_labels_are_changed_one_by_one(folder):
    run = folder / "wide"
    call("label", run, "--name", "best", "--add-tag", "keep", "--add-tag", "paper")
    changed = call("label", run, "--notes", "see page 3", "--remove-tag", "keep")
    assert changed.out.splitlines() == ["name: best", "tags: paper", "notes: see page 3"]
    assert call("label", run).out == changed.out
    assert names(call("runs", "#paper", "--folder", folder)) == ["best"]
    assert "tag is 'two words'" in error_of("label", run, "--add-tag", "two words")
    for options in ([], ["--name", "x"]):
        assert "does not contain the record of a run" in error_of("label", folder, *options)
    call("label", run, "--name", "", "--notes", "", "--remove-tag", "paper")


def test_damaged_labels_are_named_and_new_ones_keep_the_file(tmp_path):
    record_run(tmp_path / "run", steps=2)
    file = tmp_path / "run" / "labels.json"
    file.write_bytes(b'{"name": "be')
    told = error_of("label", tmp_path / "run")
    assert "labels.json: damaged" in told and "--add-tag writes new labels" in told and file.exists()
    changed = call("label", tmp_path / "run", "--name", "best")
    assert changed.code == 0 and "kept as labels.damaged.json" in changed.err
    assert call("label", tmp_path / "run").out.splitlines() == ["name: best", "tags:", "notes:"]
    assert (tmp_path / "run" / "labels.damaged.json").read_bytes() == b'{"name": "be'


def test_a_damaged_record_is_named_and_the_others_are_listed(folder, tmp_path):
    record_run(tmp_path / "good", steps=2)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.sqlite").write_bytes(b"SQLite format 3\0" + bytes(200))
    answer = call("runs", "--folder", tmp_path)
    assert answer.code == 0 and sorted(names(answer)) == ["bad", "good"] and "can't be read" in answer.out
    assert "bad/run.sqlite" in answer.err.replace(os.sep, "/")


def test_deleted_runs_are_in_the_trash(folder, tmp_path, monkeypatch):
    pytest.importorskip("PyQt5.QtCore")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    run = record_run(tmp_path / "old\n\x1b[31m", steps=2)
    answer = call("delete", run)
    assert answer.code == 0 and not run.exists()
    assert answer.out == f"{tmp_path}{os.sep}old\\n\\x1b[31m: moved to the trash\n", "one line, without controls"
    assert (tmp_path / "data" / "Trash" / "files" / run.name / "run.sqlite").is_file()
    assert "does not contain the record of a run" in error_of("delete", run)


def test_an_error_of_the_trash_is_reported(tmp_path):
    from qatviz.app.trash import move_to_trash

    with pytest.raises(RecordError, match="none: can't be moved to the trash: "):
        move_to_trash(str(tmp_path / "none"))
