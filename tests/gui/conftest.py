"""Tests of the window run offscreen unless a display is asked for, with the errors of Qt's callbacks as failures."""

import os

if not os.environ.get("QT_QPA_PLATFORM"):  # empty is as good as unset
    os.environ["QT_QPA_PLATFORM"] = "offscreen"

import pytest
from PyQt5 import QtCore, QtTest, QtWidgets
from qt_use import PatientQtBot
from staging import StagedRun
from window_stage import make_window, prepared_of

from qatviz.gui.model.context import Context
from qatviz.gui.model.edits import Edits
from qatviz.gui.model.run_model import RunModel
from qatviz.gui.widgets.theme import DARK, Theme


@pytest.fixture(scope="session")
def app(qapp):
    """The application of pytest-qt, which fails a test if a slot or a virtual method raises."""
    return qapp


@pytest.fixture
def qtbot(qapp, request):
    """The bot of pytest-qt, with waits bounded by progress instead of by milliseconds."""
    return PatientQtBot(request)


@pytest.fixture(autouse=True)
def no_button_held(app):
    """QTest remembers the button of a double click as held: the next test's mouse would drag."""
    QtTest.QTest.mouseRelease(QtWidgets.QWidget(), QtCore.Qt.LeftButton)


@pytest.fixture
def context(app, tmp_path):
    """A model, its edits, a dark theme and settings used by this test alone."""
    theme = Theme(DARK)
    theme.apply()
    model = RunModel()
    settings = QtCore.QSettings(str(tmp_path / "settings.ini"), QtCore.QSettings.IniFormat)
    return Context(model, Edits(model), theme, settings)


@pytest.fixture
def staged(context):
    """Show a staged run: ``staged(network)`` returns it after a few steps and a snapshot."""

    def begin(network="lenet", steps=3, directory="", **options):
        run = StagedRun(network, **options)
        context.model.set_run(run, run.network, run.book, network, directory=directory)
        run.advance(steps)
        context.model.process(run.drain())
        return run

    return begin


@pytest.fixture
def show(app, qtbot):
    """Show a widget at a size and let Qt draw it; closed at the end."""

    shown = []  # pytest-qt keeps no reference

    def show_it(widget, width=640, height=480):
        shown.append(widget)
        qtbot.addWidget(widget)
        widget.resize(width, height)
        with qtbot.waitExposed(widget):
            widget.show()
        for _ in range(3):
            app.processEvents()
        return widget

    yield show_it
    # pytest-qt has closed them; deleted they are only now, so that nothing of them reaches the next test.
    app.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)
    app.processEvents()


@pytest.fixture
def settings(tmp_path):
    """Settings of this test's window."""
    return QtCore.QSettings(str(tmp_path / "window.ini"), QtCore.QSettings.IniFormat)


@pytest.fixture
def open_window(app, settings):
    """Open a window, without a run; those left open are closed."""
    windows = []

    def begin(points=0):
        window = make_window(settings, points=points)
        window.show()
        app.processEvents()
        windows.append(window)
        return window

    yield begin
    for window in windows:
        window.handlers.may_close = lambda: True
        window.close()
        window.deleteLater()
    app.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)
    app.processEvents()


@pytest.fixture
def window(open_window):
    """A window without a run."""
    return open_window()


@pytest.fixture
def staged_window(window, app):
    """A window that shows a staged run, and a function that advances the run and draws the result."""
    run = StagedRun()
    window.show_prepared(prepared_of(run))

    def advance(steps=1):
        run.advance(steps)
        for _ in range(3):
            window.frames.touch()
            window.bridge.tick()
            app.processEvents()

    advance(3)
    return window, run, advance
