"""The line over the tiles about weights that look like floats."""

import pytest
from PyQt5 import QtCore
from PyQt5.QtTest import QTest
from window_stage import draw

from qatviz.gui.panels.histograms.panel import HistogramsPanel
from qatviz.gui.window.main_window import DEFAULT_SIZE


@pytest.fixture
def panel(context, staged, show):
    """``panel()``: the panel, shown and drawn, and its run."""

    def make():
        run = staged("lenet")
        made = show(HistogramsPanel(context), 900, 600)
        settle(made)
        return made, run

    return make


def settle(made):
    for _ in range(20):
        made.refresh()


def test_the_hint_explains_float_like_weights_and_shows_2_bits(panel, context):
    made, run = panel()
    hint = made.hint
    assert hint.isVisible() and "still look like floats?" in hint.text.text() and "8 bits" in hint.text.text()
    assert hint.button.text() == "Show 2 bits"
    QTest.mouseClick(hint.button, QtCore.Qt.LeftButton)
    context.edits.apply()
    context.model.process(run.advance(1).drain())
    settle(made)
    name = context.model.current
    assert context.model.settings_of(name).num_bits == 2 and len(made.canvas.tile(name).content.shown.levels) == 3
    assert f"{name} has 2 bits now" in hint.text.text() and hint.button.text() == "Restore 8 bits"
    context.edits.undo()
    context.model.process(run.advance(1).drain())
    settle(made)
    assert context.model.settings_of(name).num_bits == 8 and hint.button.text() == "Show 2 bits"
    QTest.mouseClick(hint.close_button, QtCore.Qt.LeftButton)
    settle(made)
    assert not hint.isVisible()
    again, _run = panel()
    assert not again.hint.isVisible(), "it was closed for good"


def test_the_first_window_of_the_default_size_has_the_hint_and_all_tiles(staged_window, app):
    window, _run, _advance = staged_window
    window.resize(DEFAULT_SIZE)
    for _ in range(6):
        draw(window, app)
    shown = window.panels["histograms"]
    assert shown.hint.isVisible() and "still look like floats?" in shown.hint.text.text()
    assert shown.canvas.verticalScrollBar().maximum() == 0, "the legend leaves it the room"
    QTest.mouseClick(shown.hint.close_button, QtCore.Qt.LeftButton)
    for _ in range(6):
        draw(window, app)
    assert shown.bar.heightForWidth(shown.width()) == shown.bar.height_at(shown.width(), True), "the legend is back"


def test_the_hint_is_hidden_in_a_low_panel(panel, app):
    made, _run = panel()
    made.resize(made.width(), 200)
    settle(made)
    assert not made.hint.isVisible()


@pytest.mark.parametrize("height", range(220, 420, 20))
def test_all_tiles_that_fit_without_the_line_fit_with_it(panel, app, height):
    """The size Fit counts the line, which never cuts a row of tiles."""

    def settled():
        for _ in range(3):
            settle(made)
            app.processEvents()  # the layouts of the bar, of the panel
        settle(made)

    made, _run = panel()
    made.resize(560, height)
    settled()
    is_shown, is_cut = made.hint.isVisible(), made.canvas.verticalScrollBar().maximum() > 0
    made.hint.close_button.click()
    settled()
    fits_without = made.canvas.verticalScrollBar().maximum() == 0
    assert not (is_shown and is_cut and fits_without)
    assert is_shown or fits_without or height < 260, "where rows are cut anyway, the line is shown above them"
