"""The New run dialog's fields for how data is read: shown where they apply, and reset with the data."""

import pytest
from new_run_stage import DIGITS, StagedChecks
from PyQt5 import QtCore

from qatviz.data_options import DATA_OPTIONS, DataOptions
from qatviz.errors import ChoiceNeeded, DataError
from qatviz.gui.dialogs.new_run.dialog import NewRunDialog
from qatviz.session.model_info import DataQuestion

PICTURES = DIGITS._replace(name="pictures", options=("image_size", "fit"))


@pytest.fixture
def checks(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return StagedChecks({"mnist-5k": DIGITS, "pictures": PICTURES})


@pytest.fixture
def dialog(context, checks, show, qtbot):
    dialog = show(NewRunDialog(context, checks), 1100, 700)
    qtbot.waitUntil(lambda: dialog.data is not None)
    yield dialog
    QtCore.QThreadPool.globalInstance().waitForDone()


def shown(dialog):
    return [name for name in DATA_OPTIONS if dialog.form.fields[name].isVisible()]


def ask(dialog, qtbot, source=None):
    if source is not None:
        dialog.form.data.set_text(source)
    dialog._data_delay.timeout.emit()
    qtbot.waitUntil(lambda: dialog.data is not None)


def test_only_options_that_apply_to_the_data_are_shown(dialog, qtbot):
    assert shown(dialog) == []
    ask(dialog, qtbot, "pictures")
    assert shown(dialog) == ["image_size", "fit"]
    ask(dialog, qtbot, "mnist-5k")
    assert shown(dialog) == []


def test_an_option_that_the_data_needs_is_shown_with_the_reason_and_the_answer_previewed(dialog, checks, qtbot):
    checks.data["mixed"] = DataError("a.png has 6x9 pixels, but b.png has 6x5", "image_size")
    dialog.form.data.set_text("mixed")
    dialog._data_delay.timeout.emit()
    qtbot.waitUntil(lambda: "image_size" in dialog.problems())
    assert shown(dialog) == ["image_size"] and not dialog.start.isEnabled()
    checks.data["mixed"] = PICTURES
    dialog.form.data_options.widgets["image_size"].setEditText("6x5")
    ask(dialog, qtbot)
    assert checks.asked[-1] == DataQuestion("mixed", options=DataOptions(image_size="6x5"))
    assert shown(dialog) == ["image_size", "fit"] and dialog.start.isEnabled()
    assert dialog.request.data_options == DataOptions(image_size="6x5")
    dialog.form.data_options.widgets["fit"].setCurrentText("Pad to the size")
    ask(dialog, qtbot)
    assert checks.asked[-1].options == DataOptions(image_size="6x5", fit="pad")


def test_a_value_that_is_not_allowed_is_explained_and_not_asked(dialog, checks, qtbot):
    ask(dialog, qtbot, "pictures")
    number = len(checks.asked)
    dialog.form.data_options.widgets["image_size"].setEditText("64x")
    dialog._data_delay.timeout.emit()
    assert dialog.problems() == {
        "image_size": "Image size is '64x': expected HEIGHTxWIDTH in pixels, such as 64x64, auto or rows"
    }
    assert not dialog.start.isEnabled() and len(checks.asked) == number
    dialog.form.data_options.widgets["image_size"].setEditText("")
    assert "image_size" in dialog.problems()
    dialog.form.data_options.widgets["image_size"].setCurrentIndex(0)
    ask(dialog, qtbot)
    assert dialog.problems() == {} and dialog.start.isEnabled()


def test_options_are_of_the_data_for_which_they_were_chosen(dialog, qtbot):
    ask(dialog, qtbot, "pictures")
    dialog.form.data_options.widgets["image_size"].setEditText("6x5")
    ask(dialog, qtbot, "mnist-5k")
    assert dialog.request.data_options == DataOptions() and shown(dialog) == []


def test_options_are_remembered_with_their_data(dialog, context, checks, show, qtbot):
    ask(dialog, qtbot, "pictures")
    dialog.form.data_options.widgets["image_size"].setEditText("6x5")
    dialog.form.data_options.widgets["fit"].setCurrentText("Crop to the size")
    ask(dialog, qtbot)
    dialog.accept()
    again = show(NewRunDialog(context, checks), 1100, 700)
    qtbot.waitUntil(lambda: again.data is not None)
    assert again.request.data_options == DataOptions(image_size="6x5", fit="crop")
    assert checks.asked[-1] == DataQuestion("pictures", options=DataOptions(image_size="6x5", fit="crop"))
    context.settings.setValue("new_run/data_options", '{"image_size": 5}')
    third = show(NewRunDialog(context, checks), 1100, 700)
    assert third.request.data_options == DataOptions()


def test_the_window_asks_which_arrays_to_use_and_offers_their_names(dialog, checks, qtbot):
    choices = {"features": ("a", "b"), "targets": ("a", "b")}
    checks.data["any.npz"] = ChoiceNeeded("any.npz: no data set: the file has 'a', 'b'", "features", choices)
    dialog.form.data.set_text("any.npz")
    dialog._data_delay.timeout.emit()
    qtbot.waitUntil(lambda: "features" in dialog.problems())
    assert shown(dialog) == ["features", "targets"] and not dialog.start.isEnabled()
    boxes = dialog.form.data_options.widgets
    assert [boxes["targets"].itemText(row) for row in range(boxes["targets"].count())] == ["", "a", "b"]
    checks.data["any.npz"] = PICTURES._replace(options=("features", "targets"), choices=choices)
    boxes["features"].setCurrentText("a")
    boxes["targets"].setCurrentText("b")
    ask(dialog, qtbot)
    assert checks.asked[-1].options == DataOptions(features="a", targets="b")
    assert boxes["targets"].currentText() == "b" and dialog.start.isEnabled()
