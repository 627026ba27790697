"""Tests of the window run offscreen unless a display is asked for, with the errors of Qt's callbacks as failures."""

import os
import sys

if not os.environ.get("QT_QPA_PLATFORM"):  # empty is as good as unset
    os.environ["QT_QPA_PLATFORM"] = "offscreen"

import pytest
from PyQt5 import QtCore, QtTest, QtWidgets
from staging import StagedRun

from qatviz.gui.model.context import Context
from qatviz.gui.model.edits import Edits
from qatviz.gui.model.run_model import RunModel
from qatviz.gui.widgets.theme import DARK, Theme


@pytest.fixture(scope="session")
def app():
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication(["qatviz-tests"])


@pytest.fixture(autouse=True)
def no_error_in_a_callback(monkeypatch):
    """PyQt5 ends the process where a slot raises: collect instead, and fail the test."""
    errors = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: errors.append(error))
    yield
    if errors:
        raise errors[0][1].with_traceback(errors[0][2])


@pytest.fixture(autouse=True)
def no_button_held(app):
    """QTest remembers the button of a double click as held: the next test's mouse would drag."""
    QtTest.QTest.mouseRelease(QtWidgets.QWidget(), QtCore.Qt.LeftButton)


@pytest.fixture
def context(app, tmp_path):
    """A model, its edits, a dark theme and settings of this test's own."""
    theme = Theme(DARK)
    theme.apply()
    model = RunModel()
    settings = QtCore.QSettings(str(tmp_path / "settings.ini"), QtCore.QSettings.IniFormat)
    return Context(model, Edits(model), theme, settings)


@pytest.fixture
def staged(context):
    """Show a staged run: ``staged(network)`` returns it after a few steps and a snapshot."""

    def begin(network="lenet", steps=3, **options):
        run = StagedRun(network, **options)
        context.model.set_run(run, run.network, run.book, network)
        run.advance(steps)
        context.model.take(run.drain())
        return run

    return begin


@pytest.fixture
def show(app):
    """Show a widget at a size and let Qt draw it; closed at the end."""
    shown = []

    def show_it(widget, width=640, height=480):
        widget.resize(width, height)
        widget.show()
        for _ in range(3):
            app.processEvents()
        shown.append(widget)
        return widget

    yield show_it
    for widget in shown:
        widget.close()
        widget.deleteLater()
    app.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)
    app.processEvents()
