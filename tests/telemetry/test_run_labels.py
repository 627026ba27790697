"""Name, notes and tags of a run."""

import json
import os

import pytest
from recorded_samples import record_run

from qatviz.errors import RecordError, SettingError
from qatviz.telemetry.record.labels import LONGEST_NAME, RunLabels, checked_labels, read_labels, write_labels
from qatviz.telemetry.record.own_files import LABELS_FILE


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return record_run(tmp_path_factory.mktemp("runs") / "a", steps=2)


def test_labels_are_read_as_they_were_written(run):
    assert write_labels(run, RunLabels(" best \n", "first\nsecond", ("b", "a", "a"))) == read_labels(run)
    assert read_labels(run) == RunLabels("best", "first\nsecond", ("a", "b"))


def test_a_directory_without_a_run_gets_no_labels(tmp_path):
    with pytest.raises(RecordError, match="does not contain the record of a run"):
        write_labels(tmp_path, RunLabels("x"))
    assert os.listdir(str(tmp_path)) == [] and read_labels(tmp_path) == RunLabels()


def test_control_characters_can_not_disguise_a_name():
    assert checked_labels("a\x1b[2Jb\nc").name == "a\\x1b[2Jb\\nc"


@pytest.mark.parametrize(
    "labels, message",
    [
        ({"name": "x" * (LONGEST_NAME + 1)}, "name has 101 characters: expected at most 100"),
        ({"tags": ("two words",)}, "tag is 'two words': expected a word of at most 40 characters"),
        ({"tags": map(str, range(51))}, "tags are 51: expected at most 50"),
        ({"notes": "x" * 10_001}, "notes has 10001 characters"),
    ],
)
def test_labels_that_are_too_long_are_refused(labels, message):
    with pytest.raises(SettingError, match=message):
        checked_labels(**labels)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"name": 1, "notes": "", "tags": []}',
        b'{"name": "", "notes": "", "tags": "ab"}',
        b"\xff",
        b"[" * 100_000,
        json.dumps({"name": "x" * 300_000, "notes": "", "tags": []}).encode(),
    ],
)
def test_damaged_labels_are_refused_by_the_name_of_the_file(run, content):
    (run / LABELS_FILE).write_bytes(content)
    with pytest.raises(RecordError, match=LABELS_FILE):
        read_labels(run)


def test_labels_that_are_a_pipe_or_a_directory_do_not_block(run):
    (run / LABELS_FILE).unlink()
    os.mkfifo(str(run / LABELS_FILE))
    with pytest.raises(RecordError, match="expected a file"):
        read_labels(run)
    (run / LABELS_FILE).unlink()
