"""The export dialog: possible formats, the request, the result."""

import os

import pytest
from export_stage import DIRECTORY, FORMATS, RECORD, advance, make, run, verdicts, visible_texts  # noqa: F401
from PyQt5 import QtCore, QtGui, QtTest, QtWidgets
from staging import StagedRun

from qatviz.gui.dialogs.export.tables import flat, shown
from qatviz.gui.model.exporting import EndedExport
from qatviz.number_format import share_text
from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.session.record_requests import ExportRequest

# What can be exported


@pytest.mark.parametrize("directory, problem", [("", "not recorded"), ("/runs/gone", "/runs/gone: is gone")])
def test_the_reason_why_a_run_cannot_be_exported_is_shown(run, make, directory, problem):
    dialog = make(directory)
    if directory:
        run.end(events.Finished(3))
        dialog.form.show_run(directory)
    assert problem in dialog.problem.text() and not dialog.start.isEnabled()
    assert not any("Reading" in "".join(lines) for lines in verdicts(dialog)) and not dialog.form.limits.verdict.text()


def test_without_a_run_there_is_nothing_to_export(make):
    dialog = make("")
    assert "no run" in dialog.problem.text() and not dialog.start.isEnabled()
    QtTest.QTest.keyClick(dialog, QtCore.Qt.Key_Return)
    assert not dialog.exporter.is_busy


# Which state


def test_a_checkpoint_is_judged_by_its_own_settings(run, make, context, app, qtbot):
    dialog = make()
    box = dialog.form.state_box
    assert [box.itemText(row) for row in range(box.count())] == [
        "Now (step 3)",
        "Step 3: asked for",
        "Step 2: before conv1.weights.num_bits=4",
    ]
    twelve, _ = run.book.change([("conv1.weights.num_bits", 12)])
    dialog.launcher.books = {"step-00000003": twelve}
    dialog.form.formats.choose("narrow")
    box.setCurrentIndex(1)
    assert not dialog.start.isEnabled() and "Reading" in verdicts(dialog)[1][1]
    qtbot.emitted(dialog.form._worker.answered)
    assert "conv1.weights: 12 bits" in dialog.form.limits.reasons.toPlainText()
    box.setCurrentIndex(2)
    qtbot.emitted(dialog.form._worker.failed)
    assert "before-00000002-1: damaged" in dialog.form.state_field.note.text() and not dialog.start.isEnabled()
    box.setCurrentIndex(0)
    assert dialog.start.isEnabled() and not dialog.form.state_field.note.isVisible()


def test_the_present_state_is_not_offered_once_the_run_has_ended(run, make, context, qtbot):
    dialog = make()
    dialog.launcher.books = {"step-00000003": run.book}
    run.end(events.Finished(3))
    context.model.process(run.drain())
    assert dialog.form.state_box.itemText(0) == "Step 3: asked for"
    qtbot.emitted(dialog.form._worker.answered)
    assert dialog.start.isEnabled() and dialog.form.request.checkpoint == "step-00000003"


def test_a_dialog_left_open_when_the_run_ends_exports_the_last_checkpoint(run, make, context, app, qtbot):
    dialog = make()
    dialog.launcher.books = {"step-00000003": run.book}
    run.put(events.Finished(3))
    context.model.process(run.drain())  # the run announces its end before its state changes
    run.state = "finished"
    qtbot.waitUntil(lambda: dialog.form.state_box.state() == "step-00000003")
    qtbot.waitUntil(lambda: dialog.start.isEnabled())
    dialog.start.click()
    assert dialog.launcher.wanted[0].checkpoint == "step-00000003"
    qtbot.emitted(dialog.exporter.ended)
    assert not any(isinstance(command, c.SaveCheckpoint) for command in run.sent)


def test_the_step_of_the_present_state_is_updated(run, make, advance):
    dialog = make()
    advance(4)
    dialog.form._update()
    assert dialog.form.state_box.itemText(0) == "Now (step 7)"


def test_a_delay_that_has_not_ended_is_reported_with_its_step(context, staged, make, monkeypatch):
    asked = []
    run = staged("mlp")
    context.edits.edit(["dense1.weights"], "quant_delay", 100)
    context.edits.apply()
    run.advance()
    context.model.process(run.drain())
    dialog = make()
    wide = FORMATS[0]
    monkeypatch.setattr(type(wide), "limits", property(lambda self: lambda *of: asked.append(of[2]) or []))
    run.advance(3)
    context.model.process(run.drain())
    dialog.form._update()
    assert set(asked) == {run.step}


# Where to


def test_files_are_suggested_under_the_run_one_for_each_format(run, make):
    dialog = make()
    assert dialog.form.path.path() == os.path.join(DIRECTORY, "exports", "lenet-wide.wide")
    dialog.form.formats.choose("narrow")
    assert dialog.form.path.path() == os.path.join(DIRECTORY, "exports", "lenet-narrow")


def test_an_edited_path_is_kept_and_remembered(run, make, tmp_path):
    dialog = make()
    edit = dialog.form.path.edit
    edit.selectAll()
    QtTest.QTest.keyClicks(edit, str(tmp_path / "mine.wide"))
    dialog.form.formats.choose("narrow")
    assert dialog.form.path.path() == str(tmp_path / "mine")
    dialog.form.formats.choose("wide")
    assert dialog.form.path.path() == str(tmp_path / "mine.wide")
    dialog.form.remember()
    again = make()
    assert again.form.path.path() == str(tmp_path / "digits-wide.wide")
    assert make("/runs/other").form.path.path() == str(tmp_path / "other-wide.wide")


@pytest.mark.parametrize(
    "name, problem",
    [
        ("", "expected the name of a file"),
        ("folder", "is a directory"),
        ("file/x.wide", "is a file; expected a directory"),
        ("new/x.wide", ""),
    ],
)
def test_an_invalid_path_is_reported_below_the_field(run, make, tmp_path, name, problem):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    dialog = make()
    dialog.form.path.edit.setText(str(tmp_path / name) if name else "")
    assert problem in dialog.form.path_field.note.text()
    assert dialog.start.isEnabled() is not bool(problem)


def test_an_existing_file_gives_a_warning(run, make, tmp_path):
    (tmp_path / "x.wide").write_bytes(b"")
    dialog = make()
    dialog.form.path.edit.setText(str(tmp_path / "x.wide"))
    assert "will be replaced" in dialog.form.path_field.note.text() and dialog.start.isEnabled()


# From the click to the table


def test_the_present_state_is_saved_exported_and_its_proof_shown(run, make, advance, app, qtbot):
    dialog = make()
    dialog.form.examples.setValue(50)
    dialog.start.click()
    assert run.sent[-1] == c.SaveCheckpoint() and not dialog.launcher.wanted
    assert dialog.cancel.isVisible() and not dialog.form.isEnabled()
    assert "Saving a checkpoint" in dialog.what.text()
    progress = QtTest.QSignalSpy(dialog.exporter.progressed)
    advance(2)
    qtbot.emitted(dialog.exporter.ended)
    assert dialog.launcher.wanted == [
        ExportRequest(
            DIRECTORY,
            "step-00000003",
            format="wide",
            out=os.path.join(DIRECTORY, "exports", "lenet-wide.wide"),
            examples=50,
        )
    ]
    assert [list(seen) for seen in progress] == [
        ["starting", 0.0],
        ["computing the integer model", 0.25],
        ["writing", 0.98],
    ]
    result = dialog.result
    assert result.isVisible() and result.heading.text().startswith("✓") and dialog.again.isVisible()
    text = visible_texts(dialog)
    for part in ("TFLite int8 of step 3", "1,000 held-out examples", "float 98.00 %", "file 45.1 kB", "Note: a note"):
        assert part in text, part
    assert result.outputs.table() == {
        "compared": list(RECORD["outputs"]),
        "identical": [0.9946, 0.9946],
        "largest": [1, 1],
        "top1": [1.0, 0.999],
    }
    model = result.outputs.model()
    assert [model.index(1, column).data() for column in range(4)] == ["file to simulator", "99.46 %", "1", "99.90 %"]
    result.copy.click()
    assert app.clipboard().text() == "all of it as text"
    dialog.again.click()
    assert dialog.form.isVisible() and dialog.form.isEnabled() and dialog.start.isEnabled()


def show_record(dialog, app, **changes):
    dialog.result.show_ended(EndedExport(dialog.form.request, dict(RECORD, **changes)))
    dialog._show_page(dialog.result)
    app.processEvents()
    return dialog.result


def test_the_copy_button_names_what_it_copies(run, make, app):
    dialog = make()
    copy = dialog.result.copy
    dialog.result.show_ended(EndedExport(dialog.form.request, message="the disk is full"))
    assert (copy.text(), copy.toolTip()) == ("Copy message", "Copy the message and its details")
    show_record(dialog, app)
    assert (copy.text(), copy.toolTip()) == ("Copy table", "Copy the whole proof as text")


def test_layers_are_sorted_by_numbers(run, make, app):
    result = show_record(make(), app)
    assert result.layers.table()["layer"] == ["conv1", "logits"]
    titles = [result.layers.model().headerData(i, QtCore.Qt.Horizontal) for i in range(7)]
    assert titles == [
        "Layer",
        "Operation",
        "Identical",
        "Largest difference",
        "Identical, same inputs",
        "Largest, same inputs",
        "Unexplained",
    ]
    largest = titles.index("Largest difference")
    result.layers.sortByColumn(largest, QtCore.Qt.DescendingOrder)
    assert result.layers.table()["whole.largest"] == [12, 1] and result.layers.table()["layer"] == ["logits", "conv1"]
    assert result.layers.model().headerData(largest, QtCore.Qt.Horizontal, QtCore.Qt.ToolTipRole)


def color_of(label):
    return label.palette().color(QtGui.QPalette.WindowText)


def test_faults_are_listed(run, make, app):
    result = show_record(make(), app, faults=["layer 'conv1': alone, 3 of its codes differ"], as_expected=False)
    assert result.heading.text() == "✕ Written, but 1 operation is wrong"
    assert result.faults.isVisible() and "✕ layer 'conv1': alone, 3" in result.faults.text()
    heading = show_record(make(), app).heading
    assert heading.text().startswith(
        "✓ Exported and verified: 99.46 % of the outputs are identical, differences of at m"
    )
    assert color_of(heading) == make().result._theme.color("text"), "not green: not all is identical"
    same = {"file to evaluation graph": {"identical": 1.0, "largest": 0, "top1": 1.0}}
    heading = show_record(make(), app, outputs=same).heading
    assert heading.text().endswith("against the evaluation") and color_of(heading) == make().result._theme.color("good")
    result = show_record(make(), app, as_expected=False)
    assert result.heading.text().startswith("!") and not result.faults.isVisible()


def test_a_proof_with_other_measures_is_shown(run, make, app):
    result = show_record(
        make(),
        app,
        layers=[],
        accuracy={},
        bytes={},
        notes=[],
        outputs={"float logits": {"largest_difference": 1.25e-5, "finite": True, "top1": 0.99995}},
    )
    assert not result.layers.isVisible() and not result.notes.isVisible()
    model = result.outputs.model()
    assert [model.index(0, i).data() for i in range(4)] == ["float logits", "1.25e-5", "yes", "99.99 %"]
    assert model.headerData(1, QtCore.Qt.Horizontal) == "Largest difference"


def test_only_all_values_are_shown_as_100_percent():
    assert [share_text(x) for x in (1.0, 1, 0.999999, 0.5)] == ["100.00 %", "100.00 %", "99.99 %", "50.00 %"]
    assert shown("x", None) == "" and shown("count", 12345) == "12,345"
    assert [shown(name, 0.99995) for name in ("close", "own.identical", "relative")] == ["99.99 %", "99.99 %", "1"]
    assert flat({"a": 1, "b": {"c": {"d": 2}}}) == {"a": 1, "b.c.d": 2}


def test_the_folder_is_opened(run, make, app, monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr("qatviz.gui.dialogs.export.result.QtGui.QDesktopServices.openUrl", opened.append)
    for path in (tmp_path / "a.tflite", tmp_path):
        result = show_record(make(), app, files=[str(path), str(tmp_path / "a.parity.json")])
        assert str(path) in result.location.text()
        result.open_folder.click()
    assert [url.toLocalFile() for url in opened] == [str(tmp_path)] * 2


def test_all_controls_are_reachable_by_keyboard_and_have_names(run, make):
    dialog = make()
    for widget in dialog.form.findChildren(QtWidgets.QWidget):
        named = (QtWidgets.QComboBox, QtWidgets.QAbstractSpinBox, QtWidgets.QListWidget, QtWidgets.QLineEdit)
        if isinstance(widget, named) and not isinstance(widget.parent(), QtWidgets.QAbstractSpinBox):
            assert widget.accessibleName() and widget.focusPolicy() & QtCore.Qt.TabFocus, widget
    for button in dialog.findChildren(QtWidgets.QPushButton):
        assert button.toolTip(), button.text()


def test_the_choice_of_the_format_is_remembered(run, make):
    dialog = make()
    dialog.form.formats.choose("narrow")
    dialog.form.examples.setValue(20)
    dialog.form.remember()
    again = make()
    assert again.form.request.format == "narrow" and again.form.request.examples == 20


def test_another_run_gets_its_own_path(run, make, context):
    dialog = make()
    other = StagedRun("mlp")
    context.model.set_run(other, other.network, other.book, "mlp")
    dialog.open_for("/runs/other")
    assert dialog.form.request.directory == "/runs/other"
    assert dialog.form.path.path() == os.path.join("/runs/other", "exports", "mlp-wide.wide")
