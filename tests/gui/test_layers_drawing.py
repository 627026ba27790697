"""Drawing of the table of layers: only changed cells, distinguishable levels, rows and trends."""

import numpy as np
import pytest
from layers_stage import change, with_measures
from PyQt5 import QtCore, QtWidgets
from PyQt5.QtCore import Qt
from qt_use import pause

from qatviz.gui.panels.layers.columns import COLUMNS, INDEX
from qatviz.gui.panels.layers.panel import LayersPanel
from qatviz.gui.widgets.theme import LIGHT
from qatviz.network import Conv2D, NetworkBuilder


@pytest.fixture
def panel(context, show):
    return show(LayersPanel(context), 1700, 420)


def drawn_area(view, act):
    """Return the part of the view's viewport that is painted because of ``act``."""
    areas = []

    class Watch(QtCore.QObject):
        def eventFilter(self, _, event):
            if event.type() == QtCore.QEvent.Paint:
                areas.append(event.region())
            return False

    watch = Watch()
    view.viewport().installEventFilter(watch)
    act()
    QtCore.QCoreApplication.processEvents()
    view.viewport().removeEventFilter(watch)
    return areas


def settle(view):
    """Let everything be painted that is due: on a display, other windows may uncover the view at any time."""
    while drawn_area(view, pause):
        pass


def test_only_changed_columns_are_redrawn(context, show, staged, monkeypatch):
    staged("mobilenet", steps=1)
    panel = show(LayersPanel(context), 1700, 300)
    monkeypatch.setattr(panel.sparklines, "_clock", lambda: 0.0)  # they are never due
    panel.refresh()
    settle(panel.view)
    assert drawn_area(panel.view, panel.refresh) == []
    snapshot = with_measures(context.model.snapshot, flushed=0.123)

    def take():
        context.model.process([snapshot])
        panel.refresh()

    (area,) = drawn_area(panel.view, take)
    drawn = {
        column.key
        for index, column in enumerate(COLUMNS)
        if area.intersects(QtCore.QRect(panel.view.columnViewportPosition(index) + 2, 5, 3, 3))
    }
    assert "flushed" in drawn and not drawn & {"sqnr_db", "scale", "symmetric", "num_bits"}


def test_hidden_rows_are_not_computed(context, show, staged, monkeypatch):
    staged("mobilenet", steps=1)
    panel = show(LayersPanel(context), 600, 260)
    panel.refresh()
    asked = set()
    cell = panel.source.rows.cell
    monkeypatch.setattr(panel.source.rows, "cell", lambda row, column: asked.add(row) or cell(row, column))
    panel.refresh()
    assert 0 in asked and max(asked) < 15 < panel.shown.rowCount()


def test_levels_have_their_colours_in_both_themes(context, panel, staged, app):
    run = staged()
    change(context, run, ("dense1.weights.num_bits", 2))

    def colors_of(tensor, key):
        rect = panel.view.visualRect(panel.shown.index(panel.shown.row_of(tensor), INDEX[key]))
        rect.translate(panel.view.viewport().pos())
        return {
            image.pixelColor(x, y).name()
            for x in range(rect.left() + 6, rect.right())
            for y in range(rect.top(), rect.bottom())
        }

    # A selected row shows its colours through, in the frozen columns as in the others.
    context.model.select(["dense1.weights"])
    panel.refresh()
    app.processEvents()
    image = panel.view.grab().toImage()
    assert context.theme.colors.bad in colors_of("dense1.weights", "verdict")
    assert context.theme.colors.accent not in colors_of("dense1.weights", "name") | colors_of("dense1.weights", "scale")
    assert context.theme.colors.good in colors_of("logits.weights", "verdict")
    assert context.theme.colors.bad not in colors_of("logits.weights", "flushed")
    context.theme.use(LIGHT)
    panel.refresh()
    light = panel.view.viewport().grab().toImage()
    assert light.pixelColor(3, light.height() - 3).name() == context.theme.colors.base


def test_the_selection_is_translucent_in_a_dock_raised_later(context, show, staged, app):
    panel, window, dock = LayersPanel(context), QtWidgets.QMainWindow(), QtWidgets.QDockWidget()
    dock.setWidget(panel)
    window.addDockWidget(Qt.LeftDockWidgetArea, dock)
    other = QtWidgets.QDockWidget()
    window.addDockWidget(Qt.LeftDockWidgetArea, other)
    window.tabifyDockWidget(dock, other)
    show(window, 900, 400)
    dock.raise_()
    app.processEvents()
    staged()
    panel.refresh()
    view, row = panel.view, panel.shown.row_of("conv1.weights")
    image = view.grab().toImage()
    found = {
        image.pixelColor(
            view.viewport().pos() + view.visualRect(panel.shown.index(row, INDEX[key])).topLeft() + QtCore.QPoint(4, 2)
        ).name()
        for key in ("name", "sqnr_db")
    }
    assert len(found) == 1 and context.theme.colors.accent not in found


def test_a_sparkline_is_drawn_once_there_are_earlier_values(context, panel, staged):
    run = staged()
    panel.refresh()
    assert panel.sparklines.polygon("conv1.weights", 100, 20) is None
    for _ in range(10):
        run.advance(2)
    context.model.process(run.drain())
    panel.sparklines.refresh_if_old(at_once=True)
    polygon = panel.sparklines.polygon("conv1.weights", 100, 20)
    points = np.array([(point.x(), point.y()) for point in polygon])
    assert len(points) == 11 and (np.diff(points[:, 0]) > 0).all()
    assert points.min() >= 0 and points[:, 0].max() <= 100 and points[:, 1].max() <= 20


LONG = "stage_with_a_very_long_name_of_a_convolution"


@pytest.mark.parametrize("width", [335, 700, 1500])
def test_long_names_leave_room_for_the_measures(context, show, staged, width):
    """A name is cut in its middle; the whole one is in the tooltip."""
    builder = NetworkBuilder("deep", (8, 8, 1))
    for number in range(3):
        builder.add(Conv2D, f"{LONG}_{number}_with_its_activation", filters=4)
    staged(builder.network())
    panel = show(LayersPanel(context), width, 300)
    panel.refresh()
    view, frozen, name = panel.view, panel.view.frozen, INDEX["name"]
    assert view.columnWidth(name) <= view.viewport().width() / 2
    assert frozen.isVisible() and frozen.columnWidth(name) == view.columnWidth(name)
    assert (
        view.columnViewportPosition(INDEX["num_bits"]) + view.columnWidth(INDEX["num_bits"]) <= view.viewport().width()
    )
    index = panel.shown.index(panel.shown.row_of(f"{LONG}_1_with_its_activation.weights"), name)
    assert f"{LONG}_1_with_its_activation.weights" in index.data(Qt.ToolTipRole)
    whole = view.fontMetrics().horizontalAdvance(index.data())
    assert (whole > view.columnWidth(name)) == (width < 1500)
    panel.resize(1500, 300)
    QtCore.QCoreApplication.processEvents()
    assert view.columnWidth(name) > whole, "there is room for it"
    view.setColumnWidth(name, 900)  # as the user does
    panel.resize(width, 300)
    QtCore.QCoreApplication.processEvents()
    assert view.columnWidth(name) == 900


def test_the_kind_of_a_tensor_with_a_long_name_is_drawn(context, show, staged):
    """Weights and activations of a layer differ although their names are cut."""
    builder = NetworkBuilder("deep", (8, 8, 1))
    builder.add(Conv2D, LONG, filters=4)
    staged(builder.network())
    panel = show(LayersPanel(context), 400, 300)
    panel.refresh()
    view = panel.view.frozen
    rows = [panel.shown.row_of(f"{LONG}.{kind}") for kind in ("weights", "activations")]
    first, second = (view.grab(view.visualRect(panel.shown.index(row, INDEX["name"]))).toImage() for row in rows)
    assert first != second
