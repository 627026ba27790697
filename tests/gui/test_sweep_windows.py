"""Windows that train several runs from one checkpoint: A/B trials and sweeps."""

import os

import pytest
from PyQt5 import QtCore, QtTest, QtWidgets
from recorded_samples import record_run
from staging import StagedRun
from window_stage import StagedLauncher, make_window, prepared_of

from qatviz.errors import RecordError
from qatviz.gui.dialogs.browser.dialog import RunsDialog
from qatviz.gui.dialogs.comparison.dialog import ComparisonDialog
from qatviz.gui.dialogs.sweep.dialog import ForkBothWindow, VaryWindow
from qatviz.protocol.commands import SaveCheckpoint
from qatviz.protocol.events import CheckpointSaved
from qatviz.protocol.reasons import SaveKind, SaveReason
from qatviz.session.sweep_request import FAILED, FINISHED, STARTED, STOPPED, TRAINING, Begun, Report, SweepRun

Qt = QtCore.Qt
RUNS = (SweepRun("A", ()), SweepRun("B", ("--set", "*.weights.num_bits=4")))


@pytest.fixture
def launcher():
    return StagedLauncher()


@pytest.fixture
def window(context, launcher, show, monkeypatch, tmp_path):
    """The main window with a run that was recorded in ``/runs/a``; new runs are recorded in ``tmp_path``."""
    monkeypatch.setenv("QATVIZ_RUNS", str(tmp_path))
    window = show(make_window(context.settings, launcher), 1280, 800)
    staged = StagedRun("mlp")
    window.show_prepared(prepared_of(staged))
    window.model.process(staged.advance(1).drain())
    yield window
    window.close_without_asking()


def opened(window, action, kind):
    window.named[action].trigger()
    (dialog,) = window.findChildren(kind)
    assert dialog.isVisible()
    return dialog


def test_both_actions_need_a_recorded_run(context, launcher, show):
    window = show(make_window(context.settings, launcher), 1280, 800)
    assert not window.named["fork_both"].isEnabled() and not window.named["sweep"].isEnabled()
    window.close_without_asking()


def test_two_settings_are_requested_from_the_chosen_checkpoint(window, launcher, tmp_path):
    dialog = opened(window, "fork_both", ForkBothWindow)
    assert dialog.start.checkpoint.currentData() == "step-00000003", "the newest"
    dialog.builder.tensor.setCurrentIndex(dialog.builder.tensor.findData("*.weights"))
    dialog.builder.setting.setCurrentIndex(dialog.builder.setting.findData("num_bits"))
    assert not dialog.builder.buttons[1].isEnabled()
    dialog.builder.values.setText("4")
    dialog.builder.buttons[1].click()
    dialog.start.seeds.setText("0, 7")
    dialog.start.steps.set_value(250)
    dialog.go.click()
    (request,) = launcher.sweeps
    assert (request.directory, request.checkpoint, request.further) == ("/runs/a", "step-00000003", 250)
    assert request.sides == ((), ("*.weights.num_bits=4",)) and request.seeds == (0, 7)
    assert os.path.dirname(request.out) == str(tmp_path) and not dialog.go.isEnabled()


def test_pending_changes_are_suggested_as_side_b(window):
    window.edits.set_mode("hold")
    window.edits.edit(["dense1.weights"], "num_bits", 3)
    dialog = opened(window, "fork_both", ForkBothWindow)
    assert dialog.sides[1].lines == ("dense1.weights.num_bits=3",)


def test_a_form_that_is_not_valid_is_refused(window, launcher):
    dialog = opened(window, "sweep", VaryWindow)
    dialog.start.seeds.setText("1, x")
    dialog.go.click()
    assert dialog.banner.isVisible() and "expected distinct whole numbers" in dialog.banner.text.text()
    assert launcher.sweeps == []


def test_runs_are_not_recorded_where_no_folder_is_named(window, launcher):
    dialog = opened(window, "sweep", VaryWindow)
    dialog.place.setText(" ")
    dialog.go.click()
    assert launcher.sweeps == [] and "“Folder of the runs” is empty" in dialog.banner.text.text()


def test_a_run_without_checkpoints_says_how_to_save_one(window, launcher, monkeypatch):
    launcher.names = []
    dialog = opened(window, "sweep", VaryWindow)
    assert "save its present state" in dialog.banner.text.text() and not dialog.go.isEnabled()
    launcher.names = ["final"]
    QtTest.QTest.mouseClick(dialog.reload, Qt.LeftButton)
    assert dialog.go.isEnabled() and not dialog.banner.isVisible()
    monkeypatch.setattr(launcher, "checkpoints", lambda directory: (_ for _ in ()).throw(RecordError("moved away")))
    dialog.refresh()
    assert dialog.banner.text.text() == "moved away"


def test_the_present_state_is_saved_and_chosen(window, launcher):
    dialog = opened(window, "fork_both", ForkBothWindow)
    staged = window.model.run
    launcher.names = ["start", "step-00000009"]
    dialog.start.checkpoint.setCurrentIndex(0)
    dialog.start.save.click()
    window.model.process(staged.drain())
    saved = [event for event in staged.sent if isinstance(event, SaveCheckpoint)]
    assert len(saved) == 1
    reason = SaveReason(SaveKind.REQUESTED)
    window.model.process([CheckpointSaved(9, "step-00000009", reason)])
    assert dialog.start.checkpoint.currentData() == "step-00000009"


def test_variations_are_requested_and_a_preset_is_one(window, launcher):
    dialog = opened(window, "sweep", VaryWindow)
    offered = [dialog.builder.tensor.itemText(index) for index in range(dialog.builder.tensor.count())]
    assert offered[0] == "all weights" and offered[-2:] == ["run settings", "preset"]
    dialog.variations.setPlainText("*.weights.num_bits=8,4\n\n")
    dialog.builder.tensor.setCurrentIndex(dialog.builder.tensor.findData("preset"))
    assert not dialog.builder.setting.isEnabled()
    dialog.builder.values.setText("int4,float")
    dialog.builder.buttons[0].click()
    dialog.go.click()
    assert launcher.sweeps[0].variations == ("*.weights.num_bits=8,4", "preset=int4,float")
    assert launcher.sweeps[0].sides is None


def begun(window, launcher, tmp_path):
    """Start a trial, and return its window and its directory, with the records of both sides."""
    dialog = opened(window, "fork_both", ForkBothWindow)
    dialog.sides[1].setPlainText("*.weights.num_bits=4")
    dialog.go.click()
    out = launcher.sweeps[-1].out
    for name in ("A", "B"):
        record_run(os.path.join(out, name), steps=2, ending=False)
    launcher.sweep_begun.emit(Begun(out, RUNS, True))
    return dialog, out


def states(dialog):
    return [dialog.table.item(row, 3).text() for row in range(dialog.table.rowCount())]


def test_the_comparison_opens_when_both_sides_train(window, launcher, tmp_path):
    dialog, out = begun(window, launcher, tmp_path)
    assert states(dialog) == ["waiting", "waiting"] and dialog.table.item(0, 1).text() == "those of the checkpoint"
    for run in RUNS:
        launcher.sweep_reported.emit(out, Report(run, STARTED, 0, 2))
    launcher.sweep_reported.emit(out, Report(RUNS[0], TRAINING, 0, 2, "", 310))
    assert window.findChildren(ComparisonDialog) == [] and dialog.table.item(0, 2).text() == "310"
    launcher.sweep_reported.emit(out, Report(RUNS[1], TRAINING, 0, 2, "", 309))
    launcher.sweep_reported.emit(out, Report(RUNS[1], TRAINING, 0, 2, "", 320))
    (comparison,) = window.findChildren(ComparisonDialog)
    assert comparison.directories == (os.path.join(out, "A"), os.path.join(out, "B"))
    launcher.sweep_reported.emit("/elsewhere", Report(RUNS[1], FAILED, 1, 2))
    assert states(dialog) == ["training", "training"], "another sweep"


def test_the_end_of_the_runs_is_told_with_reasons(window, launcher, tmp_path):
    dialog, out = begun(window, launcher, tmp_path)
    launcher.sweep_reported.emit(out, Report(RUNS[0], FINISHED, 1, 2, "", 400))
    launcher.sweep_reported.emit(out, Report(RUNS[1], FAILED, 2, 2, "the loss is not finite (exit code 1)"))
    launcher.sweep_ended.emit(out, "")
    assert states(dialog) == ["finished", "failed: the loss is not finite (exit code 1)"]
    assert "1 run failed" in dialog.banner.text.text() and dialog.bar.text() == "2 of 2 runs"
    assert dialog.go.isEnabled() and dialog.place.text() != out, "the next trial has a folder of its own"
    dialog.show_list.click()
    (runs,) = window.findChildren(RunsDialog)
    assert launcher.read[-1] == str(tmp_path) and runs.isVisible()
    assert runs.search.text() == "#" + os.path.basename(out)
    runs.show_sweep("/elsewhere/bits")
    assert launcher.read[-1] == "/elsewhere/bits"


def test_messages_of_runs_are_not_shown_as_markup(window, launcher, tmp_path):
    dialog, out = begun(window, launcher, tmp_path)
    message = "<img src='file:///etc/passwd'> is no data set"
    launcher.sweep_reported.emit(out, Report(RUNS[0], FAILED, 1, 2, message))
    state = dialog.table.item(0, 3)
    dialog.table.apply_theme()
    assert not dialog.table.horizontalScrollBar().isVisible(), "the last column fills the rest"
    assert state.text().endswith(message) and "&lt;img" in state.toolTip() and "<img" not in state.toolTip()


def test_a_sweep_is_stopped_and_continued(window, launcher, tmp_path, monkeypatch):
    dialog, out = begun(window, launcher, tmp_path)
    dialog.stop.click()
    assert launcher.stopped_sweeps == [out]
    launcher.sweep_reported.emit(out, Report(RUNS[0], STOPPED, 0, 2))
    launcher.sweep_ended.emit(out, "")
    assert "Stopped after 0 of 2 runs" in dialog.banner.text.text()
    monkeypatch.setattr(QtWidgets.QFileDialog, "getExistingDirectory", lambda *args: out)
    dialog.resume.click()
    assert (launcher.sweeps[-1].out, launcher.sweeps[-1].directory) == (out, "")
    launcher.sweep_ended.emit(out, f"{out}: has no sweep to continue")
    assert dialog.banner.text.text().endswith("has no sweep to continue") and dialog.go.isEnabled()


def test_the_end_of_the_main_window_stops_the_runs(window, launcher, tmp_path):
    _, out = begun(window, launcher, tmp_path)
    window.close_without_asking()
    assert launcher.stopped_sweeps == [out]
