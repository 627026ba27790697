"""Time slider: all panels show the same moment of the past; two moments are compared."""

import time

import pytest
from PyQt5 import QtCore, QtTest
from staging import StagedRun
from window_stage import draw, make_window, prepared_of

from qatviz.gui.panels.network.measures import table_of
from qatviz.gui.window.time_bar import TimeSlider
from qatviz.measures import MEASURES
from qatviz.presentation.palette import color_of
from qatviz.protocol import commands as c

Qt = QtCore.Qt


@pytest.fixture
def window(context, show, app):
    """A window with a run of six snapshots; bits change from 8 to 4 at step 8."""
    window = show(make_window(context.settings), 1280, 800)
    run = StagedRun("mlp")
    window.show_prepared(prepared_of(run))
    window.staged = run
    for number in range(6):
        if number == 4:
            run.send(c.ChangeSettings((("*.weights.num_bits", 4),)))
        run.advance(2)
        window.model.process(run.drain())
    draw(window, app)
    return window


def draw_all(window, app):
    draw(window, app)
    window.panels["layers"].refresh()  # behind another dock
    while window.panels["histograms"].is_due():
        window.panels["histograms"].refresh()


def steps(window):
    return window.time.slider.steps


def click_at(window, step):
    slider = window.time.slider
    place = QtCore.QPoint(round(slider.place_of(step)), slider.height() // 2)
    QtTest.QTest.mouseClick(slider, Qt.LeftButton, pos=place)


def test_a_click_moves_all_panels_to_the_snapshot(window, app):
    weights = window.model.current
    click_at(window, 4)
    draw_all(window, app)
    assert window.model.moment.step == 4 and window.time.text.text() == " step 4"
    assert window.panels["histograms"].canvas.tile(weights).content.badge.text.startswith("w8")
    assert "step 4 · past" in window.panels["tensor"].header.step.text()
    layers = window.panels["layers"].table()
    assert layers["num_bits"][layers["name"].index(weights)] == 8
    network = table_of(window.model)
    assert network["num_bits"][network["tensor"].index(weights)] == 8
    window.time.now.click()
    draw_all(window, app)
    assert window.model.moment is None
    assert window.panels["histograms"].canvas.tile(weights).content.badge.text.startswith("w4")
    layers, network = window.panels["layers"].table(), table_of(window.model)
    assert layers["num_bits"][layers["name"].index(weights)] == 4
    assert network["num_bits"][network["tensor"].index(weights)] == 4


def test_measures_are_those_of_the_moment(window):
    model, weights = window.model, window.model.current
    now = model.measure(weights, "sqnr_db")
    model.look_back(2)
    assert model.measure(weights, "sqnr_db") > now + 10, "four bits more"
    assert model.shown_settings_of(weights).num_bits == 8 and model.settings_of(weights).num_bits == 4


def test_keys_move_the_handle(window):
    slider = window.time.slider
    slider.setFocus()
    for key, expected in ((Qt.Key_Left, 10), (Qt.Key_Left, 8), (Qt.Key_Home, 2), (Qt.Key_Right, 4), (Qt.Key_End, None)):
        QtTest.QTest.keyClick(slider, key)
        moment = window.model.moment
        assert (None if moment is None else moment.step) == expected
    QtTest.QTest.keyClick(slider, Qt.Key_PageDown)
    assert window.model.moment.step == 2
    QtTest.QTest.keyClick(slider, Qt.Key_Escape)
    assert window.model.moment is None


def test_news_of_the_run_leave_the_moment(window):
    window.model.look_back(4)
    window.staged.advance(2)
    window.model.process(window.staged.drain())
    assert window.model.moment.step == 4 and steps(window)[-1] == 14
    assert window.time.now.isEnabled()


def test_a_moment_that_a_rewind_abandons_is_left(window):
    window.model.look_back(10)
    run = window.staged
    run.send(c.Undo())
    run.advance(0, snapshot=True)
    window.model.process(run.drain())
    moment = window.model.moment
    assert moment is None or moment.step <= 8


def test_an_edit_returns_to_the_present(window):
    window.model.look_back(4)
    window.edits.edit([window.model.current], "num_bits", 6)
    assert window.model.moment is None


def test_the_run_is_played_up_to_the_present(window):
    window.time.play.click()
    seen = [window.model.moment.step]
    while window.time.play.isChecked():
        window.time.timer.timeout.emit()
        seen.append(None if window.model.moment is None else window.model.moment.step)
    assert seen == [2, 4, 6, 8, 10, None] and not window.time.timer.isActive()


def test_playing_ends_with_another_run(window):
    window.time.play.click()
    window.close_run()
    assert not window.time.play.isChecked() and not window.time.timer.isActive()
    assert not window.time.slider.isEnabled()


def test_two_moments_are_compared(window, app):
    panel = window.panels["moments"]
    window.time.compare.click()
    assert window.model.other_moment.step == 2
    draw(window, app)
    panel.refresh()
    assert panel.isVisible() and "step 12 filled, step 2 outlined" in panel.head.text()
    assert "num_bits: 4 at step 12, 8 at step 2" in panel.settings.text()
    click_at(window, 6)  # nearer to the second handle than to the first
    panel.refresh()
    assert (window.model.other_moment.step, window.model.moment) == (6, None)
    assert panel.measures.horizontalHeaderItem(2).text() == "Step 6"
    window.time.slider.setFocus()
    QtTest.QTest.keyClick(window.time.slider, Qt.Key_Right, Qt.ShiftModifier)
    QtTest.QTest.keyClick(window.time.slider, Qt.Key_Left)
    assert (window.model.other_moment.step, window.model.moment.step) == (8, 10)
    window.time.compare.click()
    panel.refresh()
    assert window.model.other_moment is None and panel.content.isHidden() and panel.empty.isVisible()


def test_a_click_in_the_evolution_sets_the_time_and_marks_it(window, app):
    evolution = window.panels["evolution"]
    plot = evolution.plots["loss"]
    plot.canvas.clicked.emit(3.9, 0.01)
    draw(window, app)
    assert window.model.moment.step == 4
    assert [place for place, _ in plot.canvas.moments] == [4.0]
    loss = window.model.history.series("loss", 4, 4).mean[0]
    assert plot.legend.entries[0].value == MEASURES["loss"].plain(float(loss)), "the number of the moment"
    picture = plot.canvas.grab().toImage()
    colors = {picture.pixelColor(x, 20).name() for x in range(picture.width())}
    assert color_of(window.theme.colors, plot.canvas.moments[0][1]) in colors
    plot.canvas.clicked.emit(12.0, 0.01)
    assert window.model.moment is None


def test_the_slider_marks_changes_and_paints_its_handles(window):
    slider = window.time.slider
    assert slider.changes == [8]
    picture = slider.grab().toImage()
    colors = {picture.pixelColor(x, y).name() for x in range(picture.width()) for y in range(picture.height())}
    assert window.theme.colors.accent in colors


def test_a_low_window_leaves_the_room_to_its_panels(window, app):
    assert window.time.isVisible()
    window.resize(1280, 580)
    draw(window, app)
    assert not window.time.isVisible() and window.model.moment is None
    window.resize(1280, 800)
    draw(window, app)
    assert window.time.isVisible()


def test_a_run_without_a_past_has_no_slider(context, show):
    window = show(make_window(context.settings), 1280, 800)
    assert not window.time.slider.isEnabled() and not window.time.now.isEnabled()
    QtTest.QTest.mouseClick(window.time.slider, Qt.LeftButton)
    empty = show(TimeSlider(context.theme), 300, 24)
    QtTest.QTest.keyClick(empty, Qt.Key_Left)
    QtTest.QTest.mouseClick(empty, Qt.LeftButton)
    assert empty.grab().width() == 300


@pytest.mark.slow
def test_moving_the_slider_redraws_at_once(window, app):
    """All visible panels are drawn in far less than a tenth of a second, even on a loaded machine."""
    begun = time.process_time()
    for step in (2, 4, 6, 8, 10) * 4:
        window.model.look_back(step)
        draw(window, app)
    assert (time.process_time() - begun) / 20 < 0.2
