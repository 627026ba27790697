"""List of recorded runs."""

import os

import pytest
from PyQt5 import QtCore, QtTest, QtWidgets
from recorded_samples import record_run
from window_stage import StagedLauncher, make_window

from qatviz.errors import RecordError
from qatviz.gui.dialogs.browser.dialog import MOST_OPENED, RunsDialog
from qatviz.gui.dialogs.browser.table import section_of
from qatviz.gui.model.launcher import RUNS
from qatviz.session.catalogue import read_catalogue
from qatviz.session.request import OpenRequest
from qatviz.telemetry.record.labels import RunLabels, read_labels, write_labels
from qatviz.telemetry.run_summary import Catalogue

Qt = QtCore.Qt


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with three runs of 8, 4 and 2 bits, the newest last."""
    for number, bits in enumerate((8, 4, 2)):
        record_run(tmp_path / "runs" / f"bits{bits}", bits=bits, steps=10, created=1000.0 + number)
    monkeypatch.setenv("QATVIZ_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


class ReadingLauncher(StagedLauncher):
    """Launcher that reads the folder at once."""

    def read_runs(self, folder):
        super().read_runs(folder)
        self.works[RUNS].found.emit(read_catalogue(folder))


@pytest.fixture
def launcher():
    return ReadingLauncher()


@pytest.fixture
def dialog(context, launcher, folder, show):
    return show(RunsDialog(context, launcher), 1180, 640)


def names(dialog):
    return [run.name for run in dialog.table.runs.rows]


def text_at(dialog, row, key):
    return dialog.table.runs.index(row, section_of(key)).data()


def answer(monkeypatch, button):
    asked = []
    monkeypatch.setattr(QtWidgets.QMessageBox, "question", lambda *args: asked.append(args[2]) or button)
    return asked


def test_the_runs_of_the_default_folder_are_listed_the_newest_first(dialog, launcher, folder):
    assert launcher.read == [str(folder)] and names(dialog) == ["bits2", "bits4", "bits8"]
    assert text_at(dialog, 2, "network") == "mlp" and text_at(dialog, 2, "state") == "finished"
    assert text_at(dialog, 2, "float") == text_at(dialog, 2, "quantized") != text_at(dialog, 0, "quantized")
    assert dialog.status.text().startswith(f"3 runs in {folder}, ")
    assert [run.name for run in dialog.table.selected()] == ["bits2"], "the keyboard works at once"


def test_a_column_is_sorted_with_the_best_first(dialog):
    header = dialog.table.horizontalHeader()
    for key, expected in (("quantized", ["bits8", "bits4", "bits2"]), ("size", ["bits2", "bits4", "bits8"])):
        at = header.sectionViewportPosition(section_of(key)) + 5
        QtTest.QTest.mouseClick(header.viewport(), Qt.LeftButton, pos=QtCore.QPoint(at, 5))
        assert names(dialog) == expected
    QtTest.QTest.mouseClick(header.viewport(), Qt.LeftButton, pos=QtCore.QPoint(at, 5))
    assert names(dialog) == ["bits8", "bits4", "bits2"]


def test_a_search_narrows_the_list_and_says_if_nothing_is_found(dialog):
    dialog.search.setText("BITS4")
    assert names(dialog) == ["bits4"] and dialog.status.text().startswith("1 run of 3 in ")
    dialog.search.setText("nothing")
    assert names(dialog) == [] and dialog.empty.text() == "No run matches “nothing”."
    assert dialog.empty.isVisible() and not dialog.open_button.isEnabled()
    dialog.search.clear()
    assert len(names(dialog)) == 3 and not dialog.empty.isVisible()


def test_what_is_typed_is_written_when_another_run_is_selected(dialog, folder):
    dialog.table.select({str(folder / "bits4")})
    dialog.form.name.setText("narrow")
    dialog.form.tags.setText("keep, paper keep")
    dialog.form.notes.setPlainText("first\nsecond")
    dialog.table.select({str(folder / "bits8")})
    assert read_labels(folder / "bits4") == RunLabels("narrow", "first\nsecond", ("keep", "paper"))
    assert read_labels(folder / "bits8") == RunLabels() and dialog.form.notes.toPlainText() == ""
    assert "narrow" in names(dialog), "the list shows the name"
    dialog.table.select({str(folder / "bits4")})
    assert (dialog.form.name.text(), dialog.form.tags.text()) == ("narrow", "keep paper")


def test_tags_are_added_to_several_runs(dialog, folder):
    write_labels(folder / "bits4", RunLabels("four", "note", ("a",)))
    dialog.refresh()
    dialog.table.select({str(folder / "bits4"), str(folder / "bits8")})
    assert not dialog.form.name.isEnabled() and "added to 2 runs" in dialog.form.hint.text()
    dialog.form.tags.setText("b")
    dialog.form.commit()
    assert read_labels(folder / "bits4") == RunLabels("four", "note", ("a", "b"))
    assert read_labels(folder / "bits8").tags == ("b",) and read_labels(folder / "bits2").tags == ()


def test_a_label_that_is_not_allowed_is_reported(dialog, folder):
    dialog.form.tags.setText("x" * 41)
    dialog.form.commit()
    assert dialog.banner.isVisible() and "expected a word of at most 40 characters" in dialog.banner.text.text()
    assert read_labels(folder / "bits2") == RunLabels()


def test_a_run_is_renamed_in_the_table(dialog, folder):
    dialog.table.runs.setData(dialog.table.runs.index(0, 0), "best")
    assert read_labels(folder / "bits2").name == "best" and names(dialog)[0] == "best"
    dialog.table.runs.setData(dialog.table.runs.index(0, 0), "bits2")
    assert read_labels(folder / "bits2").name == "", "the directory's name is the default"


def test_enter_opens_the_selected_runs(dialog, folder):
    opened = []
    dialog.open_wanted.connect(opened.append)
    QtTest.QTest.keyClick(dialog.table, Qt.Key_Return)
    dialog.table.selectAll()
    assert dialog.open_button.text() == "Open 3"
    QtTest.QTest.mouseClick(dialog.open_button, Qt.LeftButton)
    directories = [str(folder / name) for name in ("bits2", "bits4", "bits8")]
    assert opened == [directories[:1], directories]


def test_too_many_runs_are_not_opened_at_once(dialog):
    run = dialog.table.runs.rows[0]
    many = tuple(run._replace(directory=f"/runs/{number}") for number in range(MOST_OPENED + 1))
    dialog.launcher.works[RUNS].found.emit(Catalogue("/runs", many))
    dialog.table.selectAll()
    assert not dialog.open_button.isEnabled()


def test_runs_are_deleted_after_confirmation(dialog, launcher, folder, monkeypatch):
    dialog.table.select({str(folder / "bits4"), str(folder / "bits8")})
    asked = answer(monkeypatch, QtWidgets.QMessageBox.Cancel)
    QtTest.QTest.keyClick(dialog.table, Qt.Key_Delete)
    assert "Move 2 runs to the trash" in asked[0] and launcher.deleted == []
    answer(monkeypatch, QtWidgets.QMessageBox.Yes)
    QtTest.QTest.mouseClick(dialog.delete_button, Qt.LeftButton)
    assert launcher.deleted == [str(folder / "bits4"), str(folder / "bits8")]


def test_a_deletion_that_fails_is_reported(dialog, launcher, monkeypatch):
    def fail(directory):
        raise RecordError(f"{os.path.basename(directory)}: is being written by process 7")

    monkeypatch.setattr(launcher, "delete_run", fail)
    answer(monkeypatch, QtWidgets.QMessageBox.Yes)
    dialog.delete_selected()
    assert dialog.banner.text.text() == "bits2: is being written by process 7"


def test_a_damaged_record_is_shown_but_not_opened(dialog, folder):
    (folder / "bits2" / "run.sqlite").write_bytes(b"damaged")
    dialog.refresh()
    dialog.table.select({str(folder / "bits2")})
    assert "can't be read" in [text_at(dialog, row, "state") for row in range(3)]
    assert not dialog.open_button.isEnabled() and dialog.delete_button.isEnabled()
    assert "run.sqlite" in dialog.form.hint.text()


def test_an_empty_folder_says_so(context, launcher, show, tmp_path, monkeypatch):
    monkeypatch.setenv("QATVIZ_RUNS", str(tmp_path / "none"))
    dialog = show(RunsDialog(context, launcher), 900, 500)
    assert dialog.empty.isVisible() and "There are no recorded runs" in dialog.empty.text()
    launcher.works[RUNS].failed.emit("it can't be read")
    assert dialog.banner.text.text() == "it can't be read" and not dialog.empty.isVisible()


def test_the_layout_is_remembered_and_damage_to_it_is_ignored(context, launcher, folder, show):
    dialog = show(RunsDialog(context, launcher), 1000, 500)
    dialog.table.setColumnWidth(section_of("data"), 222)
    dialog.table.setColumnHidden(section_of("loss"), False)
    dialog.close()
    again = show(RunsDialog(context, launcher), 1000, 500)
    assert again.table.columnWidth(section_of("data")) == 222 and not again.table.isColumnHidden(section_of("loss"))
    for key in ("runs/geometry", "runs/header", "runs/split"):
        context.settings.setValue(key, "nonsense")
    fresh = show(RunsDialog(context, launcher), 1000, 500)
    assert names(fresh) == ["bits2", "bits4", "bits8"] and fresh.table.isColumnHidden(section_of("loss"))


def test_thumbnails_are_painted(dialog, app):
    index = dialog.table.runs.index(0, 1)
    picture = dialog.table.viewport().grab(dialog.table.visualRect(index)).toImage()
    colors = {picture.pixelColor(x, y).name() for x in range(picture.width()) for y in range(picture.height())}
    assert dialog.context.theme.colors.in_range in colors


def test_the_window_opens_one_run_here_and_several_in_windows_of_their_own(context, launcher, folder, show):
    window = show(make_window(context.settings, launcher), 1280, 800)
    window.named["runs"].trigger()
    dialog = window.findChild(RunsDialog)
    assert dialog.isVisible() and len(names(dialog)) == 3
    paths = [str(folder / name) for name in ("bits2", "bits4")]
    launcher.kinds[paths[0]] = "run"
    dialog.open_wanted.emit(paths[:1])
    dialog.open_wanted.emit(paths)
    requests = [OpenRequest(path) for path in paths]
    assert launcher.begun == [(requests[0], False), (requests[0], True), (requests[1], True)]
    window.close()
    assert not dialog.isVisible()
