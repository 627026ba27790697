"""In a run that has ended, settings are previewed and evaluated instead of applied."""

import numpy as np
import pytest
from PyQt5 import QtCore
from small_runs import dataset
from staging import StagedRun
from tensorflow_needed import needs_tensorflow
from window_stage import draw, prepared_of

from qatviz import data
from qatviz.app.launching import AppLauncher
from qatviz.errors import DataError
from qatviz.gui.model.edits import HOLD, LIVE
from qatviz.gui.model.ghost import ghost_of
from qatviz.gui.model.launcher import EVALUATION
from qatviz.gui.panels.settings.quantization import QuantizationPanel
from qatviz.metric import MODES
from qatviz.protocol import events
from qatviz.session.prepare import prepare
from qatviz.session.recorded import open_recorded
from qatviz.session.request import NewRunRequest
from qatviz.settings import RunSettings

WEIGHT = "conv1.weights"


def evaluated_event(step=3, quantized=0.5):
    return events.Evaluated(step, dict(zip(MODES, (0.98, 0.9, 0.8, quantized))), 1000, 0.1)


@pytest.fixture
def ended(staged, context):
    """A staged run that was evaluated and stopped; the test sends it nothing."""
    run = staged("lenet")
    run.evaluate()
    run.end(events.Stopped(run.step))
    context.model.process(run.drain())
    run.sent.clear()
    yield run
    assert run.sent == []


@pytest.fixture
def panel(context, ended, show, app):
    panel = show(QuantizationPanel(context), 330, 780)
    panel.asked = []
    panel.what_if.wanted.connect(panel.asked.append)
    return panel


def drawn_bar(panel, app):
    for _ in range(3):
        app.processEvents()
    return panel.what_if_bar


@pytest.mark.parametrize("mode", [LIVE, HOLD])
def test_edits_stay_pending_and_have_a_ghost_on_the_last_snapshot(context, ended, mode, qtbot):
    edits, heard = context.edits, []
    edits.refused.connect(heard.append)
    edits.set_mode(mode)
    edits.set_dragging(True)
    edits.edit([WEIGHT], "num_bits", 3)
    edits.set_dragging(False)
    assert not edits._send_timer.isActive() and not edits._interval_timer.isActive()
    edits.apply()
    edits.set_mode(LIVE)
    assert edits.pending == {(WEIGHT, "num_bits"): 3} and heard == []
    ghost = ghost_of(context.model, edits, WEIGHT)
    assert ghost.settings.num_bits == 3 and ghost.step == context.model.snapshot.step
    assert not edits.can_undo and not edits.can_redo
    edits.discard()
    assert edits.pending == {} and edits.pending_book() is None


def test_a_preset_becomes_pending(context, ended):
    context.edits.apply_preset("int4")
    assert context.edits.pending[WEIGHT, "num_bits"] == 4


def test_held_edits_survive_the_end_of_the_run(staged, context):
    run, edits = staged("lenet"), context.edits
    edits.set_mode(HOLD)
    edits.edit([WEIGHT], "num_bits", 5)
    run.end(events.Finished(run.step))
    context.model.process(run.drain())
    assert edits.pending == {(WEIGHT, "num_bits"): 5}


def test_sent_edits_do_not_survive_the_end_of_the_run(staged, context):
    run, edits = staged("lenet"), context.edits
    edits.edit([WEIGHT], "num_bits", 5)
    edits.apply()
    run.end(events.Finished(run.step))
    context.model.process(run.drain())
    assert edits.pending == {}


def test_a_running_run_has_no_what_if_bar(context, staged, show):
    staged("lenet")
    panel = show(QuantizationPanel(context), 330, 780)
    assert panel.bar.isVisible() and not panel.what_if_bar.isVisible()
    panel.what_if.wanted.connect(lambda book: 1 / 0)
    panel.what_if.evaluate()
    assert not panel.what_if.is_busy


def test_the_result_is_shown_beside_the_recorded_one(panel, context, app):
    bar = drawn_bar(panel, app)
    assert "has ended" in bar.note.text() and "step 3" in bar.note.text() and not bar.discard.isEnabled()
    context.edits.edit([WEIGHT], "num_bits", 2)
    assert drawn_bar(panel, app).evaluate.text() == "Evaluate these settings (1)"
    bar.evaluate.click()
    (book,) = panel.asked
    assert book == context.edits.pending_book() and book.of(WEIGHT).num_bits == 2
    assert bar.work.isVisible() and bar.work.cancel.isVisible() and not bar.evaluate.isVisible()
    panel.what_if.show_progress("evaluating", 0.25)
    assert bar.work.bar.value() == 250 and bar.work.bar.text() == "Evaluating… 25 %"
    panel.what_if.show_result(evaluated_event())
    text = drawn_bar(panel, app).result.text()
    assert bar.result.isVisible() and bar.evaluate.isVisible() and not bar.work.isVisible()
    assert "step 3" in text and "these settings" in text and "96.0 %" in text and "<b>50.0 %</b>" in text
    assert "8 → 2" in bar.result.toolTip() and "1,000 held-out examples" in bar.result.toolTip()
    context.edits.discard()
    assert "earlier settings" in drawn_bar(panel, app).result.text()
    bar.evaluate.click()
    assert panel.asked[-1] == context.model.book
    panel.what_if.show_result(evaluated_event(quantized=0.96))
    assert "these settings" in bar.result.text() and "settings unchanged" in bar.result.toolTip()


def test_a_cancelled_evaluation_leaves_no_result(panel, app):
    cancelled = []
    panel.what_if.cancelled.connect(lambda: cancelled.append(1))
    bar = drawn_bar(panel, app)
    bar.evaluate.click()
    bar.work.cancel.click()
    panel.what_if.show_result(evaluated_event())  # too late
    panel.what_if.show_progress("evaluating", 0.5)
    assert cancelled == [1] and bar.evaluate.isVisible() and not bar.result.isVisible() and not panel.what_if.is_busy


def test_a_failure_is_shown_with_its_reason_until_the_next_one(panel, app):
    bar = drawn_bar(panel, app)
    bar.evaluate.click()
    panel.what_if.fail("its data is gone")
    assert bar.message.isVisible() and bar.message.text() == "Not evaluated: its data is gone"
    bar.evaluate.click()
    assert not bar.message.isVisible()


def test_another_run_clears_the_result(panel, staged, app):
    drawn_bar(panel, app).evaluate.click()
    panel.what_if.show_result(evaluated_event())
    panel.what_if.evaluate()
    staged("mlp")
    assert panel.what_if.result is None and not panel.what_if.is_busy


def test_an_ended_run_is_evaluated_with_other_settings(staged_window, app):
    window, run, advance = staged_window
    assert window.named["evaluate"].isEnabled()
    run.end(events.Finished(3))
    advance(0)
    sent = len(run.sent)
    window.named["fewer_bits"].trigger()
    window.named["evaluate"].trigger()
    ((asked, directory, book),) = window.launcher.evaluations
    assert (asked, directory) == (run, "/runs/a") and book.of(window.model.current).num_bits == 7
    assert window.named["discard"].isEnabled() and not window.named["apply"].isEnabled()
    bar = window.panels["quantization"].what_if_bar
    window.launcher.works[EVALUATION].progressed.emit("evaluating", 0.5)
    assert bar.work.bar.value() == 500
    window.launcher.works[EVALUATION].found.emit(events.Evaluated(3, dict.fromkeys(MODES, 0.125), 1000, 0.1))
    draw(window, app)
    assert "12.5 %" in bar.result.text() and len(run.sent) == sent
    window.named["evaluate"].trigger()
    other = StagedRun("mlp")
    window.launcher.prepared.emit(prepared_of(other, "/runs/b"), False)
    assert window.launcher.cancelled.count(EVALUATION) == 1 and not bar.isVisible()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The folder of a run of 8 steps."""
    folder = tmp_path_factory.mktemp("what_if")
    made, path = dataset((6, 6, 1), test=150), str(folder / "data.npz")
    np.savez(path, x_train=made.x_train, y_train=made.y_train, x_test=made.x_test, y_test=made.y_test)
    run = RunSettings(evaluation_interval=8, snapshot_interval=3600.0)
    request = NewRunRequest(network="mlp", data=path, steps=8, batch_size=8, run=run, out=str(folder / "run"))
    training = prepare(request).run
    training.start()
    assert training.wait()
    return str(folder / "run")


@pytest.fixture
def launcher(app):
    launcher = AppLauncher()
    yield launcher
    launcher.wait()
    app.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)


def test_a_lack_of_memory_is_no_error_in_the_program(launcher, monkeypatch, staged, qtbot):
    def shortage(*_):
        raise MemoryError

    monkeypatch.setattr("qatviz.session.evaluation.evaluator_of", shortage)
    monkeypatch.setattr("qatviz.session.prepare.prepare", lambda *_, **__: shortage())
    failures = []
    launcher.failed.connect(lambda *told: failures.append(told))
    launcher.works[EVALUATION].failed.connect(lambda *told: failures.append(told))
    run = staged("lenet")
    launcher.evaluate(run, "", run.book)
    qtbot.waitUntil(lambda: failures == [("there is not enough memory",)])
    launcher.begin(NewRunRequest())
    qtbot.waitUntil(lambda: failures[1:] == [("there is not enough memory", "")])


@needs_tensorflow
def test_a_recorded_run_is_evaluated_end_to_end(context, recorded, launcher, show, app, qtbot):
    prepared = open_recorded(recorded)
    context.model.set_run(*prepared[:5], prepared.log, prepared.snapshots)
    context.model.process(prepared.run.drain())
    panel = show(QuantizationPanel(context), 330, 780)
    panel.what_if.wanted.connect(lambda book: launcher.evaluate(prepared.run, recorded, book))
    panel.what_if.cancelled.connect(lambda: launcher.cancel(EVALUATION))
    launcher.works[EVALUATION].progressed.connect(panel.what_if.show_progress)
    launcher.works[EVALUATION].found.connect(panel.what_if.show_result)
    bar = drawn_bar(panel, app)
    assert "from its record" in bar.note.text()
    before = context.model.evaluation.scores
    bar.evaluate.click()
    qtbot.waitUntil(lambda: not panel.what_if.is_busy)
    assert panel.what_if.result.scores == before and panel.what_if.result.step == 8
    for tensor in context.model.tensors:
        context.edits.edit([tensor.name], "enabled", False)
    bar.evaluate.click()
    qtbot.waitUntil(lambda: not panel.what_if.is_busy)
    assert set(panel.what_if.result.scores.values()) == {before["float"]}
    assert len(launcher.workplace._evaluators) == 1  # one graph for all
    bar.evaluate.click()
    bar.work.cancel.click()
    launcher._pool.waitForDone()
    app.processEvents()
    assert set(panel.what_if.result.scores.values()) == {before["float"]} and not panel.what_if.is_busy


@needs_tensorflow
def test_missing_data_is_reported(recorded, launcher, qtbot, monkeypatch):
    def load(*_, **__):
        raise DataError("/gone.npz: no such file")

    monkeypatch.setattr(data, "load", load)
    run = open_recorded(recorded)
    heard = []
    launcher.works[EVALUATION].failed.connect(heard.append)
    launcher.evaluate(run.run, recorded, run.book)
    qtbot.waitUntil(lambda: bool(heard))
    assert "/gone.npz: no such file" in heard[0]
