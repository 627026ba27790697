"""The network panel: its drawing, and its reactions to clicks, keys and the wheel."""

import math
from dataclasses import replace

import numpy as np
import pytest
from PyQt5 import QtCore, QtGui, QtTest, QtWidgets

from qatviz.gui.panels.network.items import Edges
from qatviz.gui.panels.network.measures import SHOWN
from qatviz.gui.panels.network.panel import NetworkPanel
from qatviz.measures import MEASURES
from qatviz.presentation.color_bar import value_role
from qatviz.presentation.network.layout import DOWN, RIGHT
from qatviz.presentation.scene import LARGE
from qatviz.protocol.commands import ChangeSettings
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES

LEFT, NONE = QtCore.Qt.LeftButton, QtCore.Qt.NoModifier


@pytest.fixture
def panel(context, show):
    def make(width=640, height=480):
        made = show(NetworkPanel(context), width, height)
        made.refresh()
        return made

    return make


def click(panel, node, tensor=None, modifiers=NONE):
    item = panel.nodes[node]
    place = panel.view.badge_places(item)[tensor] if tensor else panel.view.place_of(item)
    QtTest.QTest.mouseClick(panel.view.viewport(), LEFT, modifiers, place)


def badges(panel):
    return {name: badge for node in panel.nodes.values() for name, badge in node.badges.items()}


def choose(box, data):
    box.setCurrentIndex(box.findData(data))


def change(context, run, *assignments):
    run.send(ChangeSettings(assignments))
    run.advance(1)
    context.model.process(run.drain())


def test_without_a_run_a_text_is_shown(panel, context, staged):
    shown = panel()
    assert shown.empty.isVisible() and "No run" in shown.empty.text() and not shown.nodes
    staged("lenet")
    shown.refresh()
    assert not shown.empty.isVisible() and shown.nodes


def test_every_operation_is_a_node_with_its_fused_layers_and_shape(panel, context, staged):
    run = staged("resnet8")
    shown = panel()
    assert set(shown.nodes) == {"input"} | {unit.name for unit in run.plan.units}
    texts = {name: node.text for name, node in shown.nodes.items()}
    assert texts["conv"].layers == "Conv2D 3×3 /2 + BatchNorm + ReLU"
    assert texts["stack1_add"].layers == "Add + ReLU" and texts["input"].shape == "32×32×3"
    assert texts["logits"].shape == f"10 · {64 * 10 + 10} params"
    shown_tensors = [tensor.name for node in shown.nodes.values() for tensor in node.tensors]
    assert sorted(shown_tensors) == sorted(tensor.name for tensor in run.plan.tensors)


def test_branches_are_drawn_as_branches(panel, staged):
    staged("resnet8")
    shown = panel()
    assert {("conv", "stack1_conv1"), ("conv", "stack1_add"), ("stack1_conv2", "stack1_add")} <= set(
        shown.layout_shown.routes
    )
    (edges,) = [item for item in shown.view.scene().items() if isinstance(item, Edges)]
    curves, *heads = edges.shapes
    ends = [(tuple(route[0]), tuple(route[-1])) for route in curves.routes]
    assert ends == [(tuple(route[0]), tuple(route[-1])) for route in shown.layout_shown.routes.values()]
    assert [(head.x[0], head.y[0]) for head in heads] == [end for _, end in ends]
    assert all(edges.boundingRect().contains(QtCore.QPointF(*point)) for pair in ends for point in pair)


@pytest.mark.parametrize("measure", sorted(set(SNAPSHOT_MEASURES) & set(SHOWN)))
def test_nodes_show_the_chosen_measure_of_the_newest_snapshot(panel, context, staged, measure):
    run = staged("lenet")
    shown = panel()
    choose(shown.measure_box, measure)
    run.advance(3)
    context.model.process(run.drain())
    shown.refresh()
    for tensor in run.plan.tensors:
        value = context.model.measure(tensor.name, measure)
        badge = badges(shown)[tensor.name]
        if math.isnan(value):
            assert badge.text == "–" and badge.role == ""
        else:
            shown_as = MEASURES[measure]
            assert badge.text == shown_as.text(value)
            assert badge.role == value_role(shown_as, value)


def test_before_the_first_snapshot_values_are_awaited(panel, context, staged):
    from staging import StagedRun

    run = StagedRun("lenet")
    context.model.set_run(run, run.network, run.book, "lenet")
    shown = panel()
    assert {badge.text for badge in badges(shown).values()} == {"…"}
    choose(shown.measure_box, "num_bits")
    assert {badge.text for badge in badges(shown).values()} == {"8 bits"}


def test_settings_are_shown_as_soon_as_they_are_in_effect(panel, context, staged):
    run = staged("lenet")
    shown = panel()
    choose(shown.measure_box, "num_bits")
    change(
        context,
        run,
        ("conv1.weights.num_bits", 2),
        ("conv2.weights.num_bits", 16),
        ("logits.weights.enabled", False),
        ("conv1.weights.per_channel", True),
    )
    assert shown.is_due()
    shown.refresh()
    now = badges(shown)
    assert (now["conv1.weights"].text, now["conv2.weights"].text) == ("2 bits", "16 bits")
    assert now["conv1.weights"].role != now["conv2.weights"].role
    assert now["logits.weights"].text == "float" and now["logits.weights"].role == ""
    choose(shown.measure_box, "size")
    assert badges(shown)["conv1.weights"].text == f"{5 * 5 * 16 * 2 / 8:.0f} B"
    assert badges(shown)["logits.weights"].text == "5.12 kB", "1280 floats of 4 bytes"


@pytest.mark.parametrize("value, text", [(np.nan, "–"), (np.inf, "exact"), (-np.inf, "–")])
@pytest.mark.parametrize("measure", SHOWN)
def test_nan_values_are_drawn(panel, context, staged, value, text, measure):
    staged("lenet")
    odd = replace(context.model.snapshot, values=np.full_like(context.model.snapshot.values, value))
    context.model.process([odd])
    shown = panel()
    choose(shown.measure_box, measure)
    shown.view.viewport().repaint()
    if measure == "sqnr_db":
        assert {badge.text for badge in badges(shown).values()} == {text}


def test_only_changed_nodes_are_redrawn(panel, context, staged):
    staged("lenet")
    shown = panel()
    node = shown.nodes["conv1"]
    assert not node.set_badge("conv1.weights", node.badges["conv1.weights"])
    assert node.set_badge("conv1.weights", node.badges["conv1.weights"]._replace(text="other"))


def test_a_click_selects_the_weights_or_the_clicked_tensor(panel, context, staged):
    staged("lenet")
    shown = panel(800, 600)
    click(shown, "conv2")
    assert context.model.selected == ("conv2.weights",) and context.model.current == "conv2.weights"
    assert shown.view.accessibleDescription().startswith("conv2, Conv2D 5×5 + ReLU; SQNR of conv2.weights: ")
    assert badges(shown)["conv2.weights"].current and not badges(shown)["conv1.weights"].selected
    click(shown, "dense1", "dense1.activations")
    assert context.model.selected == ("dense1.activations",)
    click(shown, "conv1", modifiers=QtCore.Qt.ShiftModifier)
    assert context.model.selected == ("conv1.activations",)
    click(shown, "input")
    assert context.model.selected == ("input.activations",)


def test_control_click_toggles_tensors_but_never_empties_the_selection(panel, context, staged):
    staged("lenet")
    shown = panel(800, 600)
    click(shown, "conv1")
    click(shown, "conv2", "conv2.activations", QtCore.Qt.ControlModifier)
    assert context.model.selected == ("conv1.weights", "conv2.activations")
    assert context.model.current == "conv2.activations"
    click(shown, "conv1", modifiers=QtCore.Qt.ControlModifier)
    assert context.model.selected == ("conv2.activations",) == (context.model.current,)
    click(shown, "conv2", "conv2.activations", QtCore.Qt.ControlModifier)
    assert context.model.selected == ("conv2.activations",)


def test_a_click_on_pooling_selects_the_tensor_whose_grid_it_uses(panel, context, staged):
    staged("lenet")
    shown = panel(800, 600)
    click(shown, "pool1")
    assert context.model.selected == ("conv1.activations",) and shown.nodes["pool1"].is_cursor
    assert "grid of conv1.activations" in shown.view.tooltip_of(shown.nodes["pool1"], None)


def test_a_selection_made_elsewhere_is_shown(panel, context, staged):
    staged("resnet8")
    shown = panel()
    context.model.select(["stack2_conv1.weights", "stack2_add.activations"], "stack2_add.activations")
    assert shown.is_due()
    shown.refresh()
    marked = {name for name, badge in badges(shown).items() if badge.selected}
    assert marked == {"stack2_conv1.weights", "stack2_add.activations"} and shown.nodes["stack2_add"].is_cursor


@pytest.mark.parametrize(
    "flow, forward, back, aside",
    [
        (DOWN, QtCore.Qt.Key_Down, QtCore.Qt.Key_Up, (QtCore.Qt.Key_Left, QtCore.Qt.Key_Right)),
        (RIGHT, QtCore.Qt.Key_Right, QtCore.Qt.Key_Left, (QtCore.Qt.Key_Up, QtCore.Qt.Key_Down)),
    ],
)
def test_arrows_follow_edges_and_walk_through_a_layer(panel, context, staged, flow, forward, back, aside):
    staged("resnet8")
    shown = panel()
    choose(shown.flow_box, flow)
    assert shown.layout_shown.flow == flow
    context.model.select(["stack1_add.activations"])
    shown.refresh()
    QtTest.QTest.keyClick(shown.view, forward)
    assert context.model.current in ("stack2_conv1.activations", "stack2_shortcut.activations")
    layer = next(layer for layer in shown.layout_shown.layers if "stack2_conv1" in layer)
    for key, expected in ((aside[0], layer[0]), (aside[1], layer[1]), (aside[1], layer[1])):
        QtTest.QTest.keyClick(shown.view, key)
        assert context.model.current == expected + ".activations"
    QtTest.QTest.keyClick(shown.view, QtCore.Qt.Key_W)
    assert context.model.selected == (layer[1] + ".weights",)
    QtTest.QTest.keyClick(shown.view, back)
    assert context.model.current == "stack1_add.activations", "it has no weights"
    QtTest.QTest.keyClick(shown.view, forward, QtCore.Qt.ShiftModifier)
    assert len(context.model.selected) == 2
    for _ in range(40):
        QtTest.QTest.keyClick(shown.view, back)
    assert context.model.current == "input.activations"


def test_arrows_reach_every_node_of_a_folded_chain(panel, context, staged):
    staged("mobilenet", steps=1)
    shown = panel()
    assert shown.layout_shown.parts > 1
    context.model.select(["input.activations"])
    shown.refresh()
    key = QtCore.Qt.Key_Down if shown.layout_shown.flow == DOWN else QtCore.Qt.Key_Right
    seen = []
    for _ in range(len(shown.nodes) - 1):
        QtTest.QTest.keyClick(shown.view, key)
        seen.append(shown._cursor)
    assert seen == [unit.name for unit in context.model.plan.units]


@pytest.mark.parametrize("network", ["lenet", "resnet8", "mobilenet"])
@pytest.mark.parametrize("size", [(640, 400), (420, 600), (1200, 300)])
def test_the_whole_network_is_initially_visible_and_legible(panel, context, staged, network, size):
    staged(network, steps=1)
    shown = panel(*size)
    for node in shown.nodes.values():
        corners = shown.view.mapFromScene(node.sceneBoundingRect()).boundingRect()
        assert shown.view.viewport().rect().contains(corners)
    font = shown._painter.fonts[LARGE].pixelSize() * shown.view.scale_now()
    assert font >= 8.5, "pixels of the smallest text"


def test_the_wheel_zooms_at_the_pointer_dragging_pans_and_f_fits(panel, staged):
    staged("lenet")
    shown = panel()
    view, place = shown.view, shown.view.place_of(shown.nodes["conv2"])
    fitted, pointed_at = view.scale_now(), view.mapToScene(place)
    on_screen = QtCore.QPointF(view.viewport().mapToGlobal(place))
    wheel = QtGui.QWheelEvent(
        QtCore.QPointF(place),
        on_screen,
        QtCore.QPoint(),
        QtCore.QPoint(0, 480),
        QtCore.Qt.NoButton,
        NONE,
        QtCore.Qt.NoScrollPhase,
        False,
    )
    QtWidgets.QApplication.sendEvent(view.viewport(), wheel)
    assert view.scale_now() > 1.5 * fitted and not view.is_fitted
    still = view.mapToScene(place) - pointed_at
    assert math.hypot(still.x(), still.y()) < 3
    shown.resize(660, 480)
    shown.refresh()
    assert view.scale_now() > 1.5 * fitted, "what the user zoomed into stays"
    QtTest.QTest.keyClick(view, QtCore.Qt.Key_F)
    assert view.is_fitted and view.scale_now() == pytest.approx(fitted, rel=0.1)
    QtTest.QTest.keyClick(view, QtCore.Qt.Key_Plus)
    assert view.scale_now() > 1.1 * fitted
    for _ in range(60):
        QtTest.QTest.keyClick(view, QtCore.Qt.Key_Minus)
    assert view.scale_now() >= 0.079
    QtTest.QTest.mouseClick(shown.fit_button, LEFT)
    assert view.is_fitted


def test_dragging_beside_the_nodes_pans_and_selects_nothing(panel, context, staged):
    staged("lenet")
    shown = panel()
    for _ in range(4):
        QtTest.QTest.keyClick(shown.view, QtCore.Qt.Key_Plus)
    port = shown.view.viewport()
    free = next(
        QtCore.QPoint(x, y)
        for x in range(20, 600, 7)
        for y in range(20, 400, 7)
        if shown.view.node_at(QtCore.QPoint(x, y))[0] is None
    )
    before, selected = shown.view.mapToScene(free), context.model.selected
    QtTest.QTest.mousePress(port, LEFT, NONE, free)
    for step in (10, 20, 30):
        move = QtGui.QMouseEvent(QtCore.QEvent.MouseMove, free + QtCore.QPoint(step, step), LEFT, LEFT, NONE)
        QtWidgets.QApplication.sendEvent(port, move)
    QtTest.QTest.mouseRelease(port, LEFT, NONE, free + QtCore.QPoint(30, 30))
    assert shown.view.mapToScene(free) != before and context.model.selected == selected


def test_a_slightly_larger_window_keeps_the_layout(panel, staged):
    staged("mobilenet", steps=1)
    shown = panel(800, 500)
    before = shown.layout_shown
    shown.resize(815, 505)
    shown.refresh()
    assert shown.layout_shown is before
    shown.resize(300, 900)
    QtWidgets.QApplication.processEvents()
    shown.refresh()
    assert shown.layout_shown is not before


def test_the_tooltip_shows_settings_and_measures(panel, context, staged):
    run = staged("lenet")
    change(
        context,
        run,
        ("conv1.weights.symmetric", True),
        ("conv1.activations.enabled", False),
        ("conv2.weights.quant_delay", 5000),
    )
    shown = panel()
    node = shown.nodes["conv1"]
    place = shown.view.badge_places(node)["conv1.weights"]
    event = QtGui.QHelpEvent(QtCore.QEvent.ToolTip, place, shown.view.viewport().mapToGlobal(place))
    QtWidgets.QApplication.sendEvent(shown.view.viewport(), event)
    text = QtWidgets.QToolTip.text()
    assert "conv1.weights" in text and "8 bits, symmetric" in text and "conv1.activations" not in text
    assert MEASURES["sqnr_db"].text(context.model.measure("conv1.weights", "sqnr_db")) in text
    QtWidgets.QToolTip.hideText()
    whole = shown.view.tooltip_of(node, None)
    assert "conv1.activations" in whole and "quantization is off" in whole and "416 params" in whole
    assert "in float until step 5,000" in shown.view.tooltip_of(shown.nodes["conv2"], None)


def test_measure_and_direction_are_remembered(panel, context, staged):
    staged("lenet")
    first = panel()
    choose(first.measure_box, "clipped")
    choose(first.flow_box, RIGHT)
    second = panel()
    assert second.measure_box.currentData() == "clipped" and second.layout_shown.flow == RIGHT
    context.settings.setValue("network/measure", "no such measure")
    assert panel().measure_box.currentData() == "sqnr_db"


def test_the_panel_follows_network_theme_and_font_size(panel, context, staged):
    staged("lenet")
    shown = panel()
    staged("mlp")
    shown.refresh()
    assert set(shown.nodes) == {"input", "flatten", "dense1", "dense2", "logits"}
    dark = shown.view.grab().toImage()
    context.theme.use("light")
    shown.refresh()
    light = shown.view.grab().toImage()
    assert (dark.pixelColor(2, 2).lightness() < 60) and light.pixelColor(2, 2).lightness() > 200
    small = shown.layout_shown.width
    context.theme.set_font_points(20)
    shown.refresh()
    assert shown.layout_shown.width > small
    context.theme.set_font_points(0)


def test_the_legend_shows_the_values_of_its_colours(panel, context, staged):
    staged("lenet")
    shown = panel()
    assert shown.legend.texts() == ("≤ 5.0 dB", "25.0 dB", "≥ 45.0 dB")
    choose(shown.measure_box, "num_bits")
    assert shown.legend.texts() == ("≤ 2 bits", "5.66 bits", "≥ 16 bits")
    assert "representable" in shown.legend.toolTip() or "integer codes" in shown.legend.toolTip()


@pytest.mark.parametrize("measure", [MEASURES[key] for key in SHOWN], ids=SHOWN)
def test_positions_on_the_colour_bar_match_their_values(measure):
    for place in (0.0, 0.25, 1.0):
        assert measure.color_position(measure.color_value(place)) == pytest.approx(place)
    assert measure.color_position(measure.colors.low - 1e9) == 0.0 and measure.color_position(math.inf) == 1.0
    assert measure.color_position(math.nan) is None


def test_the_table_has_the_measures_of_all_tensors(panel, context, staged):
    run = staged("lenet")
    table = panel().view.table()
    assert table["tensor"] == [tensor.name for tensor in run.plan.tensors] and set(SHOWN) < set(table)
    row = SNAPSHOT_MEASURES.index("sqnr_db")
    np.testing.assert_array_equal(table["sqnr_db"], context.model.snapshot.values[row])
