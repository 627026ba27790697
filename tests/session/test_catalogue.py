"""Catalogue of the runs in a folder."""

import json
import os
import shutil
import time

import pytest
from recorded_samples import BEST, PER_BIT, loss_at, record_run

from qatviz.errors import RecordError
from qatviz.presentation.run_table import matches
from qatviz.session import catalogue
from qatviz.session.catalogue import CACHE_NAME, delete_run, read_catalogue
from qatviz.telemetry.record.labels import RunLabels, write_labels
from qatviz.telemetry.record.run_record import RunRecord


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Return a folder with two runs: 8 and 4 bits, the second forked from the first."""
    folder = tmp_path_factory.mktemp("recorded")
    record_run(folder / "wide", created=1000.0)
    origin = {"run_id": "r", "directory": str(folder / "wide"), "checkpoint": "c", "step": 10}
    record_run(folder / "narrow", bits=4, first=10, steps=30, created=2000.0, forked_from=origin, ending=False)
    return folder


@pytest.fixture
def folder(recorded, tmp_path):
    shutil.copytree(str(recorded), str(tmp_path / "runs"))
    return tmp_path / "runs"


def test_runs_have_the_values_of_their_records(folder):
    narrow, wide = read_catalogue(str(folder)).runs
    assert (wide.name, wide.network, wide.data, wide.created) == ("wide", "mlp", "mnist-5k", 1000.0)
    assert (wide.step, wide.total, wide.ending, narrow.step, narrow.ending) == (20, 20, "finished", 30, "")
    assert wide.loss == pytest.approx(loss_at(20)) and wide.seconds == pytest.approx(0.2)
    assert wide.float_score == wide.quantized_score and BEST - 0.5 < wide.float_score < BEST
    assert narrow.float_score - narrow.quantized_score == pytest.approx(4 * PER_BIT)
    assert wide.weight_bytes == 2 * narrow.weight_bytes > 10_000
    assert wide.record_bytes >= os.path.getsize(str(folder / "wide" / "run.sqlite"))
    assert (os.path.basename(narrow.parent), narrow.fork_step, wide.parent) == ("wide", 10, "")
    assert [point[0] for point in wide.points] == [5, 10, 15, 20]


def test_an_unchanged_record_is_not_read_again(folder, monkeypatch):
    first = read_catalogue(str(folder))
    monkeypatch.setattr(catalogue, "summarize", lambda reader: pytest.fail(f"{reader.directory} was read again"))
    assert read_catalogue(str(folder)) == first
    write_labels(folder / "wide", RunLabels("best", "", ("keep",)))
    assert read_catalogue(str(folder)).runs[1].name == "best", "labels are read each time"


def test_a_changed_record_is_read_again(folder):
    before = read_catalogue(str(folder)).runs[1]
    shutil.rmtree(str(folder / "wide"))
    record_run(folder / "wide", steps=40, created=1000.0)
    after = read_catalogue(str(folder)).runs[1]
    assert (before.step, after.step) == (20, 40)


@pytest.mark.parametrize(
    "damage",
    [
        lambda row: row.update(step=-1),
        lambda row: row.update(step="20"),
        lambda row: row.update(ending="exploded"),
        lambda row: row.update(loss=[]),
        lambda row: row.update(points=[[1]]),
        lambda row: row.update(metric="no.such"),
        lambda row: row.clear(),
    ],
)
def test_a_damaged_cache_is_replaced(folder, damage):
    whole = read_catalogue(str(folder))
    cache = folder / CACHE_NAME
    content = json.loads(cache.read_text())
    damage(content["runs"]["wide"]["summary"])
    cache.write_text(json.dumps(content))
    assert read_catalogue(str(folder)) == whole
    assert json.loads(cache.read_text())["runs"]["wide"]["summary"]["step"] == 20


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"form": 1, "runs": 3}', b"\xff\xfe", b"[" * 100_000])
def test_a_cache_of_anything_else_is_ignored(folder, content):
    (folder / CACHE_NAME).write_bytes(content)
    assert [run.name for run in read_catalogue(str(folder)).runs] == ["narrow", "wide"]


def test_a_damaged_record_is_listed_with_its_error(folder):
    path = folder / "wide" / "run.sqlite"
    path.write_bytes(path.read_bytes()[:5000])
    (folder / "empty").mkdir()
    (folder / "text").write_text("no run")
    narrow, wide = read_catalogue(str(folder)).runs
    assert narrow.error == "" and "run.sqlite" in wide.error and wide.step == 0


def test_a_missing_folder_has_no_runs_and_a_file_is_refused(tmp_path):
    assert read_catalogue(str(tmp_path / "none")).runs == ()
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="file: cannot be read"):
        read_catalogue(str(tmp_path / "file"))


def test_only_the_newest_runs_of_many_are_listed(folder, monkeypatch):
    monkeypatch.setattr(catalogue, "MOST_RUNS", 1)
    past = time.time() - 100
    os.utime(str(folder / "narrow" / "run.sqlite"), (past, past))
    found = read_catalogue(str(folder))
    assert [run.name for run in found.runs] == ["wide"] and found.omitted == 1


def test_reading_ends_when_it_is_no_longer_wanted(folder):
    found = read_catalogue(str(folder), lambda done, of: done < 1 and of == 2)
    assert len(found.runs) == 1 and not (folder / CACHE_NAME).exists()


def test_searches_find_words_and_tags(folder):
    run = read_catalogue(str(folder)).runs[0]._replace(labels=RunLabels("Best of all", "for the Paper", ("final",)))
    assert matches(run, "") and matches(run, "best PAPER mlp") and matches(run, "#fin best")
    assert not matches(run, "#best") and not matches(run, "best worst")


def test_a_run_that_is_deleted_is_moved_to_the_trash_whole(folder, tmp_path):
    delete_run(str(folder / "wide"), lambda path: shutil.move(path, str(tmp_path / "trash")))
    assert [run.name for run in read_catalogue(str(folder)).runs] == ["narrow"]
    assert RunRecord.read(tmp_path / "trash").last_step == 20


def test_what_is_no_run_or_in_use_is_not_deleted(folder, tmp_path):
    def refuse(path):
        pytest.fail(f"{path} was moved")

    (folder / "link").symlink_to(folder / "wide")
    for name, reason in (("link", "is a link"), ("none", "does not contain the record")):
        with pytest.raises(RecordError, match=reason):
            delete_run(str(folder / name), refuse)
    with RunRecord.open(folder / "wide"), pytest.raises(RecordError, match="is being written by process"):
        delete_run(str(folder / "wide"), refuse)
