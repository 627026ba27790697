"""Losses and metrics of the user's files in the New run dialog: typed, checked, and run only with consent."""

import pytest
from new_run_stage import StagedChecks
from PyQt5 import QtCore, QtWidgets

from qatviz.gui.dialogs.new_run.dialog import NewRunDialog
from qatviz.session.folders import RUNS_VARIABLE


@pytest.fixture
def dialog(context, show, qtbot, monkeypatch, tmp_path):
    monkeypatch.setenv(RUNS_VARIABLE, str(tmp_path / "runs"))
    found = show(NewRunDialog(context, StagedChecks()), 1100, 700)
    qtbot.waitUntil(lambda: found.data is not None)
    yield found
    QtCore.QThreadPool.globalInstance().waitForDone()


def test_a_function_is_a_choice_of_loss_and_metric_beside_the_known_ones(dialog):
    form = dialog.form
    assert dialog.request.loss == dialog.request.metric == "auto"
    form.loss.choose("cross_entropy")
    assert form.loss.currentText() == "Cross-entropy" and dialog.request.loss == "cross_entropy"
    form.loss.setEditText("/mine/losses.py:focal")
    assert dialog.request.loss == "/mine/losses.py:focal" and not dialog.problems()
    form.loss.setEditText("focal")
    assert "is 'focal': expected one of auto" in dialog.problems()["loss"] and not dialog.start.isEnabled()
    form.loss.setEditText("Cross-entropy")
    assert dialog.request.loss == "cross_entropy" and not dialog.problems()


@pytest.mark.parametrize("answer", [QtWidgets.QMessageBox.Yes, QtWidgets.QMessageBox.No])
def test_their_code_runs_only_with_consent(dialog, answer):
    wanted = []
    dialog.wanted.connect(wanted.append)
    dialog.form.metric.setEditText("/mine/losses.py:dice")
    assert not dialog.request.allow_code
    dialog.accept()
    assert not wanted and dialog.isVisible() and dialog.consent.isVisible()
    assert "loss or metric" in dialog.consent.text() and "/mine/losses.py:dice" in dialog.consent.informativeText()
    assert dialog.consent.defaultButton() is dialog.consent.button(QtWidgets.QMessageBox.No)
    dialog.consent.button(answer).click()
    if answer == QtWidgets.QMessageBox.Yes:
        assert [(each.metric, each.allow_code) for each in wanted] == [("/mine/losses.py:dice", True)]
    else:
        assert not wanted and dialog.isVisible() and not dialog.request.allow_code
