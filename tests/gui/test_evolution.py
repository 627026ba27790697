"""The evolution panel: what it shows of a staged run, and what it asks of it."""

import numpy as np
import pytest
from PyQt5 import QtCore, QtGui, QtWidgets
from PyQt5.QtTest import QTest

from qatviz.errors import RunStateError
from qatviz.gui.panels.evolution import EvolutionPanel
from qatviz.gui.panels.evolution_kinds import DEFAULT_SHOWN, KINDS
from qatviz.gui.panels.evolution_menu import MarkerMenu
from qatviz.gui.theme import LIGHT
from qatviz.telemetry import events
from qatviz.telemetry.collector import STEPS
from qatviz.telemetry.snapshots import StepRecord
from qatviz.training.commands import ApplyPreset, ChangeSettings, RestoreCheckpoint


@pytest.fixture
def panel(context, show):
    """Make the panel; ``panel(plots)`` with these plots on."""
    def make(plots="loss,accuracy,sqnr", width=800, height=500, **settings):
        context.settings.setValue("evolution/plots", plots)
        for name, value in settings.items():
            context.settings.setValue("evolution/" + name, value)
        made = show(EvolutionPanel(context), width, height)
        made.refresh()
        return made

    return make


def go_on(context, run, steps=1, *news):
    run.advance(steps)
    run.put(*news)
    context.model.take(run.drain())


def train(context, run, steps):
    """Many steps at little cost: the loss falls, the SQNR is 6 dB a bit, all else stays; no snapshot."""
    names, random = run.history.names(STEPS), np.random.RandomState(run.step)
    first, before = run.step + 1, run.history.latest(STEPS)[1]
    rows = np.repeat(before[np.newaxis], steps, axis=0)
    rows[:, 0] = 2.3 * np.exp(-np.arange(first, first + steps) / 200) + 0.05 * random.rand(steps)
    for tensor in run.plan.tensors:
        rows[:, names.index(tensor.name + "/sqnr_db")] = 6.02 * run.book.of(tensor.name).num_bits + random.randn(steps) * 0.3
    run.history.extend(STEPS, np.arange(first, first + steps), rows)
    run.step, run.seconds = run.step + steps, run.seconds + 0.01 * steps
    values = rows[-1, 2:].reshape(-1, len(run.plan.tensors))
    run.put(StepRecord(run.step, run.seconds, float(rows[-1, 0]), 1e-3, values))
    context.model.take(run.drain())


def change(context, run, *assignments, steps=10):
    """A change takes effect, then some steps."""
    run.send(ChangeSettings(assignments))
    run.advance(0, snapshot=False)
    train(context, run, steps)


@pytest.fixture
def trained(context, staged):
    """A run after some steps: ``trained(60)``."""
    def begin(steps, network="lenet"):
        run = staged(network, steps=1)
        if steps > 1:
            train(context, run, steps - 1)
        return run

    return begin


def restore(context, run, step, name="", changes=()):
    """As the trainer does it: the history is rewound, then the event tells."""
    run.history.rewind(step)
    left, run.step, run.seconds = run.step, step, step * 0.01
    context.model.take([events.Restored(step, name, "asked for", left, tuple(changes))])


def values(plot):
    return {entry.name: entry.value for entry in plot.legend.entries}


def curve(plot, index=0):
    return plot.canvas.curves[index]


# Empty states


def test_without_a_run_it_says_what_will_be_here(context, panel):
    shown = panel()
    assert "No run" in shown.empty.text() and shown.empty.isVisible() and not shown.strip.isVisible()


def test_before_the_first_step_it_says_what_it_waits_for(context, panel, staged):
    run = staged(steps=0)
    shown = panel()
    assert "first step" in shown.empty.text()
    go_on(context, run, 1)
    shown.refresh()
    assert not shown.empty.isVisible() and len(curve(shown.plots["loss"]).x) == 1


def test_a_plot_without_values_says_what_it_waits_for(context, panel, staged):
    run = staged()
    shown = panel()
    assert "evaluation" in shown.plots["accuracy"].canvas.note
    run.evaluate()
    go_on(context, run)
    shown.refresh()
    assert shown.plots["accuracy"].canvas.note == "" and values(shown.plots["accuracy"])["float"] == "98.0 %"


def test_with_no_plot_on_it_says_so(context, panel, staged):
    staged()
    shown = panel("loss")
    shown.bar.plots["loss"].click()
    assert "No plot is chosen" in shown.empty.text()


# What is drawn


def test_by_default_there_are_loss_accuracy_and_sqnr_of_the_selection(context, show, staged):
    staged()
    shown = show(EvolutionPanel(context), 600, 330)
    shown.refresh()
    assert {key for key, plot in shown.plots.items() if plot.isVisible()} == set(DEFAULT_SHOWN) == {"loss", "accuracy", "sqnr"}
    assert list(values(shown.plots["sqnr"])) == ["conv1.weights"]


def test_every_plot_draws_what_the_history_has(context, panel, staged):
    run = staged(steps=3)
    for _ in range(4):
        go_on(context, run, 1)
    run.evaluate()
    go_on(context, run)
    context.model.select(["conv1.weights", "conv1.activations"])
    shown = panel(",".join(kind.key for kind in KINDS), height=1200)
    series = {"loss": "loss", "accuracy": "accuracy.quantized", "sqnr": "conv1.weights/sqnr_db", "error": "conv1.weights/mse",
              "scale": "conv1.weights/scale", "zero_point": "conv1.weights/zero_point",
              "flip_rate": "snapshot:conv1.weights/flip_rate", "learning_rate": "learning_rate"}
    for kind in KINDS:
        known = run.history.series(series[kind.key])
        wanted = known.mean.astype(np.float64) * kind.factor
        drawn = curve(shown.plots[kind.key])
        np.testing.assert_array_equal(drawn.x, known.last_step)
        np.testing.assert_allclose(drawn.y, np.log10(wanted) if kind.log else wanted, rtol=1e-6)
    assert len(shown.plots["error"].canvas.curves) == 6, "total, clipping and rounding of two tensors"


def test_values_in_the_legend_are_the_newest_or_those_at_the_crosshair(context, panel, trained):
    run = trained(50)
    shown = panel("loss")
    loss = run.history.series("loss").mean
    assert float(values(shown.plots["loss"])[""]) == pytest.approx(loss[-1], rel=5e-3)
    canvas = shown.plots["loss"].canvas
    QTest.mouseMove(canvas, QtCore.QPoint(round(canvas.pixel_of(20.2)), 20))
    assert float(values(shown.plots["loss"])[""]) == pytest.approx(loss[19], rel=5e-3)
    assert shown.ruler.crosshair_text.startswith("step 20")
    QtWidgets.QApplication.sendEvent(canvas, QtCore.QEvent(QtCore.QEvent.Leave))
    assert float(values(shown.plots["loss"])[""]) == pytest.approx(loss[-1], rel=5e-3) and canvas.crosshair is None


def test_the_crosshair_is_in_all_plots_and_says_nothing_of_the_future(context, panel, trained):
    trained(40)
    shown = panel("loss,sqnr")
    canvas = shown.plots["loss"].canvas
    QTest.mouseMove(canvas, QtCore.QPoint(round(canvas.pixel_of(10)), 20))
    assert shown.plots["sqnr"].canvas.crosshair == pytest.approx(10, abs=1)
    QTest.mouseMove(canvas, QtCore.QPoint(round(canvas.pixel_of(48)), 20))
    assert values(shown.plots["sqnr"]) == {"conv1.weights": "–"}


def test_selected_tensors_are_coloured_by_position_and_eight_at_most(context, panel, staged):
    run = staged()
    names = [tensor.name for tensor in run.plan.tensors]
    shown = panel("sqnr")
    context.model.select(names[2:5])
    shown.refresh()
    entries = shown.plots["sqnr"].legend.entries
    assert [entry.name for entry in entries] == names[2:5]
    assert [entry.color for entry in entries] == [context.theme.series(i) for i in range(3)]
    context.model.select(names)
    shown.refresh()
    assert len(names) == 9 and len(shown.plots["sqnr"].legend.entries) == 8
    assert shown.bar.told.text() == "8 of 9 selected shown"


def test_all_tensors_are_drawn_behind_the_selection(context, panel, staged):
    run = staged()
    shown = panel("sqnr")
    shown.bar.all_tensors.trigger()
    assert len(shown.plots["sqnr"].canvas.curves) == len(run.plan.tensors)
    assert len(shown.plots["sqnr"].legend.entries) == 1


def test_a_click_in_the_legend_hides_a_tensor_in_all_plots(context, panel, staged):
    staged()
    context.model.select(["conv1.weights", "conv2.weights"])
    shown = panel("sqnr,scale")
    legend = shown.plots["sqnr"].legend
    for curves in (1, 2):
        QTest.mouseClick(legend, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, legend.entry_rect("tensor.conv2.weights").center())
        assert all(len(shown.plots[key].canvas.curves) == curves for key in ("sqnr", "scale"))
    assert not any(entry.hidden for entry in legend.entries)


def test_old_steps_are_read_as_buckets_with_their_extremes(context, panel, staged):
    run = staged(steps=2)
    n = 30000
    rows = np.zeros((n, len(run.history.names(STEPS))), np.float32)
    rows[:, 0] = 1
    rows[n // 2, 0] = 50  # a spike of one step
    run.history.extend(STEPS, np.arange(3, n + 3), rows)
    shown = panel("loss")
    drawn = curve(shown.plots["loss"])
    assert len(drawn.x) <= shown.plots["loss"].canvas.width() / 2
    assert drawn.high.max() == 50 and drawn.y.max() < 5
    assert shown.plots["loss"].canvas.y_range[1] >= 50


def test_smoothing_draws_an_average_over_faint_steps(context, panel, trained):
    trained(60)
    shown = panel("loss")
    raw = curve(shown.plots["loss"])
    shown.plots["loss"].smoothing.slider.setValue(4)
    smoothed = curve(shown.plots["loss"])
    assert np.abs(np.diff(smoothed.y)).max() < 0.5 * np.abs(np.diff(raw.y)).max()
    assert (smoothed.low <= raw.y).all() and (raw.y <= smoothed.high).all()


def test_values_that_are_not_finite_or_not_positive_are_drawn_without_complaint(context, panel, trained):
    run = trained(5)
    rows = np.zeros((6, len(run.history.names(STEPS))), np.float32)
    rows[:, 0] = [1, np.nan, np.inf, -np.inf, 0, 2]
    rows[1:3, 2:] = np.nan
    run.history.extend(STEPS, np.arange(6, 12), rows)
    shown = panel(",".join(kind.key for kind in KINDS), height=1200)
    shown.plots["loss"].log.click()
    shown.grab()
    low, high = shown.plots["loss"].canvas.y_range
    assert np.isfinite([low, high]).all() and low < np.log10(2) < high


def test_a_tensor_in_float_and_one_per_channel_are_drawn(context, panel, staged):
    run = staged()
    change(context, run, ("conv1.weights.enabled", False), ("conv2.weights.per_channel", True))
    context.model.select(["conv1.weights", "conv2.weights"])
    shown = panel("sqnr,scale,error,flip_rate", height=900)
    shown.grab()
    assert len(curve(shown.plots["scale"]).x) == run.step


def test_the_axis_of_values_does_not_move_with_each_step(context, panel, trained):
    run = trained(30)
    shown = panel("loss,sqnr")
    seen = {"loss": set(), "sqnr": set()}
    for _ in range(60):
        train(context, run, 1)
        shown.refresh()
        for key in seen:
            seen[key].add(shown.plots[key].canvas.y_range)
    assert max(map(len, seen.values())) <= 6, "not 60"


def test_another_run_and_another_network_start_anew(context, panel, staged, trained):
    run = trained(40)
    change(context, run, ("conv1.weights.num_bits", 4))
    shown = panel("loss,sqnr")
    shown.plots["loss"].canvas.panned.emit(-5.0)
    staged("mlp", steps=3)
    shown.refresh()
    assert len(curve(shown.plots["loss"]).x) == 3 and not shown.effects.markers and shown.axis.follow
    assert list(values(shown.plots["sqnr"])) == [context.model.current]
    context.model.close_run()
    shown.refresh()
    assert "No run" in shown.empty.text()


def test_a_run_set_back_ends_there_and_goes_on(context, panel, trained):
    run = trained(60)
    shown = panel("loss", seconds=True)
    restore(context, run, 20)
    shown.refresh()
    assert len(curve(shown.plots["loss"]).x) == 20
    go_on(context, run, 5)
    shown.refresh()
    drawn = curve(shown.plots["loss"])
    assert len(drawn.x) == 25 and drawn.x[-1] == pytest.approx(0.25)


# Axis


def test_it_follows_until_it_is_panned_and_again_with_f(context, panel, trained):
    run = trained(60)
    shown = panel("loss")
    canvas = shown.plots["loss"].canvas
    assert shown.bar.follow.isChecked() and canvas.x_range[1] >= 60
    canvas.zoomed.emit(0.3, 50.0)
    canvas.panned.emit(-20.0)
    kept = canvas.x_range
    assert not shown.bar.follow.isChecked()
    train(context, run, 60)
    shown.refresh()
    assert canvas.x_range == kept
    shown.activateWindow()
    canvas.setFocus()
    QTest.keyClick(canvas, QtCore.Qt.Key_F)
    assert shown.bar.follow.isChecked() and canvas.x_range[1] >= 120
    assert canvas.x_range[1] - canvas.x_range[0] == pytest.approx(kept[1] - kept[0])
    QTest.keyClick(canvas, QtCore.Qt.Key_Home)
    assert canvas.x_range[0] == 0


def test_all_plots_and_the_ruler_show_the_same_stretch(context, panel, trained):
    trained(60)
    shown = panel("loss,accuracy,sqnr")
    shown.plots["sqnr"].canvas.boxed.emit(10.0, 40.0)
    assert {plot.canvas.x_range for plot in shown.plots.values() if plot.isVisible()} == {(10.0, 40.0)}
    assert shown.ruler._x_range == (10.0, 40.0)


def test_the_axis_shows_seconds_and_keeps_its_place(context, panel, trained):
    trained(100)
    shown = panel("loss")
    shown.plots["loss"].canvas.boxed.emit(20.0, 60.0)
    shown.bar.seconds.trigger()
    assert shown.plots["loss"].canvas.x_range == pytest.approx((0.2, 0.6)) and shown.ruler.unit == "seconds"
    drawn = curve(shown.plots["loss"])
    assert drawn.x[50] == pytest.approx(0.51, abs=0.02)
    shown.bar.seconds.trigger()
    assert shown.plots["loss"].canvas.x_range == pytest.approx((20, 60))


def test_the_height_of_an_axis_is_not_noise(context, panel, trained):
    trained(20)
    low, high = panel("sqnr").plots["sqnr"].canvas.y_range
    assert high - low >= 6


def test_what_was_chosen_is_remembered(context, panel, staged):
    staged()
    shown = panel("loss")
    shown.bar.plots["scale"].click()
    shown.plots["scale"].log.click()
    shown.bar.seconds.trigger()
    shown.plots["loss"].smoothing.slider.setValue(3)
    again = EvolutionPanel(context)
    assert list(again.bar.shown) == ["loss", "scale"] and not again.plots["scale"].log.isChecked()
    assert again.axis.unit == "seconds" and again.plots["loss"].smoothing.steps == 20
    again.deleteLater()


# Markers


def test_a_change_is_a_marker_on_all_plots_with_its_effect(context, panel, trained):
    run = trained(80)
    run.evaluate((0.98, 0.97, 0.97, 0.971))
    change(context, run, ("conv1.weights.num_bits", 2), steps=80)
    run.evaluate((0.98, 0.97, 0.97, 0.958))
    go_on(context, run)
    shown = panel("loss,sqnr")
    assert [(marker.step, marker.label) for marker in shown.effects.markers] == [(80, "w2")]
    assert [flag.label for flag in shown.strip.flags()] == ["w2"]
    for key in ("loss", "sqnr"):
        assert [line.x for line in shown.plots[key].canvas.lines] == [80]
    tip = shown.effects.tell(shown.effects.markers)
    assert "Step 80" in tip and "conv1.weights.num_bits 8 → 2" in tip
    assert "(50 steps)" in tip and "accuracy 97.1 % → 95.8 %" in tip
    before, after = (float(part.split()[0]) for part in tip.split("SQNR ")[1].split(" → "))
    assert before > 30 > 15 > after


def test_the_marker_of_a_change_appears_while_the_run_goes_on(context, panel, trained):
    run = trained(20)
    shown = panel("loss")
    assert not shown.strip.flags()
    change(context, run, ("conv1.weights.num_bits", 4))
    assert shown.is_due()
    shown.refresh()
    assert [flag.label for flag in shown.strip.flags()] == ["w4"]
    assert "later" in shown.effects.tell(shown.effects.markers)


def test_what_was_left_behind_is_not_drawn(context, panel, trained):
    run = trained(20)
    change(context, run, ("conv1.weights.num_bits", 4))
    shown = panel("loss")
    name = shown.effects.markers[0].events[0].checkpoint
    restore(context, run, 20, name, [events.Change("conv1.weights.num_bits", 4, 8)])
    shown.refresh()
    assert [(marker.step, marker.label) for marker in shown.effects.markers] == [(20, "back")]


def test_a_click_on_a_line_or_a_flag_highlights_the_marker(context, panel, trained):
    run = trained(20)
    change(context, run, ("conv1.weights.num_bits", 4), steps=20)
    change(context, run, ("conv1.weights.num_bits", 3), steps=20)
    shown = panel("loss")
    activated = []
    shown.marker_activated.connect(activated.append)
    canvas = shown.plots["loss"].canvas
    QTest.mouseClick(canvas, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, QtCore.QPoint(round(canvas.pixel_of(20)) + 2, 20))
    assert activated == [20] and [line.selected for line in canvas.lines] == [True, False]
    QTest.mouseClick(shown.strip, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, shown.strip.flags()[1].rect.center())
    assert activated == [20, 40] and [line.selected for line in canvas.lines] == [False, True]
    menu = shown.findChild(MarkerMenu)
    assert menu.isVisible()
    menu.close()
    QTest.mouseClick(canvas, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, QtCore.QPoint(round(canvas.pixel_of(55)), 20))
    assert shown.selected_step is None and len(activated) == 2


def action(menu, text):
    return next(found for found in menu.actions() if found.text().startswith(text))


def test_a_change_is_undone_or_gone_back_to_from_its_marker(context, panel, trained):
    run = trained(20)
    change(context, run, ("conv1.weights.num_bits", 4), ("run.learning_rate", 0.01))
    shown = panel("loss")
    menu = shown.menu_of(shown.effects.markers)
    action(menu, "Undo this setting change").trigger()
    assert isinstance(run.sent[-1], ChangeSettings)
    assert dict(run.sent[-1].assignments) == {"conv1.weights.num_bits": 8, "run.learning_rate": 0.001}
    go_on(context, run)
    assert context.model.settings_of("conv1.weights").num_bits == 8
    action(menu, "Go back to before").trigger()
    assert run.sent[-1] == RestoreCheckpoint(shown.effects.markers[0].events[0].checkpoint) and run.sent[-1].name


def test_many_markers_share_a_menu_newest_first(context, panel, trained):
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
    context.model.take(run.drain())
    shown = panel("loss")
    menu = shown.menu_of(shown.effects.markers)
    assert not action(menu, "Undo").isEnabled() and not action(menu, "Go back").isEnabled()
    assert action(menu, "Go to").isEnabled()


def test_what_the_run_refuses_is_told(context, panel, trained, monkeypatch):
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
    go_on(context, run, 5)
    shown = panel("loss")
    assert [marker.label for marker in shown.effects.markers] == ["w4 ×4", "tflite-int8"]


def test_going_to_a_step_brings_it_into_the_middle_and_highlights_what_is_near(context, panel, trained):
    run = trained(300)
    change(context, run, ("conv1.weights.num_bits", 4), steps=300)
    shown = panel("loss")
    shown.go_to(310)
    low, high = shown.plots["loss"].canvas.x_range
    assert (low + high) / 2 == pytest.approx(310) and high - low < 300
    assert shown.selected_step == 300 and not shown.bar.follow.isChecked()


def test_going_to_a_step_without_a_run_does_nothing(context, panel):
    panel().go_to(10)


def test_going_to_a_step_before_the_panel_was_ever_drawn(context, trained, show):
    run = trained(60)
    change(context, run, ("conv1.weights.num_bits", 4), steps=60)
    hidden = EvolutionPanel(context)
    hidden.go_to(60)
    show(hidden, 600, 330)
    hidden.refresh()
    low, high = hidden.plots["loss"].canvas.x_range
    assert (low + high) / 2 == pytest.approx(60) and hidden.selected_step == 60


# Taking it along


def test_the_table_has_every_step_in_view(context, panel, trained):
    run = trained(200)
    context.model.select(["conv1.weights", "conv2.weights"])
    shown = panel("loss,sqnr")
    table = shown.plots["sqnr"].table()
    assert list(table) == ["step", "conv1.weights/sqnr_db", "conv2.weights/sqnr_db"]
    np.testing.assert_array_equal(table["step"], np.arange(1, 201))
    np.testing.assert_array_equal(table["conv2.weights/sqnr_db"], run.history.series("conv2.weights/sqnr_db").mean)
    shown.plots["loss"].canvas.boxed.emit(50.0, 99.5)
    assert set(shown.plots["loss"].table()["step"]) >= set(range(50, 100))


def test_a_plot_by_itself_is_drawn_with_an_axis_and_in_the_panel_without(context, panel, trained):
    trained(60)
    plot = panel("loss,sqnr").plots["loss"]
    height = plot.canvas.plot_rect.height()
    image = QtGui.QImage(plot.size(), QtGui.QImage.Format_RGB32)
    painter = QtGui.QPainter(image)
    seen = []
    paint = plot.canvas._paint
    plot.canvas._paint = lambda *arguments: (seen.append(plot.canvas.plot_rect.height()), paint(*arguments))
    QtWidgets.QWidget.render(plot, painter, QtCore.QPoint())
    painter.end()
    assert seen[0] < height - 10 and len(seen) == 1
    plot.canvas.changed()
    plot.window().grab()
    assert seen[-1] == height


def test_it_is_drawn_in_the_light_theme_too(context, panel, trained):
    trained(60)
    shown = panel()
    context.theme.use(LIGHT)
    shown.refresh()
    picture = shown.plots["loss"].canvas.grab().toImage()
    assert picture.pixelColor(100, 10).lightness() > 200


def test_only_visible_plots_are_read(context, panel, trained):
    trained(10)
    shown = panel("loss")
    assert not shown.plots["sqnr"].canvas.curves and not shown.plots["sqnr"].isVisible()
