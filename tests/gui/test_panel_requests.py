"""Results that the launcher computes for panels belong to the run and the panel that requested them."""

import threading

import pytest
from staging import StagedRun, sensitivity
from window_stage import make_window, prepared_of

from qatviz.analysis.drift import Drift, RunDrift
from qatviz.app.launching import AppLauncher
from qatviz.gui.model.launcher import EVALUATION, FORKS
from qatviz.metric import MODES
from qatviz.protocol import events
from qatviz.protocol.commands import EvaluateSettings

RESULT = events.Evaluated(3, dict.fromkeys(MODES, 0.625), 1000, 0.1)


def open_panel(window, name, app):
    window.docks.open(name)
    app.processEvents()
    window.panels[name].refresh()
    return window.panels[name]


@pytest.fixture
def held(app, settings, monkeypatch):
    """A window with a run that has ended, whose launcher computes as long as an event is not set."""
    launcher, end = AppLauncher(), threading.Event()
    asked = []

    def result(found):
        def compute(*question):
            asked.append(question)
            assert end.wait(60)
            return found

        return compute

    monkeypatch.setattr(launcher.workplace, "evaluate", result(RESULT))
    monkeypatch.setattr(launcher.workplace, "drift", result(RunDrift("final", Drift((), 0.25, 3, 64), None)))
    window = make_window(settings, launcher)
    window.show()
    run = StagedRun("mlp")
    window.show_prepared(prepared_of(run, ""))
    run.advance(3)
    run.end(events.Finished(3))
    window.model.process([*run.drain(), sensitivity(run)])
    yield window, asked, end
    end.set()
    window.close_without_asking()
    launcher.wait()
    window.deleteLater()
    app.processEvents()


def show_another_run(window):
    run = StagedRun("mlp")
    window.show_prepared(prepared_of(run, ""))
    window.model.process(run.advance(3).drain())


def finish(window, end, app):
    """Let the work that is held end, and the window receive its result."""
    end.set()
    assert window.launcher._pool.waitForDone()
    app.processEvents()


@pytest.mark.parametrize("is_superseded", [False, True])
def test_the_drift_of_a_run_is_not_that_of_the_next_one(held, app, qtbot, is_superseded):
    window, asked, end = held
    panel = open_panel(window, "drift", app)
    qtbot.waitUntil(lambda: len(asked) == 1)
    if is_superseded:
        show_another_run(window)
    finish(window, end, app)
    assert (window.model.drift is None) == is_superseded and not panel.work.is_busy


@pytest.mark.parametrize("is_superseded", [False, True])
@pytest.mark.parametrize("requests", ["budget", "what-if"])
def test_the_evaluation_of_a_run_is_not_that_of_the_next_one(held, app, qtbot, requests, is_superseded):
    window, asked, end = held
    panel = open_panel(window, "budget", app)
    if requests == "budget":
        panel.measure_button.click()
    else:
        window.panels["quantization"].what_if.evaluate()
    qtbot.waitUntil(lambda: len(asked) == 1)
    if is_superseded:
        show_another_run(window)
    finish(window, end, app)
    assert len(window.model.trials) == (0 if is_superseded else 1)
    assert not panel.trials.is_busy and (panel.trials.text == "") == (is_superseded or requests == "what-if")


def test_a_failure_to_read_the_forks_is_shown_in_the_budget(staged_window, app):
    window, _run, _ = staged_window
    window.model.is_recorded = True
    panel = open_panel(window, "budget", app)
    panel.refresh()
    wanted = len(window.launcher.forks_wanted)
    assert wanted
    window.launcher.works[FORKS].failed.emit("runs: permission denied")
    panel.refresh()
    assert panel.forks.isVisible() and "permission denied" in panel.forks.text.text()
    assert len(window.launcher.forks_wanted) == wanted


def test_the_budget_does_not_take_an_evaluation_of_the_other_panel_for_its_own(staged_window, app):
    window, run, _ = staged_window
    window.model.process([sensitivity(run)])
    panel = open_panel(window, "budget", app)
    panel.measure_button.click()
    assert isinstance(run.sent[-1], EvaluateSettings) and panel.trials.is_busy
    run.end(events.Stopped(3))
    window.model.process([item for item in run.drain() if isinstance(item, events.Stopped)])  # without an answer
    window.panels["quantization"].what_if.evaluate()
    window.launcher.works[EVALUATION].found.emit(RESULT)
    panel.refresh()
    assert window.panels["quantization"].what_if.result == RESULT
    assert panel.trial_text.text() == "Not measured: other settings are evaluated instead"
    panel.measure_button.click()
    window.panels["quantization"].what_if.evaluate()
    window.launcher.works[EVALUATION].found.emit(RESULT)
    panel.refresh()
    assert panel.trial_text.text() == "Not measured: other settings are evaluated instead"
