"""The evolution panel on a staged run."""

import numpy as np
import pytest
from evolution_staging import advance_run, change, click, curve, panel, train, trained, values  # noqa: F401
from PyQt5 import QtCore, QtGui, QtWidgets
from PyQt5.QtTest import QTest
from qt_use import press

from qatviz.gui.panels.evolution.kinds import DEFAULT_SHOWN, KINDS
from qatviz.gui.panels.evolution.panel import EvolutionPanel
from qatviz.gui.widgets.figures.svg import draw_widget
from qatviz.gui.widgets.theme import LIGHT
from qatviz.measures import MEASURES
from qatviz.presentation.palette import series_role
from qatviz.protocol.commands import RestoreCheckpoint, SaveCheckpoint, Undo
from qatviz.telemetry.record.refill import STEPS

# Empty states


def test_without_a_run_a_text_is_shown(context, panel):
    shown = panel()
    assert "No run" in shown.empty.text() and shown.empty.isVisible() and not shown.strip.isVisible()


def test_before_the_first_step_a_text_is_shown(context, panel, staged):
    run = staged(steps=0)
    shown = panel()
    assert "first training step" in shown.empty.text()
    advance_run(context, run, 1)
    shown.refresh()
    assert not shown.empty.isVisible() and len(curve(shown.plots["loss"]).x) == 1


def test_a_plot_without_values_shows_a_text(context, panel, staged):
    run = staged()
    shown = panel()
    assert "evaluation" in shown.plots["accuracy"].canvas.note
    run.evaluate()
    advance_run(context, run)
    while shown.is_due():
        shown.refresh()
    plot = shown.plots["accuracy"]
    assert plot.canvas.note == "" and values(plot)["float"] == "98.0 %"
    advance_run(context, run, 300)
    plot.canvas.boxed.emit(200.0, 220.0)
    assert plot.canvas.note == "No values in this part of the run"
    plot.canvas.boxed.emit(5.0, 20.0)
    assert plot.canvas.note == "No values in this part of the run", "though they are near"
    run.evaluate()
    advance_run(context, run)
    plot.canvas.boxed.emit(200.0, 220.0)
    low, high = plot.canvas.y_range
    assert plot.canvas.note == "" and low < 98 < high, "the line to the next evaluation crosses this part"
    assert values(plot)["float"] == "98.0 %"


def test_without_a_selected_plot_a_text_is_shown(context, panel, staged):
    staged()
    shown = panel("loss")
    shown.bar.plots["loss"].click()
    assert "No plot is selected" in shown.empty.text()


# What is drawn


def test_default_plots_are_loss_accuracy_and_sqnr_of_the_selection(context, show, staged):
    staged()
    shown = show(EvolutionPanel(context), 600, 330)
    shown.refresh()
    assert set(DEFAULT_SHOWN) == {"loss", "accuracy", "sqnr"}
    assert {key for key, plot in shown.plots.items() if plot.isVisible()} == set(DEFAULT_SHOWN)
    assert list(values(shown.plots["sqnr"])) == ["conv1.weights"]


def test_every_plot_draws_the_values_of_the_history(context, panel, staged):
    run = staged(steps=3)
    for _ in range(4):
        advance_run(context, run, 1)
    run.evaluate()
    advance_run(context, run)
    context.model.select(["conv1.weights", "conv1.activations"])
    shown = panel(",".join(kind.key for kind in KINDS), height=1200)
    series = {
        "loss": "loss",
        "accuracy": "accuracy.quantized",
        "sqnr": "conv1.weights/sqnr_db",
        "error": "conv1.weights/mse",
        "scale": "conv1.weights/scale",
        "scale_gradient": "conv1.weights/scale_gradient",
        "zero_point": "conv1.weights/zero_point",
        "flip_rate": "snapshot:conv1.weights/flip_rate",
        "oscillating": "snapshot:conv1.weights/oscillating",
        "frozen_weights": "snapshot:conv1.weights/frozen_weights",
        "learning_rate": "learning_rate",
    }
    for kind in KINDS:
        if kind.is_setting or kind.key == "strength":  # not in the history: see test_strength_series.py
            continue
        known = run.history.series(series[kind.key])
        wanted = known.mean.astype(np.float64) * kind.axis.factor
        drawn = curve(shown.plots[kind.key])
        np.testing.assert_array_equal(drawn.x, known.last_step)
        np.testing.assert_allclose(drawn.y, np.log10(wanted) if kind.axis.is_log else wanted, rtol=1e-6)
    assert len(shown.plots["error"].canvas.curves) == 6, "total, clipping and rounding of two tensors"


def test_the_legend_shows_values_at_the_crosshair_or_the_newest(context, panel, trained):
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


def test_the_legend_shows_the_number_of_a_step_where_points_have_several(context, panel, trained):
    run = trained(3000)
    shown = panel("loss,sqnr")
    loss = run.history.series("loss").mean
    plot = shown.plots["loss"]
    assert len(curve(plot).x) < 1600, "a point is the mean of several steps"
    assert values(plot)[""] == MEASURES["loss"].plain(context.model.last_step.loss), "as in the status bar"
    QTest.mouseMove(plot.canvas, QtCore.QPoint(round(plot.canvas.pixel_of(2501.2)), 20))
    step = int(shown.ruler.crosshair_text.split()[1].replace(",", ""))
    assert values(plot)[""] == MEASURES["loss"].plain(loss[step - 1])
    sqnr = run.history.series("conv1.weights/sqnr_db", step, step).mean[0]
    assert values(shown.plots["sqnr"])["conv1.weights"] == MEASURES["sqnr_db"].text(float(sqnr))


def test_estimates_show_their_error_and_snapshots_the_exact_value(context, panel, staged):
    run = staged(steps=3)
    advance_run(context, run, 4)
    context.model.select(["conv2.weights"])
    shown = panel("sqnr,error").plots["sqnr"]
    exact = MEASURES["sqnr_db"].text(context.model.measure("conv2.weights", "sqnr_db"))
    assert context.model.snapshot.step == run.step == 7 and values(shown) == {"conv2.weights": exact}
    QTest.mouseMove(shown.canvas, QtCore.QPoint(round(shown.canvas.pixel_of(5.1)), 20))
    estimate = run.history.series("conv2.weights/sqnr_db", 5, 5).mean[0]
    assert values(shown) == {"conv2.weights": f"≈ {estimate:.1f} dB ± 0.3"}
    # Of a tensor that is measured as a whole there are no estimates.
    context.model.select(["conv1.weights"])
    shown.window().refresh()
    QTest.mouseMove(shown.canvas, QtCore.QPoint(round(shown.canvas.pixel_of(4.1)), 20))
    assert set(values(shown)) == {"conv1.weights"} and "≈" not in values(shown)["conv1.weights"]


def test_the_crosshair_spans_all_plots_and_has_no_future_values(context, panel, trained):
    trained(40)
    shown = panel("loss,sqnr")
    canvas = shown.plots["loss"].canvas
    QTest.mouseMove(canvas, QtCore.QPoint(round(canvas.pixel_of(10)), 20))
    assert shown.plots["sqnr"].canvas.crosshair == pytest.approx(10, abs=1)
    QTest.mouseMove(canvas, QtCore.QPoint(round(canvas.pixel_of(48)), 20))
    assert values(shown.plots["sqnr"]) == {"conv1.weights": "–"}
    # A dialog that opens under the mouse takes it away without an event.
    QtWidgets.QApplication.sendEvent(canvas, QtCore.QEvent(QtCore.QEvent.WindowDeactivate))
    assert shown.plots["sqnr"].canvas.crosshair is None and not shown.ruler.crosshair_text


def test_selected_tensors_are_coloured_by_position_and_eight_at_most(context, panel, staged):
    run = staged()
    names = [tensor.name for tensor in run.plan.tensors]
    shown = panel("sqnr")
    context.model.select(names[2:5])
    shown.refresh()
    entries = shown.plots["sqnr"].legend.entries
    assert [entry.name for entry in entries] == names[2:5]
    assert [entry.stroke.role for entry in entries] == [series_role(i) for i in range(3)]
    context.model.select(names)
    shown.refresh()
    assert len(names) == 9 and len(shown.plots["sqnr"].legend.entries) == 8
    assert shown.bar.note.text() == "8 of 9 selected shown"


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
        click(legend, legend.entry_rect("tensor.conv2.weights").center())
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


def test_a_single_step_is_drawn_with_smoothing(panel, staged):
    staged(steps=1)
    shown = panel("loss")
    shown.plots["loss"].smoothing.slider.setValue(4)
    drawn = curve(shown.plots["loss"])
    assert len(drawn.x) == len(drawn.y) == 1 and all(part is None or len(part) == 1 for part in (drawn.low, drawn.high))


def test_nonfinite_and_nonpositive_values_can_be_drawn(context, panel, trained):
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


def test_float_tensors_and_tensors_per_channel_are_drawn(context, panel, staged):
    run = staged()
    change(context, run, ("conv1.weights.enabled", False), ("conv2.weights.per_channel", True))
    context.model.select(["conv1.weights", "conv2.weights"])
    shown = panel("sqnr,scale,error,flip_rate", height=900)
    shown.grab()
    assert len(curve(shown.plots["scale"]).x) == run.step


def test_the_value_axis_does_not_move_at_every_step(context, panel, trained):
    run = trained(30)
    shown = panel("loss,sqnr")
    seen = {"loss": set(), "sqnr": set()}
    for _ in range(60):
        train(context, run, 1)
        shown.refresh()
        for key, ranges in seen.items():
            ranges.add(shown.plots[key].canvas.y_range)
    assert max(map(len, seen.values())) <= 6, "not 60"


def test_another_run_resets_the_panel(context, panel, staged, trained):
    run = trained(40)
    change(context, run, ("conv1.weights.num_bits", 4))
    shown = panel("loss,sqnr")
    shown.plots["loss"].canvas.panned.emit(-5.0)
    staged("mlp", steps=3)
    shown.refresh()
    assert len(curve(shown.plots["loss"]).x) == 3 and not shown.effects.markers and shown.axis.follow
    assert list(values(shown.plots["sqnr"])) == [context.model.current]


def test_curves_of_a_rewound_run_end_there_and_continue(context, panel, trained):
    run = trained(20)
    context.model.process(run.carry_out(SaveCheckpoint("kept")))
    train(context, run, 40)
    shown = panel("loss", seconds=True)
    context.model.process(run.carry_out(RestoreCheckpoint("kept")))
    shown.refresh()
    assert len(curve(shown.plots["loss"]).x) == 20
    advance_run(context, run, 5)
    shown.refresh()
    drawn = curve(shown.plots["loss"])
    assert len(drawn.x) == 25 and drawn.x[-1] == pytest.approx(0.25)


# Axis


def test_panning_stops_following_and_f_resumes_it(context, panel, trained):
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
    press(canvas, QtCore.Qt.Key_F)
    assert shown.bar.follow.isChecked() and canvas.x_range[1] >= 120
    assert canvas.x_range[1] - canvas.x_range[0] == pytest.approx(kept[1] - kept[0])
    QTest.keyClick(canvas, QtCore.Qt.Key_Home)
    assert canvas.x_range[0] == 0


def test_all_plots_and_the_ruler_show_the_same_range(context, panel, trained):
    trained(60)
    shown = panel("loss,accuracy,sqnr")
    shown.plots["sqnr"].canvas.boxed.emit(10.0, 40.0)
    assert {plot.canvas.x_range for plot in shown.plots.values() if plot.isVisible()} == {(10.0, 40.0)}
    assert shown.ruler._x_range == (10.0, 40.0)


def test_switching_to_seconds_keeps_the_range_in_view(context, panel, trained):
    trained(100)
    shown = panel("loss")
    shown.plots["loss"].canvas.boxed.emit(20.0, 60.0)
    shown.bar.seconds.trigger()
    assert shown.plots["loss"].canvas.x_range == pytest.approx((0.2, 0.6)) and shown.ruler.unit == "seconds"
    drawn = curve(shown.plots["loss"])
    assert drawn.x[50] == pytest.approx(0.51, abs=0.02)
    shown.bar.seconds.trigger()
    assert shown.plots["loss"].canvas.x_range == pytest.approx((20, 60))


def test_the_value_axis_has_a_minimum_extent(context, panel, trained):
    trained(20)
    low, high = panel("sqnr").plots["sqnr"].canvas.y_range
    assert high - low >= 6


def test_choices_are_remembered(context, panel, staged):
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


# Taking it along


def test_the_table_has_every_step_in_view(context, panel, trained):
    run = trained(200)
    context.model.select(["conv1.weights", "conv2.weights"])
    shown = panel("loss,sqnr")
    table = shown.plots["sqnr"].table()
    assert list(table) == [
        *("step", "conv1.weights/sqnr_db", "conv2.weights/sqnr_db"),
        "conv2.weights/sqnr_db standard error",  # the other tensor is small enough to be measured as a whole
    ]
    np.testing.assert_array_equal(table["step"], np.arange(1, 201))
    series = run.history.series("conv2.weights/sqnr_db").mean
    np.testing.assert_array_equal(table["conv2.weights/sqnr_db"][1:], series[1:])
    exact = run.history.series("snapshot:conv2.weights/sqnr_db", 1, 1).mean
    assert table["conv2.weights/sqnr_db"][0] == exact[0] != series[0]
    np.testing.assert_allclose(table["conv2.weights/sqnr_db standard error"], [0] + [0.3] * 199, rtol=1e-6)
    shown.plots["loss"].canvas.boxed.emit(50.0, 99.5)
    assert set(shown.plots["loss"].table()["step"]) >= set(range(50, 100))


def test_the_table_of_the_strength_follows_a_ramp(context, panel, staged):
    run = staged(steps=10)
    change(context, run, ("run.ramp_start", 12), ("run.ramp_end", 32), steps=30)
    table = panel("strength").plots["strength"].table()
    ramp = run.book.run
    assert list(table) == ["step", "strength"] and table["step"].tolist() == list(range(1, 41))
    expected = [100 * ramp.strength_at(step - 1) if step > 10 else 100.0 for step in range(1, 41)]
    np.testing.assert_allclose(table["strength"], expected, rtol=1e-5)


def test_a_plot_drawn_alone_has_an_axis_and_in_the_panel_has_none(context, panel, trained):
    trained(60)
    plot = panel("loss,sqnr").plots["loss"]
    height = plot.canvas.plot_rect.height()
    image = QtGui.QImage(plot.size(), QtGui.QImage.Format_RGB32)
    painter = QtGui.QPainter(image)
    seen = []
    paint = plot.canvas._paint
    plot.canvas._paint = lambda *arguments: (seen.append(plot.canvas.plot_rect.height()), paint(*arguments))
    draw_widget(plot, painter)
    painter.end()
    assert seen[0] < height - 10 and len(seen) == 1
    plot.canvas.changed()
    plot.window().grab()
    assert seen[-1] == height


def test_a_right_click_on_a_plot_opens_its_figure_menu(context, panel, trained, monkeypatch):
    trained(10)
    plot = panel("loss").plots["loss"]
    opened = []
    monkeypatch.setattr(plot.menu, "popup", opened.append)
    point = QtCore.QPoint(100, 20)
    QtWidgets.QApplication.sendEvent(
        plot.canvas, QtGui.QContextMenuEvent(QtGui.QContextMenuEvent.Mouse, point, plot.canvas.mapToGlobal(point))
    )
    assert opened == [plot.canvas.mapToGlobal(point)]


def test_plots_are_drawn_in_the_light_theme(context, panel, trained):
    trained(60)
    shown = panel()
    context.theme.use(LIGHT)
    shown.refresh()
    picture = shown.plots["loss"].canvas.grab().toImage()
    rows = [picture.pixelColor(100, y).lightness() for y in range(picture.height())]
    assert np.median(rows) > 200


def test_only_visible_plots_are_read(context, panel, trained):
    trained(10)
    shown = panel("loss")
    assert not shown.plots["sqnr"].canvas.curves and not shown.plots["sqnr"].isVisible()


def test_plots_are_updated_in_turn_but_moved_together(context, panel, trained):
    run = trained(60)
    shown = panel("loss,sqnr,scale")
    plots = [shown.plots[key] for key in ("loss", "sqnr", "scale")]
    assert all(len(plot.canvas.curves[0].x) == 60 for plot in plots)
    train(context, run, 1)
    for drawn in (1, 2, 3):
        assert shown.is_due()
        shown.refresh()
        assert sum(len(plot.canvas.curves[0].x) == 61 for plot in plots) == drawn
    shown.refresh()
    assert not shown.is_due(), "all is drawn"
    shown.plots["loss"].canvas.boxed.emit(10.0, 30.0)
    assert all(plot.canvas.x_range == (10.0, 30.0) for plot in plots)


def test_bits_are_a_staircase_that_a_rewind_takes_back(context, panel, staged):
    run = staged(steps=5)
    train(context, run, 20)
    change(context, run, ("conv1.weights.num_bits", 6))
    change(context, run, ("*.weights.num_bits", 4))
    context.model.select(["conv1.weights"])
    shown = panel("bits")
    plot = shown.plots["bits"]

    def corners():
        (drawn,) = plot._drawn
        return list(zip(drawn.points.step.astype(int).tolist(), drawn.points.mean.tolist()))

    first = run.step - 20
    assert corners() == [(0, 8), (first, 8), (first, 6), (first + 10, 6), (first + 10, 4), (run.step, 4)]
    assert plot.table()["conv1.weights.num_bits"].tolist() == [8, 8, 6, 6, 4, 4]
    assert plot.canvas.note == ""
    run.send(Undo())
    run.advance(0, snapshot=False)
    train(context, run, 5)
    shown.refresh()
    assert corners() == [(0, 8), (first, 8), (first, 6), (run.step, 6)]
    change(context, run, ("conv1.weights.enabled", False))
    shown.refresh()
    assert [np.isnan(value) for _, value in corners()] == [False] * 4 + [True] * 2
