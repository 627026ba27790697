"""Readings under the mouse, and texts of pending values."""

from PyQt5 import QtCore, QtGui, QtTest, QtWidgets
from window_stage import draw


def test_the_reading_stays_while_the_mouse_rests(staged_window, app):
    window, _, _ = staged_window
    draw(window, app)
    canvas = window.panels["histograms"].canvas
    place = canvas.rect_of("conv1.weights").center()
    QtTest.QTest.mouseMove(canvas.viewport(), place)
    move = QtGui.QMouseEvent(
        QtCore.QEvent.MouseMove, place, QtCore.Qt.NoButton, QtCore.Qt.NoButton, QtCore.Qt.NoModifier
    )
    app.sendEvent(canvas.viewport(), move)
    reading = QtWidgets.QToolTip.text()
    help_event = QtGui.QHelpEvent(QtCore.QEvent.ToolTip, place, canvas.viewport().mapToGlobal(place))
    app.sendEvent(canvas.viewport(), help_event)
    assert reading and QtWidgets.QToolTip.text() == reading
    for panel in window.panels.all():
        rest = QtGui.QHelpEvent(QtCore.QEvent.ToolTip, QtCore.QPoint(1, 1), panel.mapToGlobal(QtCore.QPoint(1, 1)))
        app.sendEvent(panel, rest)
        assert QtWidgets.QToolTip.text() == reading, panel.name
    QtWidgets.QToolTip.hideText()


def test_pending_values_are_marked_better_or_worse_with_colour(staged_window, app):
    window, _, _ = staged_window
    window.edits.set_mode("hold")
    window.edits.edit(["conv1.weights"], "num_bits", 3)
    draw(window, app)
    cells, colors = window.panels["tensor"].header.cells, window.theme.colors
    for key, word, color in (("sqnr_db", "worse", colors.bad), ("size", "better", colors.good)):
        text = cells[key]._name.text()
        assert word in text and color in text and word in cells[key].accessibleDescription()
    assert "better" not in cells["scale"]._name.text() and "worse" not in cells["scale"]._name.text()
