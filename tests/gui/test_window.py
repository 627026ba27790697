"""The window around the panels: actions, keys, messages, docks, remembered settings, opened files."""

import os
from fnmatch import fnmatch

import pytest
from PyQt5 import QtCore, QtGui, QtTest, QtWidgets
from qt_use import focus, press
from staging import StagedRun
from window_stage import draw, file_dialog, prepared_of

from qatviz.app.launching import PREPARING, READING, AppLauncher
from qatviz.gui.window.status import time_left_text
from qatviz.metric import MODES
from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.protocol.reasons import NonFiniteValue, RecordPart
from qatviz.session.prepared import Notice
from qatviz.session.request import ForkRequest, NewRunRequest, OpenRequest, ResumeRequest


def test_actions_on_a_run_are_disabled_without_a_run(window, app):
    draw(window, app)
    for name in ("pause", "step", "stop", "evaluate", "checkpoint", "resume", "fork", "undo", "redo", "apply"):
        assert not window.named[name].isEnabled(), name
    assert window.named["new_run"].isEnabled() and "no run" in window.statusBar().state.text()
    assert not any(field.text() for field in window.statusBar().fields.values()), "there is nothing to count"


def test_title_and_status_show_the_run(staged_window, app):
    window, _run, advance = staged_window
    window.statusBar().refresh()
    fields = {name: label.text() for name, label in window.statusBar().fields.items()}
    assert window.windowTitle() == "lenet on digits – qatviz"
    assert "training" in window.statusBar().state.text()
    assert fields["step"] == "step 3" and "steps/s" in fields["speed"] and fields["loss"].startswith("loss 2.")
    assert fields["progress"] == fields["left"] == fields["score"] == ""
    assert "Epoch 0.0" in window.statusBar().fields["speed"].toolTip()
    window.edits.edit(["conv1.weights"], "num_bits", 4)
    window.edits.apply()
    advance()
    window.statusBar().refresh()
    assert "took effect at step 3." in window.statusBar().fields["speed"].toolTip()


def test_the_status_bar_shows_quality_progress_and_time_left(staged_window):
    window, run, advance = staged_window
    window.model.total_steps = 200
    run.evaluate()
    advance(97)
    bar = window.statusBar()
    bar.refresh()
    fields = {name: label.text() for name, label in bar.fields.items()}
    assert fields["score"] == "quantized 96.0 % · float 98.0 %"
    assert fields["step"] == "step 100 of 200" and fields["progress"] == "50 %"
    assert fields["left"] == "2 s left" and fields["speed"] == "100 steps/s", "1 s of steps, 0.05 s of evaluations"
    tip = bar.fields["speed"].toolTip()
    assert "repainted" in tip and "0 step records and histograms dropped" in tip
    assert "weights only 97.0 %" in bar.fields["score"].toolTip() and "1,000 held-out" in bar.fields["score"].toolTip()
    window.model.total_steps = None
    bar.refresh()
    assert bar.fields["left"].text() == bar.fields["progress"].text() == ""


def test_the_status_bar_says_how_much_of_the_time_evaluations_take(staged_window):
    window, run, advance = staged_window
    bar = window.statusBar()
    window.model.total_steps = 1100
    advance(97)
    bar.refresh()
    assert "valuations every" not in bar.fields["speed"].toolTip() and bar.fields["left"].text() == "10 s left"
    run.report(events.Evaluated(100, dict.fromkeys(MODES, 0.5), 10000, 0.3, "accuracy"), run.point)
    run.book, _ = run.book.change([("run.evaluation_interval", 10)])
    window.model.book = run.book
    advance()
    bar.refresh()
    for field in ("score", "left", "speed"):
        assert (
            "Evaluations every 10 steps take 75.0 % of the time: training waits for them."
            in bar.fields[field].toolTip()
        )
    assert bar.fields["left"].text() == "40 s left", "1,000 steps in 10 s, and 100 evaluations in 30 s"


@pytest.mark.parametrize(
    "seconds, text",
    [(0.2, "1 s left"), (59.5, "1 min 00 s left"), (200, "3 min 20 s left"), (7500, "2 h 05 min left")],
)
def test_time_left_has_two_units_at_most(seconds, text):
    assert time_left_text(seconds) == text


@pytest.mark.parametrize("points, width", [(10, 900), (10, 1280), (15, 1280), (20, 900)])
def test_the_fields_of_the_status_bar_never_overlap(staged_window, app, points, width):
    window, _run, _advance = staged_window
    window.theme.set_font_points(points)
    window.resize(width, 600)
    app.processEvents()
    bar = window.statusBar()
    shown = [label for label in [bar.state, *bar.fields.values()] if label.isVisible()]
    assert bar.fields["speed"].isVisible()
    edges = [(label.x(), label.x() + label.width()) for label in shown]
    assert all(end <= begin for (_, end), (begin, _) in zip(edges, edges[1:])) and edges[-1][1] <= width


@pytest.mark.parametrize(
    "name, command",
    [
        ("step", c.SingleStep()),
        ("step_10", c.SingleStep(10)),
        ("evaluate", c.Evaluate()),
        ("checkpoint", c.SaveCheckpoint()),
        ("go_back", c.Undo()),
        ("go_forward", c.Redo()),
        ("pause", c.Pause()),
    ],
)
def test_actions_send_commands(staged_window, name, command):
    window, run, _ = staged_window
    window.named[name].trigger()
    assert run.sent[-1] == command


def test_space_pauses_and_continues_and_the_button_follows(staged_window):
    window, run, advance = staged_window
    window.setFocus()
    press(window, QtCore.Qt.Key_Space)
    assert run.sent == [c.Pause()] or c.Pause() in run.sent
    advance()
    assert window.named["pause"].iconText() == "Continue"
    press(window, QtCore.Qt.Key_Space)
    assert run.sent[-1] == c.Resume()
    advance()
    assert window.named["pause"].iconText() == "Pause"


def test_keys_change_the_bits_of_the_selection_and_move_it(staged_window):
    window, run, advance = staged_window
    window.setFocus()
    press(window, QtCore.Qt.Key_Minus)
    window.edits.apply()
    advance()
    assert run.book.of("conv1.weights").num_bits == 7
    press(window, QtCore.Qt.Key_N)
    assert window.model.current == "conv1.activations"
    press(window, QtCore.Qt.Key_P)
    assert window.model.current == "conv1.weights"


def test_undo_and_redo_describe_their_effect(staged_window):
    window, run, advance = staged_window
    window.edits.edit(["conv1.weights"], "num_bits", 4)
    window.edits.apply()
    advance()
    assert "conv1.weights.num_bits 8 → 4" in window.named["undo"].toolTip()
    press(window, QtCore.Qt.Key_Z, QtCore.Qt.ControlModifier)
    advance()
    assert run.book.of("conv1.weights").num_bits == 8 and window.named["redo"].isEnabled()


def test_a_failure_is_shown_with_its_traceback_and_the_window_stays(staged_window, monkeypatch, app):
    window, run, advance = staged_window
    shown = []
    monkeypatch.setattr(window.banner, "_show_details", lambda *message: shown.append(message))
    run.end(events.Failed(3, "ValueError: no such thing", "Traceback (most recent call last): here"))
    advance(0)
    assert window.banner.isVisible() and "ValueError: no such thing" in window.banner.text.text()
    window.banner._more.click()
    assert "Traceback" in shown[0][1]
    window.banner._do.click()
    assert window.launcher.begun == [(ResumeRequest(directory="/runs/a"), False)]
    assert not window.named["pause"].isEnabled()
    draw(window, app)


def test_a_non_finite_step_is_reported_with_advice(staged_window):
    window, run, advance = staged_window
    run.put(events.NonFinite(3, NonFiniteValue.LOSS, 0))
    advance(0)
    assert "rewound to step 0" in window.banner.text.text() and window.banner.isVisible()


def test_a_failure_of_the_record_says_what_is_lost_and_what_to_do(staged_window):
    window, run, advance = staged_window

    def shown_after(part):
        run.put(events.RecordFailed(3, "/runs/a: disk full", part))
        advance(0)
        return window.banner.text.text()

    checkpoint = shown_after(RecordPart.CHECKPOINT)
    assert "/runs/a: disk full" in checkpoint and "Training continues" in checkpoint
    record = shown_after(RecordPart.RECORD)
    assert "no longer recorded: /runs/a: disk full" in record and "resume it" in record
    assert shown_after(RecordPart.CHECKPOINT) == record  # the graver message stays
    assert "curves" in shown_after(RecordPart.TELEMETRY)


def test_a_finished_run_can_be_trained_longer(staged_window):
    window, run, advance = staged_window
    run.end(events.Finished(3))
    advance(0)
    window.banner._do.click()
    assert window.launcher.begun == [(ResumeRequest(directory="/runs/a", steps=2003), False)]
    assert window.named["resume"].isEnabled()


def test_a_rejected_command_is_reported(staged_window):
    window, _run, advance = staged_window
    window.edits.edit(["conv1.weights"], "num_bits", 99)
    window.edits.apply()
    advance()
    assert "99" in window.banner.text.text()


def test_opening_another_run_stops_the_previous_one(staged_window, app):
    window, run, _ = staged_window
    other = StagedRun("mlp")
    window.launcher.prepared.emit(prepared_of(other, "/runs/b"), False)
    draw(window, app)
    assert run.sent[-1] == c.Stop() and window.windowTitle().startswith("mlp")
    other.advance(2)
    window.bridge.tick()
    draw(window, app)
    assert window.recent.paths() == ["/runs/b", "/runs/a"]


def test_a_fork_opens_its_own_window(staged_window, monkeypatch, tmp_path):
    monkeypatch.setenv("QATVIZ_RUNS", str(tmp_path))
    window, _, _ = staged_window
    monkeypatch.setattr(QtWidgets.QInputDialog, "getItem", lambda *_, **__: ("step-00000003", True))
    window.named["fork"].trigger()
    ((request, in_new_window),) = window.launcher.begun
    assert request == ForkRequest(directory="/runs/a", checkpoint="step-00000003", out=request.out) and in_new_window
    assert os.path.dirname(request.out) == str(tmp_path) and request.out.endswith("-lenet")
    wanted = []
    window.window_wanted.connect(wanted.append)
    prepared = prepared_of(StagedRun())
    window.launcher.prepared.emit(prepared, True)
    assert wanted == [prepared] and window.model.run is not prepared.run


def test_files_dropped_on_the_window_are_opened_by_kind(staged_window, monkeypatch, app):
    window, _, _ = staged_window
    window.launcher.kinds = {"/data/x.npz": "data", "/runs/c": "run", "/m/mine.h5": "model"}
    proposed = []
    monkeypatch.setattr(window.handlers, "new_run", lambda data="", model="": proposed.append((data, model)))
    for path in ("/data/x.npz", "/runs/c", "/m/mine.h5", "/tmp/song.mp3"):
        mime = QtCore.QMimeData()
        mime.setUrls([QtCore.QUrl.fromLocalFile(path)])
        place, action = QtCore.QPoint(5, 5), QtCore.Qt.CopyAction
        enter = QtGui.QDragEnterEvent(place, action, mime, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier)
        window.dragEnterEvent(enter)
        assert enter.isAccepted()
        window.dropEvent(
            QtGui.QDropEvent(QtCore.QPointF(place), action, mime, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier)
        )
    assert proposed == [("/data/x.npz", ""), ("", "/m/mine.h5")] and window.launcher.begun == [
        (OpenRequest("/runs/c"), False)
    ]
    assert "/tmp/song.mp3: neither a run nor a data set" in window.banner.text.text()


def test_panels_show_the_work_in_the_background(window, app):
    window.show()
    window.launcher.busy.emit("Preparing the run…")
    window.frames.draw_all()
    for name in ("quantization", "histograms", "tensor", "evolution"):
        texts = [label.text() for label in window.panels[name].findChildren(QtWidgets.QLabel) if label.isVisible()]
        assert "Preparing the run…" in texts, name
    assert window.statusBar().busy.text() == "Preparing the run…"
    window.launcher.busy.emit("")
    window.frames.draw_all()
    texts = [label.text() for label in window.findChildren(QtWidgets.QLabel) if label.isVisible()]
    assert "Preparing the run…" not in texts and window.statusBar().busy.text() == ""


def test_the_launcher_reports_progress_and_failures(app):
    launcher, said, failed = AppLauncher(), [], []
    launcher.busy.connect(said.append)
    launcher.failed.connect(lambda *what: failed.append(what))
    launcher.begin(NewRunRequest(network="no_such_network"))
    launcher.begin(OpenRequest("/no/such/directory"))
    launcher.wait()
    app.processEvents()
    assert said[:2] == [PREPARING, READING] and said[-1] == "" and len(said) == 4 and len(failed) == 2


def test_an_invalid_stored_layout_is_ignored(open_window, settings):
    settings.setValue("window/state", QtCore.QByteArray(b"nonsense"))
    window = open_window()
    assert window.docks.docks["histograms"].isVisible()


@pytest.mark.parametrize("answer, closed", [(QtWidgets.QMessageBox.Close, True), (QtWidgets.QMessageBox.Cancel, False)])
def test_closing_asks_only_if_something_would_be_lost(open_window, monkeypatch, app, answer, closed):
    asked = []
    monkeypatch.setattr(QtWidgets.QMessageBox, "question", lambda *_: asked.append(1) or answer)
    recorded, unrecorded = open_window(), open_window()
    for window, directory in ((recorded, "/runs/a"), (unrecorded, "")):
        run = StagedRun("mlp")
        window.show_prepared(prepared_of(run, directory))
        run.advance(2)
        window.bridge.tick()
    recorded.close()
    assert not asked and not recorded.isVisible()
    unrecorded.close()
    assert asked and unrecorded.isVisible() is not closed


def test_closing_stops_the_shown_run_and_waits_for_those_before_it_too(open_window, monkeypatch):
    window, waits = open_window(), []
    runs = [StagedRun("mlp") for _ in range(3)]
    for run, state in zip(runs, ("stopped", "running", "running")):
        window.show_prepared(prepared_of(run))
        run.advance(2)
        window.bridge.tick()
        run.state = state
    monkeypatch.setattr(StagedRun, "wait", lambda run, timeout_s: waits.append((run, timeout_s)))
    window.end_runs(7.0)
    assert [run for run, _ in waits] == runs[1:] and all(0 < timeout_s <= 7.0 for _, timeout_s in waits)
    assert all(any(isinstance(command, c.Stop) for command in run.sent) for run in runs[1:])


def test_theme_and_text_size_are_remembered(staged_window, settings, app):
    window, _, _ = staged_window
    window.handlers.use_theme("light")
    draw(window, app)
    assert window.palette().color(QtGui.QPalette.Window).lightness() > 128
    before = window.font().pointSize()
    window.named["larger"].trigger()
    draw(window, app)
    assert settings.value("window/theme") == "light" and int(settings.value("window/font_points")) == before + 1
    window.named["normal_size"].trigger()
    assert int(settings.value("window/font_points")) == 0


def test_the_window_is_saved_as_a_picture_and_the_table_as_csv(staged_window, tmp_path, app):
    window, _, _ = staged_window
    draw(window, app)
    for action, name in (("save_picture", "w.png"), ("save_table", "t.csv")):
        window.named[action].trigger()
        dialog = file_dialog(app)
        dialog.selectFile(str(tmp_path / name))
        dialog.accept()
    image = QtGui.QImage(str(tmp_path / "w.png"))
    assert (image.width(), image.height()) == (window.width(), window.height())
    rows = (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + len(window.model.tensors) and "conv1.weights" in rows[2]


def test_a_failed_save_is_reported_with_the_reason_and_asked_again(staged_window, monkeypatch, tmp_path, app):
    window, _, _ = staged_window
    window.named["save_picture"].trigger()
    dialog = file_dialog(app)
    dialog.selectFile(str(tmp_path / "w.png"))
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    dialog.accept()
    monkeypatch.undo()
    (box,) = [w for w in app.topLevelWidgets() if isinstance(w, QtWidgets.QMessageBox) and w.isVisible()]
    assert str(tmp_path / "w.png") in box.text() and "No space left" in box.text()
    again = file_dialog(app)
    assert box.parentWidget() is again, "of two dialogs of one window, only one gets the keys"
    box.accept()
    assert again.selectedFiles() == [str(tmp_path / "w.png")]
    again.accept()
    assert (tmp_path / "w.png").exists() and window.banner.level == "good"


@pytest.mark.parametrize(
    "name",
    ["digits.npz", "train-images-idx3-ubyte", "train-images-idx3-ubyte.gz", "cifar-10-python.tar.gz"],
)
def test_the_file_dialog_for_data_lists_every_format(window, monkeypatch, name):
    asked = []
    monkeypatch.setattr(QtWidgets.QFileDialog, "getOpenFileName", lambda *a: asked.append(a[3]) or ("", ""))
    window.named["open_data"].trigger()
    patterns = asked[0].partition("(")[2].partition(")")[0].split()
    assert any(fnmatch(name, pattern) for pattern in patterns)


@pytest.mark.parametrize("state, word", [("stopped", "stopped"), ("finished", "done"), ("recorded", "recorded")])
def test_all_controls_of_an_ended_run_have_the_same_disabled_reason(staged_window, app, state, word):
    window, run, advance = staged_window
    assert window.model.unavailable_text() == ""
    run.end(events.Stopped(3))
    run.state = state
    advance(0)
    draw(window, app)
    reason = window.model.unavailable_text()
    assert word in reason and "Resume this run" in reason
    for name in ("pause", "step", "checkpoint", "go_back"):
        assert not window.named[name].isEnabled() and reason in window.named[name].toolTip()
    window.docks.open("run_settings")
    draw(window, app)
    rate = window.panels["run_settings"].controls["learning_rate"]
    assert reason in rate.toolTip() + "".join(w.toolTip() for w in rate.findChildren(QtWidgets.QWidget))


def test_all_tiles_change_at_once_with_the_theme(staged_window, app):
    window, _, _ = staged_window
    draw(window, app)
    canvas = window.panels["histograms"].canvas
    before = canvas.viewport().grab().toImage()
    window.handlers.use_theme("light")
    after = canvas.viewport().grab().toImage()  # the next paint event: no frame has been drawn in between
    for name in canvas.visible_names():
        corner = canvas.rect_of(name).topLeft() + QtCore.QPoint(4, 4)
        assert before.pixelColor(corner).lightness() < 128 < after.pixelColor(corner).lightness(), name


def status_tip(window):
    """Return the tooltip of the state as text."""
    bar = window.statusBar()
    bar.refresh()
    document = QtGui.QTextDocument()
    document.setHtml(bar.state.toolTip())
    return document.toPlainText()


def test_warnings_and_notes_of_a_prepared_run_are_shown(open_window):
    window, run = open_window(), StagedRun("mlp")
    notices = (
        Notice("checkpoint auto-3: damaged; the previous one is used", True),
        Notice("renamed: 'a b' to 'a_b'"),
    )
    window.launcher.prepared.emit(prepared_of(run)._replace(notices=notices), False)
    assert window.banner.isVisible() and window.banner.level == "warning"
    assert window.banner.text.text() == notices[0].text + " (and 1 more)"
    assert all(notice.text in window.banner.details for notice in notices)
    window.banner.dismiss()
    tip = status_tip(window)
    assert tip.index("warning: checkpoint auto-3") < tip.index("note: renamed: 'a b' to 'a_b'"), "they stay readable"
    window.launcher.prepared.emit(prepared_of(StagedRun("mlp"))._replace(notices=notices[1:]), False)
    assert window.banner.isVisible() and window.banner.level == "muted"
    assert window.banner.text.text() == notices[1].text and not window.banner.details
    window.launcher.prepared.emit(prepared_of(StagedRun("mlp")), False)
    assert not window.banner.isVisible() and status_tip(window) == "State of the run."


def test_ctrl_z_in_a_box_after_commit_undoes_the_setting(staged_window, app):
    window, run, advance = staged_window
    box = (
        window.panels["quantization"]
        .sections["weights"]
        .controls["num_bits"]
        .editor.findChild(QtWidgets.QAbstractSpinBox)
    )
    focus(box)
    box.selectAll()
    QtTest.QTest.keyClicks(box, "3")
    QtTest.QTest.keyClick(box, QtCore.Qt.Key_Return)
    window.edits.apply()
    advance()
    assert run.book.of("conv1.weights").num_bits == 3
    press(box, QtCore.Qt.Key_Z, QtCore.Qt.ControlModifier)
    advance()
    assert run.book.of("conv1.weights").num_bits == 8


def test_the_effect_of_a_change_is_drawn_without_delay(staged_window, monkeypatch):
    window, run, _ = staged_window
    touched = []
    monkeypatch.setattr(window.frames, "touch", lambda first=(): touched.append(run.step))
    run.advance()
    window.bridge.tick()
    assert touched == []
    run.send(c.ChangeSettings((("conv1.weights.num_bits", 3),)))
    run.advance(snapshot=False)
    window.bridge.tick()
    del touched[:]
    run.advance()
    window.bridge.tick()
    assert touched == [run.step]
    run.advance()
    window.bridge.tick()
    assert touched == [run.step - 1]


def test_only_visible_panels_are_due(staged_window, app):
    window = staged_window[0]
    for panel in window.panels.all():
        window.docks.open(panel.name)
        app.processEvents()
        panel.mark_due()
        assert panel.is_due(), panel.name
    tabs = window.tabifiedDockWidgets(window.docks.docks["run_settings"])
    assert tabs
    for dock in tabs:
        panel = next(panel for panel in window.panels.all() if dock.isAncestorOf(panel))
        panel.mark_due()
        assert not panel.is_due(), panel.name
