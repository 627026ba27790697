"""The New run dialog: immediate checks, checks of data on a worker, remembered values."""

import os
import threading

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from new_run_stage import MISTAKEN, PHOTOGRAPHS, StagedChecks, info_of
from PyQt5 import QtCore, QtGui, QtTest
from qt_use import focus, press
from waiting import wait_for

from qatviz.errors import DataError, SettingError
from qatviz.gui.dialogs.new_run.dialog import NewRunDialog
from qatviz.gui.model.check_worker import CheckWorker
from qatviz.gui.model.new_run import directory_problem, problems_of
from qatviz.network.zoo import NETWORKS
from qatviz.presets import PRESETS
from qatviz.scaling import SCALINGS, STANDARD
from qatviz.session.folders import RUNS_VARIABLE, runs_folder
from qatviz.session.request import NO_LIMIT, NewRunRequest
from qatviz.settings import OPTIMIZER_SETTINGS, OPTIMIZERS
from qatviz.start_settings import START_SETTINGS, StartSettings
from qatviz.task import TASKS


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (RUNS_VARIABLE, "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def dialog(context, home, show, qtbot):
    dialog = show(NewRunDialog(context, StagedChecks()), 1100, 700)
    qtbot.waitUntil(lambda: dialog.data is not None)
    yield dialog
    QtCore.QThreadPool.globalInstance().waitForDone()


def retype(dialog, text):
    """Enter another data set and check it without waiting for the end of typing."""
    dialog.form.data.box.lineEdit().selectAll()
    QtTest.QTest.keyClicks(dialog.form.data.box.lineEdit(), text)
    dialog._data_delay.timeout.emit()


def test_the_dialog_starts_with_the_default_run_in_a_new_directory(dialog, home):
    wanted = dialog.request
    assert wanted == NewRunRequest(out=wanted.out)
    assert wanted.out.startswith(runs_folder()) and wanted.out.endswith("-lenet")
    assert wanted.out.startswith(str(home))
    assert dialog.problems() == {} and dialog.start.isEnabled()


def test_the_data_is_described_and_the_network_shown_for_it(dialog, qtbot):
    assert "28×28×1, 10 classes, 4,000 training + 1,000 test examples" in dialog.form.fields["data"].note.text()
    retype(dialog, "cifar10")
    assert "Reading" in dialog.form.fields["data"].note.text()
    qtbot.waitUntil(lambda: dialog.data is PHOTOGRAPHS)
    assert "note: dark" in dialog.form.fields["data"].note.text()
    assert "32×32×3" in dialog.network_preview.total.text()


def test_likely_mistakes_in_the_data_are_warnings_in_another_colour(dialog, qtbot):
    field = dialog.form.fields["data"]
    assert not field.warning.isVisible()
    retype(dialog, "mistaken")
    qtbot.waitUntil(lambda: dialog.data is MISTAKEN)
    assert field.warning.text() == "! warning: all training examples are identical" and field.warning.isVisible()
    assert "identical" not in field.note.text() and "note: dark" in field.note.text()
    colors = [label.palette().color(QtGui.QPalette.WindowText) for label in (field.warning, field.note)]
    assert colors[0] == dialog.form.fields["data"]._theme.color("warning") != colors[1]
    assert dialog.problems() == {} and dialog.start.isEnabled(), "a warning prevents nothing"
    retype(dialog, "nowhere")
    qtbot.waitUntil(lambda: "data" in dialog.problems())
    assert not field.warning.isVisible()


def type_into(dialog, box, text):
    focus(box)
    box.selectAll()
    QtTest.QTest.keyClicks(box, text)


@pytest.mark.parametrize("name", ["batch_size", "steps"])
def test_an_invalid_number_stays_is_explained_and_prevents_the_start(dialog, name):
    box = dialog.form.boxes()[name]
    for text, go_on in (("-5", QtCore.Qt.Key_Return), ("-6", QtCore.Qt.Key_Tab)):
        type_into(dialog, box, text)
        QtTest.QTest.keyClick(box, go_on)
        assert box.text() == text and f"is {text}: expected a whole number" in dialog.problems()[name]
        assert dialog.isVisible() and not dialog.start.isEnabled()
    type_into(dialog, box, "77")
    QtTest.QTest.keyClick(box, QtCore.Qt.Key_Tab)
    assert dialog.problems() == {} and getattr(dialog.request, name) == 77
    type_into(dialog, box, "nonsense")
    dialog.accept()
    assert dialog.isVisible() and name in dialog.problems()
    press(box, QtCore.Qt.Key_Escape)
    assert dialog.problems() == {} and dialog.isVisible()


@pytest.mark.parametrize("network", NETWORKS)
def test_the_preview_has_a_row_for_each_layer_of_the_network(dialog, network):
    dialog.form.network.set_text(network)
    summary = NETWORKS[network].build((28, 28, 1), 10)
    rows = dialog.network_preview.table
    names = [rows.topLevelItem(i).text(0) for i in range(rows.topLevelItemCount())]
    assert names == [row.name for row in summary.summary()]
    for i, row in enumerate(summary.summary()):
        shown = [rows.topLevelItem(i).text(column) for column in range(1, 5)]
        assert shown == [row.kind, "×".join(map(str, row.output_shape))] + [
            f"{number:,}" if number else "" for number in (row.parameters, row.macs)
        ]
    total = dialog.network_preview.total.text()
    assert f"{summary.parameter_count:,} parameters" in total and f"{summary.macs:,} MACs" in total
    assert network in dialog.request.out


def test_unusable_data_is_reported_under_its_field_and_prevents_the_start(dialog, qtbot):
    retype(dialog, "nowhere")
    qtbot.waitUntil(lambda: "data" in dialog.problems())
    assert dialog.problems()["data"] == "'nowhere' is no data set" and not dialog.start.isEnabled()
    dialog.accept()
    assert dialog.isVisible()
    retype(dialog, "mnist-5k")
    qtbot.waitUntil(lambda: dialog.data is not None)
    assert dialog.start.isEnabled()


def test_a_network_that_does_not_fit_the_data_is_reported(context, home, show, qtbot):
    dialog = show(NewRunDialog(context, StagedChecks({"mnist-5k": info_of((5,), 3, 12, 6)})), 1100, 700)
    dialog.form.network.set_text("lenet")
    qtbot.waitUntil(lambda: dialog.data is not None)
    assert "network" in dialog.problems() and not dialog.start.isEnabled()
    dialog.form.network.set_text("mlp")
    assert dialog.problems() == {} and "examples of 5 features and 3 outputs" in dialog.network_preview.total.text()
    QtCore.QThreadPool.globalInstance().waitForDone()


def test_an_accepted_request_is_emitted(dialog):
    told = []
    dialog.wanted.connect(told.append)
    type_into(dialog, dialog.form.numbers["batch_size"].box, "32")
    dialog.form.preset.setCurrentText("int4")
    dialog.form.steps.endless.click()
    dialog.form.out.record.click()
    QtTest.QTest.mouseClick(dialog.start, QtCore.Qt.LeftButton)
    assert told[0] == NewRunRequest(preset="int4", batch_size=32, steps=NO_LIMIT, out=None)
    assert not dialog.isVisible()


def test_choices_have_values_apart_from_their_texts(dialog):
    form = dialog.form
    values = {
        name: [getattr(form, name).itemData(row) for row in range(getattr(form, name).count())]
        for name in ("from_scratch", "task", "scaling", "preset", "optimizer")
    }
    assert values == {
        "from_scratch": [False, True],
        "task": ["", *TASKS],
        "scaling": ["", *SCALINGS, STANDARD],
        "preset": list(PRESETS),
        "optimizer": list(OPTIMIZERS),
    }


def test_the_dialog_starts_with_the_last_request(dialog, context, show, home):
    dialog.form.network.set_text("dscnn")
    dialog.form.optimizer.setCurrentText("Momentum")
    dialog.form.numbers["seed"].box.set_value(7)
    dialog.form.numbers["learning_rate"].box.set_value(0.02)
    dialog.form.steps.set_steps(500, True)
    dialog.form.out.edit.setText(str(home / "kept" / "a"))
    dialog.accept()
    again = show(NewRunDialog(context, StagedChecks()), 1100, 700)
    wanted = again.request
    assert (wanted.network, wanted.optimizer, wanted.seed, wanted.run.learning_rate, wanted.steps) == (
        "dscnn",
        "momentum",
        7,
        0.02,
        NO_LIMIT,
    )
    assert os.path.dirname(wanted.out) == str(home / "kept") and wanted.out.endswith("-dscnn")
    again.form.steps.endless.click()
    assert again.request.steps == 500


def test_invalid_remembered_values_are_ignored(context, home, show):
    for name, value in (("batch_size", "many"), ("seed", "-1"), ("network", "gone"), ("steps", "1e99")):
        context.settings.setValue("new_run/" + name, value)
    wanted = show(NewRunDialog(context, StagedChecks()), 1100, 700).request
    assert wanted == NewRunRequest(out=wanted.out)
    QtCore.QThreadPool.globalInstance().waitForDone()


def test_a_directory_in_use_is_refused_under_its_field(dialog, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    dialog.form.out.edit.setText(str(tmp_path / "full"))
    assert "is not empty" in dialog.problems()["out"] and not dialog.start.isEnabled()
    dialog.form.out.record.click()
    assert dialog.problems() == {}


def test_new_directories_are_accepted_and_files_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    assert directory_problem(str(tmp_path / "new" / "er")) == ""
    assert "is a file" in directory_problem(str(tmp_path / "file" / "under"))
    assert "is a file" in directory_problem(str(tmp_path / "file"))
    assert directory_problem("  ") != ""


def test_cancelling_discards_a_check_in_progress(context, home, show):
    checks = StagedChecks()
    checks.gate = threading.Event()
    dialog = show(NewRunDialog(context, checks), 1100, 700)
    wait_for(checks.begun)
    assert dialog.start.isEnabled()  # who is sure need not wait for it
    dialog.reject()
    checks.gate.set()
    QtCore.QThreadPool.globalInstance().waitForDone()
    QtCore.QCoreApplication.processEvents()
    assert dialog.data is None and checks.ended == 1


def test_a_check_outlives_a_destroyed_dialog(context, home, app):
    checks = StagedChecks({"mnist-5k": DataError("too late")})
    checks.gate = threading.Event()
    dialog = NewRunDialog(context, checks)
    wait_for(checks.begun)
    dialog.deleteLater()
    app.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)
    checks.gate.set()
    assert QtCore.QThreadPool.globalInstance().waitForDone()
    app.processEvents()


def test_only_the_newest_check_is_answered(app, qtbot):
    first_may_end = threading.Event()

    def check(question):
        if question == "first":
            wait_for(first_may_end)
        return question.upper()

    worker, answers = CheckWorker(check), []
    worker.answered.connect(lambda question, answer: answers.append((question, answer)))
    worker.ask("first")
    worker.ask("second")
    first_may_end.set()
    qtbot.waitUntil(lambda: bool(answers))
    QtCore.QThreadPool.globalInstance().waitForDone()
    app.processEvents()
    assert answers == [("second", "SECOND")] and not worker.is_busy


@pytest.mark.parametrize(
    "error, expected",
    [(ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"), (MemoryError(), "there is not enough memory")],
)
def test_unexpected_errors_are_reported(app, qtbot, error, expected):
    def check(question):
        raise error

    worker, problems = CheckWorker(check), []
    worker.failed.connect(lambda question, problem: problems.append(str(problem)))
    worker.ask(1)
    qtbot.waitUntil(lambda: bool(problems))
    assert problems == [expected]


# The checks are those of the engine.

WHOLE = st.integers(-2, 2**33) | st.sampled_from([0, 1, 65535, 65536, 65537, 10**9, 10**9 + 1, 2**32 - 1, 2**32])


@given(WHOLE, WHOLE, st.none() | WHOLE)
@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_numbers_are_accepted_exactly_if_a_run_accepts_them(batch_size, seed, steps):
    problems = NewRunRequest(batch_size=batch_size, seed=seed, steps=steps).problems()
    for name, value in (("batch_size", batch_size), ("seed", seed), ("steps", steps)):
        try:
            StartSettings(**{name: value})
        except SettingError:
            assert name in problems
        else:
            assert name not in problems


def test_defaults_equal_those_of_a_run():
    assert sorted(OPTIMIZERS) == sorted(OPTIMIZER_SETTINGS)
    request = NewRunRequest()
    for name, setting in START_SETTINGS.items():
        assert getattr(request, name) == setting.default


@pytest.mark.parametrize(
    "field, value, allowed",
    [
        ("network", "alexnet", "lenet"),
        ("optimizer", "lion", "adam"),
        ("preset", "int3", next(iter(PRESETS))),
        ("data", " ", "path"),
    ],
)
def test_unknown_names_are_refused_with_the_allowed_ones(field, value, allowed):
    problems = problems_of(NewRunRequest(**{field: value}))
    assert list(problems) == [field] and allowed in problems[field]
