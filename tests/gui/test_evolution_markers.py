"""Markers of the evolution panel: their texts, and the commands sent from their menus."""

import pytest
from evolution_staging import advance_run, change, click, panel, train, trained  # noqa: F401
from PyQt5 import QtCore

from qatviz.errors import RunStateError
from qatviz.gui.panels.evolution.menu import MarkerMenu
from qatviz.gui.panels.evolution.panel import EvolutionPanel
from qatviz.presentation.chart import PLAIN, SELECTED
from qatviz.protocol import events
from qatviz.protocol.commands import ApplyPreset, ChangeSettings, RestoreCheckpoint


def test_a_change_is_a_marker_on_all_plots_with_its_effect(context, panel, trained):
    run = trained(80)
    run.evaluate((0.98, 0.97, 0.97, 0.971))
    change(context, run, ("conv1.weights.num_bits", 2), steps=80)
    run.evaluate((0.98, 0.97, 0.97, 0.958))
    advance_run(context, run)
    shown = panel("loss,sqnr")
    assert [(marker.step, marker.label) for marker in shown.effects.markers] == [(80, "w2")]
    assert [flag.label for flag in shown.strip.flags()] == ["w2"]
    for key in ("loss", "sqnr"):
        assert [line.x for line in shown.plots[key].canvas.markers] == [80]
    tip = shown.effects.text(shown.effects.markers)
    assert "Step 80" in tip and "conv1.weights.num_bits 8 → 2" in tip
    assert "(50 steps)" in tip and "accuracy 97.1 % → 95.8 %" in tip
    before, after = (float(part.split()[0]) for part in tip.split("SQNR ")[1].split(" → "))
    assert before > 30 > 15 > after


def test_the_marker_of_a_change_appears_while_the_run_continues(context, panel, trained):
    run = trained(20)
    shown = panel("loss")
    assert not shown.strip.flags()
    change(context, run, ("conv1.weights.num_bits", 4))
    assert shown.is_due()
    shown.refresh()
    assert [flag.label for flag in shown.strip.flags()] == ["w4"]
    assert "later" in shown.effects.text(shown.effects.markers)


def test_abandoned_branches_are_not_drawn(context, panel, trained):
    run = trained(20)
    change(context, run, ("conv1.weights.num_bits", 4))
    shown = panel("loss")
    name = shown.effects.markers[0].events[0].checkpoint
    context.model.process(run.carry_out(RestoreCheckpoint(name)))
    shown.refresh()
    assert [(marker.step, marker.label) for marker in shown.effects.markers] == [(20, "rewind")]
    train(context, run, 80)
    shown.refresh()
    assert "SQNR" not in shown.effects.text(shown.effects.markers), "there is no before to compare with"


def test_a_marker_that_has_gained_events_can_still_be_selected(context, panel, trained):
    run = trained(20)
    run.send(ChangeSettings((("conv1.weights.num_bits", 4),)))
    advance_run(context, run, 0)
    shown = panel("loss")
    drawn = list(shown.effects.markers)
    run.send(ChangeSettings((("conv2.weights.num_bits", 4),)))
    advance_run(context, run)
    shown.refresh()
    assert drawn[0] not in shown.effects.markers
    shown._on_flag(drawn, QtCore.QPoint())
    assert shown.selected_step == drawn[0].step and f"Step {drawn[0].step:,}" in shown.effects.text(drawn)
    shown.findChild(MarkerMenu).close()


def test_the_end_of_a_delay_is_a_marker_with_the_effect_on_its_tensors(context, panel, trained):
    run = trained(80)
    context.model.process([events.SettingsActivated(80, ("conv1.weights", "conv2.weights"))])
    train(context, run, 80)
    told = panel("loss").effects.text(panel("loss").effects.markers)
    assert "delay ends" in told and "mean of 2 tensors" in told


def test_a_click_on_a_line_or_a_flag_highlights_the_marker(context, panel, trained):
    run = trained(20)
    change(context, run, ("conv1.weights.num_bits", 4), steps=20)
    change(context, run, ("conv1.weights.num_bits", 3), steps=20)
    shown = panel("loss")
    activated = []
    shown.marker_activated.connect(activated.append)
    canvas = shown.plots["loss"].canvas
    click(canvas, QtCore.QPoint(round(canvas.pixel_of(20)) + 2, 20))
    assert activated == [20] and [line.emphasis for line in canvas.markers] == [SELECTED, PLAIN]
    click(shown.strip, shown.strip.flags()[1].rect.center())
    assert activated == [20, 40] and [line.emphasis for line in canvas.markers] == [PLAIN, SELECTED]
    menu = shown.findChild(MarkerMenu)
    assert menu.isVisible()
    menu.close()
    click(canvas, QtCore.QPoint(round(canvas.pixel_of(55)), 20))
    assert shown.selected_step is None and len(activated) == 2


def action(menu, text):
    return next(found for found in menu.actions() if found.text().startswith(text))


def test_the_menu_of_a_marker_undoes_its_change_or_rewinds_to_it(context, panel, trained):
    run = trained(20)
    change(context, run, ("conv1.weights.num_bits", 4), ("run.learning_rate", 0.01))
    shown = panel("loss")
    menu = shown.menu_of(shown.effects.markers)
    action(menu, "Undo this setting change").trigger()
    assert isinstance(run.sent[-1], ChangeSettings)
    assert dict(run.sent[-1].assignments) == {"conv1.weights.num_bits": 8, "run.learning_rate": 0.001}
    advance_run(context, run)
    assert context.model.settings_of("conv1.weights").num_bits == 8
    action(menu, "Rewind to before").trigger()
    assert run.sent[-1] == RestoreCheckpoint(shown.effects.markers[0].events[0].checkpoint) and run.sent[-1].name


def test_the_menu_of_several_markers_lists_the_newest_first(context, panel, trained):
    run = trained(20)
    for bits in (4, 5, 6):
        change(context, run, ("conv1.weights.num_bits", bits), steps=1)
    shown = panel("loss")
    menu = shown.menu_of(shown.effects.markers)
    assert [found.text() for found in menu.actions()] == ["Step 22: w6", "Step 21: w5", "Step 20: w4"]


def test_nothing_can_be_undone_in_a_run_that_has_ended(context, panel, trained):
    run = trained(20)
    change(context, run, ("conv1.weights.num_bits", 4))
    run.end(events.Finished(run.step))
    context.model.process(run.drain())
    shown = panel("loss")
    menu = shown.menu_of(shown.effects.markers)
    assert not action(menu, "Undo").isEnabled() and not action(menu, "Rewind").isEnabled()
    assert action(menu, "Go to").isEnabled()


def test_a_rejected_command_is_reported(context, panel, trained, monkeypatch):
    run = trained(20)
    change(context, run, ("conv1.weights.num_bits", 4))
    shown = panel("loss")
    refused = []
    context.edits.refused.connect(refused.append)

    def refuse(command):
        raise RunStateError("the run has ended")

    monkeypatch.setattr(run, "send", refuse)
    action(shown.menu_of(shown.effects.markers), "Undo").trigger()
    assert refused == ["the run has ended"]


def test_a_preset_is_one_marker(context, panel, trained):
    run = trained(20)
    change(context, run, ("*.weights.num_bits", 4))
    run.send(ApplyPreset("tflite-int8"))
    advance_run(context, run, 5)
    shown = panel("loss")
    assert [marker.label for marker in shown.effects.markers] == ["w4 ×4", "tflite-int8"]


def test_going_to_a_step_centres_it_and_highlights_the_marker_there(context, panel, trained):
    run = trained(300)
    change(context, run, ("conv1.weights.num_bits", 4), steps=300)
    shown = panel("loss")
    shown.go_to(310)
    low, high = shown.plots["loss"].canvas.x_range
    assert (low + high) / 2 == pytest.approx(310) and high - low < 300
    assert shown.selected_step == 300 and not shown.bar.follow.isChecked()


def test_going_to_a_step_without_a_run_does_nothing(context, panel):
    panel().go_to(10)


def test_going_to_a_step_works_before_the_panel_is_drawn(context, trained, show):
    run = trained(60)
    change(context, run, ("conv1.weights.num_bits", 4), steps=60)
    hidden = EvolutionPanel(context)
    hidden.go_to(60)
    show(hidden, 600, 330)
    hidden.refresh()
    low, high = hidden.plots["loss"].canvas.x_range
    assert (low + high) / 2 == pytest.approx(60) and hidden.selected_step == 60
