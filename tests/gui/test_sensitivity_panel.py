"""The sensitivity panel: what it requests, what it shows, and what clicks and keys do."""

import numpy as np
import pytest
from PyQt5 import QtCore, QtTest, QtWidgets

from qatviz.analysis.sensitivity import (
    WIDTHS,
    Measured,
    MeasuredSensitivity,
    Sensitivity,
    SensitivityProgress,
)
from qatviz.gui.panels.budget.panel import BudgetPanel
from qatviz.gui.panels.sensitivity.panel import SensitivityPanel
from qatviz.protocol.commands import ChangeSettings, MeasureSensitivity, WatchSensitivity
from qatviz.protocol.events import Finished

LEFT, NONE = QtCore.Qt.LeftButton, QtCore.Qt.NoModifier


def estimate(run, step=3):
    names = tuple(tensor.name for tensor in run.plan.tensors)
    scores = np.outer(np.linspace(1, 2, len(names)), [1.0, 0.1, 1e-2, 1e-3, 1e-4])
    return Sensitivity(names, WIDTHS, scores, scores[:, -1].copy(), step, 256)


def measurement(run):
    names = tuple(tensor.name for tensor in run.plan.tensors)
    one = Measured(0.1, 0.01, 0.9)
    return MeasuredSensitivity(names, (one,) * len(names), (one,) * len(names), one, one, "accuracy", 3, 1000)


@pytest.fixture
def panel(context, show):
    def make():
        made = show(SensitivityPanel(context), 640, 480)
        made.refresh()
        return made

    return make


@pytest.fixture
def filled(panel, context, staged):
    run = staged("lenet")
    made = panel()
    context.model.process([estimate(run)])
    made.refresh()
    return made, run


def center(panel, row, column):
    places = panel.table.rows.places()
    return QtCore.QPoint(int(places.left + (column + 0.5) * places.column), int((row + 0.5) * places.row))


def test_estimates_are_requested_while_the_panel_is_visible(panel, staged):
    run = staged("lenet")
    shown = panel()
    assert run.sent == [WatchSensitivity()] and "Estimating" in shown.table.empty.text()
    shown.refresh()
    assert run.sent == [WatchSensitivity()]
    shown.hide()
    assert run.sent == [WatchSensitivity(), WatchSensitivity(False)]


@pytest.mark.parametrize("kind", [SensitivityPanel, BudgetPanel])
def test_no_estimates_are_requested_behind_another_tab(kind, context, show, staged):
    """Qt moves a dock behind another one far outside of the window, without an event for the panel."""
    run = staged("lenet")
    window = show(QtWidgets.QWidget(), 300, 200)
    panel = kind(context, window)
    panel.show()
    panel.refresh()
    assert run.sent == [WatchSensitivity()]
    context.model.process([estimate(run)])
    assert run.sent == [WatchSensitivity()]
    panel.move(2000, 0)
    context.model.process([estimate(run)])
    assert run.sent == [WatchSensitivity(), WatchSensitivity(False)]


def test_a_click_selects_and_a_double_click_applies_the_bits(filled, context):
    panel, run = filled
    name = panel.table.rows.content.names[3]
    QtTest.QTest.mouseClick(panel.table.rows, LEFT, NONE, center(panel, 3, 1))
    assert context.model.selected == (name,) and context.model.current == name
    QtTest.QTest.mouseDClick(panel.table.rows, LEFT, NONE, center(panel, 3, 1))
    context.edits.apply()
    assert run.sent[-1] == ChangeSettings(((name + ".num_bits", WIDTHS[1]),))
    run.advance(1)
    context.model.process(run.drain())
    assert context.model.settings_of(name).num_bits == WIDTHS[1] and context.edits.can_undo
    panel.refresh()
    place = center(panel, 3, 1)
    lines = panel.table.rows.content.text(panel.table.rows.places(), place.x(), place.y())
    assert lines[0] == f"{name}, now {WIDTHS[1]} bits"


def test_a_double_click_on_a_column_without_bits_changes_nothing(filled, context):
    panel, _ = filled
    QtTest.QTest.mouseDClick(panel.table.rows, LEFT, NONE, center(panel, 3, len(WIDTHS)))
    QtTest.QTest.mouseDClick(panel.table.rows, LEFT, NONE, QtCore.QPoint(5, 5))
    assert not context.edits.pending


def test_keys_move_and_apply(filled, context):
    panel, _ = filled
    context.model.select([panel.table.rows.content.names[0]])
    panel.refresh()
    panel.table.rows.setFocus()
    for key in (QtCore.Qt.Key_Down, QtCore.Qt.Key_Right, QtCore.Qt.Key_Right, QtCore.Qt.Key_Left):
        QtTest.QTest.keyClick(panel.table.rows, key)
    assert context.model.current == panel.table.rows.content.names[1]
    QtTest.QTest.keyClick(panel.table.rows, QtCore.Qt.Key_Return)
    assert context.edits.value(panel.table.rows.content.names[1], "num_bits") == WIDTHS[1]


def test_the_header_sorts(filled):
    panel, run = filled
    names = [tensor.name for tensor in run.plan.tensors]
    assert list(panel.table.rows.content.names) == names
    panel.table.header.clicked.emit(0)
    assert list(panel.table.rows.content.names) == names[::-1]
    panel.table.header.clicked.emit(None)
    assert list(panel.table.rows.content.names) == names


def test_a_measurement_shows_progress_can_be_cancelled_and_adds_columns(filled, context):
    panel, run = filled
    panel.measure.click()
    assert run.sent[-1] == MeasureSensitivity()
    context.model.process([SensitivityProgress(3, 0.25)])
    panel.refresh()
    assert panel.progress.isVisible() and panel.progress.bar.value() == 250 and not panel.measure.isVisible()
    panel.progress.cancel.click()
    assert run.sent[-1] == MeasureSensitivity(False)
    context.model.process([SensitivityProgress(3, None)])
    panel.refresh()
    assert panel.measure.isVisible() and not panel.progress.isVisible()
    context.model.process([measurement(run)])
    panel.refresh()
    assert panel.table.rows.places().columns == len(WIDTHS) + 3


def test_a_failure_is_shown(filled, context):
    panel, _ = filled
    context.model.process([SensitivityProgress(3, None, "no memory")])
    panel.refresh()
    assert "no memory" in panel.note.text()


def test_a_run_that_has_ended_is_estimated_on_request(panel, context, staged):
    run = staged("lenet")
    run.end(Finished(3))
    context.model.process(run.drain())
    shown, wanted = panel(), []
    shown.work.wanted.connect(wanted.append)
    assert run.sent == [] and shown.estimate.isVisible() and "Estimate" in shown.table.empty.text()
    shown.estimate.click()
    assert wanted == [False] and shown.progress.isVisible()
    shown.work.show_progress("", 0.5)
    assert shown.progress.bar.value() == 500
    shown.work.finish()
    context.model.process([estimate(run)])
    shown.refresh()
    assert shown.table.rows.content is not None and not shown.progress.isVisible()


def test_values_can_be_saved(filled):
    panel, run = filled
    table = panel.table.rows.table()
    assert len(table) == 2 + len(WIDTHS) and all(len(column) == len(run.plan.tensors) for column in table.values())


def test_cells_have_the_colours_of_their_values(filled):
    panel, _ = filled
    image = panel.table.rows.grab().toImage()
    colors = {image.pixelColor(center(panel, 2, column) + QtCore.QPoint(0, 6)).name() for column in range(5)}
    assert len(colors) >= 4
