"""What the window refuses where TensorFlow is missing: with a sentence, before any dialog or request."""

import os

import pytest
from PyQt5 import QtWidgets
from recorded_samples import record_run

from qatviz.app.launching import AppLauncher
from qatviz.gui.window import window_actions
from qatviz.protocol.recipe import recipe_of
from qatviz.session.recorded import open_recorded
from qatviz.session.request import ForkRequest, NewRunRequest, OpenRequest, ResumeRequest
from qatviz.session.sweep_request import SweepRequest
from qatviz.tensorflow_presence import EXPORTING, TRAINING, WRITING_EVENTS, missing_text

ACTIONS = {
    "new_run": TRAINING,
    "fork": TRAINING,
    "fork_both": TRAINING,
    "sweep": TRAINING,
    "export": EXPORTING,
    "tensorboard": WRITING_EVENTS,
}


def windows(app):
    return {w for w in app.topLevelWidgets() if w.isVisible()}


@pytest.mark.parametrize("name, work", ACTIONS.items())
def test_an_action_is_refused_with_its_sentence(staged_window, app, monkeypatch, name, work):
    window, _, _ = staged_window

    def refuse(*_):
        raise AssertionError("no dialog may open")

    monkeypatch.setattr(QtWidgets.QFileDialog, "getExistingDirectory", refuse)
    monkeypatch.setattr(QtWidgets.QInputDialog, "getItem", refuse)
    before = windows(app)
    window.launcher.obstacles[work] = missing_text(work)
    window.named[name].setEnabled(True)
    window.named[name].trigger()
    app.processEvents()
    assert window.banner.text.text() == missing_text(work)
    assert windows(app) == before and window.launcher.begun == [] and window.launcher.sweeps == []


def test_dropped_data_is_refused_and_a_run_opens(staged_window, app):
    window, _, _ = staged_window
    window.launcher.obstacles[TRAINING] = missing_text(TRAINING)
    window.launcher.kinds.update({"/data": "data", "/model": "model", "/run": "run"})
    for path in ("/data", "/model"):
        window.banner.hide()
        window.handlers.open_path(path)
        assert window.banner.text.text() == missing_text(TRAINING) and window.banner.isVisible()
    window.handlers.open_path("/run")
    assert window.launcher.begun == [(OpenRequest("/run"), False)]


@pytest.fixture
def launcher(app, monkeypatch):
    """The real launcher without TensorFlow; ``said`` has all that it says."""
    from qatviz import errors
    from qatviz.app import launching

    for module in (errors, launching):
        monkeypatch.setattr(module, "has_tensorflow", lambda: False)
    made = AppLauncher()
    made.said = []
    made.failed.connect(lambda message, *_: made.said.append(message))
    for work in made.works.values():
        work.failed.connect(made.said.append)
    made.sweep_ended.connect(lambda _, message: made.said.append(message))
    yield made
    made.wait()


WORK = {
    "new run": lambda launcher, opened: launcher.begin(NewRunRequest(out=os.path.join(opened.directory, "new"))),
    "resume": lambda launcher, opened: launcher.begin(ResumeRequest(directory=opened.directory)),
    "fork": lambda launcher, opened: launcher.begin(ForkRequest(directory=opened.directory)),
    "sweep": lambda launcher, opened: launcher.begin_sweep(
        SweepRequest(os.path.join(opened.directory, "sweep"), 1, opened.directory, "x", 30, (0, 1))
    ),
    "evaluate": lambda launcher, opened: launcher.evaluate(opened.run, opened.directory, opened.book),
    "sensitivity": lambda launcher, opened: launcher.find_sensitivity(opened.run, opened.directory, True),
    "drift": lambda launcher, opened: launcher.find_drift(opened.run, opened.directory, None),
    "predict": lambda launcher, opened: launcher.predict(opened.run, opened.directory, opened.book),
    "pictures": lambda launcher, opened: launcher.read_examples(opened.run, opened.directory, 4),
}


@pytest.mark.parametrize("name", WORK)
def test_background_work_ends_with_one_sentence(launcher, tmp_path, qtbot, name):
    record_run(tmp_path / "run")
    opened = open_recorded(str(tmp_path / "run"))
    WORK[name](launcher, opened)
    qtbot.waitUntil(lambda: bool(launcher.said))
    launcher.wait()
    (sentence,) = [text for text in launcher.said if text]
    assert "needs TensorFlow 1.15, which is not installed here: " in sentence and "Traceback" not in sentence


def test_a_recorded_run_and_its_recipe_need_no_tensorflow(launcher, tmp_path, qtbot):
    record_run(tmp_path / "run")
    prepared = []
    launcher.prepared.connect(lambda opened, _: prepared.append(opened))
    launcher.begin(OpenRequest(str(tmp_path / "run")))
    qtbot.waitUntil(lambda: bool(prepared))
    assert recipe_of(prepared[0].book).rules and launcher.said == []
    assert launcher.obstacle(window_actions.TRAINING).startswith("training needs TensorFlow 1.15")


def test_on_another_machine_only_the_work_of_this_one_is_refused(launcher):
    launcher.place = "box"
    assert [launcher.obstacle(work) for work in (TRAINING, EXPORTING)] == ["", ""]
    assert launcher.obstacle(WRITING_EVENTS) == missing_text(WRITING_EVENTS)
