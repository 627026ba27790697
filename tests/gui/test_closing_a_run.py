"""File > Close run: the window returns to its state without a run."""

import gc
import weakref

import pytest
from PyQt5 import QtCore, QtWidgets
from qt_use import draw as draw_panel
from qt_use import press
from staging import StagedRun
from window_stage import draw, prepared_of

from qatviz.metric import MODES
from qatviz.protocol import commands as c
from qatviz.protocol import events

ASKED = {"/runs/a": "can be resumed", "": "will be lost"}


@pytest.fixture
def answers(monkeypatch):
    """The texts of the questions asked, and the answer that is given."""
    asked, given = [], [QtWidgets.QMessageBox.Close]
    monkeypatch.setattr(
        QtWidgets.QMessageBox, "question", lambda _window, _title, text, *_: asked.append(text) or given[0]
    )
    return asked, given


def close_run(window):
    press(window, QtCore.Qt.Key_W, QtCore.Qt.ControlModifier)


def shown_state(window):
    """What the window shows about its run: title, available actions, status, texts of panels."""
    window.statusBar().refresh()
    for panel in window.panels.all():  # also those behind others
        draw_panel(panel)
    return (
        window.windowTitle(),
        {name: (action.isEnabled(), action.toolTip()) for name, action in window.named.items()},
        window.statusBar().state.text(),
        {name: field.text() for name, field in window.statusBar().fields.items()},
        window.statusBar().fields["score"].toolTip(),
        {
            panel.name: [label.text() for label in panel.findChildren(QtWidgets.QLabel) if label.isVisibleTo(panel)]
            for panel in window.panels.all()
        },
        window.banner.isVisible(),
    )


def test_the_window_looks_as_before_its_first_run(open_window, answers):
    window = open_window()
    before = shown_state(window)
    run = StagedRun("lenet")
    window.show_prepared(prepared_of(run))
    run.advance(3)
    run.put(events.Evaluated(3, dict.fromkeys(MODES, 0.9), 10, 0.1), events.RecordFailed(3, "disk full"))
    window.bridge.tick()
    window.edits.set_mode("hold")
    window.edits.edit(["conv1.weights"], "num_bits", 4)
    assert shown_state(window) != before and window.banner.isVisible()
    window.edits.set_mode("live")
    close_run(window)
    window.bridge.tick()
    assert len(answers[0]) == 1
    assert shown_state(window) == before
    assert any(isinstance(command, c.Stop) for command in run.sent)
    window.show_prepared(prepared_of(StagedRun("mlp"), "/runs/b"))
    assert window.windowTitle().startswith("mlp") and window.named["close_run"].isEnabled()


@pytest.mark.parametrize("directory", ASKED)
@pytest.mark.parametrize("state", ["running", "paused", "finished", "recorded"])
@pytest.mark.parametrize("answer", [QtWidgets.QMessageBox.Close, QtWidgets.QMessageBox.Cancel])
@pytest.mark.always("4194304-*")
def test_only_a_run_that_trains_needs_an_answer(open_window, answers, directory, state, answer):
    asked, given = answers
    given[0] = answer
    window, run = open_window(), StagedRun("mlp")
    window.show_prepared(prepared_of(run, directory))
    run.advance(2)
    window.bridge.tick()
    run.state = state
    close_run(window)
    trains = state in ("running", "paused")
    assert [ASKED[directory] in text for text in asked] == [True] * trains
    is_closed = not trains or answer == QtWidgets.QMessageBox.Close
    assert (window.model.run is None, window.prepared is None, window.directory == "") == (
        is_closed,
        is_closed,
        is_closed or not directory,
    )


def test_without_a_run_there_is_nothing_to_close(open_window, answers):
    window = open_window()
    assert not window.named["close_run"].isEnabled()
    close_run(window)
    assert answers[0] == [] and window.isVisible()


def test_an_open_export_dialog_says_that_there_is_no_run(open_window, answers, app):
    window = open_window()
    window.show_prepared(prepared_of(StagedRun("mlp")))
    window.named["export"].trigger()
    dialog = window.exports.dialog
    assert dialog.isVisible() and dialog.start.isEnabled()
    close_run(window)
    app.processEvents()
    assert dialog.isVisible() and not dialog.start.isEnabled() and "run" in dialog.problem.text()


def test_a_closed_run_that_has_ended_is_released(open_window, answers, app):
    """Its history, snapshots and graph can take a GB."""
    window, run = open_window(), StagedRun("mlp")
    window.show_prepared(prepared_of(run))
    run.advance(2)
    run.end(events.Finished(2))
    window.bridge.tick()
    draw(window, app)
    close_run(window)
    window.bridge.tick()
    draw(window, app)
    known = weakref.ref(run)
    del run
    gc.collect()
    assert known() is None


def test_closing_the_window_waits_for_a_closed_run(open_window, answers, monkeypatch):
    window, run, waited = open_window(), StagedRun("mlp"), []
    window.show_prepared(prepared_of(run))
    run.advance(2)
    window.bridge.tick()
    monkeypatch.setattr(StagedRun, "wait", lambda run, timeout_s=None: bool(waited.append(run)))
    close_run(window)
    del waited[:]
    window.end_runs(7.0)
    assert waited == [run]
