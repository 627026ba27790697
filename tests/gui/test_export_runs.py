"""Exports as processes: kept checkpoints, progress, cancelling, failures, and a window closed meanwhile."""

import json
import os
from dataclasses import replace

import pytest
from export_stage import DEAF_WAITS, RECORD, STUBBORN, WAITS, ExportLauncher, succeeds
from PyQt5 import QtCore, QtTest
from staging import StagedRun
from window_stage import prepared_of

from qatviz.app.export_there import ExportThread
from qatviz.errors import ExportError
from qatviz.gui.model.exporting import ExportCommand, Exporter
from qatviz.gui.widgets.theme import DARK, Theme
from qatviz.gui.window.main_window import MainWindow
from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.protocol.commands import SaveCheckpoint
from qatviz.protocol.reasons import RecordPart, SaveKind, SaveReason
from qatviz.session.record_requests import ExportRequest

NOW = ExportRequest("/runs/a", format="wide", out="/runs/a/x.wide")
THEN = replace(NOW, checkpoint="step-00000003")
CLOSING_S = 3.0


@pytest.fixture
def run(staged):
    return staged("mlp")


@pytest.fixture
def exporter(context, run):
    launcher = ExportLauncher()
    made = Exporter(context.model, launcher.export_command)
    made.launcher = launcher
    yield made
    made.close()


def run_export(qtbot, exporter, wanted=THEN):
    """Start an export, wait for its end, and return the result."""
    exporter.begin(wanted)
    return qtbot.emitted(exporter.ended)[0]


def wait_for_progress(qtbot, exporter, what):
    """Wait until the exporter reports the stage ``what``."""
    while exporter.what != what:
        qtbot.emitted(exporter.progressed)


# The checkpoint of the present state


@pytest.mark.parametrize("saved_first", [False, True])
def test_the_export_starts_once_the_present_state_is_saved(exporter, context, saved_first, qtbot):
    exporter.begin(NOW)
    command_id = f"staged-{len(context.model.run.sent)}"
    news = [
        events.CommandApplied(5, command_id, SaveCheckpoint(), (), "step-00000005"),
        events.CheckpointSaved(5, "step-00000005", SaveReason(SaveKind.REQUESTED)),
    ]
    first, second = news[::-1] if saved_first else news
    context.model.process([events.CheckpointSaved(4, "auto-00000004", SaveReason(SaveKind.AUTOMATIC)), first])
    assert exporter.is_busy and not exporter.launcher.wanted
    context.model.process([second])
    assert exporter.launcher.wanted == [replace(NOW, checkpoint="step-00000005")]
    ended = qtbot.emitted(exporter.ended)[0]
    assert ended.record == RECORD and ended.request.checkpoint == "step-00000005" and not exporter.is_busy


@pytest.mark.parametrize(
    "event, message",
    [
        (events.CommandRejected(3, "staged-1", SaveCheckpoint(), "the run has ended"), "the run has ended"),
        (events.RecordFailed(3, "the disk is full", RecordPart.CHECKPOINT), "the disk is full"),
        (events.Stopped(3), "the run has ended"),
    ],
)
def test_a_failed_checkpoint_is_reported(exporter, context, event, message):
    ended = QtTest.QSignalSpy(exporter.ended)
    exporter.begin(NOW)
    context.model.process([event])
    assert len(ended) == 1 and message in ended[0][0].message and not exporter.is_busy and not exporter.launcher.wanted


@pytest.mark.parametrize("part", [RecordPart.RECORD, RecordPart.TELEMETRY])
def test_an_export_waits_for_its_checkpoint_although_the_record_has_failed(exporter, context, part):
    exporter.begin(NOW)
    context.model.process([events.RecordFailed(3, "the disk is full", part)])
    assert exporter.is_busy


def test_opening_another_run_fails_a_waiting_export(exporter, context):
    ended = QtTest.QSignalSpy(exporter.ended)
    exporter.begin(NOW)
    other = StagedRun("mlp")
    context.model.set_run(other, other.network, other.book, "other")
    assert "another run" in ended[0][0].message


def test_a_run_that_has_ended_is_not_asked_for_a_checkpoint(exporter, run):
    run.end(events.Finished(run.step))
    ended = QtTest.QSignalSpy(exporter.ended)
    exporter.begin(NOW)
    assert "the run has ended" in ended[0][0].message and not exporter.is_busy


# How it ends


def failing(kind, message, details=""):
    """A program that reports an error as :mod:`qatviz.cli.followed` does."""
    error = {"kind": kind, "message": message, "field": "", "details": details}
    return f"import json, sys; print(json.dumps({{'error': {error!r}}})); sys.exit('qatviz: error: ' + {message!r})"


def test_split_lines_and_lines_after_the_end_are_read(exporter, qtbot):
    exporter.launcher.program = (
        "import json, os\nline = json.dumps(dict(progress=0.5, what='halves')).encode()\n"
        f"os.write(1, line[:9])\nresult = json.dumps({{'result': {RECORD!r}}}).encode()\n"
        "os.write(1, line[9:] + b'\\n' + result + b'\\n')"
    )
    progressed = QtTest.QSignalSpy(exporter.progressed)
    assert run_export(qtbot, exporter).record == RECORD and ["halves", 0.5] in [list(seen) for seen in progressed]


@pytest.mark.parametrize(
    "program, message, details",
    [
        (failing("ExportError", "conv1: 9 bits"), "conv1: 9 bits", ""),
        (failing("ValueError", "ValueError: a bug", "Traceback ..."), "ValueError: a bug", "Traceback"),
        ("import sys; sys.stderr.write('noise\\n'); raise ValueError('a bug')", "ValueError: a bug", "Traceback"),
        ("raise SystemExit(7)", "ended with code 7", ""),
        ("import os; os.kill(os.getpid(), 9)", "crashed", ""),
    ],
)
def test_a_failed_process_is_reported(exporter, program, message, details, qtbot):
    exporter.launcher.program = program
    ended = run_export(qtbot, exporter)
    assert ended.record is None and message in ended.message and details in ended.details


def test_a_program_that_cannot_be_started_is_reported(exporter, qtbot):
    exporter._command_of = lambda wanted: ExportCommand("/nowhere/python", [])
    assert "could not be started" in run_export(qtbot, exporter).message


def test_a_refusal_before_the_start_is_reported(exporter):
    exporter.launcher.refusal = "there is no such checkpoint"
    spy = QtTest.QSignalSpy(exporter.ended)
    exporter.begin(THEN)
    assert spy[0][0].message == "there is no such checkpoint"


def test_the_environment_is_passed_on(exporter, qtbot):
    exporter.launcher.program = (
        "import json, os; seen = dict(seen=os.environ['QATVIZ_TEST'], path=os.environ['PATH'])\n"
        "print(json.dumps({'result': seen}))"
    )
    assert run_export(qtbot, exporter).record == {"seen": "1", "path": os.environ["PATH"]}


# Cancelling


def test_cancelling_before_the_checkpoint_is_saved_starts_nothing(exporter, context, run):
    exporter.begin(NOW)
    spy = QtTest.QSignalSpy(exporter.ended)
    exporter.cancel()
    assert spy[0][0] == (NOW, None, "", "")
    run.advance()
    context.model.process(run.drain())
    assert not exporter.launcher.wanted and not exporter.is_busy


def test_cancelling_ends_the_process_without_a_failure(exporter, qtbot):
    exporter.launcher.program = WAITS
    exporter.begin(THEN)
    wait_for_progress(qtbot, exporter, "computing the integer model")
    exporter.cancel()
    exporter.cancel()
    ended = qtbot.emitted(exporter.ended)[0]
    assert (ended.record, ended.message) == (None, "") and not exporter._kill_timer.isActive()


def test_a_process_that_ignores_cancelling_is_killed(exporter, qtbot):
    exporter.launcher.program = STUBBORN
    exporter._kill_timer.setInterval(50)
    exporter.begin(THEN)
    wait_for_progress(qtbot, exporter, "computing the integer model")
    exporter.cancel()
    assert qtbot.emitted(exporter.ended)[0].message == ""


def test_files_written_before_cancelling_are_reported(exporter, qtbot):
    written = "print(json.dumps({'result': {'files': ['x']}})); sys.exit("
    exporter.launcher.program = DEAF_WAITS.replace("sys.exit(", written)
    exporter.begin(THEN)
    wait_for_progress(qtbot, exporter, "computing the integer model")
    exporter.cancel()
    assert qtbot.emitted(exporter.ended)[0].record == {"files": ["x"]}


# In the window


@pytest.fixture
def window(app, tmp_path):
    theme = Theme(DARK)
    theme.apply()
    made = MainWindow(theme, QtCore.QSettings(str(tmp_path / "w.ini"), QtCore.QSettings.IniFormat), ExportLauncher())
    made.show()
    run = StagedRun("mlp")
    made.show_prepared(prepared_of(run, str(tmp_path)))
    run.advance(3)
    made.bridge.tick()
    yield made
    made.close()
    made.deleteLater()
    app.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)
    app.processEvents()


def start_export(qtbot, window, program):
    """Click through the dialog until the process runs."""
    window.launcher.program = program
    window.named["export"].trigger()
    dialog = window.exports.dialog
    dialog.start.click()
    assert window.model.run.sent[-1] == c.SaveCheckpoint()
    window.model.run.advance()
    window.bridge.tick()
    wait_for_progress(qtbot, dialog.exporter, "computing the integer model")
    return dialog


def test_export_is_enabled_once_there_is_a_run(window, monkeypatch):
    assert window.named["export"].isEnabled() and not window.named["export"].icon().isNull()
    with monkeypatch.context() as patch:
        patch.setattr(window, "prepared", None)
        window._on_state()
        assert not window.named["export"].isEnabled()


def test_the_dialog_can_be_closed_during_the_export(window, app, qtbot):
    dialog = start_export(
        qtbot, window, WAITS.replace("sys.exit(", f"print(json.dumps({{'result': {RECORD!r}}})); sys.exit(")
    )
    assert not dialog.isModal()
    dialog.shut.click()
    assert not dialog.isVisible()
    assert window.exports.status.text() == "exporting 25 %" and window.exports.status.isVisible()
    window.exports.status.click()
    assert dialog.isVisible() and dialog.cancel.isVisible()
    dialog.close()
    dialog.exporter._process.closeWriteChannel()
    qtbot.emitted(dialog.exporter.ended)
    assert not window.exports.status.isVisible() and "Exported to" in window.banner.text.text()
    window.banner._do.click()
    assert dialog.isVisible() and dialog.result.isVisible()
    dialog.close()
    window.named["export"].trigger()
    assert dialog.form.isVisible()


def test_a_failure_is_reported_in_the_banner_if_the_dialog_is_closed(window, qtbot):
    dialog = start_export(qtbot, window, WAITS.replace("cancelled", "the disk is full"))
    dialog.close()
    dialog.exporter._process.closeWriteChannel()
    qtbot.emitted(dialog.exporter.ended)
    assert "The export failed: the disk is full" in window.banner.text.text() and window.banner.level == "bad"


def test_cancelling_in_the_dialog_returns_to_the_form(window, qtbot):
    dialog = start_export(qtbot, window, WAITS)
    dialog.cancel.click()
    qtbot.emitted(dialog.exporter.ended)
    assert dialog.form.isVisible() and dialog.form.isEnabled() and not dialog.cancel.isVisible()
    assert not window.banner.isVisible()


@pytest.mark.parametrize("program", [WAITS, STUBBORN], ids=["listens", "deaf"])
def test_closing_the_window_ends_the_export_in_time(window, program, qtbot, monkeypatch):
    dialog = start_export(qtbot, window, program)
    process, waits_ms = dialog.exporter._process, []
    wait = process.waitForFinished

    def recorded_wait(timeout_ms):
        waits_ms.append(timeout_ms)
        return wait(timeout_ms)

    monkeypatch.setattr(process, "waitForFinished", recorded_wait)
    window.close()
    assert not dialog.isVisible() and sum(waits_ms) <= 1000 * CLOSING_S
    qtbot.waitUntil(lambda: process.state() == QtCore.QProcess.NotRunning)  # a kill takes as long as the system does


def test_opening_another_run_resets_the_form_and_continues_the_export(window, tmp_path, qtbot):
    dialog = start_export(qtbot, window, WAITS)
    window.show_prepared(prepared_of(StagedRun("lenet"), str(tmp_path / "other")))
    assert dialog.exporter.is_busy
    assert dialog.form.path.path() == str(tmp_path / "other" / "exports" / "lenet-wide.wide")


def test_an_export_with_faults_is_not_reported_as_good(window, qtbot):
    program = succeeds(dict(RECORD, faults=["layer 'x': wrong"])).replace("at('writing', 0.98)", "os.read(0, 1)")
    dialog = start_export(qtbot, window, program)
    dialog.close()
    dialog.exporter._process.closeWriteChannel()
    qtbot.emitted(dialog.exporter.ended)
    assert window.banner.level == "bad" and "not as expected" in window.banner.text.text()


def error_there(error):
    """Return the error that an export on another machine reports if its work raises ``error``."""

    def work(progress):
        raise error

    thread = ExportThread(work)
    thread.start()
    assert thread.waitForFinished(60_000)
    return json.loads(thread.readAllStandardOutput().decode("utf-8"))["error"]


def test_only_an_error_in_the_program_there_has_its_traceback_as_details(qapp):
    assert error_there(ExportError("refused")) == {
        "kind": "ExportError",
        "message": "refused",
        "field": "",
        "details": "",
    }
    found = error_there(ZeroDivisionError("division by zero"))
    assert found["message"] == "ZeroDivisionError: division by zero" and "in work" in found["details"]
