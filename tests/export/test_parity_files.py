"""Exports of several files: a directory is written completely or left unchanged."""

import json
import os
from typing import ClassVar

import pytest
from small_runs import mlp

from qatviz.errors import ExportError
from qatviz.export.proof.files import write_export
from qatviz.network.plan import quantization_plan
from qatviz.protocol.recipe import read_recipe, recipe_of
from qatviz.protocol.settings_book import SettingsBook

BOOK = SettingsBook.from_preset(quantization_plan(mlp()), "int4")


class Report:
    golden: ClassVar = {}

    def to_record(self):
        return {"all": "well"}

    def to_text(self):
        return "all well"


def files(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()
    }


def test_a_directory_export_contains_its_proof(tmp_path):
    written = write_export(tmp_path / "out", {"a.c": b"1", "sub/b.h": b"2"}, Report(), BOOK)
    assert written[0] == tmp_path / "out" and all(path.exists() for path in written)
    contents = files(tmp_path / "out")
    record = json.loads(contents.pop("parity.json").decode("utf-8"))
    assert record == {"all": "well", "recipe": recipe_of(BOOK).to_dict()}
    assert contents == {"a.c": b"1", "sub/b.h": b"2", "parity.txt": b"all well\n"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_earlier_export_is_replaced_and_an_empty_directory_filled(tmp_path):
    (tmp_path / "out").mkdir()
    write_export(tmp_path / "out", {"a.c": b"1"}, Report(), BOOK)
    write_export(tmp_path / "out", {"b.c": b"2"}, Report(), BOOK)
    assert sorted(files(tmp_path / "out")) == ["b.c", "parity.json", "parity.txt"]


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_only_an_earlier_export_is_replaced(kind, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    target = tmp_path / "mine" / ("thesis.txt" if kind == "file" else "")
    with pytest.raises(ExportError, match="exists and is not an earlier export"):
        write_export(target, {"a.c": b"1"}, Report(), BOOK)
    assert files(tmp_path) == {"mine/thesis.txt": b"years"}


@pytest.mark.parametrize("broken", ["fsync", "replace"])
@pytest.mark.parametrize("fails_at", range(3))
def test_a_failed_write_keeps_the_existing_directory(broken, fails_at, tmp_path, monkeypatch):
    write_export(tmp_path / "out", {"a.c": b"1"}, Report(), BOOK)
    before, calls, real = files(tmp_path), [], getattr(os, broken)

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) == fails_at + 1:
            raise OSError(28, "No space left on device", "disk")
        return real(*arguments)

    monkeypatch.setattr(os, broken, failing)
    if broken == "replace" and fails_at == 2:  # only two files: no failure
        write_export(tmp_path / "out", {"a.c": b"2"}, Report(), BOOK)
        before["out/a.c"] = b"2"
    else:
        with pytest.raises(ExportError, match="disk: can't be written: No space left on device"):
            write_export(tmp_path / "out", {"a.c": b"2"}, Report(), BOOK)
    assert files(tmp_path) == before


@pytest.mark.parametrize("there_before", [True, False])
@pytest.mark.parametrize("fails_at", range(8))
def test_either_all_files_are_replaced_or_none(fails_at, there_before, tmp_path, monkeypatch):
    if there_before:
        write_export(tmp_path / "net.npz", b"1", Report(), BOOK, {".json": b"1"})
    before, calls, real = files(tmp_path), [], os.replace

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) == fails_at + 1:
            raise OSError(13, "Permission denied", "net.npz")
        return real(*arguments)

    monkeypatch.setattr(os, "replace", failing)
    needed = 8 if there_before else 4
    if fails_at < needed:
        with pytest.raises(ExportError, match="can't be written: Permission denied"):
            write_export(tmp_path / "net.npz", b"2", Report(), BOOK, {".json": b"2"})
        assert files(tmp_path) == before
    else:
        write_export(tmp_path / "net.npz", b"2", Report(), BOOK, {".json": b"2"})
        assert len(calls) == needed and files(tmp_path)["net.json"] == b"2"


@pytest.mark.parametrize("content", [b"2", {"a.c": b"2"}], ids=["file", "directory"])
@pytest.mark.parametrize("fails_at", range(3))
def test_an_interrupted_replacement_loses_nothing(fails_at, content, tmp_path, monkeypatch):
    write_export(tmp_path / "out", b"1" if isinstance(content, bytes) else {"a.c": b"1"}, Report(), BOOK)
    before, calls, real = files(tmp_path), [], os.replace

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == fails_at + 1 and fails_at < 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(os, "replace", interrupted)
    if fails_at < 2:
        with pytest.raises(KeyboardInterrupt):
            write_export(tmp_path / "out", content, Report(), BOOK)
        assert files(tmp_path) == before
    else:
        write_export(tmp_path / "out", content, Report(), BOOK)
        assert set(files(tmp_path)) == set(before) and files(tmp_path) != before


def test_further_files_of_an_export_are_written_with_it(tmp_path):
    written = write_export(tmp_path / "net.npz", b"codes", Report(), BOOK, {".json": b"{}"})
    assert [path.name for path in written] == ["net.npz", "net.json", "net.npz.parity.json", "net.npz.parity.txt"]
    assert files(tmp_path)["net.json"] == b"{}"


def test_an_export_carries_the_recipe_of_its_settings(tmp_path):
    write_export(tmp_path / "net.npz", b"codes", Report(), BOOK)
    assert read_recipe(tmp_path / "net.npz.parity.json") == recipe_of(BOOK)
