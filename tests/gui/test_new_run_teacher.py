"""A Keras model as teacher in the New run dialog: read without running its code, which needs a yes of its own."""

import pytest
from new_run_stage import StagedChecks
from PyQt5 import QtCore, QtWidgets

from qatviz.errors import NetworkError
from qatviz.gui.dialogs.new_run.dialog import NewRunDialog
from qatviz.network import zoo
from qatviz.session.folders import RUNS_VARIABLE
from qatviz.session.model_info import ModelInfo, ModelQuestion

LENET = zoo.build("lenet", (28, 28, 1), 10)
CODE = "layer 'risky' (Lambda): it holds Python code"


def coded(question):
    """Answer with the layers only if the model's code may be run."""
    return ModelInfo(LENET, True) if question.allow_code else ModelInfo(None, code=CODE)


def sized(question):
    return ModelInfo(LENET, True) if question.data_shape else NetworkError("input_shape is (None, None, 1)")


@pytest.fixture
def checks():
    good = ModelInfo(LENET, True)
    return StagedChecks(models={"good.h5": good, "coded.h5": coded, "make.py:model": coded, "sized.h5": sized})


@pytest.fixture
def dialog(context, checks, show, qtbot, monkeypatch, tmp_path):
    monkeypatch.setenv(RUNS_VARIABLE, str(tmp_path / "runs"))
    found = show(NewRunDialog(context, checks), 1180, 740)
    qtbot.waitUntil(lambda: found.data is not None)
    yield found
    found.reject()
    QtCore.QThreadPool.globalInstance().waitForDone()


def choose(qtbot, dialog, path):
    dialog.form.teacher_model.choose(path)
    qtbot.waitUntil(lambda: dialog.teacher.info is not None or dialog.teacher.problem is not None)


def note(dialog):
    return dialog.form.fields["teacher_model"].note.text()


def accepted(dialog):
    wanted = []
    dialog.wanted.connect(wanted.append)
    dialog.accept()
    return wanted


def test_without_a_teacher_nothing_is_read(dialog, checks):
    assert dialog.request.teacher_model is None and dialog.start.isEnabled() and note(dialog) == ""
    assert not [question for question in checks.asked if isinstance(question, ModelQuestion)]


def test_a_teacher_is_read_and_offered_again_but_not_chosen_in_the_next_dialog(dialog, context, checks, show, qtbot):
    choose(qtbot, dialog, "/m/good.h5")
    assert "Keras model 'lenet'" in note(dialog) and "distillation" in note(dialog)
    (wanted,) = accepted(dialog)
    assert wanted.teacher_model == "/m/good.h5" and not wanted.allow_code
    again = show(NewRunDialog(context, checks), 1180, 740)
    assert again.form.teacher_model.text() == "" and again.form.teacher_model.box.findText("/m/good.h5") >= 0
    again.reject()


def test_no_run_starts_while_it_is_read_or_if_it_can_not_be_read(dialog, qtbot):
    dialog.form.teacher_model.set_text("/m/none.h5")
    assert not dialog.start.isEnabled() and note(dialog) == "Reading the teacher…"
    qtbot.waitUntil(lambda: dialog.teacher.problem is not None)
    assert "there is no such file" in dialog.problems()["teacher_model"] and not dialog.start.isEnabled()
    dialog.form.teacher_model.set_text("")
    assert dialog.start.isEnabled() and not dialog.problems()


def test_a_teacher_of_any_input_shape_gets_that_of_the_data(dialog, qtbot):
    choose(qtbot, dialog, "/m/sized.h5")
    assert dialog.teacher.problem is None and dialog.start.isEnabled()


@pytest.mark.parametrize("path", ["/m/coded.h5", "/m/make.py:model"])
@pytest.mark.parametrize("answer", [QtWidgets.QMessageBox.Yes, QtWidgets.QMessageBox.No])
def test_its_code_runs_only_with_consent(dialog, checks, qtbot, path, answer):
    choose(qtbot, dialog, path)
    assert CODE in note(dialog) and "You are asked before it runs." in note(dialog) and not dialog.request.allow_code
    wanted = accepted(dialog)
    assert not wanted and dialog.consent.isVisible()
    assert "of this teacher" in dialog.consent.text() and path in dialog.consent.informativeText()
    dialog.consent.button(answer).click()
    is_yes = answer == QtWidgets.QMessageBox.Yes
    assert [(each.teacher_model, each.allow_code) for each in wanted] == ([(path, True)] if is_yes else [])
    assert dialog.isVisible() != is_yes
    assert not any(question.allow_code for question in checks.asked if isinstance(question, ModelQuestion))


def test_consent_to_other_code_is_none_to_that_of_the_teacher(dialog, qtbot):
    dialog.form.metric.setEditText("/mine/losses.py:dice")
    accepted(dialog)
    dialog.consent.button(QtWidgets.QMessageBox.No).click()
    dialog._allowed_code.add("/mine/losses.py:dice")
    assert dialog.request.allow_code
    choose(qtbot, dialog, "/m/coded.h5")
    assert not dialog.request.allow_code
    wanted = accepted(dialog)
    assert not wanted and "/m/coded.h5" in dialog.consent.informativeText()
    assert "/mine/losses.py" not in dialog.consent.informativeText() and "of this teacher" in dialog.consent.text()
    dialog.consent.button(QtWidgets.QMessageBox.No).click()
    dialog._allowed_code = {"/m/coded.h5"}  # consent to the teacher is none to a loss, and is not asked for again
    accepted(dialog)
    assert "of this loss or metric?" in dialog.consent.text() and "coded.h5" not in dialog.consent.informativeText()
    dialog.consent.button(QtWidgets.QMessageBox.No).click()
    dialog._allowed_code = {"/mine/losses.py:dice"}
    dialog.accept()
    dialog.consent.button(QtWidgets.QMessageBox.Yes).click()
    assert [each.allow_code for each in wanted] == [True]
