"""Writing of reports: atomic, and never in place of another file."""

import os

import pytest
from report_cases import recorded

from qatviz.errors import ExportError, RecordError
from qatviz.report.writing import write_report
from qatviz.telemetry.record.run_record import RunRecord


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "a"
    recorded(directory, lambda run: run.advance(3))
    return RunRecord.read(directory)


def test_a_report_replaces_an_earlier_one(reader, tmp_path):
    path = tmp_path / "new" / "folder" / "a.html"
    first = write_report(reader, path)
    assert first == (path, path.stat().st_size, 3) and path.read_bytes().startswith(b"<!doctype html>")
    path.write_bytes(path.read_bytes()[:1000])
    assert write_report(reader, str(path)).nbytes == path.stat().st_size > 10000
    assert os.listdir(str(path.parent)) == ["a.html"]


def test_the_default_path_is_in_the_directory_of_the_run(reader):
    written = write_report(reader)
    assert written.path == reader.directory / "report.html" and written.path.is_file()
    written.path.unlink()


def test_nothing_else_is_replaced(reader, tmp_path):
    before = reader.path.read_bytes()
    with pytest.raises(ExportError, match="run.sqlite: found another file, not a report"):
        write_report(reader, reader.path)
    assert reader.path.read_bytes() == before
    other = tmp_path / "thesis.html"
    other.write_text("<!doctype html><title>Mine</title>")
    with pytest.raises(ExportError, match="expected another path"):
        write_report(reader, other)
    with pytest.raises(ExportError, match="found a directory"):
        write_report(reader, tmp_path)
    assert other.read_text() == "<!doctype html><title>Mine</title>"


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_failure_keeps_the_previous_report(reader, tmp_path, monkeypatch, function):
    path = tmp_path / "a.html"
    write_report(reader, path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, function, full)
    with pytest.raises(ExportError, match="a.html: cannot be written: No space left"):
        write_report(reader, path)
    assert os.listdir(str(tmp_path)) == ["a.html"] and path.read_bytes() == before


def test_a_path_that_cannot_be_written(reader, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot be"):
        write_report(reader, tmp_path / "file" / "a.html")


def test_a_damaged_record_is_an_error(tmp_path):
    recorded(tmp_path / "run", lambda run: run.advance(3))
    database = tmp_path / "run" / "run.sqlite"
    content = bytearray(database.read_bytes())
    content[len(content) // 2 :] = b"\xff" * (len(content) - len(content) // 2)
    database.write_bytes(bytes(content))
    with pytest.raises(RecordError):
        write_report(RunRecord.read(tmp_path / "run"), tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()
