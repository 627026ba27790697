"""User models in the New run dialog: preview, check against the data, code run only with consent."""

import os

import pytest
from new_run_stage import DIGITS, PHOTOGRAPHS, StagedChecks, info_of
from PyQt5 import QtCore, QtGui, QtTest, QtWidgets
from qt_use import press

from qatviz.errors import DataError, NetworkError
from qatviz.gui.dialogs.new_run.dialog import NewRunDialog
from qatviz.gui.model.new_run import problems_of
from qatviz.network import BatchNorm, Conv2D, Dense, DepthwiseConv2D, Flatten, Network, Softmax, zoo
from qatviz.session.model_info import DataQuestion, ModelInfo, ModelQuestion, mismatch_reason
from qatviz.session.request import NewRunRequest, is_model_path, names_model, stem_of

LENET = zoo.build("lenet", (28, 28, 1), 10)
NORMED = Network(
    "normed",
    (28, 28, 1),
    (
        DepthwiseConv2D("norm/scale", "input", 1, use_bias=False),
        BatchNorm("norm", "norm/scale"),
        Conv2D("conv", "norm", 4, padding="VALID"),
        Flatten("flat", "conv"),
        Dense("logits", "flat", 10),
    ),
)
CODE = "layer 'risky' (Lambda): it holds Python code"


def coded(question):
    """Answer with the layers only if the model's code may be run."""
    return ModelInfo(LENET, True) if question.allow_code else ModelInfo(None, code=CODE)


def open_sized(question):
    if question.data_shape is None:
        raise NetworkError("input_shape is (None, None, 1)")
    return ModelInfo(LENET, True, (), "", question.data_shape)


def architecture_only(question):
    if question.weights == "/m/other.h5":
        raise NetworkError("it has 5 layers; the model has 4", "model_weights")
    return ModelInfo(LENET, question.weights is not None)


MODELS = {
    "good.h5": ModelInfo(LENET, True, ("renamed: 'a b' to 'a_b'",)),
    "coded.h5": coded,
    "open.h5": open_sized,
    "arch.json": architecture_only,
    "make.py:model": coded,
    "normed.h5": ModelInfo(NORMED, True),
    "large.h5": ModelInfo(zoo.build("mobilenet", (96, 96, 3), 7), True),
}


@pytest.fixture
def checks():
    return StagedChecks(models=MODELS)


@pytest.fixture
def dialog(context, checks, tmp_path, monkeypatch, show, qtbot):
    monkeypatch.setenv("HOME", str(tmp_path))
    dialog = show(NewRunDialog(context, checks), 1180, 740)
    qtbot.waitUntil(lambda: dialog.data is not None)
    yield dialog
    dialog.reject()
    QtCore.QThreadPool.globalInstance().waitForDone()


def wait_for_check(qtbot, dialog):
    qtbot.waitUntil(lambda: dialog.model is not None or bool(dialog._model_problem))


def note(dialog, name):
    return dialog.form.fields[name].note.text()


def rows(dialog):
    table = dialog.network_preview.table
    return [table.topLevelItem(index).text(0) for index in range(table.topLevelItemCount())]


def kinds(dialog):
    """Return the kinds of the layers in the preview."""
    table = dialog.network_preview.table
    return {table.topLevelItem(index).text(1) for index in range(table.topLevelItemCount())}


def drop(widget, path):
    mime = QtCore.QMimeData()
    mime.setUrls([QtCore.QUrl.fromLocalFile(path)])
    place, copy = QtCore.QPoint(3, 3), QtCore.Qt.CopyAction
    enter = QtGui.QDragEnterEvent(place, copy, mime, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier)
    QtWidgets.QApplication.sendEvent(widget, enter)
    assert enter.isAccepted()
    event = QtGui.QDropEvent(QtCore.QPointF(place), copy, mime, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier)
    QtWidgets.QApplication.sendEvent(widget, event)


def test_a_model_is_shown_with_the_notes_of_its_import_and_can_be_started(dialog, qtbot):
    dialog.open_model("/m/good.h5")
    assert "Reading the model" in note(dialog, "network") and not dialog.start.isEnabled()
    wait_for_check(qtbot, dialog)
    assert rows(dialog) == [layer.name for layer in LENET.layers]
    assert "note: renamed: 'a b' to 'a_b'" in dialog.network_preview.notes.text()
    assert note(dialog, "network") == "Fits the data" and dialog.start.isEnabled()
    told = []
    dialog.wanted.connect(told.append)
    dialog.accept()
    assert told[0] == NewRunRequest(network=None, model="/m/good.h5", out=told[0].out)
    assert os.path.basename(told[0].out).endswith("-good")


def test_training_from_scratch_is_offered_for_models_only(dialog, qtbot):
    assert not dialog.form.fields["from_scratch"].isVisible()
    dialog.open_model("/m/good.h5")
    wait_for_check(qtbot, dialog)
    assert dialog.form.fields["from_scratch"].isVisible() and not dialog.form.fields["weights"].isVisible()
    dialog.form.from_scratch.setCurrentIndex(1)
    dialog.form.numbers["quant_delay"].box.set_value(300)
    assert dialog.request.from_scratch and dialog.request.quant_delay == 300
    dialog.form.network.set_text("lenet")
    assert not dialog.form.fields["from_scratch"].isVisible() and not dialog.request.from_scratch


def test_a_relu6_can_be_replaced_in_networks_that_have_one(dialog, context, checks, qtbot, show):
    form = dialog.form
    assert form.network.text() == "lenet" and not form.fields["replace_relu6"].isVisible()
    for choose in (lambda: form.network.set_text("mobilenet"), lambda: dialog.open_model("/m/large.h5")):
        choose()
        qtbot.waitUntil(lambda: form.fields["replace_relu6"].isVisible())
        assert "can't be equalized" in form.replace_relu6.toolTip()
        assert kinds(dialog) & {"ReLU", "ReLU6"} == {"ReLU6"} and not dialog.request.replace_relu6
        form.replace_relu6.click()
        assert kinds(dialog) & {"ReLU", "ReLU6"} == {"ReLU"} and dialog.request.replace_relu6
        form.network.set_text("lenet")
        assert not form.fields["replace_relu6"].isVisible() and not dialog.request.replace_relu6
        form.replace_relu6.setChecked(False)
    form.network.set_text("mobilenet")
    form.replace_relu6.click()
    told = []
    dialog.wanted.connect(told.append)
    dialog.accept()
    assert told[0] == NewRunRequest(network="mobilenet", replace_relu6=True, out=told[0].out)
    again = show(NewRunDialog(context, checks), 1180, 740)
    assert again.form.replace_relu6.isChecked() and again.request.replace_relu6, "it is remembered"
    again.reject()


def test_an_architecture_reads_weights_from_another_file(dialog, checks, qtbot):
    dialog.open_model("/m/arch.json")
    wait_for_check(qtbot, dialog)
    assert dialog.form.fields["weights"].isVisible() and not dialog.form.fields["from_scratch"].isVisible()
    dialog.form.weights.choose("/m/weights.h5")
    qtbot.waitUntil(lambda: dialog.model is not None and dialog.model.has_weights)
    assert dialog.form.fields["from_scratch"].isVisible() and dialog.problems() == {}
    assert dialog.request.model_weights == "/m/weights.h5"
    dialog.form.weights.choose("/m/other.h5")
    qtbot.waitUntil(lambda: bool(dialog._model_problem))
    assert dialog.problems() == {"weights": "it has 5 layers; the model has 4"}
    assert not dialog.start.isEnabled()


def test_data_that_does_not_fit_is_reported_with_the_expected_shape(dialog, qtbot):
    dialog.open_model("/m/large.h5")
    wait_for_check(qtbot, dialog)
    assert "takes 96×96×3 per example, but digits has 28×28×1" in dialog.problems()["network"]
    assert not dialog.start.isEnabled() and len(rows(dialog)) == len(MODELS["large.h5"].network.layers)
    dialog.open_model("/m/good.h5")
    wait_for_check(qtbot, dialog)
    assert dialog.problems() == {}


def test_an_unusable_file_is_reported_without_a_preview(dialog, qtbot):
    dialog.open_model("/m/nothing.h5")
    wait_for_check(qtbot, dialog)
    assert dialog.problems() == {"network": "there is no such file"} and rows(dialog) == []
    dialog.form.network.set_text("lenet")
    assert dialog.problems() == {} and rows(dialog) and dialog.start.isEnabled()


def test_a_model_of_open_size_uses_the_size_of_the_data_once_known(context, tmp_path, monkeypatch, show, qtbot):
    monkeypatch.setenv("HOME", str(tmp_path))
    checks = StagedChecks(models=MODELS)
    dialog = show(NewRunDialog(context, checks), 1180, 740)
    dialog.open_model("/m/open.h5")
    qtbot.waitUntil(lambda: dialog.model is not None and dialog.data is not None)
    assert "no fixed input shape" in dialog.network_preview.notes.text()
    assert dialog.problems() == {} and checks.asked[-1] == ModelQuestion("/m/open.h5", None, False, (28, 28, 1))
    dialog.form.data.set_text("cifar10")
    dialog._data_delay.timeout.emit()
    qtbot.waitUntil(lambda: dialog.model is not None and dialog.model.used_shape == (32, 32, 3))
    dialog.reject()
    QtCore.QThreadPool.globalInstance().waitForDone()


# Code


@pytest.mark.parametrize("path", ["/m/coded.h5", "/m/make.py:model"])
def test_code_is_run_only_after_consent(dialog, checks, path, qtbot):
    dialog.open_model(path)
    qtbot.waitUntil(lambda: dialog.consent is not None)
    consent = dialog.consent
    assert path in consent.informativeText() and CODE in consent.informativeText()
    assert consent.defaultButton() is consent.button(QtWidgets.QMessageBox.No)
    assert not dialog.start.isEnabled() and CODE in dialog.problems()["network"] and rows(dialog) == []
    QtTest.QTest.mouseClick(consent.button(QtWidgets.QMessageBox.No), QtCore.Qt.LeftButton)
    assert not dialog.start.isEnabled() and not dialog.request.allow_code
    assert not any(question.allow_code for question in checks.asked if isinstance(question, ModelQuestion))
    QtTest.QTest.mouseClick(dialog.form.network.allow, QtCore.Qt.LeftButton)
    QtTest.QTest.mouseClick(dialog.consent.button(QtWidgets.QMessageBox.Yes), QtCore.Qt.LeftButton)
    qtbot.waitUntil(lambda: dialog.model is not None and dialog.model.network is not None)
    assert dialog.start.isEnabled() and not dialog.form.network.allow.isVisible()
    assert dialog.request.allow_code


@pytest.mark.parametrize("key", [QtCore.Qt.Key_Return, QtCore.Qt.Key_Escape])
def test_enter_and_escape_refuse_consent(dialog, key, qtbot):
    dialog.open_model("/m/coded.h5")
    qtbot.waitUntil(lambda: dialog.consent is not None)
    press(dialog.consent, key)
    assert not dialog.request.allow_code and not dialog.start.isEnabled()


def test_consent_is_for_one_file_and_not_remembered(dialog, context, checks, show, qtbot):
    dialog.open_model("/m/coded.h5")
    qtbot.waitUntil(lambda: dialog.consent is not None)
    dialog.consent.button(QtWidgets.QMessageBox.Yes).click()
    qtbot.waitUntil(lambda: dialog.model is not None and dialog.model.network is not None)
    dialog.form.network.set_text("/m/good.h5")
    assert not dialog.request.allow_code
    dialog.form.network.set_text("/m/coded.h5")
    assert not dialog.request.allow_code
    dialog._ask_model()
    qtbot.waitUntil(lambda: dialog.model is not None)
    dialog._ask_consent()
    dialog.consent.button(QtWidgets.QMessageBox.Yes).click()
    qtbot.waitUntil(lambda: dialog.model is not None and dialog.model.network is not None)
    dialog.accept()
    assert not dialog.isVisible()
    again = show(NewRunDialog(context, checks), 1180, 740)
    wait_for_check(qtbot, again)
    assert again.form.network.text() == "/m/coded.h5" and again.consent is None  # it was not chosen now
    assert not again.request.allow_code and not again.start.isEnabled() and again.form.network.allow.isVisible()
    again.reject()
    assert "allow" not in " ".join(context.settings.allKeys())


def test_typing_the_name_of_a_file_with_code_opens_no_question(dialog, qtbot):
    dialog.form.network.box.lineEdit().selectAll()
    QtTest.QTest.keyClicks(dialog.form.network.box.lineEdit(), "/m/coded.h5")
    dialog._model_delay.timeout.emit()
    wait_for_check(qtbot, dialog)
    assert dialog.consent is None and dialog.form.network.allow.isVisible()


def test_an_obsolete_check_is_stopped(dialog, checks):
    dialog.open_model("/m/good.h5")
    ended = checks.ended
    dialog.form.network.set_text("lenet")
    assert checks.ended == ended + 1
    QtCore.QThreadPool.globalInstance().waitForDone()


# Files that are dropped, and those of before


def test_files_dropped_on_the_dialog_are_opened_by_kind(dialog, checks):
    drop(dialog, "/m/good.h5")
    assert dialog.form.network.text() == "/m/good.h5"
    drop(dialog, "/d/mine.npz")
    assert dialog.form.data.text() == "/d/mine.npz"
    drop(dialog.form.data, "/d/folder")
    assert dialog.form.data.text() == "/d/folder"
    drop(dialog.form.network, "/m/odd.ending")
    assert dialog.form.network.text() == "/m/odd.ending"
    drop(dialog.form.network.box.lineEdit(), "/m/good.h5")  # not as a URL in the text
    assert dialog.form.network.text() == "/m/good.h5"


def test_files_of_earlier_runs_can_be_chosen_again(dialog, context, checks, show, qtbot):
    dialog.open_model("/m/good.h5")
    wait_for_check(qtbot, dialog)
    dialog.accept()
    again = show(NewRunDialog(context, checks), 1180, 740)
    box = again.form.network.box
    assert again.form.network.text() == "/m/good.h5"
    assert [box.itemText(index) for index in range(box.count())] == [*list(zoo.NETWORKS), "", "/m/good.h5"]
    again.form.network.set_text("lenet")
    box.setCurrentIndex(box.count() - 1)
    box.activated[str].emit(box.currentText())
    wait_for_check(qtbot, again)
    assert again.model is MODELS["good.h5"]
    again.reject()
    QtCore.QThreadPool.globalInstance().waitForDone()


def test_the_chosen_scaling_is_used_to_check_the_data(dialog, checks, qtbot):
    qtbot.waitUntil(lambda: dialog.data is not None)
    assert note(dialog, "scaling") == "Examples are scaled by 1/255", "what was found"
    checks.data["mnist-5k"] = DIGITS._replace(values="pixels, fed as x / 127.5 - 1: from -1 to 1", scaling="signed")
    dialog.form.scaling.setCurrentText("Pixels: x / 127.5 - 1")
    qtbot.waitUntil(lambda: dialog.data is not None and dialog.data.scaling == "signed")
    assert checks.asked[-1] == DataQuestion("mnist-5k", None, "signed") and dialog.request.scaling == "signed"
    assert "x / 127.5 - 1" in dialog.data_preview.about.text() and note(dialog, "scaling") == ""


def test_scalings_of_several_inputs_and_numbers_can_be_typed(dialog, checks, qtbot):
    qtbot.waitUntil(lambda: dialog.data is not None)
    asked = len(checks.asked)
    dialog.form.scaling.setEditText("left=unit;right=")
    assert "scaling" in dialog.problems() and not dialog.start.isEnabled()
    dialog._data_delay.timeout.emit()
    assert len(checks.asked) == asked, "what is not allowed is not asked"
    dialog.form.scaling.setEditText("left=unit;right=127/60")
    assert dialog.request.scaling == "left=unit;right=127/60" and "scaling" not in dialog.problems()
    qtbot.waitUntil(lambda: dialog.data is not None)
    assert checks.asked[-1] == DataQuestion("mnist-5k", None, "left=unit;right=127/60")
    dialog.form.scaling.setEditText("Auto-detect")
    assert dialog.request.scaling is None


def test_values_that_are_no_pixels_are_refused_below_the_scaling(dialog, checks, qtbot):
    checks.data["mnist-5k"] = DataError("found values from -9 to 3; expected pixels from 0 to 255", "scaling")
    dialog.form.scaling.setCurrentText("Pixels: x / 255")
    qtbot.waitUntil(lambda: "from -9 to 3" in note(dialog, "scaling"))
    assert "scaling" in dialog.problems() and not dialog.start.isEnabled()
    dialog.form.scaling.setCurrentIndex(0)
    checks.data["mnist-5k"] = DIGITS
    qtbot.waitUntil(lambda: dialog.start.isEnabled())


def test_the_chosen_task_is_used_to_check_the_data(dialog, checks, qtbot):
    checks.data["mnist-5k"] = info_of(classes=3, task="regression")
    dialog.form.task.setCurrentText("Regression")
    dialog._data_delay.timeout.emit()
    qtbot.waitUntil(lambda: dialog.data is not None and dialog.data.is_regression)
    assert checks.asked[-1] == DataQuestion("mnist-5k", "regression")
    assert "3 targets" in note(dialog, "data") and dialog.request.task == "regression"


# What fits


def test_mismatches_of_network_and_data_have_reasons():
    assert mismatch_reason(LENET, DIGITS) == ""
    assert "takes 28×28×1" in mismatch_reason(LENET, PHOTOGRAPHS)
    assert "outputs 10 numbers, but digits has 7 classes" in mismatch_reason(LENET, info_of(classes=7))
    assert "3 numbers to predict" in mismatch_reason(LENET, info_of(classes=3, task="regression"))
    assert mismatch_reason(zoo.build("mlp", (5,), 2), info_of((5,), 2, task="regression")) == ""
    ends_in_softmax = Network("n", (5,), (Dense("d", "input", units=2), Softmax("p", "d")))
    assert "is a Softmax" in mismatch_reason(ends_in_softmax, info_of((5,), 2, task="regression"))
    assert mismatch_reason(ends_in_softmax, info_of((5,), 2)) == ""
    picture = Network("n", (5, 5, 1), (Conv2D("c", "input", filters=2, kernel_size=3),))
    assert "a single row" in mismatch_reason(picture, info_of((5, 5, 1), 2))
    flat = Network("n", (5, 5, 1), (*picture.layers, Flatten("f", "c")))
    assert "outputs" in mismatch_reason(flat, info_of((5, 5, 1), 2))


@pytest.mark.parametrize(
    "text, is_model, stem",
    [
        ("lenet", False, "lenet"),
        ("/a/b c/My model.v2.h5", True, "My-model-v2"),
        ("./lenet", True, "lenet"),
        ("~/x.h5", True, "x"),
        ("x.json", True, "x"),
        ("/a/make.py:net_2", True, "net_2"),
        ("nets", False, "nets"),
        ("/a/§.h5", True, "model"),
    ],
)
def test_names_of_networks_and_paths_of_models_are_told_apart(text, is_model, stem):
    assert names_model(text) == is_model and stem_of(text) == stem
    request = NewRunRequest(network=None, model=text) if is_model else NewRunRequest(network=text)
    assert (problems_of(request) == {}) == (is_model or text in zoo.NETWORKS)


def test_a_script_without_a_function_is_refused_with_empty_text():
    assert "make.py:FUNCTION" in problems_of(NewRunRequest(network=None, model="/a/make.py"))["network"]
    assert is_model_path("/a/make.py") and is_model_path("x.H5") and not is_model_path("/a/x.npz")


def test_batch_norms_before_a_convolution_can_be_folded_into_it(dialog, context, checks, qtbot, show):
    form = dialog.form
    assert not form.fields["fold_forward"].isVisible()
    dialog.open_model("/m/normed.h5")
    qtbot.waitUntil(lambda: form.fields["fold_forward"].isVisible())
    assert "where padding allows" in form.fold_forward.toolTip()
    assert "BatchNorm" in kinds(dialog) and not dialog.request.fold_forward
    assert "named <name>/scale: 'norm'" in dialog.network_preview.notes.text()
    form.fold_forward.click()
    assert "/scale" not in dialog.network_preview.notes.text()
    assert not kinds(dialog) & {"BatchNorm", "DepthwiseConv2D"} and dialog.request.fold_forward
    form.network.set_text("lenet")
    assert not form.fields["fold_forward"].isVisible() and not dialog.request.fold_forward
    dialog.open_model("/m/normed.h5")
    qtbot.waitUntil(lambda: form.fields["fold_forward"].isVisible())
    told = []
    dialog.wanted.connect(told.append)
    dialog.accept()
    assert told[0] == NewRunRequest(network=None, model="/m/normed.h5", fold_forward=True, out=told[0].out)
    again = show(NewRunDialog(context, checks), 1180, 740)
    qtbot.waitUntil(lambda: again.form.fields["fold_forward"].isVisible())
    assert again.request.fold_forward, "it is remembered"
    again.reject()
