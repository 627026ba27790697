"""Window that compares recorded runs."""

import numpy as np
import pytest
from PyQt5 import QtCore, QtGui, QtTest, QtWidgets
from recorded_samples import record_run
from staging import StagedRun
from window_stage import StagedLauncher, file_dialog, make_window

from qatviz.errors import QatvizError
from qatviz.gui.dialogs.browser.dialog import RunsDialog
from qatviz.gui.dialogs.comparison.dialog import ComparisonDialog
from qatviz.gui.dialogs.files_there import FilesThere
from qatviz.gui.model.launcher import RUNS
from qatviz.gui.widgets.theme import LIGHT
from qatviz.presentation.comparison import FIRST, SECOND, run_stroke
from qatviz.presentation.palette import color_of
from qatviz.presentation.scene import Group
from qatviz.protocol.snapshots import Snapshot
from qatviz.session.catalogue import read_catalogue
from qatviz.session.comparison import read_comparison
from qatviz.session.folder_entries import Folder, FolderEntry

Qt = QtCore.Qt


def snapshot(bits):
    run = StagedRun("mlp")
    run.book, _ = run.book.change([("*.weights.num_bits", bits)])
    return next(item for item in run.advance(2).drain() if isinstance(item, Snapshot))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for number, (name, bits, seed) in enumerate((("wide", 8, 0), ("wide2", 8, 300), ("narrow", 4, 600))):
        more = {"created": 1000.0 - number, "train_examples": 64}
        record_run(folder / name, bits=bits, seed=seed, snapshots=[snapshot(bits)], **more)
    return folder


class ReadingLauncher(StagedLauncher):
    """Launcher that reads at once."""

    def read_runs(self, folder):
        self.works[RUNS].found.emit(read_catalogue(folder))

    def read_comparison(self, directories):
        super().read_comparison(directories)
        try:
            self.comparison_read.emit(tuple(directories), read_comparison(directories))
        except QatvizError as error:
            self.comparison_failed.emit(tuple(directories), str(error))


@pytest.fixture
def launcher():
    return ReadingLauncher()


def paths(folder, *names):
    return [str(folder / name) for name in names or ("wide", "wide2", "narrow")]


@pytest.fixture
def dialog(context, launcher, folder, show):
    dialog = ComparisonDialog(context, launcher, paths(folder))
    dialog.setAttribute(Qt.WA_DeleteOnClose, False)
    return show(dialog, 1180, 700)


def shows(dialog, widget, role):
    """Return whether a picture of a widget has nearly the colour of a role."""
    image = widget.grab().toImage().convertToFormat(QtGui.QImage.Format_RGB32)
    memory = image.bits()
    memory.setsize(image.byteCount())
    pixels = np.frombuffer(memory, np.uint8).reshape(image.height(), -1, 4)[..., 2::-1].astype(int)
    wanted = QtGui.QColor(color_of(dialog.context.theme.colors, role))
    return bool((abs(pixels - [wanted.red(), wanted.green(), wanted.blue()]).max(axis=-1) <= 8).any())


def roles_of(shapes):
    """Return the roles of all strokes and fills."""
    found = set()
    for shape in shapes:
        if isinstance(shape, Group):
            found |= roles_of(shape.shapes)
        else:
            parts = (getattr(shape, "stroke", None), getattr(shape, "fill", None))
            found |= {part.role for part in parts if part is not None}
    return found


def cells(table):
    return [
        [table.item(row, column).text() for column in range(table.columnCount())] for row in range(table.rowCount())
    ]


def test_each_run_has_a_curve_that_can_be_hidden(dialog):
    assert all(shows(dialog, dialog.curves.charts[0], run_stroke(index).role) for index in range(3))
    dialog.list.item(2).setCheckState(Qt.Unchecked)
    assert not shows(dialog, dialog.curves.charts[0], run_stroke(2).role)
    assert dialog.shown() == [0, 1]
    dialog.refresh()
    assert dialog.shown() == [0, 1], "the choice stays when the runs are read again"


def test_curves_are_aligned_by_the_chosen_axis(dialog):
    assert [dialog.curves.align.itemText(index) for index in range(dialog.curves.align.count())] == [
        "Step",
        "Seconds",
        "Epoch",
    ]
    assert next(iter(dialog.curves.charts[0].table())) == "wide step"
    dialog.curves.align.setCurrentIndex(2)
    assert dialog.curves.charts[0].table()["wide epoch"][-1] == pytest.approx(20 * 32 / 64)


def test_the_mean_over_seeds_replaces_their_curves(dialog):
    assert dialog.curves.by_group.isEnabled()
    dialog.curves.by_group.setChecked(True)
    assert [name for name in dialog.curves.charts[1].table() if not name.endswith(" step")] == [
        "wide (2 runs)",
        "narrow",
    ]


def test_another_mode_is_drawn(dialog):
    quantized = dialog.curves.charts[1].table()["narrow"][-1]
    dialog.curves.mode.setCurrentIndex(dialog.curves.mode.findText("Float"))
    assert dialog.curves.charts[1].table()["narrow"][-1] == pytest.approx(quantized + 8.0)
    assert dialog.curves.titles[1].text().endswith(", float")


def test_values_are_read_under_the_mouse(dialog):
    chart = dialog.curves.charts[1]
    QtTest.QTest.mouseMove(chart, QtCore.QPoint(chart.width() // 2, chart.height() // 2))
    step, *lines = chart.note.text().splitlines()
    assert step.startswith("step ") and [line.partition(":")[0] for line in lines] == ["wide", "wide2", "narrow"]
    QtTest.QTest.mouseMove(chart, QtCore.QPoint(1, 1))
    assert not chart.note.isVisible()


def test_tables_show_settings_that_differ_and_measures(dialog):
    assert ["*.weights.num_bits", "8", "8", "4"] in cells(dialog.settings_table)
    row = next(row for row in cells(dialog.measures) if row[0] == "accuracy, quantized")
    assert row[3].endswith("(−8.00 pp)") and "(" not in row[1]
    assert not dialog.no_settings.isVisible()


def test_two_runs_are_overlaid_tensor_by_tensor(dialog):
    dialog.tabs.setCurrentWidget(dialog.tensors)
    page = dialog.tensors
    names = [tensor.name for tensor in StagedRun("mlp").plan.tensors]
    assert [row[0] for row in cells(page.table)] == names
    page.pickers[1].setCurrentIndex(2)
    page.table.selectRow(1)
    assert page.title.text() == names[1]
    for chart in (page.histogram, page.codes):
        assert {FIRST, SECOND} <= roles_of(chart.shapes(False))
        assert shows(dialog, chart, SECOND)
    page.measure.setCurrentIndex(page.measure.findData("effective_bits"))
    assert page.table.selected_head() == names[1], "the tensor stays selected"


def test_runs_of_equal_settings_say_so(context, launcher, folder, show):
    dialog = ComparisonDialog(context, launcher, paths(folder, "wide", "wide"))
    dialog.setAttribute(Qt.WA_DeleteOnClose, False)
    show(dialog, 800, 500)
    assert dialog.no_settings.text() == "All runs have the same settings." and cells(dialog.settings_table) == []
    assert dialog.list.item(1).text() == "wide (2)"


def test_a_record_that_can_not_be_read_is_reported(context, launcher, tmp_path, show):
    dialog = ComparisonDialog(context, launcher, [str(tmp_path), str(tmp_path)])
    dialog.setAttribute(Qt.WA_DeleteOnClose, False)
    show(dialog, 800, 500)
    assert dialog.banner.isVisible() and "not found" in dialog.banner.text.text() and dialog.comparison is None
    dialog.tabs.setCurrentIndex(3)
    dialog.curves.by_group.setChecked(True)


def test_runs_that_train_are_read_again(context, launcher, tmp_path, show):
    record_run(tmp_path / "new", steps=3, ending=False)
    dialog = ComparisonDialog(context, launcher, [str(tmp_path / "new")] * 2)
    dialog.setAttribute(Qt.WA_DeleteOnClose, False)
    show(dialog, 800, 500)
    assert dialog.timer.isActive()
    dialog.timer.timeout.emit()
    assert len(launcher.compared) == 2
    dialog.close()
    assert not dialog.timer.isActive()


def test_the_selected_runs_are_compared_from_the_list(context, launcher, folder, show, monkeypatch, app):
    monkeypatch.setenv("QATVIZ_RUNS", str(folder))
    window = show(make_window(context.settings, launcher), 1280, 800)
    window.named["runs"].trigger()
    runs = window.findChild(RunsDialog)
    assert not runs.compare_button.isEnabled()
    runs.table.selectAll()
    QtTest.QTest.mouseClick(runs.compare_button, Qt.LeftButton)
    (dialog,) = window.findChildren(ComparisonDialog)
    assert dialog.directories == tuple(paths(folder)) and dialog.isVisible()
    dialog.save.click()
    chooser = file_dialog(app)
    chooser.fileSelected.emit("/tmp/x.html")
    chooser.reject()
    assert launcher.written_comparisons == [(dialog.directories, "/tmp/x.html")]
    window.close()
    app.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)
    assert window.findChildren(ComparisonDialog) == []


def test_differences_to_a_run_are_drawn_at_equal_steps(dialog):
    page = dialog.curves
    assert not page.charts[2].isVisible()
    page.reference.setCurrentIndex(page.reference.findText("wide"))
    assert page.charts[2].isVisible()
    table = page.charts[2].table()
    np.testing.assert_allclose(table["wide2"], 0.001 * 300, atol=1e-6)
    np.testing.assert_array_equal(table["wide"], 0.0)
    assert page.titles[2].text() == "Loss: difference to wide at equal steps"
    dialog.list.item(2).setCheckState(Qt.Unchecked)
    assert page.titles[2].text().startswith("Loss, wide2 minus wide: 0.3 ")
    page.quantity.setCurrentIndex(1)
    np.testing.assert_allclose(page.charts[2].table()["wide2"], 0.0, atol=1e-6)


def test_a_fork_can_be_drawn_without_the_curve_of_its_parent(context, launcher, tmp_path, show):
    record_run(tmp_path / "base", steps=10, run_id="base")
    origin = {"run_id": "base", "directory": str(tmp_path / "base"), "checkpoint": "x", "step": 10}
    for name in ("A", "B"):
        record_run(tmp_path / name, steps=20, first=10, forked_from=origin)
    dialog = ComparisonDialog(context, launcher, paths(tmp_path, "A", "B"), reference=str(tmp_path / "A"))
    dialog.setAttribute(Qt.WA_DeleteOnClose, False)
    show(dialog, 1180, 700)
    page = dialog.curves
    assert page.reference.currentText() == "A" and page.charts[2].isVisible()
    assert page.charts[0].table()["A step"][0] == 11, "from the fork on"
    page.parents.setChecked(True)
    assert page.charts[0].table()["A step"][0] == 1


def test_a_click_on_the_dot_of_a_run_selects_it(dialog):
    dialog.tabs.setCurrentWidget(dialog.sizes)
    plot = dialog.sizes.plot
    plot.grab()
    assert all(shows(dialog, plot, run_stroke(index).role) for index in (1, 2)), "the first two lie on each other"
    QtTest.QTest.mouseClick(plot, Qt.LeftButton, pos=plot.place_of(2))
    assert dialog.list.currentRow() == 2 and plot.selection == 2
    assert plot.text_of(2).splitlines()[0] == "narrow"
    dialog.list.item(2).setCheckState(Qt.Unchecked)
    assert not shows(dialog, plot, run_stroke(2).role)


def test_another_run_is_added_and_one_that_can_not_be_read_is_not(dialog, monkeypatch, tmp_path):
    record_run(tmp_path / "another")
    answers = [str(tmp_path / "another"), str(tmp_path)]
    monkeypatch.setattr(QtWidgets.QFileDialog, "getExistingDirectory", lambda *args: answers.pop(0))
    dialog.add.click()
    assert dialog.list.count() == 4 and dialog.windowTitle().startswith("Comparison of 4 runs")
    dialog.add.click()
    assert dialog.banner.isVisible() and dialog.list.count() == 4
    assert dialog.windowTitle().startswith("Comparison of 4 runs")
    dialog.refresh()
    assert len(dialog.launcher.compared[-1]) == 4


def test_a_run_is_added_once(dialog, monkeypatch, folder):
    monkeypatch.setattr(QtWidgets.QFileDialog, "getExistingDirectory", lambda *args: str(folder / "narrow") + "/")
    dialog.add.click()
    assert len(dialog.directories) == 3 and dialog.list.count() == 3
    assert dialog.banner.text.text().endswith("is compared already.")


def test_runs_that_train_are_read_again_after_one_that_can_not_be_added(context, launcher, tmp_path, show, monkeypatch):
    record_run(tmp_path / "new", steps=3, ending=False)
    dialog = ComparisonDialog(context, launcher, [str(tmp_path / "new")] * 2)
    dialog.setAttribute(Qt.WA_DeleteOnClose, False)
    show(dialog, 800, 500)
    monkeypatch.setattr(QtWidgets.QFileDialog, "getExistingDirectory", lambda *args: str(tmp_path))
    dialog.add.click()
    assert dialog.banner.isVisible() and dialog.timer.isActive()
    dialog.timer.timeout.emit()
    assert len(launcher.compared[-1]) == 2
    dialog._on_failed(dialog.directories, "moved away")
    assert not dialog.timer.isActive(), "the runs themselves can't be read"


def test_no_run_is_added_to_runs_that_are_not_read(context, tmp_path, show):
    dialog = ComparisonDialog(context, StagedLauncher(), [str(tmp_path)] * 2)
    dialog.setAttribute(Qt.WA_DeleteOnClose, False)
    show(dialog, 800, 500)
    assert not dialog.add.isEnabled()


def test_a_run_is_added_from_the_machine_of_the_window(context, launcher, folder, show, monkeypatch):
    monkeypatch.setattr(launcher, "place", "box")
    monkeypatch.setattr(
        launcher, "folder", lambda path: Folder(path, (FolderEntry("narrow", True, True),)), raising=False
    )
    monkeypatch.setattr(QtWidgets.QFileDialog, "getExistingDirectory", lambda *args: 1 / 0)
    dialog = ComparisonDialog(context, launcher, paths(folder, "wide", "wide2"))
    dialog.setAttribute(Qt.WA_DeleteOnClose, False)
    show(dialog, 800, 500)

    def choose():
        there = dialog.findChild(FilesThere)
        there.list.itemActivated.emit(there.list.item(0))

    QtCore.QTimer.singleShot(0, choose)
    dialog.add.click()
    assert dialog.directories == tuple(paths(folder, "wide", "wide2", "narrow"))


def test_the_lists_of_runs_have_the_colour_of_their_curve(dialog):
    page = dialog.tensors

    def colours(picker):
        icons = [picker.itemIcon(index) for index in range(picker.count())]
        return {icon.pixmap(4, 4).toImage().pixelColor(1, 1).name() for icon in icons if not icon.isNull()}

    for picker, role in zip(page.pickers, (FIRST, SECOND)):
        picker.setCurrentIndex(2)
        assert all(not picker.itemIcon(index).isNull() for index in range(picker.count()))
        assert colours(picker) == {dialog.context.theme.color(role).name()}
    dialog.context.theme.name = LIGHT
    dialog.refresh()
    for picker, role in zip(page.pickers, (FIRST, SECOND)):
        assert colours(picker) == {dialog.context.theme.color(role).name()}
