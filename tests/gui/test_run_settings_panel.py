"""The panel that changes the run."""

from types import SimpleNamespace

import numpy as np
import pytest
from PyQt5 import QtCore, QtTest

from qatviz.gui.panels.settings.run import RunSettingsPanel
from qatviz.presentation.scene import Group
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings, Evaluate, SaveCheckpoint, SetSteps
from qatviz.settings import OPTIMIZER_SETTINGS


@pytest.fixture
def begin(context, show, staged):
    """A panel at a staged run of an optimizer that is to take 2,000 steps."""

    def make(optimizer="adam", steps=2000):
        run = staged("mlp")
        run.description = {"optimizer": optimizer, "steps": steps}
        context.model.set_run(run, run.network, run.book, "mlp")
        panel = show(RunSettingsPanel(context), 330, 640)
        panel.refresh()
        panel.run = run
        return panel

    return make


def deliver(panel, *news):
    panel.run.put(*news)
    panel.model.process(panel.run.advance(0).drain())
    panel.refresh()


@pytest.mark.parametrize("optimizer", OPTIMIZER_SETTINGS)
def test_only_the_settings_of_the_optimizer_are_shown(begin, optimizer):
    panel = begin(optimizer)
    shown = {name for name, control in panel.controls.items() if control.isVisible()}
    of_any = {name for names in OPTIMIZER_SETTINGS.values() for name in names}
    assert of_any & shown == set(OPTIMIZER_SETTINGS[optimizer])
    assert {"learning_rate", "weight_decay", "gradient_clip", "freeze_batch_norm", "evaluation_interval"} <= shown


def test_the_planned_learning_rate_is_shown_with_a_schedule(begin):
    panel = begin()
    shown = lambda: {name for name in ("lr_period", "lr_factor") if panel.controls[name].isVisible()}  # noqa: E731
    assert not shown() and not panel.rates.isVisible()
    panel.edits.edit(["run"], "lr_schedule", "cosine")
    panel.refresh()  # while the change is pending
    assert shown() == {"lr_period", "lr_factor"} and panel.rates.isVisible()
    run, steps, step = panel.rates._plan
    assert (run.lr_schedule, steps, step) == ("cosine", 2000, panel.run.step)
    (curve,) = [shape for shape in panel.rates.shapes(False) if isinstance(shape, Group)]
    (line,) = curve.shapes
    assert (np.diff(line.y) >= 0).all() and line.y[-1] > line.y[0]  # downwards
    panel.edits.apply()
    deliver(panel)
    assert panel.run.sent == [ChangeSettings((("run.lr_schedule", "cosine"),))]
    panel.edits.edit(["run"], "lr_schedule", "constant")
    panel.refresh()
    assert not panel.rates.isVisible()
    panel.edits.edit(["run"], "warmup_steps", 100)
    panel.refresh()
    assert panel.rates.isVisible() and not shown()


def test_label_smoothing_is_shown_for_classes_only(begin):
    panel = begin()
    assert panel.controls["label_smoothing"].isVisible()
    panel.run.description["task"] = "regression"
    panel.refresh()
    assert not panel.controls["label_smoothing"].isVisible()


def test_without_a_run_a_text_is_shown(context, show):
    panel = show(RunSettingsPanel(context), 330, 600)
    panel.refresh()
    assert panel.empty.isVisible() and not panel.column.isVisible()


def test_a_learning_rate_is_sent_and_shown_with_its_step(begin):
    panel = begin()
    control = panel.controls["learning_rate"]
    box = control.editor.box
    box.setFocus()
    box.selectAll()
    QtTest.QTest.keyClicks(box, "3e-4")
    QtTest.QTest.keyClick(box, QtCore.Qt.Key_Return)
    panel.edits.apply()
    assert panel.run.sent == [ChangeSettings((("run.learning_rate", 3e-4),))]
    step = panel.run.step
    deliver(panel)
    assert box.text() == "0.0003" and f"since step {step}" in control.toolTip()


def test_the_slider_of_the_learning_rate_moves_by_the_1_2_5_series(begin):
    panel = begin()
    slider = panel.controls["learning_rate"].editor.slider
    told = []
    panel.controls["learning_rate"].edited.connect(told.append)
    for _ in range(3):
        QtTest.QTest.keyClick(slider, QtCore.Qt.Key_Right)
    assert told == [2e-3, 5e-3, 1e-2]


def test_evaluate_and_checkpoint_are_sent_and_their_result_shown(begin):
    panel = begin()
    panel.evaluate.click()
    deliver(panel)
    assert "96.0 % quantized" in panel.result.text() and "98.0 % float" in panel.result.text()
    panel.checkpoint.click()
    deliver(panel)
    assert "checkpoint" in panel.result.text()
    assert panel.run.sent == [Evaluate(), SaveCheckpoint()]


def test_several_clicks_on_total_steps_are_sent_once_and_stay_pending(begin, app):
    panel = begin()
    box = panel.steps.control.editor.box
    assert box.text() == "2,000"
    for _ in range(3):
        QtTest.QTest.keyClick(box, QtCore.Qt.Key_Up)
    assert panel.run.sent == [] and "Pending" in panel.steps.control.toolTip()
    panel._steps_timer.timeout.emit()
    assert panel.run.sent == [SetSteps(2300)]
    deliver(panel)
    assert panel.model.total_steps == 2300 and "Pending" not in panel.steps.control.toolTip() and box.text() == "2,300"


def test_no_limit_can_be_switched_on_and_off(begin):
    panel = begin()
    panel.steps.endless.click()
    panel._steps_timer.timeout.emit()
    assert panel.run.sent[-1] == SetSteps(None)
    deliver(panel)
    assert panel.steps.endless.isChecked() and not panel.steps.control.editor.isEnabled()
    panel.steps.endless.click()
    panel._steps_timer.timeout.emit()
    assert panel.run.sent[-1] == SetSteps(2000)


def test_a_run_without_a_limit_is_shown_without_one(begin):
    assert begin(steps=None).steps.endless.isChecked()


def test_a_rejected_edit_is_reported_and_reverted(begin):
    panel = begin()
    panel.steps.edited.emit(-5)
    panel._steps_timer.timeout.emit()
    deliver(panel)
    assert panel.refusal.isVisible() and "expected a whole number of at least 0" in panel.refusal.text()
    assert panel.steps.control.editor.box.text() == "2,000"


def test_an_ended_run_disables_all_controls(begin):
    panel = begin()
    panel.run.end(events.Finished(panel.run.step))
    deliver(panel)
    assert not panel.evaluate.isEnabled() and not panel.checkpoint.isEnabled()
    assert not panel.controls["learning_rate"].editor.isEnabled()
    assert panel.model.unavailable_text() in panel.controls["learning_rate"].toolTip()


def test_an_immediate_refusal_is_reported(begin):
    panel = begin()
    panel.run.end(events.Stopped(panel.run.step))
    panel.evaluate.click()
    assert "has ended" in panel.refusal.text()


def test_the_compared_result_is_shown_where_evaluations_are_compared(begin):
    panel = begin()
    assert panel.controls["keep_best"].isVisible() and not panel.controls["monitor"].isVisible()
    panel.edits.edit(["run"], "patience", 3)
    panel.refresh()
    assert panel.controls["monitor"].isVisible()


def test_augmentation_is_shown_as_far_as_it_applies_to_the_examples(begin):
    panel = begin()
    assert panel.controls["augment_rotation"].isVisible() and panel.controls["augment_mixup"].isVisible()
    panel.model.network = SimpleNamespace(input_shape=(13,))
    panel.refresh()
    assert not panel.controls["augment_rotation"].isVisible() and panel.controls["augment_mixup"].isVisible()


def test_saved_checkpoints_are_offered_as_teachers(begin):
    panel = begin()
    control = panel.controls["teacher"]
    hidden = ("distillation_weight", "distillation_temperature", "ladder_steps")

    def offered():
        return [control.editor.box.itemText(i) for i in range(control.editor.box.count())]

    assert offered() == ["None", "Start of the run"]
    assert not any(panel.controls[name].isVisible() for name in hidden)
    panel.run.send(SaveCheckpoint("good"))
    deliver(panel)
    assert offered() == ["None", "Start of the run", "good"]
    control.editor.box.activated.emit(2)
    panel.edits.apply()
    assert panel.run.sent[-1] == ChangeSettings((("run.teacher", "good"),))
    deliver(panel)
    assert control.editor.box.currentText() == "good"
    assert [panel.controls[name].isVisible() for name in hidden] == [True, True, False]
    panel.run.description["teacher"] = {}
    panel.refresh()
    assert offered() == ["None", "Start of the run", "Keras model", "good"]
    assert control.editor.box.currentText() == "good"
    panel.edits.edit(["run"], "ladder", True)
    panel.refresh()
    assert panel.controls["ladder_steps"].isVisible()
