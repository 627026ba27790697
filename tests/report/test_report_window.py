"""Reports from the window: of recorded and unrecorded runs, on a background thread, with path and an offer to open."""

import os

if not os.environ.get("QT_QPA_PLATFORM"):  # an empty value counts as unset
    os.environ["QT_QPA_PLATFORM"] = "offscreen"

import numpy as np
import pytest
from PyQt5 import QtCore, QtGui, QtTest, QtWidgets
from qt_use import PatientQtBot
from report_cases import Page, recorded
from staging import StagedRun

from qatviz.analysis.drift import Drift, FeatureMaps
from qatviz.app.launching import AppLauncher
from qatviz.errors import ExportError
from qatviz.gui.model.launcher import Launcher
from qatviz.gui.model.run_model import RunModel
from qatviz.gui.widgets.theme import Theme
from qatviz.gui.window.main_window import MainWindow
from qatviz.session.prepared import Prepared
from qatviz.session.report import report_job


@pytest.fixture
def app(qapp):
    return qapp


@pytest.fixture
def qtbot(qapp, request):
    return PatientQtBot(request)


@pytest.fixture
def model(app):
    """Return the model of an unrecorded run."""
    run, model = StagedRun("mlp"), RunModel()
    model.set_run(run, run.network, run.book, "mlp on digits")
    model.process(run.advance(3).advance(2).drain())
    return model


def text_of(path):
    return Page(path.read_text(encoding="utf-8")).text


def test_a_report_of_an_unrecorded_run(model, tmp_path):
    written = report_job(model, "", str(tmp_path / "a.html"))()
    assert written.step == 5 and "This run is not recorded" in text_of(tmp_path / "a.html")
    (tmp_path / "b.html").write_text("mine")
    with pytest.raises(ExportError, match="not a report"):
        report_job(model, "", str(tmp_path / "b.html"))()


def test_the_report_has_the_feature_maps_that_the_window_shows(model, tmp_path):
    values = np.linspace(-1, 1, 30, dtype=np.float32).reshape(5, 3, 2)
    model.process([FeatureMaps("dense1", 4, values, values + np.float32(0.1), 5), Drift((), 0.25, 5, 64)])
    report_job(model, "", str(tmp_path / "a.html"))()
    assert "Output of dense1" in text_of(tmp_path / "a.html")


def test_the_report_shows_the_state_at_the_time_of_the_request(model, tmp_path):
    job = report_job(model, "", str(tmp_path / "a.html"))
    another = StagedRun("mlp")
    model.set_run(another, another.network, another.book, "another run")
    assert job().step == 5


def test_a_report_is_written_in_the_background(app, model, tmp_path, qtbot):
    recorded(tmp_path / "run", lambda run: run.advance(4))
    launcher = AppLauncher()
    done, failed = QtTest.QSignalSpy(launcher.report_written), QtTest.QSignalSpy(launcher.failed)
    launcher.write_report(model, str(tmp_path / "run"), str(tmp_path / "a.html"))
    qtbot.waitUntil(lambda: len(done) == 1)
    assert list(done) == [[str(tmp_path / "a.html")]]
    assert "4 steps of 40" in text_of(tmp_path / "a.html")
    launcher.write_report(model, str(tmp_path / "nowhere"), str(tmp_path / "b.html"))
    qtbot.waitUntil(lambda: len(failed) == 1)
    assert "nowhere" in failed[0][0]
    launcher.wait()


class StagedLauncher(Launcher):
    def __init__(self):
        super().__init__()
        self.asked = []

    def write_report(self, model, directory, path):
        self.asked.append((model, directory, path))

    def cancel(self, kind):
        """None is ever in progress."""


@pytest.fixture
def window(app, tmp_path):
    settings = QtCore.QSettings(str(tmp_path / "window.ini"), QtCore.QSettings.IniFormat)
    made = MainWindow(Theme(), settings, StagedLauncher())
    yield made
    if made.model.run is not None:
        made.model.run.state = "stopped"
    made.close()
    made.deleteLater()
    app.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)


def test_the_menu_asks_for_a_path_and_offers_to_open_the_report(window, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(QtGui.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    assert not window.named["report"].isEnabled()
    run = StagedRun("mlp")
    window.show_prepared(Prepared(run, run.network, run.book, "mlp on digits", 1.0, str(tmp_path)))
    window.named["report"].trigger()
    (dialog,) = window.findChildren(QtWidgets.QFileDialog)
    assert dialog.selectedFiles() == [str(tmp_path / "report.html")]
    dialog.selectFile(str(tmp_path / "mine"))
    dialog.accept()
    assert window.launcher.asked == [(window.model, str(tmp_path), str(tmp_path / "mine.html"))]
    window.launcher.report_written.emit(str(tmp_path / "mine.html"))
    assert str(tmp_path / "mine.html") in window.banner.text.text()
    button = next(b for b in window.banner.findChildren(QtWidgets.QPushButton) if b.text() == "Open")
    button.click()
    assert opened == [str(tmp_path / "mine.html")]


def test_cancelling_the_file_dialog_writes_nothing(window):
    run = StagedRun("mlp")
    window.show_prepared(Prepared(run, run.network, run.book, "mlp on digits", 1.0))
    window.named["report"].trigger()
    (dialog,) = window.findChildren(QtWidgets.QFileDialog)
    dialog.reject()
    assert window.launcher.asked == [] and not dialog.isVisible()
