"""Panels are made when they come into view, and then show what they would have shown if made at once."""

import pytest
from PyQt5 import QtCore, QtWidgets
from PyQt5.QtTest import QTest
from qt_use import activate
from qt_use import draw as draw_panel
from staging import StagedRun
from window_stage import prepared_of

from qatviz.gui.model.edits import HOLD
from qatviz.gui.panels.declarations import DECIDE, PANELS
from qatviz.gui.widgets.theme import DARK, LIGHT
from qatviz.protocol import commands as c

IN_FRONT = ("quantization", "histograms", "evolution", "tensor")
OTHERS = tuple(panel.name for panel in PANELS if panel.name not in IN_FRONT)


def texts(panel):
    """The texts of a panel's labels, and the values of its boxes."""
    draw_panel(panel)
    labels = [label.text() for label in panel.findChildren(QtWidgets.QLabel) if label.isVisibleTo(panel)]
    boxes = [box.text() for box in panel.findChildren(QtWidgets.QAbstractSpinBox)]
    lists = [box.currentText() for box in panel.findChildren(QtWidgets.QComboBox)]
    return labels, boxes, lists


def test_a_window_makes_the_panels_in_front_only(window):
    assert tuple(window.panels.made) == IN_FRONT


def test_the_list_of_keys_and_the_menus_make_no_panel(window, app):
    window.handlers.shortcuts()
    app.processEvents()
    assert tuple(window.panels.made) == IN_FRONT


@pytest.mark.parametrize("name", OTHERS)
def test_a_panel_is_made_when_it_is_opened(window, app, name):
    window.docks.open(name)
    app.processEvents()
    assert tuple(window.panels.made) == (*IN_FRONT, name)
    assert window.panels[name].isVisible() and not window.panels[name].visibleRegion().isEmpty()


def dock_tabs(window, title):
    """The bar of dock tabs that has a tab of this title, and the tab's number."""
    bars = [bar for bar in window.findChildren(QtWidgets.QTabBar) if bar.parent() is window]
    return next((bar, at) for bar in bars for at in range(bar.count()) if bar.tabText(at) == title)


def click_tab(bar, at, app):
    QTest.mouseClick(bar, QtCore.Qt.LeftButton, pos=bar.tabRect(at).center())
    app.processEvents()


def test_a_panel_is_made_when_its_tab_is_clicked(window, app):
    click_tab(*dock_tabs(window, "Events"), app)
    assert list(window.panels.made)[4:] == ["events"]
    click_tab(*dock_tabs(window, "Run"), app)
    assert list(window.panels.made)[4:] == ["events", "run_settings"]


def test_of_a_group_the_panel_in_front_is_made(window, app):
    click_tab(*dock_tabs(window, DECIDE), app)
    assert list(window.panels.made)[4:] == ["sensitivity"]
    bar = window.docks.groups[DECIDE].bar
    click_tab(bar, 2, app)
    assert list(window.panels.made)[4:] == ["sensitivity", "chip"]


def test_the_panels_of_a_remembered_arrangement_are_made(open_window, app):
    window = open_window()
    for name in ("run_settings", "layers", "network"):
        window.docks.open(name)
    app.processEvents()
    window.close()
    again = open_window()
    assert {"run_settings", "layers", "network"} == set(again.panels.made) - set(IN_FRONT)


def test_a_panel_made_late_shows_what_one_made_at_once_shows(open_window, app):
    """After changes, an evaluation, a checkpoint, an edit, and other colours and texts."""
    early = open_window()
    early.panels.all()
    late = open_window()
    for window in (early, late):
        window.docks.docks["tensor"].hide()  # it requests values at times of its own
        run = StagedRun()
        window.show_prepared(prepared_of(run))

        def advance(steps, run=run, window=window):
            run.advance(steps)
            window.bridge.tick()
            app.processEvents()

        advance(3)
        run.evaluate()
        run.send(c.SaveCheckpoint())
        run.send(c.ChangeSettings((("conv1.weights.num_bits", 4),)))
        advance(2)
        window.model.select(["dense1.weights"])
        window.model.select_example(7)
        window.edits.set_mode(HOLD)
        window.edits.edit(["dense1.weights"], "num_bits", 3)
    for window in (late, early):
        window.theme.use(LIGHT)
    assert tuple(late.panels.made) == IN_FRONT
    for name in OTHERS:
        shown = []
        for window in (early, late):
            activate(window)
            window.docks.open(name)
            app.processEvents()
            shown.append((texts(window.panels[name]), window.panels[name].grab().toImage()))
        (early_texts, early_picture), (late_texts, late_picture) = shown
        assert late_texts == early_texts, name
        assert late_picture == early_picture, name
    early.theme.use(DARK)
